//! The world as plain records: what the control port shows and what demo and tests compare with.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::world::chat::Role;
use super::world::content::{Action, Body, Content, Media};
use super::world::entities::Entity;
use super::world::files::{Attribute, FileKind};
use super::world::{Peer, Place, State};

/// All users and chats.
#[derive(Clone, Debug, Serialize)]
pub struct WorldView {
    /// Users.
    pub users: Vec<UserView>,
    /// Basic groups, supergroups, channels.
    pub chats: Vec<ChatView>,
}

/// A user.
#[derive(Clone, Debug, Serialize)]
pub struct UserView {
    /// Its number; also the Bot API's number of a private chat with it.
    pub id: i64,
    /// Its phone number, digits only.
    pub phone: String,
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// Username.
    pub username: Option<String>,
    /// A bot.
    pub bot: bool,
    /// How many sessions are logged in as it.
    pub sessions: usize,
    /// The data centre where it lives.
    pub dc: i32,
    /// Whether it has a password (2FA).
    pub password: bool,
    /// Whether Telegram has thrown it out.
    pub banned: bool,
    /// The state of its sequence.
    pub pts: i32,
}

/// A chat.
#[derive(Clone, Debug, Serialize)]
pub struct ChatView {
    /// The Bot API's number.
    pub id: i64,
    /// `group`, `supergroup` or `channel`.
    pub kind: &'static str,
    /// Its title.
    pub title: String,
    /// Its public name.
    pub username: Option<String>,
    /// Who is in it.
    pub members: Vec<MemberView>,
    /// How many messages it holds (in a basic group: unknown, as each member holds its own).
    pub messages: Option<usize>,
    /// The state of its sequence, if it has one.
    pub pts: Option<i32>,
    /// Seconds between two messages of a member.
    pub slow_mode: i32,
    /// Its messages may not be forwarded.
    pub protected: bool,
    /// Its topics and their titles, if it is a forum.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub topics: BTreeMap<i32, String>,
    /// Its invitation.
    pub invite: String,
}

/// A member of a chat.
#[derive(Clone, Debug, Serialize)]
pub struct MemberView {
    /// The user.
    pub id: i64,
    /// What it is.
    pub role: Role,
}

/// A message as one account numbers it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessageView {
    /// Its number.
    pub id: i32,
    /// The chat, as the viewer names it (Bot API number).
    pub chat: i64,
    /// Who posted it.
    pub from: i64,
    /// When it was posted, in seconds.
    pub date: i32,
    /// When it was stored, in milliseconds.
    pub stored_at: i64,
    /// When it was last edited, in milliseconds.
    pub edited_at: Option<i64>,
    /// When it was deleted, in milliseconds.
    pub deleted_at: Option<i64>,
    /// Text or caption.
    pub text: String,
    /// Its formatting.
    pub entities: Vec<Entity>,
    /// What is attached.
    pub media: Option<MediaView>,
    /// The album it is a part of.
    pub album: Option<String>,
    /// The message of this chat that it answers, in the viewer's numbers.
    pub reply_to: Option<i32>,
    /// The topic it stands in, if not the general one.
    #[serde(default)]
    pub thread: Option<i32>,
    /// Where it was forwarded from.
    pub forward: Option<ForwardView>,
    /// What its sender named it.
    pub random_id: String,
    /// Without a sound.
    pub silent: bool,
    /// Pinned.
    pub pinned: bool,
    /// Reactions to it, and how many of each.
    #[serde(default)]
    pub reactions: BTreeMap<String, usize>,
    /// What happened, if it is Telegram's own message.
    pub service: Option<Action>,
}

/// What is attached to a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MediaView {
    /// `photo`, `document`, `video`, `audio`, `voice`, `sticker`, `animation`, `video_note`, `geo`, `contact`, `poll`,
    /// `web_page`.
    pub kind: Cow<'static, str>,
    /// SHA-256 of the bytes.
    pub sha256: Option<String>,
    /// How many bytes.
    pub size: Option<usize>,
    /// A document's name.
    pub name: Option<String>,
    /// A document's MIME type.
    pub mime: Option<String>,
}

/// Where a message was forwarded from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ForwardView {
    /// The user or channel (Bot API number).
    pub from: i64,
    /// When it was posted there.
    pub date: i32,
    /// Its number there, if it was a channel's post.
    pub post: Option<i32>,
}

fn reactions(content: &Content) -> BTreeMap<String, usize> {
    let mut counted = BTreeMap::new();
    for reaction in &content.reactions {
        *counted.entry(reaction.emoji.clone()).or_default() += 1;
    }
    counted
}

impl State {
    /// All users and chats.
    pub fn view(&self) -> WorldView {
        let mut users: Vec<UserView> = self
            .accounts
            .values()
            .map(|account| UserView {
                id: account.id,
                phone: account.phone.clone(),
                first_name: account.first_name.clone(),
                last_name: account.last_name.clone(),
                username: account.username.clone(),
                bot: account.bot,
                sessions: account.keys.len(),
                dc: self.home(account.id),
                password: account.password.is_some(),
                banned: account.banned,
                pts: account.pts,
            })
            .collect();
        users.sort_by_key(|user| user.id);
        let groups = self.groups.keys().map(|id| Peer::Group(*id));
        let channels = self.channels.keys().map(|id| Peer::Channel(*id));
        WorldView {
            users,
            chats: groups
                .chain(channels)
                .filter_map(|peer| self.view_chat(peer))
                .collect(),
        }
    }

    /// One chat; `None` for private ones.
    pub fn view_chat(&self, peer: Peer) -> Option<ChatView> {
        let id = peer.bot_api();
        match peer {
            Peer::User(_) => None,
            Peer::Group(group) => self.groups.get(&group).map(|group| ChatView {
                id,
                kind: "group",
                title: group.title.clone(),
                username: None,
                members: group
                    .members
                    .iter()
                    .map(|(id, member)| MemberView {
                        id: *id,
                        role: member.role,
                    })
                    .collect(),
                messages: None,
                pts: None,
                slow_mode: 0,
                protected: group.noforwards,
                topics: BTreeMap::new(),
                invite: group.invite.clone(),
            }),
            Peer::Channel(channel) => self.channels.get(&channel).map(|channel| ChatView {
                id,
                kind: if channel.broadcast {
                    "channel"
                } else {
                    "supergroup"
                },
                title: channel.title.clone(),
                username: channel.username.clone(),
                members: channel
                    .members
                    .iter()
                    .map(|(id, member)| MemberView {
                        id: *id,
                        role: member.role,
                    })
                    .collect(),
                messages: Some(channel.held.len()),
                pts: Some(channel.pts),
                slow_mode: channel.slow_mode,
                protected: channel.noforwards,
                topics: (channel.topics.iter().filter(|_| channel.forum))
                    .map(|(id, topic)| (*id, topic.title.clone()))
                    .collect(),
                invite: channel.invite.clone(),
            }),
        }
    }

    /// The messages of a chat after number `since`, oldest first, as `viewer` numbers them. With
    /// `deleted` those that are gone, too.
    pub fn view_messages(
        &self,
        viewer: i64,
        peer: Peer,
        since: i32,
        limit: usize,
        deleted: bool,
    ) -> Vec<MessageView> {
        let place = Place::of(viewer, peer);
        let show = |content: &Content| self.view_message(viewer, content);
        if deleted {
            let here = self.contents.values().filter(|content| content.place == place);
            let mut found: Vec<MessageView> = here.filter_map(show).filter(|view| view.id > since).collect();
            found.sort_by_key(|view| view.id);
            found.truncate(limit);
            return found;
        }
        let ids: Vec<i32> = match peer {
            Peer::Channel(id) => match self.channels.get(&id) {
                Some(channel) => channel
                    .held
                    .range(since.saturating_add(1)..)
                    .take(limit)
                    .map(|(id, _)| *id)
                    .collect(),
                None => Vec::new(),
            },
            _ => match self.dialog(viewer, peer) {
                Some(dialog) => {
                    let start = dialog.ids.partition_point(|id| *id <= since);
                    dialog.ids[start..].iter().take(limit).copied().collect()
                }
                None => Vec::new(),
            },
        };
        ids.into_iter()
            .filter_map(|id| self.find(viewer, peer, id).and_then(show))
            .collect()
    }

    /// One message as this viewer numbers it.
    pub fn view_message(&self, viewer: i64, content: &Content) -> Option<MessageView> {
        let (text, entities, media, service) = match &content.body {
            Body::Said {
                text,
                entities,
                media,
            } => (text.clone(), entities.clone(), media.as_ref(), None),
            Body::Service(action) => (String::new(), Vec::new(), None, Some(action.clone())),
        };
        let answered = content
            .reply
            .as_ref()
            .and_then(|reply| self.contents.get(&reply.to))
            // Numbers of another chat mean nothing in this one.
            .filter(|answered| answered.place == content.place);
        Some(MessageView {
            id: content.number_for(viewer)?,
            chat: content.place.seen_by(viewer).bot_api(),
            from: content.author,
            date: content.date(),
            stored_at: content.stored_at,
            edited_at: content.edited_at,
            deleted_at: content.deleted_at,
            text,
            entities,
            media: media.map(|media| self.view_media(media)),
            album: content.album.map(|album| album.to_string()),
            reply_to: answered.and_then(|answered| answered.number_for(viewer)),
            thread: self.topic_of(content),
            forward: content.forward.as_ref().map(|forward| ForwardView {
                from: forward.from.bot_api(),
                date: forward.date,
                post: forward.post,
            }),
            random_id: content.random_id.to_string(),
            silent: content.silent,
            pinned: self.pinned(viewer, content),
            reactions: reactions(content),
            service,
        })
    }

    fn view_media(&self, media: &Media) -> MediaView {
        let plain = |kind: &'static str| MediaView {
            kind: kind.into(),
            sha256: None,
            size: None,
            name: None,
            mime: None,
        };
        let Media::File { file, .. } = media else {
            return plain(media.word());
        };
        let Some(file) = self.files.stored.get(file) else {
            return plain("document");
        };
        let (name, mime) = match &file.kind {
            FileKind::Photo { .. } => (None, None),
            FileKind::Document { mime, attributes } => {
                let name = attributes.iter().find_map(|attribute| match attribute {
                    Attribute::Filename(name) => Some(name.clone()),
                    _ => None,
                });
                (name, Some(mime.clone()))
            }
        };
        MediaView {
            kind: file.kind.word().into(),
            sha256: Some(file.hash.clone()),
            size: Some(file.size),
            name,
            mime,
        }
    }
}
