//! What follows from a failed try: the one table from Telegram's answers to verdicts.
//!
//! Pure: time and chance are handed in.

use std::time::Duration;

use crate::base::Timestamp;
use crate::telegram::ErrorClass;

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
    /// The pair stops, with the reason, until somebody resumes it.
    Hold(&'static str),
    /// The account stops, with the reason.
    Halt(&'static str),
    /// It will never work: to the dead letters.
    Discard,
}

/// The verdict on a failed try.
pub(super) fn verdict(step: Step, class: ErrorClass) -> Verdict {
    match class {
        ErrorClass::FloodWait(until) | ErrorClass::SlowMode(until) | ErrorClass::Limited(until) => {
            Verdict::Snooze(until)
        }
        ErrorClass::PeerFlood => Verdict::Halt("peer_flood"),
        ErrorClass::Expired(_) => Verdict::Halt("session_expired"),
        ErrorClass::Unavailable => Verdict::Await,
        ErrorClass::Ambiguous | ErrorClass::FileReferenceExpired => Verdict::Retry,
        ErrorClass::PeerInvalid => Verdict::Hold(CHAT_UNKNOWN),
        ErrorClass::NotModified => Verdict::Done,
        ErrorClass::NoRights if step == Step::Send => Verdict::Hold("no_rights"),
        ErrorClass::DuplicateRandomId if step == Step::Send => Verdict::Look,
        // Whoever protects the chat later is heeded as one who did before the pair was made.
        ErrorClass::Protected if step == Step::Send => Verdict::Hold(PROTECTED),
        ErrorClass::EntitiesInvalid => Verdict::Simplify,
        // The copy is gone or too old: there is nothing left to edit or to delete.
        ErrorClass::MessageGone if step != Step::Send => Verdict::Done,
        // What a new message answers is gone, or (forward mode) the source itself.
        ErrorClass::MessageGone => Verdict::Simplify,
        ErrorClass::NoRights
        | ErrorClass::DuplicateRandomId
        | ErrorClass::Protected
        | ErrorClass::TooLong
        | ErrorClass::Empty
        | ErrorClass::Refused => Verdict::Discard,
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

    #[test]
    fn waits_cost_no_attempt() {
        let until = Timestamp(5);
        for class in [
            ErrorClass::FloodWait(until),
            ErrorClass::SlowMode(until),
            ErrorClass::Limited(until),
        ] {
            for step in [Step::Send, Step::Edit, Step::Delete] {
                assert_eq!(verdict(step, class), Verdict::Snooze(until));
            }
        }
        assert_eq!(verdict(Step::Send, ErrorClass::Unavailable), Verdict::Await);
    }

    #[test]
    fn what_only_a_person_can_heal_stops_the_pair_or_the_account() {
        assert_eq!(
            verdict(Step::Send, ErrorClass::NoRights),
            Verdict::Hold("no_rights")
        );
        assert_eq!(
            verdict(Step::Send, ErrorClass::PeerInvalid),
            Verdict::Hold("chat_unknown")
        );
        assert_eq!(
            verdict(Step::Send, ErrorClass::PeerFlood),
            Verdict::Halt("peer_flood")
        );
        let banned = ErrorClass::Expired(SessionState::Banned);
        assert_eq!(verdict(Step::Edit, banned), Verdict::Halt("session_expired"));
    }

    #[test]
    fn an_edit_of_what_is_gone_is_done_and_one_that_is_forbidden_stops_nothing() {
        assert_eq!(verdict(Step::Edit, ErrorClass::MessageGone), Verdict::Done);
        assert_eq!(verdict(Step::Delete, ErrorClass::MessageGone), Verdict::Done);
        assert_eq!(verdict(Step::Edit, ErrorClass::NotModified), Verdict::Done);
        assert_eq!(verdict(Step::Delete, ErrorClass::NoRights), Verdict::Discard);
    }

    #[test]
    fn a_repeated_name_is_looked_up_and_an_open_outcome_tried_again() {
        assert_eq!(verdict(Step::Send, ErrorClass::DuplicateRandomId), Verdict::Look);
        assert_eq!(verdict(Step::Send, ErrorClass::Ambiguous), Verdict::Retry);
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
