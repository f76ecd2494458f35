//! Sessions: added, changed, started, stopped, logged out, deleted; their chats.

use hyper::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::access::Scope;
use crate::base::name::is_name;
use crate::base::{Owner, Secret, SessionId, Timestamp};
use crate::http::answer::{Done, Json};
use crate::http::binding::Binding;
use crate::http::call::Call;
use crate::http::failure::Failure;
use crate::http::page::{Page, PageQuery};
use crate::http::query::Paged;
use crate::http::route::{Route, route};
use crate::limiter::Budgets;
use crate::model::{ChatId, ChatKind, LoginStep, SessionState, Wanted};
use crate::ops::audit::Deed;
use crate::telegram::{self, AccountPatch, ChatInfo, Form, NewAccount};

const TAG: &str = "sessions";

pub(crate) fn routes() -> Vec<Route> {
    let change = |method, path, summary| route(TAG, method, path, summary).scope(Scope::Manage);
    vec![
        route(TAG, Method::GET, "/api/sessions", "List the sessions")
            .of(Binding::Own)
            .query::<PageQuery>()
            .run(list),
        change(
            Method::POST,
            "/api/sessions",
            "Add a session, to be logged in next or imported",
        )
        .creates()
        .audits(&[Deed::Imported])
        .takes(create),
        route(TAG, Method::GET, "/api/sessions/{id}", "Show a session")
            .of_session()
            .run(show),
        change(
            Method::PATCH,
            "/api/sessions/{id}",
            "Change name, agent, metadata or the warm-up",
        )
        .of_session()
        .takes(patch),
        change(
            Method::DELETE,
            "/api/sessions/{id}",
            "Log a session out at Telegram and delete it",
        )
        .audits(&[Deed::Deleted])
        .of_session()
        .even_gone()
        .run(delete),
        change(Method::POST, "/api/sessions/{id}/start", "Let a session run")
            .of_session()
            .run(start),
        change(
            Method::POST,
            "/api/sessions/{id}/stop",
            "Let a session rest; it stays logged in",
        )
        .of_session()
        .run(stop),
        change(
            Method::POST,
            "/api/sessions/{id}/restart",
            "Stop and start a session",
        )
        .of_session()
        .run(restart),
        change(
            Method::POST,
            "/api/sessions/{id}/logout",
            "End the authorisation at Telegram; the session stays",
        )
        .audits(&[Deed::LoggedOut])
        .of_session()
        .run(logout),
        route(
            TAG,
            Method::GET,
            "/api/sessions/{id}/chats",
            "The chats a session knows",
        )
        .of_session()
        .query::<Paged<ChatsQuery>>()
        .run(chats),
        route(
            TAG,
            Method::POST,
            "/api/sessions/{id}/export",
            "The session's authorisation, for another program; whoever has it is the account",
        )
        .scope(Scope::Admin)
        .audits(&[Deed::Exported])
        .of_session()
        .reveals(&["session"])
        .takes(export),
        route(
            TAG,
            Method::GET,
            "/api/sessions/{id}/limits",
            "What is left of a session's budgets, and what holds it back",
        )
        .of_session()
        .run(limits),
    ]
}

/// A session.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Session")]
struct SessionView {
    id: SessionId,
    /// The id of agent sessions; it works wherever `id` does.
    #[schemars(with = "String", extend("format" = "uuid"))]
    session_id: Uuid,
    name: Option<String>,
    agent_id: Option<i64>,
    user_id: Option<i64>,
    username: Option<String>,
    /// Whole for the scope manage, its middle hidden else.
    phone: Option<String>,
    state: SessionState,
    /// Why it is in this state, as a stable word.
    reason: Option<String>,
    wanted: Wanted,
    since: Timestamp,
    /// When Telegram answered a ping or sent an update last.
    last_proof: Option<Timestamp>,
    last_update: Option<Timestamp>,
    /// Only with recent proof of life.
    connected: bool,
    /// The login under way.
    login: Option<LoginView>,
    /// The data centre where the account lives; none before its first connection.
    dc: Option<i32>,
    restarts: u64,
    /// Whether it needs no warm-up here; see `limits` for the day of one.
    warm: bool,
    /// The caller's own JSON, echoed in every event.
    metadata: Option<Value>,
    owner: Owner,
    created_at: Timestamp,
}

/// A login under way.
#[derive(Debug, Serialize, JsonSchema)]
struct LoginView {
    step: LoginStep,
    /// Seconds until it ends by itself.
    expires_in: u64,
}

impl SessionView {
    fn of(session: telegram::SessionView, call: &Call) -> Self {
        let account = session.account;
        let whole = call
            .caller
            .as_ref()
            .is_some_and(|caller| caller.may(Scope::Manage));
        let phone = match whole {
            true => account.phone.as_ref().map(|phone| phone.expose().to_owned()),
            false => account.masked_phone(),
        };
        let now = Timestamp::now();
        Self {
            id: account.id,
            session_id: account.uuid,
            phone,
            state: account.state,
            wanted: account.wanted,
            since: account.since,
            last_proof: session.last_proof,
            last_update: session.last_update,
            connected: account.state.is_connected(),
            login: account.login.as_ref().map(|login| LoginView {
                step: login.step,
                expires_in: login.expires_at.since(now).as_secs(),
            }),
            dc: session.dc,
            restarts: session.restarts,
            warm: account.warm,
            metadata: account.metadata(),
            name: account.name,
            agent_id: account.agent_id,
            user_id: account.user_id,
            username: account.username,
            reason: account.reason,
            owner: account.owner,
            created_at: account.created_at,
        }
    }
}

/// A session to be added.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SessionDraft {
    /// A name for people.
    name: Option<String>,
    /// The backend's agent; an agent has one session.
    agent_id: Option<i64>,
    /// The account's phone number.
    phone: Option<String>,
    /// Any JSON object, echoed in every event.
    metadata: Option<Map<String, Value>>,
    /// Whether the account is used to sending, so that it needs no warm-up here (`limiter.warm_up`).
    #[serde(default)]
    warm: bool,
    /// An authorisation that another program made; it is tried at Telegram first.
    import: Option<ImportDraft>,
}

/// An authorisation of another program.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum ImportDraft {
    /// A Telethon session string.
    Telethon(#[schemars(with = "String")] Secret),
    /// A Pyrogram session string.
    Pyrogram(#[schemars(with = "String")] Secret),
    /// `dc:key`, the key in hexadecimal digits or base64.
    AuthKey(#[schemars(with = "String")] Secret),
}

impl ImportDraft {
    fn parts(&self) -> (Form, &Secret) {
        match self {
            Self::Telethon(text) => (Form::Telethon, text),
            Self::Pyrogram(text) => (Form::Pyrogram, text),
            Self::AuthKey(text) => (Form::AuthKey, text),
        }
    }
}

/// How an authorisation is written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ExportDraft {
    form: Form,
}

/// An authorisation for another program.
#[derive(Debug, Serialize, JsonSchema)]
struct Exported {
    id: SessionId,
    form: Form,
    /// As that program takes it.
    session: String,
}

/// What is to be different; what is not named stays, null takes it away.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SessionChange {
    #[serde(default, deserialize_with = "named")]
    name: Option<Option<String>>,
    #[serde(default, deserialize_with = "named")]
    agent_id: Option<Option<i64>>,
    #[serde(default, deserialize_with = "named")]
    metadata: Option<Option<Map<String, Value>>>,
    /// Whether it needs no warm-up here.
    warm: Option<bool>,
}

/// Tells null from absence.
pub(super) fn named<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// How long names and metadata may be.
const LONGEST_NAME: usize = 100;
const LARGEST_METADATA: usize = 16 * 1024;

pub(super) fn check(name: Option<&String>, metadata: Option<&Map<String, Value>>) -> Result<(), Failure> {
    if name.is_some_and(|name| !is_name(name, LONGEST_NAME)) {
        let why = "name must have 1 to 100 characters, none of them a control character";
        return Err(Failure::invalid(why).detail("field", "name"));
    }
    let size = metadata.map_or(0, |metadata| Value::from(metadata.clone()).to_string().len());
    if size > LARGEST_METADATA {
        return Err(Failure::invalid("metadata is larger than 16 KiB").detail("field", "metadata"));
    }
    Ok(())
}

/// Which chats.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ChatsQuery {
    /// Only those whose title or username contains this.
    query: Option<String>,
}

/// A chat that a session knows.
#[derive(Debug, Serialize, JsonSchema)]
struct ChatView {
    /// As the Bot API numbers it.
    id: ChatId,
    kind: ChatKind,
    title: Option<String>,
    username: Option<String>,
    /// Whether forwarding and saving its messages is forbidden.
    protected: bool,
}

impl From<ChatInfo> for ChatView {
    fn from(chat: ChatInfo) -> Self {
        Self {
            id: chat.id,
            kind: chat.kind,
            title: chat.title,
            username: chat.username,
            protected: chat.protected,
        }
    }
}

async fn list(call: Call) -> Result<Json<Page<SessionView>>, Failure> {
    let caller = call.principal()?;
    let sessions = call.api.telegram.list().into_iter();
    let seen: Vec<_> = sessions
        .filter(|session| caller.sees(session.account.id))
        .collect();
    let query: PageQuery = call.query()?;
    let page = query.cut(seen, |session| session.account.id)?;
    let items = page
        .items
        .into_iter()
        .map(|session| SessionView::of(session, &call))
        .collect();
    Ok(Json(Page {
        items,
        next: page.next,
    }))
}

async fn create(call: Call, draft: SessionDraft) -> Result<Json<SessionView>, Failure> {
    check(draft.name.as_ref(), draft.metadata.as_ref())?;
    let caller = call.principal()?;
    let new = NewAccount {
        id: call.new_id(SessionId::from_bytes),
        name: draft.name,
        agent_id: draft.agent_id,
        phone: draft.phone.map(Secret::new),
        metadata: draft.metadata.map(Value::from),
        warm: draft.warm,
        for_login: false,
        replaces: None,
        owner: Some(caller.owner.clone()),
    };
    let Some(import) = draft.import else {
        return shown(&call, call.api.telegram.add(new).await?);
    };
    let (form, text) = import.parts();
    let by = call.initiator()?;
    shown(&call, call.api.telegram.import(new, form, text, by).await?)
}

async fn export(call: Call, draft: ExportDraft) -> Result<Json<Exported>, Failure> {
    let id = call.session()?;
    let by = call.initiator()?;
    let session = call.api.telegram.export(id, draft.form, by).await?;
    Ok(Json(Exported {
        id,
        form: draft.form,
        session: session.expose().to_owned(),
    }))
}

async fn show(call: Call) -> Result<Json<SessionView>, Failure> {
    shown(&call, call.api.telegram.view(call.session()?)?)
}

async fn patch(call: Call, change: SessionChange) -> Result<Json<SessionView>, Failure> {
    let id = call.session()?;
    let inner = |value: &Option<Option<String>>| value.clone().flatten();
    check(
        inner(&change.name).as_ref(),
        change.metadata.as_ref().and_then(Option::as_ref),
    )?;
    let patch = AccountPatch {
        name: change.name,
        agent_id: change.agent_id,
        metadata: change.metadata.map(|metadata| metadata.map(Value::from)),
        warm: change.warm,
    };
    shown(&call, call.api.telegram.patch(id, patch).await?)
}

/// Logs a session out and deletes it.
pub(super) async fn delete_now(call: &Call, id: SessionId) -> Result<(), Failure> {
    Ok(call.api.telegram.delete(id, call.initiator()?).await?)
}

async fn delete(call: Call) -> Result<Json<Done>, Failure> {
    let result = match call.session() {
        Ok(id) => delete_now(&call, id).await,
        Err(failure) => Err(failure),
    };
    match result {
        // Deleting it again, or by two at once, does no harm; a bound key learns nothing about sessions that are not
        // its own.
        Err(failure) if !call.is_gone(&failure) => Err(failure),
        _ => Ok(Done::OK),
    }
}

async fn start(call: Call) -> Result<Json<SessionView>, Failure> {
    let id = call.session()?;
    shown(&call, call.api.telegram.start(id).await?)
}

async fn stop(call: Call) -> Result<Json<SessionView>, Failure> {
    let id = call.session()?;
    shown(&call, call.api.telegram.stop(id).await?)
}

async fn restart(call: Call) -> Result<Json<SessionView>, Failure> {
    let id = call.session()?;
    shown(&call, call.api.telegram.restart(id).await?)
}

async fn logout(call: Call) -> Result<Json<SessionView>, Failure> {
    let id = call.session()?;
    shown(&call, call.api.telegram.log_out(id, call.initiator()?).await?)
}

async fn chats(call: Call) -> Result<Json<Page<ChatView>>, Failure> {
    let id = call.session()?;
    let query: Paged<ChatsQuery> = call.query()?;
    let mut chats = call.api.telegram.chats(id, query.of.query.as_deref())?;
    chats.sort_by_key(|chat| chat.id);
    let page = query.page.cut(chats, |chat: &ChatInfo| chat.id.0)?;
    let items = page.items.into_iter().map(ChatView::from).collect();
    Ok(Json(Page {
        items,
        next: page.next,
    }))
}

async fn limits(call: Call) -> Result<Json<Budgets>, Failure> {
    Ok(Json(call.api.telegram.limits(call.session()?).await?))
}

fn shown(call: &Call, session: telegram::SessionView) -> Result<Json<SessionView>, Failure> {
    Ok(Json(SessionView::of(session, call)))
}
