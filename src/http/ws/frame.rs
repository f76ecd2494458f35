//! The frames that are told over a WebSocket: from an event, or from how a session is, to a JSON text. Pure.
//!
//! Every frame has `type`, `cursor` and `session`. What is the same for all listeners is made once and shared; only the
//! text of an error depends on who listens.

use serde::Serialize;
use serde_json::Value;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::cursor::Cursor;
use crate::base::{Code, SessionId, Timestamp};
use crate::http::texts::{Language, text};
use crate::model::{Event, EventBody, EventKind, Own, SessionState};
use crate::telegram::ConnectionView;

/// What a frame is, for those who want only some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// `status`.
    Status,
    /// `error`.
    Error,
    /// `session_rotation`.
    Rotation,
    /// An event in the daemon's own form.
    Own(EventKind),
}

impl What {
    /// How it is counted: all events together, lest every type have a series.
    pub fn label(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Error => "error",
            Self::Rotation => "session_rotation",
            Self::Own(_) => "event",
        }
    }
}

/// A frame that is made of an event.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Where it stands.
    pub cursor: Cursor,
    /// What it is.
    pub what: What,
    /// What it says.
    pub says: Says,
}

/// What a frame says.
#[derive(Clone, Debug)]
pub enum Says {
    /// This, to everybody.
    Text(Utf8Bytes),
    /// That something is wrong with a session, in the language of the one who listens.
    Trouble(Code, Option<SessionId>),
}

#[derive(Serialize)]
struct Status {
    #[serde(rename = "type")]
    kind: &'static str,
    connected: bool,
    #[serde(rename = "lastChecked")]
    last_checked: Option<Timestamp>,
    cursor: String,
    session: Option<SessionId>,
}

#[derive(Serialize)]
struct Error<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    message: &'a str,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    gone: Option<Gone>,
    cursor: String,
    session: Option<SessionId>,
}

/// Events that are not kept any more: from the one to the other, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Gone {
    /// The first.
    pub from: u64,
    /// The last.
    pub to: u64,
}

#[derive(Serialize)]
struct Rotation<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    status: &'a str,
    error: Option<&'a str>,
    cursor: String,
    session: Option<SessionId>,
}

#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    own: Own<'a>,
    cursor: String,
}

#[derive(Serialize)]
struct Pool<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    connections: &'a [PoolConnection],
    cursor: String,
    session: SessionId,
}

/// A connection, as `pool_status` and the route of the pool tell it.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct PoolConnection {
    /// Its id.
    pub id: String,
    /// `active`, `idle` or `error`.
    pub status: ConnectionState,
    /// How it works.
    pub metrics: PoolMetrics,
}

/// Whether a connection is of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ConnectionState {
    /// It was used of late.
    Active,
    /// It rests, and answers.
    Idle,
    /// It does not answer.
    Error,
}

/// How a connection works.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct PoolMetrics {
    /// The round trip of the last ping, in milliseconds; null before the first.
    pub latency: Option<u64>,
    /// Calls that failed on it, and connections that were lost before it.
    pub errors: u64,
    /// When it was used last.
    #[serde(rename = "lastUsed")]
    pub last_used: Option<Timestamp>,
}

/// A connection that was used within this time is active.
const ACTIVE: std::time::Duration = std::time::Duration::from_secs(30);

impl PoolConnection {
    /// A connection as it is told.
    pub fn of(connection: &ConnectionView, now: Timestamp) -> Self {
        let of_late = connection.last_used.is_some_and(|used| now.since(used) < ACTIVE);
        Self {
            id: connection.id.clone(),
            status: match (connection.up, of_late) {
                (false, _) => ConnectionState::Error,
                (true, true) => ConnectionState::Active,
                (true, false) => ConnectionState::Idle,
            },
            metrics: PoolMetrics {
                latency: connection
                    .latency
                    .map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX)),
                errors: connection.errors,
                last_used: connection.last_used,
            },
        }
    }
}

/// Where the frames of one event stand among each other; the event itself is the last.
const STATUS: u8 = 1;
const ERROR: u8 = 2;
const ROTATION: u8 = 3;

/// The frames of an event, in their order. `proof` is the last proof of life of its session, as it is known now.
pub fn frames(seq: u64, event: &Event, metadata: Option<&Value>, proof: Option<Timestamp>) -> Vec<Frame> {
    let mut frames = Vec::with_capacity(1);
    let mut add = |what, cursor, says| frames.push(Frame { cursor, what, says });
    let session = event.session;
    if let EventBody::SessionState { to, .. } = &event.body {
        let cursor = Cursor::within(seq, STATUS);
        let checked = checked(*to, event.at, proof);
        add(
            What::Status,
            cursor,
            Says::Text(status(to.is_connected(), checked, session, cursor)),
        );
    }
    if let Some(code) = trouble(&event.body) {
        add(
            What::Error,
            Cursor::within(seq, ERROR),
            Says::Trouble(code, session),
        );
    }
    if let EventBody::SessionRotation { status, error, .. } = &event.body {
        let cursor = Cursor::within(seq, ROTATION);
        let frame = Rotation {
            kind: "session_rotation",
            status,
            error: error.as_deref(),
            cursor: cursor.to_string(),
            session,
        };
        add(What::Rotation, cursor, Says::Text(spoken(&frame)));
    }
    let cursor = Cursor::after(seq);
    let told = Told {
        own: Own::of(event, metadata),
        cursor: cursor.to_string(),
    };
    add(What::Own(event.body.kind()), cursor, Says::Text(spoken(&told)));
    frames
}

/// The last proof of life at the time of a change: a session that came back has just given one; what is known now is
/// of no use for a change that lies before it.
fn checked(to: SessionState, at: Timestamp, proof: Option<Timestamp>) -> Option<Timestamp> {
    match proof.filter(|proof| *proof <= at) {
        None if to.is_connected() => Some(at),
        known => known,
    }
}

/// The code of an event that is bad news of a session.
fn trouble(body: &EventBody) -> Option<Code> {
    match body {
        EventBody::SessionExpired { .. } => Some(Code::SessionExpired),
        EventBody::SessionLost { .. } => Some(Code::SessionUnavailable),
        EventBody::SessionState {
            to: SessionState::Restricted,
            ..
        } => Some(Code::PeerFlood),
        EventBody::SessionState {
            to: SessionState::Frozen,
            ..
        } => Some(Code::AccountFrozen),
        EventBody::SessionState {
            to: SessionState::Quarantined,
            ..
        } => Some(Code::SessionUnavailable),
        _ => None,
    }
}

/// A `status` frame.
pub fn status(
    connected: bool,
    last_checked: Option<Timestamp>,
    session: Option<SessionId>,
    cursor: Cursor,
) -> Utf8Bytes {
    spoken(&Status {
        kind: "status",
        connected,
        last_checked,
        cursor: cursor.to_string(),
        session,
    })
}

/// An `error` frame; one about events that are gone says which.
pub fn error(
    code: Code,
    language: Language,
    gone: Option<Gone>,
    session: Option<SessionId>,
    cursor: Cursor,
) -> Utf8Bytes {
    spoken(&Error {
        kind: "error",
        message: text(code, language),
        code: code.as_str(),
        gone,
        cursor: cursor.to_string(),
        session,
    })
}

/// A `pool_status` frame.
pub fn pool(connections: &[PoolConnection], session: SessionId, cursor: Cursor) -> Utf8Bytes {
    spoken(&Pool {
        kind: "pool_status",
        connections,
        cursor: cursor.to_string(),
        session,
    })
}

fn spoken(frame: &impl Serialize) -> Utf8Bytes {
    serde_json::to_string(frame)
        .expect("plain data with string keys serialises")
        .into()
}

/// How the frames are described in the document.
pub fn describe() -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "description": "Not a body: each text frame of the WebSocket is an object like this. `type` is `status`, `error`, \
            `pool_status`, `session_rotation` or an event type; see docs/websocket.md.",
        "required": ["type", "cursor", "session"],
        "properties": {
            "type": {"type": "string"},
            "cursor": {"type": "string", "description": "Where the stream stands after this frame; for `since`."},
            "session": {"type": ["string", "null"]},
        },
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::webhook::body::samples;

    fn spoken_of(body: EventBody, proof: Option<Timestamp>) -> Vec<Value> {
        let event = samples::event(body);
        frames(7, &event, None, proof)
            .into_iter()
            .map(|frame| {
                let text = match frame.says {
                    Says::Text(text) => text,
                    Says::Trouble(code, session) => error(code, Language::En, None, session, frame.cursor),
                };
                samples::json(text.as_bytes())
            })
            .collect()
    }

    fn changed(to: SessionState) -> EventBody {
        EventBody::SessionState {
            from: SessionState::Connecting,
            to,
            reason: None,
        }
    }

    #[test]
    fn frames_are_to_the_letter() {
        let session = samples::session();
        let told = spoken_of(changed(SessionState::CatchingUp), None);
        let at = json!("2025-12-20T10:30:00.250Z");
        assert_eq!(
            told[0],
            json!({"type": "status", "connected": true, "lastChecked": at, "cursor": "7.1", "session": session})
        );
        assert_eq!(
            (&told[1]["type"], &told[1]["cursor"]),
            (&json!("session.state"), &json!("7"))
        );
        assert_eq!(told[1]["data"]["to"], "catching_up");

        let failed = EventBody::SessionRotation {
            rotation: "rot_1".to_owned(),
            status: "failed".to_owned(),
            error: Some("STEP".to_owned()),
        };
        assert_eq!(
            spoken_of(failed, None)[0],
            json!({"type": "session_rotation", "status": "failed", "error": "STEP", "cursor": "7.3", "session": session})
        );

        let restricted = spoken_of(changed(SessionState::Restricted), None);
        assert_eq!(
            restricted[1],
            json!({"type": "error", "message": text(Code::PeerFlood, Language::En), "code": "PEER_FLOOD",
                "cursor": "7.2", "session": session})
        );
        assert_eq!(restricted.len(), 3);

        let connection = ConnectionView {
            id: "c1".to_owned(),
            up: true,
            latency: Some(Duration::from_millis(12)),
            errors: 2,
            last_used: Some(Timestamp(1_766_226_600_250)),
        };
        let connection = PoolConnection::of(&connection, Timestamp(1_766_226_601_000));
        let frame = pool(std::slice::from_ref(&connection), session, Cursor::after(7));
        assert_eq!(
            samples::json(frame.as_bytes()),
            json!({"type": "pool_status", "connections": [{"id": "c1", "status": "active",
                "metrics": {"latency": 12, "errors": 2, "lastUsed": at}}], "cursor": "7", "session": session})
        );
    }

    #[test]
    fn a_message_is_told_as_webhooks_tell_it() {
        let event = samples::event(EventBody::MessageNew(samples::text()));
        let metadata = json!({"crm": 4});
        let Says::Text(text) = &frames(7, &event, Some(&metadata), None)[0].says else {
            panic!("a text");
        };
        let mut frame = samples::json(text.as_bytes());
        let cursor = frame.as_object_mut().expect("an object").remove("cursor");
        assert_eq!(cursor, Some(json!("7")));
        let own = serde_json::to_value(Own::of(&event, Some(&metadata))).expect("plain data");
        assert_eq!(frame, own);
    }

    #[test]
    fn a_proof_of_life_is_never_later_than_what_it_proves() {
        let at = Timestamp(1_766_226_600_250);
        let later = Some(at.plus(Duration::from_secs(1)));
        let before = Some(at.minus(Duration::from_secs(9)));
        assert_eq!(checked(SessionState::Connected, at, later), Some(at));
        assert_eq!(checked(SessionState::TransientDisconnect, at, later), None);
        assert_eq!(checked(SessionState::TransientDisconnect, at, before), before);
        assert_eq!(checked(SessionState::Connected, at, before), before);
    }

    #[test]
    fn a_connection_is_active_idle_or_of_no_use() {
        let now = Timestamp(1_000_000);
        let told = |up, last_used| {
            let view = ConnectionView {
                up,
                last_used,
                ..ConnectionView::default()
            };
            PoolConnection::of(&view, now).status
        };
        let long_ago = Some(Timestamp(1_000));
        assert_eq!(told(true, Some(now)), ConnectionState::Active);
        assert_eq!(told(true, long_ago), ConnectionState::Idle);
        assert_eq!(told(true, None), ConnectionState::Idle);
        assert_eq!(told(false, Some(now)), ConnectionState::Error);
    }
}
