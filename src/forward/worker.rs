//! A pair's worker: tries the tasks of one lane, one after the other, in order.
//!
//! It owns nothing that matters: tasks, map and counters are in the store, what it shares with the
//! dispatcher is on the desk. A send is awaited before the next begins; only its commit (map, task,
//! counters together) may still be on its way, up to a window. If such a commit fails, the task is
//! still in its lane and is tried again under the same name.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;

use super::config::ForwardConfig;
use super::courier::Trouble;
use super::desk::{Claim, Desk};
use super::job::{Job, Work};
use super::map::{MapRow, MapTable, StatsTable};
use super::pair::{PairRow, PairState, PairStats};
use super::registry::Registry;
use super::trial::{Done, End, Trial};
use super::verdict::pause;
use crate::base::fault::fault_point;
use crate::base::{Code, PairId, TaskId, Timestamp};
use crate::model::{ChatId, Message, MessageId};
use crate::runtime::TaskContext;
use crate::store::{Batch, DeadReason, LaneKind, StoreError, Task};

/// How many tasks are read at a time.
const READ: usize = 64;
/// From this failed try on, a task that is tried again is warned of.
const WARNED: u32 = 3;
/// How often a worker without work looks for itself.
const LOOK: Duration = Duration::from_secs(2);
/// A pause that is longer is written into the store.
const SHOWN: Duration = Duration::from_secs(5);
/// A clock that is put back by more than this was wrong before.
const CLOCK_SET: Duration = Duration::from_secs(3600);
/// How often the clock is looked at while nothing is due.
const CLOCK_LOOK: Duration = Duration::from_secs(30);
/// The pause after the store failed.
const STORE_AWAY: Duration = Duration::from_millis(500);
/// The longest pause between looks whether a session is back.
const AWAIT_MAX: Duration = Duration::from_secs(5);
/// How long a send that is under way may still take when the daemon stops.
const GRACE: Duration = Duration::from_secs(3);

/// A commit on its way: the task, the rows it makes known, and whether it was kept.
type Settling = BoxFuture<'static, (TaskId, Vec<(ChatId, MessageId)>, Result<(), StoreError>)>;

pub(super) struct Worker {
    pub(super) registry: Arc<Registry>,
    pub(super) config: Arc<ForwardConfig>,
    pub(super) desk: Arc<Desk>,
    pub(super) context: TaskContext,
    pair: PairId,
    /// Tasks that were read and not tried yet, at this revision of the lane.
    queue: VecDeque<Task<Job>>,
    revision: u64,
    /// Nothing is tried before.
    not_before: Timestamp,
    /// The clock as it was last, and by how much it was put back since the worker began.
    clock: (std::time::Instant, Timestamp),
    put_back_by: Duration,
    /// How often in a row the session was away.
    awaited: u32,
    settling: FuturesOrdered<Settling>,
    /// What commits on their way say of the map.
    fresh: HashMap<(ChatId, MessageId), MapRow>,
    stats: PairStats,
    broken: bool,
    /// When it began, and how many of the first tasks its predecessor may have been trying then.
    pub(super) began: Timestamp,
    pub(super) suspects: usize,
    /// Since when a task's message is not to be found, though Telegram says it has it.
    pub(super) unseen: Option<(TaskId, Timestamp)>,
    /// The destination's messages since a time, as they were read for the suspects.
    pub(super) recent: Option<(Timestamp, Vec<Message>)>,
}

pub(super) async fn run(
    registry: Arc<Registry>,
    config: Arc<ForwardConfig>,
    id: PairId,
    context: TaskContext,
) -> Result<(), StoreError> {
    let Some(desk) = registry.desk(id) else {
        // Deleted before it began: whoever deleted it ends this child.
        context.stop.cancelled().await;
        return Ok(());
    };
    let mut worker = Worker {
        revision: desk.begin(),
        stats: desk.stats(),
        suspects: config.window + 1,
        registry,
        config,
        desk,
        context,
        pair: id,
        queue: VecDeque::new(),
        not_before: Timestamp(0),
        clock: (std::time::Instant::now(), Timestamp::now()),
        put_back_by: Duration::ZERO,
        awaited: 0,
        settling: FuturesOrdered::new(),
        fresh: HashMap::new(),
        broken: false,
        began: Timestamp::now(),
        unseen: None,
        recent: None,
    };
    let mut pair = worker.desk.pair();
    while !worker.context.stop.is_cancelled() {
        worker.context.alive();
        let row = pair.borrow_and_update().clone();
        if worker.broken {
            worker.recover().await;
        } else if row.state != PairState::Running {
            worker.queue.clear();
            worker.rest(LOOK * 30, Some(&mut pair)).await;
        } else if let Err(error) = worker.turn(&row).await {
            tracing::warn!(pair = %id, %error, "a pair waits for the store");
            worker.broken = true;
        }
    }
    worker.settle_all().await;
    Ok(())
}

impl Worker {
    /// Tries the next task, or waits for one.
    async fn turn(&mut self, pair: &Arc<PairRow>) -> Result<(), StoreError> {
        if self.revision != self.desk.revision() {
            self.queue.clear();
        }
        if self.queue.is_empty() {
            self.read()?;
        }
        let now = Timestamp::now();
        let head = self.queue.front();
        let Some((id, due)) = head.map(|task| (task.id, task.due.max(self.not_before))) else {
            self.rest(LOOK, None).await;
            return Ok(());
        };
        let due = self.by_the_clock(due);
        if due > now {
            // The clock may be set right meanwhile.
            self.rest(due.since(now).min(CLOCK_LOOK), None).await;
            return Ok(());
        }
        if self.settling.len() >= self.config.window {
            self.settle_one().await;
            return Ok(());
        }
        match self.desk.claim(id, self.revision, now) {
            Claim::Granted(first) => {
                if let Some(task) = self.queue.pop_front() {
                    self.try_task(pair, task, first).await?;
                }
            }
            Claim::Stale => self.queue.clear(),
            Claim::Changing => self.rest(LOOK, None).await,
        }
        Ok(())
    }

    /// Reads the head of the lane, without what is on its way.
    fn read(&mut self) -> Result<(), StoreError> {
        self.revision = self.desk.revision();
        let group = self.pair.to_bytes();
        let limit = READ + self.settling.len();
        let tasks = self
            .registry
            .store
            .tasks(LaneKind::Forward, Some(group), None, limit)?;
        self.queue = tasks
            .into_iter()
            .filter(|task| !self.desk.is_flying(task.id))
            .collect();
        Ok(())
    }

    async fn try_task(
        &mut self,
        pair: &Arc<PairRow>,
        task: Task<Job>,
        first: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let restored = self.registry.store.restored_at()?;
        let stop = self.context.stop.clone();
        let mut settling = std::mem::take(&mut self.settling);
        let mut landed = Vec::new();
        let end = {
            let trial = Trial::new(self, pair, &task, first, restored).run();
            let stopped = async {
                stop.cancelled().await;
                tokio::time::sleep(GRACE).await;
            };
            tokio::pin!(trial, stopped);
            loop {
                tokio::select! {
                    end = &mut trial => break Some(end),
                    Some(done) = settling.next() => landed.push(done),
                    // It stays in its lane, and is tried again under the same name.
                    () = &mut stopped => break None,
                }
            }
        };
        self.settling = settling;
        for done in landed {
            self.landed(done);
        }
        match end {
            Some(end) => self.conclude(pair, task, first, end?).await,
            None => {
                self.desk.release(task.id);
                Ok(())
            }
        }
    }

    /// What a try leads to.
    async fn conclude(
        &mut self,
        pair: &Arc<PairRow>,
        task: Task<Job>,
        first: Option<Timestamp>,
        end: End,
    ) -> Result<(), StoreError> {
        let known = first.or(task.payload.tried);
        let nothing_was_done = matches!(
            end,
            End::Snooze(..) | End::Await(_) | End::Hold(..) | End::Halt(..)
        );
        let untried = known.is_none() && nothing_was_done;
        if !matches!(end, End::Await(_)) {
            self.awaited = 0;
        }
        match end {
            End::Done(done) => {
                self.count(&done, task.payload.seen);
                let mut batch = done.batch;
                batch.complete(&task.key);
                self.leave(task.id, batch, done.rows).await;
            }
            End::Rest(done, rest, trouble) => self.keep_rest(task, done, rest, trouble).await?,
            End::Discard(code, reason) => {
                self.stats.failed += 1;
                metrics::counter!("trunkline_forwards_total", "outcome" => "discarded").increment(1);
                tracing::warn!(pair = %self.pair, task = %task.id, code = code.as_str(), reason, "a task was discarded");
                let mut batch = Batch::new();
                self.mark_tried(&mut batch, &task);
                batch.dead_letter(
                    &task.key,
                    DeadReason {
                        code: code.as_str().to_owned(),
                        reason,
                        subject: self.pair.to_string(),
                    },
                );
                self.leave(task.id, batch, Vec::new()).await;
            }
            End::Snooze(until, why) => self.wait(task, untried, until, &why).await?,
            End::Await(why) => {
                self.awaited += 1;
                let first = (*self.config.retry_first).min(AWAIT_MAX);
                let pause = pause(first, AWAIT_MAX, self.awaited, rand::random());
                tracing::debug!(pair = %self.pair, why, "a pair waits for its session");
                self.wait(task, untried, Timestamp::now().plus(pause), &why)
                    .await?;
            }
            End::Retry(code, why) => self.retry(task, code, why).await?,
            End::Hold(reason, cause) => {
                self.put_back(task, untried);
                tracing::warn!(pair = %self.pair, reason, cause, "a pair stops itself");
                metrics::counter!("trunkline_forwards_total", "outcome" => "held").increment(1);
                self.stop_pair(self.registry.hold_there(pair, reason, &cause).await);
            }
            End::Halt(reason, cause) => {
                self.put_back(task, untried);
                let session = pair.destination.session;
                tracing::warn!(%session, reason, cause, "the pairs of an account stop");
                metrics::counter!("trunkline_forwards_total", "outcome" => "held").increment(1);
                self.stop_pair(self.registry.halt(session, reason, &cause).await);
            }
        }
        Ok(())
    }

    fn count(&mut self, done: &Done, seen: Timestamp) {
        self.stats.forwarded += done.forwarded;
        self.stats.edited += done.edited;
        self.stats.deleted += done.deleted;
        self.stats.skipped += done.skipped;
        self.stats.last_at = Some(Timestamp::now());
        for (outcome, count) in [
            ("forwarded", done.forwarded),
            ("edited", done.edited),
            ("deleted", done.deleted),
            ("skipped", done.skipped),
            ("loop", done.loops),
        ] {
            if count > 0 {
                metrics::counter!("trunkline_forwards_total", "outcome" => outcome).increment(count);
            }
        }
        if done.forwarded > 0 {
            let took = Timestamp::now().since(seen);
            metrics::histogram!("trunkline_forward_seconds").record(took.as_secs_f64());
        }
    }

    /// What is settled is stored together with what the task still has to do, in its place in the lane.
    async fn keep_rest(
        &mut self,
        mut task: Task<Job>,
        done: Done,
        rest: Vec<Message>,
        trouble: Trouble,
    ) -> Result<(), StoreError> {
        self.count(&done, task.payload.seen);
        let mut batch = done.batch;
        task.payload.work = Work::Copy { parts: rest };
        task.payload.tried = task.payload.tried.or(Some(Timestamp::now()));
        batch.amend(&task.key, &task.payload);
        batch.put::<StatsTable>(&self.pair, &self.stats);
        self.store_now(batch).await?;
        self.desk.set_stats(self.stats.clone());
        self.retry(task, trouble.code, trouble.text).await
    }

    fn stop_pair(&mut self, stopped: Result<(), super::error::PairError>) {
        match stopped {
            Ok(()) | Err(super::error::PairError::Unknown(_)) => {}
            Err(error) => {
                tracing::warn!(pair = %self.pair, %error, "a pair could not be stopped");
                self.broken = true;
            }
        }
    }

    async fn retry(&mut self, task: Task<Job>, code: Code, why: String) -> Result<(), StoreError> {
        let attempts = task.attempts + 1;
        if attempts >= self.config.attempts {
            return Box::pin(self.give_up(task, code, why)).await;
        }
        metrics::counter!("trunkline_forwards_total", "outcome" => "retried").increment(1);
        let pause = pause(
            *self.config.retry_first,
            *self.config.retry_max,
            attempts,
            rand::random(),
        );
        if attempts >= WARNED {
            tracing::warn!(pair = %self.pair, task = %task.id, attempts, code = code.as_str(), why, "a task is tried again and again");
        }
        let mut batch = Batch::new();
        self.mark_tried(&mut batch, &task);
        batch.reschedule(&task.key, Timestamp::now().plus(pause), attempts, Some(why));
        self.store_now(batch).await?;
        self.desk.release(task.id);
        self.queue.clear();
        Ok(())
    }

    async fn give_up(&mut self, mut task: Task<Job>, code: Code, why: String) -> Result<(), StoreError> {
        task.attempts += 1;
        let mut batch = Batch::new();
        batch.reschedule(&task.key, task.due, task.attempts, Some(why.clone()));
        self.store_now(batch).await?;
        self.stats.failed += 1;
        metrics::counter!("trunkline_forwards_total", "outcome" => "discarded").increment(1);
        tracing::warn!(pair = %self.pair, task = %task.id, attempts = task.attempts, why, "a task was given up");
        let mut batch = Batch::new();
        self.mark_tried(&mut batch, &task);
        batch.dead_letter(
            &task.key,
            DeadReason {
                code: code.as_str().to_owned(),
                reason: why,
                subject: self.pair.to_string(),
            },
        );
        self.leave(task.id, batch, Vec::new()).await;
        Ok(())
    }

    /// A task says from now on that it was tried, also after a restart.
    fn mark_tried(&self, batch: &mut Batch, task: &Task<Job>) {
        if task.payload.tried.is_none() {
            let mut job = task.payload.clone();
            job.tried = Some(Timestamp::now());
            batch.amend(&task.key, &job);
        }
    }

    /// The lane waits; no attempt is counted. A pause that somebody might wonder about is written down: each that is
    /// long, and of short ones that follow each other for one reason the first.
    async fn wait(
        &mut self,
        mut task: Task<Job>,
        untried: bool,
        until: Timestamp,
        why: &str,
    ) -> Result<(), StoreError> {
        let is_news = task.last_error.as_deref() != Some(why);
        if is_news || until.since(Timestamp::now()) > SHOWN {
            task.last_error = Some(why.to_owned());
            let mut batch = Batch::new();
            batch.reschedule(&task.key, until, task.attempts, task.last_error.clone());
            self.store_now(batch).await?;
        }
        self.not_before = until;
        self.put_back(task, untried);
        Ok(())
    }

    /// When something is due that was put off, perhaps before the clock was set right: a year ahead is no time to wait.
    fn by_the_clock(&mut self, due: Timestamp) -> Timestamp {
        let now = Timestamp::now();
        let (then, seen) = std::mem::replace(&mut self.clock, (std::time::Instant::now(), now));
        let back = seen.plus(then.elapsed()).since(now);
        if back > CLOCK_SET {
            self.put_back_by += back;
        }
        match self.put_back_by > CLOCK_SET && due.since(now) > self.put_back_by / 2 {
            true => due.minus(self.put_back_by),
            false => due,
        }
    }

    fn put_back(&mut self, task: Task<Job>, untried: bool) {
        if untried {
            self.desk.release_untried(task.id);
        } else {
            self.desk.release(task.id);
        }
        self.queue.push_front(task);
    }

    /// The task has left its lane as soon as this is stored; the next need not wait for that.
    async fn leave(&mut self, task: TaskId, mut batch: Batch, rows: Vec<((ChatId, MessageId), MapRow)>) {
        batch.put::<StatsTable>(&self.pair, &self.stats);
        self.desk.set_stats(self.stats.clone());
        let keys: Vec<_> = rows.iter().map(|(key, _)| *key).collect();
        self.fresh.extend(rows);
        let store = self.registry.store.clone();
        let mut commit: Settling = Box::pin(async move { (task, keys, store.commit(batch).await.map(drop)) });
        fault_point!("forward.commit.before");
        // The first poll hands it to the committer, so that commits keep their order.
        match futures_util::poll!(&mut commit) {
            std::task::Poll::Ready(done) => self.landed(done),
            std::task::Poll::Pending => self.settling.push_back(commit),
        }
    }

    fn landed(&mut self, (task, keys, stored): (TaskId, Vec<(ChatId, MessageId)>, Result<(), StoreError>)) {
        match stored {
            Ok(()) => {
                fault_point!("forward.commit.after");
                self.desk.settle(task);
                for key in keys {
                    self.fresh.remove(&key);
                }
            }
            Err(error) => {
                tracing::warn!(pair = %self.pair, %task, %error, "what a send answered was not stored");
                self.broken = true;
            }
        }
    }

    async fn settle_one(&mut self) {
        if let Some(done) = self.settling.next().await {
            self.landed(done);
        }
    }

    async fn settle_all(&mut self) {
        while let Some(done) = self.settling.next().await {
            self.landed(done);
        }
    }

    /// The store failed: whatever was on its way is read again once it is back. What was sent and not
    /// stored is sent again under its name.
    async fn recover(&mut self) {
        self.settle_all().await;
        self.queue.clear();
        self.fresh.clear();
        self.suspects = self.config.window + 1;
        self.recent = None;
        self.began = Timestamp::now();
        self.rest(STORE_AWAY, None).await;
        if let Ok(stats) = self.registry.store.get::<StatsTable>(&self.pair) {
            self.stats = stats.unwrap_or_default();
            self.desk.set_stats(self.stats.clone());
            self.revision = self.desk.begin();
            self.broken = false;
        }
    }

    async fn store_now(&mut self, batch: Batch) -> Result<(), StoreError> {
        self.registry.store.commit(batch).await.map(drop)
    }

    /// Waits for word, for a commit on its way, or for so long.
    async fn rest(&mut self, span: Duration, pair: Option<&mut tokio::sync::watch::Receiver<Arc<PairRow>>>) {
        let changed = async {
            match pair {
                // The desk keeps the other end as long as this worker has it.
                Some(pair) => drop(pair.changed().await),
                None => std::future::pending().await,
            }
        };
        let (desk, settling) = (self.desk.clone(), &mut self.settling);
        let waits = async {
            tokio::select! {
                () = self.context.stop.cancelled() => None,
                () = desk.work() => None,
                () = changed => None,
                () = tokio::time::sleep(span) => None,
                Some(done) = settling.next() => Some(done),
            }
        };
        if let Some(done) = self.context.idle(waits).await {
            self.landed(done);
        }
    }

    /// What became of a source message, as far as it is known by now.
    pub(super) fn row(&self, chat: ChatId, message: MessageId) -> Result<Option<MapRow>, StoreError> {
        match self.fresh.get(&(chat, message)) {
            Some(row) => Ok(Some(*row)),
            None => self
                .registry
                .store
                .get::<MapTable>(&(self.pair, chat, message, 0)),
        }
    }

    /// Whether a commit on its way says that this is a copy.
    pub(super) fn is_fresh_copy(&self, chat: ChatId, message: MessageId) -> bool {
        self.fresh
            .values()
            .filter_map(|row| row.copied())
            .any(|copied| copied.chat == chat && copied.message == message)
    }
}
