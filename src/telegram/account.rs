//! The stored record of a session: who it is, what is wanted of it, what was observed last.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::error::TelegramError;
use super::logins::Ending;
use super::session::Login;
use crate::base::digits::{digit, is_invisible};
use crate::base::{Owner, Secret, SessionId, Timestamp};
use crate::model::{EventBody, SessionState, Wanted};

/// A session's record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Account {
    /// Its id.
    pub id: SessionId,
    /// The public id of agent sessions.
    pub uuid: Uuid,
    /// A name for people.
    pub name: Option<String>,
    /// The backend's agent it belongs to.
    pub agent_id: Option<i64>,
    /// The phone number, as given or as Telegram tells it.
    pub phone: Option<Secret>,
    /// Telegram's number of the account.
    pub user_id: Option<i64>,
    /// Public name, without the at sign.
    pub username: Option<String>,
    /// What is wanted.
    pub wanted: Wanted,
    /// What was observed last.
    pub state: SessionState,
    /// Why it is in that state, as a stable word.
    pub reason: Option<String>,
    /// Since when.
    pub since: Timestamp,
    /// The login under way.
    pub login: Option<Login>,
    /// Whether it was made for a login, and none has succeeded: without one it is not kept.
    #[serde(default)]
    pub for_login: bool,
    /// The session of the same agent that ends once this one has logged in.
    #[serde(default)]
    pub replaces: Option<SessionId>,
    /// Until when a QR that its key has shown can be scanned.
    #[serde(default)]
    pub shown_until: Option<Timestamp>,
    /// Whether all dialogs have been read since the last login.
    pub dialogs_read: bool,
    /// When it logged in last.
    pub connected_at: Option<Timestamp>,
    /// When this account logged in here first.
    #[serde(default)]
    pub first_login: Option<FirstLogin>,
    /// Whether it is used to sending, so that it needs no warm-up here.
    #[serde(default)]
    pub warm: bool,
    /// The caller's own JSON, as text, echoed in every event.
    pub metadata: Option<String>,
    /// Whom it belongs to.
    pub owner: Owner,
    /// When it was added.
    pub created_at: Timestamp,
}

/// An account's first login here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstLogin {
    /// Telegram's number of the account.
    pub user_id: i64,
    /// When it was.
    pub at: Timestamp,
}

/// What is asked for when a session is added.
#[derive(Clone, Debug, Default)]
pub struct NewAccount {
    /// Its id, if it has been chosen: a session that has it already is what an earlier try added.
    pub id: Option<SessionId>,
    /// A name for people.
    pub name: Option<String>,
    /// The backend's agent.
    pub agent_id: Option<i64>,
    /// The phone number.
    pub phone: Option<Secret>,
    /// The caller's own JSON.
    pub metadata: Option<serde_json::Value>,
    /// Whether it needs no warm-up.
    pub warm: bool,
    /// Whether it is made for a login, and not kept without one.
    pub for_login: bool,
    /// The session of the same agent that ends once this one has logged in.
    pub replaces: Option<SessionId>,
    /// Whom it belongs to.
    pub owner: Option<Owner>,
}

/// What is changed of a session; none leaves a thing as it is, an inner none takes it away.
#[derive(Clone, Debug, Default)]
pub struct AccountPatch {
    /// A name for people.
    pub name: Option<Option<String>>,
    /// The backend's agent.
    pub agent_id: Option<Option<i64>>,
    /// The caller's own JSON.
    pub metadata: Option<Option<serde_json::Value>>,
    /// Whether it needs no warm-up.
    pub warm: Option<bool>,
}

impl Account {
    /// A new record of a session that nobody has logged in yet.
    pub fn new(new: NewAccount, now: Timestamp) -> Self {
        Self {
            id: new.id.unwrap_or_else(SessionId::generate),
            uuid: Uuid::new_v4(),
            name: new.name,
            agent_id: new.agent_id,
            phone: new.phone,
            user_id: None,
            username: None,
            wanted: Wanted::Running,
            state: SessionState::LoggedOut,
            reason: Some("new".to_owned()),
            since: now,
            login: None,
            for_login: new.for_login,
            replaces: new.replaces,
            shown_until: None,
            dialogs_read: false,
            connected_at: None,
            first_login: None,
            warm: new.warm,
            metadata: new.metadata.map(|value| value.to_string()),
            owner: new.owner.unwrap_or_else(Owner::admin),
            created_at: now,
        }
    }

    /// Takes a change.
    pub fn apply(&mut self, patch: AccountPatch) {
        if let Some(name) = patch.name {
            self.name = name;
        }
        if let Some(agent_id) = patch.agent_id {
            self.agent_id = agent_id;
        }
        if let Some(metadata) = patch.metadata {
            self.metadata = metadata.map(|value| value.to_string());
        }
        if let Some(warm) = patch.warm {
            self.warm = warm;
        }
    }

    /// Takes note of a login.
    pub fn logged_in(&mut self, user_id: i64, at: Timestamp) {
        self.user_id = Some(user_id);
        self.connected_at = Some(at);
        self.first_login.get_or_insert(FirstLogin { user_id, at });
    }

    /// Whether it is another account of Telegram's than this one: it is the account's that logged in first, also after a
    /// log-out.
    pub fn is_anothers(&self, user_id: i64) -> bool {
        let own = self.first_login.map(|first| first.user_id).or(self.user_id);
        own.is_some_and(|own| own != user_id)
    }

    /// Whether its last login was its first here.
    pub fn is_first_login(&self) -> bool {
        self.first_login.map(|first| first.at) == self.connected_at
    }

    /// Since when it is in use here, which is when its warm-up began; none if it needs none.
    pub fn in_use_since(&self) -> Option<Timestamp> {
        let since = self.first_login.map_or(self.created_at, |first| first.at);
        Some(since).filter(|_| !self.warm)
    }

    /// The caller's JSON.
    pub fn metadata(&self) -> Option<serde_json::Value> {
        self.metadata
            .as_deref()
            .and_then(|text| serde_json::from_str(text).ok())
    }

    /// Takes a state; answers the event that tells of it.
    pub fn enter(&mut self, to: SessionState, reason: Option<String>) -> EventBody {
        let from = std::mem::replace(&mut self.state, to);
        self.since = Timestamp::now();
        self.reason = reason.clone();
        EventBody::SessionState { from, to, reason }
    }

    /// Whether it belongs to an account, as far as is known.
    pub fn is_authorised(&self) -> bool {
        // Somebody who logs in again has an account, and no authorisation yet.
        self.user_id.is_some() && !self.state.is_terminal() && self.state != SessionState::LoggingIn
    }

    /// Whether nothing came of the login that it was made for.
    pub fn is_leftover(&self) -> bool {
        self.for_login && self.login.is_none() && self.user_id.is_none()
    }

    /// The session whose place it has taken, and which is to end.
    pub fn succeeds(&self) -> Option<SessionId> {
        self.replaces.filter(|_| self.user_id.is_some())
    }

    /// How good its claim is to be the session of its agent; the lowest is the best.
    pub fn claim(&self) -> u8 {
        match (self.replaces, self.succeeds()) {
            (_, Some(_)) => 0,
            (None, _) => 1,
            (Some(_), None) => 2,
        }
    }

    /// Why nothing can be handed in to a login.
    pub fn no_login(&self) -> TelegramError {
        let why = self.reason.as_deref().and_then(Ending::of);
        match why {
            Some(ending) if self.state == SessionState::LoggedOut => TelegramError::LoginEnded(ending),
            _ => TelegramError::NoLogin,
        }
    }

    /// Whether it should have a running subtree: to be connected, or to be logged in.
    pub fn should_run(&self) -> bool {
        let logging_in = self.login.is_some();
        let authorised = self.user_id.is_some() && !self.state.is_terminal();
        self.wanted == Wanted::Running
            && self.state != SessionState::Quarantined
            && (logging_in || authorised)
    }

    /// The number, with its middle hidden.
    pub fn masked_phone(&self) -> Option<String> {
        self.phone.as_ref().map(|phone| mask(phone.expose()))
    }
}

/// Shows the first three and the last two characters.
fn mask(phone: &str) -> String {
    let characters: Vec<char> = phone.chars().collect();
    if characters.len() < 7 {
        return "•".repeat(characters.len());
    }
    let hidden = characters.len() - 5;
    let start: String = characters[..3].iter().collect();
    let end: String = characters[characters.len() - 2..].iter().collect();
    format!("{start}{}{end}", "•".repeat(hidden))
}

/// A phone number as Telegram takes it: digits, with an optional plus.
///
/// # Errors
/// If it has other characters, or not 5 to 15 digits (E.164 allows 15).
pub fn normalise_phone(text: &str) -> Result<String, &'static str> {
    let mut digits = String::with_capacity(text.len());
    for (index, character) in text.chars().filter(|it| !is_invisible(*it)).enumerate() {
        match (digit(character), character) {
            (Some(digit), _) => digits.push(digit),
            (None, '+' | '＋') if index == 0 => {}
            (None, '-' | '(' | ')') => {}
            _ => return Err("a phone number has digits, and a plus before them"),
        }
    }
    if !(5..=15).contains(&digits.len()) {
        return Err("a phone number has 5 to 15 digits");
    }
    Ok(format!("+{digits}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_in_many_forms() {
        assert_eq!(
            normalise_phone("+98 (912) 345-67-89").as_deref(),
            Ok("+989123456789")
        );
        let pasted = "\u{202a}+۹۸ ۹۱۲ ۳۴۵ ۶۷۸۹\u{202c}";
        assert_eq!(normalise_phone(pasted).as_deref(), Ok("+989123456789"));
        assert_eq!(normalise_phone("989123456789").as_deref(), Ok("+989123456789"));
        assert!(normalise_phone("98+912").is_err());
        assert!(normalise_phone("12").is_err());
        assert!(normalise_phone("+99966100001234567").is_err());
    }

    #[test]
    fn a_masked_number_tells_little() {
        assert_eq!(mask("+989123456789"), "+98••••••••89");
        assert_eq!(mask("12345"), "•••••");
    }

    #[test]
    fn a_warm_up_begins_with_the_accounts_first_login() {
        let mut account = Account::new(NewAccount::default(), Timestamp(5));
        assert_eq!(account.in_use_since(), Some(Timestamp(5)));
        account.logged_in(7, Timestamp(100));
        assert!(account.is_first_login());
        account.user_id = None;
        assert!(
            account.is_anothers(8) && !account.is_anothers(7),
            "also after a log-out"
        );
        account.logged_in(7, Timestamp(200));
        assert!(!account.is_first_login());
        assert_eq!(account.in_use_since(), Some(Timestamp(100)));
        account.apply(AccountPatch {
            warm: Some(true),
            ..AccountPatch::default()
        });
        assert_eq!(account.in_use_since(), None);
    }

    #[test]
    fn an_agents_session_is_the_former_one_until_the_next_has_logged_in() {
        let former = Account::new(NewAccount::default(), Timestamp(0));
        let mut next = Account::new(
            NewAccount {
                replaces: Some(former.id),
                ..NewAccount::default()
            },
            Timestamp(1),
        );
        assert!(former.claim() < next.claim());
        assert_eq!(next.succeeds(), None);
        next.logged_in(7, Timestamp(2));
        assert!(next.claim() < former.claim());
        assert_eq!(next.succeeds(), Some(former.id));
    }

    #[test]
    fn only_sessions_with_a_purpose_run() {
        let mut account = Account::new(NewAccount::default(), Timestamp(0));
        assert!(!account.should_run(), "nobody logged it in");
        account.user_id = Some(1);
        account.state = SessionState::Connected;
        assert!(account.should_run());
        account.wanted = Wanted::Stopped;
        assert!(!account.should_run());
        account.wanted = Wanted::Running;
        account.state = SessionState::BadCredentials;
        assert!(!account.should_run(), "a retry heals nothing");
    }
}
