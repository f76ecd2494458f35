//! Replacing the auth key of a session.

use hyper::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::session_health::Chosen;
use crate::access::Scope;
use crate::base::{RotationId, Secret};
use crate::http::answer::Json;
use crate::http::binding::Binding;
use crate::http::call::Call;
use crate::http::failure::Failure;
use crate::http::route::{Route, route};
use crate::ops::audit::Deed;

pub(crate) fn routes() -> Vec<Route> {
    let path = "/api/telegram-auth/rotate-session";
    let summary = "Replace a session's auth key by a fresh one of the same account";
    vec![
        route("session health", Method::POST, path, summary)
            .scope(Scope::Manage)
            .of(Binding::Chosen)
            .begins()
            .audits(&[Deed::RotationBegun])
            .query::<Chosen>()
            .takes(rotate),
    ]
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RotationRequest {
    /// The account's password, if it has one.
    #[schemars(with = "Option<String>")]
    password: Option<Secret>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct RotationBegun {
    success: bool,
    /// The rotation; `session_rotation` events tell how it goes.
    rotation_id: RotationId,
    #[schemars(with = "String", extend("format" = "uuid"))]
    session_id: Uuid,
}

async fn rotate(call: Call, body: RotationRequest) -> Result<Json<RotationBegun>, Failure> {
    let id = call.session()?;
    let telegram = &call.api.telegram;
    let rotation_id = telegram.rotate(id, body.password, call.initiator()?).await?;
    Ok(Json(RotationBegun {
        success: true,
        rotation_id,
        session_id: telegram.view(id)?.account.uuid,
    }))
}
