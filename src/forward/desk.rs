//! Where a pair's worker and the dispatcher meet: which tasks are being tried, which are being changed.
//!
//! In memory only. It outlives the worker's restarts, so that a task that was once tried is never
//! again taken for one that was not.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::pair::{PairRow, PairStats};
use crate::base::{TaskId, Timestamp};

/// One pair's desk.
pub(super) struct Desk {
    pair: watch::Sender<Arc<PairRow>>,
    state: Mutex<State>,
    /// Something may be there to do.
    work: Notify,
    /// How many tries have ended.
    landed: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    /// Grows whenever waiting tasks were changed.
    revision: u64,
    /// Tasks between their try and the commit that follows it.
    flying: HashSet<TaskId>,
    /// When tasks that still wait were tried first, in this run of the daemon.
    tried: HashMap<TaskId, Timestamp>,
    changing: HashSet<TaskId>,
    stats: PairStats,
}

/// Whether a task may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// Yes; it was first tried then, if it was.
    Granted(Option<Timestamp>),
    /// What is known of it is old: read it again.
    Stale,
    /// It is being changed at this moment.
    Changing,
}

impl Desk {
    pub(super) fn new(pair: Arc<PairRow>, stats: PairStats) -> Self {
        Self {
            pair: watch::Sender::new(pair),
            state: Mutex::new(State {
                stats,
                ..State::default()
            }),
            work: Notify::new(),
            landed: watch::Sender::new(0),
        }
    }

    /// The pair as it is now, and word of its changes.
    pub(super) fn pair(&self) -> watch::Receiver<Arc<PairRow>> {
        self.pair.subscribe()
    }

    /// The pair was changed.
    pub(super) fn set_pair(&self, pair: Arc<PairRow>) {
        self.pair.send_replace(pair);
    }

    /// There may be something to do.
    pub(super) fn wake(&self) {
        self.work.notify_one();
    }

    /// Waits until there may be something to do.
    pub(super) async fn work(&self) {
        self.work.notified().await;
    }

    /// A worker begins: what its predecessor was doing has ended.
    pub(super) fn begin(&self) -> u64 {
        let mut state = self.state();
        state.flying.clear();
        let revision = state.revision;
        drop(state);
        self.land();
        revision
    }

    pub(super) fn revision(&self) -> u64 {
        self.state().revision
    }

    /// Asks to try a task that was read at this revision.
    pub(super) fn claim(&self, task: TaskId, revision: u64, now: Timestamp) -> Claim {
        let mut state = self.state();
        if state.changing.contains(&task) {
            return Claim::Changing;
        }
        if state.revision != revision {
            return Claim::Stale;
        }
        state.flying.insert(task);
        let known = state.tried.insert(task, now);
        if let Some(first) = known {
            state.tried.insert(task, first);
        }
        Claim::Granted(known)
    }

    /// A task that was tried goes on waiting.
    pub(super) fn release(&self, task: TaskId) {
        self.state().flying.remove(&task);
        self.land();
    }

    /// A task goes on waiting whose only try surely did nothing: it counts as not tried.
    pub(super) fn release_untried(&self, task: TaskId) {
        self.state().tried.remove(&task);
        self.release(task);
    }

    /// A task that was tried has left its lane.
    pub(super) fn settle(&self, task: TaskId) {
        let mut state = self.state();
        state.flying.remove(&task);
        state.tried.remove(&task);
        drop(state);
        self.land();
    }

    /// Whether a task is between its try and its commit.
    pub(super) fn is_flying(&self, task: TaskId) -> bool {
        self.state().flying.contains(&task)
    }

    /// Takes hold of a waiting task to change it; none if it was tried. While the hold lasts, nobody
    /// tries it; when it ends, the worker reads its lane anew.
    pub(super) fn hold(self: &Arc<Self>, task: TaskId) -> Option<Hold> {
        let mut state = self.state();
        if state.flying.contains(&task) || state.tried.contains_key(&task) {
            return None;
        }
        state.changing.insert(task);
        drop(state);
        Some(Hold {
            desk: self.clone(),
            task,
        })
    }

    /// Waits until all that is being tried now has ended, at most this long.
    pub(super) async fn barrier(&self, patience: Duration) {
        let before: Vec<TaskId> = self.state().flying.iter().copied().collect();
        let mut landed = self.landed.subscribe();
        let ended = landed.wait_for(|_| {
            let state = self.state();
            !before.iter().any(|task| state.flying.contains(task))
        });
        // Too long: the event goes on, and what would have been known by then is not.
        drop(tokio::time::timeout(patience, ended).await);
    }

    pub(super) fn stats(&self) -> PairStats {
        self.state().stats.clone()
    }

    pub(super) fn set_stats(&self, stats: PairStats) {
        self.state().stats = stats;
    }

    fn land(&self) {
        self.landed.send_modify(|landed| *landed += 1);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A waiting task that is being changed.
pub(super) struct Hold {
    desk: Arc<Desk>,
    task: TaskId,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = self.desk.state();
        state.changing.remove(&self.task);
        state.revision += 1;
        drop(state);
        self.desk.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::pair;
    use super::*;
    use crate::base::SessionId;

    const NOW: Timestamp = Timestamp(5);

    fn desk() -> Arc<Desk> {
        Arc::new(Desk::new(
            Arc::new(pair(SessionId::generate())),
            PairStats::default(),
        ))
    }

    #[test]
    fn a_task_is_tried_or_changed_but_never_both() {
        let (desk, task) = (desk(), TaskId::generate());
        let hold = desk.hold(task).expect("free");
        assert_eq!(desk.claim(task, 0, NOW), Claim::Changing);
        drop(hold);
        assert_eq!(desk.claim(task, 0, NOW), Claim::Stale);
        assert_eq!(desk.claim(task, desk.revision(), NOW), Claim::Granted(None));
        assert!(desk.hold(task).is_none());
    }

    #[test]
    fn what_was_tried_stays_tried_until_it_is_settled() {
        let (desk, task) = (desk(), TaskId::generate());
        assert_eq!(desk.claim(task, 0, NOW), Claim::Granted(None));
        desk.release(task);
        assert!(desk.hold(task).is_none());
        assert_eq!(desk.claim(task, 0, Timestamp(9)), Claim::Granted(Some(NOW)));
        desk.begin();
        assert!(desk.hold(task).is_none() && !desk.is_flying(task));
        desk.settle(task);
        assert!(desk.hold(task).is_some());
    }

    #[test]
    fn a_try_that_did_nothing_leaves_the_task_free() {
        let (desk, task) = (desk(), TaskId::generate());
        desk.claim(task, 0, NOW);
        desk.release_untried(task);
        assert!(desk.hold(task).is_some());
    }

    #[tokio::test]
    async fn a_barrier_waits_for_what_flies_and_for_nothing_else() {
        let desk = desk();
        let (early, late) = (TaskId::generate(), TaskId::generate());
        desk.claim(early, 0, NOW);
        let barrier = desk.barrier(Duration::from_secs(20));
        let others = async {
            tokio::task::yield_now().await;
            desk.claim(late, 0, NOW);
            desk.settle(early);
        };
        let began = std::time::Instant::now();
        tokio::join!(barrier, others);
        assert!(began.elapsed() < Duration::from_secs(10));
        assert!(desk.is_flying(late));
    }
}
