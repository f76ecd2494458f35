//! Specs: what a child is, when it is started again, how it is stopped. The words are OTP's.
//!
//! A spec is made once and used at every start, so its closure is `Fn` and clones what it hands over.
//! Nothing here runs anything.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::context::{ActorContext, Linked, TaskContext};
use super::dynamic::Dynamic;

/// Why a child could not go on: any error, shown in logs and in the tree by its `Display`.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// When a child that ended is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Always.
    Permanent,
    /// After a crash; not after a normal end.
    Transient,
    /// Never.
    Temporary,
}

/// Whom the failure of one child concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Only the child itself.
    OneForOne,
    /// All children: they are stopped in reverse order and started again in order.
    OneForAll,
    /// The child and those that were started after it.
    RestForOne,
}

/// How a child is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// It is asked (a task by its `stop` token, an actor by draining its mailbox) and has this long; then it is killed.
    Drain(Duration),
    /// It is killed at once.
    Kill,
}

/// The pause before a restart: doubled with each one in a row, up to `max`, and jittered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Before the first restart in a row.
    pub first: Duration,
    /// The longest pause.
    pub max: Duration,
}

impl Backoff {
    /// No pause.
    pub const NONE: Backoff = Backoff {
        first: Duration::ZERO,
        max: Duration::ZERO,
    };
}

/// How many restarts within which period are borne. One more, and the supervisor gives up (a dynamic one
/// quarantines the child instead). Time spent waiting between restarts does not count into the period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intensity {
    /// The restarts that are borne.
    pub restarts: u32,
    /// The period they are counted in.
    pub period: Duration,
}

impl Default for Intensity {
    fn default() -> Self {
        Self {
            restarts: 5,
            period: Duration::from_secs(30),
        }
    }
}

pub(super) type Running = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;
pub(super) type Spawning = Pin<Box<dyn Future<Output = Result<Linked, BoxError>> + Send>>;

pub(super) enum Work {
    Task(Box<dyn Fn(TaskContext) -> Running + Send + Sync>),
    Actor(Box<dyn Fn(ActorContext) -> Spawning + Send + Sync>),
    Supervisor(Arc<SupervisorSpec>),
}

/// A child: its id, what it does, when it is started again and how it is stopped.
pub struct ChildSpec {
    pub(super) id: Arc<str>,
    pub(super) work: Work,
    pub(super) restart: Restart,
    pub(super) shutdown: Shutdown,
    pub(super) start_within: Option<Duration>,
    pub(super) liveness: Option<Duration>,
}

impl ChildSpec {
    fn new(id: impl Into<Arc<str>>, work: Work, shutdown: Shutdown) -> Self {
        Self {
            id: id.into(),
            work,
            restart: Restart::Permanent,
            shutdown,
            start_within: None,
            liveness: None,
        }
    }

    /// A task child: a supervised future. A panic in it is caught and is a crash, as is an error it returns.
    ///
    /// It counts as started as soon as it was spawned, unless [`Self::ready_within`] says that it answers itself.
    pub fn task<F, Fut>(id: impl Into<Arc<str>>, run: F) -> Self
    where
        F: Fn(TaskContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        let work = Work::Task(Box::new(move |context| Box::pin(run(context))));
        Self::new(id, work, Shutdown::Drain(Duration::from_secs(5)))
    }

    /// An actor child. The closure spawns it with [`ActorContext::spawn`]; it has started when its `pre_start` is done.
    pub fn actor<F, Fut>(id: impl Into<Arc<str>>, spawn: F) -> Self
    where
        F: Fn(ActorContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Linked, BoxError>> + Send + 'static,
    {
        let work = Work::Actor(Box::new(move |context| Box::pin(spawn(context))));
        Self::new(id, work, Shutdown::Drain(Duration::from_secs(5))).ready_within(Duration::from_secs(30))
    }

    /// A supervisor as a child. It has started when its own children have; its children's deadlines bound its stop.
    pub fn supervisor(id: impl Into<Arc<str>>, spec: SupervisorSpec) -> Self {
        Self::new(
            id,
            Work::Supervisor(Arc::new(spec)),
            Shutdown::Drain(Duration::MAX),
        )
    }

    /// When it is started again; permanent if not said.
    pub fn restart(mut self, restart: Restart) -> Self {
        self.restart = restart;
        self
    }

    /// How it is stopped; by draining within 5 seconds if not said (a supervisor: as long as its children need).
    pub fn shutdown(mut self, shutdown: Shutdown) -> Self {
        self.shutdown = shutdown;
        self
    }

    /// The start must answer within this time, else it failed. For a task this also says that it
    /// answers with [`TaskContext::ready`]. An actor has 30 seconds if not said.
    pub fn ready_within(mut self, deadline: Duration) -> Self {
        self.start_within = Some(deadline);
        self
    }

    /// A child that shows no life for this long is killed, and that counts as a crash.
    ///
    /// A task shows life with [`TaskContext::alive`]; an actor whenever it is not inside one of its handlers.
    pub fn liveness(mut self, deadline: Duration) -> Self {
        self.liveness = Some(deadline);
        self
    }

    /// Its id among its siblings.
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// A supervisor: its strategy, how much it bears, its children in the order of their start.
#[derive(Clone)]
pub struct SupervisorSpec {
    pub(super) strategy: Strategy,
    pub(super) keyed: Option<Dynamic>,
    pub(super) kind: &'static str,
    pub(super) intensity: Intensity,
    pub(super) backoff: Backoff,
    pub(super) children: Vec<Arc<ChildSpec>>,
}

impl SupervisorSpec {
    /// A supervisor with a fixed list of children.
    pub fn new(strategy: Strategy) -> Self {
        Self {
            strategy,
            keyed: None,
            kind: "supervisor",
            intensity: Intensity::default(),
            backoff: Backoff::NONE,
            children: Vec::new(),
        }
    }

    /// A supervisor of children that come and go by key, and the handle to it. Each child has its own
    /// intensity; one that used it up is quarantined. Children that were added through the handle are not
    /// started again when the supervisor itself is: whoever wanted them there puts them back.
    pub fn dynamic() -> (Self, Dynamic) {
        let handle = Dynamic::new();
        let spec = Self {
            keyed: Some(handle.clone()),
            kind: "dynamic",
            ..Self::new(Strategy::OneForOne)
        };
        (spec, handle)
    }

    /// The static word that metrics and the tree show it under.
    pub fn kind(mut self, kind: &'static str) -> Self {
        self.kind = kind;
        self
    }

    /// The restarts it bears; 5 within 30 seconds if not said.
    pub fn intensity(mut self, intensity: Intensity) -> Self {
        self.intensity = intensity;
        self
    }

    /// The pause between restarts; none if not said.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Adds a child, started with the supervisor, after those added before.
    pub fn child(mut self, spec: ChildSpec) -> Self {
        self.children.push(Arc::new(spec));
        self
    }
}
