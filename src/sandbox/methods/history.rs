//! Lists of messages: a chat's history, messages by number, a simple search.

use grammers_tl_types::{enums, functions as f, types};

use super::{Answer, Ctx};
use crate::sandbox::render::Viewer;
use crate::sandbox::world::content::{Body, Content};
use crate::sandbox::world::entities::Kind;
use crate::sandbox::world::{Peer, Refusal, State};

/// The most messages in one answer.
const PAGE: i32 = 100;

/// Which part of a list is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Window {
    /// Start after this message, going back in time; 0 for the newest.
    pub offset_id: i32,
    /// Start before this time, in seconds, if there is no message to start after.
    pub offset_date: i32,
    /// Move the start by so many messages; negative is towards newer ones.
    pub add_offset: i32,
    /// How many at most.
    pub limit: i32,
    /// Only messages below this number, if not 0.
    pub max_id: i32,
    /// Only messages above this number.
    pub min_id: i32,
}

/// Picks a window out of the numbers of a chat (ascending), newest first.
pub fn pick(ids: &[i32], date_of: impl Fn(i32) -> i32, window: Window) -> Vec<i32> {
    let start = match window {
        Window { offset_id, .. } if offset_id > 0 => ids.partition_point(|id| *id < offset_id),
        Window { offset_date, .. } if offset_date > 0 => ids.partition_point(|id| date_of(*id) < offset_date),
        _ => ids.len(),
    };
    let at = |steps: i64| -> usize {
        let position = i64::try_from(start).unwrap_or(i64::MAX).saturating_sub(steps);
        usize::try_from(position.max(0)).unwrap_or(0).min(ids.len())
    };
    let newest = at(i64::from(window.add_offset));
    let oldest = at(i64::from(window.add_offset) + i64::from(window.limit.clamp(0, PAGE)));
    let fits = |id: &&i32| (window.max_id == 0 || **id < window.max_id) && **id > window.min_id;
    ids[oldest.min(newest)..newest]
        .iter()
        .rev()
        .filter(fits)
        .copied()
        .collect()
}

/// The numbers of a chat's messages, ascending.
fn ids_of(state: &State, me: i64, peer: Peer) -> Vec<i32> {
    match peer {
        Peer::Channel(id) => state
            .channels
            .get(&id)
            .map(|channel| channel.seen_by(me).collect())
            .unwrap_or_default(),
        _ => state
            .dialog(me, peer)
            .map(|dialog| dialog.ids.clone())
            .unwrap_or_default(),
    }
}

/// A list of messages in the form that its chat asks for.
fn listed(
    viewer: &Viewer<'_>,
    peer: Peer,
    count: usize,
    messages: Vec<enums::Message>,
) -> enums::messages::Messages {
    let whole = messages.len() >= count;
    let count = i32::try_from(count).unwrap_or(i32::MAX);
    let topics = Vec::new();
    if let Peer::Channel(id) = peer {
        viewer.name(peer);
        let pts = viewer.state.channels.get(&id).map_or(1, |channel| channel.pts);
        let (users, chats) = viewer.named();
        return types::messages::ChannelMessages {
            inexact: false,
            pts,
            count,
            offset_id_offset: None,
            messages,
            topics,
            chats,
            users,
        }
        .into();
    }
    let (users, chats) = viewer.named();
    if whole {
        return types::messages::Messages {
            messages,
            topics,
            chats,
            users,
        }
        .into();
    }
    types::messages::MessagesSlice {
        inexact: false,
        count,
        next_rate: None,
        offset_id_offset: None,
        search_flood: None,
        messages,
        topics,
        chats,
        users,
    }
    .into()
}

/// `messages.getHistory`
pub fn get_history(ctx: &mut Ctx<'_>, r: f::messages::GetHistory) -> Answer<enums::messages::Messages> {
    let me = ctx.me()?;
    let peer = ctx.peer(me, &r.peer)?;
    let window = Window {
        offset_id: r.offset_id,
        offset_date: r.offset_date,
        add_offset: r.add_offset,
        limit: r.limit,
        max_id: r.max_id,
        min_id: r.min_id,
    };
    let ids = ids_of(ctx.state, me, peer);
    Ok(listed_of(ctx, me, peer, &ids, window))
}

/// A window of some messages of a chat, given by their numbers, ascending.
pub fn listed_of(
    ctx: &Ctx<'_>,
    me: i64,
    peer: Peer,
    ids: &[i32],
    window: Window,
) -> enums::messages::Messages {
    let date_of = |id| ctx.state.find(me, peer, id).map_or(0, Content::date);
    let picked = pick(ids, date_of, window);
    let viewer = ctx.viewer(me);
    let messages = picked.iter().map(|id| viewer.message(peer, *id)).collect();
    listed(&viewer, peer, ids.len(), messages)
}

/// `messages.search`
pub fn search(ctx: &mut Ctx<'_>, r: f::messages::Search) -> Answer<enums::messages::Messages> {
    let me = ctx.me()?;
    let peer = ctx.peer(me, &r.peer)?;
    let from = match &r.from_id {
        Some(from) => Some(ctx.peer(me, from)?),
        None => None,
    };
    let wanted = r.q.to_lowercase();
    let fits = |content: &Content| {
        content.text().to_lowercase().contains(&wanted)
            && from.is_none_or(|from| from == Peer::User(content.author))
            && (r.min_date == 0 || content.date() > r.min_date)
            && (r.max_date == 0 || content.date() < r.max_date)
            && of_kind(ctx.state, me, content, &r.filter)
    };
    let mut ids = ids_of(ctx.state, me, peer);
    ids.retain(|id| ctx.state.find(me, peer, *id).is_some_and(fits));
    let window = Window {
        offset_id: r.offset_id,
        add_offset: r.add_offset,
        limit: r.limit,
        max_id: r.max_id,
        min_id: r.min_id,
        offset_date: 0,
    };
    let picked = pick(&ids, |_| 0, window);
    let viewer = ctx.viewer(me);
    let messages = picked.iter().map(|id| viewer.message(peer, *id)).collect();
    Ok(listed(&viewer, peer, ids.len(), messages))
}

/// Whether a message is what a filter asks for.
fn of_kind(state: &State, me: i64, content: &Content, filter: &enums::MessagesFilter) -> bool {
    use crate::sandbox::world::content::Media;
    use enums::MessagesFilter as F;
    let word = match content.media() {
        Some(Media::File { file, .. }) => state.files.stored.get(file).map_or("", |file| file.kind.word()),
        Some(media) => media.word(),
        None => "",
    };
    match filter {
        F::InputMessagesFilterEmpty => true,
        F::InputMessagesFilterPhotos => word == "photo",
        F::InputMessagesFilterVideo => word == "video",
        F::InputMessagesFilterPhotoVideo => matches!(word, "photo" | "video"),
        F::InputMessagesFilterDocument => word == "document",
        F::InputMessagesFilterGif => word == "animation",
        F::InputMessagesFilterVoice => word == "voice",
        F::InputMessagesFilterMusic => word == "audio",
        F::InputMessagesFilterRoundVoice => matches!(word, "voice" | "video_note"),
        F::InputMessagesFilterRoundVideo => word == "video_note",
        F::InputMessagesFilterGeo => word == "geo",
        F::InputMessagesFilterContacts => word == "contact",
        F::InputMessagesFilterPinned => state.pinned(me, content),
        F::InputMessagesFilterPoll => word == "poll",
        F::InputMessagesFilterUrl => match &content.body {
            Body::Said { entities, .. } => entities
                .iter()
                .any(|entity| matches!(entity.kind, Kind::Url | Kind::TextLink)),
            Body::Service(_) => false,
        },
        _ => false,
    }
}

/// `messages.searchGlobal`: over private chats, basic groups and channels of the account.
pub fn search_global(ctx: &mut Ctx<'_>, r: f::messages::SearchGlobal) -> Answer<enums::messages::Messages> {
    let me = ctx.me()?;
    let wanted = r.q.to_lowercase();
    let account = ctx.state.account(me)?;
    let peers = account
        .dialogs
        .keys()
        .copied()
        .chain(account.channels.iter().map(|id| Peer::Channel(*id)));
    let mut found = Vec::new();
    for peer in peers {
        for id in ids_of(ctx.state, me, peer) {
            let content = ctx.state.find(me, peer, id);
            let fits = |content: &&Content| {
                content.text().to_lowercase().contains(&wanted) && of_kind(ctx.state, me, content, &r.filter)
            };
            found.extend(content.filter(fits).map(|content| (content.stored_at, peer, id)));
        }
    }
    found.sort_by_key(|(at, _, _)| std::cmp::Reverse(*at));
    let count = found.len();
    let start = match r.offset_id {
        0 => 0,
        id => found
            .iter()
            .position(|(_, _, known)| *known == id)
            .map_or(count, |at| at + 1),
    };
    let limit = usize::try_from(r.limit.clamp(0, PAGE)).unwrap_or(0);
    let viewer = ctx.viewer(me);
    let page = found.iter().skip(start).take(limit);
    let messages = page.map(|(_, peer, id)| viewer.message(*peer, *id)).collect();
    Ok(listed(&viewer, Peer::User(me), count, messages))
}

/// `messages.getUnreadMentions`: mentions are not counted in this world.
pub fn get_unread_mentions(
    ctx: &mut Ctx<'_>,
    r: f::messages::GetUnreadMentions,
) -> Answer<enums::messages::Messages> {
    let me = ctx.me()?;
    let peer = ctx.peer(me, &r.peer)?;
    Ok(listed(&ctx.viewer(me), peer, 0, Vec::new()))
}

/// `messages.getMessages`
pub fn get_messages(ctx: &mut Ctx<'_>, r: f::messages::GetMessages) -> Answer<enums::messages::Messages> {
    let me = ctx.me()?;
    let ids = ctx.looked_at(r.id);
    let viewer = ctx.viewer(me);
    let messages: Vec<enums::Message> = ids
        .iter()
        .map(|wanted| {
            let held = |id: i32| ctx.state.held(me, id);
            let content = match wanted {
                enums::InputMessage::Id(wanted) => held(wanted.id),
                enums::InputMessage::ReplyTo(wanted) => {
                    let answered = held(wanted.id).and_then(|content| content.reply.as_ref());
                    answered.and_then(|reply| ctx.state.contents.get(&reply.to))
                }
                _ => None,
            };
            shown(&viewer, content, number(wanted))
        })
        .collect();
    Ok(listed(&viewer, Peer::User(me), messages.len(), messages))
}

/// `channels.getMessages`
pub fn get_channel_messages(
    ctx: &mut Ctx<'_>,
    r: f::channels::GetMessages,
) -> Answer<enums::messages::Messages> {
    let me = ctx.me()?;
    let id = ctx.channel(me, &r.channel)?;
    if r.id.is_empty() {
        return Err(Refusal::bad("MESSAGE_IDS_EMPTY"));
    }
    let peer = Peer::Channel(id);
    let ids = ctx.looked_at(r.id);
    let viewer = ctx.viewer(me);
    let channel = ctx.state.channel(id)?;
    let messages: Vec<enums::Message> = ids
        .iter()
        .map(|wanted| {
            let content = match wanted {
                enums::InputMessage::Id(wanted) => ctx.state.find(me, peer, wanted.id),
                enums::InputMessage::ReplyTo(wanted) => {
                    let answering = ctx.state.find(me, peer, wanted.id);
                    let reply = answering.and_then(|content| content.reply.as_ref());
                    reply.and_then(|reply| ctx.state.contents.get(&reply.to))
                }
                enums::InputMessage::Pinned => {
                    channel.pinned.last().and_then(|id| ctx.state.find(me, peer, *id))
                }
                enums::InputMessage::CallbackQuery(_) => None,
            };
            shown(&viewer, content, number(wanted))
        })
        .collect();
    Ok(listed(&viewer, peer, messages.len(), messages))
}

fn number(wanted: &enums::InputMessage) -> i32 {
    match wanted {
        enums::InputMessage::Id(wanted) => wanted.id,
        enums::InputMessage::ReplyTo(wanted) => wanted.id,
        enums::InputMessage::CallbackQuery(wanted) => wanted.id,
        enums::InputMessage::Pinned => 0,
    }
}

fn shown(viewer: &Viewer<'_>, content: Option<&Content>, id: i32) -> enums::Message {
    let known = content
        .filter(|content| content.deleted_at.is_none())
        .and_then(|content| content.number_for(viewer.account).map(|number| (content, number)));
    match known {
        Some((content, number)) => viewer.render(content, number),
        None => types::MessageEmpty { id, peer_id: None }.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(offset_id: i32, add_offset: i32, limit: i32) -> Window {
        Window {
            offset_id,
            add_offset,
            limit,
            ..Window::default()
        }
    }

    #[test]
    fn pages_go_back_from_the_newest() {
        let ids: Vec<i32> = (1..=10).collect();
        assert_eq!(pick(&ids, |_| 0, window(0, 0, 3)), [10, 9, 8]);
        assert_eq!(pick(&ids, |_| 0, window(8, 0, 3)), [7, 6, 5]);
        assert_eq!(pick(&ids, |_| 0, window(2, 0, 3)), [1]);
        assert_eq!(pick(&ids, |_| 0, window(8, 1, 2)), [6, 5]);
    }

    #[test]
    fn a_negative_offset_goes_towards_newer_ones() {
        let ids: Vec<i32> = (1..=10).collect();
        assert_eq!(pick(&ids, |_| 0, window(4, -3, 3)), [6, 5, 4]);
        assert_eq!(pick(&ids, |_| 0, window(9, -5, 5)), [10, 9]);
        assert_eq!(
            pick(&ids, |_| 0, window(1, -100, 100)),
            [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]
        );
        assert!(pick(&ids, |_| 0, window(11, -3, 3)).is_empty());
    }

    #[test]
    fn bounds_are_exclusive() {
        let ids: Vec<i32> = (1..=10).collect();
        let bounded = Window {
            min_id: 7,
            max_id: 10,
            ..window(0, 0, 100)
        };
        assert_eq!(pick(&ids, |_| 0, bounded), [9, 8]);
        let dated = Window {
            offset_date: 50,
            limit: 2,
            ..Window::default()
        };
        assert_eq!(pick(&ids, |id| id * 10, dated), [4, 3]);
    }
}
