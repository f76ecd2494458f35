//! The login process as a value: its steps, what leads from one to the next, and which submit fits which. Pure.
//!
//! It is part of the session's stored record, so that a restart between two steps loses nothing. A process accepts
//! whichever comes first of what it has offered: a QR that is scanned, a code that is typed.

use serde::{Deserialize, Serialize};

use crate::base::{Secret, StepId, Timestamp};
use crate::model::LoginStep;

/// A login process under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// What it waits for.
    pub step: LoginStep,
    /// Names this step: another one, or the same begun anew, has another name.
    #[serde(default = "StepId::generate")]
    pub step_id: StepId,
    /// When the process ends by itself.
    pub expires_at: Timestamp,
    /// The number that a code was sent to.
    #[serde(default)]
    pub phone: Option<Secret>,
    /// The QR to be shown.
    #[serde(default)]
    pub qr: Option<ShownQr>,
    /// A token to be handed in at the DC where the account lives.
    #[serde(default)]
    pub moved: Option<Secret>,
    /// The code that was sent.
    #[serde(default)]
    pub code: Option<SentCode>,
    /// The account owner's hint at the password.
    #[serde(default)]
    pub hint: Option<String>,
    /// Whether Telegram can reset the password by mail.
    #[serde(default)]
    pub has_recovery: bool,
    /// What Telegram shows of the account's login address, where it asks for the password.
    #[serde(default)]
    pub email_pattern: Option<String>,
}

/// A login token as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownQr {
    /// The token in base64url.
    pub token: Secret,
    /// Until when Telegram takes it.
    pub expires_at: Timestamp,
}

impl ShownQr {
    /// What the QR says, for the phone's app.
    pub fn url(&self) -> String {
        format!("tg://login?token={}", self.token.expose())
    }
}

/// A code that Telegram sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentCode {
    /// Telegram's handle of it.
    pub hash: Secret,
    /// How it was sent: `app`, `sms`, `call`, …
    pub kind: String,
    /// How many digits it has; 0 if Telegram does not tell.
    pub length: i32,
    /// What else Telegram tells of it.
    #[serde(default)]
    pub details: CodeDetails,
    /// Whether Telegram has another way for it.
    #[serde(default)]
    pub has_next: bool,
    /// Before when it is not asked for again.
    #[serde(default)]
    pub again_at: Option<Timestamp>,
    /// Telegram takes it no more.
    #[serde(default)]
    pub ended: bool,
    /// The code itself, once it was taken and a password is wanted besides.
    #[serde(default)]
    pub taken: Option<Secret>,
}

/// What Telegram tells of a code beside its length; which of it depends on the way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CodeDetails {
    /// Of a `flash_call`: what the number that calls looks like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_pattern: Option<String>,
    /// Of a `missed_call`: how the number that calls begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_prefix: Option<String>,
    /// Of `fragment`: where the code can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Of a `word` or `phrase`: how it begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beginning: Option<String>,
    /// Of `email`, or beside the hint at a password: what Telegram shows of the login address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email_pattern: Option<String>,
}

/// What is done when a code is asked for again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// The one that was sent stays: Telegram sends no other yet.
    Wait,
    /// It is sent the next way.
    NextWay,
    /// Another one is sent.
    Anew,
}

impl SentCode {
    /// What is done when it is asked for again.
    pub(crate) fn again(&self, now: Timestamp) -> Again {
        match self.again_at {
            _ if self.ended => Again::Anew,
            Some(at) if now < at => Again::Wait,
            _ if self.has_next => Again::NextWay,
            _ => Again::Anew,
        }
    }
}

/// What is asked beside a password.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Question {
    /// The account owner's hint.
    pub hint: Option<String>,
    /// Whether Telegram can reset it by mail.
    pub has_recovery: bool,
    /// What Telegram shows of the login address.
    pub email_pattern: Option<String>,
}

/// What moves a login process.
#[derive(Clone, Debug)]
pub(crate) enum Move {
    /// A token was made, the first one or one that follows.
    TokenMade(ShownQr),
    /// The account lives at another DC, where this token is to be handed in.
    SentElsewhere(Secret),
    /// A code was sent; the QR, if there is one, goes on being shown.
    CodeSentToo(Secret, SentCode),
    /// A code was sent, and is what the process waits for now.
    CodeSent(Secret, SentCode),
    /// The account has a password; the code that led here, if it was one.
    PasswordWanted(Question, Option<Secret>),
    /// Telegram takes the code that was sent no more.
    CodeEnded,
}

/// The name and the end of a step that begins now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// Its name.
    pub id: StepId,
    /// When the process ends if nothing comes.
    pub expires_at: Timestamp,
}

/// The process after a move.
pub(crate) fn after(login: Option<Login>, happened: Move, entry: Entry) -> Login {
    let before = login.as_ref().map(|login| login.step);
    let mut login = login.unwrap_or_else(|| Login {
        step: LoginStep::DisplayQr,
        step_id: entry.id,
        expires_at: entry.expires_at,
        phone: None,
        qr: None,
        moved: None,
        code: None,
        hint: None,
        has_recovery: false,
        email_pattern: None,
    });
    let mut anew = false;
    match happened {
        Move::TokenMade(qr) => {
            login.step = LoginStep::DisplayQr;
            login.qr = Some(qr);
            login.moved = None;
        }
        Move::SentElsewhere(token) => {
            login.qr = None;
            login.moved = Some(token);
        }
        Move::CodeSentToo(phone, code) => {
            login.phone = Some(phone);
            login.code = Some(code);
        }
        Move::CodeSent(phone, code) => {
            anew = true;
            login.step = LoginStep::InputCode;
            login.phone = Some(phone);
            login.code = Some(code);
            login.qr = None;
            login.hint = None;
            login.has_recovery = false;
            login.email_pattern = None;
        }
        Move::CodeEnded => {
            if let Some(sent) = &mut login.code {
                sent.ended = true;
            }
        }
        Move::PasswordWanted(question, code) => {
            login.step = LoginStep::InputPassword;
            login.hint = question.hint;
            login.has_recovery = question.has_recovery;
            login.email_pattern = question.email_pattern;
            login.qr = None;
            login.moved = None;
            if let Some(sent) = &mut login.code {
                sent.taken = code;
            }
        }
    }
    if anew || before != Some(login.step) {
        login.step_id = entry.id;
        login.expires_at = entry.expires_at;
    }
    login
}

/// What is handed in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Submit<'a> {
    /// The code that Telegram sent.
    Code(&'a Secret),
    /// The account's password.
    Password,
}

/// Whether a submit fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    /// It is what the process waits for.
    Try,
    /// It was taken already.
    Repeated,
    /// The process waits for this instead.
    Not(LoginStep),
}

/// Whether a submit fits the step.
pub(crate) fn fit(login: &Login, submit: Submit<'_>) -> Fit {
    let sent = login.code.as_ref();
    match (login.step, submit) {
        (LoginStep::DisplayQr | LoginStep::InputCode, Submit::Code(_)) if sent.is_some() => Fit::Try,
        (LoginStep::InputPassword, Submit::Password) => Fit::Try,
        (LoginStep::InputPassword, Submit::Code(code))
            if sent.is_some_and(|sent| sent.taken.as_ref() == Some(code)) =>
        {
            Fit::Repeated
        }
        (step, _) => Fit::Not(step),
    }
}

impl Login {
    /// When nothing of it is left: a QR that was shown is taken by Telegram until its own end.
    pub fn ends_at(&self) -> Timestamp {
        let shown = self.qr.as_ref().map_or(self.expires_at, |qr| qr.expires_at);
        self.expires_at.max(shown)
    }

    /// The QR, if it can still be scanned.
    pub fn current_qr(&self, now: Timestamp) -> Option<&ShownQr> {
        self.qr.as_ref().filter(|qr| qr.expires_at > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(end: i64) -> Entry {
        Entry {
            id: StepId::generate(),
            expires_at: Timestamp(end),
        }
    }

    fn token(text: &str, end: i64) -> Move {
        Move::TokenMade(ShownQr {
            token: Secret::new(text),
            expires_at: Timestamp(end),
        })
    }

    fn code(hash: &str) -> SentCode {
        SentCode {
            hash: Secret::new(hash),
            kind: "app".to_owned(),
            length: 5,
            details: CodeDetails::default(),
            has_next: false,
            again_at: None,
            ended: false,
            taken: None,
        }
    }

    fn phone() -> Secret {
        Secret::new("+98912")
    }

    #[test]
    fn a_qr_is_renewed_within_its_step() {
        let shown = after(None, token("a", 30), entry(300));
        assert_eq!(shown.step, LoginStep::DisplayQr);
        let renewed = after(Some(shown.clone()), token("b", 55), entry(400));
        assert_eq!(renewed.step_id, shown.step_id);
        assert_eq!(renewed.expires_at, Timestamp(300), "a renewal is no step");
        assert_eq!(
            renewed.current_qr(Timestamp(40)).map(ShownQr::url).as_deref(),
            Some("tg://login?token=b")
        );
        assert_eq!(renewed.current_qr(Timestamp(55)), None);
    }

    #[test]
    fn a_process_lasts_as_long_as_what_it_showed() {
        let login = after(None, token("a", 30), entry(10));
        assert_eq!(login.ends_at(), Timestamp(30));
        let login = after(None, token("a", 30), entry(300));
        assert_eq!(login.ends_at(), Timestamp(300));
    }

    #[test]
    fn whichever_comes_first_is_taken() {
        let typed = Secret::new("12345");
        let both = after(None, Move::CodeSentToo(phone(), code("h")), entry(300));
        let both = after(Some(both), token("a", 30), entry(300));
        assert_eq!(both.step, LoginStep::DisplayQr);
        assert_eq!(fit(&both, Submit::Code(&typed)), Fit::Try);
        let qr_only = after(None, token("a", 30), entry(300));
        assert_eq!(
            fit(&qr_only, Submit::Code(&typed)),
            Fit::Not(LoginStep::DisplayQr)
        );
    }

    #[test]
    fn a_code_takes_the_place_of_a_qr_when_it_is_asked_for() {
        let shown = after(None, token("a", 30), entry(300));
        let typed = after(
            Some(shown.clone()),
            Move::CodeSent(phone(), code("h")),
            entry(400),
        );
        assert_eq!((typed.step, typed.qr.is_none()), (LoginStep::InputCode, true));
        assert_eq!(typed.expires_at, Timestamp(400), "each step has its own time");
        assert_ne!(typed.step_id, shown.step_id);
        let resent = after(
            Some(typed.clone()),
            Move::CodeSent(phone(), code("i")),
            entry(500),
        );
        assert_ne!(resent.step_id, typed.step_id, "another code, another step");
    }

    #[test]
    fn a_password_is_taken_only_where_it_is_wanted() {
        let typed = Secret::new("12345");
        let waiting = after(None, Move::CodeSent(phone(), code("h")), entry(300));
        assert_eq!(fit(&waiting, Submit::Password), Fit::Not(LoginStep::InputCode));
        let wanted = after(
            Some(waiting),
            Move::PasswordWanted(
                Question {
                    hint: Some("a cat".into()),
                    has_recovery: true,
                    ..Question::default()
                },
                Some(typed.clone()),
            ),
            entry(600),
        );
        assert_eq!(
            (wanted.step, wanted.hint.as_deref()),
            (LoginStep::InputPassword, Some("a cat"))
        );
        assert_eq!(fit(&wanted, Submit::Password), Fit::Try);
        assert_eq!(fit(&wanted, Submit::Code(&typed)), Fit::Repeated);
        assert_eq!(
            fit(&wanted, Submit::Code(&Secret::new("54321"))),
            Fit::Not(LoginStep::InputPassword)
        );
        let anew = after(Some(wanted), Move::CodeSent(phone(), code("i")), entry(900));
        assert_eq!(
            (anew.step, anew.hint, anew.has_recovery),
            (LoginStep::InputCode, None, false)
        );
    }

    #[test]
    fn a_code_is_asked_for_again_when_telegram_may_send_it() {
        let sent = SentCode {
            has_next: true,
            again_at: Some(Timestamp(100)),
            ..code("h")
        };
        assert_eq!(sent.again(Timestamp(99)), Again::Wait);
        assert_eq!(sent.again(Timestamp(100)), Again::NextWay);
        let last = SentCode {
            has_next: false,
            ..sent.clone()
        };
        assert_eq!(
            (last.again(Timestamp(99)), last.again(Timestamp(100))),
            (Again::Wait, Again::Anew)
        );
        let login = after(None, Move::CodeSent(phone(), sent), entry(300));
        let ended = after(Some(login.clone()), Move::CodeEnded, entry(400));
        assert_eq!(ended.step_id, login.step_id);
        let ended = ended.code.expect("a code");
        assert_eq!(ended.again(Timestamp(0)), Again::Anew, "whatever it had");
    }

    #[test]
    fn a_move_to_another_dc_is_kept_until_the_token_was_handed_in() {
        let shown = after(None, token("a", 30), entry(300));
        let moved = after(
            Some(shown.clone()),
            Move::SentElsewhere(Secret::new("t")),
            entry(1),
        );
        assert_eq!(
            (moved.step_id, moved.qr.is_none()),
            (shown.step_id, true),
            "still the same step"
        );
        assert_eq!(moved.moved, Some(Secret::new("t")));
        assert_eq!(after(Some(moved), token("b", 60), entry(1)).moved, None);
    }

    #[test]
    fn a_process_of_an_earlier_release_is_read() {
        #[derive(Serialize)]
        struct Earlier {
            step: LoginStep,
            phone: &'static str,
            code_hash: &'static str,
            code_type: &'static str,
            code_length: i32,
            expires_at: Timestamp,
        }
        let stored = rmp_serde::to_vec_named(&Earlier {
            step: LoginStep::InputCode,
            phone: "+98912",
            code_hash: "h",
            code_type: "app",
            code_length: 5,
            expires_at: Timestamp(7),
        });
        let read: Login = rmp_serde::from_slice(&stored.expect("written")).expect("is read");
        assert_eq!((read.expires_at, read.phone), (Timestamp(7), Some(phone())));
    }
}
