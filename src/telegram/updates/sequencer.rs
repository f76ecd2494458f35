//! All sequences of a session together: what is pushed is taken, what is missing is asked for, what follows is told.
//!
//! It hears of pushes, of answers to what it asked, and of the time; it tells by [`Sequencer::told`], asks by
//! [`Sequencer::next_request`], and says by [`Sequencer::deadline`] when to come back.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::asking::Asking;
use super::channel::Channel;
use super::position::{
    AccountDifference, ChannelDifference, Item, Key, Out, Packet, Part, Place, Position, Present, Refusal,
    Request, State,
};
use super::sequence::Sequence;
use super::telling::Telling;

/// How long an update that does not follow waits for what is missing.
const PATIENCE: Duration = Duration::from_millis(500);

/// The silence after which the account's difference is asked for.
const SILENCE: Duration = Duration::from_secs(15 * 60);

/// So many seconds of what was told are asked for again after a connection ended.
const MARGIN: i32 = 30;

/// Channels whose differences are asked for at the same time.
const CHANNELS_AT_ONCE: usize = 4;

/// Numbered containers that wait for a missing one at most.
const MOST_NUMBERED: usize = 256;

/// What a session has stored of its sequences.
#[derive(Clone, Debug, Default)]
pub(in crate::telegram) struct Stored {
    pub pts: i32,
    pub qts: i32,
    pub date: i32,
    pub seq: i32,
    /// Each channel with its position.
    pub channels: Vec<(i64, i32)>,
}

/// A numbered container's updates without a position, which wait for the containers before it.
#[derive(Debug)]
struct Numbered<U, P> {
    seq_start: i32,
    seq: i32,
    updates: Vec<U>,
    peers: Arc<P>,
}

/// See the head of the file.
#[derive(Debug)]
pub(in crate::telegram) struct Sequencer<U, P> {
    account: Sequence<U, P>,
    secondary: Sequence<U, P>,
    date: i32,
    seq: i32,
    /// For the account's and the second sequence, which have one difference.
    asking: Asking,
    /// Telegram does not know the position that we named.
    unknown: bool,
    numbered: Vec<Numbered<U, P>>,
    channels: HashMap<i64, Channel<U, P>>,
    /// Channels that are to be asked, by time.
    agenda: BTreeSet<(Instant, i64)>,
    channels_under_way: usize,
    silent_until: Instant,
    out: VecDeque<Out<U, P>>,
    /// Channels that the first difference named and that were not asked yet; none once the beginning is told.
    beginning: Option<BTreeSet<i64>>,
}

impl<U, P> Sequencer<U, P> {
    /// Goes on where a session's stored state ends, and asks what was missed since. Channels are not asked: the
    /// account's difference names those in which something happened.
    pub fn new(now: Instant, stored: &Stored) -> Self {
        let mut asking = Asking::default();
        asking.want(now);
        let channels = (stored.channels.iter()).map(|(id, pts)| (*id, Channel::at(*pts, now)));
        Self {
            account: Sequence::at(stored.pts),
            secondary: Sequence::at(stored.qts),
            date: stored.date,
            seq: stored.seq,
            asking,
            unknown: stored.pts == 0,
            numbered: Vec::new(),
            channels: channels.collect(),
            agenda: BTreeSet::new(),
            channels_under_way: 0,
            silent_until: now + SILENCE,
            out: VecDeque::new(),
            beginning: Some(BTreeSet::new()),
        }
    }

    /// The next piece that may be told and stored.
    pub fn told(&mut self) -> Option<Out<U, P>> {
        self.out.pop_front()
    }

    /// Whether something is missing.
    pub fn has_gap(&self) -> bool {
        self.asking.is_wanted() || !self.agenda.is_empty() || self.channels_under_way > 0
    }

    /// When to come back if nothing arrives; the past if something is to be asked now.
    pub fn deadline(&self) -> Instant {
        let channels = (self.channels_under_way < CHANNELS_AT_ONCE)
            .then(|| self.agenda.first().map(|(due, _)| *due))
            .flatten();
        let due = self.asking.due().into_iter().chain(channels).min();
        due.map_or(self.silent_until, |due| due.min(self.silent_until))
    }

    /// What to ask Telegram now. Its answer or refusal has to be told.
    pub fn next_request(&mut self, now: Instant) -> Option<Request> {
        if now >= self.silent_until {
            self.silent_until = now + SILENCE;
            self.asking.want(now);
        }
        if self.asking.begin(now) {
            return Some(match self.unknown {
                true => Request::Present,
                false => Request::Account {
                    pts: self.account.pts(),
                    qts: self.secondary.pts(),
                    date: self.date_to_ask_from(),
                },
            });
        }
        if self.channels_under_way == CHANNELS_AT_ONCE {
            return None;
        }
        let (due, channel) = *self.agenda.first()?;
        let known = self.channels.get_mut(&channel)?;
        if due > now || !known.asking.begin(now) {
            return None;
        }
        self.channels_under_way += 1;
        let pts = known.sequence.pts();
        self.plan(channel);
        Some(match pts {
            0 => Request::ChannelPresent { channel },
            pts => Request::Channel { channel, pts },
        })
    }

    /// By the date Telegram names the channels in which something happened. What was told in its last seconds may have
    /// overtaken what a connection that ended did not bring any more.
    fn date_to_ask_from(&self) -> i32 {
        let margin = if self.beginning.is_some() { MARGIN } else { 0 };
        self.date.saturating_sub(margin).max(1)
    }

    /// Something is missing, nobody knows what: updates that were too many to be pushed, a container that could not be
    /// read, a session that Telegram had forgotten.
    pub fn lost_track(&mut self, now: Instant) {
        self.asking.want(now);
    }

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

    /// The channels with the time when each was last told to its end.
    pub fn asked(&self) -> impl Iterator<Item = (i64, Instant)> {
        self.channels.iter().map(|(id, channel)| (*id, channel.asked))
    }

    /// Takes what was pushed, or came as the answer to a call of one's own.
    pub fn push(&mut self, now: Instant, packet: Packet<U, P>) {
        self.silent_until = now + SILENCE;
        let peers = Arc::new(packet.peers);
        let mut telling = Telling::new(peers.clone());
        let (mut loose, mut placed) = (Vec::new(), Vec::new());
        let mut too_long = Vec::new();
        for item in packet.items {
            match item {
                Item::Placed(place, update) => placed.push((place, update)),
                Item::Loose(update) => loose.push(update),
                Item::ChannelTooLong { channel, pts } => too_long.push((channel, pts)),
            }
        }
        if packet.seq_start == 0 {
            telling.tell_loose(loose);
        } else if packet.seq_start > self.seq {
            let container = Numbered {
                seq_start: packet.seq_start,
                seq: packet.seq.max(packet.seq_start),
                updates: loose,
                peers: peers.clone(),
            };
            // Behind a full queue the difference has it.
            if self.numbered.len() < MOST_NUMBERED {
                self.numbered.push(container);
            }
            self.tell_numbered(now, &mut telling);
        }
        // Within a container what counts nothing may stand before what moves to the same place.
        placed.sort_by_key(|(place, _)| (place.pts - place.count, place.pts));
        for (place, update) in placed {
            self.take(now, place, update, &peers, &mut telling);
        }
        for (channel, pts) in too_long {
            self.channel_too_long(now, channel, pts);
        }
        if !self.has_gap() {
            self.date = self.date.max(packet.date);
        }
        self.finish(telling);
    }

    /// Takes the account's difference.
    pub fn account_answered(&mut self, now: Instant, difference: AccountDifference<U, P>) {
        match difference {
            AccountDifference::Empty { date, seq } => {
                (self.date, self.seq) = (date, seq);
                self.asking.answered();
                self.end_of_difference(now, None);
            }
            AccountDifference::Part(part) => self.account_part(now, part),
            AccountDifference::TooLong { pts } => {
                let stands = pts == self.account.pts();
                self.account.jump_to(pts);
                self.jump(Key::Account, pts);
                // What it left unsaid, news of channels too, is asked for from there.
                self.ask_on(now, stands);
            }
        }
    }

    fn account_part(&mut self, now: Instant, part: Part<U, P>) {
        let before = (self.account.pts(), self.secondary.pts(), self.date);
        (self.date, self.seq) = (part.date, part.seq);
        self.account.go_to(part.pts);
        self.secondary.go_to(part.qts);
        let peers = Arc::new(part.peers);
        let mut telling = Telling::new(peers.clone());
        let account = Some(Position {
            key: Key::Account,
            pts: self.account.pts(),
        });
        telling.tell(part.updates.into_iter().map(|update| (account, update)));
        telling.stand(account);
        telling.stand(Some(Position {
            key: Key::Secondary,
            pts: self.secondary.pts(),
        }));
        let stands = before == (self.account.pts(), self.secondary.pts(), self.date);
        if part.last {
            self.asking.answered();
        }
        for other in part.others {
            match other {
                Item::Placed(place, update) => self.take(now, place, update, &peers, &mut telling),
                Item::Loose(update) => telling.tell_loose([update]),
                Item::ChannelTooLong { channel, pts } => self.channel_too_long(now, channel, pts),
            }
        }
        match part.last {
            true => self.end_of_difference(now, Some(telling)),
            false => {
                self.finish(telling);
                self.ask_on(now, stands);
            }
        }
    }

    /// The account's sequences are told to their end: what waited for that is told, if it follows.
    fn end_of_difference(&mut self, now: Instant, telling: Option<Telling<U, P>>) {
        let mut telling = telling.unwrap_or_default();
        let mut told = Vec::new();
        self.account.settle(&mut told);
        telling.tell_from(Key::Account, std::mem::take(&mut told));
        self.secondary.settle(&mut told);
        telling.tell_from(Key::Secondary, told);
        self.watch_account(now);
        self.tell_numbered(now, &mut telling);
        telling.stand(None);
        self.finish(telling);
        self.note_beginning(None);
    }

    /// Asks for what follows a part. An answer that leads nowhere counts as a refusal: it is not asked without a rest.
    fn ask_on(&mut self, now: Instant, stands: bool) {
        match stands {
            true => self.asking.refused(now, false),
            false => {
                self.asking.answered();
                self.asking.want(now);
            }
        }
    }

    /// Takes the account's present state. What lies between ours, if there is one, and it is left out.
    pub fn present_answered(&mut self, now: Instant, present: Present) {
        self.unknown = false;
        let first = self.account.pts() == 0;
        self.account.jump_to(present.pts);
        self.secondary.jump_to(present.qts);
        if self.date == 0 {
            (self.date, self.seq) = (present.date, present.seq);
        }
        let mut telling = Telling::default();
        match first {
            true => telling.stand(Some(Position {
                key: Key::Account,
                pts: present.pts,
            })),
            false => self.jump(Key::Account, present.pts),
        }
        telling.stand(Some(Position {
            key: Key::Secondary,
            pts: present.qts,
        }));
        self.finish(telling);
        // The date is still the old one: by it Telegram names the channels in which something happened.
        self.ask_on(now, false);
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
            known.asking.answered();
            (known.lost, known.asked) = (false, now);
            known.rests = now + difference.timeout.unwrap_or_default();
            let mut told = Vec::new();
            known.sequence.settle(&mut told);
            if known.sequence.has_gap() {
                known.asking.wait_for_gap(now + PATIENCE);
            }
            if difference.too_long {
                self.jump(Key::Channel(channel), pts);
            } else if pts != before {
                telling.stand(position);
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
        let goes_on = (self.channels.get(&channel))
            .is_some_and(|known| known.asking.is_wanted() && !known.asking.is_refused());
        self.finish(telling);
        self.plan(channel);
        if !goes_on {
            self.note_beginning(Some(channel));
        }
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

    /// Takes a refusal of what was asked.
    pub fn refused(&mut self, now: Instant, request: Request, refusal: Refusal) {
        let (Request::Channel { channel, .. } | Request::ChannelPresent { channel }) = request else {
            match refusal {
                Refusal::Wait(span) => self.asking.wait(now + span),
                Refusal::Unknown => {
                    self.unknown = true;
                    self.asking.refused(now, false);
                }
                Refusal::Again | Refusal::Lost => self.asking.refused(now, false),
            }
            return;
        };
        self.channels_under_way = self.channels_under_way.saturating_sub(1);
        let Some(known) = self.channels.get_mut(&channel) else {
            return;
        };
        match refusal {
            Refusal::Wait(span) => known.asking.wait(now + span),
            Refusal::Again => known.asking.refused(now, false),
            Refusal::Unknown => {
                known.sequence.jump_to(0);
                known.asking.refused(now, false);
            }
            Refusal::Lost => {
                known.asking.refused(now, true);
                if !std::mem::replace(&mut known.lost, true) {
                    self.out.push_back(Out::Lost { channel });
                }
            }
        }
        self.plan(channel);
        self.note_beginning(Some(channel));
    }

    /// Takes an update that has a position.
    fn take(&mut self, now: Instant, place: Place, update: U, peers: &Arc<P>, telling: &mut Telling<U, P>) {
        // Telegram fills in nought where a position has no meaning.
        if place.pts <= 0 {
            telling.tell_loose([update]);
            return;
        }
        let way = (place.pts - place.count, place.pts);
        let mut told = Vec::new();
        match place.key {
            Key::Account => {
                let pause = self.asking.is_under_way();
                self.account.take(way, update, peers, pause, &mut told);
                self.watch_account(now);
            }
            Key::Secondary => {
                let pause = self.asking.is_under_way();
                self.secondary.take(way, update, peers, pause, &mut told);
                self.watch_account(now);
            }
            Key::Channel(channel) => {
                if !self.channels.contains_key(&channel) {
                    // What counts nothing says no more than where a channel stands that we were told nothing of yet.
                    if place.count == 0 {
                        telling.tell_loose([update]);
                        return;
                    }
                    self.meet(now, channel, way.0);
                }
                let Some(known) = self.channels.get_mut(&channel) else {
                    return;
                };
                let pause = known.asking.is_under_way();
                known.sequence.take(way, update, peers, pause, &mut told);
                match known.sequence.has_gap() {
                    true => known.asking.wait_for_gap(now + PATIENCE),
                    false => known.asking.gap_closed(),
                }
                self.plan(channel);
            }
        }
        telling.tell_from(place.key, told);
    }

    /// A channel that is new to us, at the position before its first update here. What came before may have been
    /// meant for us, too.
    fn meet(&mut self, now: Instant, channel: i64, pts: i32) {
        self.channels.insert(channel, Channel::at(pts, now));
        if pts > 1 {
            self.jump(Key::Channel(channel), pts);
        }
    }

    fn channel_too_long(&mut self, now: Instant, channel: i64, pts: Option<i32>) {
        let known = match (self.channels.get_mut(&channel), pts) {
            (Some(known), _) => known,
            (None, Some(pts)) => return self.meet(now, channel, pts),
            (None, None) => self.channels.entry(channel).or_insert(Channel::at(0, now)),
        };
        if pts.is_some_and(|pts| pts <= known.sequence.pts()) {
            return;
        }
        known.asking.want(now);
        self.plan(channel);
        if let Some(named) = &mut self.beginning {
            named.insert(channel);
        }
    }

    /// Tells the numbered containers that follow, and asks for those that are missing.
    fn tell_numbered(&mut self, now: Instant, telling: &mut Telling<U, P>) {
        if self.numbered.is_empty() {
            return;
        }
        self.numbered.sort_by_key(|container| container.seq_start);
        let mut missing = Vec::new();
        for container in std::mem::take(&mut self.numbered) {
            if container.seq_start == self.seq + 1 && !self.asking.is_under_way() {
                self.seq = container.seq;
                telling.bring(&container.peers);
                telling.tell_loose(container.updates);
            } else if container.seq_start > self.seq {
                missing.push(container);
            }
        }
        self.numbered = missing;
        self.watch_account(now);
    }

    /// Has the account's difference be asked for if something waits for too long.
    fn watch_account(&mut self, now: Instant) {
        match self.account.has_gap() || self.secondary.has_gap() || !self.numbered.is_empty() {
            true => self.asking.wait_for_gap(now + PATIENCE),
            false => self.asking.gap_closed(),
        }
    }

    fn jump(&mut self, key: Key, pts: i32) {
        let to = State {
            date: self.date,
            seq: self.seq,
            position: Some(Position { key, pts }),
        };
        self.out.push_back(Out::Jump {
            key,
            to: Some(to).filter(|_| pts != 0),
        });
    }

    /// Puts a channel into the agenda at the right time.
    fn plan(&mut self, channel: i64) {
        let Some(known) = self.channels.get_mut(&channel) else {
            return;
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

    /// The beginning is told once the account's difference is, and every channel that it named was asked. A channel
    /// that gave no answer keeps nobody waiting.
    fn note_beginning(&mut self, asked: Option<i64>) {
        let Some(named) = &mut self.beginning else { return };
        if let Some(channel) = asked {
            named.remove(&channel);
        }
        if named.is_empty() && !self.asking.is_wanted() {
            self.beginning = None;
            self.out.push_back(Out::Complete);
        }
    }

    fn finish(&mut self, telling: Telling<U, P>) {
        self.out.extend(telling.told(self.date, self.seq));
    }
}
