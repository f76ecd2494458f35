//! Signs of life: numbers that the child moves and its supervisor looks at from outside the child's own loop.
//!
//! A child shows life when it says so, and it holds a thread from the moment it is polled until it awaits again.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The time at the epoch: a day, so that there is a before.
const BEGINNING: u64 = 24 * 60 * 60 * 1000;

/// At rest (waiting for work, which may take for ever), or holding no thread.
const NOT: u64 = 0;

fn now() -> u64 {
    u64::try_from(EPOCH.elapsed().as_millis()).unwrap_or(u64::MAX) + BEGINNING
}

fn since(moment: &AtomicU64) -> Option<Duration> {
    match moment.load(Ordering::Relaxed) {
        NOT => None,
        then => Some(Duration::from_millis(now().saturating_sub(then))),
    }
}

/// When a child last showed life, and since when it holds a thread.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    life: AtomicU64,
    step: AtomicU64,
}

impl Pulse {
    /// Life shown now; from here on the deadline runs.
    pub(super) fn beat(&self) {
        self.life.store(now(), Ordering::Relaxed);
    }

    /// Waiting for work: no deadline runs.
    pub(super) fn rest(&self) {
        self.life.store(NOT, Ordering::Relaxed);
    }

    /// Rests while a future is waited for, and beats again however that is left.
    pub(super) async fn resting<T>(&self, wait: impl Future<Output = T>) -> T {
        let _rest = Rest::begin(self);
        wait.await
    }

    /// How long ago the last sign of life was; `None` while at rest.
    pub(super) fn silence(&self) -> Option<Duration> {
        since(&self.life)
    }

    /// The last sign of life was that long ago.
    #[cfg(feature = "fault-points")]
    pub(super) fn put_back(&self, by: Duration) {
        let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.life
            .store(now().saturating_sub(by).max(1), Ordering::Relaxed);
    }

    /// How long it has held a thread without an await; `None` while it holds none.
    pub(super) fn step(&self) -> Option<Duration> {
        since(&self.step)
    }

    /// Runs a future whose every step is timed.
    pub(super) async fn steps<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        std::future::poll_fn(|cx| {
            let step = Step::begin(self);
            let polled = Pin::new(&mut work).poll(cx);
            drop(step);
            polled
        })
        .await
    }
}

/// A step that ends however the future is left.
struct Step<'a>(&'a Pulse);

impl<'a> Step<'a> {
    fn begin(pulse: &'a Pulse) -> Self {
        pulse.step.store(now(), Ordering::Relaxed);
        Self(pulse)
    }
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        self.0.step.store(NOT, Ordering::Relaxed);
    }
}

/// A rest that ends however the wait is left: where it is dropped, what comes then is work.
struct Rest<'a>(&'a Pulse);

impl<'a> Rest<'a> {
    fn begin(pulse: &'a Pulse) -> Self {
        pulse.rest();
        Self(pulse)
    }
}

impl Drop for Rest<'_> {
    fn drop(&mut self) {
        self.0.beat();
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

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

    #[test]
    fn a_rest_ends_with_its_wait_and_when_that_is_dropped() {
        let pulse = Pulse::default();
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        pulse.beat();
        let mut wait = Box::pin(pulse.resting(std::future::pending::<()>()));
        assert_eq!(wait.as_mut().poll(&mut cx), Poll::Pending);
        assert_eq!(pulse.silence(), None, "it waits for work");
        // As a `select!` does whose other branch was first.
        drop(wait);
        assert!(pulse.silence().is_some(), "what comes now is work");
        let mut over = Box::pin(pulse.resting(std::future::ready(7)));
        assert_eq!(over.as_mut().poll(&mut cx), Poll::Ready(7));
        drop(over);
        assert!(pulse.silence().is_some());
    }

    #[test]
    fn a_step_lasts_until_the_next_await() {
        let pulse = Pulse::default();
        let mut inside = None;
        let mut steps = Box::pin(pulse.steps(async {
            std::thread::sleep(Duration::from_millis(20));
            inside = pulse.step();
            std::future::pending::<()>().await;
        }));
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert_eq!(steps.as_mut().poll(&mut cx), Poll::Pending);
        assert_eq!(pulse.step(), None, "it waits");
        drop(steps);
        assert!(inside.expect("it held the thread") >= Duration::from_millis(19));
    }
}
