//! Trouble of the disk: full while the daemon runs, full when it starts, errors of writing and syncing, syncs that
//! take long. Nothing is acknowledged that was not kept, the daemon says what is wrong, and recovers by itself.

use std::time::Duration;

use rand::RngExt;
use rustix::process::{Resource, Rlimit, prlimit};

use super::preload::{EIO, ENOSPC, Trouble, Witness, health, incidents};
use crate::class::{Aim, Class, Dice, Outcome, Rounds};
use crate::load::Talk;
use crate::scene::{Scene, Stage};

/// Messages a second.
const RATE: f64 = 20.0;
/// What may be on its way while the author talks.
const PILE: usize = 40;

/// What the files of a daemon on a full disk may grow to: its log goes on, its database does not.
const SIZE: u64 = 400 << 10;

pub const FULL: Class = Class {
    name: "disk full",
    injection: "a limit on the size of files for 0.5 to 2 s, under load",
    rounds: Rounds { full: 8, short: 1 },
    aim: Aim::secs(45, 60),
    stage: Stage::default,
    run: |scene, dice, rounds| Box::pin(full(scene, dice, rounds)),
};

pub const FULL_AT_START: Class = Class {
    name: "disk full at the start",
    injection: "every write fails with ENOSPC while the daemon starts after a SIGKILL, for 0.5 to 2 s",
    rounds: Rounds { full: 8, short: 1 },
    aim: Aim::secs(45, 60),
    stage: Stage::default,
    run: |scene, dice, rounds| Box::pin(full_at_start(scene, dice, rounds)),
};

pub const ERRORS: Class = Class {
    name: "I/O errors",
    injection: "every sync, or every write, fails with EIO for 0.5 to 2 s, under load",
    rounds: Rounds { full: 8, short: 1 },
    aim: Aim::secs(45, 60),
    stage: Stage::default,
    run: |scene, dice, rounds| Box::pin(errors(scene, dice, rounds)),
};

pub const SLOW: Class = Class {
    name: "slow syncs",
    injection: "every sync takes 0.3 s, and one 3.5 s, under load",
    rounds: Rounds { full: 5, short: 1 },
    aim: Aim::secs(10, 30),
    stage: Stage::default,
    run: |scene, dice, rounds| Box::pin(slow(scene, dice, rounds)),
};

async fn full(scene: &mut Scene, dice: &mut Dice, rounds: u32) -> Outcome {
    let mut outcome = Outcome::default();
    let load = scene.talk(Talk::Mixed, RATE);
    scene.serves(5).await;
    let witness = Witness::start(scene);
    for round in 1..=rounds {
        limit_files(scene, Some(SIZE));
        told(scene, "disk_full").await;
        tokio::time::sleep(Duration::from_millis(dice.random_range(500..2000))).await;
        limit_files(scene, None);
        outcome.over_now();
        recovered(scene, &witness, round as usize).await;
    }
    load.stop().await;
    assert!(witness.refused() > 0, "no change was refused on a full disk");
    witness.verify(scene).await;
    outcome
}

async fn full_at_start(scene: &mut Scene, dice: &mut Dice, rounds: u32) -> Outcome {
    let mut outcome = Outcome::default();
    let trouble = Trouble::begin(scene).await;
    let load = scene.talk(Talk::Mixed, RATE);
    scene.serves(5).await;
    for _ in 0..rounds {
        scene.kill();
        trouble.writes_fail(ENOSPC);
        let told = said(scene, "disk_full");
        scene.start();
        scene
            .until("the log says what it waits for", async |scene| {
                said(scene, "disk_full") > told
            })
            .await;
        tokio::time::sleep(Duration::from_millis(dice.random_range(500..2000))).await;
        trouble.writes_fail(0);
        outcome.over_now();
        scene.ready().await;
        scene.serves(3).await;
    }
    load.stop().await;
    outcome
}

async fn errors(scene: &mut Scene, dice: &mut Dice, rounds: u32) -> Outcome {
    let mut outcome = Outcome::default();
    let trouble = Trouble::begin(scene).await;
    let load = scene.talk(Talk::Mixed, RATE);
    scene.serves(5).await;
    let witness = Witness::start(scene);
    for round in 1..=rounds {
        match round % 2 {
            1 => trouble.syncs_fail(EIO),
            _ => trouble.writes_fail(EIO),
        }
        told(scene, "disk_fault").await;
        tokio::time::sleep(Duration::from_millis(dice.random_range(500..2000))).await;
        trouble.syncs_fail(0);
        trouble.writes_fail(0);
        outcome.over_now();
        recovered(scene, &witness, round as usize).await;
    }
    load.stop().await;
    assert!(
        witness.refused() > 0,
        "no change was refused although the disk failed"
    );
    witness.verify(scene).await;
    outcome
}

async fn slow(scene: &mut Scene, dice: &mut Dice, rounds: u32) -> Outcome {
    let mut outcome = Outcome::default();
    let trouble = Trouble::begin(scene).await;
    let load = scene.talk(Talk::Mixed, RATE);
    scene.serves(5).await;
    let witness = Witness::start(scene);
    for _ in 0..rounds {
        trouble.syncs_take(Duration::from_millis(300));
        tokio::time::sleep(Duration::from_millis(dice.random_range(500..2000))).await;
        let before = witness.acknowledged();
        trouble.syncs_take(Duration::from_millis(3500));
        scene
            .until("the health tells of a slow disk", async |scene| {
                health(&scene.api).await == "degraded"
            })
            .await;
        trouble.syncs_take(Duration::ZERO);
        outcome.over_now();
        scene
            .until("changes are acknowledged", async |_| {
                witness.acknowledged() > before + 1
            })
            .await;
        scene.serves(3).await;
    }
    load.stop().await;
    scene
        .until("an incident tells of a slow disk", async |scene| {
            !incidents(&scene.api, "store_slow").await.is_empty()
        })
        .await;
    assert_eq!(witness.refused(), 0, "slow is no reason to refuse");
    witness.verify(scene).await;
    outcome
}

fn limit_files(scene: &Scene, bytes: Option<u64>) {
    let daemon = scene.daemon.as_ref().expect("it runs").pid();
    let limit = Rlimit {
        current: bytes,
        maximum: None,
    };
    prlimit(Some(daemon), Resource::Fsize, limit).expect("a child's limit may be set");
}

/// Waits until health, metrics and the log say that the store takes no commits, and why.
pub async fn told(scene: &mut Scene, kind: &str) {
    scene
        .until("health and metrics tell of the disk", async |scene| {
            health(&scene.api).await == "failing" && scene.api.metric("trunkline_store_up").await == Some(0.0)
        })
        .await;
    assert!(said(scene, kind) > 0, "the log says nothing of {kind}");
    let state = scene.state().await;
    assert_ne!(
        state.as_deref(),
        Some("connected"),
        "a session that rests is shown as connected"
    );
    let troubles = scene.api.metric("trunkline_store_troubles_total").await;
    assert!(troubles > Some(0.0), "no trouble was counted");
}

/// How often the log says that the store takes no commits for this reason.
pub fn said(scene: &Scene, kind: &str) -> usize {
    let log = scene.log_tail(usize::MAX);
    let says = |line: &&str| line.contains("the store takes no commits") && line.contains(kind);
    log.lines().filter(says).count()
}

/// Waits until all is well again without anybody's help, and an incident tells of what was.
async fn recovered(scene: &mut Scene, witness: &Witness, incidents_by_now: usize) {
    scene
        .until("the store takes commits again", async |scene| {
            health(&scene.api).await == "ok"
        })
        .await;
    let before = witness.acknowledged();
    scene
        .until("changes are acknowledged again", async |_| {
            witness.acknowledged() > before + 1
        })
        .await;
    scene.connected().await;
    scene.serves(3).await;
    scene
        .until("an incident tells of the trouble", async |scene| {
            incidents(&scene.api, "store_trouble").await.len() >= incidents_by_now
        })
        .await;
    // Else the next round would add its time to theirs.
    scene
        .until("what came meanwhile is copied", async |scene| {
            let ledger = scene.ledger().await;
            ledger.lost + ledger.pending <= PILE
        })
        .await;
}
