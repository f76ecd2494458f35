//! A consistent copy of all rows while commits go on.
//!
//! "Consistent" means: exactly the rows as they were between two commits. Sled has no snapshots, so the committer makes
//! the copy itself, in slices between its groups and in the order of keys. What a group changes behind the slice's
//! position was copied already; of what it changes ahead of it, the row as it was at the beginning is kept in memory
//! until the copy gets there. So commits wait for one slice at most, and memory is bounded by what is changed meanwhile.
//!
//! The form: a line, then frames `key length u32, row length u32, key, row, crc32 of these` (little-endian), then
//! `0 u32, number of rows u64, SHA-256 of all before it`. Rows are copied as stored: sealed values stay sealed.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, Write};
use std::ops::Bound;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;
use sha2::{Digest, Sha256};
use sled::IVec;
use tokio::sync::oneshot;

use super::Store;
use super::committer::{Job, ends};
use super::error::StoreError;
use super::open::sled_fault;
use super::stage::Stage;

/// The first line of an export.
pub(super) const HEAD: &[u8] = b"trunkline export 1\n";
/// The most rows of a slice.
const SLICE_ROWS: usize = 4096;
/// The longest that commits wait for a slice (once its rows were read).
const SLICE_TIME: Duration = Duration::from_millis(4);
/// How the files of exports begin while they are made.
const PART: &str = "export.part.";

/// What was exported or imported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ExportSummary {
    /// How many rows.
    pub rows: u64,
    /// How many bytes.
    pub bytes: u64,
    /// The commit after which the copy was made.
    pub generation: u64,
}

/// An export that somebody waits for.
pub(super) struct Order {
    pub out: Box<dyn Write + Send>,
    pub reply: oneshot::Sender<Result<ExportSummary, StoreError>>,
}

/// An export being made.
struct Copy {
    order: Order,
    sum: Sha256,
    done: ExportSummary,
    position: Bound<Vec<u8>>,
    /// Rows ahead of the position that were changed meanwhile, as they were.
    before: BTreeMap<Vec<u8>, Option<IVec>>,
}

/// The exports that the committer makes, one after the other.
#[derive(Default)]
pub(super) struct Exports {
    current: Option<Copy>,
    waiting: VecDeque<Order>,
}

impl Exports {
    pub fn push(&mut self, order: Order) {
        self.waiting.push_back(order);
    }

    /// Whether there is something to do.
    pub fn is_busy(&self) -> bool {
        self.current.is_some() || !self.waiting.is_empty()
    }

    /// Remembers what a group is about to change.
    pub fn note(&mut self, stage: &Stage<'_>) {
        let Some(copy) = &mut self.current else { return };
        for (key, old, _) in stage.changes() {
            let ahead = match &copy.position {
                Bound::Excluded(position) | Bound::Included(position) => key > position,
                Bound::Unbounded => true,
            };
            if ahead && !copy.before.contains_key(key) {
                copy.before.insert(key.clone(), old.cloned());
            }
        }
    }

    /// Copies one slice, or begins or ends an export.
    pub fn slice(&mut self, tree: &sled::Tree, generation: u64) -> Result<(), StoreError> {
        let Some(mut copy) = self.current.take() else {
            self.current = self.waiting.pop_front().map(|order| Copy::new(order, generation));
            return Ok(());
        };
        match copy.slice(tree) {
            Ok(false) => self.current = Some(copy),
            Ok(true) => copy.answer(None),
            Err(Failed::Writer(error)) => copy.answer(Some(StoreError::file("write", "the export")(error))),
            Err(Failed::Sled(error)) if ends(&error) => return Err(error),
            Err(Failed::Sled(error)) => copy.answer(Some(error)),
        }
        Ok(())
    }
}

enum Failed {
    Writer(io::Error),
    Sled(StoreError),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Writer(error)
    }
}

impl Copy {
    fn new(order: Order, generation: u64) -> Self {
        Self {
            order,
            sum: Sha256::new(),
            done: ExportSummary {
                generation,
                ..ExportSummary::default()
            },
            position: Bound::Unbounded,
            before: BTreeMap::new(),
        }
    }

    /// Whether that was the last one.
    fn slice(&mut self, tree: &sled::Tree) -> Result<bool, Failed> {
        let begun = Instant::now();
        if self.position == Bound::Unbounded {
            self.write(HEAD)?;
        }
        let mut rows = tree.range::<Vec<u8>, _>((self.position.clone(), Bound::Unbounded));
        for _ in 0..SLICE_ROWS {
            let Some((key, row)) = rows
                .next()
                .transpose()
                .map_err(|error| Failed::Sled(sled_fault(error)))?
            else {
                self.write_before(None)?;
                self.write_end()?;
                return Ok(true);
            };
            self.write_before(Some(&key))?;
            match self.before.remove(key.as_ref()) {
                Some(before) => self.write_row(&key, before.as_deref())?,
                None => self.write_row(&key, Some(&row))?,
            }
            self.position = Bound::Excluded(key.to_vec());
            if begun.elapsed() > SLICE_TIME {
                break;
            }
        }
        Ok(false)
    }

    /// Writes the rows before `end` that were there at the beginning and are gone.
    fn write_before(&mut self, end: Option<&[u8]>) -> Result<(), Failed> {
        while let Some(first) = self.before.first_entry() {
            if end.is_some_and(|end| first.key().as_slice() >= end) {
                break;
            }
            let (key, row) = first.remove_entry();
            self.write_row(&key, row.as_deref())?;
        }
        Ok(())
    }

    fn write_row(&mut self, key: &[u8], row: Option<&[u8]>) -> Result<(), Failed> {
        let Some(row) = row else { return Ok(()) };
        let mut frame = Vec::with_capacity(key.len() + row.len() + 12);
        frame.extend_from_slice(&length(key)?);
        frame.extend_from_slice(&length(row)?);
        frame.extend_from_slice(key);
        frame.extend_from_slice(row);
        frame.extend_from_slice(&crc32fast::hash(&frame).to_le_bytes());
        self.write(&frame)?;
        self.done.rows += 1;
        Ok(())
    }

    fn write_end(&mut self) -> Result<(), Failed> {
        self.write(&0u32.to_le_bytes())?;
        let rows = self.done.rows.to_le_bytes();
        self.write(&rows)?;
        let sum = self.sum.clone().finalize();
        self.write(&sum)?;
        self.order.out.flush()?;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failed> {
        self.sum.update(bytes);
        self.done.bytes += bytes.len() as u64;
        Ok(self.order.out.write_all(bytes)?)
    }

    fn answer(self, error: Option<StoreError>) {
        let answer = error.map_or(Ok(self.done), Err);
        // The writer is closed before its owner hears of it; one that went away needs no answer.
        drop(self.order.out);
        drop(self.order.reply.send(answer));
    }
}

fn length(bytes: &[u8]) -> io::Result<[u8; 4]> {
    let length = u32::try_from(bytes.len()).map_err(|_| io::Error::other("a row is over 4 GiB"))?;
    Ok(length.to_le_bytes())
}

/// Removes what an export left behind that was cut off as it began.
pub(super) fn clean(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(PART) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

impl Store {
    /// Writes a consistent copy of all rows while commits go on. The committer writes, so `out` must be quick: a
    /// file, a buffer, never a socket (for that there is [`Self::export_file`]).
    pub async fn export(&self, out: impl Write + Send + 'static) -> Result<ExportSummary, StoreError> {
        let (reply, answer) = oneshot::channel();
        let order = Order {
            out: Box::new(out),
            reply,
        };
        self.live()?
            .jobs
            .send(Job::Export(order))
            .map_err(|_| StoreError::unavailable("it is closing"))?;
        answer.await.unwrap_or_else(|_| {
            Err(StoreError::unavailable(
                "the committer ended before the export did",
            ))
        })
    }

    /// A consistent copy in a file that has no name and goes when it is closed, ready to be read from its beginning.
    pub async fn export_file(&self) -> Result<(File, ExportSummary), StoreError> {
        let name = format!("{PART}{}", ulid::Ulid::new());
        let path = self.shared.config.folder.join(name);
        let fault = |error| StoreError::file("write an export to", &path)(error);
        let mut file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(fault)?;
        fs::remove_file(&path).map_err(fault)?;
        let summary = self
            .export(BufWriter::new(file.try_clone().map_err(fault)?))
            .await?;
        file.rewind().map_err(fault)?;
        Ok((file, summary))
    }
}
