//! State: one sled tree behind one committer thread; tables, journal, lanes, seal.
//!
//! [`Store`] is one cheap handle for the whole life of the process. Reads are plain functions that answer at
//! once. Writes are put into a [`Batch`], which [`Store::commit`] makes durable as a whole or not at all;
//! many commits at the same time share one sync of the disk. If the disk fails, every commit hears
//! [`StoreError::Unavailable`] until the disk takes writes again and the database was opened anew; reads go on.
//!
//! `app` makes its child, as supervision is a floor above:
//! ```ignore
//! ChildSpec::task("store", move |context| {
//!     let store = store.clone();
//!     async move { Ok(store.run(context.stop.clone(), || context.ready()).await?) }
//! })
//! .ready_within(store::OPENING)
//! .shutdown(Shutdown::Drain(store::CLOSING))
//! ```
//!
//! - [`catalog`] names every table; a domain implements [`Table`] for its own.
//! - The journal keeps events in order ([`Batch::append`], [`Store::events`]); a consumer remembers how far it is
//!   in the same commit as what it made of them ([`Batch::set_cursor`]). Old events go after the configured time,
//!   but none that a consumer with a cursor has yet to read.
//! - Lanes keep tasks in order until they are done or dead ([`Batch::enqueue`], [`Store::tasks`]).
//! - A damaged row is moved aside and counted; its key answers [`StoreError::BadRow`] until it is written anew.
//!
//! It does not promise that a commit answered with `Unavailable` was not stored, nor that two reads see the
//! same moment.

mod apply;
mod batch;
mod bytes;
pub mod catalog;
mod check;
mod committer;
mod condition;
mod config;
mod decode;
mod digest;
mod error;
mod export;
mod exports;
mod free;
#[cfg(test)]
pub(crate) mod fuzz;
mod gauges;
mod held;
mod import;
mod journal;
mod key;
mod lane;
mod ledger;
mod open;
mod probe;
mod quarantine;
mod read;
mod recent;
mod restore;
mod rewrite;
mod rotation;
mod row;
mod seal;
mod stage;
mod start;
mod sweep;
mod table;
mod tasks;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};
use std::time::Instant;

use tokio::sync::{oneshot, watch};

pub use apply::Committed;
pub use batch::Batch;
pub use bytes::Bytes;
pub use check::{CheckReport, Finding, TableReport, check};
pub use condition::{Condition, SLOW, Trouble, TroubleKind};
pub use config::{StoreConfig, SyncMode};
pub use decode::decode;
pub use error::StoreError;
pub use export::ExportSummary;
pub use gauges::LaneStats;
pub use import::import;
pub use key::KeyBytes;
pub use lane::{DeadFilter, DeadKey, DeadLetter, DeadReason, Lane, LaneKind, Task, TaskDraft, TaskKey};
pub use quarantine::QuarantinedRow;
pub use read::Row;
pub use restore::{Restored, restore_by_hand};
pub use rotation::{Rotated, rotate_seal};
pub use start::{CLOSING, OPENING, OpenStore};
pub use sweep::{SWEEP_EVERY, SWEEP_FIRST};
pub use table::{Scan, Table};

use crate::base::Timestamp;
use committer::{Job, Unit};
use condition::Syncs;
use gauges::Gauges;
use read::Live;

/// The store's handle.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

/// What outlives the committer.
struct Shared {
    config: StoreConfig,
    /// The open database, or what it waits for.
    live: RwLock<Result<Arc<Live>, String>>,
    head: watch::Sender<u64>,
    signals: [watch::Sender<u64>; LaneKind::ALL.len()],
    /// The last task's number that is durable.
    number: AtomicU64,
    gauges: Mutex<Gauges>,
    /// Whether this handle has the folder.
    at_work: AtomicBool,
    /// Whether it was open before.
    was_open: AtomicBool,
    trouble: watch::Sender<Option<Trouble>>,
    /// What was found damaged while the rest is served.
    damage: watch::Sender<Option<String>>,
    syncs: Syncs,
    /// What is done in the folder of automatic exports.
    export_steps: Syncs,
    /// How far the committer's clock is ahead, in milliseconds.
    #[cfg(test)]
    ahead: std::sync::atomic::AtomicI64,
}

impl Shared {
    fn gauges(&self) -> MutexGuard<'_, Gauges> {
        self.gauges.lock().unwrap_or_else(|poison| poison.into_inner())
    }

    /// The present, for the committer.
    fn now(&self) -> Timestamp {
        let now = Timestamp::now();
        #[cfg(test)]
        let now = Timestamp(now.0 + self.ahead.load(Ordering::Acquire));
        now
    }

    fn durable_number(&self) -> u64 {
        self.number.load(Ordering::Acquire)
    }

    /// Takes what is open away from readers; from now on they hear why.
    fn take_live(&self, why: &str) -> Option<Arc<Live>> {
        let mut live = self.live.write().unwrap_or_else(|poison| poison.into_inner());
        std::mem::replace(&mut *live, Err(why.to_owned())).ok()
    }

    fn set_live(&self, live: Result<Arc<Live>, String>) {
        *self.live.write().unwrap_or_else(|poison| poison.into_inner()) = live;
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("folder", &self.shared.config.folder)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// The handle; nothing is opened before its child starts (or [`Store::open`] is used).
    pub fn new(config: StoreConfig) -> Self {
        describe();
        let shared = Shared {
            config,
            live: RwLock::new(Err("it was not opened yet".to_owned())),
            head: watch::Sender::new(0),
            signals: std::array::from_fn(|_| watch::Sender::new(0)),
            number: AtomicU64::new(0),
            gauges: Mutex::default(),
            at_work: AtomicBool::new(false),
            was_open: AtomicBool::new(false),
            trouble: watch::Sender::new(None),
            damage: watch::Sender::new(None),
            syncs: Syncs::default(),
            export_steps: Syncs::default(),
            #[cfg(test)]
            ahead: std::sync::atomic::AtomicI64::new(0),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Puts the committer's clock ahead.
    #[cfg(test)]
    pub(crate) fn set_ahead(&self, span: std::time::Duration) {
        let millis = i64::try_from(span.as_millis()).expect("some years");
        self.shared.ahead.store(millis, Ordering::Release);
    }

    /// Its configuration.
    pub fn config(&self) -> &StoreConfig {
        &self.shared.config
    }

    /// Whether it is open at the moment.
    pub fn is_open(&self) -> bool {
        self.live().is_ok()
    }

    fn live(&self) -> Result<Arc<Live>, StoreError> {
        match &*self
            .shared
            .live
            .read()
            .unwrap_or_else(|poison| poison.into_inner())
        {
            Ok(live) => Ok(live.clone()),
            Err(why) => Err(StoreError::unavailable(why)),
        }
    }

    /// Makes a batch durable, as a whole or not at all. A commit whose future is dropped may still happen.
    pub async fn commit(&self, batch: Batch) -> Result<Committed, StoreError> {
        let since = Instant::now();
        let answer = {
            let live = self.live()?;
            if let Some(trouble) = self.shared.trouble() {
                return Err(StoreError::unavailable(trouble.why));
            }
            let ops = batch.into_ops(&live.seal)?;
            let (reply, answer) = oneshot::channel();
            let job = Job::Commit(Unit { ops, since, reply });
            live.jobs
                .send(job)
                .map_err(|_| StoreError::unavailable("it is closing"))?;
            answer
        };
        answer
            .await
            .unwrap_or_else(|_| Err(StoreError::unavailable("the committer ended before it answered")))
    }
}

/// Told as 0 from the start: a rule that looks for growth does not see a series whose first value is 1.
fn describe() {
    metrics::describe_counter!(
        "trunkline_store_rows_quarantined_total",
        "Damaged rows that were moved aside, by table"
    );
    for entry in catalog::ALL {
        metrics::counter!("trunkline_store_rows_quarantined_total", "table" => entry.name).increment(0);
    }
    metrics::describe_counter!(
        "trunkline_store_rows_unreadable_total",
        "Sound rows that do not fit their type"
    );
    metrics::counter!("trunkline_store_rows_unreadable_total").increment(0);
    metrics::describe_counter!(
        "trunkline_store_rows_stuck_total",
        "Damaged rows that could not be moved aside"
    );
    metrics::counter!("trunkline_store_rows_stuck_total").increment(0);
}
