//! `users.*`.

use grammers_tl_types::{enums, functions::users as f, types};

use super::{Answer, Ctx};
use crate::sandbox::render::blank_full;
use crate::sandbox::world::{Peer, Refusal};

/// `users.getUsers`
pub fn get_users(ctx: &mut Ctx<'_>, r: f::GetUsers) -> Answer<Vec<enums::User>> {
    let me = ctx.me()?;
    let viewer = ctx.viewer(me);
    Ok(r.id
        .iter()
        .filter_map(|user| ctx.user(me, user).ok())
        .map(|id| viewer.user(id))
        .collect())
}

/// `users.getFullUser`
pub fn get_full_user(ctx: &mut Ctx<'_>, r: f::GetFullUser) -> Answer<enums::users::UserFull> {
    let me = ctx.me()?;
    let id = ctx.user(me, &r.id)?;
    let viewer = ctx.viewer(me);
    let account = ctx.state.account(id)?;
    viewer.name(Peer::User(me));
    viewer.name(Peer::User(id));
    let photo = account.photo.and_then(|photo| ctx.state.files.stored.get(&photo));
    let pinned = ctx
        .state
        .dialog(me, Peer::User(id))
        .and_then(|dialog| dialog.pinned.last().copied());
    let common = ctx
        .state
        .groups
        .values()
        .filter(|group| group.has(me) && group.has(id))
        .count();
    let full_user = types::UserFull {
        blocked: ctx.state.account(me)?.blocked.contains(&id),
        can_pin_message: true,
        noforwards_my_enabled: ctx.state.guards(me, id),
        noforwards_peer_enabled: ctx.state.guards(id, me),
        about: (!account.about.is_empty()).then(|| account.about.clone()),
        profile_photo: photo.map(|photo| viewer.photo(photo, None)),
        pinned_msg_id: pinned,
        common_chats_count: i32::try_from(common).map_err(|_| Refusal::bad("USER_ID_INVALID"))?,
        ..blank_full::user(id)
    };
    let (users, chats) = viewer.named();
    Ok(types::users::UserFull {
        full_user: full_user.into(),
        chats,
        users,
    }
    .into())
}
