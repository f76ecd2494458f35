//! All sequences of a session together: what is pushed is taken, what is missing is asked for, what follows is told.
//!
//! It hears of pushes, of answers to what it asked, and of the time; it tells by [`Sequencer::told`], asks by
//! [`Sequencer::next_request`], and says by [`Sequencer::deadline`] when to come back.

mod channels;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::asking::{Asking, KNOWS_NOTHING, PATIENCE};
use super::channel::Channel;
use super::position::{
    AccountDifference, Item, Key, Out, Packet, Part, Place, Position, Present, Refusal, Request, State,
};
use super::sequence::Sequence;
use super::telling::Telling;

/// The silence after which the account's difference is asked for.
const SILENCE: Duration = Duration::from_secs(15 * 60);

/// So many seconds of what was told are asked for again after a connection ended, or track was lost.
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
    /// The date that may be stored: all channels that were named up to it have been asked.
    stored_date: i32,
    seq: i32,
    /// For the account's and the second sequence, which have one difference.
    asking: Asking,
    /// Telegram does not know the position that we named.
    unknown: bool,
    /// Updates are missing of which nobody knows what they were; what was told meanwhile may have overtaken them.
    overtaken: bool,
    /// The difference is told in part.
    in_parts: bool,
    numbered: Vec<Numbered<U, P>>,
    channels: HashMap<i64, Channel<U, P>>,
    /// Channels that are to be asked, by time.
    agenda: BTreeSet<(Instant, i64)>,
    channels_under_way: usize,
    /// Channels of which something is missing that they will tell.
    owing: HashSet<i64>,
    silent_until: Instant,
    /// Until when changes of one\'s own are gathered.
    gathers_until: Instant,
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
            stored_date: stored.date,
            seq: stored.seq,
            asking,
            unknown: stored.pts == 0,
            overtaken: true,
            in_parts: false,
            numbered: Vec::new(),
            channels: channels.collect(),
            agenda: BTreeSet::new(),
            channels_under_way: 0,
            owing: HashSet::new(),
            silent_until: now + SILENCE,
            gathers_until: now,
            out: VecDeque::new(),
            beginning: Some(BTreeSet::new()),
        }
    }

    /// The next piece that may be told and stored.
    pub fn told(&mut self) -> Option<Out<U, P>> {
        self.out.pop_front()
    }

    /// Whether something is missing that will be told.
    pub fn has_gap(&self) -> bool {
        self.asking.is_wanted() || !self.owing.is_empty()
    }

    /// Whether nothing of the account's own sequences is being asked for.
    pub fn account_is_told(&self) -> bool {
        !self.asking.is_wanted()
    }

    /// Until when the account's own difference is not asked for, at Telegram's word or after refusals.
    pub fn rests_until(&self) -> Option<Instant> {
        self.asking.rests_until()
    }

    /// Telegram has asked before to wait until then with a difference: that of a channel, or the account's own.
    pub fn rest(&mut self, channel: Option<i64>, until: Instant) {
        let Some(channel) = channel else {
            self.asking.wait(until);
            return;
        };
        if let Some(known) = self.channels.get_mut(&channel) {
            known.asking.wait(until);
            self.plan(channel);
        }
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
    /// overtaken what a connection that ended, or a push that was too long, did not bring any more.
    fn date_to_ask_from(&self) -> i32 {
        let margin = if self.overtaken { MARGIN } else { 0 };
        self.date.saturating_sub(margin).max(1)
    }

    /// Something is missing, nobody knows what: updates that were too many to be pushed, a container that could not be
    /// read, a session that Telegram had forgotten.
    pub fn lost_track(&mut self, now: Instant) {
        self.overtaken = true;
        self.asking.want(now);
    }

    /// The account's sequence goes as far as this, though what leads there cannot be told: the difference has to. One
    /// that lags behind may not have it yet, and is asked again.
    pub fn known_behind(&mut self, now: Instant, pts: i32) {
        self.account.know(pts);
        self.watch_account(now);
    }

    /// A call of one's own has moved the account's sequence to here, and did not say what it did there: the difference
    /// is asked for at once, or with what follows it soon.
    pub fn changed(&mut self, now: Instant, pts: i32) {
        self.known_behind(now, pts);
        if self.account.has_gap() && now >= self.gathers_until {
            self.gathers_until = now + PATIENCE;
            self.asking.want(now);
        }
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
        self.note_beginning();
    }

    /// Takes the account's difference.
    pub fn account_answered(&mut self, now: Instant, difference: AccountDifference<U, P>) {
        match difference {
            AccountDifference::Empty { date, seq } => {
                (self.date, self.seq) = (date, seq);
                self.overtaken &= self.asking.is_wanted_again();
                self.in_parts = false;
                self.end_of_difference(now, Telling::default(), false);
            }
            AccountDifference::Part(part) => self.account_part(now, part),
            AccountDifference::TooLong { pts } => {
                let stands = pts == self.account.pts();
                self.in_parts = false;
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
        let moved = (before.0, before.1) != (self.account.pts(), self.secondary.pts());
        let stands = before.2 == self.date && !moved;
        if part.last || !moved {
            // The margin is asked for to the end; but a part that moves the date alone would be told again and again.
            // Unless track was lost anew while the answer was on its way.
            self.overtaken &= self.asking.is_wanted_again();
        }
        self.in_parts = !part.last;
        if part.last {
            self.asking.landed();
        }
        for other in part.others {
            match other {
                Item::Placed(place, update) => self.take(now, place, update, &peers, &mut telling),
                Item::Loose(update) => telling.tell_loose([update]),
                Item::ChannelTooLong { channel, pts } => self.channel_too_long(now, channel, pts),
            }
        }
        match part.last {
            true => self.end_of_difference(now, telling, moved),
            false => {
                self.finish(telling);
                self.ask_on(now, stands);
            }
        }
    }

    /// The account's sequences are told to their end: what waited for that is told, if it follows. `moved` says whether
    /// the difference told anything of them.
    fn end_of_difference(&mut self, now: Instant, mut telling: Telling<U, P>, moved: bool) {
        let mut moved = moved | self.settle_account(&mut telling);
        let gap = self.account.has_gap() || self.secondary.has_gap();
        if moved || !gap {
            self.asking.answered();
        } else if self.asking.refusals() < KNOWS_NOTHING {
            // It knows nothing of what is missing before what was pushed: it may not have heard of it yet.
            self.asking.refused(now, false);
        } else {
            self.asking.answered();
            self.skip_account_gap();
            moved = self.settle_account(&mut telling);
        }
        self.watch_account(now);
        self.tell_numbered(now, &mut telling);
        if !moved {
            // Containers that still wait for one before them: Telegram knows of none.
            self.numbered.clear();
            self.watch_account(now);
        }
        telling.stand(None);
        self.finish(telling);
        self.note_beginning();
    }

    /// Tells what waited and follows; whether anything did.
    fn settle_account(&mut self, telling: &mut Telling<U, P>) -> bool {
        let (mut told, mut of_secondary) = (Vec::new(), Vec::new());
        self.account.settle(&mut told);
        self.secondary.settle(&mut of_secondary);
        let any = !told.is_empty() || !of_secondary.is_empty();
        telling.tell_from(Key::Account, told);
        telling.tell_from(Key::Secondary, of_secondary);
        any
    }

    /// What is missing, and no difference knows of, counts as left out.
    fn skip_account_gap(&mut self) {
        if let Some(pts) = self.account.skip_gap() {
            self.jump(Key::Account, pts);
        }
        if let Some(qts) = self.secondary.skip_gap() {
            self.jump(Key::Secondary, qts);
        }
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
        // The date is still the old one: by it Telegram names the channels in which something happened. If it was refused
        // before, this answer is none to it: the rests go on growing.
        match self.asking.is_refused() {
            true => {
                self.asking.landed();
                self.asking.want(now);
            }
            false => self.ask_on(now, false),
        }
    }

    /// Takes a refusal of what was asked.
    pub fn refused(&mut self, now: Instant, request: Request, refusal: Refusal) {
        let Some(channel) = request.channel() else {
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
        self.note_beginning();
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
                known.shows_life(now);
                self.plan(channel);
            }
        }
        telling.tell_from(place.key, told);
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

    /// The date as it may be stored. Channels that a difference named are asked one after the other: until all have
    /// answered, a connection that ends asks from before, and hears of them again.
    fn date_to_store(&mut self) -> i32 {
        if self.owing.is_empty() && !self.in_parts {
            self.stored_date = self.date;
        }
        self.stored_date
    }

    fn jump(&mut self, key: Key, pts: i32) {
        let to = State {
            // Channels that the same difference names may not be known to owe anything yet.
            date: self.stored_date,
            seq: self.seq,
            position: Some(Position { key, pts }),
        };
        self.out.push_back(Out::Jump {
            key,
            to: Some(to).filter(|_| pts != 0),
        });
    }

    /// The beginning is told once the account's difference is, and every channel that it named was asked. A channel
    /// that gave no answer, or rests, keeps nobody waiting.
    fn note_beginning(&mut self) {
        let Some(named) = &mut self.beginning else { return };
        let channels = &self.channels;
        named.retain(|channel| {
            channels
                .get(channel)
                .is_some_and(|known| known.asking.is_promising())
        });
        if named.is_empty() && !self.asking.is_wanted() {
            self.beginning = None;
            self.out.push_back(Out::Complete);
        }
    }

    fn finish(&mut self, telling: Telling<U, P>) {
        let date = self.date_to_store();
        self.out.extend(telling.told(date, self.seq));
    }
}
