//! What happens to messages afterwards: edits, deletions, pins, reads.

use std::collections::{BTreeMap, BTreeSet};

use super::account::What;
use super::content::{Body, Media, Uid};
use super::entities::Entity;
use super::place::{Peer, Place};
use super::posting::Draft;
use super::refusal::Refusal;
use super::state::{Passing, State};

/// How long own messages may be edited, in milliseconds.
const EDIT_WINDOW: i64 = 172_800_000;

/// What an edit changes; what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// The new text with its formatting.
    pub text: Option<(String, Vec<Entity>)>,
    /// The new media.
    pub media: Option<Media>,
    /// Without a preview of its links.
    pub no_webpage: bool,
    /// Its words stand on the other side of what is attached.
    pub invert_media: bool,
}

impl State {
    /// Edits a message that `editor` knows as `id` in `peer`.
    pub fn edit(&mut self, editor: i64, peer: Peer, id: i32, change: Change) -> Result<Uid, Refusal> {
        let content = self
            .find(editor, peer, id)
            .ok_or(Refusal::bad("MESSAGE_ID_INVALID"))?;
        let uid = content.uid;
        let Body::Said {
            text,
            entities,
            media,
        } = content.body.clone()
        else {
            return Err(Refusal::bad("MESSAGE_ID_INVALID"));
        };
        // Who runs a channel may edit its posts, and no time limits that; so it is for those who may pin in a supergroup.
        let (runs, broadcast) = match content.place {
            Place::Channel(channel) => {
                let channel = self.channel(channel)?;
                let runs = channel.role(editor).is_some_and(super::chat::Role::runs);
                (runs, channel.broadcast)
            }
            _ => (false, false),
        };
        if let Place::Group(group) = content.place {
            self.not_migrated(group, "PEER_ID_INVALID")?;
        }
        if content.author != editor && !(runs && broadcast) {
            return Err(Refusal::forbidden("MESSAGE_AUTHOR_REQUIRED"));
        }
        if content.forward.is_some() {
            return Err(Refusal::bad("MESSAGE_ID_INVALID"));
        }
        let saved = content.place == Place::Private(editor, editor);
        let lasting = media.as_ref().is_some_and(Media::is_edited_at_any_time);
        let unlimited = saved || runs || lasting;
        if !unlimited && self.now - content.stored_at > EDIT_WINDOW {
            return Err(Refusal::bad("MESSAGE_EDIT_TIME_EXPIRED"));
        }
        let before = content.body.clone();
        let (new_text, new_entities) = change.text.unwrap_or((text, entities));
        let draft = Draft {
            text: new_text,
            entities: new_entities,
            media: change.media.or(media.filter(Media::stands_alone)),
            no_webpage: change.no_webpage,
            ..Draft::default()
        };
        let (_, body) = self.settle(draft)?;
        let inverted = self.contents.get(&uid).map(|content| content.invert_media);
        if body == before && inverted == Some(change.invert_media) {
            return Err(Refusal::bad("MESSAGE_NOT_MODIFIED"));
        }
        let now = self.now;
        let Some(content) = self.contents.get_mut(&uid) else {
            return Err(Refusal::bad("MESSAGE_ID_INVALID"));
        };
        content.body = body;
        content.invert_media = change.invert_media;
        content.edited_at = Some(now);
        self.ask_for_page(uid);
        self.tell_edited(uid);
        self.edit_discussion(uid);
        Ok(uid)
    }

    /// Deletes messages of an account's private chats and groups; with `revoke` for all sides.
    /// Answers how many of the account's own copies went.
    pub fn delete(&mut self, account: i64, ids: &[i32], revoke: bool) -> Result<i32, Refusal> {
        let mut uids = BTreeMap::new();
        for id in ids {
            let Some(content) = self.held(account, *id) else {
                continue;
            };
            let others = revoke
                && match content.place {
                    Place::Group(group) => {
                        content.author == account
                            || self
                                .group(group)?
                                .role(account)
                                .is_some_and(super::chat::Role::runs)
                    }
                    _ => true,
                };
            uids.insert(content.uid, (!others).then_some(account));
        }
        let gone = self.drop_copies(uids);
        let count = gone.get(&account).map_or(0, Vec::len);
        for (holder, ids) in gone {
            let points = i32::try_from(ids.len()).unwrap_or(i32::MAX);
            self.tell(holder, points, What::Deleted { ids });
        }
        Ok(i32::try_from(count).unwrap_or(i32::MAX))
    }

    /// Takes messages away from the account that each names, or from all. Answers who lost which numbers.
    pub(super) fn drop_copies(
        &mut self,
        uids: impl IntoIterator<Item = (Uid, Option<i64>)>,
    ) -> BTreeMap<i64, Vec<i32>> {
        let now = self.now;
        let mut taken: BTreeMap<(i64, Peer), BTreeSet<i32>> = BTreeMap::new();
        for (uid, only) in uids {
            let Some(content) = self.contents.get_mut(&uid) else {
                continue;
            };
            let concerned = |holder: i64| only.is_none_or(|account| holder == account);
            let copies = content.copies.clone();
            if copies.iter().all(|(holder, _)| concerned(*holder)) {
                content.deleted_at = Some(now);
            } else {
                content.copies.retain(|(holder, _)| !concerned(*holder));
            }
            let place = content.place;
            for (holder, number) in copies.into_iter().filter(|(holder, _)| concerned(*holder)) {
                let account = self.accounts.get_mut(&holder);
                if account.is_some_and(|account| account.held.remove(&number).is_some()) {
                    let dialog = (holder, place.seen_by(holder));
                    taken.entry(dialog).or_default().insert(number);
                }
            }
        }
        let mut gone: BTreeMap<i64, Vec<i32>> = BTreeMap::new();
        for ((holder, peer), numbers) in taken {
            let account = self.accounts.get_mut(&holder);
            if let Some(dialog) = account.and_then(|account| account.dialogs.get_mut(&peer)) {
                dialog.ids.retain(|id| !numbers.contains(id));
                dialog.pinned.retain(|id| !numbers.contains(id));
                let unread = numbers.range(dialog.read_in.saturating_add(1)..).count();
                let unread = i32::try_from(unread).unwrap_or(i32::MAX);
                dialog.unread = (dialog.unread - unread).max(0);
            }
            gone.entry(holder).or_default().extend(numbers);
        }
        gone
    }

    /// Deletes a channel's messages. Answers how many went.
    pub fn delete_in_channel(&mut self, account: i64, id: i64, ids: &[i32]) -> Result<i32, Refusal> {
        let channel = self.channel(id)?;
        let runs = channel.role(account).is_some_and(super::chat::Role::runs);
        let mut numbers = BTreeSet::new();
        for number in ids {
            let Some(uid) = channel.held.get(number) else {
                continue;
            };
            let own = self
                .contents
                .get(uid)
                .is_some_and(|content| content.author == account);
            if !(runs || own && !channel.broadcast) {
                return Err(Refusal::forbidden("MESSAGE_DELETE_FORBIDDEN"));
            }
            numbers.insert(*number);
        }
        let numbers: Vec<i32> = numbers.into_iter().collect();
        self.drop_posts(id, &numbers)
    }

    /// Takes messages of a channel away, whoever wishes it. Answers how many went.
    pub(super) fn drop_posts(&mut self, id: i64, numbers: &[i32]) -> Result<i32, Refusal> {
        let now = self.now;
        let channel = self.channel_mut(id)?;
        let held = numbers
            .iter()
            .filter_map(|number| Some((*number, channel.held.remove(number)?)));
        let gone: BTreeMap<i32, Uid> = held.collect();
        channel.pinned.retain(|pinned| !gone.contains_key(pinned));
        for uid in gone.values() {
            if let Some(content) = self.contents.get_mut(uid) {
                content.deleted_at = Some(now);
            }
        }
        let ids: Vec<i32> = gone.into_keys().collect();
        let count = i32::try_from(ids.len()).unwrap_or(i32::MAX);
        if count > 0 {
            self.tell_channel(id, count, What::Deleted { ids });
        }
        Ok(count)
    }

    /// Reads a private chat or group up to a message (0 for all). Answers whether anything changed.
    pub fn read(&mut self, account: i64, peer: Peer, max_id: i32) -> Result<bool, Refusal> {
        let place = Place::of(account, peer);
        let Some(dialog) = self.account_mut(account)?.dialogs.get_mut(&peer) else {
            return Ok(false);
        };
        let top = dialog.ids.last().copied().unwrap_or(0);
        let mark = if max_id <= 0 { top } else { max_id.min(top) };
        if mark <= dialog.read_in && dialog.unread == 0 {
            return Ok(false);
        }
        let from = dialog.read_in;
        dialog.read_in = dialog.read_in.max(mark);
        let new_mark = dialog.read_in;
        let split = dialog.ids.partition_point(|id| *id <= new_mark);
        let begin = dialog.ids.partition_point(|id| *id <= from);
        let read: Vec<i32> = dialog.ids[begin.min(split)..split].to_vec();
        let left: Vec<i32> = dialog.ids[split..].to_vec();
        let incoming = |id: &&i32| {
            self.held(account, **id)
                .is_some_and(|content| content.author != account)
        };
        let unread = i32::try_from(left.iter().filter(incoming).count()).unwrap_or(i32::MAX);
        let mut marks: BTreeMap<i64, i32> = BTreeMap::new();
        for id in &read {
            let Some(content) = self
                .held(account, *id)
                .filter(|content| content.author != account)
            else {
                continue;
            };
            if let Some(number) = content.number_for(content.author) {
                let mark = marks.entry(content.author).or_insert(number);
                *mark = (*mark).max(number);
            }
        }
        if let Some(dialog) = self.account_mut(account)?.dialogs.get_mut(&peer) {
            dialog.unread = unread;
        }
        self.tell(
            account,
            1,
            What::ReadInbox {
                peer,
                max_id: new_mark,
                unread,
            },
        );
        for (author, number) in marks {
            let seen = place.seen_by(author);
            let Some(dialog) = self
                .accounts
                .get_mut(&author)
                .and_then(|a| a.dialogs.get_mut(&seen))
            else {
                continue;
            };
            if dialog.read_out < number {
                dialog.read_out = number;
                self.tell(
                    author,
                    1,
                    What::ReadOutbox {
                        peer: seen,
                        max_id: number,
                    },
                );
            }
        }
        Ok(true)
    }

    /// Reads a channel up to a message (0 for all). Answers whether anything changed.
    pub fn read_channel(&mut self, account: i64, id: i64, max_id: i32) -> Result<bool, Refusal> {
        let channel = self.channel_mut(id)?;
        let top = channel.next_id - 1;
        let mark = if max_id <= 0 { top } else { max_id.min(top) };
        let Some(member) = channel.members.get_mut(&account).filter(|m| m.role.present()) else {
            return Ok(false);
        };
        if member.read_in >= mark {
            return Ok(false);
        }
        let from = member.read_in;
        member.read_in = mark;
        let broadcast = channel.broadcast;
        let read: Vec<Uid> = channel.held.range(from + 1..=mark).map(|(_, uid)| *uid).collect();
        self.mention(
            account,
            Passing::ChannelRead {
                channel: id,
                max_id: mark,
            },
        );
        if !broadcast {
            let mut marks: BTreeMap<i64, i32> = BTreeMap::new();
            for content in read
                .iter()
                .filter_map(|uid| self.contents.get(uid))
                .filter(|c| c.author != account)
            {
                if let Some(number) = content.number_for(content.author) {
                    marks.insert(content.author, number);
                }
            }
            for (author, number) in marks {
                self.mention(
                    author,
                    Passing::ChannelReadByOthers {
                        channel: id,
                        max_id: number,
                    },
                );
            }
        }
        Ok(true)
    }

    /// Pins or unpins a message: for all sides, in a private chat if wished for one's own only.
    pub fn pin(
        &mut self,
        account: i64,
        peer: Peer,
        id: i32,
        pinned: bool,
        own_side: bool,
    ) -> Result<(), Refusal> {
        let content = self
            .find(account, peer, id)
            .ok_or(Refusal::bad("MESSAGE_ID_INVALID"))?;
        if self.pinned(account, content) == pinned {
            return Err(Refusal::bad("CHAT_NOT_MODIFIED"));
        }
        let (place, copies) = (content.place, content.copies.clone());
        self.may_pin(account, place)?;
        let own_side = own_side && matches!(place, Place::Private(..));
        for (holder, number) in copies {
            if own_side && holder != account {
                continue;
            }
            self.repin(place, holder, &[number], pinned);
        }
        Ok(())
    }

    /// Unpins all of a chat's messages, for all sides. Answers how many of the account's own copies that were.
    pub fn unpin_all(&mut self, account: i64, peer: Peer) -> Result<i32, Refusal> {
        let place = Place::of(account, peer);
        self.may_pin(account, place)?;
        let holders = match place {
            Place::Channel(_) => vec![0],
            _ => self.audience(place),
        };
        let mut count = 0;
        for holder in holders {
            let pinned = match place {
                Place::Channel(id) => self.channel(id)?.pinned.clone(),
                _ => self
                    .dialog(holder, place.seen_by(holder))
                    .map(|dialog| dialog.pinned.clone())
                    .unwrap_or_default(),
            };
            if holder == 0 || holder == account {
                count = i32::try_from(pinned.len()).unwrap_or(i32::MAX);
            }
            if !pinned.is_empty() {
                self.repin(place, holder, &pinned, false);
            }
        }
        Ok(count)
    }

    fn may_pin(&self, account: i64, place: Place) -> Result<(), Refusal> {
        let may = match place {
            Place::Private(..) => true,
            Place::Group(id) => self.group(id)?.has(account),
            Place::Channel(id) => self
                .channel(id)?
                .role(account)
                .is_some_and(super::chat::Role::runs),
        };
        may.then_some(()).ok_or(Refusal::bad("CHAT_ADMIN_REQUIRED"))
    }

    /// Changes what is pinned for one holder (in a channel for all), and tells of it.
    fn repin(&mut self, place: Place, holder: i64, numbers: &[i32], pinned: bool) {
        let list = match place {
            Place::Channel(channel) => self.channels.get_mut(&channel).map(|channel| &mut channel.pinned),
            _ => self
                .accounts
                .get_mut(&holder)
                .and_then(|account| account.dialogs.get_mut(&place.seen_by(holder)))
                .map(|dialog| &mut dialog.pinned),
        };
        if let Some(list) = list {
            list.retain(|known| !numbers.contains(known));
            if pinned {
                list.extend(numbers);
                list.sort_unstable();
            }
        }
        let what = What::Pinned {
            peer: place.seen_by(holder),
            ids: numbers.to_vec(),
            pinned,
        };
        let count = i32::try_from(numbers.len()).unwrap_or(i32::MAX);
        match place {
            Place::Channel(channel) => self.tell_channel(channel, count, what),
            _ => self.tell(holder, count, what),
        };
    }
}
