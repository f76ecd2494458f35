//! The database's files written over themselves, after the disk refused something.
//!
//! When a sync fails, the kernel takes the pages that it could not write for clean: they are read as if they were on the disk,
//! are never written again, and the next sync succeeds without them. So whatever is to stand behind them is worth nothing
//! until they are written anew. Writing the same bytes into their place is enough. Nobody may have the database open meanwhile.
//!
//! What the kernel has thrown away by then is gone: this does not bring it back, and opening the database tells whether
//! something is missing.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::base::file::sync_folder;

/// How much is written at once.
const BLOCK: usize = 1 << 18;

/// Writes every file in a folder, and in the folders in it, over itself, and syncs them. How many bytes those were; no
/// folder is none.
pub(super) fn over_itself(folder: &Path) -> io::Result<u64> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    let mut bytes = 0;
    for entry in entries {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            bytes += over_itself(&entry.path())?;
        } else if kind.is_file() {
            bytes += file(&entry.path())?;
        }
    }
    sync_folder(folder)?;
    Ok(bytes)
}

fn file(path: &Path) -> io::Result<u64> {
    let file = File::options().read(true).write(true).open(path)?;
    let mut block = vec![0; BLOCK];
    let mut at = 0;
    loop {
        let read = file.read_at(&mut block, at)?;
        if read == 0 {
            break;
        }
        file.write_all_at(&block[..read], at)?;
        at += read as u64;
    }
    file.sync_all()?;
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_written_and_none_is_changed() {
        let folder = tempfile::tempdir().expect("a folder");
        let inside = folder.path().join("blobs");
        fs::create_dir(&inside).expect("made");
        let files = [
            (folder.path().join("db"), BLOCK * 2 + 7),
            (folder.path().join("conf"), 0),
            (inside.join("1"), BLOCK),
        ];
        let bytes = |length: usize| (0..length).map(|at| (at % 251) as u8).collect::<Vec<_>>();
        let old = std::time::SystemTime::UNIX_EPOCH;
        for (path, length) in &files {
            fs::write(path, bytes(*length)).expect("written");
            let file = File::options().write(true).open(path).expect("opens");
            file.set_modified(old).expect("set");
        }
        let written = over_itself(folder.path()).expect("written");
        assert_eq!(written as usize, BLOCK * 3 + 7);
        for (path, length) in &files {
            assert_eq!(fs::read(path).expect("read"), bytes(*length));
            let changed = fs::metadata(path).expect("there").modified().expect("known");
            assert_eq!(changed > old, *length > 0, "{}", path.display());
        }
        assert_eq!(over_itself(&folder.path().join("none")).expect("nothing"), 0);
    }
}
