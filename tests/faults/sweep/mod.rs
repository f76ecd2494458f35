//! The sweep of refusals: each error that Telegram documents for a method that the daemon calls, and invented ones, given
//! to an account while the daemon is at work, on the first call, the second and every one.
//!
//! Cases go in batches of accounts in one daemon, each account with an error of its own, beside neighbours that nothing
//! happens to. They are watched for a while: an account may call the refused method a few times, never inside a wait that
//! was named; it may reconnect and log little; the class's promise has to be seen. Then the errors are lifted, what a
//! person would do is done (a pair resumed, a dead letter put back, an account logged in again), and every message has to be
//! in its place, once.

mod cases;
mod exercise;
mod report;
mod watch;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use rand::SeedableRng as _;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};
use trunkline::base::Timestamp;
use trunkline::sandbox::ledger::{Evidence, Ledger, Line, Terms};
use trunkline::sandbox::receiver::Received;

use self::cases::{Case, batches};
use self::exercise::{Account, PUBLIC, Work};
pub use self::report::Report;
use self::watch::Seen;
use crate::class::Dice;
use crate::scene::{Scene, Stage};

/// How large a sweep is.
#[derive(Clone, Copy)]
pub struct Size {
    /// The part of all cases.
    pub share: f64,
    /// Accounts in a batch, and batches that run side by side.
    pub batch: usize,
    pub beside: usize,
    /// Whether waits of a minute are asked for, too.
    pub waits: bool,
    /// Whether the neighbours are compared with a round without errors.
    pub compares: bool,
}

impl Size {
    pub const FULL: Self = Self {
        share: 1.0,
        batch: 220,
        beside: 1,
        waits: true,
        compares: true,
    };
    /// What runs as a test, beside others on a machine that may be busy: a thirtieth.
    pub const TEST: Self = Self {
        share: 0.033,
        beside: 1,
        ..Self::SHORT
    };
    /// A tenth; a wait that is not named takes a minute, which is more than it has.
    pub const SHORT: Self = Self {
        share: 0.1,
        batch: 220,
        beside: 2,
        waits: false,
        compares: false,
    };
}

/// How long the accounts of a batch are watched.
const WATCHED: Duration = Duration::from_secs(15);
/// When each of them does its work.
const TURNS: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(6)];
/// Accounts that nothing happens to, and how often each of their sources says something.
const NEIGHBOURS: usize = 10;
const SAYS: Duration = Duration::from_millis(500);
/// So many accounts are made, and act, at a time.
const AT_ONCE: usize = 16;
/// How long all may take to be in its place once no error is left; and where a wait of a minute was asked for.
/// When a session is started anew of which something is still missing.
const RESTARTS: Duration = Duration::from_secs(12);
const SETTLES: Duration = Duration::from_secs(80);
const SETTLES_LATE: Duration = Duration::from_secs(130);

/// Runs a sweep in a runtime of its own; only cases that contain `only`.
pub fn perform(size: &Size, seed: u64, only: &str) -> Report {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(play(size, seed, only))
}

async fn play(size: &Size, seed: u64, only: &str) -> Report {
    let begun = Instant::now();
    let mut report = Report::of(seed);
    let mut dice = Dice::seed_from_u64(seed);
    let mut batches = batches(&mut dice, size.share, size.batch, only);
    batches.retain(|cases| size.waits || !cases.iter().any(Case::waits_long));
    if size.compares {
        let calm = Batch::set(Vec::new()).await.play(seed).await;
        report.calm_p99_ms = calm.worst_p99_ms;
    }
    let count = batches.len();
    let played = stream::iter(batches.into_iter().enumerate()).map(|(at, cases)| async move {
        let (cases_in, since) = (cases.len(), Instant::now());
        let played = Batch::set(cases).await.play(seed).await;
        println!(
            "batch {} of {count}: {cases_in} cases, {} faults, neighbours' p99 {:?} ms, {:.0} s",
            at + 1,
            played.faults.len(),
            played.worst_p99_ms,
            since.elapsed().as_secs_f64()
        );
        played.faults.iter().for_each(|fault| println!("FAULT {fault}"));
        played
    });
    let mut played = Box::pin(played.buffer_unordered(size.beside));
    while let Some(batch) = played.next().await {
        report.add(batch);
    }
    if let (Some(calm), Some(worst)) = (report.calm_p99_ms, report.worst_p99_ms)
        && worst > calm + calm / 5 + 5
    {
        report.faults.push(format!(
            "the neighbours' p99 is {worst} ms, {calm} ms without errors"
        ));
    }
    report.lasted = begun.elapsed();
    report
}

/// The accounts of a batch, and the daemon they are in.
struct Batch {
    scene: Scene,
    accounts: Vec<Arc<Account>>,
    neighbours: Vec<Arc<Account>>,
    late: bool,
}

impl Batch {
    async fn set(cases: Vec<Case>) -> Self {
        // As an operator has it who changes nothing.
        let stage = Stage {
            settings: vec![
                ("FORWARD__RETRY_FIRST", "1s".to_owned()),
                ("FORWARD__RETRY_MAX", "5m".to_owned()),
            ],
            second_port: true,
            ..Stage::default()
        };
        let scene = Scene::set(stage).await;
        let late = cases.iter().any(Case::waits_long);
        let cases = cases.into_iter().map(Some);
        let all = cases.chain(std::iter::repeat_with(|| None).take(NEIGHBOURS));
        let (world, api, author) = (&scene.world, &scene.api, scene.author.user);
        world.public(PUBLIC, author).await;
        let made = stream::iter(all.enumerate()).map(|(number, case)| {
            let work = case.as_ref().map_or(Work::Text, |case| case.work);
            Account::made(number + 1, case, work, (world, api), author)
        });
        let made: Vec<Account> = made.buffer_unordered(AT_ONCE).collect().await;
        let (accounts, neighbours): (Vec<_>, Vec<_>) = made
            .into_iter()
            .map(Arc::new)
            .partition(|account| account.case.is_some());
        let mut batch = Self {
            scene,
            accounts,
            neighbours,
            late,
        };
        let begun = Instant::now();
        for account in &batch.accounts {
            while !account.is_ready().await {
                if begun.elapsed() > SETTLES {
                    let folder = batch.scene.keep().to_owned();
                    panic!("{account}: nothing was copied, kept: {}", folder.display());
                }
                sleep(Duration::from_millis(100)).await;
            }
        }
        batch
    }

    /// Plays it; what came of it, with the neighbours' p99.
    async fn play(mut self, seed: u64) -> Report {
        let mut report = Report::of(seed);
        let log = self.scene.log_since(0).len();
        for account in &self.accounts {
            let case = account.case.as_ref().expect("a case");
            let (nth, times) = case.mode.times();
            let fault = json!({"kind": "error", "code": case.code, "name": case.name, "method": case.method,
                "account": account.user, "nth": nth, "times": times});
            let fault = self.scene.world.fault(fault).await;
            account.refuses(fault);
        }
        let (dawn, since) = (Instant::now(), Timestamp::now());
        let over = Arc::new(AtomicBool::new(false));
        let talk = tokio::spawn(talk(self.neighbours.clone(), over.clone()));
        for (turn, at) in TURNS.into_iter().enumerate() {
            sleep_until(dawn + at).await;
            let acts =
                stream::iter(self.accounts.clone()).map(|account| async move { account.act(turn).await });
            acts.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
        }
        sleep_until(dawn + WATCHED).await;
        over.store(true, Ordering::SeqCst);
        talk.await.expect("nobody breaks off");
        let seen = self.look(log, since).await;
        let mut delays = Vec::new();
        for neighbour in &self.neighbours {
            delays.extend(self.ledger_of(neighbour, &Heard::new()).await.delays);
        }
        delays.sort_unstable();
        for (account, seen) in self.accounts.iter().zip(&seen) {
            let case = account.case.as_ref().expect("a case");
            let row = report.rows.entry(case.method).or_default();
            row.cases += 1;
            row.met += usize::from(seen.acted > 0);
            row.calls = row.calls.max(seen.calls.len());
            let faults = seen.faults(case);
            row.faults += faults.len();
            report
                .faults
                .extend(faults.into_iter().map(|fault| format!("{case}: {fault}")));
        }
        self.scene.world.clear_faults().await;
        self.settle(&mut report, &seen).await;
        let panics = self.scene.log_since(log).matches("panicked").count();
        if panics > 0
            || self
                .scene
                .daemon
                .as_mut()
                .is_some_and(|daemon| daemon.ended().is_some())
        {
            report
                .faults
                .push(format!("{panics} panics, or the daemon ended"));
        }
        if report.failed() && std::env::var_os("TRUNKLINE_FAULTS_KEEP").is_some() {
            eprintln!("kept: {}", self.scene.keep().display());
        }
        report.worst_p99_ms = delays.get(delays.len() * 99 / 100).copied();
        report
    }

    /// What is to be seen of each account.
    async fn look(&self, log: usize, since: Timestamp) -> Vec<Seen> {
        let log = self.scene.log_since(log);
        let lines: Vec<&str> = log.lines().collect();
        let faults = self.scene.world.faults().await;
        let sessions = by_id(self.scene.api.all("/api/sessions").await);
        let pairs = by_id(self.scene.api.all("/api/pairs").await);
        let dead = self.scene.api.all("/api/dead-letters").await;
        let incidents = self.scene.api.all("/api/admin/incidents").await;
        let mut seen = Vec::new();
        for account in &self.accounts {
            let case = account.case.as_ref().expect("a case");
            let pair = account.pair_id().unwrap_or_default();
            let about =
                |text: &str| text.contains(&account.session) || !pair.is_empty() && text.contains(&pair);
            let own: Vec<&&str> = lines.iter().filter(|line| about(line)).collect();
            let fault = faults.iter().find(|fault| fault["id"] == account.fault_id());
            let shown = pairs.get(&pair);
            let count = |what: &str| shown.and_then(|it| it["stats"][what].as_u64()).unwrap_or(0);
            let text = |value: &Value| value.as_str().map(str::to_owned);
            seen.push(Seen {
                calls: {
                    let mut calls = self.scene.world.calls(account.user, case.method).await;
                    calls.retain(|(at, _)| (since.0..=since.plus(WATCHED).0).contains(at));
                    calls
                },
                matched: fault.and_then(|fault| fault["matched"].as_u64()).unwrap_or(0) as usize,
                acted: fault.and_then(|fault| fault["acted"].as_u64()).unwrap_or(0),
                reconnects: own.iter().filter(|line| connects(line)).count(),
                log_lines: own.len(),
                state: sessions
                    .get(&account.session)
                    .and_then(|session| text(&session["state"]))
                    .unwrap_or_default(),
                pair: shown.map(|pair| (text(&pair["state"]).unwrap_or_default(), text(&pair["reason"]))),
                skipped: count("skipped"),
                dead_letters: dead.iter().filter(|letter| about(&letter.to_string())).count(),
                incidents: incidents.iter().filter(|it| about(&it.to_string())).count(),
                answers: account.answered(),
            });
        }
        seen
    }

    /// Does what a person would do until all is in its place, or for a while; notes what is not then.
    async fn settle(&mut self, report: &mut Report, seen: &[Seen]) {
        let patience = if self.late { SETTLES_LATE } else { SETTLES };
        let begun = Instant::now();
        let mut last = vec![false; self.accounts.len()];
        let mut open: Vec<usize> = (0..self.accounts.len()).collect();
        let mut restarted = false;
        loop {
            self.heal(&open, &mut last).await;
            if !restarted && begun.elapsed() > RESTARTS {
                // What could not be read is tried once a connection.
                restarted = true;
                for at in &open {
                    self.accounts[*at].started().await;
                }
            }
            sleep(Duration::from_millis(700)).await;
            let (mut left, heard) = (Vec::new(), by_chat(self.scene.received()));
            for at in open {
                let ledger = self.ledger_of(&self.accounts[at], &heard).await;
                let excused = self.excused(at).await;
                let missing = ledger.lost + ledger.pending + ledger.unlike;
                if !last[at] || missing > excused || ledger.duplicated > 0 {
                    left.push(at);
                }
            }
            open = left;
            if open.is_empty() || begun.elapsed() > patience {
                break;
            }
        }
        let pairs = by_id(self.scene.api.all("/api/pairs").await);
        let sessions = by_id(self.scene.api.all("/api/sessions").await);
        let heard = by_chat(self.scene.received());
        for (at, account) in self.accounts.iter().enumerate() {
            let case = account.case.as_ref().expect("a case");
            let ledger = self.ledger_of(account, &heard).await;
            let excused = self.excused(at).await;
            report.produced += ledger.produced;
            report.excused += excused;
            if !open.contains(&at) {
                report.disordered += ledger.disordered;
                continue;
            }
            let missing = (ledger.lost + ledger.pending + ledger.unlike).saturating_sub(excused);
            report.lost += missing;
            report.doubled += ledger.duplicated;
            let pair = account.pair_id().and_then(|pair| pairs.get(&pair).cloned());
            let pair = pair.map(|pair| format!("{} {} {}", pair["state"], pair["reason"], pair["stats"]));
            let session = sessions.get(&account.session).map(|it| it["state"].to_string());
            report.rows.entry(case.method).or_default().faults += 1;
            report.faults.push(format!(
                "{case}: afterwards {missing} missing, {} doubled; session {session:?}, pair {pair:?}; was {}; {:?}",
                ledger.duplicated, seen[at].state, ledger.remarks
            ));
        }
    }

    /// What of an account need not be in its place: what was passed over, as its pair says, and what is rightly given up.
    async fn excused(&self, at: usize) -> usize {
        let account = &self.accounts[at];
        let given_up = account.case.as_ref().map_or(0, Case::given_up);
        let Some(pair) = account.pair_id() else {
            return given_up;
        };
        let path = format!("/api/pairs/{pair}");
        let shown = self.scene.api.try_ask(Method::GET, &path, None).await;
        let skipped = shown.and_then(|(_, pair)| pair["stats"]["skipped"].as_u64());
        given_up + skipped.map_or(0, |skipped| skipped as usize)
    }

    /// Logs in, starts, resumes and puts back what stands; a last word is said in each source that is well.
    async fn heal(&self, open: &[usize], last: &mut [bool]) {
        let api = &self.scene.api;
        let sessions = by_id(api.all("/api/sessions").await);
        let works = open.iter().map(|at| async {
            let account = &self.accounts[*at];
            let state = sessions
                .get(&account.session)
                .and_then(|session| session["state"].as_str())
                .unwrap_or_default();
            match state {
                "connected" => {
                    account.paired().await;
                    return account.resumed().await.then_some(*at);
                }
                "restricted" | "frozen" | "quarantined" | "stopped" => account.started().await,
                "logging_in" => {
                    account.cancel_login().await;
                    account.log_in().await;
                }
                "bad_credentials" | "logged_out" | "banned" => {
                    account.log_in().await;
                }
                _ => {}
            }
            None
        });
        let works = stream::iter(works).buffer_unordered(AT_ONCE).collect::<Vec<_>>();
        for at in works.await.into_iter().flatten() {
            if !last[at] {
                self.accounts[at].say().await;
                last[at] = true;
            }
        }
        let _ = api.try_ask(Method::POST, "/api/admin/tasks/requeue", None).await;
    }

    async fn ledger_of(&self, account: &Account, heard: &Heard) -> Ledger {
        let own = Some(account.user);
        let destination = self.scene.world.messages_as(account.destination, own).await;
        let source = self.scene.world.messages_as(account.source, own).await;
        let line = Line {
            source: &source,
            destination: &destination,
            terms: &Terms::default(),
        };
        let nothing = HashMap::new();
        Ledger::draw(&Evidence {
            lines: &[line],
            received: heard.get(&account.source).unwrap_or(&nothing),
            edits: 0,
            waiting: 0,
            dead: 0,
        })
    }
}

/// Has the neighbours' sources talk until it is over.
async fn talk(neighbours: Vec<Arc<Account>>, over: Arc<AtomicBool>) {
    while !over.load(Ordering::SeqCst) {
        for neighbour in &neighbours {
            neighbour.say().await;
            sleep(SAYS / NEIGHBOURS as u32).await;
        }
    }
}

fn by_id(items: Vec<Value>) -> HashMap<String, Value> {
    let id = |item: &Value| item["id"].as_str().unwrap_or_default().to_owned();
    items.into_iter().map(|item| (id(&item), item)).collect()
}

/// What was delivered, by the chat that it is about.
type Heard = HashMap<i64, HashMap<String, Received>>;

fn by_chat(received: HashMap<String, Received>) -> Heard {
    let mut heard = Heard::new();
    for (id, one) in received {
        let body: Value = serde_json::from_slice(&one.body).unwrap_or_default();
        let chat = body["data"]["chat"].as_i64().unwrap_or_default();
        heard.entry(chat).or_default().insert(id, one);
    }
    heard
}

/// Whether a line of the log says that a session has lost its connection, and makes another.
fn connects(line: &str) -> bool {
    line.contains("state=\"transient_disconnect\"")
}
