//! The channels of a session: when each is asked, and what becomes of the answer.

use std::sync::Arc;
use std::time::Instant;

use super::super::channel::Channel;
use super::super::position::{ChannelDifference, Key, Out, Position};
use super::super::telling::Telling;
use super::Sequencer;

impl<U, P> Sequencer<U, P> {
    /// Has a channel be asked though nothing says that something is missing. False if it is being asked, rests, or is
    /// not known.
    pub fn poll(&mut self, now: Instant, channel: i64) -> bool {
        let Some(known) = self.channels.get_mut(&channel) else {
            return false;
        };
        if known.asking.is_wanted() || now < known.rests {
            return false;
        }
        known.asking.want(now);
        self.plan(channel);
        true
    }

    /// The channels that may be asked now, with the time when each was last told to its end.
    pub fn pollable(&self, now: Instant) -> impl Iterator<Item = (i64, Instant)> {
        let may = move |channel: &Channel<U, P>| !channel.asking.is_wanted() && now >= channel.rests;
        let channels = self.channels.iter().filter(move |(_, channel)| may(channel));
        channels.map(|(id, channel)| (*id, channel.asked))
    }

    /// The channels that tell something, with the time when each was last told to its end.
    pub fn asked(&self) -> impl Iterator<Item = (i64, Instant)> {
        let telling = self.channels.iter().filter(|(_, channel)| !channel.lost);
        telling.map(|(id, channel)| (*id, channel.asked))
    }

    /// The account is in this channel no more: it is not asked, and where it stands is not told. Should it be let in
    /// again, the channel is a new one.
    pub fn forget(&mut self, channel: i64) {
        let Some(known) = self.channels.remove(&channel) else {
            return;
        };
        if let Some(due) = known.due {
            self.agenda.remove(&(due, channel));
        }
        self.owing.remove(&channel);
        let key = Key::Channel(channel);
        self.out.retain(|out| match out {
            Out::Jump { key: of, .. } => *of != key,
            Out::Lost { channel: of } => *of != channel,
            _ => true,
        });
        for out in &mut self.out {
            let states = match out {
                Out::Stands(state) => std::slice::from_mut(state).iter_mut().collect(),
                Out::Updates(batch) => batch.updates.iter_mut().map(|(_, state)| state).collect(),
                _ => Vec::new(),
            };
            for state in states {
                state.position = state.position.filter(|position| position.key != key);
            }
        }
        self.note_beginning();
    }

    /// Takes a channel's difference.
    pub fn channel_answered(&mut self, now: Instant, channel: i64, difference: ChannelDifference<U, P>) {
        self.channels_under_way = self.channels_under_way.saturating_sub(1);
        let Some(known) = self.channels.get_mut(&channel) else {
            return;
        };
        let before = known.sequence.pts();
        match difference.pts {
            Some(pts) if difference.too_long => known.sequence.jump_to(pts),
            Some(pts) => known.sequence.go_to(pts),
            None => known.sequence.jump_to(0),
        }
        let pts = known.sequence.pts();
        let position = Some(Position {
            key: Key::Channel(channel),
            pts,
        });
        let mut telling = Telling::new(Arc::new(difference.peers));
        telling.tell(difference.updates.into_iter().map(|update| (position, update)));
        if difference.last && pts != 0 {
            (known.lost, known.asked) = (false, now);
            known.rests = now + difference.timeout.unwrap_or_default();
            let mut told = Vec::new();
            known.sequence.settle(&mut told);
            let skipped = match known.sequence.has_gap() {
                true => known.waits_on(now, pts != before || !told.is_empty(), &mut told),
                false => {
                    known.asking.answered();
                    None
                }
            };
            match skipped.or(difference.too_long.then_some(pts)) {
                Some(to) => self.jump(Key::Channel(channel), to),
                None if pts != before => telling.stand(position),
                None => {}
            }
            telling.tell_from(Key::Channel(channel), told);
        } else {
            match pts == before {
                true => known.asking.refused(now, false),
                false => {
                    known.asking.answered();
                    known.asking.want(now);
                }
            }
            match difference.too_long {
                true => self.jump(Key::Channel(channel), pts),
                false if pts != before => telling.stand(position),
                false => {}
            }
        }
        self.plan(channel);
        self.finish(telling);
        self.note_beginning();
    }

    /// Takes a channel's present position: what lies between ours and it is left out.
    pub fn channel_present_answered(&mut self, now: Instant, channel: i64, pts: i32, peers: P) {
        let difference = ChannelDifference {
            pts: Some(pts),
            updates: Vec::new(),
            peers,
            last: true,
            too_long: true,
            timeout: None,
        };
        self.channel_answered(now, channel, difference);
    }

    /// A channel that is new to us, at the position before its first update here. What came before may have been
    /// meant for us, too.
    pub(super) fn meet(&mut self, now: Instant, channel: i64, pts: i32) {
        self.channels.insert(channel, Channel::at(pts, now));
        if pts > 1 {
            self.jump(Key::Channel(channel), pts);
        }
    }

    pub(super) fn channel_too_long(&mut self, now: Instant, channel: i64, pts: Option<i32>) {
        let known = match (self.channels.get_mut(&channel), pts) {
            (Some(known), _) => known,
            (None, Some(pts)) => return self.meet(now, channel, pts),
            (None, None) => self.channels.entry(channel).or_insert(Channel::at(0, now)),
        };
        if pts.is_some_and(|pts| pts <= known.sequence.pts()) {
            return;
        }
        known.asking.want(now);
        known.shows_life(now);
        self.plan(channel);
        if let Some(named) = &mut self.beginning {
            named.insert(channel);
        }
    }

    /// Puts a channel into the agenda at the right time.
    pub(super) fn plan(&mut self, channel: i64) {
        let Some(known) = self.channels.get_mut(&channel) else {
            return;
        };
        match known.asking.is_wanted() && !known.lost {
            true => self.owing.insert(channel),
            false => self.owing.remove(&channel),
        };
        let due = known.asking.due();
        if due == known.due {
            return;
        }
        if let Some(due) = known.due {
            self.agenda.remove(&(due, channel));
        }
        if let Some(due) = due {
            self.agenda.insert((due, channel));
        }
        known.due = due;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::super::position::{AccountDifference, Item, Packet, Part, Place, Request};
    use super::super::Stored;
    use super::*;

    const CHANNEL: i64 = 7;

    fn sequencer(now: Instant) -> Sequencer<u8, ()> {
        let stored = Stored {
            pts: 10,
            date: 1,
            channels: vec![(CHANNEL, 10)],
            ..Stored::default()
        };
        let mut sequencer = Sequencer::new(now, &stored);
        assert!(sequencer.next_request(now).is_some(), "the beginning");
        sequencer.account_answered(now, AccountDifference::Empty { date: 1, seq: 0 });
        sequencer
    }

    fn push(sequencer: &mut Sequencer<u8, ()>, now: Instant, key: Key, pts: i32) {
        let place = Place { key, pts, count: 1 };
        let packet = Packet {
            date: 1,
            seq_start: 0,
            seq: 0,
            items: vec![Item::Placed(place, 1)],
            peers: (),
        };
        sequencer.push(now, packet);
    }

    /// Answers that know nothing of what is missing, until nothing is asked any more: the rests between them, in
    /// seconds.
    fn answer_nothing(sequencer: &mut Sequencer<u8, ()>, mut now: Instant) -> Vec<u64> {
        let (mut rests, begun) = (Vec::new(), now);
        while sequencer.has_gap() {
            assert!(rests.len() < 20, "asked for ever");
            let due = sequencer.deadline();
            rests.push((due - now).as_secs());
            now = due;
            match sequencer.next_request(now) {
                Some(Request::Account { .. }) => {
                    sequencer.account_answered(now, AccountDifference::Empty { date: 1, seq: 0 });
                }
                Some(Request::Channel { channel, pts }) => {
                    let nothing = ChannelDifference {
                        pts: Some(pts),
                        updates: Vec::new(),
                        peers: (),
                        last: true,
                        too_long: false,
                        timeout: None,
                    };
                    sequencer.channel_answered(now, channel, nothing);
                }
                other => panic!("{other:?} is asked"),
            }
        }
        assert!(
            now - begun < Duration::from_secs(60),
            "before the poll of a silence"
        );
        rests
    }

    #[test]
    fn a_gap_that_no_difference_knows_is_asked_with_rests_and_then_reported() {
        for key in [Key::Account, Key::Channel(CHANNEL)] {
            let now = Instant::now();
            let mut sequencer = sequencer(now);
            push(&mut sequencer, now, key, 13);
            assert_eq!(answer_nothing(&mut sequencer, now), [0, 1, 2, 4, 8], "{key:?}");
            let told: Vec<_> = std::iter::from_fn(|| sequencer.told()).collect();
            let jump = told
                .iter()
                .position(|out| matches!(out, Out::Jump { key: of, .. } if *of == key));
            let update = told.iter().position(
                |out| matches!(out, Out::Updates(batch) if batch.updates.iter().any(|(update, _)| *update == 1)),
            );
            assert!(jump.is_some() && jump < update, "{told:?}");
            // It goes on from there.
            push(&mut sequencer, now, key, 14);
            assert!(!sequencer.has_gap());
        }
    }

    fn is_complete(sequencer: &mut Sequencer<u8, ()>) -> bool {
        std::iter::from_fn(|| sequencer.told()).any(|out| matches!(out, Out::Complete))
    }

    fn at_the_beginning(now: Instant) -> Sequencer<u8, ()> {
        let stored = Stored {
            pts: 10,
            date: 1,
            channels: vec![(CHANNEL, 10)],
            ..Stored::default()
        };
        let mut sequencer = Sequencer::new(now, &stored);
        assert!(sequencer.next_request(now).is_some(), "the beginning");
        sequencer
    }

    fn part(pts: i32, others: Vec<Item<u8>>) -> AccountDifference<u8, ()> {
        AccountDifference::Part(Part {
            updates: Vec::new(),
            others,
            peers: (),
            pts,
            qts: 0,
            date: 1,
            seq: 0,
            last: true,
        })
    }

    #[test]
    fn the_beginning_is_over_though_a_push_closes_its_last_gap() {
        let now = Instant::now();
        let mut sequencer = at_the_beginning(now);
        push(&mut sequencer, now, Key::Account, 15);
        sequencer.account_answered(now, part(13, Vec::new()));
        assert!(!is_complete(&mut sequencer), "14 is missing");
        push(&mut sequencer, now, Key::Account, 14);
        assert!(is_complete(&mut sequencer));

        let mut sequencer = at_the_beginning(now);
        let named = Item::ChannelTooLong {
            channel: CHANNEL,
            pts: Some(13),
        };
        sequencer.account_answered(now, part(11, vec![named]));
        assert!(sequencer.next_request(now).is_some(), "the channel is asked");
        push(&mut sequencer, now, Key::Channel(CHANNEL), 15);
        let answer = ChannelDifference {
            pts: Some(13),
            updates: Vec::new(),
            peers: (),
            last: true,
            too_long: false,
            timeout: None,
        };
        sequencer.channel_answered(now, CHANNEL, answer);
        assert!(!is_complete(&mut sequencer), "14 is missing");
        push(&mut sequencer, now, Key::Channel(CHANNEL), 14);
        assert!(is_complete(&mut sequencer));
    }

    #[test]
    fn a_channel_that_rests_at_telegrams_word_keeps_no_beginning_back() {
        let now = Instant::now();
        let mut sequencer = at_the_beginning(now);
        let until = now + Duration::from_secs(3600);
        sequencer.rest(Some(CHANNEL), until);
        let named = Item::ChannelTooLong {
            channel: CHANNEL,
            pts: Some(13),
        };
        sequencer.account_answered(now, part(11, vec![named]));
        assert!(is_complete(&mut sequencer));
        assert!(sequencer.next_request(now).is_none(), "the wait is kept");
        assert!(sequencer.account_is_told());
    }

    #[test]
    fn what_calls_of_ones_own_changed_is_asked_for_at_once_and_then_gathered() {
        let mut now = Instant::now();
        let mut sequencer = sequencer(now);
        sequencer.changed(now, 11);
        assert!(sequencer.next_request(now).is_some(), "at once");
        sequencer.account_answered(now, part(11, Vec::new()));
        for pts in [12, 13] {
            now += Duration::from_millis(100);
            sequencer.changed(now, pts);
            assert!(sequencer.next_request(now).is_none(), "with what follows");
        }
        now += Duration::from_millis(600);
        assert!(sequencer.next_request(now).is_some());
    }

    #[test]
    fn what_was_pushed_but_cannot_be_told_is_asked_for_until_a_difference_has_it() {
        let now = Instant::now();
        let mut behind = sequencer(now);
        behind.lost_track(now);
        behind.known_behind(now, 11);
        assert_eq!(answer_nothing(&mut behind, now), [0, 1, 2, 4, 8]);
        let jump = |out: &Out<u8, ()>| {
            matches!(
                out,
                Out::Jump {
                    key: Key::Account,
                    ..
                }
            )
        };
        assert!(std::iter::from_fn(|| behind.told()).any(|out| jump(&out)));

        let mut behind = sequencer(now);
        behind.known_behind(now, 11);
        push(&mut behind, now, Key::Account, 11);
        assert!(!behind.has_gap(), "it came in another form");
    }

    #[test]
    fn a_present_state_is_no_answer_to_a_difference_that_is_refused() {
        let mut now = Instant::now();
        let mut sequencer = sequencer(now);
        sequencer.lost_track(now);
        let begun = now;
        let mut asked = 0;
        while now < begun + Duration::from_secs(15) {
            match sequencer.next_request(now) {
                Some(Request::Present) => {
                    let present = super::super::super::position::Present {
                        pts: 10,
                        qts: 0,
                        date: 1,
                        seq: 0,
                    };
                    sequencer.present_answered(now, present);
                }
                Some(request) => {
                    asked += 1;
                    sequencer.refused(now, request, super::super::super::position::Refusal::Unknown);
                }
                None => now += Duration::from_millis(50),
            }
        }
        assert!((3..=6).contains(&asked), "{asked} times");
    }

    #[test]
    fn a_channel_that_tells_nothing_keeps_no_date_back() {
        let now = Instant::now();
        let mut sequencer = sequencer(now);
        assert!(sequencer.poll(now, CHANNEL));
        let request = sequencer.next_request(now).expect("asked");
        assert!(sequencer.has_gap());
        sequencer.refused(now, request, super::super::super::position::Refusal::Lost);
        assert!(!sequencer.has_gap(), "nothing will be told of it");
    }

    #[test]
    fn a_channel_that_was_left_is_neither_asked_nor_told_of() {
        let now = Instant::now();
        let mut sequencer = sequencer(now);
        assert!(sequencer.poll(now, CHANNEL));
        assert!(sequencer.next_request(now).is_some(), "asked");
        let difference = ChannelDifference {
            pts: Some(12),
            updates: vec![1],
            peers: (),
            last: false,
            too_long: false,
            timeout: None,
        };
        sequencer.channel_answered(now, CHANNEL, difference.clone());
        while !matches!(sequencer.told(), Some(Out::Updates(batch)) if !batch.updates.is_empty()) {}
        sequencer.forget(CHANNEL);
        while let Some(out) = sequencer.told() {
            assert!(
                matches!(out, Out::Stands(state) if state.position.is_none()),
                "{out:?}"
            );
        }
        assert!(!sequencer.has_gap() && sequencer.next_request(now).is_none());
        assert_eq!(
            (sequencer.asked().count(), sequencer.pollable(now).count()),
            (0, 0)
        );
        // An answer that was on its way says nothing any more.
        sequencer.channel_answered(now, CHANNEL, difference);
        assert!(sequencer.told().is_none());
    }

    #[test]
    fn what_tells_nothing_does_not_count_as_lagging() {
        let now = Instant::now();
        let mut sequencer = sequencer(now);
        assert_eq!(sequencer.asked().count(), 1);
        assert!(sequencer.poll(now, CHANNEL));
        let request = sequencer.next_request(now).expect("asked");
        sequencer.refused(now, request, super::super::super::position::Refusal::Lost);
        assert_eq!(sequencer.asked().count(), 0);
    }

    #[test]
    fn a_channel_that_tells_nothing_is_asked_once_it_pushes_something() {
        let mut now = Instant::now();
        let mut sequencer = sequencer(now);
        assert!(sequencer.poll(now, CHANNEL));
        for _ in 0..10 {
            let request = sequencer.next_request(now).expect("asked");
            sequencer.refused(now, request, super::super::super::position::Refusal::Lost);
            now = sequencer.channels[&CHANNEL].due.expect("asked again");
            sequencer.silent_until = now + super::super::SILENCE;
        }
        now -= Duration::from_secs(200);
        assert!(sequencer.next_request(now).is_none(), "it rests");
        push(&mut sequencer, now, Key::Channel(CHANNEL), 13);
        let request = sequencer.next_request(now);
        assert_eq!(
            request,
            Some(Request::Channel {
                channel: CHANNEL,
                pts: 10
            })
        );
    }
}
