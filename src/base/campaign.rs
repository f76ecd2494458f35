//! How long the random tests run and where they begin, as the environment says.

/// How many cases shall be run (so many if nobody says), and the first one's seed: `TRUNKLINE_SCHEDULES` and
/// `TRUNKLINE_SEED`.
pub(crate) fn campaign(everyday: u64) -> (u64, u64) {
    // Not set, or no number: as if nobody had said anything.
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let count = number("TRUNKLINE_SCHEDULES").unwrap_or(everyday);
    (count, number("TRUNKLINE_SEED").unwrap_or_else(rand::random))
}
