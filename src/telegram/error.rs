//! What can go wrong at Telegram, as the rest of the house understands it.
//!
//! Telegram's RPC errors meet our classes in one table ([`classify`]); nothing else in the house knows
//! their names.

use std::time::Duration;

use grammers_client::InvocationError;

use super::logins::Ending;
use crate::base::{Code, Coded, Retry, Timestamp};
use crate::model::{LoginStep, SessionState};

/// How a failed call is to be understood by whoever has to decide what happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// Telegram asked for a pause until then; the call did nothing.
    FloodWait(Timestamp),
    /// The chat's slow mode asked for a pause until then; the call did nothing.
    SlowMode(Timestamp),
    /// Our own limiter refused until then; the call was not made.
    Limited(Timestamp),
    /// The account may not send to strangers any more.
    PeerFlood,
    /// The account may not do that in this chat.
    NoRights,
    /// The chat is unknown or gone for this account.
    PeerInvalid,
    /// The source forbids forwarding.
    Protected,
    /// The message is gone or was never there.
    MessageGone,
    /// An effect of this name happened already or happens right now.
    DuplicateRandomId,
    /// The file reference is too old.
    FileReferenceExpired,
    /// The message has this form already.
    NotModified,
    /// The formatting does not fit the text.
    EntitiesInvalid,
    /// The text or caption is too long.
    TooLong,
    /// There is nothing to send.
    Empty,
    /// The authorisation of the session ended.
    Expired(SessionState),
    /// The session is not connected, or Telegram is busy: the call was not carried out.
    Unavailable,
    /// The connection broke while the call was under way: it may have been carried out.
    Ambiguous,
    /// Another refusal.
    Refused,
}

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
        class: ErrorClass,
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
    /// What it means for whoever decides what happens next.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Expired(state) => ErrorClass::Expired(*state),
            Self::Limited(until) => ErrorClass::Limited(*until),
            Self::Rpc { class, .. } => *class,
            Self::Network(_) => ErrorClass::Ambiguous,
            Self::NotConnected(_) | Self::Away | Self::Store(_) => ErrorClass::Unavailable,
            Self::UnknownSession
            | Self::LoginStep(_)
            | Self::LoginEnded(_)
            | Self::NoLogin
            | Self::Invalid(_)
            | Self::Conflict(_)
            | Self::AgentExists(_) => ErrorClass::Refused,
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
                    ErrorClass::Expired(state) => Self::Expired(state),
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

/// The one table from Telegram's errors to our classes. `until` is when a wait it names ends.
///
/// Names: <https://core.telegram.org/api/errors>.
pub(crate) fn classify(code: i32, name: &str, until: Timestamp) -> ErrorClass {
    match name {
        "FLOOD_WAIT" | "FLOOD_PREMIUM_WAIT" | "FLOOD_TEST_PHONE_WAIT" => ErrorClass::FloodWait(until),
        "SLOWMODE_WAIT" => ErrorClass::SlowMode(until),
        "PEER_FLOOD" => ErrorClass::PeerFlood,
        // The same words may come with another code and be about another account.
        "AUTH_KEY_DUPLICATED" if matches!(code, 401 | 406) => {
            ErrorClass::Expired(SessionState::BadCredentials)
        }
        "USER_DEACTIVATED" | "USER_DEACTIVATED_BAN" if matches!(code, 401 | 403 | 406) => {
            ErrorClass::Expired(SessionState::Banned)
        }
        // No call was made: the connection has to introduce itself anew.
        "CONNECTION_NOT_INITED" | "CONNECTION_LAYER_INVALID" => ErrorClass::Unavailable,
        // Nor here: the session goes on where the account lives.
        "USER_MIGRATE" if code == 303 => ErrorClass::Unavailable,
        "CHAT_WRITE_FORBIDDEN"
        | "CHAT_ADMIN_REQUIRED"
        | "USER_BANNED_IN_CHANNEL"
        | "CHAT_RESTRICTED"
        | "CHAT_GUEST_SEND_FORBIDDEN"
        | "USER_IS_BLOCKED"
        | "YOU_BLOCKED_USER"
        | "MESSAGE_AUTHOR_REQUIRED"
        | "MESSAGE_DELETE_FORBIDDEN"
        | "PRIVACY_PREMIUM_REQUIRED" => ErrorClass::NoRights,
        "PEER_ID_INVALID"
        | "CHANNEL_INVALID"
        | "CHANNEL_PRIVATE"
        | "CHAT_ID_INVALID"
        | "USER_ID_INVALID"
        | "INPUT_USER_DEACTIVATED"
        | "USER_NOT_PARTICIPANT"
        | "USERNAME_NOT_OCCUPIED" => ErrorClass::PeerInvalid,
        "CHAT_FORWARDS_RESTRICTED" => ErrorClass::Protected,
        "MESSAGE_ID_INVALID"
        | "MESSAGE_IDS_EMPTY"
        | "MSG_ID_INVALID"
        | "MESSAGE_EDIT_TIME_EXPIRED"
        | "REPLY_MESSAGE_ID_INVALID"
        | "REPLY_TO_INVALID" => ErrorClass::MessageGone,
        "RANDOM_ID_DUPLICATE" => ErrorClass::DuplicateRandomId,
        // The number of an album's part is taken out of the name.
        "FILE_REFERENCE_EXPIRED"
        | "FILE_REFERENCE_INVALID"
        | "FILE_REFERENCE_EMPTY"
        | "FILEREF_UPGRADE_NEEDED" => ErrorClass::FileReferenceExpired,
        "MESSAGE_NOT_MODIFIED" => ErrorClass::NotModified,
        "ENTITY_BOUNDS_INVALID" | "ENTITY_MENTION_USER_INVALID" | "ENTITIES_TOO_LONG" => {
            ErrorClass::EntitiesInvalid
        }
        "MESSAGE_TOO_LONG" | "MEDIA_CAPTION_TOO_LONG" => ErrorClass::TooLong,
        "MESSAGE_EMPTY" => ErrorClass::Empty,
        // A step of a login, not the end of an authorisation.
        "SESSION_PASSWORD_NEEDED" => ErrorClass::Refused,
        name if name.starts_with("CHAT_SEND_") && name.ends_with("_FORBIDDEN") => ErrorClass::NoRights,
        _ if code == 420 => ErrorClass::FloodWait(until),
        _ if code == 401 => ErrorClass::Expired(SessionState::BadCredentials),
        // Telegram's own trouble: whether the work was done is not known.
        _ if !(0..500).contains(&code) => ErrorClass::Ambiguous,
        _ => ErrorClass::Refused,
    }
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
            ErrorClass::FloodWait(until) | ErrorClass::SlowMode(until) | ErrorClass::Limited(until) => {
                Retry::After(until.since(Timestamp::now()))
            }
            ErrorClass::Unavailable | ErrorClass::Ambiguous => Retry::Backoff,
            _ => Retry::Never,
        }
    }

    fn details(&self) -> Option<serde_json::Value> {
        match self {
            Self::LoginStep(step) => Some(serde_json::json!({ "step": step })),
            Self::NoLogin => Some(serde_json::json!({ "step": null })),
            // Where the code leaves open what Telegram did not like.
            Self::Rpc { name, .. } if self.code() == Code::TelegramError => {
                Some(serde_json::json!({ "reason": name }))
            }
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

fn rpc_code(class: ErrorClass, name: &str) -> Code {
    match name {
        "PHONE_CODE_INVALID" | "PHONE_CODE_EMPTY" => return Code::PhoneCodeInvalid,
        "PHONE_CODE_EXPIRED" => return Code::PhoneCodeExpired,
        "PHONE_NUMBER_INVALID" => return Code::PhoneNumberInvalid,
        "PHONE_NUMBER_UNOCCUPIED" => return Code::PhoneNumberUnoccupied,
        "PHONE_NUMBER_BANNED" => return Code::PhoneNumberBanned,
        "PASSWORD_HASH_INVALID" => return Code::PasswordHashInvalid,
        "SESSION_PASSWORD_NEEDED" => return Code::PasswordRequired,
        _ => {}
    }
    match class {
        ErrorClass::FloodWait(_) => Code::FloodWait,
        ErrorClass::SlowMode(_) => Code::SlowMode,
        ErrorClass::Limited(_) => Code::RateLimited,
        ErrorClass::PeerFlood => Code::PeerFlood,
        ErrorClass::NoRights => Code::ChatWriteForbidden,
        ErrorClass::PeerInvalid => Code::PeerInvalid,
        ErrorClass::Protected => Code::ForwardsRestricted,
        ErrorClass::MessageGone => Code::MessageInvalid,
        ErrorClass::TooLong => Code::MessageTooLong,
        ErrorClass::Empty => Code::MessageEmpty,
        ErrorClass::Expired(_) => Code::SessionExpired,
        ErrorClass::Unavailable | ErrorClass::Ambiguous => Code::SessionUnavailable,
        _ => Code::TelegramError,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNTIL: Timestamp = Timestamp(1000);

    #[test]
    fn waits_carry_their_end() {
        assert_eq!(classify(420, "FLOOD_WAIT", UNTIL), ErrorClass::FloodWait(UNTIL));
        assert_eq!(classify(420, "SLOWMODE_WAIT", UNTIL), ErrorClass::SlowMode(UNTIL));
        assert_eq!(
            classify(420, "SOMETHING_NEW_WAIT", UNTIL),
            ErrorClass::FloodWait(UNTIL)
        );
    }

    #[test]
    fn the_end_of_an_authorisation_is_terminal() {
        for name in ["AUTH_KEY_UNREGISTERED", "SESSION_REVOKED", "A_NEW_WORD"] {
            assert_eq!(
                classify(401, name, UNTIL),
                ErrorClass::Expired(SessionState::BadCredentials)
            );
        }
        assert_eq!(
            classify(401, "USER_DEACTIVATED_BAN", UNTIL),
            ErrorClass::Expired(SessionState::Banned)
        );
    }

    #[test]
    fn only_a_refusal_of_the_authorisation_ends_it() {
        for (code, name) in [
            (400, "AUTH_KEY_UNREGISTERED"),
            (400, "USER_DEACTIVATED"),
            (400, "PHONE_NUMBER_BANNED"),
        ] {
            assert_eq!(classify(code, name, UNTIL), ErrorClass::Refused, "{code} {name}");
        }
        let ended = ErrorClass::Expired(SessionState::BadCredentials);
        assert_eq!(classify(406, "AUTH_KEY_DUPLICATED", UNTIL), ended);
        assert_eq!(
            classify(401, "SESSION_PASSWORD_NEEDED", UNTIL),
            ErrorClass::Refused
        );
    }

    #[test]
    fn a_reference_is_one_whatever_its_place_in_an_album() {
        for message in [
            "FILE_REFERENCE_EXPIRED",
            "FILE_REFERENCE_0_EXPIRED",
            "FILE_REFERENCE_12_INVALID",
        ] {
            let error = grammers_client::tl::types::RpcError {
                error_code: 400,
                error_message: message.into(),
            };
            let error = TelegramError::from(InvocationError::Rpc(error.into()));
            assert_eq!(error.class(), ErrorClass::FileReferenceExpired, "{message}");
        }
    }

    #[test]
    fn rights_of_every_kind_are_rights() {
        assert_eq!(
            classify(403, "CHAT_SEND_PHOTOS_FORBIDDEN", UNTIL),
            ErrorClass::NoRights
        );
        assert_eq!(classify(403, "CHAT_WRITE_FORBIDDEN", UNTIL), ErrorClass::NoRights);
    }

    #[test]
    fn telegrams_own_trouble_leaves_it_open() {
        assert_eq!(classify(500, "RPC_CALL_FAIL", UNTIL), ErrorClass::Ambiguous);
        assert_eq!(classify(-503, "Timeout", UNTIL), ErrorClass::Ambiguous);
        assert_eq!(classify(400, "SOMETHING_ELSE", UNTIL), ErrorClass::Refused);
    }

    #[test]
    fn a_password_is_asked_for_by_its_own_code() {
        let error = TelegramError::Rpc {
            class: classify(401, "SESSION_PASSWORD_NEEDED", UNTIL),
            name: "SESSION_PASSWORD_NEEDED".into(),
        };
        assert_eq!(error.code(), Code::PasswordRequired);
    }
}
