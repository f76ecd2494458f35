//! One user of the world: who it is, which messages it holds, what it has been told.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::content::Uid;
use super::marks::Marks;
use super::names::Collectible;
use super::password::Password;
use super::place::Peer;
use super::standing::Standing;
use super::weather::{Kind, Secret};

/// The data centre that is always there, and home to every account that is not told otherwise.
pub const DC: i32 = 2;

/// The second one, where there are two.
pub const SECOND_DC: i32 = 4;

/// How many events of an account or a channel are kept for those who were away; who missed more is
/// told so ("too long").
pub const LOG_KEPT: usize = 50_000;

/// A user and its mailbox.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Account {
    /// The user's number.
    pub id: i64,
    /// Phone number, digits only; empty if it has none.
    pub phone: String,
    /// First name.
    pub first_name: String,
    /// Last name, may be empty.
    pub last_name: String,
    /// Username without the at sign.
    pub username: Option<String>,
    /// Names that it bought.
    #[serde(default)]
    pub collectibles: Vec<Collectible>,
    /// A few words about itself.
    pub about: String,
    /// Whether it is a bot.
    pub bot: bool,
    /// Whether Telegram calls it deleted.
    pub deactivated: bool,
    /// Whether Telegram has thrown it out.
    #[serde(default)]
    pub banned: bool,
    /// Telegram has frozen it: it reads and does nothing else.
    #[serde(default)]
    pub frozen: bool,
    /// Telegram limits it: it may not write to strangers and in public groups.
    #[serde(default)]
    pub limited: bool,
    /// What a message of who is not its contact costs, in stars; 0 for nothing.
    #[serde(default)]
    pub price: i64,
    /// What Telegram says about it.
    #[serde(default)]
    pub marks: Marks,
    /// What others forward of it tells its name only.
    #[serde(default)]
    pub hidden_forwards: bool,
    /// Its password (2FA), if it has one.
    #[serde(default)]
    pub password: Option<Password>,
    /// The data centre where it lives.
    #[serde(default = "home")]
    pub dc: i32,
    /// Its picture, a file of the world.
    pub photo: Option<i64>,
    /// Last seen online, in seconds.
    pub seen_at: i32,
    /// Whether it is online now.
    pub online: bool,
    /// The state after its last event; the first is 1, as 0 reads as "no state" in clients.
    pub pts: i32,
    /// The state after the last message of its secret chats.
    #[serde(default)]
    pub qts: i32,
    /// The messages of its secret chats, oldest first.
    #[serde(default)]
    pub secrets: VecDeque<Secret>,
    /// The number of its next message.
    pub next_id: i32,
    /// The messages of its private chats and basic groups.
    pub held: HashMap<i32, Uid>,
    /// Its events, oldest first.
    pub log: VecDeque<Entry>,
    /// Its private chats and basic groups.
    pub dialogs: BTreeMap<Peer, Dialog>,
    /// Chats that it has pinned to the top of its list, the first on top.
    #[serde(default)]
    pub pinned_dialogs: Vec<Peer>,
    /// Chats that it has put into the archive.
    #[serde(default)]
    pub archived: BTreeSet<Peer>,
    /// Channels and supergroups it is in.
    pub channels: BTreeSet<i64>,
    /// How chats stand to it: what changed about them last.
    #[serde(default)]
    pub standings: BTreeMap<Peer, Standing>,
    /// The keys that are logged in as it.
    pub keys: Vec<i64>,
    /// Whom it has in its contacts.
    pub contacts: BTreeSet<i64>,
    /// Whom it does not want to hear.
    pub blocked: BTreeSet<i64>,
}

fn home() -> i32 {
    DC
}

impl Account {
    /// A new user.
    pub fn new(id: i64, phone: &str, first_name: &str, last_name: &str) -> Self {
        Self {
            id,
            phone: phone.to_owned(),
            first_name: first_name.to_owned(),
            last_name: last_name.to_owned(),
            username: None,
            collectibles: Vec::new(),
            about: String::new(),
            bot: false,
            deactivated: false,
            banned: false,
            frozen: false,
            limited: false,
            price: 0,
            marks: Marks::default(),
            hidden_forwards: false,
            password: None,
            dc: DC,
            photo: None,
            seen_at: 0,
            online: false,
            pts: 1,
            qts: 0,
            secrets: VecDeque::new(),
            next_id: 1,
            held: HashMap::new(),
            log: VecDeque::new(),
            dialogs: BTreeMap::new(),
            pinned_dialogs: Vec::new(),
            archived: BTreeSet::new(),
            channels: BTreeSet::new(),
            standings: BTreeMap::new(),
            keys: Vec::new(),
            contacts: BTreeSet::new(),
            blocked: BTreeSet::new(),
        }
    }

    /// Whether nobody can be logged in as it.
    pub fn is_gone(&self) -> bool {
        self.banned || self.deactivated
    }

    /// Writes down an event that counts `count` points and answers its entry.
    pub fn record(&mut self, date: i32, count: i32, what: What) -> Entry {
        self.pts += count;
        let entry = Entry {
            pts: self.pts,
            count,
            date,
            what,
        };
        keep(&mut self.log, entry.clone());
        entry
    }

    /// Takes a message in under the account's next number, which it answers.
    pub fn receive(&mut self, uid: Uid, peer: Peer, own: bool) -> i32 {
        let number = self.next_id;
        self.next_id += 1;
        self.held.insert(number, uid);
        let dialog = self.dialogs.entry(peer).or_default();
        dialog.ids.push(number);
        if own {
            dialog.read_in = number;
            dialog.unread = 0;
        } else {
            dialog.unread += 1;
        }
        number
    }

    /// Whether a message of this chat waits unread.
    pub fn has_unread(&self, peer: Peer) -> bool {
        self.dialogs.get(&peer).is_some_and(|dialog| dialog.unread > 0)
    }

    /// How many messages wait unread in all its private chats and groups.
    pub fn unread(&self) -> i32 {
        self.dialogs.values().map(|dialog| dialog.unread).sum()
    }
}

/// Adds an entry to a log and lets the oldest go.
pub fn keep<T>(log: &mut VecDeque<T>, entry: T) {
    if log.len() == LOG_KEPT {
        log.pop_front();
    }
    log.push_back(entry);
}

/// One private chat or basic group of an account.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Dialog {
    /// The account's numbers of its messages, ascending.
    pub ids: Vec<i32>,
    /// The last incoming message that was read.
    pub read_in: i32,
    /// The last own message that the others read.
    pub read_out: i32,
    /// Incoming messages not read yet.
    pub unread: i32,
    /// Pinned messages, ascending.
    pub pinned: Vec<i32>,
}

/// One event of an account's or a channel's sequence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The state after it.
    pub pts: i32,
    /// How many points it counts.
    pub count: i32,
    /// When, in seconds.
    pub date: i32,
    /// What happened.
    pub what: What,
}

impl Entry {
    /// The number of the message that it brings, if it is a new one.
    pub fn brings(&self) -> Option<i32> {
        match self.what {
            What::New { id, .. } => Some(id),
            _ => None,
        }
    }
}

/// What happened in an account's or a channel's sequence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum What {
    /// A message is there.
    New {
        /// Its number.
        id: i32,
        /// What its sender named it, in the sender's own log (a channel's log: its author's).
        random_id: i64,
    },
    /// A message was edited.
    Edited {
        /// Its number.
        id: i32,
    },
    /// Messages are gone.
    Deleted {
        /// Their numbers.
        ids: Vec<i32>,
    },
    /// This account read.
    ReadInbox {
        /// Where.
        peer: Peer,
        /// Up to which message.
        max_id: i32,
        /// What is left.
        unread: i32,
    },
    /// The others read.
    ReadOutbox {
        /// Where.
        peer: Peer,
        /// Up to which message.
        max_id: i32,
    },
    /// What messages carry was opened.
    Opened {
        /// Their numbers.
        ids: Vec<i32>,
    },
    /// The page behind a link is there, or there is none.
    Page {
        /// Its address.
        url: String,
    },
    /// Something that is nobody's message.
    Noise {
        /// What kind of thing.
        kind: Kind,
        /// What it is made of.
        drawn: i64,
    },
    /// Chats were moved into other lists.
    Moved {
        /// Which, and the list of each.
        chats: Vec<(Peer, i32)>,
    },
    /// Messages were pinned or unpinned.
    Pinned {
        /// Where.
        peer: Peer,
        /// Which.
        ids: Vec<i32>,
        /// Pinned or unpinned.
        pinned: bool,
    },
}
