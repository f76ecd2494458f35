//! The pump's pen: one commit holds the events of a batch of updates and the update state behind them.
//!
//! The stored state moves past an update only together with its event. What is stored already is
//! recognised by its name and dropped; a message whose deletion is known does not come back.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use grammers_client::session::updates::{MessageBox, State, UpdateAndPeers};

use super::Context;
use super::convert::{Change, changes, identity};
use crate::base::fault::fault_point;
use crate::base::{EventId, Owner, SessionId, Timestamp};
use crate::model::{ChatId, Event, EventBody, Message, MessageId};
use crate::store::{Batch, StoreError};
use crate::telegram::from_tl::Names;
use crate::telegram::link::Link;
use crate::telegram::peers;
use crate::telegram::tables::{HighWater, MessageChats, Peers, StoredState, Tombstones, UpdateStates};

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

    /// The stored pts of the account's own sequence.
    pub fn pts(&self) -> i32 {
        self.common.pts
    }

    /// When the account's own sequence last moved, in seconds since the epoch.
    pub fn date(&self) -> i32 {
        self.common.date
    }

    /// Stores batches of updates; returns when they are durable. It does not give up: what Telegram has
    /// handed out once must be kept, and while the store is away nothing else would help.
    pub async fn write(&mut self, batches: &[UpdateAndPeers]) {
        let mut common = self.common;
        loop {
            match self.try_write(batches, &mut common).await {
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

    async fn try_write(
        &self,
        batches: &[UpdateAndPeers],
        common: &mut StoredState,
    ) -> Result<(), StoreError> {
        let mut draft = Draft::new(&self.context, &self.link);
        for (updates, users, chats) in batches {
            draft.take_peers(peers::of_containers(users, chats))?;
            let names = Names::from_containers(users, chats);
            for change in changes(updates, &names) {
                draft.take(change)?;
            }
            updates
                .iter()
                .for_each(|(_, state)| draft.take_state(state, common));
        }
        draft.commit().await
    }

    /// Stores messages that were read from a chat's history, oldest first.
    ///
    /// # Errors
    /// If the store did not keep them.
    pub async fn write_history(&self, messages: Vec<Message>) -> Result<(), StoreError> {
        let mut draft = Draft::new(&self.context, &self.link);
        for message in messages {
            draft.take(Change::New(message))?;
        }
        draft.commit().await
    }

    /// Stores that messages of a chat are lost for good.
    ///
    /// # Errors
    /// If the store did not keep it.
    pub async fn write_gap(&self, chat: ChatId, reason: &str) -> Result<(), StoreError> {
        let mut draft = Draft::new(&self.context, &self.link);
        draft.event(
            EventBody::SessionGap {
                chat,
                reason: reason.to_owned(),
            },
            None,
        );
        draft.commit().await
    }
}

/// A commit in the making.
struct Draft<'a> {
    context: &'a Context,
    session: SessionId,
    owner: Owner,
    batch: Batch,
    now: Timestamp,
    events: u64,
    high_water: HashMap<ChatId, MessageId>,
    channels: HashMap<i64, i32>,
    fresh_chats: HashMap<MessageId, ChatId>,
    common: Option<StoredState>,
}

impl<'a> Draft<'a> {
    fn new(context: &'a Context, link: &Link) -> Self {
        Self {
            context,
            session: link.id,
            owner: link.account().owner,
            batch: Batch::new(),
            now: Timestamp::now(),
            events: 0,
            high_water: HashMap::new(),
            channels: HashMap::new(),
            fresh_chats: HashMap::new(),
            common: None,
        }
    }

    fn take_peers(&mut self, found: Vec<(ChatId, crate::telegram::tables::Peer)>) -> Result<(), StoreError> {
        for (chat, peer) in found {
            let key = (self.session, chat.0);
            let known = self.context.store.get::<Peers>(&key)?;
            let merged = peers::merge(known.clone().unwrap_or_default(), peer);
            if known.as_ref() != Some(&merged) {
                self.batch.put::<Peers>(&key, &merged);
            }
        }
        Ok(())
    }

    fn take(&mut self, change: Change) -> Result<(), StoreError> {
        let name = identity(self.session, &change);
        match change {
            Change::New(message) => {
                if self.is_buried(&message)? {
                    return Ok(());
                }
                self.remember(&message)?;
                let body = if message.out {
                    EventBody::MessageSent(message)
                } else {
                    EventBody::MessageNew(message)
                };
                self.event(body, Some(name));
            }
            Change::Edited(message) => self.event(EventBody::MessageEdited(message), Some(name)),
            Change::Deleted { channel, ids } => self.take_deletion(channel, ids, &name)?,
        }
        Ok(())
    }

    /// Whether the message's deletion arrived before it.
    fn is_buried(&self, message: &Message) -> Result<bool, StoreError> {
        let place = if message.chat.is_channel() {
            message.chat.0
        } else {
            0
        };
        Ok(self
            .context
            .store
            .get::<Tombstones>(&(self.session, place, message.id))?
            .is_some())
    }

    /// Keeps where a message stands, for deletions that name no chat, and how far a chat is stored.
    fn remember(&mut self, message: &Message) -> Result<(), StoreError> {
        if !message.chat.is_channel() {
            self.fresh_chats.insert(message.id, message.chat);
            self.batch
                .put::<MessageChats>(&(self.session, message.id), &message.chat);
        }
        let known = match self.high_water.get(&message.chat) {
            Some(id) => Some(*id),
            None => self
                .context
                .store
                .get::<HighWater>(&(self.session, message.chat.0))?,
        };
        if known.is_none_or(|known| message.id > known) {
            self.high_water.insert(message.chat, message.id);
        }
        Ok(())
    }

    /// One event for each chat the deleted messages stood in.
    fn take_deletion(
        &mut self,
        channel: Option<ChatId>,
        ids: Vec<MessageId>,
        name: &[u8],
    ) -> Result<(), StoreError> {
        let mut by_chat: Vec<(Option<ChatId>, Vec<MessageId>)> = Vec::new();
        for id in ids {
            let place = channel.map_or(0, |chat| chat.0);
            self.batch
                .put::<Tombstones>(&(self.session, place, id), &self.now);
            let chat = match channel {
                Some(chat) => Some(chat),
                None => self.chat_of(id)?,
            };
            match by_chat.iter_mut().find(|(known, _)| *known == chat) {
                Some((_, ids)) => ids.push(id),
                None => by_chat.push((chat, vec![id])),
            }
        }
        for (chat, ids) in by_chat {
            let mut name = name.to_vec();
            name.extend(chat.map_or(0, |chat| chat.0).to_be_bytes());
            self.event(EventBody::MessageDeleted { chat, ids }, Some(name));
        }
        Ok(())
    }

    fn chat_of(&self, id: MessageId) -> Result<Option<ChatId>, StoreError> {
        match self.fresh_chats.get(&id) {
            Some(chat) => Ok(Some(*chat)),
            None => self.context.store.get::<MessageChats>(&(self.session, id)),
        }
    }

    fn take_state(&mut self, state: &State, common: &mut StoredState) {
        match state.message_box {
            Some(MessageBox::Common { pts }) => common.pts = pts,
            Some(MessageBox::Secondary { qts }) => common.qts = qts,
            Some(MessageBox::Channel { channel_id, pts }) => {
                self.channels.insert(channel_id, pts);
            }
            None => {}
        }
        (common.date, common.seq) = (state.date, state.seq);
        self.common = Some(*common);
    }

    fn event(&mut self, body: EventBody, name: Option<Vec<u8>>) {
        let event = Event {
            id: EventId::generate(),
            at: self.now,
            session: Some(self.session),
            owner: self.owner.clone(),
            body,
        };
        self.batch.append(&event, name);
        self.events += 1;
    }

    async fn commit(mut self) -> Result<(), StoreError> {
        for (chat, id) in &self.high_water {
            self.batch.put::<HighWater>(&(self.session, chat.0), id);
        }
        for (channel, pts) in &self.channels {
            let state = StoredState {
                pts: *pts,
                ..StoredState::default()
            };
            self.batch.put::<UpdateStates>(&(self.session, *channel), &state);
        }
        if let Some(common) = &self.common {
            self.batch.put::<UpdateStates>(&(self.session, 0), common);
        }
        if self.batch.is_empty() {
            return Ok(());
        }
        fault_point!("pump.commit.before");
        self.context.store.commit(self.batch).await?;
        fault_point!("pump.commit.after");
        metrics::counter!("trunkline_updates_total").increment(self.events);
        Ok(())
    }
}
