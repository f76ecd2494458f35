//! One try of one task: what is sent, edited or deleted, and what follows from the answer.
//!
//! It changes nothing but what Telegram shows; what is to be remembered comes back as an [`End`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::compose::{Trim, compose, random_id, revise};
use super::courier::{Sight, Trouble};
use super::desk::Desk;
use super::find::CLOCKS_DIFFER;
use super::job::{ALBUM_PARTS, Job, Work};
use super::map::{AlbumsTable, Copied, Fate, MapRow, MapTable, content_hash, file_of, put_copy};
use super::origins::{origins, post};
use super::pair::{PairRow, PairState};
use super::verdict::{CHAT_UNKNOWN, PROTECTED, Step, Verdict, verdict};
use super::worker::Worker;
use crate::base::{Code, SessionId, Timestamp};
use crate::model::refusal::Obstacle;
use crate::model::{ChatId, Message, MessageId, Refusal};
use crate::store::{Batch, StoreError, Task};
use crate::telegram::{Patience, Turn, Urgency};

/// How long a message that may itself be a copy waits for the commit that says so.
const BARRIER: Duration = Duration::from_secs(2);
/// How long an album waits at most for what was missed.
const LONGEST_ALBUM: Duration = Duration::from_secs(60);
/// How soon it is looked whether all that was missed has been told.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// What a try leads to.
pub(super) enum End {
    Done(Done),
    /// Some parts are settled; these are tried once more, which counts, for this reason.
    Rest(Done, Vec<Message>, Trouble),
    /// To the dead letters, with a code and the reason.
    Discard(Code, String),
    /// Not before then, for this reason.
    Snooze(Timestamp, String),
    /// Once the session is back.
    Await(String),
    /// Once more; it counts.
    Retry(Code, String),
    /// The pair stops: a stable word, and the cause in words.
    Hold(&'static str, String),
    /// The account stops.
    Halt(&'static str, String),
}

/// What a successful try leaves to be remembered.
#[derive(Default)]
pub(super) struct Done {
    pub(super) batch: Batch,
    /// What the batch says of the map.
    pub(super) rows: Vec<((ChatId, MessageId), MapRow)>,
    pub(super) forwarded: u64,
    pub(super) edited: u64,
    pub(super) deleted: u64,
    /// Messages of a kind that the destination does not take.
    pub(super) skipped: u64,
    /// Messages that would have gone round.
    pub(super) loops: u64,
}

pub(super) struct Trial<'a> {
    pub(super) worker: &'a mut Worker,
    pub(super) pair: &'a PairRow,
    pub(super) task: &'a Task<Job>,
    /// Since when the effect may be there, if it may.
    pub(super) since: Option<Timestamp>,
    /// Whether that was before this worker began.
    pub(super) suspect: bool,
    /// Whether it was never tried, as far as is known.
    pub(super) untried: bool,
    /// Whether the store was restored since the message came: what was sent then is not known any more.
    pub(super) forgotten: bool,
}

impl<'a> Trial<'a> {
    /// A try; `first` is when this task was first tried in this run of the daemon, `restored` when the store was
    /// restored last.
    pub(super) fn new(
        worker: &'a mut Worker,
        pair: &'a PairRow,
        task: &'a Task<Job>,
        first: Option<Timestamp>,
        restored: Option<Timestamp>,
    ) -> Self {
        let job = &task.payload;
        let came = job.came().filter(|came| {
            let at = restored.map(|at| at.plus(CLOCKS_DIFFER));
            at.is_some_and(|at| *came < at)
        });
        let suspect = worker.suspects > 0 && task.enqueued_at < worker.began;
        worker.suspects = worker.suspects.saturating_sub(1);
        let known = job.tried.or(first);
        Self {
            suspect: (suspect || came.is_some()) && known.is_none(),
            since: came.or(known).or(suspect.then_some(job.ready)),
            forgotten: came.is_some(),
            untried: known.is_none(),
            worker,
            pair,
            task,
        }
    }

    pub(super) async fn run(mut self) -> Result<End, StoreError> {
        match &self.task.payload.work {
            Work::Copy { parts } => self.copy(parts).await,
            Work::Edit { message } => self.edit(message).await,
            Work::Delete { chat, ids } => self.delete(*chat, ids).await,
        }
    }

    async fn copy(&mut self, parts: &[Message]) -> Result<End, StoreError> {
        let (gone, left) = self.deleted_meanwhile(parts)?;
        if left.is_empty() {
            return Ok(self.remains(Done::default(), &gone, Vec::new(), Trouble::unclear()));
        }
        let parts = &left[..];
        if let Some(held) = self.protected().or_else(|| self.unshared(parts)) {
            return Ok(held);
        }
        if let Some(until) = self.more_to_come(parts).await {
            let why = "the rest of its album may still be told".to_owned();
            return Ok(End::Snooze(until, why));
        }
        if self.comes_round(parts).await? {
            let done = Done {
                loops: 1,
                ..Done::default()
            };
            return Ok(self.remains(done, parts, Vec::new(), Trouble::unclear()));
        }
        let secret = self.worker.registry.store.installation_secret()?;
        let reply_to = self.reply_to(parts)?;
        let mut trim = Trim::default();
        let late = |since: Timestamp| Timestamp::now().since(since) > *self.worker.config.look_after;
        if self.forgotten || self.since.is_some_and(late) {
            match self.look(parts).await? {
                Ok(Some(copies)) => return Ok(self.copied(parts, &copies)),
                Ok(None) if self.is_stopped() => {
                    let why = "the pair was stopped while a copy was looked for".to_owned();
                    return Ok(End::Snooze(Timestamp::now(), why));
                }
                Ok(None) => {}
                Err(trouble) => return Ok(self.end(Step::Send, trouble)),
            }
        }
        loop {
            let outgoing = match compose(self.pair, parts, reply_to, trim, &secret) {
                Ok(outgoing) => outgoing,
                Err(refusal) => return Ok(End::Discard(refusal.code, refusal.reason.to_owned())),
            };
            let session = self.pair.destination.session;
            let courier = self.worker.registry.courier.clone();
            let trouble = match courier.send(session, &outgoing, self.patience()).await {
                Ok(sent) => {
                    let place = |part: &Message| {
                        let name = random_id(self.pair, part, &secret);
                        let place = sent.iter().find(|sent| sent.random_id == name)?;
                        Some((place.id, place.date)).filter(|(id, _)| *id != 0)
                    };
                    let places: Vec<_> = parts.iter().map(place).collect();
                    if places.iter().any(Option::is_some) {
                        return Ok(self.told(parts, &places).await);
                    }
                    // Sent, but the answer does not say as what.
                    Trouble::unclear()
                }
                Err(trouble) => trouble,
            };
            let verdict = verdict(Step::Send, trouble.class);
            if verdict == Verdict::Retry {
                // Another call may be running from now on.
                self.worker.unseen = None;
            }
            match verdict {
                Verdict::Look => {
                    // By Telegram's clock it cannot be older than what it is the copy of.
                    let job = &self.task.payload;
                    self.since = job.came().or(self.since).or(Some(job.ready));
                    self.suspect = false;
                    return Ok(match self.look(parts).await? {
                        Ok(Some(copies)) => self.copied(parts, &copies),
                        Ok(None) => self.nowhere(parts, trouble).await,
                        // It was sent all the same: from now on it counts as tried.
                        Err(trouble) if self.untried => End::Retry(trouble.code, trouble.text),
                        Err(trouble) => self.end(Step::Send, trouble),
                    });
                }
                // Another account's files are no matter of rights here: no resuming would mend it.
                Verdict::Hold(_) if trouble.code == Code::MediaNotReachable && self.crosses() => {
                    return Ok(End::Discard(trouble.code, trouble.text));
                }
                Verdict::Skip => return Ok(self.passed_over(parts, trouble)),
                Verdict::Apart if parts.len() > 1 => {
                    let (first, rest) = parts.split_at(1);
                    return Ok(match Box::pin(self.copy(first)).await? {
                        End::Done(done) => End::Rest(done, rest.to_vec(), trouble),
                        end => end,
                    });
                }
                Verdict::Simplify => match simpler(trim, outgoing.reply_to, &trouble) {
                    Some(simpler) => trim = simpler,
                    None if matches!(trouble.class, Refusal::Gone | Refusal::ReplyGone) => {
                        return Ok(self.refused(parts, trouble).await);
                    }
                    None => return Ok(End::Discard(trouble.code, trouble.text)),
                },
                _ => return Ok(self.end(Step::Send, trouble)),
            }
        }
    }

    /// Whether it came through the destination already. Asked here and not by the dispatcher alone: a copy may be
    /// told of before the commit that says so, and only this pair's lane shall wait for that.
    async fn comes_round(&mut self, parts: &[Message]) -> Result<bool, StoreError> {
        let registry = self.worker.registry.clone();
        let Some(first) = parts.first() else {
            return Ok(false);
        };
        let forwarded = post(first);
        let destination = self.pair.destination;
        if let Some((chat, id)) = forwarded
            && chat == destination.chat
            && self.worker.is_fresh_copy(chat, id)
        {
            return Ok(true);
        }
        // What the dispatcher knew, it heeded: only pairs that write there may have committed a copy since.
        let chats = [Some(first.chat), forwarded.map(|(chat, _)| chat)];
        let others = self.others_into(chats.into_iter().flatten());
        // Into the channel that a message is a forward of, this pair may write itself.
        if others.is_empty() && forwarded.is_none() {
            return Ok(false);
        }
        let node = registry.node(destination.session, destination.chat);
        let known = origins(&registry, self.pair.source.session, first)?;
        if !known.is_empty() {
            return Ok(known.contains(&node));
        }
        landed(&others).await;
        Ok(origins(&registry, self.pair.source.session, first)?.contains(&node))
    }

    /// Whether one account reads and another writes.
    fn crosses(&self) -> bool {
        self.pair.source.session != self.pair.destination.session
    }

    /// Whether the pair was stopped since the try began: a look may take minutes.
    fn is_stopped(&self) -> bool {
        self.worker.desk.pair().borrow().state != PairState::Running
    }

    /// The desks of the other pairs that write into these chats.
    pub(super) fn others_into(&self, chats: impl Iterator<Item = ChatId>) -> Vec<Arc<Desk>> {
        let desks = chats.flat_map(|chat| self.worker.registry.desks_into(chat));
        desks
            .filter(|desk| desk.pair().borrow().id != self.pair.id)
            .collect()
    }

    /// Which of the parts were deleted while the task lay among the dead letters, and which are left.
    fn deleted_meanwhile(&self, parts: &[Message]) -> Result<(Vec<Message>, Vec<Message>), StoreError> {
        let (mut gone, mut left) = (Vec::new(), Vec::new());
        for part in parts {
            // What was never tried was never given up: then its task knows.
            let row = match self.untried {
                true => None,
                false => self.worker.row(part.chat, part.id)?,
            };
            match row.map(|row| row.fate) {
                Some(Fate::Gone) => gone.push(part.clone()),
                _ => left.push(part.clone()),
            }
        }
        Ok((gone, left))
    }

    /// Until when further parts of an album may come though its time is over: what was missed, perhaps while the daemon
    /// was away, is still being told, or the connection has been silent since. No album is waited for for ever.
    async fn more_to_come(&mut self, parts: &[Message]) -> Option<Timestamp> {
        let is_open = parts.first()?.album.is_some() && parts.len() < ALBUM_PARTS && self.untried;
        let (now, ready) = (Timestamp::now(), self.task.payload.ready);
        if !is_open || now >= ready.plus(LONGEST_ALBUM) {
            return None;
        }
        let session = self.pair.source.session;
        let courier = self.worker.registry.courier.clone();
        let since = match courier.told_since(session) {
            None => return Some(now.plus(LOOK_AGAIN)),
            Some(since) => since.plus(*self.worker.config.album_window),
        };
        if since > now {
            return Some(since);
        }
        (!courier.lives_since(session, ready).await).then(|| now.plus(LOOK_AGAIN))
    }

    /// A chat may be protected long after a pair was made of it: the pair stops.
    fn protected(&self) -> Option<End> {
        let source = self.pair.source;
        let sight = self.worker.registry.courier.sight(source.session, source.chat);
        matches!(sight, Ok(Sight::Known { protected: true, .. })).then(|| {
            let cause = "the source forbids forwarding and saving its content";
            End::Hold(PROTECTED, cause.to_owned())
        })
    }

    /// What was said in a group before it moved, or waits in a pair of an earlier release, may be numbered otherwise by
    /// the destination's account.
    fn unshared(&self, parts: &[Message]) -> Option<End> {
        parts.iter().any(|part| self.pair.misnames(part.chat)).then(|| {
            let cause = "the destination's account numbers the source's messages otherwise: have it copy, not forward";
            End::Hold(CHAT_UNKNOWN, cause.to_owned())
        })
    }

    /// The answer named some of the parts. What it does not name was not sent, or not told: its source says
    /// whether there is anything left to send.
    async fn told(&mut self, parts: &[Message], places: &[Option<(MessageId, Timestamp)>]) -> End {
        let (mut sent, mut copies, mut open) = (Vec::new(), Vec::new(), Vec::new());
        for (part, place) in parts.iter().zip(places) {
            match place {
                Some(place) => {
                    sent.push(part.clone());
                    copies.push(*place);
                }
                None => open.push(part.clone()),
            }
        }
        let done = self.settled(&sent, &copies);
        match self.sift(&open).await {
            Ok((gone, rest)) => self.remains(done, &gone, rest, Trouble::unclear()),
            Err(trouble) => End::Rest(done, open, trouble),
        }
    }

    /// What was to be sent is said to be gone: cancelled, as far as its source says so too.
    async fn refused(&mut self, parts: &[Message], trouble: Trouble) -> End {
        match self.sift(parts).await {
            Ok((gone, _)) if gone.is_empty() => End::Discard(trouble.code, trouble.text),
            Ok((gone, rest)) => self.remains(Done::default(), &gone, rest, trouble),
            Err(trouble) => match self.end(Step::Send, trouble.clone()) {
                waits @ (End::Snooze(..) | End::Await(_)) => waits,
                // It is the source's account that was asked: what is wrong with it is not the destination's.
                _ => End::Retry(trouble.code, trouble.text),
            },
        }
    }

    /// The destination takes nothing of this kind.
    fn passed_over(&self, parts: &[Message], trouble: Trouble) -> End {
        let kind = |part: &Message| part.media.as_ref().map(|media| media.kind);
        if parts.windows(2).any(|two| kind(&two[0]) != kind(&two[1])) {
            // Nobody says which of them it is: the others shall not be lost with it.
            return End::Hold(Obstacle::NoRights.as_str(), trouble.text);
        }
        tracing::warn!(pair = %self.pair.id, task = %self.task.id, why = trouble.text, "a message was passed over");
        let done = Done {
            skipped: parts.len() as u64,
            ..Done::default()
        };
        self.remains(done, parts, Vec::new(), trouble)
    }

    /// Which of the parts are gone from their source, and which are there.
    pub(super) async fn sift(&mut self, parts: &[Message]) -> Result<(Vec<Message>, Vec<Message>), Trouble> {
        let (mut gone, mut there) = (Vec::new(), Vec::new());
        for part in parts {
            let courier = self.worker.registry.courier.clone();
            let place = (part.chat, part.id);
            let asked = courier.message(self.pair.source.session, place, self.look_patience());
            match asked.await? {
                Some(_) => there.push(part.clone()),
                None => gone.push(part.clone()),
            }
        }
        Ok((gone, there))
    }

    /// Remembers what is gone; the rest is tried once more.
    pub(super) fn remains(
        &self,
        mut done: Done,
        gone: &[Message],
        rest: Vec<Message>,
        trouble: Trouble,
    ) -> End {
        for part in gone {
            let row = MapRow {
                fate: Fate::Gone,
                ..MapRow::waiting(self.task.id, part)
            };
            let key = (self.pair.id, part.chat, part.id, 0);
            done.batch.put::<MapTable>(&key, &row);
            done.rows.push(((part.chat, part.id), row));
        }
        if rest.is_empty() {
            if let Some((chat, album)) = gone.first().and_then(|part| Some((part.chat, part.album?))) {
                done.batch.remove::<AlbumsTable>(&(self.pair.id, chat, album));
            }
            return End::Done(done);
        }
        End::Rest(done, rest, trouble)
    }

    /// The number of the copy of what the first part answers, if it is a message of the same chat.
    fn reply_to(&self, parts: &[Message]) -> Result<Option<MessageId>, StoreError> {
        let Some((part, reply)) = parts
            .first()
            .and_then(|part| Some((part, part.reply_to.as_ref()?)))
        else {
            return Ok(None);
        };
        let Some(answered) = reply.within(part.chat) else {
            return Ok(None);
        };
        let row = self.worker.row(part.chat, answered)?;
        let copied = row.and_then(MapRow::copied);
        Ok(copied
            .filter(|copied| copied.chat == self.pair.destination.chat)
            .map(|copied| copied.message))
    }

    fn copied(&self, parts: &[Message], copies: &[(MessageId, Timestamp)]) -> End {
        End::Done(self.settled(parts, copies))
    }

    fn settled(&self, parts: &[Message], copies: &[(MessageId, Timestamp)]) -> Done {
        let mut done = Done::default();
        for (part, (message, at)) in parts.iter().zip(copies) {
            let copied = Copied {
                session: self.pair.destination.session,
                chat: self.pair.destination.chat,
                message: *message,
                at: *at,
            };
            let row = put_copy(&mut done.batch, self.pair, part, copied);
            done.rows.push(((part.chat, part.id), row));
            if let Some(album) = part.album {
                done.batch
                    .remove::<AlbumsTable>(&(self.pair.id, part.chat, album));
            }
            done.forwarded += 1;
        }
        done
    }

    async fn edit(&mut self, message: &Message) -> Result<End, StoreError> {
        let row = self.worker.row(message.chat, message.id)?;
        let Some((row, copied)) = row.and_then(|row| Some((row, row.copied()?))) else {
            return Ok(End::Done(Done::default()));
        };
        let hash = content_hash(message);
        let older = row.edited.is_some() && message.edit_date < row.edited;
        if older || row.hash == hash {
            return Ok(End::Done(Done::default()));
        }
        if let Some(held) = self.protected() {
            return Ok(held);
        }
        let secret = self.worker.registry.store.installation_secret()?;
        let shown = row.file;
        let row = MapRow {
            hash,
            edited: message.edit_date,
            file: file_of(message),
            ..row
        };
        let mut done = Done {
            rows: vec![((message.chat, message.id), row)],
            ..Done::default()
        };
        done.batch
            .put::<MapTable>(&(self.pair.id, message.chat, message.id, 0), &row);
        let mut trim = Trim::default();
        loop {
            let form = match revise(self.pair, message, shown, trim, &secret) {
                Ok(form) => form,
                Err(refusal) => return Ok(End::Discard(refusal.code, refusal.reason.to_owned())),
            };
            let courier = self.worker.registry.courier.clone();
            let place = (copied.chat, copied.message);
            let answer = courier.edit(copied.session, place, &form, self.patience()).await;
            let Err(trouble) = answer else {
                done.edited = 1;
                return Ok(End::Done(done));
            };
            match verdict(Step::Edit, trouble.class) {
                Verdict::Done => return Ok(End::Done(done)),
                Verdict::Hold(_) if self.is_former(copied.chat) => return Ok(End::Done(done)),
                Verdict::Simplify => match trim.formatting.less() {
                    Some(formatting) => trim.formatting = formatting,
                    None => return Ok(End::Discard(trouble.code, trouble.text)),
                },
                _ => return Ok(self.end(Step::Edit, trouble)),
            }
        }
    }

    async fn delete(&mut self, chat: ChatId, ids: &[MessageId]) -> Result<End, StoreError> {
        let mut done = Done::default();
        // A pair that follows its chat has copies in two: a number means nothing without its own.
        let mut copies: BTreeMap<(SessionId, ChatId), Vec<MessageId>> = BTreeMap::new();
        for id in ids {
            let Some(row) = self.worker.row(chat, *id)? else {
                continue;
            };
            if let Some(copied) = row.copied() {
                let place = (copied.session, copied.chat);
                copies.entry(place).or_default().push(copied.message);
                let gone = MapRow {
                    fate: Fate::Gone,
                    ..row
                };
                done.batch.put::<MapTable>(&(self.pair.id, chat, *id, 0), &gone);
                done.rows.push(((chat, *id), gone));
            }
        }
        let courier = self.worker.registry.courier.clone();
        for ((session, chat), messages) in copies {
            let count = messages.len() as u64;
            let Err(trouble) = courier.delete(session, chat, messages, self.patience()).await else {
                done.deleted += count;
                continue;
            };
            match verdict(Step::Delete, trouble.class) {
                Verdict::Done => {}
                Verdict::Hold(_) if self.is_former(chat) => {}
                _ => return Ok(self.end(Step::Delete, trouble)),
            }
        }
        Ok(End::Done(done))
    }

    /// Whether a copy stands where the pair writes no more: in a group that became a supergroup. What cannot be done
    /// there stops no pair.
    fn is_former(&self, chat: ChatId) -> bool {
        chat != self.pair.destination.chat
    }

    /// What follows from a failed call, where nothing more can be done in this try.
    fn end(&self, step: Step, trouble: Trouble) -> End {
        match verdict(step, trouble.class) {
            Verdict::Done => End::Done(Done::default()),
            Verdict::Snooze(until) => End::Snooze(until, trouble.text),
            Verdict::Await => End::Await(trouble.text),
            Verdict::Retry | Verdict::Look => End::Retry(trouble.code, trouble.text),
            Verdict::Hold(reason) => End::Hold(reason, trouble.text),
            Verdict::Halt(reason) => End::Halt(reason, trouble.text),
            Verdict::Simplify | Verdict::Skip | Verdict::Apart | Verdict::Discard => {
                End::Discard(trouble.code, trouble.text)
            }
        }
    }

    /// How a call of this task waits for its turn: it keeps its place in line until the task is done.
    pub(super) fn patience(&self) -> Patience {
        Patience {
            span: *self.worker.config.patience,
            urgency: Urgency::Work,
            turn: Some(Turn(self.task.id.to_bytes())),
        }
    }

    /// The same for what is looked at before anything is sent.
    pub(super) fn look_patience(&self) -> Patience {
        self.patience().with(Urgency::Look)
    }
}

/// Waits until what other pairs are trying at this moment is known, but not for long.
pub(super) async fn landed(others: &[Arc<Desk>]) {
    let barriers = others.iter().map(|desk| desk.barrier(BARRIER));
    futures_util::future::join_all(barriers).await;
}

/// What to leave out after a refusal: the reply if what it answers is gone, formatting else.
fn simpler(trim: Trim, reply_to: Option<MessageId>, trouble: &Trouble) -> Option<Trim> {
    if matches!(trouble.class, Refusal::Gone | Refusal::ReplyGone) {
        return reply_to.map(|_| Trim {
            no_reply: true,
            ..trim
        });
    }
    let formatting = trim.formatting.less()?;
    Some(Trim { formatting, ..trim })
}
