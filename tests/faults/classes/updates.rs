//! What Telegram does to updates: they come doubled, in another order, or not at all; or it only says that
//! there are too many.

use std::time::Duration;

use rand::RngExt;
use serde_json::json;

use crate::class::{Aim, Class, Dice, Outcome, Rounds};
use crate::load::Talk;
use crate::scene::{Scene, Stage};

pub const CLASS: Class = Class {
    name: "updates out of joint",
    injection: "pushes doubled, reordered, left out, or replaced by \"too long\"",
    rounds: Rounds { full: 200, short: 12 },
    aim: Aim::secs(5, 30),
    stage: Stage::default,
    run: |scene, dice, rounds| Box::pin(run(scene, dice, rounds)),
};

async fn run(scene: &mut Scene, dice: &mut Dice, rounds: u32) -> Outcome {
    let mut outcome = Outcome::default();
    let load = scene.talk(Talk::Mixed, 25.0);
    scene.serves(3).await;
    let (agent, source) = (scene.agent, scene.source);
    for _ in 0..rounds {
        let kind = ["duplicate", "reorder", "gap", "push_too_long"][dice.random_range(0..4)];
        let fault = match dice.random_bool(0.8) {
            true => json!({"kind": kind, "account": agent, "chat": source}),
            false => json!({"kind": kind, "account": agent}),
        };
        let number = scene.world.fault(fault).await;
        tokio::time::sleep(Duration::from_millis(dice.random_range(40..250))).await;
        if kind == "push_too_long" || scene.world.acted(number).await > 0 {
            outcome.over_now();
        }
    }
    scene.world.clear_faults().await;
    // What was left out last is noticed by what follows it.
    scene.serves(5).await;
    load.stop().await;
    outcome
}
