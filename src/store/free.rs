//! How much room a disk has.

use std::io;
use std::path::Path;

/// The bytes that are free for us where a folder stands, or its parent if it is not there yet.
pub(super) fn bytes(folder: &Path) -> io::Result<u64> {
    let there = folder.ancestors().find(|folder| folder.exists());
    let room = rustix::fs::statvfs(there.unwrap_or(Path::new(".")))?;
    Ok(room.f_bavail.saturating_mul(room.f_frsize))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_folder_that_is_not_there_yet_has_the_room_of_its_parent() {
        let folder = tempfile::tempdir().expect("a folder");
        let there = super::bytes(folder.path()).expect("told");
        assert!(there > 0);
        assert!(super::bytes(&folder.path().join("not/yet")).is_ok());
    }
}
