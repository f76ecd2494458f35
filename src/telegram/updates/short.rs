//! The short forms in which Telegram sends plain texts, as the messages they stand for. Pure.
//!
//! A short form names people by number only: who they are has to be known already.

use grammers_client::tl;

/// A text in a private chat.
pub(super) fn short_message(it: tl::types::UpdateShortMessage) -> tl::enums::Update {
    let peer = tl::types::PeerUser { user_id: it.user_id };
    let message = tl::types::Message {
        out: it.out,
        mentioned: it.mentioned,
        media_unread: it.media_unread,
        silent: it.silent,
        fwd_from: it.fwd_from,
        via_bot_id: it.via_bot_id,
        reply_to: it.reply_to,
        entities: it.entities,
        ttl_period: it.ttl_period,
        ..text(it.id, peer.into(), it.date, it.message)
    };
    new_message(message.into(), it.pts, it.pts_count)
}

/// A text in a basic group.
pub(super) fn short_chat_message(it: tl::types::UpdateShortChatMessage) -> tl::enums::Update {
    let peer = tl::types::PeerChat { chat_id: it.chat_id };
    let from = tl::types::PeerUser { user_id: it.from_id };
    let message = tl::types::Message {
        out: it.out,
        mentioned: it.mentioned,
        media_unread: it.media_unread,
        silent: it.silent,
        from_id: Some(from.into()),
        fwd_from: it.fwd_from,
        via_bot_id: it.via_bot_id,
        reply_to: it.reply_to,
        entities: it.entities,
        ttl_period: it.ttl_period,
        ..text(it.id, peer.into(), it.date, it.message)
    };
    new_message(message.into(), it.pts, it.pts_count)
}

/// A text of one's own, from the call that sent it and what that was answered; `own` is the account's number. None if
/// the call does not say where it went.
pub(super) fn sent_message(
    request: tl::functions::messages::SendMessage,
    answer: &tl::types::UpdateShortSentMessage,
    own: Option<i64>,
) -> Option<tl::enums::Message> {
    let peer = peer_of(&request.peer, own)?;
    let to_oneself = matches!(&peer, tl::enums::Peer::User(it) if Some(it.user_id) == own);
    let message = tl::types::Message {
        // In the chat with oneself nothing is outgoing.
        out: answer.out && !to_oneself,
        silent: request.silent,
        noforwards: request.noforwards,
        invert_media: request.invert_media,
        from_id: request.send_as.as_ref().and_then(|peer| peer_of(peer, own)),
        reply_to: request
            .reply_to
            .as_ref()
            .and_then(|reply| reply_header(reply, own)),
        media: answer.media.clone(),
        entities: answer.entities.clone(),
        ttl_period: answer.ttl_period,
        // Telegram stores it without the white space at its ends, and counts entities so.
        ..text(answer.id, peer, answer.date, request.message.trim().to_owned())
    };
    Some(message.into())
}

fn new_message(message: tl::enums::Message, pts: i32, pts_count: i32) -> tl::enums::Update {
    tl::types::UpdateNewMessage {
        message,
        pts,
        pts_count,
    }
    .into()
}

fn reply_header(reply: &tl::enums::InputReplyTo, own: Option<i64>) -> Option<tl::enums::MessageReplyHeader> {
    let tl::enums::InputReplyTo::Message(reply) = reply else {
        return None;
    };
    let header = tl::types::MessageReplyHeader {
        reply_to_scheduled: false,
        forum_topic: false,
        quote: reply.quote_text.is_some(),
        reply_to_ephemeral: false,
        reply_to_msg_id: Some(reply.reply_to_msg_id),
        reply_to_peer_id: reply
            .reply_to_peer_id
            .as_ref()
            .and_then(|peer| peer_of(peer, own)),
        reply_from: None,
        reply_media: None,
        reply_to_top_id: reply.top_msg_id,
        quote_text: reply.quote_text.clone(),
        quote_entities: reply.quote_entities.clone(),
        quote_offset: reply.quote_offset,
        todo_item_id: None,
        poll_option: None,
    };
    Some(header.into())
}

/// The peer that a call of this account names.
fn peer_of(peer: &tl::enums::InputPeer, own: Option<i64>) -> Option<tl::enums::Peer> {
    use tl::enums::InputPeer as P;
    Some(match peer {
        P::Empty => return None,
        P::PeerSelf => tl::types::PeerUser { user_id: own? }.into(),
        P::Chat(it) => tl::types::PeerChat { chat_id: it.chat_id }.into(),
        P::User(it) => tl::types::PeerUser { user_id: it.user_id }.into(),
        P::UserFromMessage(it) => tl::types::PeerUser { user_id: it.user_id }.into(),
        P::Channel(it) => tl::types::PeerChannel {
            channel_id: it.channel_id,
        }
        .into(),
        P::ChannelFromMessage(it) => tl::types::PeerChannel {
            channel_id: it.channel_id,
        }
        .into(),
    })
}

/// A message that says nothing but a text.
fn text(id: i32, peer_id: tl::enums::Peer, date: i32, message: String) -> tl::types::Message {
    tl::types::Message {
        out: false,
        mentioned: false,
        media_unread: false,
        silent: false,
        post: false,
        from_scheduled: false,
        legacy: false,
        edit_hide: false,
        pinned: false,
        noforwards: false,
        invert_media: false,
        offline: false,
        video_processing_pending: false,
        paid_suggested_post_stars: false,
        paid_suggested_post_ton: false,
        id,
        from_id: None,
        from_boosts_applied: None,
        from_rank: None,
        peer_id,
        saved_peer_id: None,
        fwd_from: None,
        via_bot_id: None,
        via_business_bot_id: None,
        guestchat_via_from: None,
        reply_to: None,
        date,
        message,
        media: None,
        reply_markup: None,
        entities: None,
        views: None,
        forwards: None,
        replies: None,
        edit_date: None,
        post_author: None,
        grouped_id: None,
        reactions: None,
        restriction_reason: None,
        ttl_period: None,
        quick_reply_shortcut_id: None,
        effect: None,
        factcheck: None,
        report_delivery_until_date: None,
        paid_message_stars: None,
        suggested_post: None,
        schedule_repeat_period: None,
        summary_from_language: None,
        rich_message: None,
    }
}
