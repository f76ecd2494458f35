//! What can be sent: effects with their names (random ids), which Telegram uses to drop repeats.

use crate::base::Timestamp;
use crate::model::{ChatId, Entity, FileRef, MediaKind, MessageId};

/// A message or several to be sent to a chat.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    /// Where to.
    pub chat: ChatId,
    /// The forum topic, by its first message.
    pub topic: Option<MessageId>,
    /// What it answers.
    pub reply_to: Option<MessageId>,
    /// Whether it comes without a notification.
    pub silent: bool,
    /// What it is.
    pub body: OutgoingBody,
}

/// What is sent. Every part has its own random id, never 0, the same on every try.
#[derive(Clone, Debug, PartialEq)]
pub enum OutgoingBody {
    /// A text.
    Text {
        /// 1 to 4096 UTF-16 code units.
        text: String,
        /// Its formatting.
        entities: Vec<Entity>,
        /// Whether links get a preview.
        preview: bool,
        /// The effect's name.
        random_id: i64,
    },
    /// A medium that Telegram has already.
    Media(OutgoingMedia),
    /// Two to ten media that belong together.
    Album(Vec<OutgoingMedia>),
    /// Messages forwarded with their header.
    Forward {
        /// Where they stand.
        from: ChatId,
        /// Each with its effect's name.
        parts: Vec<(MessageId, i64)>,
    },
}

/// A medium copied by reference.
#[derive(Clone, Debug, PartialEq)]
pub struct OutgoingMedia {
    /// The effect's name.
    pub random_id: i64,
    /// What it is.
    pub kind: MediaKind,
    /// The file at Telegram.
    pub file: FileRef,
    /// Up to 1024 UTF-16 code units.
    pub caption: String,
    /// Formatting of the caption.
    pub entities: Vec<Entity>,
    /// Whether it is hidden until touched.
    pub spoiler: bool,
    /// The message it came with: read anew when the file reference has expired.
    pub origin: (ChatId, MessageId),
}

/// The form that an edit gives to a message.
#[derive(Clone, Debug, PartialEq)]
pub struct Revision {
    /// Text or caption.
    pub text: String,
    /// Its formatting.
    pub entities: Vec<Entity>,
    /// Whether links get a preview.
    pub preview: bool,
    /// The medium, if it is another one than before.
    pub media: Option<OutgoingMedia>,
}

/// A part that Telegram has stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentPart {
    /// The effect's name.
    pub random_id: i64,
    /// The message's number in the chat.
    pub id: MessageId,
    /// When Telegram stored it, to the second.
    pub date: Timestamp,
}

impl OutgoingBody {
    /// The names of its effects, in order.
    pub fn random_ids(&self) -> Vec<i64> {
        match self {
            Self::Text { random_id, .. } => vec![*random_id],
            Self::Media(media) => vec![media.random_id],
            Self::Album(parts) => parts.iter().map(|part| part.random_id).collect(),
            Self::Forward { parts, .. } => parts.iter().map(|(_, random_id)| *random_id).collect(),
        }
    }
}
