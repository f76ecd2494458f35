//! Small files that are there whole or not at all: written under another name, synced, renamed, and their folder synced.
//!
//! They are for their owner only. What a kill or a power cut leaves is the file as it was or as it shall be, and perhaps a
//! draft beside it, which the next try takes the place of. Two writers of one file at a time are not looked after.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Puts a file with these bytes into a path, in place of whatever was there.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = draft_of(path);
    let mut file = create(&draft)?;
    let written = file.write_all(bytes).and_then(|()| put(&file, &draft, path));
    if written.is_err() {
        // It may hold a secret, and nobody will read it. A disk that refuses both is told of by the first error.
        drop(fs::remove_file(&draft));
    }
    written
}

/// What a file is called until it is whole.
pub fn draft_of(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".part");
    PathBuf::from(name)
}

/// Makes a file anew that only its owner reads; one that is left over from before goes, whatever its mode was.
pub fn create(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Gives a draft that is written its name, durably.
pub fn put(file: &File, draft: &Path, path: &Path) -> io::Result<()> {
    file.sync_all()?;
    fs::rename(draft, path)?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

/// Makes durable which files a folder has.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    // The parent of a bare name is the empty path.
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_for_its_owner_alone_whatever_was_left() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        fs::write(&path, "old, and longer").expect("written");
        fs::write(draft_of(&path), "half").expect("written");
        fs::set_permissions(draft_of(&path), fs::Permissions::from_mode(0o644)).expect("set");
        replace(&path, b"new").expect("replaced");
        assert_eq!(fs::read(&path).expect("read"), b"new");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!draft_of(&path).exists());
    }

    #[test]
    fn what_cannot_be_put_leaves_the_file_and_no_draft() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        fs::create_dir(&path).expect("made");
        fs::write(path.join("inside"), "kept").expect("written");
        replace(&path, b"new").expect_err("a folder stands there");
        assert_eq!(fs::read(path.join("inside")).expect("read"), b"kept");
        assert!(!draft_of(&path).exists());
    }
}
