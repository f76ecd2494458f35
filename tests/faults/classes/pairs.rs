//! A pair that is changed, held, restarted or removed while it is busy.

use std::collections::HashSet;
use std::time::Duration;

use rand::RngExt;
use reqwest::Method;
use serde_json::json;

use crate::class::{Aim, Class, Dice, Outcome, Rounds};
use crate::load::Talk;
use crate::scene::{Scene, Stage};
use crate::side::Side;

/// What may still be on its way when a pair is removed arrives within this.
const LAST: Duration = Duration::from_millis(1500);

pub const CHANGED: Class = Class {
    name: "pair changed and held while busy",
    injection: "renamed, silenced, held and let go, or its worker restarted, under load",
    rounds: Rounds { full: 200, short: 8 },
    aim: Aim::secs(3, 30),
    stage: Stage::default,
    run: |scene, dice, rounds| Box::pin(changed(scene, dice, rounds)),
};

async fn changed(scene: &mut Scene, dice: &mut Dice, rounds: u32) -> Outcome {
    let mut outcome = Outcome::default();
    let load = scene.talk(Talk::Mixed, 25.0);
    scene.serves(3).await;
    let path = format!("/api/pairs/{}", scene.pair);
    for round in 0..rounds {
        let api = &scene.api;
        match dice.random_range(0..4) {
            0 => {
                let patch = json!({"silent": round % 2 == 0});
                api.ask(Method::PATCH, &path, Some(patch)).await;
            }
            1 => {
                let patch = json!({"name": format!("name {round}")});
                api.ask(Method::PATCH, &path, Some(patch)).await;
            }
            2 => {
                api.ask(Method::POST, &format!("{path}/pause"), None).await;
                tokio::time::sleep(Duration::from_millis(dice.random_range(0..400))).await;
                api.ask(Method::POST, &format!("{path}/resume"), None).await;
            }
            _ => {
                let path = format!("/api/admin/pairs/{}/restart", scene.pair);
                api.ask(Method::POST, &path, None).await;
            }
        }
        outcome.over_now();
        tokio::time::sleep(Duration::from_millis(dice.random_range(0..200))).await;
    }
    load.stop().await;
    outcome
}

pub const REMOVED: Class = Class {
    name: "pair removed while busy",
    injection: "a second pair of the source is removed under load and made anew; the first must not notice",
    rounds: Rounds { full: 50, short: 2 },
    aim: Aim::secs(3, 30),
    stage: Stage::default,
    run: |scene, dice, rounds| Box::pin(removed(scene, dice, rounds)),
};

async fn removed(scene: &mut Scene, dice: &mut Dice, rounds: u32) -> Outcome {
    let mut outcome = Outcome::default();
    let mut side = Side::beside(scene).await;
    let load = scene.talk(Talk::Plain, 25.0);
    scene.serves(3).await;
    for _ in 0..rounds {
        tokio::time::sleep(Duration::from_millis(dice.random_range(50..400))).await;
        let path = format!("/api/pairs/{}", side.pair);
        scene.api.ask(Method::DELETE, &path, None).await;
        outcome.over_now();
        tokio::time::sleep(LAST).await;
        let copies = side.copies(scene).await.len();
        scene.serves(5).await;
        let after = side.copies(scene).await.len() - copies;
        if after > 0 {
            outcome
                .broken
                .push(format!("a removed pair copies nothing ({after} copies)"));
        }
        side.join(scene).await;
    }
    load.stop().await;
    let copies = side.copies(scene).await;
    let texts: HashSet<&str> = copies.iter().map(|copy| copy.text.as_str()).collect();
    if texts.len() < copies.len() {
        let doubled = copies.len() - texts.len();
        outcome
            .broken
            .push(format!("0 doubled by the second pair ({doubled})"));
    }
    outcome
        .notes
        .push(format!("the second pair made {} copies", copies.len()));
    outcome
}
