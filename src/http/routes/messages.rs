//! Sending: once for each `Idempotency-Key`, however often it is asked for.

use std::time::Duration;

use hyper::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::access::{Effect, Scope};
use crate::base::{Code, SessionId, Timestamp};
use crate::http::answer::Json;
use crate::http::call::Call;
use crate::http::failure::Failure;
use crate::http::route::{Route, route};
use crate::model::Refusal;
use crate::model::{ChatId, Entity, MessageId};
use crate::telegram::{Outgoing, OutgoingBody, OutgoingMedia, Reach, Telegram, TelegramError, Upload};

/// How long a send may wait for the limiter before it is refused with a time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Telegram drops a repeat for minutes at least; a try after this looks at the chat first.
const TRUST_TELEGRAM: Duration = Duration::from_secs(180);

/// How many of the account's own messages are looked at.
const LOOK_BACK: usize = 50;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        route(
            "messages",
            Method::POST,
            "/api/sessions/{id}/messages",
            "Send a text",
        )
        .scope(Scope::Send)
        .of_session()
        .takes(create),
    ]
}

/// A text to be sent.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TextDraft {
    /// Where to, as the Bot API numbers it.
    chat: ChatId,
    text: String,
    /// Formatting; offsets and lengths in UTF-16 code units.
    #[serde(default)]
    entities: Vec<Entity>,
    /// The message it answers.
    reply_to: Option<MessageId>,
    /// Without a notification.
    #[serde(default)]
    silent: bool,
}

/// A message that Telegram has.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Sent {
    /// Its number in the chat.
    pub message_id: MessageId,
    pub chat: ChatId,
    pub sent_at: Timestamp,
}

/// What is to be sent, whoever asks.
pub(crate) struct Text {
    pub session: SessionId,
    pub chat: ChatId,
    /// A file that the text is the caption of.
    pub file: Option<Upload>,
    pub text: String,
    pub entities: Vec<Entity>,
    pub reply_to: Option<MessageId>,
    pub silent: bool,
}

async fn create(call: Call, draft: TextDraft) -> Result<Json<Sent>, Failure> {
    let text = Text {
        session: call.session()?,
        chat: draft.chat,
        file: None,
        text: draft.text,
        entities: draft.entities,
        reply_to: draft.reply_to,
        silent: draft.silent,
    };
    Ok(Json(send(&call, text).await?))
}

/// Sends a text or a file; for a request that its caller named, once.
pub(crate) async fn send(call: &Call, text: Text) -> Result<Sent, Failure> {
    if text.text.is_empty() && text.file.is_none() {
        return Err(Failure::new(Code::MessageEmpty));
    }
    let telegram = &call.api.telegram;
    Ok(match &call.effect {
        Some(effect) => deliver_once(telegram, &text, effect).await?,
        None => deliver(telegram, &text, i64::from_be_bytes(rand::random()) | 1).await?,
    })
}

/// One try of a named request: a repeat first looks whether the message is there.
async fn deliver_once(telegram: &Telegram, text: &Text, effect: &Effect) -> Result<Sent, TelegramError> {
    let late = Timestamp::now().since(effect.first) > TRUST_TELEGRAM;
    if effect.again
        && late
        && let Some(sent) = find(telegram, text, effect.first).await?
    {
        return Ok(sent);
    }
    match deliver(telegram, text, effect.random_id).await {
        Err(error) if error.class() == Refusal::Duplicate => {
            find(telegram, text, effect.first).await?.ok_or(error)
        }
        result => result,
    }
}

async fn deliver(telegram: &Telegram, text: &Text, random_id: i64) -> Result<Sent, TelegramError> {
    let body = match &text.file {
        None => OutgoingBody::Text {
            text: text.text.clone(),
            entities: text.entities.clone(),
            preview: true,
            random_id,
        },
        // Uploaded again by a repeat; the message it is sent in is the same one.
        Some(file) => OutgoingBody::Media(OutgoingMedia {
            random_id,
            kind: file.kind,
            file: telegram.upload(text.session, file, PATIENCE).await?,
            caption: text.text.clone(),
            entities: text.entities.clone(),
            spoiler: false,
            origin: (text.chat, 0),
        }),
    };
    let outgoing = Outgoing {
        chat: text.chat,
        topic: None,
        reply_to: text.reply_to,
        silent: text.silent,
        body,
    };
    let parts = telegram.send(text.session, &outgoing, PATIENCE).await?;
    let part = parts.first().ok_or(TelegramError::Away)?;
    Ok(Sent {
        message_id: part.id,
        chat: text.chat,
        sent_at: part.date,
    })
}

/// The oldest own message in the chat that says the same and is not older than the first try.
async fn find(telegram: &Telegram, text: &Text, first: Timestamp) -> Result<Option<Sent>, TelegramError> {
    // Telegram's times are whole seconds, and its clock is its own.
    let since = first.minus(Duration::from_secs(5));
    let reach = Reach {
        since,
        most: LOOK_BACK,
        goes_on: None,
    };
    let recent = telegram
        .own_recent(text.session, text.chat, reach, PATIENCE)
        .await?;
    let same = recent
        .into_iter()
        .filter(|message| message.text == text.text && message.media.is_some() == text.file.is_some())
        .filter(|message| message.date >= since);
    Ok(same.min_by_key(|message| message.id).map(|message| Sent {
        message_id: message.id,
        chat: text.chat,
        sent_at: message.date,
    }))
}
