//! The example backends, each run as its reader would run it, against a daemon and what an attacker sends.
//!
//! They need python3 with `standardwebhooks`, node with the same, and php; see `interop` for where those are looked for.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;
use standardwebhooks::Webhook;
use trunkline::sandbox::world::Peer;
use trunkline::sandbox::world::posting::Draft;
use trunkline::telegram::AccountPatch;

use crate::interop::{found_or_passed_over, node_modules, python_with};
use crate::stage::{Stage, until};

const BEARER: &str = "example-bearer-4711";
const AGENT: i64 = 123;

/// An example as a process: what it printed so far.
struct Example {
    process: Child,
    address: String,
    printed: Arc<Mutex<Vec<String>>>,
}

impl Example {
    async fn run(mut command: Command, port: u16, secret: &str) -> Self {
        let mut process = command
            .env("PORT", port.to_string())
            .env("WEBHOOK_SECRET_TOKEN", BEARER)
            .env("TRUNKLINE_SIGNING_SECRET", secret)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let printed = Arc::default();
        listen(process.stdout.take().expect("piped"), &printed);
        listen(process.stderr.take().expect("piped"), &printed);
        let address = format!("127.0.0.1:{port}");
        let known = address.clone();
        until("it listens", move || std::net::TcpStream::connect(&known).is_ok()).await;
        Self {
            process,
            address,
            printed,
        }
    }

    /// How many lines hold these words.
    fn told(&self, words: &str) -> usize {
        let printed = self.printed.lock().expect("no panic");
        printed.iter().filter(|line| line.contains(words)).count()
    }

    async fn post(&self, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> u16 {
        let mut request = reqwest::Client::new().post(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.body(body).send().await.expect("it answers");
        answer.status().as_u16()
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        // It may have ended by itself, which the story has noticed then.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn listen(from: impl Read + Send + 'static, printed: &Arc<Mutex<Vec<String>>>) {
    let printed = printed.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            printed.lock().expect("no panic").push(line);
        }
    });
}

/// A port that is free at the moment.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

/// A message reaches the example by way of Telegram and the daemon; nobody else reaches it.
async fn tell(command: impl FnOnce(u16) -> Command) {
    let stage = Stage::new().await;
    stage.user("+989120000001", "Agent");
    let client = stage.user("+989120000002", "Client");
    let port = free_port();
    let endpoint = json!({
        "name": "crm",
        "url": format!("http://127.0.0.1:{port}/api/webhooks/telegram/{{agent_id}}"),
        "shape": "agent",
        "bearer": BEARER,
    });
    let daemon = stage
        .daemon_with(|config| {
            let endpoint = serde_json::from_value(endpoint).expect("an endpoint");
            config.webhook.endpoints.push(endpoint);
        })
        .await;
    let webhooks = &daemon.handles.webhooks;
    let endpoint = webhooks.list().expect("lists")[0].id;
    let secret = webhooks
        .configured_secret(endpoint, trunkline::ops::audit::Initiator::daemon())
        .await
        .expect("readable");
    let secret = secret.expect("configured").expose().to_owned();
    let example = Example::run(command(port), port, &secret).await;

    let session = stage.log_in(&daemon, "+989120000001").await;
    let patch = AccountPatch {
        agent_id: Some(Some(AGENT)),
        ..AccountPatch::default()
    };
    daemon
        .handles
        .telegram
        .patch(session, patch)
        .await
        .expect("patched");
    let agent = daemon.handles.telegram.view(session).expect("known").account;
    let agent = agent.user_id.expect("logged in");
    stage
        .world
        .world(|world| world.post(client, Peer::User(agent), Draft::text("a private word")))
        .expect("posted");
    until("the message arrived", || {
        example.told("agent 123: new_message message") == 1
    })
    .await;
    assert_eq!(example.told("a private word"), 0, "texts are not printed");

    refuses_strangers(&example, &secret).await;
    daemon.stop(Duration::from_secs(10)).await;
}

/// Takes what is signed, once, and nothing else.
async fn refuses_strangers(example: &Example, secret: &str) {
    let path = "/api/webhooks/telegram/7";
    let body = br#"{"event":"connection_lost","session_id":"0","reason":"network"}"#.to_vec();
    let signer = Webhook::new(secret).expect("a secret");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let now = i64::try_from(now.as_secs()).expect("not so late");
    let signed = |at: i64, body: &[u8]| signer.sign("evt_1", at, body).expect("signed");
    let (fresh, old) = (now.to_string(), (now - 3600).to_string());
    let right = signed(now, &body);
    let bearer = &format!("Bearer {BEARER}");
    let of = async |bearer: &str, at: &str, signature: &str, body: &[u8]| {
        let headers = [
            ("authorization", bearer),
            ("webhook-id", "evt_1"),
            ("webhook-timestamp", at),
            ("webhook-signature", signature),
        ];
        example.post(path, &headers, body.to_vec()).await
    };
    assert_eq!(
        of("Bearer another", &fresh, &right, &body).await,
        401,
        "another bearer"
    );
    assert_eq!(of(bearer, &fresh, &right, b"{}").await, 401, "another body");
    assert_eq!(
        of(bearer, &fresh, "v1,AAAA", &body).await,
        401,
        "another signature"
    );
    assert_eq!(
        of(bearer, &old, &signed(now - 3600, &body), &body).await,
        401,
        "an hour old"
    );
    assert_eq!(of(bearer, "soon", &right, &body).await, 401, "no time");
    assert_eq!(
        example.post(path, &[], vec![0xff; 64]).await,
        401,
        "nothing at all"
    );
    assert_eq!(example.post("/elsewhere", &[], body.clone()).await, 404);
    let large = of(bearer, &fresh, &right, &vec![b' '; 3 << 20]).await;
    assert!(matches!(large, 401 | 413), "too large: {large}");
    assert_eq!(example.told("connection_lost"), 0);

    let both = format!("v1,AAAA {right}");
    assert_eq!(
        of(bearer, &fresh, &both, &body).await,
        204,
        "one of two signatures"
    );
    assert_eq!(
        of(bearer, &fresh, &right, &body).await,
        204,
        "the same delivery again"
    );
    until("it was told", || {
        example.told("agent 7: connection_lost network") > 0
    })
    .await;
    assert_eq!(example.told("connection_lost"), 1, "acted on once");
}

#[tokio::test]
async fn the_python_backend_takes_what_is_signed() {
    let Some(python) = python_with("standardwebhooks") else {
        return;
    };
    tell(|_| {
        let mut command = Command::new(python);
        command.arg(examples().join("python/receiver.py"));
        command
    })
    .await;
}

#[tokio::test]
async fn the_node_backend_takes_what_is_signed() {
    let Some(modules) = node_modules("standardwebhooks") else {
        return;
    };
    tell(|_| {
        // Modules are looked for beside the program: it is put where they are.
        let program = modules.join("receiver.mjs");
        std::fs::copy(examples().join("node/receiver.mjs"), &program).expect("copied");
        let mut command = Command::new("node");
        command.arg(program);
        command
    })
    .await;
}

#[tokio::test]
async fn the_php_backend_takes_what_is_signed() {
    let runs = Command::new("php").arg("--version").output().is_ok();
    let Some(()) = found_or_passed_over(runs.then_some(()), "php") else {
        return;
    };
    let marks = tempfile::tempdir().expect("a folder");
    tell(|port| {
        let mut command = Command::new("php");
        command
            .env("TMPDIR", marks.path())
            .args(["-S", &format!("127.0.0.1:{port}")])
            .arg(examples().join("php/public/index.php"));
        command
    })
    .await;
}
