//! In whose name a message stands: its author's, a channel's with or without a signature, or a supergroup's; and what of
//! that a forward tells. It does not say who may write: that is asked of the author.

use std::collections::BTreeSet;

use super::chat::Role;
use super::content::{Content, Forward};
use super::place::{Peer, Place};
use super::refusal::Refusal;
use super::state::{Passing, State};

/// In whose name a message stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Voice {
    /// Whose, if not its author's.
    pub sender: Option<Peer>,
    /// The name that a channel signs it with.
    pub signature: Option<String>,
}

impl Voice {
    /// In this name.
    pub fn of(sender: Peer) -> Self {
        Self {
            sender: Some(sender),
            signature: None,
        }
    }
}

impl State {
    /// In whose name this author writes there.
    pub fn voice(&self, author: i64, place: Place) -> Voice {
        let Place::Channel(id) = place else {
            return Voice::default();
        };
        let Some(channel) = self.channels.get(&id) else {
            return Voice::default();
        };
        let signs = channel.broadcast && channel.marks.signatures && self.switches.signed_posts.decides();
        let runs = channel.role(author).is_some_and(Role::runs);
        let unnamed = !channel.broadcast && runs && channel.anonymous.contains(&author);
        Voice {
            sender: (unnamed && self.switches.anonymous_admins.decides()).then_some(Peer::Channel(id)),
            signature: signs.then(|| self.full_name(author)),
        }
    }

    /// What a forward tells of where a message comes from.
    pub fn origin(&self, content: &Content) -> Forward {
        if let Place::Channel(id) = content.place
            && self.channels.get(&id).is_some_and(|channel| channel.broadcast)
        {
            return Forward {
                post: content.number_for(content.author),
                signature: content.signature.clone(),
                ..Forward::of(Peer::Channel(id), content.date())
            };
        }
        let from = content.sender.unwrap_or(Peer::User(content.author));
        let author = self.accounts.get(&content.author);
        let wishes = content.sender.is_none() && author.is_some_and(|account| account.hidden_forwards);
        let hides = wishes && self.switches.hidden_forwards.decides();
        Forward {
            hidden_name: hides.then(|| self.full_name(content.author)),
            ..Forward::of(from, content.date())
        }
    }

    /// First and last name.
    fn full_name(&self, user: i64) -> String {
        let account = self.accounts.get(&user);
        let name = account.map(|account| format!("{} {}", account.first_name, account.last_name));
        name.map(|name| name.trim().to_owned()).unwrap_or_default()
    }

    /// Says who of those who run a supergroup writes in its name from now on: these and no others.
    pub fn set_anonymous(&mut self, id: i64, users: &[i64]) -> Result<(), Refusal> {
        let channel = self.channel_mut(id)?;
        let runs = |user: &i64| channel.role(*user).is_some_and(Role::runs);
        if channel.broadcast || !users.iter().all(runs) {
            return Err(Refusal::bad("USER_ADMIN_INVALID"));
        }
        let now: BTreeSet<i64> = users.iter().copied().collect();
        let before = std::mem::replace(&mut channel.anonymous, now.clone());
        for user in before.symmetric_difference(&now) {
            self.mention(*user, Passing::Channel { channel: id });
        }
        Ok(())
    }
}
