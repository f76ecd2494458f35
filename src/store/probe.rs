//! Whether the disk takes writes: a file like those that the database is about to write, synced and removed.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::error::StoreError;
use super::open::sled_folder;

/// What must find room beyond a new snapshot.
const ROOM: u64 = 4 << 20;

/// Writes, syncs and removes a file in the data folder.
pub(super) fn write(folder: &Path) -> Result<(), StoreError> {
    let path = folder.join("probe.part");
    let written = try_write(folder, &path);
    let removed = match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    written.and(removed).map_err(|error| StoreError::disk(&error))
}

fn try_write(folder: &Path, path: &Path) -> io::Result<()> {
    let (database, snapshot) = sizes(&sled_folder(folder))?;
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    // Opening the database anew writes a snapshot, and its first commits make its file longer.
    file.seek(SeekFrom::Start(database.saturating_sub(snapshot)))?;
    let block = vec![0x5a; 1 << 16];
    let mut left = snapshot + ROOM;
    while left > 0 {
        let length = left.min(block.len() as u64);
        file.write_all(&block[..usize::try_from(length).unwrap_or(block.len())])?;
        left -= length;
    }
    file.sync_all()
}

/// The length of the database's file, and of its snapshot.
fn sizes(folder: &Path) -> io::Result<(u64, u64)> {
    let (mut database, mut snapshot) = (0, 0);
    let entries = match fs::read_dir(folder) {
        // The disk was full before there was a database.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((0, 0)),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        if name == "db" {
            database = entry.metadata()?.len();
        } else if name.to_string_lossy().starts_with("snap.") {
            snapshot = snapshot.max(entry.metadata()?.len());
        }
    }
    Ok((database, snapshot))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_leaves_nothing_behind_and_tells_of_a_disk_that_refuses() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("sled")).expect("made");
        fs::write(folder.path().join("sled/db"), [0; 100]).expect("written");
        write(folder.path()).expect("there is room");
        assert!(!folder.path().join("probe.part").exists());
        fs::create_dir(folder.path().join("probe.part")).expect("made");
        assert!(matches!(write(folder.path()), Err(StoreError::Disk { .. })));
    }
}
