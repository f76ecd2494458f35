//! What the parts of this domain share: the store, the registry, the postman; and the changes that
//! concern them all: loading at the start, enabling and disabling an endpoint.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, RwLock};

use super::address::AddressRules;
use super::body::SessionLookup;
use super::config::WebhookConfig;
use super::deliverer;
use super::dispatcher;
use super::endpoint::{EndpointRecord, EndpointState};
use super::error::WebhookError;
use super::post::Postman;
use super::registry::{Live, Registry};
use super::schedule::Schedule;
use super::secret::Secrets;
use super::tables::{EndpointSecrets, EndpointStats, Endpoints, sound};
use crate::base::{EndpointId, EventId, Secret, Timestamp};
use crate::model::{Event, EventBody};
use crate::ops::Incidents;
use crate::runtime::{BoxError, ChildSpec, Dynamic, Quarantine, Shutdown, StartError};
use crate::store::{Batch, Scan, Store, StoreError};

/// Why an endpoint is disabled, as stable words.
pub(super) mod reason {
    /// Somebody did it.
    pub const MANUAL: &str = "manual";
    /// It answered 410.
    pub const GONE: &str = "gone";
    /// It has only failed for too long.
    pub const FAILING: &str = "failing";
    /// It is not in the configuration any more.
    pub const NOT_CONFIGURED: &str = "not_configured";
}

/// The kind of incident that an endpoint's end opens.
const DISABLED: &str = "endpoint_disabled";

/// The kind of incident that the end of its deliverer opens.
const QUARANTINED: &str = "endpoint_quarantined";

/// The kind of incident that damaged secrets open.
const SECRETS: &str = "endpoint_secrets_damaged";

/// How long a deliverer may take to end: what is under way is finished or tried again later.
const DRAIN: Duration = Duration::from_secs(5);

/// A deliverer that shows no life for this long is replaced.
const LIVENESS: Duration = Duration::from_secs(60);

pub(super) struct Service {
    pub config: WebhookConfig,
    pub schedule: Schedule,
    pub rules: Arc<AddressRules>,
    pub store: Store,
    pub incidents: Incidents,
    pub sessions: SessionLookup,
    pub registry: Registry,
    pub postman: Postman,
    pub deliverers: Dynamic,
    /// Held while a commit relies on an endpoint being there, and alone while one goes.
    pub gate: RwLock<()>,
    /// Held while a record is read, changed and written.
    pub edit: tokio::sync::Mutex<()>,
    /// How far the dispatcher has read.
    read: AtomicU64,
    /// Rung when there is work in the background.
    pub errands: Notify,
    /// Deliverers that were given up, until an incident is opened.
    pub quarantined: Mutex<Vec<Quarantine>>,
}

impl Service {
    pub fn new(
        config: WebhookConfig,
        store: Store,
        incidents: Incidents,
        sessions: SessionLookup,
        deliverers: Dynamic,
    ) -> Arc<Self> {
        let rules = Arc::new(AddressRules {
            allowed: config.allowed_networks.clone(),
        });
        let service = Arc::new(Self {
            schedule: config.schedule(),
            postman: Postman::new(rules.clone(), *config.timeout, config.in_flight),
            rules,
            config,
            store,
            incidents,
            sessions,
            registry: Registry::default(),
            deliverers: deliverers.clone(),
            gate: RwLock::new(()),
            edit: tokio::sync::Mutex::new(()),
            read: AtomicU64::new(0),
            errands: Notify::new(),
            quarantined: Mutex::default(),
        });
        let weak = Arc::downgrade(&service);
        deliverers.on_quarantine(Arc::new(move |quarantine| {
            if let Some(service) = weak.upgrade() {
                let mut list = service.quarantined.lock().unwrap_or_else(PoisonError::into_inner);
                list.push(quarantine);
                service.errands.notify_one();
            }
        }));
        service
    }

    /// How far the dispatcher has read the journal, stored or not; 0 if it has not begun.
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Acquire)
    }

    /// The dispatcher has read so far, and stored what came of it.
    pub fn has_read(&self, seq: u64) {
        self.read.store(seq, Ordering::Release);
    }

    /// The wait before a delivery's first try.
    pub fn first_delay(&self) -> Duration {
        self.schedule.delays.first().copied().unwrap_or_default()
    }

    /// Takes up all endpoints of the store and of the configuration, and sees that each has its
    /// deliverer. What is there already stays; it runs at each start of the dispatcher.
    pub async fn load(self: &Arc<Self>) -> Result<(), BoxError> {
        let edit = self.edit.lock().await;
        let gate = self.gate.write().await;
        let mut records = Vec::new();
        let mut scan = Scan::all();
        loop {
            let rows = self.store.scan::<Endpoints>(scan, 500)?;
            let Some((last, _)) = rows.last() else { break };
            scan = Scan::all().after(last);
            records.extend(rows.into_iter().map(|(_, record)| record));
        }
        let mut batch = Batch::new();
        let (mut lives, mut damaged) = (Vec::new(), Vec::new());
        for record in self.reconciled(records) {
            let (record, secrets) = self.renewed(record, &mut batch, &mut damaged)?;
            let id = record.id;
            match Live::new(record, &secrets) {
                Ok(live) => lives.push(live),
                Err(error) => {
                    tracing::error!(endpoint = %id, %error, "an endpoint cannot be used as it is stored")
                }
            }
        }
        if !batch.is_empty() {
            self.store.commit(batch).await?;
        }
        let ids: Vec<EndpointId> = lives.into_iter().map(|live| self.registry.put(live).id).collect();
        drop((gate, edit));
        for id in damaged {
            let cause = "its secrets could not be read; it signs with a new one and sends no tokens";
            let action = "rotate its secret, give the new one to the receiver, and set its tokens anew";
            self.incidents
                .open(SECRETS, &id.to_string(), cause, action)
                .await?;
        }
        for id in ids {
            self.ensure_deliverer(id).await?;
        }
        self.measure();
        Ok(())
    }

    /// The stored records with those of the configuration brought in.
    fn reconciled(&self, mut records: Vec<EndpointRecord>) -> Vec<EndpointRecord> {
        let (now, head) = (Timestamp::now(), *self.store.head().borrow());
        for record in &mut records {
            let known = |name: &String| {
                self.config
                    .endpoints
                    .iter()
                    .any(|endpoint| endpoint.name == *name)
            };
            if record.configured.as_ref().is_some_and(|name| !known(name))
                && record.state == EndpointState::Active
            {
                record.state = EndpointState::Disabled;
                record.reason = Some(reason::NOT_CONFIGURED.to_owned());
            }
        }
        for endpoint in &self.config.endpoints {
            let fresh = endpoint.record(now, head);
            let Some(known) = records.iter_mut().find(|record| record.id == fresh.id) else {
                records.push(fresh);
                continue;
            };
            let back = known.reason.as_deref() == Some(reason::NOT_CONFIGURED);
            *known = EndpointRecord {
                state: if back { EndpointState::Active } else { known.state },
                reason: if back { None } else { known.reason.take() },
                created_at: known.created_at,
                from_seq: known.from_seq,
                ..fresh
            };
        }
        records
    }

    /// The record with its secrets, each put into the batch if it is not stored like this.
    fn renewed(
        &self,
        record: EndpointRecord,
        batch: &mut Batch,
        damaged: &mut Vec<EndpointId>,
    ) -> Result<(EndpointRecord, Secrets), WebhookError> {
        if self.store.get::<Endpoints>(&record.id)?.as_ref() != Some(&record) {
            batch.put::<Endpoints>(&record.id, &record);
        }
        let stored = match self.store.get::<EndpointSecrets>(&record.id) {
            Err(StoreError::BadRow { .. } | StoreError::Decode { .. }) => {
                damaged.push(record.id);
                None
            }
            stored => stored?,
        };
        let mut secrets = match &stored {
            Some(stored) => stored.clone(),
            None => Secrets::generate()?,
        };
        let in_config = |name: &String| {
            self.config
                .endpoints
                .iter()
                .find(|endpoint| endpoint.name == *name)
        };
        if let Some(endpoint) = record.configured.as_ref().and_then(in_config) {
            let bearer = endpoint.bearer.clone().unwrap_or(Secret::new(""));
            secrets = secrets.with_tokens(Some(&bearer), None);
        }
        if stored.as_ref() != Some(&secrets) {
            batch.put::<EndpointSecrets>(&record.id, &secrets);
        }
        Ok((record, secrets))
    }

    /// Starts an endpoint's deliverer if there is none.
    pub async fn ensure_deliverer(self: &Arc<Self>, id: EndpointId) -> Result<(), StartError> {
        let service = self.clone();
        let child = ChildSpec::task(id.to_string(), move |context| {
            deliverer::run(service.clone(), id, context)
        })
        .shutdown(Shutdown::Drain(DRAIN))
        .liveness(LIVENESS);
        match self.deliverers.start(child).await {
            Err(StartError::Duplicate) => Ok(()),
            started => started,
        }
    }

    /// Reads an endpoint's record and secrets.
    pub fn stored(&self, id: EndpointId) -> Result<(EndpointRecord, Secrets), WebhookError> {
        let record = self.store.get::<Endpoints>(&id)?;
        let secrets = self.store.get::<EndpointSecrets>(&id)?;
        record.zip(secrets).ok_or(WebhookError::NotFound("endpoint"))
    }

    /// Writes an endpoint and takes it up. The caller holds `edit`.
    pub async fn write(
        &self,
        record: EndpointRecord,
        secrets: Secrets,
        mut batch: Batch,
    ) -> Result<(), WebhookError> {
        let live = Live::new(record, &secrets)?;
        let id = live.record.id;
        // What was read before was judged by the endpoints as they were: it is not read again after a crash.
        let _gate = self.gate.write().await;
        if self.read() > 0 {
            batch.set_cursor(dispatcher::CONSUMER, self.read());
        }
        batch.put::<Endpoints>(&id, &live.record);
        batch.put::<EndpointSecrets>(&id, &secrets);
        self.store.commit(batch).await?;
        self.registry.put(live);
        self.measure();
        Ok(())
    }

    /// Makes deliveries again. It may be repeated without harm.
    pub async fn enable(&self, id: EndpointId) -> Result<(), WebhookError> {
        let edit = self.edit.lock().await;
        let (mut record, secrets) = self.stored(id)?;
        if record.state == EndpointState::Disabled {
            record.state = EndpointState::Active;
            record.reason = None;
            let mut batch = Batch::new();
            if let Some(mut health) = sound::<EndpointStats>(&self.store, &id)? {
                health.begin_anew();
                batch.put::<EndpointStats>(&id, &health);
            }
            self.write(record, secrets, batch).await?;
        }
        drop(edit);
        match self.deliverers.release(&id.to_string()).await {
            Ok(()) | Err(StartError::NotQuarantined | StartError::Unknown) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(self.settle_incidents(id).await?)
    }

    /// Says that nothing about this endpoint waits for a person any more.
    pub async fn settle_incidents(&self, id: EndpointId) -> Result<(), StoreError> {
        for kind in [DISABLED, QUARANTINED] {
            self.incidents.settle(kind, &id.to_string()).await?;
        }
        Ok(())
    }

    /// Makes no deliveries any more; what waits goes on waiting. It may be repeated without harm.
    pub async fn disable(&self, id: EndpointId, why: &'static str) -> Result<(), WebhookError> {
        let _edit = self.edit.lock().await;
        let (mut record, secrets) = self.stored(id)?;
        if record.state == EndpointState::Disabled {
            return Ok(());
        }
        record.state = EndpointState::Disabled;
        record.reason = Some(why.to_owned());
        let mut batch = Batch::new();
        if why != reason::MANUAL {
            let cause = match why {
                reason::GONE => "the receiver answered 410: it wants no deliveries any more",
                _ => {
                    "every try has failed, for longer than webhook.disable_after and more than webhook.disable_tries times"
                }
            };
            let action = "repair or move the receiver, enable the endpoint, then recover what it missed";
            self.incidents
                .open(DISABLED, &id.to_string(), cause, action)
                .await?;
            let event = Event {
                id: EventId::generate(),
                at: Timestamp::now(),
                session: None,
                owner: record.owner.clone(),
                body: EventBody::EndpointDisabled {
                    endpoint: id.to_string(),
                    reason: why.to_owned(),
                },
            };
            batch.append(event, None);
            tracing::warn!(endpoint = %id, reason = why, "endpoint disabled");
        }
        self.write(record, secrets, batch).await
    }

    /// Opens incidents for deliverers that were given up since the last time.
    pub async fn report_quarantines(&self) -> Result<(), StoreError> {
        let list = std::mem::take(&mut *self.quarantined.lock().unwrap_or_else(PoisonError::into_inner));
        for quarantine in list {
            let cause = format!(
                "its deliverer crashed too often; the last time: {}",
                quarantine.reason
            );
            let action = "enable the endpoint to start its deliverer again";
            self.incidents
                .open(QUARANTINED, &quarantine.id, &cause, action)
                .await?;
        }
        Ok(())
    }

    /// Brings the gauges of endpoints up to date.
    fn measure(&self) {
        let seats = self.registry.all();
        let active = seats.iter().filter(|seat| seat.live.borrow().is_active()).count();
        metrics::gauge!("trunkline_webhook_endpoints", "state" => "active").set(active as f64);
        metrics::gauge!("trunkline_webhook_endpoints", "state" => "disabled")
            .set((seats.len() - active) as f64);
    }
}
