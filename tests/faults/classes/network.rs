//! Trouble of the network: resets in the middle of a frame, black holes, half-open connections, slowness,
//! and a server that takes no connections for a while.

use std::time::{Duration, Instant};

use rand::RngExt;
use serde_json::json;
use trunkline::base::Timestamp;

use crate::class::{Aim, Class, Dice, Outcome, Rounds};
use crate::load::Talk;
use crate::network::Direction;
use crate::scene::{Scene, Stage};

/// Messages a second.
const RATE: f64 = 20.0;

/// A connection that is dead without a word is no longer taken for one after this time.
const NOTICED: Duration = Duration::from_secs(30);

/// What the network is given to be slow with.
const SLOW_RATE: u32 = 24 * 1024;

pub const RESETS: Class = Class {
    name: "resets",
    injection: "connections reset in the middle of a frame, either way, under load",
    rounds: Rounds { full: 100, short: 4 },
    aim: Aim::secs(3, 20),
    stage: proxied,
    run: |scene, dice, rounds| Box::pin(resets(scene, dice, rounds)),
};

pub const HOLES: Class = Class {
    name: "black holes",
    injection: "packets swallowed for 0.2 to 6 s, one way or both, no reset; then resent or forgotten",
    rounds: Rounds { full: 30, short: 1 },
    aim: Aim::secs(8, 40),
    stage: quick,
    run: |scene, dice, rounds| Box::pin(holes(scene, dice, rounds)),
};

pub const HALF_OPEN: Class = Class {
    name: "half-open connections",
    injection: "the other side forgets the connection and says nothing; silence is asked after for 2.5 s",
    rounds: Rounds { full: 20, short: 1 },
    aim: Aim::secs(5, 20),
    stage: quick,
    run: |scene, dice, rounds| Box::pin(half_open(scene, dice, rounds)),
};

pub const HALF_OPEN_AS_SHIPPED: Class = Class {
    name: "half-open connections, default settings",
    injection: "the other side forgets the connection and says nothing; all settings as shipped",
    rounds: Rounds { full: 3, short: 0 },
    aim: Aim::secs(30, 40),
    stage: proxied,
    run: |scene, dice, rounds| Box::pin(half_open(scene, dice, rounds)),
};

pub const SLOW: Class = Class {
    name: "slow network",
    injection: "20 to 400 ms each way and 24 KiB a second, for 2 to 4 s, under load",
    rounds: Rounds { full: 15, short: 1 },
    aim: Aim::secs(3, 40),
    stage: proxied,
    run: |scene, dice, rounds| Box::pin(slow(scene, dice, rounds)),
};

pub const OUTAGES: Class = Class {
    name: "outages",
    injection: "the server cuts all connections and refuses new ones for 0.1 to 4 s",
    rounds: Rounds { full: 30, short: 1 },
    aim: Aim::secs(8, 30),
    stage: Stage::default,
    run: |scene, dice, rounds| Box::pin(outages(scene, dice, rounds)),
};

fn proxied() -> Stage {
    Stage {
        network: true,
        ..Stage::default()
    }
}

/// A daemon that asks after a silent connection soon.
fn quick() -> Stage {
    Stage {
        settings: vec![
            ("TELEGRAM__PING_AFTER", "1s".to_owned()),
            ("TELEGRAM__PING_TIMEOUT", "1500ms".to_owned()),
        ],
        ..proxied()
    }
}

async fn resets(scene: &mut Scene, dice: &mut Dice, rounds: u32) -> Outcome {
    let mut outcome = Outcome::default();
    let load = scene.talk(Talk::Mixed, RATE);
    scene.serves(5).await;
    for _ in 0..rounds {
        // One in four meets whatever there is. Were all of them to, connections would seem to be worth nothing, and the
        // daemon would rest for longer and longer, as it should.
        if dice.random_ratio(3, 4) {
            scene
                .until("the session is connected", async |scene| {
                    scene.state().await.as_deref() == Some("connected")
                })
                .await;
        }
        tokio::time::sleep(Duration::from_millis(dice.random_range(50..800))).await;
        let (before, direction) = (scene.network().resets(), either(dice));
        scene
            .until("a connection is reset", async |scene| {
                let done = scene.network().resets() > before;
                if !done {
                    // There may be another connection by now.
                    scene.network().reset(direction);
                }
                done
            })
            .await;
        outcome.over_now();
    }
    load.stop().await;
    outcome
}

fn either(dice: &mut Dice) -> Direction {
    if dice.random() {
        Direction::Up
    } else {
        Direction::Down
    }
}

async fn holes(scene: &mut Scene, dice: &mut Dice, rounds: u32) -> Outcome {
    let mut outcome = Outcome::default();
    let load = scene.talk(Talk::Mixed, RATE);
    scene.serves(5).await;
    for _ in 0..rounds {
        let (up, down) = match dice.random_range(0..3) {
            0 => (true, false),
            1 => (false, true),
            _ => (true, true),
        };
        scene.network().hold(up, down);
        let longest = if rounds > 3 { 6000 } else { 3000 };
        tokio::time::sleep(Duration::from_millis(dice.random_range(200..longest))).await;
        if dice.random() {
            scene.network().forget();
        }
        scene.network().release();
        outcome.over_now();
        scene.serves(5).await;
        scene.drained().await;
        tokio::time::sleep(Duration::from_millis(dice.random_range(50..500))).await;
    }
    load.stop().await;
    outcome
}

async fn half_open(scene: &mut Scene, dice: &mut Dice, rounds: u32) -> Outcome {
    let mut outcome = Outcome::default();
    let mut noticed = Duration::ZERO;
    let load = scene.talk(Talk::Mixed, RATE);
    scene.serves(5).await;
    for _ in 0..rounds {
        tokio::time::sleep(Duration::from_millis(dice.random_range(50..1500))).await;
        scene.network().forget();
        // What was on its way to the destination at that moment shall not count as served.
        tokio::time::sleep(Duration::from_millis(20)).await;
        outcome.over_now();
        let begun = Instant::now();
        scene
            .until("it is noticed", async |scene| {
                let state = scene.state().await;
                state.is_some_and(|state| state != "connected" && state != "catching_up")
            })
            .await;
        noticed = noticed.max(begun.elapsed());
        scene.serves(5).await;
        scene.drained().await;
    }
    load.stop().await;
    outcome
        .notes
        .push(format!("noticed after {} ms at most", noticed.as_millis()));
    if noticed > NOTICED {
        outcome
            .slow
            .push(format!("it is noticed within {} s", NOTICED.as_secs()));
    }
    outcome
}

async fn slow(scene: &mut Scene, dice: &mut Dice, rounds: u32) -> Outcome {
    let mut outcome = Outcome::default();
    let load = scene.talk(Talk::Mixed, RATE / 2.0);
    scene.serves(5).await;
    for _ in 0..rounds {
        let latency = Duration::from_millis(dice.random_range(20..400));
        scene.network().slow(latency, Some(SLOW_RATE));
        tokio::time::sleep(Duration::from_millis(dice.random_range(2000..4000))).await;
        scene.network().slow(Duration::ZERO, None);
        outcome.over_now();
        scene.serves(5).await;
        scene.drained().await;
    }
    load.stop().await;
    outcome
}

async fn outages(scene: &mut Scene, dice: &mut Dice, rounds: u32) -> Outcome {
    let mut outcome = Outcome::default();
    let load = scene.talk(Talk::Mixed, RATE);
    scene.serves(5).await;
    for _ in 0..rounds {
        let length = dice.random_range(100..if rounds > 3 { 4000 } else { 1500 });
        scene
            .world
            .fault(json!({"kind": "outage", "milliseconds": length}))
            .await;
        tokio::time::sleep(Duration::from_millis(length)).await;
        outcome.injected += 1;
        outcome.over.push(Timestamp::now());
        scene.serves(5).await;
        scene.drained().await;
    }
    load.stop().await;
    outcome
}
