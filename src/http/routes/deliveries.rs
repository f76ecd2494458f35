//! Deliveries: one event for one endpoint, with its attempts.

use hyper::Method;

use super::endpoints::seen;
use crate::access::Scope;
use crate::http::answer::Json;
use crate::http::call::Call;
use crate::http::failure::Failure;
use crate::http::route::{Route, route};
use crate::webhook::{Delivery, DeliveryDetail};

const TAG: &str = "webhooks";

pub(crate) fn routes() -> Vec<Route> {
    vec![
        route(
            TAG,
            Method::GET,
            "/api/deliveries/{id}",
            "Show a delivery and its attempts",
        )
        .run(show),
        route(
            TAG,
            Method::POST,
            "/api/deliveries/{id}/resend",
            "Try a delivery now, or once more",
        )
        .scope(Scope::Manage)
        .run(resend),
    ]
}

/// The delivery that the path names, if its endpoint exists for the caller.
fn delivery(call: &Call) -> Result<DeliveryDetail, Failure> {
    let detail = call.api.webhooks.delivery(call.id("id")?)?;
    let endpoint = call.api.webhooks.get(detail.delivery.endpoint)?;
    if seen(call.principal()?, &endpoint) {
        Ok(detail)
    } else {
        Err(Failure::not_found())
    }
}

async fn show(call: Call) -> Result<Json<DeliveryDetail>, Failure> {
    Ok(Json(delivery(&call)?))
}

async fn resend(call: Call) -> Result<Json<Delivery>, Failure> {
    let id = delivery(&call)?.delivery.id;
    Ok(Json(call.api.webhooks.resend(id).await?))
}
