//! `channels.*`: supergroups and channels.

use grammers_tl_types::{enums, functions::channels as f, types};

use super::{Answer, Ctx};
use crate::sandbox::render::blank_full;
use crate::sandbox::world::chat::{Channel, Role};
use crate::sandbox::world::{Peer, Refusal};

/// `channels.getChannels`: those that the caller may not name are left out, if any is right.
pub fn get_channels(ctx: &mut Ctx<'_>, r: f::GetChannels) -> Answer<enums::messages::Chats> {
    let me = ctx.me()?;
    let ids: Vec<i64> =
        r.id.iter()
            .map(|channel| ctx.channel(me, channel))
            .collect::<Answer<_>>()?;
    let viewer = ctx.viewer(me);
    Ok(types::messages::Chats {
        chats: ids.iter().map(|id| viewer.chat(Peer::Channel(*id))).collect(),
    }
    .into())
}

/// `channels.getFullChannel`
pub fn get_full_channel(ctx: &mut Ctx<'_>, r: f::GetFullChannel) -> Answer<enums::messages::ChatFull> {
    let me = ctx.me()?;
    let id = ctx.channel(me, &r.channel)?;
    let channel = ctx.state.channel(id)?;
    let viewer = ctx.viewer(me);
    viewer.name(Peer::Channel(id));
    let runs = channel.role(me).is_some_and(Role::runs);
    let count = |role: fn(Role) -> bool| {
        let found = channel
            .members
            .values()
            .filter(|member| role(member.role))
            .count();
        i32::try_from(found).unwrap_or(i32::MAX)
    };
    let next_post = channel
        .members
        .get(&me)
        .map(|member| member.posted_at / 1000 + i64::from(channel.slow_mode));
    let waits = next_post.filter(|at| channel.slow_mode > 0 && *at > i64::from(ctx.state.date()));
    if let Some(linked) = channel.linked {
        viewer.name(Peer::Channel(linked));
    }
    let full = types::ChannelFull {
        linked_chat_id: channel.linked,
        can_view_participants: !channel.broadcast || runs,
        can_set_username: channel.role(me) == Some(Role::Creator),
        can_delete_channel: channel.role(me) == Some(Role::Creator),
        about: channel.about.clone(),
        participants_count: Some(channel.present),
        admins_count: runs.then(|| count(Role::runs)),
        kicked_count: runs.then(|| count(|role| role == Role::Banned)),
        banned_count: runs.then(|| count(|role| role == Role::Muted)),
        read_inbox_max_id: channel.members.get(&me).map_or(0, |member| member.read_in),
        read_outbox_max_id: channel.read_by_others(me),
        unread_count: channel.unread_of(me),
        hidden_prehistory: channel.history_hidden,
        available_min_id: Some(channel.hidden_from(me)).filter(|up_to| *up_to > 0),
        migrated_from_chat_id: channel.migrated_from.map(|(group, _)| group),
        migrated_from_max_id: channel.migrated_from.map(|(_, last)| last),
        pinned_msg_id: channel.pinned.last().copied(),
        slowmode_seconds: (channel.slow_mode > 0).then_some(channel.slow_mode),
        slowmode_next_send_date: waits.and_then(|at| i32::try_from(at).ok()),
        ..blank_full::channel(id, channel.pts)
    };
    let (users, chats) = viewer.named();
    Ok(types::messages::ChatFull {
        full_chat: full.into(),
        chats,
        users,
    }
    .into())
}

/// `channels.createChannel`
pub fn create_channel(ctx: &mut Ctx<'_>, r: f::CreateChannel) -> Answer<enums::Updates> {
    let me = ctx.me()?;
    if r.ttl_period.is_some_and(|period| period != 0) && ctx.state.switches.parameters_refused.decides() {
        return Err(Refusal::bad("TTL_PERIOD_INVALID"));
    }
    let id = ctx
        .state
        .create_channel(me, &r.title, &r.about, !(r.megagroup || r.forum))?;
    if r.forum {
        ctx.state.toggle_forum(me, id, true)?;
    }
    Ok(ctx.told(me))
}

/// `channels.deleteChannel`
pub fn delete_channel(ctx: &mut Ctx<'_>, r: f::DeleteChannel) -> Answer<enums::Updates> {
    let me = ctx.me()?;
    let id = ctx.channel(me, &r.channel)?;
    ctx.state.delete_channel(me, id)?;
    Ok(ctx.told(me))
}

/// `channels.deleteHistory`: for oneself, or for all.
pub fn delete_history(ctx: &mut Ctx<'_>, r: f::DeleteHistory) -> Answer<enums::Updates> {
    let me = ctx.me()?;
    let id = ctx.channel(me, &r.channel)?;
    match r.for_everyone {
        true => {
            let held = ctx.state.channel(id)?.held.keys().copied();
            let ids: Vec<i32> = held.filter(|held| r.max_id == 0 || *held <= r.max_id).collect();
            ctx.state.delete_in_channel(me, id, &ids)?;
        }
        false => ctx.state.clear_for(me, id, r.max_id)?,
    }
    Ok(ctx.told(me))
}

/// `channels.togglePreHistoryHidden`
pub fn toggle_pre_history_hidden(ctx: &mut Ctx<'_>, r: f::TogglePreHistoryHidden) -> Answer<enums::Updates> {
    let me = ctx.me()?;
    let id = ctx.channel(me, &r.channel)?;
    ctx.state.hide_history(me, id, r.enabled)?;
    Ok(ctx.told(me))
}

/// `channels.setDiscussionGroup`
pub fn set_discussion_group(ctx: &mut Ctx<'_>, r: f::SetDiscussionGroup) -> Answer<bool> {
    let me = ctx.me()?;
    let id = ctx.channel(me, &r.broadcast)?;
    let group = match &r.group {
        enums::InputChannel::Empty => None,
        group => Some(ctx.channel(me, group)?),
    };
    ctx.state.link(me, id, group)?;
    Ok(true)
}

/// `channels.inviteToChannel`
pub fn invite_to_channel(ctx: &mut Ctx<'_>, r: f::InviteToChannel) -> Answer<enums::messages::InvitedUsers> {
    let me = ctx.me()?;
    let id = ctx.channel(me, &r.channel)?;
    let users: Vec<i64> = r
        .users
        .iter()
        .map(|user| ctx.user(me, user))
        .collect::<Answer<_>>()?;
    ctx.state.bring_in(me, Peer::Channel(id), &users)?;
    Ok(types::messages::InvitedUsers {
        updates: ctx.told(me),
        missing_invitees: Vec::new(),
    }
    .into())
}

/// `channels.joinChannel`
pub fn join_channel(ctx: &mut Ctx<'_>, r: f::JoinChannel) -> Answer<enums::messages::ChatInviteJoinResult> {
    let me = ctx.me()?;
    let id = ctx.channel(me, &r.channel)?;
    ctx.state.join_channel(me, id, false)?;
    Ok(types::messages::ChatInviteJoinResultOk {
        updates: ctx.told(me),
    }
    .into())
}

/// `channels.leaveChannel`
pub fn leave_channel(ctx: &mut Ctx<'_>, r: f::LeaveChannel) -> Answer<enums::Updates> {
    let me = ctx.me()?;
    let id = ctx.channel(me, &r.channel)?;
    ctx.state.take_out(me, Peer::Channel(id), me)?;
    Ok(ctx.told(me))
}

/// `channels.readHistory`
pub fn read_history(ctx: &mut Ctx<'_>, r: f::ReadHistory) -> Answer<bool> {
    let me = ctx.me()?;
    let id = ctx.channel(me, &r.channel)?;
    ctx.state.read_channel(me, id, r.max_id)?;
    Ok(true)
}

/// `channels.readMessageContents`
pub fn read_message_contents(ctx: &mut Ctx<'_>, r: f::ReadMessageContents) -> Answer<bool> {
    let me = ctx.me()?;
    let id = ctx.channel(me, &r.channel)?;
    ctx.state.open_in_channel(me, id, &r.id);
    Ok(true)
}

/// `channels.deleteMessages`
pub fn delete_messages(ctx: &mut Ctx<'_>, r: f::DeleteMessages) -> Answer<enums::messages::AffectedMessages> {
    let me = ctx.me()?;
    let id = ctx.channel(me, &r.channel)?;
    let ids = ctx.looked_at(r.id);
    let pts_count = ctx.state.delete_in_channel(me, id, &ids)?;
    Ok(types::messages::AffectedMessages {
        pts: ctx.state.channel(id)?.pts,
        pts_count,
    }
    .into())
}

/// Whether a member is on a list.
fn on_list(ctx: &Ctx<'_>, user: i64, role: Role, filter: &enums::ChannelParticipantsFilter) -> bool {
    use enums::ChannelParticipantsFilter as F;
    let called = |q: &str| {
        let account = ctx.state.accounts.get(&user);
        account.is_some_and(|account| {
            let name = format!(
                "{} {} {}",
                account.first_name,
                account.last_name,
                account.username.as_deref().unwrap_or("")
            );
            name.to_lowercase().contains(&q.to_lowercase())
        })
    };
    match filter {
        F::ChannelParticipantsRecent => role.present(),
        F::ChannelParticipantsAdmins => role.runs(),
        F::ChannelParticipantsKicked(f) => role == Role::Banned && called(&f.q),
        F::ChannelParticipantsBanned(f) => role == Role::Muted && called(&f.q),
        F::ChannelParticipantsBots => {
            role.present() && ctx.state.accounts.get(&user).is_some_and(|account| account.bot)
        }
        F::ChannelParticipantsSearch(f) => role.present() && called(&f.q),
        F::ChannelParticipantsContacts(f) => role.present() && called(&f.q),
        F::ChannelParticipantsMentions(f) => role.present() && called(f.q.as_deref().unwrap_or("")),
    }
}

fn may_list(channel: &Channel, me: i64, filter: &enums::ChannelParticipantsFilter) -> bool {
    let admins_only = channel.broadcast
        || matches!(
            filter,
            enums::ChannelParticipantsFilter::ChannelParticipantsKicked(_)
                | enums::ChannelParticipantsFilter::ChannelParticipantsBanned(_)
        );
    let own_admins = matches!(
        filter,
        enums::ChannelParticipantsFilter::ChannelParticipantsAdmins
    );
    !admins_only || own_admins && !channel.broadcast || channel.role(me).is_some_and(Role::runs)
}

/// `channels.getParticipants`
pub fn get_participants(
    ctx: &mut Ctx<'_>,
    r: f::GetParticipants,
) -> Answer<enums::channels::ChannelParticipants> {
    let me = ctx.me()?;
    let id = ctx.channel(me, &r.channel)?;
    let channel = ctx.state.channel(id)?;
    if !may_list(channel, me, &r.filter) {
        return Err(Refusal::bad("CHAT_ADMIN_REQUIRED"));
    }
    let viewer = ctx.viewer(me);
    viewer.name(Peer::Channel(id));
    let members = channel.members.iter();
    let listed: Vec<i64> = members
        .filter(|(user, member)| on_list(ctx, **user, member.role, &r.filter))
        .map(|(user, _)| *user)
        .collect();
    let count = i32::try_from(listed.len()).unwrap_or(i32::MAX);
    let skip = usize::try_from(r.offset.max(0)).unwrap_or(0);
    let take = usize::try_from(r.limit.clamp(0, 200)).unwrap_or(0);
    let page = listed.iter().skip(skip).take(take);
    let participants = page
        .filter_map(|user| viewer.participant(channel, *user))
        .collect();
    let (users, chats) = viewer.named();
    Ok(types::channels::ChannelParticipants {
        count,
        participants,
        chats,
        users,
    }
    .into())
}

/// `channels.getParticipant`
pub fn get_participant(
    ctx: &mut Ctx<'_>,
    r: f::GetParticipant,
) -> Answer<enums::channels::ChannelParticipant> {
    let me = ctx.me()?;
    let id = ctx.channel(me, &r.channel)?;
    let Peer::User(user) = ctx.peer(me, &r.participant)? else {
        return Err(Refusal::bad("PARTICIPANT_ID_INVALID"));
    };
    let channel = ctx.state.channel(id)?;
    let viewer = ctx.viewer(me);
    viewer.name(Peer::Channel(id));
    let known = channel.role(user).filter(|role| *role != Role::Left);
    let participant = known.and_then(|_| viewer.participant(channel, user));
    let participant = participant.ok_or(Refusal::bad("USER_NOT_PARTICIPANT"))?;
    let (users, chats) = viewer.named();
    Ok(types::channels::ChannelParticipant {
        participant,
        chats,
        users,
    }
    .into())
}

/// `channels.editTitle`
pub fn edit_title(ctx: &mut Ctx<'_>, r: f::EditTitle) -> Answer<enums::Updates> {
    let me = ctx.me()?;
    let id = ctx.channel(me, &r.channel)?;
    ctx.state.retitle(me, Peer::Channel(id), &r.title)?;
    Ok(ctx.told(me))
}

/// `channels.editAdmin`
pub fn edit_admin(ctx: &mut Ctx<'_>, r: f::EditAdmin) -> Answer<enums::Updates> {
    let me = ctx.me()?;
    let id = ctx.channel(me, &r.channel)?;
    let user = ctx.user(me, &r.user_id)?;
    let enums::ChatAdminRights::Rights(rights) = r.admin_rights;
    let any = rights.post_messages
        || rights.change_info
        || rights.delete_messages
        || rights.edit_messages
        || rights.ban_users
        || rights.invite_users
        || rights.pin_messages
        || rights.add_admins
        || rights.other;
    ctx.state
        .assign(me, id, user, if any { Role::Admin } else { Role::Member })?;
    Ok(ctx.told(me))
}

/// `channels.editBanned`
pub fn edit_banned(ctx: &mut Ctx<'_>, r: f::EditBanned) -> Answer<enums::Updates> {
    let me = ctx.me()?;
    let id = ctx.channel(me, &r.channel)?;
    let Peer::User(user) = ctx.peer(me, &r.participant)? else {
        return Err(Refusal::bad("PARTICIPANT_ID_INVALID"));
    };
    let enums::ChatBannedRights::Rights(rights) = r.banned_rights;
    let inside = ctx.state.channel(id)?.has(user);
    if rights.view_messages {
        match inside {
            true => ctx.state.take_out(me, Peer::Channel(id), user)?,
            false => ctx.state.assign(me, id, user, Role::Banned)?,
        }
    } else if rights.send_messages {
        ctx.state.assign(me, id, user, Role::Muted)?;
    } else {
        ctx.state
            .assign(me, id, user, if inside { Role::Member } else { Role::Left })?;
        let forbidden = crate::sandbox::render::rights::read(&rights);
        if inside {
            ctx.state
                .forbid(Peer::Channel(id), Some(user), &forbidden, rights.until_date)?;
        }
    }
    ctx.state.limit_ban(id, user, rights.until_date)?;
    Ok(ctx.told(me))
}

/// `channels.checkUsername`
pub fn check_username(ctx: &mut Ctx<'_>, r: f::CheckUsername) -> Answer<bool> {
    ctx.me()?;
    Ok(!ctx.state.names.contains_key(&r.username.to_lowercase()))
}

/// `channels.updateUsername`
pub fn update_username(ctx: &mut Ctx<'_>, r: f::UpdateUsername) -> Answer<bool> {
    let me = ctx.me()?;
    let id = ctx.channel(me, &r.channel)?;
    if ctx.state.channel(id)?.role(me) != Some(Role::Creator) {
        return Err(Refusal::bad("CHAT_ADMIN_REQUIRED"));
    }
    ctx.state.set_username(Peer::Channel(id), Some(&r.username))?;
    ctx.state.adjust_channel(me, id, |_| ())?;
    Ok(true)
}

/// `channels.toggleSlowMode`
pub fn toggle_slow_mode(ctx: &mut Ctx<'_>, r: f::ToggleSlowMode) -> Answer<enums::Updates> {
    let me = ctx.me()?;
    let id = ctx.channel(me, &r.channel)?;
    if !matches!(r.seconds, 0 | 5 | 10 | 30 | 60 | 300 | 900 | 3600) {
        return Err(Refusal::bad("SECONDS_INVALID"));
    }
    ctx.state
        .adjust_channel(me, id, |channel| channel.slow_mode = r.seconds)?;
    Ok(ctx.told(me))
}

/// `channels.exportMessageLink`
pub fn export_message_link(ctx: &mut Ctx<'_>, r: f::ExportMessageLink) -> Answer<enums::ExportedMessageLink> {
    let me = ctx.me()?;
    let id = ctx.channel(me, &r.channel)?;
    ctx.state
        .find(me, Peer::Channel(id), r.id)
        .ok_or(Refusal::bad("MESSAGE_ID_INVALID"))?;
    let link = match &ctx.state.channel(id)?.username {
        Some(name) => format!("https://t.me/{name}/{}", r.id),
        None => format!("https://t.me/c/{id}/{}", r.id),
    };
    Ok(types::ExportedMessageLink {
        html: link.clone(),
        link,
    }
    .into())
}
