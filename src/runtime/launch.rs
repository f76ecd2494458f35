//! Incarnations: how a child's spec becomes a running task or actor, and how that is asked to end or ended.
//!
//! Whatever happens to an incarnation (its end, a panic, a kill, a dropped runtime), its line hears `Exited` once all that it
//! held is dropped; of a supervisor that was killed, once its children are gone too. Dropping an [`Incarnation`] kills what is
//! left of it. One supervisor that panics, which would be a fault of this room, is told of before its children are gone.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::{FutureExt, TryFutureExt};
use ractor::ActorCell;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use super::context::{ActorContext, TaskContext};
use super::error::Reason;
use super::mail::{Line, News, Post, Report};
use super::plan::Exit;
use super::pulse::Pulse;
use super::spec::{ChildSpec, Running, Work};
use super::supervisor::Supervisor;
use super::warden::Warden;

/// One incarnation of a child.
pub(super) struct Incarnation {
    body: Body,
    pulse: Arc<Pulse>,
}

enum Body {
    Task {
        task: AbortHandle,
        stop: CancellationToken,
        /// Where a supervisor's mail goes.
        inside: Option<Post>,
    },
    Actor {
        start: AbortHandle,
        actor: Arc<Spawned>,
    },
}

#[derive(Default)]
struct Spawned {
    cell: Arc<OnceLock<ActorCell>>,
    /// Set before the start is aborted, read after the cell is set: one of the two sides sees the other.
    unwanted: AtomicBool,
}

impl Incarnation {
    /// Starts a child.
    pub(super) fn launch(spec: &Arc<ChildSpec>, line: Line, path: &str, warden: &Warden) -> Self {
        let pulse = Arc::new(Pulse::default());
        let body = match &spec.work {
            Work::Task(_) => task(spec.clone(), line, path, pulse.clone()),
            Work::Supervisor(_) => supervisor(spec.clone(), line, path.into(), pulse.clone(), warden.clone()),
            Work::Actor(_) => actor(spec.clone(), line, path.into(), pulse.clone(), warden.clone()),
        };
        Self { body, pulse }
    }

    /// Asks it to end.
    pub(super) fn stop(&self) {
        match &self.body {
            Body::Task { stop, .. } => stop.cancel(),
            Body::Actor { start, actor } => {
                actor.unwanted.store(true, Ordering::SeqCst);
                match actor.cell.get() {
                    // It fails only if the actor has ended already.
                    Some(cell) => drop(cell.drain()),
                    None => start.abort(),
                }
            }
        }
    }

    /// Ends it at its next await.
    pub(super) fn kill(&self) {
        match &self.body {
            Body::Task { task, .. } => task.abort(),
            Body::Actor { start, actor } => {
                actor.unwanted.store(true, Ordering::SeqCst);
                match actor.cell.get() {
                    Some(cell) => cell.kill(),
                    None => start.abort(),
                }
            }
        }
    }

    /// How long ago it showed life; `None` if it waits for work.
    pub(super) fn silence(&self) -> Option<Duration> {
        self.pulse.silence()
    }

    /// How long it has held a thread without an await; `None` if it holds none.
    pub(super) fn step(&self) -> Option<Duration> {
        self.pulse.step()
    }

    /// Where its own mail goes, if it is a supervisor.
    pub(super) fn inside(&self) -> Option<&Post> {
        match &self.body {
            Body::Task { inside, .. } => inside.as_ref(),
            Body::Actor { .. } => None,
        }
    }
}

impl Drop for Incarnation {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg_attr(
    not(feature = "fault-points"),
    expect(unused_variables, reason = "only orders go by it")
)]
fn task(spec: Arc<ChildSpec>, line: Line, path: &str, pulse: Arc<Pulse>) -> Body {
    let stop = CancellationToken::new();
    if spec.start_within.is_none() {
        line.send(News::Started);
    }
    pulse.beat();
    let context = TaskContext::new(line.clone(), stop.clone(), pulse.clone());
    let run = move || match &spec.work {
        Work::Task(run) => run(context),
        Work::Actor(_) | Work::Supervisor(_) => nothing(),
    };
    #[cfg(feature = "fault-points")]
    let run = super::afflict::task(path.into(), pulse.clone(), run);
    let report = Arc::new(Report::to(line));
    let task = tokio::spawn(keep(report, pulse, run)).abort_handle();
    Body::Task {
        task,
        stop,
        inside: None,
    }
}

fn supervisor(spec: Arc<ChildSpec>, line: Line, path: Arc<str>, pulse: Arc<Pulse>, warden: Warden) -> Body {
    let stop = CancellationToken::new();
    let context = TaskContext::new(line.clone(), stop.clone(), pulse.clone());
    let (post, mailbox) = mpsc::unbounded_channel();
    let inside = Some(post.clone());
    let report = Arc::new(Report::to(line));
    let hold = report.clone();
    let run = move || match &spec.work {
        Work::Supervisor(inner) => {
            let supervisor = Box::new(Supervisor::new(inner.clone(), path, warden, post, hold));
            Box::pin(supervisor.run(context, mailbox))
        }
        Work::Actor(_) | Work::Task(_) => nothing(),
    };
    let task = tokio::spawn(keep(report, pulse, run)).abort_handle();
    Body::Task { task, stop, inside }
}

fn actor(spec: Arc<ChildSpec>, line: Line, path: Arc<str>, pulse: Arc<Pulse>, warden: Warden) -> Body {
    let actor = Arc::new(Spawned::default());
    let slot = actor.cell.clone();
    let context = ActorContext {
        line: line.clone(),
        warden,
        pulse,
        path,
        slot,
    };
    let spawn = move || match &spec.work {
        Work::Actor(spawn) => spawn(context).map_ok(drop).boxed(),
        Work::Task(_) | Work::Supervisor(_) => nothing(),
    };
    let begun = Begun {
        actor: actor.clone(),
        report: Report::to(line),
    };
    let start = tokio::spawn(begin(begun, spawn)).abort_handle();
    Body::Actor { start, actor }
}

/// What a spec of another kind would run; the kinds are told apart before.
fn nothing() -> Running {
    Box::pin(std::future::ready(Ok(())))
}

/// Runs a task child to its end and reports how it ended, after all that it held is dropped.
async fn keep(report: Arc<Report>, pulse: Arc<Pulse>, run: impl FnOnce() -> Running) {
    let exit = pulse.steps(caught(run)).await;
    report.exited(exit);
}

/// Runs the start of an actor child.
async fn begin(mut begun: Begun, spawn: impl FnOnce() -> Running) {
    match caught(spawn).await {
        Exit::Normal if begun.actor.unwanted.load(Ordering::SeqCst) => {}
        Exit::Normal => begun.started(),
        crash => begun.failed(crash),
    }
}

async fn caught(run: impl FnOnce() -> Running) -> Exit {
    let run = match catch_unwind(AssertUnwindSafe(run)) {
        Ok(run) => run,
        Err(panic) => return Exit::Crash(Reason::of_panic(panic.as_ref())),
    };
    match AssertUnwindSafe(run).catch_unwind().await {
        Ok(Ok(())) => Exit::Normal,
        Ok(Err(error)) => Exit::Crash(Reason::of_error(error.as_ref())),
        Err(panic) => Exit::Crash(Reason::of_panic(panic.as_ref())),
    }
}

/// An actor's start under way. If it does not come to its end, neither does the actor live on; then the warden reports.
struct Begun {
    actor: Arc<Spawned>,
    report: Report,
}

impl Begun {
    fn started(&mut self) {
        if self.actor.cell.get().is_some()
            && let Some(line) = self.report.take()
        {
            line.send(News::Started);
        }
    }

    fn failed(&mut self, exit: Exit) {
        self.report.exited(exit);
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if let Some(cell) = self.actor.cell.get()
            && self.report.take().is_some()
        {
            // Its end is told by the warden, when it has ended.
            cell.kill();
        }
    }
}
