//! Task children: starts, stops, crashes, deadlines, escalation.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::time::{Instant, sleep};

use super::*;

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

#[tokio::test]
async fn a_start_waits_for_the_answer_of_the_one_before() {
    let (diary, mut entries) = Diary::new();
    let tells = diary.clone();
    let slow = ChildSpec::task("slow", move |context| {
        let tells = tells.clone();
        async move {
            sleep(Duration::from_millis(30)).await;
            tells.write("slow ready");
            context.ready();
            context.stop.cancelled().await;
            Ok(())
        }
    });
    let spec = SupervisorSpec::new(Strategy::OneForOne)
        .child(slow.ready_within(SOON))
        .child(steady("next", &diary));
    let root = Root::start(spec).await.expect("starts");
    assert_eq!(read(&mut entries, 2).await, ["slow ready", "next up"]);
    assert!(root.stop(SOON).await.is_clean());
}

#[tokio::test]
async fn a_first_start_that_fails_is_the_answer_and_leaves_nothing_behind() {
    let (diary, mut entries) = Diary::new();
    let bad = ChildSpec::task("bad", |_| async { Err("no such port".into()) }).ready_within(SOON);
    let spec = SupervisorSpec::new(Strategy::OneForOne)
        .child(steady("a", &diary))
        .child(bad);
    let refusal = Root::start(spec).await.err().expect("does not start").to_string();
    assert_eq!(refusal, "the start of root failed: bad: no such port");
    assert_eq!(read(&mut entries, 2).await, ["a up", "a down"]);
}

#[tokio::test]
async fn a_start_without_an_answer_fails_at_its_deadline() {
    let mute = ChildSpec::task("mute", |context| async move {
        context.stop.cancelled().await;
        Ok(())
    });
    let spec = SupervisorSpec::new(Strategy::OneForOne).child(mute.ready_within(Duration::from_millis(20)));
    let refusal = Root::start(spec).await.err().expect("does not start").to_string();
    assert_eq!(refusal, "the start of root failed: mute: did not start in time");
}

#[tokio::test]
async fn a_panic_in_the_closure_itself_is_a_crash_like_any_other() {
    let starts = Arc::new(AtomicU32::new(0));
    let counts = starts.clone();
    let child = ChildSpec::task("odd", move |context| {
        assert!(counts.fetch_add(1, Ordering::SeqCst) > 0, "the first time");
        async move {
            context.stop.cancelled().await;
            Ok(())
        }
    });
    let root = Root::start(SupervisorSpec::new(Strategy::OneForOne).child(child))
        .await
        .expect("starts");
    until(async || starts.load(Ordering::SeqCst) == 2).await;
    let node = root
        .tree()
        .snapshot()
        .await
        .find(&["odd"])
        .cloned()
        .expect("is there");
    assert_eq!(node.last_error.as_deref(), Some("panic: the first time"));
    assert!(root.stop(SOON).await.is_clean());
}

#[tokio::test]
async fn one_that_ignores_its_stop_is_killed_at_its_deadline_and_the_rest_go_on() {
    let (diary, mut entries) = Diary::new();
    let deaf = ChildSpec::task("deaf", |_| std::future::pending());
    let spec = SupervisorSpec::new(Strategy::OneForOne)
        .child(steady("a", &diary))
        .child(deaf.shutdown(Shutdown::Drain(Duration::from_millis(40))))
        .child(steady("c", &diary));
    let root = Root::start(spec).await.expect("starts");
    read(&mut entries, 2).await;
    let began = Instant::now();
    assert!(root.stop(SOON).await.is_clean());
    assert!(began.elapsed() >= Duration::from_millis(40));
    assert_eq!(read(&mut entries, 2).await, ["c down", "a down"]);
}

#[tokio::test]
async fn what_has_not_stopped_at_the_deadline_of_the_tree_is_named_and_killed() {
    let inner =
        SupervisorSpec::new(Strategy::OneForOne).child(ChildSpec::task("deaf", |_| std::future::pending()));
    let spec = SupervisorSpec::new(Strategy::OneForOne)
        .child(quiet("a"))
        .child(ChildSpec::supervisor("b", inner));
    let root = Root::start(spec).await.expect("starts");
    let drained = root.stop(Duration::from_millis(40)).await;
    assert_eq!(drained.unfinished, ["/root/a", "/root/b/deaf"]);
}

#[tokio::test]
async fn a_slow_start_delays_nobody_elses_restart() {
    let starts = Arc::new(AtomicU32::new(0));
    let counts = starts.clone();
    let slow = ChildSpec::task("slow", move |context| {
        let first = counts.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            if first {
                context.ready();
                return Err("once".into());
            }
            std::future::pending().await
        }
    });
    let bad = ChildSpec::task("bad", |_| async {
        sleep(Duration::from_millis(5)).await;
        Err("again".into())
    });
    let spec = SupervisorSpec::new(Strategy::OneForOne)
        .intensity(OFTEN)
        .child(slow.ready_within(SOON))
        .child(bad);
    let root = Root::start(spec).await.expect("starts");
    until(async || {
        let tree = root.tree().snapshot().await;
        let slow = tree.find(&["slow"]).map(|node| (node.state, node.restarts));
        slow == Some((NodeState::Starting, 1)) && tree.find(&["bad"]).is_some_and(|node| node.restarts > 5)
    })
    .await;
    drop(root);
}

#[tokio::test]
async fn a_supervisor_that_gives_up_is_a_crash_for_its_parent_and_at_the_top_for_the_process() {
    let bad = ChildSpec::task("bad", |_| async { Err("again".into()) });
    let few = Intensity {
        restarts: 1,
        period: SOON,
    };
    let inner = SupervisorSpec::new(Strategy::OneForOne).intensity(few).child(bad);
    let outer = SupervisorSpec::new(Strategy::OneForOne)
        .intensity(few)
        .child(ChildSpec::supervisor("inner", inner));
    let root = Root::start(outer).await.expect("starts");
    let reason = tokio::time::timeout(SOON, root.failed())
        .await
        .expect("fails")
        .to_string();
    let once = "restarted too often, at last";
    assert_eq!(reason, format!("{once} inner: {once} bad: again"));
}

#[tokio::test]
async fn a_task_that_hangs_is_noticed_and_one_that_waits_for_work_is_not() {
    let starts = Arc::new(AtomicU32::new(0));
    let counts = starts.clone();
    // Long enough for a busy machine to let the one that beats beat.
    let short = Duration::from_millis(250);
    let hangs = ChildSpec::task("hangs", move |context| {
        let first = counts.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            if first {
                return std::future::pending().await;
            }
            loop {
                context.alive();
                sleep(Duration::from_millis(2)).await;
            }
        }
    });
    let waits = ChildSpec::task("waits", |context| async move {
        context.idle(context.stop.cancelled()).await;
        Ok(())
    });
    let spec = SupervisorSpec::new(Strategy::OneForOne)
        .child(hangs.liveness(short))
        .child(waits.liveness(short));
    let root = Root::start(spec).await.expect("starts");
    until(async || starts.load(Ordering::SeqCst) == 2).await;
    sleep(short * 2).await;
    let tree = root.tree().snapshot().await;
    let hangs = tree.find(&["hangs"]).expect("is there");
    assert_eq!(
        (hangs.restarts, hangs.last_error.as_deref()),
        (1, Some("showed no life in time"))
    );
    assert_eq!(tree.find(&["waits"]).map(|node| node.restarts), Some(0));
    drop(root);
}

#[tokio::test]
async fn a_dropped_tree_takes_its_children_with_it() {
    let alive = Arc::new(());
    let held = alive.clone();
    let child = ChildSpec::task("a", move |_| {
        let held = held.clone();
        async move {
            std::future::pending::<()>().await;
            drop(held);
            Ok(())
        }
    });
    let inner = SupervisorSpec::new(Strategy::OneForAll).child(child);
    let spec = SupervisorSpec::new(Strategy::OneForOne).child(ChildSpec::supervisor("inner", inner));
    let root = Root::start(spec).await.expect("starts");
    assert!(Arc::strong_count(&alive) > 1);
    drop(root);
    until(async || Arc::strong_count(&alive) == 1).await;
}
