//! A file's name for those outside: opaque, the same for the same file in the same message, and
//! enough to find the file again.
//!
//! It holds no file reference, since that expires; who wants the bytes reads the message anew.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{ChatId, FileRef, MediaKind, Message, MessageId};

/// The form's number, in the first byte.
const VERSION: u8 = 1;

/// What a file id says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileId {
    /// Whether it is a photo; else it is a document.
    pub photo: bool,
    /// Where its bytes are kept.
    pub dc: i32,
    /// Telegram's number of it.
    pub id: i64,
    /// Proof that the account has seen it.
    pub access_hash: i64,
    /// The message that carries it.
    pub origin: (ChatId, MessageId),
}

impl FileId {
    /// The id of the file that a message carries.
    pub fn of(message: &Message, kind: MediaKind, file: &FileRef) -> Self {
        Self {
            photo: kind == MediaKind::Photo,
            dc: file.dc,
            id: file.id,
            access_hash: file.access_hash,
            origin: (message.chat, message.id),
        }
    }

    /// The same text for the same file wherever it appears, which cannot be used to get it.
    pub fn unique(&self) -> String {
        let mut bytes = vec![u8::from(self.photo)];
        bytes.extend(self.id.to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads what `to_string` gave.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let bytes: [u8; 34] = bytes.try_into().ok()?;
        let [VERSION, photo @ (0 | 1), rest @ ..] = bytes else {
            return None;
        };
        let number = |at: usize| Some(i64::from_be_bytes(rest.get(at..at + 8)?.try_into().ok()?));
        let small = |at: usize| Some(i32::from_be_bytes(rest.get(at..at + 4)?.try_into().ok()?));
        Some(Self {
            photo: photo == 1,
            dc: small(0)?,
            id: number(4)?,
            access_hash: number(12)?,
            origin: (ChatId(number(20)?), small(28)?),
        })
    }
}

impl std::fmt::Display for FileId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut bytes = Vec::with_capacity(34);
        bytes.extend([VERSION, u8::from(self.photo)]);
        bytes.extend(self.dc.to_be_bytes());
        bytes.extend(self.id.to_be_bytes());
        bytes.extend(self.access_hash.to_be_bytes());
        bytes.extend(self.origin.0.0.to_be_bytes());
        bytes.extend(self.origin.1.to_be_bytes());
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_leads_back_to_the_file() {
        let id = FileId {
            photo: true,
            dc: 4,
            id: -7,
            access_hash: i64::MIN,
            origin: (ChatId::channel(5), 9),
        };
        assert_eq!(FileId::parse(&id.to_string()), Some(id));
        assert_eq!(FileId::parse("AAAA"), None);
        assert_eq!(FileId::parse(""), None);
        assert_ne!(id.unique(), id.to_string());
    }
}
