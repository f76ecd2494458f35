//! The vital signs of a session, for those who watch: pings and calls, counted in this process.
//!
//! They are shown, and nothing is decided by them.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::base::Timestamp;

/// See the head of the file.
#[derive(Debug, Default)]
pub(crate) struct Vitals {
    pinged: AtomicI64,
    round_trip: AtomicU64,
    used: AtomicI64,
    failures: AtomicU64,
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

    /// How often that was.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}

fn known(time: &AtomicI64) -> Option<Timestamp> {
    Some(Timestamp(time.load(Ordering::Relaxed))).filter(|time| time.0 != 0)
}
