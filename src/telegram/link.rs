//! A session's meeting point: what its actor, its runner, its pump and its callers share.
//!
//! It lives as long as the session is known, also while nothing of it runs, and holds no more than
//! the session's record, the times of proof and, while there is a connection, the client. Its record is
//! changed by [`Link::change`] alone, which stores a change together with its events before anyone sees
//! it. Calls to Telegram pass through [`Link::invoke`], which takes every answer as a proof of life and
//! reports the end of an authorisation; it does not retry and does not ask the limiter.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use grammers_client::sender::SenderPoolFatHandle;
use grammers_client::session::updates::UpdatesLike;
use grammers_client::tl::{Deserializable, RemoteCall};
use grammers_client::{Client, InvocationError};
use tokio::sync::{Notify, mpsc, watch};

use super::account::Account;
use super::awaited::Awaited;
use super::calls::{Calls, Outcome};
use super::error::{TelegramError, sent_on, wants_introduction};
use super::session::{Msg, Observation, is_crowded};
use super::tables::Accounts;
use super::vitals::Vitals;
use crate::base::{EventId, SessionId, Timestamp};
use crate::model::Refusal;
use crate::model::{Event, EventBody, SessionState};
use crate::ops::audit::{self, Entry};
use crate::runtime::Address;
use crate::store::{Batch, Store, StoreError};

/// What callers see of a session at any time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    /// The observed state.
    pub state: SessionState,
    /// Whether it has an authorisation.
    pub authorised: bool,
}

impl Status {
    fn of(account: &Account) -> Self {
        Self {
            state: account.state,
            authorised: account.is_authorised(),
        }
    }
}

/// A connection's two ends: for calls, and for updates.
pub(crate) struct Connection {
    /// Its number among the session's connections in this process; the first is 1.
    pub number: u64,
    /// For calls.
    pub handle: SenderPoolFatHandle,
    /// For updates.
    pub updates: mpsc::Receiver<UpdatesLike>,
}

/// See the head of the file.
pub(crate) struct Link {
    /// The session.
    pub id: SessionId,
    /// Its public id.
    pub uuid: uuid::Uuid,
    /// Its actor.
    pub actor: Address<Msg>,
    call_timeout: Duration,
    /// Read by every call under way; written by who has to be sure that there is none.
    calls: tokio::sync::RwLock<()>,
    tally: Arc<Calls>,
    account: RwLock<Account>,
    changing: tokio::sync::Mutex<()>,
    status: watch::Sender<Status>,
    /// The client with the number of its connection, and where that keeps its keys.
    client: RwLock<Option<(u64, Client, SenderPoolFatHandle)>>,
    connection: tokio::sync::Mutex<Option<Connection>>,
    connected: Notify,
    connections: AtomicU64,
    /// The latest connection that was found to be of no use, and word of it.
    /// The turn of those who write what is known of the session's chats, with the edits of what is still to be read.
    pub turn: tokio::sync::Mutex<Awaited>,
    elsewhere: AtomicI32,
    found_elsewhere: Notify,
    broken: AtomicU64,
    found_broken: Notify,
    /// The latest connection of which the server has forgotten who speaks.
    strange: AtomicU64,
    crowded: AtomicBool,
    /// The latest connection over which all that was missed has been fetched.
    caught_up: AtomicU64,
    /// The latest connection over which Telegram has told what was missed.
    told: AtomicU64,
    proof: AtomicI64,
    update: AtomicI64,
    sent: AtomicI64,
    gaps: AtomicU64,
    restarts: AtomicU64,
    /// What those see who watch it.
    pub vitals: Vitals,
}

impl Link {
    /// The link of a session with this record.
    pub fn new(account: Account, call_timeout: Duration, tally: Arc<Calls>) -> Self {
        Self {
            id: account.id,
            uuid: account.uuid,
            actor: Address::new(),
            call_timeout,
            calls: tokio::sync::RwLock::default(),
            tally,
            status: watch::Sender::new(Status::of(&account)),
            account: RwLock::new(account),
            changing: tokio::sync::Mutex::default(),
            client: RwLock::default(),
            connection: tokio::sync::Mutex::default(),
            connected: Notify::new(),
            connections: AtomicU64::new(0),
            turn: tokio::sync::Mutex::default(),
            elsewhere: AtomicI32::new(0),
            found_elsewhere: Notify::new(),
            broken: AtomicU64::new(0),
            found_broken: Notify::new(),
            strange: AtomicU64::new(0),
            crowded: AtomicBool::new(false),
            caught_up: AtomicU64::new(0),
            told: AtomicU64::new(0),
            proof: AtomicI64::new(0),
            update: AtomicI64::new(0),
            sent: AtomicI64::new(0),
            gaps: AtomicU64::new(0),
            restarts: AtomicU64::new(0),
            vitals: Vitals::default(),
        }
    }

    /// The record, as it is stored.
    pub fn account(&self) -> Account {
        self.account
            .read()
            .expect("nothing panics under this lock")
            .clone()
    }

    /// Changes the record: what `apply` makes of it is stored with the events it gives, then shown.
    ///
    /// # Errors
    /// If the store did not keep it; then nothing has changed.
    pub async fn change<T>(
        &self,
        store: &Store,
        apply: impl FnOnce(&mut Account) -> (T, Vec<EventBody>),
    ) -> Result<T, StoreError> {
        self.change_audited(store, None, apply).await
    }

    /// The same, with what the audit log tells of it in the same commit.
    pub async fn change_audited<T>(
        &self,
        store: &Store,
        entry: Option<Entry>,
        apply: impl FnOnce(&mut Account) -> (T, Vec<EventBody>),
    ) -> Result<T, StoreError> {
        let _one_at_a_time = self.changing.lock().await;
        let mut account = self.account();
        let (answer, bodies) = apply(&mut account);
        let mut batch = Batch::new();
        batch.put::<Accounts>(&self.id, &account);
        for body in bodies {
            batch.append(self.event(&account, body), None);
        }
        audit::commit_with(store, batch, entry).await?;
        let status = Status::of(&account);
        *self.account.write().expect("nothing panics under this lock") = account;
        self.status
            .send_if_modified(|shown| std::mem::replace(shown, status.clone()) != status);
        Ok(answer)
    }

    /// An event of this session, happening now.
    pub fn event(&self, account: &Account, body: EventBody) -> Event {
        Event {
            id: EventId::generate(),
            at: Timestamp::now(),
            session: Some(self.id),
            owner: account.owner.clone(),
            body,
        }
    }

    /// The observed state.
    pub fn state(&self) -> SessionState {
        self.status.borrow().state
    }

    /// The state as something to wait on.
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// When the server last answered or sent something.
    pub fn last_proof(&self) -> Option<Timestamp> {
        known(&self.proof)
    }

    /// When the last update arrived.
    pub fn last_update(&self) -> Option<Timestamp> {
        known(&self.update)
    }

    /// When something last arrived or was sent, as far as this process has seen.
    pub fn last_activity(&self) -> Option<Timestamp> {
        known(&self.update).max(known(&self.sent))
    }

    /// Takes the present as the time of something that was sent.
    pub fn sent(&self) {
        self.sent.store(Timestamp::now().0, Ordering::Relaxed);
    }

    /// How often its parts were started anew in this process.
    pub fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// Counts a start of its actor.
    pub fn count_start(&self) {
        if self.restarts.fetch_add(1, Ordering::Relaxed) > 0 {
            self.vitals.restarts.note(Timestamp::now());
        }
    }

    /// Gaps that were found and filled from history.
    pub fn gaps(&self) -> u64 {
        self.gaps.load(Ordering::Relaxed)
    }

    /// Counts a gap.
    pub fn count_gap(&self) {
        self.gaps.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes the present as a proof of life.
    pub fn proved(&self) {
        self.proof.store(Timestamp::now().0, Ordering::Relaxed);
    }

    /// Takes the present as the time of an update, which proves life too.
    pub fn updated(&self) {
        let now = Timestamp::now().0;
        self.update.store(now, Ordering::Relaxed);
        self.proof.store(now, Ordering::Relaxed);
    }

    /// Hands out a new connection: callers use it from now on, the pump takes its updates. Answers its number.
    pub async fn publish(&self, handle: SenderPoolFatHandle, updates: mpsc::Receiver<UpdatesLike>) -> u64 {
        let number = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
        let client = Client::new(handle.clone());
        *self.client.write().expect("nothing panics under this lock") =
            Some((number, client, handle.clone()));
        *self.connection.lock().await = Some(Connection {
            number,
            handle,
            updates,
        });
        self.connected.notify_one();
        number
    }

    /// Takes the connection back from callers.
    pub fn withdraw(&self) {
        *self.client.write().expect("nothing panics under this lock") = None;
    }

    /// The next connection, for its only pump.
    pub async fn next_connection(&self) -> Connection {
        loop {
            if let Some(connection) = self.connection.lock().await.take() {
                return connection;
            }
            self.connected.notified().await;
        }
    }

    /// Tells the runner that a connection is of no use any more. Said of one that is gone already it changes nothing.
    pub fn report_broken(&self, number: u64) {
        self.broken.fetch_max(number, Ordering::Relaxed);
        self.found_broken.notify_one();
    }

    /// Whether the server has forgotten who speaks over this connection.
    pub fn is_strange(&self, number: u64) -> bool {
        self.strange.load(Ordering::Relaxed) >= number
    }

    /// Telegram says that the account lives at another DC.
    pub fn note_elsewhere(&self, dc: i32) {
        if self.account().is_authorised() {
            self.elsewhere.store(dc, Ordering::Relaxed);
            self.found_elsewhere.notify_one();
        }
    }

    /// Waits for word that the account lives at another DC; for the session's only runner.
    pub async fn until_elsewhere(&self) -> i32 {
        loop {
            match self.elsewhere.swap(0, Ordering::Relaxed) {
                0 => self.found_elsewhere.notified().await,
                dc => return dc,
            }
        }
    }

    /// Waits until somebody found this connection to be of no use; for the session's only runner.
    pub async fn until_broken(&self, number: u64) {
        while self.broken.load(Ordering::Relaxed) < number {
            // Word that came before is kept for the one who waits, so nothing is missed between look and wait.
            self.found_broken.notified().await;
        }
    }

    /// Takes note that Telegram has told over this connection what was missed, though histories may still be read.
    pub fn told(&self, number: u64) {
        self.told.fetch_max(number, Ordering::Relaxed);
    }

    /// Whether that was so over the connection that callers use now.
    pub fn is_told(&self) -> bool {
        let told = self.told.load(Ordering::Relaxed);
        self.numbered_client().is_ok_and(|(number, _)| number == told)
    }

    /// Takes note that all that was missed has been fetched over this connection.
    pub fn caught_up(&self, number: u64) {
        self.caught_up.fetch_max(number, Ordering::Relaxed);
        self.observe(Observation::CaughtUp);
    }

    /// Takes note that Telegram does not tell for a while what was missed; its word for that.
    pub fn behind(&self, word: String) {
        self.caught_up.store(0, Ordering::Relaxed);
        self.observe(Observation::Behind(word));
    }

    /// Whether all that was missed has been fetched over the connection that callers use now.
    pub fn is_caught_up(&self) -> bool {
        let caught_up = self.caught_up.load(Ordering::Relaxed);
        self.numbered_client()
            .is_ok_and(|(number, _)| number == caught_up)
    }

    /// The client, while there is one.
    pub fn client(&self) -> Result<Client, TelegramError> {
        self.numbered_client().map(|(_, client)| client)
    }

    /// The client with the number of its connection, while there is one.
    pub fn numbered_client(&self) -> Result<(u64, Client), TelegramError> {
        self.published().map(|(number, client, _)| (number, client))
    }

    /// Has the account's home be another DC: the present connection ends, and the next one goes there. Answers the
    /// number of the one that ends.
    ///
    /// # Errors
    /// If there is no connection, or no such DC.
    pub async fn move_home(&self, dc: i32) -> Result<u64, TelegramError> {
        let (number, _, handle) = self.published()?;
        let away = |_| TelegramError::Away;
        if handle.session.dc_option(dc).map_err(away)?.is_none() {
            return Err(TelegramError::Conflict(
                "the account lives at a data centre that is not known here",
            ));
        }
        handle.session.set_home_dc_id(dc).await.map_err(away)?;
        self.report_broken(number);
        Ok(number)
    }

    /// The connection itself with its number, while there is one.
    pub fn wire(&self) -> Result<(u64, SenderPoolFatHandle), TelegramError> {
        self.published().map(|(number, _, handle)| (number, handle))
    }

    fn published(&self) -> Result<(u64, Client, SenderPoolFatHandle), TelegramError> {
        let published = self
            .client
            .read()
            .expect("nothing panics under this lock")
            .clone();
        published.ok_or_else(|| match self.state() {
            state if state.is_terminal() => TelegramError::Expired(state),
            state => TelegramError::NotConnected(state),
        })
    }

    /// Makes a call in the home DC.
    ///
    /// # Errors
    /// Telegram's refusal; no connection; one that broke or took too long meanwhile.
    pub async fn invoke<R: RemoteCall>(&self, request: &R) -> Result<R::Return, TelegramError> {
        let under_way = self.calls.read().await;
        let (number, wire) = self.wire()?;
        let answer = self.invoke_by((number, &wire), request).await;
        drop(under_way);
        let answer = match answer {
            // The call did nothing: a connection that introduces itself, or leads to where the account lives, is made,
            // and it is called again.
            Err(error) if wants_introduction(&error) || sent_on(&error).is_some() => {
                match self.connection_after(number).await {
                    Some(next) => {
                        let _under_way = self.calls.read().await;
                        self.invoke_by((next.0, &next.1), request).await
                    }
                    None => Err(error),
                }
            }
            answer => answer,
        };
        answer.map_err(|error| self.failed(error))
    }

    /// The connection that comes after this one, which was reported as broken; none if it does not come in the time of
    /// a call.
    async fn connection_after(&self, number: u64) -> Option<(u64, SenderPoolFatHandle)> {
        let mut status = self.status.subscribe();
        let next = async {
            loop {
                if let Ok((next, wire)) = self.wire()
                    && next > number
                {
                    return Some((next, wire));
                }
                status.changed().await.ok()?;
            }
        };
        tokio::time::timeout(self.call_timeout, next).await.ok().flatten()
    }

    /// The same over a connection that one has, and the failure as it came: to a login it means other things.
    pub async fn invoke_by<R: RemoteCall>(
        &self,
        (number, wire): (u64, &SenderPoolFatHandle),
        request: &R,
    ) -> Result<R::Return, InvocationError> {
        self.vitals.used();
        let started = std::time::Instant::now();
        let body = request.to_bytes();
        let sent = body.len();
        // Only bytes are waited for: the answers are kilobytes wide, and would make every future wide that makes a call.
        let call = async {
            let home = wire.session.home_dc_id()?;
            wire.thin.raw_invoke_in_dc(home, body).await
        };
        let answer = tokio::time::timeout(self.call_timeout, call).await;
        let took = started.elapsed();
        metrics::histogram!("trunkline_telegram_call_seconds").record(took.as_secs_f64());
        let received = answer
            .as_ref()
            .map_or(0, |body| body.as_ref().map_or(0, Vec::len));
        self.count::<R, _>(answer.as_ref().ok(), took, (sent, received));
        let read = |body: Vec<u8>| R::Return::from_bytes(&body).map_err(InvocationError::from);
        let answer = answer.map(|body| body.and_then(read)).unwrap_or_else(|_| {
            // Updates may still come over a connection on which nothing is answered any more.
            self.report_broken(number);
            Err(InvocationError::Dropped("the call took too long"))
        });
        if matches!(answer, Ok(_) | Err(InvocationError::Rpc(_))) {
            self.proved();
        }
        if let Some(dc) = answer.as_ref().err().and_then(sent_on) {
            self.note_elsewhere(dc);
        }
        if answer.as_ref().is_err_and(wants_introduction) {
            // It answers nothing any more. A new one introduces itself.
            self.strange.fetch_max(number, Ordering::Relaxed);
            self.report_broken(number);
        }
        answer
    }

    /// Whether a call could be made now, or as soon as calls may be made again.
    ///
    /// # Errors
    /// If the session has no connection.
    pub async fn ready(&self) -> Result<(), TelegramError> {
        let _not_shut = self.calls.read().await;
        self.client().map(drop)
    }

    /// Waits until no call is under way; new ones wait until what this gives is dropped.
    pub async fn shut(&self) -> tokio::sync::RwLockWriteGuard<'_, ()> {
        self.calls.write().await
    }

    /// The number of the connection, if there is one that gives no sign of life within this time.
    pub async fn is_stale(&self, patience: Duration) -> Option<u64> {
        let (number, wire) = self.wire().ok()?;
        let proven = |proof| Timestamp::now().since(proof) < patience;
        if self.last_proof().is_some_and(proven) {
            return None;
        }
        let alive = self.answers((number, &wire), patience).await;
        (!alive).then_some(number)
    }

    /// Whether the connection has given a sign of life since then: it is asked for one, and has so long. One that is not
    /// there owes none.
    pub async fn lives_since(&self, since: Timestamp, patience: Duration) -> bool {
        let proven = self.last_proof().is_some_and(|proof| proof >= since);
        match self.wire() {
            Ok((number, wire)) if !proven => self.answers((number, &wire), patience).await,
            _ => true,
        }
    }

    async fn answers(&self, wire: (u64, &SenderPoolFatHandle), patience: Duration) -> bool {
        let ping = grammers_client::tl::functions::Ping {
            ping_id: Timestamp::now().0,
        };
        let asked = Timestamp::now();
        // A refusal is an answer, too.
        let answered = tokio::time::timeout(patience, self.invoke_by(wire, &ping)).await;
        answered.is_ok() && self.last_proof().is_some_and(|proof| proof >= asked)
    }

    /// Counts a call to which this was the answer, or none.
    pub fn count<R, T>(
        &self,
        answer: Option<&Result<T, InvocationError>>,
        took: Duration,
        bytes: (usize, usize),
    ) {
        if let Some(Err(error)) = answer
            && is_crowded(error)
        {
            self.crowded.store(true, Ordering::Relaxed);
        }
        let outcome = Outcome::of(answer);
        if outcome != Outcome::Done {
            self.vitals.failed();
        }
        self.tally.note(std::any::type_name::<R>(), outcome, took, bytes);
    }

    /// Whether a call was told, since this was asked last, that the address makes too many connections.
    pub fn take_crowded(&self) -> bool {
        self.crowded.swap(false, Ordering::Relaxed)
    }

    /// Tells the session's actor what was observed. While the actor is being restarted nobody listens: its
    /// siblings restart with it and observe anew.
    pub fn observe(&self, observation: Observation) {
        if self.actor.try_cast(Msg::Observed(observation)).is_err() {
            tracing::debug!(session = %self.id, "an observation found no actor");
        }
    }

    /// The number of its latest connection in this process; 0 before the first.
    pub fn connection_number(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Takes note of what an error tells about the session.
    pub fn failed(&self, error: InvocationError) -> TelegramError {
        let mut word = String::new();
        if let InvocationError::Rpc(rpc) = &error {
            self.proved();
            word.clone_from(&rpc.name);
        }
        let error = TelegramError::from(error);
        match error.class() {
            Refusal::Ended(state) if self.status.borrow().authorised => {
                self.observe(Observation::Ended(state, word));
            }
            Refusal::Frozen => self.observe(Observation::Frozen(word)),
            _ => {}
        }
        error
    }
}

fn known(time: &AtomicI64) -> Option<Timestamp> {
    Some(Timestamp(time.load(Ordering::Relaxed))).filter(|time| time.0 != 0)
}
