//! Handlers at work: each a task that is known, so that work of several steps goes on when its caller hangs up.
//!
//! A handler has the time that its row gives it, and ends with the listener at the latest: the drain waits for it, and
//! cuts it off when the drain is over. One that is cut off may have done a part of its work.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// The handlers of a listener.
#[derive(Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    cut: CancellationToken,
}

/// Why a handler gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// It took longer than its row allows.
    TooLong,
    /// The listener has ended.
    Stopped,
    /// It panicked.
    Panicked,
}

impl Tasks {
    /// Carries work out to its end, whether or not somebody goes on waiting for it.
    pub async fn run<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Cut> {
        let cut = self.cut.clone();
        let work = async move {
            tokio::select! {
                biased;
                () = cut.cancelled() => Err(Cut::Stopped),
                done = tokio::time::timeout(limit, work) => done.map_err(|_| Cut::TooLong),
            }
        };
        let task = self.tracker.spawn(work.in_current_span());
        task.await.unwrap_or(Err(Cut::Panicked))
    }

    /// Waits until all have ended.
    pub async fn ended(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// Has all end where they are.
    pub fn end(&self) {
        self.cut.cancel();
    }

    /// Ends those that are left, and waits for that; how many there were.
    pub async fn cut_off(&self) -> usize {
        let left = self.tracker.len();
        self.end();
        self.ended().await;
        left
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test]
    async fn a_handler_ends_by_itself_in_time_or_with_the_listener() {
        let tasks = Tasks::default();
        let soon = Duration::from_millis(10);
        assert_eq!(tasks.run(Duration::MAX, async { 7 }).await, Ok(7));
        assert_eq!(tasks.run(soon, pending::<()>()).await, Err(Cut::TooLong));
        let panics = async { assert_eq!(1, 2, "a bug of this test") };
        assert_eq!(tasks.run(soon, panics).await, Err(Cut::Panicked));
        let stuck = tasks.run(Duration::from_secs(3600), pending::<()>());
        // Nobody waits for it any more.
        assert!(tokio::time::timeout(soon, stuck).await.is_err());
        assert!(
            tokio::time::timeout(soon, tasks.ended()).await.is_err(),
            "it lives"
        );
        assert_eq!(tasks.cut_off().await, 1);
        assert_eq!(tasks.run(soon, pending::<()>()).await, Err(Cut::Stopped));
    }
}
