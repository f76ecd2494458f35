//! No descriptors left for a while: what is open goes on, the store first of all, and the rest comes back by itself.

use std::time::Duration;

use rand::RngExt;
use rustix::process::{Resource, Rlimit, prlimit};

use super::disk::said;
use super::preload::{Witness, health};
use crate::class::{Aim, Class, Dice, Outcome, Rounds};
use crate::load::Talk;
use crate::scene::{Scene, Stage};

/// Messages a second.
const RATE: f64 = 20.0;

pub const GONE: Class = Class {
    name: "no descriptors left",
    injection: "a limit that lets the daemon open no file and no connection for 3 to 5 s, under load",
    rounds: Rounds { full: 10, short: 1 },
    aim: Aim::secs(10, 30),
    stage: Stage::default,
    run: |scene, dice, rounds| Box::pin(run(scene, dice, rounds)),
};

async fn run(scene: &mut Scene, dice: &mut Dice, rounds: u32) -> Outcome {
    let mut outcome = Outcome::default();
    let load = scene.talk(Talk::Mixed, RATE);
    scene.serves(5).await;
    let witness = Witness::start(scene);
    for _ in 0..rounds {
        scene
            .until("the witness is at work", async |_| witness.acknowledged() > 0)
            .await;
        // Standard input, output and error have the numbers below.
        let before = limit_descriptors(scene, Some(3));
        tokio::time::sleep(Duration::from_millis(dice.random_range(3000..5000))).await;
        limit_descriptors(scene, before);
        outcome.over_now();
        scene
            .until("all is well", async |scene| health(&scene.api).await == "ok")
            .await;
        let known = witness.acknowledged();
        scene
            .until("changes are acknowledged", async |_| {
                witness.acknowledged() > known + 1
            })
            .await;
        scene.serves(5).await;
    }
    load.stop().await;
    for kind in ["disk_fault", "disk_full"] {
        if said(scene, kind) > 0 {
            outcome.broken.push(format!("the store took it for {kind}"));
        }
    }
    assert_eq!(witness.refused(), 0, "no commit wants a descriptor");
    witness.verify(scene).await;
    outcome
}

/// Sets how many descriptors the daemon may have; how many it was.
fn limit_descriptors(scene: &Scene, most: Option<u64>) -> Option<u64> {
    let daemon = scene.daemon.as_ref().expect("it runs").pid();
    let now = prlimit(
        Some(daemon),
        Resource::Nofile,
        Rlimit {
            current: most,
            maximum: rustix::process::getrlimit(Resource::Nofile).maximum,
        },
    );
    now.expect("a child's limit may be set").current
}
