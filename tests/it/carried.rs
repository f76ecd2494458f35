//! Sessions go from hand to hand: what the daemon hands out is used by Telethon and kurigram, and what they write is
//! brought into a daemon. See `interop` for where those are looked for.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use trunkline::app::Daemon;
use trunkline::base::{Secret, SessionId};
use trunkline::model::SessionState;
use trunkline::ops::audit::Initiator;
use trunkline::sandbox::world::Peer;
use trunkline::sandbox::world::posting::Draft;
use trunkline::telegram::{Form, NewAccount};

use crate::interop::python_with;
use crate::stage::{Stage, received, state, until, view};

const PHONE: &str = "+989120000001";
const PATIENCE: Duration = Duration::from_secs(5);

/// The client of somebody else, as a process.
struct Hand(Child);

impl Hand {
    /// None if the client is not there.
    fn of(stage: &Stage, client: &str, phone: Option<&str>) -> Option<Self> {
        let python = python_with(client)?;
        let address = stage.address();
        let story = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/session_string.py");
        let process = Command::new(python)
            .arg(story)
            .args([client, &address.ip().to_string(), &address.port().to_string()])
            .args(phone)
            .env("RSA_PUBLIC_KEY", stage.public_key())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        Some(Self(process.expect("python3 runs")))
    }

    fn tell(&mut self, text: &str) {
        let input = self.0.stdin.as_mut().expect("piped");
        writeln!(input, "{text}").expect("it listens");
    }

    /// The next line it says.
    fn said(&mut self) -> Value {
        let mut line = String::new();
        // A byte at a time: what follows stays for the next call.
        let mut output = BufReader::with_capacity(1, self.0.stdout.as_mut().expect("piped"));
        output.read_line(&mut line).expect("text");
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("it ended before it said all: {line}"))
    }

    /// Whose the session is that it used, and how it writes it.
    fn result(mut self) -> (i64, Secret) {
        let said = self.said();
        assert!(self.0.wait().expect("ends").success());
        let session = said["session"].as_str().expect("a text");
        (said["user_id"].as_i64().expect("a number"), Secret::new(session))
    }
}

async fn elsewhere(stage: &Stage) -> Daemon {
    stage
        .daemon_with(|config| config.store.folder = config.store.folder.with_file_name("elsewhere"))
        .await
}

/// The daemon takes a session over, and hears with it.
async fn taken(stage: &Stage, daemon: &Daemon, form: Form, session: &Secret, ann: i64) -> SessionId {
    let import = daemon
        .handles
        .telegram
        .import(NewAccount::default(), form, session, Initiator::daemon());
    let id = import.await.expect("brought in").account.id;
    assert_eq!(view(daemon, id).account.user_id, Some(ann));
    until("it is connected", || state(daemon, id) == SessionState::Connected).await;
    let (bob, heard) = (stage.user("+989120000002", "Bob"), received(daemon).len());
    let said = stage
        .world
        .world(|world| world.post(bob, Peer::User(ann), Draft::text("to the new hands")));
    said.expect("posted");
    until("it hears", || received(daemon).len() > heard).await;
    id
}

/// Handed out by a daemon, used by the client, and what that writes brought into another daemon.
async fn round(client: &str, form: Form) {
    let stage = Stage::new().await;
    let ann = stage.user(PHONE, "Ann");
    let Some(mut hand) = Hand::of(&stage, client, None) else {
        return;
    };
    let daemon = stage.daemon().await;
    let session = stage.log_in(&daemon, PHONE).await;
    let text = daemon
        .handles
        .telegram
        .export(session, form, Initiator::daemon())
        .await
        .expect("handed out");
    daemon.stop(PATIENCE).await;

    let (user, written) = tokio::task::spawn_blocking(move || {
        hand.tell(text.expose());
        hand.result()
    })
    .await
    .expect("no panic");
    assert_eq!(user, ann);
    let daemon = elsewhere(&stage).await;
    taken(&stage, &daemon, form, &written, ann).await;
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn telethon_uses_what_the_daemon_hands_out_and_hands_it_back() {
    round("telethon", Form::Telethon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kurigram_uses_what_the_daemon_hands_out_and_hands_it_back() {
    round("pyrogram", Form::Pyrogram).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_uses_what_telethon_logged_in_and_hands_it_on() {
    let stage = Stage::new().await;
    let ann = stage.user(PHONE, "Ann");
    let Some(mut hand) = Hand::of(&stage, "telethon", Some(PHONE)) else {
        return;
    };
    let world = stage.world.clone();
    let (user, written) = tokio::task::spawn_blocking(move || {
        assert_eq!(hand.said()["asks"], "code");
        let code = world.world(|state| state.keys.codes[PHONE.trim_start_matches('+')].code.clone());
        hand.tell(&code);
        hand.result()
    })
    .await
    .expect("no panic");
    assert_eq!(user, ann);
    let daemon = stage.daemon().await;
    let id = taken(&stage, &daemon, Form::Telethon, &written, ann).await;
    let again = daemon
        .handles
        .telegram
        .export(id, Form::Telethon, Initiator::daemon())
        .await
        .expect("handed out");
    assert_eq!(again.expose(), written.expose(), "letter by letter");
    daemon.stop(PATIENCE).await;
}
