//! Login by phone code: having one sent, or sent again, and handing it in.

use grammers_client::tl;

use super::call::{Answer, call, call_home};
use super::steps::SentCode;
use crate::base::{Code, Coded, Secret};
use crate::model::Refusal;
use crate::telegram::config::TelegramConfig;
use crate::telegram::error::TelegramError;
use crate::telegram::link::Link;

/// What came of asking for a code.
pub(super) enum Sent {
    /// It is on its way.
    Code(SentCode),
    /// The key belongs to the account already.
    In(Box<tl::enums::User>),
    /// Another DC sends codes to this number.
    At(i32),
}

/// What came of handing a code in.
pub(super) enum Signed {
    /// The account is logged in.
    In(Box<tl::enums::User>),
    /// It has a password besides.
    PasswordWanted,
}

/// Has Telegram send a code to a number.
///
/// # Errors
/// Telegram's refusal; no connection.
pub(super) async fn send(config: &TelegramConfig, link: &Link, phone: &str) -> Result<Sent, TelegramError> {
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
        api_id: config.api_id,
        api_hash: config.api_hash.expose().to_owned(),
        settings: settings.into(),
    };
    match call_home(link, &request).await? {
        Answer::Here(sent) => read(sent),
        Answer::At(dc) => Ok(Sent::At(dc)),
    }
}

/// Has a code sent again, the way Telegram names next; anew if it names none.
///
/// # Errors
/// Telegram's refusal; no connection.
pub(super) async fn resend(
    config: &TelegramConfig,
    link: &Link,
    phone: &str,
    before: &SentCode,
) -> Result<Sent, TelegramError> {
    let request = tl::functions::auth::ResendCode {
        phone_number: phone.to_owned(),
        phone_code_hash: before.hash.expose().to_owned(),
        reason: None,
    };
    match call(link, &request).await {
        Ok(sent) => read(sent),
        // There is no other way left for this code, or it is too old.
        Err(TelegramError::Rpc {
            class: Refusal::Login | Refusal::Refused,
            ..
        }) => send(config, link, phone).await,
        Err(error) => Err(error),
    }
}

fn read(sent: tl::enums::auth::SentCode) -> Result<Sent, TelegramError> {
    use tl::enums::auth::SentCode as Kind;
    match sent {
        Kind::Code(sent) => {
            let (kind, length) = kind_of(&sent.r#type);
            Ok(Sent::Code(SentCode {
                hash: Secret::new(sent.phone_code_hash),
                kind: kind.to_owned(),
                length,
                taken: None,
            }))
        }
        Kind::Success(done) => match done.authorization {
            tl::enums::auth::Authorization::Authorization(it) => Ok(Sent::In(Box::new(it.user))),
            tl::enums::auth::Authorization::SignUpRequired(_) => Err(unoccupied()),
        },
        Kind::PaymentRequired(_) => Err(TelegramError::Conflict(
            "Telegram wants to be paid for a code to this number; log in by QR instead",
        )),
    }
}

fn kind_of(sent: &tl::enums::auth::SentCodeType) -> (&'static str, i32) {
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
/// A wrong or old code; a number that nobody has.
pub(super) async fn sign_in(
    link: &Link,
    phone: &Secret,
    sent: &SentCode,
    code: &Secret,
) -> Result<Signed, TelegramError> {
    let request = tl::functions::auth::SignIn {
        phone_number: phone.expose().to_owned(),
        phone_code_hash: sent.hash.expose().to_owned(),
        phone_code: Some(code.expose().to_owned()),
        email_verification: None,
    };
    match call(link, &request).await {
        Ok(tl::enums::auth::Authorization::Authorization(it)) => Ok(Signed::In(Box::new(it.user))),
        Ok(tl::enums::auth::Authorization::SignUpRequired(_)) => Err(unoccupied()),
        Err(error) if error.code() == Code::PasswordRequired => Ok(Signed::PasswordWanted),
        Err(error) => Err(error),
    }
}

fn unoccupied() -> TelegramError {
    TelegramError::Rpc {
        class: Refusal::Login,
        name: "PHONE_NUMBER_UNOCCUPIED".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_is_told_in_stable_words() {
        let sent = tl::types::auth::SentCode {
            r#type: tl::types::auth::SentCodeTypeApp { length: 5 }.into(),
            phone_code_hash: "h".to_owned(),
            next_type: None,
            timeout: None,
        };
        let Ok(Sent::Code(code)) = read(sent.into()) else {
            panic!("a code was sent")
        };
        assert_eq!((code.kind.as_str(), code.length), ("app", 5));
    }
}
