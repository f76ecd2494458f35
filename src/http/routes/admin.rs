//! Recovery: the tree, incidents, a session out of quarantine, a copy of the store.

use hyper::Method;

use crate::access::Scope;
use crate::base::Code;
use crate::http::answer::{Done, Json};
use crate::http::call::Call;
use crate::http::failure::Failure;
use crate::http::route::{Route, route};
use crate::model::SessionState;
use crate::runtime::TreeNode;

const TAG: &str = "admin";

pub(crate) fn routes() -> Vec<Route> {
    let admin = |method, path, summary| route(TAG, method, path, summary).scope(Scope::Admin);
    vec![
        admin(Method::GET, "/api/admin/tree", "The live supervision tree").run(tree),
        admin(
            Method::POST,
            "/api/admin/sessions/{id}/release",
            "Let a session out of quarantine",
        )
        .run(release),
    ]
}

async fn tree(call: Call) -> Result<Json<TreeNode>, Failure> {
    let tree = call
        .api
        .tree
        .get()
        .ok_or_else(|| Failure::new(Code::Unavailable))?;
    Ok(Json(tree.snapshot().await))
}

/// A session in quarantine begins anew; any other is left alone.
async fn release(call: Call) -> Result<Json<Done>, Failure> {
    let id = call.session()?;
    if call.api.telegram.view(id)?.account.state == SessionState::Quarantined {
        call.api.telegram.restart(id).await?;
    }
    Ok(Done::OK)
}
