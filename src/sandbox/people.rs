//! What can be done from outside to users and chats themselves, beside posting: names, roles, histories, migration,
//! deletion. For those in the same process; the control port is made of it.

use serde::Deserialize;

use super::acts::{NewFile, Who};
use super::handle::{World, peer};
use super::rpc::KeyId;
use super::world::archive::ARCHIVE;
use super::world::chat::Role;
use super::world::marks::Marks;
use super::world::names::Collectible;
use super::world::topics::{COLOUR, TopicChange};
use super::world::touching::Touch;
use super::world::weather::Weather;
use super::world::{Passing, Peer, Refusal, State};

/// What is otherwise about a user from now on; what is not given stays.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Profile {
    /// First name.
    pub first_name: Option<String>,
    /// Last name.
    pub last_name: Option<String>,
    /// A made-up picture, by the number that it is drawn from.
    pub picture: Option<u64>,
    /// What others forward of it tells its name only.
    pub hidden_forwards: Option<bool>,
}

fn channel(chat: i64) -> Result<i64, Refusal> {
    match peer(chat)? {
        Peer::Channel(id) => Ok(id),
        _ => Err(Refusal::bad("CHANNEL_INVALID")),
    }
}

/// Keeps a picture that is drawn from a number.
fn drawn(state: &mut State, seed: u64) -> Result<i64, Refusal> {
    state.new_photo(&NewFile {
        generate: Some(seed),
        ..NewFile::default()
    })
}

impl World {
    /// Gives a user, channel or supergroup its public name, or takes it away: then a channel is private.
    pub fn set_username(&self, chat: i64, username: Option<&str>) -> Result<(), Refusal> {
        let peer = peer(chat)?;
        self.telegram.world(|state| {
            state.set_username(peer, username)?;
            state.tell_name(peer);
            Ok(())
        })
    }

    /// Gives a user, channel or supergroup these collectible names and no others.
    pub fn set_collectibles(&self, chat: i64, names: Vec<Collectible>) -> Result<(), Refusal> {
        let peer = peer(chat)?;
        self.telegram.world(|state| {
            state.set_collectibles(peer, names)?;
            state.tell_name(peer);
            Ok(())
        })
    }

    /// Gives a public name that somebody has to somebody else.
    pub fn hand_over(&self, name: &str, to: i64) -> Result<(), Refusal> {
        let to = peer(to)?;
        self.telegram.world(|state| state.hand_over(name, to))
    }

    /// Gives a user, channel or supergroup these marks of Telegram's and no others.
    pub fn set_marks(&self, chat: i64, marks: Marks) -> Result<(), Refusal> {
        let peer = peer(chat)?;
        self.telegram.world(|state| state.set_marks(peer, marks))
    }

    /// Gives a chat a picture, as who made it; drawn from a number.
    pub fn set_picture(&self, chat: i64, seed: u64) -> Result<(), Refusal> {
        let peer = peer(chat)?;
        self.telegram.world(|state| {
            let creator = state.head_of(peer)?;
            let photo = drawn(state, seed)?;
            state.set_picture(creator, peer, photo)
        })
    }

    /// Changes a user's names and picture.
    pub fn set_profile(&self, user: i64, profile: Profile) -> Result<(), Refusal> {
        self.telegram.world(|state| {
            let picture = profile.picture.map(|seed| drawn(state, seed)).transpose()?;
            let account = state.account_mut(user)?;
            if profile
                .first_name
                .as_ref()
                .is_some_and(|name| name.trim().is_empty())
            {
                return Err(Refusal::bad("FIRSTNAME_INVALID"));
            }
            let renamed = profile.first_name.is_some() || profile.last_name.is_some();
            account.first_name = profile.first_name.unwrap_or_else(|| account.first_name.clone());
            account.last_name = profile.last_name.unwrap_or_else(|| account.last_name.clone());
            account.hidden_forwards = profile.hidden_forwards.unwrap_or(account.hidden_forwards);
            account.photo = picture.or(account.photo);
            if renamed {
                state.tell_name(Peer::User(user));
            }
            if picture.is_some() {
                state.tell_acquaintances(user, &Passing::User { user });
            }
            Ok(())
        })
    }

    /// Deletes an account.
    pub fn delete_account(&self, user: i64) -> Result<(), Refusal> {
        let keys = self.telegram.world(|state| state.delete_account(user))?;
        for key in keys {
            self.telegram.hub().disconnect(KeyId(key));
        }
        Ok(())
    }

    /// Gives a member of a chat another role, as who runs it would: promoted, put out, let in again.
    pub fn set_role(&self, chat: i64, user: i64, role: Role) -> Result<(), Refusal> {
        let peer = peer(chat)?;
        self.telegram.world(|state| state.set_role(peer, user, role))
    }

    /// Lets a member's ban or muteness in a channel end at a time, in seconds.
    pub fn limit_ban(&self, chat: i64, user: i64, until: i32) -> Result<(), Refusal> {
        let id = channel(chat)?;
        self.telegram.world(|state| state.limit_ban(id, user, until))
    }

    /// Says who of those who run a supergroup writes in its name: these and no others.
    pub fn set_anonymous(&self, chat: i64, users: &[i64]) -> Result<(), Refusal> {
        let id = channel(chat)?;
        self.telegram.world(|state| state.set_anonymous(id, users))
    }

    /// Lets nothing be forwarded out of a chat, or lets it again, as who made the chat.
    pub fn protect(&self, chat: i64, protected: bool) -> Result<(), Refusal> {
        let peer = peer(chat)?;
        self.telegram.world(|state| {
            let creator = state.head_of(peer)?;
            state.protect(creator, peer, protected)
        })
    }

    /// Lets a channel's posts be discussed in a supergroup, as who made the channel; without one, nowhere.
    pub fn link(&self, chat: i64, group: Option<i64>) -> Result<(), Refusal> {
        let id = channel(chat)?;
        let group = group.map(channel).transpose()?;
        self.telegram.world(|state| {
            let creator = state.head_of(Peer::Channel(id))?;
            state.link(creator, id, group)
        })
    }

    /// Makes a supergroup of a basic group, as its creator; answers its number.
    pub fn migrate(&self, chat: i64) -> Result<i64, Refusal> {
        let Peer::Group(id) = peer(chat)? else {
            return Err(Refusal::bad("CHAT_ID_INVALID"));
        };
        self.telegram
            .world(|state| {
                let creator = state.head_of(Peer::Group(id))?;
                state.migrate(creator, id)
            })
            .map(|channel| Peer::Channel(channel).bot_api())
    }

    /// Sends so many updates of the stream that is nobody's message, to all who are logged in: the first ones by this
    /// seed. 58 or more are of every kind.
    pub fn weather(&self, seed: i64, gusts: i64) {
        for number in 0..gusts {
            self.telegram.world(|state| state.gust(seed, number));
        }
    }

    /// Lets that stream go on by itself from now on, or ends it.
    pub fn set_weather(&self, weather: Option<Weather>) {
        self.telegram.world(|state| state.weather = weather);
    }

    /// The stream as it goes on, if it does.
    pub fn weather_now(&self) -> Option<Weather> {
        self.telegram.look(|state| state.weather)
    }

    /// The next update of the stream, if it goes on.
    pub(super) fn next_gust(&self) {
        if self.weather_now().is_some() {
            self.telegram.world(State::next_gust);
        }
    }

    /// Deletes a channel or supergroup, as its creator.
    pub fn delete_channel(&self, chat: i64) -> Result<(), Refusal> {
        let id = channel(chat)?;
        self.telegram.world(|state| {
            let creator = state.head_of(Peer::Channel(id))?;
            state.delete_channel(creator, id)
        })
    }

    /// Clears a channel's history for one member alone, up to a message; 0 means all of it.
    pub fn clear_history(&self, chat: i64, user: i64, max_id: i32) -> Result<(), Refusal> {
        let id = channel(chat)?;
        self.telegram.world(|state| state.clear_for(user, id, max_id))
    }

    /// Clears a chat's history for all sides, up to a message, as a user who may; 0 means all of it. Answers how many
    /// messages went.
    pub fn clear_for_all(&self, chat: i64, user: i64, max_id: i32) -> Result<i32, Refusal> {
        let peer = peer(chat)?;
        self.telegram
            .world(|state| state.clear_for_all(user, peer, max_id))
    }

    /// Pins chats to the top of a user's list, in this order; all others are pinned no longer.
    pub fn pin_dialogs(&self, user: i64, chats: &[i64]) -> Result<(), Refusal> {
        let chats: Vec<Peer> = chats.iter().map(|chat| peer(*chat)).collect::<Result<_, _>>()?;
        self.telegram.world(|state| state.pin_dialogs(user, chats))
    }

    /// Puts these chats of a user into the archive; all others are in the main list.
    pub fn archive(&self, user: i64, chats: &[i64]) -> Result<(), Refusal> {
        let wanted: Vec<Peer> = chats.iter().map(|chat| peer(*chat)).collect::<Result<_, _>>()?;
        self.telegram.world(|state| {
            let account = state.account(user)?;
            let before = account.archived.iter().filter(|peer| account.lists(**peer));
            let back = before.filter(|peer| !wanted.contains(peer));
            let moves = back.map(|peer| (*peer, 0));
            let moves: Vec<_> = moves.chain(wanted.iter().map(|peer| (*peer, ARCHIVE))).collect();
            state.move_to_lists(user, &moves)
        })
    }

    /// Changes a message in a way that is no edit: counters, a keyboard, or nothing that shows. `viewer` says whose
    /// number is meant; in channels it is nobody's.
    pub fn touch(&self, chat: i64, id: i32, viewer: Option<&Who>, touch: Touch) -> Result<(), Refusal> {
        let peer = peer(chat)?;
        self.telegram.world(|state| {
            let viewer = match viewer {
                Some(viewer) => state.who(viewer)?,
                None => state.head_of(peer)?,
            };
            state.touch(viewer, peer, id, touch)
        })
    }

    /// Puts a reaction on a message, or takes it away.
    pub fn react(&self, chat: i64, id: i32, from: &Who, emoji: Option<&str>) -> Result<(), Refusal> {
        let peer = peer(chat)?;
        self.telegram.world(|state| {
            let from = state.who(from)?;
            state.react(from, peer, id, emoji, false)
        })
    }

    /// Makes a forum of a supergroup, or the other way round.
    pub fn set_forum(&self, chat: i64, enabled: bool) -> Result<(), Refusal> {
        let id = channel(chat)?;
        self.telegram.world(|state| {
            let creator = state.head_of(Peer::Channel(id))?;
            state.toggle_forum(creator, id, enabled)
        })
    }

    /// Begins a topic in a forum; answers its number.
    pub fn add_topic(&self, chat: i64, from: impl Into<Who>, title: &str) -> Result<i32, Refusal> {
        let (id, from) = (channel(chat)?, from.into());
        self.telegram.world(|state| {
            let by = state.who(&from)?;
            state.create_topic(by, id, title, (COLOUR, None), 0)
        })
    }

    /// Changes a topic of a forum.
    pub fn edit_topic(&self, chat: i64, topic: i32, from: &Who, change: TopicChange) -> Result<(), Refusal> {
        let id = channel(chat)?;
        self.telegram.world(|state| {
            let by = state.who(from)?;
            state.edit_topic(by, id, topic, change)
        })
    }

    /// Deletes a topic with all that stands in it; answers how many messages went.
    pub fn delete_topic(&self, chat: i64, topic: i32) -> Result<i32, Refusal> {
        let id = channel(chat)?;
        self.telegram.world(|state| {
            let creator = state.head_of(Peer::Channel(id))?;
            state.delete_topic(creator, id, topic)
        })
    }

    /// Hides a supergroup's history from all who come in from now on, or no longer.
    pub fn hide_history(&self, chat: i64, hidden: bool) -> Result<(), Refusal> {
        let id = channel(chat)?;
        self.telegram.world(|state| {
            let creator = state.head_of(Peer::Channel(id))?;
            state.hide_history(creator, id, hidden)
        })
    }
}
