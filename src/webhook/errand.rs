//! Work in the background that survives a restart: recovering what an endpoint missed, and clearing
//! away what a deleted one left behind. Each errand is a row, which says how far it has come.
//!
//! The child that does them works on one at a time. It also reports deliverers that were given up.

use std::sync::Arc;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::attempt::{DeliveryState, Trigger, delivery_id};
use super::dispatcher::{Sessions, announce};
use super::draft::{Source, draft};
use super::service::Service;
use super::tables::{Deliveries, EndpointStats, Errands, remove_delivery, sound, task_id};
use crate::base::{EndpointId, TaskId, Timestamp};
use crate::runtime::{BoxError, TaskContext};
use crate::store::{Batch, DeadFilter, LaneKind, Scan, StoreError};

/// How many rows one step takes.
const STEP: usize = 64;

/// Something to be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Errand {
    /// Deliver what happened since a time and did not arrive.
    Recover {
        /// To whom.
        endpoint: EndpointId,
        /// From this time on.
        since: Timestamp,
        /// The last event that was looked at.
        after: u64,
        /// The last event to look at; the dispatcher sees to those that come later.
        until: u64,
    },
    /// Clear away tasks, dead letters and records of an endpoint that is gone.
    Clear {
        /// Whose.
        endpoint: EndpointId,
    },
}

/// The task child.
pub(super) async fn run(service: Arc<Service>, context: TaskContext) -> Result<(), BoxError> {
    while !context.stop.is_cancelled() {
        context.alive();
        service.report_quarantines().await?;
        let mut errands = service.store.scan::<Errands>(Scan::all(), 1)?;
        match errands.pop() {
            Some((id, errand)) => match step(&service, id, errand).await {
                // the endpoint went, or another step was taken: look again
                Err(StoreError::Conflict { .. }) => {}
                done => done?,
            },
            None => {
                let rung = async {
                    tokio::select! {
                        () = context.stop.cancelled() => {}
                        () = service.errands.notified() => {}
                    }
                };
                context.idle(rung).await;
            }
        }
    }
    Ok(())
}

/// Does a part of an errand and notes how far it is.
async fn step(service: &Service, id: TaskId, errand: Errand) -> Result<(), StoreError> {
    match errand {
        Errand::Recover {
            endpoint,
            since,
            after,
            until,
        } => recover(service, id, endpoint, since, after, until).await,
        Errand::Clear { endpoint } => clear(service, id, endpoint).await,
    }
}

async fn recover(
    service: &Service,
    id: TaskId,
    endpoint: EndpointId,
    since: Timestamp,
    after: u64,
    until: u64,
) -> Result<(), StoreError> {
    let _gate = service.gate.read().await;
    let mut batch = Batch::new();
    let Some(seat) = service.registry.get(endpoint) else {
        batch.remove::<Errands>(&id);
        return service.store.commit(batch).await.map(|_| ());
    };
    let live = seat.live.borrow().clone();
    let events = service.store.events(after, STEP)?;
    let mut sessions = Sessions::default();
    let now = Timestamp::now();
    let mut last = until;
    for (seq, event) in events.iter().filter(|(seq, _)| *seq <= until) {
        last = *seq;
        if event.at < since || !live.wants.want(event, endpoint) {
            continue;
        }
        let place = (endpoint, delivery_id(endpoint, event.id, event.at));
        let row = sound::<Deliveries>(&service.store, &place)?;
        if row
            .as_ref()
            .is_some_and(|row| row.delivery.state == DeliveryState::Delivered)
        {
            continue;
        }
        // what was tried before keeps its body: a dead letter has it, else it is made of the session as it was then
        let task = task_id(place.1);
        if service.store.dead_letter(task)?.is_some() {
            batch.requeue(task);
            continue;
        }
        let (context, shape) = match &row {
            Some(row) => (&row.context, row.shape),
            None => (sessions.get(service, event.session), live.record.shape),
        };
        let mut source = Source::new(*seq, event, context);
        let Some(draft) = draft(&live, shape, &mut source, Trigger::Manual, now) else {
            continue;
        };
        // one that waits already is left as it is
        draft.enqueue(&mut batch, now);
        if row.is_none() {
            draft.record(&mut batch);
        }
    }
    if events.len() < STEP || last >= until {
        batch.remove::<Errands>(&id);
        tracing::info!(%endpoint, "recovery is under way as deliveries");
    } else {
        batch.put::<Errands>(
            &id,
            &Errand::Recover {
                endpoint,
                since,
                after: last,
                until,
            },
        );
    }
    let tasks = service.store.commit(batch).await?.tasks;
    announce(service, tasks, now);
    Ok(())
}

/// The last event before a time, as far as the journal goes by time.
pub(super) fn last_before(service: &Service, since: Timestamp) -> Result<u64, StoreError> {
    let head = *service.store.head().borrow();
    let (mut low, mut high) = (service.store.oldest_event()?.saturating_sub(1), head);
    while low < high {
        let middle = low + (high - low) / 2;
        match service.store.events(middle, 1)?.first() {
            Some((seq, event)) if event.at < since => low = (*seq).max(middle + 1),
            _ => high = middle,
        }
    }
    Ok(low)
}

async fn clear(service: &Service, id: TaskId, endpoint: EndpointId) -> Result<(), StoreError> {
    let store = &service.store;
    let group = endpoint.to_bytes();
    let mut batch = Batch::new();
    for task in store.tasks::<IgnoredAny>(LaneKind::Webhook, Some(group), None, STEP)? {
        batch.complete(&task.key);
    }
    let filter = DeadFilter {
        kind: Some(LaneKind::Webhook),
        group: Some(group),
        ..DeadFilter::default()
    };
    let mut cursor = None;
    loop {
        let (letters, next) = store.dead_letters(&filter, cursor, STEP)?;
        for letter in &letters {
            batch.drop_dead(letter.id);
        }
        cursor = next;
        if cursor.is_none() || !letters.is_empty() {
            break;
        }
    }
    for (place, _) in store.scan::<Deliveries>(Scan::prefix(&endpoint), STEP)? {
        remove_delivery(&mut batch, &place);
    }
    if batch.is_empty() {
        batch.remove::<EndpointStats>(&endpoint);
        batch.remove::<Errands>(&id);
    }
    store.commit(batch).await.map(|_| ())
}
