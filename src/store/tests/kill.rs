//! Killed with SIGKILL at any instant: what was acknowledged is there, every unit is whole, and it always opens.
//!
//! The child is this test binary again, told by the environment to be the one that commits.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use rand::RngExt;

use super::basics::{Things, lane, thing};
use crate::base::{EventId, Owner, TaskId, Timestamp};
use crate::model::{Event, EventBody};
use crate::store::{Batch, LaneKind, Scan, Store, StoreConfig, Task, TaskDraft, check};

const FOLDER: &str = "TRUNKLINE_TEST_STORE_FOLDER";
const CALLERS: u32 = 4;
const ROUNDS: usize = 24;

fn word(caller: u32, number: u64) -> String {
    format!("{caller} {number}")
}

/// One unit: a row of its own, the caller's last row, an event, the next task, the last task done.
fn unit(caller: u32, number: u64, last: Option<crate::store::TaskKey>) -> Batch {
    let event = Event {
        id: EventId::generate(),
        at: Timestamp::now(),
        session: None,
        owner: Owner::admin(),
        body: EventBody::SessionExpired {
            reason: word(caller, number),
        },
    };
    let mut batch = Batch::new();
    let mut value = thing(&word(caller, number));
    value.data = vec![caller as u8; if number.is_multiple_of(9) { 9000 } else { 10 }];
    batch.put::<Things>(&(caller, format!("{number:09}")), &value);
    if number > 50 {
        batch.remove::<Things>(&(caller, format!("{:09}", number - 50)));
    }
    batch.append(event, Some(word(caller, number).into_bytes()));
    batch.set_cursor(&caller.to_string(), number);
    let draft = TaskDraft {
        id: TaskId::generate(),
        due: Timestamp(0),
        payload: &number,
    };
    batch.enqueue(lane(u64::from(caller)), &draft);
    if let Some(last) = last {
        batch.complete(&last);
    }
    batch
}

#[test]
fn child_that_is_killed() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let store = Store::open(StoreConfig::in_folder(folder)).expect("opens");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let callers = (0..CALLERS).map(|caller| {
            let store = store.store();
            tokio::spawn(async move {
                let mut number = store.cursor(&caller.to_string()).expect("reads");
                let sub = crate::store::TaskKey {
                    lane: lane(u64::from(caller)),
                    number: 0,
                };
                let waiting: Vec<Task<u64>> =
                    store.tasks(LaneKind::Forward, None, Some(sub), 1).expect("reads");
                let mut last = waiting
                    .first()
                    .map(|task| task.key)
                    .filter(|key| key.lane == sub.lane);
                loop {
                    number += 1;
                    last = Some(
                        store
                            .commit(unit(caller, number, last))
                            .await
                            .expect("commits")
                            .tasks[0],
                    );
                    let mut out = std::io::stdout().lock();
                    writeln!(out, "ACK {caller} {number}").expect("the parent listens");
                    out.flush().expect("the parent listens");
                }
            })
        });
        futures_util::future::join_all(callers).await;
    });
}

/// Since when the time to live is counted.
#[derive(Clone, Copy, PartialEq)]
enum Since {
    Start,
    FirstAnswer,
}

/// Runs the child for this long, then kills it; gives the last acknowledged number of each caller.
fn run_and_kill(folder: &std::path::Path, since: Since, after: Duration) -> HashMap<u32, u64> {
    let mut child = Command::new(std::env::current_exe().expect("this binary"))
        .args([
            "store::tests::kill::child_that_is_killed",
            "--exact",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let out = child.stdout.take().expect("is piped");
    let (first, answered) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut last: HashMap<u32, u64> = HashMap::new();
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            let fields: Vec<&str> = line.split(' ').collect();
            if let ["ACK", caller, number] = fields[..]
                && let (Ok(caller), Ok(number)) = (caller.parse(), number.parse::<u64>())
            {
                let known = last.entry(caller).or_default();
                *known = number.max(*known);
                // after the kill nobody asks any more
                let _gone = first.send(());
            }
        }
        last
    });
    if since == Since::FirstAnswer {
        answered
            .recv_timeout(Duration::from_secs(60))
            .expect("it opens and commits");
    }
    std::thread::sleep(after);
    child.kill().expect("is killed");
    child.wait().expect("has ended");
    reader.join().expect("reads")
}

fn assert_whole(store: &Store, acknowledged: &HashMap<u32, u64>) {
    let events = store.events(0, 1_000_000).expect("reads");
    assert!(
        events
            .iter()
            .enumerate()
            .all(|(at, (seq, _))| *seq == at as u64 + 1),
        "a gap in the journal"
    );
    let mut counted: HashMap<u32, u64> = HashMap::new();
    for (_, event) in events {
        let EventBody::SessionExpired { reason } = &event.body else {
            panic!("not ours")
        };
        let (caller, number) = reason.split_once(' ').expect("two words");
        let last = counted.entry(caller.parse().expect("a number")).or_default();
        *last += 1;
        assert_eq!(number, last.to_string(), "events of {caller} are out of order");
    }
    for caller in 0..CALLERS {
        let last = store.cursor(&caller.to_string()).expect("reads");
        assert!(
            last >= acknowledged.get(&caller).copied().unwrap_or(0),
            "acknowledged and lost"
        );
        assert_eq!(counted.get(&caller).copied().unwrap_or(0), last);
        let rows = store.scan::<Things>(Scan::prefix(&caller), 1000).expect("scans");
        assert_eq!(rows.len() as u64, last.min(50));
        for (at, (_, row)) in rows.iter().rev().enumerate() {
            assert_eq!(row.name, word(caller, last - at as u64));
        }
    }
    let waiting: Vec<Task<u64>> = store.tasks(LaneKind::Forward, None, None, 1000).expect("reads");
    for task in &waiting {
        let caller = task.key.lane.sub;
        assert_eq!(
            task.payload,
            store.cursor(&caller.to_string()).expect("reads"),
            "not the caller's last task"
        );
    }
    assert_eq!(waiting.len(), counted.len());
    assert_eq!(store.lane_stats(LaneKind::Forward).depth, waiting.len() as u64);
    assert_eq!(store.quarantined(9).expect("reads"), []);
}

#[test]
fn killed_at_any_instant_it_lost_nothing_and_opens() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = StoreConfig::in_folder(folder.path().join("data"));
    let mut acknowledged = HashMap::new();
    let mut random = rand::rng();
    for round in 0..ROUNDS {
        // Every third one dies while it starts.
        let (since, after) = match round % 3 {
            2 => (Since::Start, random.random_range(5..60)),
            _ => (Since::FirstAnswer, random.random_range(0..200)),
        };
        acknowledged.extend(run_and_kill(&config.folder, since, Duration::from_millis(after)));
        if random.random_bool(0.5) {
            let store = Store::open(config.clone()).unwrap_or_else(|error| panic!("round {round}: {error}"));
            assert_whole(&store, &acknowledged);
        }
    }
    let store = Store::open(config.clone()).expect("opens");
    assert_whole(&store, &acknowledged);
    let total: u64 = acknowledged.values().sum();
    assert!(total > 100, "the children hardly ran: {total}");
    drop(store);
    let report = check(&config).expect("checks");
    assert_eq!(report.faults, 0, "{:?}", report.findings);
    assert_eq!(
        std::fs::read_dir(config.folder.join("sled/blobs"))
            .expect("lists")
            .count(),
        0,
        "a page left the log"
    );
}
