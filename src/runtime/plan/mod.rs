//! The supervisor's decisions as a state machine: inputs in, actions out. No clock, no task, no actor.
//!
//! The shell around it carries actions out and reports back, at any later time and in any order. Each incarnation of a
//! child and each timer carries a [`Serial`] that is never used twice; what arrives with an old one is ignored.
//! For each [`Action::Spawn`] the shell owes at most one `Started` and, in the end, one `Exited` (before `Started` it
//! means that the start failed).

mod child;
mod fixed;
mod keyed;
mod machine;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod otp_tests;
#[cfg(test)]
mod otp_world;
#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod tests;
mod window;

use std::sync::Arc;
use std::time::Duration;

pub(super) use machine::Plan;

use super::error::{Reason, StartError};
use super::spec::{Restart, Shutdown};

/// Time since the supervisor began.
pub(super) type Moment = Duration;

/// A child of this supervisor; in the order of their first start, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key(pub(super) u64);

/// An incarnation or a timer; never reused within a supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Serial(pub(super) u64);

/// Whose question an answer belongs to; given by the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Ticket(pub(super) u64);

/// How an incarnation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    Normal,
    Crash(Reason),
}

/// What a child's spec says that matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) restart: Restart,
    pub(super) shutdown: Shutdown,
    pub(super) start_within: Option<Duration>,
}

/// What happened.
#[derive(Clone, Debug)]
pub(super) enum Input {
    /// The supervisor starts; its children are started in order.
    Begin,
    Started(Key, Serial),
    Exited(Key, Serial, Exit),
    /// The child showed no life for longer than it may.
    Hung(Key, Serial),
    /// A timer set by [`Action::Arm`] is due.
    Timer(Alarm),
    Start(Arc<str>, Rules, Ticket),
    Terminate(Arc<str>, Ticket),
    Restart(Arc<str>, Ticket),
    Release(Arc<str>, Ticket),
    /// The supervisor shall stop.
    Stop,
}

/// A timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Alarm {
    /// The child it belongs to; `None`: the group.
    pub(super) key: Option<Key>,
    pub(super) serial: Serial,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Start the child's next incarnation.
    Spawn(Key, Serial),
    /// Ask the incarnation to end.
    Stop(Key, Serial),
    /// End the incarnation whether it wants or not.
    Kill(Key, Serial),
    /// The incarnation did not even end when killed; it is counted as gone.
    Abandon(Key, Serial),
    Arm(Alarm, Duration),
    Answer(Ticket, Result<(), StartError>),
    /// The order with this ticket added this child: whoever waits for it knows it by this key from now on.
    Added(Ticket, Key),
    /// The child crashed; for the log.
    Crashed(Key, Reason),
    /// The child (and what stands on it) will be started again; for the metrics.
    Restarting(Key, Duration),
    /// The child used up its intensity and waits for its release.
    Quarantined(Key, Reason, u32),
    /// The child is no longer known.
    Forget(Key),
    /// All children have started.
    Ready,
    /// All children are gone, and so is the supervisor.
    End(Result<(), Reason>),
}

/// What a child is doing, as people see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    Starting,
    Running,
    Stopping,
    Waiting,
    Down,
    Quarantined,
}
