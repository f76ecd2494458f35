//! Whose turn it is where callers of several urgencies want of one budget.
//!
//! Pure: start-time fair queueing. Each urgency has a weight, and gets at least its part of what is granted while it has
//! something to ask for, counted in units: an album is not one turn. Within one urgency calls go in the order in which
//! they asked. An urgency that asked for nothing for a while has saved up nothing.

use std::time::Duration;

/// How urgent a call is. While all of them wait, every one gets a part of the budget: looks 4, interactive calls 2, work
/// 6, background 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Urgency {
    /// A send waits for what is read here.
    Look,
    /// Somebody waits for the answer.
    #[default]
    Interactive,
    /// Work that is done in order, such as forwarding.
    Work,
    /// Nobody waits for it.
    Background,
}

impl Urgency {
    /// Every urgency, the most urgent first.
    pub(super) const ALL: [Self; 4] = [Self::Look, Self::Interactive, Self::Work, Self::Background];

    /// What one unit costs: the less, the larger its part.
    const fn cost(self) -> u64 {
        match self {
            Self::Look => 3,
            Self::Interactive => 6,
            Self::Work => 2,
            Self::Background => 12,
        }
    }
}

/// A place in line that outlives a refusal: whoever asks again with the same turn, for the same kind of call, stands
/// where it stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Turn(pub [u8; 16]);

/// How a call waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// How long.
    pub span: Duration,
    /// How urgent it is.
    pub urgency: Urgency,
    /// Its place in line, if it will ask again once it was refused.
    pub turn: Option<Turn>,
}

impl From<Duration> for Patience {
    /// Somebody waits for so long.
    fn from(span: Duration) -> Self {
        Self {
            span,
            urgency: Urgency::Interactive,
            turn: None,
        }
    }
}

impl Patience {
    /// The same with another urgency.
    pub fn with(self, urgency: Urgency) -> Self {
        Self { urgency, ..self }
    }
}

/// What each urgency has had of one budget.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shares {
    clock: u64,
    ends: [u64; Urgency::ALL.len()],
}

impl Shares {
    /// Where an urgency stands: the lowest goes first.
    pub(super) fn begins(&self, urgency: Urgency) -> u64 {
        self.ends[urgency as usize].max(self.clock)
    }

    /// Units were granted to it.
    pub(super) fn took(&mut self, urgency: Urgency, units: u32) {
        let begins = self.begins(urgency);
        self.clock = begins;
        self.ends[urgency as usize] = begins.saturating_add(urgency.cost() * u64::from(units));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each of those that always want something gets of so many turns.
    fn run(waiting: &[(Urgency, u32)], turns: usize) -> Vec<u32> {
        let mut shares = Shares::default();
        let mut had = vec![0; waiting.len()];
        for _ in 0..turns {
            let next = (0..waiting.len()).min_by_key(|at| (shares.begins(waiting[*at].0), waiting[*at].0));
            let at = next.expect("somebody waits");
            shares.took(waiting[at].0, waiting[at].1);
            had[at] += waiting[at].1;
        }
        had
    }

    #[test]
    fn every_urgency_gets_its_part() {
        let all = [
            (Urgency::Look, 1),
            (Urgency::Interactive, 1),
            (Urgency::Work, 1),
            (Urgency::Background, 1),
        ];
        assert_eq!(run(&all, 1300), [400, 200, 600, 100]);
        assert_eq!(
            run(&[(Urgency::Interactive, 1), (Urgency::Work, 1)], 400),
            [100, 300]
        );
    }

    #[test]
    fn parts_are_counted_in_units() {
        let had = run(&[(Urgency::Interactive, 1), (Urgency::Work, 10)], 1000);
        assert!(had[0].abs_diff(had[1] / 3) <= 10, "{had:?}");
    }

    #[test]
    fn who_was_away_has_saved_up_nothing() {
        let mut shares = Shares::default();
        for _ in 0..1000 {
            shares.took(Urgency::Work, 1);
        }
        let mut first = 0;
        while shares.begins(Urgency::Interactive) <= shares.begins(Urgency::Work) {
            shares.took(Urgency::Interactive, 1);
            first += 1;
        }
        assert!(first <= 2, "{first} ahead of those who wait");
    }
}
