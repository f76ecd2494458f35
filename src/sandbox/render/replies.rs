//! What a message answers, as a header of the schema: a message of the chat, one of another chat, a story, a topic, a
//! thread; and what is said about a channel's post.

use grammers_tl_types::{enums, types};

use super::{Viewer, blank};
use crate::sandbox::world::Place;
use crate::sandbox::world::content::{Content, Media, Reply};

impl Viewer<'_> {
    /// What a message answers, if anything.
    pub(super) fn answers(&self, content: &Content) -> Option<enums::MessageReplyHeader> {
        if let Some((peer, story_id)) = content.story {
            let peer = self.name(peer);
            return Some(types::MessageReplyStoryHeader { peer, story_id }.into());
        }
        let topic = self.state.topic_of(content);
        let header = content
            .reply
            .as_ref()
            .and_then(|reply| self.reply(content, reply, topic));
        header.or_else(|| topic.map(|topic| in_topic(topic).into()))
    }

    fn reply(
        &self,
        content: &Content,
        reply: &Reply,
        topic: Option<i32>,
    ) -> Option<enums::MessageReplyHeader> {
        let answered = self.state.contents.get(&reply.to)?;
        let elsewhere = answered.place != content.place;
        let told = elsewhere && self.state.switches.replies_elsewhere.decides();
        // Of a message that its reader may not see, only its author and what it carries is told.
        let named = !told || self.state.may_see(self.account, answered);
        let id = answered.number_for(self.account).filter(|_| named);
        let thread = content.thread.filter(|_| self.state.switches.threads.decides());
        let thread = thread.filter(|began| id != Some(*began));
        // What goes once it was seen is not told of elsewhere.
        let media = answered.media().filter(|_| answered.ttl_seconds.is_none());
        let media = media.filter(|media| media.stands_alone());
        let quote = reply.quote.as_ref();
        let spans = quote
            .map(|quote| self.entities(&quote.entities))
            .filter(|spans| !spans.is_empty());
        Some(
            types::MessageReplyHeader {
                forum_topic: topic.is_some(),
                reply_to_top_id: topic.or(thread),
                quote: quote.is_some(),
                reply_to_msg_id: id,
                reply_to_peer_id: (elsewhere && named)
                    .then(|| self.name(answered.place.seen_by(self.account))),
                reply_from: told.then(|| self.forward(&self.state.origin(answered))),
                reply_media: media
                    .filter(|_| told)
                    .map(|media: &Media| self.media(media, Some(content.uid))),
                quote_text: quote.map(|quote| quote.text.clone()),
                quote_entities: spans,
                quote_offset: quote.and_then(|quote| quote.offset),
                ..blank::reply()
            }
            .into(),
        )
    }

    /// Where a post is discussed, and how much is said there.
    pub(super) fn comments(&self, content: &Content) -> Option<enums::MessageReplies> {
        let opened = self.state.contents.get(&content.discussion?)?;
        let Place::Channel(group) = opened.place else {
            return None;
        };
        let said = self.state.in_thread(group, opened.number_for(0)?);
        let group = self.state.channels.get(&group)?;
        Some(
            types::MessageReplies {
                comments: true,
                replies: i32::try_from(said.len()).unwrap_or(i32::MAX),
                replies_pts: group.pts,
                recent_repliers: None,
                channel_id: Some(group.id),
                max_id: said.last().copied(),
                read_max_id: None,
            }
            .into(),
        )
    }
}

/// What stands in a topic "answers" the message that began it.
fn in_topic(topic: i32) -> types::MessageReplyHeader {
    types::MessageReplyHeader {
        forum_topic: true,
        reply_to_msg_id: Some(topic),
        ..blank::reply()
    }
}
