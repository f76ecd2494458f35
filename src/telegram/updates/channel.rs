//! What is known of a channel: how far it is told, when it is asked, and whether it answers.

use std::time::Instant;

use super::asking::{Asking, KNOWS_NOTHING, PATIENCE};
use super::sequence::{Sequence, Told};

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

    /// Something of it is pushed. If it told nothing so far, it may again: it is not left to rest.
    pub fn shows_life(&mut self, now: Instant) {
        if self.lost {
            self.asking.cut_rest(now);
        }
    }

    /// After an answer that did not close the gap. One that told something is followed by the next; one that knows
    /// nothing of what is missing is asked again after a rest, and in the end what is missing counts as left out: told
    /// is what waited, and given is where it begins.
    pub fn waits_on(&mut self, now: Instant, moved: bool, told: &mut Vec<Told<U, P>>) -> Option<i32> {
        if moved {
            self.asking.answered();
            self.asking.wait_for_gap(now + PATIENCE);
            return None;
        }
        if self.asking.refusals() < KNOWS_NOTHING {
            self.asking.refused(now, false);
            return None;
        }
        self.asking.answered();
        let skipped = self.sequence.skip_gap();
        self.sequence.settle(told);
        skipped
    }
}
