//! The wall clock jumps: forward, back, and right again, while messages come; it is a year ahead when the daemon starts; it is
//! put back while keys are made and accounts log in. No time is lost by it but the jump's own.

use std::time::Duration;

use rand::RngExt;
use reqwest::Method;
use serde_json::json;

use super::preload::{Trouble, Witness};
use crate::class::{Aim, Class, Dice, Outcome, Rounds};
use crate::load::Talk;
use crate::scene::{Scene, Stage, id};

/// Messages a second.
const RATE: f64 = 20.0;
/// How far it jumps, in milliseconds. Telegram takes no numbers of messages that are more than 30 s ahead: while the
/// clock is an hour ahead nothing can be asked of it.
const JUMPS: [i64; 5] = [-3_600_000, HOUR_AHEAD, 20_000, -86_400_000, -45_000];
const HOUR_AHEAD: i64 = 3_600_000;

pub const JUMPS_OF_THE_CLOCK: Class = Class {
    name: "clock jumps",
    injection: "the wall clock jumps back by 45 s, an hour or a day, or ahead by 20 s or an hour, and right again, under load",
    rounds: Rounds { full: 24, short: 2 },
    aim: Aim::secs(10, 30),
    stage: Stage::default,
    run: |scene, dice, rounds| Box::pin(run(scene, dice, rounds)),
};

async fn run(scene: &mut Scene, dice: &mut Dice, rounds: u32) -> Outcome {
    let mut outcome = Outcome::default();
    let trouble = Trouble::begin(scene).await;
    let load = scene.talk(Talk::Mixed, RATE);
    scene.serves(5).await;
    for round in 0..rounds as usize {
        let jump = JUMPS[round % JUMPS.len()];
        trouble.clock_off(jump);
        if jump != HOUR_AHEAD {
            outcome.over_now();
            scene.serves(5).await;
        }
        tokio::time::sleep(Duration::from_millis(dice.random_range(200..1500))).await;
        trouble.clock_off(0);
        outcome.over_now();
        scene.serves(5).await;
    }
    load.stop().await;
    assert!(trouble.acted() > 0, "nobody asked for the time");
    outcome
}

/// A year, in milliseconds.
const YEAR: i64 = 365 * 24 * HOUR_AHEAD;
/// What the journal may hold of what comes within a few seconds.
const JOURNAL: usize = 60;
/// How long anything that is asked for may take, whatever the clock says.
const ANSWERS: Duration = Duration::from_secs(20);

pub const YEAR_AHEAD: Class = Class {
    name: "a year ahead at the start",
    injection: "the wall clock is a year ahead when the daemon starts after a SIGKILL, and set right after 1 to 3 s, under load",
    rounds: Rounds { full: 10, short: 1 },
    aim: Aim::secs(15, 60),
    stage: year_stage,
    run: |scene, dice, rounds| Box::pin(year_ahead(scene, dice, rounds)),
};

pub const BACK: Class = Class {
    name: "clock put back while keys are made",
    injection: "the wall clock is put back by a minute, an hour or a day while API keys are made and an account logs in",
    rounds: Rounds { full: 12, short: 1 },
    aim: Aim::secs(10, 30),
    stage: Stage::default,
    run: |scene, dice, rounds| Box::pin(put_back(scene, dice, rounds)),
};

/// Whatever every consumer has read may go at once: what keeps the journal is seen soon.
fn year_stage() -> Stage {
    Stage {
        settings: vec![("STORE__RETENTION_HOURS", "0".to_owned())],
        ..Stage::default()
    }
}

async fn year_ahead(scene: &mut Scene, dice: &mut Dice, rounds: u32) -> Outcome {
    let mut outcome = Outcome::default();
    let trouble = Trouble::preload(scene);
    let load = scene.talk(Talk::Mixed, RATE);
    scene.serves(5).await;
    for _ in 0..rounds {
        scene.kill();
        trouble.clock_off(YEAR);
        scene.start();
        scene.ready().await;
        let witness = Witness::start(scene);
        tokio::time::sleep(Duration::from_millis(dice.random_range(1000..3000))).await;
        // Something of that year is in the journal: a session is told of that comes and goes.
        let new = json!({"name": "of another year"});
        let session = id(&scene.api.ask(Method::POST, "/api/sessions", Some(new)).await);
        let path = format!("/api/sessions/{session}");
        scene.api.ask(Method::DELETE, &path, None).await;
        trouble.clock_off(0);
        outcome.over_now();
        scene.connected().await;
        // More than may be in it at a time, if it is trimmed.
        scene.serves(2 * JOURNAL).await;
        assert!(
            witness.acknowledged() > 0,
            "nothing was acknowledged in that year"
        );
        scene
            .until("the journal is trimmed", async |scene| {
                scene.api.metric("trunkline_journal_length").await < Some(JOURNAL as f64)
            })
            .await;
        witness.verify(scene).await;
    }
    load.stop().await;
    assert!(trouble.acted() > 0, "nobody asked for the time");
    outcome
}

async fn put_back(scene: &mut Scene, dice: &mut Dice, rounds: u32) -> Outcome {
    let mut outcome = Outcome::default();
    let trouble = Trouble::begin(scene).await;
    let load = scene.talk(Talk::Mixed, RATE);
    scene.serves(5).await;
    for round in 0..rounds {
        // What is audited has ids that stand for its time.
        key_made(scene, &mut outcome).await;
        trouble.clock_off([-3_600_000, -60_000, -86_400_000][round as usize % 3]);
        for _ in 0..3 {
            key_made(scene, &mut outcome).await;
            tokio::time::sleep(Duration::from_millis(dice.random_range(50..400))).await;
        }
        let phone = format!("+9996600001{round:02}");
        scene.world.user(&phone, "Late").await;
        let login = tokio::time::timeout(ANSWERS, scene.session_of(&phone)).await;
        match login {
            Ok(session) => {
                let path = format!("/api/sessions/{session}");
                scene.api.ask(Method::DELETE, &path, None).await;
            }
            Err(_) => outcome
                .broken
                .push("a login did not end while the clock was back".to_owned()),
        }
        trouble.clock_off(0);
        outcome.over_now();
        key_made(scene, &mut outcome).await;
        scene.serves(5).await;
    }
    load.stop().await;
    outcome
}

/// Makes an API key, which the audit log tells of; which it is, if it was made in time.
async fn key_made(scene: &Scene, outcome: &mut Outcome) -> Option<String> {
    let new = json!({"name": "of a clock", "scopes": ["read"]});
    let made = scene.api.try_ask(Method::POST, "/api/keys", Some(new));
    match tokio::time::timeout(ANSWERS, made).await {
        Ok(Some((200 | 201, key))) => key["id"].as_str().map(str::to_owned),
        answer => {
            outcome.broken.push(format!("a key was not made: {answer:?}"));
            None
        }
    }
}
