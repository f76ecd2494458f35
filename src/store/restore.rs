//! A damaged database replaced by the last good export: what is lost is counted, and nothing is thrown away.
//!
//! The new database is made beside the old one and takes its place by renaming, so that a kill at any moment leaves
//! the one or the other; the old one is moved into `damaged/`. A restore never gives a number out twice: commits, events
//! and tasks go on far behind the last ones that the ledger knows, so no reader's place in the journal comes to mean
//! another event. The cursors and update states are older afterwards, and Telegram's difference brings again what came
//! since; whoever causes effects must know that those of that time may have happened ([`Store::restored_at`]).

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::apply::Meta;
use super::error::StoreError;
use super::exports;
use super::import;
use super::open::{sled_folder, take_folder};
use super::seal::{Seal, Sources};
use super::table::{Scan, Table};
use super::{Batch, Store, StoreConfig, catalog, ledger};
use crate::base::{Timestamp, file};

/// Where the new database is made.
const STAGING: &str = "restoring";
/// Its last file: what stands before it is whole. It names where the damaged one goes.
const COMPLETE: &str = "complete";
/// Where damaged databases are kept.
const ASIDE: &str = "damaged";
/// How far numbers leap beyond the last ones that the ledger knows; it is written every two seconds.
const LEAP: u64 = 1 << 24;
/// The same where no ledger tells.
const BLIND_LEAP: u64 = 1 << 40;

/// That the store was restored or imported, and what was lost by it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// When.
    pub at: Timestamp,
    /// Why, in words.
    pub why: String,
    /// When the last commit was made that is still there.
    pub stands_at: Option<Timestamp>,
    /// How many commits are known to be lost, at least; the last seconds before are not.
    pub commits: Option<u64>,
    /// How many events.
    pub events: Option<u64>,
    /// How many tasks were made since.
    pub tasks: Option<u64>,
    /// The folder with the damaged database.
    pub aside: Option<String>,
    /// Whether a person was told.
    pub told: bool,
}

/// The restores there were, by time.
pub(super) struct Restores;

impl Table for Restores {
    const ENTRY: catalog::Entry = catalog::RESTORES;
    type Key = Timestamp;
    type Value = Restored;
}

/// The newest automatic export that is whole and opens with our seal key.
pub(super) fn newest(config: &StoreConfig) -> Option<PathBuf> {
    let found = match exports::list(config) {
        Ok(found) => found,
        Err(error) => {
            tracing::error!(folder = %config.exports_in().display(), %error, "exports cannot be listed");
            return None;
        }
    };
    found.into_iter().map(|export| export.path).find(|path| {
        let usable = usable(config, path);
        if let Err(error) = &usable {
            tracing::error!(path = %path.display(), error = %crate::base::chain(error), "an export cannot be used");
        }
        usable.is_ok()
    })
}

fn usable(config: &StoreConfig, path: &Path) -> Result<(), StoreError> {
    let key = Sources::of_process(config.seal_key_file.clone()).key(&config.folder, false)?;
    import::verify(read(path)?, key.as_ref().map(Seal::new).as_ref())
}

fn read(path: &Path) -> Result<BufReader<File>, StoreError> {
    let file = File::open(path).map_err(StoreError::file("read", path))?;
    Ok(BufReader::with_capacity(1 << 16, file))
}

/// Restores a damaged database from the last automatic export; false if there is none that can be used.
pub(super) fn automatic(config: &StoreConfig, damage: &StoreError) -> Result<bool, StoreError> {
    let Some(path) = newest(config) else {
        return Ok(false);
    };
    restore(config, &path, &damage.to_string()).map(|_| true)
}

/// Replaces the database of a stopped daemon's folder by an export: the one given, or the last automatic one.
pub fn restore_by_hand(config: &StoreConfig, path: Option<&Path>) -> Result<Restored, StoreError> {
    let path = match path {
        Some(path) => {
            usable(config, path)?;
            path.to_owned()
        }
        None => newest(config).ok_or_else(|| StoreError::BadExport {
            what: format!(
                "there is no usable one of this data folder in {}; one of another folder must be named",
                config.exports_in().display()
            ),
        })?,
    };
    restore(config, &path, "somebody asked for it")
}

fn restore(config: &StoreConfig, path: &Path, why: &str) -> Result<Restored, StoreError> {
    let folder = &config.folder;
    let lock = take_folder(folder)?;
    let staging = folder.join(STAGING);
    discard(&staging)?;
    fs::DirBuilder::new()
        .mode(0o700)
        .create(&staging)
        .map_err(StoreError::file("make", &staging))?;
    let known = ledger::read(folder).map_err(StoreError::file("read the ledger in", folder))?;
    let stamp = format!("{ASIDE}/{}", Timestamp::now().0);
    let replaces = sled_folder(folder).exists();
    let inside = StoreConfig {
        folder: staging.clone(),
        ..config.clone()
    };
    let (_, restored) = import::into(&inside, read(path)?, |meta| {
        Restored::from(meta, known.as_ref(), why, replaces.then(|| folder.join(&stamp)))
    })?;
    let complete = staging.join(COMPLETE);
    file::replace(&complete, stamp.as_bytes())
        .and_then(|()| file::sync_folder(folder))
        .map_err(StoreError::file("write", &complete))?;
    finish(folder)?;
    drop(lock);
    restored.tell(path);
    Ok(restored)
}

/// Ends a restore that was cut off after its new database was whole, and clears one away that was cut off before.
pub(super) fn finish(folder: &Path) -> Result<(), StoreError> {
    let staging = folder.join(STAGING);
    let complete = staging.join(COMPLETE);
    let stamp = match fs::read_to_string(&complete) {
        Ok(stamp) if stamp.is_empty() => return discard(&staging),
        Ok(stamp) => stamp,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return discard(&staging),
        // What is whole must not go because it could not be looked at.
        Err(error) => return Err(StoreError::file("read", complete)(error)),
    };
    let put = || -> io::Result<()> {
        let (database, ledger) = (sled_folder(&staging), staging.join(ledger::NAME));
        if database.exists() {
            let aside = folder.join(&stamp);
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&aside)?;
            move_if_there(&sled_folder(folder), &aside.join("sled"))?;
            move_if_there(&folder.join(ledger::NAME), &aside.join(ledger::NAME))?;
            file::sync_folder(&aside)?;
            file::sync_folder(folder)?;
            fs::rename(&database, sled_folder(folder))?;
        }
        move_if_there(&ledger, &folder.join(ledger::NAME))?;
        file::sync_folder(folder)
    };
    put().map_err(StoreError::file("put the restored database into", folder))?;
    discard(&staging)
}

fn move_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        moved => moved,
    }
}

fn discard(staging: &Path) -> Result<(), StoreError> {
    // Its mark goes first: what is half removed must not be taken for a whole one.
    for gone in [
        fs::remove_file(staging.join(COMPLETE)),
        fs::remove_dir_all(staging),
    ] {
        match gone {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError::file("remove", staging)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

impl Restored {
    /// The restore of an export that stands at `meta`, and where the numbers go on.
    pub(super) fn from(meta: &Meta, known: Option<&Meta>, why: &str, aside: Option<PathBuf>) -> (Self, Meta) {
        let leap = if known.is_some() { LEAP } else { BLIND_LEAP };
        let last = known.copied().unwrap_or_default();
        let beyond = |here: u64, there: u64| here.max(there).saturating_add(leap);
        let lost = |here: u64, there: u64| known.map(|_| there.saturating_sub(here));
        let restored = Self {
            at: Timestamp::now(),
            why: why.to_owned(),
            stands_at: meta.at,
            commits: lost(meta.generation, last.generation),
            events: lost(meta.seq, last.seq),
            tasks: lost(meta.number, last.number),
            aside: aside.map(|path| path.display().to_string()),
            told: false,
        };
        let next = Meta {
            generation: beyond(meta.generation, last.generation),
            seq: beyond(meta.seq, last.seq),
            number: beyond(meta.number, last.number),
            ..*meta
        };
        (restored, next)
    }

    fn tell(&self, path: &Path) {
        metrics::counter!("trunkline_store_restores_total").increment(1);
        metrics::counter!("trunkline_store_lost_commits_total").increment(self.commits.unwrap_or(0));
        metrics::counter!("trunkline_store_lost_events_total").increment(self.events.unwrap_or(0));
        tracing::error!(
            export = %path.display(),
            stands_at = ?self.stands_at,
            lost_commits = self.commits,
            lost_events = self.events,
            lost_tasks = self.tasks,
            aside = self.aside,
            why = self.why,
            "the store was restored from an export"
        );
    }
}

impl Store {
    /// When it was last restored or imported: what was to happen before may have happened although it is not stored.
    pub fn restored_at(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.live()?.restored_at)
    }

    /// The restores that no person was told of.
    pub fn restores_untold(&self) -> Result<Vec<Restored>, StoreError> {
        let mut found = self.scan::<Restores>(Scan::all(), usize::MAX)?;
        found.retain(|(_, restored)| !restored.told);
        Ok(found.into_iter().map(|(_, restored)| restored).collect())
    }

    /// A person was told of a restore.
    pub async fn restore_told(&self, restored: Restored) -> Result<(), StoreError> {
        let mut batch = Batch::new();
        let told = Restored {
            told: true,
            ..restored
        };
        batch.put::<Restores>(&told.at, &told);
        self.commit(batch).await.map(drop)
    }
}

/// When the last restore was, from the rows themselves.
pub(super) fn last(tree: &sled::Tree) -> Result<Option<Timestamp>, StoreError> {
    let row = tree.scan_prefix([catalog::RESTORES.prefix]).keys().next_back();
    let key = row.transpose().map_err(super::open::sled_fault)?;
    Ok(key.and_then(|key| super::key::KeyBytes::read(&mut key.get(1..)?)))
}
