//! SIGKILL at every named point of the code: before and after each flush, send, acknowledgement and the
//! commits between them. The names are read from the source, and each must really be hit.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::Duration;

use rand::RngExt;
use rustix::process::Signal;

use super::rotations;
use crate::class::{Aim, Class, Dice, Outcome, Rounds};
use crate::load::Talk;
use crate::scene::{Scene, Stage};

/// How long a daemon under load may take to pass its point.
const PASSES: Duration = Duration::from_secs(60);

pub const CLASS: Class = Class {
    name: "kills at named points",
    injection: "SIGKILL at the n-th passage (1 to 12) of every point in turn, under load",
    rounds: Rounds { full: 200, short: 1 },
    aim: Aim::secs(3, 30),
    stage: || Stage {
        fault_points: true,
        ..Stage::default()
    },
    run: |scene, dice, rounds| Box::pin(run(scene, dice, rounds)),
};

/// Every point is hit at least once, whatever the number of rounds.
async fn run(scene: &mut Scene, dice: &mut Dice, rounds: u32) -> Outcome {
    let mut outcome = Outcome::default();
    // Those of a rotation are passed only by one: a class of its own kills there.
    let points: Vec<String> = all()
        .into_iter()
        .filter(|point| !point.starts_with(rotations::POINTS))
        .collect();
    assert!(points.len() >= 16, "the points of the source: {points:?}");
    scene.kill();
    let load = scene.talk(Talk::Mixed, 25.0);
    let kills = (rounds as usize).max(points.len());
    for point in points.iter().cycle().take(kills) {
        let armed = format!("{point}:{}", dice.random_range(1..=12));
        scene.start_with(&[("TRUNKLINE_FAULT_POINT", armed.clone())]);
        let daemon = scene.daemon.as_mut().expect("it was started");
        let ended = daemon.end(PASSES).await;
        scene.kill();
        match ended.map(|status| status.signal()) {
            Some(Some(signal)) if signal == Signal::KILL.as_raw() => outcome.over_now(),
            Some(_) => outcome.unopenable += 1,
            // A point that nothing passes proves nothing.
            None => panic!("{armed} was not hit within {PASSES:?}"),
        }
    }
    scene.start();
    scene.serves(1).await;
    load.stop().await;
    outcome
}

/// The points that stand in the source.
pub fn all() -> Vec<String> {
    let mut points = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut points);
    points.sort_unstable();
    points.dedup();
    points
}

fn collect(folder: &Path, points: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            collect(&path, points);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).expect("a readable file");
            let named = text.split("fault_point!(\"").skip(1);
            points.extend(named.filter_map(|rest| rest.split_once("\");").map(|(name, _)| name.to_owned())));
        }
    }
}
