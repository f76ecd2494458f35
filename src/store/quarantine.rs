//! Rows that failed their checksum: moved aside as they were found, listed, and not served.
//!
//! Their key answers [`StoreError::BadRow`] until somebody writes or removes it: a damaged row must not look
//! like one that never was. What was moved aside is kept until then, for a person to look at.

use std::collections::HashSet;
use std::sync::RwLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};

use super::Store;
use super::apply::Desk;
use super::bytes::Bytes;
use super::catalog;
use super::error::StoreError;
use super::gauges::{Gauges, LaneChange};
use super::key::KeyBytes;
use super::lane::{TaskKey, TaskRow};
use super::open::sled_fault;
use super::read::{Live, hex, sled_rows};
use super::row::{self, VALUE_LIMIT};
use crate::base::Timestamp;

/// What a row kept aside takes besides its key and its bytes, at most.
const FRAMING: usize = 64;

/// The keys whose rows were moved aside and not written anew.
#[derive(Default)]
pub(super) struct Quarantine {
    len: AtomicUsize,
    keys: RwLock<HashSet<Vec<u8>>>,
}

impl Quarantine {
    pub fn insert(&self, key: Vec<u8>) {
        let mut keys = self.keys.write().unwrap_or_else(|poison| poison.into_inner());
        keys.insert(key);
        self.len.store(keys.len(), Ordering::Release);
    }

    pub fn remove(&self, key: &[u8]) {
        let mut keys = self.keys.write().unwrap_or_else(|poison| poison.into_inner());
        keys.remove(key);
        self.len.store(keys.len(), Ordering::Release);
    }

    pub fn contains(&self, key: &[u8]) -> bool {
        if self.len.load(Ordering::Acquire) == 0 {
            return false;
        }
        let keys = self.keys.read().unwrap_or_else(|poison| poison.into_inner());
        keys.contains(key)
    }

    /// Whether a consumer's cursor is among them.
    pub fn has_cursor(&self) -> bool {
        if self.len.load(Ordering::Acquire) == 0 {
            return false;
        }
        let keys = self.keys.read().unwrap_or_else(|poison| poison.into_inner());
        keys.iter()
            .any(|key| key.first() == Some(&catalog::CURSORS.prefix))
    }
}

/// How a row that was moved aside is kept.
#[derive(Serialize, Deserialize)]
struct Aside {
    at: Timestamp,
    reason: String,
    /// Key and bytes of the row, and of its parts.
    rows: Vec<(Bytes, Bytes)>,
}

/// A row that was moved aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QuarantinedRow {
    /// Its table.
    pub table: &'static str,
    /// Its key, in hexadecimal.
    pub key: String,
    /// When it was found.
    pub at: Timestamp,
    /// What was wrong with it.
    pub reason: String,
}

pub(super) fn aside_key(key: &[u8]) -> Vec<u8> {
    [&[catalog::QUARANTINE.prefix], key].concat()
}

/// Moves a row and its parts aside; gives the name of its table.
pub(super) fn move_aside(desk: &mut Desk<'_>, key: &[u8], reason: &str) -> Result<&'static str, StoreError> {
    let mut rows = Vec::new();
    if let Some(row) = desk.stage.get(key)? {
        rows.push((Bytes(key.to_vec()), Bytes(row.to_vec())));
        for at in 0..row::parts_of(&row) {
            let part_key = row::part_key(key, at);
            match desk.stage.get(&part_key)? {
                Some(part) => rows.push((Bytes(part_key), Bytes(part.to_vec()))),
                // A flipped count promises parts that never were.
                None => break,
            }
        }
    }
    for (key, _) in &rows {
        desk.stage.remove(key.0.clone())?;
    }
    let mut aside = Aside {
        at: desk.now(),
        reason: reason.to_owned(),
        rows,
    };
    let size = aside
        .rows
        .iter()
        .map(|(key, row)| key.0.len() + row.0.len() + FRAMING);
    let size: usize = size.sum();
    if size > VALUE_LIMIT - FRAMING - reason.len() {
        // It must go all the same: who reads it would report it for ever.
        aside.reason = format!("{reason}; its {size} bytes were too many to be kept");
        aside.rows.clear();
    }
    desk.write_value(&catalog::QUARANTINE, aside_key(key), &aside)?;
    Ok(table_of(key))
}

fn table_of(key: &[u8]) -> &'static str {
    let entry = key.first().and_then(|prefix| catalog::of_prefix(*prefix));
    entry.map_or("unknown", |entry| entry.name)
}

/// Whether a row that somebody found damaged can be opened after all: the parts of it may have come since.
pub(super) fn is_sound(live: &Live, key: &[u8], row: &[u8]) -> Result<bool, StoreError> {
    let Some(entry) = key.first().and_then(|prefix| catalog::of_prefix(*prefix)) else {
        return Ok(false);
    };
    let mut fault = None;
    let part = |part: &[u8]| match live.tree.get(part) {
        Ok(row) => row.map(|row| row.to_vec()),
        Err(error) => {
            fault = Some(sled_fault(error));
            None
        }
    };
    let opened = row::open(&entry, key, row, Some(&live.seal), part);
    match fault {
        Some(error) => Err(error),
        None => Ok(matches!(opened, Ok(Some(_)) | Err(row::Fault::Version(_)))),
    }
}

/// The sequence number that a consumer's row holds.
pub(super) fn cursor_value(live: &Live, key: &[u8]) -> Result<Option<u64>, StoreError> {
    match live.plain(&catalog::CURSORS, key) {
        Ok(plain) => Ok(plain.and_then(|bytes| u64::read(&mut bytes.as_slice()))),
        Err(StoreError::BadRow { .. } | StoreError::UnknownVersion { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Counts what waits in all lanes.
pub(super) fn counted_lanes(live: &Live) -> Result<Gauges, StoreError> {
    let mut gauges = Gauges::default();
    for item in sled_rows(live.tree.scan_prefix([catalog::TASKS.prefix])) {
        let (key, row) = item?;
        if let Some(place) = TaskKey::of_row(&key)
            && let Some(row) = live.row::<TaskRow>(&catalog::TASKS, &key, row)?
        {
            gauges.apply(&LaneChange {
                id: row.id,
                key: place,
                enqueued_at: row.enqueued_at,
                by: 1,
            });
        }
    }
    Ok(gauges)
}

/// The keys of all rows that were moved aside.
pub(super) fn keys(tree: &sled::Tree) -> Result<Quarantine, StoreError> {
    let quarantine = Quarantine::default();
    for key in tree.scan_prefix([catalog::QUARANTINE.prefix]).keys() {
        quarantine.insert(key.map_err(sled_fault)?[1..].to_vec());
    }
    Ok(quarantine)
}

impl Store {
    /// Rows that were moved aside because they failed their checksum.
    pub fn quarantined(&self, limit: usize) -> Result<Vec<QuarantinedRow>, StoreError> {
        let live = self.live()?;
        self.guarded(|| {
            let mut found = Vec::new();
            for item in sled_rows(live.tree.scan_prefix([catalog::QUARANTINE.prefix])).take(limit) {
                let (key, row) = item?;
                if let Some(aside) = live.row::<Aside>(&catalog::QUARANTINE, &key, row)? {
                    found.push(QuarantinedRow {
                        table: table_of(&key[1..]),
                        key: hex(&key[2..]),
                        at: aside.at,
                        reason: aside.reason,
                    });
                }
            }
            Ok(found)
        })
    }
}
