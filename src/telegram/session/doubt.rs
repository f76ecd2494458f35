//! Whether a server that says that it does not know a key is to be believed. Pure.
//!
//! A data centre in trouble may say so of a key that it knows, and a login that is thrown away does not come back: only
//! several refusals in a row, over minutes, end one.

use std::time::Duration;

use tokio::time::Instant;

/// So many refusals at least.
const REFUSALS: u32 = 5;

/// The refusals since the key was last answered under.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Doubt {
    first: Option<Instant>,
    refusals: u32,
}

impl Doubt {
    /// Whether the key is in doubt.
    pub fn is_there(&self) -> bool {
        self.refusals > 0
    }

    /// Takes one more refusal; whether it is certain now that the key is forgotten, if that takes so long at least.
    pub fn is_certain_after(&mut self, now: Instant, least: Duration) -> bool {
        let first = *self.first.get_or_insert(now);
        self.refusals = self.refusals.saturating_add(1);
        self.refusals >= REFUSALS && now.saturating_duration_since(first) >= least
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_many_refusals_at_once_nor_few_over_long_are_certain() {
        let (second, least) = (Duration::from_secs(1), Duration::from_secs(120));
        let begun = Instant::now();
        let mut at_once = Doubt::default();
        assert!(!at_once.is_there());
        assert!(!(0..100).any(|_| at_once.is_certain_after(begun + second, least)));
        assert!(at_once.is_there());
        assert!(at_once.is_certain_after(begun + second * 121, least));
        let mut few = Doubt::default();
        let certain: Vec<bool> = (0..6)
            .map(|it| few.is_certain_after(begun + second * 3600 * it, least))
            .collect();
        assert_eq!(certain, [false, false, false, false, true, true]);
    }
}
