//! The manager owns which sessions exist and which of them run.
//!
//! It reconciles: a session whose record says that it shall run has a subtree under the dynamic
//! supervisor, every other has none. Start-up, commands and the end of an authorisation all take that path.
//! It does not watch connections, and no call to Telegram but a log-out passes through it.

mod ending;
mod replacement;
mod rotation;

use std::collections::HashMap;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};

use super::account::{Account, AccountPatch, NewAccount};
use super::error::TelegramError;
use super::import::{self, Adopted, Adoption, ImportError};
use super::incident;
use super::link::Link;
use super::reply::answer;
use super::session::{self, Context};
use super::tables::{Accounts, Authorisation, Authorisations, Peers, UpdateStates};
use crate::base::{RotationId, Secret, SessionId, Timestamp};
use crate::model::{ChatId, EventBody, SessionState, Wanted};
use crate::ops::audit::{self, Deed, Entry, Initiator};
use crate::runtime::{ChildSpec, Dynamic, NodeState, Shutdown, StartError};
use crate::store::{Batch, Scan, StoreError};

/// Every known session.
pub(crate) type Links = Arc<RwLock<HashMap<SessionId, Arc<Link>>>>;

/// A command waits for subtrees that end and begin; one that takes longer than this hangs.
const LIVENESS: Duration = Duration::from_secs(180);

type Reply<T> = RpcReplyPort<Result<T, TelegramError>>;

/// What the manager hears.
pub(crate) enum Msg {
    /// Add a session.
    Add(Box<NewAccount>, Reply<Account>),
    /// Add a session whose key was tried; it runs.
    Adopt(Box<Adoption>, Adopted),
    /// Change a record.
    Patch(SessionId, AccountPatch, Reply<Account>),
    /// It shall run.
    Start(SessionId, Reply<Account>),
    /// It shall rest.
    Stop(SessionId, Reply<Account>),
    /// Begin anew, also out of quarantine.
    Restart(SessionId, Reply<Account>),
    /// Its subtree is needed for a login, which the audit log tells so.
    PrepareLogin(SessionId, Entry, Reply<()>),
    /// End the authorisation, keep the record.
    LogOut(SessionId, Initiator, Reply<Account>),
    /// End the authorisation, forget everything; the audit log tells it so.
    Delete(SessionId, Entry, Reply<()>),
    /// A login ended without one, and why: what it left is removed.
    Discard(SessionId, &'static str),
    /// A login could not begin: a session made for it is removed.
    DiscardLeftover(SessionId, Reply<()>),
    /// A session has logged in that takes the place of another: that one ends.
    Replaced(SessionId),
    /// Have the auth key replaced; with the password, if the account has one.
    Rotate(SessionId, Option<Secret>, Initiator, Reply<RotationId>),
    /// Put the fresh key of its rotation in place.
    SwitchKey(SessionId, Reply<()>),
    /// Put the former key back; answers the fresh one.
    SwitchBack(SessionId, Reply<Option<Authorisation>>),
    /// A session has nothing left to run.
    Ended(SessionId),
    /// A session's subtree failed too often.
    Quarantined(SessionId, String),
}

/// The manager as a child, placed after the dynamic supervisor whose children it decides on.
pub(super) fn child(
    context: &Arc<Context>,
    links: &Links,
    subtrees: &Dynamic,
    rotations: &Dynamic,
) -> ChildSpec {
    let (context, links) = (context.clone(), links.clone());
    let (subtrees, rotations) = (subtrees.clone(), rotations.clone());
    ChildSpec::actor("manager", move |spawn| {
        let args = State {
            context: context.clone(),
            links: links.clone(),
            subtrees: subtrees.clone(),
            rotations: rotations.clone(),
        };
        async move { spawn.spawn(Manager, args).await }
    })
    // It brings every session up before it answers.
    .ready_within(Duration::from_secs(300))
    .shutdown(Shutdown::Drain(Duration::from_secs(5)))
    .liveness(LIVENESS)
}

struct Manager;

struct State {
    context: Arc<Context>,
    links: Links,
    subtrees: Dynamic,
    rotations: Dynamic,
}

impl Actor for Manager {
    type Msg = Msg;
    type State = State;
    type Arguments = State;

    async fn pre_start(&self, myself: ActorRef<Msg>, state: State) -> Result<State, ActorProcessingErr> {
        state.load()?;
        state.context.manager.set(myself.clone());
        for link in state.all() {
            state.end_interrupted_login(&link).await;
            state.reconcile(&link).await;
        }
        state.resume_rotations().await?;
        state.resume_replacements(&myself);
        state.notice_quarantined().await;
        Ok(state)
    }

    async fn handle(
        &self,
        _myself: ActorRef<Msg>,
        message: Msg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Msg::Add(new, reply) => answer(reply, state.add(*new).await),
            Msg::Adopt(adoption, reply) => answer(reply, state.adopt(*adoption).await),
            Msg::Patch(id, patch, reply) => answer(reply, state.patch(id, patch).await),
            Msg::Start(id, reply) => answer(reply, state.start(id).await),
            Msg::Stop(id, reply) => answer(reply, state.stop(id).await),
            Msg::Restart(id, reply) => answer(reply, state.restart(id).await),
            Msg::PrepareLogin(id, entry, reply) => answer(reply, state.prepare_login(id, entry).await),
            Msg::LogOut(id, by, reply) => answer(reply, state.log_out(id, by).await),
            Msg::Delete(id, entry, reply) => answer(reply, state.delete(id, Some(entry)).await),
            Msg::Discard(id, why) => state.discard(id, why).await,
            Msg::DiscardLeftover(id, reply) => answer(reply, state.discard_leftover(id).await),
            Msg::Replaced(id) => state.replaced(id).await,
            Msg::Rotate(id, password, by, reply) => answer(reply, state.rotate(id, password, by).await),
            Msg::SwitchKey(id, reply) => answer(reply, state.switch_key(id).await),
            Msg::SwitchBack(id, reply) => answer(reply, state.switch_back(id).await),
            Msg::Ended(id) => state.end(id).await,
            Msg::Quarantined(id, reason) => state.quarantine(id, reason).await,
        }
        Ok(())
    }
}

impl State {
    /// Makes a link of every stored session that has none yet.
    fn load(&self) -> Result<(), StoreError> {
        let rows = self.context.store.scan::<Accounts>(Scan::all(), usize::MAX)?;
        let mut links = self.links.write().expect("nothing panics under this lock");
        for (id, account) in rows {
            id.follow();
            links.entry(id).or_insert_with(|| Arc::new(self.link(account)));
        }
        Ok(())
    }

    fn link(&self, account: Account) -> Link {
        let since = account.in_use_since();
        self.context.limiter.in_use_since(account.id, since);
        Link::new(
            account,
            *self.context.config.call_timeout,
            self.context.calls.clone(),
        )
    }

    fn all(&self) -> Vec<Arc<Link>> {
        self.links
            .read()
            .expect("nothing panics under this lock")
            .values()
            .cloned()
            .collect()
    }

    fn find(&self, id: SessionId) -> Result<Arc<Link>, TelegramError> {
        let links = self.links.read().expect("nothing panics under this lock");
        links.get(&id).cloned().ok_or(TelegramError::UnknownSession)
    }

    /// Starts or ends the subtree, as the record wants it.
    async fn reconcile(&self, link: &Arc<Link>) {
        if link.account().should_run() {
            // One that did not start was told of, and is started by the next command.
            self.bring_up(link).await.unwrap_or_default();
        } else {
            self.terminate(link).await;
        }
    }

    /// Starts the subtree, unless it is there already.
    async fn bring_up(&self, link: &Arc<Link>) -> Result<(), TelegramError> {
        match self.subtrees.start(session::child(&self.context, link)).await {
            Ok(()) | Err(StartError::Duplicate) => Ok(()),
            Err(error) => {
                tracing::error!(session = %link.id, error = %error, "the session did not start");
                Err(TelegramError::Away)
            }
        }
    }

    async fn terminate(&self, link: &Arc<Link>) {
        // A session that does not run is what is wanted.
        if let Err(error) = self.subtrees.terminate(&link.id.to_string()).await {
            tracing::debug!(session = %link.id, error = %error, "nothing ran");
        }
        link.withdraw();
        if !link.account().should_run() {
            session::tell_held(&self.context, link).await;
        }
    }

    async fn add(&self, new: NewAccount) -> Result<Account, TelegramError> {
        if let Some(added) = self.all().iter().find(|link| new.id == Some(link.id)) {
            return Ok(added.account());
        }
        let account = self.draft(new)?;
        self.enter(&account, Batch::new(), None).await?;
        Ok(account)
    }

    async fn adopt(&self, adoption: Adoption) -> Result<Account, ImportError> {
        if let Some(other) = import::holder(&self.context.store, &adoption.authorisation)? {
            return Err(ImportError::InUse(other));
        }
        let mut account = self.draft(adoption.new)?;
        account.logged_in(adoption.user_id, Timestamp::now());
        account.username = adoption.username;
        account.phone = adoption.phone.or(account.phone);
        (account.state, account.reason) = (SessionState::Connecting, Some("IMPORTED".to_owned()));
        let mut batch = Batch::new();
        batch.put::<Authorisations>(&account.id, &adoption.authorisation);
        let own = ChatId::user(adoption.user_id).0;
        batch.put::<Peers>(&(account.id, own), &adoption.own);
        batch.put::<UpdateStates>(&(account.id, 0), &adoption.position);
        let entry = adoption.by.does(Deed::Imported, account.id);
        let entry = entry.detail("form", adoption.form.as_str());
        let link = self.enter(&account, batch, Some(entry)).await?;
        self.context
            .limiter
            .in_use_since(account.id, account.in_use_since());
        self.reconcile(&link).await;
        Ok(account)
    }

    /// A new record, of an agent that has none yet.
    fn draft(&self, new: NewAccount) -> Result<Account, TelegramError> {
        let account = Account::new(new, Timestamp::now());
        let agents_own = |link: &Arc<Link>| {
            link.account().agent_id == account.agent_id && account.replaces != Some(link.id)
        };
        match self
            .all()
            .iter()
            .find(|link| account.agent_id.is_some() && agents_own(link))
        {
            Some(other) => Err(TelegramError::AgentExists(other.id)),
            None => Ok(account),
        }
    }

    /// Stores a new record with what belongs to it, and makes it known.
    async fn enter(
        &self,
        account: &Account,
        mut batch: Batch,
        entry: Option<Entry>,
    ) -> Result<Arc<Link>, StoreError> {
        batch.put::<Accounts>(&account.id, account);
        audit::commit_with(&self.context.store, batch, entry).await?;
        let link = Arc::new(self.link(account.clone()));
        self.links
            .write()
            .expect("nothing panics under this lock")
            .insert(account.id, link.clone());
        Ok(link)
    }

    async fn patch(&self, id: SessionId, patch: AccountPatch) -> Result<Account, TelegramError> {
        let link = self.find(id)?;
        link.change(&self.context.store, |account| (account.apply(patch), vec![]))
            .await?;
        let account = link.account();
        self.context.limiter.in_use_since(id, account.in_use_since());
        Ok(account)
    }

    async fn start(&self, id: SessionId) -> Result<Account, TelegramError> {
        let link = self.find(id)?;
        self.want(&link, Wanted::Running, |state| match state {
            SessionState::Stopped => SessionState::Connecting,
            state => state,
        })
        .await?;
        self.reconcile(&link).await;
        Ok(link.account())
    }

    async fn stop(&self, id: SessionId) -> Result<Account, TelegramError> {
        let link = self.find(id)?;
        // Wanted first: a crash in between leaves it stopped.
        self.want(&link, Wanted::Stopped, |state| state).await?;
        self.terminate(&link).await;
        if link.account().login.is_some() {
            self.end_login(&link).await?;
        }
        self.want(&link, Wanted::Stopped, |state| match state {
            state if state.is_terminal() => state,
            _ => SessionState::Stopped,
        })
        .await?;
        Ok(link.account())
    }

    async fn restart(&self, id: SessionId) -> Result<Account, TelegramError> {
        let link = self.find(id)?;
        self.terminate(&link).await;
        incident::settle(&self.context.incidents, id).await;
        // What the limiter forgets here it would also forget by itself, later.
        if let Err(error) = self.context.limiter.clear(id).await {
            tracing::warn!(session = %id, error = %error, "the limiter did not forget its waits");
        }
        self.want(&link, Wanted::Running, |state| match state {
            state if state.is_terminal() => state,
            _ => SessionState::Connecting,
        })
        .await?;
        self.reconcile(&link).await;
        Ok(link.account())
    }

    async fn prepare_login(&self, id: SessionId, entry: Entry) -> Result<(), TelegramError> {
        let link = self.find(id)?;
        let account = link.account();
        if account.is_authorised() {
            return Err(TelegramError::Conflict(
                "the session is logged in already; log it out first",
            ));
        }
        link.change_audited(&self.context.store, Some(entry), |account| {
            account.wanted = Wanted::Running;
            ((), vec![])
        })
        .await?;
        if matches!(account.state, SessionState::BadCredentials | SessionState::Banned) {
            // A key that was refused, or that Telegram has forgotten, carries no login.
            self.terminate(&link).await;
            let mut batch = Batch::new();
            batch.remove::<Authorisations>(&id);
            self.context.store.commit(batch).await?;
        }
        self.bring_up(&link).await
    }

    async fn end(&self, id: SessionId) {
        let Ok(link) = self.find(id) else { return };
        self.reconcile(&link).await;
        let account = link.account();
        if matches!(account.state, SessionState::BadCredentials | SessionState::Banned) {
            let cause = account.reason.unwrap_or_default();
            let (kind, action) = incident::of_end(&cause);
            self.report(kind, id, &cause, action).await;
        }
    }

    /// Catches up on quarantines that were told while nobody listened.
    async fn notice_quarantined(&self) {
        for node in self.subtrees.children().await {
            let Ok(id) = node.id.parse() else { continue };
            let known = |link: Arc<Link>| link.state() == SessionState::Quarantined;
            if node.state == NodeState::Quarantined && !self.find(id).is_ok_and(known) {
                self.quarantine(id, node.last_error.unwrap_or_default()).await;
            }
        }
    }

    async fn quarantine(&self, id: SessionId, reason: String) {
        let Ok(link) = self.find(id) else { return };
        let cause = reason.clone();
        let changed = link.change(&self.context.store, |account| {
            let from = std::mem::replace(&mut account.state, SessionState::Quarantined);
            account.since = Timestamp::now();
            account.reason = Some(reason.clone());
            let to = SessionState::Quarantined;
            (
                (),
                vec![EventBody::SessionState {
                    from,
                    to,
                    reason: Some(reason),
                }],
            )
        });
        if let Err(error) = changed.await {
            tracing::error!(session = %id, error = %error, "the quarantine was not stored");
        }
        link.withdraw();
        let action = "read the log, then restart the session";
        self.report(incident::QUARANTINED, id, &cause, action).await;
    }

    /// Opens an incident.
    async fn report(&self, kind: &str, id: SessionId, cause: &str, action: &str) {
        let opened = self
            .context
            .incidents
            .open(kind, &id.to_string(), cause, action)
            .await;
        if let Err(error) = opened {
            tracing::error!(session = %id, kind, error = %error, "an incident was not stored");
        }
    }

    /// Stores what is wanted, and the state that this leads to.
    async fn want(
        &self,
        link: &Link,
        wanted: Wanted,
        lead: impl FnOnce(SessionState) -> SessionState,
    ) -> Result<(), StoreError> {
        link.change(&self.context.store, |account| {
            account.wanted = wanted;
            let from = account.state;
            let to = lead(from);
            if from == to {
                return ((), vec![]);
            }
            account.state = to;
            account.since = Timestamp::now();
            account.reason = None;
            (
                (),
                vec![EventBody::SessionState {
                    from,
                    to,
                    reason: None,
                }],
            )
        })
        .await
    }
}
