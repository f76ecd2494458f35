//! Signals: which ones end the daemon in good order, and which mean nothing to it.
//!
//! They are heard from the beginning of the process to its end, so that none is lost between two daemons of one process.
//! SIGKILL and SIGQUIT (with a core dump) are left to do what they do.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What would end a process that does not know them. SIGXFSZ comes with a limit on the size of files and is to be heard as
/// an error of the write, which the store bears like a full disk; others are sent by habit to programs that reopen logs.
const MEANINGLESS: [rustix::process::Signal; 7] = [
    rustix::process::Signal::XFSZ,
    rustix::process::Signal::USR1,
    rustix::process::Signal::USR2,
    rustix::process::Signal::ALARM,
    rustix::process::Signal::VTALARM,
    rustix::process::Signal::PROF,
    rustix::process::Signal::IO,
];

/// The signals that end the daemon.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// A terminal that was closed; none where the daemon shall outlive it (`nohup`).
    hangup: Option<Signal>,
}

impl Signals {
    /// Hears them from now on.
    ///
    /// # Errors
    /// If the system does not let them be heard.
    pub fn new() -> io::Result<Self> {
        for number in MEANINGLESS {
            // Once a handler is there it stays.
            if let Err(error) = signal(SignalKind::from_raw(number.as_raw())) {
                tracing::warn!(%error, ?number, "this signal will end the daemon");
            }
        }
        // Looked at before a handler is there.
        let outlives_terminal = is_ignored(rustix::process::Signal::HUP.as_raw());
        let hangup = (!outlives_terminal).then(|| signal(SignalKind::hangup()));
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: hangup.transpose()?,
        })
    }

    /// Waits until one of them comes; one that came before is not lost.
    pub async fn told_to_stop(&mut self) -> &'static str {
        let closed = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = closed => "SIGHUP",
        }
    }
}

/// Whether this process was started with a signal ignored.
fn is_ignored(number: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignores(&status, number)
}

fn ignores(status: &str, number: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (number - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_signal_is_seen_in_the_mask() {
        let status = "SigCgt:\t0000000100000000\nSigIgn:\t0000000000001001\n";
        assert!(ignores(status, 1) && ignores(status, 13));
        assert!(!ignores(status, 2) && !ignores(status, 15));
        assert!(!ignores("", 1) && !ignores("SigIgn:\tx\n", 1));
        // The standard library has every program of ours ignore a closed pipe.
        assert!(is_ignored(rustix::process::Signal::PIPE.as_raw()));
    }
}
