//! Noticing that the wall clock was put forward or back, beside a clock that never is.
//!
//! The numbers of MTProto's messages are times. A connection whose numbers ran ahead tries a refused call again and
//! again under numbers that are still too high: only a new one begins with right ones. It does not tell which of two
//! times is the right one; while the wall clock is far ahead of Telegram's no connection can be made.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::Context;
use crate::base::Timestamp;
use crate::runtime::{BoxError, TaskContext};

/// How often the clocks are compared.
const EVERY: Duration = Duration::from_millis(500);

/// Telegram takes numbers up to 30 s ahead of its own time. Less than this is no reason for a new connection.
const TOLERATED: Duration = Duration::from_secs(15);

/// Both clocks at one instant.
#[derive(Clone, Copy, Debug)]
struct Reading {
    wall: Timestamp,
    steady: Instant,
}

impl Reading {
    fn now() -> Self {
        Self {
            wall: Timestamp::wall(),
            steady: Instant::now(),
        }
    }

    /// By how much the wall clock went further than the other since then, or less far.
    fn shift_until(&self, later: &Self) -> Duration {
        let passed = later.steady.saturating_duration_since(self.steady);
        let expected = self.wall.plus(passed);
        later.wall.since(expected).max(expected.since(later.wall))
    }
}

/// Word of every shift, to all who wait for the next.
pub(crate) struct Shifts(watch::Sender<()>);

impl Shifts {
    /// None yet.
    pub fn new() -> Self {
        Self(watch::Sender::new(()))
    }

    /// Waits until the wall clock is put forward or back.
    pub async fn next(&self) {
        // The sender is ours: it does not end while somebody waits.
        self.0.subscribe().changed().await.unwrap_or_default();
    }
}

/// Compares the clocks, and tells of shifts. Many small steps add up to one.
pub(crate) async fn run(context: Arc<Context>, task: TaskContext) -> Result<(), BoxError> {
    let mut begun = Reading::now();
    loop {
        tokio::select! {
            () = task.stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(EVERY) => {}
        }
        let now = Reading::now();
        let shift = begun.shift_until(&now);
        if shift > TOLERATED {
            tracing::warn!(
                shift_s = shift.as_secs(),
                "the wall clock was put forward or back"
            );
            begun = now;
            context.shifts.0.send_replace(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shift(wall: i64, passed: u64) -> Duration {
        let steady = Instant::now();
        let begun = Reading {
            wall: Timestamp::from_secs(1_000_000),
            steady,
        };
        begun.shift_until(&Reading {
            wall: Timestamp::from_secs(1_000_000 + wall),
            steady: steady + Duration::from_secs(passed),
        })
    }

    #[test]
    fn only_what_passes_on_one_clock_alone_is_a_shift() {
        assert_eq!(shift(5000, 5000), Duration::ZERO);
        assert_eq!(shift(3660, 60), Duration::from_secs(3600), "ahead");
        assert_eq!(shift(-86_390, 10), Duration::from_secs(86_400), "back");
        assert_eq!(shift(20, 27), Duration::from_secs(7), "a step of seven seconds");
        assert!(shift(20, 27) < TOLERATED && shift(-30, 0) > TOLERATED);
    }
}
