//! Agents log in, for a backend that connects their accounts: by QR, by code, with a password; and the QR itself.

use hyper::header::{ACCEPT, VARY};
use hyper::{Method, Response, StatusCode};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::login::{LOGIN_TOKEN, SUBMITTED, seconds_left};
use super::sessions::{check, delete_now};
use crate::access::Scope;
use crate::base::{Code, Secret, SessionId, Timestamp};
use crate::http::answer::{Answer, Body, Json, full, header, json, typed};
use crate::http::binding::Binding;
use crate::http::call::Call;
use crate::http::failure::Failure;
use crate::http::picture;
use crate::http::route::{Route, route};
use crate::model::LoginStep;
use crate::ops::audit::Deed;
use crate::telegram::{Account, AccountPatch, CodeDetails, NewAccount, ShownQr, TelegramError};

const TAG: &str = "agent sessions";

type Metadata = serde_json::Map<String, serde_json::Value>;

pub(crate) fn routes() -> Vec<Route> {
    let change = |path, summary| route(TAG, Method::POST, path, summary).scope(Scope::Manage);
    vec![
        change(
            "/api/telegram/request-qr",
            "Show a QR by which an agent's account logs in",
        )
        .audits(&[Deed::LoginBegun])
        .of(Binding::Own)
        .reveals(LOGIN_TOKEN)
        .takes(request_qr),
        change(
            "/api/telegram/request-code",
            "Have Telegram send a login code for an agent's account; again to have it sent anew",
        )
        .audits(&[Deed::LoginBegun])
        .of(Binding::Own)
        .takes(request_code),
        change("/api/telegram/verify-code", "Submit the code")
            .audits(SUBMITTED)
            .of(Binding::Body)
            .takes(verify_code),
        change("/api/telegram/verify-password", "Submit the account's password")
            .audits(SUBMITTED)
            .of(Binding::Body)
            .takes(verify_password),
        route(
            TAG,
            Method::GET,
            "/api/telegram/qr/{session_id}",
            "The QR of a login as it is now: PNG, JSON, or what it says",
        )
        .scope(Scope::Manage)
        .of(Binding::Path("session_id"))
        .query::<QrQuery>()
        .run(qr),
    ]
}

/// Whose login by QR it is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct QrRequest {
    /// The agent; an agent has one session.
    agent_id: i64,
    /// Has a code sent to this number too; the login takes whichever comes first.
    phone: Option<String>,
    /// Any JSON object, echoed in every event.
    metadata: Option<Metadata>,
    /// Whether a live session of the agent gives way once this login has succeeded.
    #[serde(default)]
    replace: bool,
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
    metadata: Option<Metadata>,
    /// Whether a live session of the agent gives way once this login has succeeded.
    #[serde(default)]
    replace: bool,
}

/// A QR to be scanned.
#[derive(Debug, Serialize, JsonSchema)]
struct QrShown {
    success: bool,
    #[schemars(with = "String", extend("format" = "uuid"))]
    session_id: Uuid,
    /// The picture, as a data URL.
    qr_code: String,
    /// Seconds until the login ends by itself.
    expires_in: u64,
    /// What the QR says.
    login_url: String,
    /// Seconds until this QR is followed by another.
    qr_expires_in: u64,
}

/// What came of asking for a code.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
enum CodeRequested {
    Sent {
        success: bool,
        #[schemars(with = "String", extend("format" = "uuid"))]
        session_id: Uuid,
        /// How the code was sent: `app`, `sms`, `call`, `flash_call`, `missed_call`, `fragment`, `word`, `phrase`, `email`.
        code_type: String,
        /// How many digits it has, if Telegram tells.
        #[serde(skip_serializing_if = "Option::is_none")]
        code_length: Option<i32>,
        #[serde(flatten)]
        details: CodeDetails,
        expires_in: u64,
    },
    /// Telegram wanted no code: a token of the account's last login or log-out was as good.
    Passed {
        #[schemars(with = "String", extend("format" = "uuid"))]
        session_id: Uuid,
        #[serde(flatten)]
        verified: Verified,
    },
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CodeTyped {
    #[expect(dead_code, reason = "dispatch has looked it up")]
    session_id: String,
    code: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PasswordTyped {
    #[expect(dead_code, reason = "dispatch has looked it up")]
    session_id: String,
    #[schemars(with = "String")]
    password: Secret,
}

/// What came of a submit.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
enum Verified {
    Connected {
        success: bool,
        connected: bool,
        phone: Option<String>,
        user_id: Option<i64>,
    },
    PasswordWanted {
        success: bool,
        connected: bool,
        requires_password: bool,
        /// The account owner's hint.
        hint: Option<String>,
        /// Whether Telegram can reset the password by mail; that is done in its app.
        has_recovery: bool,
        /// What Telegram shows of the account's login address.
        #[serde(skip_serializing_if = "Option::is_none")]
        email_pattern: Option<String>,
    },
}

impl Verified {
    fn of(account: Account) -> Self {
        match account.login {
            Some(login) if login.step == LoginStep::InputPassword => Self::PasswordWanted {
                success: true,
                connected: false,
                requires_password: true,
                hint: login.hint,
                has_recovery: login.has_recovery,
                email_pattern: login.email_pattern,
            },
            _ => Self::Connected {
                success: true,
                connected: true,
                phone: account.phone.map(|phone| phone.expose().to_owned()),
                user_id: account.user_id,
            },
        }
    }
}

async fn request_qr(call: Call, body: QrRequest) -> Result<Json<QrShown>, Failure> {
    let (agent, phone) = (body.agent_id, body.phone.clone());
    let whose = Whose {
        phone: body.phone,
        metadata: body.metadata,
        replace: body.replace,
    };
    let id = session_of_agent(&call, agent, whose).await?;
    let by = call.initiator()?;
    let session = call.api.telegram.request_qr(id, phone.as_deref(), by).await?;
    Ok(Json(shown(&session.account)?))
}

async fn request_code(call: Call, body: CodeRequest) -> Result<Json<CodeRequested>, Failure> {
    let phone = body.phone.clone();
    let id = match (&body.session_id, body.agent_id) {
        (Some(_), Some(_)) | (None, None) => {
            return Err(Failure::invalid("name either agent_id or session_id"));
        }
        (Some(_), None) if body.metadata.is_some() || body.replace => {
            return Err(Failure::invalid("metadata and replace go with agent_id"));
        }
        (Some(name), None) => call.session_named(name)?,
        (None, Some(agent)) => {
            let whose = Whose {
                phone: Some(body.phone),
                metadata: body.metadata,
                replace: body.replace,
            };
            session_of_agent(&call, agent, whose).await?
        }
    };
    let by = call.initiator()?;
    let account = call.api.telegram.request_code(id, &phone, by).await?.account;
    let step = account.login.as_ref().map(|login| login.step);
    if step.is_none_or(|step| step == LoginStep::InputPassword) {
        return Ok(Json(CodeRequested::Passed {
            session_id: account.uuid,
            verified: Verified::of(account),
        }));
    }
    let login = account.login.as_ref().ok_or_else(|| misfit(&account))?;
    let sent = login.code.as_ref().ok_or_else(|| misfit(&account))?;
    Ok(Json(CodeRequested::Sent {
        success: true,
        session_id: account.uuid,
        code_type: sent.kind.clone(),
        code_length: Some(sent.length).filter(|length| *length > 0),
        details: sent.details.clone(),
        expires_in: seconds_left(login.expires_at),
    }))
}

async fn verify_code(call: Call, body: CodeTyped) -> Result<Json<Verified>, Failure> {
    let id = call.session()?;
    let (telegram, by) = (&call.api.telegram, call.initiator()?);
    let session = telegram.submit_code(id, &body.code, by).await?;
    Ok(Json(Verified::of(session.account)))
}

async fn verify_password(call: Call, body: PasswordTyped) -> Result<Json<Verified>, Failure> {
    let id = call.session()?;
    let (telegram, by) = (&call.api.telegram, call.initiator()?);
    let session = telegram.submit_password(id, body.password, by).await?;
    Ok(Json(Verified::of(session.account)))
}

/// What a new login of an agent brings with it.
struct Whose {
    phone: Option<String>,
    metadata: Option<Metadata>,
    replace: bool,
}

/// The session in which an agent logs in: a dead one again, the one that is logging in, else a new one, which may be
/// to take the place of a live one.
async fn session_of_agent(call: &Call, agent: i64, whose: Whose) -> Result<SessionId, Failure> {
    check(None, whose.metadata.as_ref())?;
    let telegram = &call.api.telegram;
    let caller = call.principal()?;
    let mut replaces = None;
    if let Some(holder) = telegram.of_agent(agent) {
        if !caller.sees(holder.id) {
            return Err(Failure::not_found());
        }
        let live = holder.is_authorised();
        if live && !whose.replace {
            return Err(Failure::new(Code::SessionExists).detail("session_id", holder.uuid.to_string()));
        }
        replaces = live.then_some(holder.id);
        let going_on = telegram.successor_of(holder.id);
        if let Some(account) = going_on.or_else(|| (!live).then_some(holder)) {
            let step = account.login.as_ref().map(|login| login.step);
            let begins_anew = whose.replace && step == Some(LoginStep::InputPassword);
            if !caller.sees(account.id) || (begins_anew && !caller.sees_all()) {
                return Err(Failure::bound());
            }
            if !begins_anew {
                if whose.metadata.is_some() {
                    let patch = AccountPatch {
                        metadata: Some(whose.metadata.map(Into::into)),
                        ..AccountPatch::default()
                    };
                    telegram.patch(account.id, patch).await?;
                }
                return Ok(account.id);
            }
            delete_now(call, account.id).await?;
        }
    }
    if !caller.sees_all() {
        return Err(Failure::bound());
    }
    let new = NewAccount {
        agent_id: Some(agent),
        phone: whose.phone.map(Secret::new),
        metadata: whose.metadata.map(Into::into),
        for_login: true,
        replaces,
        owner: Some(caller.owner.clone()),
        ..NewAccount::default()
    };
    match telegram.add(new).await {
        // Another request of the same agent came at the same time.
        Err(TelegramError::AgentExists(other)) => Ok(other),
        added => Ok(added?.account.id),
    }
}

/// The step that a login is at, to one who took it for another.
fn misfit(account: &Account) -> Failure {
    match &account.login {
        Some(login) => TelegramError::LoginStep(login.step).into(),
        None if account.is_authorised() => TelegramError::LoginStep(LoginStep::Complete).into(),
        None => account.no_login().into(),
    }
}

/// The QR that a session shows now.
fn current(account: &Account) -> Result<ShownQr, Failure> {
    let login = account.login.as_ref().ok_or_else(|| misfit(account))?;
    if login.step != LoginStep::DisplayQr {
        return Err(misfit(account));
    }
    // Between two tokens there is none while the connection is away.
    let shown = login.current_qr(Timestamp::now()).cloned();
    shown.ok_or_else(|| TelegramError::NotConnected(account.state).into())
}

fn shown(account: &Account) -> Result<QrShown, Failure> {
    let qr = current(account)?;
    let end = account.login.as_ref().map(|login| login.expires_at);
    Ok(QrShown {
        success: true,
        session_id: account.uuid,
        qr_code: picture_of(&qr, picture::data_url)?,
        expires_in: end.map_or(0, seconds_left),
        login_url: qr.url(),
        qr_expires_in: seconds_left(qr.expires_at),
    })
}

/// The picture of the QR that a session shows, as a data URL; none if it shows none.
pub(super) fn picture_now(account: &Account) -> Option<String> {
    let login = account.login.as_ref()?;
    let waits = login.step == LoginStep::DisplayQr;
    let qr = login.current_qr(Timestamp::now()).filter(|_| waits)?;
    picture::data_url(&qr.url())
}

fn picture_of<T>(qr: &ShownQr, draw: fn(&str) -> Option<T>) -> Result<T, Failure> {
    draw(&qr.url()).ok_or_else(|| {
        tracing::error!("a login token does not fit into a QR");
        Failure::new(Code::Internal)
    })
}

/// In which form.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct QrQuery {
    /// `raw`: what the QR says, as a text. Else the header Accept decides.
    format: Option<Format>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Format {
    Raw,
}

/// A QR in one of its forms.
enum Qr {
    Picture(Vec<u8>),
    Told(QrShown),
    Raw(String),
}

impl Answer for Qr {
    fn respond(self, status: StatusCode) -> Result<Response<Body>, Failure> {
        let mut response = match self {
            Self::Picture(bytes) => typed(status, "image/png", full(bytes)),
            Self::Told(shown) => json(status, &shown)?,
            Self::Raw(url) => typed(status, "text/plain; charset=utf-8", full(url)),
        };
        header(&mut response, VARY, ACCEPT.as_str());
        Ok(response)
    }

    fn describe(generator: &mut SchemaGenerator) -> (&'static str, Schema) {
        ("application/json", generator.subschema_for::<QrShown>())
    }
}

async fn qr(call: Call) -> Result<Qr, Failure> {
    let query: QrQuery = call.query()?;
    let id = call.session()?;
    let account = call.api.telegram.view(id)?.account;
    Ok(match query.format {
        Some(Format::Raw) => Qr::Raw(current(&account)?.url()),
        None if wants_picture(call.header("accept")) => {
            Qr::Picture(picture_of(&current(&account)?, picture::png)?)
        }
        None => Qr::Told(shown(&account)?),
    })
}

/// Whether a caller likes a picture better than JSON: it names one, and names it first.
fn wants_picture(accept: Option<&str>) -> bool {
    let mut kinds = accept.unwrap_or_default().split(',').map(|range| {
        let kind = range.split(';').next().unwrap_or_default();
        kind.trim().to_ascii_lowercase()
    });
    let first = kinds.find(|kind| kind.starts_with("image/") || kind == "application/json");
    first.is_some_and(|kind| kind != "application/json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_for_those_who_ask_for_one() {
        assert!(wants_picture(Some("image/png")));
        assert!(wants_picture(Some("image/avif,image/webp,image/*,*/*;q=0.8")));
        assert!(!wants_picture(Some("application/json, image/png")));
        assert!(!wants_picture(Some("*/*")));
        assert!(!wants_picture(None));
    }
}
