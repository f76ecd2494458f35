//! The first half of a rotation: a fresh key becomes an authorisation of the same account.
//!
//! <https://core.telegram.org/api/qr-login>, with both sides played by the account itself.

use grammers_client::tl;

use super::{Process, RotationStep, Rotations, Word, word};
use crate::base::fault::fault_point;
use crate::base::{Code, Coded, Secret};
use crate::limiter::{CostClass, Limiter};
use crate::model::Refusal;
use crate::store::Batch;
use crate::telegram::error::TelegramError;
use crate::telegram::limits;
use crate::telegram::link::Link;
use crate::telegram::side::{Side, fresh_keys};
use crate::telegram::srp;
use crate::telegram::tables::{Authorisation, Authorisations};

/// Whether an account that has a password was given one; whether it is the right one shows later.
///
/// # Errors
/// If it is missing; no connection.
pub(crate) async fn require_password(
    limiter: &Limiter,
    link: &Link,
    given: bool,
) -> Result<(), TelegramError> {
    let request = tl::functions::account::GetPassword {};
    let tl::enums::account::Password::Password(known) =
        limits::made(limiter, link, CostClass::Login, &request).await?;
    match known.has_password && !given {
        true => Err(TelegramError::Rpc {
            class: Refusal::Login,
            name: "SESSION_PASSWORD_NEEDED".to_owned(),
        }),
        false => Ok(()),
    }
}

/// Makes a fresh key and has it authorised. It is stored before it is.
pub(super) async fn fresh(process: &Process<'_>, password: Option<Secret>) -> Result<(), Word> {
    let (context, link) = (process.context, process.link);
    let former = context.store.get::<Authorisations>(&link.id);
    let former = former.ok().flatten().ok_or_else(|| "NO_KEY".to_owned())?;
    let keys = fresh_keys(context, &former).await.map_err(|error| {
        tracing::warn!(session = %link.id, %error, "no fresh key");
        "KEY_EXCHANGE_FAILED".to_owned()
    })?;
    let (side, wire) = Side::new(context, &keys);
    let authorised = wire.during(authorise(process, &side, keys, password));
    Box::pin(authorised).await.map_err(|error| word(&error))
}

async fn authorise(
    process: &Process<'_>,
    side: &Side,
    mut keys: Authorisation,
    password: Option<Secret>,
) -> Result<(), TelegramError> {
    let token = match export(process, side).await? {
        tl::enums::auth::LoginToken::Token(token) => token.token,
        tl::enums::auth::LoginToken::MigrateTo(_) | tl::enums::auth::LoginToken::Success(_) => {
            return Err(TelegramError::Conflict("Telegram gave no login token"));
        }
    };
    if let Some(home) = keys.home_mut() {
        home.auth_key = side.key();
    }
    prepared(process, keys).await?;
    fault_point!("rotation.prepared");
    let accept = tl::functions::auth::AcceptLoginToken { token };
    let limiter = &process.context.limiter;
    let tl::enums::Authorization::Authorization(accepted) =
        limits::made(limiter, process.link, CostClass::Login, &accept).await?;
    fault_point!("rotation.accepted");
    let confirmed = confirm(process, side, password).await;
    if confirmed.is_err() {
        end_unconfirmed(process, accepted.hash).await;
    }
    confirmed
}

/// Logs the fresh key in with the token that was accepted, and makes sure that it can be used.
async fn confirm(process: &Process<'_>, side: &Side, password: Option<Secret>) -> Result<(), TelegramError> {
    let user = match export(process, side).await {
        Ok(tl::enums::auth::LoginToken::Success(it)) => user_of(it.authorization)?,
        Ok(_) => return Err(TelegramError::Conflict("Telegram did not take the login token")),
        Err(error) if error.code() == Code::PasswordRequired => {
            let password = password.ok_or(error)?;
            user_of(check_password(side, &password).await?)?
        }
        Err(error) => return Err(error),
    };
    if Some(user) != process.link.account().user_id {
        return Err(TelegramError::Conflict("the fresh key is another account's"));
    }
    // A call that only an authorised key may make.
    side.invoke(&tl::functions::updates::GetState {}).await?;
    fault_point!("rotation.authorised");
    Ok(())
}

/// A key that waits for its password cannot log itself out: the session does it, if it is old enough to end others.
async fn end_unconfirmed(process: &Process<'_>, hash: i64) {
    let end = tl::functions::account::ResetAuthorization { hash };
    let limiter = &process.context.limiter;
    if let Err(error) = limits::made(limiter, process.link, CostClass::Login, &end).await {
        tracing::info!(session = %process.link.id, %error, "an unconfirmed login is left to end by itself");
    }
}

async fn export(process: &Process<'_>, side: &Side) -> Result<tl::enums::auth::LoginToken, TelegramError> {
    let config = &process.context.config;
    let request = tl::functions::auth::ExportLoginToken {
        api_id: config.api_id,
        api_hash: config.api_hash.expose().to_owned(),
        except_ids: Vec::new(),
    };
    side.invoke(&request).await
}

async fn prepared(process: &Process<'_>, keys: Authorisation) -> Result<(), TelegramError> {
    let mut rotation = process.rotation.clone();
    rotation.step = RotationStep::Prepared(keys);
    let mut batch = Batch::new();
    batch.put::<Rotations>(&process.link.id, &rotation);
    process.context.store.commit(batch).await?;
    Ok(())
}

fn user_of(authorisation: tl::enums::auth::Authorization) -> Result<i64, TelegramError> {
    match authorisation {
        tl::enums::auth::Authorization::Authorization(it) => Ok(it.user.id()),
        tl::enums::auth::Authorization::SignUpRequired(_) => {
            Err(TelegramError::Conflict("Telegram did not say who logged in"))
        }
    }
}

async fn check_password(
    side: &Side,
    password: &Secret,
) -> Result<tl::enums::auth::Authorization, TelegramError> {
    let tl::enums::account::Password::Password(account) =
        side.invoke(&tl::functions::account::GetPassword {}).await?;
    let password = srp::proof(account, password).await?;
    side.invoke(&tl::functions::auth::CheckPassword { password })
        .await
}
