//! The rotation of an auth key: the account goes on under a fresh one, and nobody notices but its list of devices.

use std::time::Duration;

use trunkline::app::Daemon;
use trunkline::base::{Code, Coded, Secret, SessionId};
use trunkline::model::{ChatId, EventBody, SessionState};
use trunkline::ops::audit::Initiator;
use trunkline::sandbox::world::Peer;
use trunkline::sandbox::world::posting::Draft;
use trunkline::sandbox::world::settings::Change;
use trunkline::telegram::{Outgoing, OutgoingBody};

use crate::stage::{Stage, events, received, state, until};

const PHONE: &str = "+989120000001";

/// How the rotations went, in order.
fn told(daemon: &Daemon) -> Vec<(String, Option<String>)> {
    let rotations = events(daemon).into_iter().filter_map(|event| match event.body {
        EventBody::SessionRotation { status, error, .. } => Some((status, error)),
        _ => None,
    });
    rotations.collect()
}

fn completed() -> [(String, Option<String>); 2] {
    ["started", "completed"].map(|status| (status.to_owned(), None))
}

async fn send(daemon: &Daemon, id: SessionId, to: i64, words: &str, random_id: i64) {
    let outgoing = Outgoing {
        chat: ChatId::user(to),
        topic: None,
        reply_to: None,
        silent: false,
        body: OutgoingBody::Text {
            text: words.to_owned(),
            entities: Vec::new(),
            preview: false,
            random_id,
        },
    };
    let patience = Duration::from_secs(20);
    let sent = daemon.handles.telegram.send(id, &outgoing, patience).await;
    sent.unwrap_or_else(|error| panic!("{words} is sent: {error}"));
}

#[tokio::test]
async fn messages_flow_both_ways_while_the_key_changes() {
    let stage = Stage::new().await;
    let (ann, bob) = (stage.user(PHONE, "Ann"), stage.user("+989120000002", "Bob"));
    let daemon = stage.daemon().await;
    let id = stage.log_in(&daemon, PHONE).await;
    let people = stage.handle();
    let before = people.logins(ann).expect("known");
    assert_eq!(before.len(), 1);
    let says = |words: String| {
        let posted = |world: &mut trunkline::sandbox::world::State| {
            world.post(bob, Peer::User(ann), Draft::text(&words))
        };
        stage.world.world(posted).expect("posted");
    };
    says("first".to_owned());
    until("it arrives", || received(&daemon).len() == 1).await;

    let mut said = 1;
    for round in 1..=3_usize {
        let rotation = daemon
            .handles
            .telegram
            .rotate(id, None, Initiator::daemon())
            .await
            .expect("begins");
        let again = daemon
            .handles
            .telegram
            .rotate(id, None, Initiator::daemon())
            .await;
        assert!(again.is_ok_and(|again| again == rotation), "one at a time");
        let mut number = 0;
        while told(&daemon).len() < 2 * round {
            number += 1;
            says(format!("{round} {number}"));
            send(
                &daemon,
                id,
                bob,
                &format!("answer {round} {number}"),
                (round * 1000 + number) as i64,
            )
            .await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        said += number;
    }
    assert_eq!(told(&daemon), [completed(), completed(), completed()].concat());
    until("all has arrived", || received(&daemon).len() >= said).await;
    let arrived = received(&daemon);
    let mut once = arrived.clone();
    once.sort();
    once.dedup();
    assert_eq!((once.len(), arrived.len()), (said, said), "{arrived:?}");
    let seen = (stage.world).look(|world| world.view_messages(bob, Peer::User(ann), 0, 10_000, false));
    let answers = seen.iter().filter(|message| message.text.starts_with("answer"));
    assert_eq!(answers.count(), said - 1, "each answer once");
    until("it is connected", || {
        state(&daemon, id) == SessionState::Connected
    })
    .await;
    let after = people.logins(ann).expect("known");
    assert_eq!(after.len(), 1, "the former one is gone: {after:?}");
    assert_ne!(after[0].session, before[0].session);
    daemon.stop(Duration::from_secs(10)).await;
}

#[tokio::test]
async fn an_account_with_a_password_needs_it() {
    let stage = Stage::new().await;
    let ann = stage.user(PHONE, "Ann");
    let daemon = stage.daemon().await;
    let id = stage.log_in(&daemon, PHONE).await;
    let people = stage.handle();
    people.set_password(ann, "correct horse", "a pet").expect("set");
    people.set(Change {
        // A session of less than a day may not end others.
        fresh_login: Some(0),
        ..Change::default()
    });
    let before = people.logins(ann).expect("known");
    let telegram = &daemon.handles.telegram;

    let refused = telegram
        .rotate(id, None, Initiator::daemon())
        .await
        .expect_err("no password");
    assert_eq!(refused.code(), Code::PasswordRequired);
    telegram
        .rotate(id, Some(Secret::new("wrong horse")), Initiator::daemon())
        .await
        .expect("begins");
    until("it failed", || told(&daemon).len() == 2).await;
    assert_eq!(
        told(&daemon)[1],
        ("failed".to_owned(), Some("PASSWORD_HASH_INVALID".to_owned()))
    );
    let left = people.logins(ann).expect("known");
    assert_eq!(left.len(), 1, "nothing is left of it: {left:?}");
    assert_eq!(left[0].session, before[0].session);
    assert_eq!(state(&daemon, id), SessionState::Connected, "the session goes on");

    telegram
        .rotate(id, Some(Secret::new("correct horse")), Initiator::daemon())
        .await
        .expect("begins");
    until("it is done", || told(&daemon).len() == 4).await;
    assert_eq!(told(&daemon)[2..], completed());
    let after = people.logins(ann).expect("known");
    assert_eq!(after.len(), 1);
    assert_ne!(after[0].session, before[0].session);
    daemon.stop(Duration::from_secs(10)).await;
}

#[tokio::test]
async fn a_session_that_is_deleted_takes_its_rotation_along() {
    let stage = Stage::new().await;
    let ann = stage.user(PHONE, "Ann");
    let daemon = stage.daemon().await;
    let id = stage.log_in(&daemon, PHONE).await;
    let telegram = &daemon.handles.telegram;
    telegram
        .rotate(id, None, Initiator::daemon())
        .await
        .expect("begins");
    telegram.delete(id, Initiator::daemon()).await.expect("deleted");
    assert!(telegram.view(id).is_err());
    until("no login is left", || {
        stage.handle().logins(ann).expect("known").is_empty()
    })
    .await;
    daemon.stop(Duration::from_secs(10)).await;
}
