//! Agent sessions, for a backend that connects its agents' accounts: the same login process and the
//! same sends under that backend's words.

use hyper::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::login::seconds_left;
use super::messages::{Text, send};
use crate::access::Scope;
use crate::base::{Code, Secret, SessionId, Timestamp};
use crate::http::answer::Json;
use crate::http::call::Call;
use crate::http::failure::Failure;
use crate::http::route::{Route, route};
use crate::http::texts::said;
use crate::model::{ChatId, LoginStep, MessageId, SessionState, Wanted};
use crate::telegram::{NewAccount, SessionView};

const TAG: &str = "agent sessions";

pub(crate) fn routes() -> Vec<Route> {
    let change = |path, summary| route(TAG, Method::POST, path, summary).scope(Scope::Manage);
    vec![
        change(
            "/api/telegram/request-code",
            "Have Telegram send a login code for an agent's account",
        )
        .takes(request_code),
        change("/api/telegram/verify-code", "Submit the code").takes(verify_code),
        change(
            "/api/telegram/disconnect",
            "Log out at Telegram and delete the session",
        )
        .takes(disconnect),
        route(
            TAG,
            Method::GET,
            "/api/telegram/status/{session_id}",
            "Whether an agent's account is connected",
        )
        .run(status),
        route(TAG, Method::POST, "/api/telegram/send-message", "Send a text")
            .scope(Scope::Send)
            .idempotent()
            .takes(send_message),
    ]
}

/// Whose login it is: a new one of an agent, or one that goes on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CodeRequest {
    /// The agent; an agent has one session.
    agent_id: Option<i64>,
    /// The session whose login goes on.
    session_id: Option<String>,
    /// The account's phone number, with its country code.
    phone: String,
    /// Any JSON object, echoed in every event.
    metadata: Option<serde_json::Map<String, serde_json::Value>>,
    /// Whether a live session of the agent gives way.
    #[serde(default)]
    replace: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
struct CodeRequested {
    success: bool,
    #[schemars(with = "String", extend("format" = "uuid"))]
    session_id: Uuid,
    /// How the code was sent: `app`, `sms`, `call`, …
    code_type: String,
    code_length: i32,
    expires_in: u64,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CodeTyped {
    session_id: String,
    code: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Connected {
    success: bool,
    connected: bool,
    phone: Option<String>,
    user_id: Option<i64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OfSession {
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
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AgentMessage {
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

async fn request_code(call: Call, body: CodeRequest) -> Result<Json<CodeRequested>, Failure> {
    let id = match (&body.session_id, body.agent_id) {
        (Some(_), Some(_)) | (None, None) => {
            return Err(Failure::invalid("name either agent_id or session_id"));
        }
        (Some(name), None) => call.session_named(name)?,
        (None, Some(agent)) => session_of_agent(&call, agent, &body).await?,
    };
    let sent = call.api.telegram.request_code(id, &body.phone).await?;
    Ok(Json(CodeRequested {
        success: true,
        session_id: call.api.telegram.view(id)?.account.uuid,
        code_type: sent.code_type,
        code_length: sent.code_length,
        expires_in: seconds_left(sent.expires_at),
    }))
}

/// The session in which an agent logs in: a dead one again, else a new one.
async fn session_of_agent(call: &Call, agent: i64, body: &CodeRequest) -> Result<SessionId, Failure> {
    let telegram = &call.api.telegram;
    let caller = call.principal()?;
    if let Some(session) = telegram
        .list()
        .into_iter()
        .find(|session| session.account.agent_id == Some(agent))
    {
        let account = session.account;
        if !caller.sees(account.id) {
            return Err(Failure::not_found());
        }
        let live = account.user_id.is_some() && !account.state.is_terminal();
        if !live {
            return Ok(account.id);
        }
        if !body.replace {
            return Err(Failure::new(Code::SessionExists).detail("session_id", account.uuid.to_string()));
        }
        telegram.delete(account.id).await?;
    }
    if !caller.sees_all() {
        return Err(Failure::bound());
    }
    let new = NewAccount {
        name: None,
        agent_id: Some(agent),
        phone: Some(Secret::new(body.phone.clone())),
        metadata: body.metadata.clone().map(Into::into),
        warm: false,
        owner: Some(caller.owner.clone()),
    };
    Ok(telegram.add(new).await?.account.id)
}

async fn verify_code(call: Call, body: CodeTyped) -> Result<Json<Connected>, Failure> {
    let id = call.session_named(&body.session_id)?;
    let account = call.api.telegram.submit_code(id, &body.code).await?.account;
    Ok(Json(Connected {
        success: true,
        connected: true,
        phone: account.phone.map(|phone| phone.expose().to_owned()),
        user_id: account.user_id,
    }))
}

async fn disconnect(call: Call, body: OfSession) -> Result<Json<Said>, Failure> {
    let id = call.session_named(&body.session_id)?;
    call.api.telegram.delete(id).await?;
    Ok(Json(Said {
        success: true,
        message: said::disconnected(call.language),
    }))
}

async fn status(call: Call) -> Result<Json<AgentStatus>, Failure> {
    let id = call.session_named(call.param("session_id")?)?;
    let SessionView {
        account,
        last_proof,
        last_update,
        ..
    } = call.api.telegram.view(id)?;
    let whole = call.principal()?.may(Scope::Manage);
    Ok(Json(AgentStatus {
        success: true,
        connected: account.state.is_connected(),
        phone: match whole {
            true => account.phone.as_ref().map(|phone| phone.expose().to_owned()),
            false => account.masked_phone(),
        },
        user_id: account.user_id,
        last_activity: last_update.max(last_proof),
        state: account.state,
        wanted: account.wanted,
        login_step: account.login.as_ref().map(|login| login.step),
    }))
}

async fn send_message(call: Call, draft: AgentMessage) -> Result<Json<AgentMessageSent>, Failure> {
    let text = Text {
        session: call.session_named(&draft.session_id)?,
        chat: draft.chat_id,
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
