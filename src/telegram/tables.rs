//! What Telegram's domain keeps in the store. No other module touches these tables.

use grammers_session::types::{ChannelKind, PeerAuth, PeerId, PeerInfo};
use serde::{Deserialize, Serialize};

use super::account::Account;
use crate::base::{SessionId, Timestamp};
use crate::model::{ChatId, ChatKind, Message, MessageId};
use crate::store::Table;
use crate::store::catalog::{self, Entry};

/// Sessions by id. Sealed: it holds phone numbers and names.
pub(crate) struct Accounts;

impl Table for Accounts {
    const ENTRY: Entry = catalog::SESSIONS;
    type Key = SessionId;
    type Value = Account;
}

/// Auth keys and addresses of a session. Sealed.
pub(crate) struct Authorisations;

impl Table for Authorisations {
    const ENTRY: Entry = catalog::SESSION_AUTH;
    type Key = SessionId;
    type Value = Authorisation;
}

/// Where a session's account lives, and the keys it has there.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Authorisation {
    /// The home DC.
    pub home_dc: i32,
    /// Every DC it has an option for.
    pub dcs: Vec<grammers_session::types::DcOption>,
}

impl Authorisation {
    /// The option of the home DC.
    pub fn home_mut(&mut self) -> Option<&mut grammers_session::types::DcOption> {
        let home = self.home_dc;
        self.dcs.iter_mut().find(|option| option.id == home)
    }

    /// The home DC with its key.
    pub fn home(&self) -> Option<&grammers_session::types::DcOption> {
        self.dcs.iter().find(|option| option.id == self.home_dc)
    }
}

/// Chats and users that a session has seen. Sealed: it holds names.
pub(crate) struct Peers;

impl Table for Peers {
    const ENTRY: Entry = catalog::PEERS;
    type Key = (SessionId, i64);
    type Value = Peer;
}

/// A chat or user, with what it takes to talk to it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Peer {
    /// Proof that the account has seen it.
    pub hash: Option<i64>,
    /// What it is.
    pub kind: Option<ChatKind>,
    /// Whether it is the account itself.
    pub own: bool,
    /// Whether it is a bot.
    pub bot: bool,
    /// Title, or the user's names.
    pub title: Option<String>,
    /// Public name, without the at sign.
    pub username: Option<String>,
    /// Whether it stands in the account's list of dialogs.
    pub dialog: bool,
    /// Whether forwarding from it is forbidden.
    pub protected: bool,
    /// A user's given name; `title` has all of it.
    #[serde(default)]
    pub first_name: Option<String>,
    /// A user's family name.
    #[serde(default)]
    pub last_name: Option<String>,
    /// Whether the account is in it, as far as Telegram told.
    #[serde(default)]
    pub member: bool,
    /// Whether the account was in it once and is no more.
    #[serde(default)]
    pub left: bool,
    /// Where it was seen, if Telegram showed no more of it than that.
    #[serde(default)]
    pub seen: Option<Seen>,
    /// Whether it was told that the basic group became a supergroup.
    #[serde(default)]
    pub migrated: bool,
    /// Whether it has topics; none where that is not known.
    #[serde(default)]
    pub forum: Option<bool>,
}

/// A message by which somebody can be named of whom no access hash is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// The chat of the message.
    pub chat: ChatId,
    /// That chat's access hash; 0 if it needs none.
    pub hash: i64,
    /// The message.
    pub message: MessageId,
}

/// How far the updates of a session are stored: 0 for the account's own sequence, else a channel.
pub(crate) struct UpdateStates;

impl Table for UpdateStates {
    const ENTRY: Entry = catalog::UPDATE_STATES;
    type Key = (SessionId, i64);
    type Value = StoredState;
}

/// A position in a sequence of updates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredState {
    /// The sequence's pts.
    pub pts: i32,
    /// Only for the account's own.
    pub qts: i32,
    /// Only for the account's own.
    pub date: i32,
    /// Only for the account's own.
    pub seq: i32,
}

/// The highest message number stored of a chat.
pub(crate) struct HighWater;

impl Table for HighWater {
    const ENTRY: Entry = catalog::HIGH_WATER;
    type Key = (SessionId, i64);
    type Value = MessageId;
}

/// The chat of a message in private chats and basic groups, whose deletions name no chat.
pub(crate) struct MessageChats;

impl Table for MessageChats {
    const ENTRY: Entry = catalog::MESSAGE_CHATS;
    type Key = (SessionId, MessageId);
    type Value = Whereabouts;
}

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Whereabouts {
    /// As earlier releases stored it, without a time.
    Of(ChatId),
    /// The chat, and when that was learned, in seconds since the epoch.
    Since(ChatId, i64),
}

impl Whereabouts {
    /// Learned at this time.
    pub fn since(chat: ChatId, at: Timestamp) -> Self {
        Self::Since(chat, at.as_secs())
    }

    /// The chat.
    pub fn chat(self) -> ChatId {
        match self {
            Self::Of(chat) | Self::Since(chat, _) => chat,
        }
    }
}

/// Messages whose deletion is known: chat (0 where the deletion names none) and number.
pub(crate) struct Tombstones;

impl Table for Tombstones {
    const ENTRY: Entry = catalog::TOMBSTONES;
    type Key = (SessionId, i64, MessageId);
    type Value = Timestamp;
}

/// In which form an edited message was told last: chat and number.
pub(crate) struct ToldEdits;

impl Table for ToldEdits {
    const ENTRY: Entry = catalog::TOLD_EDITS;
    type Key = (SessionId, i64, MessageId);
    type Value = ToldEdit;
}

/// A form of a message that was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ToldEdit {
    /// When it was edited into that form; 0 if Telegram hides it, or never.
    pub edited: Timestamp,
    /// A number for what it shows.
    pub form: u64,
    /// When it was told.
    pub at: Timestamp,
}

/// When something last arrived or was sent, to the hour.
pub(crate) struct Activity;

impl Table for Activity {
    const ENTRY: Entry = catalog::SESSION_ACTIVITY;
    type Key = SessionId;
    type Value = Timestamp;
}

/// Messages that Telegram left out and that are still to be read from history: by channel, or under 0 for all
/// chats that are none.
pub(crate) struct LeftOut;

impl Table for LeftOut {
    const ENTRY: Entry = catalog::LEFT_OUT;
    type Key = (SessionId, i64);
    type Value = LeftOutMark;
}

/// Messages that wait for what was left out before them: chat and number. Sealed: it holds texts.
pub(crate) struct HeldMessages;

impl Table for HeldMessages {
    const ENTRY: Entry = catalog::HELD_MESSAGES;
    type Key = (SessionId, i64, MessageId);
    type Value = Message;
}

/// Where something was left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LeftOutMark {
    /// The highest message that was stored before; 0 if none was.
    pub above: MessageId,
    /// When the session's own sequence last moved before.
    pub since: Timestamp,
    /// Whether it was told that the chat cannot be read.
    #[serde(default)]
    pub unreadable: bool,
    /// How often something was left out again while the mark stood.
    #[serde(default)]
    pub again: u32,
}

impl Peer {
    /// What grammers wants to know of it.
    pub fn info(&self, chat: ChatId) -> PeerInfo {
        let auth = self.hash.map(PeerAuth::from_hash);
        if chat.is_user() {
            let is_self = self.own.then_some(true);
            PeerInfo::User {
                id: chat.bare(),
                auth,
                bot: Some(self.bot),
                is_self,
            }
        } else if chat.is_channel() {
            let kind = match self.kind {
                Some(ChatKind::Channel) => Some(ChannelKind::Broadcast),
                Some(ChatKind::Supergroup) => Some(ChannelKind::Megagroup),
                _ => None,
            };
            PeerInfo::Channel {
                id: chat.bare(),
                auth,
                kind,
            }
        } else {
            PeerInfo::Chat { id: chat.bare() }
        }
    }

    /// Takes what grammers tells of it; what it does not tell stays.
    pub fn take(&mut self, info: &PeerInfo) {
        match info {
            PeerInfo::User {
                auth, bot, is_self, ..
            } => {
                self.hash = auth.map(PeerAuth::hash).or(self.hash);
                self.kind = Some(ChatKind::Private);
                self.bot = bot.unwrap_or(self.bot);
                self.own = is_self.unwrap_or(self.own);
            }
            PeerInfo::Chat { .. } => self.kind = Some(ChatKind::Group),
            PeerInfo::Channel { auth, kind, .. } => {
                self.hash = auth.map(PeerAuth::hash).or(self.hash);
                self.kind = match kind {
                    Some(ChannelKind::Broadcast) => Some(ChatKind::Channel),
                    Some(_) => Some(ChatKind::Supergroup),
                    None => self.kind,
                };
            }
        }
    }
}

/// The chat that grammers' peer id names; none for "the account itself".
pub(crate) fn chat_of(peer: PeerId) -> Option<ChatId> {
    peer.bot_api_dialog_id().map(ChatId)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fuzz::*;

    #[test]
    fn rows_of_any_bytes_are_an_error_at_worst() {
        bears_any_row::<Accounts>();
        bears_any_row::<Authorisations>();
        bears_any_row::<Peers>();
        bears_any_row::<UpdateStates>();
        bears_any_row::<HighWater>();
        bears_any_row::<MessageChats>();
        bears_any_row::<Tombstones>();
        bears_any_row::<LeftOut>();
        bears_any_row::<HeldMessages>();
        bears_any_row::<ToldEdits>();
        bears_any_row::<crate::telegram::rotation::Rotations>();
        bears_any_row::<Activity>();
    }
}
