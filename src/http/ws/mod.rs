//! `GET /ws`: everything that happens, as it happens, over a WebSocket.
//!
//! A request passes the route's key or ticket, then [`accept`]: whose page it comes from, what it wants, whether there
//! is a place. What follows is a conversation (`socket`) in the task of its connection: it pulls `frame`s from the
//! journal by its own `cursor`, at the `tail` together with all others. Durable events only: a frame that was told
//! is told again to whoever comes back, as long as its event is kept.

mod cursor;
pub mod frame;
mod origin;
mod places;
pub mod query;
mod socket;
mod tail;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{
    CONNECTION, HOST, HeaderValue, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use hyper::{Response, StatusCode};
use schemars::{Schema, SchemaGenerator};
use sha1::{Digest, Sha1};

use super::answer::{Answer, Body, JSON, full};
use super::call::Call;
use super::config::WsConfig;
use super::failure::Failure;
use crate::access::Access;
use crate::base::Code;
use crate::store::Store;
use crate::telegram::Telegram;

use places::Places;
use query::{Wanted, WsQuery};
use socket::Listener;
use tail::Tail;

pub use origin::is_origin;

/// What every answer to a handshake is mixed with (RFC 6455).
const MAGIC: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What all listeners share.
pub struct Hub {
    config: WsConfig,
    store: Store,
    telegram: Telegram,
    access: Access,
    tail: Tail,
    places: Arc<Places>,
}

impl Hub {
    /// A hub without listeners.
    pub fn new(config: WsConfig, store: Store, telegram: Telegram, access: Access) -> Arc<Self> {
        for why in ["origin", "full"] {
            metrics::counter!("trunkline_ws_refused_total", "why" => why).increment(0);
        }
        for why in socket::CAUSES {
            metrics::counter!("trunkline_ws_cut_off_total", "why" => why).increment(0);
        }
        metrics::gauge!("trunkline_ws_connections").set(0.0);
        Arc::new(Self {
            places: Places::new(config.max_connections, config.max_connections_per_key),
            tail: Tail::new(store.clone(), telegram.clone()),
            config,
            store,
            telegram,
            access,
        })
    }
}

/// The answer that ends HTTP on a connection.
pub struct Switching(String);

impl Answer for Switching {
    fn respond(self, _: StatusCode) -> Result<Response<Body>, Failure> {
        let mut response = Response::new(full(""));
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        super::answer::header(&mut response, SEC_WEBSOCKET_ACCEPT, &self.0);
        Ok(response)
    }

    fn describe(_: &mut SchemaGenerator) -> (&'static str, Schema) {
        (JSON, frame::describe())
    }
}

/// Takes a request for a WebSocket, or says why not.
pub async fn accept(mut call: Call) -> Result<Switching, Failure> {
    let hub = call.api.hub.clone();
    if !origin::may_pass(
        call.header(ORIGIN.as_str()),
        call.header(HOST.as_str()),
        &hub.config.allowed_origins,
    ) {
        refused("origin");
        let reason = "pages of this origin may not listen (http.websocket.allowed_origins)";
        return Err(Failure::new(Code::Forbidden).detail("reason", reason));
    }
    let query: WsQuery = call.query()?;
    let caller = call.principal()?.clone();
    let wanted = Wanted::read(&query, &caller, |name| call.session_named(name))?;
    let answer = handshake(&call)?;
    let upgrade = call.upgrade.take().ok_or_else(no_websocket)?;
    let Some(place) = hub.places.take(caller.key) else {
        refused("full");
        return Err(Failure::new(Code::TooBusy));
    };
    let listener = Listener {
        wanted,
        key: caller.key,
        language: call.language,
    };
    let listening =
        (listener.wanted.has_messages()).then(|| hub.telegram.listen(listener.wanted.sessions.clone()));
    upgrade.accept(move |connection, stop| async move {
        socket::talk(hub, listener, connection, stop).await;
        drop((place, listening));
    });
    Ok(Switching(answer))
}

fn refused(why: &'static str) {
    metrics::counter!("trunkline_ws_refused_total", "why" => why).increment(1);
}

fn no_websocket() -> Failure {
    Failure::invalid("this route speaks WebSocket (RFC 6455, version 13)")
}

/// The proof that the request was understood as a WebSocket's.
fn handshake(call: &Call) -> Result<String, Failure> {
    let is_websocket = call
        .header(UPGRADE.as_str())
        .is_some_and(|protocol| protocol.eq_ignore_ascii_case("websocket"));
    let version = call.header(SEC_WEBSOCKET_VERSION.as_str());
    let key = call.header(SEC_WEBSOCKET_KEY.as_str()).map(str::trim);
    let nonce = key.filter(|key| STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16));
    match nonce {
        Some(nonce) if is_websocket && version == Some("13") => Ok(proof(nonce)),
        _ => Err(no_websocket()),
    }
}

fn proof(nonce: &str) -> String {
    STANDARD.encode(Sha1::new().chain_update(nonce).chain_update(MAGIC).finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 6455, section 1.3.
    #[test]
    fn the_handshake_is_that_of_the_standard() {
        assert_eq!(proof("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
