//! Lists of dialogs.

use grammers_tl_types::{enums, functions::messages as f, types};

use super::{Answer, Ctx};
use crate::sandbox::render::Viewer;
use crate::sandbox::world::content::seconds;
use crate::sandbox::world::{Peer, Refusal};

/// The dialogs of an account, the one with the newest message first: peer, top message, its time.
fn all(viewer: &Viewer<'_>) -> Vec<(Peer, i32, i64)> {
    let Some(account) = viewer.state.accounts.get(&viewer.account) else {
        return Vec::new();
    };
    let channels = account.channels.iter().map(|id| Peer::Channel(*id));
    let mut found: Vec<(Peer, i32, i64)> = account
        .dialogs
        .keys()
        .copied()
        .chain(channels)
        .filter_map(|peer| match viewer.top_message(peer) {
            Some((id, at)) => Some((peer, id, at)),
            None => (!matches!(peer, Peer::User(_))).then_some((peer, 0, 0)),
        })
        .collect();
    found.sort_by_key(|(peer, _, at)| (std::cmp::Reverse(*at), *peer));
    found
}

struct Rendered {
    dialogs: Vec<enums::Dialog>,
    messages: Vec<enums::Message>,
    chats: Vec<enums::Chat>,
    users: Vec<enums::User>,
}

fn render(viewer: &Viewer<'_>, peers: &[Peer]) -> Rendered {
    let (mut dialogs, mut messages) = (Vec::new(), Vec::new());
    for peer in peers {
        if let Some(dialog) = viewer.dialog(*peer) {
            if dialog.top_message > 0 {
                messages.push(viewer.message(*peer, dialog.top_message));
            }
            dialogs.push(dialog.into());
        }
    }
    let (users, chats) = viewer.named();
    Rendered {
        dialogs,
        messages,
        chats,
        users,
    }
}

/// `messages.getDialogs`
pub fn get_dialogs(ctx: &mut Ctx<'_>, r: f::GetDialogs) -> Answer<enums::messages::Dialogs> {
    let me = ctx.me()?;
    let offset = ctx.peer(me, &r.offset_peer).ok();
    let viewer = ctx.viewer(me);
    let found = if r.folder_id.unwrap_or(0) == 0 {
        all(&viewer)
    } else {
        Vec::new()
    };
    let after = offset.and_then(|peer| found.iter().position(|(known, _, _)| *known == peer));
    let start = match (after, r.offset_date) {
        (Some(at), _) => at + 1,
        (None, 0) => 0,
        (None, date) => found.partition_point(|(_, _, at)| seconds(*at) >= date),
    };
    let limit = usize::try_from(r.limit.clamp(1, 100)).unwrap_or(1);
    let count = found.len();
    let page: Vec<Peer> = found
        .into_iter()
        .skip(start)
        .take(limit)
        .map(|(peer, _, _)| peer)
        .collect();
    let whole = start == 0 && page.len() == count;
    let Rendered {
        dialogs,
        messages,
        chats,
        users,
    } = render(&viewer, &page);
    Ok(match whole {
        true => types::messages::Dialogs {
            dialogs,
            messages,
            chats,
            users,
        }
        .into(),
        false => {
            let count = i32::try_from(count).unwrap_or(i32::MAX);
            types::messages::DialogsSlice {
                count,
                dialogs,
                messages,
                chats,
                users,
            }
            .into()
        }
    })
}

/// `messages.getPeerDialogs`
pub fn get_peer_dialogs(ctx: &mut Ctx<'_>, r: f::GetPeerDialogs) -> Answer<enums::messages::PeerDialogs> {
    let me = ctx.me()?;
    let mut peers = Vec::new();
    for peer in &r.peers {
        match peer {
            enums::InputDialogPeer::Peer(peer) => peers.push(ctx.peer(me, &peer.peer)?),
            _ => return Err(Refusal::bad("PEER_ID_INVALID")),
        }
    }
    peer_dialogs(ctx, me, &peers)
}

/// `messages.getPinnedDialogs`: none is ever pinned.
pub fn get_pinned_dialogs(ctx: &mut Ctx<'_>, _: f::GetPinnedDialogs) -> Answer<enums::messages::PeerDialogs> {
    let me = ctx.me()?;
    peer_dialogs(ctx, me, &[])
}

fn peer_dialogs(ctx: &Ctx<'_>, me: i64, peers: &[Peer]) -> Answer<enums::messages::PeerDialogs> {
    let Rendered {
        dialogs,
        messages,
        chats,
        users,
    } = render(&ctx.viewer(me), peers);
    let state = super::updates::state_of(ctx.state, me)?.into();
    Ok(types::messages::PeerDialogs {
        dialogs,
        messages,
        chats,
        users,
        state,
    }
    .into())
}

/// `messages.getDialogFilters`: there are none.
pub fn get_dialog_filters(
    ctx: &mut Ctx<'_>,
    _: f::GetDialogFilters,
) -> Answer<enums::messages::DialogFilters> {
    ctx.me()?;
    Ok(types::messages::DialogFilters {
        tags_enabled: false,
        filters: Vec::new(),
    }
    .into())
}
