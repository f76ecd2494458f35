//! The runner owns a session's connection: it makes the auth key where a self-hosted server needs one,
//! drives the I/O, and asks for a proof of life when the connection is silent.
//!
//! A connection that gives no proof in time, that its pump found broken, whose clock was put forward or back, or
//! that cannot be made, is given up; after a pause (exponential, jittered) there is a new one. The pauses begin anew
//! once a connection has been of use. A server that says that it does not know the key is asked again and again, over
//! minutes and other connections, before the session ends (`doubt`). It promises nothing about calls that were under way: their callers are told that
//! they may or may not have happened.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff;
use grammers_client::session::Session;
use grammers_client::{InvocationError, SenderPool, tl};
use grammers_mtproto::mtp::DeserializeError;
use grammers_mtproto::transport::Error as TransportError;
use tokio::time::{Instant, sleep, timeout};

use super::doubt::Doubt;
use super::relocation::{self, Move};
use super::{Context, Observation};
use crate::base::Timestamp;
use crate::model::SessionState;
use crate::runtime::{BoxError, TaskContext};
use crate::telegram::exchange::{ExchangeError, create_auth_key};
use crate::telegram::key_check::{self, Opinion};
use crate::telegram::link::Link;
use crate::telegram::params::params;
use crate::telegram::pauses::pauses;
use crate::telegram::session_store::{NotKept, SessionStore};

/// A connection that lived for so long was of use.
const STEADY: Duration = Duration::from_secs(60);

/// Bytes of a ping and of its answer.
const PING: (usize, usize) = (12, 20);

/// Why a connection was given up, as a stable word.
type Reason = &'static str;

pub(super) async fn run(context: Arc<Context>, link: Arc<Link>, task: TaskContext) -> Result<(), BoxError> {
    let session = SessionStore::load(context.store.clone(), link.id, context.dcs.clone())?;
    let session = Arc::new(session);
    let (mut pauses, mut refused) = (reconnect_pauses(), introduction_pauses());
    let (mut doubt, mut moving) = (Doubt::default(), Move::default());
    loop {
        let began = Instant::now();
        let outcome = tokio::select! {
            () = task.stop.cancelled() => break,
            outcome = connection(&context, &link, &session, &task, (&mut doubt, &mut moving)) => outcome,
        };
        if was_of_use(&link, began.elapsed()) {
            pauses.reset();
        }
        if began.elapsed() >= STEADY {
            refused.reset();
        }
        link.withdraw();
        let mut pause = pauses.next_backoff();
        // Whichever call was told so.
        let outcome = if link.take_crowded() {
            Given::Crowded
        } else {
            outcome
        };
        match outcome {
            Given::Refused => {
                link.vitals.failed();
                link.observe(Observation::Lost("CONNECTION_NOT_INITED"));
                pause = pause.max(refused.next_backoff());
            }
            Given::Crowded => {
                if let Some(rest) = context.crowding.met(Instant::now()) {
                    let seconds = rest.as_secs();
                    metrics::counter!("trunkline_address_floods_total").increment(1);
                    tracing::warn!(session = %link.id, seconds, "Telegram takes no more connections from this address: all sessions wait");
                }
                link.vitals.failed();
                link.observe(Observation::Lost("TRANSPORT_FLOOD"));
            }
            Given::Up(reason) => {
                link.vitals.failed();
                link.observe(Observation::Lost(reason));
            }
            Given::Doubted => {
                if doubt.is_certain_after(Instant::now(), *context.config.key_doubt) {
                    let word = "AUTH_KEY_FORGOTTEN".to_owned();
                    link.observe(Observation::Ended(SessionState::BadCredentials, word));
                    task.stop.cancelled().await;
                    break;
                }
                tracing::warn!(session = %link.id, "the server seems not to know the key; it will be asked again");
                link.vitals.failed();
                link.observe(Observation::Lost("AUTH_KEY_DOUBTED"));
            }
        }
        let pause = pause.unwrap_or(Duration::from_secs(60));
        tokio::select! {
            () = task.stop.cancelled() => break,
            () = task.idle(sleep(pause)) => {}
            // Perhaps it was the clock that was wrong.
            () = context.shifts.next() => pauses.reset(),
        }
    }
    link.withdraw();
    Ok(())
}

/// Whether a connection that ends has done what it is for, so that the next one need not wait long: one after the
/// other that is made, asks and breaks would otherwise follow without a pause. Who is not logged in has nothing to
/// catch up with.
fn was_of_use(link: &Link, lived: Duration) -> bool {
    let begins = !link.watch().borrow().authorised && link.client().is_ok();
    lived >= STEADY || begins || link.is_told() || link.is_caught_up()
}

/// Short first, a minute at most, and it never gives up.
fn reconnect_pauses() -> ExponentialBackoff {
    pauses(Duration::from_millis(300), 2.0, Duration::from_secs(60))
}

/// After connections that answered no call: such a one may have told all before, and would seem to be of use.
fn introduction_pauses() -> ExponentialBackoff {
    pauses(Duration::from_secs(2), 10.0, Duration::from_secs(60))
}

/// How a connection ended.
enum Given {
    /// It was of no use any more; another may be.
    Up(Reason),
    /// The server answers no call over it: it wants another to introduce itself.
    Refused,
    /// The server says that it does not know this session's key. It may be mistaken.
    Doubted,
    /// The server takes no more connections from this address.
    Crowded,
}

/// One connection from its beginning to its end.
async fn connection(
    context: &Context,
    link: &Link,
    session: &Arc<SessionStore>,
    task: &TaskContext,
    (doubt, moving): (&mut Doubt, &mut Move),
) -> Given {
    link.observe(Observation::Connecting);
    // With very many sessions a turn may be long in coming.
    let turn = task.idle(wait_for_turn(context)).await;
    if doubt.is_there()
        && let Err(given) = clear_doubt(context, session).await
    {
        return given;
    }
    // Meanwhile Telegram may have said that there are too many.
    while let Some(until) = context.crowding.rests(Instant::now()) {
        task.idle(tokio::time::sleep_until(until)).await;
        task.idle(tokio::time::sleep(*context.config.start_spacing)).await;
    }
    if let Err(given) = Box::pin(ensure_key(context, session)).await {
        return given;
    }
    let pool =
        SenderPool::with_configuration(session.clone(), context.config.api_id, params(&context.config));
    let number = link.publish(pool.handle.clone(), pool.updates).await;
    tokio::select! {
        () = pool.runner.run() => Given::Up("CONNECTION_CLOSED"),
        () = link.until_broken(number) => match link.is_strange(number) {
            true => Given::Refused,
            false => Given::Up("CONNECTION_BROKEN"),
        },
        () = context.shifts.next() => Given::Up("CLOCK_SHIFTED"),
        () = relocation::follow(context, link, session, moving) => Given::Up("ACCOUNT_MOVED"),
        given = pulse(context, link, task, turn, doubt) => given,
    }
}

/// Starts are capped and spaced, so that a thousand sessions do not arrive at once.
async fn wait_for_turn(context: &Context) -> Option<tokio::sync::SemaphorePermit<'_>> {
    // It is never closed; if it were, nothing would cap the starts any more.
    let permit = context.starts.acquire().await.ok();
    let spacing = *context.config.start_spacing;
    let begin = {
        let mut next = context.next_start.lock().await;
        let begin = (*next).max(tokio::time::Instant::now());
        *next = begin + spacing;
        begin
    };
    tokio::time::sleep_until(begin).await;
    permit
}

/// A self-hosted server's key is made by us: grammers would not trust its RSA key.
async fn ensure_key(context: &Context, session: &SessionStore) -> Result<(), Given> {
    let Some(server_key) = &context.server_key else {
        return Ok(());
    };
    let lost = |_| Given::Up("STORE_UNAVAILABLE");
    let home = session.home_dc_id().map_err(lost)?;
    if session.has_key(home) {
        return Ok(());
    }
    let option = session
        .dc_option(home)
        .map_err(lost)?
        .ok_or(Given::Up("UNKNOWN_DC"))?;
    let made = create_auth_key(SocketAddr::V4(option.ipv4), server_key).await;
    let key = made.map_err(|error| {
        tracing::warn!(error = %error, "the key exchange failed");
        match error {
            ExchangeError::Step(_) | ExchangeError::Timeout => Given::Up("SERVER_UNREACHABLE"),
            _ => Given::Up("KEY_EXCHANGE_FAILED"),
        }
    })?;
    let kept = session.set_auth_key(home, key).await;
    kept.map_err(|_| Given::Up("STORE_UNAVAILABLE"))
}

/// Asks the server again about a key that it said it does not know.
async fn clear_doubt(context: &Context, session: &SessionStore) -> Result<(), Given> {
    let Some((address, key)) = session.home() else {
        return Ok(());
    };
    match key_check::ask(address, key, *context.config.ping_timeout).await {
        Opinion::Known => Ok(()),
        Opinion::Unknown => Err(Given::Doubted),
        Opinion::None => Err(Given::Up("SERVER_UNREACHABLE")),
    }
}

/// Asks for the first answer, then for another whenever the connection is silent.
async fn pulse(
    context: &Context,
    link: &Link,
    task: &TaskContext,
    turn: Option<tokio::sync::SemaphorePermit<'_>>,
    doubt: &mut Doubt,
) -> Given {
    let silence = *context.config.ping_after;
    let patience = *context.config.ping_timeout;
    // The first answer needs a connection before it, and is waited for no longer than that: packets may be swallowed.
    if let Err(given) = ping(link, patience * 2).await {
        return given;
    }
    drop(turn);
    *doubt = Doubt::default();
    if link.connection_number() > 1 {
        link.vitals.reconnects.note(Timestamp::now());
    }
    link.observe(Observation::Online);
    loop {
        task.alive();
        let proof = link.last_proof().unwrap_or_default();
        let quiet = Timestamp::now().since(proof);
        if quiet < silence {
            task.idle(sleep(silence - quiet)).await;
        } else if let Err(given) = ping(link, patience).await {
            return given;
        }
    }
}

/// One ping; the answer is the proof of life.
async fn ping(link: &Link, patience: Duration) -> Result<(), Given> {
    let client = link.client().map_err(|_| Given::Up("CONNECTION_CLOSED"))?;
    let ping = tl::functions::Ping {
        ping_id: Timestamp::now().0,
    };
    let began = std::time::Instant::now();
    let answer = timeout(patience, Box::pin(client.invoke(&ping))).await;
    link.count::<tl::functions::Ping, _>(answer.as_ref().ok(), began.elapsed(), PING);
    match answer {
        Ok(Ok(_)) => {
            link.vitals.ponged(began.elapsed());
            link.proved();
            Ok(())
        }
        Ok(Err(error)) if says_unknown_key(&error) => Err(Given::Doubted),
        Ok(Err(error @ InvocationError::Rpc(_))) => {
            // An answer all the same. It may be the end of the authorisation, which a connection's first call is told.
            let error = link.failed(error);
            tracing::debug!(session = %link.id, %error, "a ping was refused");
            Ok(())
        }
        Ok(Err(error)) => {
            tracing::info!(session = %link.id, error = %error, "the connection failed");
            Err(Given::Up("CONNECTION_FAILED"))
        }
        Err(_) => Err(Given::Up("NO_PROOF_OF_LIFE")),
    }
}

/// Whether a connection ended with word of a key that the server does not know. To that grammers' answer is a new key,
/// which a self-hosted server does not get and the session does not keep; and a packet that holds an error and
/// nothing else is too small for it.
fn says_unknown_key(error: &InvocationError) -> bool {
    match error {
        InvocationError::Authentication(_) => true,
        InvocationError::Transport(TransportError::BadStatus { status }) => *status == 404,
        InvocationError::Deserialize(DeserializeError::MessageBufferTooSmall) => true,
        InvocationError::Session(error) => matches!(error.downcast_ref(), Some(NotKept::OtherKey)),
        _ => false,
    }
}
