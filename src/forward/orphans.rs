//! Pairs through which nothing can come: of a session that was deleted, and of a source that its session has not met. They
//! say so by their state. The first wait for a person; the second go on with the first word from their source, and what
//! comes before that is kept.

use std::sync::Arc;

use tokio::sync::watch;

use super::courier::Sight;
use super::error::PairError;
use super::pair::{PairRow, PairState, SOURCE_UNKNOWN};
use super::registry::Registry;
use crate::base::PairId;
use crate::model::Event;

/// Why a pair stops one of whose sessions is gone.
const SESSION_DELETED: &str = "session_deleted";

impl Registry {
    /// Stops pairs whose sessions are gone; one that somebody paused stays paused.
    pub(super) async fn hold_orphans(&self) -> Result<(), PairError> {
        for desk in self.desks() {
            let pair = desk.pair().borrow().clone();
            let is_told = pair.reason.as_deref() == Some(SESSION_DELETED);
            if is_told || pair.state == PairState::Paused || !self.is_orphan(&pair) {
                continue;
            }
            let paused = |row: &PairRow| row.state == PairState::Paused;
            let cause = "a session of it was deleted: make the pair anew with another one, or delete it";
            let held = async {
                self.set_state(pair.id, PairState::Held, Some(SESSION_DELETED), false, paused)
                    .await?;
                self.hold(pair.id, SESSION_DELETED, cause).await
            };
            match held.await {
                Ok(()) | Err(PairError::Unknown(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn is_orphan(&self, pair: &PairRow) -> bool {
        let gone = |place: &super::pair::Place| {
            matches!(
                self.courier.sight(place.session, place.chat),
                Ok(Sight::NoSession)
            )
        };
        gone(&pair.source) || gone(&pair.destination)
    }

    /// A pair stops until its source is met.
    pub(super) async fn await_source(&self, id: PairId) -> Result<Arc<PairRow>, PairError> {
        self.set_state(id, PairState::Held, Some(SOURCE_UNKNOWN), false, |_| false)
            .await
    }

    /// Pairs whose sources are met by now go on.
    pub(super) async fn go_on_if_met(&self) -> Result<(), PairError> {
        for pair in self.awaiting() {
            let sight = self.courier.sight(pair.source.session, pair.source.chat);
            if matches!(sight, Ok(Sight::Known { .. })) {
                self.go_on(pair.id).await?;
            }
        }
        Ok(())
    }

    /// Pairs from whose sources something came go on.
    pub(super) async fn go_on_with(&self, events: &[(u64, Arc<Event>)]) -> Result<(), PairError> {
        for pair in self.awaiting() {
            let (session, chat) = (Some(pair.source.session), Some(pair.source.chat));
            let is_of_it =
                |(_, event): &(u64, Arc<Event>)| event.session == session && event.body.chat() == chat;
            if events.iter().any(is_of_it) {
                self.go_on(pair.id).await?;
            }
        }
        Ok(())
    }

    async fn go_on(&self, id: PairId) -> Result<(), PairError> {
        let other = |row: &PairRow| !row.awaits_source();
        match self.set_state(id, PairState::Running, None, false, other).await {
            Ok(_) | Err(PairError::Unknown(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Waits until a session is deleted, which stays news to whoever looks next; for ever once nobody could tell any more.
pub(super) async fn deleted(deletions: &mut watch::Receiver<u64>) {
    match deletions.changed().await {
        Ok(()) => deletions.mark_changed(),
        Err(_) => std::future::pending().await,
    }
}
