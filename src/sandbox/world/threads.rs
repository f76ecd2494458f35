//! Threads of supergroups outside of forums: what answers a message, and what answers that, stands in the thread of the
//! first one; and where a part that an answer quotes stands in the answered message.

use std::collections::BTreeSet;

use super::content::{Content, Reply};
use super::entities::{Entity, Kind, units};
use super::place::{Peer, Place};
use super::state::State;

impl State {
    /// The message that began the thread in which an answer stands; none where there are no threads.
    pub(super) fn thread_of(&self, place: Place, reply: Option<&Reply>) -> Option<i32> {
        let Place::Channel(id) = place else { return None };
        let channel = self.channels.get(&id)?;
        if channel.broadcast || channel.forum {
            return None;
        }
        let answered = self.contents.get(&reply?.to)?;
        match answered.place == place {
            true => answered.thread.or_else(|| answered.number_for(0)),
            false => None,
        }
    }

    /// Finds the threads of a world that was kept before there were any.
    pub fn find_threads(&mut self) {
        let answers = self.contents.values().filter_map(|content| match content.place {
            Place::Channel(id) if content.thread.is_none() && content.reply.is_some() => {
                Some((id, content.number_for(0)?, content.uid))
            }
            _ => None,
        });
        // Ascending: a thread is found by the message that is answered, be it deleted.
        for (id, _, uid) in answers.collect::<BTreeSet<_>>() {
            let content = self.contents.get(&uid);
            let thread = content.and_then(|it| self.thread_of(Place::Channel(id), it.reply.as_ref()));
            if let Some(content) = self.contents.get_mut(&uid)
                && thread.is_some()
            {
                content.thread = thread;
            }
        }
    }

    /// The messages of a thread, ascending, without the one that began it.
    pub fn in_thread(&self, id: i64, began: i32) -> Vec<i32> {
        let Some(channel) = self.channels.get(&id) else {
            return Vec::new();
        };
        let within = |content: &Content| content.thread == Some(began);
        let behind = channel.held.range(began.saturating_add(1)..);
        let held = behind.filter(|(_, uid)| self.contents.get(uid).is_some_and(within));
        held.map(|(id, _)| *id).collect()
    }

    /// Whether an account may see a message: one that answers it tells of it by number then, else of its author only.
    pub fn may_see(&self, account: i64, content: &Content) -> bool {
        let Some(number) = content.number_for(account) else {
            return false;
        };
        match content.place.seen_by(account) {
            Peer::Channel(id) => self
                .channels
                .get(&id)
                .is_some_and(|channel| channel.readable_by(account) && number > channel.hidden_from(account)),
            _ => true,
        }
    }
}

/// Where quoted words stand in a text: of several places the one nearest to where the client says.
pub fn quoted_at(text: &str, words: &str, near: Option<i32>) -> Option<i32> {
    let text: Vec<u16> = text.encode_utf16().collect();
    let words: Vec<u16> = words.encode_utf16().collect();
    if words.is_empty() {
        return None;
    }
    let found = text.windows(words.len()).enumerate();
    let places = found.filter(|(_, part)| *part == words);
    let places = places.filter_map(|(at, _)| i32::try_from(at).ok());
    places.min_by_key(|at| at.abs_diff(near.unwrap_or(0)))
}

/// The spans that a quote keeps: those of letters, within its words.
pub fn quoted_spans(spans: Vec<Entity>, words: &str) -> Vec<Entity> {
    let end = i64::from(units(words));
    let kept = |span: &Entity| {
        let letters = matches!(
            span.kind,
            Kind::Bold
                | Kind::Italic
                | Kind::Underline
                | Kind::Strikethrough
                | Kind::Spoiler
                | Kind::CustomEmoji
        );
        let inside =
            span.offset >= 0 && span.length > 0 && i64::from(span.offset) + i64::from(span.length) <= end;
        letters && inside
    };
    spans.into_iter().filter(kept).collect()
}

#[cfg(test)]
mod tests {
    use super::super::posting::Draft;
    use super::*;

    #[test]
    fn a_world_without_threads_finds_them() {
        let mut state = State::new(3);
        let ann = state.add_user(None, "", "Ann", "").expect("a user");
        let id = state.add_channel(None, ann, "Talk", false, &[]).expect("a group");
        let mut said = |answers: Option<u64>| {
            let draft = Draft {
                reply: answers.map(|to| Reply { to, quote: None }),
                ..Draft::text("so")
            };
            state.post(ann, Peer::Channel(id), draft).expect("posted")
        };
        let first = said(None);
        let second = said(Some(first));
        let third = said(Some(second));
        let threads = |state: &State| [first, second, third].map(|uid| state.contents[&uid].thread);
        let found = threads(&state);
        assert!(found[1].is_some() && found[1] == found[2]);
        for uid in [second, third] {
            state.contents.get_mut(&uid).expect("posted").thread = None;
        }
        state.find_threads();
        assert_eq!(threads(&state), found);
    }

    #[test]
    fn a_quote_stands_at_the_nearest_place() {
        assert_eq!(quoted_at("ab ab ab", "ab", None), Some(0));
        assert_eq!(quoted_at("ab ab ab", "ab", Some(4)), Some(3));
        assert_eq!(quoted_at("ab ab ab", "ab", Some(99)), Some(6));
        assert_eq!(quoted_at("👋 ab", "ab", Some(0)), Some(3), "in UTF-16 units");
        assert_eq!(quoted_at("ab", "abc", None), None);
        assert_eq!(quoted_at("ab", "", None), None);
    }

    #[test]
    fn a_quote_keeps_its_formatting_and_no_links() {
        let spans = vec![
            Entity::plain(Kind::Bold, 0, 2),
            Entity::plain(Kind::Url, 0, 2),
            Entity::plain(Kind::Italic, 1, 9),
        ];
        assert_eq!(quoted_spans(spans, "abc"), [Entity::plain(Kind::Bold, 0, 2)]);
    }
}
