//! The Bot API's `Update` objects, as far as the neutral record knows them.
//!
//! `update_id` is the event's place in the journal: it rises, though not by one. Titles of chats
//! are not in the record and not in the object.

use serde_json::{Map, Value, json};

use super::agent::chat_kind;
use super::to_bytes;
use crate::model::{
    Action, ChatId, Entity, EntityKind, Event, EventBody, FileId, FileRef, Forwarded, MediaKind, Message,
    Sender,
};

/// The body of an event; none for what is no update.
pub(super) fn render(event: &Event, seq: u64) -> Option<Vec<u8>> {
    let (name, object) = match &event.body {
        EventBody::MessageNew(message) | EventBody::MessageSent(message) => (
            if message.post { "channel_post" } else { "message" },
            self::message(message),
        ),
        EventBody::MessageEdited(message) => (
            if message.post {
                "edited_channel_post"
            } else {
                "edited_message"
            },
            self::message(message),
        ),
        EventBody::MessageDeleted { chat, ids } => {
            let mut object = json!({"message_ids": ids});
            if let Some(chat) = chat {
                object["chat"] = json!({"id": chat, "type": bare_kind(*chat)});
            }
            ("deleted_messages", object)
        }
        _ => return None,
    };
    Some(to_bytes(&json!({"update_id": seq, name: object})))
}

/// The `Message` object.
fn message(message: &Message) -> Value {
    let chat = json!({"id": message.chat, "type": chat_kind(message)});
    let mut object = Map::new();
    let mut set = |key: &str, value: Value| {
        object.insert(key.to_owned(), value);
    };
    set("message_id", message.id.into());
    set("date", message.date.as_secs().into());
    match &message.sender {
        Some(sender) if sender.id > 0 => set("from", user(sender)),
        Some(sender) => set("sender_chat", sender_chat(sender)),
        None if message.post => set("sender_chat", chat.clone()),
        None => {}
    }
    if let Some(edited) = message.edit_date {
        set("edit_date", edited.as_secs().into());
    }
    if message.out {
        set("outgoing", true.into());
    }
    if message.protected {
        set("has_protected_content", true.into());
    }
    if let Some(album) = message.album {
        set("media_group_id", album.to_string().into());
    }
    if let Some(forwarded) = &message.forwarded {
        set("forward_origin", origin(forwarded));
    }
    if let Some(answered) = (message.reply_to.as_ref()).and_then(|reply| reply.within(message.chat)) {
        // all that is known of it; date 0 is the Bot API's own mark of a message that is not there
        set(
            "reply_to_message",
            json!({"message_id": answered, "date": 0, "chat": chat}),
        );
    }
    if let Some(thread) = message.thread {
        set("message_thread_id", thread.into());
        set("is_topic_message", true.into());
    }
    if let Some(author) = &message.author {
        set("author_signature", author.as_str().into());
    }
    if let Some(action) = &message.action {
        happened(action, &chat, &mut set);
    }
    set("chat", chat);
    let media = message
        .media
        .as_ref()
        .filter(|media| media.kind != MediaKind::WebPage);
    let entities: Vec<Value> = message.entities.iter().filter_map(entity).collect();
    let (text_key, entities_key) = match media {
        Some(_) => ("caption", "caption_entities"),
        None => ("text", "entities"),
    };
    if !message.text.is_empty() {
        set(text_key, message.text.as_str().into());
        if !entities.is_empty() {
            set(entities_key, entities.into());
        }
    }
    if let Some(media) = media {
        if media.spoiler {
            set("has_media_spoiler", true.into());
        }
        if let (Some(file), Some(key)) = (&media.file, media_key(media.kind)) {
            let described = describe(message, media.kind, file);
            match media.kind {
                MediaKind::Photo => set(key, json!([described])),
                MediaKind::Animation => {
                    set("document", described.clone());
                    set(key, described);
                }
                _ => set(key, described),
            }
        }
    }
    Value::Object(object)
}

/// What happened in the chat, under the Bot API's names; what has none there is left out.
fn happened(action: &Action, chat: &Value, set: &mut impl FnMut(&str, Value)) {
    let bare = |user: &i64| json!({"id": user, "is_bot": false, "first_name": ""});
    match action {
        Action::Created { .. } => set(
            if chat["type"] == "group" {
                "group_chat_created"
            } else if chat["type"] == "channel" {
                "channel_chat_created"
            } else {
                "supergroup_chat_created"
            },
            true.into(),
        ),
        Action::Joined { users } if !users.is_empty() => {
            set("new_chat_members", users.iter().map(bare).collect());
        }
        Action::Left { user } => set("left_chat_member", bare(user)),
        Action::Title { title } => set("new_chat_title", title.as_str().into()),
        Action::PhotoDeleted => set("delete_chat_photo", true.into()),
        Action::Pinned {
            message: Some(message),
        } => set(
            "pinned_message",
            json!({"message_id": message, "date": 0, "chat": chat}),
        ),
        Action::MigratedTo { chat } => set("migrate_to_chat_id", json!(chat)),
        Action::MigratedFrom { chat } => set("migrate_from_chat_id", json!(chat)),
        Action::TopicCreated { title } => {
            set("forum_topic_created", json!({"name": title, "icon_color": 0}));
        }
        Action::TopicEdited {
            closed: Some(true), ..
        } => set("forum_topic_closed", json!({})),
        Action::TopicEdited {
            closed: Some(false), ..
        } => set("forum_topic_reopened", json!({})),
        Action::TopicEdited {
            title: Some(title), ..
        } => {
            set("forum_topic_edited", json!({"name": title}));
        }
        Action::AutoDelete { seconds } => set(
            "message_auto_delete_timer_changed",
            json!({"message_auto_delete_time": seconds}),
        ),
        Action::Joined { .. }
        | Action::Photo
        | Action::Pinned { message: None }
        | Action::TopicEdited { .. }
        | Action::Protected { .. }
        | Action::Other { .. } => {}
    }
}

fn user(sender: &Sender) -> Value {
    let mut user = json!({
        "id": sender.id,
        "is_bot": sender.bot,
        "first_name": sender.first_name.as_deref().unwrap_or_default(),
    });
    if let Some(name) = &sender.last_name {
        user["last_name"] = name.as_str().into();
    }
    if let Some(name) = &sender.username {
        user["username"] = name.as_str().into();
    }
    user
}

fn sender_chat(sender: &Sender) -> Value {
    let mut chat = json!({"id": sender.id, "type": bare_kind(ChatId(sender.id))});
    if let Some(title) = &sender.first_name {
        chat["title"] = title.as_str().into();
    }
    if let Some(name) = &sender.username {
        chat["username"] = name.as_str().into();
    }
    chat
}

/// What a chat is, by its number alone.
fn bare_kind(chat: ChatId) -> &'static str {
    match chat {
        chat if chat.is_user() => "private",
        chat if chat.is_channel() => "channel",
        _ => "group",
    }
}

fn origin(forwarded: &Forwarded) -> Value {
    let date = forwarded.date.as_secs();
    let name = forwarded.name.as_deref().unwrap_or_default();
    match (forwarded.from, forwarded.message) {
        (Some(user), _) if user.is_user() => json!({"type": "user", "date": date,
            "sender_user": {"id": user, "is_bot": false, "first_name": name}}),
        (Some(chat), Some(message)) => json!({"type": "channel", "date": date,
            "chat": {"id": chat, "type": "channel"}, "message_id": message}),
        (Some(chat), None) => json!({"type": "chat", "date": date,
            "sender_chat": {"id": chat, "type": bare_kind(chat)}}),
        (None, _) => json!({"type": "hidden_user", "date": date, "sender_user_name": name}),
    }
}

/// The `MessageEntity` object; none for what the Bot API does not know.
fn entity(entity: &Entity) -> Option<Value> {
    let simple = |kind: &str| json!({"type": kind, "offset": entity.offset, "length": entity.length});
    match &entity.kind {
        EntityKind::Unknown | EntityKind::BankCard => None,
        EntityKind::TextMention { user } => {
            let mut object = simple("text_mention");
            object["user"] = json!({"id": user, "is_bot": false, "first_name": ""});
            Some(object)
        }
        EntityKind::Pre { language: None } => Some(simple("pre")),
        _ => serde_json::to_value(entity).ok(),
    }
}

/// The field that a medium with a file stands in.
fn media_key(kind: MediaKind) -> Option<&'static str> {
    Some(match kind {
        MediaKind::Photo => "photo",
        MediaKind::Video => "video",
        MediaKind::Audio => "audio",
        MediaKind::Voice => "voice",
        MediaKind::VideoNote => "video_note",
        MediaKind::Animation => "animation",
        MediaKind::Sticker => "sticker",
        MediaKind::Document => "document",
        _ => return None,
    })
}

/// The object of a file, with the fields that its kind requires.
fn describe(message: &Message, kind: MediaKind, file: &FileRef) -> Value {
    use MediaKind::{Animation, Audio, Photo, Sticker, Video, VideoNote, Voice};
    let id = FileId::of(message, kind, file);
    let mut object = json!({
        "file_id": id.to_string(),
        "file_unique_id": id.unique(),
        "file_size": file.size,
    });
    let (width, height) = (file.width.unwrap_or(0), file.height.unwrap_or(0));
    match kind {
        Photo | Video | Animation | Sticker => {
            object["width"] = width.into();
            object["height"] = height.into();
        }
        VideoNote => object["length"] = width.max(height).into(),
        _ => {}
    }
    if matches!(kind, Video | Animation | Audio | Voice | VideoNote) {
        object["duration"] = file.duration.unwrap_or(0).into();
    }
    if kind == Sticker {
        let mime = file.mime.as_deref();
        object["type"] = "regular".into();
        object["is_animated"] = (mime == Some("application/x-tgsticker")).into();
        object["is_video"] = (mime == Some("video/webm")).into();
    }
    let typed = !matches!(kind, Photo | Sticker | VideoNote);
    if let Some(mime) = file.mime.as_deref().filter(|_| typed) {
        object["mime_type"] = mime.into();
    }
    if let Some(name) = file.name.as_deref().filter(|_| typed && kind != Voice) {
        object["file_name"] = name.into();
    }
    object
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    fn update(body: EventBody) -> Value {
        samples::json(&render(&samples::event(body), 41).expect("an update"))
    }

    #[test]
    fn a_private_message_is_a_message() {
        assert_eq!(
            update(EventBody::MessageNew(samples::text())),
            json!({"update_id": 41, "message": {
                "message_id": 1,
                "date": 1_766_226_600,
                "from": {"id": 9, "is_bot": false, "first_name": "Sara", "username": "sara"},
                "chat": {"id": 9, "type": "private"},
                "text": "سلام 👋",
                "entities": [{"type": "bold", "offset": 0, "length": 4}],
            }})
        );
    }

    #[test]
    fn a_post_with_a_photo_is_a_channel_post() {
        let update = update(EventBody::MessageEdited(samples::photo()));
        let post = &update["edited_channel_post"];
        assert_eq!(post["chat"]["type"], "channel");
        assert_eq!(post["sender_chat"], post["chat"]);
        assert_eq!(post["caption"], "سلام 👋");
        assert_eq!(post["caption_entities"][0]["type"], "bold");
        assert_eq!(post["photo"][0]["width"], 640);
        assert_eq!(post["has_media_spoiler"], true);
        assert_eq!(post["media_group_id"], "123");
        assert_eq!(post["forward_origin"]["type"], "channel");
        assert_eq!(post["forward_origin"]["message_id"], 4);
        assert_eq!(post["reply_to_message"]["message_id"], 3);
        assert!(post.get("text").is_none() && post.get("from").is_none());
    }

    #[test]
    fn own_messages_are_marked_and_deletions_told() {
        let message = Message {
            out: true,
            ..samples::text()
        };
        assert_eq!(
            update(EventBody::MessageSent(message))["message"]["outgoing"],
            true
        );
        let deleted = update(EventBody::MessageDeleted {
            chat: Some(ChatId::channel(7)),
            ids: vec![1, 2],
        });
        assert_eq!(
            deleted["deleted_messages"],
            json!({"chat": {"id": -1_000_000_000_007_i64, "type": "channel"}, "message_ids": [1, 2]})
        );
    }

    #[test]
    fn what_is_no_update_is_none() {
        assert_eq!(render(&samples::event(EventBody::SessionRestored), 1), None);
    }

    #[test]
    fn entities_keep_the_bot_apis_names() {
        let named = |kind| {
            entity(&Entity {
                offset: 1,
                length: 2,
                kind,
            })
            .map(|object| object["type"].clone())
        };
        assert_eq!(
            named(EntityKind::ExpandableBlockquote),
            Some("expandable_blockquote".into())
        );
        assert_eq!(named(EntityKind::Pre { language: None }), Some("pre".into()));
        assert_eq!(
            named(EntityKind::TextMention { user: 4 }),
            Some("text_mention".into())
        );
        assert_eq!(named(EntityKind::Unknown), None);
    }

    #[test]
    fn each_kind_of_file_has_the_fields_it_requires() {
        for (kind, key, fields) in [
            (MediaKind::Video, "video", &["width", "height", "duration"][..]),
            (MediaKind::Voice, "voice", &["duration", "mime_type"]),
            (MediaKind::VideoNote, "video_note", &["length", "duration"]),
            (
                MediaKind::Sticker,
                "sticker",
                &["width", "height", "type", "is_animated", "is_video"],
            ),
            (MediaKind::Document, "document", &["mime_type"]),
            (MediaKind::Audio, "audio", &["duration"]),
            (MediaKind::Animation, "animation", &["width", "duration"]),
        ] {
            let mut message = samples::photo();
            message.media.as_mut().expect("media").kind = kind;
            let update = update(EventBody::MessageNew(message));
            let object = &update["channel_post"][key];
            for field in ["file_id", "file_unique_id"].iter().chain(fields) {
                assert!(!object[*field].is_null(), "{key}.{field}");
            }
        }
    }
}
