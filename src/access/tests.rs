//! Keys and named requests over a real store.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::base::{Code, Coded, Owner, Secret, Timestamp};
use crate::ops::audit::Initiator;
use crate::store::{OpenStore, Store, StoreConfig, SyncMode};

fn open() -> (tempfile::TempDir, OpenStore) {
    let folder = tempfile::tempdir().expect("a folder");
    let config = StoreConfig {
        sync: SyncMode::Process,
        ..StoreConfig::in_folder(folder.path())
    };
    let store = Store::open(config).expect("opened");
    (folder, store)
}

fn new(scope: Scope) -> NewKey {
    NewKey {
        name: "crm".to_owned(),
        scopes: BTreeSet::from([scope]),
        sessions: None,
        expires_at: None,
        owner: Owner::admin(),
    }
}

#[tokio::test]
async fn a_key_lives_from_its_making_to_its_end() {
    let (_folder, store) = open();
    let access = Access::new(store.store());
    let (key, text) = access
        .create(new(Scope::Send), Initiator::daemon())
        .await
        .expect("made");
    let who = access.authenticate(text.expose()).await.expect("known");
    assert_eq!((who.key, who.scope), (key.id, Scope::Send));
    let (_, used) = access.list().expect("listed").remove(0);
    assert!(used.is_some());

    let (_, other) = access
        .rotate(key.id, Duration::ZERO, Initiator::daemon())
        .await
        .expect("rotated");
    assert!(access.authenticate(text.expose()).await.is_err());
    assert!(access.authenticate(other.expose()).await.is_ok());

    access.revoke(key.id, Initiator::daemon()).await.expect("revoked");
    access.revoke(key.id, Initiator::daemon()).await.expect("no harm");
    let error = access.authenticate(other.expose()).await.expect_err("gone");
    assert_eq!(error.code(), Code::Unauthorized);
    assert!(
        access
            .rotate(key.id, Duration::ZERO, Initiator::daemon())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn the_store_knows_no_key_by_its_text() {
    let (folder, store) = open();
    let access = Access::new(store.store());
    let (_, text) = access
        .create(new(Scope::Admin), Initiator::daemon())
        .await
        .expect("made");
    drop((access, store));
    for entry in std::fs::read_dir(folder.path()).expect("a folder").flatten() {
        if entry.path().is_file() {
            let bytes = std::fs::read(entry.path()).expect("read");
            let secret = &text.expose().as_bytes()[12..];
            assert!(!bytes.windows(secret.len()).any(|window| window == secret));
        }
    }
}

#[tokio::test]
async fn the_first_key_is_made_once_and_the_last_admin_stays() {
    let (folder, store) = open();
    let access = Access::new(store.store());
    let short = Secret::new("short");
    assert!(access.first_key(Some(&short), folder.path()).await.is_err());
    let given = Secret::new("a-secret-of-the-operator");
    access.first_key(Some(&given), folder.path()).await.expect("made");
    let other = Secret::new("another-secret-of-the-operator");
    access
        .first_key(Some(&other), folder.path())
        .await
        .expect("there is one");
    let who = access.authenticate(given.expose()).await.expect("known");
    assert_eq!(who.scope, Scope::Admin);
    assert!(access.authenticate(other.expose()).await.is_err());

    let error = access
        .revoke(who.key, Initiator::daemon())
        .await
        .expect_err("the last one");
    assert_eq!(error.code(), Code::Conflict);
    access
        .create(new(Scope::Admin), Initiator::daemon())
        .await
        .expect("made");
    access
        .revoke(who.key, Initiator::daemon())
        .await
        .expect("not the last one");
}

#[tokio::test]
async fn a_named_request_has_one_answer() {
    let (_folder, store) = open();
    let requests = Idempotency::new(store.store());
    let key = crate::base::KeyId::generate();
    let print = fingerprint("/a", b"{}");

    let Ok(Begun::Fresh(first)) = requests.begin(key, "n1", print).await else {
        panic!("it is new")
    };
    let number = first.random_id;
    let under_way = requests.begin(key, "n1", print).await.err().expect("under way");
    assert_eq!(under_way.code(), Code::Conflict);
    // The process dies here, for all the memory knows.
    drop(first);

    let Ok(Begun::Again(again)) = requests.begin(key, "n1", print).await else {
        panic!("it came before")
    };
    assert_eq!(again.random_id, number, "the same effect");
    again
        .finish("{\"message_id\":1}".to_owned())
        .await
        .expect("stored");
    match requests.begin(key, "n1", print).await {
        Ok(Begun::Answered(answer)) => assert_eq!(answer, "{\"message_id\":1}"),
        _ => panic!("it was answered"),
    }

    let reused = requests
        .begin(key, "n1", fingerprint("/a", b"[]"))
        .await
        .err()
        .expect("another request");
    assert_eq!(reused.code(), Code::IdempotencyMismatch);
    let other = crate::base::KeyId::generate();
    assert!(matches!(
        requests.begin(other, "n1", print).await,
        Ok(Begun::Fresh(_))
    ));
    assert!(requests.begin(key, "", print).await.is_err());
}

#[tokio::test]
async fn a_refused_request_and_an_old_one_are_forgotten() {
    let (_folder, store) = open();
    let requests = Idempotency::new(store.store());
    let key = crate::base::KeyId::generate();
    let print = fingerprint("/a", b"{}");
    let Ok(Begun::Fresh(refused)) = requests.begin(key, "n1", print).await else {
        panic!("it is new")
    };
    refused.forget().await.expect("forgotten");
    let Ok(Begun::Fresh(done)) = requests.begin(key, "n1", fingerprint("/a", b"mended")).await else {
        panic!("it is new again")
    };
    done.finish("{}".to_owned()).await.expect("stored");

    assert_eq!(requests.sweep(Timestamp::now()).await.expect("swept"), 0);
    let tomorrow = Timestamp::now().plus(Duration::from_secs(25 * 3600));
    assert_eq!(requests.sweep(tomorrow).await.expect("swept"), 1);
    assert!(matches!(
        requests.begin(key, "n1", print).await,
        Ok(Begun::Fresh(_))
    ));
}

#[tokio::test]
async fn who_was_recognised_is_known_while_the_store_is_away() {
    let (_folder, store) = open();
    let access = Access::new(store.store());
    let (key, text) = access
        .create(new(Scope::Read), Initiator::daemon())
        .await
        .expect("made");
    let (_, unused) = access
        .create(new(Scope::Read), Initiator::daemon())
        .await
        .expect("made");
    let (revoked, gone) = access
        .create(new(Scope::Read), Initiator::daemon())
        .await
        .expect("made");
    access
        .create(new(Scope::Admin), Initiator::daemon())
        .await
        .expect("made");
    access.authenticate(text.expose()).await.expect("known");
    access.authenticate(gone.expose()).await.expect("known");
    access
        .revoke(revoked.id, Initiator::daemon())
        .await
        .expect("revoked");
    drop(store);
    let who = access.authenticate(text.expose()).await.expect("still known");
    assert_eq!((who.key, who.scope), (key.id, Scope::Read));
    for nobody in [unused.expose(), gone.expose()] {
        let error = access.authenticate(nobody).await.expect_err("not known");
        assert_eq!(error.code(), Code::StoreUnavailable);
    }
    let mut other = text.expose().to_owned();
    other.pop();
    other.push(if text.expose().ends_with('A') { 'B' } else { 'A' });
    let error = access.authenticate(&other).await.expect_err("another text");
    assert_eq!(error.code(), Code::Unauthorized);
}
