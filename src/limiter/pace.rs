//! What slows an account down: lessons of flood waits, and being new here.

use std::time::Duration;

use super::budget::Tick;
use super::config::FloodLesson;

/// What one class of call of one account has learned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pace {
    /// How much slower, at the moment of the lesson.
    pub(super) level: f64,
    /// When it was learned.
    pub(super) at: Tick,
    /// When the wait that taught it ends: answers until then are the same lesson.
    pub(super) ends: Tick,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            level: 1.0,
            at: Tick::default(),
            ends: Tick::default(),
        }
    }
}

impl Pace {
    /// How much slower to go at `now`: full for a while, then back to even in a straight line.
    pub(super) fn slowdown(&self, rule: &FloodLesson, now: Tick) -> f64 {
        if self.level <= 1.0 {
            return 1.0;
        }
        let over = now.since(self.at.max(self.ends).plus(rule.hold));
        if rule.recovery.is_zero() {
            return if over.is_zero() { self.level } else { 1.0 };
        }
        let left = 1.0 - over.as_secs_f64() / rule.recovery.as_secs_f64();
        1.0 + (self.level - 1.0) * left.max(0.0)
    }

    /// Learns from a flood wait.
    pub(super) fn learn(&mut self, rule: &FloodLesson, now: Tick, wait: Duration) {
        let fresh = now >= self.ends;
        if fresh {
            self.level = (self.slowdown(rule, now) * rule.slowdown).clamp(1.0, rule.slowest.max(1.0));
            self.at = now;
        }
        self.ends = self.ends.max(now.plus(wait));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: FloodLesson = FloodLesson {
        slowdown: 2.0,
        slowest: 4.0,
        hold: Duration::from_secs(3600),
        recovery: Duration::from_secs(7200),
    };

    fn at(secs: u64) -> Tick {
        Tick(secs * 1_000_000)
    }

    #[test]
    fn half_the_speed_for_an_hour_then_slow_recovery() {
        let mut pace = Pace::default();
        assert_eq!(pace.slowdown(&RULE, at(5)), 1.0);
        pace.learn(&RULE, at(10), Duration::from_secs(30));
        assert_eq!(pace.slowdown(&RULE, at(40)), 2.0);
        assert_eq!(pace.slowdown(&RULE, at(40 + 3600)), 2.0);
        assert_eq!(pace.slowdown(&RULE, at(40 + 3600 + 3600)), 1.5);
        assert_eq!(pace.slowdown(&RULE, at(40 + 3600 + 7200)), 1.0);
    }

    #[test]
    fn answers_of_one_wait_are_one_lesson_and_there_is_a_slowest() {
        let mut pace = Pace::default();
        for second in 10..20 {
            pace.learn(&RULE, at(second), Duration::from_secs(30));
        }
        assert_eq!(pace.slowdown(&RULE, at(30)), 2.0);
        for round in 1..5 {
            pace.learn(&RULE, at(round * 100), Duration::from_secs(30));
        }
        assert_eq!(pace.slowdown(&RULE, at(500)), 4.0);
    }
}
