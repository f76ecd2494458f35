//! Pages lost at a failed sync: what the disk was given and refused stays readable, and is not on it. Nothing that was
//! acknowledged since may go with the power.

use std::time::Duration;

use rand::RngExt;

use super::disk::told;
use super::preload::{EIO, Platter, Trouble, Witness, health, incidents};
use crate::class::{Aim, Class, Dice, Outcome, Rounds};
use crate::load::Talk;
use crate::scene::{Scene, Stage};

/// Messages a second.
const RATE: f64 = 20.0;

pub const LOST: Class = Class {
    name: "pages lost at a failed sync",
    injection: "syncs fail for 0.5 to 2 s and their pages are dropped, every other time with a SIGKILL; once well, the power is cut",
    rounds: Rounds { full: 8, short: 2 },
    aim: Aim::secs(45, 60),
    stage: Stage::default,
    run: |scene, dice, rounds| Box::pin(run(scene, dice, rounds)),
};

async fn run(scene: &mut Scene, dice: &mut Dice, rounds: u32) -> Outcome {
    let mut outcome = Outcome::default();
    let trouble = Trouble::preload(scene);
    scene.kill();
    let platter = Platter::lay(scene);
    scene.start();
    scene.ready().await;
    scene.connected().await;
    let load = scene.talk(Talk::Mixed, RATE);
    scene.serves(5).await;
    for round in 1..=rounds {
        let witness = Witness::start(scene);
        scene
            .until("something is acknowledged", async |_| witness.acknowledged() > 3)
            .await;
        trouble.flushes_fail(EIO);
        told(scene, "disk_fault").await;
        tokio::time::sleep(Duration::from_millis(dice.random_range(500..2000))).await;
        let killed = round % 2 == 0;
        if killed {
            scene.kill();
        }
        trouble.flushes_fail(0);
        if killed {
            scene.start();
            scene.ready().await;
        }
        scene
            .until("the store takes commits again", async |scene| {
                health(&scene.api).await == "ok"
            })
            .await;
        let before = witness.acknowledged();
        scene
            .until("changes are acknowledged again", async |_| {
                witness.acknowledged() > before + 3
            })
            .await;
        witness.verify_after(scene, || platter.power_cut()).await;
        outcome.over_now();
        scene.connected().await;
        scene.serves(3).await;
        scene.drained().await;
    }
    load.stop().await;
    let restored = incidents(&scene.api, "store_restored").await.len();
    if restored > 0 {
        outcome
            .broken
            .push(format!("restored {restored} times from an export"));
    }
    outcome
}
