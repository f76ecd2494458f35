//! When a failed delivery is tried again. Pure: the caller brings the randomness.

use std::time::Duration;

/// The share by which a delay is moved up or down at random.
const JITTER: f64 = 0.2;

/// The waits between tries.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// The wait before each try; the first entry is the wait before the first.
    pub delays: Vec<Duration>,
    /// The least wait after a receiver said that it is overloaded, or did not answer in time.
    pub overload_floor: Duration,
}

/// What matters about a failure for the next try.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// 429, 502, 504 or no answer in time.
    pub overloaded: bool,
    /// How long the receiver asked to be left alone.
    pub retry_after: Option<Duration>,
}

impl Schedule {
    /// The longest pause between two tries of a delivery.
    pub fn longest(&self) -> Duration {
        let planned = self.delays.iter().max().copied().unwrap_or_default();
        // A receiver may ask for twice as long.
        planned.max(self.overload_floor).mul_f64(1.0 + JITTER) * 2
    }

    /// How many tries a delivery gets.
    pub fn tries(&self) -> u32 {
        u32::try_from(self.delays.len()).unwrap_or(u32::MAX)
    }

    /// The wait after the `made`-th try failed, or none if that was the last one.
    ///
    /// `random` is a number from 0 to 1.
    pub fn next(&self, made: u32, failure: Failure, random: f64) -> Option<Duration> {
        let planned = *self.delays.get(usize::try_from(made).ok()?)?;
        let jittered = planned.mul_f64(1.0 - JITTER + 2.0 * JITTER * random.clamp(0.0, 1.0));
        let delay = if failure.overloaded {
            jittered.max(self.overload_floor)
        } else {
            jittered
        };
        Some(match failure.retry_after {
            Some(asked) => asked.clamp(delay, delay * 2),
            None => delay,
        })
    }
}

/// The wait that a `Retry-After` header asks for: seconds, or a date in any of HTTP's three forms.
pub fn parse_retry_after(value: &str, now: crate::base::Timestamp) -> Option<Duration> {
    let value = value.trim();
    let is_number = |byte: u8| byte.is_ascii_digit() || byte == b'.';
    if !value.is_empty() && value.bytes().all(is_number) {
        return Duration::try_from_secs_f64(value.parse().ok()?).ok();
    }
    let date = match httpdate::parse_http_date(value) {
        Ok(date) => {
            let since = date.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            i64::try_from(since.as_millis()).ok()?
        }
        // What mail writes: with another zone than GMT, and so on.
        Err(_) => jiff::fmt::rfc2822::parse(value)
            .ok()?
            .timestamp()
            .as_millisecond(),
    };
    Some(crate::base::Timestamp(date).since(now))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::Timestamp;

    fn schedule() -> Schedule {
        crate::webhook::WebhookConfig::default().schedule()
    }

    #[test]
    fn the_last_failure_has_no_next_try() {
        let schedule = schedule();
        assert_eq!(schedule.tries(), 8);
        assert!(schedule.next(7, Failure::default(), 0.5).is_some());
        assert_eq!(schedule.next(8, Failure::default(), 0.5), None);
        assert_eq!(schedule.next(u32::MAX, Failure::default(), 0.5), None);
    }

    #[test]
    fn the_middle_of_the_jitter_is_the_planned_wait() {
        let waits: Vec<_> = (1..8)
            .map(|made| {
                schedule()
                    .next(made, Failure::default(), 0.5)
                    .expect("a wait")
                    .as_secs()
            })
            .collect();
        assert_eq!(waits, [5, 300, 1800, 7200, 18_000, 36_000, 36_000]);
    }

    #[test]
    fn retry_after_is_read_in_every_form() {
        let now = Timestamp::from_secs(1_445_412_440);
        assert_eq!(parse_retry_after(" 120 ", now), Some(Duration::from_secs(120)));
        assert_eq!(
            parse_retry_after("Wed, 21 Oct 2015 07:28:00 GMT", now),
            Some(Duration::from_secs(40))
        );
        assert_eq!(
            parse_retry_after("Wed, 21 Oct 2015 07:00:00 GMT", now),
            Some(Duration::ZERO)
        );
        for date in [
            "Wednesday, 21-Oct-15 07:28:00 GMT",
            "Wed Oct 21 07:28:00 2015",
            "Wed, 21 Oct 2015 09:28:00 +0200",
        ] {
            assert_eq!(
                parse_retry_after(date, now),
                Some(Duration::from_secs(40)),
                "{date}"
            );
        }
        assert_eq!(parse_retry_after("1.5", now), Some(Duration::from_millis(1500)));
        for nonsense in ["soon", "", ".", "1.2.3", "-5", "nan", "inf", "1e3"] {
            assert_eq!(parse_retry_after(nonsense, now), None, "{nonsense}");
        }
    }

    proptest! {
        #[test]
        fn every_wait_keeps_its_bounds(
            made in 1u32..8,
            random in 0.0f64..=1.0,
            overloaded: bool,
            asked in proptest::option::of(0u64..1_000_000),
        ) {
            let schedule = schedule();
            let failure = Failure { overloaded, retry_after: asked.map(Duration::from_secs) };
            let wait = schedule.next(made, failure, random).expect("not the last");
            let planned = schedule.delays[made as usize];
            let (low, high) = (planned.mul_f64(0.799), planned.mul_f64(1.201));
            let floor = if overloaded { schedule.overload_floor } else { Duration::ZERO };
            prop_assert!(wait >= low.max(floor));
            let ceiling = if asked.is_some() { high.max(floor) * 2 } else { high.max(floor) };
            prop_assert!(wait <= ceiling);
            if let Some(asked) = failure.retry_after {
                prop_assert!(wait >= asked.min(low.max(floor)));
            }
        }
    }
}
