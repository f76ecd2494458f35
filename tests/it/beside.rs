//! The daemon beside a client that others wrote: random histories, played to two logins of one account. What the other
//! client tells of, the daemon tells too; and the daemon tells everything, once. What is deleted before it was told is
//! told by whoever was pushed it in time: losses fall on each login by itself. No difference is too long here: edits
//! that such a one leaves out need not be told.
//!
//! `TRUNKLINE_BESIDE` says how many histories (`make beside` plays 500), `TRUNKLINE_SEED` where they begin. Without node
//! and mtcute the daemon plays alone.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use trunkline::app::Daemon;
use trunkline::model::EventBody;
use trunkline::sandbox::World;
use trunkline::sandbox::world::posting::Draft;
use trunkline::sandbox::world::switches::Switches;
use trunkline::sandbox::world::weather::{Kind, Weather};
use trunkline::sandbox::world::{Peer, State};

use crate::interop::node_modules;
use crate::stage::{Stage, until};

const PHONE: &str = "+999661000077";
const CODE: &str = "11111";

/// The ways of Telegram that mtcute does not bear: the rows of the table "Clients and switches" in the documentation.
fn unbearable() -> Vec<&'static str> {
    let rows = include_str!("../../docs/sandbox.md").lines();
    let rows = rows.filter(|row| row.starts_with("| mtcute "));
    let names = rows.filter_map(|row| row.split('|').nth(3));
    let names: Vec<_> = names.map(|name| name.trim().trim_matches('`')).collect();
    assert!(!names.is_empty(), "there is no such table");
    names
}

/// Histories in an everyday run.
const EVERYDAY: u64 = 6;
/// Acts of a history.
const ACTS: u32 = 16;
/// How long the other client may take to hear the end of a history. What it has missed by then it has missed.
const PATIENCE: Duration = Duration::from_secs(5);

/// A message, as both name it.
type Place = (i64, i32);

/// The other client.
struct Listener {
    process: Child,
    input: Option<ChildStdin>,
    heard: Arc<Mutex<Vec<Value>>>,
}

impl Listener {
    fn start(stage: &Stage, modules: &Path) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let link = modules.join("mtcute_listener.mjs");
        match std::os::unix::fs::symlink(root.join("tests/interop/mtcute_listener.mjs"), &link) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => panic!("{error}"),
            _ => {}
        }
        let key = stage.files().0.with_file_name("public.pem");
        std::fs::write(&key, stage.public_key()).expect("written");
        let address = stage.address();
        let mut process = Command::new("node")
            .arg("--preserve-symlinks-main")
            .arg(&link)
            .args([address.ip().to_string(), address.port().to_string()])
            .arg(&key)
            .args([PHONE, CODE])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node runs");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (output, into) = (process.stdout.take().expect("piped"), heard.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).expect("an object a line");
                into.lock().expect("sound").push(line);
            }
        });
        Self {
            input: process.stdin.take(),
            process,
            heard,
        }
    }

    fn heard(&self) -> Vec<Value> {
        self.heard.lock().expect("sound").clone()
    }

    /// How often it told of each message as new.
    fn told_new(&self) -> HashMap<Place, u32> {
        let mut new = HashMap::new();
        for line in self.heard().iter().filter(|line| line["kind"] == "new") {
            if let Some(place) = place(line) {
                *new.entry(place).or_default() += 1;
            }
        }
        new
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        drop(self.input.take());
        self.process.kill().ok();
        self.process.wait().expect("ended");
    }
}

fn place(line: &Value) -> Option<Place> {
    let id = i32::try_from(line["id"].as_i64()?).ok()?;
    Some((line["chat"].as_i64()?, id))
}

/// The world, and who is in it.
struct Play {
    // The first to end: it shall not see the server go.
    other: Option<Listener>,
    daemon: Daemon,
    world: World,
    stage: Stage,
    ann: i64,
    bob: i64,
    chats: [Peer; 4],
    /// What stands in each chat, under the numbers that Ann sees, with its last text; none if it was deleted.
    truth: BTreeMap<Place, Option<String>>,
    /// What the daemon has told: how often as new, with the last text; none if it was deleted.
    told: HashMap<Place, (u32, Option<String>)>,
    /// The last event that is counted in it.
    cursor: u64,
    /// The number that the author sees.
    own: HashMap<Place, i32>,
}

impl Play {
    async fn new(modules: Option<&Path>) -> Self {
        let stage = Stage::new().await;
        if modules.is_some() {
            let off = unbearable().into_iter().map(|name| (name.to_owned(), false));
            stage.handle().turn(&off.collect()).expect("turned");
        }
        let (ann, bob) = (stage.user(PHONE, "Ann"), stage.user("+999661000078", "Bob"));
        let chats = stage.world.world(|world| {
            [
                Peer::User(ann),
                Peer::Group(world.add_group(None, bob, "Few", &[ann]).expect("made")),
                Peer::Channel(world.add_channel(None, bob, "News", true, &[ann]).expect("made")),
                Peer::Channel(world.add_channel(None, bob, "Many", false, &[ann]).expect("made")),
            ]
        });
        let daemon = stage.daemon().await;
        stage.log_in(&daemon, PHONE).await;
        let other = modules.map(|modules| Listener::start(&stage, modules));
        let ready = |other: &Listener| other.heard().iter().any(|line| line["ready"] == true);
        until("the other client listens", || other.as_ref().is_none_or(ready)).await;
        Self {
            world: stage.handle(),
            daemon,
            other,
            ann,
            bob,
            chats,
            truth: BTreeMap::new(),
            told: HashMap::new(),
            cursor: 0,
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
        // What was lost last shows by what comes after it.
        let ends: Vec<Place> = (0..self.chats.len())
            .map(|chat| self.post(chat, &format!("{seed}/end")))
            .collect();
        said.extend(&ends);
        let begun = Instant::now();
        self.hear();
        while !self.missing(&said).is_empty() {
            let late = begun.elapsed() > Duration::from_secs(20);
            assert!(!late, "history {seed} is not told: {}", self.show(&said));
            tokio::time::sleep(Duration::from_millis(10)).await;
            self.hear();
        }
        let begun = Instant::now();
        let heard = |other: &Listener| {
            let new = other.told_new();
            ends.iter().all(|end| new.contains_key(end))
        };
        while !self.other.as_ref().is_none_or(heard) && begun.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Counts what the daemon has told since.
    fn hear(&mut self) {
        let events = self.daemon.handles.store.events(self.cursor, 10_000);
        for (seq, event) in events.expect("the journal can be read") {
            self.cursor = seq;
            match &event.body {
                EventBody::MessageNew(message) if !message.service => {
                    let known = self.told.entry((message.chat.0, message.id)).or_default();
                    *known = (known.0 + 1, Some(message.text.clone()));
                }
                EventBody::MessageEdited(message) => {
                    let known = self.told.entry((message.chat.0, message.id)).or_default();
                    known.1 = Some(message.text.clone());
                }
                EventBody::MessageDeleted {
                    chat: Some(chat),
                    ids,
                } => {
                    for id in ids {
                        self.told.entry((chat.0, *id)).or_default().1 = None;
                    }
                }
                _ => {}
            }
        }
    }

    /// What is missing, and what both have told of it.
    fn show(&self, of: &[Place]) -> String {
        let other = self.other.as_ref().map(Listener::heard).unwrap_or_default();
        let one = |at: &Place| {
            let heard: Vec<_> = other.iter().filter(|line| place(line) == Some(*at)).collect();
            let (truth, told) = (&self.truth[at], self.told.get(at));
            format!("{at:?} stands as {truth:?}, told as {told:?}, by mtcute as {heard:?}")
        };
        let missing = self.missing(of);
        missing.iter().map(one).collect::<Vec<_>>().join("\n")
    }

    /// Those of these messages that the daemon has not told as they are.
    fn missing(&self, of: &[Place]) -> Vec<Place> {
        let missing = |place: &&Place| {
            let known = self.told.get(place);
            match &self.truth[*place] {
                Some(text) => known.is_none_or(|(_, last)| last.as_ref() != Some(text)),
                // One that was gone before it could be told is told as nothing, or as deleted.
                None => known.is_some_and(|(_, last)| last.is_some()),
            }
        };
        of.iter().filter(missing).copied().collect()
    }

    /// Whether what both told so far is right; how much the other client missed, and how much it told again.
    fn judge(&self) -> (usize, usize) {
        let twice: Vec<_> = self.told.iter().filter(|(_, (times, _))| *times > 1).collect();
        assert!(twice.is_empty(), "told twice as new: {twice:?}");
        let other = self.other.as_ref().map(Listener::told_new).unwrap_or_default();
        // It shows more than messages: notes of the server, and what is written for later.
        let stands = |place: &Place| self.truth.get(place).is_some_and(Option::is_some);
        let unheard = |place: &&Place| stands(place) && !self.told.contains_key(place);
        let more: HashSet<_> = other.keys().filter(unheard).collect();
        assert!(
            more.is_empty(),
            "mtcute tells of what the daemon does not: {more:?}"
        );
        let standing = self.truth.iter().filter(|(_, text)| text.is_some());
        let missed = standing.filter(|(place, _)| !other.contains_key(place));
        (missed.count(), other.values().filter(|times| **times > 1).count())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_tells_all_that_mtcute_tells_and_all_there_is() {
    let modules = node_modules("@mtcute/node");
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let count = number("TRUNKLINE_BESIDE").unwrap_or(EVERYDAY);
    let first = number("TRUNKLINE_SEED").unwrap_or_else(rand::random);
    println!("{count} histories from seed {first}");
    let mut play = Play::new(modules.as_deref()).await;
    let begun = Instant::now();
    for seed in (0..count).map(|number| first.wrapping_add(number)) {
        play.history(seed).await;
    }
    let (missed, again) = play.judge();
    println!(
        "{count} histories, {} messages: the daemon told each once; mtcute missed {missed} of those that stand, and \
         told {again} more than once; {:.0?}",
        play.truth.len(),
        begun.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_of_telegram_alone_leaves_what_is_told_as_it_is() {
    let modules = node_modules("@mtcute/node");
    let given = std::env::var("TRUNKLINE_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed: u64 = given.unwrap_or_else(rand::random);
    println!("histories from seed {seed}");
    for with_other in [true, false] {
        let mut play = Play::new(modules.as_deref().filter(|_| with_other)).await;
        let rows = Switches::ROWS.iter().map(|row| row.name);
        let rows = rows.filter(|name| unbearable().contains(name) != with_other);
        for (number, name) in (0..).zip(rows) {
            let only = Switches::ROWS
                .iter()
                .map(|row| (row.name.to_owned(), row.name == name));
            play.world.turn(&only.collect()).expect("turned");
            println!("{name}");
            play.history(seed.wrapping_add(2 * number)).await;
            // And with all that real accounts hear besides.
            let weather = Weather {
                seed: number.cast_signed(),
                gusts: 0,
            };
            play.world.set_weather(Some(weather));
            play.history(seed.wrapping_add(2 * number + 1)).await;
            play.world.set_weather(None);
        }
        play.judge();
    }
}
