//! The life of the process: its limits, its signals, what systemd is told, its end.

use std::process::ExitCode;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};

use super::daemon::Daemon;
use crate::config::Config;
use crate::runtime::{NodeState, Tree, TreeNode};
use crate::telemetry;

/// A start that failed, or a tree that gave up: systemd may try again.
const FAILED: u8 = 1;

/// How rarely the tree is looked at where systemd does not watch.
const UNWATCHED: Duration = Duration::from_secs(3600);

/// Runs the daemon until a signal ends it or its tree gives up.
pub async fn run(config: Config) -> ExitCode {
    telemetry::start_logs(&config.log);
    raise_open_files(config.daemon.open_files);
    bear_file_limits();
    for warning in config.warnings() {
        tracing::warn!(key = warning.key, why = warning.why, "legal, but worth a thought");
    }
    let drain = *config.daemon.drain;
    loop {
        let daemon = match Daemon::start(config.clone()).await {
            Ok(daemon) => daemon,
            Err(error) => {
                tracing::error!(error = %crate::base::chain(&error), "not started");
                return ExitCode::from(FAILED);
            }
        };
        tracing::info!(api = %daemon.api_address().await, "serving");
        tell_systemd(&[NotifyState::Ready]);
        let end = serve(&daemon).await;
        if end.is_some() {
            tell_systemd(&[NotifyState::Stopping]);
        }
        let drained = daemon.stop(drain).await;
        tracing::info!(?drained, "stopped");
        if let Some(code) = end {
            return code;
        }
    }
}

/// Waits for the end, and tells systemd's watchdog meanwhile that the tree is alive; none if the daemon shall begin
/// anew, which restores a damaged store.
async fn serve(daemon: &Daemon) -> Option<ExitCode> {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signals cannot be heard");
        return Some(ExitCode::from(FAILED));
    };
    let allowed = sd_notify::watchdog_enabled();
    let mut watchdog = watchdog(allowed);
    loop {
        tokio::select! {
            _ = terminate.recv() => return Some(ExitCode::SUCCESS),
            _ = interrupt.recv() => return Some(ExitCode::SUCCESS),
            reason = daemon.failed() => {
                tracing::error!(reason = reason.as_str(), "the tree gave up");
                return Some(ExitCode::from(FAILED));
            }
            what = daemon.handles.store.damaged() => {
                tracing::error!(what, "the store is damaged; beginning anew to restore it from the last export");
                return None;
            }
            _ = watchdog.tick() => feed_watchdog(&daemon.tree(), allowed).await,
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
async fn feed_watchdog(tree: &Tree, allowed: Option<Duration>) {
    let bound = allowed.unwrap_or(UNWATCHED) / 2;
    match dead(&tree.snapshot().await, "", bound) {
        None => tell_systemd(&[NotifyState::Watchdog]),
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

fn tell_systemd(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(error = %error, "systemd was not told");
    }
}

/// A limit on the size of files is to be heard as an error, which the store bears like a full disk, and not as the signal
/// that ends the process: once a handler is there it stays.
fn bear_file_limits() {
    let number = rustix::process::Signal::XFSZ.as_raw();
    if let Err(error) = signal(SignalKind::from_raw(number)) {
        tracing::warn!(error = %error, "a limit on the size of files will end the daemon");
    }
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
