//! Logging a session in by code, step by step.

use hyper::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::access::Scope;
use crate::base::{Code, Secret, Timestamp};
use crate::http::answer::{Done, Json};
use crate::http::call::Call;
use crate::http::failure::Failure;
use crate::http::route::{Route, route};
use crate::model::LoginStep;
use crate::telegram::CodeSent;

const TAG: &str = "login";

pub(crate) fn routes() -> Vec<Route> {
    let step = |path, summary| route(TAG, Method::POST, path, summary).scope(Scope::Manage);
    vec![
        step(
            "/api/sessions/{id}/login",
            "Have Telegram send a login code; again to have it sent anew",
        )
        .takes(begin),
        step("/api/sessions/{id}/login/code", "Submit the code").takes(code),
        step(
            "/api/sessions/{id}/login/password",
            "Submit the account's password",
        )
        .takes(password),
        step("/api/sessions/{id}/login/cancel", "End the login process").run(cancel),
    ]
}

/// Whose login it is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Phone {
    /// With its country code.
    phone: String,
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
    #[expect(
        dead_code,
        reason = "no login of this release takes a password; the form is checked all the same"
    )]
    password: Secret,
}

/// What the login process waits for.
#[derive(Debug, Serialize, JsonSchema)]
struct StepView {
    step: LoginStep,
    /// How the code was sent: `app`, `sms`, `call`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    code_type: Option<String>,
    /// How many digits it has, if Telegram tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    code_length: Option<i32>,
    /// Seconds until the process ends by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<u64>,
    /// The account that is logged in.
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<i64>,
}

/// Seconds until a time.
pub(crate) fn seconds_left(end: Timestamp) -> u64 {
    end.since(Timestamp::now()).as_millis().div_ceil(1000) as u64
}

async fn begin(call: Call, body: Phone) -> Result<Json<StepView>, Failure> {
    let id = call.session()?;
    let sent: CodeSent = call.api.telegram.request_code(id, &body.phone).await?;
    Ok(Json(StepView {
        step: LoginStep::InputCode,
        code_type: Some(sent.code_type),
        code_length: (sent.code_length > 0).then_some(sent.code_length),
        expires_in: Some(seconds_left(sent.expires_at)),
        user_id: None,
    }))
}

async fn code(call: Call, body: TypedCode) -> Result<Json<StepView>, Failure> {
    let id = call.session()?;
    let session = call.api.telegram.submit_code(id, &body.code).await?;
    Ok(Json(StepView {
        step: LoginStep::Complete,
        code_type: None,
        code_length: None,
        expires_in: None,
        user_id: session.account.user_id,
    }))
}

/// A login by code ends with `PASSWORD_REQUIRED` where there is a password: no login waits for one.
async fn password(call: Call, _: TypedPassword) -> Result<Json<StepView>, Failure> {
    let account = call.api.telegram.view(call.session()?)?.account;
    let step = account.login.map_or(LoginStep::Complete, |login| login.step);
    Err(Failure::new(Code::LoginStep).detail("step", serde_json::json!(step)))
}

async fn cancel(call: Call) -> Result<Json<Done>, Failure> {
    call.api.telegram.cancel_login(call.session()?).await?;
    Ok(Done::OK)
}
