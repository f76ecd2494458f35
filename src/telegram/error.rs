//! What can go wrong at Telegram, as the rest of the house understands it.
//!
//! Telegram's RPC errors meet our classes of refusals in one table (`refusals`); nothing else in the house knows their
//! names.

use std::time::Duration;

use grammers_client::InvocationError;

use super::logins::{Ending, Need};
use super::refusals::classify;
use crate::base::{Code, Coded, Retry, Timestamp};
use crate::model::refusal::{Obstacle, Scope};
use crate::model::{LoginStep, Refusal, SessionState};

/// A failed call or command.
#[derive(Debug, thiserror::Error)]
pub enum TelegramError {
    /// There is no such session.
    #[error("no such session")]
    UnknownSession,
    /// The session is in a state in which it makes no calls.
    #[error("the session is {}", .0.as_str())]
    NotConnected(SessionState),
    /// The authorisation ended.
    #[error("the authorisation of the session ended ({})", .0.as_str())]
    Expired(SessionState),
    /// Our own limiter refused.
    #[error("a budget is used up until {0}")]
    Limited(Timestamp),
    /// Telegram refused; the name is its own.
    #[error("Telegram answered {name}")]
    Rpc {
        /// What that means.
        class: Refusal,
        /// Telegram's word for it.
        name: String,
    },
    /// The connection broke while the call was under way.
    #[error("the connection to Telegram broke during the call")]
    Network(#[source] InvocationError),
    /// The submit does not fit the step of the login.
    #[error("{}", waits_for(*.0))]
    LoginStep(LoginStep),
    /// The login ended without one.
    #[error("the login process {}", .0.told())]
    LoginEnded(Ending),
    /// The login cannot go on here.
    #[error("{}", .0.told())]
    LoginNeeds(Need),
    /// No login is under way.
    #[error("no login is under way; request a QR or a code first")]
    NoLogin,
    /// The request itself is not right.
    #[error("{0}")]
    Invalid(&'static str),
    /// The state of the session does not allow it.
    #[error("{0}")]
    Conflict(&'static str),
    /// The agent has a session already.
    #[error("the agent has a session already")]
    AgentExists(crate::base::SessionId),
    /// A part of the daemon is not there at the moment.
    #[error("the session's actor is not there at the moment")]
    Away,
    /// The store failed.
    #[error("the store did not keep it")]
    Store(#[from] crate::store::StoreError),
}

impl TelegramError {
    /// What Telegram answers a call with: a code and its word, such as 420 and `FLOOD_WAIT_3`.
    pub fn answered(code: i32, word: &str) -> Self {
        let error = grammers_client::tl::types::RpcError {
            error_code: code,
            error_message: word.to_owned(),
        };
        InvocationError::Rpc(error.into()).into()
    }

    /// What it means for whoever decides what happens next.
    pub fn class(&self) -> Refusal {
        match self {
            Self::Expired(state) => Refusal::Ended(*state),
            Self::Limited(until) => Refusal::Wait {
                until: *until,
                scope: Scope::Budget,
            },
            Self::Rpc { class, .. } => *class,
            Self::Network(_) => Refusal::Uncertain,
            Self::NotConnected(_) | Self::Away | Self::Store(_) => Refusal::Unavailable,
            Self::UnknownSession
            | Self::LoginStep(_)
            | Self::LoginEnded(_)
            | Self::LoginNeeds(_)
            | Self::NoLogin
            | Self::Invalid(_)
            | Self::Conflict(_)
            | Self::AgentExists(_) => Refusal::Refused,
        }
    }

    /// Telegram's own word, if it was Telegram who refused.
    pub fn rpc_name(&self) -> Option<&str> {
        match self {
            Self::Rpc { name, .. } => Some(name),
            _ => None,
        }
    }
}

/// Our own word for a file that the account cannot name: it does not see the message that the file came with, or that
/// message is gone.
pub(crate) const NOT_REACHABLE: &str = "MEDIA_NOT_REACHABLE";

/// How long to wait if Telegram asks to and does not say how long, in seconds.
const UNNAMED_WAIT: u32 = 60;

impl From<InvocationError> for TelegramError {
    fn from(error: InvocationError) -> Self {
        match error {
            InvocationError::Rpc(rpc) => {
                let unnamed = if rpc.code == 420 { UNNAMED_WAIT } else { 0 };
                let wait = rpc.value.filter(|wait| *wait > 0).unwrap_or(unnamed);
                let wait = Duration::from_secs(wait.into());
                let class = classify(rpc.code, &rpc.name, Timestamp::now().plus(wait));
                match class {
                    Refusal::Ended(state) => Self::Expired(state),
                    class => Self::Rpc {
                        class,
                        name: rpc.name,
                    },
                }
            }
            other => Self::Network(other),
        }
    }
}

/// Whether the server has forgotten how this connection introduced itself.
pub(crate) fn wants_introduction(error: &InvocationError) -> bool {
    error.is("CONNECTION_NOT_INITED") || error.is("CONNECTION_LAYER_INVALID")
}

/// Where an account lives that has moved to another DC: each call says so.
pub(crate) fn sent_on(error: &InvocationError) -> Option<i32> {
    let InvocationError::Rpc(rpc) = error else {
        return None;
    };
    let moved = (rpc.code, rpc.name.as_str()) == (303, "USER_MIGRATE");
    i32::try_from(rpc.value?).ok().filter(|_| moved)
}

impl Coded for TelegramError {
    fn code(&self) -> Code {
        match self {
            Self::UnknownSession => Code::NotFound,
            Self::NotConnected(_) | Self::Network(_) => Code::SessionUnavailable,
            Self::Away => Code::Unavailable,
            Self::Expired(_) => Code::SessionExpired,
            Self::Limited(_) => Code::RateLimited,
            Self::LoginEnded(Ending::Expired) => Code::LoginExpired,
            Self::LoginEnded(Ending::Cancelled) => Code::LoginCancelled,
            Self::LoginEnded(Ending::AnotherAccount) => Code::AnotherAccount,
            Self::LoginEnded(Ending::Unoccupied) => Code::PhoneNumberUnoccupied,
            Self::LoginNeeds(Need::EmailAddress) => Code::EmailSetupRequired,
            Self::LoginNeeds(Need::Attestation) => Code::CodeWayUnsupported,
            Self::LoginNeeds(Need::Payment) => Code::LoginPaymentRequired,
            Self::LoginStep(_) | Self::NoLogin => Code::LoginStep,
            Self::Invalid(_) => Code::InvalidRequest,
            Self::Conflict(_) => Code::Conflict,
            Self::AgentExists(_) => Code::SessionExists,
            Self::Store(_) => Code::StoreUnavailable,
            Self::Rpc { class, name } => rpc_code(*class, name),
        }
    }

    fn retry(&self) -> Retry {
        match self.class() {
            Refusal::Wait { until, .. } => Retry::After(until.since(Timestamp::now())),
            Refusal::Duplicate | Refusal::Unavailable | Refusal::Uncertain | Refusal::Elsewhere => {
                Retry::Backoff
            }
            _ => Retry::Never,
        }
    }

    /// A session that is not connected has sent nothing.
    fn may_be_done(&self) -> bool {
        match self {
            Self::Away | Self::Store(_) => true,
            _ => matches!(self.class(), Refusal::Uncertain | Refusal::Duplicate),
        }
    }

    fn details(&self) -> Option<serde_json::Value> {
        match self {
            Self::LoginStep(step) => Some(serde_json::json!({ "step": step })),
            Self::NoLogin => Some(serde_json::json!({ "step": null })),
            Self::Rpc { name, .. } => Some(serde_json::json!({ "telegram": name })),
            _ => None,
        }
    }
}

fn waits_for(step: LoginStep) -> &'static str {
    match step {
        LoginStep::DisplayQr => "the login waits for its QR to be scanned",
        LoginStep::InputCode => "the login waits for the code",
        LoginStep::InputPassword => "the login waits for the password",
        LoginStep::Complete => "the login is complete",
    }
}

fn rpc_code(class: Refusal, name: &str) -> Code {
    match name {
        "PHONE_CODE_INVALID" | "PHONE_CODE_EMPTY" => return Code::PhoneCodeInvalid,
        "PHONE_CODE_EXPIRED" => return Code::PhoneCodeExpired,
        "PHONE_NUMBER_INVALID" => return Code::PhoneNumberInvalid,
        "PHONE_NUMBER_UNOCCUPIED" => return Code::PhoneNumberUnoccupied,
        "PHONE_NUMBER_BANNED" => return Code::PhoneNumberBanned,
        "PASSWORD_HASH_INVALID" => return Code::PasswordHashInvalid,
        "SESSION_PASSWORD_NEEDED" => return Code::PasswordRequired,
        "MESSAGE_EMPTY" => return Code::MessageEmpty,
        NOT_REACHABLE => return Code::MediaNotReachable,
        _ => {}
    }
    match class {
        Refusal::Wait { scope, .. } => match scope {
            Scope::Account => Code::FloodWait,
            Scope::Chat => Code::SlowMode,
            Scope::Budget => Code::RateLimited,
        },
        Refusal::PeerFlood => Code::PeerFlood,
        Refusal::Frozen => Code::AccountFrozen,
        Refusal::Hold(Obstacle::ChatUnknown) => Code::PeerInvalid,
        Refusal::Hold(_) => Code::ChatWriteForbidden,
        Refusal::KindForbidden => Code::KindForbidden,
        Refusal::Protected => Code::ForwardsRestricted,
        Refusal::Gone | Refusal::ReplyGone => Code::MessageInvalid,
        Refusal::TooBig => Code::MessageTooLong,
        Refusal::Ended(_) => Code::SessionExpired,
        // Of a repeat whose first call may still run: what came of it is known later.
        Refusal::Duplicate | Refusal::Unavailable | Refusal::Uncertain | Refusal::Elsewhere => {
            Code::SessionUnavailable
        }
        Refusal::Renew(_)
        | Refusal::Done
        | Refusal::Simplify(_)
        | Refusal::Login
        | Refusal::Refused
        | Refusal::Defect => Code::TelegramError,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::refusal::Stale;

    #[test]
    fn a_reference_is_one_whatever_its_place_in_an_album() {
        for message in [
            "FILE_REFERENCE_EXPIRED",
            "FILE_REFERENCE_0_EXPIRED",
            "FILE_REFERENCE_12_INVALID",
        ] {
            let error = TelegramError::answered(400, message);
            assert_eq!(error.class(), Refusal::Renew(Stale::File), "{message}");
        }
    }

    #[test]
    fn a_wait_without_a_number_takes_a_minute() {
        let error = TelegramError::answered(420, "SOMETHING_NEW");
        let until = error.class().until().expect("a wait");
        assert!(until.since(Timestamp::now()) > Duration::from_secs(UNNAMED_WAIT as u64 - 1));
    }

    #[test]
    fn a_password_is_asked_for_by_its_own_code_and_telegrams_word_is_told() {
        let error = TelegramError::Rpc {
            class: classify(401, "SESSION_PASSWORD_NEEDED", Timestamp(0)),
            name: "SESSION_PASSWORD_NEEDED".into(),
        };
        assert_eq!(error.code(), Code::PasswordRequired);
        let details = error.details().expect("details");
        assert_eq!(details["telegram"], "SESSION_PASSWORD_NEEDED");
    }
}
