//! Deliveries and their attempts: the records, the id of a delivery, and what an answer means.
//!
//! Pure but for the records' forms. A delivery's id is derived from its endpoint and event, so
//! every try, every `recover` and every restart finds the same one.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::body::SessionContext;
use super::endpoint::Shape;
use super::schedule::Failure;
use crate::base::{Code, DeliveryId, EndpointId, EventId, SessionId, Timestamp};

/// The id of the delivery of an event to an endpoint: the event's time, then a hash.
pub fn delivery_id(endpoint: EndpointId, event: EventId, at: Timestamp) -> DeliveryId {
    let hash = Sha256::new()
        .chain_update(b"delivery\0")
        .chain_update(endpoint.to_bytes())
        .chain_update(event.to_bytes())
        .finalize();
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&at.0.to_be_bytes()[2..]);
    bytes[6..].copy_from_slice(&hash[..10]);
    DeliveryId::from_bytes(bytes)
}

/// The time in a delivery's id: that of its event.
pub fn delivery_time(id: DeliveryId) -> Timestamp {
    let mut bytes = [0; 8];
    bytes[2..].copy_from_slice(&id.to_bytes()[..6]);
    Timestamp(i64::from_be_bytes(bytes))
}

/// What made a try happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// An event, or the retry schedule.
    Scheduled,
    /// Somebody asked for it.
    Manual,
}

/// How a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// Not tried yet.
    Pending,
    /// Tried in vain, and to be tried again.
    Failing,
    /// The receiver has it.
    Delivered,
    /// Given up: a dead letter.
    Exhausted,
}

impl DeliveryState {
    /// Whether nothing more happens by itself.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Delivered | Self::Exhausted)
    }
}

/// A delivery: one event for one endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Delivery {
    /// Its id, which the receiver sees as `webhook-id`.
    pub id: DeliveryId,
    /// The endpoint.
    pub endpoint: EndpointId,
    /// The event.
    pub event: EventId,
    /// The event's type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The session of the event.
    pub session: Option<SessionId>,
    /// How it stands.
    pub state: DeliveryState,
    /// Tries made.
    pub attempts: u32,
    /// The status of the last answer, if there was one.
    pub last_status: Option<u16>,
    /// When it became a delivery.
    pub created_at: Timestamp,
    /// When the last try was made.
    pub last_at: Option<Timestamp>,
    /// When the next one will be.
    pub next_at: Option<Timestamp>,
}

/// What is stored of a delivery: the record, and what it takes to make its body again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeliveryRow {
    /// The record.
    pub delivery: Delivery,
    /// The event's place in the journal.
    pub seq: u64,
    /// The session as it was then.
    pub context: SessionContext,
    /// The form of its body, whatever the endpoint's is today.
    #[serde(default)]
    pub shape: Shape,
    /// The last tries, in order. What was answered to them stands in rows of its own: see [`AnswerRow`].
    pub attempts: Vec<Attempt>,
}

/// How many tries of a delivery are kept; `Delivery::attempts` counts all of them.
pub const ATTEMPTS_KEPT: usize = 20;

/// To how many of them the answer is.
pub const ANSWERS_KEPT: u32 = 3;

/// What was answered to a try. There are so many rows of a delivery that each try writes over the oldest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnswerRow {
    /// Which try it was.
    pub number: u32,
    /// The beginning of the answer.
    pub text: String,
}

impl AnswerRow {
    /// The place of a try's answer among those of its delivery.
    pub fn slot(number: u32) -> u8 {
        (number % ANSWERS_KEPT) as u8
    }
}

impl DeliveryRow {
    /// Puts a try in, and forgets those that are too old.
    pub fn note(&mut self, attempt: Attempt) {
        self.attempts.push(attempt);
        let surplus = self.attempts.len().saturating_sub(ATTEMPTS_KEPT);
        self.attempts.drain(..surplus);
        // Rows of earlier releases hold the answers themselves.
        let old = self.attempts.len().saturating_sub(ANSWERS_KEPT as usize);
        for attempt in &mut self.attempts[..old] {
            attempt.answer = String::new();
        }
    }

    /// The tries with what was answered to the last of them.
    pub fn attempts_with(&self, answers: &[AnswerRow]) -> Vec<Attempt> {
        let mut attempts = self.attempts.clone();
        for attempt in &mut attempts {
            let answer = answers.iter().find(|answer| answer.number == attempt.number);
            if let Some(answer) = answer {
                attempt.answer.clone_from(&answer.text);
            }
        }
        attempts
    }
}

/// One try.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Attempt {
    /// Which one it was, from 1.
    pub number: u32,
    /// When it began.
    pub at: Timestamp,
    /// What made it happen.
    pub trigger: Trigger,
    /// Where to, without the query.
    pub url: String,
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    /// What was wrong, in a few words.
    pub error: Option<String>,
    /// The same as a stable code.
    #[serde(default)]
    pub code: Option<String>,
    /// The beginning of the answer; of the last 3 tries only.
    pub answer: String,
    /// How long it took.
    pub duration_ms: u64,
    /// When the next one will be.
    pub next_at: Option<Timestamp>,
}

/// Why there was no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// Not in time.
    Timeout,
    /// The name of the host leads nowhere.
    Unresolved,
    /// Nobody listens there.
    Refused,
    /// The certificate is not trusted, and why not.
    Certificate(&'static str),
    /// There was no TLS connection to be made.
    Tls,
    /// The connection broke.
    Broken,
    /// What came back is no HTTP.
    Garbled,
    /// There was no connection, for some other reason.
    Unreachable,
    /// The address may not be called.
    Forbidden,
}

/// The answer to a try, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status, or why there is none.
    pub status: Result<u16, NoAnswer>,
    /// How long the receiver asked to be left alone.
    pub retry_after: Option<Duration>,
    /// The beginning of the body.
    pub text: String,
}

/// What an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The receiver has it.
    Delivered,
    /// It does not.
    Failed(Failure),
    /// It never will: the endpoint is gone.
    Gone,
}

impl Answer {
    /// No answer at all.
    pub fn none(why: NoAnswer) -> Self {
        Self {
            status: Err(why),
            retry_after: None,
            text: String::new(),
        }
    }

    /// What it means: 2xx alone is success.
    pub fn verdict(&self) -> Verdict {
        let overloaded = match self.status {
            Ok(200..=299) => return Verdict::Delivered,
            Ok(410) => return Verdict::Gone,
            Ok(status) => matches!(status, 429 | 502 | 504),
            Err(no_answer) => no_answer == NoAnswer::Timeout,
        };
        Verdict::Failed(Failure {
            overloaded,
            retry_after: self.retry_after,
        })
    }

    /// What is wrong with it, as a stable code and in a few words; none if it is a success.
    pub fn fault(&self) -> Option<(Code, String)> {
        Some(match self.status {
            Ok(200..=299) => return None,
            Ok(status @ 300..=399) => (
                Code::ReceiverRefused,
                format!("answered {status}; redirects are not followed"),
            ),
            Ok(status) => (Code::ReceiverRefused, format!("answered {status}")),
            Err(NoAnswer::Timeout) => (Code::ReceiverUnreachable, "no answer in time".to_owned()),
            Err(NoAnswer::Unresolved) => (
                Code::ReceiverUnresolved,
                "the name of its host does not resolve".to_owned(),
            ),
            Err(NoAnswer::Refused) => (Code::ReceiverAbsent, "the connection was refused".to_owned()),
            Err(NoAnswer::Certificate(why)) => (
                Code::ReceiverCertificate,
                format!("its certificate is not trusted: {why}"),
            ),
            Err(NoAnswer::Tls) => (Code::ReceiverTls, "no TLS connection could be made".to_owned()),
            Err(NoAnswer::Broken) => (
                Code::ReceiverUnreachable,
                "the connection broke before an answer".to_owned(),
            ),
            Err(NoAnswer::Garbled) => (
                Code::ReceiverGarbled,
                "the answer was not understood as HTTP".to_owned(),
            ),
            Err(NoAnswer::Unreachable) => (Code::ReceiverUnreachable, "could not be reached".to_owned()),
            Err(NoAnswer::Forbidden) => (Code::AddressForbidden, "the address may not be called".to_owned()),
        })
    }

    /// Every word of [`Self::label`].
    pub const LABELS: [&'static str; 11] = [
        "delivered",
        "redirected",
        "refused",
        "receiver_error",
        "timeout",
        "unresolved",
        "connection_refused",
        "tls",
        "garbled",
        "unreachable",
        "forbidden",
    ];

    /// The word that the metrics count it under.
    pub fn label(&self) -> &'static str {
        match self.status {
            Ok(200..=299) => "delivered",
            Ok(300..=399) => "redirected",
            Ok(400..=499) => "refused",
            Ok(_) => "receiver_error",
            Err(NoAnswer::Timeout) => "timeout",
            Err(NoAnswer::Unresolved) => "unresolved",
            Err(NoAnswer::Refused) => "connection_refused",
            Err(NoAnswer::Certificate(_) | NoAnswer::Tls) => "tls",
            Err(NoAnswer::Garbled) => "garbled",
            Err(NoAnswer::Broken | NoAnswer::Unreachable) => "unreachable",
            Err(NoAnswer::Forbidden) => "forbidden",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: Result<u16, NoAnswer>) -> Answer {
        Answer {
            status,
            retry_after: None,
            text: String::new(),
        }
    }

    #[test]
    fn an_id_is_derived_and_sorts_by_time() {
        let (endpoint, event) = (EndpointId::generate(), EventId::generate());
        let at = Timestamp(1_766_000_000_250);
        let id = delivery_id(endpoint, event, at);
        assert_eq!(id, delivery_id(endpoint, event, at));
        assert_ne!(id, delivery_id(EndpointId::generate(), event, at));
        assert_eq!(delivery_time(id), at);
        assert!(id < delivery_id(endpoint, event, Timestamp(at.0 + 1)));
        assert!(!id.to_string().contains('.'));
    }

    #[test]
    fn only_two_hundreds_are_success() {
        for status in [200, 201, 204, 299] {
            assert_eq!(answer(Ok(status)).verdict(), Verdict::Delivered);
            assert_eq!(answer(Ok(status)).fault(), None);
        }
        for status in [100, 199, 301, 302, 307, 400, 401, 404, 409, 500, 503, 599] {
            assert_eq!(answer(Ok(status)).verdict(), Verdict::Failed(Failure::default()));
            assert!(answer(Ok(status)).fault().is_some());
        }
        assert_eq!(answer(Ok(410)).verdict(), Verdict::Gone);
    }

    fn attempt(number: u32, answer: &str) -> Attempt {
        Attempt {
            number,
            at: Timestamp(0),
            trigger: Trigger::Manual,
            url: String::new(),
            status: None,
            error: None,
            code: None,
            answer: answer.to_owned(),
            duration_ms: 0,
            next_at: None,
        }
    }

    #[test]
    fn a_row_stays_small_however_often_one_tries() {
        let task = crate::webhook::tables::DeliveryTask {
            delivery: DeliveryId::from_bytes([3; 16]),
            event: EventId::from_bytes([4; 16]),
            kind: "message.new".to_owned(),
            seq: 9,
            session: None,
            agent_id: None,
            shape: Shape::default(),
            created_at: Timestamp(0),
            trigger: Trigger::Scheduled,
            body: String::new(),
        };
        let endpoint = EndpointId::from_bytes([5; 16]);
        let mut row = crate::webhook::conclude::fresh_row(endpoint, &task, SessionContext::default());
        // As an earlier release stored it.
        row.attempts = (1..=500).map(|number| attempt(number, "long ago")).collect();
        let mut answers = Vec::<AnswerRow>::new();
        for number in 501..=600 {
            row.note(attempt(number, ""));
            let text = format!("answer {number}");
            answers.retain(|row| AnswerRow::slot(row.number) != AnswerRow::slot(number));
            answers.push(AnswerRow { number, text });
        }
        let shown = row.attempts_with(&answers);
        assert_eq!(shown.len(), ATTEMPTS_KEPT);
        let with: Vec<_> = shown
            .iter()
            .filter(|attempt| !attempt.answer.is_empty())
            .collect();
        assert_eq!(with.len(), 3);
        assert_eq!(
            with.last().map(|attempt| attempt.answer.as_str()),
            Some("answer 600")
        );
        assert!(row.attempts.iter().all(|attempt| attempt.answer.is_empty()));
    }

    #[test]
    fn every_fault_has_a_code_and_words_of_its_own() {
        let why = [
            NoAnswer::Timeout,
            NoAnswer::Unresolved,
            NoAnswer::Refused,
            NoAnswer::Certificate("it has expired"),
            NoAnswer::Tls,
            NoAnswer::Broken,
            NoAnswer::Garbled,
            NoAnswer::Unreachable,
            NoAnswer::Forbidden,
        ];
        let mut told: Vec<String> = why
            .iter()
            .filter_map(|why| answer(Err(*why)).fault())
            .map(|(_, words)| words)
            .collect();
        assert!(
            why.iter()
                .all(|why| Answer::LABELS.contains(&answer(Err(*why)).label()))
        );
        told.sort();
        told.dedup();
        assert_eq!(told.len(), why.len(), "{told:?}");
    }

    #[test]
    fn overload_is_told_apart() {
        for status in [Ok(429), Ok(502), Ok(504), Err(NoAnswer::Timeout)] {
            let Verdict::Failed(failure) = answer(status).verdict() else {
                panic!("{status:?} is a failure")
            };
            assert!(failure.overloaded);
        }
        for status in [Ok(500), Err(NoAnswer::Unreachable), Err(NoAnswer::Forbidden)] {
            assert_eq!(answer(status).verdict(), Verdict::Failed(Failure::default()));
        }
    }
}
