//! Channels that a login does not look at: what happens there is told late now and then, or only announced.
//!
//! Who asks about a channel, or says something in it, looks at it for a while. What becomes of a push is drawn from the
//! world's secret, the account and the event, so that a world has the same again. Pure.

use std::collections::HashMap;
use std::time::Duration;

use super::rpc::KeyId;
use super::world::State;

/// For how long a login looks at a channel that it asked about (milliseconds).
const LOOKS: i64 = 60_000;

/// So many looks are remembered at the most; beyond, those that end first are forgotten.
const MOST: usize = 16_384;

/// What these draws are made with.
const OF_PUSHES: u64 = 93;

/// Late is between this (milliseconds)...
const SOONEST: u64 = 100;
/// ...and so much more.
const SPREAD: u64 = 400;

/// What becomes of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It is told.
    Told,
    /// It is told so much later.
    Late(Duration),
    /// It is said that something happened.
    Announced,
    /// Nothing is said.
    Untold,
}

/// Which channels each login looks at.
#[derive(Debug, Default)]
pub struct Looks {
    until: HashMap<(KeyId, i64), i64>,
}

impl Looks {
    /// A login asked about a channel.
    pub fn note(&mut self, key: KeyId, channel: i64, now: i64) {
        if self.until.len() >= 1024 {
            self.until.retain(|_, until| *until > now);
        }
        if self.until.len() >= MOST
            && let Some(first) = self.until.iter().min_by_key(|(_, until)| **until)
        {
            let first = *first.0;
            self.until.remove(&first);
        }
        self.until.insert((key, channel), now + LOOKS);
    }

    /// What becomes of the push of a channel's event that brings its sequence to `pts`.
    pub fn way(&self, state: &State, key: KeyId, account: i64, channel: i64, pts: i32) -> Way {
        let looks = self
            .until
            .get(&(key, channel))
            .is_some_and(|until| *until > state.now);
        if looks {
            return Way::Told;
        }
        let drawn = state
            .derive(OF_PUSHES, account ^ channel, pts.into())
            .cast_unsigned();
        let quiet = || state.switches.quiet_channels.decides();
        match drawn % 16 {
            0..4 if quiet() => Way::Announced,
            4..6 if quiet() => Way::Late(Duration::from_millis(SOONEST + (drawn >> 8) % SPREAD)),
            6..8 if quiet() && state.switches.untold_channels.decides() => Way::Untold,
            _ => Way::Told,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ways(state: &State, looks: &Looks) -> Vec<Way> {
        let way = |pts| looks.way(state, KeyId(1), 7, 9, pts);
        (0..200).map(way).collect()
    }

    #[test]
    fn a_channel_that_nobody_looks_at_is_told_in_every_way() {
        let mut state = State::new(7);
        let looks = Looks::default();
        let drawn = ways(&state, &looks);
        let count = |wanted: fn(&Way) -> bool| drawn.iter().filter(|way| wanted(way)).count();
        assert!(count(|way| *way == Way::Told) > 80);
        assert!(count(|way| *way == Way::Announced) > 20);
        assert!(count(|way| matches!(way, Way::Late(_))) > 10);
        assert_eq!(count(|way| *way == Way::Untold), 0, "never in silence by default");
        assert_eq!(ways(&state, &looks), drawn, "the same again");
        state.switches.untold_channels.turn(true);
        assert!(ways(&state, &looks).contains(&Way::Untold));
        state.switches.quiet_channels.turn(false);
        assert!(ways(&state, &looks).iter().all(|way| *way == Way::Told));
    }

    #[test]
    fn a_channel_that_was_asked_about_is_told_for_a_while() {
        let mut state = State::new(7);
        let mut looks = Looks::default();
        looks.note(KeyId(1), 9, state.now);
        assert!(ways(&state, &looks).iter().all(|way| *way == Way::Told));
        state.now += LOOKS;
        assert!(ways(&state, &looks).contains(&Way::Announced));
        for channel in 0..=MOST as i64 {
            looks.note(KeyId(1), channel, state.now + channel);
        }
        assert_eq!(looks.until.len(), MOST);
        assert!(!looks.until.contains_key(&(KeyId(1), 0)), "the first to end");
    }
}
