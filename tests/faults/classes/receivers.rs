//! Every misbehaviour of a webhook receiver: first it does wrong, in the end it takes what it is sent.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use trunkline::base::Timestamp;

use crate::class::{Aim, Class, Dice, Outcome, Rounds};
use crate::load::Talk;
use crate::receiver::Answer;
use crate::scene::{PATIENCE, Scene, Stage};

/// How often it does wrong by each delivery.
const WRONG: u32 = 2;

/// Between two messages.
const PACE: Duration = Duration::from_millis(20);

const AIM: Aim = Aim::secs(10, 30);

/// A class of one misbehaviour, with how many messages there are to be wrong about. One chat's deliveries keep their
/// order, so that receivers which use up the time of a try are given few.
macro_rules! receiver {
    ($class:ident, $full:literal, $short:literal, $name:literal, $injection:literal, $answer:expr) => {
        pub const $class: Class = Class {
            name: $name,
            injection: $injection,
            rounds: Rounds {
                full: $full,
                short: $short,
            },
            aim: AIM,
            stage: || Stage {
                settings: vec![
                    ("WEBHOOK__TIMEOUT", "1s".to_owned()),
                    ("WEBHOOK__HOLD", "10ms".to_owned()),
                ],
                receiver: Box::new(|_, before| match before < WRONG as usize {
                    true => $answer,
                    false => Answer::Status(200),
                }),
                ..Stage::default()
            },
            run: |scene, dice, rounds| Box::pin(wrong(scene, dice, rounds)),
        };
    };
}

receiver!(
    REFUSES,
    200,
    6,
    "receiver: 500",
    "500 to the first two tries of each delivery",
    Answer::Status(500)
);
receiver!(
    LATER,
    200,
    6,
    "receiver: 429",
    "429 with Retry-After to the first two tries",
    Answer::Later("1")
);
receiver!(
    REDIRECTS,
    200,
    6,
    "receiver: 3xx",
    "a redirect as answer to the first two tries",
    Answer::Redirect("http://127.0.0.1:9/".to_owned())
);
receiver!(
    SLOW,
    20,
    2,
    "receiver: slow",
    "no answer within the time of a try, twice a delivery",
    Answer::Slow(Duration::from_secs(8))
);
receiver!(
    CUTS,
    200,
    6,
    "receiver: reset after read",
    "the connection is cut after the request was read, twice a delivery",
    Answer::Cut
);
receiver!(
    HUGE,
    200,
    6,
    "receiver: huge answer",
    "an answer of 4 MiB to each delivery",
    Answer::Huge(4 << 20)
);
receiver!(
    DAWDLES,
    20,
    3,
    "receiver: slowloris",
    "a body that comes by the byte and never ends",
    Answer::Dawdle
);

async fn wrong(scene: &mut Scene, _: &mut Dice, rounds: u32) -> Outcome {
    let mut outcome = Outcome {
        by_deliveries: true,
        ..Outcome::default()
    };
    for _ in 0..rounds {
        scene.author.say(Talk::Plain).await;
        tokio::time::sleep(PACE).await;
    }
    let said = scene.author.said();
    outcome.over.push(Timestamp::now());
    scene
        .until("everything is delivered", async |scene| {
            let received = scene.received();
            received.values().filter(|one| one.accepted > 0).count() >= said
        })
        .await;
    outcome.injected = scene.received().values().map(|one| one.tries.min(WRONG)).sum();
    let changed = scene.received().values().filter(|one| one.changed).count();
    if changed > 0 {
        outcome.broken.push(format!("one body an id ({changed} changed)"));
    }
    outcome
}

/// It serves again with the next try of the oldest delivery, or, as the receiver errs now and then besides, with the one
/// after: no two tries are further apart than half of the aim.
pub const DOWN: Class = Class {
    name: "receiver: down",
    injection: "it refuses connections for 5 s, under load",
    rounds: Rounds { full: 10, short: 1 },
    aim: AIM,
    stage: || Stage {
        settings: vec![(
            "WEBHOOK__RETRY_DELAYS",
            r#"["0s", "50ms", "100ms", "200ms", "400ms", "800ms", "2s", "4s", "4s", "4s", "4s"]"#.to_owned(),
        )],
        ..Stage::default()
    },
    run: |scene, dice, rounds| Box::pin(down(scene, dice, rounds)),
};

async fn down(scene: &mut Scene, _: &mut Dice, rounds: u32) -> Outcome {
    let mut outcome = Outcome {
        by_deliveries: true,
        ..Outcome::default()
    };
    let load = scene.talk(Talk::Plain, 10.0);
    scene.serves(3).await;
    for _ in 0..rounds {
        scene.receiver.go_down().await;
        tokio::time::sleep(Duration::from_secs(if rounds > 1 { 5 } else { 1 })).await;
        scene.receiver.come_back().await;
        outcome.over_now();
        scene.serves(10).await;
        scene.drained().await;
    }
    load.stop().await;
    outcome
}

/// The schedule of tries is over in a second here: what is three days of silence for a real one.
pub const GONE: Class = Class {
    name: "receiver: gone for days",
    injection: "it is away until all tries are used up; then the dead letters are put back",
    rounds: Rounds { full: 10, short: 1 },
    aim: AIM,
    stage: || Stage {
        settings: vec![
            (
                "WEBHOOK__RETRY_DELAYS",
                r#"["0s", "50ms", "100ms", "200ms", "400ms"]"#.to_owned(),
            ),
            ("WEBHOOK__HOLD", "10ms".to_owned()),
        ],
        ..Stage::default()
    },
    run: |scene, dice, rounds| Box::pin(gone(scene, dice, rounds)),
};

async fn gone(scene: &mut Scene, _: &mut Dice, rounds: u32) -> Outcome {
    let mut outcome = Outcome {
        by_deliveries: true,
        ..Outcome::default()
    };
    for _ in 0..rounds {
        scene.receiver.go_down().await;
        for _ in 0..10 {
            scene.author.say(Talk::Plain).await;
        }
        scene
            .until("all of it is given up", async |scene| scene.dead().await == 10)
            .await;
        scene.receiver.come_back().await;
        outcome.over_now();
        let meant = Some(json!({"lane": "webhook"}));
        let answer = scene
            .api
            .ask(Method::POST, "/api/dead-letters/requeue", meant)
            .await;
        if answer["changed"] != 10 {
            outcome
                .broken
                .push(format!("10 dead letters come back ({answer})"));
        }
        let ledger = scene.settle(PATIENCE).await;
        if ledger.lost + ledger.pending > 0 {
            break;
        }
    }
    outcome
}
