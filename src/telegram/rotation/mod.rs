//! The rotation of a session's auth key: a fresh authorisation of the same account takes the place of the former one.
//!
//! One task a rotation, a child of its own supervisor. It has a login token exported on a fresh key and accepted on
//! the session's own, waits until no call is under way, has the manager put the fresh key in place, and logs the
//! former one out once the session is connected again. Every step is stored before it has an effect: a crash in the
//! middle goes on from there, or back. Until the switch a failure leaves the session as it was. Updates are not its
//! business: the session asks for what it missed as after every connect, from where its stored state ends.

mod authorise;
mod record;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff;
use grammers_client::tl;
use tokio::time::{sleep, timeout};

pub(crate) use authorise::require_password;
pub(crate) use record::{Rotation, RotationStep, Rotations};

use super::error::TelegramError;
use super::link::Link;
use super::manager;
use super::pauses::pauses;
use super::session::Context;
use super::side::Side;
use super::spares::{self, Spare, Spares};
use super::tables::Authorisation;
use crate::base::fault::fault_point;
use crate::base::{Coded, Secret, SessionId};
use crate::model::EventBody;
use crate::model::Refusal;
use crate::ops::audit::{self, Deed, Entry};
use crate::runtime::{BoxError, ChildSpec, Restart, Shutdown, TaskContext};
use crate::store::{Batch, StoreError};

/// How long calls under way are waited for before the switch.
const CALLS_END: Duration = Duration::from_secs(15);

/// How long calls wait for the session to be connected with the fresh key; later ones hear that it is not.
const CALLS_WAIT: Duration = Duration::from_secs(20);

/// How often a fresh key that is not needed any more is tried to be ended before the rotation is told to be over.
const TRIES: usize = 5;

/// Why a rotation failed, as a stable word.
pub(crate) type Word = String;

/// What a rotation's task is started for.
pub(crate) enum Errand {
    /// A new rotation, with the password if the account has one.
    New(Option<Secret>),
    /// One that the daemon's end, or the task's, interrupted.
    Resumed,
}

/// A rotation as a child; it goes on with what is stored of it.
pub(crate) fn child(context: &Arc<Context>, link: &Arc<Link>, errand: Errand) -> ChildSpec {
    let (context, link) = (context.clone(), link.clone());
    let errand = Mutex::new(errand);
    ChildSpec::task(link.id.to_string(), move |task| {
        // Whoever is started a second time finds it interrupted.
        let mut errand = errand.lock().unwrap_or_else(PoisonError::into_inner);
        let errand = std::mem::replace(&mut *errand, Errand::Resumed);
        run(context.clone(), link.clone(), errand, task)
    })
    .restart(Restart::Transient)
    .shutdown(Shutdown::Kill)
}

async fn run(
    context: Arc<Context>,
    link: Arc<Link>,
    errand: Errand,
    task: TaskContext,
) -> Result<(), BoxError> {
    let Some(rotation) = context.store.get::<Rotations>(&link.id)? else {
        return Ok(());
    };
    let process = Process {
        context: &context,
        link: &link,
        rotation: &rotation,
    };
    let led = match (&rotation.step, errand) {
        (RotationStep::Switched(_), _) => Ok(()),
        (RotationStep::Begun, Errand::New(password)) => task.idle(process.lead(password)).await,
        _ => Err("INTERRUPTED".to_owned()),
    };
    let arrived = match led {
        Ok(()) => task.idle(process.arrive()).await,
        failed => failed,
    };
    match arrived {
        Ok(()) => task.idle(process.complete()).await?,
        Err(word) => task.idle(process.fail(&word)).await?,
    }
    Ok(())
}

/// One rotation.
struct Process<'a> {
    context: &'a Context,
    link: &'a Link,
    rotation: &'a Rotation,
}

impl Process<'_> {
    /// To the switch.
    async fn lead(&self, password: Option<Secret>) -> Result<(), Word> {
        Box::pin(authorise::fresh(self, password)).await?;
        let shut = timeout(CALLS_END, self.link.shut()).await;
        let shut = shut.map_err(|_| "CALLS_UNDER_WAY".to_owned())?;
        let switched = self
            .context
            .manager
            .call(|reply| manager::Msg::SwitchKey(self.link.id, reply))
            .await;
        switched
            .map_err(|_| "AWAY".to_owned())?
            .map_err(|error| word(&error))?;
        // Calls wait meanwhile. If it takes long they hear the truth; the switch is done either way.
        let mut status = self.link.watch();
        let connected = status.wait_for(|status| status.state.is_connected());
        drop(timeout(CALLS_WAIT, connected).await);
        drop(shut);
        Ok(())
    }

    /// Waits until the session is connected with the fresh key. However long the network is away, that is no failure.
    async fn arrive(&self) -> Result<(), Word> {
        let mut status = self.link.watch();
        let settled = status.wait_for(|status| status.state.is_connected() || status.state.is_terminal());
        let Ok(settled) = settled.await else {
            return Err("AWAY".to_owned());
        };
        match settled.state.is_terminal() {
            false => Ok(()),
            true => Err("FRESH_KEY_REFUSED".to_owned()),
        }
    }

    /// Ends the former authorisation, and the rotation.
    async fn complete(&self) -> Result<(), StoreError> {
        let stored = self.context.store.get::<Rotations>(&self.link.id)?;
        if let Some(RotationStep::Switched(former)) = stored.map(|rotation| rotation.step) {
            let mut pauses = usual_pauses();
            while let Err(error) = log_out(self.context, &former).await {
                tracing::info!(session = %self.link.id, %error, "the former authorisation is not ended yet");
                sleep(pauses.next_backoff().unwrap_or(Duration::from_secs(60))).await;
            }
        }
        fault_point!("rotation.logged_out");
        self.end("completed", None).await
    }

    /// Goes back to how things were.
    async fn fail(&self, why: &str) -> Result<(), StoreError> {
        let stored = self.context.store.get::<Rotations>(&self.link.id)?;
        let spare = match stored.map(|rotation| rotation.step) {
            Some(RotationStep::Prepared(fresh)) => Some(fresh),
            Some(RotationStep::Switched(_)) => {
                let back = manager::Msg::SwitchBack;
                match self.context.manager.call(|reply| back(self.link.id, reply)).await {
                    Ok(Ok(fresh)) => fresh,
                    _ => None,
                }
            }
            Some(RotationStep::Begun) | None => None,
        };
        if let Some(fresh) = spare {
            self.forget(fresh).await?;
        }
        self.end("failed", Some(why)).await
    }

    /// Ends a fresh key that is not needed any more; if Telegram is not reached soon, it is left to `spares`.
    async fn forget(&self, keys: Authorisation) -> Result<(), StoreError> {
        let spare = Spare::of_rotation(keys);
        let mut pauses = usual_pauses();
        for _ in 0..TRIES {
            let Err(error) = Box::pin(spares::end(self.context, &spare)).await else {
                return Ok(());
            };
            tracing::info!(session = %self.link.id, %error, "a fresh key is not ended yet");
            sleep(pauses.next_backoff().unwrap_or_default()).await;
        }
        let mut batch = Batch::new();
        batch.put::<Spares>(&(self.link.id, self.rotation.began), &spare);
        self.context.store.commit(batch).await?;
        self.context.spares.notify_one();
        Ok(())
    }

    async fn end(&self, status: &'static str, error: Option<&str>) -> Result<(), StoreError> {
        metrics::counter!("trunkline_rotations_total", "outcome" => status).increment(1);
        tracing::info!(session = %self.link.id, rotation = %self.rotation.id, status, error, "auth key rotation");
        let mut batch = Batch::new();
        batch.remove::<Rotations>(&self.link.id);
        let told = event(self.rotation, status, error.map(str::to_owned));
        batch.append(self.link.event(&self.link.account(), told), None);
        let entry = audited(self.rotation, self.link.id, error);
        audit::commit(&self.context.store, batch, entry).await
    }
}

/// The end of a rotation as the audit log has it.
pub(crate) fn audited(rotation: &Rotation, session: SessionId, error: Option<&str>) -> Entry {
    let what = match error {
        None => Deed::RotationCompleted,
        Some(_) => Deed::RotationFailed,
    };
    let entry = Entry::by_daemon(what, session).detail("rotation", rotation.id);
    error
        .into_iter()
        .fold(entry, |entry, word| entry.detail("error", word))
}

/// What is told of a rotation.
pub(crate) fn event(rotation: &Rotation, status: &str, error: Option<Word>) -> EventBody {
    EventBody::SessionRotation {
        rotation: rotation.id.to_string(),
        status: status.to_owned(),
        error,
    }
}

/// Ends the authorisation of these keys; one that is over already is fine.
async fn log_out(context: &Context, keys: &Authorisation) -> Result<(), TelegramError> {
    let (side, wire) = Side::new(context, keys);
    let call = async { side.invoke(&tl::functions::auth::LogOut {}).await };
    match Box::pin(wire.during(call)).await {
        Ok(_) => Ok(()),
        Err(error) if matches!(error.class(), Refusal::Ended(_)) => Ok(()),
        Err(TelegramError::Network(grammers_client::InvocationError::Authentication(_))) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The stable word for a failure.
fn word(error: &TelegramError) -> Word {
    error.rpc_name().unwrap_or(error.code().as_str()).to_owned()
}

fn usual_pauses() -> ExponentialBackoff {
    pauses(Duration::from_millis(500), 1.5, Duration::from_secs(60))
}
