//! The one list of stable error codes, and what an error of any domain answers.

use std::time::Duration;

/// What kind of trouble a code is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// Who asks, or what they may.
    Auth,
    /// The request itself.
    Validation,
    /// A limit, ours or Telegram's.
    Limit,
    /// Telegram refused or could not.
    Telegram,
    /// The state of things does not fit the request.
    Conflict,
    /// Not now.
    Unavailable,
    /// Ours.
    Internal,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $category:ident;)*) => {
        /// A stable error code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// Every code, for the documents.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// The code as the API shows it.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => $text,)* }
            }

            /// Whether a failure of this code leaves open what was done: it says nothing about the request.
            pub fn leaves_open(self) -> bool {
                matches!(self.category(), Category::Unavailable | Category::Internal)
            }

            /// The category it belongs to.
            pub fn category(self) -> Category {
                match self { $(Code::$name => Category::$category,)* }
            }
        }
    };
}

codes! {
    /// No key, or one that is not known.
    Unauthorized = "UNAUTHORIZED", Auth;
    /// A key without the scope.
    Forbidden = "FORBIDDEN", Auth;
    /// No such thing, or not for this key.
    NotFound = "NOT_FOUND", Validation;
    /// The route exists, the method does not.
    MethodNotAllowed = "METHOD_NOT_ALLOWED", Validation;
    /// A body, query or parameter that does not fit.
    InvalidRequest = "INVALID_REQUEST", Validation;
    /// A body over the limit.
    BodyTooLarge = "BODY_TOO_LARGE", Validation;
    /// A body of another content type.
    UnsupportedMediaType = "UNSUPPORTED_MEDIA_TYPE", Validation;
    /// A slow request was cut off.
    RequestTimeout = "REQUEST_TIMEOUT", Validation;
    /// The state of the thing does not allow it.
    Conflict = "CONFLICT", Conflict;
    /// The same idempotency key with another body.
    IdempotencyMismatch = "IDEMPOTENCY_KEY_REUSED", Conflict;
    /// The first request under this idempotency key is still being carried out.
    IdempotencyInProgress = "IDEMPOTENCY_IN_PROGRESS", Conflict;
    /// A submit that does not fit the login step.
    LoginStep = "LOGIN_STEP", Conflict;
    /// The login process ended because nobody finished it.
    LoginExpired = "LOGIN_EXPIRED", Conflict;
    /// The login process was cancelled.
    LoginCancelled = "LOGIN_CANCELLED", Conflict;
    /// The session is another account's than the one that logged in.
    AnotherAccount = "ANOTHER_ACCOUNT", Conflict;
    /// The agent has a live session already.
    SessionExists = "SESSION_EXISTS", Conflict;
    /// A session here uses this auth key already.
    AuthKeyInUse = "AUTH_KEY_IN_USE", Conflict;
    /// The pair would close a loop.
    PairLoop = "PAIR_LOOP", Conflict;
    /// The authorisation of the session ended.
    SessionExpired = "SESSION_EXPIRED", Telegram;
    /// The session is not connected at the moment.
    SessionUnavailable = "SESSION_UNAVAILABLE", Unavailable;
    /// What was to be imported is no session.
    ImportInvalid = "IMPORT_INVALID", Validation;
    /// Telegram does not accept the key that was to be imported.
    ImportRefused = "IMPORT_REFUSED", Telegram;
    /// The code was wrong.
    PhoneCodeInvalid = "PHONE_CODE_INVALID", Telegram;
    /// The code is too old.
    PhoneCodeExpired = "PHONE_CODE_EXPIRED", Telegram;
    /// Not a phone number.
    PhoneNumberInvalid = "PHONE_NUMBER_INVALID", Telegram;
    /// Nobody has this number.
    PhoneNumberUnoccupied = "PHONE_NUMBER_UNOCCUPIED", Telegram;
    /// Telegram wants an e-mail address to be set up first.
    EmailSetupRequired = "EMAIL_SETUP_REQUIRED", Telegram;
    /// Telegram has no way for the code that can be taken here.
    CodeWayUnsupported = "CODE_WAY_UNSUPPORTED", Telegram;
    /// Telegram wants to be paid for the code.
    LoginPaymentRequired = "LOGIN_PAYMENT_REQUIRED", Telegram;
    /// The number is banned.
    PhoneNumberBanned = "PHONE_NUMBER_BANNED", Telegram;
    /// The account has a password.
    PasswordRequired = "PASSWORD_REQUIRED", Telegram;
    /// The password was wrong.
    PasswordHashInvalid = "PASSWORD_HASH_INVALID", Telegram;
    /// The chat is unknown to the session.
    PeerInvalid = "PEER_INVALID", Telegram;
    /// The session may not write there.
    ChatWriteForbidden = "CHAT_WRITE_FORBIDDEN", Telegram;
    /// The chat does not allow messages of this kind.
    KindForbidden = "KIND_FORBIDDEN", Telegram;
    /// The account is frozen by Telegram.
    AccountFrozen = "ACCOUNT_FROZEN", Telegram;
    /// The source forbids forwarding.
    ForwardsRestricted = "CHAT_FORWARDS_RESTRICTED", Telegram;
    /// A message of a kind that cannot be sent as a new one.
    NotCopyable = "NOT_COPYABLE", Telegram;
    /// A file that the destination's account does not see.
    MediaNotReachable = "MEDIA_NOT_REACHABLE", Telegram;
    /// The message does not exist.
    MessageInvalid = "MESSAGE_ID_INVALID", Telegram;
    /// The text is empty.
    MessageEmpty = "MESSAGE_EMPTY", Telegram;
    /// The text is over Telegram's limit.
    MessageTooLong = "MESSAGE_TOO_LONG", Telegram;
    /// The account may not send to strangers.
    PeerFlood = "PEER_FLOOD", Limit;
    /// Telegram asked to wait.
    FloodWait = "FLOOD_WAIT", Limit;
    /// The chat's slow mode asks to wait.
    SlowMode = "SLOWMODE_WAIT", Limit;
    /// A budget of this daemon is used up for longer than the caller waits.
    RateLimited = "RATE_LIMITED", Limit;
    /// Too many connections or requests at once.
    TooBusy = "TOO_BUSY", Limit;
    /// Another answer of Telegram.
    TelegramError = "TELEGRAM_ERROR", Telegram;
    /// The address may not be called.
    AddressForbidden = "ADDRESS_FORBIDDEN", Validation;
    /// Events that were asked for are not kept any more.
    EventsGone = "EVENTS_GONE", Conflict;
    /// A listener does not take what it is told.
    TooSlow = "TOO_SLOW", Limit;
    /// The receiver answered with an error.
    ReceiverRefused = "RECEIVER_REFUSED", Unavailable;
    /// The receiver could not be reached in time.
    ReceiverUnreachable = "RECEIVER_UNREACHABLE", Unavailable;
    /// The name of the receiver's host does not resolve.
    ReceiverUnresolved = "RECEIVER_UNRESOLVED", Unavailable;
    /// Nobody listens where the receiver should.
    ReceiverAbsent = "RECEIVER_CONNECTION_REFUSED", Unavailable;
    /// The receiver's certificate is not trusted.
    ReceiverCertificate = "RECEIVER_CERTIFICATE", Unavailable;
    /// The receiver speaks no TLS, or none that is understood here.
    ReceiverTls = "RECEIVER_TLS", Unavailable;
    /// The receiver's answer is no HTTP.
    ReceiverGarbled = "RECEIVER_ANSWER_INVALID", Unavailable;
    /// The daemon stops or a part of it restarts.
    Unavailable = "UNAVAILABLE", Unavailable;
    /// The store cannot keep what it is given.
    StoreUnavailable = "STORE_UNAVAILABLE", Unavailable;
    /// A fault of ours.
    Internal = "INTERNAL", Internal;
}

/// Whether and when the same call may be made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The same call will fail again.
    Never,
    /// It may succeed later; nothing says when.
    Backoff,
    /// It will be refused for this long.
    After(Duration),
}

/// What every domain's error answers.
pub trait Coded: std::error::Error {
    /// The stable code.
    fn code(&self) -> Code;

    /// Whether and when to try again.
    fn retry(&self) -> Retry;

    /// What a caller may know beyond the code, as a JSON object: the login step, the session that
    /// exists already. The API shows it under `details`.
    ///
    /// Of errors whose category is validation or conflict the message itself is shown too, as
    /// `details.reason`: write it for the caller.
    fn details(&self) -> Option<serde_json::Value> {
        None
    }

    /// Whether what was asked for may have been done, all or in part, though it failed.
    fn may_be_done(&self) -> bool {
        self.code().leaves_open()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_code_stands_twice() {
        let mut texts: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), Code::ALL.len());
    }
}
