//! Opening the data folder: who owns it, what an unlucky start left behind, and whether all is still there.
//!
//! `lock` (one owner), `seal.key` (if it was made here), `ledger`, and `sled/`, which is the database's own.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use super::apply::Meta;
use super::config::StoreConfig;
use super::error::StoreError;
use super::ledger::Counted;
use super::{catalog, exports, ledger};
use crate::base::file::sync_folder;

/// The folder's owner is whoever holds this.
#[derive(Debug)]
pub(super) struct FolderLock {
    _file: File,
}

/// What sled said, in our words.
pub(super) fn sled_fault(error: sled::Error) -> StoreError {
    match error {
        sled::Error::Corruption { .. } | sled::Error::ReportableBug(_) => StoreError::DamagedPage {
            what: error.to_string(),
        },
        sled::Error::Io(error) => StoreError::disk(&error),
        error => StoreError::unavailable(error),
    }
}

/// Makes the folder if it is not there, and takes it.
pub(super) fn take_folder(folder: &Path) -> Result<FolderLock, StoreError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(StoreError::file("make the data folder", folder))?;
    narrow(folder);
    let path = folder.join("lock");
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(StoreError::file("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(FolderLock { _file: file }),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked {
            folder: folder.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(StoreError::file("lock", &path)(source)),
    }
}

/// Takes a folder that somebody else made away from all but its owner. Files in it are their owner's alone in any case, so
/// where that cannot be, or where the folder holds other things too, it is only told of.
fn narrow(folder: &Path) {
    let narrowed = || -> io::Result<bool> {
        let mode = fs::metadata(folder)?.permissions().mode();
        if mode & 0o077 == 0 {
            return Ok(true);
        }
        let ours = ["lock", "sled"].iter().any(|name| folder.join(name).exists());
        if !ours && fs::read_dir(folder)?.next().is_some() {
            return Ok(false);
        }
        fs::set_permissions(folder, fs::Permissions::from_mode(mode & 0o7700))?;
        Ok(true)
    };
    match narrowed() {
        Ok(true) => {}
        Ok(false) => tracing::warn!(
            folder = %folder.display(),
            "others than its owner may look into the data folder, in which there are other things: give it one of its own"
        ),
        Err(error) => tracing::warn!(
            folder = %folder.display(), %error,
            "others than its owner may look into the data folder: its mode stays"
        ),
    }
}

/// The file that says that an import is under way.
pub(super) fn import_mark(folder: &Path) -> PathBuf {
    folder.join("importing")
}

/// Refuses a folder whose import was cut off: what is there is not all.
pub(super) fn refuse_half_import(folder: &Path) -> Result<(), StoreError> {
    if import_mark(folder).exists() {
        return Err(StoreError::BadExport {
            what: format!(
                "an import into {} was cut off; remove what is in it and import again",
                folder.display()
            ),
        });
    }
    Ok(())
}

/// Where sled keeps its files.
pub(super) fn sled_folder(folder: &Path) -> PathBuf {
    folder.join("sled")
}

/// Opens the database of a folder that is ours. A snapshot that cannot be used is moved aside once: the log
/// has all that it had.
pub(super) fn open_sled(config: &StoreConfig) -> Result<sled::Db, StoreError> {
    let folder = sled_folder(&config.folder);
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .map_err(StoreError::file("make", &folder))?;
    for path in snapshots(&folder)? {
        if path.extension().is_some_and(|end| end == "generating") {
            fs::remove_file(&path).map_err(StoreError::file("remove", &path))?;
        }
    }
    let first = match try_open(&folder, config.cache_mb) {
        Ok(db) => return owned_only(db, &folder),
        Err(TryOpen::Io(error)) => return Err(StoreError::file("open the database in", folder)(error)),
        Err(TryOpen::Damaged(what)) => what,
    };
    tracing::warn!(folder = %folder.display(), what = first, "the database did not open; trying without its snapshot");
    let aside = folder.join("aside");
    fs::create_dir_all(&aside).map_err(StoreError::file("make", &aside))?;
    for path in snapshots(&folder)? {
        if let Some(name) = path.file_name() {
            fs::rename(&path, aside.join(name)).map_err(StoreError::file("move aside", &path))?;
        }
    }
    match try_open(&folder, config.cache_mb) {
        Ok(db) => owned_only(db, &folder),
        Err(TryOpen::Io(error)) => Err(StoreError::file("open the database in", folder)(error)),
        Err(TryOpen::Damaged(what)) => Err(StoreError::Damaged {
            folder: config.folder.clone(),
            what,
        }),
    }
}

enum TryOpen {
    Io(io::Error),
    Damaged(String),
}

fn try_open(folder: &Path, cache_mb: u32) -> Result<sled::Db, TryOpen> {
    let config = sled::Config::new()
        .path(folder)
        .cache_capacity(u64::from(cache_mb.max(1)) << 20);
    match catch_unwind(AssertUnwindSafe(|| config.open())) {
        Ok(Ok(db)) => Ok(db),
        Ok(Err(sled::Error::Io(error))) if error.kind() != io::ErrorKind::UnexpectedEof => {
            Err(TryOpen::Io(error))
        }
        Ok(Err(error)) => Err(TryOpen::Damaged(error.to_string())),
        Err(_) => Err(TryOpen::Damaged("sled panicked while reading it".to_owned())),
    }
}

fn snapshots(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let list = || -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with("snap.") {
                found.push(entry.path());
            }
        }
        Ok(found)
    };
    list().map_err(StoreError::file("list", folder))
}

/// Sled makes its files with the usual mode; ours are for the owner only. What was made is there after a power cut.
fn owned_only(db: sled::Db, folder: &Path) -> Result<sled::Db, StoreError> {
    let narrow = || -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let mode = if entry.file_type()?.is_dir() { 0o700 } else { 0o600 };
            fs::set_permissions(entry.path(), fs::Permissions::from_mode(mode))?;
        }
        sync_folder(folder)?;
        sync_folder(folder.parent().unwrap_or(folder))
    };
    narrow().map_err(StoreError::file("set the mode of files in and sync", folder))?;
    Ok(db)
}

/// Refuses a database that lost what its ledger remembers, or what an export of it has.
pub(super) fn refuse_loss(config: &StoreConfig, inside: &Meta, counted: &Counted) -> Result<(), StoreError> {
    let folder = &config.folder;
    // A folder elsewhere may hang, and the start shall not.
    let own = config.export_folder.is_none();
    let exports = own.then(|| exports::list(config)).transpose();
    let exports = exports.map_err(StoreError::file("list the exports of", folder))?;
    let newest = exports.and_then(|exports| Some(exports.first()?.generation));
    if let Some(newest) = newest.filter(|newest| inside.generation < *newest) {
        return Err(StoreError::Shrunk {
            folder: folder.clone(),
            what: format!(
                "it stands at commit {} with {} rows, and an export of it was made at commit {newest}",
                inside.generation, counted.rows
            ),
        });
    }
    let known = ledger::read(folder).map_err(StoreError::file("read the ledger in", folder))?;
    let Some(known) = known else {
        if inside.generation > 0 {
            tracing::warn!(
                rows = counted.rows,
                commits = inside.generation,
                "the ledger is missing, so whether the database is whole is not known; going on with what is there"
            );
        }
        return Ok(());
    };
    match ledger::loss(&known, inside, counted) {
        Some(what) => Err(StoreError::Shrunk {
            folder: folder.clone(),
            what,
        }),
        None => Ok(()),
    }
}

/// The key of the row that holds [`Meta`].
pub(super) fn meta_key() -> Vec<u8> {
    vec![catalog::META.prefix]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_narrowed_if_it_is_ours_alone() {
        let place = tempfile::tempdir().expect("a folder");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o7777;
        for (name, holds, wanted) in [
            ("empty", None, 0o700),
            ("ours", Some("sled"), 0o700),
            ("others", Some("letters"), 0o755),
        ] {
            let folder = place.path().join(name);
            fs::create_dir(&folder).expect("made");
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("set");
            holds
                .map(|name| fs::create_dir(folder.join(name)))
                .transpose()
                .expect("made");
            drop(take_folder(&folder).expect("taken"));
            assert_eq!(mode(&folder), wanted, "{name}");
        }
    }
}
