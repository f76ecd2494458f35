//! Ends that take their time: of an actor that stops itself, and of what a killed supervisor leaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::Notify;

use super::*;

/// The first one stops itself and never comes to the end of it.
struct Lingering;

impl Actor for Lingering {
    type Msg = ();
    type State = bool;
    type Arguments = bool;

    async fn pre_start(&self, _: ActorRef<()>, lingers: bool) -> Result<bool, ActorProcessingErr> {
        Ok(lingers)
    }

    async fn post_start(&self, myself: ActorRef<()>, lingers: &mut bool) -> Result<(), ActorProcessingErr> {
        if *lingers {
            myself.stop(None);
        }
        Ok(())
    }

    async fn post_stop(&self, _: ActorRef<()>, lingers: &mut bool) -> Result<(), ActorProcessingErr> {
        if *lingers {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

#[tokio::test]
async fn an_actor_that_hangs_over_its_own_end_is_replaced() {
    let started = Arc::new(AtomicU32::new(0));
    let child = ChildSpec::actor("actor", {
        let started = started.clone();
        move |context| {
            let first = started.fetch_add(1, Ordering::SeqCst) == 0;
            async move { context.spawn(Lingering, first).await }
        }
    });
    let spec = SupervisorSpec::new(Strategy::OneForOne).child(child.liveness(Duration::from_millis(40)));
    let root = Root::start(spec).await.expect("starts");
    until(async || started.load(Ordering::SeqCst) == 2).await;
    until(async || state(&root, &["actor"]).await == Some(NodeState::Running)).await;
    assert!(root.stop(SOON).await.is_clean());
}

/// What only one incarnation may hold, and what takes a while to let go.
struct Hold(Arc<AtomicBool>);

impl Hold {
    fn take(held: &Arc<AtomicBool>, twice: &AtomicBool) -> Self {
        twice.fetch_or(held.swap(true, Ordering::SeqCst), Ordering::SeqCst);
        Self(held.clone())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        std::thread::sleep(Duration::from_millis(100));
        self.0.store(false, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_killed_supervisor_is_gone_only_with_its_children() {
    let (held, twice) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (starts, crash) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
    let first = ChildSpec::task("first", {
        let crash = crash.clone();
        move |context| {
            let crash = crash.clone();
            async move {
                tokio::select! {
                    () = context.stop.cancelled() => Ok(()),
                    () = crash.notified() => Err("asked to".into()),
                }
            }
        }
    });
    let stubborn = ChildSpec::task("stubborn", {
        let (held, twice, starts) = (held.clone(), twice.clone(), starts.clone());
        move |_| {
            let hold = Hold::take(&held, &twice);
            starts.fetch_add(1, Ordering::SeqCst);
            async move {
                let _hold = hold;
                std::future::pending().await
            }
        }
    });
    let inner = SupervisorSpec::new(Strategy::OneForOne).child(stubborn.shutdown(Shutdown::Drain(SOON)));
    let inner = ChildSpec::supervisor("inner", inner).shutdown(Shutdown::Drain(Duration::from_millis(10)));
    let spec = SupervisorSpec::new(Strategy::RestForOne)
        .intensity(OFTEN)
        .child(first)
        .child(inner);
    let root = Root::start(spec).await.expect("starts");
    for round in 2..5 {
        crash.notify_one();
        until(async || starts.load(Ordering::SeqCst) == round).await;
        assert!(!twice.load(Ordering::SeqCst), "two incarnations at the same time");
    }
    root.stop(SOON).await;
    until(async || !held.load(Ordering::SeqCst)).await;
}
