//! Recovery: the tree, incidents, the audit log, a session out of quarantine, a copy of the store.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use hyper::Method;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::io::AsyncReadExt;

use crate::access::Scope;
use crate::base::Code;
use crate::http::answer::{BodyError, Done, Json, Streamed};
use crate::http::call::Call;
use crate::http::failure::Failure;
use crate::http::page::{Page, PageQuery};
use crate::http::query::Paged;
use crate::http::route::{Route, route};
use crate::model::SessionState;
use crate::ops::Incident;
use crate::ops::audit::{Deed, Entry};
use crate::runtime::TreeNode;

const TAG: &str = "admin";

/// How long the copy of an export may take.
const EXPORT: Duration = Duration::from_secs(1800);

/// Bytes of an export that are sent at once.
const CHUNK: usize = 64 * 1024;

pub(crate) fn routes() -> Vec<Route> {
    let admin = |method, path, summary| route(TAG, method, path, summary).scope(Scope::Admin);
    vec![
        admin(Method::GET, "/api/admin/tree", "The live supervision tree").run(tree),
        admin(
            Method::GET,
            "/api/admin/incidents",
            "What waits for a person, the latest first",
        )
        .query::<Paged<IncidentsQuery>>()
        .run(incidents),
        admin(
            Method::POST,
            "/api/admin/incidents/{id}/resolve",
            "Say that an incident is dealt with",
        )
        .run(resolve),
        admin(
            Method::GET,
            "/api/admin/audit",
            "Who did what to sessions and keys, the latest first",
        )
        .query::<PageQuery>()
        .run(audit),
        admin(
            Method::POST,
            "/api/admin/sessions/{id}/release",
            "Let a session out of quarantine",
        )
        .of_session()
        .run(release),
        admin(
            Method::GET,
            "/api/admin/export",
            "A consistent copy of the store; sealed values stay sealed",
        )
        .audits(&[Deed::StoreExported])
        .within(EXPORT)
        .run(export),
    ]
}

/// Which incidents.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct IncidentsQuery {
    /// Which ones: `open` (if nothing is said) or `all`.
    state: Option<WhichIncidents>,
}

/// Which incidents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum WhichIncidents {
    Open,
    All,
}

async fn tree(call: Call) -> Result<Json<TreeNode>, Failure> {
    let tree = call
        .api
        .tree
        .get()
        .ok_or_else(|| Failure::new(Code::Unavailable))?;
    Ok(Json(tree.snapshot().await))
}

async fn incidents(call: Call) -> Result<Json<Page<Incident>>, Failure> {
    let query: Paged<IncidentsQuery> = call.query()?;
    let (cursor, limit) = (query.page.cursor_as()?, query.page.limit()?);
    let open = query.of.state != Some(WhichIncidents::All);
    let (items, next) = call.api.incidents.list(open, cursor, limit)?;
    Ok(Json(Page {
        items,
        next: next.map(|id| id.to_string()),
    }))
}

async fn audit(call: Call) -> Result<Json<Page<Entry>>, Failure> {
    let query: PageQuery = call.query()?;
    let (items, next) = call.api.audit.list(query.cursor_as()?, query.limit()?)?;
    Ok(Json(Page {
        items,
        next: next.map(|id| id.to_string()),
    }))
}

async fn resolve(call: Call) -> Result<Json<Incident>, Failure> {
    let incident = call.api.incidents.resolve(call.id("id")?).await?;
    incident.map(Json).ok_or_else(Failure::not_found)
}

/// A session in quarantine begins anew; any other is left alone.
async fn release(call: Call) -> Result<Json<Done>, Failure> {
    let id = call.session()?;
    if call.api.telegram.view(id)?.account.state == SessionState::Quarantined {
        call.api.telegram.restart(id).await?;
    }
    Ok(Done::OK)
}

/// The copy is made beside the data first: a slow reader holds nobody up.
async fn export(call: Call) -> Result<Streamed<impl Stream<Item = Result<Bytes, BodyError>>>, Failure> {
    let (file, summary) = call.api.store.export_file().await?;
    let entry = call.initiator()?.does(Deed::StoreExported, "store");
    call.api.audit.add(entry.detail("rows", summary.rows)).await?;
    tracing::info!(rows = summary.rows, bytes = summary.bytes, "exporting the store");
    let file = tokio::fs::File::from_std(file);
    let chunks = futures_util::stream::try_unfold(file, async |mut file| {
        let mut chunk = BytesMut::with_capacity(CHUNK);
        let read = file.read_buf(&mut chunk).await?;
        Ok((read > 0).then(|| (chunk.freeze(), file)))
    });
    Ok(Streamed(chunks))
}
