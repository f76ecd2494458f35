//! The connections to Telegram: one of each session that shall run.

use hyper::Method;
use schemars::JsonSchema;
use serde::Serialize;

use crate::access::Scope;
use crate::base::{SessionId, Timestamp};
use crate::http::answer::Json;
use crate::http::binding::Binding;
use crate::http::call::Call;
use crate::http::failure::Failure;
use crate::http::route::{Route, route};
use crate::http::texts::said;
use crate::http::ws::frame::{ConnectionState, PoolConnection};

const TAG: &str = "session health";

pub(crate) fn routes() -> Vec<Route> {
    vec![
        route(
            TAG,
            Method::GET,
            "/api/telegram/connection-pool/status",
            "The connections to Telegram, and how each works",
        )
        .of(Binding::Own)
        .run(status),
        route(
            TAG,
            Method::POST,
            "/api/telegram/connection-pool/cleanup",
            "Close connections that give no sign of life; new ones follow by themselves",
        )
        .scope(Scope::Manage)
        .of(Binding::Own)
        .run(clean_up),
    ]
}

/// A connection with its session.
#[derive(Debug, Serialize, JsonSchema)]
struct PooledConnection {
    #[serde(flatten)]
    connection: PoolConnection,
    session: SessionId,
    /// The data centre that it leads to; null before the first connection.
    dc: Option<i32>,
}

/// The connections of the sessions that the key may see.
#[derive(Debug, Serialize, JsonSchema)]
struct PoolStatus {
    connections: Vec<PooledConnection>,
    total: usize,
    active: usize,
    idle: usize,
    error: usize,
}

#[derive(Debug, Serialize, JsonSchema)]
struct CleanedUp {
    success: bool,
    /// How many connections were closed.
    closed: usize,
    message: &'static str,
}

async fn status(call: Call) -> Result<Json<PoolStatus>, Failure> {
    let (caller, now) = (call.principal()?, Timestamp::now());
    let sessions = call.api.telegram.list().into_iter();
    let seen = sessions.filter(|session| caller.sees(session.account.id));
    let connections: Vec<_> = seen
        .filter_map(|session| {
            Some(PooledConnection {
                connection: PoolConnection::of(session.connection.as_ref()?, now),
                session: session.account.id,
                dc: session.dc,
            })
        })
        .collect();
    let count = |state| {
        let fitting = connections
            .iter()
            .filter(|pooled| pooled.connection.status == state);
        fitting.count()
    };
    Ok(Json(PoolStatus {
        total: connections.len(),
        active: count(ConnectionState::Active),
        idle: count(ConnectionState::Idle),
        error: count(ConnectionState::Error),
        connections,
    }))
}

async fn clean_up(call: Call) -> Result<Json<CleanedUp>, Failure> {
    let caller = call.principal()?.clone();
    let closed = call
        .api
        .telegram
        .close_stale(|session| caller.sees(session))
        .await;
    Ok(Json(CleanedUp {
        success: true,
        closed,
        message: said::cleaned_up(call.language),
    }))
}
