//! `account.*`: logins, profile, status.

use grammers_tl_types::{enums, functions::account as f, types};

use super::{Answer, Ctx};
use crate::sandbox::render::{blank, blank_full};
use crate::sandbox::rpc::KeyId;
use crate::sandbox::world::keys::Key;
use crate::sandbox::world::{Passing, Peer, Refusal};

/// A login as others are shown it.
pub fn record(known: &Key, hash: i64) -> types::Authorization {
    types::Authorization {
        hash,
        device_model: known.device.clone(),
        platform: known.system.clone(),
        system_version: known.system.clone(),
        api_id: known.api_id,
        app_name: "sandbox".to_owned(),
        app_version: known.app_version.clone(),
        password_pending: known.pending.is_some(),
        date_created: known.created,
        date_active: known.active,
        ip: "127.0.0.1".to_owned(),
        country: "Loopback".to_owned(),
        ..blank_full::authorization()
    }
}

/// `account.getAuthorizations`
pub fn get_authorizations(
    ctx: &mut Ctx<'_>,
    _: f::GetAuthorizations,
) -> Answer<enums::account::Authorizations> {
    let me = ctx.me()?;
    let mut sessions = ctx.state.sessions(ctx.state.account(me)?);
    sessions.extend(ctx.state.waiting(me));
    sessions.sort_by_key(|(key, known)| (*key != ctx.key.0, std::cmp::Reverse(known.active)));
    let shown = sessions.into_iter().map(|(key, known)| {
        let current = key == ctx.key.0;
        let hash = if current { 0 } else { known.hash };
        types::Authorization {
            current,
            ..record(&known, hash)
        }
        .into()
    });
    Ok(types::account::Authorizations {
        authorization_ttl_days: 180,
        authorizations: shown.collect(),
    }
    .into())
}

/// `account.resetAuthorization`
pub fn reset_authorization(ctx: &mut Ctx<'_>, r: f::ResetAuthorization) -> Answer<bool> {
    let me = ctx.me()?;
    let sessions = ctx.state.sessions(ctx.state.account(me)?);
    let waiting = ctx.state.waiting(me);
    let found = sessions
        .into_iter()
        .chain(waiting)
        .find(|(key, known)| known.hash == r.hash && *key != ctx.key.0);
    let (key, _) = found.ok_or(Refusal::bad("HASH_INVALID"))?;
    may_end_others(ctx)?;
    end(ctx, key);
    Ok(true)
}

/// Who came in lately may not throw others out: it may have come in with somebody else's code.
pub fn may_end_others(ctx: &Ctx<'_>) -> Answer<()> {
    let known = ctx.state.keys.known.get(&ctx.key.0);
    let age = known.map_or(0, |known| ctx.state.now - i64::from(known.created) * 1000);
    match age >= ctx.state.settings.fresh_login {
        true => Ok(()),
        false => Err(Refusal::other(406, "FRESH_RESET_AUTHORISATION_FORBIDDEN")),
    }
}

/// Ends another login: it is told to ask anew, and then refused.
pub fn end(ctx: &mut Ctx<'_>, key: i64) {
    use grammers_tl_types::Serializable;
    ctx.hub.push(KeyId(key), enums::Updates::TooLong.to_bytes());
    ctx.state.end_key(key, "SESSION_REVOKED");
    ctx.hub.unsubscribe(KeyId(key));
}

/// `account.updateStatus`
pub fn update_status(ctx: &mut Ctx<'_>, r: f::UpdateStatus) -> Answer<bool> {
    let me = ctx.me()?;
    let now = ctx.state.date();
    let account = ctx.state.account_mut(me)?;
    let changed = account.online == r.offline;
    account.online = !r.offline;
    account.seen_at = now;
    if changed {
        let friends: Vec<i64> = ctx
            .state
            .account(me)?
            .contacts
            .iter()
            .copied()
            .filter(|friend| *friend != me)
            .collect();
        for friend in friends {
            ctx.state.mention(friend, Passing::Status { user: me });
        }
    }
    Ok(true)
}

/// `account.updateProfile`
pub fn update_profile(ctx: &mut Ctx<'_>, r: f::UpdateProfile) -> Answer<enums::User> {
    let me = ctx.me()?;
    if r.first_name.as_ref().is_some_and(|name| name.trim().is_empty()) {
        return Err(Refusal::bad("FIRSTNAME_INVALID"));
    }
    if r.about.as_ref().is_some_and(|about| about.chars().count() > 70) {
        return Err(Refusal::bad("ABOUT_TOO_LONG"));
    }
    let account = ctx.state.account_mut(me)?;
    account.first_name = r.first_name.unwrap_or_else(|| account.first_name.clone());
    account.last_name = r.last_name.unwrap_or_else(|| account.last_name.clone());
    account.about = r.about.unwrap_or_else(|| account.about.clone());
    ctx.state.tell_name(Peer::User(me));
    Ok(ctx.viewer(me).user(me))
}

/// `account.updateUsername`
pub fn update_username(ctx: &mut Ctx<'_>, r: f::UpdateUsername) -> Answer<enums::User> {
    let me = ctx.me()?;
    if ctx.state.account(me)?.username.as_deref().unwrap_or_default() == r.username {
        return Err(Refusal::bad("USERNAME_NOT_MODIFIED"));
    }
    ctx.state.set_username(Peer::User(me), Some(&r.username))?;
    ctx.state.tell_name(Peer::User(me));
    Ok(ctx.viewer(me).user(me))
}

/// `account.checkUsername`
pub fn check_username(ctx: &mut Ctx<'_>, r: f::CheckUsername) -> Answer<bool> {
    ctx.me()?;
    Ok(!ctx.state.names.contains_key(&r.username.to_lowercase()))
}

/// `account.getNotifySettings`
pub fn get_notify_settings(ctx: &mut Ctx<'_>, _: f::GetNotifySettings) -> Answer<enums::PeerNotifySettings> {
    ctx.me()?;
    Ok(blank::notify_settings().into())
}

/// `account.getGlobalPrivacySettings`
pub fn get_global_privacy_settings(
    ctx: &mut Ctx<'_>,
    _: f::GetGlobalPrivacySettings,
) -> Answer<enums::GlobalPrivacySettings> {
    ctx.me()?;
    Ok(types::GlobalPrivacySettings {
        archive_and_mute_new_noncontact_peers: false,
        keep_archived_unmuted: false,
        keep_archived_folders: false,
        hide_read_marks: false,
        new_noncontact_peers_require_premium: false,
        display_gifts_button: false,
        noncontact_peers_paid_stars: None,
        disallowed_gifts: None,
    }
    .into())
}

/// `account.registerDevice`
pub fn register_device(ctx: &mut Ctx<'_>, _: f::RegisterDevice) -> Answer<bool> {
    ctx.me()?;
    Ok(true)
}
