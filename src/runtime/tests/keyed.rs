//! Keyed children behind a [`Dynamic`] handle.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

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

#[tokio::test]
async fn a_start_that_fails_is_the_answer_and_disturbs_nobody() {
    let (spec, keyed) = SupervisorSpec::dynamic();
    let root = Root::start(spec).await.expect("starts");
    keyed.start(quiet("good")).await.expect("starts");
    let bad = || ChildSpec::task("bad", |_| async { panic!("no") }).ready_within(SOON);
    let refusal = keyed.start(bad()).await.expect_err("does not start").to_string();
    assert_eq!(refusal, "the start of bad failed: panic: no");
    assert!(keyed.start(bad()).await.is_err());
    assert_eq!(keyed.children().await.len(), 1);
    assert!(root.stop(SOON).await.is_clean());
    assert_eq!(keyed.children().await, []);
}

#[tokio::test]
async fn terminated_while_it_waits_for_its_restart_it_stays_stopped() {
    let (spec, keyed) = SupervisorSpec::dynamic();
    let pause = Duration::from_millis(60);
    let root = Root::start(spec.backoff(Backoff {
        first: pause,
        max: pause,
    }))
    .await
    .expect("starts");
    let starts = Arc::new(AtomicU32::new(0));
    let counts = starts.clone();
    let bad = ChildSpec::task("bad", move |_| {
        counts.fetch_add(1, Ordering::SeqCst);
        async { Err("at once".into()) }
    });
    keyed.start(bad).await.expect("starts");
    until(async || state(&root, &["bad"]).await == Some(NodeState::Restarting)).await;
    keyed.terminate("bad").await.expect("is there");
    tokio::time::sleep(pause * 3).await;
    assert_eq!(starts.load(Ordering::SeqCst), 1);
    assert_eq!(keyed.terminate("bad").await, Err(StartError::Unknown));
    assert!(root.stop(SOON).await.is_clean());
}

#[tokio::test]
async fn a_terminated_child_is_gone_when_the_answer_comes() {
    let (diary, mut entries) = Diary::new();
    let (spec, keyed) = SupervisorSpec::dynamic();
    let root = Root::start(spec).await.expect("starts");
    for _ in 0..3 {
        keyed.start(steady("a", &diary)).await.expect("starts");
        assert_eq!(read(&mut entries, 1).await, ["a up"]);
        keyed.restart("a").await.expect("restarts");
        assert_eq!(read(&mut entries, 2).await, ["a down", "a up"]);
        keyed.terminate("a").await.expect("is there");
        assert_eq!(entries.try_recv().ok().as_deref(), Some("a down"));
    }
    assert!(root.stop(SOON).await.is_clean());
}

#[tokio::test]
async fn the_handle_finds_the_next_incarnation_of_its_supervisor() {
    let (dynamic, keyed) = SupervisorSpec::dynamic();
    let (diary, mut entries) = Diary::new();
    let crash = Arc::new(tokio::sync::Notify::new());
    let hears = crash.clone();
    let first = ChildSpec::task("first", move |_| {
        let hears = hears.clone();
        async move {
            hears.notified().await;
            Err("asked to".into())
        }
    })
    .shutdown(Shutdown::Kill);
    let spec = SupervisorSpec::new(Strategy::RestForOne)
        .child(first)
        .child(ChildSpec::supervisor("keyed", dynamic));
    let root = Root::start(spec).await.expect("starts");
    keyed.start(steady("a", &diary)).await.expect("starts");
    assert_eq!(read(&mut entries, 1).await, ["a up"]);
    crash.notify_one();
    assert_eq!(read(&mut entries, 1).await, ["a down"]);
    keyed.start(steady("a", &diary)).await.expect("starts");
    assert_eq!(read(&mut entries, 1).await, ["a up"]);
    assert!(root.stop(SOON).await.is_clean());
}

#[tokio::test]
async fn a_whole_subtree_is_a_keyed_child_like_any_other() {
    let (spec, keyed) = SupervisorSpec::dynamic();
    let few = Intensity {
        restarts: 0,
        period: SOON,
    };
    let root = Root::start(spec.intensity(few)).await.expect("starts");
    let bad = ChildSpec::task("runner", |_| async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        Err("lost".into())
    });
    let subtree = SupervisorSpec::new(Strategy::OneForAll)
        .intensity(few)
        .child(quiet("pump"))
        .child(bad);
    keyed.start(quiet("sibling")).await.expect("starts");
    keyed
        .start(ChildSpec::supervisor("ses_1", subtree))
        .await
        .expect("starts");
    until(async || state(&root, &["ses_1"]).await == Some(NodeState::Quarantined)).await;
    assert_eq!(state(&root, &["sibling"]).await, Some(NodeState::Running));
    let node = root
        .tree()
        .snapshot()
        .await
        .find(&["ses_1"])
        .cloned()
        .expect("is there");
    assert_eq!(
        node.last_error.as_deref(),
        Some("restarted too often, at last runner: lost")
    );
    assert!(root.stop(SOON).await.is_clean());
}
