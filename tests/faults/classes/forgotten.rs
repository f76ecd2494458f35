//! Telegram forgets random ids just when a send is to be repeated: a second send would be a second message, so
//! the daemon has to look first. How long Telegram really remembers them is not documented.

use std::time::Duration;

use rand::RngExt;
use serde_json::json;

use crate::class::{Aim, Class, Dice, Outcome, Rounds};
use crate::load::Talk;
use crate::scene::{Scene, Stage};

pub const CLASS: Class = Class {
    name: "random ids forgotten",
    injection: "the process is killed, or a send's answer cut off; then no random id is known any more",
    rounds: Rounds { full: 100, short: 4 },
    aim: Aim::secs(5, 30),
    stage: || Stage {
        // A real one trusts Telegram's memory for some minutes.
        settings: vec![("FORWARD__LOOK_AFTER", "0s".to_owned())],
        ..Stage::default()
    },
    run: |scene, dice, rounds| Box::pin(run(scene, dice, rounds)),
};

async fn run(scene: &mut Scene, dice: &mut Dice, rounds: u32) -> Outcome {
    let mut outcome = Outcome::default();
    let load = scene.talk(Talk::Mixed, 25.0);
    scene.serves(3).await;
    let forget = json!({"kind": "forget_random_ids"});
    for round in 0..rounds {
        if round % 2 == 0 {
            tokio::time::sleep(Duration::from_millis(dice.random_range(50..600))).await;
            scene.kill();
            scene.world.fault(forget.clone()).await;
            scene.start();
        } else {
            let cut = json!({"kind": "drop_after", "account": scene.agent, "method": "messages.send*"});
            let cut = scene.world.fault(cut).await;
            scene
                .until("a send is cut off", async |scene| {
                    scene.world.acted(cut).await > 0
                })
                .await;
            scene.world.fault(forget.clone()).await;
        }
        outcome.over_now();
        scene.serves(3).await;
    }
    load.stop().await;
    outcome
}
