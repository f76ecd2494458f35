//! The seal key is replaced, and whatever happens meanwhile, what was sealed opens.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rand::RngExt;

use super::basics::Secrets;
use crate::store::{Batch, Store, StoreConfig, StoreError, check, import, rotate_seal};

const FOLDER: &str = "TRUNKLINE_TEST_ROTATION_FOLDER";
const SECRETS: u64 = 300;
const ROUNDS: u32 = 12;

fn secret(number: u64) -> String {
    format!("secret {number}").repeat(if number.is_multiple_of(50) { 900 } else { 1 })
}

async fn fill(config: &StoreConfig) -> [u8; 32] {
    let store = Store::open(config.clone()).expect("opens");
    for from in (0..SECRETS).step_by(100) {
        let mut batch = Batch::new();
        for number in from..from + 100 {
            batch.put::<Secrets>(&number, &secret(number));
        }
        store.commit(batch).await.expect("commits");
    }
    store.installation_secret().expect("is there")
}

fn assert_whole(config: &StoreConfig, installation: [u8; 32]) {
    let store = Store::open(config.clone()).expect("opens with the key that is there");
    for number in 0..SECRETS {
        let found = store.get::<Secrets>(&number).expect("opens");
        assert_eq!(found, Some(secret(number)));
    }
    assert_eq!(store.installation_secret().expect("is there"), installation);
    assert_eq!(store.quarantined(9).expect("reads"), []);
}

fn own_key(config: &StoreConfig) -> String {
    std::fs::read_to_string(config.folder.join("seal.key")).expect("is there")
}

fn given(config: &StoreConfig, path: &Path) -> StoreConfig {
    StoreConfig {
        seal_key_file: Some(path.to_owned()),
        ..config.clone()
    }
}

#[tokio::test]
async fn a_key_beside_the_data_is_replaced_by_a_fresh_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = StoreConfig::in_folder(folder.path().join("data"));
    let installation = fill(&config).await;
    let former = folder.path().join("former");
    std::fs::write(&former, own_key(&config)).expect("written");
    let done = rotate_seal(&config, None).await.expect("rotates");
    assert!(done.in_place && done.rows > SECRETS);
    assert_ne!(
        own_key(&config),
        std::fs::read_to_string(&former).expect("is there")
    );
    assert_whole(&config, installation);
    assert_eq!(check(&config).expect("checks").faults, 0);
    let refused = Store::open(given(&config, &former)).err();
    assert!(
        matches!(refused, Some(StoreError::SealKey { .. })),
        "the former key still opens it"
    );
}

#[tokio::test]
async fn a_key_from_outside_opens_until_the_new_one_was_used() {
    let folder = tempfile::tempdir().expect("a folder");
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    std::fs::write(&one, "ab".repeat(32)).expect("written");
    std::fs::write(&two, "cd".repeat(32)).expect("written");
    let config = StoreConfig::in_folder(folder.path().join("data"));
    let (former, new) = (given(&config, &one), given(&config, &two));
    let installation = fill(&former).await;
    assert!(rotate_seal(&former, None).await.is_err(), "which key?");
    assert!(
        rotate_seal(&former, Some(&one)).await.is_err(),
        "that is the one in use"
    );
    let done = rotate_seal(&former, Some(&two)).await.expect("rotates");
    assert!(!done.in_place);
    assert_whole(&former, installation);
    assert_whole(&new, installation);
    assert!(Store::open(former).is_err(), "the former key still opens it");
    assert_whole(&new, installation);
    let exports = std::fs::read_dir(config.folder.join("exports")).expect("a folder");
    let export = exports.flatten().next().expect("one was made").path();
    let imported = given(&StoreConfig::in_folder(folder.path().join("other")), &two);
    import(&imported, std::fs::File::open(export).expect("opens")).expect("imports");
    assert_whole(&imported, installation);
}

/// The child of the next test: replaces the key again and again until it is killed.
#[tokio::test]
async fn child_that_rotates() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let config = StoreConfig::in_folder(folder);
    loop {
        rotate_seal(&config, None).await.expect("rotates");
        println!("ROTATED");
    }
}

#[tokio::test]
async fn killed_while_the_key_is_replaced_it_opens_and_is_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = StoreConfig::in_folder(folder.path().join("data"));
    let installation = fill(&config).await;
    let first = own_key(&config);
    let mut random = rand::rng();
    for _ in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().expect("this binary"))
            .args([
                "store::tests::rotation::child_that_rotates",
                "--exact",
                "--nocapture",
            ])
            .env(FOLDER, &config.folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        // Most of that time it is starting; a rotation takes a tenth of a second.
        tokio::time::sleep(Duration::from_millis(random.random_range(50..400))).await;
        child.kill().expect("is killed");
        child.wait().expect("has ended");
        assert_whole(&config, installation);
    }
    rotate_seal(&config, None).await.expect("is carried on with");
    assert_whole(&config, installation);
    assert_ne!(own_key(&config), first);
    assert_eq!(check(&config).expect("checks").faults, 0);
}
