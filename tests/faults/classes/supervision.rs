//! Trouble inside of the daemon: children that crash in a loop, fail all at once, hang, or burn a thread. They
//! are told to by orders (src/runtime/afflict.rs), in a build with fault points.

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use rand::RngExt;
use reqwest::Method;
use serde_json::{Value, json};
use trunkline::base::Timestamp;

use crate::aside::Aside;
use crate::class::{Aim, Class, Dice, Outcome, Rounds};
use crate::load::Talk;
use crate::scene::{PATIENCE, Scene, Stage};

/// Messages a second.
const RATE: f64 = 12.0;

/// The slowest copy that a bystander may see.
const UNDISTURBED_MS: i64 = 2000;

const BYSTANDER: &str = "+999660000003";

pub const CRASH_LOOPS: Class = Class {
    name: "crash loops",
    injection: "a part of a session or a pair's worker panics again and again, until its quarantine; then released",
    rounds: Rounds { full: 20, short: 2 },
    aim: Aim::secs(5, 60),
    stage: afflicted,
    run: |scene, dice, rounds| Box::pin(crash_loops(scene, dice, rounds)),
};

pub const ESCALATION: Class = Class {
    name: "escalation",
    injection: "a dispatcher panics 6 times in a row: more than its supervisor bears, so that one starts anew",
    rounds: Rounds { full: 10, short: 1 },
    aim: Aim::secs(5, 30),
    stage: afflicted,
    run: |scene, dice, rounds| Box::pin(escalation(scene, dice, rounds)),
};

pub const MASS_FAILURE: Class = Class {
    name: "mass failure",
    injection: "a part of every session panics at once: 40 sessions, 6 in the short form",
    rounds: Rounds { full: 10, short: 1 },
    aim: Aim::secs(5, 30),
    stage: afflicted,
    run: |scene, dice, rounds| Box::pin(mass_failure(scene, dice, rounds)),
};

pub const HANGS: Class = Class {
    name: "hung actors",
    injection: "a child goes no further in the middle of its work, a second before its deadline to show life",
    rounds: Rounds { full: 30, short: 2 },
    aim: Aim::secs(5, 30),
    stage: afflicted,
    run: |scene, dice, rounds| Box::pin(hangs(scene, dice, rounds)),
};

pub const BURNS: Class = Class {
    name: "burnt thread",
    injection: "a child computes without an await; the watchdog (2 s here) is fed no longer, its manager kills and starts",
    rounds: Rounds { full: 5, short: 1 },
    aim: Aim::secs(5, 30),
    stage: afflicted,
    run: |scene, dice, rounds| Box::pin(burns(scene, dice, rounds)),
};

fn afflicted() -> Stage {
    Stage {
        fault_points: true,
        orders: true,
        ..Stage::default()
    }
}

/// What a dispatcher's supervisor does not bear: one more than five. With more to come the next incarnation would
/// begin with some of them.
const TOO_OFTEN: u32 = 6;

/// Ten restarts within a minute are borne by the supervisor of all services: more escalations would be its own.
const ESCALATIONS: u32 = 10;

/// Whom a round is about.
#[derive(Clone, Copy)]
enum Part {
    Pump,
    Runner,
    Actor,
    Worker,
    Dispatcher,
    Deliverer,
    Limiter,
}

impl Part {
    /// The end of its path, and a second less than its deadline to show life.
    fn path(self, scene: &Scene) -> (String, u32) {
        let (session, pair, endpoint) = (&scene.session, &scene.pair, &scene.endpoint);
        match self {
            Part::Pump => (format!("{session}/pump"), 119),
            Part::Runner => (format!("{session}/runner"), 119),
            Part::Actor => (format!("{session}/session"), 119),
            Part::Worker => (format!("workers/{pair}"), 179),
            Part::Dispatcher => ("pairs/dispatcher".to_owned(), 59),
            Part::Deliverer => (format!("endpoints/{endpoint}"), 59),
            Part::Limiter => ("services/limiter/actor".to_owned(), 9),
        }
    }

    /// Whether others than the scene's own session and pair depend on it.
    fn is_shared(self) -> bool {
        matches!(self, Part::Dispatcher | Part::Limiter)
    }
}

async fn tree(scene: &Scene) -> Value {
    scene.api.ask(Method::GET, "/api/admin/tree", None).await
}

/// The node whose path of ids ends so.
fn find<'a>(node: &'a Value, path: &str) -> Option<&'a Value> {
    fn below<'a>(node: &'a Value, above: &str, path: &str) -> Option<&'a Value> {
        let here = format!("{above}/{}", node["id"].as_str()?);
        if here.ends_with(path) {
            return Some(node);
        }
        let children = node["children"].as_array()?;
        children.iter().find_map(|child| below(child, &here, path))
    }
    below(node, "", &format!("/{path}"))
}

/// How often it was started again, where it is.
async fn restarts(scene: &Scene, path: &str) -> u64 {
    let tree = tree(scene).await;
    find(&tree, path)
        .and_then(|node| node["restarts"].as_u64())
        .unwrap_or(0)
}

/// Notes how a bystander fared.
async fn judge_aside(scene: &Scene, aside: &Aside, outcome: &mut Outcome) {
    let slowest = aside.slowest(scene).await;
    outcome
        .notes
        .push(format!("a bystander's slowest copy took {slowest} ms"));
    if slowest > UNDISTURBED_MS {
        outcome
            .slow
            .push(format!("bystanders' copies within {UNDISTURBED_MS} ms"));
    }
}

async fn crash_loops(scene: &mut Scene, dice: &mut Dice, rounds: u32) -> Outcome {
    let mut outcome = Outcome::default();
    let aside = Aside::of_another_account(scene, BYSTANDER).await;
    let other = aside.author.talk(Talk::Plain, RATE / 2.0);
    let load = scene.talk(Talk::Mixed, RATE);
    scene.serves(5).await;
    let mut longest = Duration::ZERO;
    for round in 0..rounds {
        let part = match round % 4 {
            0 => Part::Pump,
            1 => Part::Worker,
            2 => Part::Runner,
            _ => Part::Actor,
        };
        let begun = Instant::now();
        scene.order(&format!("1000000 panic {}", part.path(scene).0));
        let worker = matches!(part, Part::Worker);
        let (look, state) = match worker {
            true => (format!("/api/pairs/{}", scene.pair), "held"),
            false => (format!("/api/sessions/{}", scene.session), "quarantined"),
        };
        scene
            .until("its quarantine", async |scene| {
                scene.api.ask(Method::GET, &look, None).await["state"] == state
            })
            .await;
        longest = longest.max(begun.elapsed());
        tokio::time::sleep(Duration::from_millis(dice.random_range(100..500))).await;
        scene.no_orders().await;
        let release = match worker {
            true => format!("/api/pairs/{}/resume", scene.pair),
            false => format!("/api/admin/sessions/{}/release", scene.session),
        };
        scene.api.ask(Method::POST, &release, Some(json!({}))).await;
        outcome.over_now();
        scene.serves(5).await;
        scene.drained().await;
    }
    load.stop().await;
    other.stop().await;
    outcome
        .notes
        .push(format!("quarantined after {longest:?} at most"));
    judge_aside(scene, &aside, &mut outcome).await;
    outcome
}

async fn escalation(scene: &mut Scene, dice: &mut Dice, rounds: u32) -> Outcome {
    let mut outcome = Outcome::default();
    let load = scene.talk(Talk::Mixed, RATE);
    scene.serves(5).await;
    let sessions = restarts(scene, "services/sessions").await;
    let first: u32 = dice.random_range(0..2);
    for round in 0..rounds.min(ESCALATIONS) {
        // In turn: the pause before a restart grows with those of the same child.
        let part = ["pairs", "webhooks"][(first + round) as usize % 2];
        let above = format!("services/{part}");
        let before = restarts(scene, &above).await;
        scene.order(&format!("{TOO_OFTEN} panic {part}/dispatcher"));
        scene
            .until("its supervisor starts anew", async |scene| {
                restarts(scene, &above).await > before
            })
            .await;
        outcome.over_now();
        scene.serves(5).await;
        scene.drained().await;
        scene.no_orders().await;
    }
    load.stop().await;
    if restarts(scene, "services/sessions").await > sessions {
        outcome.broken.push("the sessions are left alone".to_owned());
    }
    outcome
}

async fn mass_failure(scene: &mut Scene, dice: &mut Dice, rounds: u32) -> Outcome {
    let mut outcome = Outcome::default();
    let many = if rounds > 3 { 39 } else { 5 };
    for number in 0..many {
        let phone = format!("+9996601{number:05}");
        scene.world.user(&phone, "One of many").await;
        scene.session_of(&phone).await;
    }
    let load = scene.talk(Talk::Mixed, RATE);
    scene.serves(5).await;
    let mut served = Vec::new();
    for _ in 0..rounds {
        let before = scene.api.metric("trunkline_restarts_total").await.unwrap_or(0.0);
        let part = ["pump", "runner"][dice.random_range(0..2)];
        scene.order(&format!("1 panic subtrees/*/{part}"));
        scene
            .until("all have failed", async |scene| {
                let restarts = scene.api.metric("trunkline_restarts_total").await;
                restarts.is_some_and(|restarts| restarts >= before + f64::from(many + 1))
            })
            .await;
        let failed = Instant::now();
        outcome.injected += 1;
        scene
            .until("all are connected", async |scene| {
                let sessions = scene.api.ask(Method::GET, "/api/sessions?limit=200", None).await;
                let sessions = sessions["items"].as_array().expect("a list");
                sessions.iter().all(|session| session["state"] == "connected")
            })
            .await;
        served.push(failed.elapsed());
        scene.no_orders().await;
        scene.serves(3).await;
    }
    load.stop().await;
    outcome.served = Some(served);
    outcome
}

async fn hangs(scene: &mut Scene, dice: &mut Dice, rounds: u32) -> Outcome {
    let mut outcome = Outcome::default();
    let aside = Aside::of_another_account(scene, BYSTANDER).await;
    let load = scene.talk(Talk::Mixed, RATE);
    scene.serves(5).await;
    let first: u32 = dice.random_range(0..6);
    for round in 0..rounds {
        // A runner is hardly ever at work while its session talks.
        let part = match (first + round) % 6 {
            0 => Part::Worker,
            1 => Part::Limiter,
            2 => Part::Pump,
            3 => Part::Dispatcher,
            4 => Part::Actor,
            _ => Part::Deliverer,
        };
        let (path, already) = part.path(scene);
        let other = (!part.is_shared()).then(|| aside.author.talk(Talk::Plain, RATE / 2.0));
        let before = restarts(scene, &path).await;
        scene.order(&format!("1 hang={already} {path}"));
        scene
            .until("it is noticed and replaced", async |scene| {
                restarts(scene, &path).await > before
            })
            .await;
        outcome.over_now();
        scene.no_orders().await;
        scene.serves(3).await;
        if let Some(other) = other {
            other.stop().await;
            // None of its messages is still on its way when a part that it depends on hangs.
            aside.delays(scene).await;
        }
    }
    load.stop().await;
    judge_aside(scene, &aside, &mut outcome).await;
    outcome
}

async fn burns(scene: &mut Scene, dice: &mut Dice, rounds: u32) -> Outcome {
    let mut outcome = Outcome::default();
    let path = scene.folder().join("notify");
    let manager = UnixDatagram::bind(&path).expect("bound");
    manager.set_nonblocking(true).expect("a socket takes it");
    let watched = [
        ("NOTIFY_SOCKET", path.display().to_string()),
        ("WATCHDOG_USEC", "2000000".to_owned()),
    ];
    let load = scene.talk(Talk::Mixed, RATE);
    scene.serves(5).await;
    let mut longest = Duration::ZERO;
    for _ in 0..rounds {
        scene.kill();
        scene.start_with(&watched);
        scene.serves(5).await;
        let part = [Part::Pump, Part::Worker, Part::Deliverer][dice.random_range(0..3)];
        let begun = Instant::now();
        scene.order(&format!("1 burn {}", part.path(scene).0));
        longest = longest.max(unfed(&manager, begun).await);
        // As systemd does when its time is over.
        scene.kill();
        outcome.injected += 1;
        outcome.over.push(Timestamp::now());
        scene.no_orders().await;
        scene.start();
        scene.serves(5).await;
    }
    load.stop().await;
    outcome.notes.push(format!(
        "the watchdog's time of 2 s was over after {longest:?} at most"
    ));
    outcome
}

/// Waits until the watchdog was not fed for its 2 seconds; how long that took from the beginning.
async fn unfed(manager: &UnixDatagram, begun: Instant) -> Duration {
    let mut fed = Instant::now();
    while fed.elapsed() < Duration::from_secs(2) {
        assert!(begun.elapsed() < PATIENCE, "a burnt thread is fed for");
        let mut word = [0; 64];
        while let Ok(length) = manager.recv(&mut word) {
            if word[..length].starts_with(b"WATCHDOG=1") {
                fed = Instant::now();
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    begun.elapsed()
}
