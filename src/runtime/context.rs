//! What a child is handed when it starts: how it learns that it shall stop, how it answers its start, how it shows life.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use ractor::{Actor, ActorCell};
use tokio_util::sync::CancellationToken;

use super::mail::{Line, News};
use super::pulse::Pulse;
use super::spec::BoxError;
use super::warden::Warden;
use super::watched::Watched;

struct Vital {
    line: Line,
    answered: AtomicBool,
    pulse: Arc<Pulse>,
}

/// What a task child is handed at each start. Cheap to clone.
#[derive(Clone)]
pub struct TaskContext {
    /// Cancelled when the child shall end. It then has the time of its `Shutdown::Drain`.
    pub stop: CancellationToken,
    vital: Arc<Vital>,
}

impl TaskContext {
    pub(super) fn new(line: Line, stop: CancellationToken, pulse: Arc<Pulse>) -> Self {
        let answered = AtomicBool::new(false);
        Self {
            stop,
            vital: Arc::new(Vital {
                line,
                answered,
                pulse,
            }),
        }
    }

    /// Answers the start: the next sibling may begin. Only the first call counts; a child whose spec does
    /// not say `ready_within` has answered by being spawned.
    pub fn ready(&self) {
        self.alive();
        if !self.vital.answered.swap(true, Ordering::Relaxed) {
            self.vital.line.send(News::Started);
        }
    }

    /// Shows life. A child with a `liveness` deadline calls it more often than that.
    pub fn alive(&self) {
        self.vital.pulse.beat();
    }

    /// Waits for something that may rightly take for ever: the liveness deadline is suspended meanwhile.
    /// It is for waiting for work, not for doing it; if the wait is dropped, the deadline runs again.
    pub async fn idle<T>(&self, wait: impl Future<Output = T>) -> T {
        self.vital.pulse.resting(wait).await
    }
}

/// An actor that its supervisor watches; made by [`ActorContext::spawn`] only.
pub struct Linked(pub(super) ActorCell);

impl Linked {
    /// The actor.
    pub fn cell(&self) -> &ActorCell {
        &self.0
    }
}

/// What the closure of an actor child is handed at each start.
pub struct ActorContext {
    pub(super) line: Line,
    pub(super) warden: Warden,
    pub(super) pulse: Arc<Pulse>,
    pub(super) path: Arc<str>,
    pub(super) slot: Arc<OnceLock<ActorCell>>,
}

impl ActorContext {
    /// Spawns the actor, unnamed, linked so that its end is noticed, and waits for its `pre_start`.
    pub async fn spawn<A: Actor>(self, actor: A, args: A::Arguments) -> Result<Linked, BoxError> {
        let watched = Watched::new(actor, self.pulse, self.path);
        let cell = self.warden.spawn(watched, args, self.line).await?;
        // The context is consumed, so this is the only actor of this start.
        self.slot.get_or_init(|| cell.clone());
        Ok(Linked(cell))
    }
}
