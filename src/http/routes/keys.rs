//! API keys.

use std::collections::BTreeSet;
use std::time::Duration;

use hyper::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::access::{ApiKey, NewKey, Scope};
use crate::base::{KeyId, Owner, Timestamp};
use crate::http::answer::{Done, Json};
use crate::http::call::Call;
use crate::http::failure::Failure;
use crate::http::page::{Page, PageQuery};
use crate::http::route::{Route, route};
use crate::ops::audit::Deed;

const TAG: &str = "keys";

pub(crate) fn routes() -> Vec<Route> {
    let rows = [
        route(TAG, Method::GET, "/api/keys", "List the API keys").query::<PageQuery>(),
        route(
            TAG,
            Method::POST,
            "/api/keys",
            "Make a key; its text is in this answer only",
        )
        .creates()
        .audits(&[Deed::KeyMade])
        .reveals(&["key"]),
        route(TAG, Method::DELETE, "/api/keys/{id}", "Revoke a key at once").audits(&[Deed::KeyRevoked]),
        route(
            TAG,
            Method::POST,
            "/api/keys/{id}/rotate",
            "Give a key another text; it is in this answer only",
        )
        .audits(&[Deed::KeyRotated])
        .reveals(&["key"]),
    ];
    let [listing, making, revoking, rotating] = rows.map(|row| row.scope(Scope::Admin));
    vec![
        listing.run(list),
        making.takes(create),
        revoking.run(revoke),
        rotating.may_take(rotate),
    ]
}

/// A key, without its text.
#[derive(Debug, Serialize, JsonSchema)]
struct KeyView {
    id: KeyId,
    name: String,
    scopes: BTreeSet<Scope>,
    /// The only sessions it knows; `["*"]` for all.
    sessions: Vec<String>,
    owner: Owner,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    /// To the minute.
    last_used_at: Option<Timestamp>,
}

impl KeyView {
    fn of(key: ApiKey, last_used_at: Option<Timestamp>) -> Self {
        let sessions = match key.sessions {
            None => vec!["*".to_owned()],
            Some(bound) => bound.iter().map(ToString::to_string).collect(),
        };
        Self {
            id: key.id,
            name: key.name,
            scopes: key.scopes,
            sessions,
            owner: key.owner,
            created_at: key.created_at,
            expires_at: key.expires_at,
            last_used_at,
        }
    }
}

/// A key with its text, shown this once.
#[derive(Debug, Serialize, JsonSchema)]
struct KeyShown {
    #[serde(flatten)]
    view: KeyView,
    /// The text to send as `X-API-Key`.
    key: String,
}

/// What a new key shall be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct KeyDraft {
    /// What to call it.
    name: String,
    /// What it may do: read, send, manage, admin; each includes those before it.
    scopes: BTreeSet<Scope>,
    /// The only sessions it shall know; all (`["*"]`) if left out.
    sessions: Option<Vec<String>>,
    /// When it ends; never if left out.
    expires_at: Option<Timestamp>,
}

/// How a key is rotated.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Rotation {
    /// For how many seconds the text before still works.
    overlap_seconds: u64,
}

async fn list(call: Call) -> Result<Json<Page<KeyView>>, Failure> {
    let keys = call.api.access.list()?;
    let views = keys
        .into_iter()
        .map(|(key, used)| KeyView::of(key, used))
        .collect();
    let query: PageQuery = call.query()?;
    Ok(Json(query.cut(views, |key: &KeyView| key.id)?))
}

async fn create(call: Call, draft: KeyDraft) -> Result<Json<KeyShown>, Failure> {
    let sessions = match draft.sessions {
        Some(names) if names != ["*"] => {
            let bound: Result<_, _> = names.iter().map(|name| call.session_named(name)).collect();
            Some(bound?)
        }
        _ => None,
    };
    let new = NewKey {
        name: draft.name,
        scopes: draft.scopes,
        sessions,
        expires_at: draft.expires_at,
        owner: Owner::admin(),
    };
    let (key, text) = call
        .api
        .access
        .create_as(call.new_id(KeyId::from_bytes), new, call.initiator()?)
        .await?;
    Ok(Json(KeyShown {
        view: KeyView::of(key, None),
        key: text.expose().to_owned(),
    }))
}

async fn rotate(call: Call, rotation: Rotation) -> Result<Json<KeyShown>, Failure> {
    let overlap = Duration::from_secs(rotation.overlap_seconds);
    let (id, by) = (call.id("id")?, call.initiator()?);
    let (key, text) = call.api.access.rotate(id, overlap, by).await?;
    Ok(Json(KeyShown {
        view: KeyView::of(key, None),
        key: text.expose().to_owned(),
    }))
}

async fn revoke(call: Call) -> Result<Json<Done>, Failure> {
    let id: KeyId = call.id("id")?;
    call.api.access.revoke(id, call.initiator()?).await?;
    Ok(Done::OK)
}
