//! Lists of dialogs.

use std::cmp::Reverse;

use grammers_tl_types::{enums, functions::folders as ff, functions::messages as f, types};

use super::{Answer, Ctx};
use crate::sandbox::render::Viewer;
use crate::sandbox::world::archive::ARCHIVE;
use crate::sandbox::world::content::seconds;
use crate::sandbox::world::{Peer, Refusal};

/// A dialog's place in the list: the newest first, by the second, then by the number of the last message.
type Rank = (Reverse<i32>, Reverse<i32>, Peer);

/// Where a dialog stands in the list, without regard to pins.
fn rank((peer, top, at): &(Peer, i32, i64)) -> Rank {
    (Reverse(seconds(*at)), Reverse(*top), *peer)
}

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
    found.sort_by_key(rank);
    found
}

/// The part of a list that a page is taken of: what stands behind the dialog that the page before ended with, by the
/// date and the number of its last message then. The place of a chat that has risen meanwhile counts nothing.
fn rest(found: Vec<(Peer, i32, i64)>, r: &f::GetDialogs, after: Option<Peer>) -> Vec<(Peer, i32, i64)> {
    if r.offset_date == 0 {
        // With a chat alone, behind that one as it stands now.
        let at = after.and_then(|peer| found.iter().position(|it| it.0 == peer));
        return found.into_iter().skip(at.map_or(0, |at| at + 1)).collect();
    }
    let last = (Reverse(r.offset_date), Reverse(r.offset_id));
    let behind = |it: &(Peer, i32, i64)| {
        let (date, top, peer) = rank(it);
        match after {
            Some(after) => (date, top, peer) > (last.0, last.1, after),
            None => (date, top) > last,
        }
    };
    found.into_iter().filter(behind).collect()
}

struct Rendered {
    dialogs: Vec<enums::Dialog>,
    messages: Vec<enums::Message>,
    chats: Vec<enums::Chat>,
    users: Vec<enums::User>,
}

/// The last message of a dialog. What its owner may not see is told as empty, or not at all.
fn top(viewer: &Viewer<'_>, peer: Peer, id: i32) -> Option<enums::Message> {
    if id == 0 {
        return None;
    }
    if viewer.state.find(viewer.account, peer, id).is_some() {
        return Some(viewer.message(peer, id));
    }
    let told = !matches!(peer, Peer::Channel(channel) if channel % 2 == 1);
    let peer_id = Some(viewer.name(peer));
    told.then(|| types::MessageEmpty { id, peer_id }.into())
}

/// The row that stands for the archive.
fn archive_row(viewer: &Viewer<'_>, archived: &[(Peer, i32, i64)]) -> types::DialogFolder {
    let (peer, top_message) = archived
        .first()
        .map_or((Peer::User(viewer.account), 0), |it| (it.0, it.1));
    let unread = archived.iter().filter_map(|it| viewer.dialog(it.0));
    let unread: Vec<i32> = unread.map(|dialog| dialog.unread_count).collect();
    let chats = unread.iter().filter(|count| **count > 0).count();
    types::DialogFolder {
        pinned: true,
        folder: types::Folder {
            autofill_new_broadcasts: false,
            autofill_public_groups: false,
            autofill_new_correspondents: false,
            id: ARCHIVE,
            title: "Archived Chats".to_owned(),
            photo: None,
        }
        .into(),
        peer: viewer.name(peer),
        top_message,
        unread_muted_peers_count: 0,
        unread_unmuted_peers_count: i32::try_from(chats).unwrap_or(i32::MAX),
        unread_muted_messages_count: 0,
        unread_unmuted_messages_count: unread.iter().sum(),
    }
}

fn render(
    viewer: &Viewer<'_>,
    peers: &[Peer],
    archive: Option<(types::DialogFolder, Peer, i32)>,
) -> Rendered {
    let (mut dialogs, mut messages) = (Vec::new(), Vec::new());
    if let Some((row, peer, id)) = archive {
        messages.extend(top(viewer, peer, id));
        dialogs.push(row.into());
    }
    for peer in peers {
        if let Some(dialog) = viewer.dialog(*peer) {
            messages.extend(top(viewer, *peer, dialog.top_message));
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
    let offset = match &r.offset_peer {
        enums::InputPeer::Empty => None,
        peer => Some(
            ctx.peer(me, peer)
                .map_err(|_| Refusal::bad("OFFSET_PEER_ID_INVALID"))?,
        ),
    };
    let viewer = ctx.viewer(me);
    let archived = |it: &(Peer, i32, i64)| ctx.state.is_archived(me, it.0);
    let (put_away, mut found): (Vec<_>, Vec<_>) = all(&viewer).into_iter().partition(archived);
    let list = match r.folder_id {
        Some(list @ (0 | ARCHIVE)) => Some(list),
        Some(_) => return Err(Refusal::bad("FOLDER_ID_INVALID")),
        // Without a list, those of both.
        None if put_away.is_empty() => Some(0),
        None => (!ctx.state.switches.archive_in_all.decides()).then_some(0),
    };
    match list {
        Some(ARCHIVE) => found.clone_from(&put_away),
        Some(_) => {}
        None => {
            found.extend(put_away.iter().copied());
            found.sort_by_key(rank);
        }
    }
    let limit = usize::try_from(r.limit.clamp(1, 100)).unwrap_or(1);
    let count = found.len();
    let pinned = ctx.state.account(me)?.pinned_dialogs.clone();
    let is_pinned = |it: &(Peer, i32, i64)| pinned.contains(&it.0);
    let first = r.offset_date == 0 && offset.is_none();
    let (on_top, others): (Vec<_>, Vec<_>) = found.into_iter().partition(is_pinned);
    let others = match offset.and_then(|peer| others.iter().position(|it| it.0 == peer)) {
        Some(at) if !ctx.state.switches.dialogs_by_date.decides() => {
            others.into_iter().skip(at + 1).collect()
        }
        _ => rest(others, &r, offset),
    };
    // Pinned ones stand on top of the first page, in the order of their owner.
    let shown = pinned
        .iter()
        .filter(|peer| on_top.iter().any(|it| it.0 == **peer));
    let shown = shown.filter(|_| first && !r.exclude_pinned).copied();
    let page: Vec<Peer> = shown.chain(others.iter().map(|it| it.0)).take(limit).collect();
    let whole = page.len() == count;
    // The archive is a row of the main list, on top of it.
    let row = put_away
        .first()
        .filter(|_| list == Some(0) && first && !r.exclude_pinned);
    let row = row.map(|(peer, top, _)| (archive_row(&viewer, &put_away), *peer, *top));
    let Rendered {
        dialogs,
        messages,
        chats,
        users,
    } = render(&viewer, &page, row);
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

/// `messages.getPinnedDialogs`
pub fn get_pinned_dialogs(ctx: &mut Ctx<'_>, r: f::GetPinnedDialogs) -> Answer<enums::messages::PeerDialogs> {
    let me = ctx.me()?;
    if !matches!(r.folder_id, 0 | ARCHIVE) {
        return Err(Refusal::bad("FOLDER_ID_INVALID"));
    }
    let mut pinned = ctx.state.account(me)?.pinned_dialogs.clone();
    pinned.retain(|peer| ctx.state.is_archived(me, *peer) == (r.folder_id == ARCHIVE));
    peer_dialogs(ctx, me, &pinned)
}

/// `messages.toggleDialogPin`
pub fn toggle_dialog_pin(ctx: &mut Ctx<'_>, r: f::ToggleDialogPin) -> Answer<bool> {
    let me = ctx.me()?;
    let enums::InputDialogPeer::Peer(peer) = &r.peer else {
        return Err(Refusal::bad("PEER_ID_INVALID"));
    };
    let peer = ctx.peer(me, &peer.peer)?;
    let mut pinned = ctx.state.account(me)?.pinned_dialogs.clone();
    pinned.retain(|known| *known != peer);
    if r.pinned {
        pinned.insert(0, peer);
    }
    ctx.state.pin_dialogs(me, pinned)?;
    Ok(true)
}

fn peer_dialogs(ctx: &Ctx<'_>, me: i64, peers: &[Peer]) -> Answer<enums::messages::PeerDialogs> {
    let Rendered {
        dialogs,
        messages,
        chats,
        users,
    } = render(&ctx.viewer(me), peers, None);
    let state = super::updates::state_of(ctx.state, me, ctx.key)?.into();
    Ok(types::messages::PeerDialogs {
        dialogs,
        messages,
        chats,
        users,
        state,
    }
    .into())
}

/// `folders.editPeerFolders`: into the archive, or back into the main list.
pub fn edit_peer_folders(ctx: &mut Ctx<'_>, r: ff::EditPeerFolders) -> Answer<enums::Updates> {
    let me = ctx.me()?;
    let mut moves = Vec::new();
    for enums::InputFolderPeer::Peer(wanted) in &r.folder_peers {
        moves.push((ctx.peer(me, &wanted.peer)?, wanted.folder_id));
    }
    ctx.state.move_to_lists(me, &moves)?;
    Ok(ctx.told(me))
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
