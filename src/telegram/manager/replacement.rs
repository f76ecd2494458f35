//! The manager's part in replacing an agent's session: the former one ends once the next has logged in.
//!
//! The record of the next names the former from before its login begins until the former is deleted, so that a crash
//! in between loses nothing: the next start goes on. A login that ends without one takes the wish with it. Both run
//! for a moment after the login: what comes then is told by both, and nothing is missed.

use ractor::ActorRef;

use super::{Msg, State};
use crate::base::SessionId;
use crate::ops::audit::{Deed, Entry};
use crate::telegram::error::TelegramError;
use crate::telegram::link::Link;

impl State {
    /// Sessions that had logged in when the daemon died, and whose former ones have not ended.
    pub(super) fn resume_replacements(&self, myself: &ActorRef<Msg>) {
        for link in self.all() {
            if link.account().succeeds().is_some() && myself.cast(Msg::Replaced(link.id)).is_err() {
                tracing::error!(session = %link.id, "the session whose place it takes goes on");
            }
        }
    }

    /// A session has logged in: the one whose place it takes ends.
    pub(super) async fn replaced(&self, id: SessionId) {
        let Ok(link) = self.find(id) else { return };
        if let Err(error) = self.end_former(&link).await {
            tracing::warn!(session = %id, %error, "the session whose place it takes ends at the next start");
        }
    }

    /// Ends the session whose place this one has taken, if there is one.
    pub(super) async fn end_former(&self, link: &Link) -> Result<(), TelegramError> {
        let Some(former) = link.account().succeeds() else {
            return Ok(());
        };
        if let Ok(former) = self.find(former) {
            let entry = Entry::by_daemon(Deed::Deleted, former.id).detail("reason", "REPLACED");
            Box::pin(self.delete(former.id, Some(entry.detail("by", link.id)))).await?;
            tracing::info!(session = %link.id, former = %former.id, "a session has taken the place of another");
        }
        link.change(&self.context.store, |account| {
            account.replaces = None;
            ((), vec![])
        })
        .await?;
        Ok(())
    }
}
