//! `trunkline store check`: reads every row of a stopped store and says what is wrong with it. It repairs nothing.

use std::collections::BTreeMap;
use std::io;

use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::apply::dead_id_key;
use super::batch::JournalRow;
use super::catalog::{self, Entry};
use super::decode::decode;
use super::error::StoreError;
use super::journal::event_key;
use super::key::KeyBytes;
use super::lane::{DeadKey, DeadRow, TaskKey, TaskRow};
use super::ledger::Counted;
use super::open::{open_sled, refuse_loss, sled_fault, sled_folder, take_folder};
use super::read::{guarded, hex};
use super::row::{self, Fault};
use super::seal::{Seal, Sources};
use super::start::stored_meta;
use super::{StoreConfig, quarantine, rotation};
use crate::model::Event;

/// How many findings are listed; all are counted.
const LISTED: usize = 100;

/// What `check` found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// How many rows there are.
    pub rows: u64,
    /// How many commits there were.
    pub commits: u64,
    /// The last event's sequence number.
    pub last_event: u64,
    /// Rows by table.
    pub tables: Vec<TableReport>,
    /// How many findings there are.
    pub faults: u64,
    /// The first of them.
    pub findings: Vec<Finding>,
    /// Whether sealed values were unsealed too; not so without the seal key.
    pub unsealed: bool,
}

/// One table's rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TableReport {
    /// Its name.
    pub table: &'static str,
    /// How many rows it has.
    pub rows: u64,
    /// Their bytes, keys included.
    pub bytes: u64,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The table.
    pub table: &'static str,
    /// The row's key, in hexadecimal.
    pub key: String,
    /// What is wrong.
    pub what: String,
}

/// Opens the store of a folder, which nobody else may have open, and verifies every row.
pub fn check(config: &StoreConfig) -> Result<CheckReport, StoreError> {
    if !sled_folder(&config.folder).exists() {
        let missing = io::Error::from(io::ErrorKind::NotFound);
        return Err(StoreError::file("find a store in", &config.folder)(missing));
    }
    let lock = take_folder(&config.folder)?;
    let key = Sources::of_process(config.seal_key_file.clone()).key(&config.folder, false)?;
    let tree = open_sled(config)?;
    let seal = key.map(|key| rotation::seal(&tree, key)).transpose()?;
    let mut check = Check {
        seal: seal.map(|(seal, _)| seal),
        tree: &tree,
        tables: BTreeMap::new(),
        report: CheckReport::default(),
    };
    let outcome = guarded(|| check.all(config));
    let mut report = check.report;
    report.tables = check.tables.into_values().collect();
    drop(tree);
    drop(lock);
    outcome.map(|()| report)
}

struct Check<'a> {
    seal: Option<Seal>,
    tree: &'a sled::Tree,
    tables: BTreeMap<u8, TableReport>,
    report: CheckReport,
}

impl Check<'_> {
    fn all(&mut self, config: &StoreConfig) -> Result<(), StoreError> {
        self.report.unsealed = self.seal.is_some();
        let mut counted = Counted::default();
        for item in self.tree.iter() {
            let (key, bytes) = item.map_err(sled_fault)?;
            counted.add(&key, &bytes);
            let prefix = key.first().copied().unwrap_or(0);
            let entry = catalog::of_prefix(prefix);
            let table = self.tables.entry(prefix).or_default();
            table.table = entry.map_or("unknown", |entry| entry.name);
            table.rows += 1;
            table.bytes += (key.len() + bytes.len()) as u64;
            let Some(entry) = entry else {
                self.fault("unknown", &key, "it belongs to no table of this release");
                continue;
            };
            if let Err(what) = self.row(&entry, &key, &bytes)? {
                self.fault(entry.name, &key, &what);
            }
        }
        self.report.rows = counted.rows;
        match stored_meta(self.tree) {
            Ok(meta) => {
                self.report.commits = meta.generation;
                self.report.last_event = meta.seq;
                if let Err(error) = refuse_loss(config, &meta, &counted) {
                    self.fault(catalog::META.name, &[], &error.to_string());
                }
                let missing = meta.rows.saturating_sub(counted.rows);
                if missing > 0 {
                    let what = format!("{missing} of its {} rows are missing", meta.rows);
                    self.fault(catalog::META.name, &[], &what);
                }
            }
            Err(error) => self.fault(catalog::META.name, &[], &error.to_string()),
        }
        Ok(())
    }

    fn fault(&mut self, table: &'static str, key: &[u8], what: &str) {
        self.report.faults += 1;
        if self.report.findings.len() < LISTED {
            self.report.findings.push(Finding {
                table,
                key: hex(key.get(1..).unwrap_or(&[])),
                what: what.to_owned(),
            });
        }
    }

    fn row(&self, entry: &Entry, key: &[u8], bytes: &[u8]) -> Result<Result<(), String>, StoreError> {
        if *entry == catalog::PARTS {
            return self.part(key, bytes);
        }
        let mut fault = None;
        let opened = row::open(entry, key, bytes, self.seal.as_ref(), |part| {
            match self.tree.get(part) {
                Ok(row) => row.map(|row| row.to_vec()),
                Err(error) => {
                    fault = Some(sled_fault(error));
                    None
                }
            }
        });
        if let Some(error) = fault {
            return Err(error);
        }
        match opened {
            Ok(Some(plain)) => self.value(entry, key, &plain),
            Ok(None) => Ok(Err("parts of it are missing".to_owned())),
            Err(Fault::Bad(what)) => Ok(Err(what.to_owned())),
            Err(Fault::Seal) if self.seal.is_none() => Ok(Ok(())),
            Err(Fault::Seal) => Ok(Err("its seal is broken".to_owned())),
            Err(Fault::Version(version)) => Ok(Err(format!("it has the form {version} of another release"))),
        }
    }

    /// A further part: its own sum is found by its first row's reader, here it must have such a row.
    fn part(&self, key: &[u8], bytes: &[u8]) -> Result<Result<(), String>, StoreError> {
        let Some((head, at)) = key[1..].split_last_chunk::<2>() else {
            return Ok(Err("it is the part of nothing".to_owned()));
        };
        let head = self.tree.get(head).map_err(sled_fault)?;
        let parts = head.map_or(0, |row| row::parts_of(&row));
        if u16::from_be_bytes(*at) >= parts {
            return Ok(Err("it is the part of nothing".to_owned()));
        }
        Ok(row::is_sound_part(key, bytes)
            .then_some(())
            .ok_or("its checksum differs".to_owned()))
    }

    fn value(&self, entry: &Entry, key: &[u8], plain: &[u8]) -> Result<Result<(), String>, StoreError> {
        let table = *entry;
        if [catalog::CURSORS, catalog::KNOWN_EVENTS].contains(&table) {
            let Some(seq) = u64::read(&mut &*plain).filter(|_| plain.len() == 8) else {
                return Ok(Err("it is no sequence number".to_owned()));
            };
            if table == catalog::KNOWN_EVENTS {
                return self.points_to(&event_key(seq), "its event is missing");
            }
            return Ok(Ok(()));
        }
        if table == catalog::INSTALLATION {
            return Ok(Ok(()));
        }
        if table == catalog::JOURNAL {
            return Ok(parsed::<JournalRow<Event>>(plain).map(drop));
        }
        if table == catalog::TASKS {
            return match (TaskKey::of_row(key), parsed::<TaskRow>(plain)) {
                (Some(_), Ok(_)) => Ok(Ok(())),
                (None, _) => Ok(Err("its key names no lane".to_owned())),
                (_, Err(what)) => Ok(Err(what)),
            };
        }
        if table == catalog::DEAD_LETTERS {
            return match (DeadKey::of_row(key), parsed::<DeadRow>(plain)) {
                (Some(_), Ok(row)) => self.points_to(&dead_id_key(row.task.id), "it is not found by its id"),
                (None, _) => Ok(Err("its key names no time".to_owned())),
                (_, Err(what)) => Ok(Err(what)),
            };
        }
        if table == catalog::DEAD_IDS {
            return match parsed::<DeadKey>(plain) {
                Ok(key) => self.points_to(&key.row(), "its dead letter is missing"),
                Err(what) => Ok(Err(what)),
            };
        }
        Ok(parsed::<IgnoredAny>(plain).map(|_| ()))
    }

    fn points_to(&self, key: &[u8], otherwise: &str) -> Result<Result<(), String>, StoreError> {
        let there = self.tree.contains_key(key).map_err(sled_fault)?;
        // What was moved aside is known to be missing, and listed as such.
        let aside = !there
            && self
                .tree
                .contains_key(quarantine::aside_key(key))
                .map_err(sled_fault)?;
        Ok((there || aside).then_some(()).ok_or(otherwise.to_owned()))
    }
}

fn parsed<V: DeserializeOwned>(plain: &[u8]) -> Result<V, String> {
    decode(plain).map_err(|error| format!("it does not fit its type: {error}"))
}
