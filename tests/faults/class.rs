//! What a class of faults is, and how one is run: scene, faults, settling, ledger, row.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::Serialize;
use trunkline::base::Timestamp;
use trunkline::sandbox::ledger::Ledger;

use super::scene::{Scene, Stage, binary_with_fault_points};

/// The most messages that a row names of those that something is wrong with.
const REMARKS: usize = 10;

/// The chance of a class; it comes from the campaign's seed.
pub type Dice = StdRng;

/// What a class does to its scene; it returns with the daemon running and no trouble left.
pub type Run = for<'a> fn(&'a mut Scene, &'a mut Dice, u32) -> LocalBoxFuture<'a, Outcome>;

/// See the head of `main.rs`.
pub struct Class {
    /// Its name: a few words.
    pub name: &'static str,
    /// What is done, in a line.
    pub injection: &'static str,
    /// How many faults: in the whole campaign, and in `make test`.
    pub rounds: Rounds,
    /// What is promised.
    pub aim: Aim,
    /// What it wants of its scene.
    pub stage: fn() -> Stage,
    /// See [`Run`].
    pub run: Run,
}

/// How many faults.
#[derive(Clone, Copy)]
pub struct Rounds {
    /// In the whole campaign; `ROUNDS` limits it.
    pub full: u32,
    /// In `make test`.
    pub short: u32,
}

/// What is promised besides: nothing lost, nothing doubled, nothing unopenable.
#[derive(Clone, Copy)]
pub struct Aim {
    /// From the end of a fault to the first message that is served again, at most.
    pub serves: Duration,
    /// A copy that comes later after its source than this counts as late; none may.
    pub late: Duration,
    /// How long everything may take to arrive once no trouble is left.
    pub settles: Duration,
}

impl Aim {
    pub const fn secs(serves: u64, late: u64) -> Self {
        Self {
            serves: Duration::from_secs(serves),
            late: Duration::from_secs(late),
            settles: Duration::from_secs(60),
        }
    }
}

/// What a class did and saw.
#[derive(Default)]
pub struct Outcome {
    /// Faults that really happened.
    pub injected: u32,
    /// When each of them was over.
    pub over: Vec<Timestamp>,
    /// Starts that failed because of what the fault had left.
    pub unopenable: u32,
    /// Times to serve again that the class measured itself; else they are read off the copies.
    pub served: Option<Vec<Duration>>,
    /// Whether deliveries, not copies, tell when it serves again.
    pub by_deliveries: bool,
    /// Whether the fault makes the daemon tell of messages anew, under another webhook id: those are no doubles then.
    pub tells_anew: bool,
    /// Promises of the class's own that were not kept; one is enough to fail it on any machine.
    pub broken: Vec<String>,
    /// Times of the class's own that were missed; like all times they are told and fail nothing.
    pub slow: Vec<String>,
    /// What else is worth a line.
    pub notes: Vec<String>,
    /// The ledger of a second line, drawn when all had settled; it counts like the scene's own.
    pub beside: Option<Ledger>,
}

impl Outcome {
    /// A fault happened and is over now.
    pub fn over_now(&mut self) {
        self.injected += 1;
        self.over.push(Timestamp::now());
    }
}

/// A line of the table.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Row {
    pub class: String,
    pub injection: String,
    pub injected: u32,
    pub produced: usize,
    pub lost: usize,
    pub duplicated: usize,
    pub late: usize,
    pub unopenable: u32,
    /// The median and the longest time to serve again, in milliseconds.
    pub serves_p50_ms: Option<u64>,
    pub serves_max_ms: Option<u64>,
    pub aim: String,
    /// The aims that were missed.
    pub missed: Vec<String>,
    pub notes: Vec<String>,
    pub seconds: f64,
    /// Whether a promise of the class's own was not kept.
    #[serde(skip)]
    pub broken: bool,
}

impl Row {
    /// Whether something was lost, doubled or spoilt, or the class broke off: a failure on any machine.
    pub fn failed(&self) -> bool {
        self.lost > 0 || self.duplicated > 0 || self.unopenable > 0 || self.injected == 0 || self.broken
    }
}

impl Class {
    /// Whether this build can run it.
    pub fn possible(&self) -> bool {
        !(self.stage)().fault_points || binary_with_fault_points().is_some()
    }

    /// Its name as a test's.
    pub fn slug(&self) -> String {
        let letter = |letter: char| if letter.is_alphanumeric() { letter } else { '_' };
        self.name.to_lowercase().chars().map(letter).collect()
    }

    /// Runs it in a runtime of its own.
    pub fn perform(&self, seed: u64, rounds: u32) -> Row {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(self.play(seed, rounds))
    }

    async fn play(&self, seed: u64, rounds: u32) -> Row {
        let begun = Instant::now();
        // Each class has a chance of its own, so that it can be run again alone.
        let own = self.name.bytes().fold(seed, |seed, byte| {
            seed.wrapping_mul(0x0100_0000_01b3).wrapping_add(u64::from(byte))
        });
        let mut dice = Dice::seed_from_u64(own);
        let mut row = Row {
            class: self.name.to_owned(),
            injection: self.injection.to_owned(),
            aim: self.aim(),
            ..Row::default()
        };
        let mut scene = Scene::set((self.stage)()).await;
        let played = AssertUnwindSafe(self.act(&mut scene, &mut dice, rounds, &mut row));
        if let Err(panic) = played.catch_unwind().await {
            row.injected = 0;
            row.missed.push(format!("broke off: {}", words(&*panic)));
        }
        if !row.missed.is_empty() || row.failed() {
            eprintln!("{}: the daemon's last words\n{}", self.name, scene.log_tail(60));
            if std::env::var_os("TRUNKLINE_FAULTS_KEEP").is_some() {
                scene.keep_world().await;
                eprintln!("kept: {}", scene.keep().display());
            }
        }
        row.seconds = begun.elapsed().as_secs_f64();
        row
    }

    async fn act(&self, scene: &mut Scene, dice: &mut Dice, rounds: u32, row: &mut Row) {
        let outcome = (self.run)(scene, dice, rounds).await;
        if scene.daemon.is_none() {
            scene.start();
        }
        let ledger = scene.settle(self.aim.settles).await;
        let waiting = scene.waiting().await;
        row.injected = outcome.injected;
        for ledger in [Some(&ledger), outcome.beside.as_ref()].into_iter().flatten() {
            row.produced += ledger.produced;
            // After all that patience, what still waits is no better than lost; nor is what is not what it was.
            row.lost += ledger.lost + ledger.pending + ledger.unlike + ledger.disordered;
            let anew = if outcome.tells_anew { ledger.told_anew } else { 0 };
            row.duplicated += ledger.duplicated - anew;
            if anew > 0 {
                row.notes
                    .push(format!("{anew} deliveries told of under a second id"));
            }
            row.late += ledger.later_than(self.aim.late);
            if !ledger.is_clean() {
                row.notes.push(format!(
                    "{} never came, {} still waited, {} unlike their source, {} out of order, {} dead letters; of {} messages {} were copied, {} cancelled, \
                     {} delivered",
                    ledger.lost,
                    ledger.pending,
                    ledger.unlike,
                    ledger.disordered,
                    ledger.dead_lettered,
                    ledger.produced,
                    ledger.forwarded,
                    ledger.cancelled,
                    ledger.delivered
                ));
                row.notes.extend(ledger.remarks.iter().take(REMARKS).cloned());
            }
        }
        row.unopenable = outcome.unopenable;
        row.notes.extend(outcome.notes);
        row.missed = outcome.broken;
        if waiting > 0 {
            row.missed.push(format!("{waiting} tasks waited without end"));
        }
        row.broken = !row.missed.is_empty();
        row.missed.extend(outcome.slow);
        let mut served = match outcome.served {
            Some(served) => served,
            None if outcome.by_deliveries => scene.delivered_after(&outcome.over),
            None => scene.served_after(&outcome.over).await,
        };
        served.sort_unstable();
        let millis = |span: &Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        row.serves_p50_ms = served.get(served.len() / 2).map(millis);
        row.serves_max_ms = served.last().map(millis);
        if served.last().is_some_and(|longest| *longest > self.aim.serves) {
            row.missed.push(format!("serves again < {:?}", self.aim.serves));
        }
        if row.late > 0 {
            row.missed.push(format!("0 later than {:?}", self.aim.late));
        }
        for (count, what) in [
            (row.lost, "0 lost"),
            (row.duplicated, "0 doubled"),
            (row.unopenable as usize, "0 unopenable"),
        ] {
            if count > 0 {
                row.missed.push(what.to_owned());
            }
        }
        if row.injected == 0 {
            row.missed.push("no fault happened".to_owned());
        }
    }

    fn aim(&self) -> String {
        format!(
            "0 lost, 0 doubled, serves < {:?}, 0 later than {:?}",
            self.aim.serves, self.aim.late
        )
    }
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "it panicked".to_owned())
}
