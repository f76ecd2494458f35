//! Telegram's limits: flood waits, slow mode, PEER_FLOOD. No send may happen inside a wait, also not after a
//! kill in the middle of it; what belongs elsewhere goes on; nothing is lost.

use std::time::{Duration, Instant};

use rand::RngExt;
use reqwest::Method;
use serde_json::{Value, json};

use crate::aside::Aside;
use crate::class::{Aim, Class, Dice, Outcome, Rounds};
use crate::load::Talk;
use crate::scene::{Scene, Stage};

/// Messages a second.
const RATE: f64 = 12.0;

/// Calls of the sandbox's log that are looked at.
const CALLS: usize = 5000;

pub const FLOOD_WAITS: Class = Class {
    name: "flood waits",
    injection: "FLOOD_WAIT of 1 to 3 s on a send, a third of them with SIGKILL inside the wait",
    rounds: Rounds { full: 40, short: 2 },
    aim: Aim::secs(3, 30),
    stage: Stage::default,
    run: |scene, dice, rounds| Box::pin(flood_waits(scene, dice, rounds)),
};

pub const SLOW_MODE: Class = Class {
    name: "slow mode",
    injection: "SLOWMODE_WAIT of 1 to 3 s on a send; another chat of the same account is watched",
    rounds: Rounds { full: 30, short: 2 },
    aim: Aim::secs(3, 30),
    stage: Stage::default,
    run: |scene, dice, rounds| Box::pin(slow_mode(scene, dice, rounds)),
};

pub const PEER_FLOOD: Class = Class {
    name: "PEER_FLOOD",
    injection: "PEER_FLOOD on a send; after a while an operator restarts the session",
    rounds: Rounds { full: 20, short: 1 },
    aim: Aim::secs(8, 30),
    stage: Stage::default,
    run: |scene, dice, rounds| Box::pin(peer_flood(scene, dice, rounds)),
};

/// A call as the sandbox logged it.
struct Call {
    at: i64,
    method: String,
    outcome: String,
}

async fn calls(scene: &Scene) -> Vec<Call> {
    let query = format!("account={}&limit={CALLS}", scene.agent);
    let log = scene.world.requests(&query).await;
    let call = |item: &Value| Call {
        at: item["at"].as_i64().expect("a time"),
        method: item["method"].as_str().expect("a name").to_owned(),
        outcome: item["outcome"].as_str().expect("a word").to_owned(),
    };
    log["items"]
        .as_array()
        .expect("a list")
        .iter()
        .map(call)
        .collect()
}

/// The seconds in an outcome such as `FLOOD_WAIT_2`.
fn wait_of(outcome: &str) -> Option<i64> {
    let (name, seconds) = outcome.rsplit_once('_')?;
    (name == "FLOOD_WAIT" || name == "SLOWMODE_WAIT").then(|| seconds.parse().ok())?
}

/// Calls that were made inside a wait that the same method had been told.
fn inside_waits(calls: &[Call]) -> usize {
    let waits: Vec<(&str, i64, i64)> = calls
        .iter()
        .filter_map(|call| {
            let seconds = wait_of(&call.outcome)?;
            Some((call.method.as_str(), call.at, call.at + seconds * 1000))
        })
        .collect();
    let inside = |call: &&Call| {
        waits
            .iter()
            .any(|(method, from, to)| call.method == *method && call.at > *from && call.at < *to)
    };
    calls.iter().filter(inside).count()
}

/// Copies that the destination got inside a wait, whatever brought them there.
async fn copies_inside_waits(scene: &Scene) -> usize {
    let calls = calls(scene).await;
    let waits = calls
        .iter()
        .filter_map(|call| Some((call.at, call.at + wait_of(&call.outcome)? * 1000)));
    let waits: Vec<(i64, i64)> = waits.collect();
    let copies = scene.world.messages(scene.destination).await;
    let inside = |at: i64| waits.iter().any(|(from, to)| at > *from && at < *to);
    copies.iter().filter(|copy| inside(copy.stored_at)).count()
}

/// Has the next send refused; the number of the fault.
async fn refuse_next(scene: &Scene, dice: &mut Dice, mut kind: Value) -> u64 {
    kind["account"] = scene.agent.into();
    kind["chat"] = scene.destination.into();
    kind["nth"] = dice.random_range(1..4).into();
    // Texts mostly, and the parts of albums now and then.
    let albums = dice.random_range(0..5) == 0;
    kind["method"] = match albums {
        true => "messages.sendMultiMedia".into(),
        false => "messages.sendMessage".into(),
    };
    if albums {
        kind["nth"] = 1.into();
    }
    scene.world.fault(kind).await
}

async fn until_acted(scene: &mut Scene, fault: u64) {
    scene
        .until("the refusal was met", async |scene| {
            scene.world.acted(fault).await > 0
        })
        .await;
}

async fn flood_waits(scene: &mut Scene, dice: &mut Dice, rounds: u32) -> Outcome {
    let mut outcome = Outcome::default();
    let load = scene.talk(Talk::Mixed, RATE);
    scene.serves(5).await;
    for _ in 0..rounds {
        let seconds: u64 = dice.random_range(1..4);
        let kind = json!({"kind": "flood_wait", "seconds": seconds});
        let fault = refuse_next(scene, dice, kind).await;
        until_acted(scene, fault).await;
        let begun = Instant::now();
        if dice.random_range(0..3) == 0 {
            // The wait is a row of the store once its answer was worked on.
            tokio::time::sleep(Duration::from_millis(300)).await;
            scene.kill();
            scene.start();
        }
        tokio::time::sleep(Duration::from_secs(seconds).saturating_sub(begun.elapsed())).await;
        outcome.over_now();
        scene.serves(3).await;
        scene.drained().await;
    }
    load.stop().await;
    judge_waits(scene, &mut outcome).await;
    outcome
}

async fn judge_waits(scene: &Scene, outcome: &mut Outcome) {
    let inside = inside_waits(&calls(scene).await);
    if inside > 0 {
        outcome
            .broken
            .push(format!("0 sends inside a wait (there were {inside})"));
    }
}

async fn slow_mode(scene: &mut Scene, dice: &mut Dice, rounds: u32) -> Outcome {
    let mut outcome = Outcome::default();
    let aside = Aside::of_the_account(scene).await;
    let other = aside.author.talk(Talk::Plain, RATE / 2.0);
    let load = scene.talk(Talk::Mixed, RATE);
    scene.serves(5).await;
    for _ in 0..rounds {
        let seconds: u64 = dice.random_range(1..4);
        let kind = json!({"kind": "slow_mode", "seconds": seconds});
        let fault = refuse_next(scene, dice, kind).await;
        until_acted(scene, fault).await;
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        outcome.over_now();
        scene.serves(3).await;
        scene.drained().await;
    }
    load.stop().await;
    other.stop().await;
    let inside = copies_inside_waits(scene).await;
    if inside > 0 {
        outcome.broken.push(format!(
            "0 sends into the chat inside its wait (there were {inside})"
        ));
    }
    let slowest = aside.slowest(scene).await;
    outcome
        .notes
        .push(format!("the other chat's slowest copy took {slowest} ms"));
    if slowest > 1000 {
        outcome
            .slow
            .push("other chats undisturbed (slowest copy < 1 s)".to_owned());
    }
    outcome
}

async fn peer_flood(scene: &mut Scene, dice: &mut Dice, rounds: u32) -> Outcome {
    let mut outcome = Outcome::default();
    let load = scene.talk(Talk::Mixed, RATE);
    scene.serves(5).await;
    let restart = format!("/api/sessions/{}/restart", scene.session);
    for _ in 0..rounds {
        let fault = refuse_next(scene, dice, json!({"kind": "peer_flood"})).await;
        until_acted(scene, fault).await;
        scene
            .until("the account is restricted", async |scene| {
                scene.state().await.as_deref() == Some("restricted")
            })
            .await;
        tokio::time::sleep(Duration::from_millis(dice.random_range(500..1500))).await;
        scene.api.ask(Method::POST, &restart, Some(json!({}))).await;
        outcome.over_now();
        scene.serves(5).await;
        scene.drained().await;
    }
    load.stop().await;
    let sent = after_peer_flood(&calls(scene).await);
    if sent > 0 {
        outcome
            .broken
            .push(format!("0 sends after PEER_FLOOD (there were {sent})"));
    }
    outcome
}

/// Sends that followed a PEER_FLOOD within the time in which nobody had put the account right.
fn after_peer_flood(calls: &[Call]) -> usize {
    let floods: Vec<i64> = calls
        .iter()
        .filter(|call| call.outcome == "PEER_FLOOD")
        .map(|call| call.at)
        .collect();
    let sends = calls
        .iter()
        .filter(|call| call.method.starts_with("messages.send"));
    let inside = |call: &&Call| {
        floods
            .iter()
            .any(|flood| call.at > *flood && call.at < flood + 500)
    };
    sends.filter(inside).count()
}
