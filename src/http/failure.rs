//! A request that failed: which status a code has, and the one flat shape of every error answer.
//!
//! Domains know codes, only this module knows statuses. Nothing internal leaves: the chain of causes of a fault of ours
//! is for the log, which dispatch writes, and the caller sees the code and the request's id.

use std::time::Duration;

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use super::texts::{Language, text};
use crate::base::{Category, Code, Coded, Retry, chain};

/// Why a request was not carried out.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The stable code.
    pub code: Code,
    /// What the caller may know beyond it.
    pub details: Map<String, Value>,
    /// When the same call may be made again.
    pub retry_after: Option<Duration>,
    /// The methods that the path knows, for 405.
    pub allow: Option<String>,
    /// What is behind it, for the log alone.
    pub cause: Option<String>,
    /// Whether what was asked for may have been done all the same.
    pub may_be_done: bool,
}

impl Failure {
    /// A failure with nothing but its code.
    pub fn new(code: Code) -> Self {
        Self {
            code,
            details: Map::new(),
            retry_after: None,
            allow: None,
            cause: None,
            may_be_done: code.leaves_open(),
        }
    }

    /// A fault of ours; the cause is for the log.
    pub fn internal(cause: impl Into<String>) -> Self {
        Self {
            cause: Some(cause.into()),
            ..Self::new(Code::Internal)
        }
    }

    /// Not now; the cause is for the log.
    pub fn unavailable(cause: impl Into<String>) -> Self {
        Self {
            cause: Some(cause.into()),
            ..Self::new(Code::Unavailable)
        }
    }

    /// There is no such thing, or not for this caller.
    pub fn not_found() -> Self {
        Self::new(Code::NotFound)
    }

    /// The request does not fit; the reason is told to the caller.
    pub fn invalid(reason: impl Into<String>) -> Self {
        Self::new(Code::InvalidRequest).detail("reason", reason.into())
    }

    /// A field that has to be there is not.
    pub fn missing(field: &str) -> Self {
        Self::invalid(format!("missing field `{field}`")).detail("field", field)
    }

    /// The caller's key is bound to sessions, and this concerns more.
    pub fn bound() -> Self {
        Self::new(Code::Forbidden).detail("reason", "this key is bound to its sessions")
    }

    /// Adds something that the caller may know.
    pub fn detail(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        status(self.code)
    }

    /// The seconds of `Retry-After`: on every 429 and 503, and wherever a time is known.
    pub fn retry_seconds(&self) -> Option<u64> {
        let seconds = |span: Duration| span.as_millis().div_ceil(1000).max(1) as u64;
        match (self.retry_after, self.status()) {
            (Some(span), _) => Some(seconds(span)),
            (None, StatusCode::TOO_MANY_REQUESTS) if self.code == Code::PeerFlood => Some(3600),
            (None, StatusCode::TOO_MANY_REQUESTS) => Some(5),
            (None, StatusCode::SERVICE_UNAVAILABLE) => Some(2),
            _ => None,
        }
    }

    /// The flat shape.
    pub fn body(&self, language: Language, request: &str) -> Value {
        let mut words = text(self.code, language).to_owned();
        let reason = self.details.get("reason").and_then(Value::as_str);
        if let Some(reason) = reason.filter(|_| !says_all(self.code)) {
            words = format!("{words}: {reason}");
        }
        let mut body = json!({
            "success": false,
            "error": words,
            "message": words,
            "code": self.code.as_str(),
            "category": self.code.category(),
            "details": self.details,
            "request_id": request,
        });
        if let (Some(seconds), Some(object)) = (self.retry_seconds(), body.as_object_mut()) {
            object.insert("retry_after".to_owned(), seconds.into());
        }
        body
    }
}

impl<E: Coded> From<E> for Failure {
    fn from(error: E) -> Self {
        let code = error.code();
        let mut failure = Self::new(code);
        failure.may_be_done = error.may_be_done();
        if let Retry::After(span) = error.retry() {
            failure.retry_after = Some(span);
        }
        match code.category() {
            Category::Internal | Category::Unavailable => failure.cause = Some(chain(&error)),
            Category::Validation | Category::Conflict if code != Code::NotFound => {
                failure = failure.detail("reason", error.to_string());
            }
            _ => {}
        }
        if let Some(Value::Object(details)) = error.details() {
            failure.details.extend(details);
        }
        failure
    }
}

/// Whether a code's text leaves nothing to add: the reason, which is in English, would say it a second time.
fn says_all(code: Code) -> bool {
    matches!(
        code,
        Code::LoginExpired
            | Code::LoginCancelled
            | Code::AnotherAccount
            | Code::AuthKeyInUse
            | Code::IdempotencyMismatch
            | Code::IdempotencyInProgress
    )
}

/// The status of a code.
pub fn status(code: Code) -> StatusCode {
    match code {
        Code::Unauthorized => StatusCode::UNAUTHORIZED,
        Code::Forbidden
        | Code::ChatWriteForbidden
        | Code::KindForbidden
        | Code::ForwardsRestricted
        | Code::AccountFrozen => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Code::InvalidRequest
        | Code::AddressForbidden
        | Code::MessageInvalid
        | Code::MessageTooLong
        | Code::ImportInvalid
        | Code::PhoneCodeInvalid
        | Code::PhoneCodeExpired
        | Code::PasswordRequired
        | Code::PasswordHashInvalid => StatusCode::BAD_REQUEST,
        Code::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Code::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
        Code::Conflict
        | Code::IdempotencyMismatch
        | Code::IdempotencyInProgress
        | Code::LoginStep
        | Code::AnotherAccount
        | Code::SessionExists
        | Code::AuthKeyInUse
        | Code::PairLoop => StatusCode::CONFLICT,
        Code::SessionExpired | Code::LoginExpired | Code::LoginCancelled | Code::EventsGone => {
            StatusCode::GONE
        }
        Code::ImportRefused
        | Code::PhoneNumberInvalid
        | Code::PhoneNumberUnoccupied
        | Code::PhoneNumberBanned
        | Code::EmailSetupRequired
        | Code::CodeWayUnsupported
        | Code::LoginPaymentRequired
        | Code::PeerInvalid
        | Code::NotCopyable
        | Code::MediaNotReachable
        | Code::MessageEmpty
        | Code::TelegramError => StatusCode::UNPROCESSABLE_ENTITY,
        Code::PeerFlood | Code::FloodWait | Code::SlowMode | Code::RateLimited | Code::TooSlow => {
            StatusCode::TOO_MANY_REQUESTS
        }
        Code::ReceiverRefused
        | Code::ReceiverUnreachable
        | Code::ReceiverUnresolved
        | Code::ReceiverAbsent
        | Code::ReceiverCertificate
        | Code::ReceiverTls
        | Code::ReceiverGarbled => StatusCode::BAD_GATEWAY,
        Code::TooBusy | Code::SessionUnavailable | Code::Unavailable | Code::StoreUnavailable => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("rule 2 is not a regular expression")]
    struct BadRule;

    impl Coded for BadRule {
        fn code(&self) -> Code {
            Code::InvalidRequest
        }
        fn retry(&self) -> Retry {
            Retry::Never
        }
        fn details(&self) -> Option<Value> {
            Some(json!({"field": "rules"}))
        }
    }

    #[test]
    fn a_text_that_says_all_is_not_said_twice() {
        let failure = Failure::new(Code::LoginCancelled).detail("reason", "the login process was cancelled");
        let body = failure.body(Language::Fa, "r1");
        assert_eq!(body["error"], text(Code::LoginCancelled, Language::Fa));
        assert_eq!(body["details"]["reason"], "the login process was cancelled");
        let failure = Failure::new(Code::InvalidRequest).detail("reason", "no name");
        let told = failure.body(Language::En, "r1")["error"].to_string();
        assert!(told.contains("no name"), "{told}");
    }

    #[derive(Debug, thiserror::Error)]
    #[error("row 7 of /var/lib/x is broken")]
    struct Broken;

    impl Coded for Broken {
        fn code(&self) -> Code {
            Code::Internal
        }
        fn retry(&self) -> Retry {
            Retry::Never
        }
    }

    #[test]
    fn the_caller_learns_what_to_mend_and_nothing_internal() {
        let body = Failure::from(BadRule).body(Language::En, "r1");
        assert_eq!(body["error"], body["message"]);
        assert_eq!(
            body["error"],
            "The request is not valid: rule 2 is not a regular expression"
        );
        assert_eq!(body["details"]["field"], "rules");
        assert_eq!(body["request_id"], "r1");
        let body = Failure::from(Broken).body(Language::En, "r1").to_string();
        assert!(!body.contains("row 7"), "{body}");
    }

    #[test]
    fn every_429_and_503_says_when_to_come_back() {
        for code in Code::ALL {
            let failure = Failure::new(*code);
            let waits = matches!(failure.status().as_u16(), 429 | 503);
            assert_eq!(failure.retry_seconds().is_some(), waits, "{code:?}");
            assert_eq!(
                failure.body(Language::Fa, "r").get("retry_after").is_some(),
                waits
            );
        }
        let mut failure = Failure::new(Code::FloodWait);
        failure.retry_after = Some(Duration::from_millis(1200));
        assert_eq!(failure.retry_seconds(), Some(2));
    }
}
