//! The service behind the wire: takes calls, lets faults have their way, and changes the world under its one lock. What
//! that tells others goes out by `telling`.
//!
//! Not promised: that a push arrives. A fault may drop, double or swap it, and a client may be away.

mod limiting;
mod telling;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use grammers_tl_types::name_for_id;

use super::apart::Apart;
use super::arithmetic::calculate;
use super::faults::{Faults, Kind};
use super::gathering::Gathering;
use super::layers;
use super::limits::Limits;
use super::methods::{self, Arithmetic, Ctx};
use super::quiet::Looks;
use super::requests::{Request, Requests};
use super::rpc::{self, Call, ClientInfo, Hub, KeyId, KnownKey, Reply, Service};
use super::sending::{Sending, UnderWay};
use super::world::account::DC;
use super::world::{News, Peer, Refusal, State};
use crate::base::Timestamp;

/// The sandbox's Telegram. Cheap to clone.
#[derive(Clone)]
pub struct Telegram {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    hub: Hub,
    faults: Mutex<Faults>,
    requests: Mutex<Requests>,
    /// Limits on speed, if there are any.
    limits: Mutex<Option<Limits>>,
    /// What waits for a moment to be told together.
    gathering: Mutex<Gathering>,
    /// Which channels each login looks at.
    looks: Mutex<Looks>,
    /// When parts of albums are told.
    apart: Mutex<Apart>,
    /// A push that waits for the next one of its login.
    late: Mutex<HashMap<KeyId, Vec<u8>>>,
    /// What is being posted.
    sending: Sending,
    /// Where each data centre listens.
    centres: RwLock<BTreeMap<i32, SocketAddr>>,
    api: Option<(i32, String)>,
    /// Counts what may have changed the world.
    revision: AtomicU64,
}

/// What a call has to suffer.
#[derive(Default)]
struct Suffering {
    refusal: Option<Refusal>,
    wait: u64,
    wait_after: u64,
    lost: bool,
    removed: bool,
    drop_before: bool,
    drop_after: bool,
    silence: bool,
    too_long: bool,
    stale: bool,
}

impl Telegram {
    /// A service over a world. `api` are the application's id and hash it insists on.
    pub fn new(state: State, hub: Hub, api: Option<(i32, String)>) -> Self {
        hub.set_manners(manners(&state));
        let mut state = state;
        state.ask_again();
        state.wake_again();
        state.find_threads();
        let inner = Inner {
            state: Mutex::new(state),
            hub,
            faults: Mutex::default(),
            requests: Mutex::default(),
            limits: Mutex::default(),
            gathering: Mutex::default(),
            looks: Mutex::default(),
            apart: Mutex::default(),
            late: Mutex::default(),
            sending: Sending::default(),
            centres: RwLock::default(),
            api,
            revision: AtomicU64::new(1),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Where clients find the server, as `help.getConfig` tells it.
    pub fn listens_at(&self, address: SocketAddr) {
        self.centre_listens_at(DC, address);
    }

    /// Where clients find the server of a data centre.
    pub fn centre_listens_at(&self, dc: i32, address: SocketAddr) {
        let mut centres = self.inner.centres.write().unwrap_or_else(PoisonError::into_inner);
        centres.insert(dc, address);
        self.lock().centres = centres.keys().copied().collect();
    }

    /// Where clients find the server of each data centre.
    pub fn centres(&self) -> BTreeMap<i32, SocketAddr> {
        self.inner
            .centres
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The connections.
    pub fn hub(&self) -> &Hub {
        &self.inner.hub
    }

    /// The faults.
    pub fn faults(&self) -> MutexGuard<'_, Faults> {
        self.inner.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The log of calls.
    pub fn requests(&self) -> MutexGuard<'_, Requests> {
        self.inner.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the world, or changes it from outside: what that tells is told to everybody.
    pub fn world<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let result = act(&mut state);
        self.inner.hub.set_manners(manners(&state));
        self.tell(&mut state, None);
        result
    }

    /// Looks at the world without changing it.
    pub fn look<T>(&self, at: impl FnOnce(&State) -> T) -> T {
        at(&self.inner.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Moves on with everything that may have changed the world.
    pub fn revision(&self) -> u64 {
        self.inner.revision.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.touch();
        self.lock_to_read()
    }

    /// The world has changed.
    fn touch(&self) {
        self.inner.revision.fetch_add(1, Ordering::Relaxed);
    }

    /// The world at the present, by who will not change what is kept of it.
    fn lock_to_read(&self) -> MutexGuard<'_, State> {
        let mut state = self.inner.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Timestamp::now().0.saturating_add(state.settings.clock_offset);
        state.now = now.max(state.now);
        state.end_bans();
        state
    }

    /// Looks for a page; a moment later it is there. Without a runtime nobody waits for it.
    fn look_for(&self, url: String, delay: i64) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let telegram = self.clone();
        let delay = Duration::from_millis(u64::try_from(delay).unwrap_or_default());
        runtime.spawn(async move {
            tokio::time::sleep(delay).await;
            telegram.world(|state| state.page_comes(&url));
        });
    }

    /// Messages go by themselves at a time. Without a runtime nobody waits for it.
    fn wake_at(&self, at: i64, now: i64) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let telegram = self.clone();
        let rest = Duration::from_millis(u64::try_from(at - now).unwrap_or_default() + 1);
        runtime.spawn(async move {
            tokio::time::sleep(rest).await;
            telegram.world(|state| state.wake(at));
        });
    }

    /// What faults make of a call.
    fn suffer(&self, method: &str, user: Option<i64>, body: &[u8]) -> Suffering {
        let mut faults = self.faults();
        if faults.list().is_empty() {
            return Suffering::default();
        }
        let chat = match faults.ask_for_chat() {
            true => user
                .and_then(|user| methods::target(user, body))
                .map(Peer::bot_api),
            false => None,
        };
        let mut suffering = Suffering::default();
        for kind in faults.on_call(method, user, chat) {
            let refusal = match kind {
                Kind::FloodWait { seconds } => Some(Refusal::wait("FLOOD_WAIT", seconds)),
                Kind::SlowMode { seconds } => Some(Refusal::wait("SLOWMODE_WAIT", seconds)),
                Kind::PeerFlood => Some(Refusal::bad("PEER_FLOOD")),
                Kind::Error { code, name } => Some(Refusal::other(code, name)),
                _ => {
                    match kind {
                        Kind::DropBefore => suffering.drop_before = true,
                        Kind::DropAfter => suffering.drop_after = true,
                        Kind::Delay { milliseconds } => {
                            suffering.wait = suffering.wait.saturating_add(milliseconds)
                        }
                        Kind::LateAnswer { milliseconds } => {
                            suffering.wait_after = suffering.wait_after.saturating_add(milliseconds)
                        }
                        Kind::LostAnswer => suffering.lost = true,
                        Kind::RemovedAtOnce => suffering.removed = true,
                        Kind::Silence => suffering.silence = true,
                        Kind::TooLong => suffering.too_long = true,
                        Kind::FileReferenceExpired => suffering.stale = true,
                        _ => {}
                    }
                    None
                }
            };
            suffering.refusal = suffering.refusal.or(refusal);
        }
        suffering
    }

    /// What a call needs to have calculated, and who waits for the lock should not wait for.
    async fn arithmetic(&self, call: &Call) -> Arithmetic {
        let problem = match methods::is_about_passwords(&call.body) {
            true => methods::password::problem(&mut self.lock(), call.key.0, &call.body),
            false => return Arithmetic::None,
        };
        let solved = calculate(move || problem.solve()).await;
        solved.unwrap_or_default()
    }

    /// The work itself, under the lock.
    fn execute(
        &self,
        call: &Call,
        method: &'static str,
        suffering: &Suffering,
        arithmetic: Arithmetic,
    ) -> Result<Vec<u8>, Refusal> {
        let centres = self.centres();
        let constructor = constructor(&call.body);
        let mut state = match only_reads(method) && !suffering.stale {
            true => self.lock_to_read(),
            false => self.lock(),
        };
        let user = state.user_of(call.key.0).ok();
        if let Some(user) = state.guest(call.key.0) {
            if !for_guests(method) {
                return Err(Refusal::other(303, format!("USER_MIGRATE_{}", state.home(user))));
            }
        } else if let Some(user) = user {
            let home = state.home(user);
            if home != call.dc && !for_guests(method) && state.switches.user_migrate.decides() {
                return Err(Refusal::other(303, format!("USER_MIGRATE_{home}")));
            }
            let now = state.date();
            if let Some(known) = state.keys.known.get_mut(&call.key.0) {
                known.active = now;
            }
            let quiet = call.without_updates || method.starts_with("upload.") || method == "help.getConfig";
            if !quiet {
                self.watch_rivals(call);
                self.inner.hub.subscribe(call.key, call.session);
            }
        } else if !call.without_updates && state.shows_token(call.key.0) {
            // It may have come back with another session.
            self.inner.hub.subscribe(call.key, call.session);
        }
        let frozen = user.and_then(|user| {
            let target = methods::target(user, &call.body);
            state.frozen(user, method, target)
        });
        if let Some(refusal) = frozen {
            return Err(refusal);
        }
        let news_before = state.news.len();
        let mut ctx = Ctx {
            state: &mut state,
            hub: &self.inner.hub,
            key: call.key,
            session: call.session,
            dc: call.dc,
            centres: &centres,
            arithmetic,
            api: self.inner.api.as_ref(),
            too_long: suffering.too_long,
            stale: suffering.stale,
            removed: suffering.removed,
            news_before,
        };
        let mut answer = methods::dispatch(&mut ctx, constructor, &call.body);
        if let Some(Err(refusal)) = &mut answer {
            self.show_instead(&state, call, refusal);
        }
        if let (Some(user), Some(Ok(_))) = (user, &answer)
            && let Some(Peer::Channel(channel)) = methods::target(user, &call.body)
        {
            self.looks().note(call.key, channel, state.now);
        }
        // A part of a file is nobody's record.
        if let Some(Ok(bytes)) = &mut answer
            && !method.starts_with("upload.")
        {
            layers::write(call.layer, bytes, |peer| state.exists(peer));
        }
        self.tell(&mut state, user.map(|user| (user, call.key)));
        self.flush_before_answer(&mut state, call.key);
        drop(state);
        answer.unwrap_or_else(|| {
            tracing::info!(
                method,
                constructor = format!("{constructor:08x}"),
                "method not served"
            );
            Err(Refusal::bad("INPUT_METHOD_INVALID"))
        })
    }

    /// Two main connections of a key in turns: if both stay open, the key ends.
    fn watch_rivals(&self, call: &Call) {
        let Some(rivals) = self.inner.hub.rivals(call.key, call.connection) else {
            return;
        };
        let (telegram, key) = (self.clone(), call.key);
        tokio::spawn(async move {
            if rivals.stay().await {
                tracing::info!(%key, "two main connections use one key");
                telegram.world(|state| {
                    if state.switches.duplicated_key_dies.decides() {
                        state.end_key(key.0, "AUTH_KEY_DUPLICATED");
                        telegram.inner.hub.unsubscribe(key);
                    }
                });
            }
        });
    }

    /// A call begins: a message that is being posted already is not posted by another one.
    fn begin(&self, user: Option<i64>, body: &[u8]) -> Result<Option<UnderWay>, Refusal> {
        let names = methods::random_ids(body);
        let Some((user, peer)) = user.and_then(|user| Some((user, methods::target(user, body)?))) else {
            return Ok(None);
        };
        match self.inner.sending.begin(user, peer, &names) {
            Err(refusal) if self.look(|state| state.switches.duplicate_while_sending.decides()) => {
                Err(refusal)
            }
            begun => Ok(begun.ok()),
        }
    }

    async fn serve(&self, mut call: Call) -> (Reply, &'static str, Option<i64>, String) {
        layers::read(call.layer, &mut call.body);
        let method = name_for_id(constructor(&call.body));
        let (user, comer) = self.look(|state| {
            let user = state.user_of(call.key.0).ok();
            (
                user,
                user.or_else(|| methods::auth::comer(state, call.key.0, &call.body)),
            )
        });
        // A call that a fault holds up is under way all the while.
        let _under_way = match self.begin(user, &call.body) {
            Ok(under_way) => under_way,
            Err(refusal) => {
                let outcome = refusal.name.clone().into_owned();
                return (Reply::error(refusal.code, refusal.name), method, user, outcome);
            }
        };
        let suffering = self.suffer(method, comer, &call.body);
        let end = |reply, outcome: &str| (reply, method, user, outcome.to_owned());
        if suffering.wait > 0 {
            tokio::time::sleep(Duration::from_millis(suffering.wait)).await;
        }
        if suffering.drop_before {
            return end(Reply::DropConnection { answer: None }, "dropped before");
        }
        if suffering.silence {
            return end(Reply::Silence, "silence");
        }
        let refusal = suffering.refusal.clone();
        let refusal = refusal.or_else(|| self.limited(method, comer, &call.body));
        let result = match refusal {
            Some(refusal) => Err(refusal),
            None => {
                let arithmetic = self.arithmetic(&call).await;
                self.execute(&call, method, &suffering, arithmetic)
            }
        };
        if suffering.wait_after > 0 {
            tokio::time::sleep(Duration::from_millis(suffering.wait_after)).await;
        }
        match result {
            Ok(_) if suffering.lost => end(Reply::Silence, "answer lost"),
            Ok(answer) if suffering.drop_after => {
                end(Reply::DropConnection { answer: Some(answer) }, "dropped after")
            }
            Ok(answer) => end(Reply::Result(answer), "ok"),
            Err(refusal) => {
                let outcome = refusal.name.clone().into_owned();
                end(Reply::error(refusal.code, refusal.name), &outcome)
            }
        }
    }
}

/// What the wire is to know of the world.
fn manners(state: &State) -> rpc::Manners {
    rpc::Manners {
        sequence: state.switches.sequence_numbers.clone(),
        parity: state.switches.sequence_parity.clone(),
        inner_ids: state.switches.inner_ids.clone(),
        side_by_side: state.switches.calls_side_by_side.clone(),
        laggards_told: state.switches.quiet_channels.clone(),
        long_padding: state.switches.long_padding.clone(),
        salt_period: u64::try_from(state.settings.salt_life / 1000)
            .unwrap_or_default()
            .max(1),
        clock_offset: state.settings.clock_offset / 1000,
    }
}

/// The chat that a piece of news is about, as its receiver names it.
fn chat_of(state: &State, account: i64, news: &News) -> Option<Peer> {
    use super::world::account::What;
    match news {
        News::Channel { channel, .. } => Some(Peer::Channel(*channel)),
        News::Account { entry, .. } => match &entry.what {
            What::New { id, .. } | What::Edited { id } => state
                .held(account, *id)
                .map(|content| content.place.seen_by(account)),
            What::ReadInbox { peer, .. } | What::ReadOutbox { peer, .. } | What::Pinned { peer, .. } => {
                Some(*peer)
            }
            What::Deleted { .. }
            | What::Opened { .. }
            | What::Moved { .. }
            | What::Page { .. }
            | What::Noise { .. } => None,
        },
        News::Passing { .. } | News::TokenAccepted { .. } => None,
    }
}

/// Whether a method is there for who is in another data centre only for the sake of files.
fn for_guests(method: &str) -> bool {
    ["upload.", "help.", "auth."]
        .iter()
        .any(|it| method.starts_with(it))
}

/// Whether a method changes nothing that is worth to be written down.
fn only_reads(method: &str) -> bool {
    // The one logs in, the other counts who looks.
    if matches!(method, "auth.checkPassword" | "messages.getMessagesViews") {
        return false;
    }
    let verb = method.rsplit('.').next().unwrap_or(method);
    ["get", "check", "resolve", "search"]
        .iter()
        .any(|it| verb.starts_with(it))
}

fn constructor(body: &[u8]) -> u32 {
    body.first_chunk::<4>()
        .map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

impl Service for Telegram {
    async fn call(&self, call: Call) -> Reply {
        let (key, session) = (call.key, call.session);
        let (reply, method, account, outcome) = self.serve(call).await;
        let request = Request {
            at: Timestamp::now().0,
            key: key.to_string(),
            session: format!("{:016x}", session.0),
            account,
            method,
            outcome,
        };
        self.requests().add(request);
        reply
    }

    fn greets(&self, key: KeyId) -> Option<rpc::Refusal> {
        if self.faults().list().is_empty() {
            return None;
        }
        let account = self.look(|state| state.user_of(key.0).ok());
        self.faults().on_connection(account)
    }

    fn key_created(&self, key: KeyId, dc: i32, auth_key: &[u8; 256]) {
        self.lock().keys.keep(key.0, dc, auth_key);
    }

    fn key_destroyed(&self, key: KeyId) {
        let mut state = self.lock();
        state.log_out(key.0);
        state.keys.forget(key.0);
    }

    fn client_known(&self, key: KeyId, client: ClientInfo) {
        let mut state = self.lock();
        let known = state.keys.known.entry(key.0).or_default();
        known.layer = Some(client.layer);
        known.api_id = client.api_id;
        known.device = client.device_model;
        known.system = client.system_version;
        known.app_version = client.app_version;
    }

    fn known_keys(&self) -> Vec<KnownKey> {
        let known = |(id, known): (&i64, &super::world::keys::Key)| {
            let auth_key = <[u8; 256]>::try_from(known.auth_key.as_slice()).ok()?;
            Some(KnownKey {
                id: KeyId(*id),
                dc: known.dc(),
                auth_key,
                layer: known.layer,
            })
        };
        self.look(|state| state.keys.known.iter().filter_map(known).collect())
    }
}
