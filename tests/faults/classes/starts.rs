//! SIGKILL during start-up: whatever instant it hits, the next start opens.

use std::time::{Duration, Instant};

use rand::RngExt;

use crate::class::{Aim, Class, Dice, Outcome, Rounds};
use crate::load::Talk;
use crate::scene::{PATIENCE, Scene, Stage};

pub const CLASS: Class = Class {
    name: "kills during start-up",
    injection: "SIGKILL at a random instant before it is ready, then a start that must open",
    rounds: Rounds { full: 200, short: 4 },
    aim: Aim::secs(3, 60),
    stage: Stage::default,
    run: |scene, dice, rounds| Box::pin(run(scene, dice, rounds)),
};

/// So many tries for each kill that is wanted: some come when it is ready already.
const TRIES: u32 = 4;

async fn run(scene: &mut Scene, dice: &mut Dice, rounds: u32) -> Outcome {
    let mut outcome = Outcome::default();
    let mut starts = Vec::new();
    scene.kill();
    let mut usual = opens(scene).await.expect("it starts undisturbed");
    let load = scene.talk(Talk::Plain, 10.0);
    for round in 0..rounds * TRIES {
        if outcome.injected == rounds {
            break;
        }
        scene.kill();
        scene.start();
        tokio::time::sleep(usual.mul_f64(dice.random_range(0.0..1.0))).await;
        // One that was ready already was not killed during its start.
        let early = !scene.api.ready().await;
        if !scene.kill() {
            outcome.unopenable += 1;
        }
        match opens(scene).await {
            Some(took) => {
                usual = (usual * 3 + took) / 4;
                starts.push(took);
            }
            None => outcome.unopenable += 1,
        }
        if early {
            outcome.over_now();
        }
        if round % 10 == 9 {
            scene.serves(1).await;
        }
    }
    scene.serves(1).await;
    load.stop().await;
    starts.sort_unstable();
    if let (Some(half), Some(most)) = (starts.get(starts.len() / 2), starts.last()) {
        let (half, most) = (half.as_millis(), most.as_millis());
        outcome
            .notes
            .push(format!("ready after a kill: {half} ms, {most} ms at most"));
    }
    outcome
}

/// Starts the daemon; how long it took to be ready, if it ever was.
async fn opens(scene: &mut Scene) -> Option<Duration> {
    let begun = Instant::now();
    scene.start();
    while !scene.api.ready().await {
        let ended = scene
            .daemon
            .as_mut()
            .is_some_and(|daemon| daemon.ended().is_some());
        if ended || begun.elapsed() > PATIENCE {
            scene.kill();
            return None;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Some(begun.elapsed())
}
