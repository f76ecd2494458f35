//! The daemon's own form of an event, as webhooks of the shape `trunkline` and the WebSocket tell it.
//!
//! Pure and deterministic. It holds nothing that gives access: no access hash outside a file's opaque id, no file
//! reference, no secret.

use serde::Serialize;
use serde_json::{Value, json};

use super::file_id::FileId;
use super::{Action, ChatId, Entity, Event, EventBody, MediaKind, Message, MessageId};
use crate::base::{EventId, SessionId, Timestamp};

/// An event in the daemon's own form; it serialises to the JSON object that is told.
#[derive(Serialize)]
pub struct Own<'a> {
    id: EventId,
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: Timestamp,
    session: Option<SessionId>,
    metadata: Option<&'a Value>,
    data: Data<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Data<'a> {
    Message(Box<MessageView<'a>>),
    Other(Value),
}

#[derive(Serialize)]
struct MessageView<'a> {
    chat: ChatId,
    id: MessageId,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender: Option<SenderView<'a>>,
    date: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    edit_date: Option<Timestamp>,
    out: bool,
    post: bool,
    silent: bool,
    service: bool,
    protected: bool,
    text: &'a str,
    entities: &'a [Entity],
    #[serde(skip_serializing_if = "Option::is_none")]
    media: Option<MediaView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    album: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<ReplyView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    forwarded: Option<ForwardedView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thread: Option<MessageId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    author: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<&'a Action>,
}

#[derive(Serialize)]
struct SenderView<'a> {
    id: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
    bot: bool,
}

#[derive(Serialize)]
struct ReplyView<'a> {
    message: MessageId,
    #[serde(skip_serializing_if = "Option::is_none")]
    chat: Option<ChatId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quote: Option<&'a str>,
}

#[derive(Serialize)]
struct ForwardedView<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<ChatId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<MessageId>,
    date: Timestamp,
}

/// A medium as the daemon's own and the agents' form show it.
#[derive(Serialize)]
pub struct MediaView<'a> {
    kind: MediaKind,
    spoiler: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mime: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<i32>,
}

impl<'a> MediaView<'a> {
    /// The medium of a message, if it carries one.
    pub fn of(message: &'a Message) -> Option<Self> {
        let media = message.media.as_ref()?;
        let file = media.file.as_ref();
        Some(Self {
            kind: media.kind,
            spoiler: media.spoiler,
            file_id: file.map(|file| FileId::of(message, media.kind, file).to_string()),
            size: file.map(|file| file.size),
            mime: file.and_then(|file| file.mime.as_deref()),
            name: file.and_then(|file| file.name.as_deref()),
            duration: file.and_then(|file| file.duration),
            width: file.and_then(|file| file.width),
            height: file.and_then(|file| file.height),
        })
    }
}

impl<'a> Own<'a> {
    /// The own form of an event, with what its session's maker said of it.
    pub fn of(event: &'a Event, metadata: Option<&'a Value>) -> Self {
        Self {
            id: event.id,
            kind: event.body.kind().as_str(),
            timestamp: event.at,
            session: event.session,
            metadata,
            data: data(&event.body),
        }
    }
}

fn data(body: &EventBody) -> Data<'_> {
    Data::Other(match body {
        EventBody::MessageNew(message)
        | EventBody::MessageSent(message)
        | EventBody::MessageEdited(message) => return Data::Message(Box::new(view(message))),
        EventBody::MessageDeleted { chat, ids } => json!({"chat": chat, "ids": ids}),
        EventBody::ChatMigrated { from, to } => json!({"from": from, "to": to}),
        EventBody::ChatLost { chat, reason } => json!({"chat": chat, "reason": reason}),
        EventBody::SessionState { from, to, reason } => json!({"from": from, "to": to, "reason": reason}),
        EventBody::SessionExpired { reason } | EventBody::SessionLost { reason } => json!({"reason": reason}),
        EventBody::SessionRestored => json!({}),
        EventBody::SessionGap { chat, reason } => json!({"chat": chat, "reason": reason}),
        EventBody::SessionBudget {
            budget,
            chat,
            window,
            used,
            cap,
        } => json!({"budget": budget, "chat": chat, "window": window, "used": used, "cap": cap}),
        EventBody::SessionLogin { step } => json!({"step": step}),
        EventBody::SessionRotation {
            rotation,
            status,
            error,
        } => json!({"rotation": rotation, "status": status, "error": error}),
        EventBody::PairState { pair, state, reason } => {
            json!({"pair": pair, "state": state, "reason": reason})
        }
        EventBody::Delivery {
            delivery, endpoint, ..
        } => {
            json!({"delivery": delivery, "endpoint": endpoint})
        }
        EventBody::EndpointDisabled { endpoint, reason } => {
            json!({"endpoint": endpoint, "reason": reason})
        }
        EventBody::Incident {
            incident,
            kind,
            subject,
            ..
        } => {
            json!({"incident": incident, "kind": kind, "subject": subject})
        }
    })
}

fn view(message: &Message) -> MessageView<'_> {
    MessageView {
        chat: message.chat,
        id: message.id,
        sender: message.sender.as_ref().map(|sender| SenderView {
            id: sender.id,
            first_name: sender.first_name.as_deref(),
            last_name: sender.last_name.as_deref(),
            username: sender.username.as_deref(),
            bot: sender.bot,
        }),
        date: message.date,
        edit_date: message.edit_date,
        out: message.out,
        post: message.post,
        silent: message.silent,
        service: message.service,
        protected: message.protected,
        text: &message.text,
        entities: &message.entities,
        media: MediaView::of(message),
        album: message.album.map(|album| album.to_string()),
        reply_to: message.reply_to.as_ref().map(|reply| ReplyView {
            message: reply.message,
            chat: reply.chat,
            quote: reply.quote.as_deref(),
        }),
        forwarded: message.forwarded.as_ref().map(|forwarded| ForwardedView {
            from: forwarded.from,
            name: forwarded.name.as_deref(),
            message: forwarded.message,
            date: forwarded.date,
        }),
        thread: message.thread,
        author: message.author.as_deref(),
        action: message.action.as_ref(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::body::samples;

    fn told(event: &Event, metadata: Option<&Value>) -> String {
        serde_json::to_string(&Own::of(event, metadata)).expect("plain data")
    }

    #[test]
    fn a_message_is_told_with_everything_but_what_gives_access() {
        let metadata = json!({"crm": 4});
        let event = samples::event(EventBody::MessageNew(samples::photo()));
        let body = samples::json(told(&event, Some(&metadata)).as_bytes());
        assert_eq!(body["id"], event.id.to_string());
        assert_eq!(body["type"], "message.new");
        assert_eq!(body["timestamp"], "2025-12-20T10:30:00.250Z");
        assert_eq!(body["session"], samples::session().to_string());
        assert_eq!(body["metadata"], json!({"crm": 4}));
        let data = &body["data"];
        assert_eq!(data["chat"], -1_000_000_000_077_i64);
        assert_eq!(data["text"], "سلام 👋");
        assert_eq!(
            data["entities"][0],
            json!({"offset": 0, "length": 4, "type": "bold"})
        );
        assert_eq!(data["media"]["kind"], "photo");
        assert_eq!(data["media"]["width"], 640);
        assert_eq!(data["album"], "123");
        assert_eq!(data["reply_to"], json!({"message": 3}));
        assert_eq!(data["forwarded"]["message"], 4);
        let text = body.to_string();
        assert!(!text.contains("access_hash") && !text.contains("reference"));
    }

    #[test]
    fn the_same_event_gives_the_same_text() {
        let event = samples::event(EventBody::MessageEdited(samples::text()));
        assert_eq!(told(&event, None), told(&event, None));
        assert!(samples::json(told(&event, None).as_bytes())["metadata"].is_null());
    }
}
