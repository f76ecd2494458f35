//! What listeners are told, and how they come back to it.

use std::io::BufRead;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use trunkline::base::SessionId;
use trunkline::sandbox::world::Peer;
use trunkline::sandbox::world::posting::Draft;

use super::listener::{Listener, happen, ids, reader};
use crate::stage::Stage;

/// The cursor of a frame.
fn cursor(frame: &Value) -> &str {
    frame["cursor"].as_str().expect("every frame has a cursor")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_hears_what_happens_as_it_happens() {
    let stage = Stage::new().await;
    let (me, friend) = (
        stage.user("+999660000001", "Me"),
        stage.user("+999660000002", "Friend"),
    );
    let daemon = stage.daemon().await;
    let session = stage.log_in(&daemon, "+999660000001").await;
    let reader = reader(&daemon).await;
    let name = json!(session.to_string());

    let mut listener = Listener::open(&daemon, &reader, "").await;
    let first = listener.frame().await;
    assert_eq!(
        (&first["type"], &first["connected"]),
        (&json!("status"), &json!(true))
    );
    assert_eq!(first["session"], name);
    assert!(first["lastChecked"].is_string() && first["cursor"].is_string());
    assert_eq!(
        first.as_object().expect("an object").len(),
        5,
        "to the letter: {first}"
    );

    stage
        .world
        .world(|world| world.post(friend, Peer::User(me), Draft::text("hello")))
        .expect("posted");
    let told = listener.find(|frame| frame["type"] == "message.new").await;
    assert_eq!(
        (&told["data"]["text"], &told["session"]),
        (&json!("hello"), &name)
    );
    assert!(told["id"].as_str().is_some_and(|id| id.starts_with("evt_")));

    daemon.handles.telegram.stop(session).await.expect("stopped");
    let status = listener.find(|frame| frame["type"] == "status").await;
    assert_eq!((&status["connected"], &status["session"]), (&json!(false), &name));
    let state = listener.find(|frame| frame["type"] == "session.state").await;
    assert_eq!(state["data"]["to"], "stopped");

    daemon.handles.telegram.start(session).await.expect("started");
    let back = listener
        .find(|frame| frame["type"] == "status" && frame["connected"] == true)
        .await;
    assert!(back["lastChecked"].is_string());
    daemon.stop(Duration::from_secs(10)).await;
}

/// Listens from a cursor until a message with this number has come.
async fn read_on(listener: &mut Listener, upto: i64) -> Vec<Value> {
    listener
        .until(|frame| frame["type"] == "message.new" && frame["data"]["id"] == upto)
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_with_a_cursor_misses_nothing_and_hears_nothing_twice() {
    let stage = Stage::new().await;
    stage.user("+999660000001", "Me");
    let daemon = stage.daemon().await;
    let session = stage.log_in(&daemon, "+999660000001").await;
    let key = reader(&daemon).await.key;
    let caller = crate::control_api::caller::Caller::with_key(&daemon, &key).await;

    let mut listener = Listener::open(&daemon, &caller, "events=message.*,session.*").await;
    happen(&daemon, session, 1..301, "a").await;
    let mut seen = read_on(&mut listener, 300).await;
    // It hangs up without a word, and reads on where it was.
    drop(listener);
    happen(&daemon, session, 301..601, "b").await;
    let query = format!(
        "events=message.*,session.*&since={}",
        cursor(seen.last().expect("some"))
    );
    let mut listener = Listener::open(&daemon, &caller, &query).await;
    seen.extend(read_on(&mut listener, 450).await);
    // Now it is the daemon that goes.
    daemon.stop(Duration::from_secs(20)).await;
    let daemon = stage.daemon().await;
    let caller = crate::control_api::caller::Caller::with_key(&daemon, &key).await;
    happen(&daemon, session, 601..701, "c").await;
    let query = format!(
        "events=message.*,session.*&since={}",
        cursor(seen.last().expect("some"))
    );
    let mut listener = Listener::open(&daemon, &caller, &query).await;
    happen(&daemon, session, 701..801, "d").await;
    seen.extend(read_on(&mut listener, 800).await);

    assert_eq!(ids(&seen), (1..=800).collect::<Vec<_>>());
    let mut events: Vec<_> = seen.iter().map(|frame| frame["id"].to_string()).collect();
    let told = events.len();
    events.sort_unstable();
    events.dedup();
    assert_eq!(events.len(), told, "no event is told twice");
    let journal = crate::stage::events(&daemon);
    let begin = journal
        .iter()
        .position(|event| seen[0]["id"] == event.id.to_string())
        .expect("the first frame is of an event");
    let end = journal
        .iter()
        .position(|event| seen[told - 1]["id"] == event.id.to_string())
        .expect("so is the last");
    let wanted = journal[begin..=end].iter().filter(|event| {
        let name = event.body.kind().as_str();
        name.starts_with("message.") || name.starts_with("session.")
    });
    assert_eq!(wanted.count(), told, "every event of the journal was told");
    daemon.stop(Duration::from_secs(10)).await;
}

/// Frames of one event have places of their own: who leaves between two of them comes back between them.
#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_may_stand_between_two_frames_of_one_event() {
    let stage = Stage::new().await;
    stage.user("+999660000001", "Me");
    let daemon = stage.daemon().await;
    let session = stage.log_in(&daemon, "+999660000001").await;
    let caller = reader(&daemon).await;
    let mut listener = Listener::open(&daemon, &caller, "events=session.state&since=0").await;
    let state = listener
        .find(|frame| frame["type"] == "session.state" && frame["data"]["to"] == "connected")
        .await;
    let within = format!("{}.1", cursor(&state));
    let before = format!("{}", cursor(&state).parse::<u64>().expect("a number") - 1);
    for (since, kinds) in [
        (before.as_str(), vec!["status", "session.state"]),
        (within.as_str(), vec!["session.state"]),
        (cursor(&state), vec![]),
    ] {
        let query = format!("events=session.state,status,message.new&since={since}");
        let mut listener = Listener::open(&daemon, &caller, &query).await;
        listener.frame().await; // the status of the moment
        happen(&daemon, session, 1..2, "end").await;
        let mut frames = read_on(&mut listener, 1).await;
        frames.retain(|frame| frame["type"] != "message.new");
        let told: Vec<_> = frames
            .iter()
            .map(|frame| frame["type"].as_str().expect("a type"))
            .collect();
        assert_eq!(told, kinds, "since {since}");
    }
    daemon.stop(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_away_for_too_long_is_told_which_events_are_gone() {
    let stage = Stage::new().await;
    stage.user("+999660000001", "Me");
    let daemon = stage.daemon().await;
    let session = stage.log_in(&daemon, "+999660000001").await;
    let key = reader(&daemon).await.key;
    happen(&daemon, session, 1..101, "old").await;
    let head = *daemon.handles.store.head().borrow();
    daemon.stop(Duration::from_secs(20)).await;

    // Nothing is kept that everybody has read.
    let daemon = stage.daemon_with(|config| config.store.retention_hours = 0).await;
    let caller = crate::control_api::caller::Caller::with_key(&daemon, &key).await;
    crate::stage::until("the old events are forgotten", || {
        let oldest = daemon.handles.store.oldest_event().expect("readable");
        oldest > head
    })
    .await;
    let mut listener = Listener::open(&daemon, &caller, "since=3&events=message.new").await;
    let told = listener.frame().await;
    assert_eq!(
        (&told["type"], &told["code"]),
        (&json!("error"), &json!("EVENTS_GONE"))
    );
    assert_eq!(told["gone"]["from"], 4);
    let upto = told["gone"]["to"].as_u64().expect("a number");
    assert!(upto >= head, "{told}");
    assert_eq!(cursor(&told), upto.to_string());
    assert_eq!(told["session"], Value::Null);

    // A cursor that lies ahead is none of this journal; it goes on with what is new.
    let mut listener = Listener::open(&daemon, &caller, "since=99999999&events=message.new").await;
    let told = listener.frame().await;
    assert_eq!(
        (&told["code"], &told["gone"]["to"]),
        (&json!("EVENTS_GONE"), &json!(99_999_999))
    );
    happen(&daemon, SessionId::generate(), 7..8, "new").await;
    assert_eq!(listener.frame().await["data"]["id"], 7);
    daemon.stop(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pool_is_told_while_it_is_asked_for() {
    let stage = Stage::new().await;
    stage.user("+999660000001", "Me");
    let daemon = stage.daemon().await;
    let session = stage.log_in(&daemon, "+999660000001").await;
    let caller = reader(&daemon).await;
    let mut listener = Listener::open(&daemon, &caller, "events=pool_status").await;
    let began = std::time::Instant::now();
    for _ in 0..2 {
        let told = listener.frame().await;
        assert_eq!(
            (&told["type"], &told["session"]),
            (&json!("pool_status"), &json!(session.to_string()))
        );
        let connection = &told["connections"][0];
        assert_eq!(connection["status"], "active");
        assert!(connection["metrics"]["latency"].is_u64() && connection["metrics"]["errors"].is_u64());
        assert!(connection["metrics"]["lastUsed"].is_string() && connection["id"].is_string());
    }
    assert!(began.elapsed() >= Duration::from_secs(9), "every ten seconds");
    daemon.stop(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_prints_what_happens() {
    let stage = Stage::new().await;
    let daemon = stage.daemon().await;
    let caller = reader(&daemon).await;
    let session = SessionId::generate();
    happen(&daemon, session, 1..11, "before").await;
    let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"))
        .args(["events", "--follow", "--json", "--since", "0"])
        .args(["--events", "message.*", "--session", "*"])
        .args(["--url", &format!("http://{}", daemon.api_address().await)])
        .env("TRUNKLINE_API_KEY", &caller.key)
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let out = command.stdout.take().expect("piped");
    let lines = tokio::task::spawn_blocking(move || {
        let lines = std::io::BufReader::new(out).lines().take(20);
        let frames = lines.map(|line| serde_json::from_str(&line.expect("a line")).expect("JSON"));
        frames.collect::<Vec<Value>>()
    });
    happen(&daemon, session, 11..21, "meanwhile").await;
    let frames = tokio::time::timeout(super::listener::PATIENCE, lines).await;
    command.kill().expect("ended");
    command.wait().expect("gone");
    let frames = frames.expect("in time").expect("no panic");
    assert_eq!(ids(&frames), (1..=20).collect::<Vec<_>>());
    daemon.stop(Duration::from_secs(10)).await;
}
