//! When a sequence's difference is asked for: at most one call at a time, and a rest after each refusal that doubles.

use std::time::{Duration, Instant};

/// How long an update that does not follow waits for what is missing.
pub(super) const PATIENCE: Duration = Duration::from_millis(500);

/// So many differences that know nothing of what is missing are waited for.
pub(super) const KNOWS_NOTHING: u32 = 4;

/// The rest after the first refusal.
const FIRST_REST: Duration = Duration::from_secs(1);

/// The longest rest.
const LONGEST_REST: Duration = Duration::from_secs(300);

/// The longest rest for a channel that tells this account nothing.
const LONGEST_REST_LOST: Duration = Duration::from_secs(3600);

/// The rest after a refusal as lost is cut short once in so long.
const BETWEEN_CUTS: Duration = Duration::from_secs(60);

/// See the head of the file.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Asking {
    due: Option<Instant>,
    /// When a gap that may close by itself has been waited for long enough.
    patience: Option<Instant>,
    under_way: bool,
    refusals: u32,
    not_before: Option<Instant>,
    /// From when on the rest may be cut short, if it may: nobody asked for it.
    yields: Option<Instant>,
    /// When such a rest was last cut short.
    cut: Option<Instant>,
}

impl Asking {
    /// Has it be asked for at this time, or as soon after it as a rest is over; earlier if that was wanted before.
    pub fn want(&mut self, at: Instant) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// A gap has opened: has it be asked for at this time, unless the gap closes before.
    pub fn wait_for_gap(&mut self, until: Instant) {
        self.patience.get_or_insert(until);
    }

    /// The gap has closed.
    pub fn gap_closed(&mut self) {
        self.patience = None;
    }

    /// When it is to be asked for.
    pub fn due(&self) -> Option<Instant> {
        if self.under_way {
            return None;
        }
        let due = self.due.into_iter().chain(self.patience).min()?;
        Some(self.not_before.map_or(due, |rest| rest.max(due)))
    }

    /// Whether the answer is awaited.
    pub fn is_under_way(&self) -> bool {
        self.under_way
    }

    /// Whether it is asked for, or will be without anything else happening.
    pub fn is_wanted(&self) -> bool {
        self.under_way || self.due().is_some()
    }

    /// Whether an answer is to be expected soon: it is asked for, and neither rests nor was refused last.
    pub fn is_promising(&self) -> bool {
        self.is_wanted() && !self.is_refused() && self.not_before.is_none()
    }

    /// Whether it was refused when it was asked for last.
    pub fn is_refused(&self) -> bool {
        self.refusals > 0
    }

    /// Whether it was wanted once more since it is being asked for.
    pub fn is_wanted_again(&self) -> bool {
        self.under_way && self.due.is_some()
    }

    /// Until when it rests, at Telegram's word or after refusals; none if it was answered last.
    pub fn rests_until(&self) -> Option<Instant> {
        self.not_before
    }

    /// How often in a row it was refused.
    pub fn refusals(&self) -> u32 {
        self.refusals
    }

    /// It is being asked for, if it is due.
    pub fn begin(&mut self, now: Instant) -> bool {
        let begins = self.due().is_some_and(|due| due <= now);
        if begins {
            *self = Self {
                under_way: true,
                refusals: self.refusals,
                cut: self.cut,
                ..Self::default()
            };
        }
        begins
    }

    /// The answer is here; what it is worth is said next.
    pub fn landed(&mut self) {
        self.under_way = false;
    }

    /// It was answered.
    pub fn answered(&mut self) {
        *self = Self {
            due: self.due,
            patience: self.patience,
            ..Self::default()
        };
    }

    /// It was refused: it is asked for again after a rest.
    pub fn refused(&mut self, now: Instant, lost: bool) {
        let longest = if lost { LONGEST_REST_LOST } else { LONGEST_REST };
        let rest = FIRST_REST.saturating_mul(1 << self.refusals.min(16)).min(longest);
        self.refusals = self.refusals.saturating_add(1);
        self.rest(now + rest);
        self.yields = lost.then_some(now + FIRST_REST);
    }

    /// What told nothing shows signs of life: it is asked for at once, or as soon after the last time that this was so
    /// as may be. If that was in vain the rests go on from where they were.
    pub fn cut_rest(&mut self, now: Instant) {
        let Some(yields) = self.yields else { return };
        let again = self.cut.map(|cut| cut + BETWEEN_CUTS);
        let at = now.max(yields).max(again.unwrap_or(now));
        if self.not_before.is_some_and(|rest| rest > at) {
            self.rest(at);
            self.cut = Some(at);
        }
    }

    /// Telegram asked to wait until then, which is no refusal.
    pub fn wait(&mut self, until: Instant) {
        self.rest(until);
    }

    fn rest(&mut self, until: Instant) {
        self.under_way = false;
        self.yields = None;
        self.not_before = Some(until);
        self.due = Some(until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_doubles_up_to_its_end_and_is_never_cut_short() {
        let mut asking = Asking::default();
        let mut now = Instant::now();
        let mut rests = Vec::new();
        for _ in 0..12 {
            asking.want(now);
            let due = asking.due().expect("wanted");
            rests.push((due - now).as_secs());
            now = due;
            assert!(asking.begin(now), "due");
            assert!(!asking.begin(now), "one at a time");
            asking.refused(now, false);
        }
        assert_eq!(rests, [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert!(asking.is_refused());
    }

    #[test]
    fn a_sign_of_life_cuts_the_rest_of_what_told_nothing_once_a_minute() {
        let (mut asking, mut now) = (Asking::default(), Instant::now());
        let second = Duration::from_secs(1);
        asking.want(now);
        for _ in 0..13 {
            now = asking.due().expect("wanted");
            assert!(asking.begin(now), "due");
            asking.refused(now, true);
        }
        assert_eq!(asking.due(), Some(now + LONGEST_REST_LOST));
        asking.cut_rest(now + second);
        assert_eq!(asking.due(), Some(now + second), "at once");
        now += second;
        assert!(asking.begin(now));
        asking.refused(now, true);
        assert_eq!(asking.due(), Some(now + LONGEST_REST_LOST), "as long as before");
        for soon in 1..30 {
            asking.cut_rest(now + second * soon);
            assert_eq!(asking.due(), Some(now + BETWEEN_CUTS), "not at once again");
        }
        asking.wait(now + second * 7200);
        asking.cut_rest(now + second * 100);
        assert_eq!(asking.due(), Some(now + second * 7200), "Telegram asked for it");
    }

    #[test]
    fn an_answer_ends_the_rest() {
        let (mut asking, now) = (Asking::default(), Instant::now());
        asking.want(now);
        assert!(asking.begin(now));
        asking.refused(now, true);
        let due = asking.due().expect("again");
        assert!(asking.begin(due));
        asking.want(now);
        asking.answered();
        assert_eq!(asking.due(), Some(now), "wanted meanwhile, and the rest is over");
        assert!(!asking.is_refused());
    }
}
