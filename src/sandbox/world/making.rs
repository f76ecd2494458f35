//! How users, groups and channels come into the world, and what numbers they get. Nobody is told of it here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::account::Account;
use super::chat::{Channel, Group, Member, Role};
use super::marks::Marks;
use super::numbers::{CHANNELS, GROUPS, USERS};
use super::place::Peer;
use super::refusal::Refusal;
use super::state::{State, digits};

impl State {
    /// Adds a user; the phone number may be empty, the username too.
    pub fn add_user(
        &mut self,
        id: Option<i64>,
        phone: &str,
        first: &str,
        last: &str,
    ) -> Result<i64, Refusal> {
        let phone = digits(phone);
        if !phone.is_empty() && self.phones.contains_key(&phone) {
            return Err(Refusal::bad("PHONE_NUMBER_OCCUPIED"));
        }
        let id = match id {
            Some(id) if id <= 0 || self.accounts.contains_key(&id) => {
                return Err(Refusal::bad("USER_ID_INVALID"));
            }
            Some(id) => id,
            None => {
                self.next.user = self.number_after(self.next.user, USERS);
                while self.accounts.contains_key(&self.next.user) {
                    self.next.user += 1;
                }
                self.next.user
            }
        };
        let mut account = Account::new(id, &phone, first, last);
        account.pts = self.first_number(71, id);
        account.next_id = self.first_number(72, id);
        account.seen_at = self.date();
        self.accounts.insert(id, account);
        if !phone.is_empty() {
            self.phones.insert(phone, id);
        }
        Ok(id)
    }

    /// Makes a basic group without a message about it.
    pub fn add_group(
        &mut self,
        id: Option<i64>,
        creator: i64,
        title: &str,
        members: &[i64],
    ) -> Result<i64, Refusal> {
        check_title(title)?;
        let id = match id {
            Some(id) if id <= 0 || self.groups.contains_key(&id) => {
                return Err(Refusal::bad("CHAT_ID_INVALID"));
            }
            Some(id) => id,
            None => {
                self.next.group = self.number_after(self.next.group, GROUPS);
                while self.groups.contains_key(&self.next.group) {
                    self.next.group += 1;
                }
                self.next.group
            }
        };
        let now = self.date();
        let mut all = BTreeMap::new();
        for (user, role) in
            std::iter::once((creator, Role::Creator)).chain(members.iter().map(|user| (*user, Role::Member)))
        {
            self.account_mut(user)?
                .dialogs
                .entry(Peer::Group(id))
                .or_default();
            all.entry(user).or_insert(Member {
                role,
                since: now,
                inviter: creator,
                read_in: 0,
                posted_at: 0,
                until: None,
                hidden_up_to: 0,
                forbidden: BTreeMap::new(),
            });
        }
        let invite = format!("g{:x}", self.derive(11, id, 0).cast_unsigned());
        self.groups.insert(
            id,
            Group {
                id,
                title: title.to_owned(),
                about: String::new(),
                created: now,
                members: all,
                version: 1,
                noforwards: false,
                forbidden: BTreeSet::new(),
                photo: None,
                migrated_to: None,
                invite,
            },
        );
        Ok(id)
    }

    /// Makes a channel (`broadcast`) or a supergroup without a message about it.
    pub fn add_channel(
        &mut self,
        id: Option<i64>,
        creator: i64,
        title: &str,
        broadcast: bool,
        members: &[i64],
    ) -> Result<i64, Refusal> {
        check_title(title)?;
        let id = match id {
            Some(id) if id <= 0 || self.channels.contains_key(&id) => {
                return Err(Refusal::bad("CHANNEL_INVALID"));
            }
            Some(id) => id,
            None => {
                self.next.channel = self.number_after(self.next.channel, CHANNELS);
                while self.channels.contains_key(&self.next.channel) {
                    self.next.channel += 1;
                }
                self.next.channel
            }
        };
        let now = self.date();
        let mut channel = Channel {
            id,
            title: title.to_owned(),
            about: String::new(),
            username: None,
            broadcast,
            created: now,
            members: BTreeMap::new(),
            present: 0,
            pts: self.first_number(73, id),
            next_id: self.first_number(74, id),
            held: BTreeMap::new(),
            log: VecDeque::new(),
            slow_mode: 0,
            noforwards: false,
            forbidden: BTreeSet::new(),
            price: 0,
            photo: None,
            marks: Marks::default(),
            linked: None,
            anonymous: BTreeSet::new(),
            history_hidden: false,
            collectibles: Vec::new(),
            migrated_from: None,
            forum: false,
            topics: BTreeMap::new(),
            pinned: Vec::new(),
            invite: format!("c{:x}", self.derive(12, id, 0).cast_unsigned()),
        };
        for user in std::iter::once(&creator).chain(members) {
            self.account_mut(*user)?.channels.insert(id);
            let role = if *user == creator {
                Role::Creator
            } else {
                Role::Member
            };
            channel.set_role(*user, role, creator, now);
        }
        self.channels.insert(id, channel);
        Ok(id)
    }
}

/// Whether a chat may be called this.
pub fn check_title(title: &str) -> Result<(), Refusal> {
    match title.trim().chars().count() {
        1..=255 => Ok(()),
        _ => Err(Refusal::bad("CHAT_TITLE_EMPTY")),
    }
}
