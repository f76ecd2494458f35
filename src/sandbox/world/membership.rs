//! Making chats, coming in, going out, rights.

use super::chat::Role;
use super::content::Action;
use super::making::check_title;
use super::place::{Peer, Place};
use super::posting::Draft;
use super::refusal::Refusal;
use super::state::{Passing, State};

/// How many members a basic group may have.
const GROUP_MAX: usize = 200;

impl State {
    /// Makes a basic group and says so in it.
    pub fn create_group(&mut self, creator: i64, title: &str, members: &[i64]) -> Result<i64, Refusal> {
        if members.len() >= GROUP_MAX {
            return Err(Refusal::bad("USERS_TOO_MUCH"));
        }
        let id = self.add_group(None, creator, title, members)?;
        let action = Action::GroupCreated {
            title: title.to_owned(),
            members: self.audience(Place::Group(id)),
        };
        self.post(creator, Peer::Group(id), Draft::service(action))?;
        Ok(id)
    }

    /// Makes a channel or a supergroup and says so in it.
    pub fn create_channel(
        &mut self,
        creator: i64,
        title: &str,
        about: &str,
        broadcast: bool,
    ) -> Result<i64, Refusal> {
        let id = self.add_channel(None, creator, title, broadcast, &[])?;
        self.channel_mut(id)?.about = about.to_owned();
        self.mention(creator, Passing::Channel { channel: id });
        let action = Action::ChannelCreated {
            title: title.to_owned(),
        };
        self.post(creator, Peer::Channel(id), Draft::service(action))?;
        Ok(id)
    }

    /// Brings users into a basic group or a channel.
    pub fn bring_in(&mut self, inviter: i64, peer: Peer, users: &[i64]) -> Result<(), Refusal> {
        let now = self.date();
        match peer {
            Peer::User(_) => return Err(Refusal::bad("PEER_ID_INVALID")),
            Peer::Group(id) => {
                self.not_migrated(id, "CHAT_ID_INVALID")?;
                let group = self.group(id)?;
                if !group.has(inviter) {
                    return Err(Refusal::bad("CHAT_ID_INVALID"));
                }
                if users.iter().all(|user| group.has(*user)) {
                    return Err(Refusal::bad("USER_ALREADY_PARTICIPANT"));
                }
                if group.present().count() + users.len() > GROUP_MAX {
                    return Err(Refusal::bad("USERS_TOO_MUCH"));
                }
                for user in users {
                    self.account_mut(*user)?.dialogs.entry(peer).or_default();
                    let member = super::chat::Member {
                        role: Role::Member,
                        since: now,
                        inviter,
                        read_in: 0,
                        posted_at: 0,
                        until: None,
                        hidden_up_to: 0,
                        forbidden: Default::default(),
                    };
                    let group = self.group_mut(id)?;
                    if !group.has(*user) {
                        group.members.insert(*user, member);
                    }
                    group.version += 1;
                    let version = group.version;
                    self.tell_of_comer(id, *user, inviter, version);
                }
                self.post(
                    inviter,
                    peer,
                    Draft::service(Action::Joined {
                        members: users.to_vec(),
                    }),
                )?;
            }
            Peer::Channel(id) => {
                let channel = self.channel(id)?;
                let allowed = match channel.broadcast {
                    true => channel.role(inviter).is_some_and(Role::runs),
                    false => channel.has(inviter),
                };
                if !allowed {
                    return Err(Refusal::bad("CHAT_ADMIN_REQUIRED"));
                }
                self.enter(inviter, id, users)?;
            }
        }
        Ok(())
    }

    /// Tells a basic group that somebody came: those who were there of the one, the one of all.
    fn tell_of_comer(&mut self, group: i64, user: i64, inviter: i64, version: i32) {
        for member in self.audience(Place::Group(group)) {
            let what = match member != user && self.switches.member_updates.decides() {
                true => Passing::MemberCame {
                    group,
                    user,
                    inviter,
                    version,
                },
                false => Passing::Members { group },
            };
            self.mention(member, what);
        }
    }

    /// Tells a basic group that somebody is gone, and the one that it is out.
    fn tell_of_goer(&mut self, group: i64, user: i64, version: i32) {
        for member in self.audience(Place::Group(group)) {
            let what = match self.switches.member_updates.decides() {
                true => Passing::MemberGone { group, user, version },
                false => Passing::Members { group },
            };
            self.mention(member, what);
        }
        self.mention(user, Passing::Group { group });
    }

    /// Puts users into a channel; a supergroup says so.
    fn enter(&mut self, inviter: i64, id: i64, users: &[i64]) -> Result<(), Refusal> {
        let now = self.date();
        let mut came = Vec::new();
        for user in users {
            self.account_mut(*user)?;
            if self.channel_mut(id)?.set_role(*user, Role::Member, inviter, now) {
                self.account_mut(*user)?.channels.insert(id);
                self.mention(*user, Passing::Channel { channel: id });
                came.push(*user);
            }
        }
        if !came.is_empty() && !self.channel(id)?.broadcast {
            self.post(
                inviter,
                Peer::Channel(id),
                Draft::service(Action::Joined { members: came }),
            )?;
        }
        Ok(())
    }

    /// Lets a user join a channel by itself; `invited` when it holds an invitation.
    pub fn join_channel(&mut self, user: i64, id: i64, invited: bool) -> Result<(), Refusal> {
        let channel = self.channel(id)?;
        match channel.role(user) {
            Some(Role::Banned) => return Err(self.closed(user, id)),
            Some(role) if role.present() => return Err(Refusal::bad("USER_ALREADY_PARTICIPANT")),
            _ if channel.username.is_none() && !invited => return Err(Refusal::bad("CHANNEL_PRIVATE")),
            _ => {}
        }
        self.enter(user, id, &[user])
    }

    /// Takes a user out of a chat: on its own wish, or (`by` somebody else) put out.
    pub fn take_out(&mut self, by: i64, peer: Peer, user: i64) -> Result<(), Refusal> {
        match peer {
            Peer::User(_) => Err(Refusal::bad("PEER_ID_INVALID")),
            Peer::Group(id) => {
                self.not_migrated(id, "CHAT_ID_INVALID")?;
                let group = self.group(id)?;
                let runs = group.role(by).is_some_and(Role::runs);
                if !group.has(user) {
                    return Err(Refusal::bad("USER_NOT_PARTICIPANT"));
                }
                if by != user && !runs {
                    return Err(Refusal::bad("CHAT_ADMIN_REQUIRED"));
                }
                self.post(by, peer, Draft::service(Action::Left { member: user }))?;
                let group = self.group_mut(id)?;
                group.version += 1;
                if let Some(member) = group.members.get_mut(&user) {
                    member.role = if by == user { Role::Left } else { Role::Banned };
                }
                let version = group.version;
                self.tell_of_goer(id, user, version);
                Ok(())
            }
            Peer::Channel(id) => {
                let role = if by == user { Role::Left } else { Role::Banned };
                self.assign(by, id, user, role)?;
                if !self.channel(id)?.broadcast && by != user {
                    self.post(by, peer, Draft::service(Action::Left { member: user }))?;
                }
                Ok(())
            }
        }
    }

    /// Gives somebody a role in a channel.
    pub fn assign(&mut self, by: i64, id: i64, user: i64, role: Role) -> Result<(), Refusal> {
        let now = self.date();
        let channel = self.channel(id)?;
        let own_way_out = by == user && role == Role::Left;
        if own_way_out && !channel.has(user) {
            return Err(Refusal::bad("USER_NOT_PARTICIPANT"));
        }
        if !own_way_out && !channel.role(by).is_some_and(Role::runs) {
            return Err(Refusal::bad("CHAT_ADMIN_REQUIRED"));
        }
        if channel.role(user) == Some(Role::Creator) && by != user {
            return Err(Refusal::bad("USER_ADMIN_INVALID"));
        }
        self.account(user)?;
        self.channel_mut(id)?.set_role(user, role, by, now);
        let account = self.account_mut(user)?;
        match role.present() {
            true => account.channels.insert(id),
            false => account.leave(id),
        };
        self.mention(user, Passing::Channel { channel: id });
        Ok(())
    }

    /// Gives a group or a channel a new title and says so in it.
    pub fn retitle(&mut self, by: i64, peer: Peer, title: &str) -> Result<(), Refusal> {
        check_title(title)?;
        let slot = match peer {
            Peer::User(_) => return Err(Refusal::bad("PEER_ID_INVALID")),
            Peer::Group(id) => {
                self.not_migrated(id, "CHAT_ID_INVALID")?;
                let group = self.group_mut(id)?;
                if !group.has(by) {
                    return Err(Refusal::bad("CHAT_ID_INVALID"));
                }
                &mut group.title
            }
            Peer::Channel(id) => {
                let channel = self.channel_mut(id)?;
                if !channel.role(by).is_some_and(Role::runs) {
                    return Err(Refusal::bad("CHAT_ADMIN_REQUIRED"));
                }
                &mut channel.title
            }
        };
        if slot == title {
            return Err(Refusal::bad("CHAT_NOT_MODIFIED"));
        }
        title.clone_into(slot);
        self.post(
            by,
            peer,
            Draft::service(Action::Retitled {
                title: title.to_owned(),
            }),
        )?;
        Ok(())
    }

    /// Changes something about a channel that its admins may change, and tells all in it.
    pub fn adjust_channel(
        &mut self,
        by: i64,
        id: i64,
        change: impl FnOnce(&mut super::chat::Channel),
    ) -> Result<(), Refusal> {
        let channel = self.channel_mut(id)?;
        if !channel.role(by).is_some_and(Role::runs) {
            return Err(Refusal::bad("CHAT_ADMIN_REQUIRED"));
        }
        change(channel);
        for member in self.audience(Place::Channel(id)) {
            self.mention(member, Passing::Channel { channel: id });
        }
        Ok(())
    }

    /// The chat behind an invitation.
    pub fn invitation(&self, hash: &str) -> Result<Peer, Refusal> {
        let group = self
            .groups
            .values()
            .find(|group| group.invite == hash)
            .map(|group| group.migrated_to.map_or(Peer::Group(group.id), Peer::Channel));
        let channel = || self.channels.values().find(|channel| channel.invite == hash);
        group
            .or_else(|| channel().map(|channel| Peer::Channel(channel.id)))
            .ok_or(Refusal::bad("INVITE_HASH_EXPIRED"))
    }
}
