//! Which sessions a route concerns, and whether they exist for the caller.
//!
//! A key may be bound to sessions; then nothing else exists for it. A row says what it is about, and dispatch looks
//! that up and refuses before a handler runs: a handler is handed a session, a pair, an endpoint or a delivery, and has
//! no other way to one than through the caller. A row that says nothing is closed to bound keys.
//!
//! It does not filter lists: those of [`Binding::Own`] show what the caller sees, by [`Principal::sees`].

use serde::Deserialize;

use super::body::meaning;
use super::call::Call;
use super::failure::Failure;
use super::route::Route;
use crate::access::Principal;
use crate::base::SessionId;
use crate::forward::Pair;
use crate::webhook::{DeliveryDetail, Endpoint};

/// What a route is about, for keys that are bound to sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// More than single sessions: closed to bound keys.
    Unbound,
    /// No session at all.
    Nothing,
    /// Whatever the caller sees: a list, or a body in which each session is looked up for the caller.
    Own,
    /// The session that this parameter of the path names.
    Path(&'static str),
    /// The session that `session_id` of the query names.
    Query,
    /// The same, or the only one that the caller sees.
    Chosen,
    /// The session that `session_id` of the body names.
    Body,
    /// The pair of the path; it belongs to those who see both its sessions.
    Pair,
    /// The endpoint of the path; it belongs to those who see every session that it is told of.
    Endpoint,
    /// The delivery of the path; it belongs to those to whom its endpoint belongs.
    Delivery,
}

impl Binding {
    /// How the document says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unbound => "all",
            Self::Nothing => "none",
            Self::Own => "own",
            Self::Path(_) | Self::Query | Self::Chosen | Self::Body => "named",
            Self::Pair | Self::Endpoint | Self::Delivery => "of-object",
        }
    }
}

/// What a request is about, as it exists for its caller.
#[derive(Clone, Debug)]
pub enum Target {
    /// Nothing of these.
    None,
    /// A session.
    Session(SessionId),
    /// A forwarding pair.
    Pair(Box<Pair>),
    /// A webhook endpoint.
    Endpoint(Box<Endpoint>),
    /// A delivery to an endpoint.
    Delivery(Box<DeliveryDetail>),
}

/// `?session_id=`; what else a query may hold is its route's business.
#[derive(Deserialize)]
struct Named {
    session_id: Option<String>,
}

/// Looks up what head and path of a request are about, and refuses what does not exist for its caller.
pub(super) fn resolve(route: &Route, call: &mut Call) -> Result<(), Failure> {
    settle(route, call, |call| match route.binding {
        Binding::Unbound => match &call.caller {
            Some(caller) if !caller.sees_all() => Err(Failure::bound()),
            _ => Ok(Target::None),
        },
        Binding::Nothing | Binding::Own | Binding::Body => Ok(Target::None),
        Binding::Path(name) => call.session_named(call.param(name)?).map(Target::Session),
        Binding::Query => {
            let named = named(&call.query);
            let name = named.ok_or_else(|| Failure::missing("session_id"))?;
            call.session_named(&name).map(Target::Session)
        }
        Binding::Chosen => {
            let named = named(&call.query);
            call.chosen(named.as_deref()).map(Target::Session)
        }
        Binding::Pair => {
            let pair = call.api.pairs.get(call.id("id")?)?;
            let caller = call.principal()?;
            let seen = sees_pair(caller, &pair);
            seen.then(|| Target::Pair(Box::new(pair)))
                .ok_or_else(Failure::not_found)
        }
        Binding::Endpoint => {
            let endpoint = call.api.webhooks.get(call.id("id")?)?;
            let seen = sees_endpoint(call.principal()?, &endpoint);
            seen.then(|| Target::Endpoint(Box::new(endpoint)))
                .ok_or_else(Failure::not_found)
        }
        Binding::Delivery => {
            let detail = call.api.webhooks.delivery(call.id("id")?)?;
            let endpoint = call.api.webhooks.get(detail.delivery.endpoint)?;
            let seen = sees_endpoint(call.principal()?, &endpoint);
            seen.then(|| Target::Delivery(Box::new(detail)))
                .ok_or_else(Failure::not_found)
        }
    })
}

/// The same for the body, which has been found to be of the route's form.
pub(super) fn resolve_body(route: &Route, call: &mut Call, body: &[u8]) -> Result<(), Failure> {
    if route.binding != Binding::Body {
        return Ok(());
    }
    settle(route, call, |call| {
        let named: Named = serde_json::from_slice(meaning(body)).unwrap_or(Named { session_id: None });
        let name = named.session_id.ok_or_else(|| Failure::missing("session_id"))?;
        call.session_named(&name).map(Target::Session)
    })
}

/// A row may leave it to its handler what becomes of a request whose object is gone: the handler has no object then.
fn settle(
    route: &Route,
    call: &mut Call,
    look: impl FnOnce(&Call) -> Result<Target, Failure>,
) -> Result<(), Failure> {
    let found = look(call);
    match found {
        Err(failure) if !route.even_gone => Err(failure),
        found => {
            call.target = found;
            Ok(())
        }
    }
}

fn named(query: &str) -> Option<String> {
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    let found = pairs.find(|(name, _)| name == "session_id");
    found.map(|(_, value)| value.into_owned())
}

/// A pair exists for those who see both its sessions.
pub fn sees_pair(caller: &Principal, pair: &Pair) -> bool {
    caller.sees(pair.source.session) && caller.sees(pair.destination.session)
}

/// An endpoint exists for those who see every session that it is told of.
pub fn sees_endpoint(caller: &Principal, endpoint: &Endpoint) -> bool {
    caller.sees_all()
        || endpoint
            .sessions
            .iter()
            .all(|name| name.parse().is_ok_and(|session| caller.sees(session)))
}
