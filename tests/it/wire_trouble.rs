//! A session and a server that is in trouble below the level of calls: transport errors, lost introductions.

use std::time::Duration;

use serde_json::{Value, json};
use trunkline::app::Daemon;
use trunkline::base::SessionId;
use trunkline::model::{ChatId, EventBody, SessionState};
use trunkline::sandbox::world::Peer;
use trunkline::sandbox::world::posting::Draft;
use trunkline::telegram::{Outgoing, OutgoingBody};

use crate::stage::{Stage, events, received, state, until};

const PATIENCE: Duration = Duration::from_secs(5);

fn fault(stage: &Stage, fault: Value) {
    let fault = serde_json::from_value(fault).expect("a fault");
    stage.handle().fault(fault).expect("taken");
}

fn acted(stage: &Stage) -> u32 {
    stage.handle().faults().iter().map(|fault| fault.acted).sum()
}

/// Cuts the account's connections and waits until all trouble has acted and the session is back.
async fn cut_and_return(stage: &Stage, daemon: &Daemon, session: SessionId, account: i64, times: u32) {
    fault(stage, json!({"kind": "disconnect", "account": account}));
    until("the trouble has acted", || acted(stage) == times).await;
    until("the session is back", || {
        state(daemon, session) == SessionState::Connected
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_one_connection_does_not_find_is_no_lost_login() {
    let stage = Stage::new().await;
    let ann = stage.user("+989120000001", "Ann");
    let bob = stage.user("+989120000002", "Bob");
    let daemon = stage.daemon().await;
    let session = stage.log_in(&daemon, "+989120000001").await;
    for (round, framed) in [false, true].into_iter().enumerate() {
        stage.handle().clear_faults(None);
        fault(
            &stage,
            json!({"kind": "transport_error", "code": -404, "framed": framed, "account": ann}),
        );
        cut_and_return(&stage, &daemon, session, ann, 1).await;
        let text = format!("round {round}");
        stage
            .world
            .world(|world| world.post(bob, Peer::User(ann), Draft::text(&text)))
            .expect("posted");
        until("the message has come", || received(&daemon).contains(&text)).await;
    }
    let ended = |event: &trunkline::model::Event| matches!(event.body, EventBody::SessionExpired { .. });
    assert!(!events(&daemon).iter().any(ended));
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_connections_pass_however_they_are_told() {
    let stage = Stage::new().await;
    let ann = stage.user("+989120000001", "Ann");
    let daemon = stage.daemon().await;
    let session = stage.log_in(&daemon, "+989120000001").await;
    for framed in [false, true] {
        stage.handle().clear_faults(None);
        fault(
            &stage,
            json!({"kind": "transport_error", "code": -429, "framed": framed, "account": ann, "times": 2}),
        );
        cut_and_return(&stage, &daemon, session, ann, 2).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_address_has_too_many_connections_all_sessions_wait() {
    let stage = Stage::new().await;
    let ann = stage.user("+989120000001", "Ann");
    let bob = stage.user("+989120000002", "Bob");
    let daemon = stage.daemon().await;
    stage.log_in(&daemon, "+989120000001").await;
    let other = stage.log_in(&daemon, "+989120000002").await;
    until("the other is there", || {
        state(&daemon, other) == SessionState::Connected
    })
    .await;
    fault(
        &stage,
        json!({"kind": "transport_error", "code": -429, "account": ann, "times": 3}),
    );
    fault(&stage, json!({"kind": "disconnect", "account": ann}));
    until("the trouble has acted", || acted(&stage) == 3).await;
    assert_eq!(
        state(&daemon, other),
        SessionState::Connected,
        "what stands is left alone"
    );
    let cut = std::time::Instant::now();
    fault(&stage, json!({"kind": "disconnect", "account": bob}));
    until("the other is away", || {
        state(&daemon, other) != SessionState::Connected
    })
    .await;
    until("the other is back", || {
        state(&daemon, other) == SessionState::Connected
    })
    .await;
    // One that nothing holds up is back in less than half a second.
    let away = cut.elapsed();
    assert!(away > Duration::from_millis(800), "it was back after {away:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_stays_unknown_ends_the_session_in_both_forms_of_the_word() {
    for framed in [false, true] {
        let stage = Stage::new().await;
        let ann = stage.user("+989120000001", "Ann");
        let daemon = stage.daemon().await;
        let session = stage.log_in(&daemon, "+989120000001").await;
        fault(
            &stage,
            json!({"kind": "transport_error", "code": -404, "framed": framed, "account": ann, "times": 0}),
        );
        fault(&stage, json!({"kind": "disconnect", "account": ann}));
        until("the session has ended", || {
            state(&daemon, session) == SessionState::BadCredentials
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_introduction_that_the_server_has_forgotten_costs_no_send() {
    let stage = Stage::new().await;
    let ann = stage.user("+989120000001", "Ann");
    let bob = stage.user("+989120000002", "Bob");
    let daemon = stage.daemon().await;
    let session = stage.log_in(&daemon, "+989120000001").await;
    stage
        .world
        .world(|world| world.post(bob, Peer::User(ann), Draft::text("hello")))
        .expect("posted");
    until("Bob is known", || received(&daemon) == ["hello"]).await;
    for (random_id, name) in [(71, "CONNECTION_NOT_INITED"), (72, "CONNECTION_LAYER_INVALID")] {
        fault(
            &stage,
            json!({"kind": "error", "code": 400, "name": name, "method": "messages.sendMessage"}),
        );
        let outgoing = Outgoing {
            chat: ChatId::user(bob),
            topic: None,
            reply_to: None,
            silent: false,
            body: OutgoingBody::Text {
                text: name.into(),
                entities: vec![],
                preview: true,
                random_id,
            },
        };
        let sent = daemon.handles.telegram.send(session, &outgoing, PATIENCE).await;
        assert_eq!(sent.expect("sent").len(), 1);
    }
}

/// What breaks each connection before it is of use is not asked for again without a pause that grows.
#[tokio::test(flavor = "multi_thread")]
async fn pauses_grow_while_connections_are_made_and_catch_up_with_nothing() {
    let stage = Stage::new().await;
    let ann = stage.user("+989120000001", "Ann");
    let daemon = stage.daemon().await;
    let session = stage.log_in(&daemon, "+989120000001").await;
    fault(
        &stage,
        json!({"kind": "drop_before", "method": "updates.*", "account": ann, "times": 4}),
    );
    let begun = tokio::time::Instant::now();
    cut_and_return(&stage, &daemon, session, ann, 4).await;
    // Pauses of 300 ms that double, each off by half of itself at most: 5 of them.
    assert!(begun.elapsed() >= Duration::from_millis(150 * (1 + 2 + 4 + 8)));
}
