//! The classes of faults, in the order in which the campaign runs them.

mod clock;
mod damage;
mod disk;
mod exports;
mod forgotten;
mod gaps;
mod kills;
mod pairs;
mod points;
mod preload;
mod receivers;
mod starts;
mod storms;
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
    disk::FULL,
    disk::FULL_AT_START,
    disk::ERRORS,
    disk::SLOW,
    damage::FLIPPED,
    clock::JUMPS_OF_THE_CLOCK,
];
