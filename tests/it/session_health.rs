//! How sessions are, for an operations panel: status, health, connections, monitoring.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use trunkline::access::Scope;
use trunkline::base::SessionId;
use trunkline::model::SessionState;
use trunkline::sandbox::World;
use trunkline::sandbox::faults::Fault;
use trunkline::sandbox::world::Peer;
use trunkline::sandbox::world::posting::Draft;

use crate::control_api::caller::{Caller, meet};
use crate::stage::{Stage, state, until, view};

const ENOUGH: Duration = Duration::from_secs(10);

/// The names of an object's fields.
fn fields(value: &Value) -> Vec<&str> {
    let object = value.as_object().expect("an object");
    let mut names: Vec<_> = object.keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_chosen_its_status_told_and_its_connection_closed_without_an_end() {
    let stage = Stage::new().await;
    stage.user("+999660000001", "One");
    stage.user("+999660000002", "Two");
    let daemon = stage.daemon().await;
    let one = stage.log_in(&daemon, "+999660000001").await;
    let reader = Caller::new(&daemon, Scope::Read, None).await;
    let manager = Caller::new(&daemon, Scope::Manage, None).await;
    let path = "/api/telegram-auth/status";
    let told = reader.get(path).await.ok();
    assert_eq!(
        fields(&told),
        ["connected", "lastChecked"],
        "the only one needs no name"
    );
    assert_eq!(told["connected"], true);

    let two = stage.log_in(&daemon, "+999660000002").await;
    let refused = reader.get(path).await;
    assert_eq!(refused.refusal(), (400, "INVALID_REQUEST"));
    assert_eq!(
        refused.body["details"]["choices"],
        json!([one.to_string(), two.to_string()])
    );
    let bound = Caller::new(&daemon, Scope::Read, Some(&[two])).await;
    assert_eq!(bound.get(path).await.ok()["connected"], true);
    assert_eq!(
        bound.get(&format!("{path}?session_id={one}")).await.refusal(),
        (404, "NOT_FOUND")
    );
    let named = reader
        .get(&format!("{path}?session_id={}", view(&daemon, one).account.uuid))
        .await;
    // The last proof of life, and not the time of the call.
    let proof = view(&daemon, one).last_proof.expect("it lives").to_string();
    assert_eq!(named.ok()["lastChecked"], proof);

    let path = format!("/api/telegram-auth/disconnect?session_id={one}");
    assert_eq!(reader.post(&path, json!({})).await.refusal(), (403, "FORBIDDEN"));
    for _ in 0..2 {
        let told = manager.post(&path, json!({})).await.ok();
        assert_eq!(told, json!({"success": true, "message": "Disconnected"}));
    }
    assert_eq!(state(&daemon, one), SessionState::Stopped);
    assert_eq!(state(&daemon, two), SessionState::Connected);
    let told = reader
        .get(&format!("/api/telegram-auth/status?session_id={one}"))
        .await
        .ok();
    assert_eq!(
        (&told["connected"], &told["lastChecked"]),
        (&json!(false), &json!(proof))
    );
    daemon.handles.telegram.start(one).await.expect("started");
    until("it is back without a login", || {
        state(&daemon, one) == SessionState::Connected
    })
    .await;
    manager.post(&path, json!({"logout": true})).await.ok();
    assert_eq!(state(&daemon, one), SessionState::LoggedOut);
    daemon.stop(ENOUGH).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_tells_gaps_reconnects_waits_and_what_is_left() {
    let stage = Stage::new().await;
    let (ann, bob) = (
        stage.user("+999660000001", "Ann"),
        stage.user("+999660000002", "Bob"),
    );
    // So that an outage is noticed while it lasts.
    let often = |config: &mut trunkline::config::Config| {
        config.telegram.ping_after = trunkline::base::Span::millis(500);
    };
    let daemon = stage.daemon_with(often).await;
    let session = stage.log_in(&daemon, "+999660000001").await;
    meet(&stage, &daemon, ann, bob).await;
    let sender = Caller::new(&daemon, Scope::Send, None).await;
    let health = async || sender.get("/api/telegram-auth/session-health").await.ok();
    let told = health().await;
    assert_eq!(
        (&told["state"], &told["wanted"]),
        (&json!("connected"), &json!("running"))
    );
    assert_eq!(
        (&told["session"], &told["dc"]),
        (&json!(session.to_string()), &json!(2))
    );
    assert!(
        told["last_ping"]["round_trip_ms"].is_u64() && told["last_ping"]["at"].is_string(),
        "{told}"
    );
    assert!(told["last_update"]["age_seconds"].is_u64(), "{told}");
    assert_eq!(told["restarts_left"], 5);
    assert_eq!(
        (&told["restarts_last_hour"], &told["reconnects_last_hour"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(
        (&told["flood_waits"], &told["queues"]["calls"]),
        (&json!([]), &json!(0))
    );
    assert!(told["authorised_at"].is_string() && told["authorisation_age_seconds"].is_u64());

    let fault = |json: Value| {
        let fault: Fault = serde_json::from_value(json).expect("a fault");
        World::new(stage.world.clone())
            .fault(fault)
            .expect("it can happen");
    };
    let say = |text: &str| {
        let said = Draft::text(text);
        stage
            .world
            .world(|world| world.post(bob, Peer::User(ann), said))
            .expect("posted");
    };
    let gaps = told["gaps"]["filled"].as_u64().expect("a number");
    fault(json!({"kind": "gap"}));
    say("not pushed");
    say("tells that something is missing");
    until("the gap is filled", || {
        view(&daemon, session).health.gaps_filled > gaps
    })
    .await;
    let told = health().await;
    assert_eq!(told["gaps"]["found"], told["gaps"]["filled"], "{told}");

    fault(json!({"kind": "outage", "milliseconds": 3000}));
    until("it has reconnected", || {
        view(&daemon, session).health.reconnects > 0
    })
    .await;
    until("and caught up", || {
        state(&daemon, session) == SessionState::Connected
    })
    .await;

    fault(json!({"kind": "flood_wait", "seconds": 600, "method": "messages.sendMessage"}));
    let message = json!({"chat": bob, "text": "hello"});
    let refused = sender
        .post(&format!("/api/sessions/{session}/messages"), message)
        .await;
    assert_eq!(refused.status, 429, "{refused:?}");
    let told = health().await;
    assert!(told["reconnects_last_hour"].as_u64() >= Some(1), "{told}");
    let waits = told["flood_waits"].as_array().expect("waits");
    assert!(
        !waits.is_empty() && waits.iter().all(|wait| wait["until"].is_string()),
        "{told}"
    );

    let metrics = sender.get("/api/monitoring/telegram").await.ok();
    let methods = metrics["methods"].as_array().expect("methods");
    let send = methods
        .iter()
        .find(|method| method["method"] == "messages.sendMessage")
        .expect("was called");
    assert_eq!(send["flood_wait"], 1);
    assert!(metrics["calls"]["ok"].as_u64() > Some(0) && metrics["latency_ms"]["p99"].is_number());
    assert_eq!(metrics["flood_waits"]["seconds"], 600);
    assert!(metrics["bytes"]["sent"].as_u64() > Some(0) && metrics["bytes"]["received"].as_u64() > Some(0));
    let ping = methods
        .iter()
        .find(|method| method["method"] == "ping")
        .expect("was called");
    assert!(ping["ok"].as_u64() >= Some(1));
    daemon.stop(ENOUGH).await;
}

/// A way to the sandbox that can swallow everything without closing.
struct Tunnel {
    address: SocketAddr,
    open: watch::Sender<bool>,
}

impl Tunnel {
    async fn to(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
        let address = listener.local_addr().expect("an address");
        let open = watch::Sender::new(true);
        let gate = open.subscribe();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (target, mut gate) = (target.clone(), gate.clone());
                tokio::spawn(async move {
                    let mut near = near;
                    let mut far = TcpStream::connect(target).await.expect("connected");
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        () = async { drop(gate.wait_for(|open| !open).await) } => {
                            // A hole: nothing passes, nothing ends.
                            std::future::pending::<()>().await;
                        }
                    }
                });
            }
        });
        Self { address, open }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_dead_is_found_and_replaced() {
    let stage = Stage::new().await;
    stage.user("+999660000001", "Ann");
    stage.user("+999660000002", "Bob");
    let mut target = String::new();
    let probe = stage
        .daemon_with(|config| target = config.telegram.server.dc[0].address.to_string())
        .await;
    probe.stop(ENOUGH).await;
    let tunnel = Tunnel::to(target).await;
    let daemon = stage
        .daemon_with(|config| {
            config.telegram.server.dc[0].address = tunnel.address.to_string().parse().expect("an address");
            // It would be found by itself, later.
            config.telegram.ping_after = trunkline::base::Span::secs(600);
        })
        .await;
    let one = stage.log_in(&daemon, "+999660000001").await;
    let two = stage.log_in(&daemon, "+999660000002").await;
    let manager = Caller::new(&daemon, Scope::Manage, None).await;
    let bound = Caller::new(&daemon, Scope::Manage, Some(&[one])).await;
    let pool = async |caller: &Caller| caller.get("/api/telegram/connection-pool/status").await.ok();
    let clean_up = async |caller: &Caller| {
        let told = caller
            .post("/api/telegram/connection-pool/cleanup", json!({}))
            .await
            .ok();
        assert_eq!(told["success"], true);
        told["closed"].as_u64().expect("a number")
    };
    let told = pool(&manager).await;
    assert_eq!(
        (&told["total"], &told["active"], &told["error"]),
        (&json!(2), &json!(2), &json!(0))
    );
    let connection = &told["connections"][0];
    assert_eq!(fields(connection), ["dc", "id", "metrics", "session", "status"]);
    assert_eq!(fields(&connection["metrics"]), ["errors", "lastUsed", "latency"]);
    assert_eq!(pool(&bound).await["total"], 1);
    assert_eq!(clean_up(&manager).await, 0, "both live");

    let number = |session: SessionId| view(&daemon, session).connection.expect("one").id;
    let (first, other) = (number(one), number(two));
    tunnel.open.send_replace(false);
    let quiet = |session: SessionId| {
        let proof = view(&daemon, session).last_proof.expect("it lived");
        trunkline::base::Timestamp::now().since(proof) > Duration::from_secs(6)
    };
    until("nothing has come for a while", || quiet(one) && quiet(two)).await;
    tunnel.open.send_replace(true);
    assert_eq!(clean_up(&bound).await, 1, "only its own");
    until("there is another connection", || {
        number(one) != first && state(&daemon, one) == SessionState::Connected
    })
    .await;
    assert_eq!(number(two), other);
    daemon.stop(ENOUGH).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_session_is_monitored_page_by_page() {
    let stage = Stage::new().await;
    stage.user("+999660000001", "One");
    stage.user("+999660000002", "Two");
    let daemon = stage.daemon().await;
    let one = stage.log_in(&daemon, "+999660000001").await;
    let two = stage.log_in(&daemon, "+999660000002").await;
    let reader = Caller::new(&daemon, Scope::Read, None).await;
    let bound = Caller::new(&daemon, Scope::Read, Some(&[two])).await;
    let page = reader.get("/api/monitoring/sessions?limit=1").await.ok();
    assert_eq!(page["items"][0]["session"], one.to_string());
    let next = page["next"].as_str().expect("there is more");
    let page = reader
        .get(&format!("/api/monitoring/sessions?limit=1&cursor={next}"))
        .await
        .ok();
    assert_eq!(
        (&page["items"][0]["session"], &page["next"]),
        (&json!(two.to_string()), &Value::Null)
    );
    assert_eq!(page["items"][0]["state"], "connected");
    let seen = bound.items("/api/monitoring/sessions").await;
    assert_eq!((seen.len(), &seen[0]["session"]), (1, &json!(two.to_string())));
    assert_eq!(
        bound.get("/api/monitoring/telegram").await.refusal(),
        (403, "FORBIDDEN")
    );
    daemon.stop(ENOUGH).await;
}
