//! Messages as records of the schema, and spans to and fro.

use grammers_tl_types::{enums, types};

use super::{Viewer, blank};
use crate::sandbox::world::content::{Action, Body, Content, Forward, seconds};
use crate::sandbox::world::entities::{Entity, Kind};
use crate::sandbox::world::{Peer, Place};

impl Viewer<'_> {
    /// The message that this account knows as `id` in `peer`.
    pub fn message(&self, peer: Peer, id: i32) -> enums::Message {
        match self.state.find(self.account, peer, id) {
            Some(content) => self.render(content, id),
            None => types::MessageEmpty { id, peer_id: None }.into(),
        }
    }

    /// A message under the number that this account knows.
    pub fn render(&self, content: &Content, id: i32) -> enums::Message {
        let peer = content.place.seen_by(self.account);
        let peer_id = self.name(peer);
        if matches!(content.place, Place::Private(..)) {
            self.name(Peer::User(self.account));
        }
        let own = content.author == self.account;
        let saved = content.place == Place::Private(self.account, self.account);
        // What one saves comes in; whose it is, the saved chat says.
        let saved_in = saved && self.state.switches.saved_messages_incoming.decides();
        // What a channel says elsewhere is nobody's own, be it posted by whom it may.
        let spoken_for = content.sender.is_some_and(|sender| sender != peer);
        let out = own && !saved_in && !spoken_for;
        let saved_peer_id = saved_in.then(|| self.name(Peer::User(self.account)));
        let post = match content.place {
            Place::Channel(id) => self
                .state
                .channels
                .get(&id)
                .is_some_and(|channel| channel.broadcast),
            _ => false,
        };
        let from_id = match content.place {
            _ if post => None,
            Place::Private(..) if !own => None,
            _ => Some(self.name(content.sender.unwrap_or(Peer::User(content.author)))),
        };
        let reply_to = self.answers(content);
        match &content.body {
            Body::Service(action) => types::MessageService {
                out,
                silent: content.silent,
                post,
                from_id,
                saved_peer_id,
                reply_to,
                ..blank::service(id, peer_id, content.date(), self.action(action))
            }
            .into(),
            Body::Said {
                text,
                entities,
                media,
            } => types::Message {
                out,
                media_unread: self.state.is_unopened(content),
                silent: content.silent,
                post,
                pinned: self.state.pinned(self.account, content),
                noforwards: content.noforwards,
                from_id,
                saved_peer_id,
                fwd_from: content.forward.as_ref().map(|forward| self.forward(forward)),
                reply_to,
                message: text.clone(),
                media: (media.as_ref())
                    .map(|media| begins_at(self.media(media, Some(content.uid)), content.video_timestamp))
                    .map(|media| self.vanishing(media, content))
                    .filter(|media| !matches!(media, enums::MessageMedia::Empty)),
                entities: (!entities.is_empty()).then(|| self.entities(entities)),
                post_author: content.signature.clone(),
                views: post.then(|| content.views()),
                forwards: post.then_some(content.forwards),
                effect: content.effect,
                invert_media: content.invert_media,
                reply_markup: content.keyboard.clone().map(asks),
                replies: self.comments(content),
                // A reaction is told as an edit that does not show.
                edit_hide: content.edited_at.is_none() && content.hidden_edit().is_some(),
                edit_date: content.edited_at.or(content.hidden_edit()).map(seconds),
                reactions: self.reactions(content),
                grouped_id: content.album,
                ttl_period: content.ttl_period,
                ..blank::message(id, peer_id, content.date())
            }
            .into(),
        }
    }

    pub(super) fn forward(&self, forward: &Forward) -> enums::MessageFwdHeader {
        types::MessageFwdHeader {
            from_id: (forward.hidden_name.is_none()).then(|| self.name(forward.from)),
            from_name: forward.hidden_name.clone(),
            channel_post: forward.post,
            post_author: forward.signature.clone(),
            saved_from_peer: forward.saved_from.map(|(peer, _)| self.name(peer)),
            saved_from_msg_id: forward.saved_from.map(|(_, id)| id),
            ..blank::forward(forward.date)
        }
        .into()
    }

    fn action(&self, action: &Action) -> enums::MessageAction {
        let name_all = |users: &[i64]| -> Vec<i64> {
            for user in users {
                self.name(Peer::User(*user));
            }
            users.to_vec()
        };
        match action {
            Action::GroupCreated { title, members } => types::MessageActionChatCreate {
                title: title.clone(),
                users: name_all(members),
            }
            .into(),
            Action::ChannelCreated { title } => {
                types::MessageActionChannelCreate { title: title.clone() }.into()
            }
            Action::Joined { members } => types::MessageActionChatAddUser {
                users: name_all(members),
            }
            .into(),
            Action::Left { member } => {
                self.name(Peer::User(*member));
                types::MessageActionChatDeleteUser { user_id: *member }.into()
            }
            Action::Retitled { title } => types::MessageActionChatEditTitle { title: title.clone() }.into(),
            Action::Pinned => enums::MessageAction::PinMessage,
            Action::Guarded { before, now } => types::MessageActionNoForwardsToggle {
                prev_value: *before,
                new_value: *now,
            }
            .into(),
            Action::AskedToShare | Action::AnsweredToShare => types::MessageActionNoForwardsRequest {
                expired: *action == Action::AnsweredToShare,
                prev_value: true,
                new_value: false,
            }
            .into(),
            Action::Pictured { photo } => {
                let stored = self.state.files.stored.get(photo);
                let photo = stored.map(|stored| self.photo(stored, None));
                types::MessageActionChatEditPhoto {
                    photo: photo.unwrap_or_else(|| types::PhotoEmpty { id: 0 }.into()),
                }
                .into()
            }
            Action::TopicCreated { title, colour, icon } => types::MessageActionTopicCreate {
                title_missing: false,
                title: title.clone(),
                icon_color: *colour,
                icon_emoji_id: *icon,
            }
            .into(),
            Action::TopicEdited {
                title,
                icon,
                closed,
                hidden,
            } => types::MessageActionTopicEdit {
                title: title.clone(),
                icon_emoji_id: *icon,
                closed: *closed,
                hidden: *hidden,
            }
            .into(),
            Action::MigratedTo { channel } => {
                self.name(Peer::Channel(*channel));
                types::MessageActionChatMigrateTo { channel_id: *channel }.into()
            }
            Action::MigratedFrom { title, group } => {
                self.name(Peer::Group(*group));
                types::MessageActionChannelMigrateFrom {
                    title: title.clone(),
                    chat_id: *group,
                }
                .into()
            }
        }
    }

    /// Spans of a text.
    pub fn entities(&self, entities: &[Entity]) -> Vec<enums::MessageEntity> {
        entities.iter().map(|entity| self.entity(entity)).collect()
    }

    fn entity(&self, entity: &Entity) -> enums::MessageEntity {
        let (offset, length) = (entity.offset, entity.length);
        match entity.kind {
            Kind::Mention => types::MessageEntityMention { offset, length }.into(),
            Kind::Hashtag => types::MessageEntityHashtag { offset, length }.into(),
            Kind::Cashtag => types::MessageEntityCashtag { offset, length }.into(),
            Kind::BotCommand => types::MessageEntityBotCommand { offset, length }.into(),
            Kind::Url => types::MessageEntityUrl { offset, length }.into(),
            Kind::Email => types::MessageEntityEmail { offset, length }.into(),
            Kind::PhoneNumber => types::MessageEntityPhone { offset, length }.into(),
            Kind::Bold => types::MessageEntityBold { offset, length }.into(),
            Kind::Italic => types::MessageEntityItalic { offset, length }.into(),
            Kind::Underline => types::MessageEntityUnderline { offset, length }.into(),
            Kind::Strikethrough => types::MessageEntityStrike { offset, length }.into(),
            Kind::Spoiler => types::MessageEntitySpoiler { offset, length }.into(),
            Kind::Blockquote => types::MessageEntityBlockquote {
                collapsed: false,
                offset,
                length,
            }
            .into(),
            Kind::ExpandableBlockquote => types::MessageEntityBlockquote {
                collapsed: true,
                offset,
                length,
            }
            .into(),
            Kind::Code => types::MessageEntityCode { offset, length }.into(),
            Kind::Pre => {
                let language = entity.language.clone().unwrap_or_default();
                types::MessageEntityPre {
                    offset,
                    length,
                    language,
                }
                .into()
            }
            Kind::TextLink => {
                let url = entity.url.clone().unwrap_or_default();
                types::MessageEntityTextUrl { offset, length, url }.into()
            }
            Kind::TextMention => {
                let user_id = entity.user.unwrap_or_default();
                self.name(Peer::User(user_id));
                types::MessageEntityMentionName {
                    offset,
                    length,
                    user_id,
                }
                .into()
            }
            Kind::CustomEmoji => {
                let document_id = entity.custom_emoji_id.unwrap_or_default();
                types::MessageEntityCustomEmoji {
                    offset,
                    length,
                    document_id,
                }
                .into()
            }
            Kind::BankCard => types::MessageEntityBankCard { offset, length }.into(),
        }
    }
}

/// A keyboard that asks for an answer.
fn asks(words: String) -> enums::ReplyMarkup {
    types::ReplyKeyboardForceReply {
        single_use: true,
        selective: false,
        placeholder: Some(words),
    }
    .into()
}

/// A video that begins to play somewhere in the middle.
fn begins_at(media: enums::MessageMedia, second: Option<i32>) -> enums::MessageMedia {
    match media {
        enums::MessageMedia::Document(document) if document.video => types::MessageMediaDocument {
            video_timestamp: second,
            ..document
        }
        .into(),
        media => media,
    }
}

/// A client's span; those that the world does not know are dropped. `user` answers who an input user is.
pub fn read_entity(
    entity: enums::MessageEntity,
    user: impl Fn(&enums::InputUser) -> Option<i64>,
) -> Option<Entity> {
    use enums::MessageEntity as E;
    let plain = |kind, offset, length| Some(Entity::plain(kind, offset, length));
    match entity {
        E::Mention(e) => plain(Kind::Mention, e.offset, e.length),
        E::Hashtag(e) => plain(Kind::Hashtag, e.offset, e.length),
        E::Cashtag(e) => plain(Kind::Cashtag, e.offset, e.length),
        E::BotCommand(e) => plain(Kind::BotCommand, e.offset, e.length),
        E::Url(e) => plain(Kind::Url, e.offset, e.length),
        E::Email(e) => plain(Kind::Email, e.offset, e.length),
        E::Phone(e) => plain(Kind::PhoneNumber, e.offset, e.length),
        E::Bold(e) => plain(Kind::Bold, e.offset, e.length),
        E::Italic(e) => plain(Kind::Italic, e.offset, e.length),
        E::Underline(e) => plain(Kind::Underline, e.offset, e.length),
        E::Strike(e) => plain(Kind::Strikethrough, e.offset, e.length),
        E::Spoiler(e) => plain(Kind::Spoiler, e.offset, e.length),
        E::Blockquote(e) if e.collapsed => plain(Kind::ExpandableBlockquote, e.offset, e.length),
        E::Blockquote(e) => plain(Kind::Blockquote, e.offset, e.length),
        E::Code(e) => plain(Kind::Code, e.offset, e.length),
        E::BankCard(e) => plain(Kind::BankCard, e.offset, e.length),
        E::Pre(e) => {
            let language = (!e.language.is_empty()).then_some(e.language);
            Some(Entity {
                language,
                ..Entity::plain(Kind::Pre, e.offset, e.length)
            })
        }
        E::TextUrl(e) => Some(Entity {
            url: Some(e.url),
            ..Entity::plain(Kind::TextLink, e.offset, e.length)
        }),
        E::MentionName(e) => Some(Entity {
            user: Some(e.user_id),
            ..Entity::plain(Kind::TextMention, e.offset, e.length)
        }),
        E::InputMessageEntityMentionName(e) => {
            let known = user(&e.user_id)?;
            Some(Entity {
                user: Some(known),
                ..Entity::plain(Kind::TextMention, e.offset, e.length)
            })
        }
        E::CustomEmoji(e) => Some(Entity {
            custom_emoji_id: Some(e.document_id),
            ..Entity::plain(Kind::CustomEmoji, e.offset, e.length)
        }),
        _ => None,
    }
}
