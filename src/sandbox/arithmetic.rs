//! Where what takes a processor long is calculated: beside the asynchronous threads, and a few at a time, so that a
//! crowd at the door does not slow down those who are in.

use std::sync::LazyLock;
use std::thread::available_parallelism;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// Half of the processors, and one at least.
static TURNS: LazyLock<Semaphore> =
    LazyLock::new(|| Semaphore::new(available_parallelism().map_or(1, |count| count.get() / 2).max(1)));

/// Calculates something when its turn comes; nothing comes of it only if it panics, or the process ends.
pub async fn calculate<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let _turn = TURNS.acquire().await.ok()?;
    spawn_blocking(work).await.ok()
}
