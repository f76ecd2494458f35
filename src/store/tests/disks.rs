//! Disks that refuse, hang or are shared: what is acknowledged is given to them again, exports wait alone, and each data
//! folder keeps to its own copies.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use tokio_util::sync::CancellationToken;

use super::basics::{Things, open, thing};
use crate::base::Span;
use crate::store::ledger::{self, Ledger};
use crate::store::{Batch, OpenStore, Store, StoreConfig, StoreError, exports, import, restore};

async fn put(store: &Store, numbers: std::ops::Range<u32>) {
    let mut batch = Batch::new();
    for number in numbers {
        batch.put::<Things>(&(number, String::new()), &thing("x"));
    }
    store.commit(batch).await.expect("commits");
}

/// A file of the database that nothing but a rewrite touches, given an old date.
fn aged(folder: &Path) -> PathBuf {
    let path = folder.join("sled/conf");
    let file = File::options().write(true).open(&path).expect("is there");
    file.set_modified(SystemTime::UNIX_EPOCH).expect("set");
    path
}

fn is_aged(path: &Path) -> bool {
    fs::metadata(path).expect("is there").modified().expect("known") == SystemTime::UNIX_EPOCH
}

#[tokio::test]
async fn a_database_whose_disk_refused_is_written_over_itself_before_it_is_opened() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = StoreConfig::in_folder(folder.path().join("data"));
    let store = Store::new(config.clone());
    let stop = CancellationToken::new();
    let task = tokio::spawn({
        let (store, stop) = (store.clone(), stop.clone());
        async move { store.run(stop, || {}).await }
    });
    while !store.is_open() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    put(&store, 0..9).await;
    let conf = aged(&config.folder);
    let mut trouble = store.trouble();
    let eio = std::io::Error::from_raw_os_error(5);
    let refused = store.guarded(|| Err::<(), _>(StoreError::disk(&eio)));
    refused.expect_err("it was refused");
    trouble.wait_for(Option::is_some).await.expect("a store");
    // Also for another process, if this one goes now.
    assert!(ledger::is_marked(&config.folder).expect("reads"));
    trouble.wait_for(Option::is_none).await.expect("a store");
    assert!(!is_aged(&conf), "it was written over itself");
    assert!(!ledger::is_marked(&config.folder).expect("reads"));
    put(&store, 9..10).await;
    assert_eq!(store.count::<Things>().expect("counts"), 10);
    stop.cancel();
    task.await.expect("runs").expect("closes");
}

#[tokio::test]
async fn a_process_that_went_in_trouble_leaves_word_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    drop(open(&folder));
    let conf = aged(&data);
    drop(open(&folder));
    assert!(is_aged(&conf), "nothing is written anew without a reason");
    Ledger::open(&data).expect("opens").mark().expect("marks");
    drop(open(&folder));
    assert!(!is_aged(&conf));
    let conf = aged(&data);
    drop(open(&folder));
    assert!(is_aged(&conf), "once is enough");
}

/// Takes nothing until its other end says so, or goes.
struct Hung(mpsc::Receiver<()>);

impl Write for Hung {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        // An end of the channel is as good as a word.
        let _unused = self.0.recv();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn with_patience(folder: &tempfile::TempDir, patience: Duration) -> OpenStore {
    let config = StoreConfig {
        export_patience: Span(patience),
        ..StoreConfig::in_folder(folder.path().join("data"))
    };
    Store::open(config).expect("opens")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_that_hangs_holds_no_commit_up_and_is_given_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = with_patience(&folder, Duration::from_millis(1500));
    put(&store, 0..2000).await;
    put(&store, 2000..4000).await;
    let (go, hung) = mpsc::channel();
    let export = tokio::spawn({
        let store = store.store();
        async move { store.export(Hung(hung)).await }
    });
    for number in 0..20 {
        let commit = tokio::time::timeout(Duration::from_secs(20), put(&store, number..number + 1));
        commit.await.expect("commits go on");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!export.is_finished(), "it waits still");
    let given_up = tokio::time::timeout(Duration::from_secs(20), export).await;
    let given_up = given_up.expect("is not waited for").expect("runs");
    assert!(
        given_up.is_err_and(|error| error.to_string().contains("taken nothing")),
        "its owner hears why"
    );
    // The next one does not wait for it, though its thread still hangs.
    let done = store.export(std::io::sink()).await.expect("exports");
    assert_eq!(done.rows, 4000 + 2, "META and the secret");
    drop(go);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_to_a_slow_disk_is_one_moment() {
    struct Slow(File);
    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            std::thread::sleep(Duration::from_micros(100));
            self.0.write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            self.0.flush()
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder);
    put(&store, 1..4000).await;
    let path = folder.path().join("copy");
    let out = Slow(File::create(&path).expect("made"));
    let export = tokio::spawn({
        let store = store.store();
        async move { store.export(out).await }
    });
    // One row at the beginning and one at the end change together, and the one before goes.
    let mut changes = 0;
    while !export.is_finished() {
        changes += 1;
        let mut batch = Batch::new();
        for at in [0, 1 << 20] {
            batch.put::<Things>(&(at + changes, String::new()), &thing("y"));
            batch.put::<Things>(&(at, changes.to_string()), &thing("y"));
            batch.remove::<Things>(&(at, (changes - 1).to_string()));
        }
        store.commit(batch).await.expect("commits");
    }
    let done = export.await.expect("runs").expect("exports");
    assert!(changes > 20, "{changes} changes meanwhile");
    let copy = tempfile::tempdir().expect("a folder");
    let config = StoreConfig::in_folder(copy.path().join("data"));
    let from = File::open(&path).expect("is there");
    assert_eq!(
        import(&config, std::io::BufReader::new(from)).expect("imports"),
        done
    );
    fs::copy(
        folder.path().join("data/seal.key"),
        config.folder.join("seal.key"),
    )
    .expect("copies");
    let copy = open(&copy);
    let things = copy
        .scan::<Things>(crate::store::Scan::all(), usize::MAX)
        .expect("scans");
    let last = |at: u32| {
        let names = things
            .iter()
            .filter(|((number, name), _)| *number == at && !name.is_empty());
        names.map(|((_, name), _)| name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(last(0), last(1 << 20));
    assert!(last(0).len() <= 1);
}

#[tokio::test]
async fn data_folders_with_one_folder_of_exports_keep_to_their_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = |name: &str| StoreConfig {
        export_folder: Some(folder.path().join("exports")),
        exports_kept: 2,
        ..StoreConfig::in_folder(folder.path().join(name))
    };
    let (ahead, behind) = (config("ahead"), config("behind"));
    let stores = [&ahead, &behind].map(|config| Store::open(config.clone()).expect("opens"));
    for number in 0..40 {
        put(&stores[0], number..number + 1).await;
    }
    for number in 100..103 {
        for store in &stores {
            put(store, number..number + 1).await;
            store.export_now().await.expect("exports");
        }
    }
    drop(stores);
    let newest = [&ahead, &behind].map(|config| {
        let listed = exports::list(config).expect("lists");
        assert_eq!(listed.len(), 2, "neither removes the other's");
        restore::newest(config).expect("there is one")
    });
    assert_ne!(newest[0], newest[1]);
    assert_eq!(
        fs::read_dir(folder.path().join("exports"))
            .expect("lists")
            .count(),
        4
    );
    let done = restore::restore_by_hand(&behind, None).expect("restores");
    let store = Store::open(behind).expect("opens");
    assert_eq!(store.count::<Things>().expect("counts"), 3, "its own: {done:?}");
    // A folder that takes the other's by name goes on with its own.
    put(&store, 1..2).await;
    store.export_now().await.expect("exports");
    assert_eq!(exports::list(store.config()).expect("lists").len(), 2);
    assert_eq!(exports::list(&ahead).expect("lists").len(), 2);
}
