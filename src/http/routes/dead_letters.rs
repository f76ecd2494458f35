//! Dead letters: tasks that were discarded. They can be put back or dropped.

use hyper::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::access::Scope;
use crate::base::{PairId, TaskId, Timestamp};
use crate::http::answer::Json;
use crate::http::call::Call;
use crate::http::failure::Failure;
use crate::http::page::Page;
use crate::http::query::Paged;
use crate::http::route::{Route, route};
use crate::ops::{DeadItem, DeadQuery};
use crate::store::LaneKind;

const TAG: &str = "dead letters";

pub(crate) fn routes() -> Vec<Route> {
    let change = |path, summary| route(TAG, Method::POST, path, summary).scope(Scope::Manage);
    let admin = |path, summary| route("admin", Method::POST, path, summary).scope(Scope::Admin);
    vec![
        route(
            TAG,
            Method::GET,
            "/api/dead-letters",
            "List discarded tasks, the latest first",
        )
        .query::<Paged<TaskFilter>>()
        .run(list),
        change(
            "/api/dead-letters/requeue",
            "Put discarded tasks back, by id or by filter",
        )
        .takes(requeue),
        change(
            "/api/dead-letters/drop",
            "Forget discarded tasks, by id or by filter",
        )
        .takes(drop_them),
        admin(
            "/api/admin/tasks/requeue",
            "Put discarded tasks back; all of them if no filter is given",
        )
        .may_take(requeue_all),
        admin(
            "/api/admin/tasks/clear",
            "Forget discarded tasks; all of them if no filter is given",
        )
        .may_take(clear),
    ]
}

/// Which discarded tasks are meant: these, or all that match.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct DeadLettersMeant {
    /// These; nothing else may be named then.
    ids: Option<Vec<TaskId>>,
    /// Only of this kind of lane.
    lane: Option<LaneKind>,
    /// Only with this code.
    code: Option<String>,
    /// Only of this pair.
    pair: Option<PairId>,
    /// Only those discarded at or after this time.
    since: Option<Timestamp>,
}

/// Which discarded tasks; all if nothing is named.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct TaskFilter {
    /// Only of this kind of lane.
    lane: Option<LaneKind>,
    /// Only with this code.
    code: Option<String>,
    /// Only of this pair.
    pair: Option<PairId>,
    /// Only those discarded at or after this time.
    since: Option<Timestamp>,
}

/// How many tasks were changed.
#[derive(Debug, Serialize, JsonSchema)]
struct Changed {
    changed: u64,
}

/// What the caller means, after it was checked.
enum Meant {
    These(Vec<TaskId>),
    Matching(DeadQuery),
}

impl DeadLettersMeant {
    fn checked(self) -> Result<Meant, Failure> {
        let query = DeadQuery {
            lane: self.lane,
            code: self.code,
            pair: self.pair,
            since: self.since,
        };
        let filtered = query != DeadQuery::default();
        match self.ids {
            Some(_) if filtered => Err(Failure::invalid("name either ids or a filter")),
            Some(ids) => Ok(Meant::These(ids)),
            None if !filtered => Err(Failure::invalid("name ids, or a filter: lane, code, pair, since")),
            None => Ok(Meant::Matching(query)),
        }
    }
}

async fn list(call: Call) -> Result<Json<Page<DeadItem>>, Failure> {
    let query: Paged<TaskFilter> = call.query()?;
    let (cursor, limit) = (query.page.cursor_as()?, query.page.limit()?);
    let (items, next) = call.api.dead_letters.list(&query.of.into(), cursor, limit)?;
    Ok(Json(Page {
        items,
        next: next.map(|key| key.to_string()),
    }))
}

async fn requeue(call: Call, meant: DeadLettersMeant) -> Result<Json<Changed>, Failure> {
    let changed = match meant.checked()? {
        Meant::These(ids) => call.api.dead_letters.requeue(&ids).await?,
        Meant::Matching(query) => call.api.dead_letters.requeue_all(&query).await?,
    };
    Ok(Json(Changed { changed }))
}

async fn drop_them(call: Call, meant: DeadLettersMeant) -> Result<Json<Changed>, Failure> {
    let changed = match meant.checked()? {
        Meant::These(ids) => call.api.dead_letters.drop(&ids).await?,
        Meant::Matching(query) => call.api.dead_letters.drop_all(&query).await?,
    };
    Ok(Json(Changed { changed }))
}

impl From<TaskFilter> for DeadQuery {
    fn from(filter: TaskFilter) -> Self {
        Self {
            lane: filter.lane,
            code: filter.code,
            pair: filter.pair,
            since: filter.since,
        }
    }
}

async fn requeue_all(call: Call, filter: TaskFilter) -> Result<Json<Changed>, Failure> {
    let changed = call.api.dead_letters.requeue_all(&filter.into()).await?;
    Ok(Json(Changed { changed }))
}

async fn clear(call: Call, filter: TaskFilter) -> Result<Json<Changed>, Failure> {
    let changed = call.api.dead_letters.drop_all(&filter.into()).await?;
    Ok(Json(Changed { changed }))
}
