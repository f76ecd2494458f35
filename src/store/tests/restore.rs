//! A damaged database comes back from the last automatic export, its loss counted and nothing given out twice.

use std::fs;
use std::path::Path;

use super::basics::{Things, event, open, thing};
use crate::store::{Batch, OpenStore, Store, StoreConfig, StoreError, restore_by_hand};

async fn step(store: &OpenStore, number: u32) {
    let mut batch = Batch::new();
    batch.put::<Things>(&(number, String::new()), &thing(&number.to_string()));
    batch.append(event("x"), None);
    store.commit(batch).await.expect("commits");
}

/// A closed store of 30 steps, exported after the 20th.
async fn exported(folder: &tempfile::TempDir) -> StoreConfig {
    let store = open(folder);
    for number in 0..20 {
        step(&store, number).await;
    }
    store.export_now().await.expect("exports");
    for number in 20..30 {
        step(&store, number).await;
    }
    drop(store);
    StoreConfig::in_folder(folder.path().join("data"))
}

/// Breaks every page that is not the first.
fn break_database(folder: &Path) {
    let path = folder.join("sled/db");
    let mut bytes = fs::read(&path).expect("reads");
    bytes.iter_mut().step_by(97).for_each(|byte| *byte ^= 0x11);
    fs::write(path, bytes).expect("writes");
}

fn assert_restored(store: &Store) {
    for number in 0..30 {
        let found = store.get::<Things>(&(number, String::new())).expect("reads");
        assert_eq!(found.is_some(), number < 20);
    }
    assert!(store.restored_at().expect("open").is_some());
}

#[tokio::test]
async fn a_damaged_database_is_restored_and_its_loss_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = exported(&folder).await;
    break_database(&config.folder);
    let store = Store::open(config.clone()).expect("is restored");
    assert_restored(&store);
    let told = store.restores_untold().expect("reads");
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].commits, told[0].events), (Some(10), Some(10)));
    let aside = told[0].aside.clone().expect("kept");
    assert!(
        Path::new(&aside).join("sled/db").exists(),
        "the damaged one is kept"
    );
    assert!(*store.head().borrow() > 1 << 24, "no number is given out twice");
    step(&store, 100).await;
    store.restore_told(told[0].clone()).await.expect("stored");
    drop(store);
    let store = Store::open(config).expect("opens");
    assert_restored(&store);
    assert!(store.restores_untold().expect("reads").is_empty());
    assert_eq!(store.events(20, 9).expect("reads").len(), 1);
}

#[tokio::test]
async fn one_lost_row_is_noticed_and_a_damaged_export_passed_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = exported(&folder).await;
    let store = Store::open(config.clone()).expect("opens");
    let done = store.export_now().await.expect("exports");
    let tree = store.live().expect("open").tree.clone();
    let key = crate::store::table::row_key(&<Things as crate::store::Table>::ENTRY, &(25u32, String::new()));
    tree.remove(key).expect("removes");
    tree.flush().expect("flushes");
    drop((tree, store));
    let newest = &crate::store::exports::list(&config).expect("lists")[0];
    assert_eq!(newest.generation, done.generation);
    let newest = newest.path.clone();
    let mut bytes = fs::read(&newest).expect("is there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(newest, bytes).expect("writes");
    assert_restored(&Store::open(config).expect("is restored"));
}

/// Damage in its log makes sled open a database as it once was, and the ledger may be as old.
#[tokio::test]
async fn a_database_that_is_older_than_its_export_is_restored() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder);
    step(&store, 0).await;
    drop(store);
    let config = StoreConfig::in_folder(folder.path().join("data"));
    let aside = folder.path().join("aside");
    fs::create_dir(&aside).expect("makes");
    fs::rename(config.folder.join("ledger"), aside.join("ledger")).expect("moves");
    for entry in fs::read_dir(config.folder.join("sled")).expect("lists").flatten() {
        if entry.path().is_file() {
            fs::copy(entry.path(), aside.join(entry.file_name())).expect("copies");
        }
    }
    let store = open(&folder);
    for number in 1..20 {
        step(&store, number).await;
    }
    store.export_now().await.expect("exports");
    drop(store);
    fs::remove_dir_all(config.folder.join("sled")).expect("removes");
    fs::remove_file(config.folder.join("ledger")).expect("removes");
    fs::rename(&aside, config.folder.join("sled")).expect("moves");
    fs::rename(config.folder.join("sled/ledger"), config.folder.join("ledger")).expect("moves");
    assert_restored(&Store::open(config).expect("is restored"));
}

#[tokio::test]
async fn without_an_export_a_damaged_database_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = exported(&folder).await;
    fs::remove_dir_all(config.folder.join("exports")).expect("removes");
    break_database(&config.folder);
    let refused = Store::open(config).err();
    assert!(matches!(
        refused,
        Some(StoreError::Damaged { .. } | StoreError::Shrunk { .. })
    ));
}

#[tokio::test]
async fn a_restore_that_was_cut_off_ends_or_never_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = exported(&folder).await;
    let staging = config.folder.join("restoring");
    fs::create_dir_all(staging.join("sled")).expect("makes");
    fs::write(staging.join("sled/db"), b"half").expect("writes");
    let store = Store::open(config.clone()).expect("opens");
    assert!(!staging.exists());
    assert!(
        store
            .get::<Things>(&(29, String::new()))
            .expect("reads")
            .is_some()
    );
    drop(store);
    let done = restore_by_hand(&config, None).expect("restores");
    // As if the last renames had not been reached.
    fs::create_dir_all(&staging).expect("makes");
    fs::rename(config.folder.join("sled"), staging.join("sled")).expect("moves");
    fs::rename(config.folder.join("ledger"), staging.join("ledger")).expect("moves");
    fs::write(staging.join("complete"), "damaged/1").expect("writes");
    assert_restored(&Store::open(config).expect("opens"));
    assert_eq!(done.commits, Some(10));
}

#[tokio::test]
async fn a_restore_whose_mark_says_nothing_never_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = exported(&folder).await;
    let staging = config.folder.join("restoring");
    fs::create_dir_all(staging.join("sled")).expect("makes");
    fs::write(staging.join("sled/db"), b"half").expect("writes");
    fs::write(staging.join("complete"), "").expect("writes");
    let store = Store::open(config).expect("opens");
    assert!(!staging.exists());
    let last = store.get::<Things>(&(29, String::new())).expect("reads");
    assert!(last.is_some());
}

#[tokio::test]
async fn a_restore_whose_mark_cannot_be_read_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = exported(&folder).await;
    let staging = config.folder.join("restoring");
    fs::create_dir_all(staging.join("sled")).expect("makes");
    fs::write(staging.join("sled/db"), b"whole").expect("writes");
    fs::create_dir(staging.join("complete")).expect("makes");
    let refused = Store::open(config).err();
    assert!(matches!(refused, Some(StoreError::File { .. })), "{refused:?}");
    assert_eq!(fs::read(staging.join("sled/db")).expect("is there"), b"whole");
}

#[tokio::test]
async fn an_export_that_another_key_sealed_replaces_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = exported(&folder).await;
    let other = tempfile::tempdir().expect("a folder");
    let foreign = exported(&other).await;
    let path = crate::store::restore::newest(&foreign).expect("is there");
    let refused = restore_by_hand(&config, Some(&path)).err();
    assert!(
        matches!(refused, Some(StoreError::BadExport { .. })),
        "{refused:?}"
    );
    let store = Store::open(config).expect("opens");
    let last = store.get::<Things>(&(29, String::new())).expect("reads");
    assert!(last.is_some());
}
