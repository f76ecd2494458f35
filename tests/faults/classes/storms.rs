//! Ten times the load for a minute: all of it arrives, memory stays bounded, and the time it takes is told.

use std::time::{Duration, Instant};

use crate::class::{Aim, Class, Dice, Outcome, Rounds};
use crate::load::Talk;
use crate::receiver::Answer;
use crate::scene::{Scene, Stage};

/// Messages a second, as usual; the storm has ten times as many.
const USUAL: f64 = 25.0;

/// How much more memory than before it may take, in MiB.
const MEMORY: u64 = 128;

/// How often its memory is looked at.
const LOOK: Duration = Duration::from_millis(250);

pub const CLASS: Class = Class {
    name: "ten times the load",
    injection: "250 messages a second instead of 25, for a minute (each second is a round)",
    rounds: Rounds { full: 60, short: 2 },
    aim: Aim {
        serves: Duration::from_secs(10),
        late: Duration::from_secs(30),
        settles: Duration::from_secs(120),
    },
    // One chat's deliveries keep their order: a receiver that refused some would set the pace.
    stage: || Stage {
        receiver: Box::new(|_, _| Answer::Status(200)),
        ..Stage::default()
    },
    run: |scene, dice, rounds| Box::pin(run(scene, dice, rounds)),
};

async fn run(scene: &mut Scene, _: &mut Dice, rounds: u32) -> Outcome {
    let mut outcome = Outcome::default();
    let usual = scene.talk(Talk::Plain, USUAL);
    scene.serves(25).await;
    usual.stop().await;
    let quiet = scene.settle(CLASS.aim.settles).await;
    let before = scene.memory();
    let storm = scene.talk(Talk::Plain, USUAL * 10.0);
    let (begun, said) = (Instant::now(), scene.author.said());
    let mut most = before;
    while begun.elapsed() < Duration::from_secs(rounds.into()) {
        tokio::time::sleep(LOOK).await;
        most = most.max(scene.memory());
    }
    storm.stop().await;
    let (took, said) = (begun.elapsed(), scene.author.said() - said);
    outcome.injected = rounds;
    let over = Instant::now();
    let ledger = scene.settle(CLASS.aim.settles).await;
    outcome.served = Some(vec![over.elapsed()]);
    most = most.max(scene.memory());
    if most > before + MEMORY {
        let more = most - before;
        outcome
            .broken
            .push(format!("at most {MEMORY} MiB more ({more} MiB)"));
    }
    outcome.notes.push(format!(
        "{:.0} messages a second; memory {before} MiB before, {most} MiB at most; before the storm copies took \
         {} / {} ms (p50 / p99), over all {} / {} ms",
        said as f64 / took.as_secs_f64(),
        quiet.p50_ms,
        quiet.p99_ms,
        ledger.p50_ms,
        ledger.p99_ms,
    ));
    outcome
}
