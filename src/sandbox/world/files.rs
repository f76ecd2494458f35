//! Uploaded files: their parts while they come, and the whole ones with what they are.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::pictures;
use super::place::Place;
use super::refusal::Refusal;
use super::state::State;

/// The largest part.
const PART_MAX: usize = 524_288;

/// How long after its last part an upload that nobody posts is forgotten, in milliseconds.
const UPLOAD_KEPT: i64 = 3_600_000;

/// How many parts a file may have.
const PARTS_MAX: i32 = 4_000;

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
    parts: HashMap<(i64, i64), Upload>,
    count: i64,
}

/// A file that comes in parts.
#[derive(Debug, Default)]
struct Upload {
    parts: BTreeMap<i32, Vec<u8>>,
    /// When the last part came, in milliseconds.
    at: i64,
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
    /// Takes one part of a file; the same part again replaces the first.
    pub fn save_part(&mut self, account: i64, file: i64, part: i32, bytes: Vec<u8>) -> Result<(), Refusal> {
        if bytes.is_empty() {
            return Err(Refusal::bad("FILE_PART_EMPTY"));
        }
        if bytes.len() > PART_MAX {
            return Err(Refusal::bad("FILE_PART_TOO_BIG"));
        }
        if !(0..PARTS_MAX).contains(&part) {
            return Err(Refusal::bad("FILE_PART_INVALID"));
        }
        let now = self.now;
        if !self.files.parts.contains_key(&(account, file)) {
            self.files.parts.retain(|_, upload| now - upload.at < UPLOAD_KEPT);
        }
        let upload = self.files.parts.entry((account, file)).or_default();
        upload.at = now;
        upload.parts.insert(part, bytes);
        Ok(())
    }

    /// Puts a file together out of its parts.
    pub fn assemble(
        &mut self,
        account: i64,
        file: i64,
        parts: i32,
        md5: Option<&str>,
    ) -> Result<Vec<u8>, Refusal> {
        if !(1..=PARTS_MAX).contains(&parts) {
            return Err(Refusal::bad("FILE_PARTS_INVALID"));
        }
        let held = self
            .files
            .parts
            .get(&(account, file))
            .map(|upload| &upload.parts)
            .ok_or(Refusal::bad("FILE_PART_0_MISSING"))?;
        let size = held.get(&0).map_or(0, Vec::len);
        if parts > 1 && (size == 0 || !size.is_multiple_of(1024) || !PART_MAX.is_multiple_of(size)) {
            return Err(Refusal::bad("FILE_PART_SIZE_INVALID"));
        }
        let mut whole = Vec::with_capacity(size * usize::try_from(parts).unwrap_or(0));
        for number in 0..parts {
            let part = held
                .get(&number)
                .ok_or_else(|| Refusal::other(400, format!("FILE_PART_{number}_MISSING")))?;
            let last = number + 1 == parts || !held.contains_key(&(number + 1));
            if (!last && part.len() != size) || part.len() > size {
                return Err(Refusal::bad("FILE_PART_SIZE_CHANGED"));
            }
            whole.extend_from_slice(part);
        }
        // An MD5 of nothing but hexadecimal digits is believed: the house carries no MD5.
        if md5.is_some_and(|sum| {
            !sum.is_empty() && (sum.len() != 32 || !sum.chars().all(|c| c.is_ascii_hexdigit()))
        }) {
            return Err(Refusal::bad("MD5_CHECKSUM_INVALID"));
        }
        self.files.parts.remove(&(account, file));
        Ok(whole)
    }

    /// Keeps a whole file and answers its number.
    pub fn keep_file(&mut self, bytes: Vec<u8>, kind: FileKind) -> i64 {
        self.files.count += 1;
        let id = 5_000_000_000_000_000_000 + self.files.count;
        let hash = hex(&Sha256::digest(&bytes));
        let date = self.date();
        let size = bytes.len();
        self.files
            .bytes
            .entry(hash.clone())
            .or_insert_with(|| Arc::new(bytes));
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
            },
        );
        id
    }

    /// Keeps a picture: made anew, or its bytes left as they are and its measures read from its header.
    pub fn keep_photo(&mut self, bytes: Vec<u8>) -> Result<i64, Refusal> {
        let anew = self.switches.pictures_anew;
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

    /// The bytes of a picture in one of its sizes.
    pub fn bytes_of_size(&self, file: &Stored, letter: &str) -> Option<Arc<Vec<u8>>> {
        let bytes = self.bytes_of(file)?;
        match file.kind {
            FileKind::Photo { width, height } if file.anew => {
                pictures::of_size(&bytes, width, height, letter).map(Arc::new)
            }
            _ => Some(bytes),
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
    fn parts_come_in_any_order_and_must_all_be_there() {
        let mut state = State::new(1);
        state.save_part(1, 9, 1, vec![2; 10]).expect("saved");
        assert_eq!(
            state.assemble(1, 9, 2, None),
            Err(Refusal::bad("FILE_PART_SIZE_INVALID"))
        );
        state.save_part(1, 9, 0, vec![1; 1024]).expect("saved");
        assert_eq!(
            state.assemble(1, 9, 3, None),
            Err(Refusal::other(400, "FILE_PART_2_MISSING"))
        );
        let whole = state.assemble(1, 9, 2, None).expect("whole");
        assert_eq!((whole.len(), whole[0], whole[1024]), (1034, 1, 2));
    }

    #[test]
    fn an_upload_that_nobody_posts_is_forgotten() {
        let mut state = State::new(1);
        state.save_part(1, 9, 0, vec![1; 1024]).expect("saved");
        state.now = UPLOAD_KEPT;
        state.save_part(1, 10, 0, vec![1; 1024]).expect("saved");
        assert_eq!(
            state.assemble(1, 9, 1, None),
            Err(Refusal::bad("FILE_PART_0_MISSING"))
        );
        assert!(state.assemble(1, 10, 1, None).is_ok());
    }

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
