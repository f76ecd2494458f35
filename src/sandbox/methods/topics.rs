//! Forums and their topics, and what stands under a message.

use grammers_tl_types::{enums, functions as f, types};

use super::history::{Window, listed_of};
use super::{Answer, Ctx};
use crate::sandbox::render::{Viewer, blank};
use crate::sandbox::world::chat::Role;
use crate::sandbox::world::topics::{COLOUR, Topic, TopicChange};
use crate::sandbox::world::{Peer, Place, Refusal};

/// The forum that a peer is.
fn forum(ctx: &Ctx<'_>, me: i64, peer: &enums::InputPeer) -> Answer<i64> {
    match ctx.peer(me, peer)? {
        Peer::Channel(id) => ctx.state.topics(id).map(|_| id),
        _ => Err(Refusal::bad("CHANNEL_FORUM_MISSING")),
    }
}

/// `channels.toggleForum`
pub fn toggle_forum(ctx: &mut Ctx<'_>, r: f::channels::ToggleForum) -> Answer<enums::Updates> {
    let me = ctx.me()?;
    let id = ctx.channel(me, &r.channel)?;
    ctx.state.toggle_forum(me, id, r.enabled)?;
    Ok(ctx.told(me))
}

/// `messages.createForumTopic`
pub fn create_forum_topic(ctx: &mut Ctx<'_>, r: f::messages::CreateForumTopic) -> Answer<enums::Updates> {
    let me = ctx.me()?;
    let id = forum(ctx, me, &r.peer)?;
    let peer = Peer::Channel(id);
    if let Some(uid) = super::send::repeated(ctx, me, peer, r.random_id)? {
        return Ok(super::send::again(ctx, me, &[uid]));
    }
    super::manner::as_oneself(ctx, me, peer, r.send_as.as_ref())?;
    let sign = (r.icon_color.unwrap_or(COLOUR), r.icon_emoji_id);
    ctx.state.create_topic(me, id, &r.title, sign, r.random_id)?;
    Ok(ctx.told(me))
}

/// `messages.editForumTopic`
pub fn edit_forum_topic(ctx: &mut Ctx<'_>, r: f::messages::EditForumTopic) -> Answer<enums::Updates> {
    let me = ctx.me()?;
    let id = forum(ctx, me, &r.peer)?;
    let change = TopicChange {
        title: r.title,
        icon: r.icon_emoji_id,
        closed: r.closed,
        hidden: r.hidden,
    };
    ctx.state.edit_topic(me, id, r.topic_id, change)?;
    Ok(ctx.told(me))
}

/// `messages.deleteTopicHistory`
pub fn delete_topic_history(
    ctx: &mut Ctx<'_>,
    r: f::messages::DeleteTopicHistory,
) -> Answer<enums::messages::AffectedHistory> {
    let me = ctx.me()?;
    let id = forum(ctx, me, &r.peer)?;
    let pts_count = ctx.state.delete_topic(me, id, r.top_msg_id)?;
    Ok(types::messages::AffectedHistory {
        pts: ctx.state.channel(id)?.pts,
        pts_count,
        offset: 0,
    }
    .into())
}

/// `messages.getForumTopics`: those with the latest messages first.
pub fn get_forum_topics(
    ctx: &mut Ctx<'_>,
    r: f::messages::GetForumTopics,
) -> Answer<enums::messages::ForumTopics> {
    let me = ctx.me()?;
    let id = forum(ctx, me, &r.peer)?;
    let wanted = r.q.unwrap_or_default().to_lowercase();
    let topics = ctx.state.topics(id)?.iter();
    let named = topics.filter(|(_, topic)| topic.title.to_lowercase().contains(&wanted));
    let mut found: Vec<(i32, i32)> = named
        .map(|(number, _)| (top(ctx, id, *number), *number))
        .collect();
    found.sort_unstable_by(|one, other| other.cmp(one));
    let count = found.len();
    if r.offset_topic != 0 || r.offset_id != 0 {
        found.retain(|place| *place < (r.offset_id, r.offset_topic));
    }
    found.truncate(usize::try_from(r.limit.clamp(0, 100)).unwrap_or(100));
    let numbers: Vec<i32> = found.into_iter().map(|(_, number)| number).collect();
    answer(ctx, me, id, &numbers, count)
}

/// `messages.getForumTopicsByID`
pub fn get_forum_topics_by_id(
    ctx: &mut Ctx<'_>,
    r: f::messages::GetForumTopicsById,
) -> Answer<enums::messages::ForumTopics> {
    let me = ctx.me()?;
    let id = forum(ctx, me, &r.peer)?;
    if r.topics.is_empty() {
        return Err(Refusal::bad("TOPICS_EMPTY"));
    }
    answer(ctx, me, id, &r.topics, r.topics.len())
}

/// `messages.getReplies`: a topic of a forum, a thread of a supergroup, or what is said about a channel's post.
pub fn get_replies(ctx: &mut Ctx<'_>, r: f::messages::GetReplies) -> Answer<enums::messages::Messages> {
    let me = ctx.me()?;
    let Peer::Channel(id) = ctx.peer(me, &r.peer)? else {
        return Err(Refusal::bad("PEER_ID_INVALID"));
    };
    let window = Window {
        offset_id: r.offset_id,
        offset_date: r.offset_date,
        add_offset: r.add_offset,
        limit: r.limit,
        max_id: r.max_id,
        min_id: r.min_id,
    };
    let (place, mut ids) = replies(ctx, me, id, r.msg_id)?;
    ids.retain(|id| ctx.state.find(me, place, *id).is_some());
    Ok(listed_of(ctx, me, place, &ids, window))
}

/// Where what stands under a message of a channel stands, and its numbers.
fn replies(ctx: &Ctx<'_>, me: i64, id: i64, number: i32) -> Answer<(Peer, Vec<i32>)> {
    let channel = ctx.state.channel(id)?;
    let place = Peer::Channel(id);
    if channel.forum {
        return match channel.topics.contains_key(&number) {
            true => Ok((place, ctx.state.in_topic(id, number))),
            false => Err(Refusal::bad("TOPIC_ID_INVALID")),
        };
    }
    let invalid = Refusal::bad("MSG_ID_INVALID");
    let first = ctx.state.find(me, place, number).ok_or(invalid.clone())?;
    if !channel.broadcast {
        return Ok((place, ctx.state.in_thread(id, number)));
    }
    let opened = first.discussion.and_then(|uid| ctx.state.contents.get(&uid));
    let begun = opened.and_then(|opened| Some((opened.place, opened.number_for(0)?)));
    let Some((Place::Channel(group), began)) = begun else {
        return Err(invalid);
    };
    if ctx.state.channel(group)?.role(me) == Some(Role::Banned) {
        return Err(ctx.state.closed(me, group));
    }
    Ok((Peer::Channel(group), ctx.state.in_thread(group, began)))
}

/// The last message of a topic.
fn top(ctx: &Ctx<'_>, id: i64, number: i32) -> i32 {
    let last = ctx.state.in_topic(id, number).last().copied();
    last.unwrap_or(number)
}

fn answer(
    ctx: &Ctx<'_>,
    me: i64,
    id: i64,
    numbers: &[i32],
    count: usize,
) -> Answer<enums::messages::ForumTopics> {
    let known = ctx.state.topics(id)?;
    let viewer = ctx.viewer(me);
    let peer = Peer::Channel(id);
    viewer.name(peer);
    let topics = numbers.iter().map(|number| match known.get(number) {
        Some(topic) => record(&viewer, id, (*number, topic), top(ctx, id, *number)).into(),
        None => types::ForumTopicDeleted { id: *number }.into(),
    });
    let topics = topics.collect();
    let tops = numbers.iter().filter(|number| known.contains_key(number));
    let messages = tops.map(|number| viewer.message(peer, top(ctx, id, *number)));
    let messages = messages.collect();
    let (users, chats) = viewer.named();
    Ok(types::messages::ForumTopics {
        order_by_create_date: false,
        count: i32::try_from(count).unwrap_or(i32::MAX),
        topics,
        messages,
        chats,
        users,
        pts: ctx.state.channel(id)?.pts,
    }
    .into())
}

fn record(viewer: &Viewer<'_>, id: i64, (number, topic): (i32, &Topic), top: i32) -> types::ForumTopic {
    let read = viewer.state.channels.get(&id);
    let read = read.and_then(|channel| channel.members.get(&viewer.account));
    let read_in = read.map_or(0, |member| member.read_in);
    let messages = viewer.state.in_topic(id, number);
    let seen = |message: &&i32| {
        viewer
            .state
            .find(viewer.account, Peer::Channel(id), **message)
            .is_some()
    };
    let unread = messages.iter().filter(|message| **message > read_in);
    let unread = unread.filter(seen).count();
    types::ForumTopic {
        my: topic.creator == viewer.account,
        closed: topic.closed,
        pinned: false,
        short: false,
        hidden: topic.hidden,
        title_missing: false,
        id: number,
        date: topic.date,
        peer: viewer.name(Peer::Channel(id)),
        title: topic.title.clone(),
        icon_color: topic.colour,
        icon_emoji_id: topic.icon,
        top_message: top,
        read_inbox_max_id: read_in,
        read_outbox_max_id: 0,
        unread_count: i32::try_from(unread).unwrap_or(i32::MAX),
        unread_mentions_count: 0,
        unread_reactions_count: 0,
        unread_poll_votes_count: 0,
        from_id: viewer.name(Peer::User(topic.creator)),
        notify_settings: blank::notify_settings().into(),
        draft: None,
    }
}
