//! The stage of every story: a sandbox, a daemon that reaches it, and what both can be asked.

use std::time::Duration;

use tempfile::TempDir;
use trunkline::app::Daemon;
use trunkline::base::{SessionId, Timestamp};
use trunkline::config::Config;
use trunkline::model::{Event, EventBody, SessionState};
use trunkline::ops::audit::Initiator;
use trunkline::sandbox::World as Sandbox;
use trunkline::sandbox::rpc::Hub;
use trunkline::sandbox::telegram::Telegram as World;
use trunkline::sandbox::wire::{RsaKey, Wire, WireConfig};
use trunkline::sandbox::world::State;
use trunkline::telegram::{NewAccount, SessionView};

/// How long a story waits for something to become true.
const PATIENCE: Duration = Duration::from_secs(20);

/// The longest time between parts of an album (milliseconds), well within the time that the daemon waits for one.
const ALBUM_GAP: i64 = 200;

/// A sandbox of one's own.
pub struct Stage {
    /// The sandbox's world.
    pub world: World,
    wires: Vec<Wire>,
    config: String,
    folder: TempDir,
}

impl Stage {
    /// An empty world behind a listening server.
    pub async fn new() -> Self {
        Self::with_centres(&[2]).await
    }

    /// The same with several data centres; the first is number 2, where accounts live that are not told otherwise.
    pub async fn with_centres(centres: &[i32]) -> Self {
        let key = tokio::task::spawn_blocking(RsaKey::generate)
            .await
            .expect("no panic")
            .expect("a key");
        let pem = key.public_pem().expect("a PEM");
        let hub = Hub::new();
        let mut state = State::new(7);
        state.settings.album_gap = ALBUM_GAP;
        let world = World::new(state, hub.clone(), None);
        let (mut wires, mut listed) = (Vec::new(), String::new());
        for dc in centres {
            let config = WireConfig {
                dc: *dc,
                ..WireConfig::new(key.clone())
            };
            let service = std::sync::Arc::new(world.clone());
            let wire = Wire::start(config, hub.clone(), service).await.expect("listens");
            let address = wire.address();
            world.centre_listens_at(*dc, address);
            listed += &format!("[[telegram.server.dc]]\nid = {dc}\naddress = \"{address}\"\n");
            wires.push(wire);
        }
        let config = format!(
            "[telegram]\napi_id = 1\napi_hash = \"0123456789abcdef0123456789abcdef\"\nstart_spacing = \"1ms\"\nkey_doubt = \"1s\"\n\
             [telegram.server]\nrsa_public_key = \"\"\"{pem}\"\"\"\n\
             {listed}\
             [limiter]\nprofile = \"sandbox\"\n\
             [forward]\nalbum_window = \"500ms\"\nretry_first = \"50ms\"\n\
             [http]\nlisten = \"127.0.0.1:0\"\nmetrics_listen = \"127.0.0.1:0\"\n",
        );
        Self {
            world,
            wires,
            config,
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    /// A daemon on this stage's data folder; a second one finds what the first left.
    pub async fn daemon(&self) -> Daemon {
        self.daemon_with(|_| {}).await
    }

    /// The same with a configuration that differs.
    pub async fn daemon_with(&self, change: impl FnOnce(&mut Config)) -> Daemon {
        let mut config = Config::from_text(&self.config).expect("a right configuration");
        config.store.folder = self.folder.path().join("data");
        change(&mut config);
        Daemon::start(config).await.expect("the daemon starts")
    }

    /// The configuration as a file, and the data folder: for a daemon in a process of its own.
    pub fn files(&self) -> (std::path::PathBuf, std::path::PathBuf) {
        let file = self.folder.path().join("trunkline.toml");
        std::fs::write(&file, &self.config).expect("written");
        (file, self.folder.path().join("data"))
    }

    /// What can be done to the world from outside: passwords, QR codes, logins and their end among it.
    pub fn handle(&self) -> Sandbox {
        Sandbox::new(self.world.clone())
    }

    /// Where the server listens.
    pub fn address(&self) -> std::net::SocketAddr {
        self.wires[0].address()
    }

    /// The server's RSA key as PEM.
    pub fn public_key(&self) -> String {
        let config = Config::from_text(&self.config).expect("a right configuration");
        config.telegram.server.rsa_public_key
    }

    /// A user of the world.
    pub fn user(&self, phone: &str, name: &str) -> i64 {
        self.world
            .world(|state| state.add_user(None, phone, name, ""))
            .expect("a user")
    }

    /// Logs an account in by code and waits until it is connected.
    pub async fn log_in(&self, daemon: &Daemon, phone: &str) -> SessionId {
        self.next_second().await;
        let id = self.session(daemon).await;
        self.log_in_again(daemon, id, phone).await;
        id
    }

    /// What was said in a channel in the very second of a login may have come after it, and is told: then a story waits
    /// for the next one.
    async fn next_second(&self) {
        if self.world.world(|world| !world.channels.is_empty()) {
            let millis = u64::try_from(Timestamp::now().0 % 1000).unwrap_or_default();
            tokio::time::sleep(Duration::from_millis(1000 - millis)).await;
        }
    }

    /// A new session, not logged in yet.
    pub async fn session(&self, daemon: &Daemon) -> SessionId {
        let telegram = &daemon.handles.telegram;
        let added = telegram.add(NewAccount::default()).await;
        added.expect("added").account.id
    }

    /// Logs a known session in by code and waits until it is connected.
    pub async fn log_in_again(&self, daemon: &Daemon, id: SessionId, phone: &str) {
        self.submit(daemon, id, phone).await;
        until("the session is connected", || {
            state(daemon, id) == SessionState::Connected
        })
        .await;
    }

    /// Logs a known session in by code; what follows a login is not waited for.
    pub async fn submit(&self, daemon: &Daemon, id: SessionId, phone: &str) {
        let telegram = &daemon.handles.telegram;
        telegram
            .request_code(id, phone, Initiator::daemon())
            .await
            .expect("a code is sent");
        let digits = phone.trim_start_matches('+').to_owned();
        let code = self
            .world
            .world(|state| state.keys.codes.get(&digits).map(|code| code.code.clone()));
        telegram
            .submit_code(id, &code.expect("a code is there"), Initiator::daemon())
            .await
            .expect("logged in");
    }
}

/// A daemon never speaks over two main connections under one key: Telegram would end it.
impl Drop for Stage {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(
                self.world.hub().connections().doubled_keys,
                0,
                "two main connections under one key"
            );
        }
    }
}

/// A session as the daemon shows it.
pub fn view(daemon: &Daemon, id: SessionId) -> SessionView {
    daemon.handles.telegram.view(id).expect("the session is known")
}

/// A session's state.
pub fn state(daemon: &Daemon, id: SessionId) -> SessionState {
    view(daemon, id).account.state
}

/// The journal from its beginning.
pub fn events(daemon: &Daemon) -> Vec<Event> {
    let rows = daemon
        .handles
        .store
        .events(0, 100_000)
        .expect("the journal can be read");
    rows.into_iter().map(|(_, event)| (*event).clone()).collect()
}

/// The texts of all incoming messages, in order.
pub fn received(daemon: &Daemon) -> Vec<String> {
    events(daemon)
        .into_iter()
        .filter_map(|event| match event.body {
            EventBody::MessageNew(message) if !message.service => Some(message.text),
            _ => None,
        })
        .collect()
}

/// Waits until something is true.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Timestamp::now();
    while !holds() {
        assert!(Timestamp::now().since(begun) < PATIENCE, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
