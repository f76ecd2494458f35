//! Composition: Config → handles → tree → wait for a signal → drain.
//!
//! [`Daemon`] is the whole house in one value: tests and the demo start it in their own process, and
//! [`run`] gives it the life of a system service. The tree itself is the table in `tree`.

mod daemon;
mod demo;
mod health;
mod life;
mod notify;
mod signals;
mod tree;
mod watch;

pub use daemon::{Daemon, DaemonError};
pub use demo::{DemoOptions, demo};
pub use life::run;
