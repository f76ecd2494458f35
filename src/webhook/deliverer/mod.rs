//! The deliverer of one endpoint: takes tasks from its lane in the order that the plan allows,
//! posts them, and commits what came of it, many outcomes to a commit.
//!
//! Input: its lane (read once at the start, then by letters from the dispatcher; read anew when the
//! store's count says that something was missed), the endpoint's present form, and time. Output:
//! requests, outcomes, events about deliveries. A chat goes on as soon as its receiver has
//! answered, not when the outcome is stored: a crash between the two delivers again, in order.
//!
//! `lane` keeps the plan true to the lane, `outcomes` stores what came of tries. It does not decide what an answer means (`conclude`) nor what comes next (`order`).

mod lane;
mod outcomes;
#[cfg(test)]
mod tests;

use std::collections::{HashSet, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::attempt::{Answer, NoAnswer, Trigger, delivery_time};
use super::conclude::Tried;
use super::endpoint::EndpointHealth;
use super::order::{Plan, Settled};
use super::post::Parcel;
use super::registry::{Live, Seat};
use super::service::Service;
use super::tables::{Deliveries, DeliveryTask, EndpointStats, remove_delivery, sound, task_id};
use crate::base::fault::fault_point;
use crate::base::{DeliveryId, EndpointId, Timestamp};
use crate::runtime::{BoxError, TaskContext};
use crate::store::{Batch, Committed, LaneKind, Scan, StoreError, TaskKey};
use lane::PLAN_LIMIT;
use outcomes::{BACKLOG, Outcome, Stored, Storing};

/// How often finished deliveries that are too old are cleared away.
const CLEARING: Duration = Duration::from_millis(if cfg!(test) { 200 } else { 600_000 });

/// The longest wait without a look at the clock, which may have been set meanwhile.
const NAP: Duration = Duration::from_secs(60);

type Flight = Pin<Box<dyn Future<Output = (TaskKey, Tried)> + Send>>;
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
    /// When an incomplete plan may look for more.
    read_at: Instant,
    /// When to read the lane anew, if its count still differs then.
    doubt: Option<Instant>,
    /// How often reading anew found nothing.
    vain: u32,
    clear_at: Instant,
    /// When trouble with the endpoint was last told.
    told: Option<Instant>,
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
        health: sound::<EndpointStats>(&service.store, &id)?.unwrap_or_default(),
        live,
        flights: FuturesUnordered::new(),
        outcomes: VecDeque::new(),
        storing: FuturesUnordered::new(),
        closing: HashSet::new(),
        asked_for: HashSet::new(),
        complete: false,
        read_at: Instant::now(),
        doubt: None,
        vain: 0,
        clear_at: Instant::now() + CLEARING,
        told: None,
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

    /// Takes up a new form of the endpoint.
    fn change(&mut self, live: Arc<Live>) {
        if live.is_active() && !self.live.is_active() {
            self.gone = false;
            self.health.begin_anew();
        }
        self.plan.reorder(live.record.order, Timestamp::now());
        self.live = live;
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
        if !self.complete && self.read_at <= now && self.plan.len() < PLAN_LIMIT / 2 {
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
            // not before a moment has passed, should the plan be full
            nap = nap.min(until(self.read_at).max(Duration::from_millis(10)));
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
                if row.delivery.state.is_final() || self.is_dropped(place.1)? {
                    remove_delivery(&mut batch, place);
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

    /// Whether nothing is left of a delivery's task: somebody took it out, or it was damaged.
    fn is_dropped(&self, delivery: DeliveryId) -> Result<bool, StoreError> {
        let (store, task) = (&self.service.store, task_id(delivery));
        let dead = match store.dead_letter(task) {
            // What cannot be read is in quarantine, and is requeued by nobody.
            Err(StoreError::BadRow { .. } | StoreError::Decode { .. }) => None,
            dead => dead?,
        };
        Ok(store.task_place(task)?.is_none() && dead.is_none())
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
    fault_point!("webhook.post.before");
    let headers = live.headers(task.delivery, task.body.as_bytes(), Timestamp::wall());
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
    fault_point!("webhook.post.after");
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
