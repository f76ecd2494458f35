//! What was spent of a budget within the last hour and the last day.
//!
//! A cap must survive a kill, and a message must not cost a sync of the disk. So the stored row is ahead of what
//! is spent: it counts a *reserve* of units as spent before they are, and only so many may go until a later row is
//! durable. After a kill the whole reserve counts as spent, so that a cap is never exceeded and at most one reserve
//! is lost; an orderly end gives it back. Time is handed in, nothing here writes.

use std::collections::VecDeque;
use std::time::Duration;

use super::budget::Tick;
use super::config::Budget;

pub(super) const HOUR: Duration = Duration::from_secs(3600);
pub(super) const DAY: Duration = Duration::from_secs(86_400);

/// A reserve is this part of the smallest cap.
const RESERVE: u32 = 50;
/// The largest reserve.
const MOST_RESERVED: u32 = 64;
/// Units spent within this part of a window count as one entry.
const GRAINS: u32 = 60;
/// From which share of a cap on somebody is warned, in percent.
const WARN_AT: u64 = 80;

/// Which cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Window {
    Hour,
    Day,
}

impl Window {
    pub(super) const ALL: [Self; 2] = [Self::Hour, Self::Day];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    pub(super) fn span(self) -> Duration {
        match self {
            Self::Hour => HOUR,
            Self::Day => DAY,
        }
    }

    /// The cap, of which only `part` may be used; 0 if there is none.
    pub(super) fn effective(self, rule: &Budget, part: f64) -> u32 {
        effective(self.cap(rule), part)
    }

    fn cap(self, rule: &Budget) -> u32 {
        match self {
            Self::Hour => rule.per_hour,
            Self::Day => rule.per_day,
        }
    }
}

/// Units spent close to each other; all of them count until the last one's time is over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spent {
    first: Tick,
    pub(super) last: Tick,
    pub(super) units: u32,
}

/// What was spent in a sliding window, and who was told of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sliding {
    pub(super) spent: VecDeque<Spent>,
    /// When it was told that most of the cap is spent.
    pub(super) warned: Option<Tick>,
    /// When it was told that all of it is.
    pub(super) reached: Option<Tick>,
}

impl Sliding {
    fn take(&mut self, window: Window, units: u32, now: Tick) {
        while self
            .spent
            .front()
            .is_some_and(|oldest| oldest.last.plus(window.span()) <= now)
        {
            self.spent.pop_front();
        }
        match self.spent.back_mut() {
            Some(latest) if now.since(latest.first) < window.span() / GRAINS => {
                latest.last = latest.last.max(now);
                latest.units = latest.units.saturating_add(units);
            }
            _ => self.put(now, units),
        }
    }

    /// Puts in what was spent earlier, oldest first.
    pub(super) fn put(&mut self, at: Tick, units: u32) {
        self.spent.push_back(Spent {
            first: at,
            last: at,
            units,
        });
    }

    pub(super) fn used(&self, window: Window, now: Tick) -> u32 {
        let running = |spent: &&Spent| spent.last.plus(window.span()) > now;
        let units = self.spent.iter().filter(running).map(|spent| spent.units);
        units.fold(0, u32::saturating_add)
    }

    /// When so many units fit under the cap.
    pub(super) fn earliest(&self, window: Window, cap: u32, units: u32) -> Tick {
        let room = cap.saturating_sub(units);
        let mut counted = 0u32;
        for spent in self.spent.iter().rev() {
            counted = counted.saturating_add(spent.units);
            if counted > room {
                return spent.last.plus(window.span());
            }
        }
        Tick::default()
    }
}

/// Somebody is to be told how much of a cap is spent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Crossing {
    pub(super) window: Window,
    pub(super) used: u32,
    pub(super) cap: u32,
    pub(super) reached: bool,
}

/// A budget's windows, and how far its stored row is ahead of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    pub(super) hour: Sliding,
    pub(super) day: Sliding,
    /// Units that may still go under the durable row.
    credit: u32,
    /// Units taken since a row was handed out to be stored.
    since: u32,
    /// Whether a row is on its way.
    flying: bool,
    /// The most that anybody waits for at once.
    wanted: u32,
}

/// The part of a cap that may be used; one of a few units is not rounded away.
fn effective(cap: u32, part: f64) -> u32 {
    ((f64::from(cap) * part).floor() as u32).max(cap.min(1))
}

impl Ledger {
    /// A ledger that was read; nothing may go before a row of it is stored again.
    pub(super) fn restored(hour: Sliding, day: Sliding) -> Self {
        Self {
            hour,
            day,
            ..Self::default()
        }
    }

    pub(super) fn sliding(&self, window: Window) -> &Sliding {
        match window {
            Window::Hour => &self.hour,
            Window::Day => &self.day,
        }
    }

    pub(super) fn sliding_mut(&mut self, window: Window) -> &mut Sliding {
        match window {
            Window::Hour => &mut self.hour,
            Window::Day => &mut self.day,
        }
    }

    /// When so many units fit under every cap, of which only `part` may be used.
    pub(super) fn earliest(&self, rule: &Budget, units: u32, part: f64) -> Tick {
        let caps = Window::ALL.into_iter().filter(|window| window.cap(rule) > 0);
        let times = caps.map(|window| {
            let cap = window.effective(rule, part);
            self.sliding(window).earliest(window, cap, units)
        });
        times.max().unwrap_or_default()
    }

    /// Whether the durable row covers so many units more.
    pub(super) fn covers(&self, units: u32) -> bool {
        self.credit >= units
    }

    /// Somebody waits for so many units; tells whether a row has to be stored for that.
    pub(super) fn want(&mut self, rule: &Budget, units: u32) -> bool {
        self.wanted = self.wanted.max(units);
        !self.covers(units) || self.is_low(rule)
    }

    /// Takes units.
    pub(super) fn take(&mut self, units: u32, now: Tick) {
        self.credit = self.credit.saturating_sub(units);
        self.since = self.since.saturating_add(units);
        for window in Window::ALL {
            self.sliding_mut(window).take(window, units, now);
        }
    }

    /// What of the caps has been passed since the last look: each is told once a window.
    pub(super) fn crossings(&mut self, rule: &Budget, part: f64, now: Tick) -> Vec<Crossing> {
        let mut crossings = Vec::new();
        for window in Window::ALL {
            let cap = window.effective(rule, part);
            let used = self.sliding(window).used(window, now);
            let reached = cap > 0 && used >= cap;
            let high = cap > 0 && u64::from(used) * 100 >= u64::from(cap) * WARN_AT;
            let sliding = self.sliding_mut(window);
            let fresh = |told: Option<Tick>| told.is_none_or(|told| told.plus(window.span()) <= now);
            let tell = if reached {
                fresh(sliding.reached)
            } else {
                high && fresh(sliding.warned)
            };
            if !tell {
                continue;
            }
            sliding.warned = Some(now);
            if reached {
                sliding.reached = Some(now);
            }
            crossings.push(Crossing {
                window,
                used,
                cap,
                reached,
            });
        }
        crossings
    }

    /// Whether its reserve should be filled up.
    pub(super) fn is_low(&self, rule: &Budget) -> bool {
        !self.flying && self.credit < reserve(rule).div_ceil(2)
    }

    /// Begins a row that is ahead by the answer; [`Self::kept`] tells what became of it.
    pub(super) fn reserve(&mut self, rule: &Budget) -> u32 {
        // Until it is durable, what may go is bounded by the row before: it must not be larger than this one's.
        let reserved = reserve(rule).max(self.wanted).max(self.credit);
        (self.since, self.flying, self.wanted) = (0, true, 0);
        reserved
    }

    /// A row that was ahead by this much is durable, or was not stored.
    pub(super) fn kept(&mut self, reserved: Option<u32>) {
        self.flying = false;
        if let Some(reserved) = reserved {
            self.credit = reserved.saturating_sub(self.since);
        }
    }

    /// Gives the reserve back; tells whether there was one.
    pub(super) fn give_back(&mut self) -> bool {
        std::mem::take(&mut self.credit) > 0
    }

    /// Whether nothing is left of what was spent and nothing is under way.
    pub(super) fn is_rested(&self, now: Tick) -> bool {
        let empty = |window: Window| self.sliding(window).used(window, now) == 0;
        !self.flying && Window::ALL.into_iter().all(empty)
    }
}

/// How many units a row is ahead by: a small part of the cap, since a kill costs so many.
fn reserve(rule: &Budget) -> u32 {
    let caps = [rule.per_hour, rule.per_day].into_iter().filter(|cap| *cap > 0);
    caps.min()
        .map_or(0, |cap| (cap / RESERVE).clamp(1, MOST_RESERVED))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rule(per_hour: u32, per_day: u32) -> Budget {
        Budget {
            per_hour,
            per_day,
            ..Budget::default()
        }
    }

    fn at(secs: u64) -> Tick {
        Tick((1_000_000 + secs) * 1_000_000)
    }

    #[test]
    fn an_hour_and_a_day_slide() {
        let rule = rule(3, 5);
        let mut ledger = Ledger::default();
        for (second, expected) in [
            (0, 0),
            (10, 10),
            (20, 20),
            (30, 3620),
            (3700, 3700),
            (3800, 86_420),
        ] {
            let earliest = ledger.earliest(&rule, 1, 1.0).max(at(second));
            // What was spent within a minute counts until the minute's last unit has left the window.
            assert_eq!(earliest, at(expected), "asked at {second}");
            if expected == second {
                ledger.take(1, earliest);
            } else if second == 30 {
                ledger.take(1, at(3621));
            }
        }
    }

    #[test]
    fn a_share_of_a_small_cap_is_never_nothing() {
        assert_eq!(effective(2000, 0.25), 500);
        assert_eq!(effective(5, 0.1), 1);
        assert_eq!(effective(0, 0.5), 0);
    }

    #[test]
    fn each_threshold_is_told_once_a_window() {
        let rule = rule(10, 0);
        let mut ledger = Ledger::default();
        let mut told = Vec::new();
        for second in 0..10 {
            ledger.take(1, at(second * 60));
            told.extend(ledger.crossings(&rule, 1.0, at(second * 60)));
        }
        let summary: Vec<_> = told.iter().map(|told| (told.used, told.reached)).collect();
        assert_eq!(summary, [(8, false), (10, true)]);
        // An hour later the oldest has left, and one more is spent: full again, told again.
        ledger.take(1, at(3600));
        assert!(
            ledger.crossings(&rule, 1.0, at(3600)).is_empty(),
            "within an hour of the last"
        );
        for second in 61..70 {
            ledger.take(1, at(second * 60));
            told.extend(ledger.crossings(&rule, 1.0, at(second * 60)));
        }
        assert_eq!(told.len(), 3, "{told:?}");
    }

    proptest! {
        /// Whenever the process is killed: what its row says is never less than what was spent, and at most one
        /// reserve more.
        #[test]
        fn a_row_is_never_behind(steps in proptest::collection::vec((0u8..4, 1u32..4), 1..200)) {
            let rule = rule(400, 0);
            let mut ledger = Ledger::default();
            let (mut spent, mut durable) = (0u32, 0u32);
            let mut flying: Option<(u32, u32)> = None;
            for (second, (step, units)) in steps.into_iter().enumerate() {
                match step {
                    0 if flying.is_none() && ledger.is_low(&rule) => {
                        flying = Some((spent, ledger.reserve(&rule)));
                    }
                    1 => if let Some((before, reserved)) = flying.take() {
                        durable = before + reserved;
                        ledger.kept(Some(reserved));
                    },
                    2 => if flying.take().is_some() {
                        ledger.kept(None);
                    },
                    _ => {
                        let low = ledger.want(&rule, units);
                        prop_assert!(low || ledger.covers(units));
                        if ledger.covers(units) {
                            ledger.take(units, at(second as u64));
                            spent += units;
                        }
                    }
                }
                let written = flying.map(|(before, reserved)| before + reserved);
                prop_assert!(durable >= spent && written.is_none_or(|written| written >= spent));
                prop_assert!(durable <= spent + 8);
            }
        }
    }
}
