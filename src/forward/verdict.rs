//! What follows from a failed try: the one table from Telegram's answers to verdicts.
//!
//! Pure: time and chance are handed in.

use std::time::Duration;

use crate::base::Timestamp;
use crate::model::Refusal;
use crate::model::refusal::{Less, Obstacle};

/// Why a pair is held whose source forbids forwarding.
pub(super) const PROTECTED: &str = "forwards_restricted";

/// Why a pair is held whose destination the account does not know, or not any more.
pub(super) const CHAT_UNKNOWN: &str = "chat_unknown";

/// What was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A new message.
    Send,
    /// An edit of a copy.
    Edit,
    /// A deletion of copies.
    Delete,
}

/// What a failed try leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing is left to do.
    Done,
    /// Once more after a pause; it counts as an attempt.
    Retry,
    /// Not before then; it costs no attempt.
    Snooze(Timestamp),
    /// As soon as the session is back; it costs no attempt.
    Await,
    /// The effect may be there: look for it among the destination's recent messages.
    Look,
    /// Once more, with less: without the formatting or the reply that was refused.
    Simplify,
    /// The destination takes nothing of this kind: passed over, counted and told.
    Skip,
    /// Several messages once more, one after the other.
    Apart,
    /// The pair stops, with the reason, until somebody resumes it.
    Hold(&'static str),
    /// The account stops, with the reason.
    Halt(&'static str),
    /// It will never work: to the dead letters.
    Discard,
}

/// The verdict on a failed try.
pub(super) fn verdict(step: Step, class: Refusal) -> Verdict {
    match class {
        Refusal::Wait { until, .. } => Verdict::Snooze(until),
        Refusal::PeerFlood => Verdict::Halt("peer_flood"),
        Refusal::Frozen => Verdict::Halt("account_frozen"),
        Refusal::Ended(_) => Verdict::Halt("session_expired"),
        Refusal::Unavailable => Verdict::Await,
        // Nothing was done, and the session moves by itself; one that never does is not asked for ever.
        Refusal::Uncertain | Refusal::Renew(_) | Refusal::Elsewhere => Verdict::Retry,
        // Nothing is so already of what was never sent.
        Refusal::Done if step != Step::Send => Verdict::Done,
        Refusal::Hold(Obstacle::ChatUnknown) => Verdict::Hold(CHAT_UNKNOWN),
        Refusal::Hold(obstacle) if step == Step::Send => Verdict::Hold(obstacle.as_str()),
        Refusal::Duplicate if step == Step::Send => Verdict::Look,
        // Whoever protects the chat later is heeded as one who did before the pair was made.
        Refusal::Protected if step == Step::Send => Verdict::Hold(PROTECTED),
        Refusal::KindForbidden if step == Step::Send => Verdict::Skip,
        Refusal::Simplify(Less::Formatting) => Verdict::Simplify,
        Refusal::Simplify(Less::Together) if step == Step::Send => Verdict::Apart,
        // The copy is gone or too old: there is nothing left to edit or to delete.
        Refusal::Gone | Refusal::ReplyGone if step != Step::Send => Verdict::Done,
        // What a new message answers is gone, or (forward mode) the source itself.
        Refusal::Gone | Refusal::ReplyGone => Verdict::Simplify,
        Refusal::Done
        | Refusal::Hold(_)
        | Refusal::Duplicate
        | Refusal::Protected
        | Refusal::KindForbidden
        | Refusal::Simplify(Less::Together)
        | Refusal::TooBig
        | Refusal::Login
        | Refusal::Refused
        | Refusal::Defect => Verdict::Discard,
    }
}

/// The pause before the next try, after `attempts` of them; `chance` is from 0 to 1.
pub(super) fn pause(first: Duration, max: Duration, attempts: u32, chance: f64) -> Duration {
    let doubled = first.saturating_mul(1u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX));
    doubled.min(max).mul_f64(0.75 + chance.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SessionState;
    use crate::model::refusal::Scope;

    #[test]
    fn waits_cost_no_attempt() {
        let until = Timestamp(5);
        for scope in [Scope::Account, Scope::Chat, Scope::Budget] {
            for step in [Step::Send, Step::Edit, Step::Delete] {
                assert_eq!(
                    verdict(step, Refusal::Wait { until, scope }),
                    Verdict::Snooze(until)
                );
            }
        }
        assert_eq!(verdict(Step::Send, Refusal::Unavailable), Verdict::Await);
        assert_eq!(verdict(Step::Send, Refusal::Elsewhere), Verdict::Retry);
    }

    #[test]
    fn what_only_a_person_can_heal_stops_the_pair_or_the_account() {
        for obstacle in [
            Obstacle::NoRights,
            Obstacle::ChatUnknown,
            Obstacle::TopicClosed,
            Obstacle::TopicDeleted,
            Obstacle::PaymentRequired,
        ] {
            let held = Verdict::Hold(obstacle.as_str());
            assert_eq!(verdict(Step::Send, Refusal::Hold(obstacle)), held);
        }
        for (class, reason) in [
            (Refusal::PeerFlood, "peer_flood"),
            (Refusal::Frozen, "account_frozen"),
            (Refusal::Ended(SessionState::Banned), "session_expired"),
        ] {
            for step in [Step::Send, Step::Edit, Step::Delete] {
                assert_eq!(verdict(step, class), Verdict::Halt(reason));
            }
        }
    }

    #[test]
    fn an_edit_of_what_is_gone_is_done_and_one_that_is_forbidden_stops_nothing() {
        assert_eq!(verdict(Step::Edit, Refusal::Gone), Verdict::Done);
        assert_eq!(verdict(Step::Delete, Refusal::Gone), Verdict::Done);
        assert_eq!(verdict(Step::Edit, Refusal::Done), Verdict::Done);
        assert_eq!(
            verdict(Step::Send, Refusal::Done),
            Verdict::Discard,
            "not lost without a word"
        );
        let no_rights = Refusal::Hold(Obstacle::NoRights);
        assert_eq!(verdict(Step::Delete, no_rights), Verdict::Discard);
        assert_eq!(verdict(Step::Edit, Refusal::KindForbidden), Verdict::Discard);
    }

    #[test]
    fn a_repeated_name_is_looked_up_an_open_outcome_tried_again_and_a_kind_passed_over() {
        assert_eq!(verdict(Step::Send, Refusal::Duplicate), Verdict::Look);
        assert_eq!(verdict(Step::Send, Refusal::Uncertain), Verdict::Retry);
        assert_eq!(verdict(Step::Send, Refusal::KindForbidden), Verdict::Skip);
        let together = Refusal::Simplify(Less::Together);
        assert_eq!(verdict(Step::Send, together), Verdict::Apart);
    }

    #[test]
    fn pauses_double_up_to_a_limit_and_scatter() {
        let (first, max) = (Duration::from_secs(1), Duration::from_secs(60));
        assert_eq!(pause(first, max, 1, 0.5), first);
        assert_eq!(pause(first, max, 3, 0.5), Duration::from_secs(4));
        assert_eq!(pause(first, max, 40, 0.5), max);
        assert!(pause(first, max, 1, 0.0) < first && pause(first, max, 1, 1.0) > first);
    }
}
