//! The shell at work: real tasks and actors under real supervisors.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use tokio::sync::mpsc;

use super::*;

const SOON: Duration = Duration::from_secs(10);

/// Tells what children do, in order.
#[derive(Clone)]
struct Diary(mpsc::UnboundedSender<String>);

impl Diary {
    fn new() -> (Self, mpsc::UnboundedReceiver<String>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    fn write(&self, entry: impl Into<String>) {
        self.0.send(entry.into()).ok();
    }
}

async fn read(diary: &mut mpsc::UnboundedReceiver<String>, count: usize) -> Vec<String> {
    let mut entries = Vec::new();
    while entries.len() < count {
        let entry = tokio::time::timeout(SOON, diary.recv()).await;
        entries.push(entry.expect("written in time").expect("still written"));
    }
    entries
}

/// A task that writes its start and its orderly stop.
fn steady(id: &'static str, diary: &Diary) -> ChildSpec {
    let diary = diary.clone();
    ChildSpec::task(id, move |context| {
        let diary = diary.clone();
        async move {
            diary.write(format!("{id} up"));
            context.stop.cancelled().await;
            diary.write(format!("{id} down"));
            Ok(())
        }
    })
}

#[tokio::test]
async fn children_start_in_order_and_stop_in_reverse() {
    let (diary, mut entries) = Diary::new();
    let inner = SupervisorSpec::new(Strategy::OneForAll)
        .child(steady("b1", &diary))
        .child(steady("b2", &diary));
    let spec = SupervisorSpec::new(Strategy::RestForOne)
        .child(steady("a", &diary))
        .child(ChildSpec::supervisor("b", inner))
        .child(steady("c", &diary));
    let root = Root::start(spec).await.expect("starts");
    let mut up = read(&mut entries, 4).await;
    up.sort();
    assert_eq!(up, ["a up", "b1 up", "b2 up", "c up"]);
    let tree = root.tree().snapshot().await;
    assert_eq!(
        tree.find(&["b", "b2"]).expect("is there").state,
        NodeState::Running
    );
    assert!(root.stop(SOON).await.is_clean());
    assert_eq!(
        read(&mut entries, 4).await,
        ["c down", "b2 down", "b1 down", "a down"]
    );
}

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

#[tokio::test]
async fn a_keyed_child_that_crashes_too_often_is_quarantined_until_its_release() {
    let (spec, keyed) = SupervisorSpec::dynamic();
    let spec = spec.intensity(Intensity {
        restarts: 2,
        period: SOON,
    });
    let root = Root::start(spec).await.expect("starts");
    let (diary, mut entries) = Diary::new();
    let hears = diary.clone();
    keyed.on_quarantine(Arc::new(move |news| {
        hears.write(format!("{} {} {}", news.path, news.reason, news.restarts))
    }));
    let starts = Arc::new(AtomicU32::new(0));
    let counts = starts.clone();
    let bad = ChildSpec::task("bad", move |context| {
        let start = counts.fetch_add(1, Ordering::SeqCst);
        async move {
            assert!(start >= 3, "start {start}");
            context.stop.cancelled().await;
            Ok(())
        }
    });
    keyed.start(steady("good", &diary)).await.expect("starts");
    assert_eq!(read(&mut entries, 1).await, ["good up"]);
    keyed.start(bad).await.expect("starts");
    assert_eq!(read(&mut entries, 1).await, ["root/bad panic: start 2 2"]);
    assert_eq!(
        keyed.start(steady("bad", &diary)).await,
        Err(StartError::Duplicate)
    );
    assert_eq!(keyed.restart("bad").await, Err(StartError::Quarantined));
    keyed.release("bad").await.expect("released");
    let states: Vec<_> = keyed
        .children()
        .await
        .into_iter()
        .map(|node| (node.id, node.state))
        .collect();
    assert_eq!(
        states,
        [
            ("good".into(), NodeState::Running),
            ("bad".into(), NodeState::Running)
        ]
    );
    assert_eq!(starts.load(Ordering::SeqCst), 4);
    assert!(root.stop(SOON).await.is_clean());
}
