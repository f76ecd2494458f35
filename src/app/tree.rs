//! The supervision tree, as a table: children start in the order of the lines and stop in reverse.
//!
//! ```text
//! root (rest_for_one)
//!   store       committer: if it dies, all that stands on it starts anew
//!   services    (one_for_one: none of these takes another down)
//!     access · limiter · telemetry · sessions · webhooks · pairs
//!   http        listeners, last: what they show is there
//! ```

use std::sync::Arc;

use crate::config::Config;
use crate::http::{self, Api, Checks, Listening};
use crate::ops::DeadLetters;
use crate::runtime::{Backoff, ChildSpec, Intensity, Shutdown, Strategy, SupervisorSpec};
use crate::store::{self, Store};
use crate::telemetry;

use super::daemon::Handles;
use super::health;

/// Restarts of the root's own children that are borne.
const INTENSITY: Intensity = Intensity {
    restarts: 10,
    period: std::time::Duration::from_secs(60),
};

/// The pause between them.
const BACKOFF: Backoff = Backoff {
    first: std::time::Duration::from_millis(100),
    max: std::time::Duration::from_secs(5),
};

/// The tree's table.
pub(super) fn spec(
    config: &Config,
    handles: &Handles,
    (api, metrics): (&Listening, &Listening),
) -> SupervisorSpec {
    let checks = health::checks(handles);
    let routes = Arc::new(Api {
        access: handles.access.clone(),
        telegram: handles.telegram.clone(),
        pairs: handles.pairs.clone(),
        webhooks: handles.webhooks.clone(),
        incidents: handles.incidents.clone(),
        dead_letters: DeadLetters::new(handles.store.clone()),
        store: handles.store.clone(),
        tree: handles.tree.clone(),
        health: checks.clone(),
        metrics: Arc::new(|| telemetry::metrics().render()),
    });
    let root = SupervisorSpec::new(Strategy::RestForOne)
        .kind("root")
        .intensity(INTENSITY)
        .backoff(BACKOFF)
        .child(store_child(&handles.store))
        .child(ChildSpec::supervisor(
            "services",
            services(config, handles, checks),
        ))
        .child(http::child(config.http.clone(), routes.clone(), api.clone()));
    match http::metrics_child(config.http.clone(), routes, metrics.clone()) {
        Some(listener) => root.child(listener),
        None => root,
    }
}

fn services(config: &Config, handles: &Handles, checks: Checks) -> SupervisorSpec {
    let first_key = std::env::var("API_SECRET_KEY").ok().map(crate::base::Secret::new);
    let gauges = handles.clone();
    SupervisorSpec::new(Strategy::OneForOne)
        .kind("services")
        .intensity(INTENSITY)
        .backoff(BACKOFF)
        .child(handles.access.child(first_key, config.store.folder.clone()))
        .child(handles.limiter.child())
        .child(telemetry::child(move || health::gauges(&gauges, &checks)))
        .child(handles.telegram.child())
        .child(handles.webhooks.child())
        .child(handles.pairs.child())
}

fn store_child(store: &Store) -> ChildSpec {
    let store = store.clone();
    ChildSpec::task("store", move |task| {
        let store = store.clone();
        async move { Ok(store.run(task.stop.clone(), || task.ready()).await?) }
    })
    .ready_within(store::OPENING)
    .shutdown(Shutdown::Drain(store::CLOSING))
}
