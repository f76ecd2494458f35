//! A process that is measured: started here, ended here, with its processor time and its memory.

use std::io;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A running process; dropping it kills it.
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts it, quiet but for its errors.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        let child = command.stdin(Stdio::null()).spawn()?;
        Ok(Self { child })
    }

    /// The child, for its output.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Processor time used so far, in user mode and in the kernel.
    pub fn cpu(&self) -> Duration {
        let text = self.proc("stat");
        // The name, in brackets, may hold spaces: fields are counted behind it. 14 and 15 are utime and stime.
        let fields: Vec<&str> = text
            .rsplit_once(')')
            .map_or("", |(_, rest)| rest)
            .split_whitespace()
            .collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
        let ticks = ticks(11).unwrap_or(0) + ticks(12).unwrap_or(0);
        Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
    }

    /// Memory that is resident and its own, in KiB.
    pub fn memory(&self) -> u64 {
        let status = self.proc("status");
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
            .unwrap_or(0)
    }

    fn proc(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).unwrap_or_default()
    }

    /// Asks it to stop, and waits for the end; after the time it is killed.
    pub async fn stop(mut self, patience: Duration) {
        let id = i32::try_from(self.child.id()).expect("a process id");
        let pid = rustix::process::Pid::from_raw(id).expect("a process id is not 0");
        if rustix::process::kill_process(pid, rustix::process::Signal::TERM).is_ok() {
            let end = tokio::time::Instant::now() + patience;
            while tokio::time::Instant::now() < end {
                if !matches!(self.child.try_wait(), Ok(None)) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) && self.child.kill().is_ok() {
            // It is gone; how it ended is known.
            let _ = self.child.wait();
        }
    }
}
