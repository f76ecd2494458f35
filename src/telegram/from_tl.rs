//! Telegram's raw objects as our neutral records. Pure: no client, no I/O.

use grammers_client::tl;

use super::entities;
use crate::base::Timestamp;
use crate::model::{ChatId, FileRef, Forwarded, Media, MediaKind, Message, ReplyTo, Sender};

/// The chat that a TL peer names.
pub(crate) fn chat_id(peer: &tl::enums::Peer) -> ChatId {
    match peer {
        tl::enums::Peer::User(user) => ChatId::user(user.user_id),
        tl::enums::Peer::Chat(chat) => ChatId::group(chat.chat_id),
        tl::enums::Peer::Channel(channel) => ChatId::channel(channel.channel_id),
    }
}

/// Who is known from the containers that messages come in: names of senders.
#[derive(Default)]
pub(crate) struct Names(std::collections::HashMap<ChatId, Sender>);

impl Names {
    /// Takes the names from what came along with messages.
    pub fn from_containers(users: &[tl::enums::User], chats: &[tl::enums::Chat]) -> Self {
        let users = users.iter().filter_map(|user| match user {
            tl::enums::User::User(user) => Some((ChatId::user(user.id), user_sender(user))),
            tl::enums::User::Empty(_) => None,
        });
        let chats = chats.iter().filter_map(|chat| {
            let (id, title, username) = match chat {
                tl::enums::Chat::Chat(chat) => (ChatId::group(chat.id), &chat.title, None),
                tl::enums::Chat::Channel(channel) => (
                    ChatId::channel(channel.id),
                    &channel.title,
                    channel.username.clone(),
                ),
                _ => return None,
            };
            let sender = Sender {
                id: id.0,
                first_name: Some(title.clone()),
                username,
                ..Sender::default()
            };
            Some((id, sender))
        });
        Self(users.chain(chats).collect())
    }

    fn sender(&self, id: ChatId) -> Sender {
        self.0.get(&id).cloned().unwrap_or_else(|| Sender {
            id: id.0,
            ..Sender::default()
        })
    }
}

fn user_sender(user: &tl::types::User) -> Sender {
    Sender {
        id: user.id,
        first_name: user.first_name.clone(),
        last_name: user.last_name.clone(),
        username: user.username.clone(),
        bot: user.bot,
    }
}

/// A message, or none if there is none behind its number.
pub(crate) fn message(raw: &tl::enums::Message, names: &Names) -> Option<Message> {
    match raw {
        tl::enums::Message::Empty(_) => None,
        tl::enums::Message::Message(message) => Some(ordinary_message(message, names)),
        tl::enums::Message::Service(service) => Some(service_message(service, names)),
    }
}

fn ordinary_message(raw: &tl::types::Message, names: &Names) -> Message {
    let chat = chat_id(&raw.peer_id);
    Message {
        chat,
        id: raw.id,
        sender: sender(chat, raw.from_id.as_ref(), raw.out, raw.post, names),
        date: Timestamp::from_secs(raw.date.into()),
        edit_date: raw
            .edit_date
            .filter(|_| !raw.edit_hide)
            .map(|date| Timestamp::from_secs(date.into())),
        out: raw.out,
        post: raw.post,
        silent: raw.silent,
        service: false,
        protected: raw.noforwards,
        text: raw.message.clone(),
        entities: raw.entities.iter().flatten().map(entities::from_tl).collect(),
        media: raw.media.as_ref().and_then(media),
        album: raw.grouped_id,
        reply_to: raw.reply_to.as_ref().and_then(reply_to),
        forwarded: raw.fwd_from.as_ref().map(forwarded),
    }
}

fn service_message(raw: &tl::types::MessageService, names: &Names) -> Message {
    let chat = chat_id(&raw.peer_id);
    Message {
        chat,
        id: raw.id,
        sender: sender(chat, raw.from_id.as_ref(), raw.out, raw.post, names),
        date: Timestamp::from_secs(raw.date.into()),
        edit_date: None,
        out: raw.out,
        post: raw.post,
        silent: raw.silent,
        service: true,
        protected: false,
        text: String::new(),
        entities: Vec::new(),
        media: None,
        album: None,
        reply_to: raw.reply_to.as_ref().and_then(reply_to),
        forwarded: None,
    }
}

/// In a private chat an incoming message names no sender: it is the chat itself.
fn sender(
    chat: ChatId,
    from: Option<&tl::enums::Peer>,
    out: bool,
    post: bool,
    names: &Names,
) -> Option<Sender> {
    match from {
        Some(peer) => Some(names.sender(chat_id(peer))),
        None if !post && !out && chat.is_user() => Some(names.sender(chat)),
        None => None,
    }
}

fn reply_to(header: &tl::enums::MessageReplyHeader) -> Option<ReplyTo> {
    match header {
        tl::enums::MessageReplyHeader::Header(header) => Some(ReplyTo {
            message: header.reply_to_msg_id?,
            chat: header.reply_to_peer_id.as_ref().map(chat_id),
            quote: header.quote_text.clone(),
        }),
        tl::enums::MessageReplyHeader::MessageReplyStoryHeader(_) => None,
    }
}

fn forwarded(header: &tl::enums::MessageFwdHeader) -> Forwarded {
    let tl::enums::MessageFwdHeader::Header(header) = header;
    Forwarded {
        from: header.from_id.as_ref().map(chat_id),
        name: header.from_name.clone(),
        message: header.channel_post,
        date: Timestamp::from_secs(header.date.into()),
    }
}

pub(super) fn media(raw: &tl::enums::MessageMedia) -> Option<Media> {
    use tl::enums::MessageMedia as Raw;
    let plain = |kind| {
        Some(Media {
            kind,
            file: None,
            spoiler: false,
        })
    };
    match raw {
        Raw::Empty => None,
        Raw::Photo(photo) => Some(Media {
            kind: MediaKind::Photo,
            file: photo.photo.as_ref().and_then(photo_file),
            spoiler: photo.spoiler,
        }),
        Raw::Document(document) => {
            let Some(tl::enums::Document::Document(file)) = &document.document else {
                return plain(MediaKind::Other);
            };
            let (kind, file) = document_file(file);
            Some(Media {
                kind,
                file: Some(file),
                spoiler: document.spoiler,
            })
        }
        Raw::WebPage(_) => plain(MediaKind::WebPage),
        Raw::Contact(_) => plain(MediaKind::Contact),
        Raw::Geo(_) | Raw::GeoLive(_) => plain(MediaKind::Location),
        Raw::Venue(_) => plain(MediaKind::Venue),
        Raw::Poll(_) => plain(MediaKind::Poll),
        Raw::Dice(_) => plain(MediaKind::Dice),
        _ => plain(MediaKind::Other),
    }
}

fn photo_file(photo: &tl::enums::Photo) -> Option<FileRef> {
    let tl::enums::Photo::Photo(photo) = photo else {
        return None;
    };
    let (width, height, size) = photo
        .sizes
        .iter()
        .filter_map(|size| match size {
            tl::enums::PhotoSize::Size(size) => Some((size.w, size.h, size.size)),
            tl::enums::PhotoSize::Progressive(size) => {
                Some((size.w, size.h, size.sizes.iter().copied().max().unwrap_or(0)))
            }
            _ => None,
        })
        .max_by_key(|(_, _, size)| *size)?;
    Some(FileRef {
        id: photo.id,
        access_hash: photo.access_hash,
        reference: photo.file_reference.clone(),
        dc: photo.dc_id,
        size: size.into(),
        mime: Some("image/jpeg".to_owned()),
        name: None,
        duration: None,
        width: Some(width),
        height: Some(height),
    })
}

fn document_file(document: &tl::types::Document) -> (MediaKind, FileRef) {
    use tl::enums::DocumentAttribute as Attribute;
    let mut kind = MediaKind::Document;
    let mut file = FileRef {
        id: document.id,
        access_hash: document.access_hash,
        reference: document.file_reference.clone(),
        dc: document.dc_id,
        size: document.size,
        mime: Some(document.mime_type.clone()),
        ..FileRef::default()
    };
    for attribute in &document.attributes {
        match attribute {
            Attribute::Filename(it) => file.name = Some(it.file_name.clone()),
            Attribute::ImageSize(it) => (file.width, file.height) = (Some(it.w), Some(it.h)),
            Attribute::Video(it) => {
                (file.width, file.height) = (Some(it.w), Some(it.h));
                file.duration = Some(it.duration as i32);
                kind = stronger(
                    kind,
                    if it.round_message {
                        MediaKind::VideoNote
                    } else {
                        MediaKind::Video
                    },
                );
            }
            Attribute::Audio(it) => {
                file.duration = Some(it.duration);
                kind = stronger(
                    kind,
                    if it.voice {
                        MediaKind::Voice
                    } else {
                        MediaKind::Audio
                    },
                );
            }
            Attribute::Sticker(_) => kind = stronger(kind, MediaKind::Sticker),
            Attribute::Animated => kind = stronger(kind, MediaKind::Animation),
            _ => {}
        }
    }
    (kind, file)
}

/// A video that is also animated is an animation, an image that is also a sticker is a sticker.
fn stronger(one: MediaKind, other: MediaKind) -> MediaKind {
    let rank = |kind| match kind {
        MediaKind::Sticker => 4,
        MediaKind::Animation | MediaKind::VideoNote => 3,
        MediaKind::Voice => 2,
        MediaKind::Document => 0,
        _ => 1,
    };
    if rank(other) > rank(one) { other } else { one }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(attributes: Vec<tl::enums::DocumentAttribute>) -> tl::types::Document {
        tl::types::Document {
            id: 1,
            access_hash: 2,
            file_reference: vec![3],
            date: 4,
            mime_type: "video/mp4".into(),
            size: 5,
            thumbs: None,
            video_thumbs: None,
            dc_id: 2,
            attributes,
        }
    }

    fn video() -> tl::enums::DocumentAttribute {
        tl::types::DocumentAttributeVideo {
            round_message: false,
            supports_streaming: true,
            nosound: false,
            duration: 3.5,
            w: 640,
            h: 480,
            preload_prefix_size: None,
            video_start_ts: None,
            video_codec: None,
        }
        .into()
    }

    #[test]
    fn attributes_decide_what_a_document_is() {
        assert_eq!(document_file(&document(vec![])).0, MediaKind::Document);
        assert_eq!(document_file(&document(vec![video()])).0, MediaKind::Video);
        let animated = vec![tl::enums::DocumentAttribute::Animated, video()];
        let (kind, file) = document_file(&document(animated));
        assert_eq!(kind, MediaKind::Animation);
        assert_eq!((file.width, file.duration), (Some(640), Some(3)));
    }

    #[test]
    fn an_incoming_private_message_is_by_the_chat_itself() {
        let names = Names::default();
        let by = sender(ChatId::user(7), None, false, false, &names);
        assert_eq!(by.map(|sender| sender.id), Some(7));
        assert_eq!(sender(ChatId::user(7), None, true, false, &names), None);
        assert_eq!(sender(ChatId::channel(7), None, false, true, &names), None);
    }
}
