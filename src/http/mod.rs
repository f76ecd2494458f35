//! The control API: one table of routes drives router, scopes, limits and OpenAPI.
//!
//! A request passes [`serve`] (connection) → [`dispatch`] (route, key, scope, size) → a handler of
//! [`routes`] → a domain's handle. Only this module knows statuses and hyper.

pub mod answer;
pub mod binding;
pub mod body;
pub mod call;
pub mod config;
pub mod dispatch;
mod door;
pub mod failure;
pub mod health;
mod idempotency;
mod impatient;
mod multipart;
pub mod openapi;
pub mod page;
mod picture;
pub mod query;
pub mod route;
pub mod router;
pub mod routes;
pub mod serve;
mod shape;
mod spool;
pub mod table;
mod tasks;
pub mod texts;
mod upgrade;
pub mod ws;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::net::TcpListener;

use dispatch::Service;
use route::Route;
use router::Router;

pub use config::{HttpConfig, WsConfig};
pub use health::{Check, Checks, Health, Status};
pub use serve::Listening;
pub use ws::Hub;

use crate::access::Access;
use crate::forward::Pairs;
use crate::ops::{Audit, DeadLetters, Incidents};
use crate::runtime::{BoxError, ChildSpec, Shutdown, TaskContext, Tree};
use crate::store::Store;
use crate::telegram::Telegram;
use crate::webhook::Webhooks;

/// How long the listener may take to get its address.
const START: Duration = Duration::from_secs(10);

/// After how long without a word the listener is taken for dead.
const LIVENESS: Duration = Duration::from_secs(60);

/// The handles that the routes ask.
pub struct Api {
    /// Who asks.
    pub access: Access,
    /// Sessions.
    pub telegram: Telegram,
    /// Forwarding pairs.
    pub pairs: Pairs,
    /// Webhook endpoints.
    pub webhooks: Webhooks,
    /// What waits for a person.
    pub incidents: Incidents,
    /// Who did what.
    pub audit: Audit,
    /// What was discarded.
    pub dead_letters: DeadLetters,
    /// Copies of the store; routes read and write it through its domains only.
    pub store: Store,
    /// The live supervision tree, known as soon as it stands.
    pub tree: Arc<OnceLock<Tree>>,
    /// Those who listen over WebSockets.
    pub hub: Arc<Hub>,
    /// How the daemon is.
    pub health: Checks,
    /// The metrics in Prometheus' text format.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

/// The OpenAPI document.
pub fn document() -> serde_json::Value {
    openapi::document(&table::table())
}

/// The API's listener as a child. It says in `listening` which address it got.
pub fn child(config: HttpConfig, api: Arc<Api>, listening: Listening) -> ChildSpec {
    let address = config.listen;
    listener("http", address, config, api, listening, table::table())
}

/// The listener of the metrics, without a key, as a child; none if the configuration wants none.
pub fn metrics_child(config: HttpConfig, api: Arc<Api>, listening: Listening) -> Option<ChildSpec> {
    let address = config.metrics_listen?;
    let routes = vec![routes::health::open_metrics()];
    Some(listener("metrics", address, config, api, listening, routes))
}

fn listener(
    id: &'static str,
    address: SocketAddr,
    config: HttpConfig,
    api: Arc<Api>,
    listening: Listening,
    routes: Vec<Route>,
) -> ChildSpec {
    let drain = *config.drain;
    ChildSpec::task(id, move |context: TaskContext| {
        let (config, api, listening) = (config.clone(), api.clone(), listening.clone());
        let routes = routes.clone();
        async move {
            // The store is open by now, so the folder is this process's.
            spool::sweep(&api.store.config().folder);
            // After a restart of the listener, the address that its users know.
            let address = listening.now().unwrap_or(address);
            let socket = TcpListener::bind(address)
                .await
                .map_err(|source| NotListening { address, source })?;
            let address = socket.local_addr()?;
            let router = Router::new(routes)?;
            let service = Arc::new(Service::new(api, router, config));
            tracing::info!(listener = id, %address, "listening");
            listening.set(address);
            context.ready();
            serve::serve(id, socket, service, context.stop.clone(), || context.alive()).await;
            Ok::<(), BoxError>(())
        }
    })
    .ready_within(START)
    .liveness(LIVENESS)
    .shutdown(Shutdown::Drain(drain + Duration::from_secs(1)))
}

/// The address could not be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
struct NotListening {
    address: SocketAddr,
    source: std::io::Error,
}
