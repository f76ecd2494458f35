//! The first admin key: made at the first start, shown once.
//!
//! A terminal sees it; otherwise it is written to a file that only the owner reads. It is handed
//! over before it is stored: a crash in between leaves a dead text, never a key that nobody knows.

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use crate::base::{Secret, file};

/// The file in the data folder that keeps the first admin key.
pub const FIRST_KEY_FILE: &str = "admin.key";

/// Shows the key to whoever started the daemon.
pub(super) fn hand_over(key: &Secret, folder: &Path) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if out.is_terminal() {
        writeln!(out, "The first admin key, shown only now: {}", key.expose())?;
        return out.flush();
    }
    let path = folder.join(FIRST_KEY_FILE);
    write(&path, key)?;
    tracing::info!(path = %path.display(), "the first admin key was written to a file");
    Ok(())
}

/// Writes a file that only its owner reads, whole or not at all.
fn write(path: &Path, key: &Secret) -> io::Result<()> {
    file::replace(path, format!("{}\n", key.expose()).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_file_is_for_its_owner_alone_even_if_one_was_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(FIRST_KEY_FILE);
        fs::write(&path, "old").expect("written");
        write(&path, &Secret::new("tlk_x")).expect("written");
        assert_eq!(fs::read_to_string(&path).expect("read"), "tlk_x\n");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
