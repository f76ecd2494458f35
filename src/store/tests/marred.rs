//! Damage in the committer's way: it is told of and stepped over, and never ends what can go on.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::basics::{Things, event, open, thing};
use super::damage::{flip, key, moved_aside};
use crate::base::Timestamp;
use crate::store::batch::Op;
use crate::store::committer::{Job, Unit};
use crate::store::row::VALUE_LIMIT;
use crate::store::table::row_key;
use crate::store::{Batch, Condition, OpenStore, Store, StoreError, Table, apply, catalog, check, journal};

/// A unit whose look at a row ends so.
async fn looking(
    store: &Store,
    check: impl FnOnce() -> Result<bool, StoreError> + Send + 'static,
) -> Result<(), StoreError> {
    let (reply, answer) = oneshot::channel();
    let put = Op::Put {
        entry: Things::ENTRY,
        key: row_key(&Things::ENTRY, &key(77)),
        value: crate::store::row::Packed::new(Vec::new()),
    };
    let look = Op::Require {
        entry: Things::ENTRY,
        key: row_key(&Things::ENTRY, &key(78)),
        check: Box::new(move |_| check()),
    };
    let unit = Unit {
        ops: vec![put, look],
        since: Instant::now(),
        reply,
    };
    let jobs = store.live().expect("open").jobs.clone();
    jobs.send(Job::Commit(unit)).expect("it works");
    answer.await.expect("it answers").map(drop)
}

#[tokio::test]
async fn a_page_that_a_unit_cannot_read_is_told_of_and_the_rest_goes_on() {
    for panics in [false, true] {
        let folder = tempfile::tempdir().expect("a folder");
        let store = open(&folder);
        let answer = looking(&store, move || match panics {
            false => Err(StoreError::DamagedPage {
                what: "a page".to_owned(),
            }),
            true => std::panic::resume_unwind(Box::new("as sled does")),
        });
        let answer = answer.await;
        assert!(
            matches!(answer, Err(StoreError::DamagedPage { .. })),
            "{answer:?}"
        );
        assert!(matches!(store.condition(), Condition::Damaged(_)), "it is told");
        let mut batch = Batch::new();
        batch.put::<Things>(&key(1), &thing("sound"));
        store.commit(batch).await.expect("the others' commits go on");
        assert!(
            !store.contains::<Things>(&key(77)).expect("reads"),
            "the unit left no trace"
        );
    }
}

#[tokio::test]
async fn a_row_written_soundly_in_the_group_that_met_its_damage_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder);
    let mut batch = Batch::new();
    batch.put::<Things>(&key(1), &thing("sound"));
    store.commit(batch).await.expect("commits");
    flip(&store, &row_key(&Things::ENTRY, &key(1)));
    // While the committer is held up, both come to wait, and so are of one group.
    let (entered, is_entered) = mpsc::channel();
    let (go, may_go) = mpsc::channel::<()>();
    let holding = tokio::spawn({
        let store = store.store();
        async move {
            looking(&store, move || {
                entered.send(()).expect("somebody waits");
                may_go.recv().expect("is told");
                Ok(true)
            })
            .await
        }
    });
    tokio::task::yield_now().await;
    is_entered
        .recv_timeout(Duration::from_secs(20))
        .expect("it looks");
    let mut meets = Batch::new();
    meets.require::<Things>(&key(1), |row| row.is_some());
    let mut writes = Batch::new();
    writes.put::<Things>(&key(1), &thing("anew"));
    let both = [meets, writes].map(|batch| {
        let store = store.store();
        tokio::spawn(async move { store.commit(batch).await })
    });
    for _ in 0..5 {
        tokio::task::yield_now().await;
    }
    go.send(()).expect("it waits");
    holding.await.expect("runs").expect("commits");
    let [meets, writes] = both;
    let met = meets.await.expect("runs");
    assert!(matches!(met, Err(StoreError::BadRow { .. })), "{met:?}");
    writes.await.expect("runs").expect("commits");
    // Whatever the committer does about the damage, it has done by the answer to the next one.
    store.commit(Batch::new()).await.expect("commits");
    assert_eq!(store.get::<Things>(&key(1)).expect("reads"), Some(thing("anew")));
    assert_eq!(store.quarantined(9).expect("reads"), []);
}

#[tokio::test]
async fn what_was_moved_aside_was_there_for_preconditions_and_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder);
    let mut batch = Batch::new();
    batch.put::<Things>(&key(1), &thing("sound"));
    batch.append(event("once"), Some(b"name".to_vec()));
    store.commit(batch).await.expect("commits");
    flip(&store, &row_key(&Things::ENTRY, &key(1)));
    flip(&store, &apply::known_key(b"name".to_vec()));
    assert!(store.get::<Things>(&key(1)).is_err());
    assert!(store.known_event(b"name").is_err());
    moved_aside(&store, 2).await;

    let absent = |batch: &mut Batch| {
        batch.require::<Things>(&key(1), |row| row.is_none());
    };
    let mut batch = Batch::new();
    absent(&mut batch);
    let answer = store.commit(batch).await;
    assert!(matches!(answer, Err(StoreError::BadRow { .. })), "{answer:?}");
    assert!(store.knows(b"name").expect("reads"));
    let mut batch = Batch::new();
    batch.append(event("twice"), Some(b"name".to_vec()));
    assert_eq!(store.commit(batch).await.expect("commits").repeated, 1);
    // Whoever decides anew what stands there may ask.
    let mut batch = Batch::new();
    batch.remove::<Things>(&key(1));
    absent(&mut batch);
    store.commit(batch).await.expect("commits");
}

#[tokio::test]
async fn a_damaged_value_too_large_to_be_kept_goes_all_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder);
    let mut batch = Batch::new();
    let mut state = 7u64;
    let noise = (0..VALUE_LIMIT).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    });
    batch.put_plain(catalog::PAIRS, row_key(&Things::ENTRY, &key(1)), noise.collect());
    store.commit(batch).await.expect("commits");
    flip(
        &store,
        &crate::store::row::part_key(&row_key(&Things::ENTRY, &key(1)), 3),
    );
    assert!(store.get::<Things>(&key(1)).is_err());
    moved_aside(&store, 1).await;
    let aside = store.quarantined(9).expect("reads");
    assert!(aside[0].reason.contains("too many to be kept"), "{aside:?}");
    let mut batch = Batch::new();
    batch.put::<Things>(&key(1), &thing("anew"));
    store.commit(batch).await.expect("it works on");
    assert_eq!(store.get::<Things>(&key(1)).expect("reads"), Some(thing("anew")));
}

/// Until no event is kept.
async fn all_forgotten(store: &OpenStore) {
    for _ in 0..1000 {
        if store.oldest_event().expect("reads") > *store.head().borrow() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the oldest event is {:?}", store.oldest_event());
}

#[tokio::test]
async fn an_event_of_a_clock_that_was_ahead_keeps_no_other_one() {
    const DAYS: Duration = Duration::from_secs(80 * 3600);
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder);
    let (now, mut batch) = (Timestamp::now(), Batch::new());
    for at in [
        now.plus(100 * DAYS),
        now.minus(DAYS),
        now.plus(200 * DAYS),
        now.minus(DAYS),
    ] {
        let mut event = event("x");
        event.at = at;
        batch.append(event, None);
    }
    for _ in 0..1000 {
        let mut event = event("x");
        event.at = now.minus(DAYS);
        batch.append(event, None);
    }
    store.commit(batch).await.expect("commits");
    let before = store.export(std::io::sink()).await.expect("exports").generation;
    all_forgotten(&store).await;
    let after = store.export(std::io::sink()).await.expect("exports").generation;
    assert!(
        after - before < 10,
        "{} commits for a thousand events",
        after - before
    );
}

#[tokio::test]
async fn a_damaged_event_leaves_no_name_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder);
    let mut batch = Batch::new();
    for number in 0..6u8 {
        batch.append(event("x"), Some(vec![number]));
    }
    store.commit(batch).await.expect("commits");
    // One that a reader meets, and one that is met when it is to go.
    flip(&store, &journal::event_key(2));
    flip(&store, &journal::event_key(5));
    assert!(store.event(2).is_err());
    moved_aside(&store, 1).await;
    store.set_ahead(Duration::from_secs(80 * 3600));
    all_forgotten(&store).await;
    for _ in 0..1000 {
        if !(0..6u8).any(|number| store.knows(&[number]).expect("reads")) {
            drop(store);
            let report = check(&crate::store::StoreConfig::in_folder(folder.path().join("data")));
            let report = report.expect("checks");
            assert_eq!(report.faults, 0, "{report:?}");
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("a name is still known");
}
