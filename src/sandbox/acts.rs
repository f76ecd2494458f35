//! What can be done to the world from outside, by the control port, a seed or a test: users, chats and
//! messages out of plain records. Who acts is named in the record; rights are those of Telegram.

mod files;
mod polls;

use serde::{Deserialize, Serialize};

pub use files::{NewFile, picture};
pub use polls::NewPoll;

pub use super::world::pictures::measure;

use super::world::changing::Change;
use super::world::chat::Role;
use super::world::content::{Media, Quote, Reply, Uid};
use super::world::entities::Entity;
use super::world::posting::Draft;
use super::world::state::digits;
use super::world::threads::quoted_at;
use super::world::{Passing, Peer, Place, Refusal, State};

/// A user by number, username, phone number or (in a seed) name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Who {
    /// By number.
    Id(i64),
    /// By username, with or without the at sign; by phone number with a plus sign.
    Name(String),
}

impl From<i64> for Who {
    fn from(id: i64) -> Self {
        Who::Id(id)
    }
}

/// A new user.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewUser {
    /// Its number; the next free one if not given.
    pub id: Option<i64>,
    /// Its phone number.
    pub phone: String,
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// Username.
    pub username: Option<String>,
    /// A few words.
    pub about: String,
    /// A bot.
    pub bot: bool,
}

/// What a new chat is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NewChatKind {
    /// A basic group.
    Group,
    /// A supergroup.
    Supergroup,
    /// A broadcast channel.
    Channel,
}

/// A new chat.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewChat {
    /// What it is.
    pub kind: NewChatKind,
    /// Telegram's own (bare) number of it; the next free one if not given.
    #[serde(default)]
    pub id: Option<i64>,
    /// Its title.
    pub title: String,
    /// A few words.
    #[serde(default)]
    pub about: String,
    /// Its public name; not for basic groups.
    #[serde(default)]
    pub username: Option<String>,
    /// Who makes it.
    pub creator: Who,
    /// Who is in it besides.
    #[serde(default)]
    pub members: Vec<Who>,
    /// Who helps to run it.
    #[serde(default)]
    pub admins: Vec<Who>,
    /// Seconds between two messages of a member.
    #[serde(default)]
    pub slow_mode: i32,
    /// Its messages may not be forwarded.
    #[serde(default)]
    pub protected: bool,
}

/// A part of an album.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewPart {
    /// Caption.
    pub text: String,
    /// Its formatting.
    pub entities: Vec<Entity>,
    /// A picture.
    pub photo: Option<NewFile>,
    /// Or a document.
    pub document: Option<NewFile>,
}

/// A message to forward.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forwarded {
    /// The chat it is in, as the sender names it.
    pub chat: i64,
    /// Its number there.
    pub message: i32,
    /// As a copy without the author.
    #[serde(default)]
    pub drop_author: bool,
}

/// A story; there are none, but messages may answer one.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Story {
    /// Whose: a user or a channel.
    pub chat: i64,
    /// Its number.
    pub id: i32,
}

/// A new message.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewMessage {
    /// Who posts it.
    pub from: Who,
    /// Text or caption.
    #[serde(default)]
    pub text: String,
    /// Its formatting.
    #[serde(default)]
    pub entities: Vec<Entity>,
    /// A picture.
    #[serde(default)]
    pub photo: Option<NewFile>,
    /// Or a document.
    #[serde(default)]
    pub document: Option<NewFile>,
    /// Or a poll.
    #[serde(default)]
    pub poll: Option<NewPoll>,
    /// Or an album: then there is no text of its own.
    #[serde(default)]
    pub album: Vec<NewPart>,
    /// Or a part of an album that is posted part by part: all that name the same number are one.
    #[serde(default)]
    pub part_of: Option<i64>,
    /// Or a message of another chat.
    #[serde(default)]
    pub forward: Option<Forwarded>,
    /// The message it answers, as the sender numbers it.
    #[serde(default)]
    pub reply_to: Option<i32>,
    /// The chat of what it answers, if that is another one.
    #[serde(default)]
    pub reply_chat: Option<i64>,
    /// The part that it quotes of what it answers.
    #[serde(default)]
    pub quote: Option<String>,
    /// Or the story that it answers.
    #[serde(default)]
    pub story: Option<Story>,
    /// In a forum: the topic where it is to stand.
    #[serde(default)]
    pub thread: Option<i32>,
    /// Without a sound.
    #[serde(default)]
    pub silent: bool,
    /// May not be forwarded.
    #[serde(default)]
    pub protected: bool,
    /// Without a preview of its links.
    #[serde(default)]
    pub no_webpage: bool,
    /// How many seconds after its posting it goes by itself.
    #[serde(default)]
    pub ttl_period: Option<i32>,
    /// How many seconds after it was seen what it carries goes; 2147483647 for at once.
    #[serde(default)]
    pub ttl_seconds: Option<i32>,
}

impl NewMessage {
    /// Words only.
    pub fn text(from: impl Into<Who>, text: &str) -> Self {
        Self {
            from: from.into(),
            text: text.to_owned(),
            entities: Vec::new(),
            photo: None,
            document: None,
            poll: None,
            album: Vec::new(),
            part_of: None,
            forward: None,
            reply_to: None,
            reply_chat: None,
            quote: None,
            story: None,
            thread: None,
            silent: false,
            protected: false,
            no_webpage: false,
            ttl_period: None,
            ttl_seconds: None,
        }
    }
}

/// The chat of this number.
fn known(chat: i64) -> Result<Peer, Refusal> {
    Peer::from_bot_api(chat).ok_or(Refusal::bad("PEER_ID_INVALID"))
}

impl State {
    /// The user meant.
    pub fn who(&self, who: &Who) -> Result<i64, Refusal> {
        match who {
            Who::Id(id) => self.account(*id).map(|account| account.id),
            Who::Name(phone) if phone.starts_with('+') => {
                let user = self.phones.get(&digits(phone)).copied();
                user.ok_or(Refusal::bad("PHONE_NOT_OCCUPIED"))
            }
            Who::Name(name) => match self.names.get(&name.trim_start_matches('@').to_lowercase()) {
                Some(Peer::User(id)) => Ok(*id),
                _ => Err(Refusal::bad("USERNAME_NOT_OCCUPIED")),
            },
        }
    }

    /// Makes a user.
    pub fn new_user(&mut self, new: NewUser) -> Result<i64, Refusal> {
        if new.first_name.trim().is_empty() {
            return Err(Refusal::bad("FIRSTNAME_INVALID"));
        }
        let taken = |name: &String| {
            self.names
                .contains_key(&name.trim_start_matches('@').to_lowercase())
        };
        if new.username.as_ref().is_some_and(taken) {
            return Err(Refusal::bad("USERNAME_OCCUPIED"));
        }
        let id = self.add_user(new.id, &new.phone, &new.first_name, &new.last_name)?;
        let account = self.account_mut(id)?;
        account.about = new.about;
        account.bot = new.bot;
        self.set_username(Peer::User(id), new.username.as_deref())?;
        Ok(id)
    }

    /// Makes a chat; it opens with Telegram's own message about that.
    pub fn new_chat(&mut self, new: NewChat) -> Result<Peer, Refusal> {
        use super::world::content::Action;
        let creator = self.who(&new.creator)?;
        let members: Vec<i64> = new
            .members
            .iter()
            .chain(&new.admins)
            .map(|who| self.who(who))
            .collect::<Result<_, _>>()?;
        let title = new.title.clone();
        let (peer, action) = match new.kind {
            NewChatKind::Group => {
                let id = self.add_group(new.id, creator, &new.title, &members)?;
                let group = self.group_mut(id)?;
                group.about = new.about;
                group.noforwards = new.protected;
                let members = self.audience(Place::Group(id));
                (Peer::Group(id), Action::GroupCreated { title, members })
            }
            NewChatKind::Supergroup | NewChatKind::Channel => {
                let broadcast = new.kind == NewChatKind::Channel;
                let id = self.add_channel(new.id, creator, &new.title, broadcast, &members)?;
                let now = self.date();
                let admins: Vec<i64> = new
                    .admins
                    .iter()
                    .map(|who| self.who(who))
                    .collect::<Result<_, _>>()?;
                let channel = self.channel_mut(id)?;
                channel.about = new.about;
                channel.noforwards = new.protected;
                channel.slow_mode = new.slow_mode;
                for admin in admins {
                    channel.set_role(admin, Role::Admin, creator, now);
                }
                self.set_username(Peer::Channel(id), new.username.as_deref())?;
                for member in self.audience(Place::Channel(id)) {
                    self.mention(member, Passing::Channel { channel: id });
                }
                (Peer::Channel(id), Action::ChannelCreated { title })
            }
        };
        self.post(creator, peer, Draft::service(action))?;
        Ok(peer)
    }

    /// Posts a message, or an album as several; answers the world's numbers of them.
    pub fn new_message(&mut self, peer: Peer, new: NewMessage) -> Result<Vec<Uid>, Refusal> {
        let from = self.who(&new.from)?;
        let reply = self.new_reply(from, peer, &new)?;
        let story = match new.story {
            Some(story) => Some((known(story.chat)?, story.id)),
            None => None,
        };
        if let Some(forward) = new.forward {
            let source = known(forward.chat)?;
            let draft = self.forwarded(from, source, forward.message, peer, forward.drop_author, false)?;
            let draft = Draft {
                topic: new.thread,
                silent: new.silent,
                ttl_period: new.ttl_period,
                random_id: self.name_for(from),
                ..draft
            };
            return self.post_all(from, peer, vec![draft]);
        }
        let parts = match new.album.is_empty() {
            true => vec![NewPart {
                text: new.text,
                entities: new.entities,
                photo: new.photo,
                document: new.document,
            }],
            false => new.album,
        };
        if parts.len() > 10 {
            return Err(Refusal::bad("MULTI_MEDIA_TOO_LONG"));
        }
        let album = new.part_of;
        let album = album.or_else(|| (parts.len() > 1).then(|| self.new_album()));
        let poll = match &new.poll {
            Some(poll) => Some(self.poll_of(from, poll)?),
            None => None,
        };
        let mut drafts = Vec::new();
        for part in parts {
            let media = match (&part.photo, &part.document) {
                (Some(photo), _) => Some(self.new_photo(photo)?),
                (None, Some(document)) => Some(self.new_document(document)?),
                (None, None) => None,
            };
            drafts.push(Draft {
                text: part.text,
                entities: self.allowed(from, peer, part.entities),
                media: media
                    .map(|file| Media::File { file, spoiler: false })
                    .or(poll.clone()),
                reply: reply.clone(),
                story,
                topic: new.thread,
                album,
                silent: new.silent,
                noforwards: new.protected,
                no_webpage: new.no_webpage,
                ttl_period: new.ttl_period,
                ttl_seconds: new.ttl_seconds,
                random_id: self.name_for(from),
                ..Draft::default()
            });
        }
        self.post_all(from, peer, drafts)
    }

    /// What a new message answers.
    fn new_reply(&self, from: i64, peer: Peer, new: &NewMessage) -> Result<Option<Reply>, Refusal> {
        let Some(id) = new.reply_to else { return Ok(None) };
        let place = new.reply_chat.map_or(Ok(peer), known)?;
        let answered = self.find(from, place, id);
        let answered = answered.ok_or(Refusal::bad("REPLY_MESSAGE_ID_INVALID"))?;
        let quote = match &new.quote {
            Some(words) => {
                let at = quoted_at(answered.text(), words, None);
                Some(Quote {
                    text: words.clone(),
                    entities: Vec::new(),
                    offset: Some(at.ok_or(Refusal::bad("QUOTE_TEXT_INVALID"))?),
                })
            }
            None => None,
        };
        let to = answered.uid;
        Ok(Some(Reply { to, quote }))
    }

    /// A random id that nobody gave.
    fn name_for(&mut self, account: i64) -> i64 {
        self.keys.count += 1;
        self.derive(51, account, self.keys.count)
    }

    /// Edits a message as its author.
    pub fn change_message(
        &mut self,
        peer: Peer,
        id: i32,
        who: &Who,
        text: &str,
        entities: Vec<Entity>,
    ) -> Result<Uid, Refusal> {
        let editor = self.who(who)?;
        let change = Change {
            text: Some((text.to_owned(), self.allowed(editor, peer, entities))),
            ..Change::default()
        };
        self.edit(editor, peer, id, change)
    }

    /// Deletes a message for all sides, as this user.
    pub fn drop_message(&mut self, peer: Peer, id: i32, who: &Who) -> Result<i32, Refusal> {
        let user = self.who(who)?;
        match peer {
            Peer::Channel(channel) => self.delete_in_channel(user, channel, &[id]),
            _ => self.delete(user, &[id], true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_album_is_posted_as_parts_of_one() {
        let mut state = State::new(1);
        let alice = state
            .new_user(NewUser {
                first_name: "A".into(),
                ..NewUser::default()
            })
            .expect("a user");
        let bob = state
            .new_user(NewUser {
                first_name: "B".into(),
                ..NewUser::default()
            })
            .expect("a user");
        let part = |n| NewPart {
            photo: Some(NewFile {
                generate: Some(n),
                width: Some(8),
                height: Some(8),
                ..NewFile::default()
            }),
            ..NewPart::default()
        };
        let new = NewMessage {
            album: vec![part(1), part(2)],
            ..NewMessage::text(alice, "")
        };
        let uids = state.new_message(Peer::User(bob), new).expect("posted");
        let albums: Vec<_> = uids.iter().map(|uid| state.contents[uid].album).collect();
        assert!(albums[0].is_some() && albums[0] == albums[1]);
    }
}
