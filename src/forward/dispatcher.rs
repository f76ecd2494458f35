//! The dispatcher: reads the journal behind its cursor and turns events into tasks, cursor and tasks
//! in one commit.
//!
//! It starts the workers of all pairs when it begins, and hears of workers that were quarantined.
//! It does not send anything, and never waits for a send.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::config::ForwardConfig;
use super::desk::Hold;
use super::error::PairError;
use super::graph::Node;
use super::map::{AlbumsTable, MapRow, MapTable, PairsTable};
use super::moving::turns;
use super::origins::origins;
use super::orphans::deleted;
use super::pairs::Pairs;
use super::plan::{Plan, Planner, View, Waits};
use super::registry::Registry;
use crate::base::fault::fault_point;
use crate::base::{PairId, SessionId, TaskId, Timestamp};
use crate::model::{ChatId, Event, EventBody, Message, MessageId};
use crate::runtime::{BoxError, TaskContext};
use crate::store::{Batch, Lane, LaneKind, StoreError, TaskDraft, TaskKey};

/// The name of the cursor.
const CURSOR: &str = "forward";
/// How many changes a commit has at most, about.
const CHANGES: usize = 1024;
/// After so many events that concern no pair the cursor is stored.
const UNCONCERNED: u64 = 1000;
/// So far back is looked for what a supergroup told before the word that a group became it: longer than a difference
/// rests.
const EARLY: Duration = Duration::from_secs(600);
/// Events that are read at once for that.
const PAGE: u64 = 1000;
/// The pause after the store failed.
const STORE_AWAY: Duration = Duration::from_millis(500);
/// The lane of a pair.
pub(super) fn lane(pair: PairId) -> Lane {
    Lane {
        kind: LaneKind::Forward,
        group: pair.to_bytes(),
        sub: 0,
    }
}

pub(super) async fn run(pairs: Pairs, context: TaskContext) -> Result<(), BoxError> {
    let mut dispatcher = Dispatcher {
        registry: pairs.registry().clone(),
        config: pairs.config().clone(),
        cursor: 0,
        stored: 0,
        orphans: true,
    };
    let store = dispatcher.registry.store.clone();
    let mut head = store.head();
    let mut deletions = dispatcher.registry.courier.deletions();
    loop {
        context.alive();
        match dispatcher.begin(&pairs).await {
            Ok(()) => break,
            Err(error) => tracing::warn!(%error, "pairs cannot be read yet"),
        }
        tokio::select! {
            () = context.stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(STORE_AWAY) => {}
        }
    }
    while !context.stop.is_cancelled() {
        context.alive();
        head.borrow_and_update();
        dispatcher.orphans |= deletions.has_changed().unwrap_or(false);
        deletions.borrow_and_update();
        let pause = match dispatcher.turn().await {
            Ok(true) => continue,
            Ok(false) => None,
            Err(error) => {
                tracing::warn!(%error, "events wait to be forwarded");
                Some(STORE_AWAY)
            }
        };
        let waits = async {
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => tokio::select! {
                    // The store outlives this task: its end of the channel is never dropped before.
                    _ = head.changed() => {}
                    () = dispatcher.registry.news.notified() => {}
                    () = deleted(&mut deletions) => {}
                },
            }
        };
        tokio::select! {
            () = context.stop.cancelled() => {}
            () = context.idle(waits) => {}
        }
    }
    dispatcher.store_cursor().await?;
    Ok(())
}

/// How far events were dealt with.
enum Reached {
    All,
    /// One commit holds no more.
    Upto(u64),
    /// A pair was deleted meanwhile: once more without it.
    Nothing,
}

struct Dispatcher {
    registry: Arc<Registry>,
    config: Arc<ForwardConfig>,
    /// The last event that is dealt with.
    cursor: u64,
    /// The cursor as it is stored.
    stored: u64,
    /// Whether there may be pairs of sessions that are gone.
    orphans: bool,
}

impl Dispatcher {
    async fn begin(&mut self, pairs: &Pairs) -> Result<(), PairError> {
        self.cursor = self.registry.store.cursor(CURSOR)?;
        self.stored = self.cursor;
        for id in self.registry.load().await? {
            pairs.start_worker(id).await?;
        }
        self.registry.go_on_if_met().await
    }

    /// Deals with the next events; false if there are none.
    async fn turn(&mut self) -> Result<bool, PairError> {
        for id in self.registry.take_quarantined() {
            let cause = "its worker failed again and again and was stopped";
            match self.registry.hold(id, "quarantined", cause).await {
                Ok(()) | Err(PairError::Unknown(_)) => {}
                Err(error) => {
                    self.registry.note_quarantine(id);
                    return Err(error);
                }
            }
        }
        if self.orphans {
            self.registry.hold_orphans().await?;
            self.orphans = false;
        }
        let events = self.registry.store.events(self.cursor, self.config.batch)?;
        let Some((last, _)) = events.last() else {
            return Ok(false);
        };
        let last = *last;
        let turning = events.iter().position(|(_, event)| turns(&event.body));
        if turning == Some(0) {
            self.turn_with(&events[0]).await?;
            return Ok(true);
        }
        let (events, last) = match turning {
            Some(at) => (&events[..at], events[at - 1].0),
            None => (&events[..], last),
        };
        let (plan, reached) = self.dispatch(events, None).await?;
        self.registry.go_on_with(events).await?;
        for session in &plan.back {
            self.registry.refresh();
            self.registry.account_is_back(*session).await?;
        }
        if plan.loops > 0 {
            metrics::counter!("trunkline_forwards_total", "outcome" => "loop").increment(plan.loops);
        }
        self.cursor = match reached {
            Reached::All => last,
            Reached::Upto(seq) => seq,
            Reached::Nothing => self.cursor,
        };
        if self.cursor.saturating_sub(self.stored) >= UNCONCERNED {
            self.store_cursor().await?;
        }
        Ok(true)
    }

    /// Pairs change with an event; all before it is planned and committed.
    async fn turn_with(&mut self, turning: &(u64, Arc<Event>)) -> Result<(), PairError> {
        let (seq, event) = turning;
        if let Some(session) = event.session {
            match self.registry.turn_with(session, &event.body).await {
                // A pair was deleted meanwhile: once more without it.
                Err(PairError::Store(error)) if is_gone(&error) => {
                    self.registry.load().await?;
                    return Ok(());
                }
                done => done?,
            }
            // The pairs are changed and the cursor is not: what follows is done again after a crash.
            if let EventBody::ChatMigrated { from, to } = event.body
                && self.registry.has_moved(session, from, to)
            {
                self.dispatch_early(session, to, turning).await?;
            }
        }
        self.cursor = *seq;
        self.store_cursor().await?;
        Ok(())
    }

    /// Deals with what was told of a supergroup before it was told that a group had become it: they are told in
    /// sequences of their own, and no pair knew it then. What was dealt with already is known by its rows.
    async fn dispatch_early(
        &mut self,
        session: SessionId,
        to: ChatId,
        (seq, turning): &(u64, Arc<Event>),
    ) -> Result<(), PairError> {
        let since = turning.at.minus(EARLY);
        let mut early = Vec::new();
        let mut end = *seq;
        while end > 0 {
            let begin = end.saturating_sub(PAGE);
            let page = self
                .registry
                .store
                .events(begin, usize::try_from(end - begin).unwrap_or(0))?;
            let of_it = |(number, event): &(u64, Arc<Event>)| {
                *number < *seq && event.session == Some(session) && event.body.chat() == Some(to)
            };
            let found: Vec<_> = page.iter().filter(|event| of_it(event)).cloned().collect();
            early.splice(0..0, found);
            if page.first().is_none_or(|(_, event)| event.at < since) {
                break;
            }
            end = begin;
        }
        let mut rest = &early[..];
        while !rest.is_empty() {
            rest = match self.dispatch(rest, Some(self.cursor)).await?.1 {
                Reached::All => &[],
                Reached::Upto(seq) => &rest[rest.partition_point(|(number, _)| *number <= seq)..],
                Reached::Nothing => rest,
            };
        }
        Ok(())
    }

    /// Plans and commits, with the cursor at the last of these events, or at another.
    async fn dispatch(
        &mut self,
        events: &[(u64, Arc<Event>)],
        cursor: Option<u64>,
    ) -> Result<(Plan, Reached), PairError> {
        let routes = self.registry.routes();
        let mut view = StoreView {
            registry: &self.registry,
            holds: HashMap::new(),
        };
        let mut planner = Planner {
            view: &mut view,
            routes: &routes,
            now: Timestamp::now(),
            life: self.registry.life,
            album_window: *self.config.album_window,
            plan: Plan::default(),
        };
        let mut reached = Reached::All;
        for (seq, event) in events {
            planner.event(*seq, event)?;
            if planner.plan.tasks.len() + planner.plan.rows.len() >= CHANGES {
                reached = Reached::Upto(*seq);
                break;
            }
        }
        let plan = planner.plan;
        if !plan.is_empty() {
            let last = match reached {
                Reached::Upto(seq) => Some(seq),
                _ => events.last().map(|(seq, _)| *seq),
            };
            let seq = cursor.or(last).unwrap_or(self.cursor);
            fault_point!("forward.dispatch.before");
            let stored = self.registry.store.commit(batch(&plan, &view.holds, seq)).await;
            fault_point!("forward.dispatch.after");
            match stored {
                Ok(_) => self.stored = seq,
                // A pair was deleted meanwhile: plan again without it.
                Err(error) if is_gone(&error) => {
                    drop(view);
                    self.registry.load().await?;
                    return Ok((Plan::default(), Reached::Nothing));
                }
                Err(error) => return Err(error.into()),
            }
            drop(view);
            for desk in plan.pairs.iter().filter_map(|id| self.registry.desk(*id)) {
                desk.wake();
            }
        }
        Ok((plan, reached))
    }

    async fn store_cursor(&mut self) -> Result<(), StoreError> {
        if self.cursor > self.stored {
            let mut batch = Batch::new();
            batch.set_cursor(CURSOR, self.cursor);
            self.registry.store.commit(batch).await?;
            self.stored = self.cursor;
        }
        Ok(())
    }
}

fn batch(plan: &Plan, holds: &HashMap<TaskId, (TaskKey, Hold)>, seq: u64) -> Batch {
    let mut batch = Batch::new();
    for pair in &plan.pairs {
        batch.require::<PairsTable>(pair, |row| row.is_some());
    }
    for (id, draft) in &plan.tasks {
        match holds.get(id) {
            Some((key, _)) if draft.cancelled => {
                batch.complete(key);
            }
            Some((key, _)) => {
                batch.amend(key, &draft.job).reschedule(key, draft.due, 0, None);
            }
            None if draft.fresh && !draft.cancelled => {
                let lane = lane(draft.pair);
                let draft = TaskDraft {
                    id: *id,
                    due: draft.due,
                    payload: &draft.job,
                };
                batch.enqueue(lane, &draft);
            }
            None => {}
        }
    }
    for ((pair, chat, message), row) in &plan.rows {
        batch.put::<MapTable>(&(*pair, *chat, *message, 0), row);
    }
    for (key, task) in &plan.albums {
        match task {
            Some(task) => batch.put::<AlbumsTable>(key, task),
            None => batch.remove::<AlbumsTable>(key),
        };
    }
    batch.set_cursor(CURSOR, seq);
    batch
}

/// What the planner sees: the store, and what the workers are doing.
struct StoreView<'a> {
    registry: &'a Registry,
    /// The waiting tasks that the plan may change.
    holds: HashMap<TaskId, (TaskKey, Hold)>,
}

impl View for StoreView<'_> {
    type Error = StoreError;

    fn row(&mut self, pair: PairId, chat: ChatId, message: MessageId) -> Result<Option<MapRow>, StoreError> {
        self.registry.store.get::<MapTable>(&(pair, chat, message, 0))
    }

    fn album(&mut self, pair: PairId, chat: ChatId, album: i64) -> Result<Option<TaskId>, StoreError> {
        self.registry.store.get::<AlbumsTable>(&(pair, chat, album))
    }

    fn is_busy(&mut self, pair: PairId) -> bool {
        let lane = lane(pair);
        self.registry.store.group_stats(lane.kind, lane.group).depth > 0
    }

    fn waits(&mut self, pair: PairId, task: TaskId) -> Result<Waits, StoreError> {
        let store = &self.registry.store;
        let Some(key) = store.task_place(task)? else {
            return Ok(Waits::No);
        };
        let hold = match self.holds.remove(&task) {
            Some((_, hold)) => Some(hold),
            None => self.registry.desk(pair).and_then(|desk| desk.hold(task)),
        };
        let Some(hold) = hold else {
            return Ok(Waits::Tried);
        };
        let Some(found) = store.task::<super::job::Job>(&key)? else {
            return Ok(Waits::No);
        };
        let job = found.payload;
        let earlier_life = job.life != self.registry.life && job.ready <= Timestamp::now();
        if found.attempts > 0 || job.tried.is_some() || earlier_life {
            return Ok(Waits::Tried);
        }
        self.holds.insert(task, (key, hold));
        Ok(Waits::Free(Box::new(job)))
    }

    fn origins(&mut self, session: SessionId, message: &Message) -> Result<Vec<Node>, StoreError> {
        origins(self.registry, session, message)
    }
}

/// Whether a pair is gone that a plan counted on: it was deleted, or its row was moved aside as damaged.
fn is_gone(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Conflict { .. } | StoreError::BadRow { table: "pairs", .. }
    )
}
