//! All that the world knows, as one value: it is changed behind one lock and written to disk whole.
//!
//! What a change tells its accounts is gathered in `news`, in order, and handed on before the lock
//! is let go. Nothing here knows a connection, a clock or a file.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::account::{Account, DC, Dialog, Entry, What};
use super::chat::{Channel, Group, Names};
use super::content::{Content, Uid, seconds};
use super::files::Files;
use super::keys::Keys;
use super::pages::Page;
use super::place::{Peer, Place};
use super::polls::Poll;
use super::refusal::Refusal;
use super::settings::Settings;
use super::switches::Switchboard;
use super::weather::{Kind, Weather};

/// The account that tells login codes, as on Telegram.
pub const SERVICE: i64 = 777_000;

/// The world.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    /// The present, in milliseconds; set whenever the lock is taken.
    #[serde(skip)]
    pub now: i64,
    /// What access hashes and file references are derived from.
    pub secret: u64,
    /// Users by number.
    pub accounts: HashMap<i64, Account>,
    /// Basic groups by number.
    pub groups: BTreeMap<i64, Group>,
    /// Supergroups and channels by number.
    pub channels: BTreeMap<i64, Channel>,
    /// All messages.
    pub contents: HashMap<Uid, Content>,
    /// The first message of every `(account, peer, random_id)`.
    pub sent: HashMap<(i64, Peer, i64), Uid>,
    /// Users by phone number.
    pub phones: HashMap<String, i64>,
    /// Users and channels by lower-case username.
    pub names: Names,
    /// Keys, codes and logins.
    pub keys: Keys,
    /// Uploaded files.
    pub files: Files,
    /// Polls by number.
    #[serde(default)]
    pub polls: BTreeMap<i64, Poll>,
    /// Pages behind links by address.
    #[serde(default)]
    pub pages: BTreeMap<String, Page>,
    /// Pages that somebody has to look for.
    #[serde(skip)]
    pub asked: Vec<String>,
    /// How many differences of channels were drawn for.
    #[serde(skip)]
    pub differences: i64,
    /// Messages that go by themselves, by the time when they do.
    #[serde(default)]
    pub vanishing: BTreeSet<(i64, Uid)>,
    /// Times at which some go, for which nobody waits yet.
    #[serde(skip)]
    pub wakes: Vec<i64>,
    /// The earliest of those for which somebody waits.
    #[serde(skip)]
    pub waking: Option<i64>,
    /// What is otherwise than on Telegram.
    #[serde(default)]
    pub settings: Settings,
    /// Which of Telegram's ways it has; given anew at each start.
    #[serde(skip)]
    pub switches: Switchboard,
    /// The stream of what is nobody's message, while it goes on.
    #[serde(skip)]
    pub weather: Option<Weather>,
    /// The data centres that there are.
    #[serde(skip)]
    pub centres: Vec<i32>,
    /// When whose ban from which channel ends, in seconds.
    #[serde(default)]
    pub bans: Vec<(i32, i64, i64)>,
    /// Who protects the private chat with whom.
    #[serde(default)]
    pub guards: BTreeSet<(i64, i64)>,
    /// The next number of each kind.
    pub next: Next,
    /// What has not been told yet.
    #[serde(skip)]
    pub news: Vec<News>,
}

/// The next number of each kind.
#[derive(Debug, Serialize, Deserialize)]
pub struct Next {
    /// Of messages.
    pub uid: Uid,
    /// Of users.
    pub user: i64,
    /// Of basic groups.
    pub group: i64,
    /// Of channels.
    pub channel: i64,
    /// Of albums.
    pub album: i64,
}

/// What an account is to be told.
#[derive(Clone, Debug)]
pub enum News {
    /// An event of the account's own sequence.
    Account {
        /// Whose.
        account: i64,
        /// Which.
        entry: Entry,
    },
    /// An event of a channel's sequence, for all who are in it.
    Channel {
        /// Which channel.
        channel: i64,
        /// Which event.
        entry: Entry,
    },
    /// Something outside of the sequences.
    Passing {
        /// Whom to tell.
        account: i64,
        /// What.
        what: Passing,
    },
    /// For a key that nobody is logged in with: the token that it shows was accepted.
    TokenAccepted {
        /// Which key.
        key: i64,
        /// By whom.
        account: i64,
    },
}

/// What is told once and not kept.
#[derive(Clone, Debug)]
pub enum Passing {
    /// Somebody types.
    Typing {
        /// Where.
        peer: Peer,
        /// Who.
        user: i64,
        /// The action's bytes as the client sent them.
        action: Vec<u8>,
    },
    /// Somebody came or went.
    Status {
        /// Who.
        user: i64,
    },
    /// The account read a channel elsewhere.
    ChannelRead {
        /// Which channel.
        channel: i64,
        /// Up to which message.
        max_id: i32,
    },
    /// Others read one's posts in a channel.
    ChannelReadByOthers {
        /// Which channel.
        channel: i64,
        /// Up to which message.
        max_id: i32,
    },
    /// A channel came, went or changed.
    Channel {
        /// Which channel.
        channel: i64,
    },
    /// Members of a basic group changed.
    Members {
        /// Which group.
        group: i64,
    },
    /// Somebody came into a basic group.
    MemberCame {
        /// Which group.
        group: i64,
        /// Who.
        user: i64,
        /// Brought by whom.
        inviter: i64,
        /// The version of its list of members.
        version: i32,
    },
    /// Somebody is gone from a basic group.
    MemberGone {
        /// Which group.
        group: i64,
        /// Who.
        user: i64,
        /// The version of its list of members.
        version: i32,
    },
    /// Somebody helps to run a basic group, or no longer.
    MemberAdmin {
        /// Which group.
        group: i64,
        /// Who.
        user: i64,
        /// Whether it does.
        admin: bool,
        /// The version of its list of members.
        version: i32,
    },
    /// A basic group came, went or changed.
    Group {
        /// Which group.
        group: i64,
    },
    /// A supergroup begins, with nothing read and nothing said.
    ChannelOpened {
        /// Which one.
        channel: i64,
    },
    /// A part of a channel's history is not shown to the account any more.
    Available {
        /// Which channel.
        channel: i64,
    },
    /// A user is called otherwise.
    UserName {
        /// Who.
        user: i64,
    },
    /// Something else about a user changed.
    User {
        /// Who.
        user: i64,
    },
    /// What messages of a channel carry was opened.
    Opened {
        /// Which channel.
        channel: i64,
        /// The messages.
        ids: Vec<i32>,
    },
    /// Something that is nobody's message.
    Weather {
        /// What kind of thing.
        kind: Kind,
        /// What it is made of.
        drawn: i64,
    },
    /// Reactions to a message changed.
    Reactions {
        /// Where.
        peer: Peer,
        /// To which message.
        id: i32,
    },
    /// A channel's post was seen.
    Views {
        /// Which channel.
        channel: i64,
        /// Which post.
        id: i32,
    },
    /// A channel's post was forwarded.
    Forwards {
        /// Which channel.
        channel: i64,
        /// Which post.
        id: i32,
    },
    /// A poll stands otherwise.
    Poll {
        /// Where.
        peer: Peer,
        /// In which message.
        id: i32,
    },
    /// A new login on the account.
    Login {
        /// The key.
        key: i64,
    },
    /// The state is lost: ask anew.
    TooLong,
    /// A channel's state is lost: ask anew.
    ChannelTooLong {
        /// Which channel.
        channel: i64,
    },
}

impl State {
    /// An empty world.
    pub fn new(secret: u64) -> Self {
        let mut state = Self {
            now: 0,
            secret,
            accounts: HashMap::new(),
            groups: BTreeMap::new(),
            channels: BTreeMap::new(),
            contents: HashMap::new(),
            sent: HashMap::new(),
            phones: HashMap::new(),
            names: HashMap::new(),
            keys: Keys::default(),
            files: Files::default(),
            polls: BTreeMap::new(),
            pages: BTreeMap::new(),
            asked: Vec::new(),
            differences: 0,
            vanishing: BTreeSet::new(),
            wakes: Vec::new(),
            waking: None,
            bans: Vec::new(),
            guards: BTreeSet::new(),
            settings: Settings::default(),
            switches: Switchboard::default(),
            weather: None,
            centres: Vec::new(),
            next: Next {
                uid: 1,
                user: 5_000_001,
                group: 400_001,
                channel: 1_500_000_001,
                album: 13_000_000_000_000_001,
            },
            news: Vec::new(),
        };
        let mut service = Account::new(SERVICE, "42777", "Telegram", "");
        service.username = None;
        state.accounts.insert(SERVICE, service);
        state
    }

    /// The present in seconds.
    pub fn date(&self) -> i32 {
        seconds(self.now)
    }

    /// The account of a user.
    pub fn account(&self, user: i64) -> Result<&Account, Refusal> {
        self.accounts.get(&user).ok_or(Refusal::bad("USER_ID_INVALID"))
    }

    /// The account of a user, to change it.
    pub fn account_mut(&mut self, user: i64) -> Result<&mut Account, Refusal> {
        self.accounts
            .get_mut(&user)
            .ok_or(Refusal::bad("USER_ID_INVALID"))
    }

    /// The data centre where an account lives; the first, if its own is not there.
    pub fn home(&self, user: i64) -> i32 {
        let home = self.accounts.get(&user).map(|account| account.dc);
        home.filter(|dc| self.centres.contains(dc)).unwrap_or(DC)
    }

    /// Lets an account live in another data centre. Logins that there are stay where they are.
    pub fn set_home(&mut self, user: i64, dc: i32) -> Result<(), Refusal> {
        if !self.centres.contains(&dc) {
            return Err(Refusal::bad("DC_ID_INVALID"));
        }
        self.account_mut(user)?.dc = dc;
        Ok(())
    }

    /// Whether there is such a user or chat.
    pub fn exists(&self, peer: Peer) -> bool {
        match peer {
            Peer::User(id) => self.accounts.contains_key(&id),
            Peer::Group(id) => self.groups.contains_key(&id),
            Peer::Channel(id) => self.channels.contains_key(&id),
        }
    }

    /// A basic group.
    pub fn group(&self, id: i64) -> Result<&Group, Refusal> {
        self.groups.get(&id).ok_or(Refusal::bad("CHAT_ID_INVALID"))
    }

    /// A basic group, to change it.
    pub fn group_mut(&mut self, id: i64) -> Result<&mut Group, Refusal> {
        self.groups.get_mut(&id).ok_or(Refusal::bad("CHAT_ID_INVALID"))
    }

    /// A channel.
    pub fn channel(&self, id: i64) -> Result<&Channel, Refusal> {
        self.channels.get(&id).ok_or(Refusal::bad("CHANNEL_INVALID"))
    }

    /// A channel, to change it.
    pub fn channel_mut(&mut self, id: i64) -> Result<&mut Channel, Refusal> {
        self.channels.get_mut(&id).ok_or(Refusal::bad("CHANNEL_INVALID"))
    }

    /// Number of the message that `account` knows as `id` outside of channels.
    pub fn held(&self, account: i64, id: i32) -> Option<&Content> {
        self.contents.get(self.accounts.get(&account)?.held.get(&id)?)
    }

    /// The message that `account` knows as `id` in the chat `peer`.
    pub fn find(&self, account: i64, peer: Peer, id: i32) -> Option<&Content> {
        match peer {
            Peer::Channel(channel) => {
                let channel = self.channels.get(&channel)?;
                let uid = channel.held.get(&id)?;
                (id > channel.hidden_from(account)).then(|| self.contents.get(uid))?
            }
            _ => self
                .held(account, id)
                .filter(|content| content.place == Place::of(account, peer)),
        }
    }

    /// Whether a message is pinned for this account.
    pub fn pinned(&self, account: i64, content: &Content) -> bool {
        let list = match content.place {
            Place::Channel(id) => self.channels.get(&id).map(|channel| &channel.pinned),
            place => self
                .dialog(account, place.seen_by(account))
                .map(|dialog| &dialog.pinned),
        };
        let number = content.number_for(account);
        list.zip(number)
            .is_some_and(|(list, number)| list.binary_search(&number).is_ok())
    }

    /// What `viewer` has to show to name `peer`: differs per account, never 0.
    pub fn access_hash(&self, viewer: i64, peer: Peer) -> i64 {
        let (kind, id) = match peer {
            Peer::User(id) => (1, id),
            Peer::Group(id) => (2, id),
            Peer::Channel(id) => (3, id),
        };
        self.derive(kind, viewer, id)
    }

    /// A number that depends on the world's secret and these, never 0.
    pub fn derive(&self, kind: u64, one: i64, other: i64) -> i64 {
        let mut mixed = self.secret ^ kind.wrapping_mul(0xd6e8_feb8_6659_fd93);
        for part in [one.cast_unsigned(), other.cast_unsigned()] {
            mixed = mixed.wrapping_add(part).wrapping_add(0x9e37_79b9_7f4a_7c15);
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^= mixed >> 31;
        }
        mixed.max(1).cast_signed()
    }

    /// Records an event of an account's own sequence and queues it to be told.
    pub fn tell(&mut self, account: i64, count: i32, what: What) -> Option<Entry> {
        let date = self.date();
        let entry = self.accounts.get_mut(&account)?.record(date, count, what);
        self.news.push(News::Account {
            account,
            entry: entry.clone(),
        });
        Some(entry)
    }

    /// Records an event of a channel's sequence and queues it to be told to all in it.
    pub fn tell_channel(&mut self, channel: i64, count: i32, what: What) -> Option<Entry> {
        let date = self.date();
        let entry = self.channels.get_mut(&channel)?.record(date, count, what);
        self.news.push(News::Channel {
            channel,
            entry: entry.clone(),
        });
        Some(entry)
    }

    /// Queues something outside of the sequences.
    pub fn mention(&mut self, account: i64, what: Passing) {
        self.remember_standing(account, &what);
        self.news.push(News::Passing { account, what });
    }

    /// An account's view of a private chat or a basic group.
    pub fn dialog(&self, account: i64, peer: Peer) -> Option<&Dialog> {
        self.accounts.get(&account)?.dialogs.get(&peer)
    }

    /// All accounts that a message in this place reaches.
    pub fn audience(&self, place: Place) -> Vec<i64> {
        match place {
            Place::Private(one, other) if one == other => vec![one],
            Place::Private(one, other) => vec![one, other],
            Place::Group(id) => self
                .groups
                .get(&id)
                .map(|group| group.present().collect())
                .unwrap_or_default(),
            Place::Channel(id) => self
                .channels
                .get(&id)
                .map(|channel| {
                    let present = channel.members.iter().filter(|(_, member)| member.role.present());
                    present.map(|(user, _)| *user).collect()
                })
                .unwrap_or_default(),
        }
    }
}

/// The digits of a phone number.
pub fn digits(phone: &str) -> String {
    phone.chars().filter(char::is_ascii_digit).collect()
}
