//! Heavy arithmetic: key exchanges and passwords, on a few threads of their own.
//!
//! However many logins come at once, one core at least is left to the sessions that are busy. What waits here waits in
//! order; it promises no time.

use std::num::NonZeroUsize;
use std::sync::LazyLock;

use tokio::sync::Semaphore;

/// One core less than there are.
static PLACES: LazyLock<Semaphore> = LazyLock::new(|| {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    Semaphore::new(cores.saturating_sub(1).max(1))
});

/// Does the work as soon as there is a place for it.
pub(super) async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let place = PLACES.acquire().await.expect("it is never closed");
    // The place is kept until the work is done, also if nobody waits for it any more.
    tokio::task::spawn_blocking(move || {
        let _place = place;
        work()
    })
    .await
    .expect("arithmetic does not panic")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn no_more_work_at_once_than_there_are_places() {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let works = (0..cores * 4).map(|_| {
            let (now, most) = (now.clone(), most.clone());
            run(move || {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(5));
                now.fetch_sub(1, Ordering::SeqCst);
            })
        });
        futures_util::future::join_all(works).await;
        assert!(most.load(Ordering::SeqCst) <= cores.saturating_sub(1).max(1));
    }
}
