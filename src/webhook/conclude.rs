//! What follows from a try: the delivery's new record, the next try or the end, and whom to tell.
//! Pure: the caller brings the time it took and the randomness.

use std::time::Duration;

use super::attempt::{Answer, AnswerRow, Attempt, Delivery, DeliveryRow, DeliveryState, Trigger, Verdict};
use super::body::SessionContext;
use super::endpoint::{EndpointHealth, LastError};
use super::filter::is_reported;
use super::schedule::Schedule;
use super::tables::DeliveryTask;
use crate::base::{Code, EndpointId, Timestamp};
use crate::model::EventBody;

/// A try that was made.
pub(super) struct Tried {
    pub task: DeliveryTask,
    /// Tries of this task before.
    pub before: u32,
    pub trigger: Trigger,
    pub at: Timestamp,
    pub took: Duration,
    /// Where to, as the log shows it.
    pub url: String,
    pub answer: Answer,
}

/// What follows.
#[derive(Debug, PartialEq)]
pub(super) struct Conclusion {
    pub row: DeliveryRow,
    /// What was answered, if anything.
    pub answer: Option<AnswerRow>,
    pub next: Next,
    /// What to tell the others, if anything.
    pub event: Option<EventBody>,
    /// The endpoint said that it is gone.
    pub gone: bool,
}

/// What becomes of the task.
#[derive(Debug, PartialEq)]
pub(super) enum Next {
    /// It is done.
    Done,
    /// It is tried again then.
    Retry { due: Timestamp, error: String },
    /// It becomes a dead letter.
    GiveUp { code: Code, reason: String },
}

/// Draws the conclusion. `row` is what is stored of the delivery; it may be gone.
pub(super) fn conclude(
    endpoint: EndpointId,
    tried: &Tried,
    row: Option<DeliveryRow>,
    schedule: &Schedule,
    random: f64,
) -> Conclusion {
    let done_at = tried.at.plus(tried.took);
    let verdict = tried.answer.verdict();
    let next = match (verdict, tried.answer.fault()) {
        (Verdict::Delivered, _) | (_, None) => Next::Done,
        (verdict, Some((code, reason))) => {
            let failure = match verdict {
                Verdict::Failed(failure) => failure,
                _ => Default::default(),
            };
            match schedule.next(tried.before + 1, failure, random) {
                Some(wait) => Next::Retry {
                    due: done_at.plus(wait),
                    error: reason,
                },
                None => Next::GiveUp { code, reason },
            }
        }
    };
    let mut row = row.unwrap_or_else(|| fresh_row(endpoint, &tried.task, SessionContext::default()));
    let before = row.delivery.state;
    let after = match (&next, before) {
        (Next::Done, _) => DeliveryState::Delivered,
        // the receiver had it before somebody asked for one more
        (_, DeliveryState::Delivered) => DeliveryState::Delivered,
        (Next::Retry { .. }, _) => DeliveryState::Failing,
        (Next::GiveUp { .. }, _) => DeliveryState::Exhausted,
    };
    let next_at = match &next {
        Next::Retry { due, .. } => Some(*due),
        _ => None,
    };
    row.delivery.state = after;
    row.delivery.attempts += 1;
    row.delivery.last_status = tried.answer.status.ok();
    row.delivery.last_at = Some(tried.at);
    row.delivery.next_at = next_at;
    let number = row.delivery.attempts;
    let (code, error) = tried.answer.fault().unzip();
    row.note(Attempt {
        number,
        at: tried.at,
        trigger: tried.trigger,
        url: tried.url.clone(),
        status: tried.answer.status.ok(),
        error,
        code: code.map(|code| code.as_str().to_owned()),
        answer: String::new(),
        duration_ms: u64::try_from(tried.took.as_millis()).unwrap_or(u64::MAX),
        next_at,
    });
    Conclusion {
        event: told(before, after, endpoint, &tried.task),
        gone: verdict == Verdict::Gone,
        answer: (!tried.answer.text.is_empty()).then(|| AnswerRow {
            number,
            text: tried.answer.text.clone(),
        }),
        row,
        next,
    }
}

/// The event that a delivery's change of state is worth.
fn told(
    before: DeliveryState,
    after: DeliveryState,
    endpoint: EndpointId,
    task: &DeliveryTask,
) -> Option<EventBody> {
    use DeliveryState::{Delivered, Exhausted, Failing, Pending};
    let outcome = match (before, after) {
        (Pending | Exhausted, Failing) => "failing",
        (Pending | Failing, Exhausted) => "exhausted",
        (Failing | Exhausted, Delivered) => "recovered",
        _ => return None,
    };
    is_reported(&task.kind).then(|| EventBody::Delivery {
        outcome: outcome.to_owned(),
        delivery: task.delivery.to_string(),
        endpoint: endpoint.to_string(),
    })
}

/// The record of a delivery that was not tried yet.
pub(super) fn fresh_row(endpoint: EndpointId, task: &DeliveryTask, context: SessionContext) -> DeliveryRow {
    DeliveryRow {
        delivery: Delivery {
            id: task.delivery,
            endpoint,
            event: task.event,
            kind: task.kind.clone(),
            session: task.session,
            state: DeliveryState::Pending,
            attempts: 0,
            last_status: None,
            created_at: task.created_at,
            last_at: None,
            next_at: None,
        },
        seq: task.seq,
        context,
        shape: task.shape,
        attempts: Vec::new(),
    }
}

impl EndpointHealth {
    /// Counts a try in. A pause that is longer than the schedule's longest is silence: there was nothing to deliver.
    pub(super) fn note(&mut self, tried: &Tried, next: &Next, longest: Duration) {
        let at = tried.at.plus(tried.took);
        self.attempts += 1;
        if let Some((code, error)) = tried.answer.fault() {
            self.failed += 1;
            self.failing_since.get_or_insert(at);
            let before = self.last_error.as_ref().map_or(at, |last| last.at);
            let passed = at.since(before).min(longest);
            self.failing_tries = self.failing_tries.saturating_add(1);
            self.failing_ms += u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
            self.last_error = Some(LastError {
                at,
                status: tried.answer.status.ok(),
                code: Some(code.as_str().to_owned()),
                error,
            });
        } else {
            self.delivered += 1;
            self.begin_anew();
            self.last_error = None;
            self.last_success_at = Some(at);
        }
        if matches!(next, Next::GiveUp { .. }) {
            self.exhausted += 1;
        }
    }

    /// Forgets for how long it has failed.
    pub(super) fn begin_anew(&mut self) {
        self.failing_since = None;
        (self.failing_tries, self.failing_ms) = (0, 0);
    }

    /// Whether it has only failed, so often and for so long that it counts as dead.
    pub(super) fn is_dead(&self, tries: u32, disable_after: Duration) -> bool {
        self.failing_tries >= tries && Duration::from_millis(self.failing_ms) >= disable_after
    }
}

#[cfg(test)]
mod tests {
    use super::super::attempt::NoAnswer;
    use super::*;
    use crate::base::{DeliveryId, EventId};

    fn task(kind: &str) -> DeliveryTask {
        DeliveryTask {
            delivery: DeliveryId::from_bytes([3; 16]),
            event: EventId::from_bytes([4; 16]),
            kind: kind.to_owned(),
            seq: 9,
            session: None,
            agent_id: None,
            shape: Default::default(),
            created_at: Timestamp(0),
            trigger: Trigger::Scheduled,
            body: "{}".to_owned(),
        }
    }

    fn tried(before: u32, status: Result<u16, NoAnswer>) -> Tried {
        Tried {
            task: task("message.new"),
            before,
            trigger: Trigger::Scheduled,
            at: Timestamp::from_secs(100),
            took: Duration::from_secs(2),
            url: "https://a.example/".to_owned(),
            answer: Answer {
                status,
                retry_after: None,
                text: "said".to_owned(),
            },
        }
    }

    fn endpoint() -> EndpointId {
        EndpointId::from_bytes([5; 16])
    }

    fn conclude_on(tried: &Tried, row: Option<DeliveryRow>) -> Conclusion {
        let schedule = crate::webhook::WebhookConfig::default().schedule();
        conclude(endpoint(), tried, row, &schedule, 0.5)
    }

    fn outcome(conclusion: &Conclusion) -> Option<&str> {
        match &conclusion.event {
            Some(EventBody::Delivery { outcome, .. }) => Some(outcome),
            _ => None,
        }
    }

    #[test]
    fn the_story_of_a_delivery_is_told_in_full() {
        let first = conclude_on(&tried(0, Ok(500)), None);
        assert_eq!(
            first.next,
            Next::Retry {
                due: Timestamp::from_secs(107),
                error: "answered 500".to_owned()
            }
        );
        assert_eq!(first.row.delivery.state, DeliveryState::Failing);
        assert_eq!(outcome(&first), Some("failing"));
        let second = conclude_on(&tried(1, Err(NoAnswer::Unreachable)), Some(first.row));
        assert_eq!(outcome(&second), None, "told once");
        assert_eq!(second.row.attempts.len(), 2);
        let third = conclude_on(&tried(2, Ok(204)), Some(second.row));
        assert_eq!(third.next, Next::Done);
        assert_eq!(third.row.delivery.state, DeliveryState::Delivered);
        assert_eq!(third.row.delivery.attempts, 3);
        assert_eq!(outcome(&third), Some("recovered"));
    }

    #[test]
    fn the_last_try_gives_up() {
        let last = conclude_on(&tried(7, Ok(404)), None);
        assert_eq!(
            last.next,
            Next::GiveUp {
                code: Code::ReceiverRefused,
                reason: "answered 404".to_owned()
            }
        );
        assert_eq!(last.row.delivery.state, DeliveryState::Exhausted);
        assert_eq!(outcome(&last), Some("exhausted"));
    }

    #[test]
    fn a_second_helping_that_fails_takes_nothing_back() {
        let done = conclude_on(&tried(0, Ok(200)), None);
        assert_eq!(outcome(&done), None);
        let again = conclude_on(&tried(0, Ok(500)), Some(done.row));
        assert_eq!(again.row.delivery.state, DeliveryState::Delivered);
        assert_eq!(outcome(&again), None);
        assert!(matches!(again.next, Next::Retry { .. }));
    }

    #[test]
    fn reports_are_not_reported_on() {
        let mut report = tried(0, Ok(500));
        report.task.kind = "delivery.failing".to_owned();
        assert_eq!(conclude_on(&report, None).event, None);
    }

    #[test]
    fn an_endpoint_is_dead_after_long_failure_only() {
        const HOUR: u64 = 3600;
        let (day, longest) = (Duration::from_secs(24 * HOUR), Duration::from_secs(12 * HOUR));
        let mut health = EndpointHealth::default();
        let fail = |health: &mut EndpointHealth, hour: u64| {
            let failed = Tried {
                at: Timestamp::from_secs((hour * HOUR).cast_signed()),
                ..tried(0, Ok(500))
            };
            health.note(&failed, &conclude_on(&failed, None).next, longest);
            health.is_dead(4, day)
        };
        assert!(!fail(&mut health, 0));
        // Five quiet days are no failure.
        assert!(!fail(&mut health, 120));
        assert!(!fail(&mut health, 121));
        assert!(!fail(&mut health, 130), "often enough, but not for long enough");
        assert!(fail(&mut health, 140));
        let done = tried(0, Ok(200));
        health.note(&done, &Next::Done, longest);
        assert!(!health.is_dead(0, Duration::from_millis(1)));
        assert_eq!((health.attempts, health.delivered, health.failed), (6, 1, 5));
        assert_eq!(health.last_error, None);
        for minute in 0..10 {
            assert!(!fail(&mut health, minute / 60), "often, but for a moment only");
        }
    }
}
