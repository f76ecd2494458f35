//! The WebSocket, and tickets for those who cannot send headers with it.

use hyper::Method;
use schemars::JsonSchema;
use serde::Serialize;

use crate::http::answer::Json;
use crate::http::binding::Binding;
use crate::http::call::Call;
use crate::http::failure::Failure;
use crate::http::route::{Route, route};
use crate::http::ws::{self, query::WsQuery};

const TAG: &str = "websocket";

pub(crate) fn routes() -> Vec<Route> {
    vec![
        route(
            TAG,
            Method::GET,
            "/ws",
            "Listen to everything that happens, over a WebSocket",
        )
        .of(Binding::Own)
        .query::<WsQuery>()
        .or_ticket()
        .switches()
        .run(ws::accept),
        route(
            TAG,
            Method::POST,
            "/api/ws-ticket",
            "A ticket that opens one WebSocket within half a minute, in place of the key",
        )
        .of(Binding::Nothing)
        .reveals(&["ticket"])
        .run(ticket),
    ]
}

/// A ticket, shown this once.
#[derive(Debug, Serialize, JsonSchema)]
struct TicketShown {
    success: bool,
    /// For `?ticket=` of `GET /ws`.
    ticket: String,
    /// Seconds until it is worth nothing.
    expires_in: u64,
}

async fn ticket(call: Call) -> Result<Json<TicketShown>, Failure> {
    let (ticket, life) = call.api.access.ticket(call.principal()?)?;
    Ok(Json(TicketShown {
        success: true,
        ticket: ticket.expose().to_owned(),
        expires_in: life.as_secs(),
    }))
}
