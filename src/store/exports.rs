//! Automatic exports: files of a folder of their own, made every so often, the newest few kept.
//!
//! A file is written under another name, synced and renamed, so that one with its own name is whole. It is named by the
//! data folder that it is of (its tag, made once) and by the commit it stands at, which only grows, also over a restore: the
//! last name is the newest. Several daemons may have one folder for their exports: each lists, removes and restores its own
//! only. What an export is and how the committer makes it is told in `export`.
//!
//! The folder may be another machine's, and hang. So whatever is done there is done by a thread of its own, one at a time;
//! who waits for it stops waiting when it shall stop, and nothing new is begun before the last step is over.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::config::StoreConfig;
use super::error::StoreError;
use super::export::ExportSummary;
use super::{Shared, Store, free};
use crate::base::{Timestamp, file};

const PREFIX: &str = "auto-";
const SUFFIX: &str = ".trunkline";
/// The file in the data folder with the tag of its exports.
const TAG: &str = "export-tag";
/// The pause after an export that failed; also how often is looked whether one is due.
const LOOK: Duration = Duration::from_secs(60);
/// How often somebody who waits for the folder shows life.
const LIFE: Duration = Duration::from_secs(2);
/// An export is left out that would leave less room than this many of its size: what is stored goes before.
const ROOM_FACTOR: u64 = 2;

/// What the exports of a data folder are called by: eight hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tag(String);

impl Tag {
    /// The tag of a data folder; none if it has none yet, or something else stands there.
    fn of(folder: &Path) -> io::Result<Option<Self>> {
        let text = match fs::read_to_string(folder.join(TAG)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(None),
            text => text?,
        };
        let digits = text.trim_ascii();
        let digit = |digit: u8| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit);
        let sound = digits.len() == 8 && digits.bytes().all(digit);
        Ok(sound.then(|| Self(digits.to_owned())))
    }

    /// Makes one for a data folder that has none.
    pub fn make(folder: &Path) -> Result<(), StoreError> {
        let path = folder.join(TAG);
        let make = || -> io::Result<()> {
            if Self::of(folder)?.is_some() {
                return Ok(());
            }
            let mut tag = [0; 4];
            getrandom::fill(&mut tag).map_err(io::Error::other)?;
            file::replace(&path, format!("{:08x}\n", u32::from_be_bytes(tag)).as_bytes())
        };
        make().map_err(StoreError::file("make", &path))
    }

    fn generation_of(&self, name: &str) -> Option<u64> {
        let rest = name.strip_prefix(PREFIX)?.strip_prefix(&self.0)?;
        rest.strip_prefix('-')?.strip_suffix(SUFFIX)?.parse().ok()
    }

    fn name_of(&self, generation: u64) -> String {
        format!("{PREFIX}{}-{generation:020}{SUFFIX}", self.0)
    }

    /// What an export is called until it is whole.
    fn draft(&self) -> String {
        format!("{PREFIX}{}.part", self.0)
    }
}

/// An automatic export.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AutoExport {
    /// The commit it stands at.
    pub generation: u64,
    pub path: PathBuf,
}

/// The automatic exports of a data folder, the newest first.
pub(super) fn list(config: &StoreConfig) -> io::Result<Vec<AutoExport>> {
    let Some(tag) = Tag::of(&config.folder)? else {
        return Ok(Vec::new());
    };
    let entries = match fs::read_dir(config.exports_in()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if let Some(generation) = tag.generation_of(&entry.file_name().to_string_lossy()) {
            found.push(AutoExport {
                generation,
                path: entry.path(),
            });
        }
    }
    found.sort_unstable_by(|one, other| other.cmp(one));
    Ok(found)
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

/// A step on the folder that is under way, until it is dropped.
struct Step(Arc<Shared>);

impl Step {
    fn begin(shared: &Arc<Shared>) -> Self {
        shared.export_steps.begin();
        Self(shared.clone())
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.0.export_steps.end();
    }
}

/// A file whose every write is a step.
struct Stepping {
    file: Arc<File>,
    shared: Arc<Shared>,
}

impl Write for Stepping {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _step = Step::begin(&self.shared);
        (&*self.file).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An export whose file is there, and is not written yet.
struct Draft {
    tag: Tag,
    file: Arc<File>,
    path: PathBuf,
}

fn draft(config: &StoreConfig) -> Result<Draft, StoreError> {
    let folder = config.exports_in();
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .map_err(StoreError::file("make", &folder))?;
    let tag = Tag::of(&config.folder).map_err(StoreError::file("read the tag in", &config.folder))?;
    let tag = tag.ok_or_else(|| StoreError::unavailable("its data folder has no tag for exports"))?;
    let path = folder.join(tag.draft());
    let file = file::create(&path).map_err(StoreError::file("write an export to", &path))?;
    Ok(Draft {
        tag,
        file: Arc::new(file),
        path,
    })
}

impl Draft {
    /// Gives it its name, and removes those that are too many.
    fn finish(&self, config: &StoreConfig, generation: u64) -> Result<(), StoreError> {
        let folder = config.exports_in();
        let path = folder.join(self.tag.name_of(generation));
        file::put(&self.file, &self.path, &path).map_err(StoreError::file("name", &path))?;
        prune(config, config.exports_kept as usize).map_err(StoreError::file("clear up", &folder))
    }
}

/// When the newest was made, and whether another one is due and there is room for it.
fn look(config: &StoreConfig, every: Duration) -> Result<(Option<Timestamp>, bool), StoreError> {
    let folder = config.exports_in();
    let fault = |error| StoreError::file("look into", &folder)(error);
    let newest = newest_at(config).map_err(fault)?;
    if !is_due(newest, every, Timestamp::now()) {
        return Ok((newest, false));
    }
    if let Some(last) = list(config).map_err(fault)?.into_iter().next() {
        let size = fs::metadata(&last.path).map_err(fault)?.len();
        if free::bytes(&folder).map_err(fault)? < size * ROOM_FACTOR {
            let full = io::Error::from(io::ErrorKind::StorageFull);
            return Err(StoreError::file("find room for an export in", &folder)(full));
        }
    }
    Ok((newest, true))
}

impl Store {
    /// Makes an export into the folder of automatic ones, and removes those that are too many.
    pub async fn export_now(&self) -> Result<ExportSummary, StoreError> {
        let config = self.config().clone();
        let draft = self.step(move || draft(&config)).await?;
        let out = Stepping {
            file: draft.file.clone(),
            shared: self.shared.clone(),
        };
        let summary = self.export(BufWriter::with_capacity(1 << 16, out)).await?;
        let config = self.config().clone();
        self.step(move || draft.finish(&config, summary.generation))
            .await?;
        Ok(summary)
    }

    /// How long the folder of automatic exports has taken for what is done there now; none if that is not worth telling.
    pub fn export_hangs(&self) -> Option<Duration> {
        let patience = *self.config().export_patience;
        self.shared
            .export_steps
            .under_way()
            .filter(|took| *took >= patience)
    }

    /// Works on the folder of exports by a thread of its own, which may hang there.
    async fn step<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, StoreError> {
        self.refuse_while_stepping()?;
        let (done, is_done) = oneshot::channel();
        let step = Step::begin(&self.shared);
        let thread = std::thread::Builder::new().name("trunkline-exports".to_owned());
        let work = move || {
            let outcome = work();
            drop(step);
            // Whoever asked may have gone.
            drop(done.send(outcome));
        };
        thread.spawn(work).map_err(StoreError::unavailable)?;
        is_done
            .await
            .unwrap_or_else(|_| Err(StoreError::unavailable("work on the folder of exports panicked")))
    }

    /// A thread that hangs in the folder is enough.
    fn refuse_while_stepping(&self) -> Result<(), StoreError> {
        match self.shared.export_steps.under_way() {
            None => Ok(()),
            Some(took) => Err(StoreError::unavailable(format!(
                "the folder of exports has taken {} s for what was begun there",
                took.as_secs()
            ))),
        }
    }

    /// Makes exports as configured, until `stop`: what the supervised task `exports` does. One that fails is told of
    /// and tried again; `alive` is called at every look.
    pub async fn keep_exports(&self, stop: CancellationToken, alive: impl Fn()) {
        let every = *self.config().export_every;
        if every.is_zero() {
            return stop.cancelled().await;
        }
        loop {
            let mut export = std::pin::pin!(self.export_if_due(every));
            let outcome = loop {
                alive();
                tokio::select! {
                    outcome = &mut export => break outcome,
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(LIFE) => {}
                }
            };
            match outcome {
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
                () = tokio::time::sleep(every.min(LOOK)) => alive(),
            }
        }
    }

    async fn export_if_due(&self, every: Duration) -> Result<Option<ExportSummary>, StoreError> {
        let config = self.config().clone();
        let (newest, due) = self.step(move || look(&config, every)).await?;
        if let Some(newest) = newest {
            let age = Timestamp::now().since(newest);
            metrics::gauge!("trunkline_store_export_age_seconds").set(age.as_secs_f64());
        }
        if !due || !self.is_open() {
            return Ok(None);
        }
        self.export_now().await.map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_and_their_order_is_that_of_commits() {
        let tag = Tag("00c0ffee".to_owned());
        assert_eq!(tag.generation_of(&tag.name_of(7)), Some(7));
        assert!(tag.name_of(9) < tag.name_of(10));
        let others = Tag("00c0ffef".to_owned()).name_of(7);
        for other in [
            &tag.draft(),
            "auto-7.trunkline",
            "auto-00c0ffee-7.trunkline.part",
            "auto-00c0ffee-x.trunkline",
            "auto-00c0ffee7.trunkline",
            "backup.trunkline",
            &others,
        ] {
            assert_eq!(tag.generation_of(other), None);
        }
    }

    #[test]
    fn a_tag_is_made_once_and_again_only_where_none_can_be_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let read = || Tag::of(folder.path()).expect("reads");
        assert_eq!(read(), None);
        Tag::make(folder.path()).expect("makes");
        let tag = read();
        assert!(tag.is_some());
        Tag::make(folder.path()).expect("is there");
        assert_eq!(read(), tag);
        for spoilt in [b"".as_slice(), b"00C0FFEE", b"00c0ffe", b"../../ab", &[0xff; 8]] {
            fs::write(folder.path().join(TAG), spoilt).expect("written");
            assert_eq!(read(), None);
        }
        Tag::make(folder.path()).expect("makes");
        assert!(read().is_some());
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
