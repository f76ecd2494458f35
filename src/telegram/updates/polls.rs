//! Which channel is asked next though nothing says that something is missing: Telegram does not push all that happens
//! in channels, least of all in those that nobody looks at. Pure.
//!
//! One poll at a time has its turn, at a steady pace: channels that pairs forward from come first, then all others in
//! turn if somebody listens to the session's messages. Which channels exist and when each was told to its end is
//! known to the sequencer.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Polls are held for so long at most.
const LONGEST_HOLD: Duration = Duration::from_secs(300);

/// Whom a session's channels matter to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::telegram) struct Interest {
    /// Channels that pairs forward from.
    pub sources: BTreeSet<i64>,
    /// Whether an endpoint, a token or an open socket takes the session's messages.
    pub all: bool,
}

impl Interest {
    /// Whether it matters what happens in this channel.
    pub fn concerns(&self, channel: i64) -> bool {
        self.all || self.sources.contains(&channel)
    }
}

/// See the head of the file.
#[derive(Debug)]
pub(in crate::telegram) struct Polls {
    /// The pace: one poll in this time.
    pace: Duration,
    /// A channel is not asked again sooner.
    rest: Duration,
    next: Instant,
}

impl Polls {
    /// One poll every `pace`, none of a channel that was told to its end less than `rest` ago.
    pub fn new(pace: Duration, rest: Duration, now: Instant) -> Self {
        Self {
            pace,
            rest,
            next: now + pace,
        }
    }

    /// When the next poll may have its turn.
    pub fn due(&self) -> Instant {
        self.next
    }

    /// Telegram asked to wait with a channel: whose wait that is it does not say, and polls can do without for a while.
    pub fn hold(&mut self, now: Instant, wait: Duration) {
        self.next = self.next.max(now + wait.min(LONGEST_HOLD));
    }

    /// The channel whose turn it is, if one has waited long enough: of those that matter most, the one asked longest ago.
    pub fn turn(
        &mut self,
        now: Instant,
        asked: impl Iterator<Item = (i64, Instant)>,
        interest: &Interest,
    ) -> Option<i64> {
        if now < self.next {
            return None;
        }
        self.next = now + self.pace;
        asked
            .filter(|(channel, at)| {
                interest.concerns(*channel) && now.saturating_duration_since(*at) >= self.rest
            })
            .min_by_key(|(channel, at)| (!interest.sources.contains(channel), *at))
            .map(|(channel, _)| channel)
    }

    /// The longest time since a channel that matters was told to its end.
    pub fn lag(
        now: Instant,
        asked: impl Iterator<Item = (i64, Instant)>,
        interest: &Interest,
    ) -> Option<Duration> {
        let oldest = asked
            .filter(|(channel, _)| interest.concerns(*channel))
            .map(|(_, at)| at)
            .min();
        oldest.map(|at| now.saturating_duration_since(at))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn sources_come_first_and_all_others_in_turn() {
        let begin = Instant::now();
        let second = Duration::from_secs(1);
        let mut asked: BTreeMap<i64, Instant> = (1..=5).map(|channel| (channel, begin)).collect();
        let interest = Interest {
            sources: BTreeSet::from([4]),
            all: true,
        };
        let mut polls = Polls::new(second, second * 3, begin);
        let mut order = Vec::new();
        for tick in 1..=12 {
            let now = begin + second * tick;
            let turn = polls.turn(now, asked.iter().map(|(id, at)| (*id, *at)), &interest);
            order.extend(turn);
            if let Some(channel) = turn {
                asked.insert(channel, now);
            }
        }
        assert_eq!(order, [4, 1, 2, 4, 3, 5, 4, 1, 2, 4]);
        let few = Interest {
            sources: BTreeSet::from([4]),
            all: false,
        };
        let later = begin + second * 100;
        let lag = Polls::lag(later, asked.iter().map(|(id, at)| (*id, *at)), &few);
        assert_eq!(lag, Some(second * 88));
        assert_eq!(Polls::lag(later, asked.into_iter(), &Interest::default()), None);
    }
}
