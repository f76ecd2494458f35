//! The order of updates: what a session has heard, what is missing, and what to ask for next. Pure: no client, no
//! clock, no store.
//!
//! Telegram numbers what happens in sequences: one of the account (pts), one that few accounts use (qts), and one of
//! each channel; besides, containers that hold what has no position are numbered (seq). An update is told when it
//! directly follows what was told before. What does not fit waits half a second for what is missing, and then a
//! difference is asked for. Source of the rules: <https://core.telegram.org/api/updates>.
//!
//! - [`position`]: the words: sequences, positions, updates, differences.
//! - [`sequence`]: one sequence, and the updates that wait for what comes before them.
//! - [`asking`]: when a difference is asked for, and how long to rest after a refusal.
//! - [`sequencer`]: all sequences of a session together.
//! - [`read`], [`short`]: Telegram's records as these words.
//! - [`polls`]: which channel is asked though nothing says that something is missing.
//!
//! Not promised: that a gap can be filled. Where Telegram leaves something out the sequencer says so, by a jump, and
//! whoever stores the jump stores with it that something is missing.

mod asking;
mod channel;
#[cfg(test)]
mod histories;
#[cfg(test)]
mod model;
mod polls;
mod position;
pub(super) mod read;
mod sequence;
mod sequencer;
mod short;
mod telling;

pub(super) use polls::{Interest, Polls};
pub(super) use position::{Batch, Key, Out, Refusal, Request, State};
pub(super) use sequencer::{Sequencer, Stored};
