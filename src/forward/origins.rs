//! Where a message came through: followed back over the message map, from copy to source.
//!
//! It knows what is committed. A copy whose commit is on its way is not known yet; whoever must not miss it
//! waits for the tries that are under way.

use super::graph::Node;
use super::map::{BackTable, back_key};
use super::registry::Registry;
use crate::base::SessionId;
use crate::model::{ChatId, Message, MessageId};
use crate::store::StoreError;

/// How many copies of copies are followed back.
const DEPTH: usize = 16;

/// The places a message came through, if it is a copy, or if somebody forwarded a copy.
pub(super) fn origins(
    registry: &Registry,
    session: SessionId,
    message: &Message,
) -> Result<Vec<Node>, StoreError> {
    let mut origins = trace(registry, session, (message.chat, message.id))?;
    if let Some(post) = post(message) {
        let before = trace(registry, session, post)?;
        if !before.is_empty() {
            origins.push(registry.node(session, post.0));
            origins.extend(before);
        }
    }
    Ok(origins)
}

/// The channel's post that a message is a forward of.
pub(super) fn post(message: &Message) -> Option<(ChatId, MessageId)> {
    let forwarded = message.forwarded.as_ref()?;
    let chat = forwarded.from.filter(|chat| chat.is_channel())?;
    Some((chat, forwarded.message?))
}

fn trace(
    registry: &Registry,
    session: SessionId,
    (chat, message): (ChatId, MessageId),
) -> Result<Vec<Node>, StoreError> {
    let mut origins = Vec::new();
    let mut copy = (session, chat, message);
    while origins.len() < DEPTH {
        let key = back_key(copy.0, copy.1, copy.2);
        let Some(back) = registry.store.get::<BackTable>(&key)? else {
            break;
        };
        origins.push(registry.node(back.session, back.chat));
        copy = (back.session, back.chat, back.message);
    }
    Ok(origins)
}
