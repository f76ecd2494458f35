//! Deleting sessions that nothing has come to or gone out of for long (`telegram.delete_inactive_after`; off by default).
//!
//! Activity is an update that arrived or something that was sent; it is stored about once an hour, so that a crash
//! makes a session look at most that much older. A session is logged out at Telegram before it is deleted, also one
//! that rests; if Telegram cannot be reached it is deleted by a later look.

use std::time::Duration;

use grammers_client::tl;

use super::account::Account;
use super::error::TelegramError;
use super::handle::Telegram;
use super::link::Link;
use super::manager::Msg;
use super::side::Side;
use super::tables::{Activity, Authorisations};
use crate::base::{SessionId, Timestamp};
use crate::model::Refusal;
use crate::model::Wanted;
use crate::ops::audit::{Deed, Entry};
use crate::runtime::{BoxError, TaskContext};
use crate::store::{Batch, SWEEP_EVERY, SWEEP_FIRST};

/// Looks through the sessions every now and then.
pub(super) async fn run(telegram: Telegram, task: TaskContext) -> Result<(), BoxError> {
    let mut pause = SWEEP_FIRST;
    loop {
        tokio::select! {
            () = task.stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
        pause = SWEEP_EVERY;
        tokio::select! {
            () = task.stop.cancelled() => return Ok(()),
            () = telegram.delete_inactive(Timestamp::now()) => {}
        }
    }
}

/// When a session was last of use to anybody.
fn last_use(account: &Account, stored: Option<Timestamp>, seen: Option<Timestamp>) -> Timestamp {
    let times = [stored, seen, account.connected_at, Some(account.created_at)];
    times.into_iter().flatten().max().unwrap_or_default()
}

/// Whether a session that was of use then is to be deleted; never if no time is set.
fn is_due(last_use: Timestamp, after: Duration, now: Timestamp) -> bool {
    !after.is_zero() && now.since(last_use) > after
}

impl Telegram {
    /// Remembers what was active, and deletes what has not been for too long.
    pub async fn delete_inactive(&self, now: Timestamp) {
        let sessions: Vec<SessionId> = self.list().iter().map(|view| view.account.id).collect();
        for id in sessions {
            match self.look_at(id, now).await {
                Ok(()) | Err(TelegramError::UnknownSession) => {}
                Err(error) => tracing::warn!(session = %id, %error, "an inactive session was not deleted"),
            }
        }
    }

    async fn look_at(&self, id: SessionId, now: Timestamp) -> Result<(), TelegramError> {
        let store = &self.context.store;
        let link = self.link(id)?;
        let (stored, seen) = (store.get::<Activity>(&id)?, link.last_activity());
        if let Some(seen) = seen.filter(|seen| stored.is_none_or(|stored| *seen > stored)) {
            let mut batch = Batch::new();
            batch.put::<Activity>(&id, &seen);
            store.commit(batch).await?;
        }
        let used = last_use(&link.account(), stored, seen);
        if !is_due(used, *self.context.config.delete_inactive_after, now) {
            return Ok(());
        }
        self.end_resting(&link).await?;
        let entry = Entry::by_daemon(Deed::Deleted, id)
            .detail("reason", "INACTIVE")
            .detail("last_active", used);
        self.ask(|reply| Msg::Delete(id, entry, reply)).await?;
        tracing::info!(session = %id, last_active = %used, "an inactive session was deleted");
        Ok(())
    }

    /// Logs out a session that has no connection. One that has is logged out as it is deleted.
    async fn end_resting(&self, link: &Link) -> Result<(), TelegramError> {
        let account = link.account();
        let kept = self.context.store.get::<Authorisations>(&link.id)?;
        let rests =
            account.user_id.is_some() && !account.state.is_terminal() && !account.state.is_connected();
        let Some(kept) = kept.filter(|_| rests) else {
            return Ok(());
        };
        // Nothing of the session may use its key meanwhile.
        self.stop(link.id).await?;
        let (side, wire) = Side::new(&self.context, &kept);
        let ended = wire.during(side.invoke(&tl::functions::auth::LogOut {}));
        match ended.await {
            Err(error) if matches!(error.class(), Refusal::Uncertain | Refusal::Wait { .. }) => {
                if account.wanted == Wanted::Running {
                    self.start(link.id).await?;
                }
                Err(error)
            }
            // Whatever else Telegram says, there is nothing left to end.
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telegram::NewAccount;

    const DAY: u64 = 24 * 3600;

    fn day(number: u64) -> Timestamp {
        Timestamp::from_secs((number * DAY) as i64)
    }

    #[test]
    fn only_long_silence_deletes_and_only_if_it_is_wanted() {
        let mut account = Account::new(NewAccount::default(), day(10));
        assert_eq!(last_use(&account, None, None), day(10));
        account.connected_at = Some(day(20));
        assert_eq!(last_use(&account, Some(day(15)), None), day(20));
        assert_eq!(last_use(&account, Some(day(30)), Some(day(40))), day(40));
        let month = Duration::from_secs(30 * DAY);
        assert!(is_due(day(20), month, day(51)));
        assert!(!is_due(day(20), month, day(50)));
        assert!(!is_due(day(20), Duration::ZERO, day(5000)), "off");
        assert!(!is_due(day(60), month, day(20)), "a clock that was put back");
    }
}
