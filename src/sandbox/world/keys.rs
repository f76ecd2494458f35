//! Which authorisation key is logged in as whom, and how that ends. By what it becomes so stands in `codes`, `tokens`
//! and `password`.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::account::{Account, DC};
use super::codes::{Code, FutureToken};
use super::guests::Ticket;
use super::password::{Challenge, Password};
use super::refusal::Refusal;
use super::state::{Passing, State};
use super::tokens::Token;
use super::ways::Plan;

/// Keys and codes.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Keys {
    /// What is known of each key.
    pub known: HashMap<i64, Key>,
    /// The last code of each phone number.
    pub codes: HashMap<String, Code>,
    /// Phone numbers that get no codes, and how they are refused.
    #[serde(default)]
    pub refused_codes: HashMap<String, Refusal>,
    /// How codes are sent to phone numbers for which that was said.
    #[serde(default)]
    pub plans: HashMap<String, Plan>,
    /// Tokens by which accounts log in without a code, oldest first.
    #[serde(default)]
    pub future_tokens: Vec<FutureToken>,
    /// Tokens of QR codes, in the order in which they were made; not kept.
    #[serde(skip)]
    pub tokens: Vec<Token>,
    /// Tickets into other data centres; not kept.
    #[serde(skip)]
    pub tickets: Vec<Ticket>,
    /// What each key has to answer to prove a password; not kept.
    #[serde(skip)]
    pub challenges: HashMap<i64, Challenge>,
    /// Counts codes and authorisations.
    pub count: i64,
}

/// What is known of a key.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Key {
    /// The data centre that it belongs to; the first if it is not known.
    #[serde(default)]
    pub dc: Option<i32>,
    /// Who is logged in with it.
    pub user: Option<i64>,
    /// Who would be, but for the password.
    #[serde(default)]
    pub pending: Option<i64>,
    /// Whose files it may fetch, and the key by whose login.
    #[serde(default)]
    pub guest: Option<(i64, i64)>,
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
    /// The number of the last update without a state that it was told.
    #[serde(default)]
    pub seq: i32,
}

impl Keys {
    /// Remembers a new key.
    pub fn keep(&mut self, key: i64, dc: i32, auth_key: &[u8; 256]) {
        let known = self.known.entry(key).or_default();
        known.auth_key = auth_key.to_vec();
        known.dc = Some(dc);
    }

    /// Forgets a key.
    pub fn forget(&mut self, key: i64) {
        self.known.remove(&key);
        self.tokens.retain(|token| token.key != key);
        self.challenges.remove(&key);
    }
}

impl Key {
    /// The data centre that it belongs to.
    pub fn dc(&self) -> i32 {
        self.dc.unwrap_or(DC)
    }
}

impl State {
    /// Who has proved to be a user by other means than the password is logged in, or asked for it.
    pub fn log_in_unless_asked(&mut self, key: i64, user: i64) -> Result<(), Refusal> {
        let account = self.account(user)?;
        if account.is_gone() {
            return Err(Refusal::unauthorized("USER_DEACTIVATED_BAN"));
        }
        if account.password.is_none() {
            return self.log_in(key, user);
        }
        self.log_out(key);
        let known = self.keys.known.entry(key).or_default();
        known.pending = Some(user);
        known.ended = None;
        Err(Refusal::unauthorized("SESSION_PASSWORD_NEEDED"))
    }

    /// Gives an account a password, or takes it away.
    pub fn set_password(&mut self, user: i64, password: Option<Password>) -> Result<(), Refusal> {
        self.account_mut(user)?.password = password;
        self.keys.challenges.retain(|_, challenge| challenge.user != user);
        Ok(())
    }

    /// Whose password a key may be asked for: of who is logged in, or would be.
    pub fn asked_for_password(&self, key: i64) -> Result<i64, Refusal> {
        match self.keys.known.get(&key).and_then(|known| known.pending) {
            Some(user) => Ok(user),
            None => self.user_of(key),
        }
    }

    /// Logs a key in as a user.
    pub fn log_in(&mut self, key: i64, user: i64) -> Result<(), Refusal> {
        self.log_out(key);
        let now = self.date();
        let hash = self.login_hash(key);
        self.keys.tokens.retain(|token| token.holder() != key);
        self.keys.challenges.remove(&key);
        let known = self.keys.known.entry(key).or_default();
        known.user = Some(user);
        known.pending = None;
        known.guest = None;
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

    /// What others name a login with this key by.
    pub fn login_hash(&self, key: i64) -> i64 {
        self.derive(23, key, 0)
    }

    /// Logs a key out; says who it was.
    pub fn log_out(&mut self, key: i64) -> Option<i64> {
        let known = self.keys.known.get_mut(&key)?;
        known.pending = None;
        let user = known.user.take()?;
        if let Some(account) = self.accounts.get_mut(&user) {
            account.keys.retain(|held| *held != key);
        }
        Some(user)
    }

    /// Ends a key from outside: every call is refused with `name` from now on.
    pub fn end_key(&mut self, key: i64, name: &str) -> Option<i64> {
        self.keys.tokens.retain(|token| token.holder() != key);
        let user = self.log_out(key);
        self.keys.known.entry(key).or_default().ended = Some(name.to_owned());
        user
    }

    /// Who is logged in with a key.
    pub fn user_of(&self, key: i64) -> Result<i64, Refusal> {
        let known = self.keys.known.get(&key);
        if let Some(user) = known.and_then(|known| known.user).or_else(|| self.guest(key)) {
            return match self.accounts.get(&user) {
                Some(account) if account.banned => Err(Refusal::unauthorized("USER_DEACTIVATED_BAN")),
                Some(account) if account.deactivated => Err(Refusal::unauthorized("USER_DEACTIVATED")),
                _ => Ok(user),
            };
        }
        if known.is_some_and(|known| known.pending.is_some()) {
            return Err(Refusal::unauthorized("SESSION_PASSWORD_NEEDED"));
        }
        match known.and_then(|known| known.ended.clone()) {
            // Said to both when one login is used in two places.
            Some(name) if name == "AUTH_KEY_DUPLICATED" => Err(Refusal::other(406, name)),
            Some(name) => Err(Refusal::other(401, name)),
            None => Err(Refusal::unauthorized("AUTH_KEY_UNREGISTERED")),
        }
    }

    /// The keys that would be logged in as a user, but for the password, or that have not come back yet since their QR
    /// was accepted: an account's list of logins shows both.
    pub fn waiting(&self, user: i64) -> Vec<(i64, Key)> {
        let pending = self.keys.known.iter();
        let pending = pending.filter(|(_, known)| known.pending == Some(user));
        let tokens = self.keys.tokens.iter();
        let accepted = tokens.filter(|token| token.accepted == Some(user) && token.until >= self.now);
        let keys: BTreeSet<i64> = pending
            .map(|(key, _)| *key)
            .chain(accepted.map(Token::holder))
            .collect();
        keys.into_iter()
            .map(|key| {
                let known = self.keys.known.get(&key).cloned().unwrap_or_default();
                let hash = self.login_hash(key);
                (key, Key { hash, ..known })
            })
            .collect()
    }

    /// The sessions of an account: key and what is known of it.
    pub fn sessions(&self, account: &Account) -> Vec<(i64, Key)> {
        let keys = account.keys.iter();
        keys.filter_map(|key| self.keys.known.get(key).map(|known| (*key, known.clone())))
            .collect()
    }
}
