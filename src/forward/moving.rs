//! Chats that move or go: a group that became a supergroup takes its pairs with it, a chat that can no longer be
//! read stops them.
//!
//! Rows of the message map stay under the chat whose numbers they are: a supergroup counts anew from 1, and a row
//! under its name would be taken for another message. Pairs have no other word of a chat: no rule names one yet.

use std::sync::Arc;

use super::desk::Desk;
use super::error::PairError;
use super::graph::way_back;
use super::map::PairsTable;
use super::pair::{PairRow, PairState, Place};
use super::registry::Registry;
use super::verdict::CHAT_UNKNOWN;
use crate::base::{PairId, SessionId};
use crate::model::{ChatId, EventBody};
use crate::store::Batch;

/// Why a pair stops whose chat is lost.
const CHAT_LOST: &str = "chat_lost";
/// Why a pair stops that, with its chat's new number, would double another or go round.
const CHAT_MIGRATED: &str = "chat_migrated";

/// Whether pairs change with an event: what comes after it is planned with what they are then.
pub(super) fn turns(body: &EventBody) -> bool {
    matches!(body, EventBody::ChatMigrated { .. } | EventBody::ChatLost { .. })
}

/// A pair after a chat of a session took on another number; none if it does not concern it.
fn moved(row: &PairRow, session: SessionId, from: ChatId, to: ChatId) -> Option<PairRow> {
    let place = |place: &Place| {
        let chat = if (place.session, place.chat) == (session, from) {
            to
        } else {
            place.chat
        };
        Place { chat, ..*place }
    };
    let source = place(&row.source);
    let new = PairRow {
        former: if source == row.source {
            row.former
        } else {
            Some(from)
        },
        source,
        destination: place(&row.destination),
        ..row.clone()
    };
    (new != *row).then_some(new)
}

impl Registry {
    /// Carries out what such an event means. To do it again changes nothing.
    pub(super) async fn turn_with(&self, session: SessionId, body: &EventBody) -> Result<(), PairError> {
        match body {
            EventBody::ChatMigrated { from, to } => {
                self.migrate(session, *from, *to).await?;
                self.let_go_on(session, *to).await
            }
            EventBody::ChatLost { chat, reason } => self.lose(session, *chat, reason).await,
            _ => Ok(()),
        }
    }

    /// All pairs of a chat that moved, in one commit. One that cannot go on there stops, and waits for a person.
    async fn migrate(&self, session: SessionId, from: ChatId, to: ChatId) -> Result<(), PairError> {
        let concerned = |desk: &Arc<Desk>| moved(&desk.pair().borrow(), session, from, to);
        // They stop before the event counts as dealt with.
        for new in self.desks().iter().filter_map(concerned) {
            if self.is_stuck(&new) {
                let cause = "its chat became a supergroup, from which another pair forwards already";
                self.stop_if_there(new.id, CHAT_MIGRATED, cause).await?;
            }
        }
        let _turn = self.turn.lock().await;
        let (mut batch, mut rows) = (Batch::new(), Vec::new());
        for desk in self.desks() {
            let Some(new) = concerned(&desk).filter(|new| !self.is_stuck(new)) else {
                continue;
            };
            batch.require::<PairsTable>(&new.id, |row| row.is_some());
            batch.put::<PairsTable>(&new.id, &new);
            rows.push((desk, Arc::new(new)));
        }
        if rows.is_empty() {
            return Ok(());
        }
        self.store.commit(batch).await?;
        for (desk, row) in rows {
            tracing::info!(pair = %row.id, "a chat of a pair became a supergroup");
            desk.set_pair(row);
            desk.wake();
        }
        self.refresh();
        Ok(())
    }

    /// Pairs into a chat that moved, which stopped because the old one takes nothing any more, go on in the new one.
    async fn let_go_on(&self, session: SessionId, to: ChatId) -> Result<(), PairError> {
        for desk in self.desks() {
            let pair = desk.pair().borrow().clone();
            let is_there = (pair.destination.session, pair.destination.chat) == (session, to);
            let stopped = pair.state == PairState::Held && pair.reason.as_deref() == Some(CHAT_UNKNOWN);
            if is_there && stopped {
                match self.resume(pair.id).await {
                    Ok(_) | Err(PairError::Unknown(_)) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Whether a pair of this session has become the supergroup's.
    pub(super) fn has_moved(&self, session: SessionId, from: ChatId, to: ChatId) -> bool {
        self.desks().iter().any(|desk| {
            let pair = desk.pair().borrow().clone();
            (pair.source.session, pair.source.chat, pair.former) == (session, to, Some(from))
        })
    }

    /// Whether a pair would double another, or go round.
    fn is_stuck(&self, pair: &PairRow) -> bool {
        let ends = |place: &Place| self.node(place.session, place.chat);
        let round = way_back(&self.edges(), ends(&pair.source), ends(&pair.destination));
        round.is_some() || self.twin(pair).is_some()
    }

    async fn lose(&self, session: SessionId, chat: ChatId, reason: &str) -> Result<(), PairError> {
        for desk in self.desks() {
            let pair = desk.pair().borrow().clone();
            let lost = |place: &Place| (place.session, place.chat) == (session, chat);
            // What stopped with its account goes on by itself: not where nothing can come from any more.
            let goes_on = pair.state == PairState::Running || pair.halted;
            if goes_on && (lost(&pair.source) || lost(&pair.destination)) {
                let cause = format!("the account can no longer read a chat of it: {reason}");
                self.stop_if_there(pair.id, CHAT_LOST, &cause).await?;
            }
        }
        Ok(())
    }

    async fn stop_if_there(&self, id: PairId, reason: &str, cause: &str) -> Result<(), PairError> {
        match self.hold_for_good(id, reason, cause).await {
            Ok(()) | Err(PairError::Unknown(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{DESTINATION, pair};
    use super::*;

    #[test]
    fn a_chat_that_moved_is_known_by_its_new_number_to_its_own_session_only() {
        let (session, other) = (SessionId::generate(), SessionId::generate());
        let group = ChatId(-5);
        let mut row = pair(session);
        row.source.chat = group;
        let to = ChatId(-1_000_000_000_077);
        let new = moved(&row, session, group, to).expect("moved");
        assert_eq!((new.source.chat, new.destination.chat), (to, DESTINATION));
        assert_eq!(new.former, Some(group), "what was said there may be told later");
        assert_eq!(moved(&row, other, group, to), None);
        assert_eq!(moved(&row, session, ChatId(-6), to), None);
        row.destination.chat = group;
        row.source.chat = DESTINATION;
        let new = moved(&row, session, group, to).expect("moved");
        assert_eq!((new.source.chat, new.destination.chat), (DESTINATION, to));
        assert_eq!(new.former, None);
    }
}
