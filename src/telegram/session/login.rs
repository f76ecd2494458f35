//! Login by phone code: the calls to Telegram, and what they make of the session's record.
//!
//! The login process itself is part of the stored record, so that a restart between code and submit
//! loses nothing. A process that nobody finishes ends by itself and leaves nothing behind.

use std::time::Duration;

use grammers_client::tl;
use grammers_client::{InvocationError, session::Session};

use super::Context;
use super::resume;
use super::state::{self, Observation};
use crate::base::{Code, Coded, Secret, Timestamp};
use crate::model::{ChatId, ChatKind, EventBody, LoginStep, SessionState};
use crate::store::Batch;
use crate::telegram::account::{Account, Login};
use crate::telegram::error::TelegramError;
use crate::telegram::link::Link;
use crate::telegram::session_store::SessionStore;
use crate::telegram::tables::{Peer, Peers, StoredState, UpdateStates};

/// What a caller is told when a code is on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeSent {
    /// How Telegram sent it: `app`, `sms`, `call`, …
    pub code_type: String,
    /// How many digits it has; 0 if Telegram does not tell.
    pub code_length: i32,
    /// When the login process ends by itself.
    pub expires_at: Timestamp,
}

/// Has Telegram send a code; for the number of a login under way, has it sent again.
///
/// # Errors
/// Telegram's refusal; no connection.
pub(super) async fn request_code(
    context: &Context,
    link: &Link,
    phone: &str,
) -> Result<CodeSent, TelegramError> {
    let account = link.account();
    let under_way = account.login.filter(|login| login.phone.expose() == phone);
    let sent = match under_way {
        Some(login) => match resend(link, phone, &login).await {
            // Telegram has no other way left for this code: a new one then.
            Err(TelegramError::Rpc { .. }) => send(context, link, phone).await?,
            sent => sent?,
        },
        None => send(context, link, phone).await?,
    };
    let login = read_sent(sent, phone, *context.config.login_expires)?;
    let told = CodeSent {
        code_type: login.code_type.clone(),
        code_length: login.code_length,
        expires_at: login.expires_at,
    };
    link.change(&context.store, |account| {
        account.phone = Some(Secret::new(phone));
        account.login = Some(login);
        ((), vec![login_event("input_code")])
    })
    .await?;
    Ok(told)
}

async fn send(
    context: &Context,
    link: &Link,
    phone: &str,
) -> Result<tl::enums::auth::SentCode, TelegramError> {
    let settings = tl::types::CodeSettings {
        allow_flashcall: false,
        current_number: false,
        allow_app_hash: false,
        allow_missed_call: false,
        allow_firebase: false,
        unknown_number: false,
        logout_tokens: None,
        token: None,
        app_sandbox: None,
    };
    let request = tl::functions::auth::SendCode {
        phone_number: phone.to_owned(),
        api_id: context.config.api_id,
        api_hash: context.config.api_hash.expose().to_owned(),
        settings: settings.into(),
    };
    let (number, client) = link.numbered_client()?;
    match client.invoke(&request).await {
        Err(InvocationError::Rpc(error)) if error.code == 303 => {
            let home = error.value.and_then(|dc| i32::try_from(dc).ok());
            let home = home.ok_or(TelegramError::Invalid("the account lives in an unknown place"))?;
            let session = SessionStore::load(context.store.clone(), link.id, context.dcs.clone())?;
            session.set_home_dc_id(home).await?;
            link.report_broken(number);
            Err(TelegramError::NotConnected(SessionState::Connecting))
        }
        answer => answer.map_err(|error| link.failed(error)),
    }
}

async fn resend(link: &Link, phone: &str, login: &Login) -> Result<tl::enums::auth::SentCode, TelegramError> {
    let request = tl::functions::auth::ResendCode {
        phone_number: phone.to_owned(),
        phone_code_hash: login.code_hash.expose().to_owned(),
        reason: None,
    };
    link.invoke(&request).await
}

fn read_sent(
    sent: tl::enums::auth::SentCode,
    phone: &str,
    expires: Duration,
) -> Result<Login, TelegramError> {
    let tl::enums::auth::SentCode::Code(sent) = sent else {
        return Err(TelegramError::Invalid(
            "Telegram wants something other than a code for this number",
        ));
    };
    let (code_type, code_length) = code_type(&sent.r#type);
    Ok(Login {
        step: LoginStep::InputCode,
        phone: Secret::new(phone),
        code_hash: Secret::new(sent.phone_code_hash),
        code_type: code_type.to_owned(),
        code_length,
        expires_at: Timestamp::now().plus(expires),
    })
}

fn code_type(sent: &tl::enums::auth::SentCodeType) -> (&'static str, i32) {
    use tl::enums::auth::SentCodeType as Type;
    match sent {
        Type::App(it) => ("app", it.length),
        Type::Sms(it) => ("sms", it.length),
        Type::Call(it) => ("call", it.length),
        Type::FlashCall(_) => ("flash_call", 0),
        Type::MissedCall(it) => ("missed_call", it.length),
        Type::EmailCode(it) => ("email", it.length),
        Type::FragmentSms(it) => ("fragment_sms", it.length),
        Type::FirebaseSms(it) => ("firebase_sms", it.length),
        Type::SmsWord(_) => ("sms_word", 0),
        Type::SmsPhrase(_) => ("sms_phrase", 0),
        Type::SetUpEmailRequired(_) => ("email_setup", 0),
    }
}

/// Hands in the code.
///
/// # Errors
/// A wrong or old code; an account that has a password or does not exist.
pub(super) async fn submit_code(context: &Context, link: &Link, code: &str) -> Result<(), TelegramError> {
    let login = link.account().login.ok_or(TelegramError::NoLogin)?;
    if login.step != LoginStep::InputCode {
        return Err(TelegramError::LoginStep(login.step));
    }
    let request = tl::functions::auth::SignIn {
        phone_number: login.phone.expose().to_owned(),
        phone_code_hash: login.code_hash.expose().to_owned(),
        phone_code: Some(code.to_owned()),
        email_verification: None,
    };
    let answer = link.invoke(&request).await;
    match answer {
        Ok(tl::enums::auth::Authorization::Authorization(it)) => complete(context, link, it.user).await,
        Ok(tl::enums::auth::Authorization::SignUpRequired(_)) => Err(TelegramError::Rpc {
            class: crate::telegram::ErrorClass::Refused,
            name: "PHONE_NUMBER_UNOCCUPIED".to_owned(),
        }),
        Err(error) if error.code() == Code::PasswordRequired => Err(TelegramError::PasswordRequired),
        Err(error) => Err(error),
    }
}

/// Makes the record that of a logged-in account, from whom the server says it is.
async fn complete(context: &Context, link: &Link, user: tl::enums::User) -> Result<(), TelegramError> {
    let tl::enums::User::User(user) = user else {
        return Err(TelegramError::Invalid("Telegram did not say who logged in"));
    };
    let tl::enums::updates::State::State(state) = link.invoke(&tl::functions::updates::GetState {}).await?;
    let own = Peer {
        hash: user.access_hash,
        kind: Some(ChatKind::Private),
        own: true,
        bot: user.bot,
        title: user.first_name.clone(),
        username: user.username.clone(),
        ..Peer::default()
    };
    let stored = StoredState {
        pts: state.pts,
        qts: state.qts,
        date: state.date,
        seq: state.seq,
    };
    let stored = resume::position(context, link, user.id, stored).await?;
    let mut batch = Batch::new();
    batch.put::<Peers>(&(link.id, ChatId::user(user.id).0), &own);
    batch.put::<UpdateStates>(&(link.id, 0), &stored);
    context.store.commit(batch).await?;
    link.change(&context.store, |account| {
        let from = account.state;
        account.logged_in(user.id, Timestamp::now());
        account.username = user.username;
        if let Some(phone) = user.phone {
            account.phone = Some(Secret::new(format!("+{}", phone.trim_start_matches('+'))));
        }
        account.login = None;
        account.dialogs_read = false;
        account.since = Timestamp::now();
        let mut events = vec![login_event("complete")];
        if let Some((to, reason)) = state::next(from, true, &Observation::LoggedIn) {
            account.state = to;
            account.reason = reason.clone();
            events.push(EventBody::SessionState { from, to, reason });
        }
        ((), events)
    })
    .await?;
    context
        .limiter
        .in_use_since(link.id, link.account().in_use_since());
    Ok(())
}

/// Ends the login process without a login.
pub(super) fn abandon(account: &mut Account, word: &str) -> Vec<EventBody> {
    account
        .login
        .take()
        .map(|_| login_event(word))
        .into_iter()
        .collect()
}

fn login_event(step: &str) -> EventBody {
    EventBody::SessionLogin {
        step: step.to_owned(),
    }
}
