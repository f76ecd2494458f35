//! The classes of faults, in the order in which the campaign runs them.

mod clock;
mod copies;
mod damage;
mod descriptors;
mod disk;
mod exports;
mod forgotten;
mod gaps;
mod kills;
mod limits;
mod network;
mod pages;
mod pairs;
mod points;
mod preload;
mod receivers;
mod rotations;
mod starts;
mod storms;
mod supervision;
mod telegram;
mod terms;
mod updates;

use super::class::Class;

pub const ALL: &[Class] = &[
    kills::CLASS,
    points::CLASS,
    starts::CLASS,
    terms::CLASS,
    exports::CLASS,
    storms::CLASS,
    updates::CLASS,
    gaps::CLASS,
    forgotten::CLASS,
    pairs::CHANGED,
    pairs::REMOVED,
    receivers::REFUSES,
    receivers::LATER,
    receivers::REDIRECTS,
    receivers::SLOW,
    receivers::CUTS,
    receivers::HUGE,
    receivers::DAWDLES,
    receivers::DOWN,
    receivers::GONE,
    rotations::UNDER_LOAD,
    rotations::KILLED,
    disk::FULL,
    disk::FULL_AT_START,
    disk::ERRORS,
    disk::SLOW,
    pages::LOST,
    descriptors::GONE,
    copies::HANGS,
    copies::SHARED,
    damage::FLIPPED,
    clock::JUMPS_OF_THE_CLOCK,
    clock::YEAR_AHEAD,
    clock::BACK,
    network::RESETS,
    network::HOLES,
    network::HALF_OPEN,
    network::HALF_OPEN_AS_SHIPPED,
    network::SLOW,
    network::OUTAGES,
    limits::FLOOD_WAITS,
    limits::SLOW_MODE,
    limits::PEER_FLOOD,
    telegram::REVOKED,
    telegram::ERRORS,
    supervision::CRASH_LOOPS,
    supervision::ESCALATION,
    supervision::MASS_FAILURE,
    supervision::HANGS,
    supervision::BURNS,
];
