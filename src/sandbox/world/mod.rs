//! What the sandbox's Telegram knows: users, chats, messages, files, and who has been told what.
//!
//! Pure values and their rules: no connection, no clock, no schema of Telegram's. Times come from
//! outside, what is to be told leaves as [`state::News`].

pub mod account;
pub mod archive;
pub mod bans;
pub mod changing;
pub mod chat;
pub mod closed;
pub mod codes;
pub mod content;
pub mod difference;
pub mod discussion;
pub mod entities;
pub mod files;
pub mod finding;
pub mod guarding;
pub mod guests;
pub mod keys;
pub mod making;
pub mod marks;
pub mod md5;
pub mod membership;
pub mod migration;
pub mod names;
pub mod numbers;
pub mod opening;
pub mod pages;
pub mod password;
pub mod pictures;
pub mod place;
pub mod polls;
pub mod posting;
pub mod probing;
pub mod reacting;
pub mod references;
pub mod refusal;
pub mod rights;
pub mod settings;
pub mod spans;
pub mod standing;
pub mod state;
pub mod switches;
#[cfg(test)]
mod tests;
pub mod threads;
pub mod tokens;
pub mod topics;
pub mod touching;
pub mod uploading;
pub mod vanishing;
pub mod voices;
pub mod ways;
pub mod weather;

pub use place::{Peer, Place};
pub use refusal::Refusal;
pub use state::{News, Passing, State};
pub use switches::{Switchboard, Switches};
