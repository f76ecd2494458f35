//! Tables, journal, lanes and dead letters through the public handle.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::{EventId, Owner, TaskId, Timestamp};
use crate::model::{Event, EventBody};
use crate::store::catalog::{self, Entry};
use crate::store::{
    Batch, DeadFilter, DeadReason, Lane, LaneKind, OpenStore, Scan, Store, StoreConfig, StoreError, Table,
    Task, TaskDraft,
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Thing {
    pub name: String,
    pub data: Vec<u8>,
}

pub(super) struct Things;

impl Table for Things {
    const ENTRY: Entry = catalog::PAIRS;
    type Key = (u32, String);
    type Value = Thing;
}

pub(super) struct Secrets;

impl Table for Secrets {
    const ENTRY: Entry = catalog::ENDPOINT_SECRETS;
    type Key = u64;
    type Value = String;
}

pub(super) fn thing(name: &str) -> Thing {
    Thing {
        name: name.to_owned(),
        data: vec![7; 5],
    }
}

pub(in crate::store) fn event(word: &str) -> Event {
    Event {
        id: EventId::generate(),
        at: Timestamp::now(),
        session: None,
        owner: Owner::admin(),
        body: EventBody::SessionExpired {
            reason: word.to_owned(),
        },
    }
}

pub(super) fn lane(sub: u64) -> Lane {
    Lane {
        kind: LaneKind::Forward,
        group: [4; 16],
        sub,
    }
}

pub(super) fn open(folder: &tempfile::TempDir) -> OpenStore {
    Store::open(StoreConfig::in_folder(folder.path().join("data"))).expect("opens")
}

fn key(number: u32, name: &str) -> (u32, String) {
    (number, name.to_owned())
}

#[tokio::test]
async fn rows_are_there_after_the_commit_and_after_opening_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder);
    let mut batch = Batch::new();
    for number in 0..4 {
        batch.put::<Things>(&key(number, "a"), &thing("first"));
        batch.put::<Things>(&key(number, "b"), &thing("second"));
    }
    batch.put::<Secrets>(&1, &"hush".to_owned());
    store.commit(batch).await.expect("commits");
    let mut batch = Batch::new();
    batch
        .remove::<Things>(&key(2, "a"))
        .remove::<Things>(&key(9, "gone"));
    store.commit(batch).await.expect("commits");
    let secret = store.installation_secret().expect("is there");
    drop(store);

    let store = open(&folder);
    assert_eq!(store.installation_secret().expect("is there"), secret);
    assert_eq!(store.get::<Things>(&key(2, "a")).expect("reads"), None);
    assert_eq!(
        store.get::<Things>(&key(2, "b")).expect("reads"),
        Some(thing("second"))
    );
    assert_eq!(store.get::<Secrets>(&1).expect("reads"), Some("hush".to_owned()));
    assert_eq!(store.count::<Things>().expect("counts"), 7);
    let keys = |scan, limit| -> Vec<(u32, String)> {
        let rows = store.scan::<Things>(scan, limit).expect("scans");
        rows.into_iter().map(|(key, _)| key).collect()
    };
    assert_eq!(keys(Scan::prefix(&1u32), 9), [key(1, "a"), key(1, "b")]);
    assert_eq!(keys(Scan::prefix(&1u32).after(&key(1, "a")), 9), [key(1, "b")]);
    assert_eq!(keys(Scan::all().reverse(), 2), [key(3, "b"), key(3, "a")]);
    assert_eq!(keys(Scan::all().reverse().after(&key(0, "b")), 9), [key(0, "a")]);
    assert_eq!(keys(Scan::prefix(&1u32).after(&key(7, "a")), 9), []);
}

/// Bytes that no compression makes shorter.
fn noise(seed: u32, len: usize) -> Vec<u8> {
    let mut state = seed;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    })
    .take(len)
    .collect()
}

#[tokio::test]
async fn however_long_the_values_no_page_leaves_the_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder);
    for round in 0..8 {
        let mut batch = Batch::new();
        for number in 0..30 {
            let len = if number % 3 == 0 { 60_000 } else { 2000 };
            let value = Thing {
                name: String::new(),
                data: noise(round * 30 + number, len),
            };
            batch.put::<Things>(&key(number * (1 + round % 2), "n"), &value);
        }
        store.commit(batch).await.expect("commits");
    }
    drop(store);
    let blobs = std::fs::read_dir(folder.path().join("data/sled/blobs")).expect("lists");
    assert_eq!(blobs.count(), 0, "blobs are never synced");
}

#[tokio::test]
async fn a_long_value_is_spread_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder);
    let mut long = thing("long");
    long.data = noise(7, 60_000);
    let rows = |store: &OpenStore| store.live().expect("open").tree.len();
    let empty = rows(&store);
    for value in [&long, &thing("short"), &long] {
        let mut batch = Batch::new();
        batch.put::<Things>(&key(1, "x"), value);
        store.commit(batch).await.expect("commits");
        assert_eq!(
            store.get::<Things>(&key(1, "x")).expect("reads").as_ref(),
            Some(value)
        );
    }
    assert!(rows(&store) > empty + 10);
    let mut batch = Batch::new();
    batch.remove::<Things>(&key(1, "x"));
    store.commit(batch).await.expect("commits");
    assert_eq!(
        rows(&store),
        empty + 1,
        "only the row about the store itself came"
    );
}

#[tokio::test]
async fn a_refused_batch_leaves_no_trace() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder);
    let mut batch = Batch::new();
    batch.put::<Things>(&key(1, "x"), &thing("one"));
    batch.require::<Things>(&key(1, "x"), |row| row == Some(thing("one")));
    store
        .commit(batch)
        .await
        .expect("what the batch itself wrote is seen");

    let mut batch = Batch::new();
    batch.put::<Things>(&key(1, "x"), &thing("two"));
    batch.append(event("no"), None);
    batch.enqueue(
        lane(0),
        &TaskDraft {
            id: TaskId::generate(),
            due: Timestamp(0),
            payload: &1,
        },
    );
    batch.require::<Things>(&key(1, "y"), |row| row.is_some());
    let refused = store.commit(batch).await;
    assert!(matches!(refused, Err(StoreError::Conflict { table: "pairs" })));
    assert_eq!(
        store.get::<Things>(&key(1, "x")).expect("reads"),
        Some(thing("one"))
    );
    assert_eq!(*store.head().borrow(), 0);
    assert_eq!(store.lane_stats(LaneKind::Forward).depth, 0);
    assert_eq!(
        store
            .tasks::<i32>(LaneKind::Forward, None, None, 9)
            .expect("reads"),
        []
    );
}

#[tokio::test]
async fn the_journal_numbers_events_and_drops_known_ones() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder);
    let mut head = store.head();
    let (first, second) = (event("one"), event("two"));
    let mut batch = Batch::new();
    batch
        .append(first.clone(), Some(b"k1".to_vec()))
        .append(second.clone(), None);
    let done = store.commit(batch).await.expect("commits");
    assert_eq!(done.journal, 1..3);
    head.changed().await.expect("is told");
    assert_eq!(*head.borrow(), 2);

    let mut batch = Batch::new();
    batch
        .append(event("again"), Some(b"k1".to_vec()))
        .append(event("three"), Some(b"k3".to_vec()));
    batch.set_cursor("forward", 2);
    let done = store.commit(batch).await.expect("commits");
    assert_eq!((done.journal, done.repeated), (3..4, 1));
    assert_eq!(
        store.events(0, 2).expect("reads"),
        [(1, Arc::new(first.clone())), (2, Arc::new(second))]
    );
    assert_eq!(store.events(2, 9).expect("reads").len(), 1);
    assert_eq!(store.event(1).expect("reads"), Some(first));
    assert_eq!(store.event(4).expect("reads"), None);
    assert_eq!(store.cursor("forward").expect("reads"), 2);
    assert_eq!(store.cursor("webhook").expect("reads"), 0);
}

#[tokio::test]
async fn tasks_keep_their_order_and_end_done_or_dead() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder);
    let ids: Vec<TaskId> = (0..4).map(|_| TaskId::generate()).collect();
    let mut batch = Batch::new();
    for (at, id) in ids.iter().enumerate() {
        let payload = format!("p{at}");
        batch.enqueue(
            lane(at as u64 % 2),
            &TaskDraft {
                id: *id,
                due: Timestamp(at as i64),
                payload: &payload,
            },
        );
    }
    let mut signal = store.lane_signal(LaneKind::Forward);
    let keys = store.commit(batch).await.expect("commits").tasks;
    signal.changed().await.expect("is told");
    let waiting = |store: &Store| -> Vec<String> {
        let tasks: Vec<Task<String>> = store
            .tasks(LaneKind::Forward, Some([4; 16]), None, 99)
            .expect("reads");
        tasks.into_iter().map(|task| task.payload).collect()
    };
    assert_eq!(waiting(&store), ["p0", "p2", "p1", "p3"]);
    let heads: Vec<Task<String>> = store
        .lane_heads(LaneKind::Forward, [4; 16], None, 9)
        .expect("reads");
    assert_eq!(
        heads.iter().map(|task| task.key).collect::<Vec<_>>(),
        [keys[0], keys[1]]
    );

    let mut batch = Batch::new();
    batch.reschedule(&keys[0], Timestamp(77), 1, Some("busy".to_owned()));
    batch.amend(&keys[2], &"changed");
    batch.complete(&keys[1]);
    let reason = DeadReason {
        code: "PEER_INVALID".to_owned(),
        reason: "gone".to_owned(),
        subject: "pair_1".to_owned(),
    };
    batch.dead_letter(&keys[3], reason);
    batch.enqueue(
        lane(0),
        &TaskDraft {
            id: ids[0],
            due: Timestamp(0),
            payload: &"again",
        },
    );
    let again = store.commit(batch).await.expect("commits").tasks;
    assert_eq!(again, [keys[0]], "a task that waits is not enqueued twice");
    assert_eq!(waiting(&store), ["p0", "changed"]);
    let first: Task<String> = store.task(&keys[0]).expect("reads").expect("waits");
    assert_eq!(
        (first.due, first.attempts, first.last_error.as_deref()),
        (Timestamp(77), 1, Some("busy"))
    );
    assert!(first.first_failed_at.is_some());
    assert_eq!(store.lane_stats(LaneKind::Forward).depth, 2);

    let (dead, next) = store
        .dead_letters(&DeadFilter::default(), None, 9)
        .expect("reads");
    assert_eq!((dead.len(), next), (1, None));
    assert_eq!((dead[0].id, dead[0].code.as_str()), (ids[3], "PEER_INVALID"));
    let other = DeadFilter {
        code: Some("OTHER".to_owned()),
        ..DeadFilter::default()
    };
    assert_eq!(store.dead_letters(&other, None, 9).expect("reads").0, []);

    let mut batch = Batch::new();
    batch.requeue(ids[3]).drop_dead(ids[3]).require_task(&keys[0]);
    let back = store.commit(batch).await.expect("commits").tasks;
    assert_eq!(waiting(&store), ["p0", "changed", "p3"]);
    assert_eq!(store.task_place(ids[3]).expect("reads"), Some(back[0]));
    assert_eq!(
        store
            .dead_letters(&DeadFilter::default(), None, 9)
            .expect("reads")
            .0,
        []
    );
    drop(store);
    assert_eq!(open(&folder).lane_stats(LaneKind::Forward).depth, 3);
}

#[tokio::test]
async fn dead_letters_are_listed_in_pages_latest_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder);
    for at in 0..5 {
        let mut batch = Batch::new();
        batch.enqueue(
            lane(0),
            &TaskDraft {
                id: TaskId::generate(),
                due: Timestamp(0),
                payload: &at,
            },
        );
        let key = store.commit(batch).await.expect("commits").tasks[0];
        let mut batch = Batch::new();
        let reason = DeadReason {
            code: format!("C{}", at % 2),
            reason: String::new(),
            subject: at.to_string(),
        };
        batch.dead_letter(&key, reason);
        store.commit(batch).await.expect("commits");
    }
    let filter = DeadFilter {
        code: Some("C0".to_owned()),
        ..DeadFilter::default()
    };
    let (first, next) = store.dead_letters(&filter, None, 2).expect("reads");
    let (second, end) = store.dead_letters(&filter, next, 2).expect("reads");
    let subjects: Vec<&str> = first
        .iter()
        .chain(&second)
        .map(|letter| letter.subject.as_str())
        .collect();
    assert_eq!(subjects.len(), 3);
    assert_eq!(end, None);
    assert!(first[0].key > first[1].key && first[1].key > second[0].key);
}

#[test]
fn a_folder_has_one_owner() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder);
    let second = Store::open(StoreConfig::in_folder(folder.path().join("data")));
    assert!(matches!(second, Err(StoreError::Locked { .. })));
    drop(store);
    open(&folder);
}
