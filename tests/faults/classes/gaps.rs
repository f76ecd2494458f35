//! Differences that Telegram finds too long: its position jumps, and the messages in between are never told. More
//! follow at once, so that the top of the chat does not show what is missing. Three ways there: pushes that were
//! left out of a channel, the same in a private chat, and an absence.

use std::time::{Duration, Instant};

use rand::RngExt;
use serde_json::json;

use crate::class::{Aim, Class, Dice, Outcome, Rounds};
use crate::load::Talk;
use crate::scene::{PATIENCE, Scene, Stage};
use crate::side::Side;

pub const CLASS: Class = Class {
    name: "differences too long",
    injection: "messages left out, and the difference too long to tell them; one in three followed by SIGKILL",
    rounds: Rounds { full: 60, short: 4 },
    aim: Aim::secs(5, 30),
    stage: Stage::default,
    run: |scene, dice, rounds| Box::pin(run(scene, dice, rounds)),
};

async fn run(scene: &mut Scene, dice: &mut Dice, rounds: u32) -> Outcome {
    let mut outcome = Outcome::default();
    let side = Side::private(scene).await;
    let loads = [scene.talk(Talk::Mixed, 20.0), side.author.talk(Talk::Plain, 10.0)];
    scene.serves(3).await;
    let agent = scene.agent;
    for round in 0..rounds {
        let (chat, method) = match dice.random_bool(0.5) {
            true => (scene.source, "updates.getChannelDifference"),
            false => (side.source, "updates.getDifference"),
        };
        let away = round % 3 == 1;
        if away {
            scene.kill();
            scene.author.say(Talk::Plain).await;
            side.author.say(Talk::Plain).await;
        }
        let too_long = json!({"kind": "too_long", "account": agent, "method": method});
        let fault = scene.world.fault(too_long).await;
        if away {
            scene.start();
        } else {
            let gap = json!({"kind": "gap", "account": agent, "chat": chat, "times": 3});
            scene.world.fault(gap).await;
        }
        if !acts(scene, fault).await {
            outcome.broken.push(format!("{method} is asked after a gap"));
            break;
        }
        if round % 3 == 2 {
            tokio::time::sleep(Duration::from_millis(dice.random_range(0..300))).await;
            scene.kill();
            scene.start();
        }
        outcome.over_now();
        scene.serves(3).await;
    }
    scene.world.clear_faults().await;
    scene.serves(3).await;
    for load in loads {
        load.stop().await;
    }
    outcome.beside = Some(side.settle(scene, PATIENCE).await);
    outcome
}

/// Waits until a fault has acted.
async fn acts(scene: &Scene, fault: u64) -> bool {
    let begun = Instant::now();
    while scene.world.acted(fault).await == 0 {
        if begun.elapsed() > PATIENCE {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    true
}
