//! Logging in, as the rest of the house asks for it; and what is remembered of logins that ended.
//!
//! However many come at once, only some are worked on at the same time: the others wait here, in order, and none is
//! refused. A login that could not begin leaves no session that was made for it.

use std::collections::VecDeque;
use std::sync::Mutex;

use uuid::Uuid;

use super::account::normalise_phone;
use super::error::TelegramError;
use super::handle::{SessionView, Telegram};
use super::manager::Msg;
use super::session;
use crate::base::{Code, Coded, Secret, SessionId};
use crate::ops::audit::{self, Deed, Entry, Initiator};
use crate::store::Batch;

/// Ended logins that are remembered, for callers who come back.
const REMEMBERED: usize = 1024;

/// The word for a login by another account than the one whose session it is.
pub(super) const ANOTHER_ACCOUNT: &str = "ANOTHER_ACCOUNT";

/// The word for a login with a number that nobody has.
pub(super) const UNOCCUPIED: &str = "PHONE_NUMBER_UNOCCUPIED";

/// How a login ended without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Nobody finished it.
    Expired,
    /// Somebody gave it up.
    Cancelled,
    /// Another account logged in than the one whose session it is.
    AnotherAccount,
    /// Nobody has the number: Telegram wants a sign-up.
    Unoccupied,
}

/// What a login needs that is not done here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// An e-mail address that codes go to.
    EmailAddress,
    /// An application that proves what it is; Telegram has no other way for the code.
    Attestation,
    /// Payment for the code.
    Payment,
}

impl Need {
    pub(super) fn told(self) -> &'static str {
        match self {
            Self::EmailAddress => "Telegram wants an e-mail address to be set up for codes first",
            Self::Attestation => "Telegram has no way for a code to this number that can be taken here",
            Self::Payment => "Telegram wants to be paid for a code to this number",
        }
    }
}

impl Ending {
    /// The ending that a stable word means.
    pub(super) fn of(word: &str) -> Option<Self> {
        match word {
            "EXPIRED" => Some(Self::Expired),
            "CANCELLED" => Some(Self::Cancelled),
            ANOTHER_ACCOUNT => Some(Self::AnotherAccount),
            UNOCCUPIED => Some(Self::Unoccupied),
            _ => None,
        }
    }

    pub(super) fn told(self) -> &'static str {
        match self {
            Self::Expired => "was not finished in time",
            Self::Cancelled => "was cancelled",
            Self::AnotherAccount => "was another account's than the session",
            Self::Unoccupied => "was with a number that nobody has",
        }
    }
}

/// Logins of which nothing else is left: only in memory, and only the latest.
#[derive(Default)]
pub(crate) struct Ended(Mutex<VecDeque<(SessionId, Uuid, Ending)>>);

impl Ended {
    /// Remembers one.
    pub fn remember(&self, id: SessionId, uuid: Uuid, ending: Ending) {
        let mut ended = self.0.lock().expect("nothing panics under this lock");
        ended.truncate(REMEMBERED - 1);
        ended.push_front((id, uuid, ending));
    }

    /// How the login of this session ended.
    pub fn of(&self, id: SessionId) -> Option<TelegramError> {
        self.find(|(known, _, _)| *known == id)
    }

    /// The same by its public id.
    pub fn named(&self, uuid: Uuid) -> Option<TelegramError> {
        self.find(|(_, known, _)| *known == uuid)
    }

    fn find(&self, is: impl Fn(&&(SessionId, Uuid, Ending)) -> bool) -> Option<TelegramError> {
        let ended = self.0.lock().expect("nothing panics under this lock");
        let found = ended.iter().find(is);
        found.map(|(_, _, ending)| TelegramError::LoginEnded(*ending))
    }
}

impl Telegram {
    /// Shows a QR to log in by; has a code sent too if a number is given, and takes whichever comes first. May be
    /// repeated: the present QR is shown then.
    ///
    /// # Errors
    /// Telegram's refusal; a session that is logged in already, or whose login waits for a password.
    pub async fn request_qr(
        &self,
        id: SessionId,
        phone: Option<&str>,
        by: Initiator,
    ) -> Result<SessionView, TelegramError> {
        let phone = phone.map(normalise_phone).transpose();
        let phone = phone.map_err(TelegramError::Invalid)?;
        let entry = by.does(Deed::LoginBegun, id).detail("by", "qr");
        self.begin(id, entry, |reply| session::Msg::RequestQr(phone, reply))
            .await
    }

    /// Has a login code sent to a number, or sent again.
    ///
    /// # Errors
    /// Telegram's refusal; a session that is logged in already.
    pub async fn request_code(
        &self,
        id: SessionId,
        phone: &str,
        by: Initiator,
    ) -> Result<SessionView, TelegramError> {
        let phone = normalise_phone(phone).map_err(TelegramError::Invalid)?;
        let entry = by.does(Deed::LoginBegun, id).detail("by", "code");
        self.begin(id, entry, |reply| session::Msg::RequestCode(phone, reply))
            .await
    }

    async fn begin(
        &self,
        id: SessionId,
        entry: Entry,
        message: impl FnOnce(ractor::RpcReplyPort<Result<(), TelegramError>>) -> session::Msg,
    ) -> Result<SessionView, TelegramError> {
        let _turn = self.turn().await;
        self.ask(|reply| Msg::PrepareLogin(id, entry, reply)).await?;
        let begun = self.ask_session(id, message).await;
        if begun.is_err() {
            self.ask(|reply| Msg::DiscardLeftover(id, reply)).await?;
        }
        begun?;
        self.view(id)
    }

    /// Hands in the login code. May be repeated after it was taken.
    ///
    /// # Errors
    /// A wrong or old code; a login that waits for something else.
    pub async fn submit_code(
        &self,
        id: SessionId,
        code: &str,
        by: Initiator,
    ) -> Result<SessionView, TelegramError> {
        let refused = by.does(Deed::LoginRefused, id).detail("by", "code");
        let code = Secret::new(code);
        self.submit(id, refused, |reply| session::Msg::SubmitCode(code, reply))
            .await
    }

    /// Hands in the account's password. May be repeated after it was taken.
    ///
    /// # Errors
    /// A wrong password; a login that waits for something else.
    pub async fn submit_password(
        &self,
        id: SessionId,
        password: Secret,
        by: Initiator,
    ) -> Result<SessionView, TelegramError> {
        let refused = by.does(Deed::LoginRefused, id).detail("by", "password");
        self.submit(id, refused, |reply| session::Msg::SubmitPassword(password, reply))
            .await
    }

    /// What is refused of what is handed in stands in the audit log before the refusal is answered.
    async fn submit(
        &self,
        id: SessionId,
        refused: Entry,
        message: impl FnOnce(ractor::RpcReplyPort<Result<(), TelegramError>>) -> session::Msg,
    ) -> Result<SessionView, TelegramError> {
        let account = self.link(id)?.account();
        if account.login.is_none() {
            return match account.is_authorised() {
                true => self.view(id),
                false => Err(account.no_login()),
            };
        }
        let _turn = self.turn().await;
        let submitted = self.ask_session(id, message).await;
        if let Err(error) = &submitted
            && is_refusal(error.code())
        {
            let entry = refused.now().detail("error", error.code().as_str());
            audit::commit(&self.context.store, Batch::new(), entry).await?;
        }
        submitted?;
        self.view(id)
    }

    /// Gives a login up; may be repeated.
    ///
    /// # Errors
    /// If there is no such session.
    pub async fn cancel_login(&self, id: SessionId) -> Result<(), TelegramError> {
        if self.link(id)?.account().login.is_some() {
            self.ask_session(id, session::Msg::CancelLogin).await?;
        }
        Ok(())
    }

    /// A place among the logins that are worked on.
    async fn turn(&self) -> tokio::sync::SemaphorePermit<'_> {
        let turn = self.context.logins.acquire().await;
        turn.expect("it is never closed")
    }
}

/// Whether a submit failed of what was handed in, or of how often that was.
fn is_refusal(code: Code) -> bool {
    matches!(
        code,
        Code::PhoneCodeInvalid
            | Code::PhoneCodeExpired
            | Code::PasswordHashInvalid
            | Code::AnotherAccount
            | Code::FloodWait
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_latest_endings_are_remembered() {
        let ended = Ended::default();
        let first = (SessionId::generate(), Uuid::new_v4());
        ended.remember(first.0, first.1, Ending::Cancelled);
        assert!(matches!(
            ended.named(first.1),
            Some(TelegramError::LoginEnded(Ending::Cancelled))
        ));
        assert!(ended.of(first.0).is_some());
        for _ in 0..REMEMBERED {
            ended.remember(SessionId::generate(), Uuid::new_v4(), Ending::Expired);
        }
        assert!(ended.of(first.0).is_none());
    }
}
