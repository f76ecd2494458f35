//! Export while commits go on, import, check.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::basics::{Secrets, Things, event, lane, open, thing};
use crate::base::{TaskId, Timestamp};
use crate::store::{Batch, LaneKind, OpenStore, Store, StoreConfig, StoreError, TaskDraft, check, import};

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Buffer {
    fn bytes(&self) -> Vec<u8> {
        self.0.lock().expect("no panic").clone()
    }
}

fn numbered(number: u64) -> (u32, String) {
    ((number % 97) as u32, number.to_string())
}

/// One commit that leaves a trace at both ends of the keys and removes the one before.
async fn step(store: &Store, number: u64) {
    let mut batch = Batch::new();
    let mut value = thing(&number.to_string());
    value.data = vec![number as u8; 40];
    batch.put::<Things>(&numbered(number), &value);
    if let Some(old) = number.checked_sub(300) {
        batch.remove::<Things>(&numbered(old));
    }
    batch.append(event("x"), None);
    batch.set_cursor("forward", number);
    batch.put::<Secrets>(&7, &number.to_string());
    batch.enqueue(
        lane(number % 5),
        &TaskDraft {
            id: TaskId::generate(),
            due: Timestamp(0),
            payload: &number,
        },
    );
    store.commit(batch).await.expect("commits");
}

/// Whether the store is as it was after some step, as a whole.
fn assert_whole(store: &OpenStore) -> u64 {
    let number = store.cursor("forward").expect("reads");
    assert_eq!(store.get::<Secrets>(&7).expect("reads"), Some(number.to_string()));
    assert!(*store.head().borrow() >= number, "an import goes on behind");
    assert_eq!(store.events(0, 100_000).expect("reads").len() as u64, number);
    assert_eq!(store.lane_stats(LaneKind::Forward).depth, number);
    assert_eq!(store.count::<Things>().expect("counts"), number.min(300));
    for known in number.saturating_sub(299).max(1)..=number {
        assert!(store.get::<Things>(&numbered(known)).expect("reads").is_some());
    }
    number
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_under_load_is_one_moment() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder);
    for number in 1..=2000 {
        step(&store, number).await;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (store, stop) = (store.store(), stop.clone());
        async move {
            let mut number = 2000;
            while !stop.load(Ordering::Relaxed) {
                number += 1;
                step(&store, number).await;
            }
            number
        }
    });
    let mut moments = Vec::new();
    for round in 0..4 {
        let buffer = Buffer::default();
        let done = store.export(buffer.clone()).await.expect("exports");
        let copy = tempfile::tempdir().expect("a folder");
        let config = StoreConfig::in_folder(copy.path().join("data"));
        assert_eq!(import(&config, buffer.bytes().as_slice()).expect("imports"), done);
        std::fs::copy(
            folder.path().join("data/seal.key"),
            config.folder.join("seal.key"),
        )
        .expect("copies");
        let report = check(&config).expect("checks");
        assert_eq!(
            (report.faults, report.rows, report.unsealed),
            (0, done.rows + 1, true),
            "{report:?}"
        );
        moments.push(assert_whole(&open(&copy)));
        assert!(moments[round] >= 2000);
    }
    stop.store(true, Ordering::Relaxed);
    let last = writer.await.expect("runs");
    assert!(moments.is_sorted() && *moments.last().expect("four") <= last);
    assert_eq!(assert_whole(&store), last);
}

#[tokio::test]
async fn a_damaged_or_short_export_leaves_nothing_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder);
    for number in 1..=20 {
        step(&store, number).await;
    }
    let (mut file, done) = store.export_file().await.expect("exports");
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut file, &mut bytes).expect("reads");
    assert_eq!(bytes.len() as u64, done.bytes);
    let target = tempfile::tempdir().expect("a folder");
    let nothing = check(&StoreConfig::in_folder(target.path()));
    assert!(
        matches!(nothing, Err(StoreError::File { .. })),
        "it makes no store to check"
    );
    let config = StoreConfig::in_folder(target.path().join("data"));
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 4;
    let mut sum = bytes.clone();
    *sum.last_mut().expect("not empty") ^= 1;
    for wrong in [
        &bytes[..bytes.len() / 2],
        &bytes[..bytes.len() - 1],
        &flipped,
        &sum,
        b"something else entirely",
    ] {
        assert!(matches!(
            import(&config, wrong),
            Err(StoreError::BadExport { .. })
        ));
        assert!(!config.folder.join("sled").exists());
    }
    import(&config, bytes.as_slice()).expect("imports");
    assert!(
        matches!(
            import(&config, bytes.as_slice()),
            Err(StoreError::BadExport { .. })
        ),
        "it is not empty"
    );
    let refused = Store::open(config.clone()).err();
    assert!(
        matches!(refused, Some(StoreError::SealKey { .. })),
        "the key stayed at home"
    );
    assert!(!config.folder.join("seal.key").exists());
    assert!(matches!(
        check(&StoreConfig::in_folder(folder.path().join("data"))),
        Err(StoreError::Locked { .. })
    ));
}
