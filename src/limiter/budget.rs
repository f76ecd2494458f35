//! The arithmetic of one budget: when the next units may go, and what taking them leaves behind.
//!
//! Time is a number of microseconds on a clock that only goes forward; nothing here reads one.

use std::collections::VecDeque;
use std::time::Duration;

use super::config::{Budget, Quota};
use super::ledger::Ledger;
use super::share::Urgency;

/// A point on the limiter's own clock, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Tick(pub u64);

impl Tick {
    pub(super) fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(micros(span)))
    }

    pub(super) fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(micros(span)))
    }

    pub(super) fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// How fast an account goes, measured by its rules.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Speed {
    /// How many times slower than the rules' rates; at least 1.
    pub(super) slowdown: f64,
    /// Which part of the rules' caps it may use; at most 1.
    pub(super) part: f64,
}

/// By how much growing distances grow from one unit to the next.
const GROWTH: f64 = 1.25;

/// What has been taken from one budget.
#[derive(Clone, Debug, Default)]
pub(super) struct Meter {
    /// When the steady rate would be even again.
    even: Tick,
    /// The same without what distances have grown.
    ungrown: Tick,
    /// What was taken, newest last; kept only as long as a quota asks for it.
    taken: VecDeque<(Tick, u32)>,
    /// The grown distance between units, if it grew.
    grown: Option<Duration>,
    /// What was spent of hours and days, if anybody asks for it.
    pub(super) ledger: Option<Box<Ledger>>,
}

impl Meter {
    /// A meter that knows its last hour and day although its rule has no cap.
    pub(super) fn tracked() -> Self {
        Self {
            ledger: Some(Box::default()),
            ..Self::default()
        }
    }

    /// When so many units may go at this speed.
    pub(super) fn earliest(&self, rule: &Budget, units: u32, speed: Speed) -> Tick {
        self.earliest_after(self.even, self.distance(rule, speed.slowdown), rule, units, speed)
    }

    /// The same with this urgency: what a send or a person waits for does not wait for distances that others have made grow.
    pub(super) fn earliest_of(&self, rule: &Budget, units: u32, speed: Speed, urgency: Urgency) -> Tick {
        match urgency {
            Urgency::Look | Urgency::Interactive => {
                let every = rule.every.mul_f64(speed.slowdown);
                self.earliest_after(self.ungrown, every, rule, units, speed)
            }
            _ => self.earliest(rule, units, speed),
        }
    }

    fn earliest_after(&self, even: Tick, every: Duration, rule: &Budget, units: u32, speed: Speed) -> Tick {
        // Whoever is to be slower gathers less for a burst, too.
        let burst = (f64::from(rule.burst) / speed.slowdown).floor() as u32;
        let spare = burst.max(1).saturating_sub(units);
        let mut earliest = even.minus(every.saturating_mul(spare));
        for quota in &rule.quotas {
            let (count, span) = slowed(quota, speed.slowdown);
            let room = count.saturating_sub(units);
            let mut counted = 0u32;
            for (at, taken) in self.taken.iter().rev() {
                counted = counted.saturating_add(*taken);
                if counted > room {
                    earliest = earliest.max(at.plus(span));
                    break;
                }
            }
        }
        match &self.ledger {
            Some(ledger) => earliest.max(ledger.earliest(rule, units, speed.part)),
            None => earliest,
        }
    }

    /// Takes so many units at `now`.
    pub(super) fn take(&mut self, rule: &Budget, units: u32, speed: Speed, now: Tick) {
        let slowdown = speed.slowdown;
        self.grow(rule, now);
        let every = self.distance(rule, slowdown);
        self.even = self.even.max(now).plus(every.saturating_mul(units));
        let ungrown = rule.every.mul_f64(slowdown).saturating_mul(units);
        self.ungrown = self.ungrown.max(now).plus(ungrown);
        if let Some(longest) = rule.quotas.iter().map(|quota| quota.per).max() {
            let kept = now.minus(longest.mul_f64(slowdown));
            while self.taken.front().is_some_and(|(at, _)| *at < kept) {
                self.taken.pop_front();
            }
            self.taken.push_back((now, units));
        }
        if rule.is_capped() || self.ledger.is_some() {
            self.ledger.get_or_insert_default().take(units, now);
        }
    }

    /// Whether what is stored covers so many units more.
    pub(super) fn is_covered(&self, rule: &Budget, units: u32) -> bool {
        !rule.is_capped() || self.ledger.as_ref().is_some_and(|ledger| ledger.covers(units))
    }

    /// Whether units went so recently that the steady rate is in use.
    pub(super) fn is_busy(&self, rule: &Budget, slowdown: f64, now: Tick) -> bool {
        now <= self.even.plus(self.distance(rule, slowdown) * 2)
    }

    /// Whether nothing is left of what was taken.
    pub(super) fn is_rested(&self, rule: &Budget, slowdown: f64, now: Tick) -> bool {
        let longest = rule.quotas.iter().map(|quota| quota.per).max();
        let kept = now.minus(longest.unwrap_or_default().mul_f64(slowdown));
        self.even <= now
            && self.taken.back().is_none_or(|(at, _)| *at < kept)
            && self.ledger.as_ref().is_none_or(|ledger| ledger.is_rested(now))
    }

    fn distance(&self, rule: &Budget, slowdown: f64) -> Duration {
        self.grown.unwrap_or(rule.every).mul_f64(slowdown)
    }

    /// Units that follow each other without a rest make the distance grow; a rest resets it.
    fn grow(&mut self, rule: &Budget, now: Tick) {
        if rule.grows_to.is_zero() {
            return;
        }
        let rest = self.grown.unwrap_or(rule.every).max(rule.grows_to);
        self.grown = if self.even == Tick::default() || now.since(self.even) > rest {
            Some(rule.every)
        } else {
            let grown = self.grown.unwrap_or(rule.every).mul_f64(GROWTH);
            Some(grown.min(rule.grows_to))
        };
    }
}

/// A quota at a slower pace: fewer units in its span; less than one makes the span longer.
fn slowed(quota: &Quota, slowdown: f64) -> (u32, Duration) {
    let count = f64::from(quota.count) / slowdown;
    if count < 1.0 {
        return (1, quota.per.mul_f64(1.0 / count.max(f64::MIN_POSITIVE)));
    }
    (count.floor() as u32, quota.per)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rule(every_ms: u64, burst: u32, quotas: &[(u32, u64)]) -> Budget {
        Budget {
            every: Duration::from_millis(every_ms),
            burst,
            grows_to: Duration::ZERO,
            quotas: quotas
                .iter()
                .map(|(count, secs)| Quota {
                    count: *count,
                    per: Duration::from_secs(*secs),
                })
                .collect(),
            ..Budget::default()
        }
    }

    fn slower(slowdown: f64) -> Speed {
        Speed { slowdown, part: 1.0 }
    }

    /// Takes one unit after the other as early as allowed and tells when.
    fn run(rule: &Budget, slowdown: f64, units: &[u32]) -> Vec<u64> {
        let mut meter = Meter::default();
        let mut now = Tick(1_000_000_000);
        let start = now;
        units
            .iter()
            .map(|units| {
                now = now.max(meter.earliest(rule, *units, slower(slowdown)));
                meter.take(rule, *units, slower(slowdown), now);
                now.since(start).as_millis() as u64
            })
            .collect()
    }

    #[test]
    fn a_steady_rate_spaces_units_and_a_burst_lends_some() {
        assert_eq!(run(&rule(1100, 1, &[]), 1.0, &[1, 1, 1]), [0, 1100, 2200]);
        assert_eq!(run(&rule(1000, 3, &[]), 1.0, &[1; 5]), [0, 0, 0, 1000, 2000]);
        assert_eq!(run(&rule(1000, 1, &[]), 2.0, &[1, 1]), [0, 2000]);
    }

    #[test]
    fn an_album_pays_for_all_its_parts() {
        assert_eq!(run(&rule(1000, 1, &[]), 1.0, &[10, 1]), [0, 10_000]);
    }

    #[test]
    fn a_quota_counts_exactly() {
        let times = run(&rule(0, 1, &[(3, 60)]), 1.0, &[1; 7]);
        assert_eq!(times, [0, 0, 0, 60_000, 60_000, 60_000, 120_000]);
        assert_eq!(
            run(&rule(0, 1, &[(3, 60)]), 1.0, &[2, 2, 5]),
            [0, 60_000, 120_000]
        );
        let slow = run(&rule(0, 1, &[(3, 60)]), 2.0, &[1; 3]);
        assert_eq!(slow, [0, 60_000, 120_000], "half of three is one");
        let slower = run(&rule(0, 1, &[(3, 60)]), 6.0, &[1; 2]);
        assert_eq!(slower, [0, 120_000]);
    }

    #[test]
    fn distances_grow_without_rest_and_shrink_after_one() {
        let mut pages = rule(2000, 1, &[]);
        pages.grows_to = Duration::from_secs(15);
        let times = run(&pages, 1.0, &[1; 14]);
        assert_eq!(times[1] - times[0], 2000);
        assert_eq!(times[2] - times[1], 2500);
        assert_eq!(times[13] - times[12], 15_000);
        let mut meter = Meter::default();
        for at in [0u64, 2, 5] {
            meter.take(&pages, 1, slower(1.0), Tick(1_000_000 * (at + 1)));
        }
        let late = Tick(600_000_000);
        meter.take(&pages, 1, slower(1.0), late);
        assert_eq!(
            meter.earliest(&pages, 1, slower(1.0)),
            late.plus(Duration::from_secs(2))
        );
    }

    proptest! {
        /// Whatever is taken when: no window of the quota's length ever holds more than its count.
        #[test]
        fn no_window_holds_more_than_its_quota(
            waits in proptest::collection::vec((0u64..5_000, 1u32..4), 1..80),
        ) {
            let rule = rule(100, 2, &[(6, 10)]);
            let mut meter = Meter::default();
            let mut now = Tick(50_000_000);
            let mut log: Vec<(Tick, u32)> = Vec::new();
            for (wait, units) in waits {
                now = now.plus(Duration::from_millis(wait));
                now = now.max(meter.earliest(&rule, units, slower(1.0)));
                meter.take(&rule, units, slower(1.0), now);
                log.push((now, units));
                let from = now.minus(Duration::from_secs(10));
                let held: u32 = log.iter().filter(|(at, _)| *at > from).map(|(_, units)| units).sum();
                prop_assert!(held <= 6);
            }
        }
    }
}
