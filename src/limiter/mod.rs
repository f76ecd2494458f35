//! The limiter: every call to Telegram asks here first, and waits until it may go.
//!
//! Owns budgets per account, per destination chat and per (account, cost class), the flood waits
//! and slow modes that Telegram answered, and what was learned from them. One actor keeps it all in
//! memory; flood waits, slow modes, peer floods and lessons are also rows of the store, written before
//! [`Limiter::flooded`] returns and read again at every start. What was spent of caps per hour and day is stored
//! ahead of being spent, by the keeper (see `ledger`): a kill forgets nothing of it.
//!
//! Calls that change a chat (send, forward, edit, delete) are granted first in, first out within
//! that chat; a chat waits for another one's flood wait only if the wait is, or may well be, the whole account's.
//! A call that would wait longer than its caller's patience is refused at once with the time.
//!
//! Not promised: rates and quotas are not durable (after a restart they begin unused), and a
//! grant is not taken back when the caller no longer wants it.
//!
//! Nobody starves, and no kind of caller takes all of a budget: see `account` and `share`.
//!
//! `budget` is the arithmetic of one budget, `ledger` that of its caps, `pace` and `restriction` what slows an account
//! down and stops it, `means` what it may spend, `queue` who waits, `share` whose turn it is, `due` what each waits for,
//! `account` who of it goes when, `core` all accounts (all without clock); `table` and `spent` the rows, `actor` the
//! clock and the mailbox, `keeper` the pen, `handle` the way in, `view` what the API shows.

mod account;
mod actor;
#[cfg(test)]
mod actor_tests;
mod budget;
mod config;
mod core;
mod due;
#[cfg(test)]
mod fairness;
mod faults;
mod handle;
mod keeper;
mod ledger;
mod means;
mod number;
mod pace;
mod queue;
mod restriction;
mod share;
#[cfg(test)]
mod simulation;
mod spent;
mod table;
#[cfg(test)]
mod tests;
mod view;

pub use config::{Budget, FloodLesson, LimiterConfig, Profile, Quota, WarmUp};
pub use handle::Limiter;
pub use number::Number;
pub use share::{Patience, Turn, Urgency};
pub use view::{Budgets, CapView, ClassBudget, PeerFloodView, Wait, WarmUpView};

use serde::{Deserialize, Serialize};

use crate::base::{Code, Coded, Retry, SessionId, Timestamp};
use crate::model::ChatId;

/// What a call costs: calls of one class share a budget of their account.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum CostClass {
    /// A text message.
    Send,
    /// A message with media; an album costs a unit a part.
    SendMedia,
    /// Messages forwarded, a unit each.
    Forward,
    /// An edit.
    Edit,
    /// A deletion.
    Delete,
    /// A page of history.
    History,
    /// A name resolved.
    Resolve,
    /// A chat joined or left.
    Join,
    /// A step of a login.
    Login,
    /// Anything else.
    Other,
    /// What was missed, asked for. The updates pace this themselves: of the limiter it has the waits only.
    Updates,
}

impl CostClass {
    /// Every class, in the order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::Send,
        Self::SendMedia,
        Self::Forward,
        Self::Edit,
        Self::Delete,
        Self::History,
        Self::Resolve,
        Self::Join,
        Self::Login,
        Self::Other,
        Self::Updates,
    ];

    /// The name, as config and metrics show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::SendMedia => "send_media",
            Self::Forward => "forward",
            Self::Edit => "edit",
            Self::Delete => "delete",
            Self::History => "history",
            Self::Resolve => "resolve",
            Self::Join => "join",
            Self::Login => "login",
            Self::Other => "other",
            Self::Updates => "updates",
        }
    }

    /// Whether it brings a new message into a chat.
    pub fn is_send(self) -> bool {
        matches!(self, Self::Send | Self::SendMedia | Self::Forward)
    }

    /// Whether it changes a chat, so that its place in the chat's order matters.
    pub fn is_effect(self) -> bool {
        self.is_send() || matches!(self, Self::Edit | Self::Delete)
    }

    fn index(self) -> usize {
        self as usize
    }
}

/// A call that wants to go out.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// Whose call.
    pub session: SessionId,
    /// Where it goes, if into a chat.
    pub chat: Option<ChatId>,
    /// What it costs.
    pub class: CostClass,
    /// How much of it: messages of an album, messages forwarded; 1 else.
    pub units: u32,
    /// Whether it is the first message to somebody the account has no chat with.
    pub stranger: bool,
    /// How the caller waits.
    pub patience: Patience,
}

/// A call that may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// It tries whether a peer flood is over: tell [`Limiter::proven`] if it went well.
    pub probe: bool,
}

/// Why a call may not go yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A budget of ours.
    Budget,
    /// Telegram asked to wait.
    FloodWait,
    /// The chat's slow mode.
    SlowMode,
    /// The account sent to too many strangers.
    PeerFlood,
}

/// A call that was refused: it would have to wait longer than its caller does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not before {until}")]
pub struct Limited {
    /// When it may be tried again.
    pub until: Timestamp,
    /// The class it was asked for.
    pub class: CostClass,
    /// What it waits for.
    pub cause: Cause,
}

impl Coded for Limited {
    fn code(&self) -> Code {
        match self.cause {
            Cause::Budget => Code::RateLimited,
            Cause::FloodWait => Code::FloodWait,
            Cause::SlowMode => Code::SlowMode,
            Cause::PeerFlood => Code::PeerFlood,
        }
    }

    fn retry(&self) -> Retry {
        Retry::After(self.until.since(Timestamp::now()))
    }
}
