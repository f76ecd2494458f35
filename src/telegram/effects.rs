//! Effects: sending, editing, deleting, and looking at what is there. Every call passes the limiter.
//!
//! A send carries its effect's names (random ids) as they were given; repeating it is safe for as long as
//! Telegram remembers them. Nothing here retries, but for a file reference that has expired: then the
//! message it came with is read anew, once.

use grammers_client::tl;

use super::entities;
use super::error::{NOT_REACHABLE, TelegramError};
use super::limits;
use super::link::Link;
use super::met::{self, Trust};
use super::outgoing::{Outgoing, OutgoingBody, OutgoingMedia, Revision, SentPart};
use super::peers;
use super::receipt;
use super::requests;
use super::session::{Context, Observation, rested, take_messages};
use super::tables::{HighWater, Peer, Peers};
use crate::base::Timestamp;
use crate::base::fault::fault_point;
use crate::limiter::{Ask, CostClass, Patience, Urgency};
use crate::model::Refusal;
use crate::model::refusal::{Obstacle, Stale};
use crate::model::{ChatId, Entity, FileRef, MediaKind, Message, MessageId};

/// Messages in one page of a history: Telegram gives no more.
const PAGE: usize = 100;

/// How far back a chat is read.
#[derive(Clone, Copy)]
pub struct Reach<'a> {
    /// What came before need not be read.
    pub since: Timestamp,
    /// So many of the chat's latest messages at most.
    pub most: usize,
    /// Said after each page by who has the time to rest between two of them if asked to; else a wait ends the reading.
    pub goes_on: Option<&'a (dyn Fn() + Send + Sync)>,
}

/// A session's side of an effect.
pub(crate) struct Effects<'a> {
    /// What all sessions share.
    pub context: &'a Context,
    /// The session.
    pub link: &'a Link,
    /// How a call waits for its turn at the limiter.
    pub patience: Patience,
}

impl Effects<'_> {
    /// Sends; the parts that the answer tells of come back in their order.
    pub async fn send(&self, outgoing: &Outgoing) -> Result<Vec<SentPart>, TelegramError> {
        fault_point!("telegram.send.before");
        let sent = self.try_send(outgoing).await;
        fault_point!("telegram.send.after");
        if sent.is_ok() {
            self.link.sent();
        }
        match sent {
            Err(error) if is_stale(&error) => {
                let mut fresh = outgoing.clone();
                self.refresh(&mut fresh.body).await?;
                match fresh == *outgoing {
                    true => Err(error),
                    false => self.try_send(&fresh).await,
                }
            }
            sent => sent,
        }
    }

    async fn try_send(&self, outgoing: &Outgoing) -> Result<Vec<SentPart>, TelegramError> {
        let peer = self.peer(outgoing.chat)?;
        let reply_to = self.reply_to(outgoing);
        let silent = outgoing.silent;
        let names = outgoing.body.random_ids();
        let updates = match &outgoing.body {
            OutgoingBody::Text {
                text,
                entities,
                preview,
                random_id,
            } => {
                let request = tl::functions::messages::SendMessage {
                    no_webpage: !preview,
                    silent,
                    peer,
                    reply_to,
                    message: text.clone(),
                    random_id: *random_id,
                    entities: self.entities(entities)?,
                    ..requests::send_message()
                };
                self.call(Some(outgoing.chat), CostClass::Send, 1, &request)
                    .await?
            }
            OutgoingBody::Media(media) => {
                let request = tl::functions::messages::SendMedia {
                    silent,
                    peer,
                    reply_to,
                    media: input_media(media)?,
                    message: media.caption.clone(),
                    random_id: media.random_id,
                    entities: self.entities(&media.entities)?,
                    ..requests::send_media()
                };
                self.call(Some(outgoing.chat), CostClass::SendMedia, 1, &request)
                    .await?
            }
            OutgoingBody::Album(parts) => {
                let request = tl::functions::messages::SendMultiMedia {
                    silent,
                    peer,
                    reply_to,
                    multi_media: parts
                        .iter()
                        .map(|part| self.album_part(part))
                        .collect::<Result<_, _>>()?,
                    ..requests::send_multi_media()
                };
                let units = units(parts.len());
                self.call(Some(outgoing.chat), CostClass::SendMedia, units, &request)
                    .await?
            }
            OutgoingBody::Forward { from, parts } => {
                let request = tl::functions::messages::ForwardMessages {
                    silent,
                    from_peer: self.peer(*from)?,
                    id: parts.iter().map(|(id, _)| *id).collect(),
                    random_id: names.clone(),
                    to_peer: peer,
                    top_msg_id: outgoing.topic,
                    ..requests::forward_messages()
                };
                self.call(
                    Some(outgoing.chat),
                    CostClass::Forward,
                    units(parts.len()),
                    &request,
                )
                .await?
            }
        };
        receipt::read(&updates, &names).ok_or_else(|| {
            // Sent, but nothing tells as what: the caller looks it up like after a broken connection.
            TelegramError::Rpc {
                class: Refusal::Duplicate,
                name: "NO_RECEIPT".to_owned(),
            }
        })
    }

    /// Brings a message to another form; one that it has already is fine.
    pub async fn edit(&self, chat: ChatId, id: MessageId, form: &Revision) -> Result<(), TelegramError> {
        match self.try_edit(chat, id, form).await {
            Err(error) if form.media.is_some() && is_stale(&error) => {
                let mut fresh = form.clone();
                if let Some(media) = &mut fresh.media {
                    self.refresh_parts(std::slice::from_mut(media)).await?;
                }
                match fresh == *form {
                    true => Err(error),
                    false => self.try_edit(chat, id, &fresh).await,
                }
            }
            answer => answer,
        }
    }

    async fn try_edit(&self, chat: ChatId, id: MessageId, form: &Revision) -> Result<(), TelegramError> {
        let request = tl::functions::messages::EditMessage {
            no_webpage: !form.preview,
            peer: self.peer(chat)?,
            id,
            message: Some(form.text.clone()),
            media: form.media.as_ref().map(input_media).transpose()?,
            // An edit without entities would keep none as well; an empty list says so.
            entities: Some(self.entities(&form.entities)?.unwrap_or_default()),
            ..requests::edit_message()
        };
        match self.call(Some(chat), CostClass::Edit, 1, &request).await {
            Err(error) if error.class() == Refusal::Done => Ok(()),
            answer => answer.map(|_| ()),
        }
    }

    /// Deletes messages for everybody; those that are gone already are fine.
    pub async fn delete(&self, chat: ChatId, ids: Vec<MessageId>) -> Result<(), TelegramError> {
        for ids in ids.chunks(PAGE) {
            let id = ids.to_vec();
            if chat.is_channel() {
                let channel = self.channel(chat)?;
                let request = tl::functions::channels::DeleteMessages { channel, id };
                self.call(Some(chat), CostClass::Delete, 1, &request).await?;
            } else {
                let request = tl::functions::messages::DeleteMessages { revoke: true, id };
                self.call(Some(chat), CostClass::Delete, 1, &request).await?;
            }
        }
        Ok(())
    }

    /// The account's own messages in a chat, newest first, as far back as it reaches (and perhaps some more).
    pub async fn own_recent(&self, chat: ChatId, reach: Reach<'_>) -> Result<Vec<Message>, TelegramError> {
        let (mut own, mut read, mut offset_id) = (Vec::new(), 0, 0);
        while read < reach.most {
            let limit = i32::try_from((reach.most - read).min(PAGE)).unwrap_or(i32::MAX);
            let request = tl::functions::messages::GetHistory {
                offset_id,
                ..requests::get_history(self.peer(chat)?, limit)
            };
            let answer = match self.call(Some(chat), CostClass::History, 1, &request).await {
                // What was read so far shall not be read again.
                Err(error) if read > 0 && self.rested(&error, reach).await => continue,
                answer => answer?,
            };
            let page = take_messages(self.context, self.link, answer).await?;
            if let Some(goes_on) = reach.goes_on {
                goes_on();
            }
            let Some(last) = page.last else { break };
            // Telegram tells times to the second.
            let old = |it: &Message| it.date.as_secs() < reach.since.as_secs();
            let complete = page.messages.last().is_some_and(old);
            (read, offset_id) = (read + page.read, last);
            // A channel's posts are not marked with who wrote them.
            own.extend(
                page.messages
                    .into_iter()
                    .filter(|message| message.out || message.post),
            );
            if complete {
                break;
            }
        }
        Ok(own)
    }

    async fn rested(&self, error: &TelegramError, reach: Reach<'_>) -> bool {
        match reach.goes_on {
            Some(goes_on) => rested(error, goes_on).await,
            None => false,
        }
    }

    /// One message, if it is there.
    pub async fn message(&self, chat: ChatId, id: MessageId) -> Result<Option<Message>, TelegramError> {
        let ids = vec![tl::types::InputMessageId { id }.into()];
        let answer = if chat.is_channel() {
            let request = tl::functions::channels::GetMessages {
                channel: self.channel(chat)?,
                id: ids,
            };
            self.call(Some(chat), CostClass::History, 1, &request).await?
        } else {
            let request = tl::functions::messages::GetMessages { id: ids };
            self.call(Some(chat), CostClass::History, 1, &request).await?
        };
        Ok(take_messages(self.context, self.link, answer)
            .await?
            .messages
            .into_iter()
            .find(|message| message.chat == chat && message.id == id))
    }

    /// Asks for a chat's record anew. Of a user there is none to be asked for, and Telegram shows none of a chat that the
    /// account may not see: then nothing changes.
    pub async fn look_anew(&self, chat: ChatId) -> Result<(), TelegramError> {
        let (class, chats) = (CostClass::Other, Some(chat));
        let answer = if chat.is_user() {
            return Ok(());
        } else if chat.is_channel() {
            let id = vec![self.channel(chat)?];
            self.call(chats, class, 1, &tl::functions::channels::GetChannels { id })
                .await?
        } else {
            let id = vec![chat.bare()];
            self.call(chats, class, 1, &tl::functions::messages::GetChats { id })
                .await?
        };
        let (tl::enums::messages::Chats::Chats(tl::types::messages::Chats { chats })
        | tl::enums::messages::Chats::Slice(tl::types::messages::ChatsSlice { chats, .. })) = answer;
        self.keep_peers(&[], &chats, Trust::Asked).await
    }

    /// Finds a chat by its public name, with or without the at sign.
    pub async fn resolve(&self, username: &str) -> Result<ChatId, TelegramError> {
        let request = tl::functions::contacts::ResolveUsername {
            username: username.trim_start_matches('@').to_owned(),
            referer: None,
        };
        let tl::enums::contacts::ResolvedPeer::Peer(found) =
            self.call(None, CostClass::Resolve, 1, &request).await?;
        self.keep_peers(&found.users, &found.chats, Trust::Passing)
            .await?;
        Ok(super::from_tl::chat_id(&found.peer))
    }

    pub(super) async fn keep_peers(
        &self,
        users: &[tl::enums::User],
        chats: &[tl::enums::Chat],
        trust: Trust,
    ) -> Result<(), TelegramError> {
        let found = peers::of_containers(users, chats);
        met::keep(&self.context.store, self.link, found, trust).await?;
        Ok(())
    }

    /// A call that passes the limiter and tells it of waits.
    pub(super) async fn call<R: tl::RemoteCall>(
        &self,
        chat: Option<ChatId>,
        class: CostClass,
        units: u32,
        request: &R,
    ) -> Result<R::Return, TelegramError> {
        // A session that cannot be asked shall not use up its budget.
        self.link.ready().await?;
        let ask = Ask {
            session: self.link.id,
            chat,
            class,
            units,
            stranger: class.is_send() && self.is_stranger(chat)?,
            patience: self.patience,
        };
        let answer = limits::through(&self.context.limiter, self.link, ask, request).await;
        if let Err(error) = &answer
            && error.class() == Refusal::PeerFlood
        {
            // Only now that the limiter knows: it decides when the state is over.
            self.link.observe(Observation::PeerFlooded);
        }
        answer
    }

    /// Whether it is somebody with whom the account has no chat yet, in neither direction.
    fn is_stranger(&self, chat: Option<ChatId>) -> Result<bool, TelegramError> {
        let Some(chat) = chat.filter(|chat| chat.is_user()) else {
            return Ok(false);
        };
        let peer = self.known(chat)?.unwrap_or_default();
        if peer.own || peer.bot || peer.dialog {
            return Ok(false);
        }
        Ok(!self
            .context
            .store
            .contains::<HighWater>(&(self.link.id, chat.0))?)
    }

    pub(super) fn known(&self, chat: ChatId) -> Result<Option<Peer>, TelegramError> {
        Ok(self.context.store.get::<Peers>(&(self.link.id, chat.0))?)
    }

    pub(super) fn peer(&self, chat: ChatId) -> Result<tl::enums::InputPeer, TelegramError> {
        peers::input_peer(chat, self.known(chat)?.as_ref()).ok_or_else(unknown_chat)
    }

    fn channel(&self, chat: ChatId) -> Result<tl::enums::InputChannel, TelegramError> {
        peers::input_channel(chat, self.known(chat)?.as_ref()).ok_or_else(unknown_chat)
    }

    fn entities(&self, ours: &[Entity]) -> Result<Option<Vec<tl::enums::MessageEntity>>, TelegramError> {
        let hash = |user| {
            let key = (self.link.id, ChatId::user(user).0);
            self.context
                .store
                .get::<Peers>(&key)
                .ok()
                .flatten()
                .and_then(|peer| peer.hash)
        };
        let raw: Vec<_> = ours
            .iter()
            .filter_map(|entity| entities::to_tl(entity, hash))
            .collect();
        Ok(Some(raw).filter(|raw| !raw.is_empty()))
    }

    fn reply_to(&self, outgoing: &Outgoing) -> Option<tl::enums::InputReplyTo> {
        let reply_to_msg_id = outgoing.reply_to.or(outgoing.topic)?;
        let reply = tl::types::InputReplyToMessage {
            reply_to_msg_id,
            top_msg_id: outgoing.topic,
            reply_to_peer_id: None,
            quote_text: None,
            quote_entities: None,
            quote_offset: None,
            monoforum_peer_id: None,
            todo_item_id: None,
            poll_option: None,
        };
        Some(reply.into())
    }

    fn album_part(&self, part: &OutgoingMedia) -> Result<tl::enums::InputSingleMedia, TelegramError> {
        let media = tl::types::InputSingleMedia {
            media: input_media(part)?,
            random_id: part.random_id,
            message: part.caption.clone(),
            entities: self.entities(&part.entities)?,
        };
        Ok(media.into())
    }

    /// Reads the messages that the media came with anew, for fresh file references.
    async fn refresh(&self, body: &mut OutgoingBody) -> Result<(), TelegramError> {
        let parts = match body {
            OutgoingBody::Media(media) => std::slice::from_mut(media),
            OutgoingBody::Album(parts) => parts.as_mut_slice(),
            OutgoingBody::Text { .. } | OutgoingBody::Forward { .. } => return Ok(()),
        };
        self.refresh_parts(parts).await
    }

    async fn refresh_parts(&self, parts: &mut [OutgoingMedia]) -> Result<(), TelegramError> {
        let ahead = Effects {
            patience: self.patience.with(Urgency::Look),
            ..*self
        };
        for part in parts {
            let (chat, id) = part.origin;
            let not_reachable = |class| TelegramError::Rpc {
                class,
                name: NOT_REACHABLE.to_owned(),
            };
            let origin = match ahead.message(chat, id).await {
                // The account does not see the chat that the file came from, or is not told.
                Err(error) if is_of_origin(&error) => {
                    return Err(not_reachable(match error.class() {
                        hold @ Refusal::Hold(_) => hold,
                        _ => Refusal::Refused,
                    }));
                }
                origin => origin?,
            };
            let file = origin
                .and_then(|message| message.media)
                .and_then(|media| media.file)
                // Numbers of other chats count per account: what stands there may be another's message.
                .filter(|file| file.id == part.file.id);
            part.file = file.ok_or_else(|| not_reachable(Refusal::Gone))?;
        }
        Ok(())
    }
}

/// Whether a refusal to show the message that a file came with will stay so.
fn is_of_origin(error: &TelegramError) -> bool {
    let passes = matches!(
        error.class(),
        Refusal::Wait { .. }
            | Refusal::Uncertain
            | Refusal::Unavailable
            | Refusal::Elsewhere
            | Refusal::Ended(_)
            | Refusal::Frozen
            | Refusal::PeerFlood
    );
    matches!(error, TelegramError::Rpc { .. }) && !passes
}

/// Whether the file may be another account's, or its reference too old: as the account itself sees it, it may be sent.
fn is_stale(error: &TelegramError) -> bool {
    error.class() == Refusal::Renew(Stale::File) || error.rpc_name() == Some("MEDIA_EMPTY")
}

fn units(parts: usize) -> u32 {
    u32::try_from(parts).unwrap_or(u32::MAX).max(1)
}

fn unknown_chat() -> TelegramError {
    TelegramError::Rpc {
        class: Refusal::Hold(Obstacle::ChatUnknown),
        name: "PEER_ID_INVALID".to_owned(),
    }
}

/// A medium that Telegram has already, as a call takes it.
fn input_media(media: &OutgoingMedia) -> Result<tl::enums::InputMedia, TelegramError> {
    let FileRef {
        id,
        access_hash,
        reference,
        ..
    } = &media.file;
    let (id, access_hash, file_reference) = (*id, *access_hash, reference.clone());
    match media.kind {
        MediaKind::Photo => {
            let id = tl::types::InputPhoto {
                id,
                access_hash,
                file_reference,
            }
            .into();
            let spoiler = media.spoiler;
            Ok(tl::types::InputMediaPhoto {
                spoiler,
                live_photo: false,
                id,
                ttl_seconds: None,
                video: None,
            }
            .into())
        }
        MediaKind::Video
        | MediaKind::Audio
        | MediaKind::Voice
        | MediaKind::VideoNote
        | MediaKind::Animation
        | MediaKind::Sticker
        | MediaKind::Document => {
            let document = tl::types::InputMediaDocument {
                spoiler: media.spoiler,
                id: tl::types::InputDocument {
                    id,
                    access_hash,
                    file_reference,
                }
                .into(),
                video_cover: None,
                video_timestamp: None,
                ttl_seconds: None,
                query: None,
            };
            Ok(document.into())
        }
        _ => Err(TelegramError::Invalid(
            "this kind of media cannot be copied by reference",
        )),
    }
}
