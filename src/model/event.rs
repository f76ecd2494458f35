//! The neutral record of something that happened: what the journal keeps and consumers read.

use serde::{Deserialize, Serialize};

use super::chat::{ChatId, MessageId};
use super::message::Message;
use super::session::SessionState;
use crate::base::{EventId, Owner, SessionId, Timestamp};

/// Something that happened, as the journal keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its name, the same for every consumer and after every restart.
    pub id: EventId,
    /// When the daemon learned of it.
    pub at: Timestamp,
    /// The session it happened to, if to one.
    pub session: Option<SessionId>,
    /// Whom it belongs to.
    pub owner: Owner,
    /// What happened.
    pub body: EventBody,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum EventBody {
    /// A message came in.
    MessageNew(Message),
    /// The account itself sent a message, here or elsewhere.
    MessageSent(Message),
    /// A message was edited; this is its new form.
    MessageEdited(Message),
    /// Messages are gone.
    MessageDeleted {
        /// Their chat; none if it is a private chat or basic group that is not known.
        chat: Option<ChatId>,
        /// Their numbers.
        ids: Vec<MessageId>,
    },
    /// A basic group became a supergroup: it goes on under another number.
    ChatMigrated {
        /// The basic group, which takes no more messages.
        from: ChatId,
        /// The supergroup.
        to: ChatId,
    },
    /// The account can no longer read a chat.
    ChatLost {
        /// The chat.
        chat: ChatId,
        /// Why, as a stable word.
        reason: String,
    },
    /// A session changed its state.
    SessionState {
        /// Before.
        from: SessionState,
        /// After.
        to: SessionState,
        /// Why, as a stable word.
        reason: Option<String>,
    },
    /// The authorisation of a session ended.
    SessionExpired {
        /// Why, as a stable word.
        reason: String,
    },
    /// A session has been away for longer than the grace period.
    SessionLost {
        /// Why, as a stable word.
        reason: String,
    },
    /// It is back.
    SessionRestored,
    /// Messages that could not be recovered after a gap.
    SessionGap {
        /// The chat.
        chat: ChatId,
        /// Why, as a stable word.
        reason: String,
    },
    /// Most of a budget of a session is spent, or all of it; each is told once a window.
    SessionBudget {
        /// `account`, `strangers`, `chat`, or a class of call.
        budget: String,
        /// The chat of a `chat` budget.
        chat: Option<ChatId>,
        /// `hour` or `day`.
        window: String,
        /// Units spent.
        used: u32,
        /// Units that may be spent.
        cap: u32,
    },
    /// A login process went on, ended or failed.
    SessionLogin {
        /// The step, or why it ended.
        step: String,
    },
    /// The replacement of a session's authorisation went on.
    SessionRotation {
        /// The rotation.
        rotation: String,
        /// `started`, `completed` or `failed`.
        status: String,
        /// Why it failed, as a stable word.
        error: Option<String>,
    },
    /// A pair changed its state.
    PairState {
        /// The pair.
        pair: String,
        /// Its new state.
        state: String,
        /// Why.
        reason: Option<String>,
    },
    /// A delivery failed for the first time, for good, or succeeded after failures.
    Delivery {
        /// `failing`, `exhausted` or `recovered`.
        outcome: String,
        /// The delivery.
        delivery: String,
        /// Its endpoint.
        endpoint: String,
    },
    /// An endpoint was disabled.
    EndpointDisabled {
        /// The endpoint.
        endpoint: String,
        /// Why.
        reason: String,
    },
    /// Something waits for a person, or no longer does.
    Incident {
        /// The incident.
        incident: String,
        /// Whether it was resolved.
        resolved: bool,
        /// What it is about, as a stable word.
        kind: String,
        /// What or whom it concerns.
        subject: String,
    },
}

/// The kinds of events, one row each of the table of event types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum EventKind {
    MessageNew,
    MessageSent,
    MessageEdited,
    MessageDeleted,
    ChatMigrated,
    ChatLost,
    SessionState,
    SessionExpired,
    SessionLost,
    SessionRestored,
    SessionGap,
    SessionBudget,
    SessionLogin,
    SessionRotation,
    PairState,
    DeliveryFailing,
    DeliveryExhausted,
    DeliveryRecovered,
    EndpointDisabled,
    IncidentOpened,
    IncidentResolved,
}

impl EventKind {
    /// Every kind with its name.
    pub const TABLE: &'static [(EventKind, &'static str)] = &[
        (Self::MessageNew, "message.new"),
        (Self::MessageSent, "message.sent"),
        (Self::MessageEdited, "message.edited"),
        (Self::MessageDeleted, "message.deleted"),
        (Self::ChatMigrated, "chat.migrated"),
        (Self::ChatLost, "chat.lost"),
        (Self::SessionState, "session.state"),
        (Self::SessionExpired, "session.expired"),
        (Self::SessionLost, "session.lost"),
        (Self::SessionRestored, "session.restored"),
        (Self::SessionGap, "session.gap"),
        (Self::SessionBudget, "session.budget"),
        (Self::SessionLogin, "session.login"),
        (Self::SessionRotation, "session.rotation"),
        (Self::PairState, "pair.state"),
        (Self::DeliveryFailing, "delivery.failing"),
        (Self::DeliveryExhausted, "delivery.exhausted"),
        (Self::DeliveryRecovered, "delivery.recovered"),
        (Self::EndpointDisabled, "endpoint.disabled"),
        (Self::IncidentOpened, "incident.opened"),
        (Self::IncidentResolved, "incident.resolved"),
    ];

    /// The name, as webhooks and filters use it.
    pub fn as_str(self) -> &'static str {
        Self::TABLE
            .iter()
            .find(|(kind, _)| *kind == self)
            .map_or("", |(_, name)| name)
    }

    /// The kind of a name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::TABLE
            .iter()
            .find(|(_, known)| *known == name)
            .map(|(kind, _)| *kind)
    }
}

impl EventBody {
    /// The kind of this event.
    pub fn kind(&self) -> EventKind {
        match self {
            Self::MessageNew(_) => EventKind::MessageNew,
            Self::MessageSent(_) => EventKind::MessageSent,
            Self::MessageEdited(_) => EventKind::MessageEdited,
            Self::MessageDeleted { .. } => EventKind::MessageDeleted,
            Self::ChatMigrated { .. } => EventKind::ChatMigrated,
            Self::ChatLost { .. } => EventKind::ChatLost,
            Self::SessionState { .. } => EventKind::SessionState,
            Self::SessionExpired { .. } => EventKind::SessionExpired,
            Self::SessionLost { .. } => EventKind::SessionLost,
            Self::SessionRestored => EventKind::SessionRestored,
            Self::SessionGap { .. } => EventKind::SessionGap,
            Self::SessionBudget { .. } => EventKind::SessionBudget,
            Self::SessionLogin { .. } => EventKind::SessionLogin,
            Self::SessionRotation { .. } => EventKind::SessionRotation,
            Self::PairState { .. } => EventKind::PairState,
            Self::Delivery { outcome, .. } => match outcome.as_str() {
                "exhausted" => EventKind::DeliveryExhausted,
                "recovered" => EventKind::DeliveryRecovered,
                _ => EventKind::DeliveryFailing,
            },
            Self::EndpointDisabled { .. } => EventKind::EndpointDisabled,
            Self::Incident { resolved: true, .. } => EventKind::IncidentResolved,
            Self::Incident { .. } => EventKind::IncidentOpened,
        }
    }

    /// The chat it belongs to, for order and filters.
    pub fn chat(&self) -> Option<ChatId> {
        match self {
            Self::MessageNew(message) | Self::MessageSent(message) | Self::MessageEdited(message) => {
                Some(message.chat)
            }
            Self::MessageDeleted { chat, .. } | Self::SessionBudget { chat, .. } => *chat,
            // In the order of the group that ends: what came before it is told before it.
            Self::ChatMigrated { from, .. } => Some(*from),
            Self::SessionGap { chat, .. } | Self::ChatLost { chat, .. } => Some(*chat),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_back_to_its_kind() {
        for (kind, name) in EventKind::TABLE {
            assert_eq!(EventKind::parse(name), Some(*kind));
            assert_eq!(kind.as_str(), *name);
        }
    }
}
