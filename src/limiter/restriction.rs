//! What a peer flood does to an account: it rests, and then one message is tried.
//!
//! Pure. The rest ends by itself; the first new message after it is a probe that goes alone. Its success ends the
//! restriction, another peer flood makes the account rest for twice as long.

use std::time::Duration;

use super::budget::Tick;
use super::config::LimiterConfig;

/// How long the others wait for the answer to a probe, before one of them becomes the next.
const PROBE: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Restriction {
    /// Until when it rests.
    pub(super) until: Tick,
    /// Peer floods without a success in between; 0 is no restriction.
    pub(super) strikes: u32,
    /// When the message that tries it was let go.
    probe: Option<Tick>,
}

impl Restriction {
    /// A restriction as it was stored.
    pub(super) fn restored(until: Tick, strikes: u32) -> Self {
        Self {
            until,
            strikes: strikes.max(1),
            probe: None,
        }
    }

    /// Until when the account rests; none if it does not.
    pub(super) fn rests(&self, now: Tick) -> Option<Tick> {
        (self.strikes > 0 && self.until > now).then_some(self.until)
    }

    /// Until when a new message waits for the answer to the probe.
    pub(super) fn probed_until(&self) -> Tick {
        self.probe.map_or(Tick::default(), |at| at.plus(PROBE))
    }

    /// A new message is let go; tells whether it is the probe.
    pub(super) fn let_go(&mut self, now: Tick) -> bool {
        if self.strikes > 0 {
            self.probe = Some(now);
        }
        self.strikes > 0
    }

    /// How long the account rests after one more peer flood. Answers to messages that were on their way together
    /// are one.
    pub(super) fn rest(&self, rules: &LimiterConfig, now: Tick) -> (Duration, u32) {
        let strikes = match self.rests(now) {
            Some(_) => self.strikes,
            None => self.strikes + 1,
        };
        let doubled = 1u32.checked_shl(strikes - 1).unwrap_or(u32::MAX);
        let rest = rules.peer_flood_rest.saturating_mul(doubled);
        (
            rest.min(rules.peer_flood_longest.max(rules.peer_flood_rest)),
            strikes,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: u64) -> Tick {
        Tick((1 + hours * 3600) * 1_000_000)
    }

    #[test]
    fn rests_double_until_a_probe_succeeds() {
        let rules = LimiterConfig::default();
        let mut restriction = Restriction::default();
        let mut now = at(0);
        let mut hours = Vec::new();
        for _ in 0..5 {
            let (rest, strikes) = restriction.rest(&rules, now);
            restriction = Restriction::restored(now.plus(rest), strikes);
            assert_eq!(restriction.rest(&rules, now).1, strikes, "one and the same");
            assert_eq!(restriction.rests(now), Some(now.plus(rest)));
            hours.push(rest.as_secs() / 3600);
            now = now.plus(rest);
            assert_eq!(restriction.rests(now), None);
            assert!(restriction.let_go(now), "the probe");
            assert_eq!(restriction.probed_until(), now.plus(PROBE));
        }
        assert_eq!(hours, [24, 48, 96, 168, 168]);
        assert!(
            !Restriction::default().let_go(now),
            "no probe without a restriction"
        );
    }
}
