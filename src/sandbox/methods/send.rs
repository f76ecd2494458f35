//! Methods that post messages. Each message is named by its sender's random id: the same account, peer
//! and random id again posts nothing and answers the first message.

use std::collections::VecDeque;

use grammers_tl_types::{enums, functions::messages as f, types};

use super::answering::answered;
use super::manner::{Asked, check, vanishes, video_timestamp};
use super::{Answer, Ctx};
use crate::sandbox::world::account::{Entry, What};
use crate::sandbox::world::content::{Content, Media, Uid};
use crate::sandbox::world::posting::Draft;
use crate::sandbox::world::{Peer, Place, Refusal};

/// `messages.sendMessage`
pub fn send_message(ctx: &mut Ctx<'_>, r: f::SendMessage) -> Answer<enums::Updates> {
    let f::SendMessage {
        no_webpage,
        silent,
        background: _,
        clear_draft: _,
        noforwards,
        update_stickersets_order: _,
        invert_media,
        allow_paid_floodskip: _,
        peer,
        reply_to,
        message,
        random_id,
        reply_markup,
        entities,
        schedule_date,
        schedule_repeat_period,
        send_as,
        quick_reply_shortcut,
        effect,
        allow_paid_stars,
        suggested_post,
        rich_message,
    } = r;
    let me = ctx.me()?;
    let peer = ctx.peer(me, &peer)?;
    if let Some(uid) = repeated(ctx, me, peer, random_id)? {
        return Ok(again(ctx, me, &[uid]));
    }
    let asked = Asked {
        schedule_date,
        schedule_repeat_period,
        send_as: send_as.as_ref(),
        quick_reply: quick_reply_shortcut.is_some(),
        effect,
        suggested_post: suggested_post.is_some(),
        reply_markup: reply_markup.as_ref(),
        rich_message: rich_message.is_some(),
        stars: allow_paid_stars,
        further: 0,
    };
    let keyboard = check(ctx, me, peer, &asked)?;
    let answered = answered(ctx, me, peer, reply_to.as_ref())?;
    let draft = Draft {
        text: message,
        entities: ctx.spans(me, peer, entities),
        reply: answered.reply,
        topic: answered.topic,
        silent,
        noforwards: noforwards && guards(ctx, me),
        no_webpage,
        effect,
        invert_media,
        keyboard,
        random_id,
        ..Draft::default()
    };
    if ctx.removed {
        return swallow(ctx, me, peer, vec![draft]);
    }
    let unread = ctx.state.reads_by_posting(me, peer)?;
    let uid = ctx.state.post(me, peer, draft)?;
    match peer {
        // The short form has no room for a read mark.
        Peer::User(other) if other != me && !unread => short(ctx, me, uid),
        _ => Ok(ctx.told(me)),
    }
}

/// Whether what an account sends may be protected one by one: bots' only; of others nothing is protected by it.
pub(super) fn guards(ctx: &Ctx<'_>, me: i64) -> bool {
    let bot = ctx.state.accounts.get(&me).is_some_and(|account| account.bot);
    bot || !ctx.state.switches.parameters_refused.decides()
}

/// What a text to a user is answered with: its number and the account's new state.
fn short(ctx: &Ctx<'_>, me: i64, uid: Uid) -> Answer<enums::Updates> {
    let content = ctx
        .state
        .contents
        .get(&uid)
        .ok_or(Refusal::bad("MESSAGE_ID_INVALID"))?;
    let entities = match &content.body {
        crate::sandbox::world::content::Body::Said { entities, .. } if !entities.is_empty() => {
            Some(ctx.viewer(me).entities(entities))
        }
        _ => None,
    };
    let media = content
        .media()
        .map(|media| ctx.viewer(me).media(media, Some(uid)));
    Ok(types::UpdateShortSentMessage {
        out: true,
        id: content.number_for(me).unwrap_or_default(),
        pts: ctx.state.account(me)?.pts,
        pts_count: 1,
        date: content.date(),
        media,
        entities,
        ttl_period: None,
    }
    .into())
}

/// `messages.sendMedia`
pub fn send_media(ctx: &mut Ctx<'_>, r: f::SendMedia) -> Answer<enums::Updates> {
    let f::SendMedia {
        silent,
        background: _,
        clear_draft: _,
        noforwards,
        update_stickersets_order: _,
        invert_media,
        allow_paid_floodskip: _,
        peer,
        reply_to,
        media: attached,
        message,
        random_id,
        reply_markup,
        entities,
        schedule_date,
        schedule_repeat_period,
        send_as,
        quick_reply_shortcut,
        effect,
        allow_paid_stars,
        suggested_post,
    } = r;
    let me = ctx.me()?;
    let peer = ctx.peer(me, &peer)?;
    if let Some(uid) = repeated(ctx, me, peer, random_id)? {
        return Ok(again(ctx, me, &[uid]));
    }
    let asked = Asked {
        schedule_date,
        schedule_repeat_period,
        send_as: send_as.as_ref(),
        quick_reply: quick_reply_shortcut.is_some(),
        effect,
        suggested_post: suggested_post.is_some(),
        reply_markup: reply_markup.as_ref(),
        rich_message: false,
        stars: allow_paid_stars,
        further: 0,
    };
    let keyboard = check(ctx, me, peer, &asked)?;
    let answered = answered(ctx, me, peer, reply_to.as_ref())?;
    ctx.state.may_write(me, peer, true)?;
    let draft = Draft {
        text: message,
        entities: ctx.spans(me, peer, entities),
        video_timestamp: video_timestamp(&attached),
        media: Some(media(ctx, me, attached)?),
        reply: answered.reply,
        topic: answered.topic,
        silent,
        noforwards: noforwards && guards(ctx, me),
        effect,
        invert_media,
        keyboard,
        random_id,
        ..Draft::default()
    };
    if ctx.removed {
        return swallow(ctx, me, peer, vec![draft]);
    }
    ctx.state.post(me, peer, draft)?;
    Ok(ctx.told(me))
}

/// `messages.uploadMedia`
pub fn upload_media(ctx: &mut Ctx<'_>, r: f::UploadMedia) -> Answer<enums::MessageMedia> {
    let me = ctx.me()?;
    ctx.peer(me, &r.peer)?;
    let media = media(ctx, me, r.media)?;
    Ok(ctx.viewer(me).media(&media, None))
}

/// `messages.sendMultiMedia`
pub fn send_multi_media(ctx: &mut Ctx<'_>, r: f::SendMultiMedia) -> Answer<enums::Updates> {
    let f::SendMultiMedia {
        silent,
        background: _,
        clear_draft: _,
        noforwards,
        update_stickersets_order: _,
        invert_media,
        allow_paid_floodskip: _,
        peer,
        reply_to,
        multi_media,
        schedule_date,
        send_as,
        quick_reply_shortcut,
        effect,
        allow_paid_stars,
    } = r;
    let me = ctx.me()?;
    let peer = ctx.peer(me, &peer)?;
    let items: Vec<types::InputSingleMedia> = multi_media
        .into_iter()
        .map(|item| match item {
            enums::InputSingleMedia::Media(item) => item,
        })
        .collect();
    match items.len() {
        0 => return Err(Refusal::bad("MEDIA_EMPTY")),
        1..=10 => {}
        _ => return Err(Refusal::bad("MULTI_MEDIA_TOO_LONG")),
    }
    let names: Vec<i64> = items.iter().map(|item| item.random_id).collect();
    let (old, fresh) = sort_out(ctx, me, peer, &names)?;
    let asked = Asked {
        schedule_date,
        send_as: send_as.as_ref(),
        quick_reply: quick_reply_shortcut.is_some(),
        effect,
        stars: allow_paid_stars,
        further: fresh.len().saturating_sub(1),
        ..Asked::default()
    };
    check(ctx, me, peer, &asked)?;
    let noforwards = noforwards && guards(ctx, me);
    let answered = answered(ctx, me, peer, reply_to.as_ref())?;
    let album = (items.len() > 1).then(|| ctx.state.new_album());
    let mut drafts = Vec::new();
    let items = items.into_iter().enumerate();
    for (part, item) in items.filter(|(_, item)| fresh.contains(&item.random_id)) {
        if matches!(
            item.media,
            enums::InputMedia::UploadedPhoto(_) | enums::InputMedia::UploadedDocument(_)
        ) {
            return Err(Refusal::bad("MEDIA_INVALID"));
        }
        drafts.push(Draft {
            text: item.message,
            entities: ctx.spans(me, peer, item.entities),
            video_timestamp: video_timestamp(&item.media),
            media: Some(media(ctx, me, item.media).map_err(|refusal| of_part(ctx, part, refusal))?),
            reply: answered.reply.clone(),
            topic: answered.topic,
            album,
            silent,
            noforwards,
            effect,
            invert_media,
            random_id: item.random_id,
            ..Draft::default()
        });
    }
    check_album(ctx, &drafts)?;
    finish(ctx, me, peer, drafts, &old)
}

/// A refused file reference of an album names the part.
fn of_part(ctx: &Ctx<'_>, part: usize, refusal: Refusal) -> Refusal {
    let end = refusal.name.strip_prefix("FILE_REFERENCE_");
    match end.filter(|_| ctx.state.switches.numbered_file_references.decides()) {
        Some(end) => Refusal::other(refusal.code, format!("FILE_REFERENCE_{part}_{end}")),
        None => refusal,
    }
}

/// Photos and videos go together, audio with audio, documents with documents.
fn check_album(ctx: &Ctx<'_>, drafts: &[Draft]) -> Answer<()> {
    let word = |draft: &Draft| match &draft.media {
        Some(Media::File { file, .. }) => {
            let word = ctx.state.files.stored.get(file).map(|file| file.kind.word());
            word.map(|word| if word == "video" { "photo" } else { word })
        }
        _ => None,
    };
    let words: Vec<_> = drafts.iter().map(word).collect();
    let groupable = |word: &Option<&str>| matches!(word, Some("photo" | "audio" | "document"));
    if drafts.len() > 1 && (words.windows(2).any(|two| two[0] != two[1]) || !words.iter().all(groupable)) {
        return Err(Refusal::bad("MEDIA_GROUPED_INVALID"));
    }
    Ok(())
}

/// Takes messages that are removed at once, and answers them as Telegram does then: empty, counting nothing, without
/// the names that their sender gave them.
fn swallow(ctx: &mut Ctx<'_>, me: i64, peer: Peer, drafts: Vec<Draft>) -> Answer<enums::Updates> {
    let numbers = ctx.state.swallow(me, peer, drafts)?;
    let viewer = ctx.viewer(me);
    let told = ctx.state.news.get(ctx.news_before..).unwrap_or_default();
    let mut updates = viewer.own(told);
    for id in numbers {
        let peer_id = Some(viewer.name(peer));
        let message = types::MessageEmpty { id, peer_id }.into();
        updates.push(match peer {
            Peer::Channel(channel) => types::UpdateNewChannelMessage {
                message,
                pts: ctx.state.channel(channel)?.pts,
                pts_count: 0,
            }
            .into(),
            _ => types::UpdateNewMessage {
                message,
                pts: ctx.state.account(me)?.pts,
                pts_count: 0,
            }
            .into(),
        });
    }
    Ok(viewer.updates(updates))
}

/// Posts what is new and answers it together with what was there.
pub(super) fn finish(
    ctx: &mut Ctx<'_>,
    me: i64,
    peer: Peer,
    drafts: Vec<Draft>,
    old: &[Uid],
) -> Answer<enums::Updates> {
    if ctx.removed {
        return swallow(ctx, me, peer, drafts);
    }
    if !drafts.is_empty() {
        ctx.state.post_all(me, peer, drafts)?;
    }
    if old.is_empty() {
        return Ok(ctx.told(me));
    }
    let first = again(ctx, me, old);
    let second = ctx.told(me);
    let (enums::Updates::Updates(mut first), enums::Updates::Updates(second)) = (first, second) else {
        return Err(Refusal::bad("RANDOM_ID_DUPLICATE"));
    };
    first.updates.extend(second.updates);
    first.users.extend(
        second
            .users
            .into_iter()
            .filter(|user| !first.users.contains(user))
            .collect::<Vec<_>>(),
    );
    first.chats.extend(
        second
            .chats
            .into_iter()
            .filter(|chat| !first.chats.contains(chat))
            .collect::<Vec<_>>(),
    );
    Ok(first.into())
}

/// The message that this random id named before.
pub fn repeated(ctx: &Ctx<'_>, me: i64, peer: Peer, random_id: i64) -> Answer<Option<Uid>> {
    if random_id == 0 {
        return Err(Refusal::bad("RANDOM_ID_EMPTY"));
    }
    Ok(ctx.state.repeated(me, peer, random_id))
}

/// Splits random ids into messages that are there and names that are new.
pub(super) fn sort_out(ctx: &Ctx<'_>, me: i64, peer: Peer, names: &[i64]) -> Answer<(Vec<Uid>, Vec<i64>)> {
    let (mut old, mut fresh) = (Vec::new(), Vec::new());
    for name in names {
        if fresh.contains(name) {
            return Err(Refusal::bad("RANDOM_ID_INVALID"));
        }
        match repeated(ctx, me, peer, *name)? {
            Some(uid) => old.push(uid),
            None => fresh.push(*name),
        }
    }
    Ok((old, fresh))
}

/// The answer to a repeated call: the first messages in their present form; what is not known any more counts nothing.
pub fn again(ctx: &Ctx<'_>, me: i64, uids: &[Uid]) -> enums::Updates {
    let viewer = ctx.viewer(me);
    let known: Vec<(&Content, i32)> = uids
        .iter()
        .filter_map(|uid| ctx.state.contents.get(uid))
        .filter_map(|content| content.number_for(me).map(|id| (content, id)))
        .collect();
    let mut updates: Vec<enums::Update> = known
        .iter()
        .map(|(content, id)| {
            types::UpdateMessageId {
                id: *id,
                random_id: content.random_id,
            }
            .into()
        })
        .collect();
    for (content, id) in known.iter().filter(|(content, _)| content.deleted_at.is_none()) {
        let message = viewer.render(content, *id);
        updates.push(match content.place {
            Place::Channel(channel) => {
                let known = ctx.state.channels.get(&channel);
                let first = known
                    .and_then(|known| first_told(&known.log, *id))
                    .filter(|_| ctx.state.switches.repeat_keeps_pts.decides());
                let (pts, pts_count) = first.unwrap_or((known.map_or(1, |known| known.pts), 0));
                types::UpdateNewChannelMessage {
                    message,
                    pts,
                    pts_count,
                }
                .into()
            }
            _ => {
                let known = ctx.state.accounts.get(&me);
                let first = known
                    .and_then(|known| first_told(&known.log, *id))
                    .filter(|_| ctx.state.switches.repeat_keeps_pts.decides());
                let (pts, pts_count) = first.unwrap_or((known.map_or(1, |known| known.pts), 0));
                types::UpdateNewMessage {
                    message,
                    pts,
                    pts_count,
                }
                .into()
            }
        });
    }
    viewer.updates(updates)
}

/// The state and the count of the event with which a message came.
fn first_told(log: &VecDeque<Entry>, number: i32) -> Option<(i32, i32)> {
    let came = |entry: &&Entry| matches!(entry.what, What::New { id, .. } if id == number);
    log.iter().rev().find(came).map(|entry| (entry.pts, entry.count))
}

/// The file that a client names by id, hash and reference.
pub fn open(ctx: &mut Ctx<'_>, me: i64, id: i64, hash: i64, reference: &[u8]) -> Answer<i64> {
    ctx.state.open_file(me, id, hash, reference)?;
    if ctx.stale {
        ctx.stale = false;
        ctx.state.expire_references(id);
        return Err(Refusal::bad("FILE_REFERENCE_EXPIRED"));
    }
    Ok(id)
}

/// A file by reference, which a protected chat does not give away.
fn by_reference(ctx: &mut Ctx<'_>, me: i64, id: i64, hash: i64, reference: &[u8]) -> Answer<i64> {
    let file = open(ctx, me, id, hash, reference)?;
    if (ctx.state.files.stored.get(&file)).is_some_and(|file| file.vanishes) {
        return Err(Refusal::bad("MEDIA_EMPTY"));
    }
    let home = ctx.state.files.stored.get(&file).and_then(|file| file.home);
    let runs = match home {
        Some(Place::Channel(channel)) => ctx
            .state
            .channel(channel)?
            .role(me)
            .is_some_and(|role| role.runs()),
        _ => false,
    };
    if home.is_some_and(|home| ctx.state.protected(home)) && !runs {
        return Err(Refusal::bad("CHAT_FORWARDS_RESTRICTED"));
    }
    Ok(file)
}

/// What a client attaches.
pub fn media(ctx: &mut Ctx<'_>, me: i64, media: enums::InputMedia) -> Answer<Media> {
    use enums::InputMedia as M;
    if vanishes(&media) && ctx.state.switches.parameters_refused.decides() {
        return Err(Refusal::bad("TTL_MEDIA_INVALID"));
    }
    match media {
        M::UploadedPhoto(photo) => Ok(Media::File {
            file: super::upload::picture(ctx, me, &photo.file)?,
            spoiler: photo.spoiler,
        }),
        M::UploadedDocument(document) => Ok(Media::File {
            spoiler: document.spoiler,
            file: super::upload::document(ctx, me, document)?,
        }),
        M::Photo(photo) => match photo.id {
            enums::InputPhoto::Photo(id) => Ok(Media::File {
                file: by_reference(ctx, me, id.id, id.access_hash, &id.file_reference)?,
                spoiler: photo.spoiler,
            }),
            enums::InputPhoto::Empty => Err(Refusal::bad("MEDIA_EMPTY")),
        },
        M::Document(document) => match document.id {
            enums::InputDocument::Document(id) => Ok(Media::File {
                file: by_reference(ctx, me, id.id, id.access_hash, &id.file_reference)?,
                spoiler: document.spoiler,
            }),
            enums::InputDocument::Empty => Err(Refusal::bad("MEDIA_EMPTY")),
        },
        M::GeoPoint(geo) => match geo.geo_point {
            enums::InputGeoPoint::Point(point) => Ok(Media::Geo {
                latitude: point.lat,
                longitude: point.long,
            }),
            enums::InputGeoPoint::Empty => Err(Refusal::bad("MEDIA_EMPTY")),
        },
        M::Contact(contact) => Ok(Media::Contact {
            phone: contact.phone_number,
            first_name: contact.first_name,
            last_name: contact.last_name,
        }),
        M::WebPage(page) => Ok(Media::Page { url: page.url }),
        M::Poll(poll) => super::polls::made(ctx, me, *poll),
        M::Empty => Err(Refusal::bad("MEDIA_EMPTY")),
        _ => Err(Refusal::bad("MEDIA_INVALID")),
    }
}
