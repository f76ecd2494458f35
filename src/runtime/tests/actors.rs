//! Actor children and their addresses.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use tokio::time::{Instant, sleep};

use super::*;

struct Counter;

enum CounterMsg {
    Add,
    Get(RpcReplyPort<u32>),
    Panic,
}

impl Actor for Counter {
    type Msg = CounterMsg;
    type State = u32;
    type Arguments = Address<CounterMsg>;

    async fn pre_start(
        &self,
        myself: ActorRef<CounterMsg>,
        address: Address<CounterMsg>,
    ) -> Result<u32, ActorProcessingErr> {
        address.set(myself);
        Ok(0)
    }

    async fn handle(
        &self,
        _: ActorRef<CounterMsg>,
        message: CounterMsg,
        count: &mut u32,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            CounterMsg::Add => *count += 1,
            CounterMsg::Get(reply) => reply.send(*count)?,
            CounterMsg::Panic => panic!("asked to"),
        }
        Ok(())
    }
}

#[tokio::test]
async fn an_actor_that_panics_is_found_again_at_its_address() {
    let address = Address::new();
    let lives_at = address.clone();
    let actor = ChildSpec::actor("counter", move |context| {
        let address = lives_at.clone();
        async move { context.spawn(Counter, address).await }
    });
    let root = Root::start(SupervisorSpec::new(Strategy::OneForOne).child(actor))
        .await
        .expect("starts");
    address.cast(CounterMsg::Add).await.expect("delivered");
    assert_eq!(address.call(CounterMsg::Get).await, Ok(1));
    address.cast(CounterMsg::Panic).await.expect("delivered");
    while address.call(CounterMsg::Get).await != Ok(0) {}
    let tree = root.tree().snapshot().await;
    let node = tree.find(&["counter"]).expect("is there");
    assert_eq!((node.restarts, node.last_error.as_deref()), (1, Some("asked to")));
    assert!(root.stop(SOON).await.is_clean());
    assert_eq!(address.try_cast(CounterMsg::Add), Err(CallError::Absent));
}

/// An actor whose behaviour is a script.
struct Scripted(Script);

#[derive(Clone, Default)]
struct Script {
    /// Fails its start while this is above zero.
    failing: Arc<AtomicU32>,
    /// Panics in `post_start`.
    late: Arc<AtomicBool>,
    handled: Arc<AtomicU32>,
    held: Arc<AtomicBool>,
}

/// Something that only one incarnation may hold, and that takes a while to let go.
struct Hold(Arc<AtomicBool>);

impl Drop for Hold {
    fn drop(&mut self) {
        std::thread::sleep(Duration::from_millis(20));
        self.0.store(false, Ordering::SeqCst);
    }
}

enum Order {
    Work,
    Hang,
    Fail,
    Panic,
    Reply(RpcReplyPort<()>),
}

impl Actor for Scripted {
    type Msg = Order;
    type State = Hold;
    type Arguments = Address<Order>;

    async fn pre_start(
        &self,
        myself: ActorRef<Order>,
        at: Address<Order>,
    ) -> Result<Hold, ActorProcessingErr> {
        let failing = self.0.failing.load(Ordering::SeqCst);
        if failing > 0 {
            self.0.failing.store(failing - 1, Ordering::SeqCst);
            return Err("not yet".into());
        }
        assert!(
            !self.0.held.swap(true, Ordering::SeqCst),
            "the one before still holds it"
        );
        at.set(myself);
        Ok(Hold(self.0.held.clone()))
    }

    async fn post_start(&self, _: ActorRef<Order>, _: &mut Hold) -> Result<(), ActorProcessingErr> {
        assert!(!self.0.late.load(Ordering::SeqCst), "too late");
        Ok(())
    }

    async fn handle(&self, _: ActorRef<Order>, order: Order, _: &mut Hold) -> Result<(), ActorProcessingErr> {
        self.0.handled.fetch_add(1, Ordering::SeqCst);
        match order {
            Order::Work => sleep(Duration::from_millis(1)).await,
            Order::Hang => std::future::pending().await,
            Order::Fail => return Err("asked to fail".into()),
            Order::Panic => panic!("asked to panic"),
            Order::Reply(reply) => reply.send(())?,
        }
        Ok(())
    }
}

fn scripted(script: &Script, at: &Address<Order>) -> ChildSpec {
    let (script, at) = (script.clone(), at.clone());
    ChildSpec::actor("actor", move |context| {
        let (script, at) = (script.clone(), at.clone());
        async move { context.spawn(Scripted(script), at).await }
    })
}

async fn alone(child: ChildSpec) -> Root {
    let spec = SupervisorSpec::new(Strategy::OneForOne)
        .intensity(OFTEN)
        .child(child);
    Root::start(spec).await.expect("starts")
}

#[tokio::test]
async fn every_way_to_fail_is_told_and_the_next_one_finds_nothing_held() {
    let (script, at) = (Script::default(), Address::new());
    let root = alone(scripted(&script, &at)).await;
    for (order, said) in [(Order::Fail, "asked to fail"), (Order::Panic, "asked to panic")] {
        at.cast(order).await.expect("delivered");
        until(async || {
            let tree = root.tree().snapshot().await;
            tree.find(&["actor"])
                .and_then(|node| node.last_error.clone())
                .as_deref()
                == Some(said)
        })
        .await;
        at.call(Order::Reply).await.expect("answers");
    }
    assert_eq!(
        root.tree()
            .snapshot()
            .await
            .find(&["actor"])
            .map(|node| node.restarts),
        Some(2)
    );
    assert!(root.stop(SOON).await.is_clean());
}

#[tokio::test]
async fn a_start_that_fails_at_a_restart_is_tried_again() {
    let (script, at) = (Script::default(), Address::new());
    let root = alone(scripted(&script, &at)).await;
    script.failing.store(3, Ordering::SeqCst);
    at.cast(Order::Fail).await.expect("delivered");
    until(async || at.call(Order::Reply).await.is_ok()).await;
    assert_eq!(
        root.tree()
            .snapshot()
            .await
            .find(&["actor"])
            .map(|node| node.restarts),
        Some(4)
    );
    assert!(root.stop(SOON).await.is_clean());
}

#[tokio::test]
async fn an_actor_that_cannot_start_is_the_answer() {
    let (script, at) = (Script::default(), Address::new());
    let (spec, keyed) = SupervisorSpec::dynamic();
    let root = Root::start(spec).await.expect("starts");
    script.failing.store(1, Ordering::SeqCst);
    let refusal = keyed
        .start(scripted(&script, &at))
        .await
        .expect_err("does not start")
        .to_string();
    assert_eq!(refusal, "the start of actor failed: not yet");
    keyed.start(scripted(&script, &at)).await.expect("starts");
    assert!(root.stop(SOON).await.is_clean());
}

#[tokio::test]
async fn a_panic_after_the_start_is_not_lost() {
    let (script, at) = (Script::default(), Address::new());
    let (spec, keyed) = SupervisorSpec::dynamic();
    let root = Root::start(spec.intensity(Intensity {
        restarts: 0,
        period: SOON,
    }))
    .await
    .expect("starts");
    script.late.store(true, Ordering::SeqCst);
    // Whether it is the start's answer or the crash of a running child is a race; either way it is seen.
    match keyed.start(scripted(&script, &at)).await {
        Err(refusal) => assert_eq!(refusal.to_string(), "the start of actor failed: too late"),
        Ok(()) => until(async || state(&root, &["actor"]).await == Some(NodeState::Quarantined)).await,
    }
    assert!(root.stop(SOON).await.is_clean());
}

#[tokio::test]
async fn an_actor_that_hangs_in_a_handler_is_replaced_and_an_idle_one_is_not() {
    let (script, at) = (Script::default(), Address::new());
    let short = Duration::from_millis(40);
    let root = alone(scripted(&script, &at).liveness(short)).await;
    sleep(short * 4).await;
    assert_eq!(
        root.tree()
            .snapshot()
            .await
            .find(&["actor"])
            .map(|node| node.restarts),
        Some(0)
    );
    at.cast(Order::Hang).await.expect("delivered");
    let began = Instant::now();
    assert_eq!(at.call(Order::Reply).await, Err(CallError::Lost));
    at.call(Order::Reply).await.expect("the next one answers");
    assert!(began.elapsed() >= short);
    let tree = root.tree().snapshot().await;
    let node = tree.find(&["actor"]).expect("is there");
    assert_eq!(
        (node.restarts, node.last_error.as_deref()),
        (1, Some("showed no life in time"))
    );
    assert!(root.stop(SOON).await.is_clean());
}

#[tokio::test]
async fn a_stop_lets_the_mailbox_run_empty() {
    let (script, at) = (Script::default(), Address::new());
    let root = alone(scripted(&script, &at)).await;
    for _ in 0..50 {
        at.cast(Order::Work).await.expect("delivered");
    }
    assert!(root.stop(SOON).await.is_clean());
    assert_eq!(script.handled.load(Ordering::SeqCst), 50);
    assert!(!script.held.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_caller_waits_for_nobody_longer_than_its_patience() {
    let at: Address<Order> = Address::new().patience(Duration::from_millis(20));
    assert_eq!(at.call(Order::Reply).await, Err(CallError::Absent));
    let script = Script::default();
    let root = alone(scripted(&script, &at)).await;
    at.cast(Order::Hang).await.expect("delivered");
    let hurried = at.clone().timeout(Duration::from_millis(20));
    assert_eq!(hurried.call(Order::Reply).await, Err(CallError::TimedOut));
    drop(root);
    until(async || !at.is_present()).await;
}

#[tokio::test]
async fn an_actor_that_panics_answers_again_within_a_tenth_of_a_second() {
    std::panic::set_hook(Box::new(|_| {}));
    let (script, at) = (Script::default(), Address::new());
    let root = alone(scripted(&script, &at)).await;
    let mut times = Vec::new();
    for _ in 0..50 {
        let began = Instant::now();
        at.cast(Order::Panic).await.expect("delivered");
        // The first of these may still have gone to the one that panicked.
        while at.call(Order::Reply).await.is_err() {}
        times.push(began.elapsed());
    }
    times.sort_unstable();
    assert!(times[48] < Duration::from_millis(100), "{:?}", times[48]);
    drop(root);
}
