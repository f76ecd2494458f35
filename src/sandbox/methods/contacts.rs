//! `contacts.*`: names, phone numbers, contacts, blocks.

use grammers_tl_types::{enums, functions::contacts as f, types};

use super::{Answer, Ctx};
use crate::sandbox::world::state::digits;
use crate::sandbox::world::{Peer, Refusal};

/// `contacts.resolveUsername`
pub fn resolve_username(ctx: &mut Ctx<'_>, r: f::ResolveUsername) -> Answer<enums::contacts::ResolvedPeer> {
    let me = ctx.me()?;
    let name = r.username.trim_start_matches('@');
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(Refusal::bad("USERNAME_INVALID"));
    }
    let peer = ctx.state.names.get(&name.to_lowercase()).copied();
    resolved(ctx, me, peer.ok_or(Refusal::bad("USERNAME_NOT_OCCUPIED"))?)
}

/// `contacts.resolvePhone`
pub fn resolve_phone(ctx: &mut Ctx<'_>, r: f::ResolvePhone) -> Answer<enums::contacts::ResolvedPeer> {
    let me = ctx.me()?;
    let user = ctx
        .state
        .phones
        .get(&digits(&r.phone))
        .copied()
        .ok_or(Refusal::bad("PHONE_NOT_OCCUPIED"))?;
    resolved(ctx, me, Peer::User(user))
}

fn resolved(ctx: &Ctx<'_>, me: i64, peer: Peer) -> Answer<enums::contacts::ResolvedPeer> {
    let viewer = ctx.viewer(me);
    let named = viewer.name(peer);
    let (users, chats) = viewer.named();
    Ok(types::contacts::ResolvedPeer {
        peer: named,
        chats,
        users,
    }
    .into())
}

/// `contacts.getContacts`
pub fn get_contacts(ctx: &mut Ctx<'_>, _: f::GetContacts) -> Answer<enums::contacts::Contacts> {
    let me = ctx.me()?;
    let viewer = ctx.viewer(me);
    let mine = &ctx.state.account(me)?.contacts;
    let contacts: Vec<enums::Contact> = mine
        .iter()
        .map(|user| {
            viewer.name(Peer::User(*user));
            let mutual = ctx
                .state
                .accounts
                .get(user)
                .is_some_and(|other| other.contacts.contains(&me));
            types::Contact {
                user_id: *user,
                mutual,
            }
            .into()
        })
        .collect();
    let (users, _) = viewer.named();
    let saved_count = i32::try_from(contacts.len()).unwrap_or(i32::MAX);
    Ok(types::contacts::Contacts {
        contacts,
        saved_count,
        users,
    }
    .into())
}

/// `contacts.getStatuses`
pub fn get_statuses(ctx: &mut Ctx<'_>, _: f::GetStatuses) -> Answer<Vec<enums::ContactStatus>> {
    let me = ctx.me()?;
    let viewer = ctx.viewer(me);
    let mine = &ctx.state.account(me)?.contacts;
    Ok(mine
        .iter()
        .map(|user| {
            types::ContactStatus {
                user_id: *user,
                status: viewer.status(*user),
            }
            .into()
        })
        .collect())
}

/// `contacts.importContacts`
pub fn import_contacts(ctx: &mut Ctx<'_>, r: f::ImportContacts) -> Answer<enums::contacts::ImportedContacts> {
    let me = ctx.me()?;
    let mut imported = Vec::new();
    for contact in r.contacts {
        let enums::InputContact::InputPhoneContact(contact) = contact;
        if let Some(user_id) = ctx.state.phones.get(&digits(&contact.phone)).copied() {
            ctx.state.account_mut(me)?.contacts.insert(user_id);
            imported.push(types::ImportedContact {
                user_id,
                client_id: contact.client_id,
            });
        }
    }
    let viewer = ctx.viewer(me);
    for contact in &imported {
        viewer.name(Peer::User(contact.user_id));
    }
    let (users, _) = viewer.named();
    Ok(types::contacts::ImportedContacts {
        imported: imported.into_iter().map(Into::into).collect(),
        popular_invites: Vec::new(),
        retry_contacts: Vec::new(),
        users,
    }
    .into())
}

/// An answer without an event that carries this user.
fn about(ctx: &Ctx<'_>, me: i64, users: &[i64]) -> enums::Updates {
    let viewer = ctx.viewer(me);
    for user in users {
        viewer.name(Peer::User(*user));
    }
    viewer.updates(Vec::new())
}

/// `contacts.addContact`
pub fn add_contact(ctx: &mut Ctx<'_>, r: f::AddContact) -> Answer<enums::Updates> {
    let me = ctx.me()?;
    let user = ctx.user(me, &r.id)?;
    if user == me {
        return Err(Refusal::bad("CONTACT_ID_INVALID"));
    }
    ctx.state.account_mut(me)?.contacts.insert(user);
    Ok(about(ctx, me, &[user]))
}

/// `contacts.deleteContacts`
pub fn delete_contacts(ctx: &mut Ctx<'_>, r: f::DeleteContacts) -> Answer<enums::Updates> {
    let me = ctx.me()?;
    let users: Vec<i64> =
        r.id.iter()
            .map(|user| ctx.user(me, user))
            .collect::<Answer<_>>()?;
    for user in &users {
        ctx.state.account_mut(me)?.contacts.remove(user);
    }
    Ok(about(ctx, me, &users))
}

/// `contacts.search`: public names and titles that begin like this.
pub fn search(ctx: &mut Ctx<'_>, r: f::Search) -> Answer<enums::contacts::Found> {
    let me = ctx.me()?;
    let wanted = r.q.trim_start_matches('@').to_lowercase();
    if wanted.is_empty() {
        return Err(Refusal::bad("SEARCH_QUERY_EMPTY"));
    }
    let mut peers: Vec<Peer> = ctx
        .state
        .names
        .iter()
        .filter(|(name, _)| name.starts_with(&wanted))
        .map(|(_, peer)| *peer)
        .collect();
    peers.sort_unstable();
    peers.truncate(usize::try_from(r.limit.clamp(0, 100)).unwrap_or(0));
    let viewer = ctx.viewer(me);
    let results = peers.iter().map(|peer| viewer.name(*peer)).collect();
    let (users, chats) = viewer.named();
    Ok(types::contacts::Found {
        my_results: Vec::new(),
        results,
        chats,
        users,
    }
    .into())
}

/// `contacts.block`
pub fn block(ctx: &mut Ctx<'_>, r: f::Block) -> Answer<bool> {
    let me = ctx.me()?;
    let Peer::User(user) = ctx.peer(me, &r.id)? else {
        return Err(Refusal::bad("CONTACT_ID_INVALID"));
    };
    Ok(ctx.state.account_mut(me)?.blocked.insert(user))
}

/// `contacts.unblock`
pub fn unblock(ctx: &mut Ctx<'_>, r: f::Unblock) -> Answer<bool> {
    let me = ctx.me()?;
    let Peer::User(user) = ctx.peer(me, &r.id)? else {
        return Err(Refusal::bad("CONTACT_ID_INVALID"));
    };
    Ok(ctx.state.account_mut(me)?.blocked.remove(&user))
}

/// `contacts.getBlocked`
pub fn get_blocked(ctx: &mut Ctx<'_>, _: f::GetBlocked) -> Answer<enums::contacts::Blocked> {
    let me = ctx.me()?;
    let viewer = ctx.viewer(me);
    let list = &ctx.state.account(me)?.blocked;
    let blocked = list
        .iter()
        .map(|user| {
            types::PeerBlocked {
                peer_id: viewer.name(Peer::User(*user)),
                date: 0,
            }
            .into()
        })
        .collect();
    let (users, chats) = viewer.named();
    Ok(types::contacts::Blocked {
        blocked,
        chats,
        users,
    }
    .into())
}
