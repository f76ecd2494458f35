//! The handle to the webhooks: endpoints, deliveries, and the child that does the work.

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::IgnoredAny;

use super::attempt::{Attempt, Delivery, DeliveryRow, Trigger};
use super::body::{SessionLookup, render};
use super::config::WebhookConfig;
use super::draft::{Source, draft};
use super::endpoint::{
    Endpoint, EndpointHealth, EndpointPatch, EndpointRecord, EndpointState, LastError, NewEndpoint,
    check_record, check_token,
};
use super::errand::{self, Errand, last_before};
use super::error::WebhookError;
use super::examples;
use super::registry::{Letter, Seat};
use super::resolve::{Reach, reach};
use super::secret::Secrets;
use super::service::{Service, reason};
use super::tables::{
    Answers, Deliveries, DeliveryTask, EndpointSecrets, EndpointStats, Endpoints, Errands, lane, sound,
    task_id,
};
use super::{dispatcher, endpoint};
use crate::base::{DeliveryId, EndpointId, Owner, Secret, SessionId, TaskId, Timestamp};
use crate::model::Event;
use crate::ops::Incidents;
use crate::ops::audit::{self, Deed, Initiator};
use crate::runtime::{Backoff, ChildSpec, StartError, Strategy, SupervisorSpec};
use crate::store::{Batch, LaneKind, Scan, Store, StoreError, TaskDraft};

/// The handle. Cheap to clone.
#[derive(Clone)]
pub struct Webhooks {
    service: Arc<Service>,
    endpoints: SupervisorSpec,
}

/// The pauses between restarts of a child of this domain.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(100),
    max: Duration::from_secs(10),
};

/// How long the endpoints may take to be loaded at a start.
const LOADING: Duration = Duration::from_secs(60);

/// A delivery with its attempts.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct DeliveryDetail {
    /// The delivery.
    #[serde(flatten)]
    pub delivery: Delivery,
    /// Its last 20 tries, in order; `attempts` counts all of them.
    pub tries: Vec<Attempt>,
}

/// An endpoint's numbers.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct EndpointStatsView {
    /// Deliveries that wait or are under way.
    pub pending: u64,
    /// When the oldest of them came.
    pub oldest_pending: Option<Timestamp>,
    /// Tries made.
    pub attempts: u64,
    /// Tries that failed.
    pub failed: u64,
    /// Deliveries that the receiver has.
    pub delivered: u64,
    /// Deliveries given up.
    pub exhausted: u64,
    /// Since when every try has failed.
    pub failing_since: Option<Timestamp>,
    /// The last success.
    pub last_success_at: Option<Timestamp>,
    /// The last failure since then.
    pub last_error: Option<LastError>,
}

impl Webhooks {
    /// The webhooks over a store, which need not be open yet. `sessions` is asked what bodies tell of
    /// a session; it is called often and must not block.
    pub fn new(config: WebhookConfig, store: Store, incidents: Incidents, sessions: SessionLookup) -> Self {
        describe();
        let (endpoints, deliverers) = SupervisorSpec::dynamic();
        Self {
            service: Service::new(config, store, incidents, sessions, deliverers),
            endpoints: endpoints.kind("endpoints").backoff(BACKOFF),
        }
    }

    /// The subtree: a deliverer per endpoint, the dispatcher, the errands. It has started when all
    /// endpoints are loaded; the store must be open by then.
    pub fn child(&self) -> ChildSpec {
        let (dispatching, running) = (self.service.clone(), self.service.clone());
        let spec = SupervisorSpec::new(Strategy::RestForOne)
            .backoff(BACKOFF)
            .child(ChildSpec::supervisor("endpoints", self.endpoints.clone()))
            .child(
                ChildSpec::task("dispatcher", move |context| {
                    dispatcher::run(dispatching.clone(), context)
                })
                .ready_within(LOADING)
                .liveness(LOADING),
            )
            .child(
                ChildSpec::task("errands", move |context| errand::run(running.clone(), context))
                    .liveness(LOADING),
            );
        ChildSpec::supervisor("webhooks", spec)
    }

    /// Makes an endpoint. The secret that signs is in the answer, and shown again by
    /// [`Self::rotate_secret`] only.
    pub async fn create(&self, owner: Owner, new: NewEndpoint) -> Result<(Endpoint, Secret), WebhookError> {
        self.create_as(None, owner, new).await
    }

    /// The same under this id, if one is given: an endpoint that has it already is what an earlier try made, which
    /// nobody has been told the secret of.
    pub async fn create_as(
        &self,
        id: Option<EndpointId>,
        owner: Owner,
        new: NewEndpoint,
    ) -> Result<(Endpoint, Secret), WebhookError> {
        if let Some(id) = id
            && let Ok((_, secrets)) = self.service.stored(id)
        {
            self.service.ensure_deliverer(id).await?;
            return Ok((self.get(id)?, secrets.signing.clone()));
        }
        let id = id.unwrap_or_else(EndpointId::generate);
        check_token(new.bearer.as_ref())?;
        check_token(new.secret_token.as_ref())?;
        let record = new.record(id, owner, Timestamp::now(), *self.service.store.head().borrow());
        self.check(&record).await?;
        let secrets = Secrets::generate()?.with_tokens(new.bearer.as_ref(), new.secret_token.as_ref());
        let secret = secrets.signing.clone();
        let edit = self.service.edit.lock().await;
        self.service.write(record, secrets, Batch::new()).await?;
        drop(edit);
        self.service.ensure_deliverer(id).await?;
        Ok((self.get(id)?, secret))
    }

    /// How far the journal has been read; 0 if that has not begun. The stored cursor follows.
    pub fn read(&self) -> u64 {
        self.service.read()
    }

    /// Whether an endpoint gets a session's messages.
    pub fn want_messages_of(&self, session: SessionId) -> bool {
        self.service.registry.all().iter().any(|seat| {
            let live = seat.live.borrow().clone();
            live.is_active() && live.wants.want_messages_of(session)
        })
    }

    /// All endpoints, in the order in which they were made.
    pub fn list(&self) -> Result<Vec<Endpoint>, WebhookError> {
        let mut seats = self.service.registry.all();
        seats.sort_by_key(|seat| seat.id);
        seats.iter().map(|seat| self.view(seat)).collect()
    }

    /// An endpoint.
    pub fn get(&self, id: EndpointId) -> Result<Endpoint, WebhookError> {
        self.view(&*self.seat(id)?)
    }

    /// Changes what the patch names, for what happens from now on.
    pub async fn patch(&self, id: EndpointId, patch: EndpointPatch) -> Result<Endpoint, WebhookError> {
        check_token(patch.bearer.as_ref())?;
        check_token(patch.secret_token.as_ref())?;
        // where the URL leads is asked first: a name server may take its time, the edit may not
        let (mut preview, _) = self.service.stored(id)?;
        patch.apply(&mut preview);
        self.check(&preview).await?;
        let edit = self.service.edit.lock().await;
        let (mut record, secrets) = self.service.stored(id)?;
        if record.configured.is_some() && (patch.changes_record() || patch.bearer.is_some()) {
            return Err(WebhookError::Configured);
        }
        patch.apply(&mut record);
        check_record(&record, &self.service.rules)?;
        let secrets = secrets.with_tokens(patch.bearer.as_ref(), patch.secret_token.as_ref());
        self.service.write(record, secrets, Batch::new()).await?;
        drop(edit);
        self.get(id)
    }

    /// Deletes an endpoint and all that waits for it.
    pub async fn delete(&self, id: EndpointId) -> Result<(), WebhookError> {
        let edit = self.service.edit.lock().await;
        let (record, _) = self.service.stored(id)?;
        if record.configured.is_some() && record.reason.as_deref() != Some(reason::NOT_CONFIGURED) {
            return Err(WebhookError::Configured);
        }
        let gate = self.service.gate.write().await;
        let mut batch = Batch::new();
        batch.remove::<Endpoints>(&id);
        batch.remove::<EndpointSecrets>(&id);
        batch.put::<Errands>(&TaskId::generate(), &Errand::Clear { endpoint: id });
        self.service.store.commit(batch).await?;
        self.service.registry.remove(id);
        drop((gate, edit));
        match self.service.deliverers.terminate(&id.to_string()).await {
            Ok(()) | Err(StartError::Unknown) => {}
            Err(error) => return Err(error.into()),
        }
        self.service.settle_incidents(id).await?;
        self.service.errands.notify_one();
        Ok(())
    }

    /// A new secret; each old one signs too for a day.
    pub async fn rotate_secret(&self, id: EndpointId) -> Result<Secret, WebhookError> {
        let _edit = self.service.edit.lock().await;
        let (record, secrets) = self.service.stored(id)?;
        let rotated = secrets.rotated(Timestamp::now())?;
        let secret = rotated.signing.clone();
        self.service.write(record, rotated, Batch::new()).await?;
        Ok(secret)
    }

    /// The secret of an endpoint that the configuration set up, for whom it is shown nowhere else; it is handed out only
    /// once the audit log tells so.
    pub async fn configured_secret(
        &self,
        id: EndpointId,
        by: Initiator,
    ) -> Result<Option<Secret>, WebhookError> {
        let (record, secrets) = self.service.stored(id)?;
        if record.configured.is_none() {
            return Ok(None);
        }
        let entry = by.does(Deed::SecretShown, id);
        audit::commit(&self.service.store, Batch::new(), entry).await?;
        Ok(Some(secrets.signing))
    }

    /// Makes deliveries again; also puts back a deliverer that was given up.
    pub async fn enable(&self, id: EndpointId) -> Result<Endpoint, WebhookError> {
        self.service.enable(id).await?;
        self.get(id)
    }

    /// Makes no deliveries any more; what waits goes on waiting.
    pub async fn disable(&self, id: EndpointId) -> Result<Endpoint, WebhookError> {
        self.service.disable(id, reason::MANUAL).await?;
        self.get(id)
    }

    /// Sends an example of an event type (`message.new` if none is named).
    pub async fn send_example(&self, id: EndpointId, kind: Option<&str>) -> Result<Delivery, WebhookError> {
        let seat = self.active(id)?;
        let now = Timestamp::now();
        let (event, context) =
            examples::event(kind.unwrap_or("message.new"), now).ok_or(WebhookError::NoExample)?;
        let live = seat.live.borrow().clone();
        let mut source = Source::new(0, &event, &context);
        let draft = draft(&live, live.record.shape, &mut source, Trigger::Manual, now)
            .ok_or(WebhookError::NoExample)?;
        let _gate = self.service.gate.read().await;
        self.active(id)?;
        let mut batch = Batch::new();
        draft.enqueue(&mut batch, now);
        draft.record(&mut batch);
        let tasks = self.service.store.commit(batch).await?.tasks;
        dispatcher::announce(&self.service, tasks, now);
        Ok(draft.row.delivery)
    }

    /// Delivers, in the background, what happened since a time and did not arrive. It goes on after
    /// a restart.
    pub async fn recover(&self, id: EndpointId, since: Timestamp) -> Result<(), WebhookError> {
        let _gate = self.service.gate.read().await;
        let from_seq = self.active(id)?.live.borrow().record.from_seq;
        let store = &self.service.store;
        let errand = Errand::Recover {
            endpoint: id,
            since,
            after: last_before(&self.service, since)?,
            // What came before the endpoint is nobody's but this errand's, read or not.
            until: store
                .cursor(dispatcher::CONSUMER)?
                .max(self.service.read())
                .max(from_seq),
        };
        let mut batch = Batch::new();
        batch.put::<Errands>(&TaskId::generate(), &errand);
        store.commit(batch).await?;
        self.service.errands.notify_one();
        Ok(())
    }

    /// Up to `limit` deliveries of an endpoint, the latest first, from before the cursor on.
    pub fn deliveries(
        &self,
        id: EndpointId,
        cursor: Option<DeliveryId>,
        limit: usize,
    ) -> Result<(Vec<Delivery>, Option<DeliveryId>), WebhookError> {
        self.seat(id)?;
        let mut scan = Scan::prefix(&id).reverse();
        if let Some(before) = cursor {
            scan = scan.after(&(id, before));
        }
        let rows = self.service.store.scan::<Deliveries>(scan, limit + 1)?;
        let more = rows.len() > limit;
        let items: Vec<Delivery> = rows
            .into_iter()
            .take(limit)
            .map(|(_, row)| row.delivery)
            .collect();
        let next = items.last().filter(|_| more).map(|delivery| delivery.id);
        Ok((items, next))
    }

    /// A delivery with its attempts.
    pub fn delivery(&self, id: DeliveryId) -> Result<DeliveryDetail, WebhookError> {
        let (seat, row) = self.find(id)?;
        let scan = Scan::prefix(&(seat.id, id));
        let answers = self.service.store.scan::<Answers>(scan, usize::MAX)?;
        let answers: Vec<_> = answers.into_iter().map(|(_, answer)| answer).collect();
        Ok(DeliveryDetail {
            tries: row.attempts_with(&answers),
            delivery: row.delivery,
        })
    }

    /// Tries a delivery now: one that waits, one that was given up, or once more one that arrived.
    pub async fn resend(&self, id: DeliveryId) -> Result<Delivery, WebhookError> {
        let (seat, row) = self.find(id)?;
        let _gate = self.service.gate.read().await;
        let seat = self.active(seat.id)?;
        let store = &self.service.store;
        let (task, now) = (task_id(id), Timestamp::now());
        let mut batch = Batch::new();
        // Of a task that has just been finished the place may still be known.
        let waiting = match store.task_place(task)? {
            Some(key) => store.task::<IgnoredAny>(&key)?.map(|waiting| (key, waiting)),
            None => None,
        };
        let key = if let Some((key, waiting)) = waiting {
            batch.reschedule(&key, now, waiting.attempts, waiting.last_error);
            store.commit(batch).await?;
            Some(key)
        } else {
            if store.dead_letter(task)?.is_some() {
                batch.requeue(task);
            } else {
                let (lane, payload) = self.again(&seat, &row)?;
                batch.enqueue(
                    lane,
                    &TaskDraft {
                        id: task,
                        due: now,
                        payload: &payload,
                    },
                );
            }
            store.commit(batch).await?.tasks.pop()
        };
        if let Some(key) = key {
            seat.inbox.put([Letter::Came(key, now), Letter::Hasten(key)]);
        }
        Ok(row.delivery)
    }

    /// An endpoint's numbers.
    pub fn stats(&self, id: EndpointId) -> Result<EndpointStatsView, WebhookError> {
        self.seat(id)?;
        let lanes = self.service.store.group_stats(LaneKind::Webhook, id.to_bytes());
        let health = self.health(id)?;
        Ok(EndpointStatsView {
            pending: lanes.depth,
            oldest_pending: lanes.oldest,
            attempts: health.attempts,
            failed: health.failed,
            delivered: health.delivered,
            exhausted: health.exhausted,
            failing_since: health.failing_since,
            last_success_at: health.last_success_at,
            last_error: health.last_error,
        })
    }

    /// How many endpoints are active, and how many of those have only failed of late: for health.
    pub fn condition(&self) -> Result<(usize, usize), WebhookError> {
        let (mut active, mut failing) = (0, 0);
        for seat in self.service.registry.all() {
            if seat.live.borrow().is_active() {
                active += 1;
                failing += usize::from(self.health(seat.id)?.failing_since.is_some());
            }
        }
        Ok((active, failing))
    }

    fn seat(&self, id: EndpointId) -> Result<Arc<Seat>, WebhookError> {
        self.service
            .registry
            .get(id)
            .ok_or(WebhookError::NotFound("endpoint"))
    }

    fn active(&self, id: EndpointId) -> Result<Arc<Seat>, WebhookError> {
        let seat = self.seat(id)?;
        match seat.live.borrow().is_active() {
            true => {}
            false => return Err(WebhookError::Disabled),
        }
        Ok(seat)
    }

    fn health(&self, id: EndpointId) -> Result<EndpointHealth, StoreError> {
        Ok(sound::<EndpointStats>(&self.service.store, &id)?.unwrap_or_default())
    }

    fn view(&self, seat: &Seat) -> Result<Endpoint, WebhookError> {
        let live = seat.live.borrow().clone();
        let record = live.record.clone();
        Ok(Endpoint {
            id: record.id,
            url: record.url,
            shape: record.shape,
            events: record.events,
            sessions: record.sessions,
            order: record.order,
            state: record.state,
            reason: record.reason,
            pending: self
                .service
                .store
                .group_stats(LaneKind::Webhook, seat.id.to_bytes())
                .depth,
            last_error: self.health(seat.id)?.last_error,
            owner: record.owner,
            created_at: record.created_at,
            configured: record.configured,
        })
    }

    /// Checks a record, also where its URL leads at the moment.
    async fn check(&self, record: &EndpointRecord) -> Result<(), WebhookError> {
        check_record(record, &self.service.rules)?;
        let url = endpoint::url_for(&record.url, Some(0));
        let url = self
            .service
            .rules
            .check_url(&url, record.trust())
            .map_err(endpoint::EndpointFault::Url)?;
        match reach(
            &url,
            &self.service.rules,
            record.trust(),
            self.service.postman.lookup(),
        )
        .await
        {
            Reach::Allowed => Ok(()),
            Reach::Forbidden => Err(WebhookError::Forbidden),
            Reach::Nowhere => Err(WebhookError::Unresolvable),
        }
    }

    /// The record of a delivery and its endpoint. Records lie by endpoint, and there are few of those.
    pub(super) fn find(&self, id: DeliveryId) -> Result<(Arc<Seat>, DeliveryRow), WebhookError> {
        for seat in self.service.registry.all() {
            if let Some(row) = sound::<Deliveries>(&self.service.store, &(seat.id, id))? {
                return Ok((seat, row));
            }
        }
        Err(WebhookError::NotFound("delivery"))
    }

    /// The task of a delivery that is finished: the same body, made from the same event.
    pub(super) fn again(
        &self,
        seat: &Seat,
        row: &DeliveryRow,
    ) -> Result<(crate::store::Lane, DeliveryTask), WebhookError> {
        let delivery = &row.delivery;
        let stored = self.service.store.event(row.seq)?;
        let same = |event: &Event| event.id == delivery.event;
        let event = stored.filter(same).ok_or(WebhookError::EventGone)?;
        let body = render(row.shape, &event, row.seq, &row.context)
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or(WebhookError::EventGone)?;
        let task = DeliveryTask {
            delivery: delivery.id,
            event: event.id,
            kind: delivery.kind.clone(),
            seq: row.seq,
            session: event.session,
            agent_id: row.context.agent_id,
            shape: row.shape,
            created_at: delivery.created_at,
            trigger: Trigger::Manual,
            body,
        };
        Ok((lane(seat.id, event.session, event.body.chat()), task))
    }
}

impl Endpoint {
    /// Whether deliveries are made.
    pub fn is_active(&self) -> bool {
        self.state == EndpointState::Active
    }
}

/// Told as 0 from the start: a rule that looks for growth does not see a series whose first value is 1.
fn describe() {
    metrics::describe_counter!(
        "trunkline_webhook_deliveries_total",
        "Deliveries that ended, by how"
    );
    for outcome in ["delivered", "exhausted"] {
        metrics::counter!("trunkline_webhook_deliveries_total", "outcome" => outcome).increment(0);
    }
    metrics::describe_counter!(
        "trunkline_webhook_attempts_total",
        "Single tries of deliveries, by what came of them"
    );
    for outcome in super::attempt::Answer::LABELS {
        metrics::counter!("trunkline_webhook_attempts_total", "outcome" => outcome).increment(0);
    }
}
