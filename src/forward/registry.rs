//! All pairs in memory: a desk for each, the routes that events follow, and every change of a pair's state.
//!
//! Rows are written first, then shown here. Writers go one after another; readers take what is there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::sync::Notify;

use super::courier::Courier;
use super::desk::Desk;
use super::error::PairError;
use super::graph::Node;
use super::map::{PairsTable, StatsTable};
use super::pair::{PairRow, PairState, Place};
use super::plan::{Route, Routes};
use crate::base::{EventId, PairId, SessionId, Timestamp};
use crate::model::{ChatId, Event, EventBody};
use crate::ops::Incidents;
use crate::store::{Batch, Scan, Store, StoreError};

/// The incident of a pair that stopped itself.
const PAIR_HELD: &str = "pair_held";
/// The incident of an account that may not go on.
const ACCOUNT_HALTED: &str = "account_halted";

/// All pairs.
pub(super) struct Registry {
    pub(super) store: Store,
    pub(super) courier: Arc<dyn Courier>,
    incidents: Incidents,
    /// This run of the daemon.
    pub(super) life: u64,
    desks: RwLock<HashMap<PairId, Arc<Desk>>>,
    routes: RwLock<Arc<Routes>>,
    /// Pairs that wait until their sources are met: mostly none.
    awaiting: RwLock<Vec<Arc<PairRow>>>,
    /// Held by whoever changes pairs.
    pub(super) turn: tokio::sync::Mutex<()>,
    quarantined: Mutex<Vec<PairId>>,
    /// Word for the dispatcher that a worker was quarantined.
    pub(super) news: Notify,
}

impl Registry {
    pub(super) fn new(store: Store, courier: Arc<dyn Courier>, incidents: Incidents) -> Self {
        Self {
            store,
            courier,
            incidents,
            life: rand::random(),
            desks: RwLock::default(),
            routes: RwLock::default(),
            awaiting: RwLock::default(),
            turn: tokio::sync::Mutex::new(()),
            quarantined: Mutex::default(),
            news: Notify::new(),
        }
    }

    /// Reads all pairs from the store; tells which there are.
    pub(super) async fn load(&self) -> Result<Vec<PairId>, StoreError> {
        let _turn = self.turn.lock().await;
        let rows = self.store.scan::<PairsTable>(Scan::all(), usize::MAX)?;
        let mut stats: HashMap<_, _> = self
            .store
            .scan::<StatsTable>(Scan::all(), usize::MAX)?
            .into_iter()
            .collect();
        let ids: Vec<PairId> = rows.iter().map(|(id, _)| *id).collect();
        {
            let mut desks = self.desks.write().unwrap_or_else(PoisonError::into_inner);
            desks.retain(|id, _| ids.contains(id));
            for (id, row) in rows {
                let row = Arc::new(row);
                match desks.get(&id) {
                    Some(desk) => desk.set_pair(row),
                    None => {
                        let stats = stats.remove(&id).unwrap_or_default();
                        desks.insert(id, Arc::new(Desk::new(row, stats)));
                    }
                }
            }
        }
        self.refresh();
        Ok(ids)
    }

    /// A pair's desk.
    pub(super) fn desk(&self, id: PairId) -> Option<Arc<Desk>> {
        self.desks
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&id)
            .cloned()
    }

    /// Every pair's desk.
    pub(super) fn desks(&self) -> Vec<Arc<Desk>> {
        self.desks
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }

    /// The desks of pairs that write into a chat.
    pub(super) fn desks_into(&self, chat: ChatId) -> Vec<Arc<Desk>> {
        let routes = self.routes();
        routes
            .writers(chat)
            .iter()
            .filter_map(|id| self.desk(*id))
            .collect()
    }

    /// The routes as they are now.
    pub(super) fn routes(&self) -> Arc<Routes> {
        self.routes.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A chat as a place of the graph of pairs.
    pub(super) fn node(&self, session: SessionId, chat: ChatId) -> Node {
        // Only a private chat has another number on each side of it.
        let own = chat.is_user().then(|| self.courier.own_user(session)).flatten();
        Node::of(session, own, chat)
    }

    fn node_of(&self, place: &Place) -> Node {
        self.node(place.session, place.chat)
    }

    /// Makes the routes anew from what is known now.
    pub(super) fn refresh(&self) {
        let mut awaiting = Vec::new();
        let routes = self.desks().into_iter().map(|desk| {
            let pair = desk.pair().borrow().clone();
            if pair.awaits_source() {
                awaiting.push(pair.clone());
            }
            let destination = self.node_of(&pair.destination);
            Route { pair, destination }
        });
        let routes = Arc::new(routes.collect::<Routes>());
        *self.routes.write().unwrap_or_else(PoisonError::into_inner) = routes;
        *self.awaiting.write().unwrap_or_else(PoisonError::into_inner) = awaiting;
    }

    /// The pairs that wait until their sources are met.
    pub(super) fn awaiting(&self) -> Vec<Arc<PairRow>> {
        self.awaiting
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The edges of the graph of pairs.
    pub(super) fn edges(&self) -> Vec<(Node, Node, PairId)> {
        let edge = |desk: Arc<Desk>| {
            let pair = desk.pair().borrow().clone();
            (
                self.node_of(&pair.source),
                self.node_of(&pair.destination),
                pair.id,
            )
        };
        self.desks().into_iter().map(edge).collect()
    }

    /// A pair with the same source and destination, whichever session sends: messages would be doubled. A chat and a topic
    /// of it have messages in common.
    pub(super) fn twin(&self, row: &PairRow) -> Option<PairId> {
        let ends = |pair: &PairRow| {
            let (source, destination) = (&pair.source, &pair.destination);
            (self.node_of(source), self.node_of(destination), destination.topic)
        };
        let wanted = ends(row);
        let mut pairs = self.desks().into_iter().map(|desk| desk.pair().borrow().clone());
        let overlap = |pair: &PairRow| match (pair.source.topic, row.source.topic) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        };
        pairs
            .find(|pair| ends(pair) == wanted && overlap(pair))
            .map(|pair| pair.id)
    }

    /// Keeps and shows a pair, new or changed; the caller holds the turn.
    pub(super) async fn keep(&self, row: PairRow, event: Option<Event>) -> Result<Arc<PairRow>, StoreError> {
        let mut batch = Batch::new();
        batch.put::<PairsTable>(&row.id, &row);
        if let Some(event) = event {
            batch.append(event, None);
        }
        self.store.commit(batch).await?;
        let row = Arc::new(row);
        {
            let mut desks = self.desks.write().unwrap_or_else(PoisonError::into_inner);
            match desks.get(&row.id) {
                Some(desk) => desk.set_pair(row.clone()),
                None => drop(desks.insert(row.id, Arc::new(Desk::new(row.clone(), Default::default())))),
            }
        }
        self.refresh();
        Ok(row)
    }

    /// Shows a pair no longer; the caller holds the turn.
    pub(super) fn forget(&self, id: PairId) {
        self.desks
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&id);
        self.refresh();
    }

    /// Brings a pair into a state, unless it is gone or `unless` says that it may stay as it is.
    pub(super) async fn set_state(
        &self,
        id: PairId,
        state: PairState,
        reason: Option<&str>,
        halted: bool,
        unless: impl FnOnce(&PairRow) -> bool,
    ) -> Result<Arc<PairRow>, PairError> {
        let _turn = self.turn.lock().await;
        let row = self.store.get::<PairsTable>(&id)?.ok_or(PairError::Unknown(id))?;
        let reason = reason.map(str::to_owned);
        if (row.state == state && row.reason == reason) || unless(&row) {
            return Ok(Arc::new(row));
        }
        let event = Event {
            id: EventId::generate(),
            at: Timestamp::now(),
            session: Some(row.destination.session),
            owner: row.owner.clone(),
            body: EventBody::PairState {
                pair: id.to_string(),
                state: state.as_str().to_owned(),
                reason: reason.clone(),
            },
        };
        tracing::info!(pair = %id, state = state.as_str(), reason, "pair changed its state");
        let row = PairRow {
            state,
            reason,
            halted,
            ..row
        };
        Ok(self.keep(row, Some(event)).await?)
    }

    /// A pair stops itself; one that somebody paused stays paused.
    pub(super) async fn hold(&self, id: PairId, reason: &str, cause: &str) -> Result<(), PairError> {
        self.hold_unless(id, reason, cause, |_| false).await
    }

    /// A pair stops, be it stopped already until its account is back; one that somebody paused stays paused.
    pub(super) async fn hold_for_good(&self, id: PairId, reason: &str, cause: &str) -> Result<(), PairError> {
        let other = |row: &PairRow| row.state != PairState::Running && !row.halted;
        self.set_state(id, PairState::Held, Some(reason), false, other)
            .await?;
        self.hold(id, reason, cause).await
    }

    /// A pair stops because of what was answered in its chats; not if it has moved to others since.
    pub(super) async fn hold_there(
        &self,
        tried: &PairRow,
        reason: &str,
        cause: &str,
    ) -> Result<(), PairError> {
        let moved = |row: &PairRow| (row.source, row.destination) != (tried.source, tried.destination);
        self.hold_unless(tried.id, reason, cause, moved).await
    }

    /// Nothing is to be put right any more.
    pub(super) async fn settle_incident(&self, id: PairId) -> Result<(), PairError> {
        self.incidents.settle(PAIR_HELD, &id.to_string()).await?;
        Ok(())
    }

    async fn hold_unless(
        &self,
        id: PairId,
        reason: &str,
        cause: &str,
        unless: impl Fn(&PairRow) -> bool,
    ) -> Result<(), PairError> {
        let stays = |row: &PairRow| row.state != PairState::Running || unless(row);
        let row = self
            .set_state(id, PairState::Held, Some(reason), false, stays)
            .await?;
        if row.state == PairState::Running {
            return Ok(());
        }
        let action = "put it right, then resume the pair";
        self.incidents
            .open(PAIR_HELD, &id.to_string(), cause, action)
            .await?;
        // It may have been resumed, or deleted, before the incident was there.
        let now = self.store.get::<PairsTable>(&id)?;
        if now.is_none_or(|row| row.state == PairState::Running) {
            self.settle_incident(id).await?;
        }
        Ok(())
    }

    /// All pairs that an account sends for stop until it is back.
    pub(super) async fn halt(&self, session: SessionId, reason: &str, cause: &str) -> Result<(), PairError> {
        for desk in self.desks() {
            let pair = desk.pair().borrow().clone();
            if pair.destination.session == session {
                let stopped = |row: &PairRow| row.state != PairState::Running;
                self.set_state(pair.id, PairState::Held, Some(reason), true, stopped)
                    .await?;
            }
        }
        let action = "put the account right; its pairs go on as soon as it is connected";
        self.incidents
            .open(ACCOUNT_HALTED, &session.to_string(), cause, action)
            .await?;
        Ok(())
    }

    /// A pair goes on.
    pub(super) async fn resume(&self, id: PairId) -> Result<Arc<PairRow>, PairError> {
        let row = self
            .set_state(id, PairState::Running, None, false, |_| false)
            .await?;
        self.settle_incident(id).await?;
        Ok(row)
    }

    /// An account is back: the pairs that stopped because of it go on.
    pub(super) async fn account_is_back(&self, session: SessionId) -> Result<(), PairError> {
        for desk in self.desks() {
            let pair = desk.pair().borrow().clone();
            if pair.destination.session == session && pair.halted {
                let other = |row: &PairRow| !row.halted;
                self.set_state(pair.id, PairState::Running, None, false, other)
                    .await?;
            }
        }
        self.incidents
            .settle(ACCOUNT_HALTED, &session.to_string())
            .await?;
        Ok(())
    }

    /// A worker failed too often. Called from its supervisor's loop.
    pub(super) fn note_quarantine(&self, id: PairId) {
        self.quarantined
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(id);
        self.news.notify_one();
    }

    /// The pairs whose workers failed too often since the last look.
    pub(super) fn take_quarantined(&self) -> Vec<PairId> {
        std::mem::take(&mut *self.quarantined.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
