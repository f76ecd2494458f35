//! Login codes: when they are sent, what becomes of who tries them, and tokens that spare the next one.
//!
//! Which way they go stands in `ways`. Not promised here: limits on how often; who wants them refuses a number's codes,
//! sets a fault, or starts the sandbox with its limits.

use serde::{Deserialize, Serialize};

use super::account::Account;
use super::refusal::Refusal;
use super::state::{SERVICE, State, digits};
use super::ways::{Plan, Way};

/// How often a wrong code may be tried.
const TRIES: u32 = 5;

/// How many tokens of one account are kept.
const TOKENS: usize = 20;

/// A login code.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Code {
    /// What is to be typed.
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
    /// The key that asked for it; 0 if that is not known.
    #[serde(default)]
    pub key: i64,
    /// Before when it is not sent again, in milliseconds.
    #[serde(default)]
    pub again_at: i64,
}

/// A token by which an account logs in without a code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FutureToken {
    /// Whose it is.
    pub user: i64,
    /// The token.
    pub token: Vec<u8>,
}

/// What came of asking for a code.
#[derive(Debug)]
pub enum Sent {
    /// It is on its way.
    Code(Code),
    /// There was no need of one: a token of this account came with the request.
    Done(i64),
}

/// How somebody shows to have a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof<'a> {
    /// As it is typed.
    Typed(&'a str),
    /// As one that came by e-mail.
    Mailed(&'a str),
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
    /// Makes a code for a phone number and tells it to the account's other sessions, as Telegram does; logs in at once
    /// who brings a token of the account.
    pub fn send_code(&mut self, key: i64, phone: &str, tokens: &[Vec<u8>]) -> Result<Sent, Refusal> {
        let phone = self.may_be_sent(phone)?;
        let user = self.phones.get(&phone).copied();
        if let Some(user) = user.filter(|user| self.takes_token(*user, tokens)) {
            self.log_in_unless_asked(key, user)?;
            return Ok(Sent::Done(user));
        }
        let account = user.and_then(|user| self.accounts.get(&user));
        let logged_in = account.is_some_and(|account| !account.keys.is_empty());
        let way = self.plan(&phone).first(logged_in);
        self.make_code(key, phone, way).map(Sent::Code)
    }

    /// Makes another one instead, sent the next way.
    pub fn resend_code(&mut self, key: i64, phone: &str, hash: &str) -> Result<Code, Refusal> {
        let phone = self.may_be_sent(phone)?;
        let before = self.open_code(key, &phone, hash)?;
        let (way, again_at) = (before.way, before.again_at);
        let unavailable = Refusal::other(406, "SEND_CODE_UNAVAILABLE");
        if self.now < again_at && self.switches.resend_waits.decides() {
            return Err(unavailable);
        }
        let next = self.plan(&phone).next(way).ok_or(unavailable)?;
        self.make_code(key, phone, next)
    }

    /// How a number's codes are sent.
    pub fn plan(&self, phone: &str) -> Plan {
        self.keys.plans.get(phone).cloned().unwrap_or_default()
    }

    /// A new token of an account, if it is given any.
    pub fn future_token(&mut self, user: i64) -> Option<Vec<u8>> {
        let phone = &self.accounts.get(&user)?.phone;
        if !self.keys.plans.get(phone)?.future_tokens {
            return None;
        }
        let mut token = vec![0; 32];
        rand::fill(token.as_mut_slice());
        let tokens = &mut self.keys.future_tokens;
        tokens.push(FutureToken {
            user,
            token: token.clone(),
        });
        let own = tokens.iter().filter(|known| known.user == user).count();
        let oldest = tokens.iter().position(|known| known.user == user);
        if let Some(oldest) = oldest.filter(|_| own > TOKENS) {
            tokens.remove(oldest);
        }
        Some(token)
    }

    /// Whether a token of an account is among these; it is used up then.
    fn takes_token(&mut self, user: i64, tokens: &[Vec<u8>]) -> bool {
        let known = &mut self.keys.future_tokens;
        let meant = |it: &FutureToken| it.user == user && tokens.contains(&it.token);
        let found = known.iter().position(meant);
        found.map(|at| known.remove(at)).is_some()
    }

    /// Makes a code worthless.
    pub fn cancel_code(&mut self, key: i64, phone: &str, hash: &str) -> Result<(), Refusal> {
        let phone = digits(phone);
        self.open_code(key, &phone, hash)?;
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

    fn make_code(&mut self, key: i64, phone: String, way: Way) -> Result<Code, Refusal> {
        self.keys.count += 1;
        let count = self.keys.count;
        let number = self.derive(21, count, self.now).cast_unsigned();
        let digits_only = !matches!(way, Way::Word | Way::Phrase | Way::Email | Way::FlashCall);
        let known = phone
            .strip_prefix("99966")
            .filter(|_| digits_only)
            .and_then(|rest| rest.chars().next());
        let code = match known {
            Some(digit) => digit.to_string().repeat(5),
            None => way.code(number),
        };
        let wait = if way.takes_time() {
            self.settings.resend_after
        } else {
            0
        };
        let made = Code {
            code: code.clone(),
            hash: format!("{:016x}", self.derive(22, count, self.now).cast_unsigned()),
            until: self.now.saturating_add(self.settings.code_life),
            wrong: 0,
            proved: false,
            way,
            key,
            again_at: self.now.saturating_add(wait),
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

    /// The code that a number and a hash name, if it is good still, and that key's.
    fn open_code(&mut self, key: i64, phone: &str, hash: &str) -> Result<&mut Code, Refusal> {
        if hash.is_empty() {
            return Err(Refusal::bad("PHONE_CODE_HASH_EMPTY"));
        }
        let now = self.now;
        let known = self.keys.codes.get_mut(phone);
        let known = known.filter(|known| known.hash == hash && known.until >= now && known.wrong < TRIES);
        let known = known.ok_or(Refusal::bad("PHONE_CODE_EXPIRED"))?;
        let foreign = known.key != 0 && known.key != key;
        match foreign && self.switches.codes_of_their_key.decides() {
            true => Err(Refusal::bad("PHONE_CODE_EXPIRED")),
            false => Ok(known),
        }
    }

    /// Posts a message of the service account.
    pub fn note(&mut self, user: i64, text: &str) -> Result<(), Refusal> {
        let draft = super::posting::Draft::text(text);
        self.post(SERVICE, super::place::Peer::User(user), draft)
            .map(|_| ())
    }

    /// Tries a code. A right one logs the key in, if the number has an account and that no password. One that came by
    /// e-mail is no other, and the other way round.
    pub fn sign_in(
        &mut self,
        key: i64,
        phone: &str,
        hash: &str,
        proof: Proof<'_>,
    ) -> Result<SignIn, Refusal> {
        let phone = digits(phone);
        let free = !self.phones.contains_key(&phone);
        let known = self.open_code(key, &phone, hash)?;
        let (code, mailed) = match proof {
            Proof::Typed(code) => (code, false),
            Proof::Mailed(code) => (code, true),
        };
        if code.is_empty() {
            return Err(Refusal::bad("PHONE_CODE_EMPTY"));
        }
        let right = known.code == code && known.way.has_code() && mailed == (known.way == Way::Email);
        if !right {
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
        if !self.open_code(key, &phone, hash)?.proved {
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
