//! The words of the sequencer: sequences, positions in them, updates, differences, and what comes out.
//!
//! Generic over the update and over what comes along with a container (users and chats), so that the rules can be
//! held against a model without a single record of Telegram's.

use std::sync::Arc;
use std::time::Duration;

/// A sequence of updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::telegram) enum Key {
    /// The account's own: private chats and basic groups.
    Account,
    /// The account's second one (qts): secret chats, and much that bots are told.
    Secondary,
    /// A channel's or supergroup's.
    Channel(i64),
}

/// Where an update stands in its sequence: the sequence is at `pts` after it, and it counts `count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::telegram) struct Place {
    pub key: Key,
    pub pts: i32,
    pub count: i32,
}

/// How far a sequence is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::telegram) struct Position {
    pub key: Key,
    pub pts: i32,
}

/// The state behind an update, which is stored together with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::telegram) struct State {
    /// The account's date, in Telegram's seconds.
    pub date: i32,
    /// The number of the last numbered container.
    pub seq: i32,
    /// The sequence that moved, if one did.
    pub position: Option<Position>,
}

/// One update of a container.
#[derive(Clone, Debug)]
pub(in crate::telegram) enum Item<U> {
    /// It has a position.
    Placed(Place, U),
    /// It has none, and may be told at any time.
    Loose(U),
    /// More happened in a channel than is pushed; perhaps with the channel's present position.
    ChannelTooLong { channel: i64, pts: Option<i32> },
}

/// A container of updates as it was pushed or answered.
#[derive(Clone, Debug)]
pub(in crate::telegram) struct Packet<U, P> {
    /// When; 0 if it does not say.
    pub date: i32,
    /// The number of its first update, and of its last; 0 if it is not numbered.
    pub seq_start: i32,
    pub seq: i32,
    pub items: Vec<Item<U>>,
    /// The users and chats that came along.
    pub peers: P,
}

/// A part of the account's difference.
#[derive(Clone, Debug)]
pub(in crate::telegram) struct Part<U, P> {
    /// In the order in which they are to be told.
    pub updates: Vec<U>,
    /// Updates of channels, and others that have to be held against a sequence.
    pub others: Vec<Item<U>>,
    pub peers: P,
    pub pts: i32,
    pub qts: i32,
    pub date: i32,
    pub seq: i32,
    /// Whether nothing more is missing.
    pub last: bool,
}

/// Telegram's answer to who asks for the account's difference.
#[derive(Clone, Debug)]
pub(in crate::telegram) enum AccountDifference<U, P> {
    /// Nothing is missing.
    Empty { date: i32, seq: i32 },
    /// A part of what was missed.
    Part(Part<U, P>),
    /// Too much was missed: it goes on from here.
    TooLong { pts: i32 },
}

/// Telegram's answer to who asks for a channel's difference.
#[derive(Clone, Debug)]
pub(in crate::telegram) struct ChannelDifference<U, P> {
    /// The channel's position after it; none if a jump does not say where to.
    pub pts: Option<i32>,
    /// In the order in which they are to be told; empty after a jump.
    pub updates: Vec<U>,
    pub peers: P,
    /// Whether nothing more is missing.
    pub last: bool,
    /// Whether too much was missed, and what lies between is left out.
    pub too_long: bool,
    /// How long to wait before the channel is asked again without cause.
    pub timeout: Option<Duration>,
}

/// The account's present state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::telegram) struct Present {
    pub pts: i32,
    pub qts: i32,
    pub date: i32,
    pub seq: i32,
}

/// What is to be asked of Telegram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::telegram) enum Request {
    /// The account's difference.
    Account { pts: i32, qts: i32, date: i32 },
    /// The account's present state, since Telegram knows nothing of ours.
    Present,
    /// A channel's difference.
    Channel { channel: i64, pts: i32 },
    /// A channel's present position, since Telegram knows nothing of ours.
    ChannelPresent { channel: i64 },
}

impl Request {
    /// The channel that is asked; none if it is the account itself.
    pub fn channel(&self) -> Option<i64> {
        match self {
            Self::Account { .. } | Self::Present => None,
            Self::Channel { channel, .. } | Self::ChannelPresent { channel } => Some(*channel),
        }
    }
}

/// Why Telegram gave no difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::telegram) enum Refusal {
    /// It asks to wait so long.
    Wait(Duration),
    /// It has trouble of its own, or none that we know.
    Again,
    /// It does not know the position that we named.
    Unknown,
    /// The channel tells this account nothing.
    Lost,
}

/// Updates to be told and stored in one commit.
#[derive(Debug)]
pub(in crate::telegram) struct Batch<U, P> {
    /// In order, each with the state behind it.
    pub updates: Vec<(U, State)>,
    /// The users and chats that they speak of.
    pub peers: Vec<Arc<P>>,
}

/// What comes out of the sequencer.
#[derive(Debug)]
pub(in crate::telegram) enum Out<U, P> {
    /// Updates in their order.
    Updates(Batch<U, P>),
    /// A sequence, or only the account's date, moved without an update that says so.
    Stands(State),
    /// Telegram left updates of this sequence out; it goes on at this state. There is no way to take the state without
    /// the mark.
    Jump { key: Key, to: Option<State> },
    /// A channel tells nothing for now. Said once, until it tells something again.
    Lost { channel: i64 },
    /// All that was missed at the beginning has been told. Said once.
    Complete,
}
