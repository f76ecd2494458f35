//! The wall clock jumps: forward, back, and right again, while messages come. No time is lost by it but the jump's own.

use std::time::Duration;

use rand::RngExt;

use super::preload::Trouble;
use crate::class::{Aim, Class, Dice, Outcome, Rounds};
use crate::load::Talk;
use crate::scene::{Scene, Stage};

/// Messages a second.
const RATE: f64 = 20.0;
/// How far it jumps, in milliseconds. Not further ahead than Telegram allows a message's number to be: beyond that
/// grammers tries a refused call again and again under numbers that are too high, and only a new connection helps.
const JUMPS: [i64; 4] = [-3_600_000, 20_000, -86_400_000, -45_000];

pub const JUMPS_OF_THE_CLOCK: Class = Class {
    name: "clock jumps",
    injection: "the wall clock jumps back by 45 s, an hour or a day, or ahead by 20 s, and right again, under load",
    rounds: Rounds { full: 24, short: 0 },
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
        trouble.clock_off(JUMPS[round % JUMPS.len()]);
        outcome.over_now();
        scene.serves(5).await;
        tokio::time::sleep(Duration::from_millis(dice.random_range(200..1500))).await;
        trouble.clock_off(0);
        outcome.over_now();
        scene.serves(5).await;
    }
    load.stop().await;
    assert!(trouble.acted() > 0, "nobody asked for the time");
    outcome
}
