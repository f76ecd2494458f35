//! The door to everything Telegram: a cheap, cloneable handle that outlives every restart behind it.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::watch;

use super::account::{Account, AccountPatch, NewAccount, normalise_phone};
use super::audience::{Asks, Listening};
use super::calls::CallsView;
use super::config::TelegramConfig;
use super::effects::Effects;
use super::error::TelegramError;
use super::inactive;
use super::link::Link;
use super::logins::Ended;
use super::manager::{self, Links, Msg};
use super::rotation;
use super::server_key::NotAKey;
use super::session::{self, Context};
use super::spares;
use super::sweep;
use super::tables::Authorisations;
use super::vitals::Health;
use crate::base::{RotationId, Secret, SessionId, Timestamp};
use crate::limiter::{Budgets, Limiter, Patience};
use crate::model::SessionState;
use crate::ops::Incidents;
use crate::ops::audit::{Deed, Initiator};
use crate::runtime::{
    Address, Backoff, CallError, ChildSpec, Dynamic, Intensity, Quarantine, Strategy, SupervisorSpec,
};
use crate::store::{Store, Trouble};

/// See the head of the file.
#[derive(Clone)]
pub struct Telegram {
    pub(super) context: Arc<Context>,
    pub(super) links: Links,
    /// The supervisor of the sessions' subtrees, once it was made.
    subtrees: Arc<Mutex<Option<Dynamic>>>,
}

/// A session as others see it.
#[derive(Clone, Debug)]
pub struct SessionView {
    /// The stored record.
    pub account: Account,
    /// The last proof of life.
    pub last_proof: Option<Timestamp>,
    /// The last update.
    pub last_update: Option<Timestamp>,
    /// The home DC; none before the first connection.
    pub dc: Option<i32>,
    /// Starts of its parts in this process, less the first.
    pub restarts: u64,
    /// Gaps filled from history in this process.
    pub gaps: u64,
    /// How it has been of late.
    pub health: Health,
    /// Its connection; none if it shall have none.
    pub connection: Option<ConnectionView>,
}

/// A session's connection as others see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionView {
    /// Its id, another one after each reconnect.
    pub id: String,
    /// Whether calls can be made on it.
    pub up: bool,
    /// The round trip of the last ping.
    pub latency: Option<Duration>,
    /// Calls of this session that failed and connections that it lost, in this process.
    pub errors: u64,
    /// When it was used last: for a call, or for what came.
    pub last_used: Option<Timestamp>,
}

/// How long a connection may take to show that it is of use, and how many are asked at once.
const PROBE: Duration = Duration::from_secs(5);
const PROBES: usize = 64;

/// Restarts that a session may need before it is quarantined.
const INTENSITY: Intensity = Intensity {
    restarts: 5,
    period: Duration::from_secs(60),
};

/// How long a session may take for a step of a login, a connection included.
const SESSION_ANSWERS: Duration = Duration::from_secs(110);

/// The pause between them.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(200),
    max: Duration::from_secs(10),
};

impl Telegram {
    /// A handle, before anything runs.
    ///
    /// # Errors
    /// If a self-hosted server is configured with something that is no key.
    pub fn new(
        store: Store,
        limiter: Limiter,
        incidents: Incidents,
        config: TelegramConfig,
    ) -> Result<Self, NotAKey> {
        for outcome in ["completed", "failed"] {
            metrics::counter!("trunkline_rotations_total", "outcome" => outcome).increment(0);
        }
        for counter in [
            "trunkline_updates_total",
            "trunkline_gaps_filled_total",
            "trunkline_address_floods_total",
        ] {
            // Told as 0 from the start: a rule that looks for growth does not see a series whose first value is 1.
            metrics::counter!(counter).increment(0);
        }
        let dcs: Arc<[_]> = config.server.dc.clone().into();
        let server_key = if dcs.is_empty() {
            None
        } else {
            Some(config.server.key()?)
        };
        let context = Context {
            store,
            limiter,
            incidents,
            deletions: watch::Sender::default(),
            dcs,
            server_key,
            starts: tokio::sync::Semaphore::new(config.start_at_once),
            logins: tokio::sync::Semaphore::new(config.logins_at_once),
            ended: Ended::default(),
            spares: tokio::sync::Notify::new(),
            crowding: session::Crowding::default(),
            next_start: tokio::sync::Mutex::new(tokio::time::Instant::now()),
            shifts: session::Shifts::new(),
            audience: Default::default(),
            calls: Arc::default(),
            manager: Address::new().timeout(Duration::from_secs(60)),
            config,
        };
        Ok(Self {
            context: Arc::new(context),
            links: Links::default(),
            subtrees: Arc::default(),
        })
    }

    /// Says whom to ask to whom a session's messages matter: channels whose messages do are polled.
    pub fn ask_for_interest(&self, asks: Asks) {
        self.context.audience.ask(asks);
    }

    /// Somebody listens to these sessions' messages (none means all), until what this gives is dropped.
    pub fn listen(&self, sessions: Option<BTreeSet<SessionId>>) -> Listening {
        self.context.audience.listen(sessions)
    }

    /// The sessions' part of the tree: the subtrees, then the manager that decides on them.
    pub fn child(&self) -> ChildSpec {
        let (subtrees, dynamic) = SupervisorSpec::dynamic();
        let (rotating, rotations) = SupervisorSpec::dynamic();
        let manager = self.context.manager.clone();
        *self.subtrees.lock().unwrap_or_else(PoisonError::into_inner) = Some(dynamic.clone());
        dynamic.on_quarantine(Arc::new(move |quarantine: Quarantine| {
            if let Ok(id) = quarantine.id.parse() {
                let told = manager.try_cast(Msg::Quarantined(id, quarantine.reason.to_string()));
                if told.is_err() {
                    tracing::error!(session = %id, "nobody took note of a quarantine");
                }
            }
        }));
        let (context, clock, own) = (self.context.clone(), self.context.clone(), self.clone());
        let ending = self.context.clone();
        let subtrees = subtrees.kind("sessions").intensity(INTENSITY).backoff(BACKOFF);
        let both = SupervisorSpec::new(Strategy::RestForOne)
            .kind("telegram")
            .child(ChildSpec::supervisor("subtrees", subtrees))
            .child(ChildSpec::supervisor("rotations", rotating.kind("rotations")))
            .child(manager::child(&self.context, &self.links, &dynamic, &rotations))
            .child(ChildSpec::task("sweep", move |task| {
                sweep::run(context.clone(), task)
            }))
            .child(ChildSpec::task("spares", move |task| {
                spares::run(ending.clone(), task)
            }))
            .child(ChildSpec::task("inactive", move |task| {
                inactive::run(own.clone(), task)
            }))
            .child(ChildSpec::task("clock", move |task| {
                session::watch_clock(clock.clone(), task)
            }));
        ChildSpec::supervisor("sessions", both)
    }

    /// Adds a session; it waits for its first login.
    ///
    /// # Errors
    /// If the agent has one already, or the number is none.
    pub async fn add(&self, mut new: NewAccount) -> Result<SessionView, TelegramError> {
        if let Some(phone) = &new.phone {
            let phone = normalise_phone(phone.expose()).map_err(TelegramError::Invalid)?;
            new.phone = Some(Secret::new(phone));
        }
        let account = self.ask(|reply| Msg::Add(Box::new(new), reply)).await?;
        self.view(account.id)
    }

    /// Every session, oldest first.
    pub fn list(&self) -> Vec<SessionView> {
        let links = self.links.read().expect("nothing panics under this lock");
        let mut views: Vec<_> = links.values().map(|link| self.view_of(link)).collect();
        views.sort_by_key(|view| view.account.id);
        views
    }

    /// One session.
    ///
    /// # Errors
    /// If there is none.
    pub fn view(&self, id: SessionId) -> Result<SessionView, TelegramError> {
        Ok(self.view_of(&*self.link(id)?))
    }

    /// The session that an id or a public id names.
    ///
    /// # Errors
    /// If there is none.
    pub fn find(&self, name: &str) -> Result<SessionId, TelegramError> {
        if let Ok(id) = name.parse::<SessionId>() {
            let gone = || self.context.ended.of(id).unwrap_or(TelegramError::UnknownSession);
            return self.link(id).map(|link| link.id).map_err(|_| gone());
        }
        let uuid: uuid::Uuid = name.parse().map_err(|_| TelegramError::UnknownSession)?;
        let links = self.links.read().expect("nothing panics under this lock");
        let found = links.values().find(|link| link.uuid == uuid);
        let gone = || {
            self.context
                .ended
                .named(uuid)
                .unwrap_or(TelegramError::UnknownSession)
        };
        found.map(|link| link.id).ok_or_else(gone)
    }

    /// The session of an agent; while another one logs in to take its place, still this one.
    pub fn of_agent(&self, agent: i64) -> Option<Account> {
        let links = self.links.read().expect("nothing panics under this lock");
        let accounts = links.values().map(|link| link.account());
        accounts
            .filter(|account| account.agent_id == Some(agent))
            .min_by_key(Account::claim)
    }

    /// The session whose login is to take the place of this one.
    pub fn successor_of(&self, id: SessionId) -> Option<Account> {
        let links = self.links.read().expect("nothing panics under this lock");
        let mut accounts = links.values().map(|link| link.account());
        accounts.find(|account| account.replaces == Some(id))
    }

    /// How many restarts of each session that runs are still borne before it is quarantined. One supervisor is asked,
    /// whatever is below it.
    pub async fn restarts_left(&self) -> HashMap<SessionId, u32> {
        let subtrees = self
            .subtrees
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let Some(subtrees) = subtrees else {
            return HashMap::new();
        };
        let children = subtrees.children().await.into_iter();
        children
            .filter_map(|child| Some((child.id.parse().ok()?, child.restarts_left?)))
            .collect()
    }

    /// The longest time since a channel was asked whose messages matter to somebody; none if there is no such channel.
    pub fn poll_lag(&self) -> Option<Duration> {
        let links = self.links.read().expect("nothing panics under this lock");
        let now = Timestamp::now();
        links.values().filter_map(|link| link.vitals.poll_lag(now)).max()
    }

    /// How many sessions are in which state.
    pub fn states(&self) -> Vec<(SessionState, usize)> {
        let links = self.links.read().expect("nothing panics under this lock");
        let resting = self.resting();
        let shown = |link: &Link| match &resting {
            Some(_) if link.state().is_connected() => SessionState::TransientDisconnect,
            _ => link.state(),
        };
        let count = |state| links.values().filter(|link| shown(link) == state).count();
        SessionState::ALL
            .into_iter()
            .map(|state| (state, count(state)))
            .collect()
    }

    /// Changes name, agent, metadata or whether it needs no warm-up.
    ///
    /// # Errors
    /// If there is no such session.
    pub async fn patch(&self, id: SessionId, patch: AccountPatch) -> Result<SessionView, TelegramError> {
        self.ask(|reply| Msg::Patch(id, patch, reply)).await?;
        self.view(id)
    }

    /// It shall run; may be repeated.
    ///
    /// # Errors
    /// If there is no such session.
    pub async fn start(&self, id: SessionId) -> Result<SessionView, TelegramError> {
        self.ask(|reply| Msg::Start(id, reply)).await?;
        self.view(id)
    }

    /// It shall rest; may be repeated.
    ///
    /// # Errors
    /// If there is no such session.
    pub async fn stop(&self, id: SessionId) -> Result<SessionView, TelegramError> {
        self.ask(|reply| Msg::Stop(id, reply)).await?;
        self.view(id)
    }

    /// It begins anew, also out of quarantine and restriction.
    ///
    /// # Errors
    /// If there is no such session.
    pub async fn restart(&self, id: SessionId) -> Result<SessionView, TelegramError> {
        self.ask(|reply| Msg::Restart(id, reply)).await?;
        self.view(id)
    }

    /// Has the session's auth key replaced by a fresh one, and tells by events how that goes; asked again meanwhile,
    /// it answers the rotation under way.
    ///
    /// # Errors
    /// If the session is not connected, or the account has a password and none is given.
    pub async fn rotate(
        &self,
        id: SessionId,
        password: Option<Secret>,
        by: Initiator,
    ) -> Result<RotationId, TelegramError> {
        let link = self.link(id)?;
        rotation::require_password(&self.context.limiter, &link, password.is_some()).await?;
        self.ask(|reply| Msg::Rotate(id, password, by, reply)).await
    }

    /// Ends the authorisation and keeps the entry; may be repeated.
    ///
    /// # Errors
    /// If there is no such session.
    pub async fn log_out(&self, id: SessionId, by: Initiator) -> Result<SessionView, TelegramError> {
        self.ask(|reply| Msg::LogOut(id, by, reply)).await?;
        self.view(id)
    }

    /// Ends the authorisation and forgets the session.
    ///
    /// # Errors
    /// If there is no such session.
    pub async fn delete(&self, id: SessionId, by: Initiator) -> Result<(), TelegramError> {
        let entry = by.does(Deed::Deleted, id);
        self.ask(|reply| Msg::Delete(id, entry, reply)).await
    }

    /// Changes whenever a session was deleted.
    pub fn deletions(&self) -> watch::Receiver<u64> {
        self.context.deletions.subscribe()
    }

    /// What was asked of Telegram in this process.
    pub fn calls(&self) -> CallsView {
        self.context.calls.view()
    }

    /// Asks the connections of these sessions for a sign of life, and gives up those that show none; new ones follow
    /// by themselves. How many were given up.
    pub async fn close_stale(&self, sessions: impl Fn(SessionId) -> bool) -> usize {
        let links: Vec<_> = {
            let links = self.links.read().expect("nothing panics under this lock");
            links.values().filter(|link| sessions(link.id)).cloned().collect()
        };
        let probes = links.into_iter().map(|link| async move {
            let stale = link.is_stale(PROBE).await;
            if let Some(number) = stale {
                tracing::info!(session = %link.id, "a stale connection is closed");
                link.report_broken(number);
            }
            usize::from(stale.is_some())
        });
        let closed = futures_util::stream::iter(probes).buffer_unordered(PROBES);
        closed.fold(0, async |sum, closed| sum + closed).await
    }

    /// What is left of a session's budgets.
    ///
    /// # Errors
    /// If there is no such session, or the limiter is away.
    pub async fn limits(&self, id: SessionId) -> Result<Budgets, TelegramError> {
        self.link(id)?;
        self.context.limiter.budgets(id).await.map_err(away)
    }

    fn view_of(&self, link: &Link) -> SessionView {
        // Shown, not decided by: a store that is away shows none.
        let authorisation = self.context.store.get::<Authorisations>(&link.id).ok().flatten();
        let mut account = link.account();
        if let Some(trouble) = self.resting()
            && account.state.is_connected()
        {
            account.state = SessionState::TransientDisconnect;
            account.since = trouble.since;
            account.reason = Some("STORE_UNAVAILABLE".to_owned());
        }
        let connection = account.should_run().then(|| ConnectionView {
            id: format!("{}-{}", link.id, link.connection_number()),
            up: account.state.is_connected() && link.client().is_ok(),
            latency: link.vitals.last_ping().map(|(_, took)| took),
            errors: link.vitals.failures(),
            last_used: link.vitals.last_used().max(link.last_update()),
        });
        SessionView {
            health: link.vitals.health(Timestamp::now()),
            connection,
            account,
            last_proof: link.last_proof(),
            last_update: link.last_update(),
            dc: authorisation.map(|authorisation| authorisation.home_dc),
            restarts: link.restarts().saturating_sub(1),
            gaps: link.gaps(),
        }
    }

    /// Why no session runs at the moment, if none does: their records, which cannot be changed then, do not tell.
    fn resting(&self) -> Option<Trouble> {
        self.context.store.trouble().borrow().clone()
    }

    pub(super) fn effects<'a>(&'a self, link: &'a Link, patience: impl Into<Patience>) -> Effects<'a> {
        Effects {
            context: &self.context,
            link,
            patience: patience.into(),
        }
    }

    /// A session that can make calls, known before the chat is looked up: one that ended knows no chats any more.
    pub(super) async fn link_at_work(&self, id: SessionId) -> Result<Arc<Link>, TelegramError> {
        let link = self.link(id)?;
        link.ready().await?;
        match link.state() {
            SessionState::LoggingIn => Err(TelegramError::NotConnected(SessionState::LoggingIn)),
            _ => Ok(link),
        }
    }

    pub(super) fn link(&self, id: SessionId) -> Result<Arc<Link>, TelegramError> {
        let links = self.links.read().expect("nothing panics under this lock");
        links.get(&id).cloned().ok_or(TelegramError::UnknownSession)
    }

    pub(super) async fn ask<T: Send + 'static>(
        &self,
        message: impl FnOnce(ractor::RpcReplyPort<Result<T, TelegramError>>) -> Msg,
    ) -> Result<T, TelegramError> {
        self.context.manager.call(message).await.map_err(away)?
    }

    pub(super) async fn ask_session<T: Send + 'static>(
        &self,
        id: SessionId,
        message: impl FnOnce(ractor::RpcReplyPort<Result<T, TelegramError>>) -> session::Msg,
    ) -> Result<T, TelegramError> {
        let actor = self.link(id)?.actor.clone().timeout(SESSION_ANSWERS);
        actor.call(message).await.map_err(away)?
    }
}

fn away(_: CallError) -> TelegramError {
    TelegramError::Away
}
