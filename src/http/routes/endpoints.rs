//! Webhook endpoints.

use hyper::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::access::{Principal, Scope};
use crate::base::{Code, EndpointId, Timestamp};
use crate::http::answer::{Done, Json};
use crate::http::binding::{Binding, sees_endpoint};
use crate::http::call::Call;
use crate::http::failure::Failure;
use crate::http::page::{Page, PageQuery};
use crate::http::route::{Route, route};
use crate::ops::audit::Deed;
use crate::webhook::{Delivery, Endpoint, EndpointPatch, EndpointStatsView, NewEndpoint};

const TAG: &str = "webhooks";

pub(crate) fn routes() -> Vec<Route> {
    let row = |method, path, summary| route(TAG, method, path, summary).of(Binding::Endpoint);
    let look = |path, summary| row(Method::GET, path, summary);
    let change = |method, path, summary| row(method, path, summary).scope(Scope::Manage);
    let steer = |path, summary| change(Method::POST, path, summary);
    vec![
        look("/api/webhooks/endpoints", "List the endpoints")
            .of(Binding::Own)
            .query::<PageQuery>()
            .run(list),
        steer(
            "/api/webhooks/endpoints",
            "Make an endpoint; its secret is in this answer only",
        )
        .of(Binding::Own)
        .creates()
        .reveals(&["secret"])
        .takes(create),
        look("/api/webhooks/endpoints/{id}", "Show an endpoint").run(show),
        change(
            Method::PATCH,
            "/api/webhooks/endpoints/{id}",
            "Change an endpoint",
        )
        .takes(patch),
        change(
            Method::DELETE,
            "/api/webhooks/endpoints/{id}",
            "Delete an endpoint and what waits for it",
        )
        .even_gone()
        .run(delete),
        steer(
            "/api/webhooks/endpoints/{id}/rotate-secret",
            "Make a new secret; the old one signs too for a day",
        )
        .reveals(&["secret"])
        .run(rotate_secret),
        look(
            "/api/webhooks/endpoints/{id}/secret",
            "The secret of an endpoint that the configuration set up",
        )
        .scope(Scope::Admin)
        .audits(&[Deed::SecretShown])
        .run(configured_secret),
        steer("/api/webhooks/endpoints/{id}/send-example", "Deliver an example").may_take(send_example),
        steer(
            "/api/webhooks/endpoints/{id}/recover",
            "Deliver what happened since a time and did not arrive",
        )
        .takes(recover),
        steer("/api/webhooks/endpoints/{id}/enable", "Make deliveries again").run(enable),
        steer(
            "/api/webhooks/endpoints/{id}/disable",
            "Make no deliveries for now; what waits goes on waiting",
        )
        .run(disable),
        look(
            "/api/webhooks/endpoints/{id}/deliveries",
            "The deliveries of an endpoint, the latest first",
        )
        .query::<PageQuery>()
        .run(deliveries),
        look("/api/webhooks/endpoints/{id}/stats", "The numbers of an endpoint").run(stats),
    ]
}

/// An endpoint with its secret, shown this once.
#[derive(Debug, Serialize, JsonSchema)]
struct EndpointShown {
    #[serde(flatten)]
    endpoint: Endpoint,
    /// What signs the deliveries, as Standard Webhooks write it.
    secret: String,
}

/// The secret of an endpoint.
#[derive(Debug, Serialize, JsonSchema)]
struct EndpointSecret {
    /// What signs the deliveries, as Standard Webhooks write it.
    secret: String,
}

/// Of what to send an example.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct ExampleRequest {
    /// The event type; `message.new` if nothing is said.
    #[serde(rename = "type")]
    kind: Option<String>,
}

/// From when on to deliver again.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RecoverRequest {
    since: Timestamp,
}

/// An endpoint as the caller may see it: what follows the question mark of its URL may be a secret, and is for those
/// who may change it.
fn shown(caller: &Principal, mut endpoint: Endpoint) -> Endpoint {
    if !caller.may(Scope::Manage)
        && let Some(end) = endpoint.url.find(['?', '#'])
    {
        endpoint.url.truncate(end);
    }
    endpoint
}

/// The sessions by their ids; a key that is bound to sessions has to name some of them.
fn sessions(call: &Call, names: Vec<String>) -> Result<Vec<String>, Failure> {
    let all = names.is_empty() || names.iter().any(|name| name == "*");
    if !all {
        let named = |name: &String| call.session_named(name).map(|id| id.to_string());
        return names.iter().map(named).collect();
    }
    if call.principal()?.sees_all() {
        Ok(names)
    } else {
        Err(Failure::bound())
    }
}

async fn list(call: Call) -> Result<Json<Page<Endpoint>>, Failure> {
    let caller = call.principal()?;
    let query: PageQuery = call.query()?;
    let endpoints = call.api.webhooks.list()?.into_iter();
    let endpoints = endpoints
        .filter(|endpoint| sees_endpoint(caller, endpoint))
        .map(|endpoint| shown(caller, endpoint))
        .collect();
    Ok(Json(query.cut(endpoints, |endpoint: &Endpoint| endpoint.id)?))
}

async fn create(call: Call, mut new: NewEndpoint) -> Result<Json<EndpointShown>, Failure> {
    new.sessions = sessions(&call, new.sessions)?;
    let owner = call.principal()?.owner.clone();
    let id = call.new_id(EndpointId::from_bytes);
    let (endpoint, secret) = call.api.webhooks.create_as(id, owner, new).await?;
    Ok(Json(EndpointShown {
        endpoint,
        secret: secret.expose().to_owned(),
    }))
}

async fn show(call: Call) -> Result<Json<Endpoint>, Failure> {
    Ok(Json(shown(call.principal()?, call.endpoint()?)))
}

async fn patch(call: Call, mut change: EndpointPatch) -> Result<Json<Endpoint>, Failure> {
    let id = call.endpoint()?.id;
    if let Some(names) = change.sessions {
        change.sessions = Some(sessions(&call, names)?);
    }
    Ok(Json(call.api.webhooks.patch(id, change).await?))
}

async fn delete(call: Call) -> Result<Json<Done>, Failure> {
    let result = match call.endpoint() {
        Ok(endpoint) => call.api.webhooks.delete(endpoint.id).await.map_err(Failure::from),
        Err(failure) => Err(failure),
    };
    match result {
        Err(failure) if !call.is_gone(&failure) => Err(failure),
        _ => Ok(Done::OK),
    }
}

async fn rotate_secret(call: Call) -> Result<Json<EndpointSecret>, Failure> {
    let secret = call.api.webhooks.rotate_secret(call.endpoint()?.id).await?;
    Ok(Json(EndpointSecret {
        secret: secret.expose().to_owned(),
    }))
}

/// The secret of any other endpoint was shown when it was made, and is shown again by no route.
async fn configured_secret(call: Call) -> Result<Json<EndpointSecret>, Failure> {
    let secret = call
        .api
        .webhooks
        .configured_secret(call.endpoint()?.id, call.initiator()?)
        .await?;
    let secret = secret.ok_or_else(|| {
        Failure::new(Code::Conflict).detail(
            "reason",
            "only the secret of a configured endpoint is shown again",
        )
    })?;
    Ok(Json(EndpointSecret {
        secret: secret.expose().to_owned(),
    }))
}

async fn send_example(call: Call, body: ExampleRequest) -> Result<Json<Delivery>, Failure> {
    let id = call.endpoint()?.id;
    Ok(Json(
        call.api.webhooks.send_example(id, body.kind.as_deref()).await?,
    ))
}

async fn recover(call: Call, body: RecoverRequest) -> Result<Json<Done>, Failure> {
    call.api.webhooks.recover(call.endpoint()?.id, body.since).await?;
    Ok(Done::OK)
}

async fn enable(call: Call) -> Result<Json<Endpoint>, Failure> {
    Ok(Json(call.api.webhooks.enable(call.endpoint()?.id).await?))
}

async fn disable(call: Call) -> Result<Json<Endpoint>, Failure> {
    Ok(Json(call.api.webhooks.disable(call.endpoint()?.id).await?))
}

async fn deliveries(call: Call) -> Result<Json<Page<Delivery>>, Failure> {
    let id = call.endpoint()?.id;
    let query: PageQuery = call.query()?;
    let cursor = query.cursor_as()?;
    let (items, next) = call.api.webhooks.deliveries(id, cursor, query.limit()?)?;
    Ok(Json(Page {
        items,
        next: next.map(|id| id.to_string()),
    }))
}

async fn stats(call: Call) -> Result<Json<EndpointStatsView>, Failure> {
    Ok(Json(call.api.webhooks.stats(call.endpoint()?.id)?))
}
