//! What a task of a pair's lane is to do, as it is stored.

use serde::{Deserialize, Serialize};

use crate::base::Timestamp;
use crate::model::{ChatId, Message, MessageId};

/// The most parts an album has.
pub(super) const ALBUM_PARTS: usize = 10;

/// A task's payload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Job {
    /// When the daemon learned of its cause.
    pub(super) seen: Timestamp,
    /// Before this it cannot have been tried.
    pub(super) ready: Timestamp,
    /// Which run of the daemon made it: one of an earlier run may have been tried in that run.
    pub(super) life: u64,
    /// When it was tried first, once a try has failed.
    #[serde(default)]
    pub(super) tried: Option<Timestamp>,
    /// What to do, in a word: the dead letters show it.
    pub(super) kind: Kind,
    /// What to do.
    pub(super) work: Work,
}

impl Job {
    /// When the first of the messages came that it is to copy, by Telegram's clock.
    pub(super) fn came(&self) -> Option<Timestamp> {
        match &self.work {
            Work::Copy { parts } => parts.iter().map(|part| part.date).min(),
            Work::Edit { .. } | Work::Delete { .. } => None,
        }
    }
}

/// What a task does, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Copy,
    Edit,
    Delete,
}

impl Work {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Copy { .. } => Kind::Copy,
            Self::Edit { .. } => Kind::Edit,
            Self::Delete { .. } => Kind::Delete,
        }
    }
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Work {
    /// Copy or forward a message, or the parts of an album, in the order of their numbers.
    Copy {
        /// The messages as they were last seen.
        parts: Vec<Message>,
    },
    /// Bring a copy to the form of this message.
    Edit {
        /// The message's new form.
        message: Box<Message>,
    },
    /// Delete the copies of these.
    Delete {
        /// The source's chat.
        chat: ChatId,
        /// The source's messages.
        ids: Vec<MessageId>,
    },
}
