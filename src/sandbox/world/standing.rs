//! How chats stand to an account: its role in them, its rights, what of their history it may see. What changed about
//! that is told at once to who is connected, and with the next difference to who was away.

use super::chat::Role;
use super::place::{Peer, Place};
use super::refusal::Refusal;
use super::state::{Passing, State};

/// What changed about a chat for an account, the last time that something did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Standing {
    /// When, in seconds.
    pub date: i32,
    /// When its history was cleared for this account alone, in seconds; 0 for never.
    pub cleared: i32,
}

impl State {
    /// Remembers that a chat changed for an account, if that is what it is told.
    pub(super) fn remember_standing(&mut self, account: i64, what: &Passing) {
        let date = self.date();
        let (peer, cleared) = match what {
            Passing::Channel { channel } => (Peer::Channel(*channel), false),
            Passing::Available { channel } => (Peer::Channel(*channel), true),
            Passing::Group { group }
            | Passing::Members { group }
            | Passing::MemberCame { group, .. }
            | Passing::MemberGone { group, .. }
            | Passing::MemberAdmin { group, .. } => (Peer::Group(*group), false),
            _ => return,
        };
        if let Some(account) = self.accounts.get_mut(&account) {
            let standing = account
                .standings
                .entry(peer)
                .or_insert(Standing { date, cleared: 0 });
            standing.date = date;
            if cleared {
                standing.cleared = date;
            }
        }
    }

    /// Gives a member another role, as who runs the chat would; whoever was not in it may come in by that.
    pub fn set_role(&mut self, peer: Peer, user: i64, role: Role) -> Result<(), Refusal> {
        let by = self.head_of(peer)?;
        let inside = self.audience(Place::of(user, peer)).contains(&user);
        match (peer, role) {
            (_, Role::Creator) | (Peer::User(_), _) => Err(Refusal::bad("PEER_ID_INVALID")),
            (_, Role::Left) => self.take_out(user, peer, user),
            (_, Role::Banned) if inside => self.take_out(by, peer, user),
            (Peer::Group(id), Role::Admin) => self.set_admin(by, id, user, true),
            (Peer::Group(id), Role::Member) if inside => self.set_admin(by, id, user, false),
            (Peer::Group(_), Role::Muted | Role::Banned) => Err(Refusal::bad("USER_NOT_PARTICIPANT")),
            (_, Role::Member) if !inside => {
                if let Peer::Channel(id) = peer {
                    // Who was put out is let in again by those who run the chat only.
                    self.assign(by, id, user, Role::Left)?;
                }
                self.bring_in(by, peer, &[user])
            }
            (Peer::Channel(id), role) => self.assign(by, id, user, role),
            (Peer::Group(_), Role::Member) => Ok(()),
        }
    }

    /// Who made a chat, or runs it.
    pub fn head_of(&self, peer: Peer) -> Result<i64, Refusal> {
        let members = match peer {
            Peer::User(_) => None,
            Peer::Group(id) => Some(&self.group(id)?.members),
            Peer::Channel(id) => Some(&self.channel(id)?.members),
        };
        let mut heads = members
            .into_iter()
            .flatten()
            .filter(|(_, member)| member.role.runs());
        let creator = heads.clone().find(|(_, member)| member.role == Role::Creator);
        let head = creator.or_else(|| heads.next());
        head.map(|(id, _)| *id).ok_or(Refusal::bad("CHAT_ADMIN_REQUIRED"))
    }

    /// Lets a member of a basic group help to run it, or no longer.
    pub fn set_admin(&mut self, by: i64, id: i64, user: i64, admin: bool) -> Result<(), Refusal> {
        self.not_migrated(id, "CHAT_ID_INVALID")?;
        let group = self.group_mut(id)?;
        if group.role(by) != Some(Role::Creator) {
            return Err(Refusal::bad("CHAT_ADMIN_REQUIRED"));
        }
        let member = group
            .members
            .get_mut(&user)
            .filter(|member| member.role.present());
        let member = member.ok_or(Refusal::bad("USER_NOT_PARTICIPANT"))?;
        if member.role == Role::Creator {
            return Err(Refusal::bad("USER_ID_INVALID"));
        }
        member.role = if admin { Role::Admin } else { Role::Member };
        group.version += 1;
        let version = group.version;
        for member in self.audience(Place::Group(id)) {
            let what = match self.switches.member_updates.decides() {
                true => Passing::MemberAdmin {
                    group: id,
                    user,
                    admin,
                    version,
                },
                false => Passing::Members { group: id },
            };
            self.mention(member, what);
        }
        Ok(())
    }

    /// Deletes a channel or supergroup: nobody may look into it any more.
    pub fn delete_channel(&mut self, by: i64, id: i64) -> Result<(), Refusal> {
        if self.channel(id)?.role(by) != Some(Role::Creator) {
            return Err(Refusal::bad("CHAT_ADMIN_REQUIRED"));
        }
        self.set_username(Peer::Channel(id), None)?;
        self.set_collectibles(Peer::Channel(id), Vec::new())?;
        let now = self.date();
        for member in self.audience(Place::Channel(id)) {
            self.account_mut(member)?.leave(id);
            self.channel_mut(id)?.set_role(member, Role::Banned, by, now);
            self.mention(member, Passing::Channel { channel: id });
        }
        Ok(())
    }

    /// Clears a channel's history for one member alone, up to a message; 0 means all of it.
    pub fn clear_for(&mut self, user: i64, id: i64, max_id: i32) -> Result<(), Refusal> {
        let channel = self.channel_mut(id)?;
        let top = channel.next_id - 1;
        let member = channel
            .members
            .get_mut(&user)
            .filter(|member| member.role.present());
        let member = member.ok_or(Refusal::bad("USER_NOT_PARTICIPANT"))?;
        let up_to = if max_id == 0 { top } else { max_id.min(top) };
        member.hidden_up_to = member.hidden_up_to.max(up_to);
        self.mention(user, Passing::Available { channel: id });
        Ok(())
    }

    /// Pins chats to the top of an account's list, in this order; all others are pinned no longer.
    pub fn pin_dialogs(&mut self, user: i64, chats: Vec<Peer>) -> Result<(), Refusal> {
        if !chats.iter().all(|peer| self.exists(*peer)) {
            return Err(Refusal::bad("PEER_ID_INVALID"));
        }
        self.account_mut(user)?.pinned_dialogs = chats;
        Ok(())
    }

    /// Hides what was said before somebody came in from all who come in from now on, or no longer.
    pub fn hide_history(&mut self, by: i64, id: i64, hidden: bool) -> Result<(), Refusal> {
        let channel = self.channel(id)?;
        if channel.broadcast || channel.username.is_some() {
            return Err(Refusal::bad("CHAT_LINK_EXISTS"));
        }
        if channel.history_hidden == hidden {
            return Err(Refusal::bad("CHAT_NOT_MODIFIED"));
        }
        self.adjust_channel(by, id, |channel| channel.history_hidden = hidden)
    }

    /// Deletes an account: it has no name and no login any more, and its place in chats stays. Answers the keys that
    /// were logged in.
    pub fn delete_account(&mut self, user: i64) -> Result<Vec<i64>, Refusal> {
        self.set_username(Peer::User(user), None)?;
        self.set_collectibles(Peer::User(user), Vec::new())?;
        let account = self.account_mut(user)?;
        account.deactivated = true;
        account.online = false;
        account.first_name.clear();
        account.last_name.clear();
        account.about.clear();
        account.photo = None;
        account.password = None;
        let phone = std::mem::take(&mut account.phone);
        let keys = account.keys.clone();
        self.phones.remove(&phone);
        for key in &keys {
            self.end_key(*key, "USER_DEACTIVATED");
        }
        self.tell_acquaintances(user, &Passing::User { user });
        Ok(keys)
    }
}
