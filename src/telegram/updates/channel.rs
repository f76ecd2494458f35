//! What is known of a channel: how far it is told, when it is asked, and whether it answers.

use std::time::Instant;

use super::asking::Asking;
use super::sequence::Sequence;

/// A channel's sequence, with all that is known of it.
#[derive(Debug)]
pub(super) struct Channel<U, P> {
    pub sequence: Sequence<U, P>,
    pub asking: Asking,
    /// As it stands in the agenda.
    pub due: Option<Instant>,
    /// Whether it was said that it tells nothing.
    pub lost: bool,
    /// When it was last told to its end.
    pub asked: Instant,
    /// Until when it is not asked without cause.
    pub rests: Instant,
}

impl<U, P> Channel<U, P> {
    /// A channel that is told up to here; 0 if that is not known.
    pub fn at(pts: i32, now: Instant) -> Self {
        Self {
            sequence: Sequence::at(pts),
            asking: Asking::default(),
            due: None,
            lost: false,
            asked: now,
            rests: now,
        }
    }
}
