//! Real tasks and actors on several threads, ordered about by many callers at once while they crash.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use rand::RngExt;
use tokio::time::sleep;

use super::*;

const IDS: usize = 24;
const CALLERS: usize = 8;
const ORDERS: usize = 150;

/// How many incarnations of each child there are, and whether there ever were two.
#[derive(Default)]
struct Watch {
    alive: [AtomicU32; IDS],
    started: AtomicU32,
    twice: AtomicBool,
}

struct Alive(Arc<Watch>, usize);

impl Alive {
    fn new(watch: &Arc<Watch>, id: usize) -> Self {
        watch.started.fetch_add(1, Ordering::SeqCst);
        if watch.alive[id].fetch_add(1, Ordering::SeqCst) > 0 {
            watch.twice.store(true, Ordering::SeqCst);
        }
        Self(watch.clone(), id)
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.alive[self.1].fetch_sub(1, Ordering::SeqCst);
    }
}

fn dice(upto: u64) -> u64 {
    rand::rng().random_range(0..upto)
}

async fn moment() {
    sleep(Duration::from_micros(dice(3000))).await;
}

/// A task that lives as it likes.
fn moody(id: usize, watch: &Arc<Watch>) -> ChildSpec {
    let watch = watch.clone();
    let task = ChildSpec::task(format!("child-{id}"), move |context| {
        let alive = Alive::new(&watch, id);
        async move {
            let _alive = alive;
            if dice(3) == 0 {
                moment().await;
            }
            match dice(12) {
                0 => return Err("did not want to start".into()),
                1 => panic!("did not want to start"),
                2 => std::future::pending().await,
                _ => context.ready(),
            }
            match dice(6) {
                0 => panic!("at once"),
                1 => return Ok(()),
                2 => moment().await,
                3 => std::future::pending().await,
                _ => context.stop.cancelled().await,
            }
            Err("in the end".into())
        }
    });
    let restart = [Restart::Permanent, Restart::Transient, Restart::Temporary][id % 3];
    let patience = Duration::from_millis(dice(20));
    task.restart(restart)
        .shutdown(Shutdown::Drain(patience))
        .ready_within(Duration::from_millis(20))
}

struct Moody;

impl Actor for Moody {
    type Msg = ();
    type State = Alive;
    type Arguments = (Arc<Watch>, usize);

    async fn pre_start(
        &self,
        myself: ActorRef<()>,
        args: (Arc<Watch>, usize),
    ) -> Result<Alive, ActorProcessingErr> {
        let alive = Alive::new(&args.0, args.1);
        match dice(8) {
            0 => return Err("did not want to start".into()),
            1 => moment().await,
            2 => std::future::pending().await,
            _ => {}
        }
        myself.send_message(())?;
        Ok(alive)
    }

    async fn post_start(&self, _: ActorRef<()>, _: &mut Alive) -> Result<(), ActorProcessingErr> {
        assert!(dice(8) > 0, "at once");
        Ok(())
    }

    async fn handle(&self, myself: ActorRef<()>, (): (), _: &mut Alive) -> Result<(), ActorProcessingErr> {
        match dice(6) {
            0 => return Err("in the end".into()),
            1 => std::future::pending().await,
            2 => myself.stop(None),
            3 => moment().await,
            _ => {}
        }
        Ok(())
    }
}

fn moody_actor(id: usize, watch: &Arc<Watch>) -> ChildSpec {
    let watch = watch.clone();
    let actor = ChildSpec::actor(format!("child-{id}"), move |context| {
        let args = (watch.clone(), id);
        async move { context.spawn(Moody, args).await }
    });
    actor
        .shutdown(Shutdown::Drain(Duration::from_millis(dice(20))))
        .ready_within(Duration::from_millis(20))
        .liveness(Duration::from_millis(20))
}

/// A one_for_all subtree around a task and an actor of the same mood.
fn moody_subtree(id: usize, watch: &Arc<Watch>) -> ChildSpec {
    let few = Intensity {
        restarts: 1,
        period: SOON,
    };
    let spec = SupervisorSpec::new(Strategy::OneForAll)
        .intensity(few)
        .child(quiet("pump"))
        .child(moody(id, watch));
    ChildSpec::supervisor(format!("child-{id}"), spec)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn in_a_storm_of_orders_and_crashes_no_child_is_there_twice_and_none_is_left() {
    std::panic::set_hook(Box::new(|_| {}));
    let (spec, keyed) = SupervisorSpec::dynamic();
    let spec = spec.intensity(Intensity {
        restarts: 3,
        period: SOON,
    });
    let pause = Duration::from_millis(2);
    let root = Root::start(spec.backoff(Backoff {
        first: pause,
        max: pause * 4,
    }))
    .await
    .expect("starts");
    let watch = Arc::new(Watch::default());
    let callers = (0..CALLERS).map(|_| {
        let (keyed, watch) = (keyed.clone(), watch.clone());
        tokio::spawn(async move {
            for _ in 0..ORDERS {
                let id = dice(IDS as u64) as usize;
                let name = format!("child-{id}");
                let answer = match (dice(9), id % 4) {
                    (0..4, 0) => keyed.start(moody_actor(id, &watch)).await,
                    (0..4, 1) => keyed.start(moody_subtree(id, &watch)).await,
                    (0..4, _) => keyed.start(moody(id, &watch)).await,
                    (4 | 5, _) => keyed.terminate(&name).await,
                    (6, _) => keyed.restart(&name).await,
                    (7, _) => keyed.release(&name).await,
                    _ => {
                        moment().await;
                        Ok(())
                    }
                };
                assert_ne!(answer, Err(StartError::Unavailable));
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        tokio::time::timeout(SOON * 6, caller)
            .await
            .expect("every order is answered")
            .expect("as it should be");
    }
    for id in 0..IDS {
        let answer = keyed.terminate(&format!("child-{id}")).await;
        assert!(matches!(answer, Ok(()) | Err(StartError::Unknown)), "{answer:?}");
        // Also of a subtree that had to be killed.
        assert_eq!(
            watch.alive[id].load(Ordering::SeqCst),
            0,
            "it is told of once all of it is gone"
        );
    }
    assert!(watch.started.load(Ordering::SeqCst) > 100);
    assert!(
        !watch.twice.load(Ordering::SeqCst),
        "two incarnations of one child at the same time"
    );
    assert_eq!(keyed.children().await, []);
    assert!(root.stop(SOON).await.is_clean());
}
