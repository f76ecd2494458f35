//! From events to tasks: which pair a message concerns, albums gathered, waiting tasks changed.
//!
//! Pure: what is known already is asked of a [`View`], what follows is a [`Plan`] that the
//! dispatcher commits as a whole, together with its cursor. Events of one plan see what those
//! before them planned.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::graph::Node;
use super::job::{ALBUM_PARTS, Job, Work};
use super::map::{Fate, MapRow, content_hash};
use super::pair::{Mode, OnDelete, OnEdit, PairRow};
use crate::base::{PairId, SessionId, TaskId, Timestamp};
use crate::model::{ChatId, Event, EventBody, Message, MessageId, SessionState};

/// What is known of a task.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Waits {
    /// It waits and was never tried: it may be changed.
    Free(Box<Job>),
    /// It is being tried, or was: what comes now follows it in its lane.
    Tried,
    /// It does not wait.
    No,
}

/// What the planner asks of the store and of the workers.
pub(super) trait View {
    /// What can go wrong when asking.
    type Error;

    /// What became of a source message.
    fn row(&mut self, pair: PairId, chat: ChatId, message: MessageId) -> Result<Option<MapRow>, Self::Error>;

    /// The task that gathers an album.
    fn album(&mut self, pair: PairId, chat: ChatId, album: i64) -> Result<Option<TaskId>, Self::Error>;

    /// Whether any task of a pair waits or is being tried.
    fn is_busy(&mut self, pair: PairId) -> bool;

    /// What is known of a task. A free one stays as it is until the plan is committed.
    fn waits(&mut self, pair: PairId, task: TaskId) -> Result<Waits, Self::Error>;

    /// The places a message came through, if it is a copy or the forward of one.
    fn origins(&mut self, session: SessionId, message: &Message) -> Result<Vec<Node>, Self::Error>;
}

/// Where a message stands.
enum Standing {
    /// Nothing is to be done about it.
    Nowhere,
    /// In this task, which nobody has tried.
    Waiting(TaskId, Box<Job>),
    /// It was sent, or may have been.
    Sent,
    /// Its task waits no more, and did not copy it: it was given up.
    GivenUp,
}

/// A pair, as messages find it.
#[derive(Clone, Debug)]
pub(super) struct Route {
    pub(super) pair: Arc<PairRow>,
    pub(super) destination: Node,
}

/// All pairs by their source, and by the group that became it.
#[derive(Debug, Default)]
pub(super) struct Routes {
    by_source: HashMap<(SessionId, ChatId), Vec<Route>>,
    /// Which pairs write into a chat.
    writers: HashMap<ChatId, Vec<PairId>>,
}

impl FromIterator<Route> for Routes {
    fn from_iter<I: IntoIterator<Item = Route>>(routes: I) -> Self {
        let mut by_source: HashMap<_, Vec<Route>> = HashMap::new();
        let mut writers: HashMap<_, Vec<PairId>> = HashMap::new();
        for route in routes {
            let source = route.pair.source;
            writers
                .entry(route.pair.destination.chat)
                .or_default()
                .push(route.pair.id);
            for chat in [Some(source.chat), route.pair.former].into_iter().flatten() {
                by_source
                    .entry((source.session, chat))
                    .or_default()
                    .push(route.clone());
            }
        }
        Self { by_source, writers }
    }
}

impl Routes {
    /// The pairs that a chat is the source of.
    pub(super) fn from(&self, session: SessionId, chat: ChatId) -> &[Route] {
        self.by_source.get(&(session, chat)).map_or(&[], Vec::as_slice)
    }

    /// The pairs that write into a chat.
    pub(super) fn writers(&self, chat: ChatId) -> &[PairId] {
        self.writers.get(&chat).map_or(&[], Vec::as_slice)
    }

    /// The chats of a session that pairs forward from.
    pub(super) fn sources(&self, session: SessionId) -> Vec<ChatId> {
        let of = |(known, chat): &(SessionId, ChatId)| (*known == session).then_some(*chat);
        self.by_source.keys().filter_map(of).collect()
    }

    /// The chats of a session whose messages are numbered per account, with their pairs, for deletions that name no
    /// chat.
    fn unnumbered(&self, session: SessionId) -> impl Iterator<Item = (ChatId, &Route)> {
        let of = move |(known, chat): &(SessionId, ChatId)| *known == session && !chat.is_channel();
        let found = self.by_source.iter().filter(move |(source, _)| of(source));
        found.flat_map(|((_, chat), routes)| routes.iter().map(|route| (*chat, route)))
    }
}

/// A task as it shall be.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Draft {
    pub(super) pair: PairId,
    pub(super) job: Job,
    pub(super) due: Timestamp,
    /// Whether it is new; else it is one that waits already.
    pub(super) fresh: bool,
    /// Whether nothing is left to do.
    pub(super) cancelled: bool,
}

/// What follows from some events.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// New and changed tasks, in order.
    pub(super) tasks: Vec<(TaskId, Draft)>,
    pub(super) rows: HashMap<(PairId, ChatId, MessageId), MapRow>,
    /// Albums, with the task that gathers them; none if they are complete.
    pub(super) albums: HashMap<(PairId, ChatId, i64), Option<TaskId>>,
    /// Pairs that are concerned.
    pub(super) pairs: BTreeSet<PairId>,
    /// Sessions that came back.
    pub(super) back: BTreeSet<SessionId>,
    /// Messages that were not forwarded because they would have gone round.
    pub(super) loops: u64,
}

impl Plan {
    pub(super) fn is_empty(&self) -> bool {
        self.tasks.is_empty() && self.rows.is_empty() && self.albums.is_empty()
    }
}

/// Makes a plan, event by event.
pub(super) struct Planner<'a, V> {
    pub(super) view: &'a mut V,
    pub(super) routes: &'a Routes,
    pub(super) now: Timestamp,
    pub(super) life: u64,
    pub(super) album_window: Duration,
    pub(super) plan: Plan,
}

impl<V: View> Planner<'_, V> {
    /// Takes up the next event.
    pub(super) fn event(&mut self, seq: u64, event: &Event) -> Result<(), V::Error> {
        let Some(session) = event.session else {
            return Ok(());
        };
        match &event.body {
            EventBody::MessageNew(message) | EventBody::MessageSent(message) => {
                self.arrived(session, (seq, event.at), message)
            }
            EventBody::MessageEdited(message) => self.edited(session, event.at, message),
            EventBody::MessageDeleted { chat, ids } => self.deleted(session, event.at, *chat, ids),
            EventBody::SessionState {
                to: SessionState::Connected,
                ..
            } => {
                self.plan.back.insert(session);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn arrived(
        &mut self,
        session: SessionId,
        (seq, seen): (u64, Timestamp),
        message: &Message,
    ) -> Result<(), V::Error> {
        let routes = self.routes.from(session, message.chat);
        if message.service || routes.is_empty() {
            return Ok(());
        }
        let origins = self.view.origins(session, message)?;
        for route in routes {
            let pair = &route.pair;
            if !pair.takes(message)
                || pair.is_younger_than(seq, seen)
                || self.row(pair.id, message.chat, message.id)?.is_some()
            {
                continue;
            }
            if origins.contains(&route.destination) {
                self.plan.loops += 1;
                continue;
            }
            let due = match pair.delay {
                0 => self.now,
                delay => self.now.max(message.date.plus(Duration::from_secs(delay.into()))),
            };
            match message.album {
                Some(album) => self.album_part(pair, seen, due, album, message)?,
                None => drop(self.copy(pair, seen, due, message)),
            }
        }
        Ok(())
    }

    fn copy(&mut self, pair: &PairRow, seen: Timestamp, due: Timestamp, message: &Message) -> TaskId {
        let parts = vec![message.clone()];
        let task = self.enqueue(pair.id, seen, due, Work::Copy { parts });
        let key = (pair.id, message.chat, message.id);
        self.plan.rows.insert(key, MapRow::waiting(task, message));
        task
    }

    /// A part joins the task that gathers its album, or begins one. What comes after the album was
    /// tried is copied by itself.
    fn album_part(
        &mut self,
        pair: &PairRow,
        seen: Timestamp,
        due: Timestamp,
        album: i64,
        message: &Message,
    ) -> Result<(), V::Error> {
        let key = (pair.id, message.chat, album);
        let gathering = match self.plan.albums.get(&key) {
            Some(known) => *known,
            None => self.view.album(pair.id, message.chat, album)?,
        };
        let waited = due.max(self.now.plus(self.album_window));
        if let Some(task) = gathering
            && let Waits::Free(mut job) = self.waits(pair.id, task)?
            && let Work::Copy { parts } = &mut job.work
            && parts.len() < ALBUM_PARTS
        {
            let place = parts.partition_point(|part| part.id < message.id);
            parts.insert(place, message.clone());
            let complete = parts.len() == ALBUM_PARTS;
            job.ready = if complete { due } else { waited };
            let ready = job.ready;
            self.change(pair.id, task, *job, Some(ready));
            let row = MapRow::waiting(task, message);
            self.plan.rows.insert((pair.id, message.chat, message.id), row);
            return Ok(());
        }
        let task = self.copy(pair, seen, waited, message);
        self.plan.albums.insert(key, Some(task));
        Ok(())
    }

    fn edited(&mut self, session: SessionId, seen: Timestamp, message: &Message) -> Result<(), V::Error> {
        for route in self.routes.from(session, message.chat) {
            let pair = &route.pair;
            if pair.on_edit == OnEdit::Ignore || pair.mode == Mode::Forward {
                continue;
            }
            // Asked before the row: a task that is done by then has left its mark there.
            let busy = self.is_busy(pair.id);
            let Some(row) = self.row(pair.id, message.chat, message.id)? else {
                continue;
            };
            let older = row.edited.is_some() && message.edit_date < row.edited;
            // While tasks wait, the row may not be what the copy will show: an edit back to it is one.
            if older || (!busy && row.hash == content_hash(message)) {
                continue;
            }
            match self.standing(pair.id, message.chat, message.id, &row)? {
                Standing::Nowhere | Standing::GivenUp => {}
                Standing::Waiting(task, job) => self.replace(pair.id, task, *job, message),
                Standing::Sent => {
                    let message = Box::new(message.clone());
                    self.enqueue(pair.id, seen, self.now, Work::Edit { message });
                }
            }
        }
        Ok(())
    }

    /// A message that waits takes on its new form.
    fn replace(&mut self, pair: PairId, task: TaskId, mut job: Job, message: &Message) {
        if let Work::Copy { parts } = &mut job.work
            && let Some(part) = parts.iter_mut().find(|part| part.id == message.id)
        {
            *part = message.clone();
            self.change(pair, task, job, None);
            let row = MapRow::waiting(task, message);
            self.plan.rows.insert((pair, message.chat, message.id), row);
        }
    }

    fn deleted(
        &mut self,
        session: SessionId,
        seen: Timestamp,
        chat: Option<ChatId>,
        ids: &[MessageId],
    ) -> Result<(), V::Error> {
        let routes: Vec<(ChatId, Arc<PairRow>)> = match chat {
            Some(chat) => {
                let routes = self.routes.from(session, chat).iter();
                routes.map(|route| (chat, route.pair.clone())).collect()
            }
            None => {
                let routes = self.routes.unnumbered(session);
                routes.map(|(chat, route)| (chat, route.pair.clone())).collect()
            }
        };
        for (chat, pair) in routes {
            if pair.on_delete == OnDelete::Ignore {
                continue;
            }
            let mut follow = Vec::new();
            for id in ids {
                let Some(row) = self.row(pair.id, chat, *id)? else {
                    continue;
                };
                match self.standing(pair.id, chat, *id, &row)? {
                    Standing::Nowhere => {}
                    Standing::Waiting(task, job) => self.withdraw(pair.id, task, *job, chat, *id, row),
                    Standing::Sent => follow.push(*id),
                    // If its task is put back, it shall not bring what is deleted.
                    Standing::GivenUp => self.forget(pair.id, chat, *id, row),
                }
            }
            if !follow.is_empty() {
                self.enqueue(pair.id, seen, self.now, Work::Delete { chat, ids: follow });
            }
        }
        Ok(())
    }

    /// A message that waits is taken out of its task; an empty task is cancelled.
    fn withdraw(
        &mut self,
        pair: PairId,
        task: TaskId,
        mut job: Job,
        chat: ChatId,
        id: MessageId,
        row: MapRow,
    ) {
        let Work::Copy { parts } = &mut job.work else {
            return;
        };
        let album = parts
            .iter()
            .find(|part| part.id == id)
            .and_then(|part| part.album);
        parts.retain(|part| part.id != id);
        let empty = parts.is_empty();
        self.change(pair, task, job, None);
        if empty {
            if let Some((_, draft)) = self.plan.tasks.iter_mut().find(|(known, _)| *known == task) {
                draft.cancelled = true;
            }
            if let Some(album) = album {
                self.plan.albums.insert((pair, chat, album), None);
            }
        }
        self.forget(pair, chat, id, row);
    }

    /// A message will not be copied any more.
    fn forget(&mut self, pair: PairId, chat: ChatId, id: MessageId, row: MapRow) {
        let gone = MapRow {
            fate: Fate::Gone,
            ..row
        };
        self.plan.rows.insert((pair, chat, id), gone);
        self.plan.pairs.insert(pair);
    }

    /// Where a message stands whose row has just been read.
    fn standing(
        &mut self,
        pair: PairId,
        chat: ChatId,
        message: MessageId,
        row: &MapRow,
    ) -> Result<Standing, V::Error> {
        Ok(match row.fate {
            Fate::Gone => Standing::Nowhere,
            Fate::Copied(_) => Standing::Sent,
            Fate::Waiting(task) => match self.waits(pair, task)? {
                Waits::Free(job) => Standing::Waiting(task, job),
                Waits::Tried => Standing::Sent,
                // Its copy may have been stored between the look at the row and the look at the task.
                Waits::No => match self.row(pair, chat, message)?.map(|row| row.fate) {
                    Some(Fate::Copied(_)) => Standing::Sent,
                    Some(Fate::Waiting(_)) => Standing::GivenUp,
                    Some(Fate::Gone) | None => Standing::Nowhere,
                },
            },
        })
    }

    fn row(&mut self, pair: PairId, chat: ChatId, message: MessageId) -> Result<Option<MapRow>, V::Error> {
        match self.plan.rows.get(&(pair, chat, message)) {
            Some(row) => Ok(Some(*row)),
            None => self.view.row(pair, chat, message),
        }
    }

    fn is_busy(&mut self, pair: PairId) -> bool {
        self.plan.tasks.iter().any(|(_, draft)| draft.pair == pair) || self.view.is_busy(pair)
    }

    fn waits(&mut self, pair: PairId, task: TaskId) -> Result<Waits, V::Error> {
        match self.plan.tasks.iter().find(|(known, _)| *known == task) {
            Some((_, draft)) if draft.cancelled => Ok(Waits::No),
            Some((_, draft)) => Ok(Waits::Free(Box::new(draft.job.clone()))),
            None => self.view.waits(pair, task),
        }
    }

    fn enqueue(&mut self, pair: PairId, seen: Timestamp, due: Timestamp, work: Work) -> TaskId {
        let task = TaskId::generate();
        let job = Job {
            seen,
            ready: due,
            life: self.life,
            tried: None,
            kind: work.kind(),
            work,
        };
        let draft = Draft {
            pair,
            job,
            due,
            fresh: true,
            cancelled: false,
        };
        self.plan.tasks.push((task, draft));
        self.plan.pairs.insert(pair);
        task
    }

    fn change(&mut self, pair: PairId, task: TaskId, job: Job, due: Option<Timestamp>) {
        self.plan.pairs.insert(pair);
        match self.plan.tasks.iter_mut().find(|(known, _)| *known == task) {
            Some((_, draft)) => {
                draft.due = due.unwrap_or(draft.due);
                draft.job = job;
            }
            None => {
                let draft = Draft {
                    pair,
                    due: due.unwrap_or(job.ready),
                    job,
                    fresh: false,
                    cancelled: false,
                };
                self.plan.tasks.push((task, draft));
            }
        }
    }
}
