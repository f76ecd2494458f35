//! Keys and named requests over a real store.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::base::{Code, Coded, Owner, Retry, Secret, Timestamp};
use crate::ops::audit::Initiator;
use crate::store::{OpenStore, Scan, Store, StoreConfig, SyncMode};

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

fn caller() -> Principal {
    Principal {
        key: crate::base::KeyId::generate(),
        owner: Owner::admin(),
        scope: Scope::Send,
        sessions: None,
    }
}

fn kept(body: &str) -> Kept {
    Kept {
        status: 201,
        body: body.to_owned(),
    }
}

/// A request that is to be carried out.
async fn to_do(requests: &Idempotency, caller: &Principal, key: &str, print: [u8; 32]) -> Try {
    match begin(requests, caller, key, print).await {
        Ok(Begun::Try(attempt)) => attempt,
        Ok(Begun::Answered(kept)) => panic!("it was answered: {kept:?}"),
        Err(error) => panic!("refused: {error}"),
    }
}

async fn begin(
    requests: &Idempotency,
    caller: &Principal,
    key: &str,
    print: [u8; 32],
) -> Result<Begun, AccessError> {
    let key = IdempotencyKey::parse(key.as_bytes()).expect("a key");
    requests.begin(caller, "POST /a", &key, print).await
}

#[tokio::test]
async fn a_named_request_has_one_answer() {
    let (_folder, store) = open();
    let requests = Idempotency::new(store.store());
    let caller = caller();
    let print = requests.fingerprint(&[b"/a", b"{}"]).expect("hashed");
    let first = to_do(&requests, &caller, "n1", print).await;
    assert!(!first.effect.again);
    let effect = first.effect;
    let refused = async |print| begin(&requests, &caller, "n1", print).await.err();
    let under_way = refused(print).await.expect("under way");
    assert_eq!(under_way.code(), Code::IdempotencyInProgress);
    assert_eq!(under_way.retry(), Retry::After(Duration::from_secs(1)));
    let other = requests.fingerprint(&[b"/a{", b"}"]).expect("hashed");
    assert_eq!(
        refused(other).await.expect("another").code(),
        Code::IdempotencyMismatch
    );
    // The process dies here, for all the memory knows.
    drop(first);

    let again = to_do(&requests, &caller, "n1", print).await;
    assert!(again.effect.again);
    assert_eq!(
        (again.effect.random_id, again.effect.id),
        (effect.random_id, effect.id)
    );
    again.keep(&kept("{\"id\":1}")).await.expect("stored");
    match begin(&requests, &caller, "n1", print).await {
        Ok(Begun::Answered(answer)) => assert_eq!(answer, kept("{\"id\":1}")),
        _ => panic!("it was answered"),
    }
    assert_eq!(
        refused(other).await.expect("another").code(),
        Code::IdempotencyMismatch
    );
    let key = IdempotencyKey::parse(b"n1").expect("a key");
    let elsewhere = requests.begin(&caller, "POST /b", &key, other).await;
    assert!(
        matches!(elsewhere, Ok(Begun::Try(_))),
        "a request of another route"
    );
    to_do(&requests, &self::caller(), "n1", other).await;
    let row = store
        .store()
        .scan::<super::tables::Requests>(Scan::all(), 9)
        .expect("read");
    assert!(row.iter().all(|(_, row)| row.owner == Owner::admin()));
}

#[tokio::test]
async fn a_refused_request_and_an_old_one_are_forgotten() {
    let (_folder, store) = open();
    let requests = Idempotency::new(store.store());
    let caller = caller();
    let print = requests.fingerprint(&[b"{}"]).expect("hashed");
    let mended = requests.fingerprint(&[b"mended"]).expect("hashed");
    let refused = to_do(&requests, &caller, "n1", print).await;
    refused.forget().await.expect("forgotten");
    let done = to_do(&requests, &caller, "n1", mended).await;
    assert!(!done.effect.again);
    drop(done);
    // It may have had its effect the first time.
    let again = to_do(&requests, &caller, "n1", mended).await;
    again.forget().await.expect("stays");
    let again = to_do(&requests, &caller, "n1", mended).await;
    assert!(again.effect.again);
    again.keep(&kept("{}")).await.expect("stored");

    assert_eq!(requests.sweep(Timestamp::now()).await.expect("swept"), 0);
    let tomorrow = Timestamp::now().plus(Duration::from_secs(25 * 3600));
    assert_eq!(requests.sweep(tomorrow).await.expect("swept"), 1);
    assert!(!to_do(&requests, &caller, "n1", print).await.effect.again);
}

#[tokio::test]
async fn one_key_does_not_fill_the_memory() {
    let (_folder, store) = open();
    let requests = Idempotency::new(store.store()).with_room_for(2);
    let (greedy, other) = (caller(), caller());
    let print = [7; 32];
    to_do(&requests, &greedy, "n1", print).await;
    let refused = to_do(&requests, &greedy, "n2", print).await;
    let full = begin(&requests, &greedy, "n3", print).await.err().expect("full");
    assert_eq!(full.code(), Code::RateLimited);
    assert!(matches!(full.retry(), Retry::After(wait) if wait > Duration::from_secs(23 * 3600)));
    to_do(&requests, &other, "n1", print).await;
    refused.forget().await.expect("forgotten");
    to_do(&requests, &greedy, "n3", print).await;
    assert!(begin(&requests, &greedy, "n4", print).await.is_err());
    // What is known already needs no room, and another process counts what is there.
    assert!(to_do(&requests, &greedy, "n1", print).await.effect.again);
    let later = Idempotency::new(store.store()).with_room_for(2);
    assert!(begin(&later, &greedy, "n4", print).await.is_err());
    let tomorrow = Timestamp::now().plus(Duration::from_secs(25 * 3600));
    assert_eq!(later.sweep(tomorrow).await.expect("swept"), 3);
    to_do(&later, &greedy, "n4", print).await;
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
