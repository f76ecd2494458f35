//! Topics of a forum: a supergroup whose messages stand in topics. A topic is named by the number of the message that
//! began it; what stands in none is in the general one, whose number is 1. Not promised: pinned topics, marks of
//! what was read in each.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::chat::Role;
use super::content::{Action, Content};
use super::place::{Peer, Place};
use super::posting::Draft;
use super::refusal::Refusal;
use super::state::{Passing, State};

/// The topic of what stands in no other.
pub const GENERAL: i32 = 1;

/// A colour that clients offer.
pub const COLOUR: i32 = 0x6F_B9F0;

/// A topic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Topic {
    /// Its title.
    pub title: String,
    /// The colour of its sign.
    pub colour: i32,
    /// Its sign, a custom emoji.
    pub icon: Option<i64>,
    /// Who made it.
    pub creator: i64,
    /// When, in seconds.
    pub date: i32,
    /// Only those who run the forum write there.
    pub closed: bool,
    /// It is not shown in the list; the general one only.
    pub hidden: bool,
}

/// What changes about a topic; what is `None` stays.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TopicChange {
    /// The new title.
    pub title: Option<String>,
    /// The new sign; 0 takes it away.
    pub icon: Option<i64>,
    /// Whether only those who run the forum write there.
    pub closed: Option<bool>,
    /// Whether it is hidden.
    pub hidden: Option<bool>,
}

impl State {
    /// Makes a forum of a supergroup, or the other way round.
    pub fn toggle_forum(&mut self, by: i64, id: i64, enabled: bool) -> Result<(), Refusal> {
        let channel = self.channel(id)?;
        if channel.broadcast {
            return Err(Refusal::bad("CHANNEL_INVALID"));
        }
        if channel.role(by) != Some(Role::Creator) {
            return Err(Refusal::bad("CHAT_ADMIN_REQUIRED"));
        }
        if channel.linked.is_some() {
            return Err(Refusal::bad("CHAT_DISCUSSION_UNALLOWED"));
        }
        if channel.forum == enabled {
            return Err(Refusal::bad("CHAT_NOT_MODIFIED"));
        }
        let date = channel.created;
        let channel = self.channel_mut(id)?;
        channel.forum = enabled;
        channel.topics.entry(GENERAL).or_insert_with(|| Topic {
            title: "General".to_owned(),
            colour: COLOUR,
            icon: None,
            creator: by,
            date,
            closed: false,
            hidden: false,
        });
        for member in self.audience(Place::Channel(id)) {
            self.mention(member, Passing::Channel { channel: id });
        }
        Ok(())
    }

    /// The topics of a forum.
    pub fn topics(&self, id: i64) -> Result<&BTreeMap<i32, Topic>, Refusal> {
        let channel = self.channel(id)?;
        match channel.forum {
            true => Ok(&channel.topics),
            false => Err(Refusal::bad("CHANNEL_FORUM_MISSING")),
        }
    }

    /// Begins a topic; answers its number.
    pub fn create_topic(
        &mut self,
        by: i64,
        id: i64,
        title: &str,
        (colour, icon): (i32, Option<i64>),
        random_id: i64,
    ) -> Result<i32, Refusal> {
        self.topics(id)?;
        let title = checked(title)?;
        self.may_write(by, Peer::Channel(id), false)?;
        let draft = Draft {
            random_id,
            ..Draft::service(Action::TopicCreated {
                title: title.clone(),
                colour,
                icon,
            })
        };
        let uid = self.post(by, Peer::Channel(id), draft)?;
        let number = self.contents.get(&uid).and_then(|content| content.number_for(by));
        let number = number.ok_or(Refusal::bad("TOPIC_ID_INVALID"))?;
        let topic = Topic {
            title,
            colour,
            icon,
            creator: by,
            date: self.date(),
            closed: false,
            hidden: false,
        };
        self.channel_mut(id)?.topics.insert(number, topic);
        Ok(number)
    }

    /// Changes a topic, and says so in it.
    pub fn edit_topic(&mut self, by: i64, id: i64, number: i32, change: TopicChange) -> Result<(), Refusal> {
        let topic = self.topics(id)?.get(&number);
        let topic = topic.ok_or(Refusal::bad("TOPIC_ID_INVALID"))?;
        let runs = self.channel(id)?.role(by).is_some_and(Role::runs);
        if !runs && topic.creator != by {
            return Err(Refusal::bad("CHAT_ADMIN_REQUIRED"));
        }
        if change.closed.is_some() && (change.title.is_some() || change.icon.is_some()) {
            return Err(Refusal::bad("TOPIC_CLOSE_SEPARATELY"));
        }
        if change.hidden.is_some() && number != GENERAL {
            return Err(Refusal::bad("TOPIC_ID_INVALID"));
        }
        let title = change.title.as_deref().map(checked).transpose()?;
        let new = Topic {
            title: title.clone().unwrap_or_else(|| topic.title.clone()),
            icon: change
                .icon
                .map_or(topic.icon, |icon| Some(icon).filter(|it| *it != 0)),
            closed: change.closed.unwrap_or(topic.closed),
            hidden: change.hidden.unwrap_or(topic.hidden),
            ..topic.clone()
        };
        if new == *topic {
            return Err(Refusal::bad("TOPIC_NOT_MODIFIED"));
        }
        self.channel_mut(id)?.topics.insert(number, new);
        let action = Action::TopicEdited {
            title,
            icon: change.icon,
            closed: change.closed,
            hidden: change.hidden,
        };
        let draft = Draft {
            topic: Some(number),
            ..Draft::service(action)
        };
        self.post(by, Peer::Channel(id), draft).map(drop)
    }

    /// Deletes a topic with all that stands in it. Answers how many messages went.
    pub fn delete_topic(&mut self, by: i64, id: i64, number: i32) -> Result<i32, Refusal> {
        if number == GENERAL || !self.topics(id)?.contains_key(&number) {
            return Err(Refusal::bad("TOPIC_ID_INVALID"));
        }
        if !self.channel(id)?.role(by).is_some_and(Role::runs) {
            return Err(Refusal::bad("CHAT_ADMIN_REQUIRED"));
        }
        let ids = self.in_topic(id, number);
        self.channel_mut(id)?.topics.remove(&number);
        self.delete_in_channel(by, id, &ids)
    }

    /// The messages of a topic, ascending; the one that began it is the first.
    pub fn in_topic(&self, id: i64, number: i32) -> Vec<i32> {
        let Some(channel) = self.channels.get(&id) else {
            return Vec::new();
        };
        let within = |content: &Content| content.topic.unwrap_or(GENERAL) == number;
        let begins = |id: &i32| channel.topics.contains_key(id) && *id != GENERAL;
        let held = channel.held.iter().filter(|(id, uid)| match begins(id) {
            true => **id == number,
            false => self.contents.get(uid).is_some_and(within),
        });
        held.map(|(id, _)| *id).collect()
    }

    /// The topic that a message of a channel stands in; none outside of forums and in the general one.
    pub fn topic_of(&self, content: &Content) -> Option<i32> {
        let Place::Channel(id) = content.place else {
            return None;
        };
        self.channels.get(&id).filter(|channel| channel.forum)?;
        content.topic
    }

    /// Finds where in a forum a message is to stand: where its author says, else where that stands which it answers.
    /// What answers the message that began a topic answers nothing. Nobody says anything new in a closed one; what
    /// happens is told there all the same.
    pub(super) fn settle_topic(&self, author: i64, peer: Peer, draft: &mut Draft) -> Result<(), Refusal> {
        let Peer::Channel(id) = peer else {
            draft.topic = None;
            return Ok(());
        };
        let channel = self.channel(id)?;
        if !channel.forum {
            draft.topic = None;
            return Ok(());
        }
        let answered = draft
            .reply
            .as_ref()
            .and_then(|reply| self.contents.get(&reply.to));
        let answered = answered.filter(|content| content.place == Place::Channel(id));
        let number = answered.and_then(|content| content.number_for(author));
        let begun = number.filter(|number| *number != GENERAL && channel.topics.contains_key(number));
        let topic = (draft.topic)
            .or(begun)
            .or_else(|| answered.and_then(|content| content.topic));
        let number = topic.unwrap_or(GENERAL);
        let known = channel.topics.get(&number).ok_or(Refusal::bad("TOPIC_DELETED"))?;
        let runs = channel.role(author).is_some_and(Role::runs);
        if known.closed && draft.action.is_none() && !runs && known.creator != author {
            return Err(Refusal::bad("TOPIC_CLOSED"));
        }
        if begun.is_some()
            && begun == topic
            && draft.reply.as_ref().is_some_and(|reply| reply.quote.is_none())
        {
            draft.reply = None;
        }
        draft.topic = topic.filter(|topic| *topic != GENERAL);
        Ok(())
    }
}

fn checked(title: &str) -> Result<String, Refusal> {
    let title = title.trim();
    match title.chars().count() {
        1..=128 => Ok(title.to_owned()),
        _ => Err(Refusal::bad("TOPIC_TITLE_EMPTY")),
    }
}
