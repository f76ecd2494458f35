//! How sessions and their logins end: logged out, deleted, or discarded because a login came to nothing. What Telegram
//! could not be told is left to `spares`.

use std::sync::Arc;
use std::time::Duration;

use grammers_client::tl;

use super::State;
use crate::base::{Code, Coded, SessionId, Timestamp};
use crate::limiter::CostClass;
use crate::model::{EventBody, SessionState};
use crate::ops::audit::{self, Deed, Entry, Initiator};
use crate::store::{Batch, StoreError};
use crate::telegram::account::Account;
use crate::telegram::error::TelegramError;
use crate::telegram::link::Link;
use crate::telegram::logins::Ending;
use crate::telegram::session;
use crate::telegram::spares::{Spare, Spares};
use crate::telegram::tables::{Accounts, Activity, Authorisations};
use crate::telegram::{forget, future_tokens, incident, limits};

/// How long a log-out at Telegram may take before the session is forgotten without it.
const LOGOUT: Duration = Duration::from_secs(10);

/// How long to wait after a log-out that Telegram refused.
const REFUSED: Duration = Duration::from_secs(2);

impl State {
    /// A session that rests waits for no login; it was steered as an entry of its own, and stays.
    pub(super) async fn end_login(&self, link: &Link) -> Result<(), StoreError> {
        link.change(&self.context.store, |account| {
            account.login = None;
            account.for_login = false;
            let step = "CANCELLED".to_owned();
            ((), vec![EventBody::SessionLogin { step }])
        })
        .await?;
        self.forget_keys(link, None).await
    }

    /// A login that was about to begin when the daemon died, and of which nothing is known.
    pub(super) async fn end_interrupted_login(&self, link: &Arc<Link>) {
        let account = link.account();
        if account.is_leftover() {
            if let Err(error) = self.delete(link.id, None).await {
                tracing::warn!(session = %link.id, %error, "a session made for a login stays");
            }
        } else if account.state == SessionState::LoggingIn && account.login.is_none() {
            let over = self.want(link, account.wanted, |_| SessionState::LoggedOut).await;
            if let Err(error) = over {
                tracing::warn!(session = %link.id, %error, "a login that never began seems to go on");
            }
        } else if account.state == SessionState::LoggedOut
            && account.no_login().code() == Code::AnotherAccount
            && let Err(error) = self.forget_strangers_key(link, Timestamp::now()).await
        {
            tracing::warn!(session = %link.id, %error, "another account's key stays");
        }
    }

    /// Removes the key of a login that ended without one, and the session if it was made for that.
    pub(super) async fn discard(&self, id: SessionId, why: &str) {
        let Ok(link) = self.find(id) else { return };
        let account = link.account();
        if account.login.is_some() || account.is_authorised() {
            return;
        }
        let removed = if account.is_leftover() {
            if let Some(ending) = Ending::of(why) {
                self.context.ended.remember(id, account.uuid, ending);
            }
            self.delete(id, None).await
        } else {
            let ended = self.end_authorisation(&link).await;
            self.terminate(&link).await;
            let forgotten = match Ending::of(why) {
                Some(Ending::AnotherAccount) if let Err(due) = ended => {
                    self.forget_strangers_key(&link, due).await
                }
                _ => self.forget_keys(&link, ended.err()).await,
            };
            forgotten.map_err(TelegramError::from)
        };
        match removed {
            Ok(()) => tracing::info!(session = %id, why, "a login ended without one"),
            Err(error) => tracing::warn!(session = %id, %error, "a login left its key behind"),
        }
    }

    pub(super) async fn discard_leftover(&self, id: SessionId) -> Result<(), TelegramError> {
        match self.find(id) {
            Ok(link) if link.account().is_leftover() => self.delete(id, None).await,
            _ => Ok(()),
        }
    }

    /// Ends the authorisation. Of one that is over already, the audit log tells nothing more.
    pub(super) async fn log_out(&self, id: SessionId, by: Initiator) -> Result<Account, TelegramError> {
        let link = self.find(id)?;
        let entry = (link.state() != SessionState::LoggedOut).then(|| by.does(Deed::LoggedOut, id));
        self.take_leave(&link).await?;
        // Should the same account log in again, it goes on where it was.
        forget::peers(&self.context.store, id).await?;
        link.change_audited(&self.context.store, entry, |account| {
            let from = std::mem::replace(&mut account.state, SessionState::LoggedOut);
            account.user_id = None;
            account.username = None;
            account.login = None;
            account.for_login = false;
            account.dialogs_read = false;
            account.since = Timestamp::now();
            account.reason = Some("LOGGED_OUT".to_owned());
            let reason = account.reason.clone();
            let told = EventBody::SessionState {
                from,
                to: SessionState::LoggedOut,
                reason,
            };
            (
                (),
                if from == SessionState::LoggedOut {
                    vec![]
                } else {
                    vec![told]
                },
            )
        })
        .await?;
        Ok(link.account())
    }

    /// Deletes a session, with what the audit log tells of it; of one that was only made for a login it tells nothing.
    pub(super) async fn delete(&self, id: SessionId, entry: Option<Entry>) -> Result<(), TelegramError> {
        let link = self.find(id)?;
        self.take_leave(&link).await?;
        forget::learned(&self.context.store, id).await?;
        let mut batch = Batch::new();
        batch.remove::<Accounts>(&id);
        batch.remove::<Activity>(&id);
        audit::commit_with(&self.context.store, batch, entry).await?;
        self.links
            .write()
            .expect("nothing panics under this lock")
            .remove(&id);
        self.context.deletions.send_modify(|many| *many += 1);
        self.context.limiter.forget(id).await;
        incident::settle(&self.context.incidents, id).await;
        Ok(())
    }

    /// Ends all that a session is at Telegram, and what runs of it.
    async fn take_leave(&self, link: &Arc<Link>) -> Result<(), TelegramError> {
        self.end_former(link).await?;
        self.abandon_rotation(link).await?;
        let ended = self.end_authorisation(link).await;
        self.terminate(link).await;
        session::tell_held(&self.context, link).await;
        // Also of one that rests: its key is good at Telegram all the same, and in every export of it.
        self.forget_keys(link, ended.err()).await?;
        Ok(())
    }

    /// Logs out at Telegram, if that can be reached in time; when it may be tried again if that was not done.
    pub(super) async fn end_authorisation(&self, link: &Link) -> Result<(), Timestamp> {
        let now = Timestamp::now();
        if link.client().is_err() {
            return Err(now);
        }
        let log_out = tl::functions::auth::LogOut {};
        let called = limits::made(&self.context.limiter, link, CostClass::Login, &log_out);
        match tokio::time::timeout(LOGOUT, called).await {
            Ok(Ok(tl::enums::auth::LoggedOut::Out(out))) => {
                self.keep_token(link, out.future_auth_token).await;
                Ok(())
            }
            Ok(Err(error)) => {
                tracing::info!(session = %link.id, error = %error, "not logged out at Telegram");
                let refused = matches!(error, TelegramError::Rpc { .. });
                let again = if refused { now.plus(REFUSED) } else { now };
                Err(error.class().until().unwrap_or(again))
            }
            Err(_) => {
                tracing::info!(session = %link.id, "Telegram did not answer the log-out in time");
                Err(now)
            }
        }
    }

    /// Keeps the token of a log-out, for the account's next login; not of a login that came to nothing.
    async fn keep_token(&self, link: &Link, token: Option<Vec<u8>>) {
        let account = link.account();
        if account.is_authorised()
            && let Err(error) = future_tokens::keep(&self.context.store, &account, token).await
        {
            tracing::warn!(session = %link.id, %error, "the next login of this account takes a code");
        }
    }

    /// Forgets the key of an account that is not the session's; it is logged out as soon as Telegram can be reached.
    async fn forget_strangers_key(&self, link: &Link, due: Timestamp) -> Result<(), StoreError> {
        let Some(keys) = self.context.store.get::<Authorisations>(&link.id)? else {
            return Ok(());
        };
        let mut batch = Batch::new();
        batch.remove::<Authorisations>(&link.id);
        if let Some(spare) = Spare::of_stranger(keys, due) {
            batch.put::<Spares>(&(link.id, Timestamp::now()), &spare);
        }
        self.context.store.commit(batch).await?;
        self.context.spares.notify_one();
        Ok(())
    }

    /// Forgets a session's key. A log-out that is owed to Telegram, from some time on, or may have to be, is made up for.
    pub(super) async fn forget_keys(&self, link: &Link, owed: Option<Timestamp>) -> Result<(), StoreError> {
        let now = Timestamp::now();
        let kept = self.context.store.get::<Authorisations>(&link.id)?;
        let mut batch = Batch::new();
        batch.remove::<Authorisations>(&link.id);
        if let Some(spare) = kept.and_then(|keys| Spare::of(&link.account(), keys, owed, now)) {
            batch.put::<Spares>(&(link.id, now), &spare);
        }
        self.context.store.commit(batch).await?;
        self.context.spares.notify_one();
        Ok(())
    }
}
