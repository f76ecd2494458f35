//! Sending a file for a backend that connects its agents' accounts. It comes as base64 within JSON, so large as a body
//! may be, or as it is within a form, so large as an upload may be.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::messages::{Text, send};
use crate::access::Scope;
use crate::base::Timestamp;
use crate::http::answer::Json;
use crate::http::binding::Binding;
use crate::http::call::Call;
use crate::http::failure::Failure;
use crate::http::route::{Route, route};
use crate::model::{ChatId, MediaKind, MessageId};
use crate::telegram::{Content, Upload};

/// How long sending a file may take, of which most is the upload to Telegram.
const UPLOAD: Duration = Duration::from_secs(600);

/// How long a file's name may be.
const LONGEST_NAME: usize = 255;

pub(crate) fn routes() -> Vec<Route> {
    let send = route(
        "agent sessions",
        Method::POST,
        "/api/telegram/send-media",
        "Send a photo, a video or another file",
    );
    let send = send.scope(Scope::Send).of(Binding::Body).within(UPLOAD);
    vec![send.or_form().takes(send_media)]
}

/// A file to be sent.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AgentMedia {
    #[expect(dead_code, reason = "dispatch has looked it up")]
    session_id: String,
    chat_id: ChatId,
    kind: Kind,
    /// Its bytes in base64; in a form, the file itself.
    file: Option<String>,
    /// Its name; the form's, or one that fits the kind, if nothing is said.
    file_name: Option<String>,
    /// Its content type; the form's, or the usual one of the kind, if nothing is said.
    mime: Option<String>,
    /// A text beneath it.
    #[serde(default)]
    caption: String,
    reply_to: Option<MessageId>,
}

/// What the file is to be.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Photo,
    Video,
    Audio,
    Voice,
    Document,
}

impl Kind {
    /// What that is to Telegram, with its usual name and content type.
    fn usual(self) -> (MediaKind, &'static str, &'static str) {
        match self {
            Self::Photo => (MediaKind::Photo, "photo.jpg", "image/jpeg"),
            Self::Video => (MediaKind::Video, "video.mp4", "video/mp4"),
            Self::Audio => (MediaKind::Audio, "audio.mp3", "audio/mpeg"),
            Self::Voice => (MediaKind::Voice, "voice.ogg", "audio/ogg"),
            Self::Document => (MediaKind::Document, "file", "application/octet-stream"),
        }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
struct AgentMediaSent {
    success: bool,
    message_id: MessageId,
    sent_at: Timestamp,
}

async fn send_media(mut call: Call, draft: AgentMedia) -> Result<Json<AgentMediaSent>, Failure> {
    let session = call.session()?;
    let wrong = |field: &str, why: &str| Failure::invalid(format!("{field} {why}")).detail("field", field);
    let form = call.file.take();
    let content = match (&draft.file, &form) {
        (Some(text), None) => {
            let bytes = STANDARD.decode(text.trim());
            Content::Memory(bytes.map_err(|_| wrong("file", "is not base64"))?)
        }
        (None, Some(file)) => Content::Spooled(file.spooled.clone()),
        (None, None) => return Err(wrong("file", "is missing")),
        (Some(_), Some(_)) => return Err(wrong("file", "comes twice")),
    };
    if content.is_empty() {
        return Err(wrong("file", "is empty"));
    }
    let (kind, usual_name, usual_mime) = draft.kind.usual();
    let (form_name, form_mime) = form
        .as_ref()
        .map_or((None, None), |file| (file.name.clone(), file.mime.clone()));
    let name = draft
        .file_name
        .or(form_name)
        .unwrap_or_else(|| usual_name.to_owned());
    if name.is_empty() || name.len() > LONGEST_NAME || name.contains(['/', '\0']) {
        return Err(wrong("file_name", "must be the plain name of a file"));
    }
    let text = Text {
        session,
        chat: draft.chat_id,
        file: Some(Upload {
            kind,
            content,
            name,
            mime: draft.mime.or(form_mime).unwrap_or_else(|| usual_mime.to_owned()),
        }),
        text: draft.caption,
        entities: Vec::new(),
        reply_to: draft.reply_to,
        silent: false,
    };
    let sent = send(&call, text).await?;
    Ok(Json(AgentMediaSent {
        success: true,
        message_id: sent.message_id,
        sent_at: sent.sent_at,
    }))
}
