//! The pump's pen: one commit holds the events of a batch of updates and the update state behind them.
//!
//! The stored state moves past an update only together with its event. What is stored already is
//! recognised by its name and dropped; a message whose deletion is known does not come back.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::Context;
use super::convert::{Change, changes, identity, name_of_new};
use super::receiver::Arrival;
use crate::base::fault::fault_point;
use crate::base::{EventId, Owner, SessionId, Timestamp};
use crate::model::{ChatId, Event, EventBody, Message, MessageId};
use crate::store::{Batch, Scan, StoreError};
use crate::telegram::from_tl::Names;
use crate::telegram::link::Link;
use crate::telegram::peers;
use crate::telegram::tables::{
    HighWater, LeftOut, LeftOutMark, MessageChats, Peers, StoredState, Tombstones, UpdateStates, Whereabouts,
};
use crate::telegram::updates::{Key, State};

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
        let mut draft = Draft::new(&self.context, &self.link);
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
                Arrival::Complete => continue,
            };
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

    /// Stores messages that were read from a chat's history, oldest first. Those that are known already were
    /// perhaps edited since.
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
        let mut draft = Draft::new(&self.context, &self.link);
        if !ids.is_empty() {
            let channel = chat.is_channel().then_some(chat);
            draft.take(Change::Deleted { channel, ids })?;
        }
        draft.commit().await
    }

    /// Stores that what was left out is read.
    ///
    /// # Errors
    /// If the store did not keep it.
    pub async fn settle_left_out(&self, place: i64) -> Result<(), StoreError> {
        let mut batch = Batch::new();
        batch.remove::<LeftOut>(&(self.link.id, place));
        self.context.store.commit(batch).await.map(drop)
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
    left_out: HashSet<i64>,
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
            left_out: HashSet::new(),
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
                if message.edit_date.is_some() && self.context.store.knows(&name)? {
                    // It was told in an older form, and a difference that tells it as new does not tell its edit.
                    let edit = Change::Edited(message);
                    let name = identity(self.session, &edit);
                    if let Change::Edited(message) = edit {
                        self.event(EventBody::MessageEdited(message), Some(name));
                    }
                    return Ok(());
                }
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
            self.batch.put::<MessageChats>(
                &(self.session, message.id),
                &Whereabouts::since(message.chat, self.now),
            );
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

    /// Marks that messages above what is stored were left out. A mark that is there already lies deeper.
    fn mark_left_out(&mut self, channel: Option<ChatId>, common: &StoredState) -> Result<(), StoreError> {
        let place = channel.map_or(0, |chat| chat.0);
        let key = (self.session, place);
        if self.left_out.contains(&place) || self.context.store.contains::<LeftOut>(&key)? {
            return Ok(());
        }
        let concerned = |chat: ChatId| channel.map_or(!chat.is_channel(), |channel| channel == chat);
        let stored = match channel {
            Some(chat) => (self.context.store.get::<HighWater>(&(self.session, chat.0))?)
                .map(|id| ((self.session, chat.0), id))
                .into_iter()
                .collect(),
            None => self
                .context
                .store
                .scan::<HighWater>(Scan::prefix(&self.session), usize::MAX)?,
        };
        let stored = stored.into_iter().map(|((_, chat), id)| (ChatId(chat), id));
        let fresh = self.high_water.iter().map(|(chat, id)| (*chat, *id));
        let above = stored.chain(fresh).filter(|(chat, _)| concerned(*chat));
        let mark = LeftOutMark {
            above: above.map(|(_, id)| id).max().unwrap_or(0),
            since: Timestamp::from_secs(common.date.into()),
        };
        tracing::info!(session = %self.session, above = mark.above, "Telegram left messages out");
        self.batch.put::<LeftOut>(&key, &mark);
        self.left_out.insert(place);
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
            None => {
                let place = self.context.store.get::<MessageChats>(&(self.session, id))?;
                Ok(place.map(Whereabouts::chat))
            }
        }
    }

    fn take_state(&mut self, state: &State, common: &mut StoredState) {
        if let Some(position) = state.position {
            match position.key {
                Key::Account => common.pts = position.pts,
                Key::Secondary => common.qts = position.pts,
                Key::Channel(channel) => {
                    self.channels.insert(channel, position.pts);
                }
            }
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
        self.batch.append(event, name);
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
