//! The account's password: the owner's hint at it, and handing it in.

use grammers_client::tl;

use super::call::call;
use crate::base::Secret;
use crate::telegram::error::TelegramError;
use crate::telegram::link::Link;
use crate::telegram::srp;

/// Telegram's word for terms that were used already or are too old.
const STALE: &str = "SRP_ID_INVALID";

/// The hint, if there is one and Telegram tells it.
pub(super) async fn hint(link: &Link) -> Option<String> {
    match ask(link).await {
        Ok(password) => password.hint.filter(|hint| !hint.is_empty()),
        Err(error) => {
            tracing::info!(session = %link.id, %error, "the hint at a password is not known");
            None
        }
    }
}

/// Hands the password in; each try has terms of its own.
///
/// # Errors
/// If it is wrong; Telegram's other refusals; no connection.
pub(super) async fn check(link: &Link, password: &Secret) -> Result<tl::enums::User, TelegramError> {
    let answer = match try_once(link, password).await {
        Err(TelegramError::Rpc { name, .. }) if name == STALE => try_once(link, password).await,
        answer => answer,
    };
    match answer? {
        tl::enums::auth::Authorization::Authorization(it) => Ok(it.user),
        tl::enums::auth::Authorization::SignUpRequired(_) => {
            Err(TelegramError::Conflict("Telegram did not say who logged in"))
        }
    }
}

async fn try_once(link: &Link, password: &Secret) -> Result<tl::enums::auth::Authorization, TelegramError> {
    let password = srp::proof(ask(link).await?, password).await?;
    call(link, &tl::functions::auth::CheckPassword { password }).await
}

async fn ask(link: &Link) -> Result<tl::types::account::Password, TelegramError> {
    let tl::enums::account::Password::Password(password) =
        call(link, &tl::functions::account::GetPassword {}).await?;
    Ok(password)
}
