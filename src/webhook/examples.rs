//! Examples of events, for those who build a receiver.

use super::body::SessionContext;
use crate::base::{EventId, Owner, SessionId, Timestamp};
use crate::model::{ChatId, Entity, EntityKind, Event, EventBody, EventKind, Message, Sender, SessionState};

/// An example of an event type, and of what is known of its session; none if there is no such type.
/// Its session exists nowhere.
pub(super) fn event(kind: &str, now: Timestamp) -> Option<(Event, SessionContext)> {
    let body = body(EventKind::parse(kind)?, now);
    let event = Event {
        id: EventId::generate(),
        at: now,
        session: Some(SessionId::from_bytes([0; 16])),
        owner: Owner::admin(),
        body,
    };
    let context = SessionContext {
        uuid: Some(uuid::Uuid::nil()),
        agent_id: Some(0),
        metadata: None,
    };
    Some((event, context))
}

fn body(kind: EventKind, now: Timestamp) -> EventBody {
    let reason = || "example".to_owned();
    let delivery = |outcome: &str| EventBody::Delivery {
        outcome: outcome.to_owned(),
        delivery: "dlv_00000000000000000000000000".to_owned(),
        endpoint: "ep_00000000000000000000000000".to_owned(),
    };
    let incident = |resolved| EventBody::Incident {
        incident: "inc_00000000000000000000000000".to_owned(),
        resolved,
        kind: reason(),
        subject: "ses_00000000000000000000000000".to_owned(),
    };
    match kind {
        EventKind::MessageNew => EventBody::MessageNew(message(now)),
        EventKind::MessageSent => EventBody::MessageSent(Message {
            out: true,
            ..message(now)
        }),
        EventKind::MessageEdited => EventBody::MessageEdited(Message {
            edit_date: Some(now),
            ..message(now)
        }),
        EventKind::MessageDeleted => EventBody::MessageDeleted {
            chat: Some(ChatId::user(1)),
            ids: vec![1],
        },
        EventKind::ChatMigrated => EventBody::ChatMigrated {
            from: ChatId::group(1),
            to: ChatId::channel(1),
        },
        EventKind::ChatLost => EventBody::ChatLost {
            chat: ChatId::channel(1),
            reason: reason(),
        },
        EventKind::SessionState => EventBody::SessionState {
            from: SessionState::Connected,
            to: SessionState::Restricted,
            reason: Some(reason()),
        },
        EventKind::SessionExpired => EventBody::SessionExpired { reason: reason() },
        EventKind::SessionLost => EventBody::SessionLost { reason: reason() },
        EventKind::SessionRestored => EventBody::SessionRestored,
        EventKind::SessionGap => EventBody::SessionGap {
            chat: ChatId::channel(1),
            reason: reason(),
        },
        EventKind::SessionBudget => EventBody::SessionBudget {
            budget: "account".to_owned(),
            chat: None,
            window: "day".to_owned(),
            used: 16_000,
            cap: 20_000,
        },
        EventKind::SessionLogin => EventBody::SessionLogin {
            step: "complete".to_owned(),
        },
        EventKind::SessionRotation => EventBody::SessionRotation {
            rotation: "rot_00000000000000000000000000".to_owned(),
            status: "completed".to_owned(),
            error: None,
        },
        EventKind::PairState => EventBody::PairState {
            pair: "pair_00000000000000000000000000".to_owned(),
            state: "paused".to_owned(),
            reason: Some(reason()),
        },
        EventKind::DeliveryFailing => delivery("failing"),
        EventKind::DeliveryExhausted => delivery("exhausted"),
        EventKind::DeliveryRecovered => delivery("recovered"),
        EventKind::EndpointDisabled => EventBody::EndpointDisabled {
            endpoint: "ep_00000000000000000000000000".to_owned(),
            reason: reason(),
        },
        EventKind::IncidentOpened => incident(false),
        EventKind::IncidentResolved => incident(true),
    }
}

fn message(now: Timestamp) -> Message {
    Message {
        chat: ChatId::user(1),
        id: 1,
        sender: Some(Sender {
            id: 1,
            first_name: Some("Example".to_owned()),
            last_name: None,
            username: None,
            bot: false,
        }),
        date: Timestamp::from_secs(now.as_secs()),
        edit_date: None,
        out: false,
        post: false,
        silent: false,
        service: false,
        protected: false,
        text: "This is an example.".to_owned(),
        entities: vec![Entity {
            offset: 11,
            length: 7,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_an_example_of_itself() {
        for (kind, name) in EventKind::TABLE {
            let (event, _) = event(name, Timestamp::now()).expect(name);
            assert_eq!(event.body.kind(), *kind);
        }
        assert_eq!(event("no.such", Timestamp(0)), None);
    }
}
