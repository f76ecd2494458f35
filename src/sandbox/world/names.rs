//! Public names: the one that somebody chose, and collectible ones, which were bought and may change hands. A name
//! leads to one user or channel at a time.

use serde::{Deserialize, Serialize};

use super::place::{Peer, Place};
use super::refusal::Refusal;
use super::state::{Passing, State};

/// A name that was bought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Collectible {
    /// The name, without the at sign.
    pub name: String,
    /// Whether it leads to its holder now.
    #[serde(default = "yes")]
    pub active: bool,
}

fn yes() -> bool {
    true
}

impl State {
    /// Gives a user or a channel its public name, or takes it away.
    pub fn set_username(&mut self, peer: Peer, username: Option<&str>) -> Result<(), Refusal> {
        let wanted = username
            .map(|name| name.trim_start_matches('@'))
            .filter(|name| !name.is_empty());
        if let Some(name) = wanted {
            self.check_name(peer, name)?;
        }
        let slot = match peer {
            Peer::User(id) => &mut self.account_mut(id)?.username,
            Peer::Channel(id) => &mut self.channel_mut(id)?.username,
            Peer::Group(_) => return Err(Refusal::bad("PEER_ID_INVALID")),
        };
        let before = std::mem::replace(slot, wanted.map(str::to_owned));
        if let Some(before) = before {
            self.names.remove(&before.to_lowercase());
        }
        if let Some(name) = wanted {
            self.names.insert(name.to_lowercase(), peer);
        }
        Ok(())
    }

    /// Gives a user or channel these collectible names and no others.
    pub fn set_collectibles(&mut self, peer: Peer, names: Vec<Collectible>) -> Result<(), Refusal> {
        for collectible in &names {
            self.check_name(peer, &collectible.name)?;
        }
        let slot = self.collectibles_mut(peer)?;
        let active: Vec<String> = names
            .iter()
            .filter(|it| it.active)
            .map(|it| it.name.clone())
            .collect();
        let before = std::mem::replace(slot, names);
        for collectible in before {
            self.names.remove(&collectible.name.to_lowercase());
        }
        for name in active {
            self.names.insert(name.to_lowercase(), peer);
        }
        Ok(())
    }

    /// Gives a name that somebody has to somebody else. Both are told, and all who know them.
    pub fn hand_over(&mut self, name: &str, to: Peer) -> Result<(), Refusal> {
        let key = name.trim_start_matches('@').to_lowercase();
        let from = self.names.get(&key).copied();
        let from = from.ok_or(Refusal::bad("USERNAME_NOT_OCCUPIED"))?;
        self.collectibles_mut(to)?;
        let held = self.collectibles_mut(from)?;
        let bought = held.iter().position(|it| it.name.to_lowercase() == key);
        let collectible = bought.map(|at| held.remove(at));
        self.names.remove(&key);
        match collectible {
            Some(collectible) => {
                self.collectibles_mut(to)?.push(collectible);
                self.names.insert(key, to);
            }
            None => {
                self.set_username(from, None)?;
                self.set_username(to, Some(name))?;
            }
        }
        self.tell_name(from);
        self.tell_name(to);
        Ok(())
    }

    /// Tells those who know a user or channel that it is called otherwise.
    pub fn tell_name(&mut self, peer: Peer) {
        match peer {
            Peer::User(user) => self.tell_acquaintances(user, &Passing::UserName { user }),
            Peer::Channel(channel) => {
                for member in self.audience(Place::Channel(channel)) {
                    self.mention(member, Passing::Channel { channel });
                }
            }
            Peer::Group(_) => {}
        }
    }

    /// Tells something about a user to its own logins and to all who have a private chat with it or know its number.
    pub fn tell_acquaintances(&mut self, user: i64, what: &Passing) {
        if !self.switches.profile_updates.decides() {
            return;
        }
        let knows = |account: &super::account::Account| {
            account.id == user
                || account.contacts.contains(&user)
                || account.dialogs.contains_key(&Peer::User(user))
        };
        let mut told: Vec<i64> = (self.accounts.values())
            .filter(|account| knows(account))
            .map(|account| account.id)
            .collect();
        told.sort_unstable();
        for account in told {
            self.mention(account, what.clone());
        }
    }

    fn collectibles_mut(&mut self, peer: Peer) -> Result<&mut Vec<Collectible>, Refusal> {
        match peer {
            Peer::User(id) => Ok(&mut self.account_mut(id)?.collectibles),
            Peer::Channel(id) => Ok(&mut self.channel_mut(id)?.collectibles),
            Peer::Group(_) => Err(Refusal::bad("PEER_ID_INVALID")),
        }
    }

    /// Whether somebody may be called this.
    fn check_name(&self, peer: Peer, name: &str) -> Result<(), Refusal> {
        let fits = (4..=32).contains(&name.len())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && name.starts_with(|c: char| c.is_ascii_alphabetic());
        if !fits {
            return Err(Refusal::bad("USERNAME_INVALID"));
        }
        match self.names.get(&name.to_lowercase()) {
            Some(holder) if *holder != peer => Err(Refusal::bad("USERNAME_OCCUPIED")),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_changes_hands_leads_to_its_new_holder() {
        let mut state = State::new(1);
        let ann = state.add_user(None, "", "Ann", "").expect("a user");
        let bob = state.add_user(None, "", "Bob", "").expect("a user");
        let bought = Collectible {
            name: "Rare".into(),
            active: true,
        };
        state.set_username(Peer::User(ann), Some("ann_a")).expect("free");
        state
            .set_collectibles(Peer::User(ann), vec![bought])
            .expect("free");
        for name in ["rare", "ann_a"] {
            assert_eq!(state.names.get(name), Some(&Peer::User(ann)));
            state.hand_over(name, Peer::User(bob)).expect("hers");
            assert_eq!(state.names.get(name), Some(&Peer::User(bob)));
        }
        assert_eq!(state.accounts[&ann].username, None);
        assert!(state.accounts[&ann].collectibles.is_empty());
        let taken = state.set_username(Peer::User(ann), Some("rare"));
        assert_eq!(taken, Err(Refusal::bad("USERNAME_OCCUPIED")));
    }
}
