//! One session's worker: takes its calls to the world and its answers back.
//!
//! What a call says about its client counts from when it came; then it runs beside the others, and their answers leave
//! in any order. Who wants an order says so (`invokeAfterMsg`). Where the switch `calls_side_by_side` is off, a call
//! waits for the one before it, but not long. A slow call is acknowledged in either case. What reads the connection
//! never waits here, so pings are answered meanwhile.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use grammers_tl_types as tl;
use tl::{Deserializable, Identifiable, Serializable, functions as f};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::binding::{Statement, proves};
use super::envelope;
use super::nesting::nests_deeply;
use super::registry::{Job, Registry, Slot};
use super::session::CallState;
use super::wrappers::{Unwrapped, unwrap};
use crate::sandbox::layers;
use crate::sandbox::rpc::{Call, ClientInfo, KeyId, KnownKey, Refusal, Reply, Service};

/// After this long a call is acknowledged, and holds back no other one.
const SLOW: Duration = Duration::from_millis(50);
/// So many calls of a session run at a time.
const AT_ONCE: usize = 256;
/// A call's way to where it is worked on, and its answer's way back, take less than this (milliseconds).
const WAY: u64 = 3;
/// How long a call waits for those that it names as its predecessors.
const PREDECESSORS: Duration = Duration::from_millis(500);
/// How far the end that a client counted may lie behind ours (seconds).
const CLOCKS: i64 = 300;

/// The world, whatever its type.
pub type World = Arc<dyn AnyService>;

type Pending<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// [`Service`] as an object.
pub trait AnyService: Send + Sync + 'static {
    /// See [`Service::call`].
    fn call(self: Arc<Self>, call: Call) -> Pending<Reply>;
    /// See [`Service::greets`].
    fn greets(&self, key: KeyId) -> Option<Refusal>;
    /// See [`Service::key_created`].
    fn key_created(&self, key: KeyId, dc: i32, auth_key: &[u8; 256]);
    /// See [`Service::key_destroyed`].
    fn key_destroyed(&self, key: KeyId);
    /// See [`Service::client_known`].
    fn client_known(&self, key: KeyId, client: ClientInfo);
    /// See [`Service::known_keys`].
    fn known_keys(&self) -> Vec<KnownKey>;
}

impl<S: Service> AnyService for S {
    fn call(self: Arc<Self>, call: Call) -> Pending<Reply> {
        Box::pin(async move { Service::call(&*self, call).await })
    }

    fn greets(&self, key: KeyId) -> Option<Refusal> {
        Service::greets(self, key)
    }

    fn key_created(&self, key: KeyId, dc: i32, auth_key: &[u8; 256]) {
        Service::key_created(self, key, dc, auth_key);
    }

    fn key_destroyed(&self, key: KeyId) {
        Service::key_destroyed(self, key);
    }

    fn client_known(&self, key: KeyId, client: ClientInfo) {
        Service::client_known(self, key, client);
    }

    fn known_keys(&self) -> Vec<KnownKey> {
        Service::known_keys(self)
    }
}

/// A call as it came in, after what it says about its client was taken note of.
enum Taken {
    /// It is answered.
    Answered(Reply),
    /// The world is to be asked, once these calls have succeeded.
    Asks { call: Call, after: Vec<i64> },
}

/// Works until the session is forgotten.
pub async fn work(slot: Arc<Slot>, world: World, registry: Arc<Registry>, mut jobs: mpsc::Receiver<Job>) {
    let mut running = FuturesUnordered::new();
    // The call that the next one waits for, and until when.
    let mut ahead: Option<(i64, Instant)> = None;
    let mut count = 0;
    loop {
        tokio::select! {
            biased;
            () = slot.gone.cancelled() => return,
            Some(done) = running.next(), if !running.is_empty() => {
                ahead = ahead.filter(|(id, _)| *id != done);
            }
            job = jobs.recv(), if ahead.is_none() && running.len() < AT_ONCE => {
                let Some(job) = job else { return };
                slot.took(&job);
                count += 1;
                let ways = match registry.manners().side_by_side.decides() {
                    true => ways(count),
                    false => {
                        ahead = Some((job.id, Instant::now() + SLOW));
                        (Duration::ZERO, Duration::ZERO)
                    }
                };
                let taken = std::panic::catch_unwind(AssertUnwindSafe(|| take(&slot, &*world, &registry, &job)));
                let taken = taken.unwrap_or_else(|_| Taken::Answered(broken(&job)));
                running.push(run(slot.clone(), world.clone(), job, taken, ways));
            }
            () = passed(ahead) => ahead = None,
        }
    }
}

async fn passed(ahead: Option<(i64, Instant)>) {
    match ahead {
        Some((_, until)) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// How long the ways of a session's call of that number are; they differ, so that calls overtake each other, and a
/// session that calls the same has the same again.
fn ways(count: u64) -> (Duration, Duration) {
    let mut mixed = count.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^= mixed >> 31;
    (
        Duration::from_millis(mixed % WAY),
        Duration::from_millis((mixed >> 32) % WAY),
    )
}

async fn pass(way: Duration) {
    if !way.is_zero() {
        sleep(way).await;
    }
}

fn acknowledge(slot: &Slot, id: i64) {
    let ack = tl::enums::MsgsAck::Ack(tl::types::MsgsAck { msg_ids: vec![id] });
    slot.with(|session| session.note(ack.to_bytes()));
}

fn broken(job: &Job) -> Reply {
    tracing::error!(constructor = ?envelope::constructor(&job.body), "a call panicked");
    Reply::error(500, "RPC_CALL_FAIL")
}

/// Executes one call and delivers what comes of it; gives its id back.
async fn run(slot: Arc<Slot>, world: World, job: Job, taken: Taken, ways: (Duration, Duration)) -> i64 {
    let execution = async {
        let reply = match taken {
            Taken::Answered(reply) => reply,
            Taken::Asks { call, after } => match predecessors(&slot, &after).await {
                Ok(()) => {
                    pass(ways.0).await;
                    world.call(call).await
                }
                Err(reply) => reply,
            },
        };
        pass(ways.1).await;
        reply
    };
    let mut execution = Box::pin(AssertUnwindSafe(execution).catch_unwind());
    let reply = match timeout(SLOW, &mut execution).await {
        Ok(reply) => reply,
        Err(_) => {
            acknowledge(&slot, job.id);
            execution.await
        }
    };
    deliver(&slot, &job, reply.unwrap_or_else(|_| broken(&job)));
    job.id
}

/// Takes note of what a call says about its client, in the order in which calls came.
fn take(slot: &Slot, world: &dyn AnyService, registry: &Registry, job: &Job) -> Taken {
    let refused = |code, name| Taken::Answered(Reply::error(code, name));
    let Ok(call) = unwrap(job.body.clone(), &job.room) else {
        return refused(400, "INPUT_FETCH_ERROR");
    };
    if call.layer.is_some_and(|layer| !layers::serves(layer)) {
        return refused(400, "CONNECTION_LAYER_INVALID");
    }
    let Unwrapped {
        client,
        without_updates,
        after,
        body,
        ..
    } = call;
    if nests_deeply(&body) {
        return refused(400, "INPUT_FETCH_ERROR");
    }
    if envelope::constructor(&body) == Some(f::auth::BindTempAuthKey::CONSTRUCTOR_ID) {
        return Taken::Answered(bind(slot, registry, job.id, &body));
    }
    let Some(key) = slot.key.speaks_for() else {
        return refused(401, "AUTH_KEY_PERM_EMPTY");
    };
    if let Some(client) = client {
        slot.key.set_layer(client.layer);
        world.client_known(key, client);
    }
    let Some(layer) = slot.key.layer() else {
        return refused(400, "CONNECTION_NOT_INITED");
    };
    let call = Call {
        dc: slot.key.dc,
        key,
        session: slot.id,
        connection: job.line.id,
        layer,
        without_updates,
        body: body.into(),
    };
    Taken::Asks { call, after }
}

/// `auth.bindTempAuthKey`: from now on the session's key speaks for the permanent one that it names.
fn bind(slot: &Slot, registry: &Registry, id: i64, body: &[u8]) -> Reply {
    let Ok(said) = f::auth::BindTempAuthKey::from_bytes(body.get(4..).unwrap_or_default()) else {
        return Reply::error(400, "INPUT_REQUEST_INVALID");
    };
    let Some(expires) = slot.key.expires else {
        return Reply::error(400, "TEMP_AUTH_KEY_EMPTY");
    };
    if i64::try_from(expires).is_ok_and(|end| i64::from(said.expires_at) > end + CLOCKS) {
        return Reply::error(400, "EXPIRES_AT_INVALID");
    }
    let expected = Statement {
        nonce: said.nonce,
        temporary: slot.key.id.0,
        permanent: said.perm_auth_key_id,
        session: slot.id.0,
        expires_at: said.expires_at,
        message: id,
    };
    let permanent = registry.peek(KeyId(said.perm_auth_key_id));
    let permanent = permanent
        .filter(|key| key.expires.is_none() && proves(&key.auth_key, &said.encrypted_message, &expected));
    match permanent.map(|key| key.bind(&slot.key)) {
        Some(true) => Reply::Result(true.to_bytes()),
        Some(false) => Reply::error(400, "TEMP_AUTH_KEY_ALREADY_BOUND"),
        None => Reply::error(400, "ENCRYPTED_MESSAGE_INVALID"),
    }
}

/// Waits until the calls named in `invokeAfterMsg` have succeeded.
async fn predecessors(slot: &Slot, ids: &[i64]) -> Result<(), Reply> {
    let mut answers = slot.answers();
    let all_done = async {
        for id in ids {
            loop {
                match slot.quietly(|session| session.call_state(*id)) {
                    CallState::Succeeded => break,
                    CallState::Failed => return Err(Reply::error(400, "MSG_WAIT_FAILED")),
                    CallState::Unknown | CallState::Running => {
                        if answers.changed().await.is_err() {
                            return Err(Reply::error(400, "MSG_WAIT_FAILED"));
                        }
                    }
                }
            }
        }
        Ok(())
    };
    timeout(PREDECESSORS, all_done)
        .await
        .unwrap_or_else(|_| Err(Reply::error(500, "MSG_WAIT_TIMEOUT")))
}

fn deliver(slot: &Slot, job: &Job, reply: Reply) {
    let keeps_up = match reply {
        Reply::Result(result) => answer(slot, job.id, true, envelope::rpc_result(job.id, &result)),
        Reply::Error { code, name } => answer(slot, job.id, false, envelope::rpc_error(job.id, code, &name)),
        Reply::Silence => true,
        Reply::DropConnection { answer: kept } => {
            slot.detach(&job.line);
            job.line.cut.cancel();
            match kept {
                Some(result) => answer(slot, job.id, true, envelope::rpc_result(job.id, &result)),
                None => {
                    slot.quietly(|session| session.forget_call(job.id));
                    true
                }
            }
        }
    };
    slot.tell_answered();
    if !keeps_up {
        slot.give_up();
    }
}

fn answer(slot: &Slot, id: i64, ok: bool, body: bytes::Bytes) -> bool {
    slot.with(|session| {
        session.answer(id, ok, body);
        session.keeps_up().is_ok()
    })
}
