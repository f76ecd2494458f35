//! The process itself as metrics: memory, processor time, open descriptors; and what others have to show
//! at the same pace.

use std::sync::Arc;
use std::time::Duration;

use super::recorder::metrics;
use crate::runtime::{ChildSpec, TaskContext};

/// How often is looked.
const PACE: Duration = Duration::from_secs(5);

/// The task that looks; `also` is called every time, for gauges of others.
pub fn child(also: impl Fn() + Send + Sync + 'static) -> ChildSpec {
    let also = Arc::new(also);
    ChildSpec::task("telemetry", move |task: TaskContext| {
        let also = also.clone();
        async move {
            let mut pace = tokio::time::interval(PACE);
            loop {
                tokio::select! {
                    () = task.stop.cancelled() => return Ok(()),
                    _ = pace.tick() => {}
                }
                task.alive();
                sample();
                also();
                metrics().upkeep();
            }
        }
    })
}

fn sample() {
    if let Some(bytes) = resident_bytes() {
        ::metrics::gauge!("process_resident_memory_bytes").set(bytes as f64);
    }
    let clock = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    ::metrics::gauge!("process_cpu_seconds_total").set(clock.tv_sec as f64 + clock.tv_nsec as f64 / 1e9);
    if let Some(limit) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
        ::metrics::gauge!("process_max_fds").set(limit as f64);
    }
    if let Ok(descriptors) = std::fs::read_dir("/proc/self/fd") {
        ::metrics::gauge!("process_open_fds").set(descriptors.count() as f64);
    }
}

/// Resident memory, as Linux tells it.
fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}
