//! The committer: the one thread that writes. It gathers units, applies them as one batch, makes them
//! durable, and only then answers.
//!
//! A group is all or nothing on disk; a unit that is refused (precondition, limit, damaged row) leaves no trace in
//! its group. After an I/O error nothing more is written: the thread ends, all who wait hear
//! [`StoreError::Unavailable`], and its successor opens the database anew (see `start`). It does not promise that a
//! commit answered with `Unavailable` was not stored.

use std::fs::File;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, atomic::Ordering};
use std::time::{Duration, Instant};

use sled::IVec;
use tokio::sync::oneshot;

use super::apply::{Committed, Desk, Meta, ROWS_LIMIT, Trimmed};
use super::batch::Op;
use super::config::SyncMode;
use super::error::StoreError;
use super::export::{Exports, Order};
use super::journal::event_key;
use super::lane::{LaneKind, TaskKey};
use super::ledger::Ledger;
use super::open::{meta_key, sled_fault, sled_folder};
use super::quarantine;
use super::read::{Live, guarded};
use super::row::{self, Packed};
use super::{Shared, catalog};
use crate::base::Timestamp;
use crate::base::fault::fault_point;

/// The most units in a group.
const GROUP_UNITS: usize = 128;
/// No further unit joins a group that has this many changes.
const GROUP_OPS: usize = 1024;
/// How many old events one group forgets besides its own work; twice what it appends, if that is more.
const TRIM_STEP: u64 = 32;
/// The same where nothing else waits.
const TRIM_STEP_ALONE: u64 = 512;
/// How often the committer looks after itself.
const TICK: Duration = Duration::from_secs(1);
/// How often the ledger is written.
const LEDGER_EVERY: Duration = Duration::from_secs(2);
/// Where so many units wait at once, more are on their way.
const CROWD: usize = 3;
/// How long a crowd waits for more units: a sync costs as much for one as for many.
const LINGER: Duration = Duration::from_millis(1);
/// After how many groups sled's garbage is pushed out.
const GROUPS_A_COLLECTION: u64 = 64;

/// What the committer is asked.
pub(super) enum Job {
    Commit(Unit),
    Quarantine {
        key: Vec<u8>,
        row: IVec,
        reason: &'static str,
    },
    Export(Order),
    /// A reader met this trouble of the disk.
    Refused(StoreError),
    Close,
}

/// A batch with whoever waits for it.
pub(super) struct Unit {
    pub ops: Vec<Op>,
    pub since: Instant,
    pub reply: oneshot::Sender<Result<Committed, StoreError>>,
}

/// The committer's state.
pub(super) struct Committer {
    shared: Arc<Shared>,
    live: Arc<Live>,
    inbox: Receiver<Job>,
    /// The database's file, for syncs of our own.
    file: File,
    meta: Meta,
    /// The oldest event that is kept, and how many are.
    oldest: u64,
    events: u64,
    /// Whether names of events are kept that are gone.
    nameless: bool,
    trimming: Option<Trim>,
    ledger: Ledger,
    /// What stands in it.
    noted: Meta,
    noted_at: Instant,
    ticked_at: Instant,
    groups: u64,
    held: Option<Unit>,
    exports: Exports,
}

/// The clock was never right before this: 2026-11-01.
const BUILT: Timestamp = Timestamp(1_793_491_200_000);

/// Which events are to go.
#[derive(Clone, Copy)]
struct Trim {
    before: Timestamp,
    /// None of ours can be newer: the clock was ahead when such a one came, and nothing must wait until it is there.
    after: Timestamp,
    last: u64,
}

impl Trim {
    fn is_old(&self, at: Timestamp) -> bool {
        // By a clock that is behind this build all would be of the future.
        at < self.before || at > self.after && self.after > BUILT
    }
}

/// After such an error nothing more is written; any other one is an answer to whoever asked.
pub(super) fn ends(error: &StoreError) -> bool {
    error.is_of_disk() || matches!(error, StoreError::Unavailable { .. })
}

impl Committer {
    pub fn new(
        shared: Arc<Shared>,
        live: Arc<Live>,
        inbox: Receiver<Job>,
        meta: Meta,
        (oldest, events): (u64, u64),
    ) -> Result<Self, StoreError> {
        let path = sled_folder(&shared.config.folder).join("db");
        let file = File::options()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(StoreError::file("open", path))?;
        let ledger = Ledger::open(&shared.config.folder)?;
        Ok(Self {
            shared,
            live,
            inbox,
            file,
            meta,
            oldest,
            events,
            nameless: false,
            trimming: None,
            ledger,
            noted: Meta::default(),
            noted_at: Instant::now(),
            ticked_at: Instant::now(),
            groups: 0,
            held: None,
            exports: Exports::default(),
        })
    }

    /// Works until it is told to close or cannot go on.
    pub fn run(&mut self) -> Result<(), StoreError> {
        loop {
            let wait = match self.held.is_some() || self.trimming.is_some() {
                true => Duration::ZERO,
                false => self.exports.pause().unwrap_or(TICK),
            };
            let job = match self.held.take() {
                Some(unit) => Ok(Job::Commit(unit)),
                None => self.inbox.recv_timeout(wait),
            };
            match job {
                Ok(Job::Commit(unit)) => {
                    let mut others = Vec::new();
                    let group = self.gather(unit, &mut others);
                    self.group(group)?;
                    for job in others {
                        if self.other(job)? {
                            return self.close();
                        }
                    }
                }
                Ok(job) => {
                    if self.other(job)? {
                        return self.close();
                    }
                }
                Err(RecvTimeoutError::Timeout) if self.trimming.is_some() => self.group(Vec::new())?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.close(),
            }
            if self.exports.pause().is_some() {
                self.exports.slice(&self.live.tree, self.meta.generation)?;
            }
            if self.ticked_at.elapsed() >= TICK {
                self.ticked_at = Instant::now();
                match guarded(|| self.tick()) {
                    Err(StoreError::DamagedPage { what }) => self.shared.note_damage(&what),
                    ticked => ticked?,
                }
            }
        }
    }

    fn gather(&mut self, first: Unit, others: &mut Vec<Job>) -> Vec<Unit> {
        let mut ops = first.ops.len();
        let mut group = vec![first];
        let mut until = None;
        while group.len() < GROUP_UNITS && others.is_empty() {
            let next = self.inbox.try_recv().ok().or_else(|| {
                // Whoever is alone, or nearly so, does not wait for anybody.
                let crowd = group.len() >= CROWD;
                let until = crowd.then(|| *until.get_or_insert_with(|| Instant::now() + LINGER))?;
                let left = until.saturating_duration_since(Instant::now());
                self.inbox.recv_timeout(left).ok()
            });
            match next {
                Some(Job::Commit(unit)) if ops + unit.ops.len() > GROUP_OPS => {
                    self.held = Some(unit);
                    break;
                }
                Some(Job::Commit(unit)) => {
                    ops += unit.ops.len();
                    group.push(unit);
                }
                Some(job) => others.push(job),
                None => break,
            }
        }
        group
    }

    /// Whether to close.
    fn other(&mut self, job: Job) -> Result<bool, StoreError> {
        match job {
            Job::Commit(unit) => self.group(vec![unit]).map(|()| false),
            Job::Quarantine { key, row, reason } => self.quarantine(key, row, reason).map(|()| false),
            Job::Export(order) => {
                self.exports.push(order);
                Ok(false)
            }
            // As if a write had been refused: the database is opened anew once the disk is well.
            Job::Refused(error) => Err(error),
            Job::Close => Ok(true),
        }
    }

    fn group(&mut self, units: Vec<Unit>) -> Result<(), StoreError> {
        let (live, shared) = (self.live.clone(), self.shared.clone());
        let mut desk = Desk::new(&live, &shared.gauges, self.meta, shared.now());
        let mut answers = Vec::with_capacity(units.len());
        for unit in units {
            match desk.unit(unit.ops) {
                Err(error) if ends(&error) => return Err(error),
                Err(StoreError::DamagedPage { what }) => {
                    shared.note_damage(&what);
                    answers.push((unit.reply, unit.since, Err(StoreError::DamagedPage { what })));
                }
                answer => answers.push((unit.reply, unit.since, answer)),
            }
        }
        if !answers.is_empty() {
            metrics::histogram!("trunkline_store_group_units").record(answers.len() as f64);
        }
        self.trim(&mut desk, answers.is_empty())?;
        self.apply(desk)?;
        for (reply, since, answer) in answers {
            metrics::histogram!("trunkline_store_commit_seconds").record(since.elapsed().as_secs_f64());
            // Whoever asked may have gone; the commit stands.
            drop(reply.send(answer));
        }
        Ok(())
    }

    /// Makes what is on the desk durable and known.
    fn apply(&mut self, mut desk: Desk<'_>) -> Result<(), StoreError> {
        let bad = std::mem::take(&mut desk.bad);
        if desk.stage.changes().next().is_some() {
            desk.meta.generation += 1;
            let own = i64::from(self.meta.generation == 0);
            desk.meta.rows = desk.meta.rows.saturating_add_signed(desk.stage.growth() + own);
            desk.meta.at = Some(desk.now());
            // Without a sum until the database is opened anew, if a damaged row goes.
            let known = desk.meta.sum.zip(desk.stage.difference());
            desk.meta.sum = known.map(|(sum, by)| sum.wrapping_add(by));
            let meta = rmp_serde::to_vec_named(&desk.meta).map_err(|source| StoreError::Encode {
                table: catalog::META.name,
                source,
            })?;
            desk.write(&catalog::META, meta_key(), Packed::new(meta))?;
            self.exports.note(&desk.stage);
            self.live
                .tree
                .apply_batch(desk.stage.batch())
                .map_err(sled_fault)?;
            self.live.held.forget(desk.stage.changes().map(|(key, ..)| key));
            self.sync()?;
            self.events += desk.meta.seq - self.meta.seq;
            self.meta = desk.meta;
            self.publish(desk);
        }
        for (key, row) in bad {
            self.quarantine(key, row, "it failed its checksum")?;
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        let begun = Instant::now();
        self.shared.syncs.begin();
        fault_point!("store.flush.before");
        let synced = self.synced();
        if self.shared.syncs.end() {
            tracing::warn!(took_ms = begun.elapsed().as_millis(), "the disk is slow to sync");
        }
        metrics::histogram!("trunkline_store_sync_seconds").record(begun.elapsed().as_secs_f64());
        synced?;
        fault_point!("store.flush.after");
        self.groups += 1;
        if self.groups.is_multiple_of(GROUPS_A_COLLECTION) {
            sled::pin().flush();
        }
        Ok(())
    }

    fn synced(&self) -> Result<(), StoreError> {
        self.live.tree.flush().map_err(sled_fault)?;
        match self.shared.config.sync {
            SyncMode::Power => self.file.sync_data().map_err(|error| StoreError::disk(&error)),
            SyncMode::Process => Ok(()),
        }
    }

    fn publish(&self, desk: Desk<'_>) {
        for key in &desk.healed {
            self.live.quarantine.remove(key);
        }
        let mut touched = [false; LaneKind::ALL.len()];
        {
            let mut gauges = self.shared.gauges();
            for change in &desk.lanes {
                gauges.apply(change);
                touched[change.key.lane.kind.index()] = true;
            }
        }
        self.shared.number.store(self.meta.number, Ordering::Release);
        // Before anybody is told that they are there.
        self.live.recent.add(desk.appended);
        self.live.recent.forget_before(self.oldest);
        if *self.shared.head.borrow() != self.meta.seq {
            self.shared.head.send_replace(self.meta.seq);
        }
        for (signal, touched) in self.shared.signals.iter().zip(touched) {
            if touched {
                signal.send_modify(|count| *count += 1);
            }
        }
    }

    fn trim(&mut self, desk: &mut Desk<'_>, alone: bool) -> Result<(), StoreError> {
        let Some(trim) = self.trimming else { return Ok(()) };
        let appended = desk.meta.seq - self.meta.seq;
        let least = if alone { TRIM_STEP_ALONE } else { TRIM_STEP };
        for _ in 0..least.max(2 * appended) {
            if self.oldest > trim.last {
                self.trimming = None;
                break;
            }
            match guarded(|| desk.trim(self.oldest, |at| trim.is_old(at))) {
                Ok(Trimmed::Gone) => {
                    self.oldest += 1;
                    self.events = self.events.saturating_sub(1);
                }
                Ok(Trimmed::Missing) => {
                    self.oldest = Self::event_from(&self.live, self.oldest, desk.meta.seq)?
                }
                Ok(Trimmed::Kept) => {
                    self.trimming = None;
                    break;
                }
                Err(error) if ends(&error) => return Err(error),
                // It stays where it is, and those behind it need not.
                Err(error) => {
                    tracing::error!(seq = self.oldest, %error, "an old event cannot be forgotten");
                    if let StoreError::DamagedPage { what } = &error {
                        self.shared.note_damage(what);
                    }
                    self.oldest += 1;
                }
            }
        }
        self.nameless |= desk.nameless;
        Ok(())
    }

    /// Forgets the names of events that went unread: they were damaged, so nobody knew which names those are.
    fn forget_names(&mut self) -> Result<(), StoreError> {
        let (live, shared) = (self.live.clone(), self.shared.clone());
        let mut desk = Desk::new(&live, &shared.gauges, self.meta, shared.now());
        let mut gone = Vec::new();
        for row in live.tree.scan_prefix([catalog::KNOWN_EVENTS.prefix]) {
            let (key, row) = row.map_err(sled_fault)?;
            let opened = row::open(&catalog::KNOWN_EVENTS, &key, &row, None, |_| None);
            let seq = opened.ok().flatten().and_then(|seq| seq.try_into().ok());
            if seq.is_some_and(|seq| u64::from_be_bytes(seq) < self.oldest) {
                gone.push(key.to_vec());
            }
            if gone.len() == ROWS_LIMIT {
                break;
            }
        }
        self.nameless = gone.len() == ROWS_LIMIT;
        gone.into_iter().try_for_each(|key| desk.remove(key))?;
        self.apply(desk)
    }

    fn tick(&mut self) -> Result<(), StoreError> {
        sled::pin().flush();
        if self.noted_at.elapsed() >= LEDGER_EVERY {
            self.write_ledger()?;
        }
        let now = self.shared.now();
        let before = now.minus(self.shared.config.retention());
        let after = now.plus(self.shared.config.retention());
        self.trimming = self.slowest_cursor()?.map(|last| Trim { before, after, last });
        if self.nameless && self.trimming.is_none() {
            self.forget_names()?;
        }
        metrics::gauge!("trunkline_journal_length").set(self.events as f64);
        let gauges = self.shared.gauges();
        for kind in LaneKind::ALL {
            let stats = gauges.kind(kind);
            let age = stats.oldest.map_or(0.0, |oldest| now.since(oldest).as_secs_f64());
            metrics::gauge!("trunkline_lane_depth", "kind" => kind.as_str()).set(stats.depth as f64);
            metrics::gauge!("trunkline_lane_oldest_age_seconds", "kind" => kind.as_str()).set(age);
        }
        Ok(())
    }

    /// The last event that every consumer is done with; none if there is nothing to forget or a cursor is unreadable.
    fn slowest_cursor(&self) -> Result<Option<u64>, StoreError> {
        let mut slowest = self.meta.seq;
        for row in self.live.tree.scan_prefix([catalog::CURSORS.prefix]) {
            let (key, _) = row.map_err(sled_fault)?;
            let Some(seq) = quarantine::cursor_value(&self.live, &key)? else {
                return Ok(None);
            };
            slowest = slowest.min(seq);
        }
        if self.live.quarantine.has_cursor() {
            return Ok(None);
        }
        Ok((self.oldest <= slowest).then_some(slowest))
    }

    /// Moves a damaged row aside, if it is still as it was seen. Where that cannot be done it stays, and is told of.
    fn quarantine(&mut self, key: Vec<u8>, row: IVec, reason: &'static str) -> Result<(), StoreError> {
        match guarded(|| self.moved_aside(&key, &row, reason)) {
            Err(error) if ends(&error) => Err(error),
            Err(error) => {
                metrics::counter!("trunkline_store_rows_stuck_total").increment(1);
                let key = super::read::hex(&key);
                tracing::error!(%key, reason, %error, "a damaged row could not be moved aside");
                if let StoreError::DamagedPage { what } = &error {
                    self.shared.note_damage(what);
                }
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn moved_aside(&mut self, key: &[u8], row: &IVec, reason: &'static str) -> Result<(), StoreError> {
        let now = self.live.tree.get(key).map_err(sled_fault)?;
        if now.as_ref() != Some(row) || quarantine::is_sound(&self.live, key, row)? {
            return Ok(());
        }
        let (live, shared) = (self.live.clone(), self.shared.clone());
        let mut desk = Desk::new(&live, &shared.gauges, self.meta, shared.now());
        let table = quarantine::move_aside(&mut desk, key, reason)?;
        // Known before the row is gone: nobody may take it for one that never was.
        self.live.quarantine.insert(key.to_vec());
        self.apply(desk)?;
        metrics::counter!("trunkline_store_rows_quarantined_total", "table" => table).increment(1);
        tracing::error!(table, key = %super::read::hex(key), reason, "a damaged row was moved aside");
        match key.first() {
            Some(prefix) if *prefix == catalog::JOURNAL.prefix => self.events = self.events.saturating_sub(1),
            Some(prefix) if *prefix == catalog::TASKS.prefix => {
                if let Some(place) = TaskKey::of_row(key) {
                    self.shared.gauges().forget(&place);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Remembers beside the database how far it is.
    pub fn write_ledger(&mut self) -> Result<(), StoreError> {
        self.noted_at = Instant::now();
        if self.noted == self.meta && self.meta.generation > 0 {
            return Ok(());
        }
        self.shared.syncs.begin();
        let noted = self.note();
        if self.shared.syncs.end() {
            tracing::warn!("the disk is slow to sync the ledger");
        }
        self.noted = self.meta;
        noted
    }

    fn note(&mut self) -> Result<(), StoreError> {
        // The ledger must never be ahead.
        if self.shared.config.sync == SyncMode::Process {
            self.file.sync_data().map_err(|error| StoreError::disk(&error))?;
        }
        self.ledger
            .write(&self.meta)
            .map_err(|error| StoreError::disk(&error))
    }

    /// Notes that the disk may not have all that it was given: before the database is opened again it is written over itself.
    pub fn mark_unsynced(&self) {
        if let Err(error) = self.ledger.mark() {
            tracing::warn!(%error, "that the disk refused could not be noted beside the database");
        }
    }

    fn close(&mut self) -> Result<(), StoreError> {
        self.live.tree.flush().map_err(sled_fault)?;
        self.file.sync_data().map_err(|error| StoreError::disk(&error))?;
        self.write_ledger()
    }

    /// The number of the first event from `from` on, up to the last one; the one behind that if there is none.
    pub fn event_from(live: &Live, from: u64, last: u64) -> Result<u64, StoreError> {
        let first = live
            .tree
            .range(event_key(from)..=event_key(last))
            .next()
            .transpose();
        let first = first.map_err(sled_fault)?;
        Ok(first
            .and_then(|(key, _)| super::journal::seq_of(&key))
            .unwrap_or(last + 1))
    }
}
