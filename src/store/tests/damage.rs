//! Damaged rows, lost rows, lost files: named, never served, the rest goes on.

use std::fs;
use std::time::Duration;

use super::basics::{Secrets, Things, event, lane, open, thing};
use crate::base::{TaskId, Timestamp};
use crate::store::table::row_key;
use crate::store::{
    Batch, LaneKind, OpenStore, Scan, Store, StoreConfig, StoreError, Table, Task, TaskDraft, check,
};

pub(super) fn key(number: u32) -> (u32, String) {
    (number, "k".to_owned())
}

async fn filled(store: &OpenStore) -> Vec<crate::store::TaskKey> {
    let mut batch = Batch::new();
    for number in 0..3 {
        batch.put::<Things>(&key(number), &thing("sound"));
        batch.append(event("e"), Some(vec![number as u8]));
        batch.enqueue(
            lane(0),
            &TaskDraft {
                id: TaskId::generate(),
                due: Timestamp(0),
                payload: &number,
            },
        );
    }
    store.commit(batch).await.expect("commits").tasks
}

pub(super) fn flip(store: &OpenStore, key: &[u8]) {
    let live = store.live().expect("open");
    let tree = &live.tree;
    let mut row = tree.get(key).expect("reads").expect("is there").to_vec();
    let middle = row.len() / 2;
    row[middle] ^= 0x10;
    tree.insert(key, row).expect("writes");
    // As if its event had come long ago.
    live.recent.forget_before(u64::MAX);
}

/// Until the committer has moved this many rows aside.
pub(super) async fn moved_aside(store: &OpenStore, count: usize) {
    for _ in 0..500 {
        if store.quarantined(99).expect("reads").len() == count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nothing was moved aside: {:?}", store.quarantined(99));
}

#[tokio::test]
async fn a_damaged_row_is_moved_aside_and_the_rest_is_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder);
    filled(&store).await;
    flip(&store, &row_key(&Things::ENTRY, &key(1)));
    let rows = store.scan::<Things>(Scan::all(), 9).expect("scans");
    assert_eq!(rows.iter().map(|(key, _)| key.0).collect::<Vec<_>>(), [0, 2]);
    moved_aside(&store, 1).await;
    let listed = store.quarantined(9).expect("reads");
    assert_eq!(
        (listed[0].table, listed[0].reason.as_str()),
        ("pairs", "its checksum differs")
    );
    let bad = |store: &OpenStore| {
        matches!(
            store.get::<Things>(&key(1)),
            Err(StoreError::BadRow { table: "pairs" })
        )
    };
    assert!(bad(&store), "it does not look like a row that never was");
    drop(store);

    let store = open(&folder);
    assert!(bad(&store), "nor after a restart");
    let mut batch = Batch::new();
    batch.put::<Things>(&key(1), &thing("anew"));
    batch.require::<Things>(&key(0), |row| row.is_some());
    store.commit(batch).await.expect("commits");
    assert_eq!(store.get::<Things>(&key(1)).expect("reads"), Some(thing("anew")));
    assert_eq!(store.quarantined(9).expect("reads"), []);
    let mut batch = Batch::new();
    batch.remove::<Things>(&key(1));
    store.commit(batch).await.expect("commits");
    assert_eq!(store.get::<Things>(&key(1)).expect("reads"), None);
}

#[tokio::test]
async fn damaged_events_tasks_and_secrets_do_not_stop_their_neighbours() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder);
    let tasks = filled(&store).await;
    let mut batch = Batch::new();
    batch
        .put::<Secrets>(&1, &"one".to_owned())
        .put::<Secrets>(&2, &"two".to_owned());
    store.commit(batch).await.expect("commits");
    flip(&store, &crate::store::journal::event_key(2));
    flip(&store, &tasks[0].row());
    let secret = row_key(&Secrets::ENTRY, &1u64);
    let other = store
        .live()
        .expect("open")
        .tree
        .get(&secret)
        .expect("reads")
        .expect("is there");
    store
        .live()
        .expect("open")
        .tree
        .insert(row_key(&Secrets::ENTRY, &2u64), other)
        .expect("writes");

    let seqs: Vec<u64> = store
        .events(0, 9)
        .expect("reads")
        .into_iter()
        .map(|(seq, _)| seq)
        .collect();
    assert_eq!(seqs, [1, 3]);
    let waiting: Vec<Task<u32>> = store.tasks(LaneKind::Forward, None, None, 9).expect("reads");
    assert_eq!(
        waiting.iter().map(|task| task.payload).collect::<Vec<_>>(),
        [1, 2]
    );
    assert!(
        matches!(store.get::<Secrets>(&2), Err(StoreError::BadRow { .. })),
        "a secret of another row"
    );
    moved_aside(&store, 3).await;
    assert_eq!(store.lane_stats(LaneKind::Forward).depth, 2);
    let mut batch = Batch::new();
    batch.complete(&tasks[0]).complete(&tasks[1]);
    store.commit(batch).await.expect("commits");
    assert_eq!(store.lane_stats(LaneKind::Forward).depth, 1);
    drop(store);
    let report = check(&StoreConfig::in_folder(folder.path().join("data"))).expect("checks");
    let tables: Vec<_> = report
        .tables
        .iter()
        .map(|table| (table.table, table.rows))
        .collect();
    assert!(tables.contains(&("quarantine", 3)), "{report:?}");
}

#[tokio::test]
async fn a_damaged_row_that_a_batch_needs_refuses_that_batch_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder);
    filled(&store).await;
    flip(&store, &row_key(&Things::ENTRY, &key(1)));
    let mut batch = Batch::new();
    batch.require::<Things>(&key(1), |_| true);
    batch.put::<Things>(&key(5), &thing("no"));
    assert!(matches!(
        store.commit(batch).await,
        Err(StoreError::BadRow { .. })
    ));
    moved_aside(&store, 1).await;
    assert_eq!(store.get::<Things>(&key(5)).expect("reads"), None);
}

#[tokio::test]
async fn check_names_what_is_wrong() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = StoreConfig::in_folder(folder.path().join("data"));
    let store = open(&folder);
    let tasks = filled(&store).await;
    drop(store);
    let sound = check(&config).expect("checks");
    assert_eq!((sound.faults, sound.last_event), (0, 3));

    let store = open(&folder);
    flip(&store, &row_key(&Things::ENTRY, &key(1)));
    let tree = store.live().expect("open").tree.clone();
    // Two go and one comes that is nobody's.
    tree.remove(tasks[2].row()).expect("removes");
    tree.remove(crate::store::journal::event_key(2)).expect("removes");
    tree.insert(b"\xf0odd", b"row").expect("writes");
    tree.flush().expect("flushes");
    drop((tree, store));
    let report = check(&config).expect("checks");
    let mut found: Vec<_> = report
        .findings
        .iter()
        .map(|finding| (finding.table, finding.what.as_str()))
        .collect();
    found.sort_unstable();
    assert_eq!(
        found,
        [
            ("known_events", "its event is missing"),
            ("meta", "1 of its 14 rows are missing"),
            ("pairs", "its checksum differs"),
            ("unknown", "it belongs to no table of this release"),
        ]
    );
}

#[tokio::test]
async fn a_database_that_lost_data_is_refused_and_the_way_out_works() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder);
    filled(&store).await;
    drop(store);
    let config = StoreConfig::in_folder(folder.path().join("data"));
    fs::remove_dir_all(config.folder.join("sled")).expect("removes");
    let refused = Store::open(config.clone()).err().expect("is refused");
    assert!(matches!(refused, StoreError::Shrunk { .. }));
    let ledger = config.folder.join("ledger");
    assert!(
        refused.to_string().contains(&ledger.display().to_string()),
        "it names the way out: {refused}"
    );
    fs::remove_file(ledger).expect("removes");
    let store = open(&folder);
    assert_eq!(store.count::<Things>().expect("counts"), 0);
    filled(&store).await;
}

#[tokio::test]
async fn missing_rows_are_noticed_by_their_count() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder);
    let mut batch = Batch::new();
    for number in 0..200 {
        batch.put::<Things>(&key(number), &thing("sound"));
    }
    store.commit(batch).await.expect("commits");
    let tree = store.live().expect("open").tree.clone();
    for number in 0..100 {
        tree.remove(row_key(&Things::ENTRY, &key(number)))
            .expect("removes");
    }
    tree.flush().expect("flushes");
    drop((tree, store));
    let refused = Store::open(StoreConfig::in_folder(folder.path().join("data"))).err();
    assert!(matches!(refused, Some(StoreError::Shrunk { .. })));
}

#[tokio::test]
async fn what_an_unlucky_start_leaves_behind_does_not_matter() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder);
    filled(&store).await;
    drop(store);
    drop(open(&folder));
    let sled = folder.path().join("data/sled");
    fs::write(sled.join("snap.00000000000000FF.generating"), b"half").expect("writes");
    fs::write(sled.join("snap.7FFFFFFFFFFFFFFF"), b"not a snapshot at all").expect("writes");
    fs::write(folder.path().join("data/export.part.1"), b"half").expect("writes");
    let store = open(&folder);
    assert_eq!(store.count::<Things>().expect("counts"), 3);
    assert!(sled.join("aside/snap.7FFFFFFFFFFFFFFF").exists());
    assert!(!folder.path().join("data/export.part.1").exists());
}

#[tokio::test]
async fn another_seal_key_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder);
    filled(&store).await;
    drop(store);
    let path = folder.path().join("data/seal.key");
    let key = fs::read(&path).expect("reads");
    fs::write(&path, "ab".repeat(32)).expect("writes");
    let refused = Store::open(StoreConfig::in_folder(folder.path().join("data"))).err();
    assert!(matches!(refused, Some(StoreError::SealKey { .. })));
    fs::write(&path, key).expect("writes");
    open(&folder);
}

#[tokio::test]
async fn flipped_bits_in_the_database_file_are_never_served_as_data() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = StoreConfig::in_folder(folder.path().join("data"));
    let store = open(&folder);
    for number in 0..400 {
        let mut batch = Batch::new();
        batch.put::<Things>(&key(number), &thing(&format!("value {number}")));
        batch.append(event(&format!("value {number}")), None);
        store.commit(batch).await.expect("commits");
    }
    drop(store);
    let whole = tempfile::tempdir().expect("a folder");
    copy_folder(&config.folder, &whole.path().join("data"));
    let length = fs::metadata(config.folder.join("sled/db"))
        .expect("is there")
        .len();
    let (mut refused, mut served, mut noise) = (0, 0, 1u64);
    for _ in 0..25 {
        fs::remove_dir_all(&config.folder).expect("removes");
        copy_folder(&whole.path().join("data"), &config.folder);
        let path = config.folder.join("sled/db");
        let mut bytes = fs::read(&path).expect("reads");
        noise = noise
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        let at = (noise >> 16) % length;
        bytes[at as usize] ^= 0x40;
        fs::write(&path, bytes).expect("writes");
        let Ok(store) = Store::open(config.clone()) else {
            refused += 1;
            continue;
        };
        served += 1;
        for number in 0..400 {
            if let Ok(found) = store.get::<Things>(&key(number)) {
                assert_eq!(found, Some(thing(&format!("value {number}"))), "flipped at {at}");
            }
        }
    }
    assert!(refused + served == 25, "{refused} refused, {served} served");
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).expect("makes");
    for entry in fs::read_dir(from).expect("lists") {
        let entry = entry.expect("lists");
        if entry.file_type().expect("a type").is_dir() {
            copy_folder(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).expect("copies");
        }
    }
}
