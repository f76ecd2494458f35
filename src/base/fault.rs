//! Named points at which a process can be made to end as if by SIGKILL, for the fault campaign.
//!
//! Without the feature `fault-points` a point is nothing at all. With it, the environment variable
//! `TRUNKLINE_FAULT_POINT=name:n` names one and says at which passage the process ends itself; nothing is
//! flushed and nobody is told. It knows no other trouble: the rest comes from outside of the process.

/// Marks a point, by a name of its own such as `"store.flush.before"`.
macro_rules! fault_point {
    ($name:literal) => {
        #[cfg(feature = "fault-points")]
        $crate::base::fault::pass($name);
    };
}

pub(crate) use fault_point;

/// The variable that names the point.
#[cfg(feature = "fault-points")]
const VARIABLE: &str = "TRUNKLINE_FAULT_POINT";

/// The point at which this process ends, and how many passages are left until then.
#[cfg(feature = "fault-points")]
static ARMED: std::sync::LazyLock<Option<(String, std::sync::atomic::AtomicU64)>> =
    std::sync::LazyLock::new(|| {
        let value = std::env::var(VARIABLE).ok()?;
        let armed = value.split_once(':').and_then(|(name, nth)| {
            let nth: u64 = nth.parse().ok()?;
            Some((name.to_owned(), nth.into()))
        });
        if armed.is_none() {
            tracing::error!("{VARIABLE} must be a name, a colon and a number");
        }
        armed
    });

/// Passes a point, or ends here.
#[cfg(feature = "fault-points")]
pub fn pass(name: &str) {
    if let Some((armed, left)) = &*ARMED
        && armed == name
        && left.fetch_sub(1, std::sync::atomic::Ordering::Relaxed) == 1
    {
        let killed = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        unreachable!("a process outlived its own SIGKILL: {killed:?}");
    }
}
