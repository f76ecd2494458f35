//! Uploaded files, with what they are.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::pictures;
use super::place::Place;
use super::refusal::Refusal;
use super::state::State;
use super::uploading::Upload;

/// Files of the world.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Files {
    /// Whole files by number.
    pub stored: HashMap<i64, Stored>,
    /// Contents by the hash of their bytes.
    #[serde(skip)]
    pub bytes: HashMap<String, Arc<Vec<u8>>>,
    /// Uploads under way by account and its own number of the file.
    #[serde(skip)]
    pub(super) uploads: HashMap<(i64, i64), Upload>,
    count: i64,
}

/// A whole file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stored {
    /// Its number.
    pub id: i64,
    /// What it is.
    pub kind: FileKind,
    /// The SHA-256 of its bytes, in hexadecimal.
    pub hash: String,
    /// How many bytes.
    pub size: usize,
    /// When it came, in seconds.
    pub date: i32,
    /// Counts how often its references were made to expire.
    pub epoch: u32,
    /// Where it was posted first: if that chat is protected, the file is too.
    pub home: Option<Place>,
    /// The data centre where it lies, once it was posted.
    #[serde(default)]
    pub dc: Option<i32>,
    /// A picture that was made anew, in several sizes.
    #[serde(default)]
    pub anew: bool,
    /// It goes once it was seen, and may not be handed on.
    #[serde(default)]
    pub vanishes: bool,
    /// What a document is shown by.
    #[serde(default)]
    pub thumb: Option<Thumb>,
}

/// A small picture that a document is shown by.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Thumb {
    /// The SHA-256 of its bytes, in hexadecimal.
    pub hash: String,
    /// How many bytes.
    pub size: usize,
    /// Its width.
    pub width: i32,
    /// Its height.
    pub height: i32,
}

/// The letter of a document's thumbnail.
pub const THUMB: &str = "m";

impl Stored {
    /// The hashes of all that is kept of it.
    pub fn hashes(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.hash).chain(self.thumb.as_ref().map(|thumb| &thumb.hash))
    }
}

/// What a file is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FileKind {
    /// A picture.
    Photo {
        /// Its width.
        width: i32,
        /// Its height.
        height: i32,
    },
    /// Anything else.
    Document {
        /// Its MIME type.
        mime: String,
        /// What is told about it.
        attributes: Vec<Attribute>,
    },
}

/// What is told about a document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Attribute {
    Image {
        width: i32,
        height: i32,
    },
    Animated,
    Sticker {
        alt: String,
    },
    Video {
        round: bool,
        streaming: bool,
        silent: bool,
        duration: f64,
        width: i32,
        height: i32,
    },
    Audio {
        voice: bool,
        duration: i32,
        title: Option<String>,
        performer: Option<String>,
        waveform: Option<Vec<u8>>,
    },
    Filename(String),
}

impl FileKind {
    /// One word for it, as the control port says it.
    pub fn word(&self) -> &'static str {
        let FileKind::Document { attributes, .. } = self else {
            return "photo";
        };
        let mut word = "document";
        for attribute in attributes {
            match attribute {
                Attribute::Sticker { .. } => return "sticker",
                Attribute::Animated => return "animation",
                Attribute::Video { round: true, .. } => word = "video_note",
                Attribute::Video { .. } => word = "video",
                Attribute::Audio { voice: true, .. } => word = "voice",
                Attribute::Audio { .. } => word = "audio",
                _ => {}
            }
        }
        word
    }
}

impl State {
    /// Keeps a whole file and answers its number.
    pub fn keep_file(&mut self, bytes: Vec<u8>, kind: FileKind) -> i64 {
        self.files.count += 1;
        let id = 5_000_000_000_000_000_000 + self.files.count;
        let (date, size) = (self.date(), bytes.len());
        let hash = self.keep_bytes(bytes);
        self.files.stored.insert(
            id,
            Stored {
                id,
                kind,
                hash,
                size,
                date,
                epoch: 0,
                home: None,
                dc: None,
                anew: false,
                thumb: None,
                vanishes: false,
            },
        );
        id
    }

    fn keep_bytes(&mut self, bytes: Vec<u8>) -> String {
        let hash = hex(&Sha256::digest(&bytes));
        let known = self.files.bytes.entry(hash.clone());
        known.or_insert_with(|| Arc::new(bytes));
        hash
    }

    /// Keeps what a document is shown by, if it is a picture.
    pub fn keep_thumb(&mut self, file: i64, bytes: Vec<u8>) {
        let Some((width, height)) = pictures::measure(&bytes) else {
            return;
        };
        let size = bytes.len();
        let hash = self.keep_bytes(bytes);
        if let Some(file) = self.files.stored.get_mut(&file) {
            file.thumb = Some(Thumb {
                hash,
                size,
                width,
                height,
            });
        }
    }

    /// Keeps a picture: made anew, or its bytes left as they are and its measures read from its header.
    pub fn keep_photo(&mut self, bytes: Vec<u8>) -> Result<i64, Refusal> {
        let anew = self.switches.pictures_anew.decides();
        let (bytes, width, height) = match anew {
            true => pictures::anew(&bytes)?,
            false => {
                let measures = pictures::measure(&bytes).ok_or(Refusal::bad("IMAGE_PROCESS_FAILED"))?;
                (bytes, measures.0, measures.1)
            }
        };
        let id = self.keep_file(bytes, FileKind::Photo { width, height });
        if let Some(file) = self.files.stored.get_mut(&id) {
            file.anew = anew;
        }
        Ok(id)
    }

    /// The access hash of a file for one account.
    pub fn file_hash(&self, viewer: i64, file: i64) -> i64 {
        self.derive(32, viewer, file)
    }

    /// The file that an account names, if hash and reference are right.
    pub fn open_file(&self, viewer: i64, id: i64, hash: i64, reference: &[u8]) -> Result<&Stored, Refusal> {
        let file = self.files.stored.get(&id).ok_or(Refusal::bad("MEDIA_EMPTY"))?;
        if hash != self.file_hash(viewer, id) {
            return Err(Refusal::bad("MEDIA_EMPTY"));
        }
        self.check_reference(viewer, file, reference).map(|()| file)
    }

    /// Makes every reference to a file handed out so far expire.
    pub fn expire_references(&mut self, id: i64) {
        if let Some(file) = self.files.stored.get_mut(&id) {
            file.epoch += 1;
        }
    }

    /// A file's bytes.
    pub fn bytes_of(&self, file: &Stored) -> Option<Arc<Vec<u8>>> {
        self.files.bytes.get(&file.hash).cloned()
    }

    /// Some of the bytes of a file, as far as there are so many: with a letter, of a picture in that size, or of a
    /// document's thumbnail.
    pub fn part_of(&self, file: &Stored, letter: Option<&str>, wanted: Range<usize>) -> Option<Vec<u8>> {
        let bytes = self.bytes_of(file)?;
        let whole = |bytes: &[u8]| pictures::cut(&[bytes.into()], wanted.clone());
        match (&file.kind, letter) {
            (FileKind::Photo { width, height }, Some(letter)) if file.anew => {
                pictures::of_size(&bytes, (*width, *height), letter, wanted)
            }
            (FileKind::Document { .. }, Some(letter)) => {
                let thumb = file.thumb.as_ref().filter(|_| letter == THUMB)?;
                self.files.bytes.get(&thumb.hash).map(|bytes| whole(bytes))
            }
            (FileKind::Photo { .. } | FileKind::Document { .. }, _) => Some(whole(&bytes)),
        }
    }
}

/// Hexadecimal digits of bytes.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_expires_and_a_foreign_hash_opens_nothing() {
        let mut state = State::new(1);
        let id = state.keep_file(
            b"x".to_vec(),
            FileKind::Document {
                mime: "text/plain".into(),
                attributes: vec![],
            },
        );
        let reference = state.file_reference(1, &state.files.stored[&id], None);
        let hash = state.file_hash(1, id);
        assert!(state.open_file(1, id, hash, &reference).is_ok());
        assert!(state.open_file(2, id, hash, &reference).is_err());
        state.expire_references(id);
        let expired = state.open_file(1, id, hash, &reference).err();
        assert_eq!(expired, Some(Refusal::bad("FILE_REFERENCE_EXPIRED")));
    }
}
