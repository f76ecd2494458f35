//! The store is exported while it is written: nobody waits for it, and what comes out can be read in, whole.

use std::time::{Duration, Instant};

use reqwest::Method;

use crate::class::{Aim, Class, Dice, Outcome, Rounds};
use crate::load::Talk;
use crate::scene::{Scene, Stage};

pub const CLASS: Class = Class {
    name: "store export under load",
    injection: "an export over the API while messages flow; it is imported elsewhere and checked",
    rounds: Rounds { full: 50, short: 2 },
    aim: Aim::secs(3, 5),
    stage: Stage::default,
    run: |scene, dice, rounds| Box::pin(run(scene, dice, rounds)),
};

async fn run(scene: &mut Scene, _: &mut Dice, rounds: u32) -> Outcome {
    let mut outcome = Outcome::default();
    let load = scene.talk(Talk::Mixed, 50.0);
    scene.serves(10).await;
    let (mut longest, mut bytes) = (Duration::ZERO, 0);
    for round in 0..rounds {
        let begun = Instant::now();
        let answer = scene.api.request(Method::GET, "/api/admin/export").send().await;
        let answer = answer.expect("the daemon answers");
        let copy = match answer.status().is_success() {
            true => answer.bytes().await.expect("the export comes to its end"),
            false => panic!("an export was refused: {}", answer.status()),
        };
        longest = longest.max(begun.elapsed());
        bytes = copy.len();
        outcome.over_now();
        let file = scene.folder().join(format!("export-{round}"));
        std::fs::write(&file, &copy).expect("written");
        if let Err(why) = opens(scene, &file) {
            outcome.unopenable += 1;
            outcome.notes.push(why);
        }
        scene.serves(3).await;
    }
    load.stop().await;
    outcome.notes.push(format!(
        "the longest export took {} ms, the last has {bytes} bytes",
        longest.as_millis()
    ));
    outcome
}

/// Reads an export into a folder of its own and checks every row there.
fn opens(scene: &Scene, export: &std::path::Path) -> Result<(), String> {
    let folder = export.with_extension("data");
    let run = |arguments: &[&std::ffi::OsStr]| {
        let done = scene.command_on(&folder).arg("store").args(arguments).output();
        let done = done.expect("the binary starts");
        match done.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&done.stderr).into_owned()),
        }
    };
    run(&["import".as_ref(), export.as_os_str()])?;
    run(&["check".as_ref()])?;
    std::fs::remove_dir_all(&folder).expect("removable");
    Ok(())
}
