//! Methods that post messages. Each message is named by its sender's random id: the same account, peer
//! and random id again posts nothing and answers the first message.

use std::collections::VecDeque;

use grammers_tl_types::{enums, functions::messages as f, types};

use super::manner::{Asked, asked, check, vanishes};
use super::{Answer, Ctx};
use crate::sandbox::render::media::read_attribute;
use crate::sandbox::world::account::{Entry, What};
use crate::sandbox::world::content::{Content, Media, Quote, Reply, Uid};
use crate::sandbox::world::files::FileKind;
use crate::sandbox::world::posting::Draft;
use crate::sandbox::world::{Peer, Place, Refusal};

/// `messages.sendMessage`
pub fn send_message(ctx: &mut Ctx<'_>, r: f::SendMessage) -> Answer<enums::Updates> {
    let me = ctx.me()?;
    let peer = ctx.peer(me, &r.peer)?;
    if let Some(uid) = repeated(ctx, me, peer, r.random_id)? {
        return Ok(again(ctx, me, &[uid]));
    }
    let asked = Asked {
        schedule_repeat_period: r.schedule_repeat_period,
        suggested_post: r.suggested_post.is_some(),
        reply_markup: r.reply_markup.as_ref(),
        rich_message: r.rich_message.is_some(),
        ..asked!(r)
    };
    let keyboard = check(ctx, me, peer, &asked)?;
    let answered = answered(ctx, me, peer, r.reply_to.as_ref())?;
    let draft = Draft {
        text: r.message,
        entities: ctx.spans(me, peer, r.entities),
        reply: answered.reply,
        topic: answered.topic,
        silent: r.silent,
        noforwards: r.noforwards,
        no_webpage: r.no_webpage,
        effect: r.effect,
        invert_media: r.invert_media,
        keyboard,
        random_id: r.random_id,
        ..Draft::default()
    };
    if ctx.removed {
        return swallow(ctx, me, peer, vec![draft]);
    }
    let unread = ctx.state.switches.read_by_posting && ctx.state.account(me)?.has_unread(peer);
    let uid = ctx.state.post(me, peer, draft)?;
    match peer {
        // The short form has no room for a read mark.
        Peer::User(other) if other != me && !unread => short(ctx, me, uid),
        _ => Ok(ctx.told(me)),
    }
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
    let me = ctx.me()?;
    let peer = ctx.peer(me, &r.peer)?;
    if let Some(uid) = repeated(ctx, me, peer, r.random_id)? {
        return Ok(again(ctx, me, &[uid]));
    }
    let asked = Asked {
        schedule_repeat_period: r.schedule_repeat_period,
        suggested_post: r.suggested_post.is_some(),
        reply_markup: r.reply_markup.as_ref(),
        ..asked!(r)
    };
    let keyboard = check(ctx, me, peer, &asked)?;
    let answered = answered(ctx, me, peer, r.reply_to.as_ref())?;
    ctx.state.may_write(me, peer, true)?;
    let draft = Draft {
        text: r.message,
        entities: ctx.spans(me, peer, r.entities),
        media: Some(media(ctx, me, r.media)?),
        reply: answered.reply,
        topic: answered.topic,
        silent: r.silent,
        noforwards: r.noforwards,
        effect: r.effect,
        invert_media: r.invert_media,
        keyboard,
        random_id: r.random_id,
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
    let me = ctx.me()?;
    let peer = ctx.peer(me, &r.peer)?;
    let items: Vec<types::InputSingleMedia> = r
        .multi_media
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
    check(ctx, me, peer, &asked!(r))?;
    let answered = answered(ctx, me, peer, r.reply_to.as_ref())?;
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
            media: Some(media(ctx, me, item.media).map_err(|refusal| of_part(ctx, part, refusal))?),
            reply: answered.reply.clone(),
            topic: answered.topic,
            album,
            silent: r.silent,
            noforwards: r.noforwards,
            effect: r.effect,
            invert_media: r.invert_media,
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
    match end.filter(|_| ctx.state.switches.numbered_file_references) {
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

/// `messages.forwardMessages`
pub fn forward_messages(ctx: &mut Ctx<'_>, r: f::ForwardMessages) -> Answer<enums::Updates> {
    let me = ctx.me()?;
    let from = ctx.peer(me, &r.from_peer)?;
    let to = ctx.peer(me, &r.to_peer)?;
    if r.id.is_empty() {
        return Err(Refusal::bad("MESSAGE_IDS_EMPTY"));
    }
    if r.id.len() > 100 {
        return Err(Refusal::bad("MESSAGE_ID_INVALID"));
    }
    if r.id.len() != r.random_id.len() {
        return Err(Refusal::bad("RANDOM_ID_INVALID"));
    }
    let (old, fresh) = sort_out(ctx, me, to, &r.random_id)?;
    let asked = Asked {
        schedule_repeat_period: r.schedule_repeat_period,
        suggested_post: r.suggested_post.is_some(),
        ..asked!(r)
    };
    check(ctx, me, to, &asked)?;
    if r.reply_to.is_some() {
        return Err(Refusal::bad("REPLY_TO_MONOFORUM_PEER_INVALID"));
    }
    let mut albums: Vec<(i64, i64)> = Vec::new();
    let mut drafts = Vec::new();
    for (id, random_id) in
        r.id.iter()
            .zip(&r.random_id)
            .filter(|(_, name)| fresh.contains(name))
    {
        let draft = match ctx
            .state
            .forwarded(me, from, *id, to, r.drop_author, r.drop_media_captions)
        {
            Ok(draft) => draft,
            Err(refusal) if refusal.name == "MESSAGE_ID_INVALID" => continue,
            Err(refusal) => return Err(refusal),
        };
        let source = ctx.state.find(me, from, *id).and_then(|content| content.album);
        let together = |album: i64| {
            let ids = r.id.iter().filter_map(|id| ctx.state.find(me, from, *id));
            ids.filter(|content| content.album == Some(album)).count() > 1
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
            topic: r.top_msg_id,
            silent: r.silent,
            noforwards: r.noforwards,
            effect: r.effect,
            random_id: *random_id,
            ..draft
        });
    }
    if drafts.is_empty() && old.is_empty() {
        return Err(Refusal::bad("MESSAGE_ID_INVALID"));
    }
    finish(ctx, me, to, drafts, &old)
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
fn finish(ctx: &mut Ctx<'_>, me: i64, peer: Peer, drafts: Vec<Draft>, old: &[Uid]) -> Answer<enums::Updates> {
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
fn sort_out(ctx: &Ctx<'_>, me: i64, peer: Peer, names: &[i64]) -> Answer<(Vec<Uid>, Vec<i64>)> {
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
    let keeps = ctx.state.switches.repeat_keeps_pts;
    for (content, id) in known.iter().filter(|(content, _)| content.deleted_at.is_none()) {
        let message = viewer.render(content, *id);
        updates.push(match content.place {
            Place::Channel(channel) => {
                let known = ctx.state.channels.get(&channel);
                let first = known
                    .filter(|_| keeps)
                    .and_then(|known| first_told(&known.log, *id));
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
                    .filter(|_| keeps)
                    .and_then(|known| first_told(&known.log, *id));
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

/// What a call answers, and the topic that it names.
#[derive(Default)]
struct Answered {
    reply: Option<Reply>,
    topic: Option<i32>,
}

/// The message that a call answers.
fn answered(ctx: &Ctx<'_>, me: i64, peer: Peer, reply: Option<&enums::InputReplyTo>) -> Answer<Answered> {
    let Some(reply) = reply else {
        return Ok(Answered::default());
    };
    let enums::InputReplyTo::Message(reply) = reply else {
        return Err(Refusal::bad("REPLY_TO_INVALID"));
    };
    let topic = reply.top_msg_id;
    if reply.reply_to_msg_id == 0 {
        return Ok(Answered { reply: None, topic });
    }
    let place = match &reply.reply_to_peer_id {
        Some(peer) => ctx.peer(me, peer)?,
        None => peer,
    };
    let Some(answered) = ctx.state.find(me, place, reply.reply_to_msg_id) else {
        let topic_gone = topic == Some(reply.reply_to_msg_id);
        return Err(Refusal::bad(match topic_gone {
            true => "TOPIC_DELETED",
            false => "REPLY_MESSAGE_ID_INVALID",
        }));
    };
    let quote = match &reply.quote_text {
        Some(text) if text.encode_utf16().count() > 1024 || !answered.text().contains(text.as_str()) => {
            return Err(Refusal::bad("QUOTE_TEXT_INVALID"));
        }
        Some(text) => Some(Quote {
            text: text.clone(),
            entities: ctx.entities(me, reply.quote_entities.clone()),
            offset: reply.quote_offset,
        }),
        None => None,
    };
    let to = answered.uid;
    Ok(Answered {
        reply: Some(Reply { to, quote }),
        topic,
    })
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
    if ctx.state.switches.parameters_refused && vanishes(&media) {
        return Err(Refusal::bad("TTL_MEDIA_INVALID"));
    }
    match media {
        M::UploadedPhoto(photo) => {
            let bytes = super::upload::whole(ctx, me, &photo.file)?;
            Ok(Media::File {
                file: ctx.state.keep_photo(bytes)?,
                spoiler: photo.spoiler,
            })
        }
        M::UploadedDocument(document) => {
            let bytes = super::upload::whole(ctx, me, &document.file)?;
            let attributes = document
                .attributes
                .into_iter()
                .filter_map(read_attribute)
                .collect();
            let kind = FileKind::Document {
                mime: document.mime_type,
                attributes,
            };
            Ok(Media::File {
                file: ctx.state.keep_file(bytes, kind),
                spoiler: document.spoiler,
            })
        }
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
