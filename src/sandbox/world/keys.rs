//! Which authorisation key is logged in as whom, and the codes by which it becomes so.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::account::Account;
use super::refusal::Refusal;
use super::state::{Passing, SERVICE, State, digits};

/// How long a code is good, in milliseconds.
const CODE_LIFE: i64 = 300_000;

/// How often a wrong code may be tried.
const TRIES: u32 = 5;

/// Keys and codes.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Keys {
    /// What is known of each key.
    pub known: HashMap<i64, Key>,
    /// The last code of each phone number.
    pub codes: HashMap<String, Code>,
    /// Counts codes and authorisations.
    pub count: i64,
}

/// What is known of a key.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Key {
    /// Who is logged in with it.
    pub user: Option<i64>,
    /// What other sessions name it by; 0 in lists means the current one.
    pub hash: i64,
    /// The device's model.
    pub device: String,
    /// Its system.
    pub system: String,
    /// The application's version.
    pub app_version: String,
    /// The application.
    pub api_id: i32,
    /// When it logged in, in seconds.
    pub created: i32,
    /// When it last called, in seconds; not kept.
    #[serde(skip)]
    pub active: i32,
    /// How its calls are refused since it was ended from outside.
    pub ended: Option<String>,
    /// The key itself.
    pub auth_key: Vec<u8>,
    /// The layer its client speaks.
    pub layer: Option<i32>,
}

impl Keys {
    /// Remembers a new key.
    pub fn keep(&mut self, key: i64, auth_key: &[u8; 256]) {
        self.known.entry(key).or_default().auth_key = auth_key.to_vec();
    }

    /// Forgets a key.
    pub fn forget(&mut self, key: i64) {
        self.known.remove(&key);
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
        let phone = digits(phone);
        if !(5..=15).contains(&phone.len()) {
            return Err(Refusal::bad("PHONE_NUMBER_INVALID"));
        }
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
            until: self.now + CODE_LIFE,
            wrong: 0,
            proved: false,
        };
        self.keys.codes.insert(phone.clone(), made.clone());
        let user = self.phones.get(&phone).copied();
        let elsewhere = user.filter(|user| {
            self.accounts
                .get(user)
                .is_some_and(|account| !account.keys.is_empty())
        });
        if let Some(user) = elsewhere {
            self.note(
                user,
                &format!("Login code: {code}. Do not give this code to anyone."),
            )?;
        }
        Ok(made)
    }

    /// Posts a message of the service account.
    pub fn note(&mut self, user: i64, text: &str) -> Result<(), Refusal> {
        let draft = super::posting::Draft::text(text);
        self.post(SERVICE, super::place::Peer::User(user), draft)
            .map(|_| ())
    }

    /// Tries a code. A right one logs the key in, if the number has an account.
    pub fn sign_in(&mut self, key: i64, phone: &str, hash: &str, code: &str) -> Result<SignIn, Refusal> {
        let phone = digits(phone);
        let now = self.now;
        let Some(known) = self.keys.codes.get_mut(&phone).filter(|known| known.hash == hash) else {
            return Err(Refusal::bad("PHONE_CODE_EXPIRED"));
        };
        if known.until < now || known.wrong >= TRIES {
            return Err(Refusal::bad("PHONE_CODE_EXPIRED"));
        }
        if code.is_empty() {
            return Err(Refusal::bad("PHONE_CODE_EMPTY"));
        }
        if known.code != code {
            known.wrong += 1;
            return Err(Refusal::bad("PHONE_CODE_INVALID"));
        }
        let Some(user) = self.phones.get(&phone).copied() else {
            known.proved = true;
            return Ok(SignIn::SignUp);
        };
        if self.account(user)?.deactivated {
            return Err(Refusal::bad("PHONE_NUMBER_BANNED"));
        }
        self.keys.codes.remove(&phone);
        self.log_in(key, user)?;
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
        let proved = self
            .keys
            .codes
            .get(&phone)
            .is_some_and(|code| code.hash == hash && code.proved);
        if !proved {
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

    /// Logs a key in as a user.
    pub fn log_in(&mut self, key: i64, user: i64) -> Result<(), Refusal> {
        self.log_out(key);
        let now = self.date();
        let hash = self.derive(23, key, self.now);
        let known = self.keys.known.entry(key).or_default();
        known.user = Some(user);
        known.hash = hash;
        known.created = now;
        known.active = now;
        known.ended = None;
        let account = self.account_mut(user)?;
        let others = !account.keys.is_empty();
        account.keys.push(key);
        if others {
            self.mention(user, Passing::Login { key });
        }
        Ok(())
    }

    /// Logs a key out; says who it was.
    pub fn log_out(&mut self, key: i64) -> Option<i64> {
        let user = self.keys.known.get_mut(&key)?.user.take()?;
        if let Some(account) = self.accounts.get_mut(&user) {
            account.keys.retain(|held| *held != key);
        }
        Some(user)
    }

    /// Ends a key from outside: every call is refused with `name` from now on.
    pub fn end_key(&mut self, key: i64, name: &str) -> Option<i64> {
        let user = self.log_out(key);
        self.keys.known.entry(key).or_default().ended = Some(name.to_owned());
        user
    }

    /// Who is logged in with a key.
    pub fn user_of(&self, key: i64) -> Result<i64, Refusal> {
        let known = self.keys.known.get(&key);
        match known.and_then(|known| known.user) {
            Some(user)
                if self
                    .accounts
                    .get(&user)
                    .is_some_and(|account| account.deactivated) =>
            {
                Err(Refusal::unauthorized("USER_DEACTIVATED"))
            }
            Some(user) => Ok(user),
            None => match known.and_then(|known| known.ended.clone()) {
                Some(name) => Err(Refusal::other(401, name)),
                None => Err(Refusal::unauthorized("AUTH_KEY_UNREGISTERED")),
            },
        }
    }

    /// The sessions of an account: key and what is known of it.
    pub fn sessions(&self, account: &Account) -> Vec<(i64, Key)> {
        let keys = account.keys.iter();
        keys.filter_map(|key| self.keys.known.get(key).map(|known| (*key, known.clone())))
            .collect()
    }
}
