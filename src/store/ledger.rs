//! The ledger: a small synced file beside the database that remembers how far it had come, since damaged
//! files may open silently empty. The database may be ahead of its ledger, never behind.
//!
//! It has two slots, a block each, which are written in turn through one open file: a cut in the middle of one leaves the
//! other, and it wants no descriptor, no room and no sync of a folder. In a third block stands whether the database must be
//! written over itself before it is opened again (see `rewrite`).

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::apply::Meta;
use super::error::StoreError;
use super::{catalog, digest, row};
use crate::base::file;

pub(super) const NAME: &str = "ledger";
/// What is written at once.
const BLOCK: usize = 4096;
const SLOTS: usize = 2;
/// Slots and mark.
const LENGTH: usize = (SLOTS + 1) * BLOCK;
const MARK: &[u8] = b"the last commits may not be on the disk\n";

/// The ledger of a database that is open.
#[derive(Debug)]
pub(super) struct Ledger {
    file: File,
    /// The slot that is written next.
    slot: usize,
}

impl Ledger {
    /// Opens a folder's ledger, or makes it.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(NAME);
        let open = || -> io::Result<Self> {
            let bytes = bytes(folder)?.unwrap_or_default();
            if bytes.len() != LENGTH {
                file::replace(&path, &image(newest(&bytes).map(|(_, meta)| meta).as_ref()))?;
            }
            let file = File::options().read(true).write(true).open(&path)?;
            let slot = newest(&bytes).map_or(0, |(slot, _)| (slot + 1) % SLOTS);
            Ok(Self { file, slot })
        };
        open().map_err(StoreError::file("open", &path))
    }

    /// Writes how far the database is, and syncs.
    pub fn write(&mut self, meta: &Meta) -> io::Result<()> {
        self.file
            .write_all_at(&slot(Some(meta)), (self.slot * BLOCK) as u64)?;
        self.slot = (self.slot + 1) % SLOTS;
        self.file.sync_data()
    }

    /// Notes that the disk may not have all that the database was given. The note is as durable as that: a cut that takes
    /// it has taken what stood in memory only.
    pub fn mark(&self) -> io::Result<()> {
        self.file.write_all_at(MARK, (SLOTS * BLOCK) as u64)
    }
}

/// Whether the disk may not have all that the database of a folder was given.
pub(super) fn is_marked(folder: &Path) -> io::Result<bool> {
    let bytes = bytes(folder)?.unwrap_or_default();
    Ok(bytes
        .get(SLOTS * BLOCK..)
        .is_some_and(|mark| mark.starts_with(MARK)))
}

/// Takes the mark away: all that the database was given was written again, and synced.
pub(super) fn unmark(folder: &Path) -> io::Result<()> {
    match bytes(folder)? {
        Some(bytes) => file::replace(
            &folder.join(NAME),
            &image(newest(&bytes).map(|(_, meta)| meta).as_ref()),
        ),
        None => Ok(()),
    }
}

/// Reads it; none if there is none or it is unreadable.
pub(super) fn read(folder: &Path) -> io::Result<Option<Meta>> {
    let bytes = bytes(folder)?.unwrap_or_default();
    Ok(newest(&bytes).map(|(_, meta)| meta))
}

/// Writes a new one, and syncs.
pub(super) fn write(folder: &Path, meta: &Meta) -> io::Result<()> {
    file::replace(&folder.join(NAME), &image(Some(meta)))
}

fn bytes(folder: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(folder.join(NAME)) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The newest slot that is whole, and which it is.
fn newest(bytes: &[u8]) -> Option<(usize, Meta)> {
    let slots = bytes.chunks(BLOCK).take(SLOTS).enumerate();
    let whole = slots.filter_map(|(at, slot)| Some((at, parse(std::str::from_utf8(slot).ok()?)?)));
    whole.max_by_key(|(_, meta)| meta.generation)
}

/// A ledger of one slot.
fn image(meta: Option<&Meta>) -> Vec<u8> {
    [slot(meta), slot(None), slot(None)].concat()
}

fn slot(meta: Option<&Meta>) -> Vec<u8> {
    let mut slot = meta.map(text).unwrap_or_default().into_bytes();
    slot.resize(BLOCK - 1, b' ');
    slot.push(b'\n');
    slot
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
    /// How many of them are events.
    pub events: u64,
}

impl Counted {
    /// Takes a row in.
    pub fn add(&mut self, key: &[u8], row: &[u8]) {
        self.rows += 1;
        self.events += u64::from(key.first() == Some(&catalog::JOURNAL.prefix));
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

    fn at(generation: u64) -> Meta {
        Meta { generation, ..META }
    }

    #[test]
    fn it_is_read_back_and_a_changed_one_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(read(folder.path()).expect("reads"), None);
        write(folder.path(), &META).expect("writes");
        assert_eq!(read(folder.path()).expect("reads"), Some(META));
        assert_eq!(parse(&text(&META).replacen('7', "8", 1)), None);
        assert_eq!(parse(""), None);
        // Whatever stands there.
        fs::write(folder.path().join(NAME), [0xff; 2 * LENGTH]).expect("written");
        assert_eq!(read(folder.path()).expect("reads"), None);
        Ledger::open(folder.path())
            .expect("is made anew")
            .write(&META)
            .expect("writes");
        assert_eq!(read(folder.path()).expect("reads"), Some(META));
    }

    #[test]
    fn a_write_that_is_cut_anywhere_leaves_the_one_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(NAME);
        let mut ledger = Ledger::open(folder.path()).expect("opens");
        for generation in 1..8 {
            let before = fs::read(&path).expect("read");
            ledger.write(&at(generation)).expect("writes");
            let after = fs::read(&path).expect("read");
            for cut in (0..BLOCK).step_by(7) {
                let slot = (generation as usize - 1) % SLOTS * BLOCK;
                let mut torn = before.clone();
                torn[slot..slot + cut].copy_from_slice(&after[slot..slot + cut]);
                let known = newest(&torn).map_or(0, |(_, meta)| meta.generation);
                assert!(known == generation || known == generation - 1, "{known} at {cut}");
            }
        }
        drop(ledger);
        let mut ledger = Ledger::open(folder.path()).expect("opens");
        ledger.write(&at(8)).expect("writes");
        let kept = fs::read(&path).expect("read");
        assert!(
            kept.windows(4).any(|text| text == b"1 7 "),
            "the newest one before is kept"
        );
        assert_eq!(read(folder.path()).expect("reads"), Some(at(8)));
    }

    #[test]
    fn its_mark_stays_until_it_is_taken_away() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(!is_marked(folder.path()).expect("reads"));
        unmark(folder.path()).expect("nothing is there");
        let mut ledger = Ledger::open(folder.path()).expect("opens");
        ledger.write(&META).expect("writes");
        ledger.mark().expect("marks");
        ledger.write(&at(8)).expect("writes");
        drop(ledger);
        drop(Ledger::open(folder.path()).expect("opens"));
        assert!(is_marked(folder.path()).expect("reads"));
        unmark(folder.path()).expect("writes");
        assert!(!is_marked(folder.path()).expect("reads"));
        assert_eq!(read(folder.path()).expect("reads"), Some(at(8)));
    }

    #[test]
    fn it_wants_no_descriptor_once_it_is_open() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut ledger = Ledger::open(folder.path()).expect("opens");
        // Neither its name nor its folder is wanted any more.
        fs::remove_dir_all(folder.path()).expect("removes");
        ledger.write(&META).expect("writes");
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
        let counted = |sum, bad| Counted {
            rows: 1000,
            sum,
            bad,
            ..Counted::default()
        };
        assert_eq!(loss(&META, &summed, &counted(5, 0)), None);
        assert!(loss(&META, &summed, &counted(6, 0)).is_some());
        assert_eq!(
            loss(&META, &summed, &counted(6, 1)),
            None,
            "the damaged row is named itself"
        );
    }
}
