//! Server salts: which are good now, and which will be.
//!
//! A salt holds for half an hour (a setting) and is accepted for as long again; clients switch a little early or
//! late, so the one before and the one after count as good. Salts are derived from the key: a restarted
//! server knows them again. The very first one comes out of the key exchange.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::cipher::AuthKey;
use crate::sandbox::hash::{part, sha256};
use crate::sandbox::rpc::Manners;

/// For how many seconds a salt is the current one. A copy is the same one.
#[derive(Clone)]
pub struct SaltPeriod(Arc<AtomicU64>);

impl Default for SaltPeriod {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(Manners::default().salt_period)))
    }
}

impl SaltPeriod {
    /// From now on it is this long, and other salts are good.
    pub fn set(&self, seconds: u64) {
        self.0.store(seconds.max(1), Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One salt and its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FutureSalt {
    /// From this unix time on.
    pub since: i32,
    /// Until this unix time.
    pub until: i32,
    /// The salt.
    pub salt: i64,
}

/// The salts of one key.
#[derive(Clone)]
pub struct Salts {
    seed: [u8; 32],
    first: Option<(i64, u64)>,
    period: SaltPeriod,
}

impl Salts {
    /// Of a key known from earlier.
    pub fn of(key: &AuthKey, period: SaltPeriod) -> Self {
        Self {
            seed: sha256(&[b"salts", key]),
            first: None,
            period,
        }
    }

    /// Of a key just exchanged: `first` is good for two periods from now (unix seconds).
    pub fn beginning(key: &AuthKey, period: SaltPeriod, first: i64, now: u64) -> Self {
        Self {
            first: Some((first, now)),
            ..Self::of(key, period)
        }
    }

    /// The salt for what the server sends and hands out.
    pub fn current(&self, now: u64) -> i64 {
        self.nth(now / self.period.get())
    }

    /// Whether a client's message under this salt is taken.
    pub fn accepts(&self, salt: i64, now: u64) -> bool {
        let period = self.period.get();
        let n = now / period;
        let derived = (n.saturating_sub(1)..=n + 1).any(|n| self.nth(n) == salt);
        derived
            || self
                .first
                .is_some_and(|(first, made)| first == salt && now < made + 2 * period)
    }

    /// The current salt and those after it, as many as asked for, within 1 to 64.
    pub fn future(&self, count: i32, now: u64) -> Vec<FutureSalt> {
        let period = self.period.get();
        let n = now / period;
        let count = count.clamp(1, 64) as u64;
        let salt = |n: u64| FutureSalt {
            since: (n * period) as i32,
            until: ((n + 1) * period) as i32,
            salt: self.nth(n),
        };
        (n..n + count).map(salt).collect()
    }

    fn nth(&self, n: u64) -> i64 {
        i64::from_le_bytes(part(&sha256(&[&self.seed, &n.to_le_bytes()]), 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: u64 = 1800;
    const NOW: u64 = 1_800_000_000 + 100;

    #[test]
    fn neighbours_of_the_current_salt_are_good_and_older_ones_are_not() {
        let salts = Salts::of(&[7; 256], SaltPeriod::default());
        let current = salts.current(NOW);
        for age in [0, PERIOD, 2 * PERIOD - 101] {
            assert!(salts.accepts(current, NOW + age), "{age} s later");
        }
        assert!(!salts.accepts(current, NOW + 2 * PERIOD));
        assert!(
            salts.accepts(current, NOW - PERIOD),
            "a client whose clock is ahead"
        );
        assert!(!salts.accepts(0, NOW));
    }

    #[test]
    fn the_first_salt_holds_two_periods() {
        let salts = Salts::beginning(&[7; 256], SaltPeriod::default(), 99, NOW);
        assert!(salts.accepts(99, NOW + 2 * PERIOD - 1));
        assert!(!salts.accepts(99, NOW + 2 * PERIOD));
    }

    #[test]
    fn future_salts_begin_now_follow_each_other_and_come_true() {
        let salts = Salts::of(&[7; 256], SaltPeriod::default());
        let future = salts.future(64, NOW);
        assert_eq!(future.len(), 64);
        assert!(future[0].since as u64 <= NOW && NOW < future[0].until as u64);
        assert!(future.windows(2).all(|pair| pair[0].until == pair[1].since));
        assert_eq!(salts.current(future[9].since as u64), future[9].salt);
        assert_eq!(salts.future(0, NOW).len(), 1);
        assert_eq!(salts.future(i32::MAX, NOW).len(), 64);
    }
}
