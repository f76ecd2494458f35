//! Logging a session in, step by step: by QR or by code, with a password besides.

use hyper::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::agent_login::picture_now;
use crate::access::Scope;
use crate::base::{Code, Secret, StepId, Timestamp};
use crate::http::answer::{Done, Json};
use crate::http::call::Call;
use crate::http::failure::Failure;
use crate::http::route::{Route, route};
use crate::model::LoginStep;
use crate::ops::audit::Deed;
use crate::telegram::{CodeDetails, SessionView, ShownQr};

const TAG: &str = "login";

/// What may come of a code or a password that is handed in.
pub(super) const SUBMITTED: &[Deed] = &[Deed::LoginRefused, Deed::LoggedIn];
/// The fields that let whoever sees them log in.
pub(super) const LOGIN_TOKEN: &[&str] = &["qr_code", "login_url"];

pub(crate) fn routes() -> Vec<Route> {
    let row = |path, summary| route(TAG, Method::POST, path, summary).of_session();
    let step = |path, summary| row(path, summary).scope(Scope::Manage);
    vec![
        step(
            "/api/sessions/{id}/login",
            "Show a QR to log in by; with a number have Telegram send a code, again to have it sent anew",
        )
        .audits(&[Deed::LoginBegun])
        .reveals(LOGIN_TOKEN)
        .may_take(begin),
        step("/api/sessions/{id}/login/code", "Submit the code")
            .audits(SUBMITTED)
            .reveals(LOGIN_TOKEN)
            .takes(code),
        step(
            "/api/sessions/{id}/login/password",
            "Submit the account's password",
        )
        .audits(SUBMITTED)
        .reveals(LOGIN_TOKEN)
        .takes(password),
        step("/api/sessions/{id}/login/cancel", "End the login process")
            .even_gone()
            .run(cancel),
    ]
}

/// How to log in.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Begin {
    /// The number to send a code to, with its country code; without one, a QR is shown.
    phone: Option<String>,
}

/// A code to be checked.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TypedCode {
    code: String,
}

/// A password to be checked.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TypedPassword {
    #[schemars(with = "String")]
    password: Secret,
}

/// What the login process waits for.
#[derive(Debug, Serialize, JsonSchema)]
struct StepView {
    step: LoginStep,
    /// Names this step; the same step begun anew has another name.
    #[serde(skip_serializing_if = "Option::is_none")]
    step_id: Option<StepId>,
    /// How the code was sent: `app`, `sms`, `call`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    code_type: Option<String>,
    /// How many digits it has, if Telegram tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    code_length: Option<i32>,
    #[serde(flatten)]
    details: CodeDetails,
    /// The picture of the QR, as a data URL; it is followed by another, which the session's `qr` route shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    qr_code: Option<String>,
    /// What the QR says.
    #[serde(skip_serializing_if = "Option::is_none")]
    login_url: Option<String>,
    /// The account owner's hint at the password.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    /// Whether Telegram can reset the password by mail; that is done in its app.
    #[serde(skip_serializing_if = "Option::is_none")]
    has_recovery: Option<bool>,
    /// Seconds until the process ends by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<u64>,
    /// The account that is logged in.
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<i64>,
}

impl StepView {
    fn of(session: SessionView) -> Json<Self> {
        let account = session.account;
        let qr_code = picture_now(&account);
        let Some(login) = account.login else {
            return Json(Self {
                step: LoginStep::Complete,
                step_id: None,
                code_type: None,
                code_length: None,
                details: CodeDetails::default(),
                qr_code: None,
                login_url: None,
                hint: None,
                has_recovery: None,
                expires_in: None,
                user_id: account.user_id,
            });
        };
        let shown = login.current_qr(Timestamp::now());
        let asks_password = login.step == LoginStep::InputPassword;
        let details = match (&login.code, asks_password) {
            (_, true) => CodeDetails {
                email_pattern: login.email_pattern.clone(),
                ..CodeDetails::default()
            },
            (Some(sent), false) => sent.details.clone(),
            (None, false) => CodeDetails::default(),
        };
        Json(Self {
            login_url: shown.filter(|_| qr_code.is_some()).map(ShownQr::url),
            qr_code,
            step: login.step,
            step_id: Some(login.step_id),
            code_length: login
                .code
                .as_ref()
                .map(|sent| sent.length)
                .filter(|many| *many > 0),
            details,
            code_type: login.code.map(|sent| sent.kind),
            hint: login.hint,
            has_recovery: asks_password.then_some(login.has_recovery),
            expires_in: Some(seconds_left(login.expires_at)),
            user_id: None,
        })
    }
}

/// Seconds until a time.
pub(crate) fn seconds_left(end: Timestamp) -> u64 {
    end.since(Timestamp::now()).as_millis().div_ceil(1000) as u64
}

async fn begin(call: Call, body: Begin) -> Result<Json<StepView>, Failure> {
    let (id, telegram) = (call.session()?, &call.api.telegram);
    let by = call.initiator()?;
    let session = match &body.phone {
        Some(phone) => telegram.request_code(id, phone, by).await?,
        None => telegram.request_qr(id, None, by).await?,
    };
    Ok(StepView::of(session))
}

async fn code(call: Call, body: TypedCode) -> Result<Json<StepView>, Failure> {
    let id = call.session()?;
    let (telegram, by) = (&call.api.telegram, call.initiator()?);
    Ok(StepView::of(telegram.submit_code(id, &body.code, by).await?))
}

async fn password(call: Call, body: TypedPassword) -> Result<Json<StepView>, Failure> {
    let id = call.session()?;
    let (telegram, by) = (&call.api.telegram, call.initiator()?);
    Ok(StepView::of(
        telegram.submit_password(id, body.password, by).await?,
    ))
}

async fn cancel(call: Call) -> Result<Json<Done>, Failure> {
    match call.session() {
        Ok(id) => call.api.telegram.cancel_login(id).await?,
        // A session that was made for the login is gone with it.
        Err(failure) if failure.code == Code::LoginCancelled || failure.code == Code::LoginExpired => {}
        Err(failure) => return Err(failure),
    }
    Ok(Done::OK)
}
