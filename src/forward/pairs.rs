//! The way in: pairs made, listed, changed, paused, deleted; and the part of the tree that works for them.

use std::sync::Arc;
use std::time::Duration;

use super::config::ForwardConfig;
use super::courier::{Courier, Sight};
use super::desk::Desk;
use super::error::PairError;
use super::graph::way_back;
use super::map::{AlbumsTable, BackTable, MapTable, PairsTable, StatsTable, back_key};
use super::pair::{Head, NewPair, Pair, PairPatch, PairRow, PairState, PairStats};
use super::registry::Registry;
use super::{dispatcher, sweep, worker};
use crate::base::{Owner, PairId, SessionId, Timestamp};
use crate::model::ChatId;
use crate::ops::Incidents;
use crate::runtime::{
    Backoff, BoxError, ChildSpec, Dynamic, Intensity, Quarantine, Shutdown, StartError, Strategy,
    SupervisorSpec,
};
use crate::store::{Batch, LaneKind, Scan, Store, StoreError};
use crate::telegram::Telegram;

/// How many rows of a deleted pair one commit removes.
const CHUNK: usize = 100;

/// The pairs, as everybody else sees them. Cheap to clone.
#[derive(Clone)]
pub struct Pairs {
    registry: Arc<Registry>,
    config: Arc<ForwardConfig>,
    workers: Dynamic,
    workers_spec: SupervisorSpec,
}

impl Pairs {
    /// The handle, before anything runs.
    pub fn new(config: ForwardConfig, store: Store, telegram: Telegram, incidents: Incidents) -> Self {
        Self::with_courier(config, store, Arc::new(telegram), incidents)
    }

    pub(super) fn with_courier(
        config: ForwardConfig,
        store: Store,
        courier: Arc<dyn Courier>,
        incidents: Incidents,
    ) -> Self {
        describe();
        let registry = Arc::new(Registry::new(store, courier, incidents));
        let (spec, workers) = SupervisorSpec::dynamic();
        let hears = registry.clone();
        workers.on_quarantine(Arc::new(move |quarantine: Quarantine| {
            match quarantine.id.parse() {
                Ok(id) => hears.note_quarantine(id),
                Err(error) => tracing::error!(id = %quarantine.id, %error, "a worker that is no pair's"),
            }
        }));
        let workers_spec = spec
            .kind("pairs")
            .intensity(Intensity {
                restarts: 5,
                period: Duration::from_secs(60),
            })
            .backoff(Backoff {
                first: Duration::from_millis(100),
                max: Duration::from_secs(10),
            });
        Self {
            registry,
            config: Arc::new(config),
            workers,
            workers_spec,
        }
    }

    /// The chats of a session that pairs forward from.
    pub fn sources(&self, session: SessionId) -> Vec<ChatId> {
        self.registry.routes().sources(session)
    }

    /// Workers and dispatcher, as a child for a supervisor.
    pub fn child(&self) -> ChildSpec {
        let pairs = self.clone();
        let dispatcher = ChildSpec::task("dispatcher", move |context| {
            dispatcher::run(pairs.clone(), context)
        });
        let (registry, config) = (self.registry.clone(), self.config.clone());
        let sweep = ChildSpec::task("sweep", move |context| {
            sweep::run(registry.clone(), config.clone(), context)
        });
        let spec = SupervisorSpec::new(Strategy::RestForOne)
            .child(ChildSpec::supervisor("workers", self.workers_spec.clone()))
            .child(dispatcher.liveness(Duration::from_secs(60)))
            .child(sweep);
        ChildSpec::supervisor("pairs", spec)
    }

    /// Makes a pair and starts it.
    pub async fn create(&self, new: NewPair, owner: Owner) -> Result<Pair, PairError> {
        self.create_as(None, new, owner).await
    }

    /// The same under this id, if one is given: a pair that has it already is what an earlier try made.
    pub async fn create_as(&self, id: Option<PairId>, new: NewPair, owner: Owner) -> Result<Pair, PairError> {
        if let Some(id) = id
            && let Some(made) = self.registry.store.get::<PairsTable>(&id)?
        {
            return self.show(&made);
        }
        let head = *self.registry.store.head().borrow();
        let id = id.unwrap_or_else(PairId::generate);
        let mut row = PairRow::new(id, new, owner, Timestamp::now(), head)?;
        if !self.look(&row).await? {
            row.await_source();
        }
        let row = {
            let _turn = self.registry.turn.lock().await;
            let node = |place: &super::pair::Place| self.registry.node(place.session, place.chat);
            let edges = self.registry.edges();
            if let Some(way) = way_back(&edges, node(&row.source), node(&row.destination)) {
                return Err(PairError::Loop(way));
            }
            if let Some(id) = self.registry.twin(&row) {
                return Err(PairError::Exists(id));
            }
            self.registry.keep(row, None).await?
        };
        tracing::info!(pair = %row.id, "pair made");
        self.start_worker(row.id).await?;
        Ok(row.show(PairStats::default(), Head::default()))
    }

    /// Every pair, oldest first.
    pub fn list(&self) -> Result<Vec<Pair>, PairError> {
        let rows = self.registry.store.scan::<PairsTable>(Scan::all(), usize::MAX)?;
        rows.into_iter().map(|(_, row)| self.show(&row)).collect()
    }

    /// How many tasks of each pair wait: with the session that it reads with and the one that it writes with. From
    /// memory.
    pub fn waiting(&self) -> Vec<(SessionId, SessionId, u64)> {
        let of = |desk: Arc<Desk>| {
            let pair = desk.pair().borrow().clone();
            let lane = self
                .registry
                .store
                .group_stats(LaneKind::Forward, pair.id.to_bytes());
            (pair.source.session, pair.destination.session, lane.depth)
        };
        self.registry.desks().into_iter().map(of).collect()
    }

    /// One pair.
    pub fn get(&self, id: PairId) -> Result<Pair, PairError> {
        let row = self
            .registry
            .store
            .get::<PairsTable>(&id)?
            .ok_or(PairError::Unknown(id))?;
        self.show(&row)
    }

    /// Changes what the patch names.
    pub async fn patch(&self, id: PairId, patch: PairPatch) -> Result<Pair, PairError> {
        let _turn = self.registry.turn.lock().await;
        let row = self
            .registry
            .store
            .get::<PairsTable>(&id)?
            .ok_or(PairError::Unknown(id))?;
        let row = self.registry.keep(row.patched(patch)?, None).await?;
        self.show(&row)
    }

    /// Sends nothing until it is resumed; what arrives is kept. May be repeated.
    pub async fn pause(&self, id: PairId) -> Result<Pair, PairError> {
        let row = self
            .registry
            .set_state(id, PairState::Paused, None, false, |_| false)
            .await?;
        self.show(&row)
    }

    /// Goes on, paused or held, unless nothing could come from its source. May be repeated.
    pub async fn resume(&self, id: PairId) -> Result<Pair, PairError> {
        let row = self.registry.store.get::<PairsTable>(&id)?;
        let row = row.ok_or(PairError::Unknown(id))?;
        if row.state != PairState::Running && !self.look(&row).await? {
            return self.show(&*self.registry.await_source(id).await?);
        }
        let row = self.registry.resume(id).await?;
        match self.workers.release(&id.to_string()).await {
            // It was not quarantined.
            Ok(()) | Err(_) => {}
        }
        self.show(&row)
    }

    /// Starts its worker anew, also out of quarantine; one that is held goes on.
    pub async fn restart(&self, id: PairId) -> Result<Pair, PairError> {
        let pair = self.get(id)?;
        let name = id.to_string();
        if self.workers.release(&name).await.is_err() {
            match self.workers.restart(&name).await {
                Err(StartError::Unknown) => self.start_worker(id).await?,
                answer => answer?,
            }
        }
        match pair.state {
            PairState::Held => self.resume(id).await,
            PairState::Running | PairState::Paused => self.get(id),
        }
    }

    /// Stops and forgets it, with what waits and its message map; its copies stay. May be repeated.
    pub async fn delete(&self, id: PairId) -> Result<(), PairError> {
        {
            let _turn = self.registry.turn.lock().await;
            let mut batch = Batch::new();
            batch.remove::<PairsTable>(&id);
            batch.remove::<StatsTable>(&id);
            self.registry.store.commit(batch).await?;
            self.registry.forget(id);
        }
        match self.workers.terminate(&id.to_string()).await {
            Ok(()) | Err(StartError::Unknown) => {}
            Err(error) => return Err(error.into()),
        }
        self.clear(id).await?;
        self.registry.settle_incident(id).await?;
        tracing::info!(pair = %id, "pair deleted");
        Ok(())
    }

    pub(super) fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    pub(super) fn config(&self) -> &Arc<ForwardConfig> {
        &self.config
    }

    /// Starts a pair's worker if it is not there.
    pub(super) async fn start_worker(&self, id: PairId) -> Result<(), PairError> {
        let (registry, config) = (self.registry.clone(), self.config.clone());
        let spec = ChildSpec::task(id.to_string(), move |context| {
            let (registry, config) = (registry.clone(), config.clone());
            async move {
                worker::run(registry, config, id, context)
                    .await
                    .map_err(BoxError::from)
            }
        })
        .shutdown(Shutdown::Drain(Duration::from_secs(5)))
        .liveness(Duration::from_secs(180));
        match self.workers.start(spec).await {
            Ok(()) | Err(StartError::Duplicate) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// What is known of both ends speaks against some pairs. What does is asked for anew before it counts. Answers whether
    /// the session has met the source.
    async fn look(&self, row: &PairRow) -> Result<bool, PairError> {
        let doubtful = match self.judge(row) {
            Err(PairError::Left | PairError::Protected) => row.source,
            Err(PairError::NoForum((_, place))) => place,
            judged => return judged,
        };
        let (courier, patience) = (&self.registry.courier, (*self.config.patience).into());
        let anew = courier.look_anew(doubtful.session, doubtful.chat, patience);
        if let Err(trouble) = anew.await {
            tracing::info!(pair = %row.id, error = trouble.text, "its chat was not shown anew");
        }
        self.judge(row)
    }

    fn judge(&self, row: &PairRow) -> Result<bool, PairError> {
        let mut met = true;
        for (end, place) in [("source", row.source), ("destination", row.destination)] {
            let is_source = end == "source";
            let sight = self.registry.courier.sight(place.session, place.chat);
            match sight.map_err(|trouble| PairError::Telegram(trouble.text, trouble.code))? {
                Sight::NoSession => return Err(PairError::UnknownSession),
                Sight::Known { left: true, .. } if is_source => return Err(PairError::Left),
                Sight::Known { protected: true, .. } if is_source => return Err(PairError::Protected),
                Sight::Known {
                    forum: Some(false), ..
                } if place.topic.is_some() => return Err(PairError::NoForum((end, place))),
                // A chat that is not known may become so: the first message of a source tells, and the first to a
                // destination.
                Sight::Unknown if is_source => met = false,
                Sight::Known { .. } | Sight::Unknown => {}
            }
        }
        Ok(met)
    }

    fn show(&self, row: &PairRow) -> Result<Pair, PairError> {
        let stats = match self.registry.desk(row.id) {
            Some(desk) => desk.stats(),
            None => PairStats::default(),
        };
        let group = row.id.to_bytes();
        let lane = self.registry.store.group_stats(LaneKind::Forward, group);
        let stats = PairStats {
            waiting: lane.depth,
            ..stats
        };
        Ok(row.show(stats, self.head(row.id)?))
    }

    /// How the task stands that is tried next, and that all others wait for.
    fn head(&self, id: PairId) -> Result<Head, StoreError> {
        let store = &self.registry.store;
        let tasks = store.tasks::<serde::de::IgnoredAny>(LaneKind::Forward, Some(id.to_bytes()), None, 1)?;
        let head = tasks.into_iter().next().map(|task| Head {
            last_error: task.last_error,
            attempts: task.attempts,
            next_try: Some(task.due),
        });
        Ok(head.unwrap_or_default())
    }

    async fn clear(&self, id: PairId) -> Result<(), StoreError> {
        let store = &self.registry.store;
        loop {
            let tasks =
                store.tasks::<serde::de::IgnoredAny>(LaneKind::Forward, Some(id.to_bytes()), None, CHUNK)?;
            let rows = store.scan::<MapTable>(Scan::prefix(&id), CHUNK)?;
            let albums = store.scan::<AlbumsTable>(Scan::prefix(&id), CHUNK)?;
            let mut batch = Batch::new();
            // Its worker may have counted once more before it ended.
            if store.contains::<StatsTable>(&id)? {
                batch.remove::<StatsTable>(&id);
            }
            for task in &tasks {
                batch.complete(&task.key);
            }
            for (key, row) in &rows {
                batch.remove::<MapTable>(key);
                if let Some(copied) = row.copied() {
                    batch.remove::<BackTable>(&back_key(copied.session, copied.chat, copied.message));
                }
            }
            for (key, _) in &albums {
                batch.remove::<AlbumsTable>(key);
            }
            if batch.is_empty() {
                return Ok(());
            }
            store.commit(batch).await?;
        }
    }
}

fn describe() {
    metrics::describe_counter!(
        "trunkline_forwards_total",
        "Messages of pairs by what became of them"
    );
    metrics::describe_histogram!(
        "trunkline_forward_seconds",
        metrics::Unit::Seconds,
        "From learning of a message to its copy"
    );
    // Told as 0 from the start: a rule that looks for growth does not see a series whose first value is 1.
    for outcome in [
        "forwarded",
        "edited",
        "deleted",
        "discarded",
        "retried",
        "held",
        "loop",
    ] {
        metrics::counter!("trunkline_forwards_total", "outcome" => outcome).increment(0);
    }
}
