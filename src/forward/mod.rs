//! Forwarding: pairs that copy what arrives in one chat into another, exactly once and in order.
//!
//! The dispatcher turns events of the journal into tasks of a pair's lane; the pair's worker sends
//! them, under names made before (`name`), and remembers what became of each message in the map.
//! An edit or deletion of a message that waits changes its task; of one that was sent, it follows
//! it in the lane.
//!
//! Pure decisions: `plan` (events to tasks, albums), `compose` (what is sent), `verdict` (what a
//! refusal leads to), `find` (copies whose sending was not answered), `graph` (loops), `name`.
//! Effects: `dispatcher`, `worker` with `trial` and `search`, `registry` (pairs in memory), `pairs` (the way in).
//!
//! Not promised: an edit of what lies among the dead letters is not made up for when that is put
//! back, and a replaced medium is not replaced in the copy (its caption is).

mod compose;
mod config;
mod courier;
mod desk;
mod dispatcher;
mod error;
mod find;
mod graph;
mod job;
mod map;
mod moving;
mod name;
mod origins;
mod orphans;
mod pair;
mod pairs;
mod plan;
#[cfg(test)]
mod plan_tests;
mod registry;
#[cfg(test)]
mod samples;
mod search;
mod sweep;
mod trial;
mod verdict;
mod worker;

pub use config::ForwardConfig;
pub use error::PairError;
pub use pair::{
    Mode, NewPair, OnDelete, OnEdit, Pair, PairKind, PairPatch, PairState, PairStats, Place, Rules,
};
pub use pairs::Pairs;
