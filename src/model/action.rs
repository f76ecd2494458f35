//! What a service message says happened in its chat.

use serde::{Deserialize, Serialize};

use super::chat::{ChatId, MessageId, UserId};

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Action {
    /// The chat was made.
    Created {
        /// Its title.
        title: String,
    },
    /// Users came in.
    Joined {
        /// Who.
        users: Vec<UserId>,
    },
    /// A user left or was put out.
    Left {
        /// Who.
        user: UserId,
    },
    /// It has another title.
    Title {
        /// The new one.
        title: String,
    },
    /// It has another picture.
    Photo,
    /// It has no picture any more.
    PhotoDeleted,
    /// A message was pinned.
    Pinned {
        /// Which, if it is known.
        message: Option<MessageId>,
    },
    /// The basic group became a supergroup.
    MigratedTo {
        /// Which.
        chat: ChatId,
    },
    /// The supergroup was a basic group.
    MigratedFrom {
        /// Which.
        chat: ChatId,
    },
    /// A forum topic was made.
    TopicCreated {
        /// Its title.
        title: String,
    },
    /// A forum topic was renamed, closed, reopened or hidden.
    TopicEdited {
        /// Its new title.
        title: Option<String>,
        /// Whether it is closed now.
        closed: Option<bool>,
        /// Whether it is hidden now.
        hidden: Option<bool>,
    },
    /// Its content may not be forwarded and saved any more, or may be again.
    Protected {
        /// Whether it may not.
        on: bool,
    },
    /// Messages vanish by themselves after so many seconds; 0 is never.
    AutoDelete {
        /// The time.
        seconds: i32,
    },
    /// Something else, by Telegram's name for it.
    Other {
        /// The name.
        name: String,
    },
}
