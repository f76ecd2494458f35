//! What a call that sends says about what it answers: a message of this chat or of another one, a part of it, a topic.

use grammers_tl_types::{enums, types};

use super::{Answer, Ctx};
use crate::sandbox::world::content::{Quote, Reply};
use crate::sandbox::world::threads::{quoted_at, quoted_spans};
use crate::sandbox::world::{Peer, Refusal};

/// The longest quote, in UTF-16 units.
const LONGEST: usize = 1024;

/// What a call answers, and the topic that it names.
#[derive(Default)]
pub struct Answered {
    /// The message.
    pub reply: Option<Reply>,
    /// The topic.
    pub topic: Option<i32>,
}

/// The message that a call answers.
pub fn answered(ctx: &Ctx<'_>, me: i64, peer: Peer, reply: Option<&enums::InputReplyTo>) -> Answer<Answered> {
    use enums::InputReplyTo as I;
    let types::InputReplyToMessage {
        reply_to_msg_id,
        top_msg_id,
        reply_to_peer_id,
        quote_text,
        quote_entities,
        quote_offset,
        monoforum_peer_id,
        todo_item_id,
        poll_option,
    } = match reply {
        None => return Ok(Answered::default()),
        Some(I::Message(reply)) => reply,
        // There are no stories, and no chats with channels.
        Some(I::Story(_)) => return Err(Refusal::bad("STORY_ID_INVALID")),
        Some(I::MonoForum(_)) => return Err(Refusal::bad("REPLY_TO_MONOFORUM_PEER_INVALID")),
        Some(I::EphemeralMessage(_)) => return Err(Refusal::bad("REPLY_TO_INVALID")),
    };
    let refused = [
        (monoforum_peer_id.is_some(), "REPLY_TO_MONOFORUM_PEER_INVALID"),
        (todo_item_id.is_some(), "REPLY_TO_INVALID"),
        (poll_option.is_some(), "POLL_OPTION_INVALID"),
    ];
    if let Some((_, name)) = refused.into_iter().find(|(is, _)| *is)
        && ctx.state.switches.parameters_refused.decides()
    {
        return Err(Refusal::bad(name));
    }
    let topic = *top_msg_id;
    if *reply_to_msg_id == 0 {
        return Ok(Answered { reply: None, topic });
    }
    let place = match reply_to_peer_id {
        Some(peer) => ctx.peer(me, peer)?,
        None => peer,
    };
    let Some(answered) = ctx.state.find(me, place, *reply_to_msg_id) else {
        let topic_gone = topic == Some(*reply_to_msg_id);
        return Err(Refusal::bad(match topic_gone {
            true => "TOPIC_DELETED",
            false => "REPLY_MESSAGE_ID_INVALID",
        }));
    };
    if place != peer && (answered.noforwards || ctx.state.protected(answered.place)) {
        return Err(Refusal::bad("CHAT_FORWARDS_RESTRICTED"));
    }
    if place != peer && answered.ttl_seconds.is_some() {
        return Err(Refusal::bad("REPLY_MESSAGE_ID_INVALID"));
    }
    let quote = match quote_text {
        Some(text) => {
            let short = text.encode_utf16().count() <= LONGEST;
            let at = quoted_at(answered.text(), text, *quote_offset).filter(|_| short);
            let offset = at.ok_or(Refusal::bad("QUOTE_TEXT_INVALID"))?;
            Some(Quote {
                text: text.clone(),
                entities: quoted_spans(ctx.entities(me, quote_entities.clone()), text),
                offset: Some(offset),
            })
        }
        None => None,
    };
    let to = answered.uid;
    Ok(Answered {
        reply: Some(Reply { to, quote }),
        topic,
    })
}
