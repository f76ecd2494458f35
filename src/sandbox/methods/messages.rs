//! `messages.*` beside sending and reading lists: changes, reads, basic groups, invitations.

use grammers_tl_types::{Serializable, enums, functions::messages as f, types};

use super::{Answer, Ctx};
use crate::sandbox::render::{blank, blank_full};
use crate::sandbox::world::changing::Change;
use crate::sandbox::world::chat::Role;
use crate::sandbox::world::content::{Action, Content, Reply};
use crate::sandbox::world::posting::Draft;
use crate::sandbox::world::{Passing, Peer, Place, Refusal};

/// `messages.editMessage`
pub fn edit_message(ctx: &mut Ctx<'_>, r: f::EditMessage) -> Answer<enums::Updates> {
    let f::EditMessage {
        no_webpage,
        invert_media,
        peer,
        id,
        message,
        media,
        reply_markup,
        entities,
        schedule_date,
        schedule_repeat_period,
        quick_reply_shortcut_id,
        rich_message,
    } = r;
    let me = ctx.me()?;
    let peer = ctx.peer(me, &peer)?;
    let refused = [
        (
            schedule_date.is_some() || schedule_repeat_period.is_some(),
            "SCHEDULE_DATE_INVALID",
        ),
        (quick_reply_shortcut_id.is_some(), "MESSAGE_ID_INVALID"),
        (rich_message.is_some(), "INPUT_CONSTRUCTOR_INVALID"),
        // An edit may bring buttons below a message only, which there are none of.
        (reply_markup.is_some(), "REPLY_MARKUP_INVALID"),
    ];
    if let Some((_, name)) = refused.into_iter().find(|(is, _)| *is)
        && ctx.state.switches.parameters_refused.decides()
    {
        return Err(Refusal::bad(name));
    }
    if let Some(enums::InputMedia::Poll(media)) = &media {
        return super::polls::close(ctx, me, peer, id, &media.poll);
    }
    let entities = ctx.spans(me, peer, entities);
    let media = match media {
        Some(media) => Some(super::send::media(ctx, me, media)?),
        None => None,
    };
    let change = Change {
        text: message.map(|text| (text, entities)),
        media,
        no_webpage,
        invert_media,
    };
    ctx.state.edit(me, peer, id, change)?;
    Ok(ctx.told(me))
}

fn affected(ctx: &Ctx<'_>, me: i64, pts_count: i32) -> Answer<enums::messages::AffectedMessages> {
    Ok(types::messages::AffectedMessages {
        pts: ctx.state.account(me)?.pts,
        pts_count,
    }
    .into())
}

/// `messages.deleteMessages`
pub fn delete_messages(ctx: &mut Ctx<'_>, r: f::DeleteMessages) -> Answer<enums::messages::AffectedMessages> {
    let me = ctx.me()?;
    let ids = ctx.looked_at(r.id);
    let count = ctx.state.delete(me, &ids, r.revoke)?;
    affected(ctx, me, count)
}

/// `messages.deleteHistory`
pub fn delete_history(ctx: &mut Ctx<'_>, r: f::DeleteHistory) -> Answer<enums::messages::AffectedHistory> {
    let me = ctx.me()?;
    let peer = ctx.peer(me, &r.peer)?;
    if matches!(peer, Peer::Channel(_)) {
        return Err(Refusal::bad("PEER_ID_INVALID"));
    }
    let ids: Vec<i32> = ctx
        .state
        .dialog(me, peer)
        .map(|dialog| dialog.ids.clone())
        .unwrap_or_default();
    let ids: Vec<i32> = ids
        .into_iter()
        .filter(|id| r.max_id == 0 || *id <= r.max_id)
        .collect();
    let pts_count = ctx.state.delete(me, &ids, r.revoke)?;
    Ok(types::messages::AffectedHistory {
        pts: ctx.state.account(me)?.pts,
        pts_count,
        offset: 0,
    }
    .into())
}

/// `messages.readHistory`
pub fn read_history(ctx: &mut Ctx<'_>, r: f::ReadHistory) -> Answer<enums::messages::AffectedMessages> {
    let me = ctx.me()?;
    let peer = ctx.peer(me, &r.peer)?;
    if let Peer::Channel(id) = peer {
        ctx.state.read_channel(me, id, r.max_id)?;
        return affected(ctx, me, 0);
    }
    let changed = ctx.state.read(me, peer, r.max_id)?;
    affected(ctx, me, i32::from(changed))
}

/// `messages.readMessageContents`
pub fn read_message_contents(
    ctx: &mut Ctx<'_>,
    r: f::ReadMessageContents,
) -> Answer<enums::messages::AffectedMessages> {
    let me = ctx.me()?;
    let before = ctx.state.account(me)?.pts;
    let ids = ctx.looked_at(r.id);
    ctx.state.open(me, &ids)?;
    let count = ctx.state.account(me)?.pts - before;
    affected(ctx, me, count)
}

/// `messages.receivedMessages`
pub fn received_messages(
    ctx: &mut Ctx<'_>,
    _: f::ReceivedMessages,
) -> Answer<Vec<enums::ReceivedNotifyMessage>> {
    ctx.me()?;
    Ok(Vec::new())
}

/// `messages.setTyping`
pub fn set_typing(ctx: &mut Ctx<'_>, r: f::SetTyping) -> Answer<bool> {
    let me = ctx.me()?;
    let peer = ctx.peer(me, &r.peer)?;
    ctx.state.may_write(me, peer, false)?;
    let place = Place::of(me, peer);
    let action = r.action.to_bytes();
    for member in ctx
        .state
        .audience(place)
        .into_iter()
        .filter(|member| *member != me)
    {
        let what = Passing::Typing {
            peer: place.seen_by(member),
            user: me,
            action: action.clone(),
        };
        ctx.state.mention(member, what);
    }
    Ok(true)
}

/// `messages.updatePinnedMessage`
pub fn update_pinned_message(ctx: &mut Ctx<'_>, r: f::UpdatePinnedMessage) -> Answer<enums::Updates> {
    let me = ctx.me()?;
    let peer = ctx.peer(me, &r.peer)?;
    // Nobody has to be told of what is pinned for oneself.
    let for_oneself = match peer {
        Peer::User(other) => r.pm_oneside || other == me,
        _ => false,
    };
    let quietly = r.unpin || for_oneself;
    ctx.state.pin(me, peer, r.id, !r.unpin, r.pm_oneside)?;
    let pinned = ctx.state.find(me, peer, r.id).map(|content| content.uid);
    if let Some(to) = pinned.filter(|_| !quietly) {
        let draft = Draft {
            reply: Some(Reply { to, quote: None }),
            silent: r.silent,
            ..Draft::service(Action::Pinned)
        };
        ctx.state.post(me, peer, draft)?;
    }
    Ok(ctx.told(me))
}

/// `messages.unpinAllMessages`
pub fn unpin_all_messages(
    ctx: &mut Ctx<'_>,
    r: f::UnpinAllMessages,
) -> Answer<enums::messages::AffectedHistory> {
    let me = ctx.me()?;
    let peer = ctx.peer(me, &r.peer)?;
    let pts_count = ctx.state.unpin_all(me, peer)?;
    let pts = match peer {
        Peer::Channel(id) => ctx.state.channel(id)?.pts,
        _ => ctx.state.account(me)?.pts,
    };
    Ok(types::messages::AffectedHistory {
        pts,
        pts_count,
        offset: 0,
    }
    .into())
}

/// `messages.getMessagesViews`
pub fn get_messages_views(
    ctx: &mut Ctx<'_>,
    r: f::GetMessagesViews,
) -> Answer<enums::messages::MessageViews> {
    let me = ctx.me()?;
    let peer = ctx.peer(me, &r.peer)?;
    if let Peer::Channel(channel) = peer
        && r.increment
    {
        ctx.state.look_at(me, channel, &r.id);
    }
    let one = |id: &i32| {
        let post = ctx.state.find(me, peer, *id);
        types::MessageViews {
            views: post.map(Content::views),
            forwards: post.map(|post| post.forwards),
            replies: None,
        }
        .into()
    };
    let views = r.id.iter().map(one).collect();
    Ok(types::messages::MessageViews {
        views,
        chats: Vec::new(),
        users: Vec::new(),
    }
    .into())
}

/// `messages.getPeerSettings`
pub fn get_peer_settings(ctx: &mut Ctx<'_>, r: f::GetPeerSettings) -> Answer<enums::messages::PeerSettings> {
    let me = ctx.me()?;
    let peer = ctx.peer(me, &r.peer)?;
    let viewer = ctx.viewer(me);
    viewer.name(peer);
    let (users, chats) = viewer.named();
    Ok(types::messages::PeerSettings {
        settings: blank::peer_settings().into(),
        chats,
        users,
    }
    .into())
}

/// `messages.saveDraft`: drafts are a matter of clients.
pub fn save_draft(ctx: &mut Ctx<'_>, _: f::SaveDraft) -> Answer<bool> {
    ctx.me()?;
    Ok(true)
}

/// `messages.getAllDrafts`
pub fn get_all_drafts(ctx: &mut Ctx<'_>, _: f::GetAllDrafts) -> Answer<enums::Updates> {
    let me = ctx.me()?;
    Ok(ctx.told(me))
}

/// `messages.getChats`
pub fn get_chats(ctx: &mut Ctx<'_>, r: f::GetChats) -> Answer<enums::messages::Chats> {
    let me = ctx.me()?;
    let viewer = ctx.viewer(me);
    let chats =
        r.id.iter()
            .filter(|id| ctx.state.groups.contains_key(id))
            .map(|id| viewer.chat(Peer::Group(*id)));
    Ok(types::messages::Chats {
        chats: chats.collect(),
    }
    .into())
}

/// `messages.getFullChat`
pub fn get_full_chat(ctx: &mut Ctx<'_>, r: f::GetFullChat) -> Answer<enums::messages::ChatFull> {
    let me = ctx.me()?;
    let group = ctx.state.group(r.chat_id)?;
    group.role(me).ok_or(Refusal::bad("CHAT_ID_INVALID"))?;
    let viewer = ctx.viewer(me);
    viewer.name(Peer::Group(group.id));
    let pinned = ctx
        .state
        .dialog(me, Peer::Group(group.id))
        .and_then(|dialog| dialog.pinned.last().copied());
    let full = types::ChatFull {
        can_set_username: group.role(me) == Some(Role::Creator),
        about: group.about.clone(),
        pinned_msg_id: pinned,
        ..blank_full::group(group.id, viewer.participants(group))
    };
    let (users, chats) = viewer.named();
    Ok(types::messages::ChatFull {
        full_chat: full.into(),
        chats,
        users,
    }
    .into())
}

/// `messages.createChat`
pub fn create_chat(ctx: &mut Ctx<'_>, r: f::CreateChat) -> Answer<enums::messages::InvitedUsers> {
    let me = ctx.me()?;
    let users: Vec<i64> = r
        .users
        .iter()
        .map(|user| ctx.user(me, user))
        .collect::<Answer<_>>()?;
    if users.iter().all(|user| *user == me) {
        return Err(Refusal::bad("USERS_TOO_FEW"));
    }
    if r.ttl_period.is_some_and(|period| period != 0) && ctx.state.switches.parameters_refused.decides() {
        return Err(Refusal::bad("TTL_PERIOD_INVALID"));
    }
    ctx.state.create_group(me, &r.title, &users)?;
    Ok(types::messages::InvitedUsers {
        updates: ctx.told(me),
        missing_invitees: Vec::new(),
    }
    .into())
}

/// `messages.addChatUser`
pub fn add_chat_user(ctx: &mut Ctx<'_>, r: f::AddChatUser) -> Answer<enums::messages::InvitedUsers> {
    let me = ctx.me()?;
    let user = ctx.user(me, &r.user_id)?;
    ctx.state.bring_in(me, Peer::Group(r.chat_id), &[user])?;
    Ok(types::messages::InvitedUsers {
        updates: ctx.told(me),
        missing_invitees: Vec::new(),
    }
    .into())
}

/// `messages.deleteChatUser`
pub fn delete_chat_user(ctx: &mut Ctx<'_>, r: f::DeleteChatUser) -> Answer<enums::Updates> {
    let me = ctx.me()?;
    let user = ctx.user(me, &r.user_id)?;
    ctx.state.take_out(me, Peer::Group(r.chat_id), user)?;
    Ok(ctx.told(me))
}

/// `messages.editChatAdmin`
pub fn edit_chat_admin(ctx: &mut Ctx<'_>, r: f::EditChatAdmin) -> Answer<bool> {
    let me = ctx.me()?;
    let user = ctx.user(me, &r.user_id)?;
    ctx.state.set_admin(me, r.chat_id, user, r.is_admin)?;
    Ok(true)
}

/// `messages.migrateChat`
pub fn migrate_chat(ctx: &mut Ctx<'_>, r: f::MigrateChat) -> Answer<enums::Updates> {
    let me = ctx.me()?;
    ctx.state.migrate(me, r.chat_id)?;
    Ok(ctx.told(me))
}

/// `messages.editChatDefaultBannedRights`
pub fn edit_chat_default_banned_rights(
    ctx: &mut Ctx<'_>,
    r: f::EditChatDefaultBannedRights,
) -> Answer<enums::Updates> {
    let me = ctx.me()?;
    let peer = ctx.peer(me, &r.peer)?;
    if ctx.state.head_of(peer)? != me {
        return Err(Refusal::bad("CHAT_ADMIN_REQUIRED"));
    }
    let enums::ChatBannedRights::Rights(rights) = r.banned_rights;
    let forbidden = crate::sandbox::render::rights::read(&rights);
    ctx.state.forbid(peer, None, &forbidden, 0)?;
    Ok(ctx.told(me))
}

/// `messages.editChatTitle`
pub fn edit_chat_title(ctx: &mut Ctx<'_>, r: f::EditChatTitle) -> Answer<enums::Updates> {
    let me = ctx.me()?;
    ctx.state.retitle(me, Peer::Group(r.chat_id), &r.title)?;
    Ok(ctx.told(me))
}

/// `messages.toggleNoForwards`
pub fn toggle_no_forwards(ctx: &mut Ctx<'_>, r: f::ToggleNoForwards) -> Answer<enums::Updates> {
    let me = ctx.me()?;
    let peer = ctx.peer(me, &r.peer)?;
    match peer {
        Peer::User(other) => {
            if r.enabled && r.request_msg_id.is_none() {
                ctx.state.may_guard(me)?;
            }
            ctx.state.guard(me, other, r.enabled, r.request_msg_id)?;
        }
        peer => ctx.state.protect(me, peer, r.enabled)?,
    }
    Ok(ctx.told(me))
}

/// `messages.exportChatInvite`
pub fn export_chat_invite(ctx: &mut Ctx<'_>, r: f::ExportChatInvite) -> Answer<enums::ExportedChatInvite> {
    let me = ctx.me()?;
    let (hash, runs, date) = match ctx.peer(me, &r.peer)? {
        Peer::Group(id) => {
            let group = ctx.state.group(id)?;
            (
                group.invite.clone(),
                group.role(me).is_some_and(Role::runs),
                group.created,
            )
        }
        Peer::Channel(id) => {
            let channel = ctx.state.channel(id)?;
            (
                channel.invite.clone(),
                channel.role(me).is_some_and(Role::runs),
                channel.created,
            )
        }
        Peer::User(_) => return Err(Refusal::bad("PEER_ID_INVALID")),
    };
    if !runs {
        return Err(Refusal::bad("CHAT_ADMIN_REQUIRED"));
    }
    Ok(types::ChatInviteExported {
        permanent: true,
        ..blank_full::invite(format!("https://t.me/+{hash}"), me, date)
    }
    .into())
}

/// `messages.checkChatInvite`
pub fn check_chat_invite(ctx: &mut Ctx<'_>, r: f::CheckChatInvite) -> Answer<enums::ChatInvite> {
    let me = ctx.me()?;
    let peer = ctx.state.invitation(&r.hash)?;
    let (title, about, count, broadcast, inside) = match peer {
        Peer::Channel(id) => {
            let channel = ctx.state.channel(id)?;
            (
                &channel.title,
                &channel.about,
                channel.present,
                channel.broadcast,
                channel.has(me),
            )
        }
        Peer::Group(id) => {
            let group = ctx.state.group(id)?;
            let count = i32::try_from(group.present().count()).unwrap_or(i32::MAX);
            (&group.title, &group.about, count, false, group.has(me))
        }
        Peer::User(_) => return Err(Refusal::bad("INVITE_HASH_INVALID")),
    };
    if inside {
        return Ok(types::ChatInviteAlready {
            chat: ctx.viewer(me).chat(peer),
        }
        .into());
    }
    let in_channel = matches!(peer, Peer::Channel(_));
    Ok(types::ChatInvite {
        channel: in_channel,
        broadcast,
        public: false,
        megagroup: in_channel && !broadcast,
        request_needed: false,
        verified: false,
        scam: false,
        fake: false,
        can_refulfill_subscription: false,
        title: title.clone(),
        about: (!about.is_empty()).then(|| about.clone()),
        photo: types::PhotoEmpty { id: 0 }.into(),
        participants_count: count,
        participants: None,
        color: 0,
        subscription_pricing: None,
        subscription_form_id: None,
        bot_verification: None,
    }
    .into())
}

/// `messages.importChatInvite`
pub fn import_chat_invite(
    ctx: &mut Ctx<'_>,
    r: f::ImportChatInvite,
) -> Answer<enums::messages::ChatInviteJoinResult> {
    let me = ctx.me()?;
    match ctx.state.invitation(&r.hash)? {
        Peer::Channel(id) => ctx.state.join_channel(me, id, true)?,
        Peer::Group(id) => {
            let creator = ctx
                .state
                .group(id)?
                .members
                .iter()
                .find(|(_, member)| member.role.runs());
            let inviter = creator
                .map(|(user, _)| *user)
                .ok_or(Refusal::bad("INVITE_HASH_EXPIRED"))?;
            ctx.state.bring_in(inviter, Peer::Group(id), &[me])?;
        }
        Peer::User(_) => return Err(Refusal::bad("INVITE_HASH_INVALID")),
    }
    Ok(types::messages::ChatInviteJoinResultOk {
        updates: ctx.told(me),
    }
    .into())
}
