//! Calls of a login, and what Telegram's refusals mean to one.
//!
//! A login has no authorisation that could end: what is said of the number or the password is said of these.

use std::sync::Arc;
use std::time::Duration;

use grammers_client::InvocationError;
use grammers_client::tl::{self, RemoteCall};

use crate::base::{Secret, Timestamp};
use crate::limiter::{Ask, CostClass, Limiter, Number};
use crate::model::Refusal;
use crate::model::refusal::Scope;
use crate::telegram::error::TelegramError;
use crate::telegram::limits;
use crate::telegram::link::Link;
use crate::telegram::logins::UNOCCUPIED;

/// How long a number rests that too many logins were tried with: Telegram names no time.
const NUMBER_RESTS: Duration = Duration::from_secs(3600);

/// The number of refusals that name another DC.
const ELSEWHERE: i32 = 303;

/// An answer, or where to ask instead.
pub(super) enum Answer<T> {
    /// It was answered.
    Here(T),
    /// The account lives at this DC.
    At(i32),
}

/// Telegram's word for a login that has to begin anew.
pub(super) const RESTART: &str = "AUTH_RESTART";

/// Somebody who is logged in.
pub(super) struct Admitted {
    /// Who the server says it is.
    pub user: tl::enums::User,
    /// A token by which the account logs in again without a code.
    pub token: Option<Vec<u8>>,
}

/// Who an authorisation says is logged in.
///
/// # Errors
/// If nobody has the number: Telegram wants a sign-up.
pub(super) fn admitted(authorization: tl::enums::auth::Authorization) -> Result<Admitted, TelegramError> {
    match authorization {
        tl::enums::auth::Authorization::Authorization(it) => Ok(Admitted {
            user: it.user,
            token: it.future_auth_token,
        }),
        tl::enums::auth::Authorization::SignUpRequired(_) => Err(TelegramError::Rpc {
            class: Refusal::Login,
            name: UNOCCUPIED.to_owned(),
        }),
    }
}

/// How long a call of a login may wait for its turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// The way of a login's calls: each counts, and a wait that Telegram asks for is remembered: that of the number that
/// logs in, or of the session if there is none.
pub(super) struct Line {
    pub(super) limiter: Limiter,
    pub(super) link: Arc<Link>,
    /// The number, if it is known, and the secret that names it.
    pub(super) number: Option<([u8; 32], Secret)>,
}

impl Line {
    async fn make<R: RemoteCall>(
        &self,
        request: &R,
        read: impl FnOnce(InvocationError) -> TelegramError,
    ) -> Result<R::Return, TelegramError> {
        let (limiter, session) = (&self.limiter, self.link.id);
        let name = self
            .number
            .as_ref()
            .map(|(secret, phone)| Number::of(secret, phone.expose(), method::<R>()));
        if let Some(name) = name
            && let Some(until) = limiter.login_rests_until(name).await
        {
            return Err(rests(until));
        }
        let ask = Ask {
            session,
            chat: None,
            class: CostClass::Login,
            units: 1,
            stranger: false,
            patience: PATIENCE.into(),
        };
        let grant = limits::pass(limiter, ask).await?;
        let (number, wire) = self.link.wire()?;
        let answer = self.link.invoke_by((number, &wire), request).await.map_err(read);
        let Some(name) = name else {
            return limits::heed(limiter, session, None, (CostClass::Login, grant), answer).await;
        };
        if let Err(error) = &answer
            && let Refusal::Wait { until, .. } = error.class()
        {
            limiter.login_flooded(name, until.since(Timestamp::now())).await;
        }
        answer
    }
}

/// A call's method, without where it is defined.
fn method<R>() -> &'static str {
    let name = std::any::type_name::<R>();
    name.rsplit("::").next().unwrap_or(name)
}

/// What a login is told whose number is to wait.
fn rests(until: Timestamp) -> TelegramError {
    TelegramError::Rpc {
        class: Refusal::Wait {
            until,
            scope: Scope::Account,
        },
        name: "FLOOD_WAIT".to_owned(),
    }
}

/// Makes a call of a login.
///
/// # Errors
/// Telegram's refusal; no connection; a wait that it or the limiter asks for.
pub(super) async fn call<R: RemoteCall>(line: &Line, request: &R) -> Result<R::Return, TelegramError> {
    line.make(request, refusal).await
}

/// The same for a call that only the account's home DC answers.
///
/// # Errors
/// As above.
pub(super) async fn call_home<R: RemoteCall>(
    line: &Line,
    request: &R,
) -> Result<Answer<R::Return>, TelegramError> {
    let mut elsewhere = None;
    let read = |error: InvocationError| {
        if let InvocationError::Rpc(rpc) = &error
            && rpc.code == ELSEWHERE
        {
            elsewhere = rpc.value.and_then(|dc| i32::try_from(dc).ok());
            return TelegramError::Conflict("the account lives in an unknown place");
        }
        refusal(error)
    };
    let answer = line.make(request, read).await;
    match elsewhere {
        Some(dc) => Ok(Answer::At(dc)),
        None => answer.map(Answer::Here),
    }
}

/// The account that a key belongs to already, if it does: an answer may have been lost on its way.
pub(super) async fn who(line: &Line) -> Option<Box<Admitted>> {
    let request = tl::functions::users::GetUsers {
        id: vec![tl::enums::InputUser::UserSelf],
    };
    // A refusal is the usual answer: nobody is logged in.
    let user = call(line, &request).await.ok()?.into_iter().next()?;
    Some(Box::new(Admitted { user, token: None }))
}

fn refusal(error: InvocationError) -> TelegramError {
    let InvocationError::Rpc(rpc) = &error else {
        return error.into();
    };
    let refused = |name: &str| TelegramError::Rpc {
        class: Refusal::Login,
        name: name.to_owned(),
    };
    match rpc.name.as_str() {
        "PHONE_NUMBER_BANNED" | "USER_DEACTIVATED" | "USER_DEACTIVATED_BAN" => refused("PHONE_NUMBER_BANNED"),
        "PHONE_NUMBER_FLOOD" | "PHONE_PASSWORD_FLOOD" => TelegramError::Rpc {
            class: Refusal::Wait {
                until: Timestamp::now().plus(NUMBER_RESTS),
                scope: Scope::Account,
            },
            name: rpc.name.clone(),
        },
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use grammers_client::sender::RpcError;

    use super::*;
    use crate::base::{Code, Coded, Retry};

    fn refused(code: i32, name: &str, value: Option<u32>) -> TelegramError {
        refusal(InvocationError::Rpc(RpcError {
            code,
            name: name.to_owned(),
            value,
            caused_by: None,
        }))
    }

    #[test]
    fn what_is_said_of_the_number_ends_no_session() {
        for (code, name, told) in [
            (400, "PHONE_NUMBER_BANNED", Code::PhoneNumberBanned),
            (401, "USER_DEACTIVATED_BAN", Code::PhoneNumberBanned),
            (400, "PHONE_NUMBER_UNOCCUPIED", Code::PhoneNumberUnoccupied),
            (406, "PHONE_NUMBER_INVALID", Code::PhoneNumberInvalid),
            (400, "PHONE_CODE_EXPIRED", Code::PhoneCodeExpired),
            (400, "PASSWORD_HASH_INVALID", Code::PasswordHashInvalid),
            (401, "SESSION_PASSWORD_NEEDED", Code::PasswordRequired),
            (401, "AUTH_KEY_UNREGISTERED", Code::SessionExpired),
        ] {
            assert_eq!(refused(code, name, None).code(), told, "{name}");
        }
    }

    #[test]
    fn every_kind_of_flood_says_how_long() {
        for (code, name, value, least) in [
            (420, "FLOOD_WAIT", Some(30), 29),
            (406, "PHONE_PASSWORD_FLOOD", None, 3599),
            (400, "PHONE_NUMBER_FLOOD", None, 3599),
        ] {
            let error = refused(code, name, value);
            assert_eq!(error.code(), Code::FloodWait, "{name}");
            let Retry::After(wait) = error.retry() else {
                panic!("{name} names no time")
            };
            assert!(wait >= Duration::from_secs(least), "{name}: {wait:?}");
        }
    }
}
