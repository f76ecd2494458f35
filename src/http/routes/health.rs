//! Health, metrics and the document of the API.

use std::sync::LazyLock;

use hyper::{Method, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::http::answer::{Json, Text, WithStatus};
use crate::http::binding::Binding;
use crate::http::call::Call;
use crate::http::failure::Failure;
use crate::http::health::{Health, Status};
use crate::http::openapi::document;
use crate::http::route::{Route, Row, route};
use crate::http::table::table;

const TAG: &str = "health";

pub(crate) fn routes() -> Vec<Route> {
    vec![
        route(TAG, Method::GET, "/health", "How the daemon and its parts are")
            .of(Binding::Nothing)
            .even_unrecognised()
            .run(health),
        route(TAG, Method::GET, "/health/live", "Whether the process answers")
            .of(Binding::Nothing)
            .open()
            .run(live),
        route(TAG, Method::GET, "/health/ready", "Whether it can do its work")
            .of(Binding::Nothing)
            .open()
            .run(ready),
        metrics_route().run(metrics),
        route(TAG, Method::GET, "/openapi.json", "This document")
            .of(Binding::Nothing)
            .run(openapi),
    ]
}

fn metrics_route() -> Row {
    route(TAG, Method::GET, "/metrics", "Metrics in Prometheus' text format").of(Binding::Nothing)
}

/// The row of the metrics' own listener, which needs no key.
pub(crate) fn open_metrics() -> Route {
    metrics_route().open().run(metrics)
}

/// One word about the daemon.
#[derive(Debug, Serialize, JsonSchema)]
struct Word {
    status: Status,
}

async fn health(call: Call) -> Result<WithStatus<Health>, Failure> {
    let report = call.api.health.report();
    let health = match call.caller {
        Some(_) => report,
        None => report.of_store_away(),
    };
    Ok(WithStatus(StatusCode::OK, health))
}

async fn live(_: Call) -> Result<Json<Word>, Failure> {
    Ok(Json(Word { status: Status::Ok }))
}

async fn ready(call: Call) -> Result<WithStatus<Word>, Failure> {
    let status = call.api.health.report().status;
    let code = match status {
        Status::Failing => StatusCode::SERVICE_UNAVAILABLE,
        Status::Ok | Status::Degraded => StatusCode::OK,
    };
    Ok(WithStatus(code, Word { status }))
}

async fn metrics(call: Call) -> Result<Text, Failure> {
    Ok(Text(
        "text/plain; version=0.0.4; charset=utf-8",
        (call.api.metrics)(),
    ))
}

/// Made once: it is the same for everybody.
static DOCUMENT: LazyLock<Value> = LazyLock::new(|| document(&table()));

async fn openapi(_: Call) -> Result<Json<&'static Value>, Failure> {
    Ok(Json(&DOCUMENT))
}
