//! Who may listen, and to what.

use std::time::Duration;

use serde_json::{Value, json};
use trunkline::access::Scope;
use trunkline::app::Daemon;
use trunkline::ops::audit::Initiator;

use super::listener::{Listener, ask, happen, ids, key, reader};
use crate::control_api::caller::Caller;
use crate::stage::Stage;

/// Status and code of a refusal.
fn refusal(refused: Result<Listener, (u16, Value)>) -> (u16, String) {
    match refused {
        Ok(_) => (101, String::new()),
        Err((status, body)) => (status, body["code"].as_str().expect("a code").to_owned()),
    }
}

async fn opened(daemon: &Daemon, query: &str, headers: &str) -> (u16, String) {
    refusal(Listener::try_open(daemon, query, headers).await)
}

fn no(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_or_a_ticket_is_needed_and_a_ticket_is_good_once() {
    let stage = Stage::new().await;
    let daemon = stage.daemon().await;
    let caller = reader(&daemon).await;
    let ticket = async || {
        let shown = caller.post("/api/ws-ticket", json!({})).await.ok();
        assert_eq!(shown["expires_in"], 30);
        shown["ticket"].as_str().expect("a ticket").to_owned()
    };
    assert_eq!(opened(&daemon, "", "").await, no(401, "UNAUTHORIZED"));
    assert_eq!(
        opened(&daemon, "", "x-api-key: tlk_nobody\r\n").await,
        no(401, "UNAUTHORIZED")
    );
    assert_eq!(
        opened(&daemon, "ticket=tlt_none", "").await,
        no(401, "UNAUTHORIZED")
    );
    let bearer = format!("authorization: Bearer {}\r\n", caller.key);
    assert_eq!(opened(&daemon, "", &bearer).await.0, 101);

    let once = ticket().await;
    assert_eq!(opened(&daemon, &format!("ticket={once}"), "").await.0, 101);
    assert_eq!(
        opened(&daemon, &format!("ticket={once}"), "").await,
        no(401, "UNAUTHORIZED")
    );
    // Many at once, one gets in.
    let contested = format!("ticket={}", ticket().await);
    let tries = (0..8).map(|_| opened(&daemon, &contested, ""));
    let tries = futures_util::future::join_all(tries).await;
    assert_eq!(
        tries.iter().filter(|(status, _)| *status == 101).count(),
        1,
        "{tries:?}"
    );
    // A ticket opens nothing else, and ends with its key.
    let other = ticket().await;
    let (status, _) = ask(
        daemon.api_address().await,
        &format!("/api/sessions?ticket={other}"),
        "",
        None,
    )
    .await
    .expect_err("no route");
    assert_eq!(status, 401);
    let keys = daemon.handles.access.list().expect("keys");
    let story = keys
        .iter()
        .find(|(key, _)| key.name == "story")
        .expect("the reader's");
    daemon
        .handles
        .access
        .revoke(story.0.id, Initiator::daemon())
        .await
        .expect("revoked");
    assert_eq!(
        opened(&daemon, &format!("ticket={other}"), "").await,
        no(401, "UNAUTHORIZED")
    );
    daemon.stop(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_refused_before_anything_is_upgraded() {
    let stage = Stage::new().await;
    let daemon = stage.daemon().await;
    let caller = reader(&daemon).await;
    let key = key(&caller);
    for (query, expected) in [
        ("colour=red", no(400, "INVALID_REQUEST")),
        ("events=message.gone", no(400, "INVALID_REQUEST")),
        ("events=incident.opened", no(403, "FORBIDDEN")),
        ("since=yesterday", no(400, "INVALID_REQUEST")),
        ("session=ses_01jbz4c9v7q4w0y3d8f6k2m5n7", no(404, "NOT_FOUND")),
        ("session=*&session=*", no(400, "INVALID_REQUEST")),
    ] {
        assert_eq!(opened(&daemon, query, &key).await, expected, "{query}");
    }
    // No WebSocket at all.
    assert_eq!(caller.get("/ws").await.refusal(), (400, "INVALID_REQUEST"));
    // Pages of others.
    let address = daemon.api_address().await;
    let page = |origin: &str| format!("{key}origin: {origin}\r\n");
    for origin in ["https://evil.example", "http://evil.example:8000", "null"] {
        assert_eq!(
            opened(&daemon, "", &page(origin)).await,
            no(403, "FORBIDDEN"),
            "{origin}"
        );
    }
    assert_eq!(
        opened(&daemon, "", &page(&format!("http://{address}"))).await.0,
        101
    );
    daemon.stop(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_key_hears_of_its_sessions_alone() {
    let stage = Stage::new().await;
    stage.user("+999660000001", "One");
    stage.user("+999660000002", "Two");
    let daemon = stage.daemon().await;
    let one = stage.log_in(&daemon, "+999660000001").await;
    let two = stage.log_in(&daemon, "+999660000002").await;
    let bound = Caller::new(&daemon, Scope::Read, Some(&[one])).await;
    let ticket = bound.post("/api/ws-ticket", json!({})).await.ok();
    let query = format!(
        "session=*&ticket={}",
        ticket["ticket"].as_str().expect("a ticket")
    );
    let Ok(mut by_ticket) = Listener::try_open(&daemon, &query, "").await else {
        panic!("not opened");
    };
    let mut by_key = Listener::open(&daemon, &bound, "").await;
    let mut chosen = Listener::open(&daemon, &reader(&daemon).await, &format!("session={two}")).await;
    assert_eq!(
        opened(&daemon, &format!("session={two}"), &key(&bound)).await,
        no(404, "NOT_FOUND")
    );
    happen(&daemon, two, 1..20, "not yours").await;
    happen(&daemon, one, 100..101, "yours").await;
    for listener in [&mut by_ticket, &mut by_key] {
        let frames = listener.until(|frame| frame["data"]["id"] == 100).await;
        assert_eq!(ids(&frames), [100]);
        assert!(
            frames.iter().all(|frame| frame["session"] == one.to_string()),
            "{frames:?}"
        );
    }
    let frames = chosen.until(|frame| frame["data"]["id"] == 19).await;
    assert_eq!(ids(&frames).len(), 19);
    daemon.stop(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_so_many_places_for_a_key_and_no_more() {
    let stage = Stage::new().await;
    let daemon = stage
        .daemon_with(|config| config.http.websocket.max_connections_per_key = 2)
        .await;
    let (one, other) = (reader(&daemon).await, reader(&daemon).await);
    let first = Listener::open(&daemon, &one, "").await;
    let _second = Listener::open(&daemon, &one, "").await;
    assert_eq!(opened(&daemon, "", &key(&one)).await, no(503, "TOO_BUSY"));
    assert_eq!(opened(&daemon, "", &key(&other)).await.0, 101);
    drop(first);
    let began = std::time::Instant::now();
    while opened(&daemon, "", &key(&one)).await.0 != 101 {
        assert!(
            began.elapsed() < super::listener::PATIENCE,
            "a place is free again"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    daemon.stop(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_listens_no_longer() {
    let stage = Stage::new().await;
    let daemon = stage
        .daemon_with(|config| config.http.websocket.ping_every = trunkline::base::Span::millis(200))
        .await;
    let caller = reader(&daemon).await;
    let mut listener = Listener::open(&daemon, &caller, "").await;
    let keys = daemon.handles.access.list().expect("keys");
    let story = keys
        .iter()
        .find(|(key, _)| key.name == "story")
        .expect("the reader's");
    daemon
        .handles
        .access
        .revoke(story.0.id, Initiator::daemon())
        .await
        .expect("revoked");
    assert_eq!(listener.end().await.1, Some(4001));
    daemon.stop(Duration::from_secs(10)).await;
}
