//! An export read into an empty folder.
//!
//! Nothing of it is used before all of it was read and its sum found right: until then a mark in the folder makes
//! opening it fail.

use std::fs::{self, File};
use std::io::{self, Read};

use sha2::{Digest, Sha256};

use super::apply::Meta;
use super::catalog::Entry;
use super::decode::decode;
use super::error::StoreError;
use super::export::{ExportSummary, HEAD};
use super::ledger::Counted;
use super::open::{import_mark, meta_key, open_sled, sled_fault, sled_folder, take_folder};
use super::restore::Restored;
use super::row::{self, Packed};
use super::seal::Seal;
use super::start::{secret_key, stored_meta};
use super::table::row_key;
use super::{StoreConfig, catalog, ledger, rotation};

/// How many rows are written at once.
const STEP: usize = 256;
/// The longest key or row that is believed.
const LENGTH_LIMIT: u32 = 1 << 16;

/// Reads an export into the folder of `config`, which must be empty or not there. The seal key is not part of an
/// export: the daemon will want the one of the installation that made it.
pub fn import(config: &StoreConfig, from: impl Read) -> Result<ExportSummary, StoreError> {
    let folder = &config.folder;
    let lock = take_folder(folder)?;
    let database = sled_folder(folder);
    if database.exists() {
        return Err(StoreError::BadExport {
            what: format!(
                "{} holds data already; import into an empty folder",
                folder.display()
            ),
        });
    }
    let mark = import_mark(folder);
    File::create(&mark).map_err(StoreError::file("write", &mark))?;
    let outcome = into(config, from, |meta| {
        let (restored, meta) = Restored::from(meta, None, "it was imported", None);
        // Whoever imports knows of it.
        (
            Restored {
                told: true,
                ..restored
            },
            meta,
        )
    });
    if outcome.is_err() {
        fs::remove_dir_all(&database).map_err(StoreError::file("remove", &database))?;
    }
    fs::remove_file(&mark).map_err(StoreError::file("remove", &mark))?;
    drop(lock);
    outcome.map(|(done, _)| done)
}

/// Reads an export into the folder of `config`, where no database is. `mark` says what the rows tell of it, and where
/// their numbers go on.
pub(super) fn into(
    config: &StoreConfig,
    from: impl Read,
    mark: impl FnOnce(&Meta) -> (Restored, Meta),
) -> Result<(ExportSummary, Restored), StoreError> {
    let tree = open_sled(config)?;
    let mut frames = Frames::new(from);
    frames.head()?;
    let (mut batch, mut counted) = (sled::Batch::default(), Counted::default());
    while let Some((key, row)) = frames.next()? {
        counted.add(&key, &row);
        batch.insert(key, row);
        if frames.done.rows.is_multiple_of(STEP as u64) {
            tree.apply_batch(std::mem::take(&mut batch)).map_err(sled_fault)?;
            sled::pin().flush();
        }
    }
    tree.apply_batch(batch).map_err(sled_fault)?;
    let meta = stored_meta(&tree)?;
    if counted.bad == 0 && meta.sum.is_some_and(|sum| sum != counted.sum) {
        return Err(bad("its rows are not those that it says"));
    }
    let (restored, meta) = mark(&meta);
    write_mark(&tree, &restored, meta, counted)?;
    tree.flush().map_err(sled_fault)?;
    let path = sled_folder(&config.folder).join("db");
    File::open(&path)
        .and_then(|file| file.sync_all())
        .map_err(StoreError::file("sync", &path))?;
    let folder = &config.folder;
    ledger::write(folder, &stored_meta(&tree)?).map_err(StoreError::file("write the ledger in", folder))?;
    Ok((frames.done, restored))
}

/// The row that tells of the restore, and the first row with the numbers that go on.
fn write_mark(
    tree: &sled::Tree,
    restored: &Restored,
    meta: Meta,
    mut counted: Counted,
) -> Result<(), StoreError> {
    let encode = |entry: Entry, plain: Result<Vec<u8>, rmp_serde::encode::Error>| {
        plain.map(Packed::new).map_err(|source| StoreError::Encode {
            table: entry.name,
            source,
        })
    };
    let mut batch = sled::Batch::default();
    let told = encode(catalog::RESTORES, rmp_serde::to_vec_named(restored))?;
    told.rows(row_key(&catalog::RESTORES, &restored.at), |key, row| {
        counted.add(&key, &row);
        batch.insert(key, row);
    });
    let meta = Meta {
        rows: counted.rows + u64::from(meta.generation == 0),
        sum: Some(counted.sum),
        ..meta
    };
    let first = encode(catalog::META, rmp_serde::to_vec_named(&meta))?;
    first.rows(meta_key(), |key, row| batch.insert(key, row));
    tree.apply_batch(batch).map_err(sled_fault)
}

/// Reads an export to its end, and finds whether the seal opens what is sealed in it.
pub(super) fn verify(from: impl Read, seal: Option<&Seal>) -> Result<(), StoreError> {
    let mut frames = Frames::new(from);
    frames.head()?;
    let (secret, mut opens) = (secret_key(), true);
    while let Some((key, row)) = frames.next()? {
        let Some(seal) = seal else { continue };
        if key == secret {
            opens = row::open(&catalog::INSTALLATION, &key, &row, Some(seal), |_| None).is_ok();
        } else if rotation::knows(&key, &row, seal) {
            opens = true;
        }
    }
    opens
        .then_some(())
        .ok_or_else(|| bad("it was sealed with another key"))
}

/// Key and bytes.
type StoredRow = (Vec<u8>, Vec<u8>);

struct Frames<R> {
    from: R,
    sum: Sha256,
    done: ExportSummary,
}

fn bad(what: impl Into<String>) -> StoreError {
    StoreError::BadExport { what: what.into() }
}

impl<R: Read> Frames<R> {
    fn new(from: R) -> Self {
        Self {
            from,
            sum: Sha256::new(),
            done: ExportSummary::default(),
        }
    }

    fn take(&mut self, len: usize) -> Result<Vec<u8>, StoreError> {
        let mut bytes = vec![0; len];
        self.from
            .read_exact(&mut bytes)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => bad("it ends too early"),
                _ => bad(format!("it cannot be read: {error}")),
            })?;
        self.done.bytes += len as u64;
        Ok(bytes)
    }

    fn summed(&mut self, len: usize) -> Result<Vec<u8>, StoreError> {
        let bytes = self.take(len)?;
        self.sum.update(&bytes);
        Ok(bytes)
    }

    fn head(&mut self) -> Result<(), StoreError> {
        if self.summed(HEAD.len())? == HEAD {
            Ok(())
        } else {
            Err(bad("it does not begin as one"))
        }
    }

    fn length(&mut self) -> Result<(u32, Vec<u8>), StoreError> {
        let bytes = self.summed(4)?;
        let length = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        if length > LENGTH_LIMIT {
            return Err(bad("a row of it is longer than any"));
        }
        Ok((length, bytes))
    }

    /// The next row; none at a sound end.
    fn next(&mut self) -> Result<Option<StoredRow>, StoreError> {
        let (key_length, mut frame) = self.length()?;
        if key_length == 0 {
            return self.end().map(|()| None);
        }
        let (row_length, length) = self.length()?;
        frame.extend(length);
        let key = self.summed(key_length as usize)?;
        let row = self.summed(row_length as usize)?;
        frame.extend_from_slice(&key);
        frame.extend_from_slice(&row);
        if self.summed(4)? != crc32fast::hash(&frame).to_le_bytes() {
            return Err(bad(format!("row {} of it is damaged", self.done.rows + 1)));
        }
        self.done.rows += 1;
        if key == meta_key()
            && let Ok(Some(plain)) = row::open(&catalog::META, &key, &row, None, |_| None)
            && let Ok(meta) = decode::<Meta>(&plain)
        {
            self.done.generation = meta.generation;
        }
        Ok(Some((key, row)))
    }

    fn end(&mut self) -> Result<(), StoreError> {
        let rows = self.summed(8)?;
        if rows != self.done.rows.to_le_bytes() {
            return Err(bad("rows of it are missing"));
        }
        let sum = self.sum.clone().finalize();
        if self.take(32)?.as_slice() != sum.as_slice() {
            return Err(bad("its sum differs"));
        }
        Ok(())
    }
}
