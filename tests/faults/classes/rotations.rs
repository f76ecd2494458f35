//! Rotations of the session's auth key: while messages flow, and with a daemon that is killed at every step of one.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use super::points;
use crate::class::{Aim, Class, Dice, Outcome, Rounds};
use crate::load::Talk;
use crate::scene::{Scene, Stage};

/// What the names of a rotation's points begin with.
pub const POINTS: &str = "rotation.";

/// How long a rotation may take to pass a point.
const PASSES: Duration = Duration::from_secs(30);

/// How often one is asked for until then.
const AGAIN: Duration = Duration::from_millis(500);

pub const UNDER_LOAD: Class = Class {
    name: "rotations under load",
    injection: "the session's auth key is replaced, one rotation after the other, at 100 messages a second",
    rounds: Rounds { full: 50, short: 2 },
    aim: Aim::secs(3, 10),
    stage: Stage::default,
    run: |scene, dice, rounds| Box::pin(under_load(scene, dice, rounds)),
};

pub const KILLED: Class = Class {
    name: "kills during a rotation",
    injection: "SIGKILL at every step of a rotation in turn, under load",
    rounds: Rounds { full: 30, short: 1 },
    aim: Aim::secs(3, 30),
    stage: || Stage {
        fault_points: true,
        ..Stage::default()
    },
    run: |scene, dice, rounds| Box::pin(killed(scene, dice, rounds)),
};

async fn under_load(scene: &mut Scene, _: &mut Dice, rounds: u32) -> Outcome {
    let mut outcome = Outcome::default();
    let load = scene.talk(Talk::Mixed, 100.0);
    scene.serves(3).await;
    for _ in 0..rounds {
        let before = settled(scene).await;
        rotate(scene).await;
        scene
            .until("the rotation is over", async |scene| {
                settled(scene).await > before
            })
            .await;
        outcome.over_now();
        // A human breath, so that the session is used under each key.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    load.stop().await;
    let failed = count(scene, "failed").await;
    if failed > 0.0 {
        outcome
            .broken
            .push(format!("each rotation completes ({failed} did not)"));
    }
    one_login(scene, &mut outcome).await;
    outcome
}

async fn killed(scene: &mut Scene, _: &mut Dice, rounds: u32) -> Outcome {
    let mut outcome = Outcome::default();
    let points: Vec<String> = points::all()
        .into_iter()
        .filter(|point| point.starts_with(POINTS))
        .collect();
    assert!(points.len() >= 6, "the points of a rotation: {points:?}");
    let load = scene.talk(Talk::Mixed, 25.0);
    for point in points.iter().cycle().take(points.len().max(rounds as usize)) {
        scene.kill();
        scene.start_with(&[("TRUNKLINE_FAULT_POINT", format!("{point}:1"))]);
        scene.ready().await;
        scene.connected().await;
        // The first step is passed before it answers. Who asks while an interrupted one comes to its end is told of that
        // one, and asks again.
        let asked = Instant::now();
        loop {
            drop(ask(scene).await);
            if scene
                .daemon
                .as_mut()
                .expect("it was started")
                .end(AGAIN)
                .await
                .is_some()
            {
                break;
            }
            assert!(
                asked.elapsed() < PASSES,
                "{point} was not passed within {PASSES:?}"
            );
        }
        scene.kill();
        scene.start();
        scene.ready().await;
        scene
            .until("the rotation is over", async |scene| settled(scene).await > 0.0)
            .await;
        outcome.over_now();
        one_login(scene, &mut outcome).await;
    }
    load.stop().await;
    outcome
}

async fn rotate(scene: &mut Scene) {
    scene
        .until("a rotation begins", async |scene| {
            matches!(ask(scene).await, Some((202, _)))
        })
        .await;
}

async fn ask(scene: &Scene) -> Option<(u16, Value)> {
    let path = format!("/api/telegram-auth/rotate-session?session_id={}", scene.session);
    scene.api.try_ask(Method::POST, &path, Some(json!({}))).await
}

/// Rotations that completed or failed since the daemon started.
async fn settled(scene: &Scene) -> f64 {
    scene
        .api
        .metric("trunkline_rotations_total")
        .await
        .unwrap_or_default()
}

async fn count(scene: &Scene, outcome: &str) -> f64 {
    let name = format!("trunkline_rotations_total{{outcome=\"{outcome}\"}}");
    scene.api.metric(&name).await.unwrap_or_default()
}

/// The account has no other authorisation than the session's.
async fn one_login(scene: &mut Scene, outcome: &mut Outcome) {
    let logins = scene.world.logins(scene.agent).await;
    if logins != 1 {
        outcome.broken.push(format!("one login is left ({logins} are)"));
    }
}
