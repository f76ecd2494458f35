//! The account's password: what is asked beside it, and handing it in.

use grammers_client::tl;

use super::call::{Admitted, Line, admitted, call};
use super::steps::Question;
use crate::base::Secret;
use crate::telegram::error::TelegramError;
use crate::telegram::srp;

/// Telegram's word for terms that were used already or are too old.
const STALE: &str = "SRP_ID_INVALID";

/// What stands beside the question for a password, as far as Telegram tells it.
pub(super) async fn question(line: &Line) -> Question {
    match ask(line).await {
        Ok(password) => Question {
            hint: password.hint.filter(|hint| !hint.is_empty()),
            has_recovery: password.has_recovery,
            email_pattern: password.login_email_pattern,
        },
        Err(error) => {
            tracing::info!(session = %line.link.id, %error, "the hint at a password is not known");
            Question::default()
        }
    }
}

/// Hands the password in; each try has terms of its own.
///
/// # Errors
/// If it is wrong; Telegram's other refusals; no connection.
pub(super) async fn check(line: &Line, password: &Secret) -> Result<Admitted, TelegramError> {
    let answer = match try_once(line, password).await {
        Err(TelegramError::Rpc { name, .. }) if name == STALE => try_once(line, password).await,
        answer => answer,
    };
    admitted(answer?)
}

async fn try_once(line: &Line, password: &Secret) -> Result<tl::enums::auth::Authorization, TelegramError> {
    let password = srp::proof(ask(line).await?, password).await?;
    call(line, &tl::functions::auth::CheckPassword { password }).await
}

async fn ask(line: &Line) -> Result<tl::types::account::Password, TelegramError> {
    let tl::enums::account::Password::Password(password) =
        call(line, &tl::functions::account::GetPassword {}).await?;
    Ok(password)
}
