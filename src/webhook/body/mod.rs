//! The bodies of deliveries: from a neutral event to the bytes that are signed and sent.
//!
//! Pure and deterministic: the same event, place in the journal and session give the same bytes.
//! A body is made once, when the delivery becomes a task, and stored with it; so what a session's
//! metadata become later changes nothing about deliveries that are under way.

mod agent;
mod bot_api;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::endpoint::Shape;
use crate::base::SessionId;
use crate::model::{Event, Own};

/// What bodies tell of a session besides its id.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SessionContext {
    /// The public id of an agent session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<Uuid>,
    /// The agent, if it is an agent's session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<i64>,
    /// The caller's own words about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<serde_json::Value>,
}

/// Where what bodies tell of a session is looked up; none for a session that is not known.
pub type SessionLookup = Arc<dyn Fn(SessionId) -> Option<SessionContext> + Send + Sync>;

/// The body of an event; none if the shape has no words for it.
pub fn render(shape: Shape, event: &Event, seq: u64, context: &SessionContext) -> Option<Vec<u8>> {
    match shape {
        Shape::Trunkline => Some(to_bytes(&Own::of(event, context.metadata.as_ref()))),
        Shape::Agent => agent::render(event, context),
        Shape::BotApi => bot_api::render(event, seq),
    }
}

/// The bytes of a value that is made of strings, numbers, lists and string-keyed maps.
fn to_bytes(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain data with string keys serialises")
}

#[cfg(test)]
pub(crate) mod samples {
    //! Events that the tests of the shapes share.

    use crate::base::{EventId, Owner, SessionId, Timestamp};
    use crate::model::*;

    pub fn session() -> SessionId {
        SessionId::from_bytes([1; 16])
    }

    pub fn event(body: EventBody) -> Event {
        Event {
            id: EventId::from_bytes([2; 16]),
            at: Timestamp(1_766_226_600_250),
            session: Some(session()),
            owner: Owner::admin(),
            body,
        }
    }

    pub fn text() -> Message {
        Message {
            chat: ChatId::user(9),
            id: 1,
            sender: Some(Sender {
                id: 9,
                first_name: Some("Sara".to_owned()),
                last_name: None,
                username: Some("sara".to_owned()),
                bot: false,
            }),
            date: Timestamp::from_secs(1_766_226_600),
            edit_date: None,
            out: false,
            post: false,
            silent: false,
            service: false,
            protected: false,
            text: "سلام 👋".to_owned(),
            entities: vec![Entity {
                offset: 0,
                length: 4,
                kind: EntityKind::Bold,
            }],
            media: None,
            album: None,
            reply_to: None,
            forwarded: None,
            thread: None,
            author: None,
            action: None,
        }
    }

    pub fn photo() -> Message {
        Message {
            chat: ChatId::channel(77),
            sender: None,
            post: true,
            media: Some(Media {
                kind: MediaKind::Photo,
                file: Some(FileRef {
                    id: 5,
                    access_hash: -6,
                    reference: vec![1, 2, 3],
                    dc: 2,
                    size: 1000,
                    mime: Some("image/jpeg".to_owned()),
                    name: None,
                    duration: None,
                    width: Some(640),
                    height: Some(480),
                }),
                spoiler: true,
            }),
            album: Some(123),
            reply_to: Some(ReplyTo {
                message: 3,
                chat: None,
                quote: None,
            }),
            forwarded: Some(Forwarded {
                from: Some(ChatId::channel(88)),
                name: None,
                message: Some(4),
                date: Timestamp::from_secs(1_766_000_000),
            }),
            ..text()
        }
    }

    pub fn json(bytes: &[u8]) -> serde_json::Value {
        serde_json::from_slice(bytes).expect("JSON")
    }
}
