//! A switch in use: whether one of Telegram's ways is on, and how often somebody acted by it.
//!
//! Whoever acts by it asks last, when it alone decides: so the count says how often the world was other for it. A few
//! are asked for every text, picture, document or part of a file before it is known whether that makes a difference:
//! their count says how often they might have made one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// One way of Telegram. A clone counts with the one it comes from.
#[derive(Clone, Debug)]
pub struct Switch {
    on: bool,
    reached: Arc<AtomicU64>,
}

impl Switch {
    /// A switch that nobody has reached.
    pub fn new(on: bool) -> Self {
        Self {
            on,
            reached: Arc::default(),
        }
    }

    /// Whether it is on, for somebody who acts by it now.
    pub fn decides(&self) -> bool {
        if self.on {
            self.reached.fetch_add(1, Ordering::Relaxed);
        }
        self.on
    }

    /// Turns it; what was counted stays.
    pub fn turn(&mut self, on: bool) {
        self.on = on;
    }

    /// Whether it is on, for somebody who only shows it.
    pub fn shown(&self) -> bool {
        self.on
    }

    /// How often somebody acted by it while it was on.
    pub fn reached(&self) -> u64 {
        self.reached.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_counts_what_is_decided_by_it_while_it_is_on() {
        let mut switch = Switch::new(true);
        let other = switch.clone();
        assert!(switch.decides() && other.decides() && switch.shown());
        switch.turn(false);
        assert!(!switch.decides() && !switch.shown());
        assert_eq!((switch.reached(), other.reached()), (2, 2));
    }
}
