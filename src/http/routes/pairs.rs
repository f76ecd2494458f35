//! Forwarding pairs.

use hyper::Method;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::access::Scope;
use crate::base::{Code, PairId};
use crate::forward::{Mode, NewPair, OnDelete, OnEdit, Pair, PairError, PairKind, PairPatch, Place, Rules};
use crate::http::answer::{Done, Json};
use crate::http::binding::{Binding, sees_pair};
use crate::http::call::Call;
use crate::http::failure::Failure;
use crate::http::page::{Page, PageQuery};
use crate::http::route::{Route, route};
use crate::model::{ChatId, MessageId};

const TAG: &str = "pairs";

pub(crate) fn routes() -> Vec<Route> {
    let change = |method, path, summary| route(TAG, method, path, summary).scope(Scope::Manage);
    vec![
        route(TAG, Method::GET, "/api/pairs", "List the forwarding pairs")
            .of(Binding::Own)
            .query::<PageQuery>()
            .run(list),
        change(Method::POST, "/api/pairs", "Join a source to a destination")
            .of(Binding::Own)
            .creates()
            .takes(create),
        route(TAG, Method::GET, "/api/pairs/{id}", "Show a pair")
            .of(Binding::Pair)
            .run(show),
        change(Method::PATCH, "/api/pairs/{id}", "Change how a pair forwards")
            .of(Binding::Pair)
            .takes(patch),
        change(
            Method::DELETE,
            "/api/pairs/{id}",
            "Delete a pair; what waits is dropped",
        )
        .of(Binding::Pair)
        .even_gone()
        .run(delete),
        change(
            Method::POST,
            "/api/pairs/{id}/pause",
            "Let a pair wait; what arrives is kept",
        )
        .of(Binding::Pair)
        .run(pause),
        change(Method::POST, "/api/pairs/{id}/resume", "Let a pair go on")
            .of(Binding::Pair)
            .run(resume),
        route(
            "admin",
            Method::POST,
            "/api/admin/pairs/{id}/restart",
            "Restart the worker of a pair",
        )
        .scope(Scope::Admin)
        .of(Binding::Pair)
        .run(restart),
    ]
}

/// A chat as a session sees it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PlaceDraft {
    /// The session.
    session: String,
    /// The chat, as the Bot API numbers it.
    chat: ChatId,
    /// The forum topic, by its first message.
    topic: Option<MessageId>,
}

impl PlaceDraft {
    fn place(&self, call: &Call, field: &str) -> Result<Place, Failure> {
        let unknown = |failure: Failure| match failure.code {
            Code::NotFound => failure
                .detail("reason", format!("{field} names no session that there is"))
                .detail("field", field),
            _ => failure,
        };
        Ok(Place {
            session: call.session_named(&self.session).map_err(unknown)?,
            chat: self.chat,
            topic: self.topic,
        })
    }
}

/// A pair to be made.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PairDraft {
    /// A name for people.
    #[serde(default)]
    name: String,
    /// What is joined to what.
    #[serde(default)]
    kind: PairKind,
    /// Where messages come from.
    source: PlaceDraft,
    /// Where they go.
    destination: PlaceDraft,
    /// How they are passed on.
    #[serde(default)]
    mode: Mode,
    /// Whether copies come without a notification.
    #[serde(default)]
    silent: bool,
    /// Seconds between a message and its copy.
    #[serde(default)]
    delay: u32,
    /// What is forwarded and how it is changed.
    #[serde(default)]
    rules: Rules,
    /// What an edit leads to.
    #[serde(default)]
    on_edit: OnEdit,
    /// What a deletion leads to.
    #[serde(default)]
    on_delete: OnDelete,
}

async fn list(call: Call) -> Result<Json<Page<Pair>>, Failure> {
    let caller = call.principal()?;
    let query: PageQuery = call.query()?;
    let pairs = call
        .api
        .pairs
        .list()?
        .into_iter()
        .filter(|pair| sees_pair(caller, pair))
        .collect();
    Ok(Json(query.cut(pairs, |pair: &Pair| pair.id)?))
}

async fn create(call: Call, draft: PairDraft) -> Result<Json<Pair>, Failure> {
    let new = NewPair {
        source: draft.source.place(&call, "source.session")?,
        destination: draft.destination.place(&call, "destination.session")?,
        name: draft.name,
        kind: draft.kind,
        mode: draft.mode,
        silent: draft.silent,
        delay: draft.delay,
        rules: draft.rules,
        on_edit: draft.on_edit,
        on_delete: draft.on_delete,
    };
    let caller = call.principal()?;
    let id = call.new_id(PairId::from_bytes);
    match call.api.pairs.create_as(id, new, caller.owner.clone()).await {
        // Whoever may not see that pair is not told which it is.
        Err(PairError::Exists(other))
            if !call
                .api
                .pairs
                .get(other)
                .is_ok_and(|pair| sees_pair(caller, &pair)) =>
        {
            Err(Failure::new(Code::Conflict))
        }
        made => Ok(Json(made?)),
    }
}

async fn show(call: Call) -> Result<Json<Pair>, Failure> {
    Ok(Json(call.pair()?))
}

async fn patch(call: Call, change: PairPatch) -> Result<Json<Pair>, Failure> {
    let id = call.pair()?.id;
    Ok(Json(call.api.pairs.patch(id, change).await?))
}

async fn delete(call: Call) -> Result<Json<Done>, Failure> {
    let id: PairId = match call.pair() {
        Ok(pair) => pair.id,
        Err(failure) if call.is_gone(&failure) => return Ok(Done::OK),
        Err(failure) => return Err(failure),
    };
    call.api.pairs.delete(id).await?;
    Ok(Done::OK)
}

async fn pause(call: Call) -> Result<Json<Pair>, Failure> {
    let id = call.pair()?.id;
    Ok(Json(call.api.pairs.pause(id).await?))
}

async fn resume(call: Call) -> Result<Json<Pair>, Failure> {
    let id = call.pair()?.id;
    Ok(Json(call.api.pairs.resume(id).await?))
}

async fn restart(call: Call) -> Result<Json<Pair>, Failure> {
    let id = call.pair()?.id;
    Ok(Json(call.api.pairs.restart(id).await?))
}
