//! The world on disk: one file with all that is known, a folder of file contents, the server's key.
//!
//! The world is written whole, aside first and then renamed, a moment after it changed and at the end.
//! Not promised: that the last second survives a power cut; uploads that are not posted yet do not.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::world::State;
use super::world::files::hex;
use sha2::{Digest, Sha256};

/// The form in which the world is written.
const VERSION: u32 = 1;

/// What cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The system says no.
    #[error("{path} cannot be used")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Not a world.
    #[error("{path} does not hold a world that this version reads")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
}

/// A folder that holds a world.
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
    saved: HashSet<String>,
}

#[derive(Serialize)]
struct Written<'a> {
    version: u32,
    state: &'a State,
}

#[derive(Deserialize)]
struct Read {
    version: u32,
    state: State,
}

/// What has to be written: the world's bytes and the contents that are new.
pub struct Snapshot {
    world: Vec<u8>,
    contents: Vec<(String, Arc<Vec<u8>>)>,
}

impl Disk {
    /// Opens or makes the folder.
    pub fn open(folder: &Path) -> Result<Self, DiskError> {
        let files = folder.join("files");
        fs::create_dir_all(&files).map_err(|source| DiskError::Io { path: files, source })?;
        Ok(Self {
            folder: folder.to_owned(),
            saved: HashSet::new(),
        })
    }

    /// Where the server's key is kept.
    pub fn key_file(&self) -> PathBuf {
        self.folder.join("rsa.pem")
    }

    /// The world, if one is there.
    pub fn load(&mut self) -> Result<Option<State>, DiskError> {
        let path = self.folder.join("world");
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(DiskError::Io { path, source }),
        };
        let mut state = match rmp_serde::from_slice::<Read>(&bytes) {
            Ok(read) if read.version == VERSION => read.state,
            _ => return Err(DiskError::Foreign { path }),
        };
        let hashes: HashSet<String> = state
            .files
            .stored
            .values()
            .flat_map(|file| file.hashes().cloned())
            .collect();
        for hash in hashes {
            let path = self.folder.join("files").join(&hash);
            match fs::read(&path) {
                Ok(bytes) if hex(&Sha256::digest(&bytes)) == hash => {
                    state.files.bytes.insert(hash.clone(), Arc::new(bytes));
                    self.saved.insert(hash);
                }
                Ok(_) => tracing::warn!(file = hash, "a file's content is damaged; it is left out"),
                Err(source) => return Err(DiskError::Io { path, source }),
            }
        }
        Ok(Some(state))
    }

    /// What of a world has to be written.
    pub fn snapshot(&self, state: &State) -> Option<Snapshot> {
        let world = rmp_serde::to_vec_named(&Written {
            version: VERSION,
            state,
        })
        .ok()?;
        let new = state
            .files
            .bytes
            .iter()
            .filter(|(hash, _)| !self.saved.contains(*hash));
        Some(Snapshot {
            world,
            contents: new.map(|(hash, bytes)| (hash.clone(), bytes.clone())).collect(),
        })
    }

    /// Writes it: contents first, so that the world never names one that is not there.
    pub fn save(&mut self, snapshot: Snapshot) -> Result<(), DiskError> {
        for (hash, bytes) in snapshot.contents {
            replace(&self.folder.join("files").join(&hash), &bytes)?;
            self.saved.insert(hash);
        }
        replace(&self.folder.join("world"), &snapshot.world)
    }
}

/// Puts bytes into a file by way of another one. Nobody else may read it: keys are in there.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    let aside = path.with_extension("new");
    let write = || -> io::Result<()> {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&aside)?;
        file.write_all(bytes)?;
        fs::rename(&aside, path)
    };
    write().map_err(|source| DiskError::Io {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::super::seed::Seed;
    use super::super::world::files::FileKind;
    use super::*;

    #[test]
    fn a_world_comes_back_with_its_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut disk = Disk::open(folder.path()).expect("opens");
        assert!(disk.load().expect("reads").is_none());
        let mut state = State::new(9);
        Seed::example()
            .expect("an example")
            .plant(&mut state)
            .expect("planted");
        let kind = FileKind::Document {
            mime: "text/plain".into(),
            attributes: vec![],
        };
        let file = state.keep_file(b"hello".to_vec(), kind);
        state.sent.insert((1, super::super::world::Peer::Group(2), 3), 4);
        state.keys.known.entry(5).or_default().seq = 6;
        let snapshot = disk.snapshot(&state).expect("written down");
        disk.save(snapshot).expect("saved");

        let again = Disk::open(folder.path())
            .expect("opens")
            .load()
            .expect("reads")
            .expect("a world");
        assert_eq!(again.view().chats.len(), state.view().chats.len());
        assert_eq!(again.sent, state.sent);
        assert_eq!(again.keys.known[&5].seq, 6, "numbers of updates go on");
        let stored = &again.files.stored[&file];
        assert_eq!(again.bytes_of(stored).as_deref(), Some(&b"hello".to_vec()));
    }

    #[test]
    fn something_else_is_not_taken_for_a_world() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("world"), b"nonsense").expect("written");
        let error = Disk::open(folder.path())
            .expect("opens")
            .load()
            .expect_err("not a world");
        assert!(matches!(error, DiskError::Foreign { .. }));
    }
}
