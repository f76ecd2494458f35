//! Agent sessions, for a backend that connects its agents' accounts: what is there, and the same sends under that
//! backend's words. How they log in stands in `agent_login`.

use hyper::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::agent_login::picture_now;
use super::messages::{Text, send};
use super::sessions::{check, delete_now, named};
use crate::access::Scope;
use crate::base::Timestamp;
use crate::http::answer::Json;
use crate::http::binding::Binding;
use crate::http::call::Call;
use crate::http::failure::Failure;
use crate::http::page::{Page, PageQuery};
use crate::http::route::{Route, route};
use crate::http::texts::said;
use crate::model::{ChatId, LoginStep, MessageId, SessionState, Wanted};
use crate::ops::audit::Deed;
use crate::telegram::{Account, AccountPatch, SessionView};

const TAG: &str = "agent sessions";

pub(crate) fn routes() -> Vec<Route> {
    let change = |method, path, summary| route(TAG, method, path, summary).scope(Scope::Manage);
    vec![
        change(
            Method::POST,
            "/api/telegram/disconnect",
            "Log out at Telegram and delete the session",
        )
        .audits(&[Deed::Deleted])
        .of(Binding::Body)
        .takes(disconnect),
        route(
            TAG,
            Method::GET,
            "/api/telegram/status/{session_id}",
            "Whether an agent's account is connected",
        )
        .of(Binding::Path("session_id"))
        .run(status),
        route(
            TAG,
            Method::GET,
            "/api/telegram/accounts",
            "List the agents' accounts",
        )
        .of(Binding::Own)
        .query::<PageQuery>()
        .run(accounts),
        change(
            Method::PATCH,
            "/api/telegram/accounts/{session_id}",
            "Change name or metadata of an agent's account",
        )
        .of(Binding::Path("session_id"))
        .takes(change_account),
        change(
            Method::DELETE,
            "/api/telegram/accounts/{session_id}",
            "Log an agent's account out at Telegram and delete its session",
        )
        .audits(&[Deed::Deleted])
        .of(Binding::Path("session_id"))
        .even_gone()
        .run(unlink),
        route(TAG, Method::POST, "/api/telegram/send-message", "Send a text")
            .scope(Scope::Send)
            .of(Binding::Body)
            .takes(send_message),
    ]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OfSession {
    #[expect(dead_code, reason = "dispatch has looked it up")]
    session_id: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Said {
    success: bool,
    message: &'static str,
}

#[derive(Debug, Serialize, JsonSchema)]
struct AgentStatus {
    success: bool,
    connected: bool,
    /// Whole for the scope manage, its middle hidden else.
    phone: Option<String>,
    user_id: Option<i64>,
    last_activity: Option<Timestamp>,
    state: SessionState,
    wanted: Wanted,
    login_step: Option<LoginStep>,
    /// The account owner's hint at the password, while that is asked for; only for the scope manage.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    /// The picture of the QR to be scanned now, as a data URL; only for the scope manage.
    qr_code: Option<String>,
}

/// An agent's account, as the backend lists it.
#[derive(Debug, Serialize, JsonSchema)]
struct AgentAccount {
    #[schemars(with = "String", extend("format" = "uuid"))]
    session_id: Uuid,
    agent_id: Option<i64>,
    name: Option<String>,
    /// Whole for the scope manage, its middle hidden else.
    phone: Option<String>,
    user_id: Option<i64>,
    username: Option<String>,
    /// Whether it has an authorisation.
    is_active: bool,
    connected: bool,
    state: SessionState,
    wanted: Wanted,
    login_step: Option<LoginStep>,
    connected_at: Option<Timestamp>,
    last_activity: Option<Timestamp>,
    /// The caller's own JSON, echoed in every event.
    metadata: Option<Value>,
}

/// What is to be different; what is not named stays, null takes it away.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AccountChange {
    #[serde(default, deserialize_with = "named")]
    name: Option<Option<String>>,
    #[serde(default, deserialize_with = "named")]
    metadata: Option<Option<Map<String, Value>>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AgentMessage {
    #[expect(dead_code, reason = "dispatch has looked it up")]
    session_id: String,
    chat_id: ChatId,
    message: String,
    reply_to: Option<MessageId>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct AgentMessageSent {
    success: bool,
    message_id: MessageId,
    sent_at: Timestamp,
}

async fn disconnect(call: Call, _: OfSession) -> Result<Json<Said>, Failure> {
    let id = call.session()?;
    delete_now(&call, id).await?;
    Ok(gone(&call))
}

fn gone(call: &Call) -> Json<Said> {
    Json(Said {
        success: true,
        message: said::disconnected(call.language),
    })
}

async fn status(call: Call) -> Result<Json<AgentStatus>, Failure> {
    let id = call.session()?;
    let SessionView {
        account,
        last_proof,
        last_update,
        ..
    } = call.api.telegram.view(id)?;
    let manages = call.principal()?.may(Scope::Manage);
    Ok(Json(AgentStatus {
        success: true,
        connected: account.state.is_connected(),
        phone: phone_of(&account, manages),
        user_id: account.user_id,
        last_activity: last_update.max(last_proof),
        state: account.state,
        wanted: account.wanted,
        login_step: account.login.as_ref().map(|login| login.step),
        hint: account
            .login
            .as_ref()
            .filter(|_| manages)
            .and_then(|login| login.hint.clone()),
        // Whoever scans it decides which account the agent has.
        qr_code: picture_now(&account).filter(|_| manages),
    }))
}

fn phone_of(account: &Account, whole: bool) -> Option<String> {
    match whole {
        true => account.phone.as_ref().map(|phone| phone.expose().to_owned()),
        false => account.masked_phone(),
    }
}

async fn accounts(call: Call) -> Result<Json<Page<AgentAccount>>, Failure> {
    let caller = call.principal()?;
    let sessions = call.api.telegram.list().into_iter();
    let seen: Vec<_> = sessions
        .filter(|session| session.account.agent_id.is_some() && caller.sees(session.account.id))
        .collect();
    let query: PageQuery = call.query()?;
    let page = query.cut(seen, |session| session.account.id)?;
    let manages = caller.may(Scope::Manage);
    let items = page.items.into_iter();
    Ok(Json(Page {
        items: items.map(|session| account_of(session, manages)).collect(),
        next: page.next,
    }))
}

fn account_of(session: SessionView, whole: bool) -> AgentAccount {
    let account = session.account;
    AgentAccount {
        session_id: account.uuid,
        agent_id: account.agent_id,
        phone: phone_of(&account, whole),
        user_id: account.user_id,
        is_active: account.is_authorised(),
        connected: account.state.is_connected(),
        state: account.state,
        wanted: account.wanted,
        login_step: account.login.as_ref().map(|login| login.step),
        connected_at: account.connected_at,
        last_activity: session.last_update.max(session.last_proof),
        metadata: account.metadata(),
        name: account.name,
        username: account.username,
    }
}

async fn change_account(call: Call, change: AccountChange) -> Result<Json<AgentAccount>, Failure> {
    let id = call.session()?;
    check(
        change.name.as_ref().and_then(Option::as_ref),
        change.metadata.as_ref().and_then(Option::as_ref),
    )?;
    let patch = AccountPatch {
        name: change.name,
        metadata: change.metadata.map(|metadata| metadata.map(Value::from)),
        ..AccountPatch::default()
    };
    let session = call.api.telegram.patch(id, patch).await?;
    Ok(Json(account_of(session, true)))
}

async fn unlink(call: Call) -> Result<Json<Said>, Failure> {
    let deleted = match call.session() {
        Ok(id) => delete_now(&call, id).await,
        Err(failure) => Err(failure),
    };
    match deleted {
        // Unlinking it again does no harm.
        Err(failure) if !call.is_gone(&failure) => Err(failure),
        _ => Ok(gone(&call)),
    }
}

async fn send_message(call: Call, draft: AgentMessage) -> Result<Json<AgentMessageSent>, Failure> {
    let text = Text {
        session: call.session()?,
        chat: draft.chat_id,
        file: None,
        text: draft.message,
        entities: Vec::new(),
        reply_to: draft.reply_to,
        silent: false,
    };
    let sent = send(&call, text).await?;
    Ok(Json(AgentMessageSent {
        success: true,
        message_id: sent.message_id,
        sent_at: sent.sent_at,
    }))
}
