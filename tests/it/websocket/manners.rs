//! Bad neighbours: who does not read, does not answer, talks too much, or talks nonsense.

use std::time::Duration;

use futures_util::StreamExt;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use trunkline::base::{SessionId, Span};

use super::listener::{Listener, PATIENCE, ask, happen, ids, key, reader};
use crate::stage::Stage;

/// A value of the metrics.
async fn metric(daemon: &trunkline::app::Daemon, series: &str) -> f64 {
    let address = daemon.metrics_address().expect("metrics are served");
    let answer = reqwest::get(format!("http://{address}/metrics"))
        .await
        .expect("an answer");
    let text = answer.text().await.expect("a text");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_listener_is_told_and_cut_off_and_the_others_hear_all() {
    let stage = Stage::new().await;
    let daemon = stage
        .daemon_with(|config| config.http.websocket.write_timeout = Span::secs(1))
        .await;
    let caller = reader(&daemon).await;
    let series = "trunkline_ws_cut_off_total{why=\"slow\"}";
    let before = metric(&daemon, series).await;
    let (stream, rest) = ask(daemon.api_address().await, "/ws", &key(&caller), Some(4096))
        .await
        .expect("opened");
    let mut quick = Listener::open(&daemon, &caller, "").await;
    let session = SessionId::generate();
    let text = "x".repeat(3000);
    let writing = happen(&daemon, session, 1..4001, &text);
    let reading = quick.until(|frame| frame["data"]["id"] == 4000);
    // The slow one begins to read when it has been given up: what was on its way, then why nothing follows.
    let reading_late = async {
        let began = std::time::Instant::now();
        while metric(&daemon, series).await <= before {
            assert!(began.elapsed() < PATIENCE, "it was not given up");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let socket = WebSocketStream::from_partially_read(stream, rest, Role::Client, None).await;
        Listener { socket }.end().await
    };
    let ((), frames, (slow, code)) = tokio::join!(writing, reading, reading_late);
    assert_eq!(
        ids(&frames),
        (1..=4000).collect::<Vec<_>>(),
        "the quick one hears all"
    );
    assert!(slow.len() < 4000, "it was cut off");
    let last = slow.last().expect("it got something");
    assert_eq!((last["code"].as_str(), code), (Some("TOO_SLOW"), Some(4008)));
    // It comes back with its last cursor and misses nothing.
    let seen = ids(&slow);
    assert_eq!(seen, (1..=seen.len() as i64).collect::<Vec<_>>());
    let query = format!("since={}", last["cursor"].as_str().expect("a cursor"));
    let mut back = Listener::open(&daemon, &caller, &query).await;
    let frames = back.until(|frame| frame["data"]["id"] == 4000).await;
    assert_eq!(ids(&frames), (seen.len() as i64 + 1..=4000).collect::<Vec<_>>());
    daemon.stop(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_answers_no_ping_is_cut_off_and_who_does_stays() {
    let stage = Stage::new().await;
    let daemon = stage
        .daemon_with(|config| config.http.websocket.ping_every = Span::millis(500))
        .await;
    let caller = reader(&daemon).await;
    let address = daemon.api_address().await;
    let (mut mute, _) = ask(address, "/ws", &key(&caller), None).await.expect("opened");
    let mut lively = Listener::open(&daemon, &caller, "").await;
    let answering = tokio::spawn(async move {
        let frame = lively.frame().await;
        (frame, lively)
    });
    let mut heard = Vec::new();
    timeout(PATIENCE, mute.read_to_end(&mut heard))
        .await
        .expect("cut off in time")
        .ok();
    assert_eq!(heard, [0x89, 0x00], "one ping, and then the end");
    tokio::time::sleep(Duration::from_secs(2)).await;
    happen(&daemon, SessionId::generate(), 5..6, "still there?").await;
    let (frame, _lively) = timeout(PATIENCE, answering)
        .await
        .expect("in time")
        .expect("no panic");
    assert_eq!(frame["data"]["id"], 5);
    daemon.stop(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_pings_is_understood() {
    let stage = Stage::new().await;
    let daemon = stage.daemon().await;
    let caller = reader(&daemon).await;
    for (message, code) in [
        (Message::text("subscribe"), 1003),
        (Message::binary(vec![1, 2, 3]), 1003),
        (Message::text("x".repeat(5000)), 1009),
    ] {
        let mut listener = Listener::open(&daemon, &caller, "").await;
        listener.say(message).await;
        assert_eq!(listener.end().await.1, Some(code));
    }
    let mut listener = Listener::open(&daemon, &caller, "").await;
    listener.say(Message::Ping(vec![7].into())).await;
    let answer = timeout(PATIENCE, listener.socket.next()).await.expect("in time");
    assert_eq!(
        answer.expect("it goes on").expect("a frame"),
        Message::Pong(vec![7].into())
    );
    let mut listener = Listener::open(&daemon, &caller, "").await;
    for _ in 0..500 {
        // It may be gone before all are said.
        use futures_util::SinkExt;
        listener.socket.feed(Message::Ping(vec![].into())).await.ok();
    }
    assert_eq!(listener.end().await.1, Some(1008), "too many");
    daemon.stop(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_daemon_is_told() {
    let stage = Stage::new().await;
    let daemon = stage.daemon().await;
    let caller = reader(&daemon).await;
    let mut listener = Listener::open(&daemon, &caller, "").await;
    let began = std::time::Instant::now();
    let (_, (_, code)) = tokio::join!(daemon.stop(Duration::from_secs(20)), listener.end());
    assert_eq!(code, Some(1001));
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "it did not wait for the listener"
    );
}

/// Whatever bytes follow the handshake, the listener ends or goes on, its place is free afterwards, and nobody else
/// notices.
#[tokio::test(flavor = "multi_thread")]
async fn no_bytes_of_a_listener_do_harm() {
    let stage = Stage::new().await;
    let daemon = stage
        .daemon_with(|config| config.http.websocket.max_connections_per_key = 1)
        .await;
    let (rude, quiet) = (reader(&daemon).await, reader(&daemon).await);
    let address = daemon.api_address().await;
    let mut witness = Listener::open(&daemon, &quiet, "").await;
    let frame = (
        any::<u8>(),
        any::<u8>(),
        proptest::collection::vec(any::<u8>(), 0..40),
    )
        .prop_map(|(first, second, rest)| [vec![first, second], rest].concat());
    let bytes = prop_oneof![frame, proptest::collection::vec(any::<u8>(), 0..3000)];
    let mut runner = TestRunner::new(Config::default());
    let cases: Vec<Vec<u8>> = (0..60)
        .map(|_| bytes.new_tree(&mut runner).expect("a case").current())
        .collect();
    for bytes in cases {
        let began = std::time::Instant::now();
        // The place of the one before is free as soon as it is gone.
        let mut stream = loop {
            match ask(address, "/ws", &key(&rude), None).await {
                Ok((stream, _)) => break stream,
                Err((503, _)) => assert!(began.elapsed() < PATIENCE, "the place is free again"),
                Err(refused) => panic!("{refused:?}"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        stream.write_all(&bytes).await.ok();
        stream.shutdown().await.ok();
        let mut answer = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut answer))
            .await
            .expect("an end in time")
            .ok();
    }
    happen(&daemon, SessionId::generate(), 1..2, "still here").await;
    assert_eq!(witness.frame().await["data"]["id"], 1);
    let tree: Value = serde_json::to_value(daemon.tree().snapshot().await).expect("JSON");
    let listeners = tree["children"].as_array().expect("children").iter();
    let restarts = listeners
        .filter(|child| child["id"] == "http")
        .map(|child| &child["restarts"]);
    assert_eq!(restarts.collect::<Vec<_>>(), [&serde_json::json!(0)]);
    daemon.stop(Duration::from_secs(10)).await;
}
