//! What goes by itself: messages with a time to live, media that may be seen once, and a history that somebody clears
//! for all. When the next message is due is told by [`State::wakes`]; the clock is others'.

use std::collections::BTreeMap;

use super::account::What;
use super::content::{Content, Media, Uid};
use super::place::{Peer, Place};
use super::refusal::Refusal;
use super::state::State;

/// The time to live of media that go as soon as they were seen.
const ONCE: i32 = i32::MAX;

/// How long to wait for a clock that was put back, in milliseconds.
const A_MOMENT: i64 = 100;

impl Content {
    /// Whether what it carries is gone, because somebody saw it.
    pub fn is_burnt(&self, now: i64) -> bool {
        self.burns_at.is_some_and(|at| at <= now)
    }
}

impl State {
    /// Whether media may have a time to live there: what is seen does, and among people.
    pub(super) fn check_ttl(&self, author: i64, peer: Peer, media: Option<&Media>) -> Result<(), Refusal> {
        let seen = match media {
            Some(Media::File { file, .. }) => self.files.stored.get(file).map(|file| file.kind.word()),
            _ => None,
        };
        let among_people = matches!(peer, Peer::User(other) if other != author);
        let may = among_people && matches!(seen, Some("photo" | "video" | "voice" | "video_note"));
        may.then_some(()).ok_or(Refusal::bad("TTL_MEDIA_INVALID"))
    }

    /// A message was posted: it is remembered when it goes, and that its media may not be handed on.
    pub(super) fn note_ttl(&mut self, uid: Uid) {
        let Some(content) = self.contents.get(&uid) else {
            return;
        };
        let period = content.ttl_period.map(|period| i64::from(period) * 1000);
        let due = period.map(|period| content.stored_at + period);
        if content.ttl_seconds.is_some()
            && let Some(Media::File { file, .. }) = content.media()
            && let Some(stored) = self.files.stored.get_mut(file)
        {
            stored.vanishes = true;
        }
        if let Some(due) = due {
            self.vanishing.insert((due, uid));
            self.wait_for_next();
        }
    }

    /// After a start nobody waits for what is still to go.
    pub fn wake_again(&mut self) {
        self.waking = None;
        self.wait_for_next();
    }

    /// Somebody has to wait for what goes next, unless somebody does already.
    fn wait_for_next(&mut self) {
        if let Some((due, _)) = self.vanishing.first() {
            self.wait_until(*due);
        }
    }

    fn wait_until(&mut self, at: i64) {
        if self.waking.is_none_or(|waking| at < waking) {
            self.waking = Some(at);
            self.wakes.push(at);
        }
    }

    /// The time for which somebody waited has come, as far as it knows: the world's clock may stand still since a
    /// clock was put back, and then there is some more to wait.
    pub fn wake(&mut self, at: i64) {
        if self.waking == Some(at) {
            self.waking = None;
        }
        let early = |(due, _): &(i64, Uid)| *due <= at;
        if self.now < at && self.vanishing.first().is_some_and(early) {
            self.wait_until(self.now + A_MOMENT);
        }
        self.vanish();
    }

    /// Deletes what is due, for all who hold it: what goes at once is told together.
    pub fn vanish(&mut self) {
        let rest = self.vanishing.split_off(&(self.now + 1, 0));
        let due = std::mem::replace(&mut self.vanishing, rest);
        let (mut copies, mut posts) = (Vec::new(), BTreeMap::<i64, Vec<i32>>::new());
        for (_, uid) in due {
            let known = self
                .contents
                .get(&uid)
                .filter(|content| content.deleted_at.is_none());
            match known.map(|content| (content.place, content.number_for(0))) {
                Some((Place::Channel(channel), Some(number))) => {
                    posts.entry(channel).or_default().push(number);
                }
                Some((Place::Channel(_), None)) | None => {}
                Some(_) => copies.push((uid, None)),
            }
        }
        for (holder, ids) in self.drop_copies(copies) {
            let points = i32::try_from(ids.len()).unwrap_or(i32::MAX);
            self.tell(holder, points, What::Deleted { ids });
        }
        for (channel, numbers) in posts {
            if let Err(refusal) = self.drop_posts(channel, &numbers) {
                tracing::debug!(%channel, name = %refusal.name, "posts of a channel that is gone");
            }
        }
        self.wait_for_next();
    }

    /// Deletes a chat's whole history up to a message (0: all of it) for all sides, as one who may. Answers how many
    /// went.
    pub fn clear_for_all(&mut self, user: i64, peer: Peer, max_id: i32) -> Result<i32, Refusal> {
        let concerned = |id: &i32| max_id == 0 || *id <= max_id;
        match peer {
            Peer::Channel(id) => {
                let held = self.channel(id)?.held.keys().copied();
                let ids: Vec<i32> = held.filter(concerned).collect();
                self.delete_in_channel(user, id, &ids)
            }
            _ => {
                let held = self.dialog(user, peer).map(|dialog| dialog.ids.clone());
                let ids: Vec<i32> = held.into_iter().flatten().filter(concerned).collect();
                self.delete(user, &ids, true)
            }
        }
    }

    /// Somebody saw what a message carries: it goes at once, or in a while.
    pub(super) fn burn(&mut self, uid: Uid) {
        let now = self.now;
        if let Some(content) = self.contents.get_mut(&uid)
            && let Some(seconds) = content.ttl_seconds
            && content.burns_at.is_none()
        {
            let rest = if seconds == ONCE {
                0
            } else {
                i64::from(seconds) * 1000
            };
            content.burns_at = Some(now + rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::posting::Draft;
    use super::*;

    fn post(state: &mut State, who: (i64, i64), seconds: i32) {
        let draft = Draft {
            ttl_period: Some(seconds),
            ..Draft::text("soon gone")
        };
        state.post(who.0, Peer::User(who.1), draft).expect("posted");
    }

    #[test]
    fn one_waits_for_what_goes_next_be_it_that_the_clock_stands_still() {
        let mut state = State::new(3);
        let ann = state.add_user(None, "", "Ann", "").expect("a user");
        let bob = state.add_user(None, "", "Bob", "").expect("a user");
        let waits = |state: &mut State| std::mem::take(&mut state.wakes);
        for seconds in [5, 7, 5, 2] {
            post(&mut state, (ann, bob), seconds);
        }
        assert_eq!(waits(&mut state), [5000, 2000], "nobody waits twice");
        state.now = 2000;
        state.wake(2000);
        assert_eq!((waits(&mut state), state.vanishing.len()), (vec![5000], 3));
        state.wake(5000);
        assert_eq!(waits(&mut state), [2000 + A_MOMENT], "the clock went back");
        state.now = 5000;
        state.wake(2000 + A_MOMENT);
        assert_eq!((waits(&mut state), state.vanishing.len()), (vec![7000], 1));
        state.wake_again();
        assert_eq!(waits(&mut state), [7000], "after a start");
        state.now = 7000;
        state.wake(7000);
        assert!(state.vanishing.is_empty() && waits(&mut state).is_empty());
    }
}
