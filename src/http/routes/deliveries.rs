//! Deliveries: one event for one endpoint, with its attempts.

use hyper::Method;

use crate::access::Scope;
use crate::http::answer::Json;
use crate::http::binding::Binding;
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
        .of(Binding::Delivery)
        .run(show),
        route(
            TAG,
            Method::POST,
            "/api/deliveries/{id}/resend",
            "Try a delivery now, or once more",
        )
        .scope(Scope::Manage)
        .of(Binding::Delivery)
        .run(resend),
    ]
}

async fn show(call: Call) -> Result<Json<DeliveryDetail>, Failure> {
    Ok(Json(call.delivery()?))
}

async fn resend(call: Call) -> Result<Json<Delivery>, Failure> {
    let id = call.delivery()?.delivery.id;
    Ok(Json(call.api.webhooks.resend(id).await?))
}
