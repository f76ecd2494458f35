//! Supervision: child specs, restart strategies, drain, quarantine. It knows no domain word.
//!
//! Words and meanings are OTP's. Beyond OTP: backoff between restarts, restarts side by side, a liveness deadline for
//! children that hang, and quarantine for a keyed child that crashes too often.
//!
//! ```text
//! spec        what a child is                        plan        what to do: a state machine without a clock or a task
//! context     what a child is handed                 supervisor  the task around a plan
//! address     a handle to an actor, over restarts    launch      incarnations: tasks, actors, nested supervisors
//! dynamic     a handle to keyed children             warden      the one ractor actor that hears of actors' ends
//! root, tree  the top, and the picture of it all     pulse       signs of life
//! afflict     (with `fault-points` only) orders to fail, for the fault campaign
//! ```

mod address;
#[cfg(feature = "fault-points")]
mod afflict;
mod context;
mod drain;
mod dynamic;
mod error;
mod launch;
mod mail;
#[cfg(test)]
mod otp;
mod plan;
mod pulse;
mod root;
mod spec;
mod supervisor;
#[cfg(test)]
mod tests;
mod tree;
mod warden;
mod watched;

pub use address::{Address, CallError};
pub use context::{ActorContext, Linked, TaskContext};
pub use drain::Drained;
pub use dynamic::{Dynamic, OnQuarantine, Quarantine};
pub use error::{Reason, StartError};
pub use root::Root;
pub use spec::{Backoff, BoxError, ChildSpec, Intensity, Restart, Shutdown, Strategy, SupervisorSpec};
pub use tree::{NodeKind, NodeState, Tree, TreeNode};
