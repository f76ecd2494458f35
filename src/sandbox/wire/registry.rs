//! What all connections share: the keys, the sessions under them, and who is connected.
//!
//! Locks are taken from a permanent key down to temporary ones, from a key down to its sessions, never upward, and
//! never across an await.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::cipher::{AuthKey, key_id};
use super::clock::Clock;
use super::envelope::Room;
use super::salts::{SaltPeriod, Salts};
use super::session::{ConnectionId, Session};
use crate::sandbox::rpc::{KeyId, Manners, MtSession};

/// How many sessions a key may have; beyond, the ones without a connection are forgotten, and there is no further one.
const MAX_SESSIONS: usize = 64;
/// For how long a session without a connection is remembered; its client then hears that it is a new one.
const LINGER: Duration = Duration::from_secs(60);
/// How many calls of a session may wait for their turn.
const MAX_WAITING_CALLS: usize = 4096;
/// And how long they may be together.
const MAX_WAITING_BYTES: usize = 64 << 20;

/// All that is known.
#[derive(Default)]
pub struct Registry {
    keys: Mutex<HashMap<KeyId, Arc<Key>>>,
    lines: Mutex<HashMap<ConnectionId, Arc<Line>>>,
    last_connection: AtomicU64,
    paused: AtomicBool,
    turned_away: AtomicU64,
    cut_off: AtomicU64,
    doubled_keys: AtomicU64,
    manners: Mutex<Arc<Manners>>,
    salt_period: SaltPeriod,
    clock: Clock,
}

/// One authorisation key.
pub struct Key {
    /// Its id.
    pub id: KeyId,
    /// Its bytes.
    pub auth_key: Box<AuthKey>,
    /// The data centre that it belongs to.
    pub dc: i32,
    /// Its salts.
    pub salts: Salts,
    /// When it ends (unix seconds), if it is a temporary one.
    pub expires: Option<u64>,
    /// Whether there is no network for it: see [`Registry::set_away`].
    away: AtomicBool,
    state: Mutex<KeyState>,
}

#[derive(Default)]
struct KeyState {
    layer: Option<i32>,
    sessions: HashMap<MtSession, Arc<Slot>>,
    subscribed: Option<MtSession>,
    /// Of a temporary key: for which one it speaks.
    bound: Option<KeyId>,
    /// Of a permanent key: those that speak for it.
    temporary: Vec<Weak<Key>>,
    /// Of a permanent key: the open connections that have been its main one.
    mains: Vec<Main>,
    /// How many calls came over them.
    main_calls: u64,
}

/// A connection that is a key's main one, or was.
struct Main {
    line: Arc<Line>,
    /// Its first and its last call, by their place among all of the key's.
    first: u64,
    last: u64,
    /// The connections with which it was found to share the key.
    found: Vec<ConnectionId>,
}

/// A session and what is needed to work for it.
pub struct Slot {
    /// Under which key.
    pub key: Arc<Key>,
    /// Which one.
    pub id: MtSession,
    jobs: mpsc::Sender<Job>,
    /// How long the waiting calls are together.
    waiting: AtomicUsize,
    /// Set when the session is forgotten.
    pub gone: CancellationToken,
    answered: watch::Sender<()>,
    state: Mutex<SlotState>,
}

struct SlotState {
    session: Session,
    lines: Vec<Arc<Line>>,
    /// Since when it has had no connection, if it has none.
    alone_since: Instant,
}

/// One call as it came in, wrappers and all.
pub struct Job {
    /// Its message id.
    pub id: i64,
    /// Over which connection it came.
    pub line: Arc<Line>,
    /// The call.
    pub body: Bytes,
    /// What it may still unpack to.
    pub room: Arc<Room>,
}

/// One connection as the others see it.
pub struct Line {
    /// Its number.
    pub id: ConnectionId,
    /// There may be something to send on it.
    pub wake: Notify,
    /// Set when it is to end at once.
    pub cut: CancellationToken,
    /// Set when it has ended.
    pub closed: CancellationToken,
    /// What its messages' ids and salts go by.
    pub clock: Clock,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Registry {
    /// Makes a key known.
    pub fn add_key(
        &self,
        auth_key: Box<AuthKey>,
        dc: i32,
        salts: Salts,
        expires: Option<u64>,
        layer: Option<i32>,
    ) -> KeyId {
        let id = key_id(&auth_key);
        let state = Mutex::new(KeyState {
            layer,
            ..KeyState::default()
        });
        lock(&self.keys).insert(
            id,
            Arc::new(Key {
                id,
                auth_key,
                dc,
                salts,
                expires,
                away: AtomicBool::new(false),
                state,
            }),
        );
        id
    }

    /// The key of that id in a data centre, unless its time is over.
    pub fn key(&self, id: KeyId, dc: i32, now: u64) -> Option<Arc<Key>> {
        let mut keys = lock(&self.keys);
        if keys.get(&id)?.expires.is_some_and(|end| end <= now)
            && let Some(key) = keys.remove(&id)
        {
            key.end();
        }
        keys.get(&id).filter(|key| key.dc == dc).cloned()
    }

    /// Forgets a key, and those that speak for it. The sessions of the first are left to the caller.
    pub fn remove_key(&self, id: KeyId) -> Option<Arc<Key>> {
        let key = lock(&self.keys).remove(&id)?;
        for temporary in key.with_temporary() {
            if lock(&self.keys).remove(&temporary.id).is_some() {
                temporary.cut();
                temporary.end();
            }
        }
        Some(key)
    }

    /// Forgets everything and cuts every connection: the server has ended.
    pub fn end(&self) {
        self.set_paused(true);
        let keys: Vec<Arc<Key>> = lock(&self.keys).drain().map(|(_, key)| key).collect();
        keys.iter().for_each(|key| key.end());
    }

    /// A key by its id, whatever its time.
    pub fn peek(&self, id: KeyId) -> Option<Arc<Key>> {
        lock(&self.keys).get(&id).cloned()
    }

    /// A new connection, unless there is an outage or there are too many.
    pub fn open_line(&self, most: usize) -> Option<Arc<Line>> {
        let mut lines = lock(&self.lines);
        if self.paused.load(Ordering::SeqCst) || lines.len() >= most {
            self.turned_away.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let id = self.last_connection.fetch_add(1, Ordering::Relaxed) + 1;
        let line = Arc::new(Line {
            id,
            wake: Notify::new(),
            cut: CancellationToken::new(),
            closed: CancellationToken::new(),
            clock: self.clock.clone(),
        });
        lines.insert(id, line.clone());
        Some(line)
    }

    /// How many connections there are, were refused, and were cut off since they took too long or too much.
    pub fn connections(&self) -> (usize, u64, u64) {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (
            lock(&self.lines).len(),
            count(&self.turned_away),
            count(&self.cut_off),
        )
    }

    /// A connection was cut off since it took too long or too much.
    pub fn note_cut_off(&self) {
        self.cut_off.fetch_add(1, Ordering::Relaxed);
    }

    /// How strict the wire is.
    pub fn manners(&self) -> Arc<Manners> {
        lock(&self.manners).clone()
    }

    /// How strict the wire is from now on.
    pub fn set_manners(&self, manners: Manners) {
        self.salt_period.set(manners.salt_period);
        self.clock.set(manners.clock_offset);
        *lock(&self.manners) = Arc::new(manners);
    }

    /// For how long a salt is the current one, as all keys know it.
    pub fn salt_period(&self) -> SaltPeriod {
        self.salt_period.clone()
    }

    /// How often two main connections used one key at a time.
    pub fn doubled_keys(&self) -> u64 {
        self.doubled_keys.load(Ordering::Relaxed)
    }

    /// Two main connections use one key.
    pub fn note_doubled_key(&self) {
        self.doubled_keys.fetch_add(1, Ordering::Relaxed);
    }

    /// An open connection by its number.
    pub fn line(&self, id: ConnectionId) -> Option<Arc<Line>> {
        lock(&self.lines).get(&id).cloned()
    }

    /// The connection has ended.
    pub fn close_line(&self, id: ConnectionId) {
        if let Some(line) = lock(&self.lines).remove(&id) {
            line.closed.cancel();
        }
    }

    /// Begins an outage or ends it.
    pub fn set_paused(&self, paused: bool) {
        let lines = lock(&self.lines);
        self.paused.store(paused, Ordering::SeqCst);
        if paused {
            lines.values().for_each(|line| line.cut.cancel());
        }
    }

    /// Begins an outage of one key, and of those that speak for it, or ends it: its connections are cut, and a new one
    /// is closed at its first packet under the key.
    pub fn set_away(&self, id: KeyId, away: bool) {
        if let Some(key) = self.peek(id) {
            key.away.store(away, Ordering::SeqCst);
            if away {
                key.cut();
            }
        }
    }

    /// Ends the outages of all keys.
    pub fn none_away(&self) {
        (lock(&self.keys).values()).for_each(|key| key.away.store(false, Ordering::SeqCst));
    }

    /// Whether there is no network for a key, or for the one that it speaks for.
    pub fn is_away(&self, key: &Key) -> bool {
        let speaks_for = key.speaks_for().filter(|id| *id != key.id);
        let permanent = speaks_for.and_then(|id| self.peek(id));
        key.away.load(Ordering::SeqCst) || permanent.is_some_and(|key| key.away.load(Ordering::SeqCst))
    }
}

impl Key {
    /// The layer of the client's last introduction.
    pub fn layer(&self) -> Option<i32> {
        lock(&self.state).layer
    }

    /// A client introduced itself.
    pub fn set_layer(&self, layer: i32) {
        lock(&self.state).layer = Some(layer);
    }

    /// The session of that id, if there is room for it. A new one comes with the receiving end of its calls: its
    /// worker is to be started.
    pub fn session(self: &Arc<Self>, id: MtSession) -> Option<(Arc<Slot>, Option<mpsc::Receiver<Job>>)> {
        let mut state = lock(&self.state);
        if let Some(slot) = state.sessions.get(&id) {
            if !slot.is_stale() {
                return Some((slot.clone(), None));
            }
            slot.gone.cancel();
            state.sessions.remove(&id);
        }
        if state.sessions.len() >= MAX_SESSIONS {
            state.sessions.retain(|_, slot| {
                let keep = !lock(&slot.state).session.is_offline();
                if !keep {
                    slot.gone.cancel();
                }
                keep
            });
            if state.sessions.len() >= MAX_SESSIONS {
                return None;
            }
        }
        let (jobs, receiver) = mpsc::channel(MAX_WAITING_CALLS);
        let slot = Arc::new(Slot {
            key: self.clone(),
            id,
            jobs,
            waiting: AtomicUsize::new(0),
            gone: CancellationToken::new(),
            answered: watch::Sender::new(()),
            state: Mutex::new(SlotState {
                session: Session::default(),
                lines: Vec::new(),
                alone_since: Instant::now(),
            }),
        });
        state.sessions.insert(id, slot.clone());
        Some((slot, Some(receiver)))
    }

    /// Forgets a session; false if there was none.
    pub fn remove_session(&self, id: MtSession) -> bool {
        let mut state = lock(&self.state);
        if state.subscribed == Some(id) {
            state.subscribed = None;
        }
        let removed = state.sessions.remove(&id);
        drop(state);
        removed.is_some_and(|slot| {
            slot.gone.cancel();
            true
        })
    }

    /// The key by whose id the world knows who calls: itself, or the one to which a temporary key is bound, if it is.
    pub fn speaks_for(&self) -> Option<KeyId> {
        match self.expires {
            None => Some(self.id),
            Some(_) => lock(&self.state).bound,
        }
    }

    /// Lets a temporary key speak for this one; false if it speaks for another one already. Its client has to
    /// introduce itself anew.
    pub fn bind(&self, temporary: &Arc<Key>) -> bool {
        let mut state = lock(&self.state);
        let mut other = lock(&temporary.state);
        if other.bound.is_some_and(|bound| bound != self.id) {
            return false;
        }
        other.bound = Some(self.id);
        other.layer = None;
        state.temporary.retain(|it| it.strong_count() > 0);
        if !state
            .temporary
            .iter()
            .any(|it| it.as_ptr() == Arc::as_ptr(temporary))
        {
            state.temporary.push(Arc::downgrade(temporary));
        }
        true
    }

    /// Itself and the keys that speak for it.
    fn with_temporary(self: &Arc<Self>) -> Vec<Arc<Key>> {
        let mut keys: Vec<Arc<Key>> = lock(&self.state)
            .temporary
            .iter()
            .filter_map(Weak::upgrade)
            .collect();
        keys.push(self.clone());
        keys
    }

    /// Who hears the key's updates from now on.
    pub fn subscribe(&self, session: Option<MtSession>) {
        lock(&self.state).subscribed = session;
    }

    /// The session that hears the key's updates.
    pub fn subscribed(&self) -> Option<Arc<Slot>> {
        let state = lock(&self.state);
        let wanted = state.subscribed?;
        let own = state.sessions.get(&wanted).cloned();
        own.or_else(|| {
            let temporary = state.temporary.iter().filter_map(Weak::upgrade);
            temporary
                .filter_map(|key| lock(&key.state).sessions.get(&wanted).cloned())
                .next()
        })
    }

    /// A call came over this main connection: the other ones that were called over after its first call, and were not
    /// found before. Who goes over to a new connection calls over the old one no more.
    pub fn rivals(&self, line: &Arc<Line>) -> Vec<Arc<Line>> {
        let mut state = lock(&self.state);
        state.main_calls += 1;
        let now = state.main_calls;
        state.mains.retain(|main| !main.line.closed.is_cancelled());
        let known = state.mains.iter_mut().find(|main| main.line.id == line.id);
        let Some(own) = known else {
            state.mains.push(Main {
                line: line.clone(),
                first: now,
                last: now,
                found: Vec::new(),
            });
            return Vec::new();
        };
        own.last = now;
        let first = own.first;
        let others = state.mains.iter_mut();
        let others =
            others.filter(|it| it.line.id != line.id && it.last > first && !it.found.contains(&line.id));
        let rivals: Vec<Arc<Line>> = others
            .map(|other| {
                other.found.push(line.id);
                other.line.clone()
            })
            .collect();
        if let Some(own) = state.mains.iter_mut().find(|main| main.line.id == line.id) {
            own.found.extend(rivals.iter().map(|rival| rival.id));
        }
        rivals
    }

    /// Cuts every connection that speaks under the key, or for it.
    pub fn cut(self: &Arc<Self>) {
        self.slots().iter().for_each(|slot| slot.cut());
    }

    /// The sessions under the key, and under those that speak for it.
    pub fn slots(self: &Arc<Self>) -> Vec<Arc<Slot>> {
        let keys = self.with_temporary();
        let of = |key: &Arc<Self>| lock(&key.state).sessions.values().cloned().collect::<Vec<_>>();
        keys.iter().flat_map(of).collect()
    }

    /// Forgets all its sessions.
    pub fn end(&self) {
        let slots: Vec<Arc<Slot>> = lock(&self.state).sessions.drain().map(|(_, slot)| slot).collect();
        slots.iter().for_each(|slot| slot.gone.cancel());
    }
}

impl Slot {
    /// Lets a call wait for its turn; false if too many do.
    pub fn wait(&self, job: Job) -> bool {
        let length = job.body.len();
        let waiting = self.waiting.fetch_add(length, Ordering::Relaxed) + length;
        waiting <= MAX_WAITING_BYTES && self.jobs.try_send(job).is_ok()
    }

    /// A call's turn has come.
    pub fn took(&self, job: &Job) {
        self.waiting.fetch_sub(job.body.len(), Ordering::Relaxed);
    }

    /// Works on the session, then wakes its connections: they may have something to send.
    pub fn with<T>(&self, work: impl FnOnce(&mut Session) -> T) -> T {
        let mut state = lock(&self.state);
        let out = work(&mut state.session);
        state.lines.iter().for_each(|line| line.wake.notify_one());
        out
    }

    /// Works on the session without waking anybody: for who takes from it or only looks.
    pub fn quietly<T>(&self, work: impl FnOnce(&mut Session) -> T) -> T {
        work(&mut lock(&self.state).session)
    }

    /// The connection speaks for this session; true if it did not before.
    pub fn attach(&self, line: &Arc<Line>) -> bool {
        let mut state = lock(&self.state);
        state.session.attach(line.id);
        let new = state.lines.iter().all(|it| it.id != line.id);
        if new {
            state.lines.push(line.clone());
        }
        new
    }

    /// The connection speaks for it no more.
    pub fn detach(&self, line: &Line) {
        let mut state = lock(&self.state);
        state.session.detach(line.id);
        state.lines.retain(|it| it.id != line.id);
        state.alone_since = Instant::now();
        state.lines.iter().for_each(|line| line.wake.notify_one());
    }

    /// Whether it has been without a connection for so long that it counts as forgotten.
    pub fn is_stale(&self) -> bool {
        let state = lock(&self.state);
        state.lines.is_empty() && state.alone_since.elapsed() > LINGER
    }

    /// Cuts its connections.
    pub fn cut(&self) {
        lock(&self.state).lines.iter().for_each(|line| line.cut.cancel());
    }

    /// The client does not keep up: its connections are cut, and the session is forgotten.
    pub fn give_up(&self) {
        tracing::debug!(key = %self.key.id, session = self.id.0, "session does not keep up, forgotten");
        self.cut();
        self.key.remove_session(self.id);
    }

    /// A call has been answered: whoever waits for it looks again.
    pub fn tell_answered(&self) {
        self.answered.send_replace(());
    }

    /// For waiting until a call is answered.
    pub fn answers(&self) -> watch::Receiver<()> {
        self.answered.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_share_a_key_if_calls_come_over_them_in_turns() {
        let registry = Registry::default();
        let auth_key: Box<AuthKey> = Box::new([7; 256]);
        let salts = Salts::beginning(&auth_key, registry.salt_period(), 1, 0);
        let id = registry.add_key(auth_key, 2, salts, None, None);
        let key = registry.peek(id).expect("known");
        let line = || registry.open_line(10).expect("room");
        let (old, new, third) = (line(), line(), line());
        let rivals = |line: &Arc<Line>| key.rivals(line).iter().map(|it| it.id).collect::<Vec<_>>();
        assert!(rivals(&old).is_empty());
        assert!(rivals(&new).is_empty(), "the client goes over to it");
        assert!(rivals(&new).is_empty());
        assert_eq!(rivals(&old), [new.id], "and comes back");
        assert!(rivals(&new).is_empty(), "that is known");
        assert!(rivals(&third).is_empty());
        registry.close_line(old.id);
        assert_eq!(rivals(&new), [third.id]);
    }
}
