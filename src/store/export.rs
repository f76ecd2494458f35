//! A consistent copy of all rows while commits go on.
//!
//! "Consistent" means: exactly the rows as they were between two commits. Sled has no snapshots, so the committer makes
//! the copy itself, in slices between its groups and in the order of keys. What a group changes behind the slice's
//! position was copied already; of what it changes ahead of it, the row as it was at the beginning is kept in memory
//! until the copy gets there. So commits wait for one slice at most.
//!
//! The committer only gathers rows. A thread of the export's own frames, sums and writes them; a slice ends when that one has
//! enough to do. A copy whose writer takes nothing for a while, or is so slow that too much is kept for it, is given up: then
//! its owner hears of it, and the writer ends when whatever holds it lets go.
//!
//! The form: a line, then frames `key length u32, row length u32, key, row, crc32 of these` (little-endian), then
//! `0 u32, number of rows u64, SHA-256 of all before it`. Rows are copied as stored: sealed values stay sealed.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, Write};
use std::ops::Bound;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::sync::{Arc, Mutex};
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
/// What is handed to a writer at once, and how much of that may wait for it.
const CHUNK_ROWS: usize = 512;
const CHUNK_BYTES: usize = 1 << 20;
const CHUNKS: usize = 4;
/// How often is looked whether a writer that had enough to do takes more.
const LOOK: Duration = Duration::from_millis(10);
/// A copy for which more than this is kept is given up.
const KEPT_BYTES: usize = 128 << 20;
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

/// An export that somebody waits for, as the committer has it.
pub(super) struct Order {
    chunks: SyncSender<Chunk>,
    reply: Reply,
    /// How long the writer may take nothing.
    patience: Duration,
}

/// Who waits for an export: the first answer counts, the writer's or the committer's.
#[derive(Clone)]
struct Reply(Arc<Mutex<Option<Waiting>>>);

type Waiting = oneshot::Sender<Result<ExportSummary, StoreError>>;

impl Reply {
    fn give(&self, answer: Result<ExportSummary, StoreError>) {
        let waiting = self.0.lock().unwrap_or_else(|poison| poison.into_inner()).take();
        if let Some(waiting) = waiting {
            // One that went away needs no answer.
            drop(waiting.send(answer));
        }
    }
}

/// What the committer hands to a writer.
#[derive(Default)]
struct Chunk {
    rows: Vec<(IVec, IVec)>,
    bytes: usize,
    /// The commit at which the copy stands, with the last rows.
    end: Option<u64>,
}

impl Chunk {
    fn add(&mut self, key: IVec, row: IVec) {
        self.bytes += key.len() + row.len();
        self.rows.push((key, row));
    }

    fn is_full(&self) -> bool {
        self.rows.len() >= CHUNK_ROWS || self.bytes >= CHUNK_BYTES
    }
}

/// An export being made, on the committer's side.
struct Copy {
    order: Order,
    generation: u64,
    position: Bound<Vec<u8>>,
    /// Rows ahead of the position that were changed meanwhile, as they were.
    before: BTreeMap<Vec<u8>, Option<IVec>>,
    /// How much that is.
    kept: usize,
    /// What the writer did not take yet, and since when it takes nothing.
    chunk: Chunk,
    stuck: Option<Instant>,
}

/// What became of a slice.
#[derive(Debug, PartialEq, Eq)]
enum Sliced {
    More,
    /// The writer has enough to do.
    Waits,
    Over,
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

    /// How long the committer may sleep until there is something to do; none if there is nothing.
    pub fn pause(&self) -> Option<Duration> {
        match &self.current {
            Some(copy) if copy.stuck.is_some() => Some(LOOK),
            Some(_) => Some(Duration::ZERO),
            None => (!self.waiting.is_empty()).then_some(Duration::ZERO),
        }
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
                copy.kept += key.len() + old.map_or(0, |row| row.len());
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
        if let Some(why) = copy.hopeless() {
            tracing::error!(why, "an export is given up");
            copy.order.reply.give(Err(StoreError::unavailable(why)));
            return Ok(());
        }
        match copy.slice(tree) {
            Ok(Sliced::Over) => {}
            Ok(Sliced::More | Sliced::Waits) => self.current = Some(copy),
            Err(error) if ends(&error) => return Err(error),
            Err(error) => copy.order.reply.give(Err(error)),
        }
        Ok(())
    }
}

impl Copy {
    fn new(order: Order, generation: u64) -> Self {
        Self {
            order,
            generation,
            position: Bound::Unbounded,
            before: BTreeMap::new(),
            kept: 0,
            chunk: Chunk::default(),
            stuck: None,
        }
    }

    /// Why it will come to no end, if it will not.
    fn hopeless(&self) -> Option<String> {
        if self
            .stuck
            .is_some_and(|since| since.elapsed() >= self.order.patience)
        {
            return Some(format!(
                "where it is written to has taken nothing for {:?}",
                self.order.patience
            ));
        }
        (self.kept > KEPT_BYTES).then(|| {
            format!(
                "more than {} MiB were changed before it was written",
                KEPT_BYTES >> 20
            )
        })
    }

    fn slice(&mut self, tree: &sled::Tree) -> Result<Sliced, StoreError> {
        let begun = Instant::now();
        // What the writer would not take before goes first.
        if let Some(end) = self.hand_over() {
            return Ok(end);
        }
        let mut rows = tree.range::<Vec<u8>, _>((self.position.clone(), Bound::Unbounded));
        for _ in 0..SLICE_ROWS {
            let Some((key, row)) = rows.next().transpose().map_err(sled_fault)? else {
                self.take_before(None);
                self.chunk.end = Some(self.generation);
                return Ok(self.hand_over().unwrap_or(Sliced::More));
            };
            self.take_before(Some(&key));
            let before = self.before.remove(key.as_ref());
            if let Some(before) = &before {
                self.kept -= key.len() + before.as_ref().map_or(0, |row| row.len());
            }
            self.position = Bound::Excluded(key.to_vec());
            if let Some(row) = before.unwrap_or(Some(row)) {
                self.chunk.add(key, row);
            }
            if let Some(end) = self.hand_over() {
                return Ok(end);
            }
            if begun.elapsed() > SLICE_TIME {
                break;
            }
        }
        Ok(Sliced::More)
    }

    /// Takes the rows before `end` that were there at the beginning and are gone.
    fn take_before(&mut self, end: Option<&[u8]>) {
        while let Some(first) = self.before.first_entry() {
            if end.is_some_and(|end| first.key().as_slice() >= end) {
                break;
            }
            let (key, row) = first.remove_entry();
            self.kept -= key.len() + row.as_ref().map_or(0, |row| row.len());
            if let Some(row) = row {
                self.chunk.add(key.into(), row);
            }
        }
    }

    /// Hands the chunk to the writer, if it is full; says how the slice ends, if it does.
    fn hand_over(&mut self) -> Option<Sliced> {
        let last = self.chunk.end.is_some();
        if !last && !self.chunk.is_full() {
            return None;
        }
        match self.order.chunks.try_send(std::mem::take(&mut self.chunk)) {
            Ok(()) => {
                self.stuck = None;
                last.then_some(Sliced::Over)
            }
            Err(TrySendError::Full(chunk)) => {
                self.chunk = chunk;
                self.stuck.get_or_insert_with(Instant::now);
                Some(Sliced::Waits)
            }
            // It failed, and has answered.
            Err(TrySendError::Disconnected(_)) => Some(Sliced::Over),
        }
    }
}

/// The writer of an export: frames and sums what it is handed.
struct Writer<W> {
    out: W,
    sum: Sha256,
    done: ExportSummary,
}

impl<W: Write> Writer<W> {
    fn new(out: W) -> Self {
        Self {
            out,
            sum: Sha256::new(),
            done: ExportSummary::default(),
        }
    }

    /// Writes to its end; none if the committer gave it up.
    fn run(mut self, chunks: &Receiver<Chunk>) -> io::Result<Option<ExportSummary>> {
        self.write(HEAD)?;
        while let Ok(chunk) = chunks.recv() {
            for (key, row) in &chunk.rows {
                self.row(key, row)?;
            }
            if let Some(generation) = chunk.end {
                self.done.generation = generation;
                return self.end().map(Some);
            }
        }
        Ok(None)
    }

    fn row(&mut self, key: &[u8], row: &[u8]) -> io::Result<()> {
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

    fn end(mut self) -> io::Result<ExportSummary> {
        self.write(&0u32.to_le_bytes())?;
        let rows = self.done.rows.to_le_bytes();
        self.write(&rows)?;
        let sum = self.sum.clone().finalize();
        self.write(&sum)?;
        self.out.flush()?;
        // What is written is closed before its owner hears of it.
        drop(self.out);
        Ok(self.done)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sum.update(bytes);
        self.done.bytes += bytes.len() as u64;
        self.out.write_all(bytes)
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
    /// Writes a consistent copy of all rows while commits go on. A thread of its own writes, so `out` may be slow; one
    /// that takes nothing for `store.export_patience` is given up.
    pub async fn export(&self, out: impl Write + Send + 'static) -> Result<ExportSummary, StoreError> {
        let (chunks, inbox) = mpsc::sync_channel(CHUNKS);
        let (reply, answer) = oneshot::channel();
        let reply = Reply(Arc::new(Mutex::new(Some(reply))));
        let order = Order {
            chunks,
            reply: reply.clone(),
            patience: *self.config().export_patience,
        };
        let jobs = self.live()?.jobs.clone();
        let thread = std::thread::Builder::new().name("trunkline-export".to_owned());
        let work = move || {
            let answer = match Writer::new(out).run(&inbox) {
                Ok(Some(done)) => Ok(done),
                Ok(None) => Err(StoreError::unavailable(
                    "the committer ended before the export did",
                )),
                Err(error) => Err(StoreError::file("write", "the export")(error)),
            };
            reply.give(answer);
        };
        thread.spawn(work).map_err(StoreError::unavailable)?;
        jobs.send(Job::Export(order))
            .map_err(|_| StoreError::unavailable("it is closing"))?;
        answer
            .await
            .unwrap_or_else(|_| Err(StoreError::unavailable("the export's writer panicked")))
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
