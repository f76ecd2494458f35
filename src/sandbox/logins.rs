//! How accounts are logged in, for those in the same process: passwords, QR codes, logins and their end. What the
//! owner of an account does with its telephone is done here in its name.

use grammers_tl_types::{Serializable, enums};
use serde::Serialize;

use super::acts::Who;
use super::handle::World;
use super::rpc::KeyId;
use super::world::password::Password;
use super::world::settings::{Change, Settings};
use super::world::state::digits;
use super::world::switches::{Switchboard, UnknownSwitch};
use super::world::tokens::read_token;
use super::world::ways::Plan;
use super::world::{Refusal, State};

/// A login of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LoginView {
    /// What it is named by.
    pub session: String,
    /// The data centre where it is.
    pub dc: i32,
    /// The device's model.
    pub device: String,
    /// The application's version.
    pub app_version: String,
    /// The application.
    pub api_id: i32,
    /// Since when, in seconds.
    pub created: i32,
    /// When it last called, in seconds.
    pub active: i32,
    /// Whether it is not in yet, as the password is missing.
    pub password_pending: bool,
}

/// The number with which Telegram refuses by a name.
fn refusal(name: &str) -> Refusal {
    let code = match name {
        "PHONE_PASSWORD_FLOOD" | "SEND_CODE_UNAVAILABLE" => 406,
        name if name.starts_with("FLOOD_") => 420,
        _ => 400,
    };
    Refusal::other(code, name.to_owned())
}

impl World {
    /// The number of a user.
    pub fn who(&self, who: &Who) -> Result<i64, Refusal> {
        self.telegram.look(|state| state.who(who))
    }

    /// Gives an account a password (2FA). Takes a tenth of a second: passwords are hashed slowly.
    pub fn set_password(&self, user: i64, password: &str, hint: &str) -> Result<(), Refusal> {
        self.set_kept_password(user, Password::new(password, hint))
    }

    /// The same of a password whose particulars differ: recovery, a login address, an algorithm that nobody knows.
    pub fn set_kept_password(&self, user: i64, password: Password) -> Result<(), Refusal> {
        self.telegram
            .world(|state| state.set_password(user, Some(password)))
    }

    /// Takes an account's password away.
    pub fn remove_password(&self, user: i64) -> Result<(), Refusal> {
        self.telegram.world(|state| state.set_password(user, None))
    }

    /// Lets an account live in another data centre.
    pub fn set_home(&self, user: i64, dc: i32) -> Result<(), Refusal> {
        self.telegram.world(|state| state.set_home(user, dc))
    }

    /// Scans a QR code with the account's telephone and accepts it; `code` is the link that it says, or the token
    /// out of that. Answers what the login is named by, if it becomes one in this data centre.
    pub fn accept_login(&self, user: i64, code: &str) -> Result<i64, Refusal> {
        let token = read_token(code).ok_or(Refusal::bad("AUTH_TOKEN_INVALID"))?;
        self.accept_token(user, &token)
    }

    /// The same with the token's bytes.
    pub fn accept_token(&self, user: i64, token: &[u8]) -> Result<i64, Refusal> {
        self.telegram.world(|state| {
            let key = state.accept_token(user, token)?;
            Ok(state.login_hash(key))
        })
    }

    /// Where an account is logged in.
    pub fn logins(&self, user: i64) -> Result<Vec<LoginView>, Refusal> {
        let view = |state: &State| {
            let sessions = state.sessions(state.account(user)?).into_iter();
            let shown = sessions.chain(state.waiting(user)).map(|(_, known)| LoginView {
                session: known.hash.to_string(),
                dc: known.dc(),
                device: known.device,
                app_version: known.app_version,
                api_id: known.api_id,
                created: known.created,
                active: known.active,
                password_pending: known.pending.is_some(),
            });
            Ok(shown.collect())
        };
        self.telegram.look(view)
    }

    /// Ends a login of an account, or all of them, as its owner does in the settings of another device. Answers how
    /// many ended.
    pub fn end_logins(&self, user: i64, session: Option<i64>) -> Result<usize, Refusal> {
        let hub = self.telegram.hub();
        self.telegram.world(|state| {
            let sessions = state.sessions(state.account(user)?);
            let meant = |known: i64| session.is_none_or(|session| session == known);
            let keys: Vec<i64> = sessions
                .into_iter()
                .chain(state.waiting(user))
                .filter(|(_, known)| meant(known.hash))
                .map(|(key, _)| key)
                .collect();
            if session.is_none() {
                state.keys.future_tokens.retain(|known| known.user != user);
            }
            if keys.is_empty() && session.is_some() {
                return Err(Refusal::bad("HASH_INVALID"));
            }
            for key in &keys {
                hub.push(KeyId(*key), enums::Updates::TooLong.to_bytes());
                state.end_key(*key, "SESSION_REVOKED");
                hub.unsubscribe(KeyId(*key));
            }
            Ok(keys.len())
        })
    }

    /// Lets Telegram throw an account out, or take it back.
    pub fn ban(&self, user: i64, banned: bool) -> Result<(), Refusal> {
        let hub = self.telegram.hub();
        self.telegram.world(|state| {
            let account = state.account_mut(user)?;
            account.banned = banned;
            if banned {
                // So that they find out: what is banned is told nothing.
                let told = enums::Updates::TooLong.to_bytes();
                let keys = account.keys.iter();
                keys.for_each(|key| hub.push(KeyId(*key), told.clone()));
            }
            Ok(())
        })
    }

    /// Refuses a phone number its codes by this name, such as `PHONE_NUMBER_FLOOD` or `FLOOD_WAIT_30`; without a name
    /// it gets them again.
    pub fn refuse_codes(&self, phone: &str, name: Option<&str>) {
        let phone = digits(phone);
        self.telegram.world(|state| match name {
            Some(name) => {
                state.keys.refused_codes.insert(phone, refusal(name));
            }
            None => {
                state.keys.refused_codes.remove(&phone);
            }
        });
    }

    /// Says how a phone number's codes are sent from now on.
    pub fn plan_codes(&self, phone: &str, plan: Plan) -> Result<(), Refusal> {
        plan.check()?;
        let phone = digits(phone);
        self.telegram.world(|state| state.keys.plans.insert(phone, plan));
        Ok(())
    }

    /// What is otherwise than on Telegram.
    pub fn settings(&self) -> Settings {
        self.telegram.look(|state| state.settings)
    }

    /// Which of Telegram's ways the sandbox has, and how often each was reached.
    pub fn switches(&self) -> Switchboard {
        self.telegram.look(|state| state.switches.clone())
    }

    /// Turns switches by name, all or none.
    ///
    /// # Errors
    /// If a name is unknown.
    pub fn turn(
        &self,
        wanted: &std::collections::BTreeMap<String, bool>,
    ) -> Result<Switchboard, UnknownSwitch> {
        self.telegram.world(|state| {
            state.switches.turn_all(wanted)?;
            Ok(state.switches.clone())
        })
    }

    /// Sets some of it.
    pub fn set(&self, change: Change) -> Settings {
        self.telegram.world(|state| {
            let before = state.settings.clock_offset;
            state.settings.change(change);
            state.now += state.settings.clock_offset - before;
            state.settings
        })
    }
}
