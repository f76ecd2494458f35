//! Basic groups, supergroups and channels: members, rights, and a channel's own sequence.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::account::{Entry, What, keep};
use super::content::Uid;
use super::marks::Marks;
use super::names::Collectible;
use super::rights::{Forbidden, Right};
use super::topics::Topic;

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Made it.
    Creator,
    /// May do all but delete it.
    Admin,
    /// May read, and write where members may.
    Member,
    /// May read, not write.
    Muted,
    /// Was there.
    Left,
    /// Was put out.
    Banned,
}

impl Role {
    /// Whether this is somebody who is in the chat.
    pub fn present(self) -> bool {
        !matches!(self, Role::Left | Role::Banned)
    }

    /// Whether this is somebody who runs the chat.
    pub fn runs(self) -> bool {
        matches!(self, Role::Creator | Role::Admin)
    }
}

/// A member of a chat.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Member {
    /// What it is.
    pub role: Role,
    /// Since when, in seconds.
    pub since: i32,
    /// Who brought it in.
    pub inviter: i64,
    /// In a channel: the last message it read.
    pub read_in: i32,
    /// In a channel: when it last posted, in milliseconds.
    pub posted_at: i64,
    /// In a channel: when it may write or come in again, in seconds, if it may not.
    #[serde(default)]
    pub until: Option<i32>,
    /// In a channel: what it does not see, up to this message; 0 for nothing.
    #[serde(default)]
    pub hidden_up_to: i32,
    /// What it may not send, and until when.
    #[serde(default)]
    pub forbidden: Forbidden,
}

/// A basic group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Group {
    /// Its number.
    pub id: i64,
    /// Its title.
    pub title: String,
    /// A few words about it.
    pub about: String,
    /// When it was made, in seconds.
    pub created: i32,
    /// Who is and was in it.
    pub members: BTreeMap<i64, Member>,
    /// Counts changes of the members.
    pub version: i32,
    /// Its messages may not be forwarded.
    pub noforwards: bool,
    /// What members may not send.
    #[serde(default)]
    pub forbidden: BTreeSet<Right>,
    /// Its picture, a file of the world.
    #[serde(default)]
    pub photo: Option<i64>,
    /// The supergroup that it has become.
    #[serde(default)]
    pub migrated_to: Option<i64>,
    /// Its invitation.
    pub invite: String,
}

/// A supergroup or a broadcast channel.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Channel {
    /// Its number.
    pub id: i64,
    /// Its title.
    pub title: String,
    /// A few words about it.
    pub about: String,
    /// Its public name.
    pub username: Option<String>,
    /// Names that were bought for it.
    #[serde(default)]
    pub collectibles: Vec<Collectible>,
    /// Only those who run it post, and nobody's name is shown.
    pub broadcast: bool,
    /// When it was made, in seconds.
    pub created: i32,
    /// Who is and was in it.
    pub members: BTreeMap<i64, Member>,
    /// How many are in it.
    pub present: i32,
    /// The state after its last event.
    pub pts: i32,
    /// The number of its next message.
    pub next_id: i32,
    /// Its messages by number.
    pub held: BTreeMap<i32, Uid>,
    /// Its events, oldest first.
    pub log: VecDeque<Entry>,
    /// Seconds between two messages of a member; 0 for none.
    pub slow_mode: i32,
    /// Its messages may not be forwarded.
    pub noforwards: bool,
    /// What members may not send.
    #[serde(default)]
    pub forbidden: BTreeSet<Right>,
    /// What a message of a member costs, in stars; 0 for nothing.
    #[serde(default)]
    pub price: i64,
    /// Its picture, a file of the world.
    #[serde(default)]
    pub photo: Option<i64>,
    /// What Telegram says about it.
    #[serde(default)]
    pub marks: Marks,
    /// Of a channel the supergroup where its posts are discussed; of that the channel.
    #[serde(default)]
    pub linked: Option<i64>,
    /// In a supergroup: who of those who run it writes in its name.
    #[serde(default)]
    pub anonymous: BTreeSet<i64>,
    /// Who comes in does not see what was said before.
    #[serde(default)]
    pub history_hidden: bool,
    /// The basic group that it was, and the last message there as its creator numbers it.
    #[serde(default)]
    pub migrated_from: Option<(i64, i32)>,
    /// Its messages stand in topics.
    #[serde(default)]
    pub forum: bool,
    /// Its topics by the number of the message that began each.
    #[serde(default)]
    pub topics: BTreeMap<i32, Topic>,
    /// Pinned messages, ascending.
    pub pinned: Vec<i32>,
    /// Its invitation.
    pub invite: String,
}

impl Channel {
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

    /// What this user is in it.
    pub fn role(&self, user: i64) -> Option<Role> {
        self.members.get(&user).map(|member| member.role)
    }

    /// Whether this user is in it.
    pub fn has(&self, user: i64) -> bool {
        self.role(user).is_some_and(Role::present)
    }

    /// Whether this user may look into it: members, and anybody who is not banned if it is public.
    pub fn readable_by(&self, user: i64) -> bool {
        match self.role(user) {
            Some(Role::Banned) => false,
            Some(role) if role.present() => true,
            _ => self.username.is_some(),
        }
    }

    /// Gives somebody a role; says whether the number of those present changed.
    pub fn set_role(&mut self, user: i64, role: Role, inviter: i64, now: i32) -> bool {
        let was = self.has(user);
        let top = self.next_id - 1;
        let member = self.members.entry(user).or_insert(Member {
            role,
            since: now,
            inviter,
            read_in: top,
            posted_at: 0,
            until: None,
            hidden_up_to: 0,
            forbidden: Forbidden::new(),
        });
        member.until = None;
        if !was && role.present() {
            member.since = now;
            member.inviter = inviter;
            member.read_in = top;
            if self.history_hidden {
                member.hidden_up_to = top;
            }
        }
        member.role = role;
        let is = role.present();
        self.present += i32::from(is) - i32::from(was);
        was != is
    }

    /// Up to which message the history is not shown to this user; 0 if all of it is.
    pub fn hidden_from(&self, user: i64) -> i32 {
        self.members.get(&user).map_or(0, |member| member.hidden_up_to)
    }

    /// The messages that this user may see, ascending.
    pub fn seen_by(&self, user: i64) -> impl DoubleEndedIterator<Item = i32> + '_ {
        let first = self.hidden_from(user).saturating_add(1);
        self.held.range(first..).map(|(number, _)| *number)
    }

    /// Messages this member has not read: those after its mark that others wrote.
    pub fn unread_of(&self, user: i64) -> i32 {
        let mark = self
            .members
            .get(&user)
            .map_or(self.next_id, |member| member.read_in);
        let count = self.held.range(mark.saturating_add(1)..).count();
        i32::try_from(count).unwrap_or(i32::MAX)
    }

    /// The last message that somebody else than this member read.
    pub fn read_by_others(&self, user: i64) -> i32 {
        let others = self
            .members
            .iter()
            .filter(|(id, member)| **id != user && member.role.present());
        others.map(|(_, member)| member.read_in).max().unwrap_or(0)
    }
}

impl Group {
    /// What this user is in it.
    pub fn role(&self, user: i64) -> Option<Role> {
        self.members.get(&user).map(|member| member.role)
    }

    /// Whether this user is in it.
    pub fn has(&self, user: i64) -> bool {
        self.role(user).is_some_and(Role::present)
    }

    /// Those who are in it.
    pub fn present(&self) -> impl Iterator<Item = i64> + '_ {
        self.members
            .iter()
            .filter(|(_, member)| member.role.present())
            .map(|(id, _)| *id)
    }
}

/// Titles and names of chats by the lower-case public name.
pub type Names = HashMap<String, super::place::Peer>;
