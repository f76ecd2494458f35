//! Reactions as records of the schema.

use grammers_tl_types::{enums, types};

use super::Viewer;
use crate::sandbox::world::content::Content;
use crate::sandbox::world::reacting::Reaction;
use crate::sandbox::world::{Peer, Place};

/// How many of those who reacted last are named with a message.
const RECENT: usize = 3;

impl Viewer<'_> {
    /// The reactions to a message, if there are any.
    pub fn reactions(&self, content: &Content) -> Option<enums::MessageReactions> {
        (!content.reactions.is_empty()).then(|| self.all_reactions(content))
    }

    /// The reactions to a message, maybe none: most frequent first, and, but for channels, who reacted last.
    fn all_reactions(&self, content: &Content) -> enums::MessageReactions {
        let mut counted: Vec<(&str, i32)> = Vec::new();
        for reaction in &content.reactions {
            match counted.iter_mut().find(|it| it.0 == reaction.emoji) {
                Some(known) => known.1 += 1,
                None => counted.push((&reaction.emoji, 1)),
            }
        }
        counted.sort_by_key(|it| -it.1);
        let own = content.reactions.iter().find(|it| it.user == self.account);
        let result = |(emoji, count): (&str, i32)| {
            types::ReactionCount {
                chosen_order: own.filter(|it| it.emoji == emoji).map(|_| 1),
                reaction: named(emoji),
                count,
            }
            .into()
        };
        let shown = self.shows_who(content);
        let recent = || {
            let latest = content.reactions.iter().rev().take(RECENT);
            latest.map(|it| self.reacted(it)).collect()
        };
        types::MessageReactions {
            min: false,
            can_see_list: shown,
            reactions_as_tags: false,
            results: counted.into_iter().map(result).collect(),
            recent_reactions: (shown && !content.reactions.is_empty()).then(recent),
            top_reactors: None,
        }
        .into()
    }

    /// Whether it is told who reacted: in channels it is not.
    pub fn shows_who(&self, content: &Content) -> bool {
        match content.place {
            Place::Channel(id) => self.state.channels.get(&id).is_some_and(|it| !it.broadcast),
            _ => true,
        }
    }

    /// Somebody's reaction.
    pub fn reacted(&self, reaction: &Reaction) -> enums::MessagePeerReaction {
        types::MessagePeerReaction {
            big: reaction.big,
            unread: false,
            my: reaction.user == self.account,
            peer_id: self.name(Peer::User(reaction.user)),
            date: reaction.date,
            reaction: named(&reaction.emoji),
        }
        .into()
    }

    /// How the reactions to a message stand, as an update.
    pub fn reactions_update(&self, peer: Peer, id: i32) -> Option<enums::Update> {
        let content = self.state.find(self.account, peer, id)?;
        Some(
            types::UpdateMessageReactions {
                peer: self.name(peer),
                msg_id: id,
                top_msg_id: None,
                saved_peer_id: None,
                reactions: self.all_reactions(content),
            }
            .into(),
        )
    }
}

fn named(emoji: &str) -> enums::Reaction {
    types::ReactionEmoji {
        emoticon: emoji.to_owned(),
    }
    .into()
}
