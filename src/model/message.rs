//! A message as every consumer sees it.

use serde::{Deserialize, Serialize};

use super::action::Action;
use super::chat::{ChatId, MessageId, UserId};
use crate::base::Timestamp;

/// A message in a chat, as the account sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Where it stands.
    pub chat: ChatId,
    /// Its number there.
    pub id: MessageId,
    /// Who wrote it; none for posts of a channel.
    pub sender: Option<Sender>,
    /// When it was written, to the second.
    pub date: Timestamp,
    /// When it was last edited.
    pub edit_date: Option<Timestamp>,
    /// Whether the account itself wrote it.
    pub out: bool,
    /// Whether it is a post of a channel.
    pub post: bool,
    /// Whether it was sent without a notification.
    pub silent: bool,
    /// Whether it reports something that happened in the chat, and cannot be forwarded.
    pub service: bool,
    /// Whether forwarding and saving it is forbidden.
    pub protected: bool,
    /// Text or caption.
    pub text: String,
    /// Formatting of the text; offsets in UTF-16 code units.
    pub entities: Vec<Entity>,
    /// What it carries besides.
    pub media: Option<Media>,
    /// The album it belongs to.
    pub album: Option<i64>,
    /// What it answers.
    pub reply_to: Option<ReplyTo>,
    /// Where it came from.
    pub forwarded: Option<Forwarded>,
    /// The forum topic it stands in, by its first message; none outside of forums and in a forum's general topic.
    #[serde(default)]
    pub thread: Option<MessageId>,
    /// Who signed a channel's post, or the title of an administrator who writes in the group's name.
    #[serde(default)]
    pub author: Option<String>,
    /// What happened, if it is a service message.
    #[serde(default)]
    pub action: Option<Action>,
}

/// Who wrote a message.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sender {
    /// The user, or the chat in whose name it was written.
    pub id: i64,
    /// Given name or title.
    pub first_name: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
    /// Public name, without the at sign.
    pub username: Option<String>,
    /// Whether it is a bot.
    pub bot: bool,
}

/// What a message answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplyTo {
    /// The message.
    pub message: MessageId,
    /// Its chat, if it is another one.
    pub chat: Option<ChatId>,
    /// The part that was quoted.
    pub quote: Option<String>,
}

impl ReplyTo {
    /// The message, if it is one of this chat: numbers of other chats mean other messages here.
    pub fn within(&self, chat: ChatId) -> Option<MessageId> {
        let here = self.chat.is_none_or(|other| other == chat);
        here.then_some(self.message)
    }
}

/// Where a forwarded message came from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forwarded {
    /// The chat or user, if known.
    pub from: Option<ChatId>,
    /// The name of one who hides.
    pub name: Option<String>,
    /// The original's number, if it is a channel's post.
    pub message: Option<MessageId>,
    /// When the original was written.
    pub date: Timestamp,
}

/// A stretch of text with a meaning.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Entity {
    /// The first UTF-16 code unit.
    pub offset: i32,
    /// How many UTF-16 code units.
    pub length: i32,
    /// What it means.
    #[serde(flatten)]
    pub kind: EntityKind,
}

/// What a stretch of text means; the names are the Bot API's.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum EntityKind {
    Bold,
    Italic,
    Underline,
    Strikethrough,
    Spoiler,
    Code,
    Pre {
        language: Option<String>,
    },
    Blockquote,
    ExpandableBlockquote,
    TextLink {
        url: String,
    },
    /// A user named by another text.
    TextMention {
        user: UserId,
    },
    CustomEmoji {
        custom_emoji_id: String,
    },
    Mention,
    Hashtag,
    Cashtag,
    BotCommand,
    Url,
    Email,
    PhoneNumber,
    BankCard,
    Unknown,
}

/// What a message carries besides text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Media {
    /// What it is.
    pub kind: MediaKind,
    /// The file behind it, if it is one.
    pub file: Option<FileRef>,
    /// Whether it is hidden until touched.
    pub spoiler: bool,
}

/// What a medium is; the names are the Bot API's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum MediaKind {
    Photo,
    Video,
    Audio,
    Voice,
    VideoNote,
    Animation,
    Sticker,
    Document,
    WebPage,
    Contact,
    Location,
    Venue,
    Poll,
    Dice,
    Other,
}

/// A file at Telegram, by reference.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FileRef {
    /// Telegram's number of the photo or document.
    pub id: i64,
    /// Proof that the account has seen it.
    pub access_hash: i64,
    /// Proof of when; it expires, then the message is read anew.
    pub reference: Vec<u8>,
    /// Where its bytes are kept.
    pub dc: i32,
    /// Bytes.
    pub size: i64,
    /// Content type.
    pub mime: Option<String>,
    /// File name.
    pub name: Option<String>,
    /// Seconds.
    pub duration: Option<i32>,
    /// Pixels.
    pub width: Option<i32>,
    /// Pixels.
    pub height: Option<i32>,
}
