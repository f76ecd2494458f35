//! Telegram's raw objects as our neutral records. Pure: no client, no I/O.

use grammers_client::tl;

use super::{actions, entities};
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

/// Who is known from the containers that messages come in: names of senders, and the account itself.
#[derive(Default)]
pub(crate) struct Names {
    known: std::collections::HashMap<ChatId, Sender>,
    own: Option<ChatId>,
}

/// The public name of a user or channel. Where one was bought, it stands among others that may not be in use.
pub(crate) fn username(plain: Option<&String>, all: Option<&Vec<tl::enums::Username>>) -> Option<String> {
    let bought = || {
        all.into_iter().flatten().find_map(|username| {
            let tl::enums::Username::Username(username) = username;
            username.active.then_some(&username.username)
        })
    };
    plain.or_else(bought).cloned()
}

impl Names {
    /// Takes the names from what came along with messages.
    pub fn from_containers(users: &[tl::enums::User], chats: &[tl::enums::Chat]) -> Self {
        let own = users.iter().find_map(|user| match user {
            tl::enums::User::User(user) if user.is_self => Some(ChatId::user(user.id)),
            _ => None,
        });
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
                    username(channel.username.as_ref(), channel.usernames.as_ref()),
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
        Self {
            known: users.chain(chats).collect(),
            own,
        }
    }

    /// The same, by who knows which account looks.
    pub fn seen_by(self, own: Option<i64>) -> Self {
        Self {
            own: own.map(ChatId::user).or(self.own),
            ..self
        }
    }

    /// What is written in the chat with oneself is one's own, though Telegram does not mark it so.
    fn is_own(&self, chat: ChatId, out: bool) -> bool {
        out || self.own == Some(chat)
    }

    fn sender(&self, id: ChatId) -> Sender {
        self.known.get(&id).cloned().unwrap_or_else(|| Sender {
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
        username: username(user.username.as_ref(), user.usernames.as_ref()),
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
    let out = names.is_own(chat, raw.out);
    Message {
        chat,
        id: raw.id,
        sender: sender(chat, raw.from_id.as_ref(), out, raw.post, names),
        date: Timestamp::from_secs(raw.date.into()),
        edit_date: raw
            .edit_date
            .filter(|_| !raw.edit_hide)
            .map(|date| Timestamp::from_secs(date.into())),
        out,
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
        thread: raw.reply_to.as_ref().and_then(thread),
        author: raw.post_author.clone(),
        action: None,
    }
}

fn service_message(raw: &tl::types::MessageService, names: &Names) -> Message {
    let pinned = raw
        .reply_to
        .as_ref()
        .and_then(reply_to)
        .map(|reply| reply.message);
    let chat = chat_id(&raw.peer_id);
    let out = names.is_own(chat, raw.out);
    Message {
        chat,
        id: raw.id,
        sender: sender(chat, raw.from_id.as_ref(), out, raw.post, names),
        date: Timestamp::from_secs(raw.date.into()),
        edit_date: None,
        out,
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
        thread: raw.reply_to.as_ref().and_then(thread),
        author: None,
        action: Some(actions::from_tl(&raw.action, pinned)),
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

/// What a message answers. Everything in a forum's topic "answers" the topic's first message, unless it answers
/// something else.
fn reply_to(header: &tl::enums::MessageReplyHeader) -> Option<ReplyTo> {
    let tl::enums::MessageReplyHeader::Header(header) = header else {
        return None;
    };
    if header.forum_topic && header.reply_to_top_id.is_none() && header.quote_text.is_none() {
        return None;
    }
    Some(ReplyTo {
        message: header.reply_to_msg_id?,
        chat: header.reply_to_peer_id.as_ref().map(chat_id),
        quote: header.quote_text.clone(),
    })
}

/// The forum topic of a message.
fn thread(header: &tl::enums::MessageReplyHeader) -> Option<crate::model::MessageId> {
    match header {
        tl::enums::MessageReplyHeader::Header(header) if header.forum_topic => {
            header.reply_to_top_id.or(header.reply_to_msg_id)
        }
        _ => None,
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

    fn header(forum_topic: bool, message: i32, top: Option<i32>) -> tl::enums::MessageReplyHeader {
        tl::types::MessageReplyHeader {
            reply_to_scheduled: false,
            forum_topic,
            quote: false,
            reply_to_ephemeral: false,
            reply_to_msg_id: Some(message),
            reply_to_peer_id: None,
            reply_from: None,
            reply_media: None,
            reply_to_top_id: top,
            quote_text: None,
            quote_entities: None,
            quote_offset: None,
            todo_item_id: None,
            poll_option: None,
        }
        .into()
    }

    #[test]
    fn a_topic_is_no_answer() {
        let read = |header| (thread(&header), reply_to(&header).map(|reply| reply.message));
        assert_eq!(read(header(true, 5, None)), (Some(5), None));
        assert_eq!(read(header(true, 9, Some(5))), (Some(5), Some(9)));
        assert_eq!(read(header(false, 9, None)), (None, Some(9)));
        assert_eq!(
            read(header(false, 9, Some(5))),
            (None, Some(9)),
            "a thread of comments is no topic"
        );
    }

    #[test]
    fn what_stands_in_the_chat_with_oneself_is_ones_own() {
        let names = Names::default().seen_by(Some(7));
        assert!(names.is_own(ChatId::user(7), false));
        assert!(!names.is_own(ChatId::user(8), false));
        assert!(names.is_own(ChatId::user(8), true));
    }

    #[test]
    fn a_bought_name_counts_where_it_is_in_use() {
        let name = |username: &str, active| {
            let username = username.to_owned();
            tl::types::Username {
                editable: false,
                deletable: false,
                expired: false,
                active,
                username,
            }
            .into()
        };
        let all = vec![name("old", false), name("creators", true)];
        assert_eq!(username(None, Some(&all)).as_deref(), Some("creators"));
        assert_eq!(
            username(Some(&"plain".to_owned()), Some(&all)).as_deref(),
            Some("plain")
        );
        assert_eq!(username(None, None), None);
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
