//! The world for those in the same process: demo, tests, benches. The control port is made of it.

use super::acts::{NewChat, NewMessage, NewUser, Who};
use super::faults::{Fault, Kind};
use super::requests::Request;
use super::rpc::KeyId;
use super::telegram::Telegram;
use super::view::{MessageView, WorldView};
use super::wire::Connections;
use super::world::entities::Entity;
use super::world::state::digits;
use super::world::{Passing, Peer, Refusal};

/// The most texts of one burst.
const BURST_MAX: u32 = 1000;

/// A handle on the world. Cheap to clone. Chats are named by the Bot API's numbers.
#[derive(Clone)]
pub struct World {
    pub(super) telegram: Telegram,
}

/// The peer behind a Bot API number.
pub fn peer(chat: i64) -> Result<Peer, Refusal> {
    Peer::from_bot_api(chat).ok_or(Refusal::bad("PEER_ID_INVALID"))
}

impl World {
    /// A handle on the world of this service.
    pub fn new(telegram: Telegram) -> Self {
        Self { telegram }
    }

    /// All users and chats.
    pub fn view(&self) -> WorldView {
        self.telegram.world(|state| state.view())
    }

    /// Makes a user; answers its number.
    pub fn add_user(&self, new: NewUser) -> Result<i64, Refusal> {
        self.telegram.world(|state| state.new_user(new))
    }

    /// Makes a user with a phone number and a first name; answers its number.
    pub fn user(&self, phone: &str, first_name: &str) -> Result<i64, Refusal> {
        let (phone, first_name) = (phone.to_owned(), first_name.to_owned());
        self.add_user(NewUser {
            phone,
            first_name,
            ..NewUser::default()
        })
    }

    /// Makes a chat; answers its number.
    pub fn add_chat(&self, new: NewChat) -> Result<i64, Refusal> {
        self.telegram
            .world(|state| state.new_chat(new))
            .map(Peer::bot_api)
    }

    /// Brings users into a chat, as its creator would.
    pub fn join(&self, chat: i64, users: &[i64]) -> Result<(), Refusal> {
        let peer = peer(chat)?;
        self.telegram.world(|state| {
            let inviter = state.head_of(peer)?;
            state.bring_in(inviter, peer, users)
        })
    }

    /// Takes a user out of a chat, on its own wish.
    pub fn leave(&self, chat: i64, user: i64) -> Result<(), Refusal> {
        let peer = peer(chat)?;
        self.telegram.world(|state| state.take_out(user, peer, user))
    }

    /// Posts a message into a chat as a user (an album as several); answers them as the sender numbers
    /// them.
    pub fn post(&self, chat: i64, new: NewMessage) -> Result<Vec<MessageView>, Refusal> {
        let peer = peer(chat)?;
        self.telegram.world(|state| {
            let from = state.who(&new.from)?;
            let uids = state.new_message(peer, new)?;
            let contents = uids.iter().filter_map(|uid| state.contents.get(uid));
            Ok(contents
                .filter_map(|content| state.view_message(from, content))
                .collect())
        })
    }

    /// Posts texts, `count` (1 to 1,000) at once, each with its number after it; answers the first's and the
    /// last's number as the sender has it.
    pub fn burst(&self, chat: i64, who: &Who, text: &str, count: u32) -> Result<(i32, i32), Refusal> {
        let peer = peer(chat)?;
        if !(1..=BURST_MAX).contains(&count) {
            return Err(Refusal::bad("LIMIT_INVALID"));
        }
        self.telegram.world(|state| {
            let from = state.who(who)?;
            let mut bounds = None;
            for number in 1..=count {
                let new = NewMessage::text(from, &format!("{text} №{number}"));
                let uids = state.new_message(peer, new)?;
                let posted = uids.first().and_then(|uid| state.contents.get(uid));
                let posted = posted.and_then(|content| state.view_message(from, content));
                let id = posted.ok_or(Refusal::bad("MESSAGE_EMPTY"))?.id;
                bounds = Some((bounds.map_or(id, |(first, _)| first), id));
            }
            bounds.ok_or(Refusal::bad("LIMIT_INVALID"))
        })
    }

    /// Posts a text; answers its number as the sender has it.
    pub fn say(&self, chat: i64, from: i64, text: &str) -> Result<i32, Refusal> {
        let posted = self.post(chat, NewMessage::text(from, text))?;
        posted
            .first()
            .map(|message| message.id)
            .ok_or(Refusal::bad("MESSAGE_EMPTY"))
    }

    /// Edits a message as a user.
    pub fn edit(
        &self,
        chat: i64,
        id: i32,
        who: impl Into<Who>,
        text: &str,
        entities: Vec<Entity>,
    ) -> Result<(), Refusal> {
        let (peer, who) = (peer(chat)?, who.into());
        self.telegram
            .world(|state| state.change_message(peer, id, &who, text, entities))
            .map(|_| ())
    }

    /// Deletes a message for all sides, as a user; answers how many went.
    pub fn delete(&self, chat: i64, id: i32, who: impl Into<Who>) -> Result<i32, Refusal> {
        let (peer, who) = (peer(chat)?, who.into());
        self.telegram.world(|state| state.drop_message(peer, id, &who))
    }

    /// The messages of a chat after number `since`, oldest first. Private chats and basic groups are
    /// numbered by each member on its own: `viewer` says whose numbers are meant.
    pub fn messages(
        &self,
        chat: i64,
        viewer: Option<i64>,
        since: i32,
        limit: usize,
        deleted: bool,
    ) -> Result<Vec<MessageView>, Refusal> {
        let peer = peer(chat)?;
        self.telegram.world(|state| {
            let viewer = match (peer, viewer) {
                (_, Some(viewer)) => state.account(viewer)?.id,
                (Peer::Channel(id), None) => state.channel(id).map(|_| 0)?,
                (Peer::Group(id), None) => state
                    .group(id)?
                    .present()
                    .next()
                    .ok_or(Refusal::bad("CHAT_ID_INVALID"))?,
                (Peer::User(_), None) => return Err(Refusal::bad("USER_ID_INVALID")),
            };
            Ok(state.view_messages(viewer, peer, since, limit, deleted))
        })
    }

    /// The last messages of a channel or supergroup that stand, oldest first; no more work in a long chat than in
    /// a short one.
    pub fn latest(&self, chat: i64, limit: usize) -> Result<Vec<MessageView>, Refusal> {
        let Peer::Channel(channel) = peer(chat)? else {
            return Err(Refusal::bad("CHANNEL_INVALID"));
        };
        self.telegram.world(|state| {
            let held = &state.channel(channel)?.held;
            let since = held.keys().rev().nth(limit).copied().unwrap_or(0);
            Ok(state.view_messages(0, Peer::Channel(channel), since, limit, false))
        })
    }

    /// The last login code of a phone number, if one is open.
    pub fn code(&self, phone: &str) -> Option<String> {
        let phone = digits(phone);
        self.telegram
            .world(|state| state.keys.codes.get(&phone).map(|code| code.code.clone()))
    }

    /// Adds a fault. Those that act at once are carried out and answered, but not kept.
    pub fn fault(&self, fault: Fault) -> Result<Fault, Refusal> {
        match fault.kind.at_once() {
            true => self.strike(&fault).map(|()| fault),
            false => Ok(self.telegram.faults().add(fault)),
        }
    }

    /// All faults.
    pub fn faults(&self) -> Vec<Fault> {
        self.telegram.faults().list().to_vec()
    }

    /// Takes a fault away, or all; ends an outage. Answers how many went.
    pub fn clear_faults(&self, id: Option<u64>) -> usize {
        if id.is_none() {
            self.telegram.hub().resume();
        }
        self.telegram.faults().remove(id)
    }

    fn strike(&self, fault: &Fault) -> Result<(), Refusal> {
        self.telegram.flush_all();
        let hub = self.telegram.hub();
        let keys: Vec<i64> = self.telegram.world(|state| match fault.account {
            Some(account) => state.account(account).map(|account| account.keys.clone()),
            None => Ok(state.keys.known.keys().copied().collect()),
        })?;
        match &fault.kind {
            Kind::Outage { milliseconds } => {
                let all = fault.account.is_none();
                match all {
                    true => hub.pause(),
                    false => keys.iter().for_each(|key| hub.set_away(KeyId(*key), true)),
                }
                let (hub, length) = (hub.clone(), std::time::Duration::from_millis(*milliseconds));
                tokio::spawn(async move {
                    tokio::time::sleep(length).await;
                    match all {
                        true => hub.resume(),
                        false => keys.iter().for_each(|key| hub.set_away(KeyId(*key), false)),
                    }
                });
            }
            Kind::Disconnect => keys.iter().for_each(|key| hub.disconnect(KeyId(*key))),
            Kind::Revoke { name } => {
                let account = fault.account;
                self.telegram.world(|state| {
                    if let Some(account) = account {
                        state.mention(account, Passing::TooLong);
                    }
                });
                self.telegram.world(|state| {
                    for key in &keys {
                        state.end_key(*key, name);
                    }
                });
                keys.iter().for_each(|key| hub.unsubscribe(KeyId(*key)));
            }
            Kind::ForgetKey => {
                self.telegram.world(|state| {
                    for key in &keys {
                        state.log_out(*key);
                        state.keys.forget(*key);
                    }
                });
                keys.iter().for_each(|key| hub.forget(KeyId(*key)));
            }
            Kind::ForgetSession => keys.iter().for_each(|key| hub.forget_sessions(KeyId(*key))),
            Kind::AskStates => keys.iter().for_each(|key| hub.ask_states(KeyId(*key))),
            Kind::ForgetRandomIds => {
                let account = fault.account;
                self.telegram.world(|state| {
                    state
                        .sent
                        .retain(|(author, _, _), _| account.is_some_and(|account| account != *author));
                });
            }
            Kind::PushTooLong => {
                let chat = match fault.chat {
                    Some(chat) => Some(peer(chat)?),
                    None => None,
                };
                self.telegram.world(|state| {
                    let all: Vec<i64> = match fault.account {
                        Some(account) => vec![account],
                        None => state.accounts.keys().copied().collect(),
                    };
                    for account in all {
                        match chat {
                            Some(Peer::Channel(channel)) => {
                                state.mention(account, Passing::ChannelTooLong { channel });
                            }
                            _ => state.mention(account, Passing::TooLong),
                        }
                    }
                });
            }
            _ => {}
        }
        Ok(())
    }

    /// What became of connections to the server.
    pub fn connections(&self) -> Connections {
        self.telegram.hub().connections()
    }

    /// Puts limits on speed into use whose clock goes so many times faster, or none.
    pub fn set_limits(&self, factor: Option<u32>) {
        self.telegram.set_limits(factor);
    }

    /// The limits on speed, and what came inside their waits.
    pub fn limits(&self) -> serde_json::Value {
        self.telegram.limits()
    }

    /// The last calls, newest last.
    pub fn requests(&self, account: Option<i64>, method: Option<&str>, limit: usize) -> Vec<Request> {
        self.telegram.requests().recent(account, method, limit)
    }

    /// How often each method was called, by outcome.
    pub fn counts(
        &self,
    ) -> std::collections::BTreeMap<&'static str, std::collections::BTreeMap<String, u64>> {
        self.telegram.requests().counts().clone()
    }
}
