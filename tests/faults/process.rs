//! A process that belongs to one scene: started, watched, ended hard or gently; gone when dropped.

use std::process::{Child, ChildStdout, Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How often an ending process is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// See the head of the file.
pub struct Process(Child);

impl Process {
    /// Starts it.
    pub fn start(command: &mut Command) -> Self {
        Self(command.spawn().expect("the binary starts"))
    }

    /// Its number, as signals and limits want it.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.0)
    }

    /// What it writes, if it was started so.
    pub fn output(&mut self) -> ChildStdout {
        self.0.stdout.take().expect("its output is taken once")
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().expect("a child can be asked")
    }

    /// SIGKILL: nothing is flushed, nobody is told. Whether it still ran.
    pub fn kill(&mut self) -> bool {
        let ran = self.ended().is_none();
        if ran {
            self.0.kill().expect("a running child can be killed");
            self.0.wait().expect("a child can be waited for");
        }
        ran
    }

    /// SIGTERM, as systemd ends it.
    pub fn terminate(&self) {
        kill_process(self.pid(), Signal::TERM).expect("a child can be signalled");
    }

    /// Waits for its end, for so long.
    pub async fn end(&mut self, patience: Duration) -> Option<ExitStatus> {
        let begun = Instant::now();
        loop {
            let ended = self.ended();
            if ended.is_some() || begun.elapsed() > patience {
                return ended;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
