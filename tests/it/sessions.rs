//! A session's life: login by code, messages in and out, restarts, the end of an authorisation.

use std::time::Duration;

use trunkline::base::{Code, Coded};
use trunkline::model::{ChatId, EventBody, SessionState};
use trunkline::ops::audit::Initiator;
use trunkline::sandbox::World;
use trunkline::sandbox::world::Peer;
use trunkline::sandbox::world::posting::Draft;
use trunkline::telegram::{NewAccount, Outgoing, OutgoingBody};

use crate::stage::{Stage, events, received, state, until, view};

const PATIENCE: Duration = Duration::from_secs(5);

fn text(chat: ChatId, text: &str, random_id: i64) -> Outgoing {
    let body = OutgoingBody::Text {
        text: text.into(),
        entities: vec![],
        preview: true,
        random_id,
    };
    Outgoing {
        chat,
        topic: None,
        reply_to: None,
        silent: false,
        body,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_logs_in_by_code_and_exchanges_messages() {
    let stage = Stage::new().await;
    let ann = stage.user("+989120000001", "Ann");
    let bob = stage.user("+989120000002", "Bob");
    stage
        .world
        .world(|world| world.post(bob, Peer::User(ann), Draft::text("before the login")))
        .expect("posted");
    let daemon = stage.daemon().await;
    let session = stage.log_in(&daemon, "+989120000001").await;
    assert_eq!(view(&daemon, session).account.user_id, Some(ann));

    stage
        .world
        .world(|world| world.post(bob, Peer::User(ann), Draft::text("hello Ann")))
        .expect("posted");
    until("the message is in the journal", || {
        received(&daemon) == ["hello Ann"]
    })
    .await;

    let telegram = &daemon.handles.telegram;
    let sent = telegram
        .send(session, &text(ChatId::user(bob), "hello Bob", 77), PATIENCE)
        .await
        .expect("sent");
    let again = telegram
        .send(session, &text(ChatId::user(bob), "hello Bob", 77), PATIENCE)
        .await
        .expect("sent");
    assert_eq!(sent, again, "the same name is the same message");
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_missed_comes_after_a_restart_once() {
    let stage = Stage::new().await;
    let ann = stage.user("+989120000001", "Ann");
    let bob = stage.user("+989120000002", "Bob");
    let channel = stage
        .world
        .world(|world| world.add_channel(None, bob, "News", true, &[ann]))
        .expect("made");
    let say = |peer: Peer, words: &str| {
        stage
            .world
            .world(|world| world.post(bob, peer, Draft::text(words)))
            .expect("posted");
    };
    say(Peer::Channel(channel), "before the login");
    let daemon = stage.daemon().await;
    let session = stage.log_in(&daemon, "+989120000001").await;
    say(Peer::User(ann), "one");
    say(Peer::Channel(channel), "two");
    until("both arrived", || received(&daemon).len() == 2).await;
    daemon.stop(PATIENCE).await;

    say(Peer::User(ann), "three");
    say(Peer::Channel(channel), "four");
    let daemon = stage.daemon().await;
    until("the session is back", || {
        state(&daemon, session) == SessionState::Connected
    })
    .await;
    until("all arrived", || received(&daemon).len() >= 4).await;
    let mut all = received(&daemon);
    all.sort();
    assert_eq!(all, ["four", "one", "three", "two"]);
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_that_cannot_be_read_does_not_keep_the_session_from_others() {
    let stage = Stage::new().await;
    let ann = stage.user("+989120000001", "Ann");
    let bob = stage.user("+989120000002", "Bob");
    let channel = |title: &str| {
        stage
            .world
            .world(|world| world.add_channel(None, bob, title, true, &[ann]))
            .expect("made")
    };
    let (shut, open) = (channel("Shut"), channel("Open"));
    let say = |channel: i64, words: &str| {
        stage
            .world
            .world(|world| world.post(bob, Peer::Channel(channel), Draft::text(words)))
            .expect("posted");
    };
    let daemon = stage.daemon().await;
    let session = stage.log_in(&daemon, "+989120000001").await;
    say(shut, "one");
    say(open, "two");
    until("both arrived", || received(&daemon).len() == 2).await;
    daemon.stop(PATIENCE).await;

    let refuse = format!(
        r#"{{"kind":"error","code":400,"name":"CHANNEL_PRIVATE","method":"messages.getHistory","chat":{},"times":0}}"#,
        ChatId::channel(shut).0
    );
    let too_long = r#"{"kind":"too_long","method":"updates.getChannelDifference","times":2}"#.to_owned();
    for fault in [refuse, too_long] {
        let fault = serde_json::from_str(&fault).expect("a fault");
        World::new(stage.world.clone()).fault(fault).expect("added");
    }
    say(shut, "three");
    say(open, "four");
    let daemon = stage.daemon().await;
    until("what can be read arrived", || {
        received(&daemon).iter().any(|text| text == "four")
    })
    .await;
    until("the other was asked for", || {
        let faults = World::new(stage.world.clone()).faults();
        faults
            .iter()
            .any(|fault| fault.method.as_deref() == Some("messages.getHistory") && fault.acted > 0)
    })
    .await;
    until("the session is back", || {
        state(&daemon, session) == SessionState::Connected
    })
    .await;
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_code_is_told_and_the_right_one_still_works() {
    let stage = Stage::new().await;
    stage.user("+989120000001", "Ann");
    let daemon = stage.daemon().await;
    let telegram = &daemon.handles.telegram;
    let id = telegram
        .add(NewAccount::default())
        .await
        .expect("added")
        .account
        .id;
    assert_eq!(
        telegram
            .submit_code(id, "12345", Initiator::daemon())
            .await
            .expect_err("no login")
            .code(),
        Code::LoginStep
    );
    let sent = telegram
        .request_code(id, "+98 912 000 0001", Initiator::daemon())
        .await
        .expect("sent");
    assert_eq!(
        sent.account
            .login
            .and_then(|login| login.code)
            .map(|code| code.length),
        Some(5)
    );
    assert_eq!(state(&daemon, id), SessionState::LoggingIn);
    assert_eq!(
        telegram
            .submit_code(id, "00000", Initiator::daemon())
            .await
            .expect_err("wrong")
            .code(),
        Code::PhoneCodeInvalid
    );
    let code = stage
        .world
        .world(|world| world.keys.codes["989120000001"].code.clone());
    telegram
        .submit_code(id, &code, Initiator::daemon())
        .await
        .expect("right");
    telegram
        .submit_code(id, &code, Initiator::daemon())
        .await
        .expect("a repeat is harmless");
    until("it is connected", || {
        state(&daemon, id) == SessionState::Connected
    })
    .await;
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_session_ends_without_a_loop() {
    let stage = Stage::new().await;
    let ann = stage.user("+989120000001", "Ann");
    let daemon = stage.daemon().await;
    let session = stage.log_in(&daemon, "+989120000001").await;
    stage.world.world(|world| {
        let keys: Vec<i64> = world.accounts[&ann].keys.to_vec();
        keys.into_iter().for_each(|key| {
            world.end_key(key, "SESSION_REVOKED");
        });
    });
    let telegram = &daemon.handles.telegram;
    let error = telegram
        .send(session, &text(ChatId::user(ann), "x", 1), PATIENCE)
        .await
        .expect_err("ended");
    assert_eq!(error.code(), Code::SessionExpired);
    until("its state tells", || {
        state(&daemon, session) == SessionState::BadCredentials
    })
    .await;
    let expired = |daemon: &_| {
        events(daemon)
            .iter()
            .filter(|event| matches!(event.body, EventBody::SessionExpired { .. }))
            .count()
    };
    assert_eq!(expired(&daemon), 1);
    daemon.stop(PATIENCE).await;
    let daemon = stage.daemon().await;
    assert_eq!(
        state(&daemon, session),
        SessionState::BadCredentials,
        "it stays ended"
    );
    assert_eq!(expired(&daemon), 1);

    let telegram = &daemon.handles.telegram;
    telegram
        .request_code(session, "+989120000001", Initiator::daemon())
        .await
        .expect("sent");
    let code = stage
        .world
        .world(|world| world.keys.codes["989120000001"].code.clone());
    telegram
        .submit_code(session, &code, Initiator::daemon())
        .await
        .expect("logged in again");
    until("the same entry is back", || {
        state(&daemon, session) == SessionState::Connected
    })
    .await;
    assert_eq!(expired(&daemon), 1);
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_rests_logs_out_and_goes() {
    let stage = Stage::new().await;
    stage.user("+989120000001", "Ann");
    let daemon = stage.daemon().await;
    let session = stage.log_in(&daemon, "+989120000001").await;
    let telegram = &daemon.handles.telegram;
    telegram.stop(session).await.expect("stopped");
    telegram.stop(session).await.expect("may be repeated");
    assert_eq!(state(&daemon, session), SessionState::Stopped);
    telegram.start(session).await.expect("started");
    until("it is back", || {
        state(&daemon, session) == SessionState::Connected
    })
    .await;
    telegram
        .log_out(session, Initiator::daemon())
        .await
        .expect("logged out");
    assert_eq!(state(&daemon, session), SessionState::LoggedOut);
    telegram
        .delete(session, Initiator::daemon())
        .await
        .expect("deleted");
    assert!(telegram.view(session).is_err());
    daemon.stop(PATIENCE).await;
}

/// A key that nothing uses is good at Telegram all the same, and in every export of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_rests_is_logged_out_at_telegram_too() {
    let stage = Stage::new().await;
    let ann = stage.user("+989120000001", "Ann");
    let daemon = stage.daemon().await;
    let telegram = &daemon.handles.telegram;
    let logins = || stage.handle().logins(ann).expect("known").len();
    for deletes in [true, false] {
        let session = stage.log_in(&daemon, "+989120000001").await;
        telegram.stop(session).await.expect("stopped");
        assert_eq!(logins(), 1, "it stays logged in");
        if deletes {
            telegram
                .delete(session, Initiator::daemon())
                .await
                .expect("deleted");
        } else {
            telegram
                .log_out(session, Initiator::daemon())
                .await
                .expect("logged out");
            assert_eq!(state(&daemon, session), SessionState::LoggedOut);
        }
        until("no login is left", || logins() == 0).await;
    }
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_moved_to_another_data_centre_takes_its_session_with_it() {
    let stage = Stage::with_centres(&[2, 4]).await;
    let ann = stage.user("+989120000001", "Ann");
    let bob = stage.user("+989120000002", "Bob");
    let post = |text: &str| {
        stage
            .world
            .world(|world| world.post(bob, Peer::User(ann), Draft::text(text)))
            .expect("posted")
    };
    let daemon = stage.daemon().await;
    let session = stage.log_in(&daemon, "+989120000001").await;
    post("before");
    until("it is told", || received(&daemon) == ["before"]).await;
    stage.handle().set_home(ann, 4).expect("there is one");
    let telegram = &daemon.handles.telegram;
    let outgoing = text(ChatId::user(bob), "hello Bob", 77);
    // It waits for the session to go there.
    let sent = telegram.send(session, &outgoing, PATIENCE).await.expect("sent");
    until("the session lives there", || {
        view(&daemon, session).dc == Some(4) && state(&daemon, session) == SessionState::Connected
    })
    .await;
    post("after");
    until("it goes on", || received(&daemon) == ["before", "after"]).await;
    let again = telegram.send(session, &outgoing, PATIENCE).await.expect("sent");
    assert_eq!(sent, again, "the same message");
    daemon.stop(PATIENCE).await;
    let daemon = stage.daemon().await;
    until("it is there after a restart", || {
        view(&daemon, session).dc == Some(4) && state(&daemon, session) == SessionState::Connected
    })
    .await;
    daemon.stop(PATIENCE).await;
}
