//! The vital signs of a session, for those who watch: pings, calls, gaps, reconnects and restarts, counted in this process.
//!
//! They are shown, and nothing is decided by them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::base::Timestamp;

/// The time that counts of late.
const HOUR: Duration = Duration::from_secs(3600);

/// No more happenings of an hour are remembered.
const MOST: usize = 4096;

/// See the head of the file.
#[derive(Debug, Default)]
pub(crate) struct Vitals {
    pinged: AtomicI64,
    round_trip: AtomicU64,
    used: AtomicI64,
    failures: AtomicU64,
    gap: AtomicBool,
    gaps_found: AtomicU64,
    gaps_filled: AtomicU64,
    asked_since: AtomicI64,
    /// Connections that came after others.
    pub reconnects: Hour,
    /// Starts of the session's parts, after the first.
    pub restarts: Hour,
}

impl Vitals {
    /// A ping was answered.
    pub fn ponged(&self, took: Duration) {
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.round_trip.store(millis, Ordering::Relaxed);
        self.pinged.store(Timestamp::now().0, Ordering::Relaxed);
    }

    /// The last answer to a ping, and how long it took.
    pub fn last_ping(&self) -> Option<(Timestamp, Duration)> {
        let at = known(&self.pinged)?;
        Some((at, Duration::from_millis(self.round_trip.load(Ordering::Relaxed))))
    }

    /// The connection is being used.
    pub fn used(&self) {
        self.used.store(Timestamp::now().0, Ordering::Relaxed);
    }

    /// When a call was made last.
    pub fn last_used(&self) -> Option<Timestamp> {
        known(&self.used)
    }

    /// A call failed, or a connection was lost.
    pub fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Updates are missing. Until they are filled that is one gap, be it over several connections.
    pub fn gap_found(&self) {
        if !self.gap.swap(true, Ordering::Relaxed) {
            self.gaps_found.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Messages were missing of a chat, and were read from its history: all of them, or not.
    pub fn gap_read(&self, complete: bool) {
        self.gaps_found.fetch_add(1, Ordering::Relaxed);
        self.gaps_filled.fetch_add(u64::from(complete), Ordering::Relaxed);
    }

    /// None is missing any more.
    pub fn gap_filled(&self) {
        if self.gap.swap(false, Ordering::Relaxed) {
            self.gaps_filled.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Since when every channel that matters was asked; none if no channel matters.
    pub fn asked_since(&self, since: Option<Timestamp>) {
        self.asked_since
            .store(since.unwrap_or_default().0, Ordering::Relaxed);
    }

    /// The longest time since a channel was asked that matters to somebody; none if none does.
    pub fn poll_lag(&self, now: Timestamp) -> Option<Duration> {
        known(&self.asked_since).map(|since| now.since(since))
    }

    /// How the session has been of late.
    pub fn health(&self, now: Timestamp) -> Health {
        Health {
            last_ping: self.last_ping(),
            gaps_found: self.gaps_found.load(Ordering::Relaxed),
            gaps_filled: self.gaps_filled.load(Ordering::Relaxed),
            poll_lag: self.poll_lag(now),
            reconnects: self.reconnects.count(now),
            restarts: self.restarts.count(now),
        }
    }

    /// How often that was.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}

/// How a session has been of late, as others see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// The last answer to a ping, and how long it took.
    pub last_ping: Option<(Timestamp, Duration)>,
    /// Gaps in the updates that were found, in this process.
    pub gaps_found: u64,
    /// Those of them that were filled.
    pub gaps_filled: u64,
    /// The longest time since a channel was asked whose messages matter to somebody; none if there is no such channel.
    pub poll_lag: Option<Duration>,
    /// Reconnects in the last hour.
    pub reconnects: u64,
    /// Restarts of its parts in the last hour.
    pub restarts: u64,
}

/// When something happened within the last hour.
#[derive(Debug, Default)]
pub(crate) struct Hour(Mutex<VecDeque<Timestamp>>);

impl Hour {
    /// It happened now.
    pub fn note(&self, now: Timestamp) {
        let mut times = self.times(now);
        if times.len() >= MOST {
            times.pop_front();
        }
        times.push_back(now);
    }

    /// How often it happened in the hour before.
    pub fn count(&self, now: Timestamp) -> u64 {
        self.times(now).len() as u64
    }

    fn times(&self, now: Timestamp) -> MutexGuard<'_, VecDeque<Timestamp>> {
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while times.front().is_some_and(|at| now.since(*at) >= HOUR) {
            times.pop_front();
        }
        times
    }
}

fn known(time: &AtomicI64) -> Option<Timestamp> {
    Some(Timestamp(time.load(Ordering::Relaxed))).filter(|time| time.0 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_an_hour_does_not_count() {
        let (hour, begin) = (Hour::default(), Timestamp(1_000_000));
        let minutes = |count: u64| begin.plus(Duration::from_secs(60 * count));
        for minute in [0, 10, 50] {
            hour.note(minutes(minute));
        }
        assert_eq!(hour.count(minutes(59)), 3);
        assert_eq!(hour.count(minutes(60)), 2);
        assert_eq!(hour.count(minutes(200)), 0);
        for _ in 0..2 * MOST {
            hour.note(minutes(200));
        }
        assert_eq!(hour.count(minutes(200)), MOST as u64);
    }
}
