//! The form that an agent-session backend reads.

use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::{SessionContext, to_bytes};
use crate::base::Timestamp;
use crate::model::{ChatId, Event, EventBody, MediaView, Message, MessageId, SessionState};

#[derive(Serialize)]
struct Body<'a> {
    event: &'static str,
    session_id: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Box<MessageView<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a Value>,
}

#[derive(Serialize)]
struct MessageView<'a> {
    id: MessageId,
    from: Option<FromView<'a>>,
    chat: ChatView,
    text: &'a str,
    date: String,
    reply_to_message_id: Option<MessageId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    media: Option<MediaView<'a>>,
}

#[derive(Serialize)]
struct FromView<'a> {
    id: i64,
    first_name: Option<&'a str>,
    last_name: Option<&'a str>,
    username: Option<&'a str>,
    /// Part of the form; Telegram tells it of contacts only, and the neutral record has none.
    phone: Option<&'a str>,
}

#[derive(Serialize)]
struct ChatView {
    id: ChatId,
    #[serde(rename = "type")]
    kind: &'static str,
}

/// The body of an event; none for what the backend has no word for, and for a session that is
/// no agent's.
pub(super) fn render(event: &Event, context: &SessionContext) -> Option<Vec<u8>> {
    let session_id = context.uuid?;
    let (name, message, reason) = match &event.body {
        EventBody::MessageNew(message) => ("new_message", Some(message), None),
        EventBody::MessageEdited(message) => ("message_edited", Some(message), None),
        EventBody::SessionExpired { reason } => ("session_expired", None, Some(reason.as_str())),
        EventBody::SessionLost { reason } => ("connection_lost", None, Some(reason.as_str())),
        EventBody::SessionRestored => ("connection_restored", None, Some("reconnected")),
        EventBody::SessionState {
            to: SessionState::Restricted | SessionState::Frozen,
            reason,
            ..
        } => (
            "session_error",
            None,
            Some(reason.as_deref().unwrap_or("restricted")),
        ),
        _ => return None,
    };
    Some(to_bytes(&Body {
        event: name,
        session_id,
        message: message.map(|message| Box::new(view(message))),
        reason,
        metadata: context.metadata.as_ref(),
    }))
}

fn view(message: &Message) -> MessageView<'_> {
    MessageView {
        id: message.id,
        from: message.sender.as_ref().map(|sender| FromView {
            id: sender.id,
            first_name: sender.first_name.as_deref(),
            last_name: sender.last_name.as_deref(),
            username: sender.username.as_deref(),
            phone: None,
        }),
        chat: ChatView {
            id: message.chat,
            kind: chat_kind(message),
        },
        text: &message.text,
        date: to_the_second(message.date),
        reply_to_message_id: (message.reply_to.as_ref()).and_then(|reply| reply.within(message.chat)),
        media: MediaView::of(message),
    }
}

/// What a message's chat is, as the Bot API calls it.
pub(super) fn chat_kind(message: &Message) -> &'static str {
    match message.chat {
        chat if chat.is_user() => "private",
        chat if chat.is_channel() && message.post => "channel",
        chat if chat.is_channel() => "supergroup",
        _ => "group",
    }
}

/// A time without its fraction, as this form has it.
fn to_the_second(time: Timestamp) -> String {
    match jiff::Timestamp::from_second(time.as_secs()) {
        Ok(time) => time.to_string(),
        Err(_) => time.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::samples;
    use super::*;

    fn context() -> SessionContext {
        SessionContext {
            uuid: Some(Uuid::nil()),
            agent_id: Some(123),
            metadata: None,
        }
    }

    #[test]
    fn a_message_has_the_agreed_form() {
        let event = samples::event(EventBody::MessageNew(samples::text()));
        let body = render(&event, &context()).expect("a body");
        assert_eq!(
            samples::json(&body),
            json!({
                "event": "new_message",
                "session_id": "00000000-0000-0000-0000-000000000000",
                "message": {
                    "id": 1,
                    "from": {"id": 9, "first_name": "Sara", "last_name": null, "username": "sara", "phone": null},
                    "chat": {"id": 9, "type": "private"},
                    "text": "سلام 👋",
                    "date": "2025-12-20T10:30:00Z",
                    "reply_to_message_id": null,
                }
            })
        );
    }

    #[test]
    fn session_events_carry_a_reason_and_the_metadata() {
        let event = samples::event(EventBody::SessionLost {
            reason: "network".to_owned(),
        });
        let context = SessionContext {
            metadata: Some(json!({"team": "a"})),
            ..context()
        };
        let body = samples::json(&render(&event, &context).expect("a body"));
        assert_eq!(body["event"], "connection_lost");
        assert_eq!(body["reason"], "network");
        assert_eq!(body["metadata"], json!({"team": "a"}));
        assert!(body.get("message").is_none());
    }

    #[test]
    fn what_the_backend_does_not_know_is_not_told() {
        let sent = samples::event(EventBody::MessageSent(samples::text()));
        assert_eq!(render(&sent, &context()), None);
        let new = samples::event(EventBody::MessageNew(samples::text()));
        assert_eq!(render(&new, &SessionContext::default()), None);
    }

    #[test]
    fn media_and_replies_are_told() {
        let event = samples::event(EventBody::MessageEdited(samples::photo()));
        let body = samples::json(&render(&event, &context()).expect("a body"));
        assert_eq!(body["event"], "message_edited");
        assert_eq!(body["message"]["chat"]["type"], "channel");
        assert_eq!(body["message"]["reply_to_message_id"], 3);
        assert_eq!(body["message"]["media"]["kind"], "photo");
        assert_eq!(body["message"]["media"]["mime"], "image/jpeg");
        assert!(body["message"]["media"]["file_id"].is_string());
    }

    #[test]
    fn an_answer_to_another_chat_names_no_message_of_this_one() {
        let mut message = samples::photo();
        let reply = message.reply_to.as_mut().expect("an answer");
        reply.chat = Some(ChatId::channel(5));
        let event = samples::event(EventBody::MessageNew(message));
        let body = samples::json(&render(&event, &context()).expect("a body"));
        assert!(body["message"]["reply_to_message_id"].is_null());
    }
}
