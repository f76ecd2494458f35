//! The ledger: a small synced file beside the database that remembers how far it had come, since damaged
//! files may open silently empty. The database may be ahead of its ledger, never behind.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread::{self, JoinHandle};

use super::apply::Meta;
use super::error::StoreError;
use super::{catalog, digest, row};

pub(super) const NAME: &str = "ledger";

/// Reads it; none if there is none or it is unreadable.
pub(super) fn read(folder: &Path) -> io::Result<Option<Meta>> {
    match fs::read_to_string(folder.join(NAME)) {
        Ok(text) => Ok(parse(&text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes it anew, and syncs.
pub(super) fn write(folder: &Path, meta: &Meta) -> io::Result<()> {
    let part = folder.join("ledger.part");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&part)?;
    file.write_all(text(meta).as_bytes())?;
    file.sync_all()?;
    fs::rename(&part, folder.join(NAME))?;
    fs::File::open(folder)?.sync_all()
}

/// Writes the ledger on a thread of its own: a new file takes a disk tens of milliseconds at times, which no commit
/// shall wait for. Dropping it waits for what it has begun.
#[derive(Default)]
pub(super) struct Writer(Option<JoinHandle<Result<(), StoreError>>>);

impl Writer {
    /// Whether it is still at it.
    pub fn is_busy(&self) -> bool {
        self.0.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Begins to write, once the time before is over.
    pub fn begin(
        &mut self,
        write: impl FnOnce() -> Result<(), StoreError> + Send + 'static,
    ) -> Result<(), StoreError> {
        self.finish()?;
        let thread = thread::Builder::new().name("trunkline-ledger".to_owned());
        self.0 = Some(thread.spawn(write).map_err(StoreError::unavailable)?);
        Ok(())
    }

    /// Waits for what it has begun, and tells what became of it.
    pub fn finish(&mut self) -> Result<(), StoreError> {
        let Some(thread) = self.0.take() else {
            return Ok(());
        };
        thread
            .join()
            .unwrap_or_else(|_| Err(StoreError::unavailable("writing the ledger panicked")))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Err(error) = self.finish() {
            tracing::warn!(error = %crate::base::chain(&error), "the ledger was not written");
        }
    }
}

fn line(meta: &Meta) -> String {
    format!("1 {} {} {} {}", meta.generation, meta.seq, meta.number, meta.rows)
}

fn text(meta: &Meta) -> String {
    let line = line(meta);
    let crc = crc32fast::hash(line.as_bytes());
    format!("{line} {crc:08x}\ncommits, events, tasks and rows of the database beside this file\n")
}

fn parse(text: &str) -> Option<Meta> {
    let fields: Vec<&str> = text.lines().next()?.split(' ').collect();
    let &["1", generation, seq, number, rows, crc] = fields.as_slice() else {
        return None;
    };
    let meta = Meta {
        generation: generation.parse().ok()?,
        seq: seq.parse().ok()?,
        number: number.parse().ok()?,
        rows: rows.parse().ok()?,
        sum: None,
        at: None,
    };
    (format!("{:08x}", crc32fast::hash(line(&meta).as_bytes())) == crc).then_some(meta)
}

/// What the rows of a database came to when all of them were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    /// How many there are.
    pub rows: u64,
    /// Their sum, without the first one's.
    pub sum: u64,
    /// How many of them fail their checksum.
    pub bad: u64,
}

impl Counted {
    /// Takes a row in.
    pub fn add(&mut self, key: &[u8], row: &[u8]) {
        self.rows += 1;
        self.bad += u64::from(row::is_damaged(key, row));
        if key != [catalog::META.prefix] {
            self.sum = self.sum.wrapping_add(digest::of_row(key, row));
        }
    }
}

/// What the database lost, by its ledger and by its own account; none if it is as it should be.
///
/// Damaged rows are found and named one by one when they are read; with some of them there, and in a database that
/// kept no sum, a few missing rows are let pass.
pub(super) fn loss(ledger: &Meta, inside: &Meta, counted: &Counted) -> Option<String> {
    if inside.generation < ledger.generation {
        return Some(format!(
            "it stands at commit {} with {} rows, and had reached commit {} with {} rows",
            inside.generation, counted.rows, ledger.generation, ledger.rows
        ));
    }
    let missing = inside.rows.saturating_sub(counted.rows);
    if missing > 64.max(inside.rows / 100) {
        return Some(format!("{missing} of its {} rows are missing", inside.rows));
    }
    if counted.bad == 0 && inside.sum.is_some_and(|sum| sum != counted.sum) {
        return Some(format!(
            "its {} rows are not the {} that commit {} left",
            counted.rows, inside.rows, inside.generation
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const META: Meta = Meta {
        generation: 7,
        seq: 3,
        number: 2,
        rows: 1000,
        sum: None,
        at: None,
    };

    #[test]
    fn it_is_read_back_and_a_changed_one_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(read(folder.path()).expect("reads"), None);
        write(folder.path(), &META).expect("writes");
        assert_eq!(read(folder.path()).expect("reads"), Some(META));
        assert_eq!(parse(&text(&META).replacen('7', "8", 1)), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn its_writer_tells_later_what_became_of_it() {
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let mut writer = Writer::default();
        let write = move || wait.recv().map_err(StoreError::unavailable);
        writer.begin(write).expect("begins");
        assert!(writer.is_busy());
        go.send(()).expect("it waits");
        writer.finish().expect("was written");
        assert!(!writer.is_busy());
        writer
            .begin(|| Err(StoreError::unavailable("no room")))
            .expect("begins");
        assert!(writer.begin(|| Ok(())).is_err(), "the time before failed");
        writer.finish().expect("nothing was begun");
    }

    #[test]
    fn going_back_or_missing_rows_is_a_loss() {
        let counted = |rows| Counted {
            rows,
            ..Counted::default()
        };
        assert_eq!(loss(&META, &META, &counted(1000)), None);
        assert_eq!(loss(&META, &META, &counted(990)), None);
        assert!(loss(&META, &META, &counted(900)).is_some());
        assert!(loss(&META, &Meta::default(), &counted(0)).is_some());
        let ahead = Meta {
            generation: 9,
            rows: 1,
            ..META
        };
        assert_eq!(loss(&META, &ahead, &counted(1)), None);
    }

    #[test]
    fn one_row_that_is_another_one_is_a_loss() {
        let summed = Meta { sum: Some(5), ..META };
        let counted = |sum, bad| Counted { rows: 1000, sum, bad };
        assert_eq!(loss(&META, &summed, &counted(5, 0)), None);
        assert!(loss(&META, &summed, &counted(6, 0)).is_some());
        assert_eq!(
            loss(&META, &summed, &counted(6, 1)),
            None,
            "the damaged row is named itself"
        );
    }
}
