//! Protection of private chats: either side may keep what is said there from being forwarded, each for itself. One lifts
//! its own; for the other side's it asks, and that one agrees within a day.

use super::content::{Action, Body};
use super::place::{Peer, Place};
use super::posting::Draft;
use super::refusal::Refusal;
use super::state::State;

/// For how long one may agree to what was asked (milliseconds).
const ASKED: i64 = 86_400_000;

impl State {
    /// Whether an account protects the private chat with another one.
    pub fn guards(&self, account: i64, other: i64) -> bool {
        self.guards.contains(&(account, other))
    }

    /// Whether either side protects a private chat.
    pub(super) fn is_guarded(&self, one: i64, other: i64) -> bool {
        self.guards(one, other) || self.guards(other, one)
    }

    /// Protects a private chat, or lifts that. `asked` is the message in which the other side asked for it.
    pub fn guard(&mut self, by: i64, other: i64, on: bool, asked: Option<i32>) -> Result<(), Refusal> {
        if by == other {
            return Err(Refusal::bad("PEER_ID_INVALID"));
        }
        self.account(other)?;
        let before = self.is_guarded(by, other);
        let own = self.guards(by, other);
        if let Some(asked) = asked {
            self.was_asked(by, other, asked)?;
        }
        let action = match (on, own) {
            (true, false) => {
                self.guards.insert((by, other));
                Action::Guarded { before, now: true }
            }
            (false, true) => {
                self.guards.remove(&(by, other));
                let now = self.is_guarded(by, other);
                Action::Guarded { before, now }
            }
            (false, false) if before => Action::AskedToShare,
            _ => return Err(Refusal::bad("CHAT_NOT_MODIFIED")),
        };
        self.post(by, Peer::User(other), Draft::service(action)).map(drop)
    }

    fn was_asked(&self, by: i64, other: i64, asked: i32) -> Result<(), Refusal> {
        let content = self.find(by, Peer::User(other), asked);
        let asks = content.filter(|it| it.body == Body::Service(Action::AskedToShare) && it.author == other);
        let good = asks.is_some_and(|it| self.now - it.stored_at <= ASKED);
        good.then_some(()).ok_or(Refusal::bad("REQUEST_MSG_EXPIRED"))
    }

    /// Whether what is posted in this place may not be forwarded.
    pub fn protected(&self, place: Place) -> bool {
        match place {
            Place::Private(one, other) => self.is_guarded(one, other),
            Place::Group(id) => self.groups.get(&id).is_some_and(|group| group.noforwards),
            Place::Channel(id) => self.channels.get(&id).is_some_and(|channel| channel.noforwards),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_side_protects_and_lifts_its_own_or_what_it_was_asked_for() {
        let mut state = State::new(3);
        let ann = state.add_user(None, "", "Ann", "").expect("a user");
        let bob = state.add_user(None, "", "Bob", "").expect("a user");
        let place = Place::of(ann, Peer::User(bob));
        let not_modified = Err(Refusal::bad("CHAT_NOT_MODIFIED"));
        assert_eq!(state.guard(ann, bob, false, None), not_modified);
        assert_eq!(state.guard(ann, bob, true, None), Ok(()));
        assert_eq!(state.guard(ann, bob, true, None), not_modified);
        assert!(state.protected(place));
        state.guard(bob, ann, false, None).expect("asked");
        assert!(state.protected(place), "asking lifts nothing");
        let expired = Err(Refusal::bad("REQUEST_MSG_EXPIRED"));
        assert_eq!(state.guard(ann, bob, false, Some(1)), expired);
        assert_eq!(state.guard(ann, bob, false, Some(2)), Ok(()));
        assert!(!state.protected(place));
    }
}
