//! What changes about a message and is no edit of its author's: views and forwards that are counted, a keyboard, an edit
//! that shows nothing. Counters have no place in a sequence; the rest is an edit that Telegram marks as hidden.

use serde::Deserialize;

use super::account::What;
use super::content::{Content, Forward, Uid};
use super::place::{Peer, Place};
use super::refusal::Refusal;
use super::state::{Passing, State};

/// What changes; what is `None` stays.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Touch {
    /// Of a channel's post: how often it was seen.
    pub views: Option<i32>,
    /// Of a channel's post: how often it was forwarded.
    pub forwards: Option<i32>,
    /// The words in the input field of a keyboard that asks for an answer.
    pub keyboard: Option<String>,
}

impl Touch {
    /// Whether nothing but counters change.
    fn only_counts(&self) -> bool {
        self.keyboard.is_none() && (self.views.is_some() || self.forwards.is_some())
    }
}

impl State {
    /// Changes a message that this account knows as `id`, without an edit that shows.
    pub fn touch(&mut self, account: i64, peer: Peer, id: i32, touch: Touch) -> Result<(), Refusal> {
        let invalid = Refusal::bad("MESSAGE_ID_INVALID");
        let uid = self.find(account, peer, id).ok_or(invalid.clone())?.uid;
        let (now, hidden) = (self.now, !touch.only_counts());
        let content = self.contents.get_mut(&uid).ok_or(invalid)?;
        if let Some(words) = touch.keyboard {
            content.keyboard = Some(words);
        }
        if hidden {
            content.touched_at = Some(now);
        }
        let place = content.place;
        if let Place::Channel(channel) = place {
            let number = content.number_for(0).unwrap_or(id);
            let views = touch.views.filter(|views| *views != content.views());
            let forwards = touch.forwards.filter(|forwards| *forwards != content.forwards);
            content.views = views.map_or(content.views, |views| views.saturating_sub(1));
            content.forwards = forwards.unwrap_or(content.forwards);
            if views.is_some() {
                self.tell_counter(channel, &Passing::Views { channel, id: number });
            }
            if forwards.is_some() {
                self.tell_counter(channel, &Passing::Forwards { channel, id: number });
            }
        }
        if hidden {
            self.tell_edited(uid);
        }
        Ok(())
    }

    /// Somebody looks at posts of a channel, which is counted once.
    pub fn look_at(&mut self, account: i64, channel: i64, ids: &[i32]) {
        for id in ids {
            let Some(uid) = self.find(account, Peer::Channel(channel), *id).map(|it| it.uid) else {
                continue;
            };
            let Some(content) = self.contents.get_mut(&uid) else {
                continue;
            };
            if content.author != account && content.viewed_by.insert(account) {
                content.views = content.views.saturating_add(1);
                self.tell_counter(channel, &Passing::Views { channel, id: *id });
            }
        }
    }

    /// A channel's post was forwarded.
    pub(super) fn count_forward(&mut self, forward: Option<&Forward>) {
        let Some((Peer::Channel(channel), Some(id))) = forward.map(|forward| (forward.from, forward.post))
        else {
            return;
        };
        let uid = self
            .channels
            .get(&channel)
            .and_then(|channel| channel.held.get(&id));
        let Some(post) = uid.and_then(|uid| self.contents.get_mut(uid)) else {
            return;
        };
        post.forwards = post.forwards.saturating_add(1);
        self.tell_counter(channel, &Passing::Forwards { channel, id });
    }

    fn tell_counter(&mut self, channel: i64, what: &Passing) {
        if !self.switches.counters_told.decides() {
            return;
        }
        for member in self.audience(Place::Channel(channel)) {
            self.mention(member, what.clone());
        }
    }

    /// Tells all who hold a message of its new form.
    pub(super) fn tell_edited(&mut self, uid: Uid) {
        let known = self.contents.get(&uid);
        let Some((place, copies)) = known.map(|content| (content.place, content.copies.clone())) else {
            return;
        };
        for (holder, id) in copies {
            let what = What::Edited { id };
            match place {
                Place::Channel(channel) => self.tell_channel(channel, 1, what),
                _ => self.tell(holder, 1, what),
            };
        }
    }
}

impl Content {
    /// How often it was seen: its author saw it first.
    pub fn views(&self) -> i32 {
        self.views.saturating_add(1)
    }

    /// When it was last changed in a way that does not show.
    pub fn hidden_edit(&self) -> Option<i64> {
        self.touched_at.max(self.reacted_at)
    }
}
