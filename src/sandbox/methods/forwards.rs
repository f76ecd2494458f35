//! `messages.forwardMessages`: messages of one chat in another one, with or without their authors; albums stay together.

use grammers_tl_types::{enums, functions::messages as f};

use super::manner::{Asked, check};
use super::send::{finish, guards, sort_out};
use super::{Answer, Ctx};
use crate::sandbox::world::Refusal;
use crate::sandbox::world::posting::Draft;

/// `messages.forwardMessages`
pub fn forward_messages(ctx: &mut Ctx<'_>, r: f::ForwardMessages) -> Answer<enums::Updates> {
    let f::ForwardMessages {
        silent,
        background: _,
        // There are no games.
        with_my_score: _,
        drop_author,
        drop_media_captions,
        noforwards,
        allow_paid_floodskip: _,
        from_ephemeral,
        from_peer,
        id: ids,
        random_id: names,
        to_peer,
        top_msg_id,
        reply_to,
        schedule_date,
        schedule_repeat_period,
        send_as,
        quick_reply_shortcut,
        effect,
        video_timestamp,
        allow_paid_stars,
        suggested_post,
    } = r;
    let me = ctx.me()?;
    let from = ctx.peer(me, &from_peer)?;
    let to = ctx.peer(me, &to_peer)?;
    if ids.is_empty() {
        return Err(Refusal::bad("MESSAGE_IDS_EMPTY"));
    }
    if ids.len() > 100 {
        return Err(Refusal::bad("MESSAGE_ID_INVALID"));
    }
    if ids.len() != names.len() {
        return Err(Refusal::bad("RANDOM_ID_INVALID"));
    }
    let (old, fresh) = sort_out(ctx, me, to, &names)?;
    let asked = Asked {
        schedule_date,
        schedule_repeat_period,
        send_as: send_as.as_ref(),
        quick_reply: quick_reply_shortcut.is_some(),
        effect,
        suggested_post: suggested_post.is_some(),
        stars: allow_paid_stars,
        further: fresh.len().saturating_sub(1),
        ..Asked::default()
    };
    check(ctx, me, to, &asked)?;
    if fresh.len() > 1 && ctx.state.is_slowed(me, to) {
        return Err(Refusal::bad("SLOWMODE_MULTI_MSGS_DISABLED"));
    }
    if reply_to.is_some() {
        return Err(Refusal::bad("REPLY_TO_MONOFORUM_PEER_INVALID"));
    }
    // What is told to one reader only is not kept by number.
    if from_ephemeral && ctx.state.switches.parameters_refused.decides() {
        return Err(Refusal::bad("MESSAGE_ID_INVALID"));
    }
    let noforwards = noforwards && guards(ctx, me);
    let mut albums: Vec<(i64, i64)> = Vec::new();
    let mut drafts = Vec::new();
    let wanted = ids.iter().zip(&names);
    for (id, random_id) in wanted.filter(|(_, name)| fresh.contains(name)) {
        let draft = match ctx
            .state
            .forwarded(me, from, *id, to, drop_author, drop_media_captions)
        {
            Ok(draft) => draft,
            Err(refusal) if refusal.name == "MESSAGE_ID_INVALID" => continue,
            Err(refusal) => return Err(refusal),
        };
        let source = ctx.state.find(me, from, *id).and_then(|content| content.album);
        let together = |album: i64| {
            let held = ids.iter().filter_map(|id| ctx.state.find(me, from, *id));
            held.filter(|content| content.album == Some(album)).count() > 1
        };
        let album = source.filter(|album| together(*album)).map(|source| {
            match albums.iter().find(|(known, _)| *known == source) {
                Some((_, album)) => *album,
                None => {
                    let album = ctx.state.new_album();
                    albums.push((source, album));
                    album
                }
            }
        });
        drafts.push(Draft {
            album,
            topic: top_msg_id,
            silent,
            noforwards,
            effect,
            video_timestamp: video_timestamp.or(draft.video_timestamp),
            random_id: *random_id,
            ..draft
        });
    }
    if drafts.is_empty() && old.is_empty() {
        return Err(Refusal::bad("MESSAGE_ID_INVALID"));
    }
    finish(ctx, me, to, drafts, &old)
}
