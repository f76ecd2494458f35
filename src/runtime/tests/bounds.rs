//! Bounds that the product promises, with room for a busy machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::watch;
use tokio::time::Instant;

use super::*;

#[tokio::test]
async fn a_thousand_children_that_crash_at_once_serve_again_within_two_seconds() {
    let (spec, keyed) = SupervisorSpec::dynamic();
    let root = Root::start(spec).await.expect("starts");
    let (crash, _) = watch::channel(());
    let crash = Arc::new(crash);
    let up = Arc::new(AtomicU32::new(0));
    for n in 0..1000 {
        let (crash, up) = (crash.clone(), up.clone());
        let child = ChildSpec::task(format!("child-{n}"), move |_| {
            let mut asked = crash.subscribe();
            let up = up.clone();
            async move {
                up.fetch_add(1, Ordering::SeqCst);
                asked.changed().await?;
                panic!("asked to")
            }
        });
        keyed.start(child).await.expect("starts");
    }
    until(async || up.load(Ordering::SeqCst) == 1000).await;
    let began = Instant::now();
    // A thousand panics at once would print a thousand lines.
    std::panic::set_hook(Box::new(|_| {}));
    crash.send_replace(());
    until(async || up.load(Ordering::SeqCst) == 2000).await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert!(keyed.children().await.iter().all(|node| node.restarts == 1));
    drop(root);
}

#[tokio::test]
async fn a_restart_takes_less_than_a_tenth_of_a_second() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let child = ChildSpec::task("child", move |_| {
        let tell = tell.clone();
        async move {
            tell.send(Instant::now())?;
            tokio::time::sleep(Duration::from_millis(1)).await;
            tell.send(Instant::now())?;
            Err("again".into())
        }
    });
    let spec = SupervisorSpec::new(Strategy::OneForOne)
        .intensity(OFTEN)
        .child(child);
    let root = Root::start(spec).await.expect("starts");
    let mut times = Vec::new();
    told.recv().await.expect("starts");
    while times.len() < 200 {
        let crashed = told.recv().await.expect("crashes");
        let back = told.recv().await.expect("is started again");
        times.push(back - crashed);
    }
    times.sort_unstable();
    assert!(times[197] < Duration::from_millis(100), "{:?}", times[197]);
    drop(root);
}

/// Resident memory in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .expect("is listed");
    let kib: usize = line.trim().trim_end_matches(" kB").parse().expect("is a number");
    kib * 1024
}

#[tokio::test]
async fn a_task_child_costs_about_a_kilobyte_and_a_subtree_of_three_a_few() {
    let (spec, keyed) = SupervisorSpec::dynamic();
    let root = Root::start(spec).await.expect("starts");
    let before = resident();
    for n in 0..5000 {
        keyed.start(quiet(format!("task-{n}"))).await.expect("starts");
    }
    let tasks = (resident() - before) / 5000;
    let before = resident();
    for n in 0..2000 {
        let subtree = SupervisorSpec::new(Strategy::OneForAll);
        let subtree = subtree
            .child(quiet("actor"))
            .child(quiet("runner"))
            .child(quiet("pump"));
        keyed
            .start(ChildSpec::supervisor(format!("subtree-{n}"), subtree))
            .await
            .expect("starts");
    }
    let subtrees = (resident() - before) / 2000;
    println!("task {tasks} B, subtree of three {subtrees} B");
    assert!(tasks < 3000, "{tasks} B");
    assert!(subtrees < 14_000, "{subtrees} B");
    drop(root);
}
