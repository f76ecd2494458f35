//! The server's own clock, which may differ from the machine's: message ids, salts and the key exchange go by it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::outbox::now;

/// By how many seconds the server is ahead of the machine, or behind. A copy is the same one.
#[derive(Clone, Default)]
pub struct Clock(Arc<AtomicI64>);

impl Clock {
    /// Sets it, in seconds.
    pub fn set(&self, seconds: i64) {
        self.0.store(seconds, Ordering::Relaxed);
    }

    /// The time since the epoch.
    pub fn now(&self) -> Duration {
        let (now, offset) = (now(), self.0.load(Ordering::Relaxed));
        let apart = Duration::from_secs(offset.unsigned_abs());
        match offset < 0 {
            true => now.saturating_sub(apart),
            false => now.saturating_add(apart),
        }
    }
}
