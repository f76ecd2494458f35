//! The life of the process: its limits, its signals, what systemd is told, its end.

use std::process::ExitCode;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};

use super::daemon::Daemon;
use crate::config::Config;
use crate::telemetry;

/// A start that failed, or a tree that gave up: systemd may try again.
const FAILED: u8 = 1;

/// Runs the daemon until a signal ends it or its tree gives up.
pub async fn run(config: Config) -> ExitCode {
    telemetry::start_logs(&config.log);
    raise_open_files(config.daemon.open_files);
    for warning in config.warnings() {
        tracing::warn!(key = warning.key, why = warning.why, "legal, but worth a thought");
    }
    let drain = *config.daemon.drain;
    let daemon = match Daemon::start(config).await {
        Ok(daemon) => daemon,
        Err(error) => {
            tracing::error!(error = %crate::base::chain(&error), "not started");
            return ExitCode::from(FAILED);
        }
    };
    tracing::info!(api = %daemon.api_address().await, "serving");
    tell_systemd(&[NotifyState::Ready]);
    let code = serve(&daemon).await;
    tell_systemd(&[NotifyState::Stopping]);
    let drained = daemon.stop(drain).await;
    tracing::info!(?drained, "stopped");
    code
}

/// Waits for the end, and tells systemd's watchdog meanwhile that the tree is alive.
async fn serve(daemon: &Daemon) -> ExitCode {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signals cannot be heard");
        return ExitCode::from(FAILED);
    };
    let mut watchdog = watchdog();
    loop {
        tokio::select! {
            _ = terminate.recv() => return ExitCode::SUCCESS,
            _ = interrupt.recv() => return ExitCode::SUCCESS,
            reason = daemon.failed() => {
                tracing::error!(reason = reason.as_str(), "the tree gave up");
                return ExitCode::from(FAILED);
            }
            _ = watchdog.tick() => feed_watchdog(daemon).await,
        }
    }
}

/// Ticks twice within the time that systemd allows; rarely if it does not watch.
fn watchdog() -> tokio::time::Interval {
    let allowed = sd_notify::watchdog_enabled().unwrap_or(Duration::from_secs(3600));
    tokio::time::interval((allowed / 2).max(Duration::from_millis(100)))
}

/// Only a tree that answers feeds the watchdog.
async fn feed_watchdog(daemon: &Daemon) {
    daemon.tree().snapshot().await;
    tell_systemd(&[NotifyState::Watchdog]);
}

fn tell_systemd(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(error = %error, "systemd was not told");
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
