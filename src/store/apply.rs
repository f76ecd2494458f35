//! What each change of a batch does to the rows: the committer's rules, without its thread or its disk.

use std::sync::{Arc, Mutex, PoisonError};

use sled::IVec;

use super::batch::{JournalRow, Op};
use super::bytes::Bytes;
use super::catalog::{self, Entry};
use super::decode::decode;
use super::error::StoreError;
use super::gauges::{Gauges, LaneChange};
use super::journal::event_key;
use super::lane::{DeadKey, DeadRow, Lane, TaskKey, TaskRow};
use super::quarantine::{self, Quarantine};
use super::read::{Live, guarded};
use super::recent::Fresh;
use super::row::{self, Fault, Packed, VALUE_LIMIT};
use super::seal::Seal;
use super::stage::Stage;
use crate::base::{TaskId, Timestamp};
use crate::model::Event;

/// The most rows that one batch may change.
pub(super) const ROWS_LIMIT: usize = 4096;

/// What the store remembers of itself; rewritten by every commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Meta {
    /// How many commits there were.
    pub generation: u64,
    /// The last event's sequence number.
    pub seq: u64,
    /// The last task's number.
    pub number: u64,
    /// How many rows there are, this one included.
    pub rows: u64,
    /// The sum of all rows but this one (see `digest`); none in a database of a release that kept none.
    #[serde(default)]
    pub sum: Option<u64>,
    /// When the last commit was made.
    #[serde(default)]
    pub at: Option<Timestamp>,
}

/// What a commit gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// The sequence numbers of the appended events.
    pub journal: std::ops::Range<u64>,
    /// The places of the enqueued tasks, in the order of the batch.
    pub tasks: Vec<TaskKey>,
    /// How many events were dropped because the journal knows their keys.
    pub repeated: usize,
}

/// What became of an event that may be too old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trimmed {
    /// It is not old enough.
    Kept,
    /// It was forgotten.
    Gone,
    /// There is none of this number: after a restore, numbers go on far behind.
    Missing,
}

/// A group of units being put together.
pub(super) struct Desk<'a> {
    pub stage: Stage<'a>,
    pub meta: Meta,
    pub lanes: Vec<LaneChange>,
    /// Events that were appended.
    pub appended: Vec<Fresh>,
    /// Damaged rows that were met, as they were.
    pub bad: Vec<(Vec<u8>, IVec)>,
    /// Whether an event went whose name is not known: it is still in the table of names.
    pub nameless: bool,
    /// Keys of rows in quarantine that are written anew or removed.
    pub healed: Vec<Vec<u8>>,
    seal: &'a Seal,
    quarantine: &'a Quarantine,
    /// What waits by what is durable.
    waiting: &'a Mutex<Gauges>,
    now: Timestamp,
}

impl<'a> Desk<'a> {
    pub fn new(live: &'a Live, waiting: &'a Mutex<Gauges>, meta: Meta, now: Timestamp) -> Self {
        Self {
            stage: Stage::new(&live.tree),
            meta,
            lanes: Vec::new(),
            appended: Vec::new(),
            bad: Vec::new(),
            nameless: false,
            healed: Vec::new(),
            seal: &live.seal,
            quarantine: &live.quarantine,
            waiting,
            now,
        }
    }

    /// The time of all that is on it.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Makes all changes of a unit, or none.
    pub fn unit(&mut self, ops: Vec<Op>) -> Result<Committed, StoreError> {
        let (meta, lanes, healed) = (self.meta, self.lanes.len(), self.healed.len());
        let appended = self.appended.len();
        let mark = self.stage.mark();
        let mut done = Committed {
            journal: meta.seq + 1..meta.seq + 1,
            ..Committed::default()
        };
        // A page that cannot be read is the answer to this unit, also where sled panics on it.
        let outcome = guarded(|| {
            ops.into_iter().try_for_each(|op| {
                self.op(op, &mut done)?;
                let rows = self.stage.changes_since(mark);
                if rows > ROWS_LIMIT {
                    return Err(StoreError::TooLarge {
                        what: "a batch",
                        size: rows,
                        limit: ROWS_LIMIT,
                    });
                }
                Ok(())
            })
        });
        if outcome.is_err() {
            self.meta = meta;
            self.lanes.truncate(lanes);
            self.appended.truncate(appended);
            self.healed.truncate(healed);
            self.stage.back_to(mark);
        }
        done.journal.end = self.meta.seq + 1;
        outcome.map(|()| done)
    }

    fn op(&mut self, op: Op, done: &mut Committed) -> Result<(), StoreError> {
        match op {
            Op::Put { entry, key, value } => self.write(&entry, key, value),
            Op::Remove { key } => self.remove(key),
            Op::Append { event, dedupe, row } => {
                if !self.append(event, dedupe, row)? {
                    done.repeated += 1;
                }
                Ok(())
            }
            Op::Enqueue {
                lane,
                id,
                due,
                payload,
            } => {
                let row = TaskRow {
                    id,
                    due,
                    attempts: 0,
                    enqueued_at: self.now,
                    first_failed_at: None,
                    last_error: None,
                    payload: Bytes(payload),
                };
                let key = self.enqueue(lane, row)?;
                done.tasks.push(key);
                Ok(())
            }
            Op::Reschedule {
                key,
                due,
                attempts,
                error,
            } => {
                let now = self.now;
                self.change_task(key, |row| {
                    if attempts > row.attempts {
                        row.first_failed_at.get_or_insert(now);
                    }
                    row.due = due;
                    row.attempts = attempts;
                    row.last_error = error;
                })
            }
            Op::Amend { key, payload } => self.change_task(key, |row| row.payload = Bytes(payload)),
            Op::Complete { key } => self.take_task(key).map(drop),
            Op::DeadLetter { key, reason } => {
                let Some(task) = self.take_task(key)? else {
                    return Ok(());
                };
                let dead = DeadKey {
                    at: self.now,
                    id: task.id,
                };
                self.write_value(&catalog::DEAD_IDS, dead_id_key(task.id), &dead)?;
                let row = DeadRow {
                    task,
                    lane: key.lane,
                    code: reason.code,
                    reason: reason.reason,
                    subject: reason.subject,
                };
                self.write_value(&catalog::DEAD_LETTERS, dead.row(), &row)
            }
            Op::Requeue { id } => {
                let Some(dead) = self.take_dead(id)? else {
                    return Ok(());
                };
                let row = TaskRow {
                    due: self.now,
                    attempts: 0,
                    enqueued_at: self.now,
                    first_failed_at: None,
                    last_error: None,
                    ..dead.task
                };
                let key = self.enqueue(dead.lane, row)?;
                done.tasks.push(key);
                Ok(())
            }
            Op::DropDead { id } => self.take_dead(id).map(drop),
            Op::Require { entry, key, check } => {
                let plain = self.value(&entry, &key)?;
                if plain.is_none() && self.is_aside(&key) {
                    return Err(StoreError::BadRow { table: entry.name });
                }
                if check(plain.as_deref())? {
                    return Ok(());
                }
                Err(StoreError::Conflict { table: entry.name })
            }
            Op::RequireTask { key } => match self.stage.get(&key.row())? {
                Some(_) => Ok(()),
                None => Err(StoreError::Conflict {
                    table: catalog::TASKS.name,
                }),
            },
        }
    }

    /// A row's value, as the changes so far leave it.
    pub fn value(&mut self, entry: &Entry, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(row) = self.stage.get(key)? else {
            return Ok(None);
        };
        let stage = &mut self.stage;
        let mut fault = None;
        let opened = row::open(entry, key, &row, Some(self.seal), |part| match stage.get(part) {
            Ok(row) => row.map(|row| row.to_vec()),
            Err(error) => {
                fault = Some(error);
                None
            }
        });
        if let Some(error) = fault {
            return Err(error);
        }
        match opened {
            Ok(Some(plain)) => Ok(Some(plain)),
            Err(Fault::Version(version)) => Err(StoreError::UnknownVersion {
                table: entry.name,
                version,
            }),
            Ok(None) | Err(Fault::Bad(_) | Fault::Seal) => {
                self.bad.push((key.to_vec(), row));
                Err(StoreError::BadRow { table: entry.name })
            }
        }
    }

    fn typed<V: serde::de::DeserializeOwned>(
        &mut self,
        entry: &Entry,
        key: &[u8],
    ) -> Result<Option<V>, StoreError> {
        let Some(plain) = self.value(entry, key)? else {
            return Ok(None);
        };
        match decode(&plain) {
            Ok(value) => Ok(Some(value)),
            Err(source) => Err(StoreError::Decode {
                table: entry.name,
                source,
            }),
        }
    }

    fn forget_parts(&mut self, key: &[u8], row: Option<&IVec>) -> Result<(), StoreError> {
        for at in 0..row.map_or(0, |row| row::parts_of(row)) {
            self.stage.remove(row::part_key(key, at))?;
        }
        Ok(())
    }

    /// Writes a value, and forgets the parts of the one before.
    pub fn write(&mut self, entry: &Entry, key: Vec<u8>, value: Packed) -> Result<(), StoreError> {
        if value.len() > VALUE_LIMIT {
            return Err(StoreError::TooLarge {
                what: entry.name,
                size: value.len(),
                limit: VALUE_LIMIT,
            });
        }
        let old = self.stage.get(&key)?;
        self.forget_parts(&key, old.as_ref())?;
        self.heal(&key)?;
        let stage = &mut self.stage;
        let mut outcome = Ok(());
        value.rows(key, |key, row| {
            if outcome.is_ok() {
                outcome = stage.put(key, row);
            }
        });
        outcome
    }

    pub fn write_value(
        &mut self,
        entry: &Entry,
        key: Vec<u8>,
        value: &impl serde::Serialize,
    ) -> Result<(), StoreError> {
        let plain = rmp_serde::to_vec_named(value).map_err(|source| StoreError::Encode {
            table: entry.name,
            source,
        })?;
        let mut value = Packed::new(plain);
        if entry.sealed {
            value = value.sealed(self.seal, entry.name, &key);
        }
        self.write(entry, key, value)
    }

    /// Removes a value with its parts.
    pub fn remove(&mut self, key: Vec<u8>) -> Result<(), StoreError> {
        let old = self.stage.get(&key)?;
        self.forget_parts(&key, old.as_ref())?;
        self.heal(&key)?;
        self.stage.remove(key)
    }

    /// Whether what stood under a key was moved aside, and nobody has decided anew since what stands there.
    fn is_aside(&self, key: &[u8]) -> bool {
        self.quarantine.contains(key) && !self.healed.iter().any(|healed| healed == key)
    }

    /// Forgets what was moved aside from under a key, as its owner decided anew what stands there.
    fn heal(&mut self, key: &[u8]) -> Result<(), StoreError> {
        if !self.quarantine.contains(key) {
            return Ok(());
        }
        self.healed.push(key.to_vec());
        self.remove(quarantine::aside_key(key))
    }

    fn append(
        &mut self,
        event: Arc<Event>,
        dedupe: Option<Vec<u8>>,
        row: Packed,
    ) -> Result<bool, StoreError> {
        let known = dedupe.map(known_key);
        if let Some(known) = &known
            && (self.stage.get(known)?.is_some() || self.is_aside(known))
        {
            return Ok(false);
        }
        self.meta.seq += 1;
        let key = event_key(self.meta.seq);
        // Not before: the seal is bound to the number.
        let row = row.sealed(self.seal, catalog::JOURNAL.name, &key);
        let (stage, size) = (&mut self.stage, row.len());
        row.rows(key, |key, row| stage.put_fresh(key, row));
        if let Some(known) = known {
            let seq = self.meta.seq.to_be_bytes().to_vec();
            self.write(&catalog::KNOWN_EVENTS, known, Packed::new(seq))?;
        }
        self.appended.push(Fresh {
            seq: self.meta.seq,
            event,
            size,
        });
        Ok(true)
    }

    /// Forgets the oldest event if it is old.
    pub fn trim(&mut self, seq: u64, is_old: impl FnOnce(Timestamp) -> bool) -> Result<Trimmed, StoreError> {
        let key = event_key(seq);
        match self.typed::<JournalRow<Event>>(&catalog::JOURNAL, &key) {
            Ok(Some(row)) if is_old(row.event.at) => {
                if let Some(dedupe) = row.dedupe {
                    self.remove(known_key(dedupe.0))?;
                }
            }
            Ok(Some(_)) => return Ok(Trimmed::Kept),
            Ok(None) => {
                self.nameless |= self.quarantine.contains(&key);
                self.remove(key)?;
                return Ok(Trimmed::Missing);
            }
            // Moved aside, or of a form that nobody can serve: its turn to go came with its neighbours'.
            Err(StoreError::BadRow { .. } | StoreError::Decode { .. }) => self.nameless = true,
            Err(error) => return Err(error),
        }
        self.remove(key)?;
        Ok(Trimmed::Gone)
    }

    fn enqueue(&mut self, lane: Lane, row: TaskRow) -> Result<TaskKey, StoreError> {
        if let Some(key) = self.place(row.id) {
            return Ok(key);
        }
        self.forget_dead(row.id)?;
        self.meta.number += 1;
        let key = TaskKey {
            lane,
            number: self.meta.number,
        };
        self.note(&key, &row, 1);
        self.write_value(&catalog::TASKS, key.row(), &row)?;
        Ok(key)
    }

    /// Where a task waits, as the changes so far leave it.
    fn place(&self, id: TaskId) -> Option<TaskKey> {
        let moved = |change: &&LaneChange| change.id == id && change.by != 0;
        match self.lanes.iter().rev().find(moved) {
            Some(change) => Some(change.key).filter(|_| change.by > 0),
            None => self
                .waiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .place(id),
        }
    }

    fn change_task(&mut self, key: TaskKey, change: impl FnOnce(&mut TaskRow)) -> Result<(), StoreError> {
        let Some(mut row) = self.typed::<TaskRow>(&catalog::TASKS, &key.row())? else {
            return Ok(());
        };
        change(&mut row);
        self.note(&key, &row, 0);
        self.write_value(&catalog::TASKS, key.row(), &row)
    }

    fn take_task(&mut self, key: TaskKey) -> Result<Option<TaskRow>, StoreError> {
        let Some(row) = self.typed::<TaskRow>(&catalog::TASKS, &key.row())? else {
            return Ok(None);
        };
        self.note(&key, &row, -1);
        self.remove(key.row())?;
        Ok(Some(row))
    }

    fn take_dead(&mut self, id: TaskId) -> Result<Option<DeadRow>, StoreError> {
        let Some(key) = self.typed::<DeadKey>(&catalog::DEAD_IDS, &dead_id_key(id))? else {
            return Ok(None);
        };
        let row = self.typed(&catalog::DEAD_LETTERS, &key.row())?;
        self.remove(key.row())?;
        self.remove(dead_id_key(id))?;
        Ok(row)
    }

    /// Forgets a dead letter without a look into it.
    fn forget_dead(&mut self, id: TaskId) -> Result<(), StoreError> {
        let Some(key) = self.typed::<DeadKey>(&catalog::DEAD_IDS, &dead_id_key(id))? else {
            return Ok(());
        };
        self.remove(key.row())?;
        self.remove(dead_id_key(id))
    }

    fn note(&mut self, key: &TaskKey, row: &TaskRow, by: i8) {
        self.lanes.push(LaneChange {
            id: row.id,
            key: *key,
            enqueued_at: row.enqueued_at,
            by,
        });
    }
}

pub(super) fn dead_id_key(id: TaskId) -> Vec<u8> {
    [&[catalog::DEAD_IDS.prefix], id.to_bytes().as_slice()].concat()
}

pub(super) fn known_key(dedupe: Vec<u8>) -> Vec<u8> {
    [&[catalog::KNOWN_EVENTS.prefix], dedupe.as_slice()].concat()
}
