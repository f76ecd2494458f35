//! Classes of refusals: what a platform's answer means to whoever has to decide what happens next.
//!
//! Pure. Each platform maps its own errors to these in a table of its own; no other place knows their names.

use super::session::SessionState;
use crate::base::Timestamp;

/// What a refusal means. Each class has one way out for a pair's task, for an API caller and for the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nothing was done, and nothing will be before that time.
    Wait {
        /// The end of the wait.
        until: Timestamp,
        /// What waits.
        scope: Scope,
    },
    /// Another place of the platform answers this.
    Elsewhere,
    /// Something that was sent along is too old: the same call once more with a new one.
    Renew(Stale),
    /// Nothing is left to do: it is so already.
    Done,
    /// An effect of this name happened already, or happens right now.
    Duplicate,
    /// It may have been done.
    Uncertain,
    /// No call was made, for now.
    Unavailable,
    /// The message that it concerns is gone, was never there, or is too old for it.
    Gone,
    /// The message that it answers is gone, or cannot be answered so.
    ReplyGone,
    /// It can be done with less.
    Simplify(Less),
    /// The chat or the account does not allow messages of this kind.
    KindForbidden,
    /// It is larger than the platform allows.
    TooBig,
    /// The source forbids forwarding and saving.
    Protected,
    /// The chat takes nothing, until a person changes that.
    Hold(Obstacle),
    /// The account may not send to strangers any more.
    PeerFlood,
    /// The account is frozen: it may read, and do nothing.
    Frozen,
    /// The authorisation of the account ended.
    Ended(SessionState),
    /// It is a step of a login, or concerns what was typed in one.
    Login,
    /// It concerns this message only, and stays so.
    Refused,
    /// The call was malformed: a mistake of ours.
    Defect,
}

/// What waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All calls of this kind, at the platform's word.
    Account,
    /// Messages to the chat: its slow mode.
    Chat,
    /// Our own limiter made no call.
    Budget,
}

/// What was too old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stale {
    /// The reference to a file.
    File,
    /// The parameters of a password proof.
    Password,
}

/// What can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Less {
    /// Formatting.
    Formatting,
    /// That several messages come at once.
    Together,
}

/// Why a chat takes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The account may not do that there.
    NoRights,
    /// The chat is unknown to the account, or gone for it.
    ChatUnknown,
    /// The topic is closed.
    TopicClosed,
    /// The topic was deleted.
    TopicDeleted,
    /// Each message costs something there.
    PaymentRequired,
}

impl Obstacle {
    /// The stable word, as pairs show it for their reason.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoRights => "no_rights",
            Self::ChatUnknown => "chat_unknown",
            Self::TopicClosed => "topic_closed",
            Self::TopicDeleted => "topic_deleted",
            Self::PaymentRequired => "payment_required",
        }
    }
}

impl Refusal {
    /// Until when a call of the kind would be refused, by the platform or by our own limiter.
    pub fn until(self) -> Option<Timestamp> {
        match self {
            Self::Wait { until, .. } => Some(until),
            _ => None,
        }
    }

    /// The name, for logs, metrics and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wait { .. } => "wait",
            Self::Elsewhere => "elsewhere",
            Self::Renew(_) => "renew",
            Self::Done => "done",
            Self::Duplicate => "duplicate",
            Self::Uncertain => "uncertain",
            Self::Unavailable => "unavailable",
            Self::Gone => "gone",
            Self::ReplyGone => "reply_gone",
            Self::Simplify(_) => "simplify",
            Self::KindForbidden => "kind_forbidden",
            Self::TooBig => "too_big",
            Self::Protected => "protected",
            Self::Hold(_) => "hold",
            Self::PeerFlood => "peer_flood",
            Self::Frozen => "account_frozen",
            Self::Ended(_) => "account_ended",
            Self::Login => "login",
            Self::Refused => "refused",
            Self::Defect => "defect",
        }
    }
}
