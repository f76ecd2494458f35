//! Monitoring: what is asked of Telegram and how it is answered, and the health of all sessions.

use hyper::Method;
use schemars::JsonSchema;
use serde::Serialize;

use super::session_health::{SessionHealth, Surroundings};
use crate::http::answer::Json;
use crate::http::binding::Binding;
use crate::http::call::Call;
use crate::http::failure::Failure;
use crate::http::page::{Page, PageQuery};
use crate::http::route::{Route, route};
use crate::telegram::{CallsView, MethodCalls, Quantiles};

const TAG: &str = "monitoring";

pub(crate) fn routes() -> Vec<Route> {
    vec![
        route(
            TAG,
            Method::GET,
            "/api/monitoring/telegram",
            "Calls to Telegram since the daemon began: by method and outcome, latency, waits, bytes",
        )
        .run(telegram),
        route(
            TAG,
            Method::GET,
            "/api/monitoring/sessions",
            "How every session has been of late",
        )
        .of(Binding::Own)
        .query::<PageQuery>()
        .run(sessions),
    ]
}

/// Calls of all sessions together, since the daemon began.
#[derive(Debug, Serialize, JsonSchema)]
struct ClientMetrics {
    calls: Outcomes,
    latency_ms: Quantiles,
    flood_waits: FloodWaits,
    /// Payload of calls and answers; what Telegram sends by itself is not among it.
    bytes: Bytes,
    /// By method, in order of their names.
    methods: Vec<MethodCalls>,
}

/// How calls ended.
#[derive(Debug, Default, Serialize, JsonSchema)]
struct Outcomes {
    total: u64,
    ok: u64,
    refused: u64,
    flood_wait: u64,
    network: u64,
    timeout: u64,
}

/// Waits that Telegram asked for.
#[derive(Debug, Serialize, JsonSchema)]
struct FloodWaits {
    count: u64,
    /// Seconds, all added up.
    seconds: u64,
}

#[derive(Debug, Default, Serialize, JsonSchema)]
struct Bytes {
    sent: u64,
    received: u64,
}

impl From<CallsView> for ClientMetrics {
    fn from(view: CallsView) -> Self {
        let mut calls = Outcomes::default();
        let mut bytes = Bytes::default();
        for method in &view.methods {
            calls.ok += method.ok;
            calls.refused += method.refused;
            calls.flood_wait += method.flood_wait;
            calls.network += method.network;
            calls.timeout += method.timeout;
            bytes.sent += method.bytes_sent;
            bytes.received += method.bytes_received;
        }
        calls.total = calls.ok + calls.refused + calls.flood_wait + calls.network + calls.timeout;
        Self {
            flood_waits: FloodWaits {
                count: calls.flood_wait,
                seconds: view.flood_seconds,
            },
            calls,
            latency_ms: view.latency_ms,
            bytes,
            methods: view.methods,
        }
    }
}

/// The numbers are of all sessions, so a key that is bound to some gets none.
async fn telegram(call: Call) -> Result<Json<ClientMetrics>, Failure> {
    Ok(Json(call.api.telegram.calls().into()))
}

async fn sessions(call: Call) -> Result<Json<Page<SessionHealth>>, Failure> {
    let caller = call.principal()?;
    let query: PageQuery = call.query()?;
    let sessions = call.api.telegram.list().into_iter();
    let seen: Vec<_> = sessions
        .filter(|session| caller.sees(session.account.id))
        .collect();
    let page = query.cut(seen, |session| session.account.id)?;
    let surroundings = Surroundings::look(&call).await;
    let mut items = Vec::with_capacity(page.items.len());
    for session in page.items {
        items.push(surroundings.health(&call, session).await);
    }
    Ok(Json(Page {
        items,
        next: page.next,
    }))
}
