//! The pump's pen: one commit holds the events of a batch of updates and the update state behind them.
//!
//! The stored state moves past an update only together with its event. What is stored already is
//! recognised by its name and dropped; a message whose deletion is known does not come back.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::MutexGuard;

use super::Context;
use super::convert::{Change, changes, name_of_new};
use super::draft::Draft;
use super::receiver::Arrival;
use crate::base::Timestamp;
use crate::model::{ChatId, EventBody, Message, MessageId};
use crate::store::{Batch, Scan, StoreError};
use crate::telegram::awaited::Awaited;
use crate::telegram::from_tl::Names;
use crate::telegram::link::Link;
use crate::telegram::peers;
use crate::telegram::tables::{HeldMessages, LeftOut, LeftOutMark, StoredState, Tombstones, UpdateStates};

/// How long to wait before a commit is tried again.
const RETRY: Duration = Duration::from_millis(250);

/// See the head of the file.
pub(super) struct Pen {
    context: Arc<Context>,
    link: Arc<Link>,
    common: StoredState,
}

impl Pen {
    /// A pen that goes on where the session's stored state ends.
    pub fn new(context: Arc<Context>, link: Arc<Link>) -> Result<Self, StoreError> {
        let common = context
            .store
            .get::<UpdateStates>(&(link.id, 0))?
            .unwrap_or_default();
        Ok(Self {
            context,
            link,
            common,
        })
    }

    /// Another pen of the same session, which writes what is read beside its updates.
    pub fn beside(&self) -> Self {
        Self {
            context: self.context.clone(),
            link: self.link.clone(),
            common: self.common,
        }
    }

    /// The turn to write: what a commit is made of is read and stored in one.
    async fn turn(&self) -> MutexGuard<'_, Awaited> {
        self.link.turn.lock().await
    }

    /// The stored pts of the account's own sequence.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn stored_pts(&self) -> Result<i32, StoreError> {
        let stored = self.context.store.get::<UpdateStates>(&(self.link.id, 0))?;
        Ok(stored.unwrap_or_default().pts)
    }

    /// When the account's own sequence last moved.
    pub fn date(&self) -> Timestamp {
        Timestamp::from_secs(self.common.date.into())
    }

    /// Stores what arrived; returns when they are durable. It does not give up: what Telegram has
    /// handed out once must be kept, and while the store is away nothing else would help.
    pub async fn write(&mut self, arrivals: &[Arrival]) {
        let mut common = self.common;
        loop {
            match self.try_write(arrivals, &mut common).await {
                Ok(()) => break,
                Err(error) => {
                    tracing::warn!(session = %self.link.id, error = %error, "updates wait for the store");
                    tokio::time::sleep(RETRY).await;
                    common = self.common;
                }
            }
        }
        self.common = common;
    }

    async fn try_write(&self, arrivals: &[Arrival], common: &mut StoredState) -> Result<(), StoreError> {
        let mut turn = self.turn().await;
        let mut draft = Draft::of_updates(&self.context, &self.link, &mut turn);
        for arrival in arrivals {
            let (updates, users, chats) = match arrival {
                Arrival::Updates(batch) => batch,
                Arrival::Jump { channel, to } => {
                    // The mark and the state are one commit, and the mark says from where.
                    draft.mark_left_out(*channel, common)?;
                    if let Some(state) = to {
                        draft.take_state(state, common);
                    }
                    continue;
                }
                Arrival::Stands(state) => {
                    draft.take_state(state, common);
                    continue;
                }
                Arrival::Lost { channel, word } => {
                    draft.event(
                        EventBody::SessionGap {
                            chat: *channel,
                            reason: word.clone(),
                        },
                        None,
                    );
                    continue;
                }
                Arrival::Complete | Arrival::Behind { .. } => continue,
            };
            let names = Names::from_containers(users, chats).seen_by(self.link.account().user_id);
            let parts = peers::shown_in_part(users);
            for change in changes(updates, &names) {
                if draft.is_large() {
                    draft = self.go_on(draft).await?;
                }
                draft.meet(&change, &parts)?;
                draft.take(change)?;
            }
            updates
                .iter()
                .for_each(|(_, state)| draft.take_state(state, common));
            // What was said in a chat comes before that it moved or is lost.
            for departure in peers::departures(chats) {
                while draft.is_large() || draft.before(departure)? {
                    draft = self.go_on(draft).await?;
                }
                draft.depart(departure)?;
            }
            if draft.is_large() {
                draft = self.go_on(draft).await?;
            }
            draft.take_peers(peers::of_containers(users, chats))?;
        }
        draft.commit().await.map(drop)
    }

    /// Commits a large draft, and goes on with another one. What is told twice after a failure is known by its name: the
    /// state follows with the last.
    async fn go_on<'a>(&'a self, draft: Draft<'a>) -> Result<Draft<'a>, StoreError> {
        let awaited = draft.commit().await?;
        Ok(Draft::of_updates(&self.context, &self.link, awaited))
    }

    /// Stores messages that were read from a chat's history, oldest first. Those that are known already were
    /// perhaps edited since.
    ///
    /// # Errors
    /// If the store did not keep them.
    pub async fn write_history(&self, messages: Vec<Message>) -> Result<(), StoreError> {
        let mut turn = self.turn().await;
        let mut draft = Draft::new(&self.context, &self.link, &mut turn);
        for message in messages {
            draft.take(Change::New(message))?;
        }
        draft.commit().await.map(drop)
    }

    /// Those of these messages that were told as new and not as deleted.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn known(
        &self,
        chat: ChatId,
        ids: impl Iterator<Item = MessageId>,
    ) -> Result<Vec<MessageId>, StoreError> {
        let (store, session) = (&self.context.store, self.link.id);
        let place = if chat.is_channel() { chat.0 } else { 0 };
        let mut known = Vec::new();
        for id in ids {
            if store.knows(&name_of_new(session, chat, id))?
                && !store.contains::<Tombstones>(&(session, place, id))?
            {
                known.push(id);
            }
        }
        Ok(known)
    }

    /// Stores that messages of a chat are no more.
    ///
    /// # Errors
    /// If the store did not keep it.
    pub async fn write_deleted(&self, chat: ChatId, ids: Vec<MessageId>) -> Result<(), StoreError> {
        let mut turn = self.turn().await;
        let mut draft = Draft::new(&self.context, &self.link, &mut turn);
        if !ids.is_empty() {
            let channel = chat.is_channel().then_some(chat);
            draft.take(Change::Deleted { channel, ids })?;
        }
        draft.commit().await.map(drop)
    }

    /// Marks that messages of a chat above this one are being read, before the first of them is stored. None if there
    /// is a mark already.
    ///
    /// # Errors
    /// If the store did not keep it.
    pub async fn mark_gap(
        &self,
        chat: ChatId,
        above: MessageId,
        since: Timestamp,
    ) -> Result<Option<LeftOutMark>, StoreError> {
        let _turn = self.turn().await;
        // Of this chat alone: a mark under 0 would have all private chats and basic groups read from there.
        let key = (self.link.id, chat.0);
        if self.context.store.contains::<LeftOut>(&key)? {
            return Ok(None);
        }
        // The one that they have together may have come meanwhile, and lie deeper.
        let shared = match chat.is_channel() {
            true => None,
            false => self.context.store.get::<LeftOut>(&(self.link.id, 0))?,
        };
        let mark = LeftOutMark {
            above: shared.map_or(above, |shared| shared.above.min(above)),
            since: shared.map_or(since, |shared| shared.since.min(since)),
            ..LeftOutMark::default()
        };
        let mut batch = Batch::new();
        batch.put::<LeftOut>(&key, &mark);
        self.context.store.commit(batch).await?;
        Ok(Some(mark))
    }

    /// Stores that what was left out is read, as the mark said when reading began: if something was left out again since,
    /// the mark stays.
    ///
    /// # Errors
    /// If the store did not keep it.
    pub async fn settle_left_out(&self, place: i64, mark: LeftOutMark) -> Result<(), StoreError> {
        let mut turn = self.turn().await;
        if !Draft::new(&self.context, &self.link, &mut turn).is_read(place, mark)? {
            return Ok(());
        }
        loop {
            let mut draft = Draft::new(&self.context, &self.link, &mut turn);
            let settled = draft.settle(place)?;
            draft.commit().await?;
            if settled {
                break;
            }
        }
        // What was edited meanwhile and was not read is no more.
        let open = self
            .context
            .store
            .scan::<LeftOut>(Scan::prefix(&self.link.id), usize::MAX)?;
        let open: HashSet<i64> = open.into_iter().map(|((_, place), _)| place).collect();
        turn.forget_except(|chat| open.contains(&chat.0) || !chat.is_channel() && open.contains(&0));
        Ok(())
    }

    /// Has the messages wait on that waited when the process ended.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn recall(&self) -> Result<(), StoreError> {
        let mut turn = self.turn().await;
        let held = self
            .context
            .store
            .scan::<HeldMessages>(Scan::prefix(&self.link.id), usize::MAX)?;
        for (_, message) in held {
            turn.hold(&message, MessageId::MIN, Instant::now());
        }
        Ok(())
    }

    /// Until when messages wait at most for what was left out before them; none if none does.
    pub async fn held_until(&self) -> Option<Instant> {
        self.turn().await.until()
    }

    /// Tells the messages that have waited for too long, or all that wait. What is not stored goes on waiting, and is read from history in
    /// the end.
    pub async fn release(&self, all: bool) {
        if let Err(error) = self.try_release(all).await {
            tracing::warn!(session = %self.link.id, %error, "messages that wait were not stored");
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn try_release(&self, all: bool) -> Result<(), StoreError> {
        loop {
            let mut turn = self.turn().await;
            let mut draft = Draft::new(&self.context, &self.link, &mut turn);
            let more = draft.release_overdue(all)?;
            draft.commit().await?;
            if !more {
                return Ok(());
            }
        }
    }

    /// Stores that what was left out of a chat cannot be read for now. The place is that of the mark.
    ///
    /// # Errors
    /// If the store did not keep it.
    pub async fn keep_unreadable(
        &self,
        place: i64,
        chat: ChatId,
        mark: LeftOutMark,
    ) -> Result<(), StoreError> {
        let mut turn = self.turn().await;
        let mut draft = Draft::new(&self.context, &self.link, &mut turn);
        draft.keep_unreadable(place, chat, mark)?;
        draft.commit().await.map(drop)
    }

    /// Stores that messages of a chat above this one are lost for good; told once.
    ///
    /// # Errors
    /// If the store did not keep it.
    pub async fn write_gap(&self, chat: ChatId, above: MessageId, reason: &str) -> Result<(), StoreError> {
        let mut turn = self.turn().await;
        let mut draft = Draft::new(&self.context, &self.link, &mut turn);
        let mut name = self.link.id.to_bytes().to_vec();
        name.push(b'g');
        name.extend(chat.0.to_be_bytes());
        name.extend(above.to_be_bytes());
        let reason = reason.to_owned();
        draft.event(EventBody::SessionGap { chat, reason }, Some(name));
        draft.commit().await.map(drop)
    }
}
