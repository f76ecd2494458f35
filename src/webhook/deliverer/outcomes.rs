//! What comes of the tries: concluded as they land, stored many to a commit.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use super::super::attempt::AnswerRow;
use super::super::conclude::{Conclusion, Next, Tried, conclude};
use super::super::error::WebhookError;
use super::super::order::Settled;
use super::super::service::reason;
use super::super::tables::{Answers, Deliveries, EndpointStats, sound};
use super::Deliverer;
use crate::base::fault::fault_point;
use crate::base::{EventId, Timestamp};
use crate::model::Event;
use crate::runtime::BoxError;
use crate::store::{Batch, Committed, DeadReason, StoreError, TaskKey};

/// How many outcomes one commit stores.
const OUTCOMES: usize = 128;

/// How many bytes of answers one commit stores, about.
const ANSWER_BYTES: usize = 512 * 1024;

/// How many outcomes may wait for their commit before no more deliveries are made.
pub(super) const BACKLOG: usize = 4 * OUTCOMES;

/// How long no other trouble with an endpoint is told after one was.
const BETWEEN_WORDS: Duration = Duration::from_secs(60);

/// A commit of outcomes under way.
pub(super) type Storing = Pin<Box<dyn Future<Output = (Vec<Stored>, Result<Committed, StoreError>)> + Send>>;

/// A try whose outcome is to be stored.
pub(super) struct Outcome {
    key: TaskKey,
    tried: Tried,
    conclusion: Conclusion,
}

/// A task whose outcome was stored, and when it is tried again if it is.
pub(super) struct Stored {
    key: TaskKey,
    again: Option<Timestamp>,
}

impl Deliverer {
    /// Draws the conclusion from a try. A chat whose delivery arrived goes on at once; one that failed
    /// waits until that is stored, so that its next try knows of this one.
    pub(super) fn landed(&mut self, key: TaskKey, tried: Tried) -> Result<(), StoreError> {
        let place = (self.seat.id, tried.task.delivery);
        let row = sound::<Deliveries>(&self.service.store, &place)?;
        let conclusion = conclude(self.seat.id, &tried, row, &self.service.schedule, rand::random());
        self.tell_trouble(&tried);
        let longest = self.service.schedule.longest();
        self.health.note(&tried, &conclusion.next, longest);
        self.gone |= conclusion.gone;
        count(&tried, &conclusion);
        let settled = match conclusion.next {
            Next::Done => Some(Settled::Delivered),
            Next::GiveUp { .. } => Some(Settled::GivenUp),
            Next::Retry { .. } => None,
        };
        if let Some(settled) = settled {
            self.closing.insert(key);
            self.plan.settle(key, settled, Timestamp::now());
        }
        self.outcomes.push_back(Outcome {
            key,
            tried,
            conclusion,
        });
        Ok(())
    }

    /// Tells of trouble that is not the last one's, now and then: an endpoint may fail every other time.
    fn tell_trouble(&mut self, tried: &Tried) {
        let Some((code, error)) = tried.answer.fault() else {
            return;
        };
        let known = self.health.last_error.as_ref();
        let known = known.and_then(|last| last.code.as_deref());
        let lately = self.told.is_some_and(|told| told.elapsed() < BETWEEN_WORDS);
        if known != Some(code.as_str()) && !lately {
            self.told = Some(Instant::now());
            let (endpoint, code) = (self.seat.id, code.as_str());
            tracing::warn!(%endpoint, code, error, "an endpoint does not take its deliveries");
        }
    }

    /// Begins to store what has landed, one commit at a time.
    pub(super) fn store_outcomes(&mut self) {
        if self.outcomes.is_empty() || !self.storing.is_empty() {
            return;
        }
        let (mut batch, mut tasks, mut bytes) = (Batch::new(), Vec::new(), 0);
        while tasks.len() < OUTCOMES && bytes < ANSWER_BYTES {
            let Some(outcome) = self.outcomes.pop_front() else {
                break;
            };
            bytes += outcome.tried.answer.text.len();
            let kept = outcome.conclusion.row.attempts.iter();
            bytes += kept.map(|attempt| attempt.answer.len()).sum::<usize>();
            tasks.push(self.put_outcome(&mut batch, outcome));
        }
        batch.put::<EndpointStats>(&self.seat.id, &self.health);
        let store = self.service.store.clone();
        self.storing.push(Box::pin(async move {
            fault_point!("webhook.commit.before");
            let stored = store.commit(batch).await;
            fault_point!("webhook.commit.after");
            (tasks, stored)
        }));
    }

    fn put_outcome(&self, batch: &mut Batch, outcome: Outcome) -> Stored {
        let Outcome {
            key,
            tried,
            conclusion,
        } = outcome;
        let now = Timestamp::now();
        let mut again = None;
        match conclusion.next {
            Next::Done => {
                batch.complete(&key);
            }
            Next::Retry { due, error } => {
                batch.reschedule(&key, due, tried.before + 1, Some(error));
                again = Some(due);
            }
            Next::GiveUp { code, reason } => {
                let code = code.as_str().to_owned();
                // so that the dead letter says how often and since when
                batch.reschedule(&key, now, tried.before + 1, Some(reason.clone()));
                let subject = self.seat.id.to_string();
                batch.dead_letter(
                    &key,
                    DeadReason {
                        code,
                        reason,
                        subject,
                    },
                );
            }
        }
        if let Some(body) = conclusion.event {
            let event = Event {
                id: EventId::generate(),
                at: now,
                session: tried.task.session,
                owner: self.live.record.owner.clone(),
                body,
            };
            batch.append(event, None);
        }
        let delivery = tried.task.delivery;
        batch.put::<Deliveries>(&(self.seat.id, delivery), &conclusion.row);
        if let Some(answer) = &conclusion.answer {
            let slot = AnswerRow::slot(answer.number);
            batch.put::<Answers>(&(self.seat.id, delivery, slot), answer);
        }
        Stored { key, again }
    }

    /// Takes up that outcomes are stored; and disables an endpoint that is gone or dead.
    pub(super) async fn stored(
        &mut self,
        tasks: Vec<Stored>,
        stored: Result<Committed, StoreError>,
    ) -> Result<(), BoxError> {
        stored?;
        let now = Timestamp::now();
        for Stored { key, again } in tasks {
            self.closing.remove(&key);
            if let Some(due) = again {
                self.plan.settle(key, Settled::Retry(due), now);
            }
        }
        let config = &self.service.config;
        let dead = self.health.is_dead(config.disable_tries, *config.disable_after);
        if self.live.is_active() && (self.gone || dead) {
            let why = if self.gone { reason::GONE } else { reason::FAILING };
            match self.service.disable(self.seat.id, why).await {
                // deleted in the meantime
                Ok(()) | Err(WebhookError::NotFound(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

fn count(tried: &Tried, conclusion: &Conclusion) {
    metrics::counter!("trunkline_webhook_attempts_total", "outcome" => tried.answer.label()).increment(1);
    metrics::histogram!("trunkline_webhook_attempt_seconds").record(tried.took.as_secs_f64());
    let outcome = match &conclusion.next {
        Next::Done => "delivered",
        Next::GiveUp { .. } => "exhausted",
        Next::Retry { .. } => return,
    };
    metrics::counter!("trunkline_webhook_deliveries_total", "outcome" => outcome).increment(1);
    if let Next::GiveUp { code, .. } = &conclusion.next {
        let delivery = tried.task.delivery;
        tracing::warn!(%delivery, code = code.as_str(), "delivery given up");
    }
}
