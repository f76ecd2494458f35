//! Automatic exports: files of a folder of their own, made every so often, the newest few kept.
//!
//! A file is written under another name, synced and renamed, so that one with its own name is whole. It is named by
//! the commit it stands at, which only grows, also over a restore: the last name is the newest. What an export is and
//! how the committer makes it is told in `export`.

use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::config::StoreConfig;
use super::error::StoreError;
use super::export::ExportSummary;
use super::{Store, free};
use crate::base::Timestamp;

const PREFIX: &str = "auto-";
const SUFFIX: &str = ".trunkline";
/// What a file is called until it is whole.
const PART: &str = "auto.part";
/// The pause after an export that failed; also how often is looked whether one is due.
const LOOK: Duration = Duration::from_secs(60);
/// An export is left out that would leave less room than this many of its size: what is stored goes before.
const ROOM_FACTOR: u64 = 2;

/// An automatic export.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AutoExport {
    /// The commit it stands at.
    pub generation: u64,
    pub path: PathBuf,
}

/// The automatic exports of a store, the newest first.
pub(super) fn list(config: &StoreConfig) -> io::Result<Vec<AutoExport>> {
    let entries = match fs::read_dir(config.exports_in()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if let Some(generation) = generation_of(&entry.file_name().to_string_lossy()) {
            found.push(AutoExport {
                generation,
                path: entry.path(),
            });
        }
    }
    found.sort_unstable_by(|one, other| other.cmp(one));
    Ok(found)
}

fn generation_of(name: &str) -> Option<u64> {
    name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.parse().ok()
}

fn name_of(generation: u64) -> String {
    format!("{PREFIX}{generation:020}{SUFFIX}")
}

/// When the newest was made; none if there is none.
fn newest_at(config: &StoreConfig) -> io::Result<Option<Timestamp>> {
    let Some(newest) = list(config)?.into_iter().next() else {
        return Ok(None);
    };
    let made = fs::metadata(newest.path)?.modified()?;
    let since = made.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Ok(Some(Timestamp(
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
    )))
}

/// Whether one is due; a newest one from the future (the clock was put back) does not put the next off for long.
fn is_due(newest: Option<Timestamp>, every: Duration, now: Timestamp) -> bool {
    newest.is_none_or(|newest| now.since(newest) >= every || newest.since(now) > every)
}

/// Removes all but the newest `kept`, and what was cut off.
fn prune(config: &StoreConfig, kept: usize) -> io::Result<()> {
    for old in list(config)?.into_iter().skip(kept.max(1)) {
        fs::remove_file(old.path)?;
    }
    Ok(())
}

impl Store {
    /// Makes an export into the folder of automatic ones, and removes those that are too many.
    pub async fn export_now(&self) -> Result<ExportSummary, StoreError> {
        let config = self.config().clone();
        let folder = config.exports_in();
        let part = folder.join(PART);
        let file = create(&folder, &part)?;
        let written = file
            .try_clone()
            .map_err(StoreError::file("write an export to", &part))?;
        let summary = self.export(BufWriter::with_capacity(1 << 16, written)).await?;
        let finished = tokio::task::spawn_blocking(move || {
            file.sync_all().map_err(StoreError::file("sync", &part))?;
            let path = folder.join(name_of(summary.generation));
            fs::rename(&part, &path).map_err(StoreError::file("name", &path))?;
            let listed = File::open(&folder).and_then(|folder| folder.sync_all());
            listed.map_err(StoreError::file("sync", &folder))?;
            prune(&config, config.exports_kept as usize).map_err(StoreError::file("clear up", &folder))
        });
        finished.await.map_err(StoreError::unavailable)??;
        Ok(summary)
    }

    /// Makes exports as configured, until `stop`: what the supervised task `exports` does. One that fails is told of
    /// and tried again; `alive` is called at every look.
    pub async fn keep_exports(&self, stop: CancellationToken, alive: impl Fn()) {
        let every = *self.config().export_every;
        if every.is_zero() {
            return stop.cancelled().await;
        }
        loop {
            alive();
            match self.export_if_due(every).await {
                Ok(Some(done)) => {
                    metrics::counter!("trunkline_store_exports_total", "outcome" => "made").increment(1);
                    tracing::info!(
                        rows = done.rows,
                        bytes = done.bytes,
                        commit = done.generation,
                        "exported"
                    );
                }
                Ok(None) => {}
                Err(error) => {
                    metrics::counter!("trunkline_store_exports_total", "outcome" => "failed").increment(1);
                    tracing::warn!(error = %crate::base::chain(&error), "no export could be made");
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(every.min(LOOK)) => {}
            }
        }
    }

    async fn export_if_due(&self, every: Duration) -> Result<Option<ExportSummary>, StoreError> {
        let config = self.config();
        let folder = config.exports_in();
        let fault = |error| StoreError::file("look into", &folder)(error);
        let now = Timestamp::now();
        let newest = newest_at(config).map_err(fault)?;
        if let Some(newest) = newest {
            metrics::gauge!("trunkline_store_export_age_seconds").set(now.since(newest).as_secs_f64());
        }
        if !is_due(newest, every, now) || !self.is_open() {
            return Ok(None);
        }
        let last = list(config).map_err(fault)?.into_iter().next();
        if let Some(last) = last {
            let size = fs::metadata(&last.path).map_err(fault)?.len();
            if free::bytes(&folder).map_err(fault)? < size * ROOM_FACTOR {
                let full = io::Error::from(io::ErrorKind::StorageFull);
                return Err(StoreError::file("find room for an export in", &folder)(full));
            }
        }
        self.export_now().await.map(Some)
    }
}

fn create(folder: &Path, part: &Path) -> Result<File, StoreError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(StoreError::file("make", folder))?;
    File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(part)
        .map_err(StoreError::file("write an export to", part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_and_their_order_is_that_of_commits() {
        assert_eq!(generation_of(&name_of(7)), Some(7));
        assert!(name_of(9) < name_of(10));
        for other in [
            "auto.part",
            "auto-7.trunkline.part",
            "backup.trunkline",
            "auto-x.trunkline",
        ] {
            assert_eq!(generation_of(other), None);
        }
    }

    #[test]
    fn one_is_due_when_the_newest_is_old_or_from_the_future() {
        let (every, hour) = (Duration::from_secs(3600), Duration::from_secs(3600));
        let now = Timestamp(1_000_000_000);
        assert!(is_due(None, every, now));
        assert!(is_due(Some(now.minus(hour)), every, now));
        assert!(!is_due(Some(now.minus(hour / 2)), every, now));
        assert!(!is_due(Some(now.plus(hour / 2)), every, now));
        assert!(is_due(Some(now.plus(hour * 2)), every, now));
    }
}
