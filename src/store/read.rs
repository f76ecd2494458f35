//! Reading rows of the open database: sound ones are served, damaged ones reported to the committer.
//!
//! Reads are not snapshots: rows of one scan may stem from different commits, and a row may be seen shortly
//! before it is durable (never an event or a task: those are served only when durable).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};

use serde::de::DeserializeOwned;
use sled::IVec;
use zeroize::{Zeroize, Zeroizing};

use super::Store;
use super::apply::known_key;
use super::catalog::{self, Entry};
use super::committer::Job;
use super::decode::decode;
use super::error::StoreError;
use super::held::{self, Held};
use super::key::KeyBytes;
use super::open::{FolderLock, sled_fault};
use super::quarantine::Quarantine;
use super::recent::Recent;
use super::rotation::Rotation;
use super::row::{self, Fault};
use super::seal::Seal;
use super::table::{Scan, Table, row_key};
use crate::base::Timestamp;
use crate::model::Event;

/// A row of a typed table.
pub type Row<T> = (<T as Table>::Key, <T as Table>::Value);

/// How often a value in parts is read anew while somebody writes it.
const TRIES: usize = 16;

/// The open database, as readers share it with the committer.
pub(super) struct Live {
    pub tree: sled::Db,
    pub jobs: mpsc::Sender<Job>,
    pub seal: Seal,
    pub secret: [u8; 32],
    pub quarantine: Quarantine,
    /// The latest events.
    pub recent: Recent,
    /// Values that are read again and again.
    pub held: Held,
    /// The seal key being replaced, if it is.
    pub rotation: Option<Rotation>,
    /// When the store was last restored.
    pub restored_at: Option<Timestamp>,
    /// Dropped last: until then nobody else opens the folder.
    pub _lock: FolderLock,
}

/// Runs what reads sled: it panics on some damaged pages, and that is an answer, not the end.
pub(super) fn guarded<R>(read: impl FnOnce() -> Result<R, StoreError>) -> Result<R, StoreError> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
        Err(StoreError::DamagedPage {
            what: "reading it panicked".to_owned(),
        })
    })
}

/// Rows of a scan, with our errors.
pub(super) fn sled_rows(
    rows: impl Iterator<Item = sled::Result<(IVec, IVec)>>,
) -> impl Iterator<Item = Result<(IVec, IVec), StoreError>> {
    rows.map(|row| row.map_err(sled_fault))
}

impl Live {
    /// The value under a key.
    pub fn plain(&self, entry: &Entry, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(row) = self.tree.get(key).map_err(sled_fault)? else {
            if self.quarantine.contains(key) {
                return Err(StoreError::BadRow { table: entry.name });
            }
            return Ok(None);
        };
        match self.open_row(entry, key, row)? {
            Ok(plain) => Ok(plain),
            Err(_) => Err(StoreError::BadRow { table: entry.name }),
        }
    }

    /// The typed value under a key.
    pub fn typed<V: DeserializeOwned>(&self, entry: &Entry, key: &[u8]) -> Result<Option<V>, StoreError> {
        let decoded = |plain: &[u8]| {
            decode(plain).map_err(|source| StoreError::Decode {
                table: entry.name,
                source,
            })
        };
        if held::is_for(entry) {
            let plain = self.held(entry, key)?;
            return plain.map(|plain| decoded(&plain)).transpose();
        }
        let Some(mut plain) = self.plain(entry, key)? else {
            return Ok(None);
        };
        let value = decoded(&plain);
        if entry.sealed {
            plain.zeroize();
        }
        value.map(Some)
    }

    fn held(&self, entry: &Entry, key: &[u8]) -> Result<held::Value, StoreError> {
        let looked = match self.held.get(key) {
            Ok(value) => return Ok(value),
            Err(looked) => looked,
        };
        let value = self
            .plain(entry, key)?
            .map(|plain| Arc::new(Zeroizing::new(plain)));
        self.held.keep(looked, key, value.clone());
        Ok(value)
    }

    /// The typed value of a row of a scan; none if the row is bad, which is then known and counted.
    pub fn row<V: DeserializeOwned>(
        &self,
        entry: &Entry,
        key: &[u8],
        row: IVec,
    ) -> Result<Option<V>, StoreError> {
        let Ok(Some(mut plain)) = self.open_row(entry, key, row)? else {
            return Ok(None);
        };
        let value = decode(&plain);
        if entry.sealed {
            plain.zeroize();
        }
        match value {
            Ok(value) => Ok(Some(value)),
            Err(error) => {
                // The bytes are sound, so they stay where they are: a fixed release can read them.
                metrics::counter!("trunkline_store_rows_unreadable_total").increment(1);
                tracing::error!(table = entry.name, key = %hex(key), %error, "a row does not fit its type");
                Ok(None)
            }
        }
    }

    /// Opens a row; a bad one is reported to the committer, which moves it aside.
    fn open_row(
        &self,
        entry: &Entry,
        key: &[u8],
        mut row: IVec,
    ) -> Result<Result<Option<Vec<u8>>, &'static str>, StoreError> {
        let mut reason = "parts of it are missing";
        for _ in 0..TRIES {
            let mut fault = None;
            let part = |part: &[u8]| match self.tree.get(part) {
                Ok(row) => row.map(|row| row.to_vec()),
                Err(error) => {
                    fault = Some(sled_fault(error));
                    None
                }
            };
            let opened = row::open(entry, key, &row, Some(&self.seal), part);
            if let Some(error) = fault {
                return Err(error);
            }
            match opened {
                Ok(Some(plain)) => return Ok(Ok(Some(plain))),
                Err(Fault::Version(version)) => {
                    return Err(StoreError::UnknownVersion {
                        table: entry.name,
                        version,
                    });
                }
                Err(Fault::Bad(why)) => reason = why,
                Err(Fault::Seal) => reason = "its seal is broken",
                Ok(None) => {}
            }
            // Perhaps it is being written at this moment: then the row itself differs by now.
            match self.tree.get(key).map_err(sled_fault)? {
                Some(now) if now != row => row = now,
                Some(_) => break,
                None => return Ok(Ok(None)),
            }
        }
        let job = Job::Quarantine {
            key: key.to_vec(),
            row,
            reason,
        };
        // If the committer is gone, the next reader reports it to its successor.
        drop(self.jobs.send(job));
        Ok(Err(reason))
    }
}

/// A key as text, for logs: keys hold ids and numbers, never message text.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Store {
    /// Runs what reads; damage that it meets is known from then on, and so is trouble of the disk: sled may have to
    /// write before it can read, and keeps an error that it met once.
    pub(super) fn guarded<R>(&self, read: impl FnOnce() -> Result<R, StoreError>) -> Result<R, StoreError> {
        let live = self.live();
        let outcome = guarded(read);
        match &outcome {
            Err(StoreError::DamagedPage { what }) => self.shared.note_damage(what),
            Err(StoreError::Disk { full, why }) if self.shared.trouble().is_none() => {
                let refused = StoreError::Disk {
                    full: *full,
                    why: why.clone(),
                };
                // A committer that has ended has met trouble itself.
                if let Ok(live) = live {
                    drop(live.jobs.send(Job::Refused(refused)));
                }
            }
            _ => {}
        }
        outcome
    }

    /// A row; none if it is not there.
    pub fn get<T: Table>(&self, key: &T::Key) -> Result<Option<T::Value>, StoreError> {
        let live = self.live()?;
        self.guarded(|| live.typed(&T::ENTRY, &row_key(&T::ENTRY, key)))
    }

    /// Whether a row is there (it may be damaged).
    pub fn contains<T: Table>(&self, key: &T::Key) -> Result<bool, StoreError> {
        let live = self.live()?;
        self.guarded(|| {
            live.tree
                .contains_key(row_key(&T::ENTRY, key))
                .map_err(sled_fault)
        })
    }

    /// Whether the journal knows an event by this key, as [`super::Batch::append`] takes it.
    pub fn knows(&self, dedupe: &[u8]) -> Result<bool, StoreError> {
        let live = self.live()?;
        let key = known_key(dedupe.to_vec());
        // One that was moved aside was there.
        self.guarded(|| {
            Ok(live.tree.contains_key(&key).map_err(sled_fault)? || live.quarantine.contains(&key))
        })
    }

    /// The event that the journal knows by this key; none if there is none, or it is not kept any more.
    pub fn known_event(&self, dedupe: &[u8]) -> Result<Option<Arc<Event>>, StoreError> {
        let live = self.live()?;
        let key = known_key(dedupe.to_vec());
        let seq = self.guarded(|| live.plain(&catalog::KNOWN_EVENTS, &key))?;
        let Some(seq) = seq
            .and_then(|seq| <[u8; 8]>::try_from(seq).ok())
            .map(u64::from_be_bytes)
        else {
            return Ok(None);
        };
        let found = self.events(seq.saturating_sub(1), 1)?;
        Ok(found
            .into_iter()
            .find(|(at, _)| *at == seq)
            .map(|(_, event)| event))
    }

    /// Up to `limit` rows in the order of keys. Damaged rows are left out (and counted and moved aside).
    pub fn scan<T: Table>(&self, scan: Scan<T::Key>, limit: usize) -> Result<Vec<Row<T>>, StoreError> {
        let live = self.live()?;
        self.guarded(|| {
            let rows = live.tree.range(scan.bounds(&T::ENTRY));
            let rows: Box<dyn Iterator<Item = _>> = if scan.is_reverse() {
                Box::new(rows.rev())
            } else {
                Box::new(rows)
            };
            let mut found = Vec::new();
            for item in sled_rows(rows) {
                if found.len() >= limit {
                    break;
                }
                let (key, row) = item?;
                let mut rest = &key[1..];
                let Some(typed) = T::Key::read(&mut rest).filter(|_| rest.is_empty()) else {
                    tracing::error!(table = T::ENTRY.name, key = %hex(&key), "a key does not fit its type");
                    continue;
                };
                if let Some(value) = live.row(&T::ENTRY, &key, row)? {
                    found.push((typed, value));
                }
            }
            Ok(found)
        })
    }

    /// How many rows a table has. It reads them all.
    pub fn count<T: Table>(&self) -> Result<u64, StoreError> {
        let live = self.live()?;
        self.guarded(|| {
            let rows = live.tree.range(Scan::<T::Key>::all().bounds(&T::ENTRY));
            let mut count = 0;
            for row in sled_rows(rows) {
                row?;
                count += 1;
            }
            Ok(count)
        })
    }

    /// The secret of this installation, made at the first start: whatever is derived from it keeps its value.
    pub fn installation_secret(&self) -> Result<[u8; 32], StoreError> {
        Ok(self.live()?.secret)
    }
}
