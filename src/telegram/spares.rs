//! Keys that no session has any more and that may be an authorisation all the same: each is ended at Telegram, then
//! forgotten.
//!
//! There are three kinds. A QR that was shown is taken by Telegram until its own end, also after its login was given up:
//! once it cannot be scanned any more the key asks what became of it, and logs out if somebody did. No connection is
//! held for that. A session that ended while it could not be reached is logged out as soon as it can. And the fresh key
//! of a rotation that came to nothing may be either. Keys are stored sealed until then, so that a kill forgets none. It does not end an authorisation that waits for a password:
//! such a key may not, and Telegram drops it by itself.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use grammers_client::InvocationError;
use grammers_client::tl::enums::auth::LoginToken;
use grammers_client::tl::functions::auth::{ExportLoginToken, ImportLoginToken, LogOut};
use serde::{Deserialize, Serialize};

use super::account::Account;
use super::error::TelegramError;
use super::session::Context;
use super::side::{Side, fresh_keys};
use super::tables::Authorisation;
use crate::base::{SessionId, Timestamp};
use crate::model::Refusal;
use crate::runtime::{BoxError, TaskContext};
use crate::store::catalog::{self, Entry};
use crate::store::{Batch, Scan, StoreError, Table};

/// How long after its end a token may still be on its way to Telegram.
const MARGIN: Duration = Duration::from_secs(1);

/// Pauses between tries: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(300));

/// How long a key is tried to be ended.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// How many are ended at once.
const AT_ONCE: usize = 4;

/// How long it waits if nothing is to be done.
const REST: Duration = Duration::from_secs(3600);

/// Spare keys by the session that they were of. Sealed.
pub(crate) struct Spares;

impl Table for Spares {
    const ENTRY: Entry = catalog::SPARE_KEYS;
    type Key = (SessionId, Timestamp);
    type Value = Spare;
}

/// A key that is to be ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Spare {
    /// The keys, and where the account lives.
    pub keys: Authorisation,
    /// What it was used for.
    pub kind: Kind,
    /// When it is tried to be ended next.
    pub due: Timestamp,
}

/// What a spare key was used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// It was logged in.
    LoggedIn,
    /// A QR was shown with it.
    Shown,
    /// It had a token that the account itself accepted, perhaps, and was logged in with it, perhaps.
    Fresh,
}

impl Spare {
    /// What has to be ended of a session whose key is forgotten now, and which may still owe Telegram a log-out, from some time on; none if
    /// Telegram cannot take the key for an authorisation.
    pub fn of(
        account: &Account,
        keys: Authorisation,
        owed: Option<Timestamp>,
        now: Timestamp,
    ) -> Option<Self> {
        let shown = account.shown_until.filter(|until| *until > now);
        let due = match shown {
            _ if keys.home().is_none_or(|option| option.auth_key.is_none()) => return None,
            Some(until) => until.plus(MARGIN),
            None if account.is_authorised() => owed?,
            None => return None,
        };
        let kind = match shown {
            Some(_) => Kind::Shown,
            None => Kind::LoggedIn,
        };
        Some(Self { keys, kind, due })
    }

    /// The keys of an account that logged in into another one's session; none if there is no key.
    pub fn of_stranger(keys: Authorisation, due: Timestamp) -> Option<Self> {
        keys.home()?.auth_key?;
        let kind = Kind::LoggedIn;
        Some(Self { keys, kind, due })
    }

    /// The keys that a rotation leaves over, to be ended at once.
    pub fn of_rotation(keys: Authorisation) -> Self {
        Self {
            keys,
            kind: Kind::Fresh,
            due: Timestamp::now(),
        }
    }
}

/// The next pause of a key that came here that long ago.
fn pause(age: Duration) -> Duration {
    age.clamp(PAUSES.0, PAUSES.1)
}

/// Ends keys as they come due.
pub(super) async fn run(context: Arc<Context>, task: TaskContext) -> Result<(), BoxError> {
    loop {
        let next = tokio::select! {
            () = task.stop.cancelled() => return Ok(()),
            next = look(&context) => next?,
        };
        let wait = next.map_or(REST, |next| next.since(Timestamp::now()));
        tokio::select! {
            () = task.stop.cancelled() => return Ok(()),
            () = context.spares.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Ends what is due; answers when there is more to do.
async fn look(context: &Context) -> Result<Option<Timestamp>, StoreError> {
    let now = Timestamp::now();
    let rows = context.store.scan::<Spares>(Scan::all(), usize::MAX)?;
    let due: Vec<_> = rows.into_iter().filter(|(_, spare)| spare.due <= now).collect();
    let mut ending = futures_util::stream::iter(due)
        .map(|(key, spare)| async move {
            let ended = end(context, &spare).await;
            (key, spare, ended)
        })
        .buffer_unordered(AT_ONCE);
    while let Some((key, spare, ended)) = ending.next().await {
        conclude(context, key, spare, ended).await?;
    }
    let left = context.store.scan::<Spares>(Scan::all(), usize::MAX)?;
    Ok(left.iter().map(|(_, spare)| spare.due).min())
}

async fn conclude(
    context: &Context,
    key: (SessionId, Timestamp),
    mut spare: Spare,
    ended: Result<&'static str, TelegramError>,
) -> Result<(), StoreError> {
    let now = Timestamp::now();
    let (session, age) = (key.0, now.since(key.1));
    let mut batch = Batch::new();
    match ended {
        Err(error) if age < PATIENCE => {
            tracing::info!(%session, %error, "a spare key is not ended yet");
            let again = now.plus(pause(age));
            spare.due = error.class().until().map_or(again, |until| until.max(again));
            batch.put::<Spares>(&key, &spare);
        }
        Err(error) => {
            tracing::warn!(%session, %error, "a spare key may stay in an account's list of devices");
            batch.remove::<Spares>(&key);
        }
        Ok(outcome) => {
            tracing::info!(%session, outcome, "a spare key is gone");
            batch.remove::<Spares>(&key);
        }
    }
    context.store.commit(batch).await.map(drop)
}

/// Ends a key; says in which way.
///
/// # Errors
/// If Telegram was not reached, or did not do it this time.
pub(super) async fn end(context: &Context, spare: &Spare) -> Result<&'static str, TelegramError> {
    match spare.kind {
        Kind::LoggedIn => settled(log_out(context, &spare.keys).await),
        Kind::Shown => settled(end_shown(context, &spare.keys).await),
        Kind::Fresh => {
            // A token that was accepted and not come back for is no authorisation yet, and listed as one.
            settled(end_shown(context, &spare.keys).await)?;
            settled(log_out(context, &spare.keys).await)
        }
    }
}

/// A key that is no authorisation, or none any more, or waits for a password, needs no end.
fn settled(ended: Result<&'static str, TelegramError>) -> Result<&'static str, TelegramError> {
    match ended {
        Err(error) if is_none(&error) => Ok("not authorised"),
        ended => ended,
    }
}

fn is_none(error: &TelegramError) -> bool {
    let unknown = matches!(error, TelegramError::Network(InvocationError::Authentication(_)));
    unknown
        || matches!(
            error.class(),
            Refusal::Ended(_) | Refusal::Login | Refusal::Refused | Refusal::Defect
        )
}

async fn log_out(context: &Context, keys: &Authorisation) -> Result<&'static str, TelegramError> {
    let (side, wire) = Side::new(context, keys);
    let call = async { side.invoke(&LogOut {}).await };
    Box::pin(wire.during(call)).await?;
    Ok("logged out")
}

/// Asks what became of the QR that this key has shown, and logs out if somebody scanned it.
async fn end_shown(context: &Context, keys: &Authorisation) -> Result<&'static str, TelegramError> {
    let (side, wire) = Side::new(context, keys);
    let asked = async {
        let request = ExportLoginToken {
            api_id: context.config.api_id,
            api_hash: context.config.api_hash.expose().to_owned(),
            except_ids: Vec::new(),
        };
        let answer = side.invoke(&request).await?;
        if let LoginToken::Success(_) = &answer {
            side.invoke(&LogOut {}).await?;
        }
        Ok(answer)
    };
    match Box::pin(wire.during(asked)).await? {
        LoginToken::Token(_) => Ok("never scanned"),
        LoginToken::Success(_) => Ok("scanned, and logged out"),
        LoginToken::MigrateTo(to) => end_elsewhere(context, keys, to.dc_id, to.token).await,
    }
}

/// The same where the account lives, with a key of that place.
async fn end_elsewhere(
    context: &Context,
    keys: &Authorisation,
    dc: i32,
    token: Vec<u8>,
) -> Result<&'static str, TelegramError> {
    let mut there = keys.clone();
    there.home_dc = dc;
    let there = fresh_keys(context, &there).await.map_err(|error| {
        tracing::info!(dc, %error, "no key to end a login with");
        TelegramError::Away
    })?;
    let (side, wire) = Side::new(context, &there);
    let imported = async {
        side.invoke(&ImportLoginToken { token }).await?;
        side.invoke(&LogOut {}).await
    };
    Box::pin(wire.during(imported)).await?;
    Ok("scanned, and logged out")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telegram::NewAccount;

    fn keys() -> Authorisation {
        let mut option = grammers_session::SessionData::default().dc_options[&2].clone();
        option.auth_key = Some([7; 256]);
        Authorisation {
            home_dc: 2,
            dcs: vec![option],
        }
    }

    #[test]
    fn only_what_telegram_may_take_for_an_authorisation_is_ended() {
        let now = Timestamp::from_secs(100);
        let mut account = Account::new(NewAccount::default(), now);
        let of = |account: &Account, owed: bool| {
            let spare = Spare::of(account, keys(), owed.then_some(now), now);
            spare.map(|it| (it.kind, it.due))
        };
        assert_eq!(
            of(&account, true),
            None,
            "a code that was sent is no authorisation"
        );
        account.shown_until = Some(Timestamp::from_secs(130));
        assert_eq!(of(&account, true), Some((Kind::Shown, Timestamp::from_secs(131))));
        account.shown_until = Some(Timestamp::from_secs(99));
        assert_eq!(of(&account, true), None, "it cannot be scanned any more");
        account.logged_in(7, now);
        account.state = crate::model::SessionState::Connecting;
        assert_eq!(of(&account, true), Some((Kind::LoggedIn, now)));
        assert_eq!(of(&account, false), None);
        assert!(Spare::of(&account, Authorisation::default(), Some(now), now).is_none());
    }

    #[test]
    fn the_pauses_grow() {
        let secs = Duration::from_secs;
        assert_eq!(
            [1, 60, 6000].map(|age| pause(secs(age))),
            [secs(2), secs(60), secs(300)]
        );
    }

    #[test]
    fn rows_of_any_bytes_are_an_error_at_worst() {
        use crate::store::fuzz::*;

        bears_any_row::<Spares>();
    }
}
