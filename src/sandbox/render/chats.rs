//! Users, basic groups and channels as records of the schema.

use grammers_tl_types::{enums, types};

use super::standing::usernames;
use super::{Viewer, blank, rights};
use crate::sandbox::world::account::Account;
use crate::sandbox::world::archive::ARCHIVE;
use crate::sandbox::world::chat::{Channel, Group, Member, Role};
use crate::sandbox::world::marks::Marks;
use crate::sandbox::world::state::SERVICE;
use crate::sandbox::world::{Peer, Place};

impl Viewer<'_> {
    /// A user in full.
    pub fn user(&self, id: i64) -> enums::User {
        let Some(account) = self.state.accounts.get(&id) else {
            return types::UserEmpty { id }.into();
        };
        let own = id == self.account;
        let me = self.state.accounts.get(&self.account);
        let contact = me.is_some_and(|me| me.contacts.contains(&id));
        let filled = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        if account.deactivated {
            return types::User {
                deleted: true,
                access_hash: Some(self.state.access_hash(self.account, Peer::User(id))),
                ..blank::user(id)
            }
            .into();
        }
        let (username, usernames) = usernames(account.username.as_deref(), &account.collectibles);
        types::User {
            is_self: own,
            contact,
            mutual_contact: contact && account.contacts.contains(&self.account),
            bot: account.bot,
            bot_info_version: account.bot.then_some(1),
            verified: id == SERVICE || account.marks.verified,
            restricted: account.marks.restricted,
            restriction_reason: restriction(&account.marks),
            scam: account.marks.scam,
            fake: account.marks.fake,
            premium: account.marks.premium,
            support: id == SERVICE,
            access_hash: Some(self.state.access_hash(self.account, Peer::User(id))),
            first_name: filled(&account.first_name),
            last_name: filled(&account.last_name),
            username,
            usernames,
            phone: if own || contact {
                filled(&account.phone)
            } else {
                None
            },
            photo: self.user_photo(account),
            status: (!account.bot).then(|| self.status(id)),
            ..blank::user(id)
        }
        .into()
    }

    /// A user's picture.
    pub fn user_photo(&self, account: &Account) -> Option<enums::UserProfilePhoto> {
        let photo = |photo_id| types::UserProfilePhoto {
            has_video: false,
            personal: false,
            photo_id,
            stripped_thumb: None,
            dc_id: self.file_centre(photo_id),
        };
        account.photo.map(|id| photo(id).into())
    }

    /// The picture of a chat.
    fn chat_photo(&self, photo: Option<i64>) -> enums::ChatPhoto {
        let shown = |photo_id| types::ChatPhoto {
            has_video: false,
            photo_id,
            stripped_thumb: None,
            dc_id: self.file_centre(photo_id),
        };
        photo.map_or(enums::ChatPhoto::Empty, |id| shown(id).into())
    }

    /// Whether a user is there, and since when not.
    pub fn status(&self, id: i64) -> enums::UserStatus {
        match self.state.accounts.get(&id) {
            Some(account) if account.online => types::UserStatusOnline {
                expires: self.state.date() + 300,
            }
            .into(),
            Some(account) if account.seen_at > 0 => types::UserStatusOffline {
                was_online: account.seen_at,
            }
            .into(),
            _ => enums::UserStatus::Empty,
        }
    }

    /// A group or channel in full, or what those see who may not look into it.
    pub fn chat(&self, peer: Peer) -> enums::Chat {
        match peer {
            Peer::User(id) => types::ChatEmpty { id }.into(),
            Peer::Group(id) => match self.state.groups.get(&id) {
                Some(group) => self.group(group),
                None => types::ChatEmpty { id }.into(),
            },
            Peer::Channel(id) => match self.state.channels.get(&id) {
                Some(channel) => self.channel(channel),
                None => types::ChatEmpty { id }.into(),
            },
        }
    }

    fn group(&self, group: &Group) -> enums::Chat {
        let role = group.role(self.account);
        if !role.is_some_and(Role::present) && role != Some(Role::Left) {
            return types::ChatForbidden {
                id: group.id,
                title: group.title.clone(),
            }
            .into();
        }
        types::Chat {
            creator: role == Some(Role::Creator),
            left: role == Some(Role::Left),
            noforwards: group.noforwards,
            photo: self.chat_photo(group.photo),
            deactivated: group.migrated_to.is_some(),
            migrated_to: group.migrated_to.map(|channel_id| {
                let access_hash = self.state.access_hash(self.account, Peer::Channel(channel_id));
                types::InputChannel {
                    channel_id,
                    access_hash,
                }
                .into()
            }),
            participants_count: match group.migrated_to {
                Some(_) => 0,
                None => i32::try_from(group.present().count()).unwrap_or(i32::MAX),
            },
            date: group.created,
            version: group.version,
            admin_rights: (role == Some(Role::Admin)).then(|| admin_rights(false, false)),
            default_banned_rights: Some(rights::shown(&group.forbidden, 0).into()),
            ..blank::group(group.id, group.title.clone())
        }
        .into()
    }

    fn channel(&self, channel: &Channel) -> enums::Chat {
        let role = channel.role(self.account);
        let access_hash = self.state.access_hash(self.account, Peer::Channel(channel.id));
        if !channel.readable_by(self.account) {
            return types::ChannelForbidden {
                broadcast: channel.broadcast,
                megagroup: !channel.broadcast,
                monoforum: false,
                id: channel.id,
                access_hash,
                title: channel.title.clone(),
                until_date: channel.members.get(&self.account).and_then(|member| member.until),
            }
            .into();
        }
        let (username, usernames) = usernames(channel.username.as_deref(), &channel.collectibles);
        types::Channel {
            creator: role == Some(Role::Creator),
            left: !role.is_some_and(Role::present),
            broadcast: channel.broadcast,
            megagroup: !channel.broadcast,
            noforwards: channel.noforwards,
            photo: self.chat_photo(channel.photo),
            verified: channel.marks.verified,
            restricted: channel.marks.restricted,
            restriction_reason: restriction(&channel.marks),
            scam: channel.marks.scam,
            fake: channel.marks.fake,
            signatures: channel.marks.signatures && channel.broadcast,
            join_to_send: channel.marks.join_to_send && !channel.broadcast,
            join_request: channel.marks.join_request && !channel.broadcast,
            gigagroup: channel.marks.gigagroup && !channel.broadcast,
            forum: channel.forum,
            has_link: channel.linked.is_some(),
            slowmode_enabled: channel.slow_mode > 0,
            access_hash: Some(access_hash),
            username,
            usernames,
            date: channel
                .members
                .get(&self.account)
                .map_or(channel.created, |member| member.since),
            admin_rights: role
                .filter(|role| role.runs())
                .map(|_| admin_rights(channel.broadcast, channel.anonymous.contains(&self.account))),
            banned_rights: own_rights(channel.members.get(&self.account)).map(Into::into),
            default_banned_rights: (!channel.broadcast).then(|| rights::shown(&channel.forbidden, 0).into()),
            participants_count: Some(channel.present),
            ..blank::channel(channel.id, channel.title.clone())
        }
        .into()
    }

    /// The members of a basic group.
    pub fn participants(&self, group: &Group) -> enums::ChatParticipants {
        if !group.has(self.account) {
            return types::ChatParticipantsForbidden {
                chat_id: group.id,
                self_participant: None,
            }
            .into();
        }
        let present = group.members.iter().filter(|(_, member)| member.role.present());
        let participants = present
            .map(|(user, member)| {
                self.name(Peer::User(*user));
                let (user_id, inviter_id, date, rank) = (*user, member.inviter, member.since, None);
                match member.role {
                    Role::Creator => types::ChatParticipantCreator { user_id, rank }.into(),
                    Role::Admin => types::ChatParticipantAdmin {
                        user_id,
                        inviter_id,
                        date,
                        rank,
                    }
                    .into(),
                    _ => types::ChatParticipant {
                        user_id,
                        inviter_id,
                        date,
                        rank,
                    }
                    .into(),
                }
            })
            .collect();
        types::ChatParticipants {
            chat_id: group.id,
            participants,
            version: group.version,
        }
        .into()
    }

    /// One member of a channel.
    pub fn participant(&self, channel: &Channel, user: i64) -> Option<enums::ChannelParticipant> {
        let member = channel.members.get(&user)?;
        self.name(Peer::User(user));
        let (user_id, date, rank) = (user, member.since, None);
        Some(match member.role {
            Role::Creator => types::ChannelParticipantCreator {
                user_id,
                admin_rights: admin_rights(channel.broadcast, channel.anonymous.contains(&user)),
                rank,
            }
            .into(),
            Role::Admin => types::ChannelParticipantAdmin {
                can_edit: channel.role(self.account) == Some(Role::Creator),
                is_self: user == self.account,
                user_id,
                inviter_id: (user == self.account).then_some(member.inviter),
                promoted_by: member.inviter,
                date,
                admin_rights: admin_rights(channel.broadcast, channel.anonymous.contains(&user)),
                rank,
            }
            .into(),
            Role::Member if user == self.account => types::ChannelParticipantSelf {
                via_request: false,
                user_id,
                inviter_id: member.inviter,
                date,
                subscription_until_date: None,
                rank,
            }
            .into(),
            Role::Member => types::ChannelParticipant {
                user_id,
                date,
                subscription_until_date: None,
                rank,
            }
            .into(),
            Role::Muted | Role::Banned => types::ChannelParticipantBanned {
                left: member.role == Role::Banned,
                peer: self.name(Peer::User(user)),
                kicked_by: member.inviter,
                date,
                banned_rights: if member.role == Role::Banned {
                    types::ChatBannedRights {
                        view_messages: true,
                        until_date: member.until.unwrap_or(i32::MAX),
                        ..muted()
                    }
                    .into()
                } else {
                    muted().into()
                },
                rank,
            }
            .into(),
            Role::Left => types::ChannelParticipantLeft {
                peer: self.name(Peer::User(user)),
            }
            .into(),
        })
    }

    /// The entry of a chat in the account's list of dialogs; `None` if it is not in there.
    pub fn dialog(&self, peer: Peer) -> Option<types::Dialog> {
        match peer {
            Peer::Channel(id) => {
                let channel = self.state.channels.get(&id)?;
                let mark = channel
                    .members
                    .get(&self.account)
                    .map_or(0, |member| member.read_in);
                Some(types::Dialog {
                    pinned: self.is_pinned(peer),
                    folder_id: self.state.is_archived(self.account, peer).then_some(ARCHIVE),
                    top_message: self.last_of(channel).unwrap_or(0),
                    read_inbox_max_id: mark,
                    read_outbox_max_id: channel.read_by_others(self.account),
                    unread_count: channel.unread_of(self.account),
                    pts: Some(channel.pts),
                    ..blank::dialog(self.name(peer))
                })
            }
            _ => {
                let dialog = self.state.dialog(self.account, peer)?;
                Some(types::Dialog {
                    pinned: self.is_pinned(peer),
                    folder_id: self.state.is_archived(self.account, peer).then_some(ARCHIVE),
                    top_message: dialog.ids.last().copied().unwrap_or(0),
                    read_inbox_max_id: dialog.read_in,
                    read_outbox_max_id: dialog.read_out,
                    unread_count: dialog.unread,
                    ..blank::dialog(self.name(peer))
                })
            }
        }
    }

    fn is_pinned(&self, peer: Peer) -> bool {
        let account = self.state.accounts.get(&self.account);
        account.is_some_and(|account| account.pinned_dialogs.contains(&peer))
    }

    /// The number of a channel's last message; where the account may see none, that of one that it does not see.
    fn last_of(&self, channel: &Channel) -> Option<i32> {
        let hidden = || channel.held.keys().next_back().copied();
        let seen = channel.seen_by(self.account).next_back();
        seen.or_else(|| hidden().filter(|_| self.state.switches.hidden_tops.decides()))
    }

    /// The last message of a chat that this account holds, and when it was posted; of one that it does not see, since
    /// when it is there.
    pub fn top_message(&self, peer: Peer) -> Option<(i32, i64)> {
        let id = match peer {
            Peer::Channel(id) => {
                let channel = self.state.channels.get(&id)?;
                let last = self.last_of(channel)?;
                if last <= channel.hidden_from(self.account) {
                    let since = channel.members.get(&self.account)?.since;
                    return Some((last, i64::from(since) * 1000));
                }
                last
            }
            _ => self.state.dialog(self.account, peer)?.ids.last().copied()?,
        };
        let content = self.state.find(self.account, peer, id)?;
        debug_assert_eq!(content.place, Place::of(self.account, peer));
        Some((id, content.stored_at))
    }
}

/// Why some may not see somebody.
fn restriction(marks: &Marks) -> Option<Vec<enums::RestrictionReason>> {
    let reason = types::RestrictionReason {
        platform: "all".to_owned(),
        reason: "terms".to_owned(),
        text: "This cannot be displayed.".to_owned(),
    };
    marks.restricted.then(|| vec![reason.into()])
}

/// The rights of those who run a chat.
pub fn admin_rights(broadcast: bool, anonymous: bool) -> enums::ChatAdminRights {
    types::ChatAdminRights {
        change_info: true,
        post_messages: broadcast,
        edit_messages: broadcast,
        delete_messages: true,
        ban_users: true,
        invite_users: true,
        pin_messages: true,
        add_admins: true,
        manage_call: true,
        other: true,
        anonymous,
        ..blank::admin_rights()
    }
    .into()
}

/// What a member may not send, if that is anything.
fn own_rights(member: Option<&Member>) -> Option<types::ChatBannedRights> {
    let member = member?;
    if member.role == Role::Muted {
        let until_date = member.until.unwrap_or_default();
        return Some(types::ChatBannedRights {
            until_date,
            ..muted()
        });
    }
    let until = member.forbidden.values().copied().max()?;
    let forbidden = member.forbidden.keys().copied().collect();
    Some(rights::shown(&forbidden, until))
}

/// The rights of those who may only read.
pub fn muted() -> types::ChatBannedRights {
    types::ChatBannedRights {
        send_messages: true,
        send_media: true,
        send_plain: true,
        ..blank::banned_rights()
    }
}
