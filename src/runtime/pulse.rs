//! Signs of life: a number that the child moves and its supervisor looks at from outside the child's own loop.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// At rest: waiting for work, which may take for ever.
const AT_REST: u64 = 0;

fn now() -> u64 {
    u64::try_from(EPOCH.elapsed().as_millis()).unwrap_or(u64::MAX) + 1
}

/// When a child last showed life.
#[derive(Debug, Default)]
pub(super) struct Pulse(AtomicU64);

impl Pulse {
    /// Life shown now; from here on the deadline runs.
    pub(super) fn beat(&self) {
        self.0.store(now(), Ordering::Relaxed);
    }

    /// Waiting for work: no deadline runs.
    pub(super) fn rest(&self) {
        self.0.store(AT_REST, Ordering::Relaxed);
    }

    /// How long ago the last sign of life was; `None` while at rest.
    pub(super) fn silence(&self) -> Option<Duration> {
        match self.0.load(Ordering::Relaxed) {
            AT_REST => None,
            beat => Some(Duration::from_millis(now().saturating_sub(beat))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_runs_from_the_last_beat_and_not_at_rest() {
        let pulse = Pulse::default();
        assert_eq!(pulse.silence(), None);
        pulse.beat();
        std::thread::sleep(Duration::from_millis(20));
        assert!(pulse.silence().expect("not at rest") >= Duration::from_millis(19));
        pulse.rest();
        assert_eq!(pulse.silence(), None);
    }
}
