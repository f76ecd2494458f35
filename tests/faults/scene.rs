//! The scene of a class: a sandbox, a daemon and a webhook receiver, each real and each in a process of its
//! own (the receiver in ours); one account that reads a source, a pair that copies it, an endpoint that
//! hears of it. What came of it is drawn up as a ledger from the sandbox's world and the receiver's log.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rand::RngExt;
use reqwest::Method;
use serde_json::{Value, json};
use trunkline::base::Timestamp;
use trunkline::sandbox::ledger::{Evidence, Ledger, Line, Terms};
use trunkline::sandbox::receiver::Received;

use super::client::{Api, World, http};
use super::load::{Author, Load, Talk};
use super::network::Network;
use super::process::Process;
use super::receiver::{Answer, Receiver, Seen};

/// The daemon's ports on the scene's own address of loopback.
pub const API_PORT: u16 = 8000;
pub const METRICS_PORT: u16 = 9464;

/// The account's number at the sandbox.
pub const PHONE: &str = "+999660000001";

/// How long anything of a healthy scene may take.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// So many waiting tasks are no pile, and so long is waited for one to go.
const DRAINED: usize = 30;
const DRAINING: Duration = Duration::from_secs(15);

/// Nothing more comes once nothing has changed for this long.
const QUIET: Duration = Duration::from_millis(700);

/// Settings of every daemon of the campaign; a class adds to them.
const SETTINGS: &[(&str, &str)] = &[
    ("TELEGRAM__START_SPACING", "1ms"),
    ("FORWARD__ALBUM_WINDOW", "1s"),
    ("FORWARD__RETRY_FIRST", "50ms"),
    ("FORWARD__RETRY_MAX", "1s"),
    (
        "WEBHOOK__RETRY_DELAYS",
        r#"["0s", "50ms", "100ms", "200ms", "400ms", "800ms", "2s", "4s", "8s", "8s", "8s"]"#,
    ),
    ("WEBHOOK__OVERLOAD_FLOOR", "100ms"),
];

type Script = Box<dyn Fn(&Seen, usize) -> Answer + Send + Sync>;

/// What a class wants of its scene besides the usual.
pub struct Stage {
    /// Settings of the daemon: `SECTION__KEY`, value.
    pub settings: Vec<(&'static str, String)>,
    /// How the receiver answers.
    pub receiver: Script,
    /// Whether the daemon is of the build with fault points.
    pub fault_points: bool,
    /// Whether children of the daemon can be ordered to fail; only with fault points.
    pub orders: bool,
    /// Whether the daemon reaches the sandbox through a network that can be troubled.
    pub network: bool,
    /// Whether the sandbox has a second data centre.
    pub second_port: bool,
}

impl Default for Stage {
    fn default() -> Self {
        Self {
            settings: Vec::new(),
            // One in nine is refused: deliveries are always being tried again.
            receiver: Box::new(|seen, before| {
                let refuse = before == 0 && seen.message() % 9 == 4;
                Answer::Status(if refuse { 503 } else { 200 })
            }),
            fault_points: false,
            orders: false,
            network: false,
            second_port: false,
        }
    }
}

/// Where the binaries are.
pub fn binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_trunkline"))
}

/// The binary with fault points, if there is one: another build, or this very one.
pub fn binary_with_fault_points() -> Option<PathBuf> {
    let other = std::env::var_os("TRUNKLINE_FAULT_POINTS_BINARY").map(PathBuf::from);
    other.or_else(|| cfg!(feature = "fault-points").then(binary))
}

/// See the head of the file.
pub struct Scene {
    pub world: World,
    pub api: Api,
    pub receiver: Receiver,
    pub author: Author,
    pub source: i64,
    pub destination: i64,
    pub agent: i64,
    pub session: String,
    pub pair: String,
    pub endpoint: String,
    /// The daemon, while it runs.
    pub daemon: Option<Process>,
    /// What the next daemon is started with besides, such as a library to be preloaded.
    pub environment: Vec<(String, String)>,
    http: reqwest::Client,
    host: IpAddr,
    program: PathBuf,
    settings: Vec<(&'static str, String)>,
    network: Option<Network>,
    /// Orders given so far.
    orders: Option<u32>,
    _sandbox: Process,
    folder: tempfile::TempDir,
}

impl Scene {
    /// Sets the scene; when this returns the daemon runs, connected, with pair and endpoint.
    pub async fn set(stage: Stage) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (sandbox, control) = start_sandbox(folder.path(), stage.second_port);
        let http = http();
        let world = World::new(http.clone(), control);
        // A network that is lost between two parts of an album makes two albums of it: here none is.
        world.settings(json!({"album_gap": 0})).await;
        let user = world.user("+999660000002", "Author").await;
        let agent = world.user(PHONE, "Agent").await;
        let source = world.channel("Source", user, &[agent]).await;
        let destination = world.channel("Destination", agent, &[]).await;
        let mut config = world.config().await;
        let network = match stage.network {
            true => Some(put_network_before(&mut config).await),
            false => None,
        };
        std::fs::write(folder.path().join("trunkline.toml"), config).expect("written");
        let mut dice = rand::rng();
        let host = Ipv4Addr::new(
            127,
            dice.random_range(1..255),
            dice.random_range(0..255),
            dice.random_range(2..255),
        );
        let program = match stage.fault_points {
            true => binary_with_fault_points().expect("a build with fault points"),
            false => binary(),
        };
        let mut scene = Self {
            api: Api::new(http.clone(), host.into(), String::new()),
            receiver: Receiver::start(stage.receiver).await,
            author: Author::new(world.clone(), user, source),
            world,
            source,
            destination,
            agent,
            session: String::new(),
            pair: String::new(),
            endpoint: String::new(),
            daemon: None,
            environment: Vec::new(),
            http,
            host: host.into(),
            program,
            settings: stage.settings,
            network,
            orders: stage.orders.then_some(0),
            _sandbox: sandbox,
            folder,
        };
        scene.prepare().await;
        scene
    }

    async fn prepare(&mut self) {
        self.start();
        let key = self.folder.path().join("data/admin.key");
        self.until("the admin's key is there", async |_| {
            std::fs::read_to_string(&key).is_ok_and(|text| text.trim().len() > 16)
        })
        .await;
        let key = std::fs::read_to_string(&key).expect("readable");
        self.api = Api::new(self.http.clone(), self.host, key.trim().to_owned());
        self.ready().await;
        self.session = self.session_of(PHONE).await;
        let pair = json!({
            "name": "pair",
            "source": {"session": self.session, "chat": self.source},
            "destination": {"session": self.session, "chat": self.destination},
        });
        self.pair = id(&self.api.ask(Method::POST, "/api/pairs", Some(pair)).await);
        let endpoint = json!({"url": self.receiver.url(), "events": ["message.new"]});
        let endpoint = self
            .api
            .ask(Method::POST, "/api/webhooks/endpoints", Some(endpoint))
            .await;
        self.endpoint = id(&endpoint);
    }

    /// Makes a session of an account and logs it in; which it is.
    pub async fn session_of(&self, phone: &str) -> String {
        let new = json!({"name": phone.trim_start_matches('+')});
        let session = id(&self.api.ask(Method::POST, "/api/sessions", Some(new)).await);
        self.log_in_as(&session, phone).await;
        session
    }

    /// Logs the scene's own account in anew.
    pub async fn log_in(&self) {
        self.log_in_as(&self.session, PHONE).await;
    }

    async fn log_in_as(&self, session: &str, phone: &str) {
        let path = format!("/api/sessions/{session}/login");
        let step = self
            .api
            .ask(Method::POST, &path, Some(json!({"phone": phone})))
            .await;
        if step["step"] != "complete" {
            let code = self.world.code(phone).await;
            let path = format!("{path}/code");
            self.api
                .ask(Method::POST, &path, Some(json!({"code": code})))
                .await;
        }
        self.in_state(session, "connected").await;
    }

    /// The network between daemon and sandbox.
    pub fn network(&self) -> &Network {
        self.network.as_ref().expect("the stage asked for a network")
    }

    fn order_file(&self) -> PathBuf {
        self.folder.path().join("orders")
    }

    /// Has children fail: `times what path`, see src/runtime/afflict.rs. It takes the place of an order before.
    pub fn order(&mut self, order: &str) {
        let count = self.orders.as_mut().expect("the stage asked for orders");
        *count += 1;
        let line = format!("{count} {order}\n");
        // All at once: a half of it would be another order.
        let draft = self.folder.path().join("orders.new");
        std::fs::write(&draft, line).expect("written");
        std::fs::rename(&draft, self.order_file()).expect("renamed");
    }

    /// Takes the order back; when this returns nobody obeys it any more.
    pub async fn no_orders(&self) {
        std::fs::remove_file(self.order_file()).expect("removed");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    /// Where the daemon keeps its data.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A folder of the scene's own.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A command of the binary, on the scene's configuration and data.
    pub fn command(&self) -> Command {
        self.command_on(&self.data())
    }

    /// The same on other data.
    pub fn command_on(&self, data: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env("TRUNKLINE_CONFIG", self.folder.path().join("trunkline.toml"))
            .env("TRUNKLINE__HTTP__LISTEN", format!("{}:{API_PORT}", self.host))
            .env(
                "TRUNKLINE__HTTP__METRICS_LISTEN",
                format!("{}:{METRICS_PORT}", self.host),
            )
            .arg("--data-dir")
            .arg(data)
            .stdin(Stdio::null());
        for (key, value) in SETTINGS {
            command.env(format!("TRUNKLINE__{key}"), value);
        }
        for (key, value) in &self.settings {
            command.env(format!("TRUNKLINE__{key}"), value);
        }
        command
    }

    /// Starts the daemon; it is not waited for.
    pub fn start(&mut self) {
        self.start_with(&[]);
    }

    /// Starts the daemon with further variables.
    pub fn start_with(&mut self, variables: &[(&str, String)]) {
        assert!(self.daemon.is_none(), "it runs already");
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("daemon.log"))
            .expect("a log");
        let mut command = self.command();
        command.arg("run").stdout(Stdio::null()).stderr(log);
        for (key, value) in &self.environment {
            command.env(key, value);
        }
        if self.orders.is_some() {
            command.env("TRUNKLINE_FAULT_ORDERS", self.order_file());
        }
        for (key, value) in variables {
            command.env(key, value);
        }
        self.daemon = Some(Process::start(&mut command));
    }

    /// Kills the daemon with SIGKILL. Whether it had not ended by itself.
    pub fn kill(&mut self) -> bool {
        self.daemon.take().is_some_and(|mut daemon| daemon.kill())
    }

    /// Waits until the daemon says that it is ready.
    pub async fn ready(&mut self) {
        self.until("the daemon is ready", async |scene| scene.api.ready().await)
            .await;
    }

    /// Waits until the session is connected.
    pub async fn connected(&self) {
        self.in_state(&self.session, "connected").await;
    }

    async fn in_state(&self, session: &str, state: &str) {
        let begun = Instant::now();
        while self.state_of(session).await.as_deref() != Some(state) {
            assert!(begun.elapsed() < PATIENCE, "not in time: the session is {state}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The session's state, if the daemon answers.
    pub async fn state(&self) -> Option<String> {
        self.state_of(&self.session).await
    }

    async fn state_of(&self, session: &str) -> Option<String> {
        let path = format!("/api/sessions/{session}");
        let (_, session) = self.api.try_ask(Method::GET, &path, None).await?;
        session["state"].as_str().map(str::to_owned)
    }

    /// Waits until something is true of a daemon that runs.
    pub async fn until(&mut self, what: &str, holds: impl AsyncFn(&Self) -> bool) {
        let begun = Instant::now();
        while !holds(self).await {
            let ended = self.daemon.as_mut().and_then(Process::ended);
            assert!(
                ended.is_none(),
                "the daemon ended by itself ({ended:?}), before: {what}"
            );
            assert!(begun.elapsed() < PATIENCE, "not in time: {what}");
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
    }

    /// Has the author talk.
    pub fn talk(&self, talk: Talk, rate: f64) -> Load {
        self.author.talk(talk, rate)
    }

    /// Waits until the destination has so many copies more than now: it serves.
    pub async fn serves(&mut self, copies: usize) {
        let wanted = self.world.messages(self.destination).await.len() + copies;
        self.until("it copies", async |scene| {
            scene.world.messages(scene.destination).await.len() >= wanted
        })
        .await;
    }

    /// Waits until what piled up during a fault has been worked off, or for a while: faults that follow each other
    /// too soon would tell of the pile, not of themselves.
    pub async fn drained(&self) {
        let begun = Instant::now();
        while self.waiting().await > DRAINED && begun.elapsed() < DRAINING {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Everything the receiver was sent, by webhook id.
    pub fn received(&self) -> HashMap<String, Received> {
        let mut received: HashMap<String, Received> = HashMap::new();
        for seen in self.receiver.seen() {
            let one = received.entry(seen.id()).or_default();
            one.changed |= one.tries > 0 && one.body != seen.body;
            one.tries += 1;
            one.accepted += u32::from(accepted(&seen));
            one.body = seen.body;
        }
        received
    }

    /// The ledger as of now.
    pub async fn ledger(&self) -> Ledger {
        let received = self.received();
        // Copies first: what is posted between the two looks is not taken for lost.
        let destination = self.world.messages(self.destination).await;
        let source = self.world.messages(self.source).await;
        Ledger::draw(&Evidence {
            lines: &[Line {
                source: &source,
                destination: &destination,
                terms: &Terms::default(),
            }],
            received: &received,
            edits: self.author.edits(),
            waiting: self.waiting().await,
            dead: self.dead().await,
        })
    }

    /// The daemon's resident memory in MiB; 0 while it does not run.
    pub fn memory(&self) -> u64 {
        let status = self
            .daemon
            .as_ref()
            .and_then(|daemon| std::fs::read_to_string(format!("/proc/{}/status", daemon.id())).ok())
            .unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = resident.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kib.unwrap_or(0) / 1024
    }

    /// Tasks in the daemon's lanes, as its metrics tell.
    pub async fn waiting(&self) -> usize {
        let depth = self.api.metric("trunkline_lane_depth").await;
        depth.unwrap_or(0.0) as usize
    }

    /// Dead letters, up to a page of them.
    pub async fn dead(&self) -> usize {
        let answer = self
            .api
            .try_ask(Method::GET, "/api/dead-letters?limit=200", None)
            .await;
        answer
            .and_then(|(_, page)| page["items"].as_array().map(Vec::len))
            .unwrap_or(0)
    }

    /// Waits until everything has arrived, nothing waits any more and it stays so, or for so long.
    pub async fn settle(&mut self, patience: Duration) -> Ledger {
        let begun = Instant::now();
        let mut calm: Option<Instant> = None;
        loop {
            let asked = Instant::now();
            let ledger = self.ledger().await;
            let settled = ledger.is_settled() && self.waiting().await == 0;
            match (settled, calm) {
                (true, None) => calm = Some(Instant::now()),
                (true, Some(since)) if since.elapsed() > QUIET => return ledger,
                (true, Some(_)) => {}
                _ => calm = None,
            }
            if begun.elapsed() > patience {
                return ledger;
            }
            tokio::time::sleep((asked.elapsed() * 2).max(Duration::from_millis(100))).await;
        }
    }

    /// How long after each of these moments the first copy was stored, where one was before the next moment.
    pub async fn served_after(&self, moments: &[Timestamp]) -> Vec<Duration> {
        let copies = self.world.messages(self.destination).await;
        let mut stored: Vec<Timestamp> = copies
            .iter()
            .filter(|copy| copy.service.is_none())
            .map(|copy| Timestamp(copy.stored_at))
            .collect();
        stored.sort_unstable();
        first_after(moments, &stored)
    }

    /// The same for the first delivery that the receiver accepted.
    pub fn delivered_after(&self, moments: &[Timestamp]) -> Vec<Duration> {
        let now = Timestamp::now();
        let mut came: Vec<Timestamp> = self
            .receiver
            .seen()
            .iter()
            .filter(|seen| accepted(seen))
            .map(|seen| now.minus(seen.at.elapsed()))
            .collect();
        came.sort_unstable();
        first_after(moments, &came)
    }

    /// Writes what source and destination hold into the folder.
    pub async fn keep_world(&self) {
        for (name, chat) in [("source", self.source), ("destination", self.destination)] {
            let messages = self.world.messages(chat).await;
            let text = serde_json::to_vec_pretty(&messages).expect("JSON");
            std::fs::write(self.folder.path().join(format!("{name}.json")), text).expect("written");
        }
    }

    /// Leaves the folder where it is, for a look at it.
    pub fn keep(&mut self) -> &Path {
        self.folder.disable_cleanup(true);
        self.folder.path()
    }

    /// What the daemon has logged after so many bytes.
    pub fn log_since(&self, length: usize) -> String {
        let log = std::fs::read(self.folder.path().join("daemon.log")).unwrap_or_default();
        String::from_utf8_lossy(&log[length.min(log.len())..]).into_owned()
    }

    /// The end of the daemon's log.
    pub fn log_tail(&self, lines: usize) -> String {
        let log = self.log_since(0);
        let all: Vec<&str> = log.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}

fn accepted(seen: &Seen) -> bool {
    seen.answered.is_some_and(|status| (200..300).contains(&status))
}

fn first_after(moments: &[Timestamp], sorted: &[Timestamp]) -> Vec<Duration> {
    let mut spans = Vec::new();
    for (at, moment) in moments.iter().enumerate() {
        let first = sorted.get(sorted.partition_point(|one| one < moment));
        let next = moments.get(at + 1);
        if let Some(first) = first
            && next.is_none_or(|next| first < next)
        {
            spans.push(first.since(*moment));
        }
    }
    spans
}

/// The id of what the API showed.
pub fn id(value: &Value) -> String {
    value["id"].as_str().expect("an id").to_owned()
}

/// Has a daemon with this configuration reach the sandbox through a network of ours.
async fn put_network_before(config: &mut String) -> Network {
    let (before, rest) = config.split_once("address = \"").expect("an address");
    let (address, after) = rest.split_once('"').expect("its end");
    let server: SocketAddr = address.parse().expect("of a data centre");
    let network = Network::before(server).await;
    *config = format!("{before}address = \"{}\"{after}", network.address());
    network
}

/// Starts a sandbox; where its control port is.
fn start_sandbox(folder: &Path, second_port: bool) -> (Process, String) {
    let seed = folder.join("seed.toml");
    std::fs::write(&seed, "").expect("written");
    let mut command = Command::new(binary());
    command
        .arg("--data-dir")
        .arg(folder.join("sandbox"))
        .args(["sandbox", "--port", "0", "--control-port", "0", "--seed"])
        .arg(seed)
        .args(
            second_port
                .then_some(["--second-port", "0"])
                .into_iter()
                .flatten(),
        )
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut sandbox = Process::start(&mut command);
    let mut lines = BufReader::new(sandbox.output()).lines();
    let control = lines.find_map(|line| {
        let line = line.expect("a line");
        line.strip_prefix("Control").map(|url| url.trim().to_owned())
    });
    (sandbox, control.expect("it says where its control port is"))
}
