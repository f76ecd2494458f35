//! Where copies go: a disk of exports that hangs holds nobody up and is told of, and daemons that share a folder keep to
//! their own.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rand::RngExt;

use super::damage::{exports_in, flip};
use super::preload::{Trouble, Witness, exports, health_of, incidents};
use crate::class::{Aim, Class, Dice, Outcome, Rounds};
use crate::load::Talk;
use crate::process::Process;
use crate::scene::{Scene, Stage};

/// Messages a second.
const RATE: f64 = 20.0;
/// How many exports a daemon keeps.
const KEPT: usize = 2;

pub const HANGS: Class = Class {
    name: "hung export disk",
    injection: "every write and sync in the folder of exports hangs for some seconds, under load, with an export every second",
    rounds: Rounds { full: 8, short: 1 },
    aim: Aim::secs(3, 10),
    stage,
    run: |scene, dice, rounds| Box::pin(hangs(scene, dice, rounds)),
};

pub const SHARED: Class = Class {
    name: "two daemons on one export folder",
    injection: "a second daemon with the same seal key exports into the same folder; then 48 flipped bytes after a SIGKILL, random ids forgotten",
    // Not in the short form: on a busy machine one of them may not come to make exports in time.
    rounds: Rounds { full: 8, short: 0 },
    aim: Aim::secs(10, 60),
    stage,
    run: |scene, dice, rounds| Box::pin(shared(scene, dice, rounds)),
};

fn stage() -> Stage {
    Stage {
        settings: vec![
            ("STORE__EXPORT_EVERY", "\"1s\"".to_owned()),
            ("STORE__EXPORT_PATIENCE", "\"2s\"".to_owned()),
            ("STORE__EXPORTS_KEPT", KEPT.to_string()),
        ],
        ..Stage::default()
    }
}

/// Has the next daemon export into the folder beside the data.
fn export_elsewhere(scene: &mut Scene) -> PathBuf {
    let folder = exports(scene);
    let setting = "TRUNKLINE__STORE__EXPORT_FOLDER".to_owned();
    scene.environment.push((setting, folder.display().to_string()));
    folder
}

async fn hangs(scene: &mut Scene, dice: &mut Dice, rounds: u32) -> Outcome {
    let mut outcome = Outcome::default();
    let trouble = Trouble::preload(scene);
    let folder = export_elsewhere(scene);
    scene.kill();
    scene.start();
    scene.ready().await;
    scene.connected().await;
    let load = scene.talk(Talk::Mixed, RATE);
    scene.serves(5).await;
    let witness = Witness::start(scene);
    for round in 1..=rounds {
        scene
            .until("exports are made", async |_| !exports_in(&folder).is_empty())
            .await;
        trouble.exports_hang(true);
        let before = witness.acknowledged();
        scene
            .until("the health tells of a folder that hangs", async |scene| {
                health_of(&scene.api, "exports").await == "degraded"
            })
            .await;
        assert!(
            witness.acknowledged() > before + 3,
            "changes waited for an export"
        );
        scene.serves(5).await;
        tokio::time::sleep(Duration::from_millis(dice.random_range(500..2000))).await;
        scene
            .until("a metric tells of it", async |scene| {
                scene.api.metric("trunkline_store_export_hangs_seconds").await > Some(0.0)
            })
            .await;
        scene
            .until("an incident tells of it", async |scene| {
                incidents(&scene.api, "exports_hang").await.len() >= round as usize
            })
            .await;
        let known = exports_in(&folder);
        trouble.exports_hang(false);
        outcome.over_now();
        scene
            .until("exports are made again", async |scene| {
                health_of(&scene.api, "exports").await == "ok" && exports_in(&folder) != known
            })
            .await;
        scene.serves(3).await;
    }
    load.stop().await;
    assert_eq!(witness.refused(), 0, "an export is no reason to refuse");
    witness.verify(scene).await;
    outcome
}

async fn shared(scene: &mut Scene, dice: &mut Dice, rounds: u32) -> Outcome {
    let mut outcome = Outcome {
        // What was told since the last export is told again, under a new id.
        tells_anew: true,
        ..Outcome::default()
    };
    let folder = export_elsewhere(scene);
    scene.kill();
    scene.start();
    scene.ready().await;
    let mut other = neighbour(scene);
    let load = scene.talk(Talk::Plain, RATE);
    scene.serves(5).await;
    let own = |scene: &Scene| tag(&scene.data());
    let of = |tag: &str| {
        let mut names = exports_in(&folder);
        names.retain(|name| name.contains(tag));
        names.sort_unstable();
        names
    };
    for _ in 0..rounds {
        let mine = own(scene);
        scene
            .until("both have made exports", async |scene| {
                let theirs = tag(&scene.folder().join("neighbour"));
                !theirs.is_empty() && of(&theirs).len() == KEPT && of(&mine).len() == KEPT
            })
            .await;
        let theirs = tag(&scene.folder().join("neighbour"));
        let (before, last) = (of(&mine), of(&theirs));
        scene
            .until("mine goes on, and theirs stay", async |_| {
                of(&mine).last() > before.last()
            })
            .await;
        assert_eq!(of(&theirs).len(), KEPT, "one removed the other's: {last:?}");
        scene.serves(8).await;
        scene.kill();
        flip(&scene.data().join("sled/db"), dice);
        let all = serde_json::json!({"kind": "forget_random_ids"});
        scene.world.fault(all).await;
        scene.start();
        scene.ready().await;
        outcome.over_now();
        // With a neighbour's database there would be no such session.
        scene.connected().await;
        scene.serves(3).await;
        assert_eq!(own(scene), mine, "a restore keeps the tag");
    }
    load.stop().await;
    assert!(other.ended().is_none(), "the neighbour ended by itself");
    other.terminate();
    other.end(Duration::from_secs(20)).await.expect("it ends");
    outcome
}

/// The tag of a data folder; empty while it has none.
fn tag(data: &std::path::Path) -> String {
    let tag = std::fs::read_to_string(data.join("export-tag")).unwrap_or_default();
    tag.trim().to_owned()
}

/// Another daemon with a data folder of its own, the same seal key and the same folder of exports. It commits little, so
/// its exports have the lower numbers.
fn neighbour(scene: &Scene) -> Process {
    let key = std::fs::read_to_string(scene.data().join("seal.key")).expect("a key");
    let mut command = scene.command_on(&scene.folder().join("neighbour"));
    for (name, value) in &scene.environment {
        command.env(name, value);
    }
    command
        .env("TRUNKLINE_SEAL_KEY", key.trim())
        .env("TRUNKLINE__HTTP__LISTEN", "127.0.0.1:0")
        .env("TRUNKLINE__HTTP__METRICS_LISTEN", "127.0.0.1:0")
        .arg("run")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Process::start(&mut command)
}
