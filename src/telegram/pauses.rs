//! Pauses between attempts that fail: each longer than the one before, up to the longest, and scattered.
//!
//! They never come to an end by themselves; who waits decides how often.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff;

/// Pauses from the first one on, each so many times as long as the one before. A quarter more or less is left to chance.
pub(crate) fn pauses(first: Duration, multiplier: f64, longest: Duration) -> ExponentialBackoff {
    let mut pauses = ExponentialBackoff {
        initial_interval: first,
        multiplier,
        max_interval: longest,
        max_elapsed_time: None,
        randomization_factor: 0.25,
        ..ExponentialBackoff::default()
    };
    // As it is made it begins with its own default, whatever the first one is.
    pauses.reset();
    pauses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_begin_with_the_first_and_grow_to_the_longest() {
        let secs = Duration::from_secs;
        let mut pauses = pauses(secs(2), 10.0, secs(60));
        for (least, most) in [(1.5, 2.5), (15.0, 25.0), (45.0, 75.0), (45.0, 75.0)] {
            let pause = pauses.next_backoff().expect("it never ends").as_secs_f64();
            assert!((least..=most).contains(&pause), "{pause}");
        }
    }
}
