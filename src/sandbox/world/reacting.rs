//! Reactions: who put which on a message. One an account and message, as for everybody without a subscription.
//!
//! A change is an event in the sequences of all who hold the message (a hidden edit, as Telegram makes it), and is
//! told besides to its author. Not promised: marks of unread reactions.

use serde::{Deserialize, Serialize};

use super::chat::Role;
use super::content::Body;
use super::place::{Peer, Place};
use super::refusal::Refusal;
use super::state::{Passing, State};

/// What anybody may react with.
const KNOWN: &str = "👍 👎 ❤ 🔥 🥰 👏 😁 🤔 🤯 😱 🤬 😢 🎉 🤩 🤮 💩 🙏 👌 🕊 🤡 🥱 🥴 😍 🐳 ❤‍🔥 🌚 🌭 💯 🤣 ⚡ 🍌 🏆 💔 🤨 😐 🍓 🍾 💋 🖕 😈 😴 \
                     😭 🤓 👻 👨‍💻 👀 🎃 🙈 😇 😨 🤝 ✍ 🤗 🫡 🎅 🎄 ☃ 💅 🤪 🗿 🆒 💘 🙉 🦄 😘 💊 🙊 😎 👾 🤷‍♂ 🤷 🤷‍♀ 😡";

/// The sign that asks for the coloured form of a character; reactions are named without it.
const COLOURED: char = '\u{fe0f}';

/// A reaction to a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reaction {
    /// Whose.
    pub user: i64,
    /// Which.
    pub emoji: String,
    /// Since when, in seconds.
    pub date: i32,
    /// With the larger animation.
    pub big: bool,
}

impl State {
    /// Puts a reaction on a message in the place of one's former, or takes that away.
    pub fn react(
        &mut self,
        account: i64,
        peer: Peer,
        id: i32,
        emoji: Option<&str>,
        big: bool,
    ) -> Result<(), Refusal> {
        let emoji = emoji.map(|emoji| emoji.replace(COLOURED, ""));
        if emoji
            .as_ref()
            .is_some_and(|emoji| !KNOWN.split(' ').any(|it| it == emoji))
        {
            return Err(Refusal::bad("REACTION_INVALID"));
        }
        let content = self
            .find(account, peer, id)
            .filter(|content| matches!(content.body, Body::Said { .. }))
            .ok_or(Refusal::bad("MESSAGE_ID_INVALID"))?;
        let (uid, place, author) = (content.uid, content.place, content.author);
        let former = content.reactions.iter().find(|it| it.user == account);
        if former.map(|it| &it.emoji) == emoji.as_ref() {
            return Err(Refusal::bad("MESSAGE_NOT_MODIFIED"));
        }
        self.may_react(account, place)?;
        let (now, date) = (self.now, self.date());
        let Some(content) = self.contents.get_mut(&uid) else {
            return Err(Refusal::bad("MESSAGE_ID_INVALID"));
        };
        content.reactions.retain(|it| it.user != account);
        content.reactions.extend(emoji.map(|emoji| Reaction {
            user: account,
            emoji,
            date,
            big,
        }));
        content.reacted_at = Some(now);
        let broadcast = matches!(place, Place::Channel(id) if self.channel(id)?.broadcast);
        let mut hear = vec![account];
        hear.extend((author != account && !broadcast).then_some(author));
        for user in hear {
            let held = self.contents.get(&uid).and_then(|it| it.number_for(user));
            if let Some(id) = held {
                let peer = place.seen_by(user);
                self.mention(user, Passing::Reactions { peer, id });
            }
        }
        self.tell_edited(uid);
        Ok(())
    }

    fn may_react(&self, account: i64, place: Place) -> Result<(), Refusal> {
        let role = match place {
            Place::Private(..) => return Ok(()),
            Place::Group(id) => self.group(id)?.role(account),
            Place::Channel(id) => self.channel(id)?.role(account),
        };
        match role {
            Some(Role::Muted) => Err(Refusal::bad("USER_BANNED_IN_CHANNEL")),
            Some(role) if role.present() => Ok(()),
            _ => Err(Refusal::bad("CHANNEL_PRIVATE")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::account::What;
    use super::super::posting::Draft;
    use super::super::state::News;
    use super::*;

    fn two() -> (State, i64, i64, i32) {
        let mut state = State::new(3);
        let ann = state.add_user(None, "15550001", "Ann", "").expect("made");
        let ben = state.add_user(None, "15550002", "Ben", "").expect("made");
        let uid = state
            .post(ann, Peer::User(ben), Draft::text("hello"))
            .expect("posted");
        let id = state.contents[&uid].number_for(ben).expect("held");
        state.news.clear();
        (state, ann, ben, id)
    }

    #[test]
    fn a_reaction_is_a_hidden_edit_and_its_message_s_author_hears_of_it() {
        let (mut state, ann, ben, id) = two();
        state
            .react(ben, Peer::User(ann), id, Some("❤\u{fe0f}"), false)
            .expect("reacted");
        let mut told: Vec<i64> = Vec::new();
        let mut edits = 0;
        for news in &state.news {
            match news {
                News::Passing {
                    account,
                    what: Passing::Reactions { .. },
                } => told.push(*account),
                News::Account { entry, .. } if matches!(entry.what, What::Edited { .. }) => edits += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((told, edits), (vec![ben, ann], 2));
        let content = state.find(ben, Peer::User(ann), id).expect("there");
        assert_eq!(content.reactions[0].emoji, "❤");
        assert_eq!(content.edited_at, None);
    }

    #[test]
    fn one_at_a_time_and_only_known_ones() {
        let (mut state, ann, ben, id) = two();
        let mut react = |emoji| state.react(ben, Peer::User(ann), id, emoji, false);
        assert_eq!(react(Some("🔥")), Ok(()));
        assert_eq!(react(Some("🔥")), Err(Refusal::bad("MESSAGE_NOT_MODIFIED")));
        assert_eq!(react(Some("🧀")), Err(Refusal::bad("REACTION_INVALID")));
        assert_eq!(react(Some("👍")), Ok(()));
        assert_eq!(react(None), Ok(()));
        assert_eq!(react(None), Err(Refusal::bad("MESSAGE_NOT_MODIFIED")));
    }
}
