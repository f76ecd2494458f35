//! Posting: who may write where, what becomes of the words, and a copy for everybody concerned.

use std::collections::BTreeSet;

use super::account::What;
use super::chat::Role;
use super::content::{Action, Body, Content, Forward, Media, Reply, Uid};
use super::entities::{self, Entity};
use super::place::{Peer, Place};
use super::refusal::Refusal;
use super::spans;
use super::state::{News, Passing, State};
use super::voices::Voice;

/// The longest text, in UTF-16 units.
const TEXT_MAX: i32 = 4096;

/// The longest caption, in UTF-16 units.
const CAPTION_MAX: i32 = 1024;

/// A message that is about to be posted.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// Text or caption.
    pub text: String,
    /// Its formatting.
    pub entities: Vec<Entity>,
    /// What is attached.
    pub media: Option<Media>,
    /// What happened, for a service message: then there is no text.
    pub action: Option<Action>,
    /// What it answers.
    pub reply: Option<Reply>,
    /// The story that it answers.
    pub story: Option<(Peer, i32)>,
    /// The second at which its video begins to play.
    pub video_timestamp: Option<i32>,
    /// Where it comes from.
    pub forward: Option<Forward>,
    /// In a forum: the topic where it is to stand; if not given, that of what it answers.
    pub topic: Option<i32>,
    /// The album it is a part of.
    pub album: Option<i64>,
    /// Without a sound.
    pub silent: bool,
    /// May not be forwarded.
    pub noforwards: bool,
    /// What its sender names it; 0 for none.
    pub random_id: i64,
    /// Without a preview of its links.
    pub no_webpage: bool,
    /// The effect that it comes with.
    pub effect: Option<i64>,
    /// Its words stand below what is attached, or above.
    pub invert_media: bool,
    /// The words in the input field of a keyboard that asks for an answer.
    pub keyboard: Option<String>,
    /// How many seconds after its posting it goes by itself.
    pub ttl_period: Option<i32>,
    /// How many seconds after it was seen what it carries goes.
    pub ttl_seconds: Option<i32>,
    /// In whose name it stands; if not given, as is the way of the place.
    pub sender: Option<Peer>,
}

impl Draft {
    /// Words only.
    pub fn text(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            ..Self::default()
        }
    }

    /// Whether something is attached that stands by itself.
    fn carries_media(&self) -> bool {
        self.media.as_ref().is_some_and(Media::stands_alone)
    }

    /// A service message.
    pub fn service(action: Action) -> Self {
        Self {
            action: Some(action),
            ..Self::default()
        }
    }
}

impl State {
    /// The message that this account posted to this peer under this random id before, if any, and not so long ago
    /// that the id is forgotten.
    pub fn repeated(&self, author: i64, peer: Peer, random_id: i64) -> Option<Uid> {
        let uid = *self.sent.get(&(author, peer, random_id))?;
        let age = self.now - self.contents.get(&uid)?.stored_at;
        (age <= self.settings.remember_random_ids).then_some(uid)
    }

    /// Checks that an account may write to a peer.
    pub fn may_write(&self, author: i64, peer: Peer, media: bool) -> Result<(), Refusal> {
        match peer {
            Peer::User(other) => {
                let (me, them) = (self.account(author)?, self.account(other)?);
                if them.deactivated {
                    return Err(Refusal::bad("INPUT_USER_DEACTIVATED"));
                }
                match self.blocked(author, other) {
                    // Nobody else is told that it is so.
                    Some(_) if !me.bot && self.switches.blocked_in_silence.decides() => Ok(()),
                    Some(refusal) => Err(refusal),
                    None => Ok(()),
                }
            }
            Peer::Group(id) if self.group(id)?.migrated_to.is_some() => Err(Refusal::bad("PEER_ID_INVALID")),
            Peer::Group(id) => match self.group(id)?.role(author) {
                Some(Role::Muted) if media => Err(Refusal::forbidden("CHAT_SEND_MEDIA_FORBIDDEN")),
                Some(Role::Muted) => Err(Refusal::forbidden("CHAT_WRITE_FORBIDDEN")),
                Some(role) if role.present() => Ok(()),
                _ => Err(Refusal::bad("PEER_ID_INVALID")),
            },
            Peer::Channel(id) => {
                let channel = self.channel(id)?;
                match channel.role(author) {
                    Some(Role::Creator | Role::Admin) => Ok(()),
                    Some(Role::Banned) => Err(self.closed(author, id)),
                    Some(Role::Muted) if !channel.broadcast => {
                        Err(match self.switches.muted_may_not_write.decides() {
                            true => Refusal::forbidden("CHAT_WRITE_FORBIDDEN"),
                            false => Refusal::bad("USER_BANNED_IN_CHANNEL"),
                        })
                    }
                    Some(role) if role.present() && !channel.broadcast => self.slow_mode(author, id),
                    Some(role) if role.present() => Err(Refusal::forbidden("CHAT_WRITE_FORBIDDEN")),
                    _ if channel.username.is_none() => Err(Refusal::bad("CHANNEL_PRIVATE")),
                    _ if channel.broadcast => Err(Refusal::forbidden("CHAT_WRITE_FORBIDDEN")),
                    _ => Err(Refusal::forbidden("CHAT_GUEST_SEND_FORBIDDEN")),
                }
            }
        }
    }

    /// How a message between two people is refused of whom one does not want to hear the other.
    pub fn blocked(&self, author: i64, other: i64) -> Option<Refusal> {
        let blocks = |one: i64, other: i64| {
            let account = self.accounts.get(&one);
            account.is_some_and(|account| account.blocked.contains(&other))
        };
        match (blocks(author, other), blocks(other, author)) {
            (true, _) => Some(Refusal::bad("YOU_BLOCKED_USER")),
            (false, true) => Some(Refusal::bad("USER_IS_BLOCKED")),
            (false, false) => None,
        }
    }

    /// Who gets a copy of what an account says there: not who does not want to hear it.
    fn hearers(&self, author: i64, place: Place) -> Vec<i64> {
        let mut all = self.audience(place);
        if matches!(place, Place::Private(..)) {
            all.retain(|holder| *holder == author || self.blocked(author, *holder).is_none());
        }
        all
    }

    /// Checks what single rights and Telegram's own limits say of messages that an account posts.
    fn may_send_all(&self, author: i64, peer: Peer, drafts: &[Draft]) -> Result<(), Refusal> {
        let mut said = drafts.iter().filter(|draft| draft.action.is_none()).peekable();
        if said.peek().is_some() {
            self.limited(author, peer)?;
        }
        said.try_for_each(|draft| self.may_send(author, peer, self.right_for(draft.media.as_ref())))
    }

    /// Whether an account may say one thing at a time there.
    pub fn is_slowed(&self, author: i64, peer: Peer) -> bool {
        let Peer::Channel(id) = peer else { return false };
        let channel = self.channels.get(&id);
        channel.is_some_and(|channel| channel.slow_mode > 0 && !channel.role(author).is_some_and(Role::runs))
    }

    fn slow_mode(&self, author: i64, id: i64) -> Result<(), Refusal> {
        let channel = self.channel(id)?;
        let last = channel.members.get(&author).map_or(0, |member| member.posted_at);
        let free_at = last + i64::from(channel.slow_mode) * 1000;
        if channel.slow_mode == 0 || free_at <= self.now {
            return Ok(());
        }
        Err(Refusal::wait("SLOWMODE_WAIT", (free_at - self.now + 999) / 1000))
    }

    /// Checks and settles what a message says.
    pub fn settle(&self, draft: Draft) -> Result<(Draft, Body), Refusal> {
        let mut draft = draft;
        if let Some(action) = draft.action.take() {
            return Ok((draft, Body::Service(action)));
        }
        let text = std::mem::take(&mut draft.text);
        let given = std::mem::take(&mut draft.entities);
        let media = draft.media.take();
        let alone = media.as_ref().filter(|media| media.stands_alone());
        let length = entities::units(text.trim());
        match alone {
            None if length == 0 => return Err(Refusal::bad("MESSAGE_EMPTY")),
            None if length > TEXT_MAX => return Err(Refusal::bad("MESSAGE_TOO_LONG")),
            Some(_) if length > CAPTION_MAX => return Err(Refusal::bad("MEDIA_CAPTION_TOO_LONG")),
            _ => {}
        }
        let (text, entities) = entities::settle(&text, given, || self.switches.all_found.decides())
            .map_err(|_| Refusal::bad("ENTITY_BOUNDS_INVALID"))?;
        let entities = entities
            .into_iter()
            .filter(|entity| entity.user.is_none_or(|user| self.accounts.contains_key(&user)))
            .collect::<Vec<_>>();
        let nested = spans::nest(entities.clone());
        let entities = match nested != entities && self.switches.spans_settled.decides() {
            true => nested,
            false => entities,
        };
        let media = match media {
            None if !draft.no_webpage => self.preview(&text, &entities),
            media => media,
        };
        Ok((
            draft,
            Body::Said {
                text,
                entities,
                media,
            },
        ))
    }

    /// The spans that an account may give a text there: custom emoji are for subscribers, but in the chat with oneself.
    pub fn allowed(&self, author: i64, peer: Peer, spans: Vec<Entity>) -> Vec<Entity> {
        let account = self.accounts.get(&author);
        let free =
            account.is_some_and(|account| account.marks.premium || account.bot) || peer == Peer::User(author);
        let emoji = |span: &Entity| span.kind == entities::Kind::CustomEmoji;
        let may = |span: &Entity| !emoji(span) || free || !self.switches.emoji_of_subscribers.decides();
        spans.into_iter().filter(may).collect()
    }

    /// Posts a message: a copy for each member, an event for each copy.
    pub fn post(&mut self, author: i64, peer: Peer, draft: Draft) -> Result<Uid, Refusal> {
        let mut uids = self.post_all(author, peer, vec![draft])?;
        uids.pop().ok_or(Refusal::bad("MESSAGE_EMPTY"))
    }

    /// Takes messages and removes them at once: numbers are used up and there is nothing to be told. Answers the numbers.
    pub fn swallow(&mut self, author: i64, peer: Peer, drafts: Vec<Draft>) -> Result<Vec<i32>, Refusal> {
        self.may_write(author, peer, drafts.iter().any(Draft::carries_media))?;
        self.may_send_all(author, peer, &drafts)?;
        let mut numbers = Vec::new();
        for draft in drafts {
            self.settle(draft)?;
            let next = match peer {
                Peer::Channel(id) => &mut self.channel_mut(id)?.next_id,
                _ => &mut self.account_mut(author)?.next_id,
            };
            numbers.push(*next);
            *next += 1;
        }
        if let (Peer::Channel(channel), Some(max_id)) = (peer, numbers.last().copied()) {
            let what = Passing::ChannelRead { channel, max_id };
            self.news.push(News::Passing {
                account: author,
                what,
            });
        }
        Ok(numbers)
    }

    /// Posts several messages as one act: either all of them are allowed or none is posted.
    pub fn post_all(&mut self, author: i64, peer: Peer, drafts: Vec<Draft>) -> Result<Vec<Uid>, Refusal> {
        let media = drafts.iter().any(Draft::carries_media);
        if drafts.iter().any(|draft| draft.action.is_none()) {
            self.may_write(author, peer, media)?;
        }
        self.may_send_all(author, peer, &drafts)?;
        let settled: Vec<_> = drafts
            .into_iter()
            .map(|mut draft| {
                self.settle_topic(author, peer, &mut draft)?;
                let timed = draft.ttl_seconds.is_some() || draft.ttl_period.is_some();
                if timed && !self.switches.messages_vanish.decides() {
                    (draft.ttl_seconds, draft.ttl_period) = (None, None);
                }
                if draft.ttl_seconds.is_some() {
                    self.check_ttl(author, peer, draft.media.as_ref())?;
                }
                if draft.ttl_period.is_some_and(|period| period <= 0) {
                    return Err(Refusal::bad("TTL_PERIOD_INVALID"));
                }
                self.settle(draft)
            })
            .collect::<Result<_, _>>()?;
        let said = settled.iter().any(|(_, body)| matches!(body, Body::Said { .. }));
        if said && !matches!(peer, Peer::Channel(_)) && self.reads_by_posting(author, peer)? {
            self.read(author, peer, 0)?;
        }
        let before = self.news.len();
        let uids: Vec<Uid> = settled
            .into_iter()
            .map(|(draft, body)| self.place(author, peer, draft, body))
            .collect::<Result<_, _>>()?;
        if said
            && let Peer::Channel(id) = peer
            && self.switches.read_by_posting.decides()
        {
            self.read_by_posting(author, id, before);
        }
        self.discuss(peer, &uids)?;
        Ok(uids)
    }

    /// Whether who posts in a private chat or basic group reads something by that.
    pub fn reads_by_posting(&self, author: i64, peer: Peer) -> Result<bool, Refusal> {
        Ok(self.account(author)?.has_unread(peer) && self.switches.read_by_posting.decides())
    }

    /// Tells who posted in a channel that it has read what was there, before it hears of the post itself.
    fn read_by_posting(&mut self, author: i64, channel: i64, before: usize) {
        let member = (self.channels.get(&channel)).and_then(|known| known.members.get(&author));
        let Some(max_id) = member.map(|member| member.read_in) else {
            return;
        };
        let what = Passing::ChannelRead { channel, max_id };
        let news = News::Passing {
            account: author,
            what,
        };
        self.news.insert(before, news);
    }

    /// Puts one settled message where it belongs.
    pub(super) fn place(
        &mut self,
        author: i64,
        peer: Peer,
        draft: Draft,
        body: Body,
    ) -> Result<Uid, Refusal> {
        let place = Place::of(author, peer);
        let dc = self.home(author);
        let voice = match draft.sender {
            Some(sender) => Voice::of(sender),
            None => self.voice(author, place),
        };
        // Who speaks for a channel elsewhere has posted nothing there itself.
        let by_itself = voice.sender.is_none_or(|sender| sender == peer);
        let uid = self.next.uid;
        self.next.uid += 1;
        if let Body::Said {
            media: Some(Media::File { file, .. }),
            ..
        } = &body
            && let Some(stored) = self.files.stored.get_mut(file)
        {
            stored.home.get_or_insert(place);
            stored.dc.get_or_insert(dc);
        }
        let counted = draft.forward.clone().filter(|_| draft.sender.is_none());
        let thread = self.thread_of(place, draft.reply.as_ref());
        let mut content = Content {
            uid,
            place,
            author,
            stored_at: self.now,
            body,
            reply: draft.reply,
            forward: draft.forward,
            edited_at: None,
            album: draft.album,
            silent: draft.silent,
            noforwards: draft.noforwards,
            random_id: draft.random_id,
            sender: voice.sender,
            signature: voice.signature,
            discussion: None,
            topic: draft.topic,
            thread,
            story: draft.story,
            video_timestamp: draft.video_timestamp,
            views: 0,
            viewed_by: BTreeSet::new(),
            forwards: 0,
            keyboard: draft.keyboard,
            effect: draft.effect,
            invert_media: draft.invert_media,
            touched_at: None,
            copies: Vec::new(),
            opened: false,
            ttl_period: draft.ttl_period,
            ttl_seconds: draft.ttl_seconds,
            burns_at: None,
            deleted_at: None,
            reactions: Vec::new(),
            reacted_at: None,
        };
        let mut events = Vec::new();
        if let Place::Channel(id) = place {
            let now = self.now;
            let hole = self.hole(uid, 0);
            let channel = self.channel_mut(id)?;
            channel.next_id += hole;
            let number = channel.next_id;
            channel.next_id += 1;
            channel.held.insert(number, uid);
            if let Some(member) = channel.members.get_mut(&author).filter(|_| by_itself) {
                member.posted_at = now;
                member.read_in = number;
            }
            content.copies.push((0, number));
            events.push((
                0,
                What::New {
                    id: number,
                    random_id: draft.random_id,
                },
            ));
        } else {
            for holder in self.hearers(author, place) {
                let hole = self.hole(uid, holder);
                let account = self.account_mut(holder)?;
                account.next_id += hole;
                let number = account.receive(uid, place.seen_by(holder), holder == author);
                content.copies.push((holder, number));
                let random_id = if holder == author { draft.random_id } else { 0 };
                events.push((
                    holder,
                    What::New {
                        id: number,
                        random_id,
                    },
                ));
            }
        }
        self.contents.insert(uid, content);
        self.ask_for_page(uid);
        self.note_ttl(uid);
        if draft.random_id != 0 {
            self.sent.insert((author, peer, draft.random_id), uid);
        }
        for (holder, event) in events {
            match place {
                Place::Channel(id) => self.tell_channel(id, 1, event),
                _ => self.tell(holder, 1, event),
            };
        }
        self.count_forward(counted.as_ref());
        Ok(uid)
    }

    /// What a forwarded message becomes; `drop_author` makes it a copy.
    pub fn forwarded(
        &self,
        account: i64,
        from: Peer,
        id: i32,
        to: Peer,
        drop_author: bool,
        drop_captions: bool,
    ) -> Result<Draft, Refusal> {
        let content = self
            .find(account, from, id)
            .ok_or(Refusal::bad("MESSAGE_ID_INVALID"))?;
        if content.ttl_seconds.is_some() {
            return Err(Refusal::bad("MESSAGE_ID_INVALID"));
        }
        if content.noforwards || self.protected(content.place) {
            return Err(Refusal::bad("CHAT_FORWARDS_RESTRICTED"));
        }
        let Body::Said {
            text,
            entities,
            media,
        } = &content.body
        else {
            return Err(Refusal::bad("MESSAGE_ID_INVALID"));
        };
        let origin = content.forward.clone();
        let origin = origin.unwrap_or_else(|| self.origin(content));
        let saved_from = (to == Peer::User(account)).then_some((from, id));
        let captioned = media.as_ref().is_some_and(Media::stands_alone);
        let without_text = drop_captions && captioned;
        Ok(Draft {
            text: if without_text { String::new() } else { text.clone() },
            entities: if without_text {
                Vec::new()
            } else {
                entities.clone()
            },
            media: media.clone(),
            no_webpage: true,
            video_timestamp: content.video_timestamp,
            forward: (!drop_author).then_some(Forward { saved_from, ..origin }),
            ..Draft::default()
        })
    }

    /// A new number for an album.
    pub fn new_album(&mut self) -> i64 {
        self.next.album += 1;
        self.next.album
    }
}
