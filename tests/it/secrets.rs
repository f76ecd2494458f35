//! Nothing secret is written down: a real daemon with all its logs on goes through a day with success and failure, and
//! then its logs, metrics, incidents, refusals, command line and data folder are searched.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use reqwest::Method;
use serde_json::{Value, json};
use trunkline::model::ChatId;
use trunkline::sandbox::faults::Fault;
use trunkline::sandbox::receiver::Receiver;
use trunkline::sandbox::world::Peer;
use trunkline::sandbox::world::posting::Draft;

use crate::stage::Stage;

const PHONE: &str = "989127465831";
const OTHER_PHONE: &str = "989127465832";
/// The words of messages: no other part of the test uses them.
const TEXT: &str = "quicksilver-harmony";
const SENT: &str = "velvet-thunderbolt";
/// One that waits for a pair and for an endpoint to go on.
const WAITING: &str = "marzipan-lighthouse";
/// Names of accounts and of a chat, likewise.
const NAMES: [&str; 3] = [
    "Annelore-Quickthorn",
    "Bobadil-Fairweather",
    "Tidings-of-Zanzibar",
];
const API_HASH: &str = "5d7c1f0e2b3a49586776859403a1b2c4";
const SEAL_KEY: &str = "9b1de0f2a3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e";
const BEARER: &str = "bearer-Zq8Lw2";
const TOKEN: &str = "token_Zq8Lw2";
const URL_SECRET: &str = "query-Zq8Lw2";
const CODE: &str = "70613";

/// How long a busy machine may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The daemon as a process, and what it wrote.
pub struct Process {
    child: Child,
    log: PathBuf,
    pub base: String,
}

impl Process {
    pub async fn start(config: &Path, data: &Path, log: PathBuf) -> Self {
        let out = std::fs::File::create(&log).expect("a file");
        let child = Command::new(env!("CARGO_BIN_EXE_trunkline"))
            .args(["run", "--config"])
            .arg(config)
            .arg("--data-dir")
            .arg(data)
            .env("TRUNKLINE_SEAL_KEY", SEAL_KEY)
            .stdout(out.try_clone().expect("the same file"))
            .stderr(out)
            .spawn()
            .expect("the binary starts");
        let mut process = Self {
            child,
            log,
            base: String::new(),
        };
        process.base = format!("http://{}", process.address("http").await);
        process
    }

    /// Where a listener of it listens.
    async fn address(&mut self, listener: &str) -> String {
        let start = format!("listening listener=\"{listener}\" address=");
        let began = Instant::now();
        loop {
            let text = std::fs::read_to_string(&self.log).expect("a log");
            if let Some((_, rest)) = text.split_once(&start) {
                return rest.split_whitespace().next().expect("an address").to_owned();
            }
            assert!(
                self.child.try_wait().expect("its state").is_none(),
                "it ended:\n{text}"
            );
            assert!(began.elapsed() < PATIENCE, "it does not listen:\n{text}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, signal).expect("it runs");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A caller; every answer that is not meant to show a secret is kept.
struct Caller<'a> {
    http: reqwest::Client,
    base: &'a str,
    key: String,
    kept: &'a std::sync::Mutex<Vec<String>>,
}

impl<'a> Caller<'a> {
    fn with_key(&self, key: &str) -> Caller<'a> {
        Caller {
            http: self.http.clone(),
            key: key.to_owned(),
            ..*self
        }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = self
            .http
            .request(method, format!("{}{path}", self.base))
            .header("x-api-key", &self.key);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.expect("an answer");
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or(Value::Null))
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.ask(Method::POST, path, Some(body)).await;
        assert!((200..300).contains(&status), "{path}: {status} {answer}");
        answer
    }

    /// Something that fails, with this status.
    async fn fails(&self, method: Method, path: &str, body: Value, expected: u16) {
        let (status, answer) = self.ask(method, path, Some(body)).await;
        assert_eq!(status, expected, "{path}: {answer}");
        self.keep(answer.to_string());
    }

    /// A list or a state that anybody with the key may look at.
    async fn look(&self, path: &str) -> String {
        let request = self
            .http
            .get(format!("{}{path}", self.base))
            .header("x-api-key", &self.key);
        let text = request
            .send()
            .await
            .expect("an answer")
            .text()
            .await
            .expect("a text");
        self.keep(text.clone());
        text
    }

    fn keep(&self, text: String) {
        self.kept.lock().expect("no panic").push(text);
    }
}

/// Waits until something is true.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < PATIENCE, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What must not be found, by name.
type Needles = BTreeMap<String, Vec<u8>>;

/// The forms in which bytes may be written down.
fn forms(needles: &mut Needles, name: &str, bytes: &[u8]) {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let listed = format!("{bytes:?}");
    let forms = [
        ("raw", bytes.to_vec()),
        ("hex", hex.clone().into_bytes()),
        ("HEX", hex.to_uppercase().into_bytes()),
        (
            "base64",
            STANDARD.encode(bytes).trim_end_matches('=').as_bytes()[..bytes.len()].to_vec(),
        ),
        (
            "base64url",
            URL_SAFE_NO_PAD.encode(bytes).as_bytes()[..bytes.len()].to_vec(),
        ),
        ("list", listed.trim_matches(['[', ']']).as_bytes().to_vec()),
    ];
    needles.extend(forms.map(|(form, bytes)| (format!("{name} ({form})"), bytes)));
}

/// Bytes as a text of as many characters, in which is searched quickly.
fn latin(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// Whether digits stand alone in a text: in the middle of longer numbers they mean nothing.
fn holds_number(text: &str, number: &str) -> bool {
    let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.match_indices(number).any(|(at, _)| {
        !digit(text[..at].chars().next_back()) && !digit(text[at + number.len()..].chars().next())
    })
}

fn found<'a>(needles: &'a Needles, text: &[u8]) -> Vec<&'a str> {
    let text = latin(text);
    let found = needles.iter().filter(|(_, needle)| text.contains(&latin(needle)));
    found.map(|(name, _)| name.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_secret_is_found_in_logs_metrics_refusals_and_the_data_folder() {
    // Another test of this process may have been first.
    drop(rustls::crypto::ring::default_provider().install_default());
    let stage = Stage::new().await;
    let ann = stage.user(&format!("+{PHONE}"), NAMES[0]);
    let bob = stage.user("+989120000002", NAMES[1]);
    stage.user(&format!("+{OTHER_PHONE}"), "Carl");
    let (news, copies) = stage.world.world(|world| {
        let news = world
            .add_channel(None, bob, NAMES[2], true, &[ann])
            .expect("a channel");
        (
            news,
            world
                .add_channel(None, ann, "Copies", true, &[])
                .expect("a channel"),
        )
    });
    let receiver = Receiver::start(3).await.expect("a receiver");
    let (config, data) = stage.files();
    let text = std::fs::read_to_string(&config).expect("written");
    let text = text.replace("0123456789abcdef0123456789abcdef", API_HASH);
    let text = format!(
        "{text}\n[log]\nlevel = \"trace\"\n[webhook]\nallowed_networks = [\"127.0.0.0/8\"]\n\
         retry_delays = [\"0s\", \"50ms\", \"50ms\", \"50ms\", \"50ms\", \"50ms\", \"50ms\", \"50ms\"]\noverload_floor = \"50ms\"\n"
    );
    std::fs::write(&config, text).expect("written");
    let log = data.with_file_name("first.log");
    let mut process = Process::start(&config, &data, log.clone()).await;
    let metrics = format!("http://{}", process.address("metrics").await);

    let kept = std::sync::Mutex::default();
    let admin_key = std::fs::read_to_string(data.join("admin.key"))
        .expect("the first key")
        .trim()
        .to_owned();
    let base = process.base.clone();
    let admin = Caller {
        http: reqwest::Client::new(),
        base: &base,
        key: admin_key.clone(),
        kept: &kept,
    };
    let made = |scope: &str| json!({"name": scope, "scopes": [scope]});
    let key_of = |answer: Value| answer["key"].as_str().expect("a text").to_owned();
    let reader = admin.with_key(&key_of(admin.post("/api/keys", made("read")).await));
    let manager = admin.with_key(&key_of(admin.post("/api/keys", made("manage")).await));

    // A login with a wrong code on the way, another one that never ends.
    let session = manager
        .post(
            "/api/sessions",
            json!({"name": "sales", "phone": format!("+{PHONE}")}),
        )
        .await;
    let path = format!("/api/sessions/{}", session["id"].as_str().expect("an id"));
    let login = format!("{path}/login");
    manager
        .fails(Method::POST, &login, json!({"phone": "+1"}), 400)
        .await;
    manager.post(&login, json!({"phone": format!("+{PHONE}")})).await;
    stage.world.world(|world| {
        world.keys.codes.get_mut(PHONE).expect("a code was sent").code = CODE.to_owned();
    });
    manager
        .fails(
            Method::POST,
            &format!("{login}/code"),
            json!({"code": "10000"}),
            400,
        )
        .await;
    manager
        .fails(
            Method::POST,
            &format!("{login}/code"),
            json!({"code": CODE.parse::<u32>().expect("digits")}),
            400,
        )
        .await;
    manager
        .fails(
            Method::POST,
            &format!("{login}/password"),
            json!({"password": [BEARER]}),
            400,
        )
        .await;
    manager
        .post(&format!("{login}/code"), json!({"code": CODE}))
        .await;
    until("the session is connected", async || {
        reader.look(&path).await.contains("\"connected\":true")
    })
    .await;
    let agent = json!({"agent_id": 7, "phone": format!("+{OTHER_PHONE}")});
    manager.post("/api/telegram/request-code", agent).await;

    // An endpoint that works, one that nobody answers for; a pair.
    let url = format!("{}?token={URL_SECRET}", receiver.url());
    let endpoint = json!({"url": url, "events": ["message.new"], "bearer": BEARER, "secret_token": TOKEN});
    let endpoint = manager.post("/api/webhooks/endpoints", endpoint).await;
    let signing = endpoint["secret"].as_str().expect("a secret").to_owned();
    let endpoint = format!(
        "/api/webhooks/endpoints/{}",
        endpoint["id"].as_str().expect("an id")
    );
    let nobody = json!({"url": format!("http://127.0.0.1:1/x?token={URL_SECRET}"), "bearer": BEARER});
    manager.post("/api/webhooks/endpoints", nobody).await;
    let (from, to) = (json!(ChatId::channel(news)), json!(ChatId::channel(copies)));
    let pair = json!({
        "source": {"session": session["id"], "chat": from}, "destination": {"session": session["id"], "chat": to},
    });
    let pair = manager.post("/api/pairs", pair).await;
    let pair = format!("/api/pairs/{}", pair["id"].as_str().expect("an id"));
    let copied = || {
        stage.world.look(|world| {
            let contents = world.contents.values();
            contents
                .filter(|content| content.author == ann && content.text().contains(TEXT))
                .count()
        })
    };
    for number in 0..12 {
        let said = Draft::text(&format!("{TEXT} {number}"));
        stage
            .world
            .world(|world| world.post(bob, Peer::Channel(news), said))
            .expect("posted");
    }
    let fault = |json: Value| {
        let fault: Fault = serde_json::from_value(json).expect("a fault");
        stage.world.faults().add(fault);
    };
    fault(json!({"kind": "flood_wait", "seconds": 1, "method": "messages.sendMessage"}));
    until("all is copied and delivered", async || {
        copied() >= 12 && receiver.accepted() >= 12
    })
    .await;
    let messages = format!("{path}/messages");
    manager.post(&messages, json!({"chat": to, "text": SENT})).await;

    // One message waits for the pair to go on, and for an endpoint that nobody answers for.
    manager.post(&format!("{pair}/pause"), json!({})).await;
    let said = Draft::text(WAITING);
    stage
        .world
        .world(|world| world.post(bob, Peer::Channel(news), said))
        .expect("posted");
    until("it waits", async || {
        let (_, shown) = reader.ask(Method::GET, &pair, None).await;
        shown["stats"]["waiting"] == 1 && receiver.accepted() >= 13
    })
    .await;

    // What fails, each time with something in it that must not be written down.
    fault(
        json!({"kind": "error", "code": 400, "name": "CHAT_WRITE_FORBIDDEN", "method": "messages.sendMessage"}),
    );
    manager
        .fails(Method::POST, &messages, json!({"chat": to, "text": SENT}), 403)
        .await;
    manager
        .fails(Method::POST, &messages, json!({"chat": 4711, "text": SENT}), 422)
        .await;
    manager
        .fails(Method::POST, &messages, json!({"chat": SENT, "text": 5}), 400)
        .await;
    manager
        .fails(
            Method::POST,
            &messages,
            json!({"chat": to, "text": {"of": SENT}}),
            400,
        )
        .await;
    reader
        .fails(Method::POST, &messages, json!({"chat": to, "text": SENT}), 403)
        .await;
    admin
        .with_key(&signing)
        .fails(Method::GET, &path, Value::Null, 401)
        .await;
    admin
        .with_key(&admin_key[..46])
        .fails(Method::GET, &path, Value::Null, 401)
        .await;
    manager
        .fails(
            Method::PATCH,
            &endpoint,
            json!({"bearer": [BEARER], "secret_token": TOKEN}),
            400,
        )
        .await;
    let forbidden = json!({"url": format!("http://10.0.0.1/?token={URL_SECRET}"), "bearer": BEARER});
    manager
        .fails(Method::POST, "/api/webhooks/endpoints", forbidden, 400)
        .await;
    let broken = json!({"url": format!("http:{URL_SECRET}:{BEARER}@:x/"), "bearer": BEARER});
    manager
        .fails(Method::POST, "/api/webhooks/endpoints", broken, 400)
        .await;
    manager
        .fails(
            Method::POST,
            "/api/keys",
            json!({"name": admin_key, "scopes": ["admin"]}),
            403,
        )
        .await;
    for of in ["", "/deliveries", "/stats"] {
        reader.look(&format!("{endpoint}{of}")).await;
    }
    let ticket = reader.post("/api/ws-ticket", json!({})).await;
    let ticket = ticket["ticket"].as_str().expect("a ticket").to_owned();
    for path in [
        format!("/ws?ticket={ticket}"),
        format!("/ws?since={ticket}"),
        format!("/ws?events={ticket}"),
        format!("/ws?session={ticket}"),
        format!("/api/sessions?ticket={ticket}"),
    ] {
        assert!(reader.look(&path).await.contains("\"code\""), "{path} is refused");
    }
    fault(json!({"kind": "drop_before", "method": "messages.sendMessage"}));
    drop(
        manager
            .ask(Method::POST, &messages, Some(json!({"chat": to, "text": SENT})))
            .await,
    );
    fault(
        json!({"kind": "error", "code": 401, "name": "AUTH_KEY_UNREGISTERED", "method": "messages.sendMessage"}),
    );
    drop(
        manager
            .ask(Method::POST, &messages, Some(json!({"chat": to, "text": SENT})))
            .await,
    );
    for list in [
        "/api/sessions",
        "/api/pairs",
        "/api/webhooks/endpoints",
        "/api/dead-letters",
        "/health",
        "/metrics",
    ] {
        reader.look(list).await;
    }
    for list in ["/api/keys", "/api/admin/tree", "/api/admin/incidents?state=all"] {
        admin.look(list).await;
    }
    let series = reqwest::get(format!("{metrics}/metrics"))
        .await
        .expect("an answer");
    admin.keep(series.text().await.expect("a text"));
    let id = process.child.id();
    let command = std::fs::read_to_string(format!("/proc/{id}/cmdline")).expect("a process");

    // It ends in order, and begins again on what it left; that one is killed.
    process.signal(rustix::process::Signal::TERM);
    until("it ends", async || {
        process.child.try_wait().expect("its state").is_some()
    })
    .await;
    let again = data.with_file_name("second.log");
    let mut second = Process::start(&config, &data, again.clone()).await;
    second.address("metrics").await;
    drop(second);

    let mut needles = Needles::new();
    stage.world.look(|world| {
        let keys = world.keys.known.values().filter(|key| !key.auth_key.is_empty());
        for (at, key) in keys.enumerate() {
            forms(&mut needles, &format!("auth key {at}"), &key.auth_key[..24]);
        }
    });
    assert!(needles.len() >= 12, "two accounts have keys");
    for (name, key) in [
        ("admin key", &admin_key),
        ("reader's key", &reader.key),
        ("ticket", &ticket),
        ("manager's key", &manager.key),
    ] {
        // What stands before it finds the row, and is public.
        needles.insert(name.to_owned(), key.as_bytes()[12..].to_vec());
    }
    let secret = STANDARD
        .decode(signing.trim_start_matches("whsec_"))
        .expect("base64");
    forms(&mut needles, "webhook secret", &secret[..24.min(secret.len())]);
    let texts = [
        ("webhook secret", signing.as_str()),
        ("bearer", BEARER),
        ("token", TOKEN),
        ("API hash", API_HASH),
        ("seal key", SEAL_KEY),
    ];
    needles.extend(texts.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec())));
    let phones = [("phone", PHONE), ("other phone", OTHER_PHONE)];
    needles.extend(phones.map(|(name, text)| (name.to_owned(), text.into())));
    let mut spoken = needles.clone();
    let texts = [
        ("text", TEXT),
        ("sent text", SENT),
        ("query of a URL", URL_SECRET),
    ];
    spoken.extend(texts.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec())));
    let names = NAMES.map(|name| (format!("name {name}"), name.as_bytes().to_vec()));
    needles.extend(names);

    for log in [&log, &again] {
        let text = std::fs::read_to_string(log).expect("a log");
        assert!(
            text.contains(" DEBUG ") && text.contains("trunkline::"),
            "its logs are on"
        );
        assert_eq!(found(&spoken, text.as_bytes()), [""; 0], "in {}", log.display());
        assert!(
            !holds_number(&text, CODE),
            "the login code is in {}",
            log.display()
        );
    }
    for text in kept.lock().expect("no panic").iter() {
        assert_eq!(found(&spoken, text.as_bytes()), [""; 0], "in {text}");
        assert!(!holds_number(text, CODE), "the login code is in {text}");
    }
    assert_eq!(found(&spoken, command.as_bytes()), [""; 0], "in the command line");
    // Sealed is what opens a door, what tells who somebody is, and what they say.
    needles.extend(spoken);
    needles.insert("text that waits".to_owned(), WAITING.as_bytes().to_vec());
    let mut folders = vec![data.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_none_or(|name| name != "admin.key") {
                let bytes = std::fs::read(&path).expect("a file");
                assert_eq!(found(&needles, &bytes), [""; 0], "in {}", path.display());
            }
        }
    }
}
