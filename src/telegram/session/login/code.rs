//! Login by code: having one sent, or sent again, and handing it in.

use std::time::Duration;

use grammers_client::tl;

use super::call::{Admitted, Answer, Line, RESTART, admitted, call, call_home};
use super::steps::{CodeDetails, SentCode};
use crate::base::{Code, Coded, Secret, Timestamp};
use crate::model::Refusal;
use crate::telegram::config::TelegramConfig;
use crate::telegram::error::TelegramError;
use crate::telegram::logins::Need;

/// How long a code is not asked for anew of which Telegram names neither a next way nor a time.
const QUIET: Duration = Duration::from_secs(60);

/// The way of a code that only an application gets which proves what it is.
const ATTESTED: &str = "firebase";

/// How many ways of a code are passed over at most: Telegram has fewer.
const MOST_WAYS: usize = 4;

/// What came of asking for a code.
pub(super) enum Sent {
    /// It is on its way.
    Code(Box<SentCode>),
    /// The key belongs to the account already.
    In(Box<Admitted>),
    /// There was no need of a code; the account has a password.
    PasswordWanted,
    /// Another DC sends codes to this number.
    At(i32),
}

/// What came of handing a code in.
pub(super) enum Signed {
    /// The account is logged in.
    In(Box<Admitted>),
    /// It has a password besides.
    PasswordWanted,
    /// The account lives at another DC by now.
    At(i32),
}

/// Has Telegram send a code to a number; `tokens` of the account may spare it.
///
/// # Errors
/// Telegram's refusal, or what it wants that is not done here; no connection.
pub(super) async fn send(
    config: &TelegramConfig,
    line: &Line,
    phone: &str,
    tokens: Vec<Vec<u8>>,
) -> Result<Sent, TelegramError> {
    let settings = tl::types::CodeSettings {
        allow_flashcall: false,
        current_number: false,
        allow_app_hash: false,
        allow_missed_call: false,
        allow_firebase: false,
        unknown_number: false,
        logout_tokens: Some(tokens).filter(|tokens| !tokens.is_empty()),
        token: None,
        app_sandbox: None,
    };
    let request = tl::functions::auth::SendCode {
        phone_number: phone.to_owned(),
        api_id: config.api_id,
        api_hash: config.api_hash.expose().to_owned(),
        settings: settings.into(),
    };
    let answer = match call_home(line, &request).await {
        // So the documentation has it: at once, from the beginning.
        Err(error) if error.rpc_name() == Some(RESTART) => call_home(line, &request).await,
        answer => answer,
    };
    match answer {
        Ok(Answer::Here(sent)) => usable(line, phone, read(sent, Timestamp::now())?).await,
        Ok(Answer::At(dc)) => Ok(Sent::At(dc)),
        Err(error) if error.code() == Code::PasswordRequired => Ok(Sent::PasswordWanted),
        Err(error) => Err(error),
    }
}

/// Has a code sent again, the way Telegram names next; anew if it has none any more.
///
/// # Errors
/// As [`send`].
pub(super) async fn resend(
    config: &TelegramConfig,
    line: &Line,
    phone: &str,
    before: &SentCode,
) -> Result<Sent, TelegramError> {
    match next_way(line, phone, before).await {
        Ok(sent) => usable(line, phone, sent).await,
        // There is no other way left for this code, it is too old, or the login has to begin anew.
        Err(error) if is_over(&error) => send(config, line, phone, Vec::new()).await,
        Err(error) => Err(error),
    }
}

fn is_over(error: &TelegramError) -> bool {
    matches!(error.class(), Refusal::Login | Refusal::Refused) && matches!(error, TelegramError::Rpc { .. })
        || error.rpc_name() == Some(RESTART)
}

async fn next_way(line: &Line, phone: &str, before: &SentCode) -> Result<Sent, TelegramError> {
    let request = tl::functions::auth::ResendCode {
        phone_number: phone.to_owned(),
        phone_code_hash: before.hash.expose().to_owned(),
        reason: None,
    };
    read(call(line, &request).await?, Timestamp::now())
}

/// Passes over the ways that need an application of Telegram's own.
async fn usable(line: &Line, phone: &str, sent: Sent) -> Result<Sent, TelegramError> {
    let mut sent = sent;
    for _ in 0..MOST_WAYS {
        match &sent {
            Sent::Code(code) if code.kind == ATTESTED && code.has_next => {
                sent = next_way(line, phone, code).await?;
            }
            Sent::Code(code) if code.kind == ATTESTED => break,
            _ => return Ok(sent),
        }
    }
    Err(TelegramError::LoginNeeds(Need::Attestation))
}

fn read(sent: tl::enums::auth::SentCode, now: Timestamp) -> Result<Sent, TelegramError> {
    use tl::enums::auth::SentCode as Kind;
    match sent {
        Kind::Code(sent) => {
            let (kind, length, details) = way(sent.r#type)?;
            let wait = sent.timeout.and_then(|seconds| u64::try_from(seconds).ok());
            let wait = wait.map(Duration::from_secs).unwrap_or_default();
            let has_next = sent.next_type.is_some();
            let wait = if has_next { wait } else { wait.max(QUIET) };
            Ok(Sent::Code(Box::new(SentCode {
                hash: Secret::new(sent.phone_code_hash),
                kind: kind.to_owned(),
                length,
                details,
                has_next,
                again_at: Some(now.plus(wait)),
                ended: false,
                taken: None,
            })))
        }
        Kind::Success(done) => Ok(Sent::In(Box::new(admitted(done.authorization)?))),
        Kind::PaymentRequired(_) => Err(TelegramError::LoginNeeds(Need::Payment)),
    }
}

/// How a code was sent, how many digits it has, and what else is told of it.
fn way(sent: tl::enums::auth::SentCodeType) -> Result<(&'static str, i32, CodeDetails), TelegramError> {
    use tl::enums::auth::SentCodeType as Type;
    let none = CodeDetails::default();
    Ok(match sent {
        Type::App(it) => ("app", it.length, none),
        Type::Sms(it) => ("sms", it.length, none),
        Type::Call(it) => ("call", it.length, none),
        Type::FlashCall(it) => (
            "flash_call",
            0,
            CodeDetails {
                code_pattern: Some(it.pattern),
                ..none
            },
        ),
        Type::MissedCall(it) => (
            "missed_call",
            it.length,
            CodeDetails {
                code_prefix: Some(it.prefix),
                ..none
            },
        ),
        Type::FragmentSms(it) => (
            "fragment",
            it.length,
            CodeDetails {
                url: Some(it.url),
                ..none
            },
        ),
        Type::SmsWord(it) => ("word", 0, beginning(it.beginning)),
        Type::SmsPhrase(it) => ("phrase", 0, beginning(it.beginning)),
        Type::EmailCode(it) => (
            EMAIL,
            it.length,
            CodeDetails {
                email_pattern: Some(it.email_pattern),
                ..none
            },
        ),
        Type::FirebaseSms(it) => (ATTESTED, it.length, none),
        Type::SetUpEmailRequired(_) => return Err(TelegramError::LoginNeeds(Need::EmailAddress)),
    })
}

/// The way of a code that came by e-mail, and is handed in as such.
const EMAIL: &str = "email";

fn beginning(beginning: Option<String>) -> CodeDetails {
    CodeDetails {
        beginning,
        ..CodeDetails::default()
    }
}

/// Hands in the code.
///
/// # Errors
/// A wrong or old code; a number that nobody has.
pub(super) async fn sign_in(
    line: &Line,
    phone: &Secret,
    sent: &SentCode,
    code: &Secret,
) -> Result<Signed, TelegramError> {
    let typed = code.expose().to_owned();
    let mailed = sent.kind == EMAIL;
    let request = tl::functions::auth::SignIn {
        phone_number: phone.expose().to_owned(),
        phone_code_hash: sent.hash.expose().to_owned(),
        phone_code: (!mailed).then(|| typed.clone()),
        email_verification: mailed.then(|| tl::types::EmailVerificationCode { code: typed }.into()),
    };
    match call_home(line, &request).await {
        Ok(Answer::Here(authorization)) => Ok(Signed::In(Box::new(admitted(authorization)?))),
        Ok(Answer::At(dc)) => Ok(Signed::At(dc)),
        Err(error) if error.code() == Code::PasswordRequired => Ok(Signed::PasswordWanted),
        // The login has to begin anew, with another code.
        Err(error) if error.rpc_name() == Some(RESTART) => Err(expired()),
        Err(error) => Err(error),
    }
}

/// The refusal of a code that is good no more.
pub(super) fn expired() -> TelegramError {
    TelegramError::Rpc {
        class: Refusal::Login,
        name: "PHONE_CODE_EXPIRED".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(
        r#type: tl::enums::auth::SentCodeType,
        next: Option<tl::enums::auth::CodeType>,
        timeout: Option<i32>,
    ) -> Result<SentCode, TelegramError> {
        let sent = tl::types::auth::SentCode {
            r#type,
            phone_code_hash: "h".to_owned(),
            next_type: next,
            timeout,
        };
        match read(sent.into(), Timestamp::from_secs(1000))? {
            Sent::Code(code) => Ok(*code),
            _ => panic!("a code was sent"),
        }
    }

    #[test]
    fn what_was_sent_is_told_in_stable_words() {
        use tl::types::auth as t;
        let text = |text: &str| text.to_owned();
        let word = t::SentCodeTypeSmsWord { beginning: None };
        let phrase = t::SentCodeTypeSmsPhrase {
            beginning: Some(text("amber")),
        };
        let mail = t::SentCodeTypeEmailCode {
            apple_signin_allowed: false,
            google_signin_allowed: false,
            email_pattern: text("a*@b.c"),
            length: 6,
            reset_available_period: None,
            reset_pending_date: None,
        };
        let missed = t::SentCodeTypeMissedCall {
            prefix: text("+44"),
            length: 4,
        };
        let flash = t::SentCodeTypeFlashCall { pattern: text("44*") };
        let fragment = t::SentCodeTypeFragmentSms {
            url: text("u"),
            length: 7,
        };
        let told = serde_json::json!([
            ["app", 5, {}],
            ["sms", 5, {}],
            ["call", 5, {}],
            ["flash_call", 0, {"code_pattern": "44*"}],
            ["missed_call", 4, {"code_prefix": "+44"}],
            ["fragment", 7, {"url": "u"}],
            ["word", 0, {}],
            ["phrase", 0, {"beginning": "amber"}],
            ["email", 6, {"email_pattern": "a*@b.c"}],
        ]);
        let read: Vec<_> = [
            t::SentCodeTypeApp { length: 5 }.into(),
            t::SentCodeTypeSms { length: 5 }.into(),
            t::SentCodeTypeCall { length: 5 }.into(),
            flash.into(),
            missed.into(),
            fragment.into(),
            word.into(),
            phrase.into(),
            mail.into(),
        ]
        .into_iter()
        .map(|sent| way(sent).expect("a code"))
        .collect();
        assert_eq!(serde_json::to_value(read).expect("JSON"), told);
        let setup = t::SentCodeTypeSetUpEmailRequired {
            apple_signin_allowed: false,
            google_signin_allowed: false,
        };
        let refused = way(setup.into()).expect_err("no code");
        assert_eq!(refused.code(), Code::EmailSetupRequired);
    }

    #[test]
    fn a_code_is_not_asked_for_again_before_its_time() {
        let app = || tl::types::auth::SentCodeTypeApp { length: 5 }.into();
        let sms = Some(tl::enums::auth::CodeType::Sms);
        let at = |next, timeout| sent(app(), next, timeout).expect("a code").again_at;
        let secs = |secs| Some(Timestamp::from_secs(secs));
        assert_eq!(at(sms.clone(), None), secs(1000), "the next way at once");
        assert_eq!(at(sms, Some(120)), secs(1120));
        assert_eq!(at(None, None), secs(1060), "no way to be had by haste");
        assert_eq!(at(None, Some(-1)), secs(1060));
    }
}
