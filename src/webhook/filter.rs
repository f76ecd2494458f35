//! Which endpoint wants which event. Pure.
//!
//! Endpoints never hear of themselves: not that their own deliveries fail, nor that they were
//! disabled. And a delivery that reports on deliveries is not reported on. So no failing endpoint
//! can keep itself, or two each other, busy.

use std::collections::HashSet;

use super::endpoint::Shape;
use crate::base::{EndpointId, SessionId};
use crate::model::{Event, EventBody, EventKind, SessionState};

/// A name that is no event type, or no session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterFault {
    /// No event type of that name in this shape.
    #[error("events: {0:?} is no event type of this shape")]
    Event(String),
    /// Not `*` and not an id.
    #[error("sessions: {0:?} is neither * nor the id of a session")]
    Session(String),
}

/// What an endpoint wants, ready to be asked often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wants {
    shape: Shape,
    kinds: u64,
    /// None for all, also for events of no session.
    sessions: Option<HashSet<SessionId>>,
}

/// The names of the agent shape.
const AGENT_NAMES: &[(&str, EventKind)] = &[
    ("new_message", EventKind::MessageNew),
    ("message_edited", EventKind::MessageEdited),
    ("session_expired", EventKind::SessionExpired),
    ("connection_lost", EventKind::SessionLost),
    ("connection_restored", EventKind::SessionRestored),
    ("session_error", EventKind::SessionState),
];

/// The kinds that the Bot API's shape has.
const BOT_API_KINDS: &[EventKind] = &[
    EventKind::MessageNew,
    EventKind::MessageSent,
    EventKind::MessageEdited,
    EventKind::MessageDeleted,
];

/// The kinds that a shape can say.
pub fn kinds_of(shape: Shape) -> Vec<EventKind> {
    match shape {
        Shape::Trunkline => EventKind::TABLE.iter().map(|(kind, _)| *kind).collect(),
        Shape::Agent => AGENT_NAMES.iter().map(|(_, kind)| *kind).collect(),
        Shape::BotApi => BOT_API_KINDS.to_vec(),
    }
}

/// Whether a delivery of this kind is itself worth events about how it goes.
pub fn is_reported(kind: &str) -> bool {
    !kind.starts_with("delivery.")
}

impl Wants {
    /// Reads the lists of an endpoint.
    pub fn compile(shape: Shape, events: &[String], sessions: &[String]) -> Result<Self, FilterFault> {
        let mut kinds = 0;
        for name in events {
            let named = kinds_named(shape, name);
            if named == 0 {
                return Err(FilterFault::Event(name.clone()));
            }
            kinds |= named;
        }
        if events.is_empty() {
            kinds = kinds_named(shape, "*");
        }
        let all = sessions.is_empty() || sessions.iter().any(|session| session == "*");
        let parsed: Result<HashSet<SessionId>, _> = sessions
            .iter()
            .filter(|session| *session != "*")
            .map(|session| session.parse().map_err(|_| FilterFault::Session(session.clone())))
            .collect();
        let parsed = parsed?;
        Ok(Self {
            shape,
            kinds,
            sessions: (!all).then_some(parsed),
        })
    }

    /// Whether the endpoint gets the event.
    pub fn want(&self, event: &Event, endpoint: EndpointId) -> bool {
        if self.kinds & bit(event.body.kind()) == 0 {
            return false;
        }
        let of_interest = match (&self.sessions, event.session) {
            (None, _) => true,
            (Some(wanted), Some(session)) => wanted.contains(&session),
            (Some(_), None) => false,
        };
        of_interest && self.is_sayable(&event.body) && !is_about(&event.body, endpoint)
    }

    /// Whether the endpoint gets a session's messages of any kind.
    pub fn want_messages_of(&self, session: SessionId) -> bool {
        let kinds = [
            EventKind::MessageNew,
            EventKind::MessageEdited,
            EventKind::MessageDeleted,
        ];
        let listed = self
            .sessions
            .as_ref()
            .is_none_or(|wanted| wanted.contains(&session));
        listed && kinds.into_iter().any(|kind| self.kinds & bit(kind) != 0)
    }

    /// Of the changes of state the agent shape knows only that a session is restricted or frozen.
    fn is_sayable(&self, body: &EventBody) -> bool {
        match (self.shape, body) {
            (Shape::Agent, EventBody::SessionState { to, .. }) => {
                matches!(to, SessionState::Restricted | SessionState::Frozen)
            }
            _ => true,
        }
    }
}

/// The kinds that a name or pattern means in a shape; 0 if it means none.
fn kinds_named(shape: Shape, name: &str) -> u64 {
    let known = kinds_of(shape);
    if shape == Shape::Agent {
        if let Some((_, kind)) = AGENT_NAMES.iter().find(|(agent, _)| *agent == name) {
            return bit(*kind);
        }
        // errors of a session are told only if they are asked for by name
        if name == "*" {
            let kinds = known.iter().filter(|kind| **kind != EventKind::SessionState);
            return kinds.map(|kind| bit(*kind)).sum();
        }
    }
    let matches = |kind: &&EventKind| match name.strip_suffix('*') {
        Some("") => true,
        Some(group) if group.ends_with('.') => kind.as_str().starts_with(group),
        Some(_) => false,
        None => kind.as_str() == name,
    };
    known.iter().filter(matches).map(|kind| bit(*kind)).sum()
}

fn bit(kind: EventKind) -> u64 {
    1 << kind as u32
}

/// Whether an event reports on this endpoint.
fn is_about(body: &EventBody, endpoint: EndpointId) -> bool {
    match body {
        EventBody::Delivery { endpoint: named, .. } | EventBody::EndpointDisabled { endpoint: named, .. } => {
            named.parse() == Ok(endpoint)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{EventId, Owner, Timestamp};

    fn event(session: Option<SessionId>, body: EventBody) -> Event {
        Event {
            id: EventId::generate(),
            at: Timestamp(0),
            session,
            owner: Owner::admin(),
            body,
        }
    }

    fn wants(shape: Shape, events: &[&str], sessions: &[String]) -> Result<Wants, FilterFault> {
        let events: Vec<String> = events.iter().map(|name| (*name).to_owned()).collect();
        Wants::compile(shape, &events, sessions)
    }

    fn lost() -> EventBody {
        EventBody::SessionLost {
            reason: "network".to_owned(),
        }
    }

    fn state(to: SessionState) -> EventBody {
        EventBody::SessionState {
            from: SessionState::Connected,
            to,
            reason: None,
        }
    }

    #[test]
    fn every_kind_has_a_bit_of_its_own() {
        let bits: u64 = EventKind::TABLE.iter().map(|(kind, _)| bit(*kind)).sum();
        assert_eq!(bits.count_ones() as usize, EventKind::TABLE.len());
    }

    #[test]
    fn names_patterns_and_sessions_are_matched() {
        let (mine, other, me) = (
            SessionId::generate(),
            SessionId::generate(),
            EndpointId::generate(),
        );
        let wants = wants(
            Shape::Trunkline,
            &["session.*", "message.new"],
            &[mine.to_string()],
        )
        .expect("compiles");
        assert!(wants.want(&event(Some(mine), lost()), me));
        assert!(!wants.want(&event(Some(other), lost()), me));
        assert!(!wants.want(&event(None, lost()), me));
        let deleted = EventBody::MessageDeleted {
            chat: None,
            ids: vec![1],
        };
        assert!(!wants.want(&event(Some(mine), deleted), me));
    }

    #[test]
    fn unknown_names_are_refused() {
        for name in ["message", "mess*", "new_message", "", "message.new "] {
            assert_eq!(
                wants(Shape::Trunkline, &[name], &[]),
                Err(FilterFault::Event(name.to_owned()))
            );
        }
        assert!(wants(Shape::BotApi, &["session.state"], &[]).is_err());
        assert!(wants(Shape::Agent, &["new_message", "message.new"], &[]).is_ok());
        assert!(wants(Shape::Trunkline, &["*"], &["7".to_owned()]).is_err());
    }

    #[test]
    fn agents_hear_of_session_errors_only_if_they_ask() {
        let me = EndpointId::generate();
        let restricted = event(Some(SessionId::generate()), state(SessionState::Restricted));
        let connected = event(Some(SessionId::generate()), state(SessionState::Connected));
        let all = wants(Shape::Agent, &["*"], &[]).expect("compiles");
        assert!(!all.want(&restricted, me));
        assert!(all.want(&event(Some(SessionId::generate()), lost()), me));
        let asked = wants(Shape::Agent, &["*", "session_error"], &[]).expect("compiles");
        assert!(asked.want(&restricted, me) && !asked.want(&connected, me));
    }

    #[test]
    fn no_endpoint_hears_of_itself() {
        let (me, other) = (EndpointId::generate(), EndpointId::generate());
        let all = wants(Shape::Trunkline, &["*"], &[]).expect("compiles");
        for body in [
            EventBody::Delivery {
                outcome: "failing".to_owned(),
                delivery: "dlv_1".to_owned(),
                endpoint: me.to_string(),
            },
            EventBody::EndpointDisabled {
                endpoint: me.to_string(),
                reason: "gone".to_owned(),
            },
        ] {
            assert!(!all.want(&event(None, body.clone()), me));
            assert!(all.want(&event(None, body), other));
        }
        assert!(!is_reported("delivery.failing") && is_reported("message.new"));
    }
}
