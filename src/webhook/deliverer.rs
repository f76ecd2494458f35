//! The deliverer of one endpoint: takes tasks from its lane in the order that the plan allows,
//! posts them, and commits what came of it, many outcomes to a commit.
//!
//! Input: its lane (read once at the start, then by letters from the dispatcher; read anew when the
//! store's count says that something was missed), the endpoint's present form, and time. Output:
//! requests, outcomes, events about deliveries. A chat goes on as soon as its receiver has
//! answered, not when the outcome is stored: a crash between the two delivers again, in order.
//!
//! It does not decide what an answer means (`conclude`) nor what comes next (`order`).

use std::collections::{HashSet, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde::de::IgnoredAny;

use super::attempt::{Answer, NoAnswer, Trigger, delivery_time};
use super::conclude::{Conclusion, Next, Tried, conclude};
use super::endpoint::EndpointHealth;
use super::order::{Entry, Plan, Settled};
use super::post::Parcel;
use super::registry::{Letter, Live, Seat};
use super::service::{Service, reason};
use super::tables::{Deliveries, DeliveryTask, EndpointStats};
use crate::base::{EndpointId, EventId, Timestamp};
use crate::model::Event;
use crate::runtime::{BoxError, TaskContext};
use crate::store::{Batch, Committed, DeadReason, LaneKind, Scan, StoreError, TaskKey};

/// How many unfinished deliveries are kept in mind; the rest waits in the store until there is room.
const PLAN_LIMIT: usize = 200_000;

/// How many outcomes one commit stores.
const OUTCOMES: usize = 128;

/// How many bytes of answers one commit stores, about.
const ANSWER_BYTES: usize = 512 * 1024;

/// How many outcomes may wait for their commit before no more deliveries are made.
const BACKLOG: usize = 4 * OUTCOMES;

/// How long the store's count may differ from the plan's before the lane is read anew.
const DOUBT: Duration = Duration::from_millis(250);

/// How often finished deliveries that are too old are cleared away.
const CLEARING: Duration = Duration::from_secs(600);

/// The longest wait without a look at the clock, which may have been set meanwhile.
const NAP: Duration = Duration::from_secs(60);

type Flight = Pin<Box<dyn Future<Output = (TaskKey, Tried)> + Send>>;
type Storing = Pin<Box<dyn Future<Output = (Vec<Stored>, Result<Committed, StoreError>)> + Send>>;

/// A try whose outcome is to be stored.
struct Outcome {
    key: TaskKey,
    tried: Tried,
    conclusion: Conclusion,
}

/// A task whose outcome was stored, and when it is tried again if it is.
struct Stored {
    key: TaskKey,
    again: Option<Timestamp>,
}

struct Deliverer {
    service: Arc<Service>,
    seat: Arc<Seat>,
    live: Arc<Live>,
    plan: Plan<TaskKey>,
    health: EndpointHealth,
    flights: FuturesUnordered<Flight>,
    outcomes: VecDeque<Outcome>,
    storing: FuturesUnordered<Storing>,
    /// Tasks that are finished here but not yet in the store.
    closing: HashSet<TaskKey>,
    /// Tasks that somebody asked for.
    asked_for: HashSet<TaskKey>,
    /// Whether the plan knows the whole lane.
    complete: bool,
    /// When to read the lane anew, if its count still differs then.
    doubt: Option<Instant>,
    /// How often reading anew found nothing.
    vain: u32,
    clear_at: Instant,
    gone: bool,
}

enum News {
    Stop,
    Landed(TaskKey, Box<Tried>),
    Stored(Vec<Stored>, Result<Committed, StoreError>),
    Letters,
    Changed,
    LaneChanged,
    Time,
}

/// The task child.
pub(super) async fn run(service: Arc<Service>, id: EndpointId, context: TaskContext) -> Result<(), BoxError> {
    // an endpoint that was deleted while this was started: there is nothing to do until it is stopped
    let Some(seat) = service.registry.get(id) else {
        context.idle(context.stop.cancelled()).await;
        return Ok(());
    };
    let mut changes = seat.live.subscribe();
    let mut lane = service.store.lane_signal(LaneKind::Webhook);
    let live = changes.borrow_and_update().clone();
    let mut deliverer = Deliverer {
        plan: Plan::new(live.record.order, *service.config.hold),
        health: service.store.get::<EndpointStats>(&id)?.unwrap_or_default(),
        live,
        flights: FuturesUnordered::new(),
        outcomes: VecDeque::new(),
        storing: FuturesUnordered::new(),
        closing: HashSet::new(),
        asked_for: HashSet::new(),
        complete: false,
        doubt: None,
        vain: 0,
        clear_at: Instant::now() + CLEARING,
        gone: false,
        service,
        seat: seat.clone(),
    };
    // letters from before are in the store; those that come from here on are heard below
    drop(seat.inbox.take());
    deliverer.read_lane(&context).await?;
    loop {
        context.alive();
        deliverer.take_off(Timestamp::now())?;
        deliverer.store_outcomes();
        let idle = deliverer.flights.is_empty() && deliverer.storing.is_empty();
        let wake = tokio::time::sleep(deliverer.nap(Timestamp::now()));
        let news = async {
            tokio::select! {
                () = context.stop.cancelled() => News::Stop,
                Some((key, tried)) = deliverer.flights.next() => News::Landed(key, Box::new(tried)),
                Some((tasks, stored)) = deliverer.storing.next() => News::Stored(tasks, stored),
                () = seat.inbox.rung() => News::Letters,
                // the seat is held here, so its sender is there
                _ = changes.changed() => News::Changed,
                _ = lane.changed() => News::LaneChanged,
                () = wake => News::Time,
            }
        };
        let news = if idle {
            context.idle(news).await
        } else {
            news.await
        };
        match news {
            News::Stop => break,
            News::Landed(key, tried) => deliverer.landed(key, *tried)?,
            News::Stored(tasks, stored) => deliverer.stored(tasks, stored).await?,
            News::Letters => deliverer.read_letters(&context).await?,
            News::Changed => deliverer.change(changes.borrow_and_update().clone()),
            News::LaneChanged => {
                lane.borrow_and_update();
                deliverer.compare();
            }
            News::Time => deliverer.on_time(&context).await?,
        }
    }
    deliverer.drain().await
}

impl Deliverer {
    fn group(&self) -> [u8; 16] {
        self.seat.id.to_bytes()
    }

    /// Reads the whole lane, or as much as the plan holds.
    async fn read_lane(&mut self, context: &TaskContext) -> Result<(), StoreError> {
        const PAGE: usize = 500;
        let now = Timestamp::now();
        let mut after = None;
        self.complete = false;
        self.doubt = None;
        while self.plan.len() < PLAN_LIMIT {
            let tasks =
                self.service
                    .store
                    .tasks::<IgnoredAny>(LaneKind::Webhook, Some(self.group()), after, PAGE)?;
            after = tasks.last().map(|task| task.key);
            let last_page = tasks.len() < PAGE;
            for task in tasks {
                self.meet(task.key, task.due, task.first_failed_at, now);
            }
            if last_page {
                self.complete = true;
                break;
            }
            context.alive();
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Puts a task into the plan, unless it is finished already.
    fn meet(&mut self, key: TaskKey, due: Timestamp, failing_since: Option<Timestamp>, now: Timestamp) {
        if !self.closing.contains(&key) {
            self.plan.insert(
                Entry {
                    key,
                    chat: key.lane.sub,
                    due,
                    failing_since,
                },
                now,
            );
        }
    }

    async fn read_letters(&mut self, context: &TaskContext) -> Result<(), StoreError> {
        let letters = self.seat.inbox.take();
        let now = Timestamp::now();
        // an incomplete plan takes the lane in order when there is room, and nothing out of turn
        let room = self.complete && self.plan.len() + letters.letters.len() <= PLAN_LIMIT;
        self.complete &= room || letters.letters.is_empty();
        for letter in letters.letters {
            match letter {
                Letter::Came(key, due) if room => self.meet(key, due, None, now),
                Letter::Came(..) => {}
                Letter::Hasten(key) => {
                    if self.plan.hasten(key, now) {
                        self.asked_for.insert(key);
                    }
                }
            }
        }
        if letters.overflow {
            self.read_lane(context).await?;
        }
        Ok(())
    }

    /// Starts as many deliveries as may be under way.
    fn take_off(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let limit = self.service.config.in_flight;
        while self.live.is_active()
            && !self.gone
            && self.flights.len() < limit
            && self.outcomes.len() < BACKLOG
        {
            let Some(entry) = self.plan.take(now) else { break };
            match self.service.store.task::<DeliveryTask>(&entry.key) {
                Ok(Some(task)) => {
                    let trigger = match task.attempts {
                        _ if self.asked_for.remove(&entry.key) => Trigger::Manual,
                        0 => task.payload.trigger,
                        _ => Trigger::Scheduled,
                    };
                    let flight = fly(
                        self.service.clone(),
                        self.live.clone(),
                        entry.key,
                        task.payload,
                        task.attempts,
                        trigger,
                    );
                    self.flights.push(Box::pin(flight));
                }
                // somebody took it out, or it is damaged and was moved aside
                Ok(None) | Err(StoreError::BadRow { .. }) => {
                    self.plan.settle(entry.key, Settled::GivenUp, now)
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Draws the conclusion from a try. A chat whose delivery arrived goes on at once; one that failed
    /// waits until that is stored, so that its next try knows of this one.
    fn landed(&mut self, key: TaskKey, tried: Tried) -> Result<(), StoreError> {
        let place = (self.seat.id, tried.task.delivery);
        let row = match self.service.store.get::<Deliveries>(&place) {
            Err(StoreError::BadRow { .. }) => None,
            row => row?,
        };
        let conclusion = conclude(self.seat.id, &tried, row, &self.service.schedule, rand::random());
        self.health.note(&tried, &conclusion.next);
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

    /// Begins to store what has landed, one commit at a time.
    fn store_outcomes(&mut self) {
        if self.outcomes.is_empty() || !self.storing.is_empty() {
            return;
        }
        let (mut batch, mut tasks, mut bytes) = (Batch::new(), Vec::new(), 0);
        while tasks.len() < OUTCOMES && bytes < ANSWER_BYTES {
            let Some(outcome) = self.outcomes.pop_front() else {
                break;
            };
            bytes += outcome
                .conclusion
                .row
                .attempts
                .iter()
                .map(|attempt| attempt.answer.len())
                .sum::<usize>();
            tasks.push(self.put_outcome(&mut batch, outcome));
        }
        batch.put::<EndpointStats>(&self.seat.id, &self.health);
        let store = self.service.store.clone();
        self.storing.push(Box::pin(async move {
            let stored = store.commit(batch).await;
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
            batch.append(&event, None);
        }
        batch.put::<Deliveries>(&(self.seat.id, tried.task.delivery), &conclusion.row);
        Stored { key, again }
    }

    async fn stored(
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
        let dead = self.health.is_dead(now, *self.service.config.disable_after);
        if self.live.is_active() && (self.gone || dead) {
            let why = if self.gone { reason::GONE } else { reason::FAILING };
            match self.service.disable(self.seat.id, why).await {
                // deleted in the meantime
                Ok(()) | Err(super::WebhookError::NotFound(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Takes up a new form of the endpoint.
    fn change(&mut self, live: Arc<Live>) {
        if live.is_active() && !self.live.is_active() {
            self.gone = false;
            self.health.failing_since = None;
        }
        self.plan.reorder(live.record.order, Timestamp::now());
        self.live = live;
    }

    /// Doubts the plan if the store counts more tasks than it knows.
    fn compare(&mut self) {
        let depth = self
            .service
            .store
            .group_stats(LaneKind::Webhook, self.group())
            .depth;
        let known = self.plan.len() + self.closing.len();
        if !self.complete || usize::try_from(depth).unwrap_or(usize::MAX) <= known {
            self.doubt = None;
            return;
        }
        let wait = DOUBT * 2u32.saturating_pow(self.vain.min(6));
        self.doubt.get_or_insert_with(|| Instant::now() + wait);
    }

    async fn on_time(&mut self, context: &TaskContext) -> Result<(), StoreError> {
        let now = Instant::now();
        if self.doubt.is_some_and(|at| at <= now) {
            let before = self.plan.len();
            self.read_lane(context).await?;
            self.vain = if self.plan.len() > before {
                0
            } else {
                self.vain + 1
            };
        }
        if !self.complete && self.plan.len() < PLAN_LIMIT / 2 {
            self.read_lane(context).await?;
        }
        if self.clear_at <= now {
            self.clear_at = now + CLEARING;
            self.clear(context).await?;
        }
        Ok(())
    }

    /// How long nothing happens by itself.
    fn nap(&self, now: Timestamp) -> Duration {
        let until = |at: Instant| at.saturating_duration_since(Instant::now());
        let mut nap = NAP.min(until(self.clear_at));
        if let Some(doubt) = self.doubt {
            nap = nap.min(until(doubt));
        }
        if !self.complete {
            nap = nap.min(Duration::from_secs(1));
        }
        let room = self.flights.len() < self.service.config.in_flight;
        match self.plan.wake_at() {
            Some(due) if room && self.live.is_active() => nap.min(due.since(now)),
            _ => nap,
        }
    }

    /// Clears away the records of deliveries that were finished long ago.
    async fn clear(&mut self, context: &TaskContext) -> Result<(), StoreError> {
        const PAGE: usize = 200;
        let limit = Timestamp::now().minus(*self.service.config.keep);
        let mut after = None;
        loop {
            let mut scan = Scan::prefix(&self.seat.id);
            if let Some(last) = &after {
                scan = scan.after(last);
            }
            let rows = self.service.store.scan::<Deliveries>(scan, PAGE)?;
            let old: Vec<_> = rows
                .into_iter()
                .take_while(|((_, delivery), _)| delivery_time(*delivery) < limit)
                .collect();
            let mut batch = Batch::new();
            for (place, row) in &old {
                if row.delivery.state.is_final() {
                    batch.remove::<Deliveries>(place);
                }
            }
            if !batch.is_empty() {
                self.service.store.commit(batch).await?;
            }
            context.alive();
            match old.last() {
                Some((last, _)) if old.len() == PAGE => after = Some(*last),
                _ => return Ok(()),
            }
        }
    }

    /// The end: what is under way lands and is stored, nothing new takes off. What does not land in
    /// time is tried again after the next start.
    async fn drain(mut self) -> Result<(), BoxError> {
        while !(self.flights.is_empty() && self.storing.is_empty() && self.outcomes.is_empty()) {
            self.store_outcomes();
            tokio::select! {
                Some((key, tried)) = self.flights.next() => self.landed(key, tried)?,
                Some((tasks, stored)) = self.storing.next() => self.stored(tasks, stored).await?,
                else => {}
            }
        }
        Ok(())
    }
}

/// One try.
async fn fly(
    service: Arc<Service>,
    live: Arc<Live>,
    key: TaskKey,
    task: DeliveryTask,
    before: u32,
    trigger: Trigger,
) -> (TaskKey, Tried) {
    let at = Timestamp::now();
    let headers = live.headers(task.delivery, task.body.as_bytes(), at);
    let (answer, took) = match live.url(task.agent_id) {
        Some(url) => {
            let body = bytes::Bytes::copy_from_slice(task.body.as_bytes());
            let parcel = Parcel {
                url,
                trust: live.record.trust(),
                headers,
                body,
            };
            service.postman.post(parcel).await
        }
        // the URL has asked for an agent since the delivery was made
        None => (Answer::none(NoAnswer::Unreachable), Duration::ZERO),
    };
    let url = live.public_url(task.agent_id);
    (
        key,
        Tried {
            task,
            before,
            trigger,
            at,
            took,
            url,
            answer,
        },
    )
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
