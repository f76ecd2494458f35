//! Login codes: how they are sent, one way after the other, and what becomes of who tries them.
//!
//! Not promised: Telegram's own limits on how often. Who wants them refuses a number's codes, or sets a fault.

use serde::{Deserialize, Serialize};

use super::account::Account;
use super::refusal::Refusal;
use super::state::{SERVICE, State, digits};

/// How often a wrong code may be tried.
const TRIES: u32 = 5;

/// How a code reaches its owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// As a message in the account's other sessions.
    App,
    /// As a text message.
    #[default]
    Sms,
    /// Spoken in a call.
    Call,
}

impl Way {
    /// How it is sent when it is asked for again.
    pub fn next(self) -> Option<Self> {
        match self {
            Self::App => Some(Self::Sms),
            Self::Sms => Some(Self::Call),
            Self::Call => None,
        }
    }
}

/// A login code.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Code {
    /// Five digits.
    pub code: String,
    /// What names this login.
    pub hash: String,
    /// Until when it is good, in milliseconds.
    pub until: i64,
    /// How often a wrong one was tried.
    pub wrong: u32,
    /// The code was right and the number is free: the key may sign up.
    pub proved: bool,
    /// How it was sent.
    #[serde(default)]
    pub way: Way,
}

/// How a right code ends.
#[derive(Debug, PartialEq, Eq)]
pub enum SignIn {
    /// Logged in as this user.
    Done(i64),
    /// Nobody has the number: sign up.
    SignUp,
}

impl State {
    /// Makes a code for a phone number and tells it to the account's other sessions, as Telegram does.
    pub fn send_code(&mut self, phone: &str) -> Result<Code, Refusal> {
        let phone = self.may_be_sent(phone)?;
        let user = self.phones.get(&phone);
        let account = user.and_then(|user| self.accounts.get(user));
        let way = match account.is_some_and(|account| !account.keys.is_empty()) {
            true => Way::App,
            false => Way::Sms,
        };
        self.make_code(phone, way)
    }

    /// Makes another one instead, sent the next way.
    pub fn resend_code(&mut self, phone: &str, hash: &str) -> Result<Code, Refusal> {
        let phone = self.may_be_sent(phone)?;
        let way = self.open_code(&phone, hash)?.way;
        let next = way.next().ok_or(Refusal::other(406, "SEND_CODE_UNAVAILABLE"))?;
        self.make_code(phone, next)
    }

    /// Makes a code worthless.
    pub fn cancel_code(&mut self, phone: &str, hash: &str) -> Result<(), Refusal> {
        let phone = digits(phone);
        self.open_code(&phone, hash)?;
        self.keys.codes.remove(&phone);
        Ok(())
    }

    /// The digits of a number that a code may be sent to.
    fn may_be_sent(&self, phone: &str) -> Result<String, Refusal> {
        let phone = digits(phone);
        if !(5..=15).contains(&phone.len()) {
            return Err(Refusal::bad("PHONE_NUMBER_INVALID"));
        }
        if let Some(refusal) = self.keys.refused_codes.get(&phone) {
            return Err(refusal.clone());
        }
        let account = self.phones.get(&phone).and_then(|user| self.accounts.get(user));
        match account.is_some_and(Account::is_gone) {
            true => Err(Refusal::bad("PHONE_NUMBER_BANNED")),
            false => Ok(phone),
        }
    }

    fn make_code(&mut self, phone: String, way: Way) -> Result<Code, Refusal> {
        self.keys.count += 1;
        let count = self.keys.count;
        let number = self.derive(21, count, self.now).cast_unsigned();
        let code = match phone.strip_prefix("99966").and_then(|rest| rest.chars().next()) {
            Some(digit) => digit.to_string().repeat(5),
            None => format!("{:05}", number % 100_000),
        };
        let made = Code {
            code: code.clone(),
            hash: format!("{:016x}", self.derive(22, count, self.now).cast_unsigned()),
            until: self.now.saturating_add(self.settings.code_life),
            wrong: 0,
            proved: false,
            way,
        };
        let user = self.phones.get(&phone).copied();
        self.keys.codes.insert(phone, made.clone());
        if let (Way::App, Some(user)) = (way, user) {
            self.note(
                user,
                &format!("Login code: {code}. Do not give this code to anyone."),
            )?;
        }
        Ok(made)
    }

    /// The code that a number and a hash name, if it is good still.
    fn open_code(&mut self, phone: &str, hash: &str) -> Result<&mut Code, Refusal> {
        if hash.is_empty() {
            return Err(Refusal::bad("PHONE_CODE_HASH_EMPTY"));
        }
        let now = self.now;
        let known = self.keys.codes.get_mut(phone);
        known
            .filter(|known| known.hash == hash && known.until >= now && known.wrong < TRIES)
            .ok_or(Refusal::bad("PHONE_CODE_EXPIRED"))
    }

    /// Posts a message of the service account.
    pub fn note(&mut self, user: i64, text: &str) -> Result<(), Refusal> {
        let draft = super::posting::Draft::text(text);
        self.post(SERVICE, super::place::Peer::User(user), draft)
            .map(|_| ())
    }

    /// Tries a code. A right one logs the key in, if the number has an account and that no password.
    pub fn sign_in(&mut self, key: i64, phone: &str, hash: &str, code: &str) -> Result<SignIn, Refusal> {
        let phone = digits(phone);
        let free = !self.phones.contains_key(&phone);
        let known = self.open_code(&phone, hash)?;
        if code.is_empty() {
            return Err(Refusal::bad("PHONE_CODE_EMPTY"));
        }
        if known.code != code {
            known.wrong += 1;
            return Err(Refusal::bad("PHONE_CODE_INVALID"));
        }
        if free {
            known.proved = true;
            return Ok(SignIn::SignUp);
        }
        let user = self.phones.get(&phone).copied().unwrap_or_default();
        if self.account(user)?.is_gone() {
            return Err(Refusal::bad("PHONE_NUMBER_BANNED"));
        }
        self.log_in_unless_asked(key, user)?;
        self.keys.codes.remove(&phone);
        Ok(SignIn::Done(user))
    }

    /// Makes an account for a number whose code was right, and logs the key in.
    pub fn sign_up(
        &mut self,
        key: i64,
        phone: &str,
        hash: &str,
        first: &str,
        last: &str,
    ) -> Result<i64, Refusal> {
        let phone = digits(phone);
        if !self.open_code(&phone, hash)?.proved {
            return Err(Refusal::bad("PHONE_CODE_EXPIRED"));
        }
        if first.trim().is_empty() {
            return Err(Refusal::bad("FIRSTNAME_INVALID"));
        }
        let user = self.add_user(None, &phone, first, last)?;
        self.keys.codes.remove(&phone);
        self.log_in(key, user)?;
        Ok(user)
    }
}
