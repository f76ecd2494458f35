//! The life of the process: its limits, its signals, what systemd is told, its end.
//!
//! A signal that comes while the daemon starts, or is restored in place, ends it too: what is under way has as long as a
//! drain takes, and is then left as a kill would leave it, which every start bears. systemd is shown life meanwhile; each
//! part of a start has a deadline of its own.

use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use super::daemon::{Daemon, DaemonError};
use super::notify::{Systemd, Word};
use super::signals::Signals;
use crate::config::Config;
use crate::runtime::{NodeState, Tree, TreeNode};
use crate::telemetry;

/// A start that failed, or a tree that gave up: systemd may try again.
const FAILED: u8 = 1;

/// How rarely the tree is looked at where systemd does not watch.
const UNWATCHED: Duration = Duration::from_secs(3600);

/// For how much longer a start or a stop asks systemd to wait, and how often it does.
const MORE: Duration = Duration::from_secs(60);
const ASKS_EVERY: Duration = Duration::from_secs(10);

/// Runs the daemon until a signal ends it or its tree gives up.
pub async fn run(config: Config) -> ExitCode {
    telemetry::start_logs(&config.log);
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => {
            tracing::error!(%error, "signals cannot be heard");
            return ExitCode::from(FAILED);
        }
    };
    raise_open_files(config.daemon.open_files);
    for warning in config.warnings() {
        tracing::warn!(key = warning.key, why = warning.why, "configuration warning");
    }
    let systemd = Systemd::of_environment();
    loop {
        match live(&config, &mut signals, &systemd).await {
            After::End(code) => return code,
            After::Restore => {}
        }
    }
}

/// What follows when a daemon has stopped.
enum After {
    /// The process ends.
    End(ExitCode),
    /// A daemon begins anew, which restores the damaged store.
    Restore,
}

/// One daemon, from its start to its stop.
async fn live(config: &Config, signals: &mut Signals, systemd: &Systemd) -> After {
    let drain = *config.daemon.drain;
    let start = Daemon::start(config.clone());
    let started = begin(start, signals.told_to_stop(), drain, systemd).await;
    let daemon = match started {
        Begun::Whole(Ok(daemon)) => daemon,
        Begun::Whole(Err(error)) => return After::End(not_started(&error)),
        Begun::Told(Some(Ok(daemon))) => {
            stop(daemon, drain, systemd).await;
            return After::End(ExitCode::SUCCESS);
        }
        Begun::Told(Some(Err(error))) => {
            not_started(&error);
            return After::End(ExitCode::SUCCESS);
        }
        Begun::Told(None) => {
            tracing::warn!("the start did not end in time and is left as it is");
            return After::End(ExitCode::SUCCESS);
        }
    };
    tracing::info!(api = %daemon.api_address().await, "serving");
    systemd.tell(Word::Ready);
    let after = serve(&daemon, signals, systemd).await;
    if matches!(after, After::End(_)) {
        systemd.tell(Word::Stopping);
    }
    stop(daemon, drain, systemd).await;
    after
}

fn not_started(error: &DaemonError) -> ExitCode {
    tracing::error!(error = %crate::base::chain(error), "not started");
    ExitCode::from(FAILED)
}

async fn stop(daemon: Daemon, drain: Duration, systemd: &Systemd) {
    let drained = alive(daemon.stop(drain), systemd).await;
    tracing::info!(?drained, "stopped");
}

/// How a start went.
#[derive(Debug)]
enum Begun<T> {
    /// Nothing came in between.
    Whole(T),
    /// The daemon was told to stop meanwhile; the start ended in time, or not.
    Told(Option<T>),
}

/// Carries out a start and shows life meanwhile. From the moment when the daemon is told to stop, what is left of the start
/// has the time of a drain.
async fn begin<T>(
    start: impl Future<Output = T>,
    told: impl Future<Output = &'static str>,
    drain: Duration,
    systemd: &Systemd,
) -> Begun<T> {
    let mut start = pin!(alive(start, systemd));
    tokio::select! {
        started = &mut start => Begun::Whole(started),
        signal = told => {
            tracing::info!(signal, "told to stop before it served");
            systemd.tell(Word::Stopping);
            Begun::Told(tokio::time::timeout(drain, start).await.ok())
        }
    }
}

/// Does something that takes its time, and shows systemd life meanwhile.
async fn alive<T>(work: impl Future<Output = T>, systemd: &Systemd) -> T {
    let every = systemd.watchdog().map_or(ASKS_EVERY, |allowed| allowed / 4);
    let mut ticks = tokio::time::interval(every.clamp(Duration::from_millis(50), ASKS_EVERY));
    // What is done at once needs no more time.
    ticks.reset();
    let mut work = pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            _ = ticks.tick() => {
                systemd.tell(Word::Extend(MORE));
                systemd.tell(Word::Watchdog);
            }
        }
    }
}

/// Waits for the end, and tells systemd's watchdog meanwhile that the tree is alive.
async fn serve(daemon: &Daemon, signals: &mut Signals, systemd: &Systemd) -> After {
    let allowed = systemd.watchdog();
    let mut watchdog = watchdog(allowed);
    loop {
        tokio::select! {
            signal = signals.told_to_stop() => {
                tracing::info!(signal, "told to stop");
                return After::End(ExitCode::SUCCESS);
            }
            reason = daemon.failed() => {
                tracing::error!(reason = reason.as_str(), "the tree gave up");
                return After::End(ExitCode::from(FAILED));
            }
            what = daemon.handles.store.damaged() => {
                tracing::error!(what, "the store is damaged; beginning anew to restore it from the last export");
                return After::Restore;
            }
            _ = watchdog.tick() => feed_watchdog(&daemon.tree(), allowed, systemd).await,
        }
    }
}

/// Ticks four times within the time that systemd allows, so that one late answer of a busy tree is no end;
/// rarely if it does not watch.
fn watchdog(allowed: Option<Duration>) -> tokio::time::Interval {
    let allowed = allowed.unwrap_or(UNWATCHED);
    let mut ticks = tokio::time::interval((allowed / 4).max(Duration::from_millis(50)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks
}

/// Only a tree of which every supervisor answers and every child lets go of its thread now and then feeds the watchdog:
/// a supervisor that is silent will heal nothing any more, a child that computes without an await cannot be killed, and
/// what they hold can be ended only with the process.
async fn feed_watchdog(tree: &Tree, allowed: Option<Duration>, systemd: &Systemd) {
    let bound = allowed.unwrap_or(UNWATCHED) / 2;
    match dead(&tree.snapshot().await, "", bound) {
        None => systemd.tell(Word::Watchdog),
        Some((child, why)) => tracing::error!(child, why, "the watchdog is not fed"),
    }
}

/// The path of the first part that only the end of the process can end, and what is wrong with it.
fn dead(node: &TreeNode, above: &str, bound: Duration) -> Option<(String, &'static str)> {
    let path = format!("{above}{}", node.id);
    if node.state == NodeState::Unknown {
        return Some((path, "its supervisor does not answer"));
    }
    let held = node.stuck_ms.map(Duration::from_millis);
    if held.is_some_and(|held| held >= bound) {
        return Some((path, "it holds a thread and does not let go"));
    }
    let above = format!("{path}/");
    node.children.iter().find_map(|child| dead(child, &above, bound))
}

/// Raises the soft limit on open files towards what is wanted, as far as the hard limit allows.
fn raise_open_files(wanted: u64) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let soft = limit.maximum.map_or(wanted, |hard| hard.min(wanted));
    if limit.current.is_some_and(|current| current >= soft) {
        return;
    }
    let raised = Rlimit {
        current: Some(soft),
        maximum: limit.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => tracing::debug!(open_files = soft, "raised the limit"),
        Err(error) => tracing::warn!(error = %error, "the limit on open files stays"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::*;
    use crate::base::Timestamp;
    use crate::runtime::{ChildSpec, NodeKind, Root, Strategy, SupervisorSpec};

    const CALM: u8 = 0;
    const TOLD_TO_BURN: u8 = 1;
    const BURNING: u8 = 2;
    const BOUND: Duration = Duration::from_secs(1);

    /// A tree with a child that burns its thread without an await, as long as it is told to.
    async fn tree(phase: Arc<AtomicU8>) -> Root {
        let inner = SupervisorSpec::new(Strategy::OneForOne).child(ChildSpec::task("burns", move |task| {
            let phase = phase.clone();
            async move {
                while phase.load(Ordering::SeqCst) != TOLD_TO_BURN {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                phase.store(BURNING, Ordering::SeqCst);
                while phase.load(Ordering::SeqCst) == BURNING {
                    std::hint::spin_loop();
                }
                task.stop.cancelled().await;
                Ok(())
            }
        }));
        let outer = SupervisorSpec::new(Strategy::OneForOne).child(ChildSpec::supervisor("inner", inner));
        Root::start(outer).await.expect("starts")
    }

    async fn never() -> &'static str {
        std::future::pending().await
    }

    async fn at_once() -> &'static str {
        "SIGTERM"
    }

    #[tokio::test]
    async fn a_signal_is_heard_while_the_daemon_starts() {
        let systemd = Systemd::of_environment();
        let (brief, long) = (Duration::from_millis(50), Duration::from_secs(60));
        let start = || async {
            tokio::time::sleep(brief).await;
            1
        };
        let begun = begin(start(), never(), brief, &systemd).await;
        assert!(matches!(begun, Begun::Whole(1)), "{begun:?}");
        let begun = begin(start(), at_once(), long, &systemd).await;
        assert!(
            matches!(begun, Begun::Told(Some(1))),
            "what has begun is finished: {begun:?}"
        );
        let endless = std::future::pending::<()>();
        let begun = begin(endless, at_once(), brief, &systemd).await;
        assert!(
            matches!(begun, Begun::Told(None)),
            "but nobody waits for longer than a drain: {begun:?}"
        );
    }

    #[test]
    fn a_tree_that_cannot_answer_feeds_no_watchdog() {
        let threads = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let phase = Arc::new(AtomicU8::new(CALM));
        let root = threads.block_on(tree(phase.clone()));
        let live = root.tree();
        assert_eq!(dead(&threads.block_on(live.snapshot()), "", UNWATCHED), None);
        phase.store(TOLD_TO_BURN, Ordering::SeqCst);
        while phase.load(Ordering::SeqCst) != BURNING {
            std::thread::yield_now();
        }
        let (told, heard) = std::sync::mpsc::channel();
        let main = threads.handle().clone();
        let feeder = std::thread::spawn(move || {
            // As the daemon's main thread does it: the question is asked from outside the burnt thread.
            told.send(dead(&main.block_on(live.snapshot()), "", UNWATCHED))
                .expect("heard");
        });
        let answer = heard.recv_timeout(Duration::from_secs(3));
        phase.store(CALM, Ordering::SeqCst);
        assert!(
            !matches!(answer, Ok(None)),
            "a burnt tree was taken for a live one"
        );
        feeder.join().expect("no panic");
        threads.block_on(root.stop(Duration::from_secs(5)));
    }

    #[test]
    fn the_silent_supervisor_is_named_by_its_path() {
        let node = |id: &str, state, children| TreeNode {
            id: id.to_owned(),
            kind: NodeKind::Supervisor,
            strategy: None,
            state,
            since: Timestamp::now(),
            restarts: 0,
            restarts_left: None,
            last_error: None,
            stuck_ms: None,
            mailbox: None,
            children,
        };
        let whole = |state| {
            let parts = ["sessions", "pairs"].map(|id| node(id, NodeState::Running, Vec::new()));
            let mut services = node("services", NodeState::Running, parts.into());
            services.children[1].state = state;
            node("root", NodeState::Running, vec![services])
        };
        assert_eq!(dead(&whole(NodeState::Quarantined), "", BOUND), None);
        let found = dead(&whole(NodeState::Unknown), "", BOUND).expect("one is silent");
        assert_eq!(found.0, "root/services/pairs");
    }

    /// The daemon's own tree has more threads than a burnt child holds: mostly it answers, and tells of the child.
    /// Where no other thread looks after timers any more, it says nothing at all.
    #[test]
    fn one_burnt_thread_of_several_is_the_watchdogs_too() {
        let threads = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let phase = Arc::new(AtomicU8::new(CALM));
        let root = threads.block_on(tree(phase.clone()));
        phase.store(TOLD_TO_BURN, Ordering::SeqCst);
        while phase.load(Ordering::SeqCst) != BURNING {
            std::thread::yield_now();
        }
        let (told, heard) = std::sync::mpsc::channel();
        let (main, live) = (threads.handle().clone(), root.tree());
        let feeder = std::thread::spawn(move || {
            std::thread::sleep(BOUND * 2);
            let found = dead(&main.block_on(live.snapshot()), "", BOUND);
            told.send(found).expect("heard");
        });
        let found = heard.recv_timeout(BOUND * 10);
        phase.store(CALM, Ordering::SeqCst);
        feeder.join().expect("no panic");
        if let Ok(found) = found {
            let (path, why) = found.expect("the burnt thread is seen");
            // Whether its supervisor still has a thread to answer from is chance.
            match why.contains("thread") {
                true => assert_eq!(path, "root/inner/burns"),
                false => assert!("root/inner".starts_with(&path), "{path}"),
            }
        }
        threads.block_on(root.stop(Duration::from_secs(5)));
    }
}
