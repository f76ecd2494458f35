//! The daemon beside a client that others wrote: random histories, played to two logins of one account. What the other
//! client tells of, the daemon tells too; and the daemon tells everything, once. What is deleted before it was told is
//! told by whoever was pushed it in time: losses fall on each login by itself. No difference is too long here: edits
//! that such a one leaves out need not be told.
//!
//! `TRUNKLINE_BESIDE` says how many histories (`make beside` plays 500), `TRUNKLINE_SEED` where they begin. Without node
//! and mtcute the daemon plays alone.

mod listener;
mod scenes;
mod ways;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

use listener::{Foreign, Listener, place};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use trunkline::app::Daemon;
use trunkline::base::SessionId;
use trunkline::model::{EventBody, Message};
use trunkline::sandbox::World;
use trunkline::sandbox::world::content::Body;
use trunkline::sandbox::world::posting::Draft;
use trunkline::sandbox::world::weather::Kind;
use trunkline::sandbox::world::{Peer, State};

use crate::stage::{Stage, until};

const PHONE: &str = "+999661000077";
const CODE: &str = "11111";

/// Histories in an everyday run.
const EVERYDAY: u64 = 6;
/// Acts of a history.
const ACTS: u32 = 16;
/// How long the other client may take to hear the end of a history. What it has missed by then it has missed.
const PATIENCE: Duration = Duration::from_secs(5);

/// A message, as both name it.
type Place = (i64, i32);

/// What the daemon has told of a message.
#[derive(Clone, Debug, Default)]
struct Told {
    /// How often as new.
    times: u32,
    /// Its last form; none if it was deleted.
    last: Option<Message>,
}

/// Chats that are there from the beginning: with Bob alone, a basic group, a channel, a supergroup.
const CHATS: usize = 4;

/// The world, and who is in it.
struct Play {
    // The first to end: it shall not see the server go.
    others: Vec<Listener>,
    daemon: Daemon,
    session: SessionId,
    world: World,
    stage: Stage,
    ann: i64,
    bob: i64,
    /// Somebody who comes and goes.
    dan: i64,
    chats: [Peer; CHATS],
    /// What stands in each chat, under the numbers that Ann sees, with its last text; none if it was deleted.
    truth: BTreeMap<Place, Option<String>>,
    /// What the daemon has told.
    told: HashMap<Place, Told>,
    /// Service messages, and how often the daemon has told each.
    services: BTreeMap<Place, u32>,
    /// What else it has told of chats: moves, losses, gaps.
    turns: BTreeSet<String>,
    /// How many names Ann has given to what she sends.
    named: i64,
    /// The last event that is counted in it.
    cursor: u64,
    /// The number that the author sees.
    own: HashMap<Place, i32>,
}

impl Play {
    /// With these clients of others, and without what they do not bear.
    async fn new(foreign: &[Foreign]) -> Self {
        let stage = Stage::with_centres(&[2, 4]).await;
        let off = ways::unbearable(foreign);
        let off = off.into_iter().map(|name| (name.to_owned(), false));
        stage.handle().turn(&off.collect()).expect("turned");
        let (ann, bob) = (stage.user(PHONE, "Ann"), stage.user("+999661000078", "Bob"));
        let dan = stage.user("+999661000079", "Dan");
        let chats = stage.world.world(|world| {
            [
                Peer::User(ann),
                Peer::Group(world.add_group(None, bob, "Few", &[ann]).expect("made")),
                Peer::Channel(world.add_channel(None, bob, "News", true, &[ann]).expect("made")),
                Peer::Channel(world.add_channel(None, bob, "Many", false, &[ann]).expect("made")),
            ]
        });
        let daemon = stage.daemon().await;
        let session = stage.log_in(&daemon, PHONE).await;
        let mut others = Vec::new();
        for foreign in foreign {
            let other = Listener::start(&stage, foreign);
            until("the other client listens", || other.is_ready()).await;
            others.push(other);
        }
        Self {
            world: stage.handle(),
            daemon,
            session,
            others,
            ann,
            bob,
            dan,
            chats,
            truth: BTreeMap::new(),
            told: HashMap::new(),
            cursor: 0,
            services: BTreeMap::new(),
            turns: BTreeSet::new(),
            named: 0,
            own: HashMap::new(),
            stage,
        }
    }

    /// A chat as Ann numbers it.
    fn chat(&self, chat: usize) -> i64 {
        match self.chats[chat] {
            Peer::User(_) => self.bob,
            peer => peer.bot_api(),
        }
    }

    fn post(&mut self, chat: usize, text: &str) -> Place {
        let (own, id) = self.stage.world.world(|world| {
            let uid = world
                .post(self.bob, self.chats[chat], Draft::text(text))
                .expect("posted");
            let message = &world.contents[&uid];
            let number = |user| message.number_for(user).expect("a number");
            (number(self.bob), number(self.ann))
        });
        let place = (self.chat(chat), id);
        self.own.insert(place, own);
        self.truth.insert(place, Some(text.to_owned()));
        place
    }

    /// Something happens to a message of this history, if there is one.
    fn change(&mut self, dice: &mut StdRng, chat: usize, since: &[Place]) {
        let here = self.chat(chat);
        let standing = since
            .iter()
            .filter(|place| place.0 == here && self.truth[place].is_some());
        let standing: Vec<Place> = standing.copied().collect();
        if standing.is_empty() {
            return;
        }
        let place = standing[dice.random_range(0..standing.len())];
        // In a private chat Bob names Ann; elsewhere both name the chat.
        let (peer, own) = (self.chats[chat].bot_api(), self.own[&place]);
        if dice.random_bool(0.7) {
            let text = format!("edited {}", dice.random::<u32>());
            self.world
                .edit(peer, own, self.bob, &text, Vec::new())
                .expect("edited");
            self.truth.insert(place, Some(text));
        } else {
            self.world.delete(peer, own, self.bob).expect("deleted");
            self.truth.insert(place, None);
        }
    }

    fn trouble(&self, dice: &mut StdRng, chat: usize) {
        let times = dice.random_range(1..4);
        let (ann, here) = (self.ann, self.chat(chat));
        let method = ["updates.getDifference", "updates.getChannelDifference"][dice.random_range(0..2)];
        let fault = match dice.random_range(0..8) {
            0 => json!({"kind": "gap", "account": ann, "chat": here, "times": times}),
            1 => json!({"kind": "reorder", "account": ann, "chat": here, "times": times}),
            2 => json!({"kind": "duplicate", "account": ann, "chat": here, "times": times}),
            3 => json!({"kind": "push_too_long", "account": ann}),
            4 => json!({"kind": "disconnect", "account": ann}),
            5 => json!({"kind": "drop_after", "account": ann, "method": method}),
            6 => {
                json!({"kind": "error", "code": 500, "name": "HISTORY_GET_FAILED", "account": ann, "method": method})
            }
            _ => json!({"kind": "gap", "account": ann, "times": times}),
        };
        self.world
            .fault(serde_json::from_value(fault).expect("a fault"))
            .expect("set");
    }

    /// One history, to its end.
    async fn history(&mut self, seed: u64) {
        self.history_with(seed, None).await;
    }

    /// The same with a scene in it; answers where messages were said.
    async fn history_with(&mut self, seed: u64, scene: Option<&str>) -> Vec<Place> {
        let mut dice = StdRng::seed_from_u64(seed);
        let mut said = Vec::new();
        for act in 0..ACTS {
            // All kinds of the stream in one history, if it goes on.
            for _ in 0..=Kind::ALL.len() as u32 / ACTS {
                self.stage.world.world(State::next_gust);
            }
            let chat = dice.random_range(0..self.chats.len());
            match dice.random_range(0..10) {
                0..6 => said.push(self.post(chat, &format!("{seed}/{act}"))),
                6..8 => self.change(&mut dice, chat, &said),
                8 => self.trouble(&mut dice, chat),
                _ => tokio::time::sleep(Duration::from_millis(dice.random_range(0..150))).await,
            }
        }
        self.world.clear_faults(None);
        if let Some(name) = scene {
            said.extend(self.end(seed, "scene"));
            self.heard(seed, &said).await;
            let since = self.next();
            Box::pin(scenes::play(self, name)).await;
            self.world.clear_faults(None);
            said.extend(self.look_round(since));
        }
        // What was lost last shows by what comes after it.
        let ends = self.end(seed, "end");
        said.extend(&ends);
        self.heard(seed, &said).await;
        let begun = Instant::now();
        let heard = |other: &Listener| {
            let new = other.told_new();
            ends.iter().all(|end| new.contains_key(end))
        };
        while !self.others.iter().all(heard) && begun.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        said
    }

    /// A word in each chat.
    fn end(&mut self, seed: u64, word: &str) -> Vec<Place> {
        let text = format!("{seed}/{word}");
        (0..CHATS).map(|chat| self.post(chat, &text)).collect()
    }

    /// Waits until the daemon has told all of this.
    async fn heard(&mut self, seed: u64, said: &[Place]) {
        let begun = Instant::now();
        self.hear();
        while !self.missing(said).is_empty() {
            let late = begun.elapsed() > Duration::from_secs(20);
            assert!(!late, "history {seed} is not told: {}", self.show(said));
            tokio::time::sleep(Duration::from_millis(10)).await;
            self.hear();
        }
    }

    /// The number that the world's next message will have.
    fn next(&self) -> u64 {
        self.stage.world.look(|world| world.next.uid)
    }

    /// What was said since in the chats that Ann is in, by whomever.
    fn look_round(&mut self, since: u64) -> Vec<Place> {
        let ann = self.ann;
        let found: Vec<_> = self.stage.world.look(|world| {
            let sees = |peer| match peer {
                Peer::Channel(id) => world.channels[&id].has(ann),
                _ => true,
            };
            let said = (since..world.next.uid).filter_map(|uid| world.contents.get(&uid));
            let said = said.filter(|content| matches!(content.body, Body::Said { .. }));
            let said = said.filter(|content| content.text() != scenes::ASIDE);
            said.filter_map(|content| {
                let (peer, id) = (content.place.seen_by(ann), content.number_for(ann)?);
                let stands = content.deleted_at.is_none();
                let text = stands.then(|| content.text().to_owned());
                sees(peer).then_some(((peer.bot_api(), id), text))
            })
            .collect()
        });
        let places = found.iter().map(|(place, _)| *place).collect();
        self.truth.extend(found);
        places
    }

    /// Counts what the daemon has told since.
    fn hear(&mut self) {
        let events = self.daemon.handles.store.events(self.cursor, 10_000);
        for (seq, event) in events.expect("the journal can be read") {
            self.cursor = seq;
            if event.session != Some(self.session) {
                continue;
            }
            match &event.body {
                EventBody::MessageNew(message) | EventBody::MessageSent(message) if message.service => {
                    let place = (message.chat.0, message.id);
                    *self.services.entry(place).or_default() += 1;
                }
                EventBody::MessageNew(message) | EventBody::MessageSent(message) => {
                    let known = self.told.entry((message.chat.0, message.id)).or_default();
                    known.times += 1;
                    known.last = Some(message.clone());
                }
                EventBody::MessageEdited(message) => {
                    let known = self.told.entry((message.chat.0, message.id)).or_default();
                    known.last = Some(message.clone());
                }
                EventBody::MessageDeleted {
                    chat: Some(chat),
                    ids,
                } => {
                    for id in ids {
                        self.told.entry((chat.0, *id)).or_default().last = None;
                    }
                }
                turn @ (EventBody::ChatMigrated { .. }
                | EventBody::ChatLost { .. }
                | EventBody::SessionGap { .. }) => {
                    self.turns.insert(format!("{turn:?}"));
                }
                _ => {}
            }
        }
    }

    /// What is missing, and what all have told of it.
    fn show(&self, of: &[Place]) -> String {
        let heard = |other: &Listener, at: Place| {
            let lines = other.heard().into_iter().filter(|line| place(line) == Some(at));
            format!(", by {} as {:?}", other.name, lines.collect::<Vec<_>>())
        };
        let one = |at: &Place| {
            let (truth, told) = (&self.truth[at], self.told.get(at));
            let others: String = self.others.iter().map(|other| heard(other, *at)).collect();
            format!("{at:?} stands as {truth:?}, told as {told:?}{others}")
        };
        let missing = self.missing(of);
        missing.iter().map(one).collect::<Vec<_>>().join("\n")
    }

    /// Those of these messages that the daemon has not told as they are.
    fn missing(&self, of: &[Place]) -> Vec<Place> {
        let missing = |place: &&Place| {
            let known = self.told.get(place);
            match &self.truth[*place] {
                Some(text) => {
                    let last = known.and_then(|told| told.last.as_ref());
                    last.is_none_or(|last| last.text != *text)
                }
                // One that was gone before it could be told is told as nothing, or as deleted.
                None => known.is_some_and(|told| told.last.is_some()),
            }
        };
        of.iter().filter(missing).copied().collect()
    }

    /// Whether what all told so far is right; how much each of the others missed, and how much it told again.
    fn judge(&self) {
        let twice: Vec<_> = self.told.iter().filter(|(_, told)| told.times > 1).collect();
        assert!(twice.is_empty(), "told twice as new: {twice:?}");
        let twice: Vec<_> = self.services.iter().filter(|(_, times)| **times > 1).collect();
        assert!(twice.is_empty(), "services told twice: {twice:?}");
        let standing = || self.truth.iter().filter(|(_, text)| text.is_some());
        for other in &self.others {
            let (name, new) = (other.name, other.told_new());
            // It shows more than messages: notes of the server, and what is written for later.
            let stands = |place: &Place| self.truth.get(place).is_some_and(Option::is_some);
            let unheard = |place: &&Place| stands(place) && !self.told.contains_key(place);
            let more: HashSet<_> = new.keys().filter(unheard).collect();
            assert!(
                more.is_empty(),
                "{name} tells of what the daemon does not: {more:?}"
            );
            let missed = standing().filter(|(place, _)| !new.contains_key(place)).count();
            let again = new.values().filter(|times| **times > 1).count();
            println!(
                "{name} missed {missed} of {} that stand, and told {again} more than once",
                standing().count()
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_tells_all_that_mtcute_tells_and_all_there_is() {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let count = number("TRUNKLINE_BESIDE").unwrap_or(EVERYDAY);
    let first = number("TRUNKLINE_SEED").unwrap_or_else(rand::random);
    println!("{count} histories from seed {first}");
    let mut play = Play::new(Foreign::mtcute().as_slice()).await;
    let begun = Instant::now();
    for seed in (0..count).map(|number| first.wrapping_add(number)) {
        play.history(seed).await;
    }
    play.judge();
    println!(
        "{count} histories, {} messages: the daemon told each once; {:.0?}",
        play.truth.len(),
        begun.elapsed()
    );
}
