//! Bounds that the product promises, with room for a busy machine. Each prints its figure.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::{oneshot, watch};
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
    println!("a thousand children that crashed at once serve again after {took:.1?}");
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
    let (p50, p99) = (times[100], times[197]);
    println!("from a crash to the next start: p50 {p50:.1?}, p99 {p99:.1?}");
    assert!(times[197] < Duration::from_millis(100), "{:?}", times[197]);
    drop(root);
}

/// A sibling that answers each question at once.
fn echo(questions: mpsc::UnboundedReceiver<oneshot::Sender<()>>) -> ChildSpec {
    let questions = Arc::new(tokio::sync::Mutex::new(questions));
    ChildSpec::task("echo", move |context| {
        let questions = questions.clone();
        async move {
            let mut questions = questions.lock().await;
            while let Some(question) = context.idle(questions.recv()).await {
                question.send(()).ok();
            }
            Ok(())
        }
    })
}

/// The p99 of a sibling's answers to paced questions.
async fn p99(ask: &mpsc::UnboundedSender<oneshot::Sender<()>>) -> Duration {
    let mut times = Vec::new();
    for _ in 0..200 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let (question, answer) = oneshot::channel();
        let asked = Instant::now();
        ask.send(question).expect("is there");
        answer.await.expect("answers");
        times.push(asked.elapsed());
    }
    times.sort_unstable();
    times[197]
}

fn median(mut of: Vec<Duration>) -> Duration {
    of.sort_unstable();
    of[of.len() / 2]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn siblings_answer_as_fast_while_others_crash() {
    std::panic::set_hook(Box::new(|_| {}));
    let (ask, questions) = mpsc::unbounded_channel();
    let (spec, keyed) = SupervisorSpec::dynamic();
    let root = Root::start(spec.intensity(OFTEN)).await.expect("starts");
    keyed.start(echo(questions)).await.expect("starts");
    let (storm, _) = watch::channel(false);
    let (storm, crashes) = (Arc::new(storm), Arc::new(AtomicU32::new(0)));
    for n in 0..50 {
        let (storm, crashes) = (storm.clone(), crashes.clone());
        let crasher = ChildSpec::task(format!("crasher-{n}"), move |_| {
            let (mut storm, crashes) = (storm.subscribe(), crashes.clone());
            async move {
                storm.wait_for(|storm| *storm).await?;
                // Each at its own pace: a burst would be the machine's load, not a neighbour's fault.
                tokio::time::sleep(Duration::from_millis(75 + n)).await;
                crashes.fetch_add(1, Ordering::Relaxed);
                panic!("again")
            }
        });
        keyed.start(crasher).await.expect("starts");
    }
    let (mut quiet, mut stormy, began) = (Vec::new(), Vec::new(), Instant::now());
    let mut stormed = Duration::ZERO;
    // In turns, so that what else the machine does falls on both.
    for _ in 0..5 {
        storm.send_replace(false);
        quiet.push(p99(&ask).await);
        storm.send_replace(true);
        let from = began.elapsed();
        stormy.push(p99(&ask).await);
        stormed += began.elapsed() - from;
    }
    let (quiet, stormy) = (median(quiet), median(stormy));
    let rate = f64::from(crashes.load(Ordering::Relaxed)) / stormed.as_secs_f64();
    println!("a sibling's p99: {quiet:.1?} when all is quiet, {stormy:.1?} at {rate:.0} crashes/s");
    assert!(rate > 50.0, "{rate}");
    assert!(
        stormy < quiet * 2 + Duration::from_millis(5),
        "{stormy:?}, {quiet:?}"
    );
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
