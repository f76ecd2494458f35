//! `messages.*` about reactions.

use grammers_tl_types::{enums, functions::messages as f, types};

use super::{Answer, Ctx};
use crate::sandbox::world::Refusal;
use crate::sandbox::world::reacting::Reaction;

/// `messages.sendReaction`
pub fn send_reaction(ctx: &mut Ctx<'_>, r: f::SendReaction) -> Answer<enums::Updates> {
    let me = ctx.me()?;
    let peer = ctx.peer(me, &r.peer)?;
    let mut wanted = Vec::new();
    for reaction in r.reaction.unwrap_or_default() {
        match reaction {
            enums::Reaction::Empty => {}
            enums::Reaction::Emoji(emoji) => wanted.push(emoji.emoticon),
            enums::Reaction::CustomEmoji(_) => return Err(Refusal::forbidden("PREMIUM_ACCOUNT_REQUIRED")),
            enums::Reaction::Paid => return Err(Refusal::bad("REACTION_INVALID")),
        }
    }
    if wanted.len() > 1 {
        return Err(Refusal::bad("REACTIONS_TOO_MANY"));
    }
    let wanted = wanted.first().map(String::as_str);
    ctx.state.react(me, peer, r.msg_id, wanted, r.big)?;
    Ok(ctx.told(me))
}

/// `messages.getMessagesReactions`
pub fn get_messages_reactions(ctx: &mut Ctx<'_>, r: f::GetMessagesReactions) -> Answer<enums::Updates> {
    let me = ctx.me()?;
    let peer = ctx.peer(me, &r.peer)?;
    let viewer = ctx.viewer(me);
    let updates =
        r.id.iter()
            .filter_map(|id| viewer.reactions_update(peer, *id))
            .collect();
    Ok(viewer.updates(updates))
}

/// `messages.getMessageReactionsList`: newest first; the offset counts those that were told.
pub fn get_message_reactions_list(
    ctx: &mut Ctx<'_>,
    r: f::GetMessageReactionsList,
) -> Answer<enums::messages::MessageReactionsList> {
    let me = ctx.me()?;
    let peer = ctx.peer(me, &r.peer)?;
    let content = ctx
        .state
        .find(me, peer, r.id)
        .ok_or(Refusal::bad("MSG_ID_INVALID"))?;
    let viewer = ctx.viewer(me);
    if !viewer.shows_who(content) {
        return Err(Refusal::forbidden("BROADCAST_FORBIDDEN"));
    }
    let wanted = |it: &&Reaction| match &r.reaction {
        Some(enums::Reaction::Emoji(emoji)) => it.emoji == emoji.emoticon,
        _ => true,
    };
    let all: Vec<_> = content.reactions.iter().rev().filter(wanted).collect();
    let from = r.offset.and_then(|it| it.parse().ok()).unwrap_or(0);
    let limit = usize::try_from(r.limit.clamp(1, 100)).unwrap_or(100);
    let told = all.iter().skip(from).take(limit);
    let reactions: Vec<_> = told.map(|it| viewer.reacted(it)).collect();
    let next = from.saturating_add(reactions.len());
    let (users, chats) = viewer.named();
    Ok(types::messages::MessageReactionsList {
        count: i32::try_from(all.len()).unwrap_or(i32::MAX),
        reactions,
        chats,
        users,
        next_offset: (next < all.len()).then(|| next.to_string()),
    }
    .into())
}
