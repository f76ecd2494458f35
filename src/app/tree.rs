//! The supervision tree, as a table: children start in the order of the lines and stop in reverse.
//!
//! ```text
//! root (rest_for_one)
//!   store       committer: if it dies, all that stands on it starts anew
//!   watch       reports what the store met
//!   telemetry   gauges
//!   exports     automatic exports of the store
//!   work        (rest_for_one)
//!     gate      open while the store takes commits; while it does not, nothing behind it runs
//!     services  (one_for_one: none of these takes another down)
//!       audit · incidents · access · limiter · sessions · webhooks · pairs
//!   http        listeners, last: what they show is there
//! ```

use std::sync::Arc;

use crate::config::Config;
use crate::http::{self, Api, Hub, Listening};
use crate::ops::DeadLetters;
use crate::runtime::{Backoff, ChildSpec, Intensity, Shutdown, Strategy, SupervisorSpec, TaskContext};
use crate::store::{self, Store};
use crate::telemetry;

use super::daemon::Handles;
use super::{health, watch};

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
    let hub = Hub::new(
        config.http.websocket.clone(),
        handles.store.clone(),
        handles.telegram.clone(),
        handles.access.clone(),
    );
    let routes = Arc::new(Api {
        hub,
        access: handles.access.clone(),
        telegram: handles.telegram.clone(),
        pairs: handles.pairs.clone(),
        webhooks: handles.webhooks.clone(),
        incidents: handles.incidents.clone(),
        audit: handles.audit.clone(),
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
        .child(watch::child(&handles.store, &handles.incidents))
        .child(telemetry::child({
            let gauges = handles.clone();
            move || health::gauges(&gauges, &checks)
        }))
        .child(exports_child(&handles.store))
        .child(ChildSpec::supervisor("work", work(config, handles)))
        .child(http::child(config.http.clone(), routes.clone(), api.clone()));
    match http::metrics_child(config.http.clone(), routes, metrics.clone()) {
        Some(listener) => root.child(listener),
        None => root,
    }
}

/// What causes effects, behind the gate: an effect that cannot be remembered must not happen.
fn work(config: &Config, handles: &Handles) -> SupervisorSpec {
    SupervisorSpec::new(Strategy::RestForOne)
        .kind("work")
        .intensity(INTENSITY)
        .backoff(BACKOFF)
        .child(gate(&handles.store))
        .child(ChildSpec::supervisor("services", services(config, handles)))
}

fn gate(store: &Store) -> ChildSpec {
    let store = store.clone();
    ChildSpec::task("gate", move |task: TaskContext| {
        let mut trouble = store.trouble();
        async move {
            let opened = async {
                // The handle keeps the other end.
                drop(trouble.wait_for(Option::is_none).await);
                task.ready();
                drop(trouble.wait_for(Option::is_some).await);
            };
            tokio::select! {
                () = task.stop.cancelled() => {}
                () = opened => {}
            }
            Ok(())
        }
    })
    // Trouble may last.
    .ready_within(std::time::Duration::MAX)
}

fn exports_child(store: &Store) -> ChildSpec {
    let store = store.clone();
    ChildSpec::task("exports", move |task: TaskContext| {
        let store = store.clone();
        async move {
            store.keep_exports(task.stop.clone(), || task.alive()).await;
            Ok(())
        }
    })
}

fn services(config: &Config, handles: &Handles) -> SupervisorSpec {
    SupervisorSpec::new(Strategy::OneForOne)
        .kind("services")
        .intensity(INTENSITY)
        .backoff(BACKOFF)
        .child(handles.audit.child(&config.audit))
        .child(handles.incidents.child(&config.incidents))
        .child(handles.access.child(&config.access, config.store.folder.clone()))
        .child(handles.limiter.child())
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
