//! Login by QR: tokens made, renewed and handed in.
//!
//! Telegram takes a token for about 30 seconds. Making the next one is also how one learns that the last was
//! accepted, should the update that tells of it get lost.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use grammers_client::tl;

use super::call::{Admitted, Line, RESTART, admitted, call};
use super::steps::ShownQr;
use crate::base::{Code, Coded, Secret, Timestamp};
use crate::telegram::config::TelegramConfig;
use crate::telegram::error::TelegramError;

/// How long a token counts as good if its end makes no sense here, since one of the clocks is wrong.
const USUAL_LIFE: Duration = Duration::from_secs(30);

/// No token lives longer.
const LONGEST_LIFE: Duration = Duration::from_secs(120);

/// How long before its end a token is followed by the next.
const AHEAD: Duration = Duration::from_secs(5);

/// What Telegram makes of a token.
pub(super) enum Token {
    /// This one is to be shown.
    Made(ShownQr),
    /// It was accepted; the account lives at another DC, where the new one is to be handed in.
    At(i32, Secret),
    /// It was accepted: the account is logged in.
    In(Box<Admitted>),
    /// It was accepted, and the account has a password besides.
    PasswordWanted,
}

/// By how many milliseconds the server's clock is ahead of ours, if it says what time it is; whole seconds.
pub(super) async fn ahead(line: &Line) -> Option<i64> {
    let answer = call(line, &tl::functions::help::GetConfig {}).await;
    let tl::enums::Config::Config(config) = answer.ok()?;
    Some(Timestamp::from_secs(config.date.into()).0 - Timestamp::now().0)
}

/// Makes a token, or learns that the last one was accepted. `ahead` is by how much the server's clock is.
///
/// # Errors
/// Telegram's refusal; no connection.
pub(super) async fn export(
    config: &TelegramConfig,
    line: &Line,
    ahead: Option<i64>,
) -> Result<Token, TelegramError> {
    let request = tl::functions::auth::ExportLoginToken {
        api_id: config.api_id,
        api_hash: config.api_hash.expose().to_owned(),
        except_ids: Vec::new(),
    };
    let answer = match call(line, &request).await {
        // So the documentation has it: at once, from the beginning.
        Err(error) if error.rpc_name() == Some(RESTART) => call(line, &request).await,
        answer => answer,
    };
    read(answer, ahead)
}

/// Hands in a token at the DC where the account lives.
///
/// # Errors
/// Telegram's refusal, such as of a token that came too late; no connection.
pub(super) async fn import(line: &Line, token: &Secret, ahead: Option<i64>) -> Result<Token, TelegramError> {
    let token = URL_SAFE_NO_PAD.decode(token.expose());
    let token = token.map_err(|_| TelegramError::Conflict("the stored token is none"))?;
    let answer = call(line, &tl::functions::auth::ImportLoginToken { token }).await;
    read(answer, ahead)
}

fn read(
    answer: Result<tl::enums::auth::LoginToken, TelegramError>,
    ahead: Option<i64>,
) -> Result<Token, TelegramError> {
    use tl::enums::auth::LoginToken as Kind;
    let text = |token: Vec<u8>| Secret::new(URL_SAFE_NO_PAD.encode(token));
    let now = Timestamp::now();
    let theirs = ahead.map_or_else(Timestamp::wall, |ahead| Timestamp(now.0.saturating_add(ahead)));
    match answer {
        Ok(Kind::Token(made)) => Ok(Token::Made(ShownQr {
            expires_at: end(i64::from(made.expires), theirs, now),
            token: text(made.token),
        })),
        Ok(Kind::MigrateTo(to)) => Ok(Token::At(to.dc_id, text(to.token))),
        Ok(Kind::Success(done)) => Ok(Token::In(Box::new(admitted(done.authorization)?))),
        Err(error) if error.code() == Code::PasswordRequired => Ok(Token::PasswordWanted),
        Err(error) => Err(error),
    }
}

/// When a token ends by our clock, if Telegram's says `expires` and now `theirs`.
fn end(expires: i64, theirs: Timestamp, now: Timestamp) -> Timestamp {
    let life = Timestamp::from_secs(expires).since(theirs);
    match life {
        life if life.is_zero() || life > LONGEST_LIFE => now.plus(USUAL_LIFE),
        life => now.plus(life),
    }
}

/// How long to wait before the token is followed by the next.
pub(super) fn renewal(qr: &ShownQr, now: Timestamp) -> Duration {
    let life = qr.expires_at.since(now);
    (life - AHEAD.min(life / 3)).max(Duration::from_millis(500))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_ends_when_telegram_says_unless_that_makes_no_sense() {
        let (wall, now) = (Timestamp::from_secs(1000), Timestamp::from_secs(900));
        assert_eq!(end(1030, wall, now), Timestamp::from_secs(930));
        assert_eq!(
            end(990, wall, now),
            Timestamp::from_secs(930),
            "our clock is ahead"
        );
        assert_eq!(end(9000, wall, now), Timestamp::from_secs(930), "or behind");
    }

    #[test]
    fn the_next_token_is_made_before_the_last_one_ends() {
        let now = Timestamp::from_secs(0);
        let of = |secs| ShownQr {
            token: Secret::new("t"),
            expires_at: Timestamp::from_secs(secs),
        };
        assert_eq!(renewal(&of(30), now), Duration::from_secs(25));
        assert_eq!(renewal(&of(3), now), Duration::from_secs(2));
        assert_eq!(renewal(&of(0), now), Duration::from_millis(500), "not in a loop");
    }

    #[test]
    fn a_token_travels_as_base64url() {
        let made = tl::types::auth::LoginToken {
            expires: 0,
            token: vec![0xfb, 0xff, 0xfe, 1],
        };
        let Ok(Token::Made(qr)) = read(Ok(made.into()), None) else {
            panic!("a token was made")
        };
        assert_eq!(qr.url(), "tg://login?token=-__-AQ");
    }
}
