//! The process's clock: the machine's, without its jumps.
//!
//! What is due, what is old and how long a wait lasts is told by comparing times. A machine's clock that is put forward by an
//! hour would end every wait, one that is put back would make everything wait for an hour more. So this clock runs as time
//! passes, and where the machine's is elsewhere it goes there slowly, a tenth faster or slower than time. Only a jump of more
//! than a month is made at once: that is a clock being set for the first time.

use std::sync::{Mutex, PoisonError};

use rustix::time::{ClockId, clock_gettime};

use super::Timestamp;

/// A jump by more than this is made at once.
const FIRST_SET: i64 = 30 * 24 * 3600 * 1000;
/// How much slower or faster than time it runs to come nearer: one part in so many.
const PULL: i64 = 10;

static CLOCK: Mutex<Option<Clock>> = Mutex::new(None);

/// The present.
pub(super) fn now() -> Timestamp {
    let mut clock = CLOCK.lock().unwrap_or_else(PoisonError::into_inner);
    // Looked at under the lock: what one caller sees is not older than what the one before saw.
    let (passed, wall) = (passed(), Timestamp::wall().0);
    let clock = clock.get_or_insert(Clock::set(passed, wall));
    Timestamp(clock.now(passed, wall))
}

/// Milliseconds that passed since the machine was started, also while it slept.
fn passed() -> i64 {
    let time = clock_gettime(ClockId::Boottime);
    time.tv_sec * 1000 + time.tv_nsec / 1_000_000
}

/// The clock's state, in milliseconds.
#[derive(Clone, Copy)]
struct Clock {
    /// What it is ahead of the time that passed.
    ahead: i64,
    /// Up to when it was pulled towards the machine's.
    pulled: i64,
}

impl Clock {
    fn set(passed: i64, wall: i64) -> Self {
        Self {
            ahead: wall - passed,
            pulled: passed,
        }
    }

    fn now(&mut self, passed: i64, wall: i64) -> i64 {
        let off = wall - passed - self.ahead;
        if off.abs() > FIRST_SET {
            *self = Self::set(passed, wall);
        } else if off == 0 {
            self.pulled = passed;
        } else {
            let most = (passed - self.pulled).max(0) / PULL;
            self.ahead += off.clamp(-most, most);
            self.pulled += most * PULL;
        }
        passed + self.ahead
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;
    const START: i64 = 1_000_000_000_000;

    #[test]
    fn a_jump_is_followed_slowly_and_time_never_runs_backwards() {
        for jump in [HOUR, -HOUR, 20_000] {
            let mut clock = Clock::set(0, START);
            let mut last = clock.now(0, START);
            let mut passed = 0;
            while clock.now(passed, START + passed + jump) != START + passed + jump {
                passed += 7;
                let now = clock.now(passed, START + passed + jump);
                assert!((0..=8).contains(&(now - last)), "{now} after {last}");
                last = now;
            }
            assert_eq!(passed / 1000, jump.abs() * PULL / 1000, "{jump}");
        }
    }

    #[test]
    fn a_clock_that_was_never_set_is_believed_at_once() {
        let mut clock = Clock::set(0, 0);
        assert_eq!(clock.now(5, 5), 5);
        assert_eq!(clock.now(10, START), START);
        // Time that runs backwards is no reason to stop.
        assert_eq!(clock.now(3, START - 8), START - 7);
    }

    #[test]
    fn it_tells_the_machines_time_where_nothing_jumps() {
        assert!((now().0 - Timestamp::wall().0).abs() < 1000);
    }
}
