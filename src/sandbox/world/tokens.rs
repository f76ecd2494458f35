//! Login by QR: tokens that a key shows, an account accepts and the key turns into a login.
//!
//! A token is good for a short time, and for as long as it takes to come back for it once it is accepted. One that
//! was accepted by an account of another data centre is only good there. Tokens do not outlive the sandbox.

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::refusal::Refusal;
use super::state::{News, State};

/// For how long an accepted token can be turned into a login, in milliseconds.
const ACCEPTED_LIFE: i64 = 60_000;

/// For how long it is remembered that a token has expired, in milliseconds.
const EXPIRED_KNOWN: i64 = 600_000;

/// How many tokens a key may have; beyond, its oldest is forgotten.
const TOKENS_MAX: usize = 32;

/// What a QR code for a token says, without the token.
const LINK: &str = "tg://login?token=";

/// A login token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// What the QR code shows.
    pub bytes: Vec<u8>,
    /// The key that shows it.
    pub key: i64,
    /// Until when it is good, in milliseconds.
    pub until: i64,
    /// Who accepted it.
    pub accepted: Option<i64>,
    /// Who may not.
    pub except: Vec<i64>,
    /// The key that came with it and waits for the account's password now; in another data centre it is another one.
    pub redeemer: Option<i64>,
}

impl Token {
    /// The key that becomes a login.
    pub fn holder(&self) -> i64 {
        self.redeemer.unwrap_or(self.key)
    }
}

/// What a key gets when it asks for a token, or comes with one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exported {
    /// A token to show.
    Show {
        /// What the QR code shows.
        token: Vec<u8>,
        /// Until when, in seconds.
        expires: i32,
    },
    /// It was accepted; the login is to be had in another data centre.
    Elsewhere {
        /// Which.
        dc: i32,
        /// What to come with.
        token: Vec<u8>,
    },
    /// It was accepted, and the key is logged in as this user.
    Done(i64),
}

/// The token in what a QR code says: a link, or the token alone in the link's alphabet.
pub fn read_token(text: &str) -> Option<Vec<u8>> {
    let padding = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let text = text.trim();
    let token = text.strip_prefix(LINK).unwrap_or(text);
    GeneralPurpose::new(&URL_SAFE, padding)
        .decode(token)
        .ok()
        .filter(|bytes| !bytes.is_empty())
}

impl State {
    /// A key in a data centre asks for a token, or what became of the one that it shows.
    pub fn export_token(&mut self, key: i64, dc: i32, except: Vec<i64>) -> Result<Exported, Refusal> {
        let now = self.now;
        self.keys
            .tokens
            .retain(|token| token.until.saturating_add(EXPIRED_KNOWN) > now);
        if let Ok(user) = self.user_of(key) {
            return Ok(Exported::Done(user));
        }
        let mine = |token: &&Token| token.key == key && token.accepted.is_some() && token.until >= now;
        if let Some(token) = self.keys.tokens.iter().find(mine).cloned() {
            return self.redeem(key, dc, token);
        }
        self.keys.count += 1;
        let count = self.keys.count;
        let parts = (0..4).map(|part| self.derive(24 + part, count, now).to_be_bytes());
        let token: Vec<u8> = parts.flatten().collect();
        let until = now.saturating_add(self.settings.login_token_life);
        let tokens = &mut self.keys.tokens;
        if tokens.iter().filter(|known| known.key == key).count() >= TOKENS_MAX
            && let Some(oldest) = tokens.iter().position(|known| known.key == key)
        {
            tokens.remove(oldest);
        }
        tokens.push(Token {
            bytes: token.clone(),
            key,
            until,
            accepted: None,
            except,
            redeemer: None,
        });
        // Rounded up: who counts in seconds must not come too early.
        let expires = super::content::seconds(until.saturating_add(999));
        Ok(Exported::Show { token, expires })
    }

    /// A key comes with a token that was accepted while another key showed it.
    pub fn import_token(&mut self, key: i64, dc: i32, bytes: &[u8]) -> Result<Exported, Refusal> {
        let now = self.now;
        let found = self.token(bytes)?;
        if found.until < now {
            return Err(Refusal::bad("AUTH_TOKEN_EXPIRED"));
        }
        if found.accepted.is_none() {
            return Err(Refusal::bad("AUTH_TOKEN_INVALID"));
        }
        let token = found.clone();
        self.redeem(key, dc, token)
    }

    fn redeem(&mut self, key: i64, dc: i32, token: Token) -> Result<Exported, Refusal> {
        let user = token.accepted.unwrap_or_default();
        let home = self.home(user);
        if home != dc {
            let token = token.bytes;
            return Ok(Exported::Elsewhere { dc: home, token });
        }
        if let Err(refusal) = self.log_in_unless_asked(key, user) {
            self.token(&token.bytes)?.redeemer = Some(key);
            return Err(refusal);
        }
        self.keys.tokens.retain(|known| known.bytes != token.bytes);
        Ok(Exported::Done(user))
    }

    /// An account accepts a token; answers the key that showed it, which is told.
    pub fn accept_token(&mut self, user: i64, bytes: &[u8]) -> Result<i64, Refusal> {
        let now = self.now;
        if self.account(user)?.is_gone() {
            return Err(Refusal::unauthorized("USER_DEACTIVATED_BAN"));
        }
        let token = self.token(bytes)?;
        if token.accepted.is_some() {
            return Err(Refusal::bad("AUTH_TOKEN_ALREADY_ACCEPTED"));
        }
        if token.until < now {
            return Err(Refusal::bad("AUTH_TOKEN_EXPIRED"));
        }
        if token.except.contains(&user) {
            return Err(Refusal::bad("AUTH_TOKEN_EXCEPTION"));
        }
        token.accepted = Some(user);
        token.until = now + ACCEPTED_LIFE;
        let key = token.key;
        self.news.push(News::TokenAccepted { key, account: user });
        Ok(key)
    }

    /// Whether a key waits for a token to be accepted.
    pub fn shows_token(&self, key: i64) -> bool {
        self.keys.tokens.iter().any(|token| token.key == key)
    }

    fn token(&mut self, bytes: &[u8]) -> Result<&mut Token, Refusal> {
        let mut tokens = self.keys.tokens.iter_mut();
        tokens
            .find(|token| token.bytes == bytes)
            .ok_or(Refusal::bad("AUTH_TOKEN_INVALID"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::world::account::DC;

    const KEY: i64 = 11;
    const LIFE: i64 = 30_000;

    fn world() -> (State, i64) {
        let mut state = State::new(3);
        state.now = 1_700_000_000_000;
        let ann = state.add_user(None, "+15550001", "Ann", "").expect("a user");
        (state, ann)
    }

    fn shown(state: &mut State, key: i64) -> Vec<u8> {
        match state.export_token(key, DC, vec![]) {
            Ok(Exported::Show { token, .. }) => token,
            other => panic!("no token: {other:?}"),
        }
    }

    fn refused(name: &'static str) -> Result<i64, Refusal> {
        Err(Refusal::bad(name))
    }

    #[test]
    fn a_token_is_accepted_once_and_becomes_a_login() {
        let (mut state, ann) = world();
        let token = shown(&mut state, KEY);
        assert_eq!(state.accept_token(ann, &token), Ok(KEY));
        assert!(matches!(
            state.news.pop(),
            Some(News::TokenAccepted { key: KEY, .. })
        ));
        assert_eq!(
            state.accept_token(ann, &token),
            refused("AUTH_TOKEN_ALREADY_ACCEPTED")
        );
        assert!(state.user_of(KEY).is_err(), "nobody is logged in before it asks");
        assert_eq!(state.export_token(KEY, DC, vec![]), Ok(Exported::Done(ann)));
        assert_eq!(state.user_of(KEY), Ok(ann));
        assert_eq!(state.accept_token(ann, &token), refused("AUTH_TOKEN_INVALID"));
    }

    #[test]
    fn a_token_lives_as_long_as_it_is_set_to() {
        let (mut state, ann) = world();
        let (early, late) = (shown(&mut state, KEY), shown(&mut state, KEY));
        assert_ne!(early, late);
        let Ok(Exported::Show { expires, .. }) = state.export_token(12, DC, vec![]) else {
            panic!("no token")
        };
        assert_eq!(expires, 1_700_000_030);
        state.now += LIFE;
        assert_eq!(state.accept_token(ann, &early), Ok(KEY), "the last moment");
        state.now += 1;
        assert_eq!(state.accept_token(ann, &late), refused("AUTH_TOKEN_EXPIRED"));
        state.settings.login_token_life = 200;
        let short = shown(&mut state, 13);
        state.now += 201;
        assert_eq!(state.accept_token(ann, &short), refused("AUTH_TOKEN_EXPIRED"));
        assert_eq!(state.accept_token(ann, b"?"), refused("AUTH_TOKEN_INVALID"));
        state.now += EXPIRED_KNOWN;
        shown(&mut state, 13);
        assert_eq!(state.accept_token(ann, &late), refused("AUTH_TOKEN_INVALID"));
    }

    #[test]
    fn who_was_accepted_has_a_minute_to_come_back() {
        let (mut state, ann) = world();
        state.settings.login_token_life = 10;
        let token = shown(&mut state, KEY);
        state.accept_token(ann, &token).expect("accepted");
        state.now += ACCEPTED_LIFE + 1;
        assert_eq!(
            state.import_token(12, DC, &token),
            Err(Refusal::bad("AUTH_TOKEN_EXPIRED"))
        );
        assert!(matches!(
            state.export_token(KEY, DC, vec![]),
            Ok(Exported::Show { .. })
        ));
    }

    #[test]
    fn an_account_of_another_centre_is_logged_in_there() {
        let (mut state, ann) = world();
        state.centres = vec![DC, 4];
        state.set_home(ann, 4).expect("there is one");
        let token = shown(&mut state, KEY);
        assert_eq!(
            state.import_token(12, 4, &token),
            Err(Refusal::bad("AUTH_TOKEN_INVALID")),
            "not before it is accepted"
        );
        state.accept_token(ann, &token).expect("accepted");
        let elsewhere = Ok(Exported::Elsewhere {
            dc: 4,
            token: token.clone(),
        });
        assert_eq!(state.export_token(KEY, DC, vec![]), elsewhere);
        assert_eq!(state.import_token(12, DC, &token), elsewhere);
        assert_eq!(state.import_token(12, 4, &token), Ok(Exported::Done(ann)));
        assert_eq!((state.user_of(12), state.user_of(KEY).is_err()), (Ok(ann), true));
    }

    #[test]
    fn a_login_that_waits_for_its_password_elsewhere_is_listed_once() {
        let (mut state, ann) = world();
        state.centres = vec![DC, 4];
        state.set_home(ann, 4).expect("there is one");
        let password = crate::sandbox::world::password::Password::new("a cat", "");
        state.set_password(ann, Some(password)).expect("known");
        let token = shown(&mut state, KEY);
        state.accept_token(ann, &token).expect("accepted");
        let listed = |state: &State| {
            let waiting = state.waiting(ann).into_iter();
            waiting.map(|(key, _)| key).collect::<Vec<_>>()
        };
        assert_eq!(listed(&state), [KEY]);
        let asked = Err(Refusal::unauthorized("SESSION_PASSWORD_NEEDED"));
        assert_eq!(state.import_token(12, 4, &token), asked);
        assert_eq!(listed(&state), [12]);
        state.log_in(12, ann).expect("logged in");
        assert!(listed(&state).is_empty());
    }

    #[test]
    fn whom_the_client_leaves_out_may_not_accept() {
        let (mut state, ann) = world();
        let Ok(Exported::Show { token, .. }) = state.export_token(KEY, DC, vec![ann]) else {
            panic!("no token")
        };
        assert_eq!(state.accept_token(ann, &token), refused("AUTH_TOKEN_EXCEPTION"));
    }

    #[test]
    fn a_key_shows_so_many_tokens_and_no_more() {
        let (mut state, ann) = world();
        let first = shown(&mut state, KEY);
        let other = shown(&mut state, 12);
        for _ in 0..TOKENS_MAX {
            shown(&mut state, KEY);
        }
        assert_eq!(state.accept_token(ann, &first), refused("AUTH_TOKEN_INVALID"));
        assert_eq!(state.accept_token(ann, &other), Ok(12));
    }

    #[test]
    fn a_token_is_read_out_of_what_a_code_says() {
        let bytes = Some(vec![0xfb, 0xff, 1, 2]);
        assert_eq!(read_token("tg://login?token=-_8BAg"), bytes);
        assert_eq!(read_token(" tg://login?token=-_8BAg==\n"), bytes);
        assert_eq!(read_token("-_8BAg=="), bytes);
        for wrong in ["", "tg://login?token=", "tg://login?token=!", "https://t.me/x"] {
            assert_eq!(read_token(wrong), None, "{wrong}");
        }
    }
}
