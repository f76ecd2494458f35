//! SIGTERM under load: the daemon drains, ends with 0 in time, and goes on where it was.

use std::time::{Duration, Instant};

use rand::RngExt;

use crate::class::{Aim, Class, Dice, Outcome, Rounds};
use crate::load::Talk;
use crate::scene::{Scene, Stage};

/// How long it may take to end; systemd is told a little more.
const DRAIN: Duration = Duration::from_secs(27);

pub const CLASS: Class = Class {
    name: "SIGTERM under load",
    injection: "SIGTERM at a random instant; it must end by itself, with 0",
    rounds: Rounds { full: 50, short: 3 },
    aim: Aim::secs(3, 30),
    stage: Stage::default,
    run: |scene, dice, rounds| Box::pin(run(scene, dice, rounds)),
};

async fn run(scene: &mut Scene, dice: &mut Dice, rounds: u32) -> Outcome {
    let mut outcome = Outcome::default();
    let mut longest = Duration::ZERO;
    let load = scene.talk(Talk::Mixed, 25.0);
    for _ in 0..rounds {
        scene.serves(3).await;
        tokio::time::sleep(Duration::from_millis(dice.random_range(0..500))).await;
        let mut daemon = scene.daemon.take().expect("it runs");
        let begun = Instant::now();
        daemon.terminate();
        let ended = daemon.end(DRAIN).await;
        longest = longest.max(begun.elapsed());
        if !ended.is_some_and(|status| status.success()) {
            outcome.broken.push(format!("ends with 0 (it was {ended:?})"));
        }
        drop(daemon);
        outcome.over_now();
        scene.start();
    }
    scene.serves(1).await;
    load.stop().await;
    outcome
        .notes
        .push(format!("ended within {} ms", longest.as_millis()));
    outcome
}
