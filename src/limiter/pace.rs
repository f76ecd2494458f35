//! What flood waits teach: half the speed, a slow recovery, and a pace that is not tried again for a while.
//!
//! Pure. The recovery ends just below the pace that met the wait; only after a day is more than that tried again,
//! since what Telegram allows may have changed.

use std::time::Duration;

use super::budget::Tick;
use super::config::FloodLesson;

/// By how much the pace that is kept is slower than the one that met a wait.
const MARGIN: f64 = 1.06;

/// What one class of call of one account, or one chat, has learned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pace {
    /// How much slower, at the moment of the lesson.
    pub(super) level: f64,
    /// How much slower it went when it met the wait.
    pub(super) failed: f64,
    /// When it was learned.
    pub(super) at: Tick,
    /// When the wait that taught it ends: answers until then are the same lesson.
    pub(super) ends: Tick,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            level: 1.0,
            failed: 1.0,
            at: Tick::default(),
            ends: Tick::default(),
        }
    }
}

impl Pace {
    /// How much slower to go at `now`: full for a while, then in a straight line to just below what failed, and once
    /// that is forgotten to even.
    pub(super) fn slowdown(&self, rule: &FloodLesson, now: Tick) -> f64 {
        if self.level <= 1.0 {
            return 1.0;
        }
        let begins = self.at.max(self.ends);
        let forgotten = begins.plus(rule.remember.max(rule.hold.saturating_add(rule.recovery)));
        let kept = if rule.remember.is_zero() {
            1.0
        } else {
            (self.failed * MARGIN).clamp(1.0, self.level)
        };
        if now < forgotten {
            line(self.level, kept, rule.recovery, now.since(begins.plus(rule.hold)))
        } else {
            line(kept, 1.0, rule.recovery, now.since(forgotten))
        }
    }

    /// Whether nothing is left of what was learned.
    pub(super) fn is_over(&self, rule: &FloodLesson, now: Tick) -> bool {
        now >= self.ends && self.slowdown(rule, now) <= 1.0
    }

    /// Learns from a flood wait.
    pub(super) fn learn(&mut self, rule: &FloodLesson, now: Tick, wait: Duration) {
        let fresh = now >= self.ends;
        let failed = self.slowdown(rule, now).min(rule.slowest.max(1.0));
        self.slow(rule, now, wait);
        if fresh {
            self.failed = failed;
        }
    }

    /// Goes at half the speed for a while, after a flood wait that says nothing of the pace.
    pub(super) fn slow(&mut self, rule: &FloodLesson, now: Tick, wait: Duration) {
        if now >= self.ends {
            let slowed = self.slowdown(rule, now) * rule.slowdown;
            self.level = slowed.clamp(1.0, rule.slowest.max(1.0));
            self.at = now;
        }
        self.ends = self.ends.max(now.plus(wait));
    }
}

/// A straight line from one value to another.
fn line(from: f64, to: f64, span: Duration, passed: Duration) -> f64 {
    if passed >= span {
        return if passed.is_zero() { from } else { to };
    }
    from + (to - from) * passed.as_secs_f64() / span.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: FloodLesson = FloodLesson {
        slowdown: 2.0,
        slowest: 4.0,
        hold: Duration::from_secs(3600),
        recovery: Duration::from_secs(7200),
        remember: Duration::from_secs(86_400),
    };

    fn at(secs: u64) -> Tick {
        Tick(secs * 1_000_000)
    }

    #[test]
    fn half_the_speed_for_an_hour_then_slow_recovery() {
        let rule = FloodLesson {
            remember: Duration::ZERO,
            ..RULE
        };
        let mut pace = Pace::default();
        assert_eq!(pace.slowdown(&rule, at(5)), 1.0);
        pace.learn(&rule, at(10), Duration::from_secs(30));
        assert_eq!(pace.slowdown(&rule, at(40)), 2.0);
        assert_eq!(pace.slowdown(&rule, at(40 + 3600)), 2.0);
        assert_eq!(pace.slowdown(&rule, at(40 + 3600 + 3600)), 1.5);
        assert_eq!(pace.slowdown(&rule, at(40 + 3600 + 7200)), 1.0);
    }

    #[test]
    fn what_failed_is_not_tried_again_for_a_day() {
        let mut pace = Pace::default();
        pace.learn(&RULE, at(0), Duration::from_secs(30));
        let recovered = 30 + 3600 + 7200;
        assert_eq!(pace.slowdown(&RULE, at(recovered)), MARGIN);
        assert_eq!(pace.slowdown(&RULE, at(30 + 86_399)), MARGIN);
        let half = 1.0 + (MARGIN - 1.0) / 2.0;
        assert!((pace.slowdown(&RULE, at(30 + 86_400 + 3600)) - half).abs() < 1e-9);
        assert_eq!(pace.slowdown(&RULE, at(30 + 86_400 + 7200)), 1.0);
        // The second wait comes half way through the recovery.
        let second = 30 + 3600 + 3600;
        let failed = pace.slowdown(&RULE, at(second));
        pace.learn(&RULE, at(second), Duration::from_secs(30));
        assert_eq!(pace.slowdown(&RULE, at(second)), failed * 2.0);
        let later = pace.slowdown(&RULE, at(second + recovered));
        assert_eq!(later, failed * MARGIN);
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
