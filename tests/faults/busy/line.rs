//! A line of a busy day: a source whose author talks, a pair, a destination; and what its account could not see.
//!
//! All that happens in a source is done by one task, one thing after the other: so it is known what was said and
//! changed while the account was out.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until};
use trunkline::base::Timestamp;
use trunkline::sandbox::ledger::Jump;

use super::plan::{Act, Course, Kind, Said};
use crate::class::Dice;
use crate::client::{Api, World};

/// The latest messages of a source, which are answered, edited and deleted.
const RECENT: usize = 20;

/// An update is on its way no longer than this, and what was missed is made up for in this time; in milliseconds.
const UNDER_WAY: i64 = 500;
const MADE_UP: i64 = 5000;

/// What a restarting daemon is asked again after.
const AGAIN: Duration = Duration::from_millis(100);

/// What the author reacts with.
const REACTIONS: [&str; 2] = ["👍", "🔥"];

/// So many calls of all lines are at the sandbox at a time.
pub const CALLS: usize = 32;

/// What all lines share.
#[derive(Clone)]
pub struct Town {
    pub world: World,
    pub api: Api,
    pub author: i64,
    /// Where messages stand that are forwarded into sources.
    pub press: i64,
    pub calls: Arc<Semaphore>,
    /// How often what happened.
    pub counts: Arc<Mutex<BTreeMap<&'static str, usize>>>,
    /// When who could hear nothing.
    pub away: Arc<Mutex<Vec<Away>>>,
}

/// A time without updates, in milliseconds.
pub struct Away {
    /// Of one account; else of all.
    agent: Option<i64>,
    from: i64,
    /// Not over yet, if there is none.
    to: Option<i64>,
}

impl Town {
    pub fn count(&self, what: &'static str) {
        *lock(&self.counts).entry(what).or_default() += 1;
    }

    /// An account, or all of them, hear nothing from now on; the number of this time.
    pub fn goes_away(&self, agent: Option<i64>) -> usize {
        let mut away = lock(&self.away);
        away.push(Away {
            agent,
            from: Timestamp::now().0,
            to: None,
        });
        away.len() - 1
    }

    /// Such a time is over.
    pub fn is_back(&self, number: usize) {
        lock(&self.away)[number].to = Some(Timestamp::now().0);
    }

    /// Up to when an account had certainly heard all, that asked for a difference at a moment.
    pub fn heard_all_before(&self, agent: i64, moment: i64) -> i64 {
        let mut heard = moment - UNDER_WAY;
        let away = lock(&self.away);
        let of = |away: &&Away| away.agent.is_none_or(|one| one == agent);
        // The latest first: one time may have begun before the one before it was made up for.
        for away in away.iter().rev().filter(of) {
            if away.to.is_none_or(|to| to + MADE_UP > heard) {
                heard = heard.min(away.from - UNDER_WAY);
            }
        }
        heard
    }

    pub fn counted(&self, what: &str) -> usize {
        lock(&self.counts).get(what).copied().unwrap_or(0)
    }
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What others are to know of a line.
pub struct Line {
    pub number: usize,
    pub kind: Kind,
    pub session: String,
    pub agent: i64,
    pub destination: i64,
    /// Whether the account is out of the source.
    pub out: AtomicBool,
    pub notes: Mutex<Notes>,
}

/// What happened to a line.
#[derive(Default)]
pub struct Notes {
    /// The source; first the group and then the supergroup that it became.
    pub chats: Vec<i64>,
    /// The topic of a forum where half of the messages stand; the others stand in the general one.
    pub topic: Option<i64>,
    /// Whether the pair is made.
    pub pair: Option<String>,
    /// The numbers of messages that were said, and of those that changed, while the account was out.
    pub unread: HashSet<String>,
    pub unseen: HashSet<String>,
    /// When differences were too long.
    pub jumps: Vec<Jump>,
}

impl Line {
    /// Where it is at the moment, if it is anywhere.
    pub fn chat(&self) -> Option<i64> {
        lock(&self.notes).chats.last().copied()
    }
}

/// A message that can still be answered or changed.
struct Recent {
    id: i64,
    number: String,
    /// A forward cannot be edited.
    editable: bool,
    /// How often the author reacted to it.
    reactions: usize,
}

/// Who talks in a source.
pub struct Voice {
    town: Town,
    line: Arc<Line>,
    course: Course,
    /// Whose messages they are: the author's, in Saved Messages the account's own.
    from: i64,
    dice: Dice,
    said: usize,
    recent: VecDeque<Recent>,
}

impl Voice {
    pub fn new(town: Town, line: Arc<Line>, course: Course, seed: u64) -> Self {
        let from = if line.kind == Kind::Saved {
            line.agent
        } else {
            town.author
        };
        let own = seed
            .wrapping_mul(0x0100_0000_01b3)
            .wrapping_add(line.number as u64);
        Self {
            town,
            line,
            course,
            from,
            dice: Dice::seed_from_u64(own),
            said: 0,
            recent: VecDeque::new(),
        }
    }

    /// Makes the source, if it is not there yet, and the pair.
    pub async fn open(&self) {
        let (world, author, agent) = (&self.town.world, self.town.author, self.line.agent);
        let title = format!("Source {}", self.line.number);
        let chat = match self.line.kind {
            Kind::Channel => world.chat("channel", &title, author, &[agent]).await,
            Kind::Supergroup | Kind::Forum => world.chat("supergroup", &title, author, &[agent]).await,
            Kind::Group => world.chat("group", &title, author, &[agent]).await,
            Kind::Saved => agent,
        };
        if self.line.kind == Kind::Forum {
            let topic = world.forum(chat, author, "Topic").await;
            lock(&self.line.notes).topic = Some(topic);
        }
        lock(&self.line.notes).chats.push(chat);
        let name = format!("line {}", self.line.number);
        let pair = json!({
            "name": name,
            "source": {"session": self.line.session, "chat": chat},
            "destination": {"session": self.line.session, "chat": self.line.destination},
        });
        let pair = loop {
            let asked = self
                .town
                .api
                .try_ask(Method::POST, "/api/pairs", Some(pair.clone()))
                .await;
            match asked {
                Some((200..300, made)) => break made["id"].as_str().expect("an id").to_owned(),
                // It was made, and the daemon killed before it said so.
                Some((409, refused)) => match self.pair_named(&name).await {
                    Some(id) => break id,
                    None => panic!("{name}: {refused}"),
                },
                Some((status @ 400..500, refused)) => panic!("{name}: {status} {refused}"),
                _ => sleep(AGAIN).await,
            }
        };
        lock(&self.line.notes).pair = Some(pair);
    }

    async fn pair_named(&self, name: &str) -> Option<String> {
        let pairs = pairs(&self.town.api).await;
        let found = pairs.iter().find(|pair| pair["name"] == name)?;
        found["id"].as_str().map(str::to_owned)
    }

    /// Does all that is planned; `begun` is when the day began.
    pub async fn speak(&mut self, begun: Instant) {
        if self.course.begins > Duration::ZERO {
            sleep_until(begun + self.course.begins).await;
            self.open().await;
        }
        for (at, act) in std::mem::take(&mut self.course.acts) {
            sleep_until(begun + at).await;
            self.act(act).await;
        }
    }

    /// Says a last word: what was left out before it shows now.
    pub async fn close(&mut self) {
        self.say(Said::Text).await;
    }

    async fn act(&mut self, act: Act) {
        let (town, line) = (self.town.clone(), self.line.clone());
        let world = &town.world;
        let _turn = town.calls.acquire().await.expect("it is never closed");
        let chat = line.chat().expect("the source is made");
        match act {
            Act::Say(said) => self.say(said).await,
            Act::Edit => {
                let Some(at) = self.pick(|recent| recent.editable) else {
                    return;
                };
                let (id, number) = self.touch(at);
                let text = format!("(corrected {}) №{number}", self.dice.random_range(0..1_000_000));
                world.edit(chat, id, self.from, &text).await;
                town.count("edit");
            }
            Act::Delete => {
                let Some(at) = self.pick(|_| true) else { return };
                let (id, _) = self.touch(at);
                self.recent.remove(at);
                world.delete(chat, id, self.from).await;
                town.count("deletion");
            }
            Act::Hide => {
                let Some(at) = self.pick(|_| true) else { return };
                let recent = &mut self.recent[at];
                recent.reactions += 1;
                // The same one again would be no change.
                let emoji = REACTIONS[recent.reactions % REACTIONS.len()];
                world.react(chat, recent.id, self.from, emoji).await;
                town.count("hidden edit");
            }
            Act::Kick => {
                world.role(chat, line.agent, "banned").await;
                line.out.store(true, Ordering::SeqCst);
            }
            Act::Return => {
                world.role(chat, line.agent, "member").await;
                line.out.store(false, Ordering::SeqCst);
                town.count("kick and return");
            }
            Act::Migrate => {
                let to = world.migrate(chat).await;
                let mut notes = lock(&line.notes);
                notes.chats.push(to);
                drop(notes);
                self.recent.clear();
                town.count("migration");
            }
        }
    }

    fn pick(&mut self, fits: impl Fn(&Recent) -> bool) -> Option<usize> {
        let fitting: Vec<usize> = (0..self.recent.len())
            .filter(|at| fits(&self.recent[*at]))
            .collect();
        let at = self.dice.random_range(0..fitting.len().max(1));
        fitting.get(at).copied()
    }

    /// The message is about to change.
    fn touch(&self, at: usize) -> (i64, String) {
        let recent = &self.recent[at];
        if self.line.out.load(Ordering::SeqCst) {
            lock(&self.line.notes).unseen.insert(recent.number.clone());
        }
        (recent.id, recent.number.clone())
    }

    /// The number of the next message.
    fn next(&mut self) -> String {
        self.said += 1;
        let number = format!("{}.{}", self.line.number, self.said);
        if self.line.out.load(Ordering::SeqCst) {
            lock(&self.line.notes).unread.insert(number.clone());
        }
        number
    }

    async fn say(&mut self, said: Said) {
        let chat = self.line.chat().expect("the source is made");
        // Who forwards has to see it, and the account does not see the press.
        let said = match self.line.kind {
            Kind::Saved if said == Said::Forward => Said::Text,
            _ => said,
        };
        let count = if let Said::Album(parts) = said { parts } else { 1 };
        let numbers: Vec<String> = (0..count).map(|_| self.next()).collect();
        let number = &numbers[0];
        let seed = self.dice.random_range(0..1000);
        let mut message = json!({"from": self.from, "text": format!("message №{number}")});
        match said {
            Said::Text => {}
            Said::Formatted => {
                message["text"] = json!(format!("سلام 👋 bold, slanted №{number}"));
                message["entities"] = json!([
                    {"type": "bold", "offset": 8, "length": 4},
                    {"type": "italic", "offset": 14, "length": 7},
                ]);
            }
            Said::Link => {
                message["text"] = json!(format!("https://example.org/{seed} and here №{number}"));
                message["entities"] = json!([
                    {"type": "text_link", "offset": 0, "length": 5, "url": format!("https://example.com/{seed}")},
                ]);
            }
            Said::Photo => message["photo"] = json!({"generate": seed, "width": 16, "height": 16}),
            Said::Document => {
                message["document"] = json!({"generate": seed, "size": 2000, "name": "list.bin"})
            }
            Said::Album(_) => {
                let part = |number: &String| json!({"text": format!("part №{number}"), "photo": {"generate": seed, "width": 16, "height": 16}});
                message = json!({"from": self.from, "album": numbers.iter().map(part).collect::<Vec<_>>()});
            }
            Said::Reply => {
                // What the account could not read when it was said may have no copy to be answered.
                let read: HashSet<String> = lock(&self.line.notes).unread.clone();
                if let Some(at) = self.pick(|recent| !read.contains(&recent.number)) {
                    message["reply_to"] = json!(self.recent[at].id);
                }
            }
            Said::Forward => message = self.quote(number).await,
        }
        let topic = lock(&self.line.notes).topic;
        if let Some(topic) = topic.filter(|_| message["reply_to"].is_null() && self.said.is_multiple_of(2)) {
            message["thread"] = json!(topic);
        }
        let ids = self.town.world.post(chat, message).await;
        self.town.count(said.word());
        for (id, number) in ids.into_iter().zip(numbers) {
            self.recent.push_back(Recent {
                id,
                number,
                editable: said != Said::Forward,
                reactions: 0,
            });
        }
        while self.recent.len() > RECENT {
            self.recent.pop_front();
        }
    }

    /// A message of the press, to be forwarded.
    async fn quote(&mut self, number: &str) -> Value {
        let (press, author) = (self.town.press, self.town.author);
        let news = json!({"from": author, "text": format!("news №{number}")});
        let posted = self.town.world.post(press, news).await;
        json!({"from": self.from, "forward": {"chat": press, "message": posted[0]}})
    }
}

/// The pairs of a daemon, as far as a page shows them; none if it does not answer.
pub async fn pairs(api: &Api) -> Vec<Value> {
    match api.try_ask(Method::GET, "/api/pairs?limit=200", None).await {
        Some((200, mut page)) => match page["items"].take() {
            Value::Array(items) => items,
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}
