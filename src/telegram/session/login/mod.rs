//! The login process as the session's actor leads it: by QR, by phone code, with a password besides.
//!
//! Each file beside this one is one part of it: `steps` what leads where, `qr`, `code` and `password` the calls to
//! Telegram, `complete` the end. Every step is stored before it is told, and goes on after a restart with the key
//! that began it. A process that nobody finishes ends by itself, and leaves neither a key nor, if the session was
//! made for it, the session. It is not the business of this file how many logins go on at once.

mod call;
mod code;
mod complete;
mod password;
mod qr;
pub(super) mod steps;
mod typed;

use std::time::Duration;

use grammers_client::tl::enums::{Update, Updates};

use self::call::{Admitted, Line};
use self::code::{Sent, Signed};
use self::qr::Token;
use self::steps::{Again, Entry, Fit, Login, Move, ShownQr, Submit, after, fit};
use self::typed::as_typed;
use super::actor::{Msg, State};
use super::state::{self, Observation};
use crate::base::{Code, Coded, Secret, StepId, Timestamp};
use crate::model::{EventBody, LoginStep, SessionState};
use crate::telegram::error::TelegramError;
use crate::telegram::logins::{ANOTHER_ACCOUNT, Ending, UNOCCUPIED};
use crate::telegram::manager;
use crate::telegram::{future_tokens, incident};

/// How long a login waits for a connection.
const CONNECT_PATIENCE: Duration = Duration::from_secs(50);

/// The pause after a renewal that failed.
const RENEW_AGAIN: Duration = Duration::from_secs(3);

/// How often the account may turn out to live at yet another DC.
const MOST_MOVES: usize = 2;

/// What the process keeps in the actor, beside the stored record.
#[derive(Default)]
pub(super) struct Leading {
    /// The connection on which the login did something last.
    connection: u64,
    /// The latest timer for a renewal; earlier ones are void.
    renewal: u64,
    /// By how many milliseconds the server's clock is ahead of ours, once it has said so.
    ahead: Option<i64>,
}

/// The event that tells how a login goes.
fn login_event(step: &str) -> EventBody {
    EventBody::SessionLogin {
        step: step.to_owned(),
    }
}

fn word(step: LoginStep) -> &'static str {
    match step {
        LoginStep::DisplayQr => "display_qr",
        LoginStep::InputCode => "input_code",
        LoginStep::InputPassword => "input_password",
        LoginStep::Complete => "complete",
    }
}

/// Whether an update says that a token was accepted.
pub(super) fn tells_of_token(updates: &Updates) -> bool {
    let is = |update: &Update| matches!(update, Update::LoginToken);
    match updates {
        Updates::UpdateShort(it) => is(&it.update),
        Updates::Updates(it) => it.updates.iter().any(is),
        Updates::Combined(it) => it.updates.iter().any(is),
        _ => false,
    }
}

impl State {
    /// Shows a QR; has a code sent too, if a number is given.
    pub(super) async fn request_qr(&mut self, phone: Option<String>) -> Result<(), TelegramError> {
        let login = self.link.account().login;
        if let Some(login) = &login {
            let shown = login.step == LoginStep::DisplayQr && login.current_qr(Timestamp::now()).is_some();
            if login.step == LoginStep::InputPassword {
                return Err(TelegramError::LoginStep(login.step));
            }
            if shown && phone.as_deref().is_none_or(|phone| was_sent(login, phone)) {
                return Ok(());
            }
        }
        self.begin().await;
        let begun = self.show_qr(phone).await;
        self.begun(begun).await
    }

    async fn show_qr(&mut self, phone: Option<String>) -> Result<(), TelegramError> {
        self.until_client(0).await?;
        if let Some(phone) = phone {
            let login = self.link.account().login;
            if !login.is_some_and(|login| was_sent(&login, &phone)) {
                // Its answer is a QR: no token is shown that would log in at once.
                self.send_code(phone, Move::CodeSentToo, false).await?;
                if self.link.account().is_authorised() {
                    return Ok(());
                }
            }
        }
        let ahead = self.ahead().await;
        let token = qr::export(&self.context.config, &self.line(None), ahead).await?;
        self.take_token(token).await
    }

    /// By how much the server's clock is ahead: the end of a token is told by that.
    async fn ahead(&mut self) -> Option<i64> {
        if self.leading.ahead.is_none() {
            self.leading.ahead = qr::ahead(&self.line(None)).await;
        }
        self.leading.ahead
    }

    /// The way of the process's calls: by this number, or the one that it was begun with.
    fn line(&self, phone: Option<&str>) -> Line {
        let begun = self.link.account().login.and_then(|login| login.phone);
        let phone = phone.or(begun.as_ref().map(|phone| phone.expose()));
        // Without its secret a number cannot be named; it is not counted then.
        let secret = self.context.store.installation_secret().ok();
        Line {
            limiter: self.context.limiter.clone(),
            link: self.link.clone(),
            number: secret.zip(phone.map(Secret::new)),
        }
    }

    /// Has a code sent, or sent again.
    pub(super) async fn request_code(&mut self, phone: String) -> Result<(), TelegramError> {
        self.begin().await;
        let sent = match self.until_client(0).await {
            Ok(()) => self.send_code(phone, Move::CodeSent, true).await,
            Err(error) => Err(error),
        };
        self.begun(sent).await
    }

    async fn begin(&mut self) {
        if self.link.account().login.is_none() {
            self.observed(Observation::LoginBegan).await;
        }
    }

    /// A login that could not even begin is none.
    async fn begun(&mut self, begun: Result<(), TelegramError>) -> Result<(), TelegramError> {
        let account = self.link.account();
        if begun.is_err() && account.login.is_none() && account.state == SessionState::LoggingIn {
            self.observed(Observation::LoginAbandoned("NOT_BEGUN")).await;
        }
        begun
    }

    async fn send_code(
        &mut self,
        phone: String,
        sent_as: fn(Secret, steps::SentCode) -> Move,
        with_tokens: bool,
    ) -> Result<(), TelegramError> {
        let config = &self.context.config;
        let account = self.link.account();
        let before = account.login.filter(|login| was_sent(login, &phone));
        let again = before.and_then(|login| {
            let sent = login.code?;
            Some((sent.again(Timestamp::now()), sent, login.step))
        });
        let mut sent = match again {
            // What was sent is on its way still, and Telegram sends no other: it is told once more.
            Some((Again::Wait, sent, step)) if step != LoginStep::InputPassword => Sent::Code(Box::new(sent)),
            Some((Again::NextWay, sent, _)) => {
                code::resend(config, &self.line(Some(&phone)), &phone, &sent).await?
            }
            _ => {
                let tokens = match with_tokens {
                    true => future_tokens::of(&self.context.store, &account.owner, &phone)?,
                    false => Vec::new(),
                };
                code::send(config, &self.line(Some(&phone)), &phone, tokens).await?
            }
        };
        let mut moves = 0;
        loop {
            match sent {
                Sent::Code(code) => return self.make(sent_as(Secret::new(phone), *code)).await,
                Sent::In(admitted) => return self.complete(*admitted).await,
                Sent::PasswordWanted => return self.want_password(None).await,
                Sent::At(_) if moves == MOST_MOVES => return Err(restless()),
                Sent::At(dc) => {
                    moves += 1;
                    self.move_to(dc).await?;
                    sent = code::send(&self.context.config, &self.line(Some(&phone)), &phone, Vec::new())
                        .await?;
                }
            }
        }
    }

    /// Hands in a code. May be repeated after it was taken.
    pub(super) async fn submit_code(&mut self, typed: Secret) -> Result<(), TelegramError> {
        let login = self.link.account().login;
        let typed = match login.and_then(|login| login.code) {
            Some(sent) => Secret::new(as_typed(typed.expose(), &sent.kind, sent.length)),
            None => typed,
        };
        let Some(login) = self.fitting(Submit::Code(&typed))? else {
            return Ok(());
        };
        let (Some(phone), Some(sent)) = (&login.phone, &login.code) else {
            return Err(TelegramError::LoginStep(login.step));
        };
        self.until_client(0).await?;
        let signed = match code::sign_in(&self.line(None), phone, sent, &typed).await {
            // The answer to an earlier try may have been lost, and the code with it.
            Err(error) if error.code() == Code::PhoneCodeExpired => match call::who(&self.line(None)).await {
                Some(user) => Signed::In(user),
                None => {
                    self.make(Move::CodeEnded).await?;
                    return Err(error);
                }
            },
            Err(error) if error.code() == Code::PhoneNumberUnoccupied => {
                self.abandon_login(UNOCCUPIED).await?;
                return Err(TelegramError::LoginEnded(Ending::Unoccupied));
            }
            signed => signed?,
        };
        match signed {
            Signed::In(admitted) => self.complete(*admitted).await,
            Signed::PasswordWanted => self.want_password(Some(typed)).await,
            // The code was of the former place; there another one is asked for.
            Signed::At(dc) => {
                self.make(Move::CodeEnded).await?;
                self.move_to(dc).await?;
                Err(code::expired())
            }
        }
    }

    /// Hands in the password. May be repeated after it was taken.
    pub(super) async fn submit_password(&mut self, typed: Secret) -> Result<(), TelegramError> {
        if self.fitting(Submit::Password)?.is_none() {
            return Ok(());
        }
        self.until_client(0).await?;
        let user = password::check(&self.line(None), &typed).await?;
        self.complete(user).await
    }

    /// The process that a submit fits; none if it was taken already.
    fn fitting(&self, submit: Submit<'_>) -> Result<Option<Login>, TelegramError> {
        let account = self.link.account();
        let Some(login) = account.login.clone() else {
            return match account.is_authorised() {
                true => Ok(None),
                false => Err(account.no_login()),
            };
        };
        match fit(&login, submit) {
            Fit::Try => Ok(Some(login)),
            Fit::Repeated => Ok(None),
            Fit::Not(step) => Err(TelegramError::LoginStep(step)),
        }
    }

    /// A token was accepted, says Telegram.
    pub(super) async fn token_accepted(&mut self) {
        self.ask_for_token().await;
    }

    /// The QR is to be followed by the next, unless this timer is void.
    pub(super) async fn renew(&mut self, number: u64) {
        let login = self.link.account().login;
        let goes_on = |login: Login| {
            login.step == LoginStep::DisplayQr && Timestamp::now() < login.expires_at && login.moved.is_none()
        };
        if number == self.leading.renewal && login.is_some_and(goes_on) {
            self.ask_for_token().await;
        }
    }

    /// A connection was made: what the login waits for may have happened while there was none.
    pub(super) async fn login_goes_on(&mut self) {
        let Some(login) = self.link.account().login else {
            return;
        };
        let connection = self.link.numbered_client().map(|(number, _)| number);
        if connection.is_ok_and(|number| number <= self.leading.connection) {
            return;
        }
        match (login.step, login.moved) {
            (_, Some(token)) => {
                let imported = qr::import(&self.line(None), &token, self.leading.ahead).await;
                self.taken(imported).await;
            }
            (LoginStep::DisplayQr, None) => self.ask_for_token().await,
            _ => {
                if let Some(user) = call::who(&self.line(None)).await
                    && let Err(error) = self.complete(*user).await
                {
                    tracing::info!(session = %self.link.id, %error, "a login was not completed");
                }
            }
        }
    }

    async fn ask_for_token(&mut self) {
        if self.link.account().login.is_none() {
            return;
        }
        let ahead = self.ahead().await;
        let token = qr::export(&self.context.config, &self.line(None), ahead).await;
        self.taken(token).await;
    }

    /// Takes a token that nobody waits for.
    async fn taken(&mut self, token: Result<Token, TelegramError>) {
        let taken = match token {
            Ok(token) => self.take_token(token).await,
            Err(error) => Err(error),
        };
        if let Err(error) = taken {
            tracing::info!(session = %self.link.id, %error, "a QR was not renewed");
            self.renew_in(RENEW_AGAIN);
        }
    }

    async fn take_token(&mut self, token: Token) -> Result<(), TelegramError> {
        let mut token = token;
        for _ in 0..=MOST_MOVES {
            match token {
                Token::Made(shown) => return self.show(shown).await,
                Token::In(user) => return self.complete(*user).await,
                Token::PasswordWanted => return self.want_password(None).await,
                Token::At(dc, elsewhere) => {
                    self.make(Move::SentElsewhere(elsewhere.clone())).await?;
                    self.move_to(dc).await?;
                    let ahead = self.leading.ahead;
                    token = match qr::import(&self.line(None), &elsewhere, ahead).await {
                        // It came too late, or is of no use there: another one then.
                        Err(TelegramError::Rpc { .. }) => {
                            qr::export(&self.context.config, &self.line(None), ahead).await?
                        }
                        imported => imported?,
                    };
                }
            }
        }
        Err(restless())
    }

    async fn show(&mut self, shown: ShownQr) -> Result<(), TelegramError> {
        let step = self.link.account().login.map(|login| login.step);
        if matches!(step, Some(LoginStep::InputPassword | LoginStep::Complete)) {
            return Ok(());
        }
        let wait = qr::renewal(&shown, Timestamp::now());
        self.make(Move::TokenMade(shown)).await?;
        self.renew_in(wait);
        Ok(())
    }

    fn renew_in(&mut self, wait: Duration) {
        self.leading.renewal += 1;
        let number = self.leading.renewal;
        self.myself.send_after(wait, move || Msg::RenewQr(number));
    }

    async fn want_password(&mut self, typed: Option<Secret>) -> Result<(), TelegramError> {
        let question = password::question(&self.line(None)).await;
        self.make(Move::PasswordWanted(question, typed)).await
    }

    /// Stores a move of the process.
    async fn make(&mut self, happened: Move) -> Result<(), TelegramError> {
        let entry = Entry {
            id: StepId::generate(),
            expires_at: Timestamp::now().plus(*self.context.config.login_expires),
        };
        let changed = self.link.change(&self.context.store, |account| {
            let before = account.login.take();
            let step = before.as_ref().map(|login| login.step_id);
            let login = after(before, happened, entry);
            if let Some(phone) = login.phone.as_ref().filter(|_| account.first_login.is_none()) {
                account.phone = Some(phone.clone());
            }
            let told = (step != Some(login.step_id)).then(|| login_event(word(login.step)));
            let shown = login.qr.as_ref().map(|qr| qr.expires_at);
            account.shown_until = account.shown_until.max(shown);
            account.login = Some(login);
            ((), told.into_iter().collect())
        });
        changed.await?;
        self.note_connection();
        Ok(())
    }

    fn note_connection(&mut self) {
        if let Ok((number, _)) = self.link.numbered_client() {
            self.leading.connection = number;
        }
    }

    async fn complete(&mut self, admitted: Admitted) -> Result<(), TelegramError> {
        let completed = complete::complete(&self.context, &self.link, admitted).await;
        if let Err(TelegramError::LoginEnded(_)) = completed {
            // What has been learned, copied and told under this session is its own account's.
            self.abandon_login(ANOTHER_ACCOUNT).await?;
        }
        // The record may tell of the login, though the rest of it failed.
        if self.link.account().succeeds().is_some() {
            let replaced = manager::Msg::Replaced(self.link.id);
            if self.context.manager.cast(replaced).await.is_err() {
                tracing::warn!(session = %self.link.id, "the session whose place it takes ends at the next start");
            }
        }
        completed?;
        self.note_connection();
        incident::settle(&self.context.incidents, self.link.id).await;
        self.follow(SessionState::CatchingUp, None).await;
        Ok(())
    }

    /// Ends a process whose time is over.
    pub(super) async fn login_ends_in_time(&mut self) {
        let login = self.link.account().login;
        if login.is_some_and(|login| login.ends_at() <= Timestamp::now())
            && let Err(error) = self.abandon_login("EXPIRED").await
        {
            tracing::warn!(session = %self.link.id, %error, "a login did not end");
        }
    }

    /// Ends the process without a login.
    pub(super) async fn abandon_login(&mut self, why: &'static str) -> Result<(), TelegramError> {
        let ended = self.link.change(&self.context.store, |account| {
            if account.login.take().is_none() {
                return (None, vec![]);
            }
            let mut told = vec![login_event(why)];
            let next = state::next(account.state, &Observation::LoginAbandoned(why));
            if let Some((to, reason)) = &next {
                told.push(account.enter(*to, reason.clone()));
            }
            (Some(next), told)
        });
        let Some(next) = ended.await? else {
            return Ok(());
        };
        // Before what ends this actor: the key may belong to an account by now, and is logged out.
        let discard = manager::Msg::Discard(self.link.id, why);
        if self.context.manager.cast(discard).await.is_err() {
            tracing::warn!(session = %self.link.id, "what a login left behind stays until the next start");
        }
        if let Some((to, reason)) = next {
            self.follow(to, reason).await;
        }
        Ok(())
    }

    /// Goes on at another DC: the connection there has a key of its own.
    async fn move_to(&mut self, dc: i32) -> Result<(), TelegramError> {
        let ended = self.link.move_home(dc).await?;
        tracing::info!(session = %self.link.id, dc, "the login goes on at another data centre");
        self.until_client(ended + 1).await?;
        self.note_connection();
        Ok(())
    }

    /// A login begins with a subtree that has just been started: its connection needs a moment.
    async fn until_client(&mut self, number: u64) -> Result<(), TelegramError> {
        let begun = tokio::time::Instant::now();
        loop {
            let error = match self.link.numbered_client() {
                Ok((connection, _)) if connection >= number => return Ok(()),
                Ok(_) => TelegramError::NotConnected(self.link.state()),
                Err(error) => error,
            };
            if begun.elapsed() >= CONNECT_PATIENCE {
                return Err(error);
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }
}

fn was_sent(login: &Login, phone: &str) -> bool {
    let same = login.phone.as_ref().is_some_and(|sent| sent.expose() == phone);
    same && login.code.is_some()
}

fn restless() -> TelegramError {
    TelegramError::Conflict("Telegram sends this account from one data centre to the next")
}

#[cfg(test)]
mod tests {
    use grammers_client::tl;

    use super::*;

    #[test]
    fn an_accepted_token_is_noticed_in_every_form_of_update() {
        let short = tl::types::UpdateShort {
            update: Update::LoginToken,
            date: 0,
        };
        assert!(tells_of_token(&short.into()));
        let many = |updates| tl::types::Updates {
            updates,
            users: vec![],
            chats: vec![],
            date: 0,
            seq: 0,
        };
        assert!(tells_of_token(&many(vec![Update::LoginToken]).into()));
        assert!(!tells_of_token(&many(vec![]).into()));
        assert!(!tells_of_token(&Updates::TooLong));
    }
}
