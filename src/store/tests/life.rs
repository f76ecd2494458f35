//! The store as a supervised task: opened, closed, opened anew; trimming; file modes.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Resource, Rlimit};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::basics::{Things, event, open, thing};
use crate::base::Timestamp;
use crate::store::{Batch, Condition, Store, StoreConfig, StoreError, TroubleKind};

fn one() -> Batch {
    let mut batch = Batch::new();
    batch.put::<Things>(&(1, String::new()), &thing("one"));
    batch
}

async fn until_open(store: &Store) {
    while !store.is_open() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The committer, as the test's own task: there is no tree above it here.
fn serve(store: &Store, stop: &CancellationToken) -> JoinHandle<Result<(), StoreError>> {
    let (store, stop) = (store.clone(), stop.clone());
    tokio::spawn(async move { store.run(stop, || {}).await })
}

#[tokio::test]
async fn the_handle_outlives_the_committer() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::new(StoreConfig::in_folder(folder.path().join("data")));
    assert!(matches!(
        store.commit(one()).await,
        Err(StoreError::Unavailable { .. })
    ));
    for _ in 0..2 {
        let stop = CancellationToken::new();
        let task = serve(&store, &stop);
        until_open(&store).await;
        store.commit(one()).await.expect("commits");
        stop.cancel();
        task.await.expect("runs").expect("closes");
        assert!(matches!(
            store.get::<Things>(&(1, String::new())),
            Err(StoreError::Unavailable { .. })
        ));
    }
    // Dropped in the middle, as a supervisor does that loses its patience: the next one waits for the folder.
    let task = serve(&store, &CancellationToken::new());
    until_open(&store).await;
    task.abort();
    assert!(task.await.expect_err("is aborted").is_cancelled());
    let stop = CancellationToken::new();
    let task = tokio::spawn({
        let (store, stop) = (store.clone(), stop.clone());
        async move { store.run(stop.clone(), move || stop.cancel()).await }
    });
    task.await.expect("runs").expect("opens and closes");
}

#[tokio::test]
async fn an_io_error_of_a_read_is_trouble_and_heals_as_one_of_a_write() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::new(StoreConfig::in_folder(folder.path().join("data")));
    let stop = CancellationToken::new();
    let task = serve(&store, &stop);
    until_open(&store).await;
    store.commit(one()).await.expect("commits");
    let mut trouble = store.trouble();
    let eio = || std::io::Error::from_raw_os_error(5);
    // What sled answers to a read whose page it cannot bring in, or once it has met an error.
    let refused = store.guarded(|| Err::<(), _>(crate::store::open::sled_fault(sled::Error::Io(eio()))));
    assert!(
        matches!(refused, Err(StoreError::Disk { full: false, .. })),
        "{refused:?}"
    );
    let known = trouble.wait_for(Option::is_some).await.expect("a store").clone();
    assert_eq!(known.map(|trouble| trouble.kind), Some(TroubleKind::DiskFault));
    trouble.wait_for(Option::is_none).await.expect("a store");
    assert_eq!(store.condition(), Condition::Well, "it recovers by itself");
    let row = store.get::<Things>(&(1, String::new())).expect("reads");
    assert!(row.is_some());
    store.commit(one()).await.expect("commits again");
    stop.cancel();
    task.await.expect("runs").expect("closes");
}

const FOLDER: &str = "TRUNKLINE_TEST_FULL_FOLDER";

fn limit_files_to(bytes: Option<u64>) {
    let limit = Rlimit {
        current: bytes,
        maximum: None,
    };
    rustix::process::setrlimit(Resource::Fsize, limit).expect("may set it");
}

/// What the child of the next test does: its files may grow to a size only, as on a full disk.
#[test]
fn child_on_a_full_disk() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let store = Store::new(StoreConfig::in_folder(folder));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        for round in 0..3u32 {
            let task = serve(&store, &CancellationToken::new());
            until_open(&store).await;
            for known in 0..round * 100_000 {
                let row = store.get::<Things>(&(known, String::new())).expect("reads");
                assert!(row.is_some() || known % 100_000 > 0, "acknowledged and lost");
                if row.is_none() {
                    break;
                }
            }
            limit_files_to(Some(1 << (21 + round)));
            let mut number = round * 100_000;
            let fault = loop {
                let mut batch = Batch::new();
                let mut value = thing("x");
                value.data = (0..200)
                    .map(|at| (number.wrapping_mul(2654435761) >> (at % 24)) as u8)
                    .collect();
                batch.put::<Things>(&(number, String::new()), &value);
                match store.commit(batch).await {
                    Ok(_) => number += 1,
                    Err(fault) => break fault,
                }
            };
            assert!(matches!(fault, StoreError::Unavailable { .. }), "{fault}");
            let mut trouble = store.trouble();
            let known = trouble.wait_for(Option::is_some).await.expect("a store").clone();
            assert_eq!(known.map(|trouble| trouble.kind), Some(TroubleKind::DiskFull));
            assert!(matches!(
                store.commit(one()).await,
                Err(StoreError::Unavailable { .. })
            ));
            assert!(
                store.get::<Things>(&(round * 100_000, String::new())).is_ok(),
                "reads go on"
            );
            limit_files_to(None);
            trouble.wait_for(Option::is_none).await.expect("a store");
            assert_eq!(store.condition(), Condition::Well, "it recovers by itself");
            for known in round * 100_000..number {
                assert!(
                    store
                        .get::<Things>(&(known, String::new()))
                        .expect("reads")
                        .is_some(),
                    "acknowledged and lost"
                );
            }
            store.commit(one()).await.expect("commits again");
            task.abort();
            while store.is_open() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            println!("ROUND {round} {number}");
        }
    });
    println!("SURVIVED");
}

#[test]
fn a_full_disk_is_heard_by_all_and_healed_by_opening_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"])
        .arg(std::env::current_exe().expect("this binary"))
        .args([
            "store::tests::life::child_on_a_full_disk",
            "--exact",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(FOLDER, folder.path().join("data"))
        .output()
        .expect("runs");
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(
        text.contains("SURVIVED"),
        "{text}\n{}",
        String::from_utf8_lossy(&out.stderr)
    );
}

#[tokio::test]
async fn old_events_go_when_every_consumer_is_done_with_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder);
    let old = Timestamp::now().minus(Duration::from_secs(80 * 3600));
    let mut batch = Batch::new();
    for number in 0..150u8 {
        let mut event = event("old");
        event.at = old;
        batch.append(event, Some(vec![number]));
    }
    batch.append(event("new"), None);
    batch.set_cursor("forward", 100).set_cursor("webhook", 151);
    store.commit(batch).await.expect("commits");
    let oldest = |expected: u64| {
        let store = store.store();
        async move {
            for _ in 0..800 {
                if store.oldest_event().expect("reads") == expected {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            panic!("the oldest event is {:?}", store.oldest_event());
        }
    };
    oldest(101).await;
    let mut batch = Batch::new();
    batch.set_cursor("forward", 150);
    store.commit(batch).await.expect("commits");
    oldest(151).await;
    assert_eq!(store.event(4).expect("reads"), None);
    let mut batch = Batch::new();
    batch.append(event("its key is forgotten"), Some(vec![3]));
    assert_eq!(store.commit(batch).await.expect("commits").repeated, 0);
    assert_eq!(store.events(0, 9).expect("reads").len(), 2);
    drop(store);
    let store = open(&folder);
    assert_eq!(*store.head().borrow(), 152);
    assert_eq!(store.oldest_event().expect("reads"), 151);
}

#[test]
fn files_are_for_the_owner_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let _store = open(&folder);
    let mode = |path: &str| {
        std::fs::metadata(folder.path().join(path))
            .expect("is there")
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode("data"), 0o700);
    assert_eq!(mode("data/sled"), 0o700);
    for file in ["data/lock", "data/seal.key", "data/sled/db", "data/ledger"] {
        assert_eq!(mode(file), 0o600, "{file}");
    }
}
