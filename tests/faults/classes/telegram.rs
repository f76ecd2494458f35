//! Trouble of Telegram's own: authorisations that are revoked, keys that are forgotten, errors and silence.

use std::time::{Duration, Instant};

use rand::RngExt;
use serde_json::{Value, json};
use trunkline::base::Timestamp;

use crate::class::{Aim, Class, Dice, Outcome, Rounds};
use crate::load::Talk;
use crate::scene::{Scene, Stage};

/// Messages a second.
const RATE: f64 = 15.0;

/// How soon the end of an authorisation is to be noticed.
const NOTICED: Duration = Duration::from_secs(30);

/// Refused calls that the end of an authorisation may cost.
const CALLS: u64 = 10;

pub const REVOKED: Class = Class {
    name: "revoked keys",
    injection: "the authorisation is revoked, the key forgotten; logged in again after 0.2 to 2 s",
    rounds: Rounds { full: 30, short: 2 },
    aim: Aim::secs(5, 30),
    stage: believing,
    run: |scene, dice, rounds| Box::pin(revoked(scene, dice, rounds)),
};

pub const ERRORS: Class = Class {
    name: "Telegram's errors",
    injection: "500, -503, silence, delay, a connection cut before or after the work, on sends and differences",
    rounds: Rounds { full: 100, short: 5 },
    aim: Aim::secs(5, 30),
    stage: impatient,
    run: |scene, dice, rounds| Box::pin(errors(scene, dice, rounds)),
};

/// A daemon that soon believes that its key is forgotten.
fn believing() -> Stage {
    Stage {
        settings: vec![("TELEGRAM__KEY_DOUBT", "1s".to_owned())],
        ..Stage::default()
    }
}

/// A daemon that waits for no answer for long.
fn impatient() -> Stage {
    Stage {
        settings: vec![("TELEGRAM__CALL_TIMEOUT", "2s".to_owned())],
        ..Stage::default()
    }
}

async fn revoked(scene: &mut Scene, dice: &mut Dice, rounds: u32) -> Outcome {
    let mut outcome = Outcome::default();
    let mut slowest = Duration::ZERO;
    let load = scene.talk(Talk::Mixed, RATE);
    scene.serves(5).await;
    for round in 0..rounds {
        let kind = match round % 3 {
            0 => json!({"kind": "revoke"}),
            1 => json!({"kind": "forget_key"}),
            _ => json!({"kind": "revoke", "name": "SESSION_REVOKED"}),
        };
        let before = refused(scene).await;
        let begun = Instant::now();
        strike(scene, kind).await;
        scene
            .until("the end of the authorisation is noticed", async |scene| {
                scene.state().await.as_deref() == Some("bad_credentials")
            })
            .await;
        slowest = slowest.max(begun.elapsed());
        tokio::time::sleep(Duration::from_millis(dice.random_range(200..2000))).await;
        let calls = refused(scene).await - before;
        if calls > CALLS {
            outcome
                .broken
                .push(format!("no retry loop ({calls} calls after the end)"));
        }
        scene.log_in().await;
        outcome.over_now();
        scene.serves(5).await;
        scene.drained().await;
    }
    load.stop().await;
    outcome.notes.push(format!("noticed after {slowest:?} at most"));
    if slowest > NOTICED {
        outcome.slow.push(format!("noticed < {NOTICED:?}"));
    }
    outcome
}

async fn strike(scene: &Scene, mut kind: Value) {
    kind["account"] = scene.agent.into();
    scene.world.fault(kind).await;
}

/// Calls so far that met the end of an authorisation.
async fn refused(scene: &Scene) -> u64 {
    let log = scene.world.requests("limit=1").await;
    let methods = log["counts"].as_object().expect("counters");
    let outcomes = methods.values().filter_map(Value::as_object).flatten();
    outcomes
        .filter(|(outcome, _)| ["AUTH_KEY_UNREGISTERED", "SESSION_REVOKED"].contains(&outcome.as_str()))
        .filter_map(|(_, count)| count.as_u64())
        .sum()
}

async fn errors(scene: &mut Scene, dice: &mut Dice, rounds: u32) -> Outcome {
    let mut outcome = Outcome::default();
    let load = scene.talk(Talk::Mixed, RATE);
    scene.serves(5).await;
    for _ in 0..rounds {
        let fault = error(scene, dice).await;
        scene
            .until("the trouble was met", async |scene| {
                scene.world.acted(fault).await > 0
            })
            .await;
        tokio::time::sleep(Duration::from_millis(dice.random_range(0..500))).await;
        scene.world.clear_faults().await;
        outcome.over.push(Timestamp::now());
        outcome.injected += 1;
        scene.serves(3).await;
    }
    load.stop().await;
    outcome
}

/// Causes one error, once or some times; its number.
async fn error(scene: &Scene, dice: &mut Dice) -> u64 {
    let mut fault = match dice.random_range(0..7) {
        0 => json!({"kind": "error", "code": 500, "name": "RPC_CALL_FAIL"}),
        1 => json!({"kind": "error", "code": -503, "name": "Timeout"}),
        2 => json!({"kind": "silence"}),
        3 => json!({"kind": "delay", "milliseconds": dice.random_range(200..3000)}),
        4 => json!({"kind": "drop_before"}),
        5 => json!({"kind": "drop_after"}),
        _ => json!({"kind": "error", "code": 500, "name": "INTERDC_2_CALL_ERROR"}),
    };
    fault["account"] = scene.agent.into();
    fault["times"] = dice.random_range(1..4).into();
    fault["method"] = match dice.random_range(0..4) {
        0 | 1 => "messages.sendMessage",
        2 => "messages.*",
        _ => "updates.*",
    }
    .into();
    if fault["method"] == "updates.*" {
        // A lost push and a cut connection make the daemon ask for differences.
        scene
            .world
            .fault(json!({"kind": "gap", "account": scene.agent}))
            .await;
        let number = scene.world.fault(fault).await;
        strike(scene, json!({"kind": "disconnect"})).await;
        return number;
    }
    scene.world.fault(fault).await
}
