//! A commit in the making: what a batch of updates changes, and the events that it becomes.
//!
//! It decides what is told as new, as an edit or not at all, by what was told before; what it tells and the state behind
//! it are one commit. It does not try again: that is the pen's business.

mod waiting;

use std::collections::{HashMap, HashSet};

use super::Context;
use super::convert::{Change, departure, form, identity, is_news, is_news_since, name_of_new, protection};
use super::known::Known;
use crate::base::fault::fault_point;
use crate::base::{EventId, Owner, SessionId, Timestamp};
use crate::model::{ChatId, Event, EventBody, Message, MessageId};
use crate::store::{Batch, Scan, StoreError};
use crate::telegram::awaited::{Awaited, Place};
use crate::telegram::link::Link;
use crate::telegram::peers::Departure;
use crate::telegram::tables::{
    HeldMessages, HighWater, LeftOut, LeftOutMark, MessageChats, Peer, StoredState, ToldEdit, ToldEdits,
    Tombstones, UpdateStates, Whereabouts,
};
use crate::telegram::updates::{Key, State};

/// A commit of so many changes is made before more is taken.
const LARGE: usize = 800;

/// The place of the highest message of private chats and basic groups that the account's own updates told.
const OWN: ChatId = ChatId(0);

/// A commit in the making.
pub(super) struct Draft<'a> {
    /// Whether it is what the account's own updates tell, and not what was read beside them.
    by_updates: bool,
    awaited: &'a mut Awaited,
    context: &'a Context,
    session: SessionId,
    owner: Owner,
    batch: Batch,
    now: Timestamp,
    events: u64,
    high_water: HashMap<ChatId, MessageId>,
    channels: HashMap<i64, i32>,
    fresh_chats: HashMap<MessageId, ChatId>,
    /// Marks of what is missing, as far as they were asked for, with what this commit changes of them.
    marks: HashMap<i64, Option<LeftOutMark>>,
    /// Edits that this commit tells, and what it tells as new.
    told_edits: HashMap<(SessionId, i64, MessageId), ToldEdit>,
    fresh: HashMap<(ChatId, MessageId), ToldEdit>,
    /// Messages whose deletion this commit holds, with the place of their numbers.
    buried: HashSet<(i64, MessageId)>,
    /// Chats and users, as far as this commit changes what is known of them.
    known: Known<'a>,
    common: Option<StoredState>,
    /// What waited and is told by this commit.
    released: HashSet<Place>,
}

impl<'a> Draft<'a> {
    pub fn new(context: &'a Context, link: &Link, awaited: &'a mut Awaited) -> Self {
        Self {
            by_updates: false,
            awaited,
            context,
            session: link.id,
            owner: link.account().owner,
            batch: Batch::new(),
            now: Timestamp::now(),
            events: 0,
            high_water: HashMap::new(),
            channels: HashMap::new(),
            fresh_chats: HashMap::new(),
            marks: HashMap::new(),
            told_edits: HashMap::new(),
            fresh: HashMap::new(),
            buried: HashSet::new(),
            known: Known::new(&context.store, link.id),
            common: None,
            released: HashSet::new(),
        }
    }

    /// A draft of what the account's own updates tell.
    pub fn of_updates(context: &'a Context, link: &Link, awaited: &'a mut Awaited) -> Self {
        Self {
            by_updates: true,
            ..Self::new(context, link, awaited)
        }
    }

    pub fn take_peers(&mut self, found: Vec<(ChatId, Peer)>) -> Result<(), StoreError> {
        found
            .into_iter()
            .try_for_each(|(chat, peer)| self.known.take(chat, peer))
    }

    pub fn take(&mut self, change: Change) -> Result<(), StoreError> {
        match change {
            Change::New(message) if self.waits(&message)? => {
                self.heed(&message)?;
                self.raise_own(&message)
            }
            Change::New(message) => self.take_latest(message),
            // It is still to be read of the chat's history, and told in its turn.
            Change::Edited(message) if self.has_to_wait(&message)? => {
                if self.awaited.is_held((message.chat, message.id)) {
                    let key = (self.session, message.chat.0, message.id);
                    self.batch.put::<HeldMessages>(&key, &message);
                }
                self.awaited.keep(message);
                Ok(())
            }
            Change::Edited(message) => self.take_edit(message, None),
            Change::Deleted { channel, ids } => {
                let name = identity(
                    self.session,
                    &Change::Deleted {
                        channel,
                        ids: ids.clone(),
                    },
                );
                self.take_deletion(channel, ids, &name)
            }
        }
    }

    /// Whether it is time to commit.
    pub fn is_large(&self) -> bool {
        self.batch.len() >= LARGE
    }

    fn take_latest(&mut self, message: Message) -> Result<(), StoreError> {
        let message = self.awaited.latest(message);
        self.take_new(message)
    }

    /// Takes what a message says of its chat itself.
    fn heed(&mut self, message: &Message) -> Result<(), StoreError> {
        let later = || -> Result<bool, StoreError> {
            let known = self.high_water_of(message.chat)?;
            Ok(known.is_none_or(|known| message.id > known))
        };
        match protection(message) {
            // What history tells may be older than what is known.
            Some(on) if later()? => self.known.protect(message.chat, on),
            _ => Ok(()),
        }
    }

    /// Takes a message that Telegram tells as new. What stands at or below the mark from which a gap is read was told
    /// before; so was, where no gap is open, what is no higher than the highest that was stored before, if it is so old
    /// that the journal need not remember it any more.
    fn take_new(&mut self, mut message: Message) -> Result<(), StoreError> {
        self.heed(&message)?;
        if self.is_buried(&message)? {
            return Ok(());
        }
        let mark = self.mark(&message)?;
        let below = match mark {
            // What waited was told by nobody, wherever the mark that it waited for has gone.
            _ if self.awaited.is_held((message.chat, message.id)) => None,
            Some(mark) => Some(mark.above),
            None if self.is_forgotten(&message) => {
                let key = (self.session, message.chat.0);
                self.context.store.get::<HighWater>(&key)?
            }
            None => None,
        };
        self.remember(&message)?;
        let name = name_of_new(self.session, message.chat, message.id);
        let told_before = below.is_some_and(|below| message.id <= below)
            || (message.edit_date.is_some() && self.context.store.knows(&name)?);
        if told_before {
            // Perhaps in an older form: a difference that tells a message as new does not tell its edit.
            let since = mark
                .filter(|mark| message.id <= mark.above)
                .map(|mark| mark.since);
            return self.take_edit(message, since);
        }
        if let Some(departure) = departure(&message) {
            self.depart(departure)?;
        }
        self.complete(&mut message)?;
        if message.edit_date.is_some() {
            self.note_told(&message);
        }
        self.fresh
            .insert((message.chat, message.id), self.as_told(&message));
        let body = match message.out {
            true => EventBody::MessageSent(message),
            false => EventBody::MessageNew(message),
        };
        self.event(body, Some(name));
        Ok(())
    }

    /// Takes a message in what may be a new form; one that is read again, with the time since when something is missing.
    fn take_edit(&mut self, mut message: Message, since: Option<Timestamp>) -> Result<(), StoreError> {
        let told = self.told(&message)?.map(|told| (told.edited, told.form));
        let news = match since {
            Some(since) => is_news_since(&message, told, since),
            None => is_news(&message, told),
        };
        if !news {
            return Ok(());
        }
        self.note_told(&message);
        self.complete(&mut message)?;
        self.event(EventBody::MessageEdited(message), None);
        Ok(())
    }

    /// The form in which a message was told last, as far as that is known.
    fn told(&self, message: &Message) -> Result<Option<ToldEdit>, StoreError> {
        let key = (self.session, message.chat.0, message.id);
        if let Some(told) = self.told_edits.get(&key) {
            return Ok(Some(*told));
        }
        let store = &self.context.store;
        if let Some(told) = store.get::<ToldEdits>(&key)? {
            return Ok(Some(told));
        }
        if let Some(first) = self.fresh.get(&(message.chat, message.id)) {
            return Ok(Some(*first));
        }
        let name = name_of_new(self.session, message.chat, message.id);
        let first = store.known_event(&name)?;
        Ok(first.and_then(|event| match &event.body {
            EventBody::MessageNew(first) | EventBody::MessageSent(first) => Some(self.as_told(first)),
            _ => None,
        }))
    }

    fn as_told(&self, message: &Message) -> ToldEdit {
        ToldEdit {
            edited: message.edit_date.unwrap_or_default(),
            form: form(message),
            at: self.now,
        }
    }

    fn note_told(&mut self, message: &Message) {
        let (key, told) = ((self.session, message.chat.0, message.id), self.as_told(message));
        self.batch.put::<ToldEdits>(&key, &told);
        self.told_edits.insert(key, told);
    }

    /// The mark above which messages of this one's chat are still to be read.
    fn mark(&mut self, message: &Message) -> Result<Option<LeftOutMark>, StoreError> {
        // A chat may have a mark of its own; private chats and basic groups have one together besides.
        let shared = (!message.chat.is_channel()).then_some(0);
        for place in [message.chat.0].into_iter().chain(shared) {
            let mark = self.mark_at(place)?;
            if mark.is_some() {
                return Ok(mark);
            }
        }
        Ok(None)
    }

    fn mark_at(&mut self, place: i64) -> Result<Option<LeftOutMark>, StoreError> {
        if let Some(mark) = self.marks.get(&place) {
            return Ok(*mark);
        }
        let mark = self.context.store.get::<LeftOut>(&(self.session, place))?;
        self.marks.insert(place, mark);
        Ok(mark)
    }

    /// Whether the journal may have forgotten that the message was told. What is younger it recognises by name.
    fn is_forgotten(&self, message: &Message) -> bool {
        self.now.since(message.date) >= self.context.store.config().retention()
    }

    fn high_water_of(&self, chat: ChatId) -> Result<Option<MessageId>, StoreError> {
        match self.high_water.get(&chat) {
            Some(id) => Ok(Some(*id)),
            None => self.context.store.get::<HighWater>(&(self.session, chat.0)),
        }
    }

    /// Gives a message the name of its sender where Telegram named it by number only.
    fn complete(&self, message: &mut Message) -> Result<(), StoreError> {
        let Some(sender) = message
            .sender
            .as_mut()
            .filter(|sender| sender.first_name.is_none())
        else {
            return Ok(());
        };
        if let Some(known) = self.known.get(ChatId(sender.id))? {
            sender.first_name = known.first_name.or(known.title);
            (sender.last_name, sender.username) = (known.last_name, known.username);
            sender.bot = known.bot;
        }
        Ok(())
    }

    /// Keeps by which message somebody can be named of whom Telegram shows only a part.
    pub fn meet(&mut self, change: &Change, parts: &[(ChatId, Peer)]) -> Result<(), StoreError> {
        self.known.meet(change, parts)
    }

    /// Tells what was said in a chat and waited, before a record says that the account is in it no more: its history cannot
    /// be read then. Whether there is more of it than one commit tells.
    pub fn before(&mut self, departure: Departure) -> Result<bool, StoreError> {
        match departure {
            Departure::Left(chat) | Departure::Forbidden(chat) => {
                self.release(|held| held.chat == chat, true)
            }
            Departure::Migrated(..) => Ok(false),
        }
    }

    /// Tells that a chat moved or that the account is in it no more, once.
    pub fn depart(&mut self, departure: Departure) -> Result<(), StoreError> {
        let (chat, reason) = match departure {
            Departure::Migrated(from, to) => {
                if !self.known.migrate(from)? {
                    return Ok(());
                }
                let mut name = self.session.to_bytes().to_vec();
                name.push(b'm');
                name.extend(from.0.to_be_bytes());
                self.event(EventBody::ChatMigrated { from, to }, Some(name));
                return Ok(());
            }
            Departure::Left(chat) => (chat, "LEFT"),
            Departure::Forbidden(chat) => (chat, "FORBIDDEN"),
        };
        if !self.known.leave(chat)? {
            return Ok(());
        }
        if chat.is_channel() {
            // It is not asked any more, also after a restart.
            self.channels.remove(&chat.bare());
            self.batch.remove::<UpdateStates>(&(self.session, chat.bare()));
        }
        let reason = reason.to_owned();
        self.event(EventBody::ChatLost { chat, reason }, None);
        Ok(())
    }

    /// Whether the message's deletion arrived before it.
    fn is_buried(&self, message: &Message) -> Result<bool, StoreError> {
        let place = if message.chat.is_channel() {
            message.chat.0
        } else {
            0
        };
        let key = (self.session, place, message.id);
        Ok(self.buried.contains(&(place, message.id)) || self.context.store.contains::<Tombstones>(&key)?)
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
        self.raise(message.chat, message.id)?;
        if self.by_updates {
            self.raise_own(message)?;
        }
        Ok(())
    }

    /// Notes how far the account's own updates are told.
    fn raise_own(&mut self, message: &Message) -> Result<(), StoreError> {
        match message.chat.is_channel() {
            true => Ok(()),
            false => self.raise(OWN, message.id),
        }
    }

    fn raise(&mut self, chat: ChatId, id: MessageId) -> Result<(), StoreError> {
        if self.high_water_of(chat)?.is_none_or(|known| id > known) {
            self.high_water.insert(chat, id);
        }
        Ok(())
    }

    /// Marks that messages above what is stored were left out. A mark that is there already lies deeper.
    pub fn mark_left_out(&mut self, channel: Option<ChatId>, common: &StoredState) -> Result<(), StoreError> {
        let place = channel.map_or(0, |chat| chat.0);
        let key = (self.session, place);
        if let Some(mark) = self.mark_at(place)? {
            // Who is reading by it may have passed that already.
            let again = mark.again.wrapping_add(1);
            let mark = LeftOutMark { again, ..mark };
            self.batch.put::<LeftOut>(&key, &mark);
            self.marks.insert(place, Some(mark));
            return Ok(());
        }
        let above = match channel {
            Some(chat) => self.high_water_of(chat)?.unwrap_or(0),
            // Histories may have been read further than the account's own sequence was told.
            None => match self.high_water_of(OWN)? {
                Some(above) => above,
                None => self.highest()?,
            },
        };
        let mark = LeftOutMark {
            above,
            since: Timestamp::from_secs(common.date.into()),
            unreadable: false,
            again: 0,
        };
        tracing::info!(session = %self.session, above = mark.above, "Telegram left messages out");
        self.batch.put::<LeftOut>(&key, &mark);
        self.marks.insert(place, Some(mark));
        Ok(())
    }

    /// The highest message of private chats and basic groups that is stored.
    fn highest(&self) -> Result<MessageId, StoreError> {
        let stored = self
            .context
            .store
            .scan::<HighWater>(Scan::prefix(&self.session), usize::MAX)?;
        let stored = stored.into_iter().map(|((_, chat), id)| (ChatId(chat), id));
        let fresh = self.high_water.iter().map(|(chat, id)| (*chat, *id));
        let all = stored.chain(fresh).filter(|(chat, _)| !chat.is_channel());
        Ok(all.map(|(_, id)| id).max().unwrap_or(0))
    }

    /// Keeps a mark for a chat that cannot be read, and tells it once. One that the chat has already lies deeper, and is
    /// read in its turn.
    pub fn keep_unreadable(&mut self, place: i64, chat: ChatId, mark: LeftOutMark) -> Result<(), StoreError> {
        let key = (self.session, chat.0);
        let other = place != chat.0 && self.context.store.contains::<LeftOut>(&key)?;
        if mark.unreadable || other {
            return Ok(());
        }
        let mark = LeftOutMark {
            unreadable: true,
            ..mark
        };
        self.batch.put::<LeftOut>(&key, &mark);
        self.marks.insert(chat.0, Some(mark));
        let reason = "HISTORY_UNREADABLE".to_owned();
        self.event(EventBody::SessionGap { chat, reason }, None);
        while self.release(|held| held.chat == chat, false)? {}
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
            let key = (self.session, place, id);
            // It may have been told in other company.
            if !self.buried.insert((place, id)) || self.context.store.contains::<Tombstones>(&key)? {
                continue;
            }
            self.batch.put::<Tombstones>(&key, &self.now);
            let chat = match channel {
                Some(chat) => Some(chat),
                None => self.chat_of(id)?,
            };
            if let Some(chat) = chat.filter(|chat| self.awaited.is_held((*chat, id))) {
                self.released.insert((chat, id));
            }
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
        match self.fresh_chats.get(&id).copied().or(self.awaited.chat_of(id)) {
            Some(chat) => Ok(Some(chat)),
            None => {
                let place = self.context.store.get::<MessageChats>(&(self.session, id))?;
                Ok(place.map(Whereabouts::chat))
            }
        }
    }

    pub fn take_state(&mut self, state: &State, common: &mut StoredState) {
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

    pub fn event(&mut self, body: EventBody, name: Option<Vec<u8>>) {
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

    /// Stores it; gives back what it took of those who wait.
    ///
    /// # Errors
    /// If the store did not keep it.
    pub async fn commit(mut self) -> Result<&'a mut Awaited, StoreError> {
        let users: HashSet<ChatId> = self.fresh.keys().map(|(chat, _)| *chat).collect();
        for user in users.into_iter().filter(|chat| chat.is_user()) {
            self.known.converse(user)?;
        }
        self.known.put(&mut self.batch);
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
        let told: Vec<Place> = self.released.into_iter().chain(self.fresh.into_keys()).collect();
        for (chat, id) in told.iter().filter(|place| self.awaited.is_held(**place)) {
            self.batch.remove::<HeldMessages>(&(self.session, chat.0, *id));
        }
        if !self.batch.is_empty() {
            fault_point!("pump.commit.before");
            self.context.store.commit(self.batch).await?;
            fault_point!("pump.commit.after");
        }
        told.into_iter().for_each(|place| self.awaited.told(place));
        metrics::counter!("trunkline_updates_total").increment(self.events);
        Ok(self.awaited)
    }
}
