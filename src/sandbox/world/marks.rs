//! What Telegram itself says about a user or channel, beside what they say about themselves, and the pictures of chats.

use serde::{Deserialize, Serialize};

use super::chat::Role;
use super::content::Action;
use super::place::{Peer, Place};
use super::posting::Draft;
use super::refusal::Refusal;
use super::state::{Passing, State};

/// The marks of a user or channel. Those that make no sense for it are passed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Marks {
    /// Telegram has checked who it is.
    pub verified: bool,
    /// Many have complained of fraud.
    pub scam: bool,
    /// It passes itself off as somebody else.
    pub fake: bool,
    /// Some may not see it, for a reason that is told.
    pub restricted: bool,
    /// A user who pays.
    pub premium: bool,
    /// A channel that signs its posts.
    pub signatures: bool,
    /// A supergroup in which only members write.
    pub join_to_send: bool,
    /// A supergroup that lets in whom its admins let in.
    pub join_request: bool,
    /// A supergroup in which only admins write.
    pub gigagroup: bool,
}

impl State {
    /// Gives a user or channel these marks and no others.
    pub fn set_marks(&mut self, peer: Peer, marks: Marks) -> Result<(), Refusal> {
        match peer {
            Peer::User(user) => {
                self.account_mut(user)?.marks = marks;
                self.tell_acquaintances(user, &Passing::User { user });
            }
            Peer::Channel(channel) => {
                self.channel_mut(channel)?.marks = marks;
                for member in self.audience(Place::Channel(channel)) {
                    self.mention(member, Passing::Channel { channel });
                }
            }
            Peer::Group(_) => return Err(Refusal::bad("PEER_ID_INVALID")),
        }
        Ok(())
    }

    /// Lets nothing be forwarded out of a chat, what was said before included; or lets it again.
    pub fn protect(&mut self, by: i64, peer: Peer, protected: bool) -> Result<(), Refusal> {
        if !matches!(peer, Peer::User(_)) && self.protected(Place::of(by, peer)) == protected {
            return Err(Refusal::bad("CHAT_NOT_MODIFIED"));
        }
        match peer {
            Peer::User(other) => self.guard(by, other, protected, None),
            Peer::Channel(id) => self.adjust_channel(by, id, |channel| channel.noforwards = protected),
            Peer::Group(id) => {
                self.not_migrated(id, "CHAT_ID_INVALID")?;
                let group = self.group_mut(id)?;
                if !group.role(by).is_some_and(Role::runs) {
                    return Err(Refusal::bad("CHAT_ADMIN_REQUIRED"));
                }
                group.noforwards = protected;
                if self.switches.protection_told.decides() {
                    for member in self.audience(Place::Group(id)) {
                        self.mention(member, Passing::Group { group: id });
                    }
                }
                Ok(())
            }
        }
    }

    /// Gives a basic group, supergroup or channel another picture, and says so in it.
    pub fn set_picture(&mut self, by: i64, peer: Peer, photo: i64) -> Result<(), Refusal> {
        match peer {
            Peer::User(_) => return Err(Refusal::bad("PEER_ID_INVALID")),
            Peer::Group(id) => {
                self.not_migrated(id, "CHAT_ID_INVALID")?;
                self.group_mut(id)?.photo = Some(photo);
            }
            Peer::Channel(id) => self.channel_mut(id)?.photo = Some(photo),
        }
        self.post(by, peer, Draft::service(Action::Pictured { photo }))?;
        Ok(())
    }
}
