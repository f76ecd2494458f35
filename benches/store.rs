//! How fast the store commits durably, from many callers at once, and alone.
//!
//! `cargo bench --bench store`. A unit is a small row; a journey is what one message costs: an event, two tasks, a
//! state, a task done. Each is measured with `store.sync = "power"` and, right after it, with `"process"`; the last
//! column is what the one costs beside the other. The floor is what this disk's own sync allows.

use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use trunkline::base::{EventId, Owner, TaskId, Timestamp};
use trunkline::model::{Event, EventBody};
use trunkline::store::catalog::{self, Entry};
use trunkline::store::{Batch, Lane, LaneKind, Store, StoreConfig, SyncMode, Table, TaskDraft, TaskKey};

#[derive(Clone, Serialize, Deserialize)]
struct State {
    pts: u64,
    date: u64,
}

struct States;

impl Table for States {
    const ENTRY: Entry = catalog::UPDATE_STATES;
    type Key = (u64, u64);
    type Value = State;
}

fn event() -> Event {
    Event {
        id: EventId::generate(),
        at: Timestamp::now(),
        session: None,
        owner: Owner::admin(),
        body: EventBody::SessionExpired {
            reason: "x".repeat(300),
        },
    }
}

fn small(caller: u64, round: u64, _: Option<TaskKey>) -> Batch {
    let mut batch = Batch::new();
    batch.put::<States>(
        &(caller, round % 64),
        &State {
            pts: round,
            date: round,
        },
    );
    batch
}

fn journey(caller: u64, round: u64, done: Option<TaskKey>) -> Batch {
    let mut batch = small(caller, round, None);
    let event = event();
    let id = event.id;
    batch.append(event, Some(id.to_bytes().to_vec()));
    for kind in LaneKind::ALL {
        let lane = Lane {
            kind,
            group: [caller as u8; 16],
            sub: 0,
        };
        batch.enqueue(
            lane,
            &TaskDraft {
                id: TaskId::generate(),
                due: Timestamp::now(),
                payload: &id,
            },
        );
    }
    if let Some(done) = done {
        batch.complete(&done);
    }
    batch
}

type Make = fn(u64, u64, Option<TaskKey>) -> Batch;

/// Commits a second, with their latencies in milliseconds.
struct Figure {
    rate: f64,
    p50: f64,
    p99: f64,
}

async fn measure(sync: SyncMode, callers: u64, time: Duration, make: Make) -> Figure {
    let folder = tempfile::tempdir_in(".").expect("a folder on this disk");
    let config = StoreConfig {
        sync,
        ..StoreConfig::in_folder(folder.path())
    };
    let store = Store::open(config).expect("opens");
    let end = Instant::now() + time;
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let store = store.store();
            tokio::spawn(async move {
                let (mut took, mut last, mut round) = (Vec::new(), None, 0);
                while Instant::now() < end {
                    let batch = make(caller, round, last.take());
                    let begun = Instant::now();
                    last = store.commit(batch).await.expect("commits").tasks.first().copied();
                    took.push(begun.elapsed());
                    round += 1;
                }
                took
            })
        })
        .collect();
    let mut took = Vec::new();
    for task in tasks {
        took.extend(task.await.expect("runs"));
    }
    took.sort_unstable();
    let rate = took.len() as f64 / time.as_secs_f64();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    Figure {
        rate,
        p50: at(0.5),
        p99: at(0.99),
    }
}

/// How often this disk can write and sync a small record, one after the other.
fn syncs_a_second() -> f64 {
    let mut file = tempfile::tempfile_in(".").expect("a file on this disk");
    let begun = Instant::now();
    let mut count = 0;
    while begun.elapsed() < Duration::from_millis(500) {
        file.write_all(&[7; 128]).expect("writes");
        File::sync_data(&file).expect("syncs");
        count += 1;
    }
    f64::from(count) / begun.elapsed().as_secs_f64()
}

#[tokio::main]
async fn main() {
    let floor = syncs_a_second();
    println!("a write and a sync each: {floor:.0}/s");
    println!(
        "| what | callers | power: commits/s | x a sync each | p50, p99 ms | process: commits/s | p50, p99 ms | ratio |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    let (small, journey): (Make, Make) = (small, journey);
    for (name, callers, make) in [
        ("small row", 1, small),
        ("small row", 64, small),
        ("small row", 512, small),
        ("journey (6 changes)", 64, journey),
        ("journey (6 changes)", 512, journey),
    ] {
        let time = Duration::from_secs(2);
        let power = measure(SyncMode::Power, callers, time, make).await;
        let process = measure(SyncMode::Process, callers, time, make).await;
        println!(
            "| {name} | {callers} | {:.0} | {:.1} | {:.2}, {:.2} | {:.0} | {:.2}, {:.2} | {:.2} |",
            power.rate,
            power.rate / floor,
            power.p50,
            power.p99,
            process.rate,
            process.p50,
            process.p99,
            process.rate / power.rate,
        );
    }
}
