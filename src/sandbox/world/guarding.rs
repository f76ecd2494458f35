//! Protection of private chats: either side may keep what is said there from being forwarded, each for itself. One lifts
//! its own; for the other side's it asks, and that one answers within a day, once: it lifts it or keeps it.

use super::content::{Action, Body, Reply, Uid};
use super::place::{Peer, Place};
use super::posting::Draft;
use super::refusal::Refusal;
use super::state::State;

/// For how long one may answer what was asked (milliseconds).
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

    /// Protects a private chat, or lifts that. `asked` is the message in which the other side asked for the latter: it
    /// is answered once, by lifting the protection or by keeping it.
    pub fn guard(&mut self, by: i64, other: i64, on: bool, asked: Option<i32>) -> Result<(), Refusal> {
        if by == other {
            return Err(Refusal::bad("PEER_ID_INVALID"));
        }
        self.may_write(by, Peer::User(other), false)?;
        if let Some(refusal) = self.blocked(by, other) {
            return Err(refusal);
        }
        let before = self.is_guarded(by, other);
        let own = self.guards(by, other);
        let asked = asked.map(|asked| self.was_asked(by, other, asked));
        let asked = asked.transpose()?;
        if asked.is_none() && !on && !own && before {
            let asking = Draft::service(Action::AskedToShare);
            return self.post(by, Peer::User(other), asking).map(drop);
        }
        if asked.is_none() && on == own {
            return Err(Refusal::bad("CHAT_NOT_MODIFIED"));
        }
        match on {
            // Who is asked and keeps it has it already.
            true if asked.is_some() => {}
            true => drop(self.guards.insert((by, other))),
            false => drop(self.guards.remove(&(by, other))),
        }
        if let Some(uid) = asked {
            self.answer_asked(uid);
        }
        let now = self.is_guarded(by, other);
        let told = Draft {
            reply: asked.map(|to| Reply { to, quote: None }),
            ..Draft::service(Action::Guarded { before, now })
        };
        self.post(by, Peer::User(other), told).map(drop)
    }

    /// The message in which an account was asked to share, if it may still answer.
    fn was_asked(&self, by: i64, other: i64, asked: i32) -> Result<Uid, Refusal> {
        let content = self.find(by, Peer::User(other), asked);
        let asks = content.filter(|it| it.body == Body::Service(Action::AskedToShare) && it.author == other);
        let good = asks.filter(|it| self.now - it.stored_at <= ASKED);
        good.map(|it| it.uid).ok_or(Refusal::bad("REQUEST_MSG_EXPIRED"))
    }

    /// What was asked is answered: both sides are told that it is over.
    fn answer_asked(&mut self, uid: Uid) {
        if let Some(content) = self.contents.get_mut(&uid) {
            content.body = Body::Service(Action::AnsweredToShare);
        }
        self.tell_edited(uid);
    }

    /// Whether an account may begin to protect a private chat: that is for subscribers. Who is asked may keep it anyhow.
    pub fn may_guard(&self, by: i64) -> Result<(), Refusal> {
        let premium = self.account(by)?.marks.premium;
        premium
            .then_some(())
            .ok_or(Refusal::forbidden("PREMIUM_ACCOUNT_REQUIRED"))
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
        assert_eq!(state.guard(ann, bob, false, Some(2)), expired, "once");
    }

    #[test]
    fn who_is_asked_may_keep_it_and_who_is_blocked_asks_nothing() {
        let mut state = State::new(3);
        let ann = state.add_user(None, "", "Ann", "").expect("a user");
        let bob = state.add_user(None, "", "Bob", "").expect("a user");
        state.guard(ann, bob, true, None).expect("protected");
        state.guard(bob, ann, false, None).expect("asked");
        assert_eq!(state.guard(ann, bob, true, Some(2)), Ok(()));
        assert!(state.guards(ann, bob));
        let said = |state: &State, id| state.find(ann, Peer::User(bob), id).map(|it| it.body.clone());
        let kept = Action::Guarded {
            before: true,
            now: true,
        };
        assert_eq!(said(&state, 2), Some(Body::Service(Action::AnsweredToShare)));
        assert_eq!(said(&state, 3), Some(Body::Service(kept)));
        let expired = Err(Refusal::bad("REQUEST_MSG_EXPIRED"));
        assert_eq!(state.guard(ann, bob, false, Some(2)), expired, "once");
        state.account_mut(ann).expect("there").blocked.insert(bob);
        let blocked = Err(Refusal::bad("USER_IS_BLOCKED"));
        assert_eq!(state.guard(bob, ann, false, None), blocked);
        assert_eq!(
            state.may_guard(ann),
            Err(Refusal::forbidden("PREMIUM_ACCOUNT_REQUIRED"))
        );
    }
}
