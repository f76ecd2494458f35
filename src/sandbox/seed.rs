//! A world out of a readable file (TOML): users, chats, first messages. Names given to users and chats
//! hold within the file only.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::acts::{NewChat, NewChatKind, NewMessage, NewUser, Who};
use super::world::account::{DC, SECOND_DC};
use super::world::marks::Marks;
use super::world::password::Password;
use super::world::{Peer, Refusal, State};

/// What a seed file holds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Seed {
    /// Users.
    pub users: Vec<SeedUser>,
    /// Chats.
    pub chats: Vec<SeedChat>,
    /// Messages, in their order.
    pub messages: Vec<SeedMessage>,
}

/// A user of a seed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedUser {
    /// What the file calls it; also its username if none is given.
    pub name: String,
    /// Its number.
    #[serde(default)]
    pub id: Option<i64>,
    /// Its phone number.
    #[serde(default)]
    pub phone: String,
    /// First name; the file's name for it if not given.
    #[serde(default)]
    pub first_name: String,
    /// Last name.
    #[serde(default)]
    pub last_name: String,
    /// Username.
    #[serde(default)]
    pub username: Option<String>,
    /// A few words.
    #[serde(default)]
    pub about: String,
    /// A bot.
    #[serde(default)]
    pub bot: bool,
    /// Its password (2FA); none if not given.
    #[serde(default)]
    pub password: Option<String>,
    /// What helps to remember it.
    #[serde(default)]
    pub hint: String,
    /// The data centre where it lives; the first if not given, or if there is no other.
    #[serde(default)]
    pub dc: Option<i32>,
    /// Whom it has in its contacts, by the file's names.
    #[serde(default)]
    pub contacts: Vec<String>,
    /// What others forward of it tells its name only.
    #[serde(default)]
    pub hidden_forwards: bool,
}

/// A chat of a seed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedChat {
    /// What the file calls it.
    pub name: String,
    /// What it is.
    pub kind: NewChatKind,
    /// Telegram's own (bare) number of it.
    #[serde(default)]
    pub id: Option<i64>,
    /// Its title.
    pub title: String,
    /// A few words.
    #[serde(default)]
    pub about: String,
    /// Its public name.
    #[serde(default)]
    pub username: Option<String>,
    /// Who makes it.
    pub creator: String,
    /// Who is in it.
    #[serde(default)]
    pub members: Vec<String>,
    /// Who helps to run it.
    #[serde(default)]
    pub admins: Vec<String>,
    /// Seconds between two messages of a member.
    #[serde(default)]
    pub slow_mode: i32,
    /// Its messages may not be forwarded.
    #[serde(default)]
    pub protected: bool,
    /// Its posts are signed.
    #[serde(default)]
    pub signatures: bool,
    /// Who of those who run it writes in its name.
    #[serde(default)]
    pub anonymous: Vec<String>,
    /// The supergroup, named further up, where a channel's posts are discussed.
    #[serde(default)]
    pub discussion: Option<String>,
}

/// A message of a seed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedMessage {
    /// Who posts it.
    pub from: String,
    /// In which chat, or to which user.
    pub to: String,
    /// The words.
    pub text: String,
}

/// A seed that cannot be planted.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// Not the format.
    #[error("the seed file is not valid")]
    Format(#[source] toml::de::Error),
    /// A name that stands for nobody.
    #[error("{place} names {name:?}, which the seed does not define")]
    Unknown {
        /// Where it stands.
        place: String,
        /// The name.
        name: String,
    },
    /// The world does not take it.
    #[error("{place} is refused")]
    Refused {
        /// Which entry.
        place: String,
        /// Why.
        #[source]
        source: Refusal,
    },
}

impl Seed {
    /// Reads a seed file.
    pub fn parse(text: &str) -> Result<Self, SeedError> {
        toml::from_str(text).map_err(SeedError::Format)
    }

    /// The small world that the command starts with if it is given none.
    pub fn example() -> Result<Self, SeedError> {
        Self::parse(include_str!("example.toml"))
    }

    /// Plants it into a world.
    pub fn plant(self, state: &mut State) -> Result<(), SeedError> {
        let mut users: HashMap<String, i64> = HashMap::new();
        let mut chats: HashMap<String, Peer> = HashMap::new();
        for user in &self.users {
            let place = format!("user {:?}", user.name);
            let first_name = if user.first_name.is_empty() {
                &user.name
            } else {
                &user.first_name
            };
            let new = NewUser {
                id: user.id,
                phone: user.phone.clone(),
                first_name: first_name.clone(),
                last_name: user.last_name.clone(),
                username: user.username.clone(),
                about: user.about.clone(),
                bot: user.bot,
            };
            let id = state.new_user(new).map_err(|source| SeedError::Refused {
                place: place.clone(),
                source,
            })?;
            if user.dc.is_some_and(|dc| dc != DC && dc != SECOND_DC) {
                let source = Refusal::bad("DC_ID_INVALID");
                return Err(SeedError::Refused { place, source });
            }
            let account = state
                .account_mut(id)
                .map_err(|source| SeedError::Refused { place, source })?;
            let password = user.password.as_ref();
            account.password = password.map(|password| Password::new(password, &user.hint));
            account.hidden_forwards = user.hidden_forwards;
            account.dc = user.dc.unwrap_or(account.dc);
            users.insert(user.name.clone(), id);
        }
        let find = |place: &str, name: &String| {
            users.get(name).copied().ok_or(SeedError::Unknown {
                place: place.to_owned(),
                name: name.clone(),
            })
        };
        for user in &self.users {
            let place = format!("user {:?}", user.name);
            let contacts: Vec<i64> = user
                .contacts
                .iter()
                .map(|name| find(&place, name))
                .collect::<Result<_, _>>()?;
            let id = find(&place, &user.name)?;
            let account = state
                .account_mut(id)
                .map_err(|source| SeedError::Refused { place, source })?;
            account.contacts.extend(contacts);
        }
        for chat in self.chats {
            let place = format!("chat {:?}", chat.name);
            let all = |names: &[String]| -> Result<Vec<Who>, SeedError> {
                names.iter().map(|name| find(&place, name).map(Who::Id)).collect()
            };
            let new = NewChat {
                kind: chat.kind,
                id: chat.id,
                title: chat.title,
                about: chat.about,
                username: chat.username,
                creator: Who::Id(find(&place, &chat.creator)?),
                members: all(&chat.members)?,
                admins: all(&chat.admins)?,
                slow_mode: chat.slow_mode,
                protected: chat.protected,
            };
            let anonymous: Vec<i64> = chat
                .anonymous
                .iter()
                .map(|name| find(&place, name))
                .collect::<Result<_, _>>()?;
            let made = state
                .new_chat(new)
                .and_then(|peer| voices(state, peer, chat.signatures, &anonymous).map(|()| peer));
            let peer = made.map_err(|source| SeedError::Refused { place, source })?;
            if let Some(name) = chat.discussion {
                let place = format!("chat {:?}", chat.name);
                let Some(group) = chats.get(&name).copied() else {
                    return Err(SeedError::Unknown { place, name });
                };
                let linked = link(state, peer, group);
                linked.map_err(|source| SeedError::Refused { place, source })?;
            }
            chats.insert(chat.name, peer);
        }
        for (number, message) in self.messages.into_iter().enumerate() {
            let place = format!("message {}", number + 1);
            let from = find(&place, &message.from)?;
            let peer = match chats.get(&message.to) {
                Some(peer) => *peer,
                None => Peer::User(find(&place, &message.to)?),
            };
            let posted = state.new_message(peer, NewMessage::text(from, &message.text));
            posted.map_err(|source| SeedError::Refused { place, source })?;
        }
        Ok(())
    }
}

/// Lets a channel's posts be discussed in a supergroup.
fn link(state: &mut State, channel: Peer, group: Peer) -> Result<(), Refusal> {
    let (Peer::Channel(id), Peer::Channel(group)) = (channel, group) else {
        return Err(Refusal::bad("MEGAGROUP_ID_INVALID"));
    };
    let creator = state.head_of(channel)?;
    state.link(creator, id, Some(group))
}

/// In whose names it is written in a chat.
fn voices(state: &mut State, peer: Peer, signatures: bool, anonymous: &[i64]) -> Result<(), Refusal> {
    if signatures {
        let marks = Marks {
            signatures,
            ..Marks::default()
        };
        state.set_marks(peer, marks)?;
    }
    match peer {
        Peer::Channel(id) if !anonymous.is_empty() => state.set_anonymous(id, anonymous),
        _ if anonymous.is_empty() => Ok(()),
        _ => Err(Refusal::bad("CHANNEL_INVALID")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_makes_a_world() {
        let mut state = State::new(1);
        Seed::example()
            .expect("an example")
            .plant(&mut state)
            .expect("planted");
        let view = state.view();
        assert!(
            view.users
                .iter()
                .any(|user| user.username.as_deref() == Some("alice"))
        );
        assert!(view.chats.iter().any(|chat| chat.kind == "channel"));
        assert!(state.contents.len() > view.chats.len());
    }

    #[test]
    fn a_user_may_have_a_password_and_live_elsewhere() {
        let seed = Seed::parse("[[users]]\nname='dora'\npassword='x'\nhint='a letter'\ndc=4\n");
        let mut state = State::new(1);
        seed.expect("reads").plant(&mut state).expect("planted");
        let dora = |state: &State| {
            let users = state.view().users.into_iter();
            let mut found = users.filter(|user| user.first_name == "dora");
            found.next().map(|user| (user.password, user.dc))
        };
        assert_eq!(dora(&state), Some((true, 2)), "there is no other");
        let nowhere = Seed::parse("[[users]]\nname='dora'\ndc=3\n").expect("reads");
        let error = nowhere.plant(&mut State::new(1)).expect_err("there is no third");
        assert_eq!(error.to_string(), "user \"dora\" is refused");
        state.centres = vec![2, 4];
        assert_eq!(dora(&state), Some((true, 4)));
    }

    #[test]
    fn an_unknown_name_is_told_with_its_place() {
        let seed = Seed::parse("[[chats]]\nname='x'\nkind='group'\ntitle='X'\ncreator='nobody'\n");
        let error = seed
            .expect("reads")
            .plant(&mut State::new(1))
            .expect_err("nobody is unknown");
        assert_eq!(
            error.to_string(),
            "chat \"x\" names \"nobody\", which the seed does not define"
        );
        assert!(Seed::parse("[[users]]\nnom='x'\n").is_err());
    }
}
