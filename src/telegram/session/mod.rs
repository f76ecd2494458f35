//! One account's supervised subtree: an actor (state and login), a runner (connection and proof of
//! life) and a pump (updates into the journal). If one of them fails, all three start anew.
//!
//! The subtree exists only while the session shall run or is being logged in. Expected trouble (no
//! network, a flood wait, the end of an authorisation) is state, and crashes nothing.

mod actor;
mod clock;
mod commit;
mod convert;
mod crowding;
mod dialogs;
mod doubt;
mod draft;
mod filling;
mod history;
mod known;
mod login;
mod pages;
mod pump;
mod receiver;
mod relocation;
mod resume;
mod runner;
mod state;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

pub(crate) use actor::Msg;
pub(crate) use clock::{Shifts, run as watch_clock};
pub(crate) use crowding::{Crowding, is_crowded};
pub use login::steps::{CodeDetails, Login, SentCode, ShownQr};
pub(crate) use pages::{rested, take as take_messages};
pub(crate) use pump::tell_held;
pub(crate) use state::Observation;

use super::audience::Audience;
use super::calls::Calls;
use super::config::TelegramConfig;
use super::link::Link;
use super::manager;
use super::server_key::ServerKey;
use crate::limiter::Limiter;
use crate::ops::Incidents;
use crate::runtime::{Address, ChildSpec, Shutdown, Strategy, SupervisorSpec};
use crate::store::Store;

/// What all sessions share.
pub(crate) struct Context {
    /// The store.
    pub store: Store,
    /// The limiter, which every call that costs something passes.
    pub limiter: Limiter,
    /// What waits for a person.
    pub incidents: Incidents,
    /// How many sessions were deleted in this process: word for whoever has to do with one.
    pub deletions: tokio::sync::watch::Sender<u64>,
    /// The section of the config.
    pub config: TelegramConfig,
    /// A self-hosted server's data centres.
    pub dcs: Arc<[super::config::DcConfig]>,
    /// A self-hosted server's key.
    pub server_key: Option<ServerKey>,
    /// How many may connect at once.
    pub starts: Semaphore,
    /// How many logins may be worked on at once; the others wait in order.
    pub logins: Semaphore,
    /// Logins that ended and left nothing else.
    pub ended: super::logins::Ended,
    /// A key came that is to be ended.
    pub spares: tokio::sync::Notify,
    /// Whether the machine's address makes too many connections.
    pub crowding: Crowding,
    /// When the next start may begin: starts are spaced.
    pub next_start: tokio::sync::Mutex<tokio::time::Instant>,
    /// To whom sessions' messages matter.
    pub audience: Audience,
    /// What is asked of Telegram, counted.
    pub calls: Arc<Calls>,
    /// Word of shifts of the wall clock.
    pub shifts: Shifts,
    /// Who starts and ends subtrees.
    pub manager: Address<manager::Msg>,
}

/// How long each part may take to end when asked.
const DRAIN: Duration = Duration::from_secs(5);

/// A part that shows no life for this long hangs.
const LIVENESS: Duration = Duration::from_secs(120);

/// The subtree of a session.
pub(crate) fn child(context: &Arc<Context>, link: &Arc<Link>) -> ChildSpec {
    let subtree = SupervisorSpec::new(Strategy::OneForAll)
        .kind("session")
        .child(actor::child(context, link))
        .child(part("runner", context, link, runner::run))
        .child(part("pump", context, link, pump::run));
    ChildSpec::supervisor(link.id.to_string(), subtree)
}

fn part<F, Fut>(id: &'static str, context: &Arc<Context>, link: &Arc<Link>, run: F) -> ChildSpec
where
    F: Fn(Arc<Context>, Arc<Link>, crate::runtime::TaskContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), crate::runtime::BoxError>> + Send + 'static,
{
    let (context, link) = (context.clone(), link.clone());
    ChildSpec::task(id, move |task| run(context.clone(), link.clone(), task))
        .shutdown(Shutdown::Drain(DRAIN))
        .liveness(LIVENESS)
}
