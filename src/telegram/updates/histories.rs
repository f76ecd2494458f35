//! The sequencer against a model of the server: random histories with loss, reordering, repetition, parts, "too long",
//! refusals, waits, answers that lag behind and restarts at any step. Every event is told exactly once and in the order
//! of its sequence, or lies inside a gap that was reported. In a third of them nothing is polled and no push is lost but
//! with its connection: there the stored date alone has to find the channels that were not told to their end.
//!
//! `TRUNKLINE_SCHEDULES` says how many (`make schedules` runs 100,000), `TRUNKLINE_SEED` where they begin; both are
//! printed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::model::{Event, Log, MARK, Server, Told};
use super::position::{AccountDifference, ChannelDifference, Key, Out, Packet, Refusal, Request, State};
use super::sequencer::{Sequencer, Stored};
use crate::base::campaign;

/// Histories in an everyday run.
const EVERYDAY: u64 = 5_000;

/// Steps of a history.
const STEPS: usize = 120;

/// What the daemon has stored: its state, and what it told. Both in one commit.
#[derive(Default)]
struct Journal {
    stored: Stored,
    told: BTreeMap<Key, Vec<u32>>,
    /// From which position to which something was left out.
    gaps: Vec<(Key, i32, i32)>,
    lost: usize,
    jumps: usize,
    completed: usize,
}

impl Journal {
    fn position(&self, key: Key) -> i32 {
        match key {
            Key::Account => self.stored.pts,
            Key::Secondary => self.stored.qts,
            Key::Channel(channel) => {
                let known = self.stored.channels.iter().find(|(id, _)| *id == channel);
                known.map_or(0, |(_, pts)| *pts)
            }
        }
    }

    fn stand(&mut self, state: State) {
        (self.stored.date, self.stored.seq) = (state.date, state.seq);
        let Some(position) = state.position else { return };
        match position.key {
            Key::Account => self.stored.pts = position.pts,
            Key::Secondary => self.stored.qts = position.pts,
            Key::Channel(channel) => match self.stored.channels.iter_mut().find(|(id, _)| *id == channel) {
                Some((_, pts)) => *pts = position.pts,
                None => self.stored.channels.push((channel, position.pts)),
            },
        }
    }

    fn commit(&mut self, out: Out<Told, ()>) {
        match out {
            Out::Updates(batch) => {
                // Only within a part of a difference do new messages come before what happened earlier.
                for (update, _) in batch.updates.iter().filter(|(update, _)| update.event != MARK) {
                    let before = self.told.get(&update.key).and_then(|told| told.iter().max());
                    assert!(
                        before.is_none_or(|before| *before < update.event),
                        "{update:?} is told too late"
                    );
                }
                for (update, state) in batch.updates {
                    self.stand(state);
                    if update.event == MARK {
                        continue;
                    }
                    self.told.entry(update.key).or_default().push(update.event);
                }
            }
            Out::Stands(state) => self.stand(state),
            Out::Jump { key, to } => {
                self.jumps += 1;
                if let Some(state) = to {
                    let from = self.position(key);
                    self.stand(state);
                    self.gaps.push((key, from, self.position(key)));
                }
            }
            Out::Lost { .. } => self.lost += 1,
            Out::Complete => self.completed += 1,
        }
    }
}

/// How unkind a history is, of a hundred.
struct Weather {
    loses: u32,
    repeats: u32,
    refuses: u32,
    restarts: u32,
    quiet: u32,
    lags: u32,
    /// Whether channels are asked without cause at the end.
    polls: bool,
}

/// A push on its way.
#[derive(Clone)]
enum Pushed {
    Packet(Packet<Told, ()>),
    /// The updates were too many to be pushed.
    TooLong,
}

/// A history under way.
struct Play {
    rng: StdRng,
    weather: Weather,
    server: Server,
    journal: Journal,
    sequencer: Sequencer<Told, ()>,
    now: Instant,
    /// Pushes on their way, which may overtake each other.
    wire: Vec<Pushed>,
    /// Calls on their way.
    calls: Vec<Request>,
    /// Requests so far, with the key and the time: none may be made twice at once or inside a rest.
    resting: BTreeMap<Option<i64>, Instant>,
}

impl Play {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let now = Instant::now();
        let kept = [8, 30, 1_000][rng.random_range(0..3)];
        let mut server = Server {
            account: Log::new(rng.random_range(1..2_000_000), kept),
            channels: BTreeMap::new(),
            date: 1_700_000_000,
            seq: rng.random_range(0..3),
            part: rng.random_range(2..12),
            names_pts: rng.random(),
            names_latest_first: rng.random(),
            dates_parts: rng.random(),
        };
        let mut journal = Journal::default();
        for channel in 0..rng.random_range(1..5) {
            let log = Log::new(rng.random_range(1..900_000), kept);
            journal.stored.channels.push((channel, log.pts));
            server.channels.insert(channel, log);
        }
        let present = server.present();
        (journal.stored.pts, journal.stored.seq) = (present.pts, present.seq);
        journal.stored.date = present.date;
        let polls = rng.random_range(0..3) > 0;
        let mut often = |most: u32| if polls { rng.random_range(0..most) } else { 0 };
        let (loses, quiet, lags) = (often(40), often(50), often(70));
        let weather = Weather {
            loses,
            repeats: rng.random_range(0..20),
            refuses: rng.random_range(0..40),
            restarts: rng.random_range(0..6),
            quiet,
            lags,
            polls,
        };
        Self {
            sequencer: Sequencer::new(now, &journal.stored),
            rng,
            weather,
            server,
            journal,
            now,
            wire: Vec::new(),
            calls: Vec::new(),
            resting: BTreeMap::new(),
        }
    }

    fn chance(&mut self, of_hundred: u32) -> bool {
        self.rng.random_range(0..100) < of_hundred
    }

    /// Some events, and perhaps word of them.
    fn happen(&mut self) {
        if self.chance(3) {
            // The account comes into a channel that has a past.
            let channel = self.server.channels.len() as i64;
            self.server
                .channels
                .insert(channel, Log::new(self.rng.random_range(1..50), 30));
        }
        let mut events: Vec<(Key, Event)> = Vec::new();
        for _ in 0..self.rng.random_range(1..4) {
            let count = if self.chance(15) {
                self.rng.random_range(2..4)
            } else {
                1
            };
            let (date, new) = (self.server.date, self.rng.random());
            let channel = self.rng.random_range(0..self.server.channels.len() as i64);
            let account = self.chance(45);
            match self.server.channels.get_mut(&channel).filter(|_| !account) {
                Some(log) => events.push((Key::Channel(channel), log.happen(count, date, new))),
                None => events.push((Key::Account, self.server.account.happen(count, date, new))),
            }
        }
        let quiet = self.weather.quiet;
        if self.chance(quiet) {
            // Channels are announced, if at all.
            events.retain(|(key, _)| *key == Key::Account);
            if self.rng.random() {
                let channel = self.rng.random_range(0..self.server.channels.len() as i64);
                let packet = self.server.announcement(channel);
                self.wire.push(Pushed::Packet(packet));
            }
        }
        if events.len() > 1 && self.rng.random() {
            events.reverse();
        }
        // Read marks count nothing, and may come before the message that moves to the same place.
        let marks = if self.chance(20) {
            events.clone()
        } else {
            Vec::new()
        };
        let seq = if self.chance(20) { self.server.seq + 1 } else { 0 };
        self.server.seq = self.server.seq.max(seq);
        let packet = match self.chance(5) {
            true => Pushed::TooLong,
            false => Pushed::Packet(self.server.packet(&events, &marks, seq)),
        };
        let loses = self.weather.loses;
        if self.chance(loses) {
            return;
        }
        let repeats = self.weather.repeats;
        if self.chance(repeats) {
            self.wire.push(packet.clone());
        }
        self.wire.push(packet);
    }

    fn pass(&mut self, span: Duration) {
        self.now += span;
        self.server.date +=
            i32::try_from(span.as_secs()).unwrap_or(i32::MAX) + i32::from(self.rng.random::<bool>());
    }

    fn arrive(&mut self) {
        let pushed = self.wire.swap_remove(self.rng.random_range(0..self.wire.len()));
        match pushed {
            Pushed::Packet(packet) => self.sequencer.push(self.now, packet),
            Pushed::TooLong => self.sequencer.lost_track(self.now),
        }
    }

    /// The daemon is killed, or its connection ends: what was not stored is forgotten. It may be away for minutes.
    fn restart(&mut self) {
        if self.chance(30) {
            self.happen();
            self.pass(Duration::from_secs(90));
        }
        self.sequencer = Sequencer::new(self.now, &self.journal.stored);
        self.wire.clear();
        self.calls.clear();
        self.resting.clear();
    }

    fn store_all(&mut self) {
        while let Some(out) = self.sequencer.told() {
            self.journal.commit(out);
        }
    }

    fn ask(&mut self) {
        while let Some(request) = self.sequencer.next_request(self.now) {
            let place = request.channel();
            assert!(
                !self.calls.iter().any(|call| call.channel() == place),
                "two differences of one sequence at once"
            );
            if let Some(rest) = self.resting.remove(&place) {
                assert!(self.now >= rest, "asked before a wait was over");
            }
            self.calls.push(request);
        }
    }

    fn answer(&mut self, kind: bool) {
        if self.calls.is_empty() {
            return;
        }
        let call = self.calls.swap_remove(self.rng.random_range(0..self.calls.len()));
        let refuses = self.weather.refuses;
        if !self.server.knows(&call) {
            self.sequencer.refused(self.now, call, Refusal::Unknown);
        } else if !kind && self.chance(refuses) {
            let wait = Duration::from_secs(self.rng.random_range(1..40));
            let refusal = match self.rng.random_range(0..5) {
                0 => Refusal::Wait(wait),
                // Whoever tells nothing is found again by polls only.
                1 if self.weather.polls => Refusal::Lost,
                2 if self.chance(20) => Refusal::Unknown,
                _ => Refusal::Again,
            };
            let rest = match refusal {
                Refusal::Wait(wait) => wait,
                _ => Duration::from_secs(1),
            };
            self.resting.insert(call.channel(), self.now + rest);
            self.sequencer.refused(self.now, call, refusal);
        } else if !kind && self.lags(&call) {
            self.tell_nothing(call);
        } else {
            self.tell(call);
        }
    }

    fn lags(&mut self, call: &Request) -> bool {
        let lags = self.weather.lags;
        matches!(call, Request::Account { .. } | Request::Channel { .. }) && self.chance(lags)
    }

    /// The server that answers has not heard yet of what was pushed.
    fn tell_nothing(&mut self, call: Request) {
        match call {
            Request::Account { date, .. } => {
                let seq = self.server.seq;
                let empty = AccountDifference::Empty { date, seq };
                self.sequencer.account_answered(self.now, empty);
            }
            Request::Channel { channel, pts } => {
                let empty = ChannelDifference {
                    pts: Some(pts),
                    updates: Vec::new(),
                    peers: (),
                    last: true,
                    too_long: false,
                    timeout: None,
                };
                self.sequencer.channel_answered(self.now, channel, empty);
            }
            Request::Present | Request::ChannelPresent { .. } => {}
        }
    }

    fn tell(&mut self, call: Request) {
        let now = self.now;
        match call {
            Request::Account { pts, date, .. } => {
                let difference = self.server.account_difference(pts, date);
                self.sequencer.account_answered(now, difference);
            }
            Request::Present => self.sequencer.present_answered(now, self.server.present()),
            Request::Channel { channel, pts } => {
                if let Some(difference) = self.server.channel_difference(channel, pts) {
                    self.sequencer.channel_answered(now, channel, difference);
                }
            }
            Request::ChannelPresent { channel } => {
                if let Some(log) = self.server.channels.get(&channel) {
                    self.sequencer.channel_present_answered(now, channel, log.pts, ());
                }
            }
        }
    }

    fn step(&mut self) {
        match self.rng.random_range(0..10) {
            0..4 => self.happen(),
            4..7 if !self.wire.is_empty() => {
                self.arrive();
            }
            7 => self.answer(false),
            8 => {
                let millis = self.rng.random_range(0..1_500);
                self.pass(Duration::from_millis(millis));
                if self.chance(5) {
                    self.sequencer.lost_track(self.now);
                }
            }
            _ => {
                let restarts = self.weather.restarts;
                if self.chance(restarts) {
                    self.restart();
                }
            }
        }
        self.ask();
        // What is told is stored a little later, or not at all if the daemon ends before.
        if self.chance(70) {
            self.store_all();
        }
    }

    /// No more trouble: what is on its way is gone, time passes, every channel is asked once. Without polls the
    /// connection ended with what was on its way.
    fn rest(&mut self) {
        self.wire.clear();
        if !self.weather.polls {
            self.restart();
        }
        for round in 0..200 {
            self.ask();
            while !self.calls.is_empty() {
                self.answer(true);
                self.ask();
            }
            if round == 20 && self.weather.polls {
                self.sequencer.lost_track(self.now);
                let channels: Vec<i64> = self.server.channels.keys().copied().collect();
                for channel in channels {
                    // One that we never heard of is not ours to poll: it is announced.
                    if !self.sequencer.poll(self.now, channel) {
                        let packet = self.server.announcement(channel);
                        self.sequencer.push(self.now, packet);
                    }
                }
            }
            self.pass(Duration::from_secs(if round < 20 { 200 } else { 40 }));
        }
        self.store_all();
    }

    fn check(&self) {
        assert_eq!(
            self.journal.stored.pts, self.server.account.pts,
            "the account is not told to its end"
        );
        self.check_log(Key::Account, &self.server.account);
        for (channel, log) in &self.server.channels {
            let key = Key::Channel(*channel);
            if log.events.is_empty() {
                continue;
            }
            assert_eq!(
                self.journal.position(key),
                log.pts,
                "{key:?} is not told to its end"
            );
            self.check_log(key, log);
        }
        assert!(
            self.journal.completed > 0,
            "the beginning was never told to its end"
        );
    }

    fn check_log(&self, key: Key, log: &Log) {
        let none = Vec::new();
        let told = self.journal.told.get(&key).unwrap_or(&none);
        let once: BTreeSet<u32> = told.iter().copied().collect();
        assert_eq!(once.len(), told.len(), "{key:?}: told twice: {told:?}");
        for event in &log.events {
            let left_out =
                |(gap, from, to): &(Key, i32, i32)| *gap == key && *from < event.pts && event.pts <= *to;
            let reported = self.journal.gaps.iter().any(left_out);
            assert!(
                once.contains(&event.number) || reported,
                "{key:?}: event {} at {} is lost; told {told:?}, gaps {:?}",
                event.number,
                event.pts,
                self.journal.gaps
            );
        }
    }
}

#[test]
fn histories_are_told_once_and_in_order_or_reported_as_gaps() {
    let (count, first) = campaign(EVERYDAY);
    let began = Instant::now();
    let (mut events, mut gaps, mut lost) = (0, 0, 0);
    for seed in (0..count).map(|n| first.wrapping_add(n)) {
        let played = std::panic::catch_unwind(|| {
            let mut play = Play::new(seed);
            (0..STEPS).for_each(|_| play.step());
            play.rest();
            play.check();
            let logs = play.server.channels.values().chain([&play.server.account]);
            (
                logs.map(|log| log.events.len()).sum::<usize>(),
                play.journal.jumps,
                play.journal.lost,
            )
        });
        let (happened, jumps, told_nothing) = played.unwrap_or_else(|_| panic!("seed {seed} fails"));
        events += happened;
        gaps += jumps;
        lost += told_nothing;
    }
    println!(
        "{count} histories from seed {first}: {events} events, {gaps} gaps reported, {lost} channels lost and found, \
         none lost or told twice; {:.1?}",
        began.elapsed()
    );
    let floor = count as usize;
    assert!(
        events > floor * 20 && gaps > floor / 10 && lost > floor / 10,
        "the histories are too kind"
    );
}
