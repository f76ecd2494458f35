//! Logs and metrics of the process.

mod lines;
mod logs;
mod process;
mod recorder;

pub use lines::flush_logs;
pub use logs::{LogConfig, LogFormat, start as start_logs};
pub use process::child;
pub use recorder::{Metrics, metrics};
