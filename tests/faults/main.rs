//! The fault campaign: the real daemon binary, a real sandbox process and a real webhook receiver, and
//! trouble of every class that the daemon is expected to survive. Each class ends with a ledger: what was
//! said in the sandbox against what was copied and delivered.
//!
//! Two faces. As a test target it lists one test a class and runs a short round of each; nothing may be
//! lost or doubled, times are not judged on a busy machine. With `--campaign` (`make faults`) it runs every
//! class in full and prints a table, the seed and, as the very last line, one JSON object:
//! `{"classes": [row, …], "lost", "duplicated", "unopenable", "missed": [aim, …], "seed", …}`. It fails if
//! anything was lost, doubled or unopenable, or a class broke off; a missed time is only told.
//!
//! # How a class is added
//! A file in `classes/` with a `pub const CLASS: Class` (or several), and its line in `classes/mod.rs`:
//! - `name`, `injection`: what stands in the table;
//! - `rounds`: how many faults in the whole campaign and in a test's short round (a few seconds of one core);
//! - `aim`: the longest time from a fault's end to the first message served again, and after how long a
//!   copy counts as late (none may);
//! - `stage`: a function giving `Stage`: settings of the daemon (`SECTION__KEY`), how the receiver answers, a
//!   build with fault points, a network that can be troubled (`scene.network()`); `Stage::default` is a
//!   receiver that refuses one in nine;
//! - `run`: `|scene, dice, rounds| Box::pin(run(scene, dice, rounds))`, an async function that has the author
//!   talk (`scene.talk`), causes `rounds` faults with the given chance, and returns an `Outcome` with how many
//!   really happened and when each was over. It leaves the load stopped, no fault behind, and the daemon
//!   either running or stopped (then it is started). The frame then waits until all has settled, draws
//!   the ledger and judges.
//!
//! What a class finds broken itself goes into `Outcome::broken` and fails it, a time that was missed into
//! `Outcome::slow`, what is only worth telling into `Outcome::notes`; `Scene::environment` sets variables of the
//! next daemon (a library to be preloaded, say), `Scene::command` gives other commands on the same data.
//! `aside::Aside` is another chat or account whose copies must not come late. With `Stage::orders` children of
//! the daemon fail when they are ordered to (`Scene::order`).
//!
//! # A busy day
//! With `--busy-day` (`make busy-day`) it runs no class but a day in `busy/`: many sessions and pairs, and all that happens
//! at once; see there. `--short` is the size that runs as a test.
//!
//! # The sweep
//! With `--sweep` (`make sweep`) it gives every error that Telegram documents to accounts at work, see `sweep/`; `--short` is
//! a tenth of it, and a thirtieth runs as a test; `--class` narrows it to cases whose name contains that. The last line is one JSON
//! object; it fails if a bound or a promise was not kept or a message was lost or doubled.
//!
//! `TRUNKLINE_FAULTS_KEEP=1` keeps the folder of a class that failed; `TRUNKLINE_FAULTS_SEED` is a test's seed.

#[allow(dead_code, reason = "what a scene offers; a class takes what it needs")]
mod aside;
mod busy;
mod class;
mod classes;
#[allow(dead_code, reason = "what a scene offers; a class takes what it needs")]
mod client;
mod load;
#[allow(dead_code, reason = "what a scene offers; a class takes what it needs")]
mod network;
#[allow(dead_code, reason = "what a scene offers; a class takes what it needs")]
mod process;
#[allow(dead_code, reason = "what a scene offers; a class takes what it needs")]
mod scene;
mod side;
mod sweep;
mod table;

#[path = "../it/webhooks/receiver.rs"]
#[allow(dead_code, reason = "shared with the stories, which ask it for more")]
mod receiver;

use std::process::ExitCode;

use clap::Parser;
use libtest_mimic::{Arguments, Trial};

use busy::Size;
use class::Class;

/// The fault campaign.
#[derive(Parser)]
struct Campaign {
    /// Run the campaign instead of the tests
    #[arg(long)]
    campaign: bool,
    /// Run a busy day instead
    #[arg(long)]
    busy_day: bool,
    /// Run the sweep of refusals instead
    #[arg(long)]
    sweep: bool,
    /// Of the size that the tests have
    #[arg(long)]
    short: bool,
    /// Faults of a class at most
    #[arg(long)]
    rounds: Option<u32>,
    /// The seed of all chance; drawn and printed if not given
    #[arg(long)]
    seed: Option<u64>,
    /// Only classes whose name contains this
    #[arg(long)]
    class: Option<String>,
}

fn main() -> ExitCode {
    let asked = |option: &str| std::env::args().any(|argument| argument == option);
    if asked("--busy-day") {
        busy_day(&Campaign::parse())
    } else if asked("--sweep") {
        sweep(&Campaign::parse())
    } else if asked("--campaign") {
        campaign(&Campaign::parse())
    } else {
        tests()
    }
}

fn busy_day(wanted: &Campaign) -> ExitCode {
    let seed = wanted.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    println!("seed {seed}");
    let size = if wanted.short { Size::SHORT } else { Size::FULL };
    let report = busy::perform(&size, seed);
    println!("{}", report.table());
    report.missed().iter().for_each(|miss| println!("MISSED: {miss}"));
    println!("{}", report.summary());
    match report.failed() {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

fn sweep(wanted: &Campaign) -> ExitCode {
    let seed = wanted.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    println!("seed {seed}");
    let size = match wanted.short {
        true => sweep::Size::SHORT,
        false => sweep::Size::FULL,
    };
    let report = sweep::perform(&size, seed, wanted.class.as_deref().unwrap_or_default());
    println!("{}", report.table());
    println!("{}", report.summary());
    match report.failed() {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

fn campaign(wanted: &Campaign) -> ExitCode {
    let seed = wanted.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    println!("seed {seed}");
    let name = wanted.class.as_deref().unwrap_or_default();
    let mut rows = Vec::new();
    for class in classes::ALL.iter().filter(|class| class.name.contains(name)) {
        if !class.possible() {
            println!("{}: left out, there is no build with fault points", class.name);
            continue;
        }
        let rounds = wanted
            .rounds
            .map_or(class.rounds.full, |most| class.rounds.full.min(most));
        let row = class.perform(seed, rounds);
        let verdict = if row.missed.is_empty() { "met" } else { "MISSED" };
        println!(
            "{}: {} injected, {} messages, {} lost, {} doubled, {verdict}, {:.0} s",
            row.class, row.injected, row.produced, row.lost, row.duplicated, row.seconds
        );
        row.notes.iter().for_each(|note| println!("  {note}"));
        rows.push(row);
    }
    println!("\n{}\nseed {seed}", table::table(&rows));
    println!("{}", table::summary(&rows, seed, wanted.rounds));
    match rows.iter().any(class::Row::failed) || rows.is_empty() {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

fn tests() -> ExitCode {
    let seed = std::env::var("TRUNKLINE_FAULTS_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let trial = |class: &'static Class| {
        let ignored = !class.possible() || class.rounds.short == 0;
        let test = move || {
            let row = class.perform(seed, class.rounds.short);
            println!("seed {seed}: {row:#?}");
            match row.failed() {
                true => Err(format!("seed {seed}: {}", row.missed.join("; ")).into()),
                false => Ok(()),
            }
        };
        Trial::test(class.slug(), test).with_ignored_flag(ignored)
    };
    let mut trials: Vec<Trial> = classes::ALL.iter().map(trial).collect();
    trials.push(Trial::test("a_busy_day", move || {
        let report = busy::perform(&Size::SHORT, seed);
        println!("{}", report.table());
        match report.failed() {
            true => Err(format!("seed {seed}: {}", report.missed().join("; ")).into()),
            false => Ok(()),
        }
    }));
    trials.push(Trial::test("a_sweep_of_refusals", move || {
        let report = sweep::perform(&sweep::Size::TEST, seed, "");
        println!("{}\n{}", report.table(), report.summary());
        match report.failed_beside_others() {
            true => Err(format!("seed {seed}: {} faults", report.faults.len()).into()),
            false => Ok(()),
        }
    }));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
