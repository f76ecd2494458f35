//! A batch: everything that one commit changes, over any tables, journal and lanes. All of it or nothing.
//!
//! Values are written as bytes where they are put in; a value that cannot be written makes the commit fail.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde::Serialize;
use zeroize::Zeroizing;

use super::catalog::{self, Entry};
use super::decode::decode;
use super::error::StoreError;
use super::lane::{DeadReason, Lane, TaskDraft, TaskKey};
use super::row::{Packed, VALUE_LIMIT};
use super::seal::Seal;
use super::table::{Table, row_key};
use crate::base::{TaskId, Timestamp};
use crate::model::Event;

/// Room for most values: a message with its text.
const USUAL: usize = 1024;

/// Whether a row is as the batch's maker wants it; asked by the committer.
pub(super) type Check = Box<dyn FnOnce(Option<&[u8]>) -> Result<bool, StoreError> + Send>;

pub(super) enum Op {
    Put {
        entry: Entry,
        key: Vec<u8>,
        value: Packed,
    },
    Remove {
        key: Vec<u8>,
    },
    Append {
        event: Arc<Event>,
        dedupe: Option<Vec<u8>>,
        row: Packed,
    },
    Enqueue {
        lane: Lane,
        id: TaskId,
        due: Timestamp,
        payload: Vec<u8>,
    },
    Reschedule {
        key: TaskKey,
        due: Timestamp,
        attempts: u32,
        error: Option<String>,
    },
    Amend {
        key: TaskKey,
        payload: Vec<u8>,
    },
    Complete {
        key: TaskKey,
    },
    DeadLetter {
        key: TaskKey,
        reason: DeadReason,
    },
    Requeue {
        id: TaskId,
    },
    DropDead {
        id: TaskId,
    },
    Require {
        entry: Entry,
        key: Vec<u8>,
        check: Check,
    },
    RequireTask {
        key: TaskKey,
    },
}

enum Draft {
    Value {
        entry: Entry,
        key: Vec<u8>,
        plain: Zeroizing<Vec<u8>>,
    },
    Op(Op),
}

/// How a journal row is stored.
#[derive(Serialize, serde::Deserialize)]
pub(super) struct JournalRow<E> {
    pub dedupe: Option<super::bytes::Bytes>,
    pub event: E,
}

/// Everything that one commit changes.
#[derive(Default)]
pub struct Batch {
    ops: Vec<Draft>,
    fault: Option<StoreError>,
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch")
            .field("ops", &self.ops.len())
            .finish_non_exhaustive()
    }
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing was put in.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty() && self.fault.is_none()
    }

    /// How many changes were put in.
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Writes a row.
    pub fn put<T: Table>(&mut self, key: &T::Key, value: &T::Value) -> &mut Self {
        if let Some(plain) = self.encode(&T::ENTRY, value) {
            self.ops.push(Draft::Value {
                entry: T::ENTRY,
                key: row_key(&T::ENTRY, key),
                plain: Zeroizing::new(plain),
            });
        }
        self
    }

    /// Writes a row whose key and value are known as bytes only.
    pub(super) fn put_plain(&mut self, entry: Entry, key: Vec<u8>, plain: Vec<u8>) {
        let plain = Zeroizing::new(plain);
        self.ops.push(Draft::Value { entry, key, plain });
    }

    /// Removes a row; one that is not there is no fault.
    pub fn remove<T: Table>(&mut self, key: &T::Key) -> &mut Self {
        self.op(Op::Remove {
            key: row_key(&T::ENTRY, key),
        })
    }

    /// Appends an event to the journal. With a key that the journal knows already, this event (and nothing
    /// else of the batch) is dropped; keys are known as long as their events are kept.
    pub fn append(&mut self, event: Event, dedupe: Option<Vec<u8>>) -> &mut Self {
        let row = JournalRow {
            dedupe: dedupe.clone().map(super::bytes::Bytes),
            event: &event,
        };
        if let Some(row) = self.encode(&catalog::JOURNAL, &row) {
            self.op(Op::Append {
                event: Arc::new(event),
                dedupe,
                row: Packed::new(row),
            });
        }
        self
    }

    /// Remembers how far a consumer has read: the sequence number of the last event it is done with.
    pub fn set_cursor(&mut self, consumer: &str, seq: u64) -> &mut Self {
        let value = Packed::new(seq.to_be_bytes().to_vec());
        self.op(Op::Put {
            entry: catalog::CURSORS,
            key: cursor_key(consumer),
            value,
        })
    }

    /// Puts a task at the end of a lane.
    pub fn enqueue<P: Serialize>(&mut self, lane: Lane, draft: &TaskDraft<'_, P>) -> &mut Self {
        if let Some(payload) = self.encode(&catalog::TASKS, draft.payload) {
            self.op(Op::Enqueue {
                lane,
                id: draft.id,
                due: draft.due,
                payload,
            });
        }
        self
    }

    /// Postpones a task that was tried `attempts` times by now. One that is gone is no fault, here and below.
    pub fn reschedule(
        &mut self,
        key: &TaskKey,
        due: Timestamp,
        attempts: u32,
        last_error: Option<String>,
    ) -> &mut Self {
        self.op(Op::Reschedule {
            key: *key,
            due,
            attempts,
            error: last_error,
        })
    }

    /// Changes what a task is to do.
    pub fn amend<P: Serialize>(&mut self, key: &TaskKey, payload: &P) -> &mut Self {
        if let Some(payload) = self.encode(&catalog::TASKS, payload) {
            self.op(Op::Amend { key: *key, payload });
        }
        self
    }

    /// Takes a task that is done out of its lane.
    pub fn complete(&mut self, key: &TaskKey) -> &mut Self {
        self.op(Op::Complete { key: *key })
    }

    /// Takes a task out of its lane and keeps it among the dead letters.
    pub fn dead_letter(&mut self, key: &TaskKey, reason: DeadReason) -> &mut Self {
        self.op(Op::DeadLetter { key: *key, reason })
    }

    /// Puts a dead letter back at the end of its lane, due at once, its attempts forgotten.
    pub fn requeue(&mut self, id: TaskId) -> &mut Self {
        self.op(Op::Requeue { id })
    }

    /// Forgets a dead letter.
    pub fn drop_dead(&mut self, id: TaskId) -> &mut Self {
        self.op(Op::DropDead { id })
    }

    /// Refuses the whole batch with [`StoreError::Conflict`] unless `holds` says yes to the row as it is when the
    /// batch is applied, after the changes put in before.
    pub fn require<T: Table>(
        &mut self,
        key: &T::Key,
        holds: impl FnOnce(Option<T::Value>) -> bool + Send + 'static,
    ) -> &mut Self {
        let check: Check = Box::new(move |plain| {
            let value = plain.map(decode).transpose();
            let table = T::ENTRY.name;
            let value = value.map_err(|source| StoreError::Decode { table, source })?;
            // A fault of the one who asks must not end the committer.
            Ok(catch_unwind(AssertUnwindSafe(|| holds(value))).unwrap_or(false))
        });
        self.op(Op::Require {
            entry: T::ENTRY,
            key: row_key(&T::ENTRY, key),
            check,
        })
    }

    /// Refuses the whole batch with [`StoreError::Conflict`] unless the task still waits.
    pub fn require_task(&mut self, key: &TaskKey) -> &mut Self {
        self.op(Op::RequireTask { key: *key })
    }

    fn op(&mut self, op: Op) -> &mut Self {
        self.ops.push(Draft::Op(op));
        self
    }

    fn encode(&mut self, entry: &Entry, value: &impl Serialize) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(USUAL);
        match rmp_serde::encode::write_named(&mut bytes, value) {
            Ok(()) if bytes.len() <= VALUE_LIMIT => return Some(bytes),
            Ok(()) => self.fault.get_or_insert(StoreError::TooLarge {
                what: "a value",
                size: bytes.len(),
                limit: VALUE_LIMIT,
            }),
            Err(source) => self.fault.get_or_insert(StoreError::Encode {
                table: entry.name,
                source,
            }),
        };
        None
    }

    /// What the committer applies: compressed and sealed here, so that it need not.
    pub(super) fn into_ops(self, seal: &Seal) -> Result<Vec<Op>, StoreError> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let ops = self.ops.into_iter().map(|draft| match draft {
            Draft::Op(op) => op,
            Draft::Value {
                entry,
                key,
                mut plain,
            } => {
                let mut value = Packed::new(std::mem::take(&mut *plain));
                if entry.sealed {
                    value = value.sealed(seal, entry.name, &key);
                }
                Op::Put { entry, key, value }
            }
        });
        Ok(ops.collect())
    }
}

pub(super) fn cursor_key(consumer: &str) -> Vec<u8> {
    [&[catalog::CURSORS.prefix], consumer.as_bytes()].concat()
}
