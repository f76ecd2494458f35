//! Flipped bytes in the database's files: never served as data, named, and what they stood on restored from the last
//! automatic export with the loss counted.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rand::RngExt;
use serde_json::json;

use super::preload::incidents;
use crate::class::{Aim, Class, Dice, Outcome, Rounds};
use crate::load::Talk;
use crate::scene::{Scene, Stage};

/// Messages a second.
const RATE: f64 = 15.0;
/// How many bytes of the database are flipped at a time.
const FLIPS: usize = 48;

pub const FLIPPED: Class = Class {
    name: "flipped bytes",
    injection: "48 bytes of the database (every fourth time: of its snapshot) flipped after a SIGKILL, while messages come; random ids forgotten",
    rounds: Rounds { full: 20, short: 2 },
    aim: Aim::secs(10, 60),
    stage,
    run: |scene, dice, rounds| Box::pin(run(scene, dice, rounds)),
};

fn stage() -> Stage {
    Stage {
        settings: vec![("STORE__EXPORT_EVERY", "\"2s\"".to_owned())],
        ..Stage::default()
    }
}

async fn run(scene: &mut Scene, dice: &mut Dice, rounds: u32) -> Outcome {
    let mut outcome = Outcome {
        // What was told since the last export is told again, under a new id.
        tells_anew: true,
        ..Outcome::default()
    };
    let load = scene.talk(Talk::Plain, RATE);
    scene.serves(5).await;
    let mut restores = 0;
    for round in 0..rounds {
        let exported = exports(scene);
        scene
            .until("an export is made", async |scene| exports(scene) > exported)
            .await;
        // What is sent from now on is not in it.
        scene.serves(8).await;
        scene.kill();
        let database = scene.data().join("sled");
        match snapshot(&database) {
            Some(snapshot) if round % 4 == 3 => flip(&snapshot, dice),
            _ => flip(&database.join("db"), dice),
        }
        let all = json!({"kind": "forget_random_ids"});
        scene.world.fault(all).await;
        scene.start();
        scene.ready().await;
        outcome.over_now();
        scene.connected().await;
        scene.serves(3).await;
        restores += usize::from(scene.api.metric("trunkline_store_restores_total").await > Some(0.0));
        scene
            .until("an incident counts what was lost", async |scene| {
                incidents(&scene.api, "store_restored").await.len() >= restores
            })
            .await;
    }
    load.stop().await;
    outcome
        .notes
        .push(format!("restored {restores} times of {rounds}"));
    // A few times it may have hit nothing that is in use.
    assert!(restores > 0 || rounds < 8, "so much damage went unnoticed");
    outcome
}

/// The newest automatic export, by its name.
fn exports(scene: &Scene) -> String {
    let names = exports_in(&scene.data().join("exports"));
    names.into_iter().max().unwrap_or_default()
}

/// The names of the automatic exports in a folder.
pub fn exports_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names
        .filter(|name| name.starts_with("auto-") && name.ends_with(".trunkline"))
        .collect()
}

/// The database's snapshot, which its next opening begins with.
fn snapshot(folder: &Path) -> Option<PathBuf> {
    let files = std::fs::read_dir(folder).expect("a folder").flatten();
    let mut paths = files.map(|entry| entry.path());
    paths.find(|path| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("snap."))
    })
}

/// Flips bytes of a file anywhere.
pub fn flip(path: &Path, dice: &mut Dice) {
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .open(path)
        .expect("a database");
    let length = file.metadata().expect("its length").len();
    for _ in 0..FLIPS {
        let (mut byte, at) = ([0], dice.random_range(0..length));
        file.read_exact_at(&mut byte, at).expect("is read");
        byte[0] ^= 1 << dice.random_range(0..8);
        file.write_all_at(&byte, at).expect("is written");
    }
}
