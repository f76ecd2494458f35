//! The brief form of a plain text in a private chat or basic group. It names nobody: who does not know a user or group
//! of it has to ask.

use grammers_tl_types::{enums, types};

/// The brief form of an update, if it has one: nothing but words, their formatting and what they answer.
pub fn brief(update: &enums::Update) -> Option<enums::Updates> {
    let enums::Update::NewMessage(new) = update else {
        return None;
    };
    let enums::Message::Message(message) = &new.message else {
        return None;
    };
    if !is_plain(message) {
        return None;
    }
    let message = message.clone();
    let (pts, pts_count) = (new.pts, new.pts_count);
    match message.peer_id {
        enums::Peer::User(user) => Some(
            types::UpdateShortMessage {
                out: message.out,
                mentioned: message.mentioned,
                media_unread: message.media_unread,
                silent: message.silent,
                id: message.id,
                user_id: user.user_id,
                message: message.message,
                pts,
                pts_count,
                date: message.date,
                fwd_from: None,
                via_bot_id: None,
                reply_to: message.reply_to,
                entities: message.entities,
                ttl_period: message.ttl_period,
            }
            .into(),
        ),
        enums::Peer::Chat(chat) => {
            let Some(enums::Peer::User(from)) = message.from_id else {
                return None;
            };
            Some(
                types::UpdateShortChatMessage {
                    out: message.out,
                    mentioned: message.mentioned,
                    media_unread: message.media_unread,
                    silent: message.silent,
                    id: message.id,
                    from_id: from.user_id,
                    chat_id: chat.chat_id,
                    message: message.message,
                    pts,
                    pts_count,
                    date: message.date,
                    fwd_from: None,
                    via_bot_id: None,
                    reply_to: message.reply_to,
                    entities: message.entities,
                    ttl_period: message.ttl_period,
                }
                .into(),
            )
        }
        enums::Peer::Channel(_) => None,
    }
}

/// Whether the brief form has room for all that a message says.
fn is_plain(message: &types::Message) -> bool {
    let names = |entity: &enums::MessageEntity| matches!(entity, enums::MessageEntity::MentionName(_));
    let entities = message.entities.as_deref().unwrap_or_default();
    let saved = match (&message.peer_id, &message.from_id) {
        (enums::Peer::User(to), Some(enums::Peer::User(from))) => message.out && to.user_id == from.user_id,
        _ => false,
    };
    message.media.is_none()
        && message.fwd_from.is_none()
        && message.via_bot_id.is_none()
        && message.reply_markup.is_none()
        && message.reactions.is_none()
        && message.effect.is_none()
        && !message.invert_media
        && message.edit_date.is_none()
        && message.grouped_id.is_none()
        && message.saved_peer_id.is_none()
        && !message.noforwards
        && !saved
        && !entities.iter().any(names)
}
