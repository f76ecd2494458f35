//! Intensity: how many restarts lie within the period, on a clock that stands still while a restart is being waited for.
//!
//! Were the pauses of the backoff counted, a child that always crashes would be restarted for ever as soon as the pauses
//! add up to the period. Without backoff this is OTP's rule.

use std::collections::VecDeque;
use std::time::Duration;

use super::Moment;
use crate::runtime::spec::{Backoff, Intensity};

/// The restarts of late, and the clock they are measured by.
#[derive(Debug, Default)]
pub(super) struct Window {
    stamps: VecDeque<Moment>,
    held: Duration,
    holders: u32,
    held_since: Moment,
}

impl Window {
    fn clock(&self, now: Moment) -> Moment {
        let current = if self.holders > 0 {
            now.saturating_sub(self.held_since)
        } else {
            Duration::ZERO
        };
        now.saturating_sub(self.held + current)
    }

    /// Stops the clock until as many [`Self::let_go`] follow.
    pub(super) fn hold(&mut self, now: Moment) {
        if self.holders == 0 {
            self.held_since = now;
        }
        self.holders += 1;
    }

    /// Ends one hold.
    pub(super) fn let_go(&mut self, now: Moment) {
        self.holders = self.holders.saturating_sub(1);
        if self.holders == 0 {
            self.held += now.saturating_sub(self.held_since);
        }
    }

    /// Counts a restart that is due now; false if it is one too many.
    pub(super) fn count(&mut self, now: Moment, intensity: Intensity) -> bool {
        let clock = self.clock(now);
        while self
            .stamps
            .front()
            .is_some_and(|stamp| clock.saturating_sub(*stamp) > intensity.period)
        {
            self.stamps.pop_front();
        }
        self.stamps.push_back(clock);
        u32::try_from(self.stamps.len()).unwrap_or(u32::MAX) <= intensity.restarts
    }

    /// How many restarts would still be borne at this moment.
    pub(super) fn left(&self, now: Moment, intensity: Intensity) -> u32 {
        let clock = self.clock(now);
        let of_late = |stamp: &&Moment| clock.saturating_sub(**stamp) <= intensity.period;
        let used = u32::try_from(self.stamps.iter().filter(of_late).count()).unwrap_or(u32::MAX);
        intensity.restarts.saturating_sub(used)
    }

    /// Forgets all restarts.
    pub(super) fn clear(&mut self) {
        self.stamps = VecDeque::new();
    }
}

/// The pause before the restart that follows `streak` others, with `roll` (any number) for the jitter: between
/// half of the full pause and all of it.
pub(super) fn pause(backoff: Backoff, streak: u32, roll: u64) -> Duration {
    let doubled = backoff
        .first
        .saturating_mul(1_u32.checked_shl(streak.min(31)).unwrap_or(u32::MAX));
    let full = doubled.min(backoff.max.max(backoff.first));
    let half = u64::try_from(full.as_micros() / 2).unwrap_or(u64::MAX);
    let jitter = if half == 0 { 0 } else { roll % half };
    full.saturating_sub(Duration::from_micros(jitter))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn one_more_than_the_intensity_is_too_many() {
        let intensity = Intensity {
            restarts: 2,
            period: SECOND,
        };
        let mut window = Window::default();
        assert!(window.count(SECOND, intensity));
        assert!(window.count(SECOND, intensity));
        assert!(!window.count(SECOND * 2, intensity));
        assert!(window.count(SECOND * 3 + Duration::from_millis(1), intensity));
    }

    #[test]
    fn waiting_does_not_count_into_the_period() {
        let intensity = Intensity {
            restarts: 1,
            period: SECOND,
        };
        let mut window = Window::default();
        assert!(window.count(Duration::ZERO, intensity));
        window.hold(Duration::ZERO);
        window.hold(SECOND);
        window.let_go(SECOND * 4);
        window.let_go(SECOND * 10);
        assert!(!window.count(SECOND * 11, intensity));
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_jitter_below() {
        let backoff = Backoff {
            first: SECOND,
            max: SECOND * 5,
        };
        assert_eq!(pause(backoff, 0, 0), SECOND);
        assert_eq!(pause(backoff, 2, 0), SECOND * 4);
        assert_eq!(pause(backoff, 3, 0), SECOND * 5);
        assert_eq!(pause(backoff, 400, 0), SECOND * 5);
        for roll in 0..100 {
            let pause = pause(backoff, 1, roll * 77_777);
            assert!(pause > SECOND && pause <= SECOND * 2, "{pause:?}");
        }
        assert_eq!(pause(Backoff::NONE, 9, 5), Duration::ZERO);
    }
}
