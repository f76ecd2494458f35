//! What a message says, apart from who holds a copy of it under which number.
//!
//! A message in a private chat or a basic group exists once a member, each under the member's own
//! number; in a channel it exists once. The [`Content`] is what those copies share.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::entities::Entity;
use super::place::{Peer, Place};
use super::reacting::Reaction;

/// The world's own number of a message, never seen by a client.
pub type Uid = u64;

/// One message, whoever looks at it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Content {
    /// The world's number of it.
    pub uid: Uid,
    /// Where it was posted.
    pub place: Place,
    /// Which account posted it.
    pub author: i64,
    /// When it was stored, in milliseconds since the epoch.
    pub stored_at: i64,
    /// What it says.
    pub body: Body,
    /// The message it answers.
    pub reply: Option<Reply>,
    /// Where it came from, if forwarded with its author.
    pub forward: Option<Forward>,
    /// When it was last edited, in milliseconds since the epoch.
    pub edited_at: Option<i64>,
    /// The album it is a part of.
    pub album: Option<i64>,
    /// Posted without a sound.
    pub silent: bool,
    /// It may not be forwarded.
    pub noforwards: bool,
    /// What the sender named it; 0 if nobody did.
    pub random_id: i64,
    /// Who holds it under which number: `(account, number)`, in a channel one pair with account 0.
    pub copies: Vec<(i64, i32)>,
    /// What it carries was opened by somebody else than its author.
    #[serde(default)]
    pub opened: bool,
    /// In whose name it stands, if not its author's.
    #[serde(default)]
    pub sender: Option<Peer>,
    /// The name that a channel signs it with.
    #[serde(default)]
    pub signature: Option<String>,
    /// Of a channel's post: the message that begins its discussion.
    #[serde(default)]
    pub discussion: Option<Uid>,
    /// The topic that it stands in, if not the general one.
    #[serde(default)]
    pub topic: Option<i32>,
    /// In a supergroup: the message that began the thread in which it stands.
    #[serde(default)]
    pub thread: Option<i32>,
    /// The story that it answers.
    #[serde(default)]
    pub story: Option<(Peer, i32)>,
    /// The second at which the video that it carries begins to play.
    #[serde(default)]
    pub video_timestamp: Option<i32>,
    /// The effect that it came with.
    #[serde(default)]
    pub effect: Option<i64>,
    /// Its words stand on the other side of what is attached.
    #[serde(default)]
    pub invert_media: bool,
    /// How many others saw it, if it is a channel's post.
    #[serde(default)]
    pub views: i32,
    /// Who of them is known.
    #[serde(default)]
    pub viewed_by: BTreeSet<i64>,
    /// How often it was forwarded, if it is a channel's post.
    #[serde(default)]
    pub forwards: i32,
    /// The words in the input field of its keyboard, which asks for an answer.
    #[serde(default)]
    pub keyboard: Option<String>,
    /// When it was last changed in a way that does not show, in milliseconds since the epoch.
    #[serde(default)]
    pub touched_at: Option<i64>,
    /// How many seconds after its posting it goes by itself.
    #[serde(default)]
    pub ttl_period: Option<i32>,
    /// How many seconds after it was seen what it carries goes.
    #[serde(default)]
    pub ttl_seconds: Option<i32>,
    /// When what it carries goes, or went, in milliseconds since the epoch.
    #[serde(default)]
    pub burns_at: Option<i64>,
    /// When the last copy was deleted.
    pub deleted_at: Option<i64>,
    /// Reactions to it, oldest first.
    #[serde(default)]
    pub reactions: Vec<Reaction>,
    /// When they changed last, in milliseconds since the epoch.
    #[serde(default)]
    pub reacted_at: Option<i64>,
}

impl Content {
    /// The number under which `account` knows it.
    pub fn number_for(&self, account: i64) -> Option<i32> {
        let holder = match self.place {
            Place::Channel(_) => 0,
            _ => account,
        };
        self.copies
            .iter()
            .find(|copy| copy.0 == holder)
            .map(|copy| copy.1)
    }

    /// When it was posted, in whole seconds as Telegram tells it.
    pub fn date(&self) -> i32 {
        seconds(self.stored_at)
    }

    /// Its text, empty for a service message.
    pub fn text(&self) -> &str {
        match &self.body {
            Body::Said { text, .. } => text,
            Body::Service(_) => "",
        }
    }

    /// Its media.
    pub fn media(&self) -> Option<&Media> {
        match &self.body {
            Body::Said { media, .. } => media.as_ref(),
            Body::Service(_) => None,
        }
    }
}

/// Whole seconds of a time in milliseconds, as the schema carries times.
pub fn seconds(millis: i64) -> i32 {
    i32::try_from(millis.div_euclid(1000)).unwrap_or(i32::MAX)
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Body {
    /// Somebody's words and media.
    Said {
        /// The text or caption.
        text: String,
        /// Its formatting.
        entities: Vec<Entity>,
        /// What is attached.
        media: Option<Media>,
    },
    /// What happened to the chat.
    Service(Action),
}

/// What is attached to a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Media {
    /// A photo or document out of the world's files.
    File {
        /// Its number.
        file: i64,
        /// Covered until tapped.
        spoiler: bool,
    },
    /// A point on the map.
    Geo {
        /// Degrees north.
        latitude: f64,
        /// Degrees east.
        longitude: f64,
    },
    /// A poll.
    Poll {
        /// Its number.
        poll: i64,
    },
    /// Somebody's card.
    Contact {
        /// Number.
        phone: String,
        /// First name.
        first_name: String,
        /// Last name.
        last_name: String,
    },
    /// The page behind a link of the text.
    Page {
        /// Its address.
        url: String,
    },
}

impl Media {
    /// Whether its message may be edited however old it is.
    pub fn is_edited_at_any_time(&self) -> bool {
        matches!(self, Self::Poll { .. })
    }

    /// Whether it stands by itself: the page behind a link is only the text's preview.
    pub fn stands_alone(&self) -> bool {
        !matches!(self, Media::Page { .. })
    }

    /// One word for what is no file.
    pub fn word(&self) -> &'static str {
        match self {
            Media::File { .. } => "document",
            Media::Geo { .. } => "geo",
            Media::Poll { .. } => "poll",
            Media::Contact { .. } => "contact",
            Media::Page { .. } => "web_page",
        }
    }
}

/// What happened to a chat.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A basic group was made with these members.
    GroupCreated {
        /// Its title.
        title: String,
        /// Its first members.
        members: Vec<i64>,
    },
    /// A channel or supergroup was made.
    ChannelCreated {
        /// Its title.
        title: String,
    },
    /// Members came in.
    Joined {
        /// Who.
        members: Vec<i64>,
    },
    /// A member is gone.
    Left {
        /// Who.
        member: i64,
    },
    /// It has a new title.
    Retitled {
        /// The new one.
        title: String,
    },
    /// A message was pinned; the reply names it.
    Pinned,
    /// A private chat is protected, or no longer.
    Guarded {
        /// Whether it was.
        before: bool,
        /// Whether it is.
        now: bool,
    },
    /// The other side is asked to protect it no longer.
    AskedToShare,
    /// The other side was asked so, and answered.
    AnsweredToShare,
    /// It has a new picture.
    Pictured {
        /// The new one, a file of the world.
        photo: i64,
    },
    /// A topic was begun.
    TopicCreated {
        /// Its title.
        title: String,
        /// The colour of its sign.
        colour: i32,
        /// Its sign, a custom emoji.
        icon: Option<i64>,
    },
    /// The topic in which this stands was changed; what did not change is not there.
    TopicEdited {
        /// The new title.
        title: Option<String>,
        /// The new sign.
        icon: Option<i64>,
        /// Whether it is closed now.
        closed: Option<bool>,
        /// Whether it is hidden now.
        hidden: Option<bool>,
    },
    /// The basic group became a supergroup.
    MigratedTo {
        /// Which.
        channel: i64,
    },
    /// The supergroup was a basic group.
    MigratedFrom {
        /// Its title.
        title: String,
        /// Which.
        group: i64,
    },
}

/// What a message answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// The answered message.
    pub to: Uid,
    /// The part of it that is quoted.
    pub quote: Option<Quote>,
}

/// A quoted part of an answered message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quote {
    /// The quoted words.
    pub text: String,
    /// Their formatting.
    pub entities: Vec<Entity>,
    /// Where they stand, in UTF-16 units.
    pub offset: Option<i32>,
}

/// Where a forwarded message comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forward {
    /// Its author, or the channel it was posted in.
    pub from: Peer,
    /// When it was posted there, in seconds.
    pub date: i32,
    /// Its number, if it was a channel's post.
    pub post: Option<i32>,
    /// In saved messages: the chat it was saved from and its number there.
    pub saved_from: Option<(Peer, i32)>,
    /// The name that the channel signed it with.
    #[serde(default)]
    pub signature: Option<String>,
    /// All that is told of an author who hides.
    #[serde(default)]
    pub hidden_name: Option<String>,
}

impl Forward {
    /// From this peer, with nothing else to it.
    pub fn of(from: Peer, date: i32) -> Self {
        Self {
            from,
            date,
            post: None,
            saved_from: None,
            signature: None,
            hidden_name: None,
        }
    }
}
