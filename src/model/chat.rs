//! Who can be talked to: chats and users by the Bot API's numbers.

use serde::{Deserialize, Serialize};

/// A chat, numbered as the Bot API does: users positive, basic groups negative, channels and
/// supergroups `-100…`.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct ChatId(pub i64);

/// A user of Telegram.
pub type UserId = i64;

/// A message's number within its chat (channels), or within the account (private chats and basic
/// groups).
pub type MessageId = i32;

/// What a chat is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChatKind {
    /// A conversation with one user.
    Private,
    /// A basic group.
    Group,
    /// A supergroup.
    Supergroup,
    /// A broadcast channel.
    Channel,
}

/// What channel numbers are subtracted from.
const CHANNEL_OFFSET: i64 = -1_000_000_000_000;

impl ChatId {
    /// The chat with a user.
    pub fn user(id: i64) -> Self {
        Self(id)
    }

    /// A basic group.
    pub fn group(id: i64) -> Self {
        Self(-id)
    }

    /// A channel or supergroup.
    pub fn channel(id: i64) -> Self {
        Self(CHANNEL_OFFSET - id)
    }

    /// Whether it is a channel or supergroup, whose messages are numbered on their own.
    pub fn is_channel(self) -> bool {
        self.0 < CHANNEL_OFFSET
    }

    /// Whether it is a user.
    pub fn is_user(self) -> bool {
        self.0 > 0
    }

    /// Whether a chat can have this number, as far as the Bot API has given ranges to them.
    pub fn can_be(self) -> bool {
        const USERS: std::ops::RangeInclusive<i64> = 1..=(1 << 40) - 1;
        const GROUPS: std::ops::RangeInclusive<i64> = -999_999_999_999..=-1;
        // Chats of channels with their readers are numbered after the channels.
        const CHANNELS: std::ops::Range<i64> = -4_000_000_000_000..CHANNEL_OFFSET;
        USERS.contains(&self.0) || GROUPS.contains(&self.0) || CHANNELS.contains(&self.0)
    }

    /// Telegram's own number of the user, group or channel.
    pub fn bare(self) -> i64 {
        if self.is_channel() {
            CHANNEL_OFFSET - self.0
        } else {
            self.0.abs()
        }
    }
}

impl std::fmt::Display for ChatId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lead_back_to_telegrams_own() {
        assert_eq!(ChatId::channel(1234567890).0, -1001234567890);
        for chat in [ChatId::user(7), ChatId::group(7), ChatId::channel(7)] {
            assert_eq!(chat.bare(), 7);
        }
        assert!(ChatId::channel(7).is_channel() && !ChatId::group(7).is_channel());
        for chat in [ChatId::user(1 << 39), ChatId::group(7), ChatId::channel(1 << 31)] {
            assert!(chat.can_be(), "{chat}");
        }
        for number in [0, CHANNEL_OFFSET, 1 << 40, i64::MIN, i64::MAX] {
            assert!(!ChatId(number).can_be(), "{number}");
        }
    }
}
