//! The wall clock jumps: forward, back, and right again, while messages come. No time is lost by it but the jump's own.

use std::time::Duration;

use rand::RngExt;

use super::preload::Trouble;
use crate::class::{Aim, Class, Dice, Outcome, Rounds};
use crate::load::Talk;
use crate::scene::{Scene, Stage};

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
