//! SIGKILL at random instants, while albums, edits and deletions flow.

use std::time::Duration;

use rand::RngExt;

use crate::class::{Aim, Class, Dice, Outcome, Rounds};
use crate::load::Talk;
use crate::scene::{Scene, Stage};

/// Messages a second.
const RATE: f64 = 25.0;

pub const CLASS: Class = Class {
    name: "kills at random",
    injection: "SIGKILL at a random instant of 0.1 to 1.6 s, under load",
    rounds: Rounds { full: 200, short: 4 },
    aim: Aim::secs(3, 30),
    stage: Stage::default,
    run: |scene, dice, rounds| Box::pin(run(scene, dice, rounds)),
};

async fn run(scene: &mut Scene, dice: &mut Dice, rounds: u32) -> Outcome {
    let mut outcome = Outcome::default();
    let load = scene.talk(Talk::Mixed, RATE);
    scene.serves(5).await;
    for _ in 0..rounds {
        tokio::time::sleep(Duration::from_millis(dice.random_range(100..1600))).await;
        if !scene.kill() {
            outcome.unopenable += 1;
        }
        outcome.over_now();
        scene.start();
    }
    load.stop().await;
    outcome
}
