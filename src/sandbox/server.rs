//! The sandbox as a whole: world, wire, control port, disk; started and stopped together.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::control;
use super::disk::{self, Disk, DiskError};
use super::handle::World;
use super::rpc::Hub;
use super::seed::{Seed, SeedError};
use super::telegram::Telegram;
use super::wire::{KeyError, RsaKey, Wire, WireConfig};
use super::world::account::{DC, SECOND_DC};
use super::world::weather::Weather;
use super::world::{State, Switches};

/// How often the stream of updates sends one.
const GUSTS_EVERY: Duration = Duration::from_millis(100);

/// How long after a change the world is written at the earliest.
const SAVE_AFTER: Duration = Duration::from_secs(1);

/// How long is waited between two writings, as a multiple of what the last one took: a large world that changes all
/// the time is written seldom enough that this takes a small part of the time.
const SAVE_REST: u32 = 20;

/// How a sandbox is started.
#[derive(Clone, Debug, Default)]
pub struct SandboxConfig {
    /// The port of the Telegram server; 0 for any that is free.
    pub port: u16,
    /// The port of a second data centre, if there is to be one; 0 for any that is free.
    pub second_port: Option<u16>,
    /// The port of the control interface; 0 for any that is free.
    pub control_port: u16,
    /// Where world and keys are kept; without it they end with the sandbox.
    pub data: Option<PathBuf>,
    /// Where the server's key is kept if not in `data`; without both it is made anew.
    pub key_file: Option<PathBuf>,
    /// What an empty world is filled with.
    pub seed: Option<Seed>,
    /// The application's id and hash it insists on; without it any are taken.
    pub api: Option<(i32, String)>,
    /// How many connections it takes at a time; 0 for a usual number.
    pub max_connections: usize,
    /// Which of Telegram's ways it has.
    pub switches: Switches,
    /// What the stream of updates that are nobody's message is drawn from; without it there is none.
    pub weather: Option<i64>,
    /// How many times faster the clock of the limits on speed goes; without it there are no limits.
    pub limits: Option<u32>,
    /// By how many seconds its clock is ahead of the machine's, or behind.
    pub clock_offset: i64,
}

/// A sandbox that cannot start.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// Its folder.
    #[error("the sandbox's folder")]
    Disk(#[from] DiskError),
    /// Its key.
    #[error("the sandbox's RSA key")]
    Key(#[from] KeyError),
    /// Its seed.
    #[error("the sandbox's seed")]
    Seed(#[from] SeedError),
    /// A port.
    #[error("the sandbox's {what} cannot listen")]
    Listen {
        /// Which of the two.
        what: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The machine gives no randomness or no thread.
    #[error("the sandbox cannot start")]
    System,
}

/// A running sandbox.
pub struct Sandbox {
    wires: Vec<Wire>,
    control: SocketAddr,
    telegram: Telegram,
    public_pem: String,
    api: (i32, String),
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Sandbox {
    /// Starts a sandbox on loopback.
    pub async fn start(config: SandboxConfig) -> Result<Self, SandboxError> {
        let mut opened = match &config.data {
            Some(folder) => Some(Disk::open(folder)?),
            None => None,
        };
        let key_file = config
            .key_file
            .clone()
            .or_else(|| opened.as_ref().map(Disk::key_file));
        let made = tokio::task::spawn_blocking(move || key(key_file.as_deref())).await;
        let rsa = made.map_err(|_| SandboxError::System)??;
        let public_pem = rsa.public_pem()?;
        let mut state = match opened.as_mut().map(Disk::load).transpose()?.flatten() {
            Some(state) => state,
            None => fresh(config.seed, config.clock_offset)?,
        };
        state.settings.clock_offset = config.clock_offset.saturating_mul(1_000);
        state.switches.set(config.switches);
        state.weather = config.weather.map(|seed| Weather { seed, gusts: 0 });
        let hub = Hub::new();
        let telegram = Telegram::new(state, hub.clone(), config.api.clone());
        telegram.set_limits(config.limits);
        // What went while nobody was there goes now, and for the rest somebody waits.
        telegram.world(State::vanish);
        let second = config.second_port.map(|port| (SECOND_DC, port));
        let mut wires = Vec::new();
        for (dc, port) in std::iter::once((DC, config.port)).chain(second) {
            let mut wired = WireConfig {
                port,
                dc,
                ..WireConfig::new(rsa.clone())
            };
            if config.max_connections > 0 {
                wired.max_connections = config.max_connections;
            }
            let started = Wire::start(wired, hub.clone(), Arc::new(telegram.clone())).await;
            let wire = started.map_err(|source| SandboxError::Listen {
                what: "server",
                source,
            })?;
            telegram.centre_listens_at(dc, wire.address());
            wires.push(wire);
        }
        let stop = CancellationToken::new();
        let api = config.api.unwrap_or((1, "sandbox".to_owned()));
        let section = daemon_config(&telegram.centres(), &public_pem, &api);
        let bound = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, config.control_port)).await;
        let bound = bound.and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (control, listener) = bound.map_err(|source| SandboxError::Listen {
            what: "control port",
            source,
        })?;
        let shared = control::Control {
            world: World::new(telegram.clone()),
            section,
            limits: control::Limits::default(),
            count: Arc::default(),
        };
        let mut tasks = vec![tokio::spawn(control::serve(listener, shared, stop.clone()))];
        tasks.push(tokio::spawn(blow(World::new(telegram.clone()), stop.clone())));
        if let Some(disk) = opened {
            tasks.push(tokio::spawn(keep(disk, telegram.clone(), stop.clone())));
        }
        Ok(Self {
            wires,
            control,
            telegram,
            public_pem,
            api,
            stop,
            tasks,
        })
    }

    /// Where the Telegram server listens, its first data centre.
    pub fn address(&self) -> SocketAddr {
        self.wires.first().map_or(self.control, Wire::address)
    }

    /// Where each data centre listens.
    pub fn centres(&self) -> Centres {
        self.telegram.centres()
    }

    /// The base URL of the control port.
    pub fn control(&self) -> String {
        format!("http://{}", self.control)
    }

    /// The server's public key, which its clients have to know.
    pub fn rsa_public_pem(&self) -> &str {
        &self.public_pem
    }

    /// The section of a configuration with which a daemon reaches this sandbox.
    pub fn config_section(&self) -> String {
        section(&self.telegram.centres(), &self.public_pem, &self.api)
    }

    /// The world, for those in this process.
    pub fn world(&self) -> World {
        World::new(self.telegram.clone())
    }

    /// Sends what was gathered, cuts all connections, stops listening and writes the world, if it is kept.
    pub async fn stop(self) {
        self.telegram.flush_all();
        for wire in self.wires {
            wire.stop().await;
        }
        self.stop.cancel();
        for task in self.tasks {
            if task.await.is_err() {
                tracing::error!("a part of the sandbox broke");
            }
        }
    }
}

/// Where each data centre listens.
pub type Centres = BTreeMap<i32, SocketAddr>;

/// The configuration section for servers at these addresses with this key. Sessions start without the pauses that
/// Telegram itself deserves.
pub fn section(centres: &Centres, public_pem: &str, api: &(i32, String)) -> String {
    let mut text = String::new();
    let hash = toml::Value::String(api.1.clone());
    let mut written = write!(
        text,
        "[telegram]\napi_id = {}\napi_hash = {hash}\n\
         start_at_once = 64\nstart_spacing = \"1ms\"\n\n[telegram.server]\nrsa_public_key = \"\"\"\n{}\n\"\"\"\n",
        api.0,
        public_pem.trim(),
    );
    for (dc, address) in centres {
        written = written.and(writeln!(
            text,
            "\n[[telegram.server.dc]]\nid = {dc}\naddress = \"{address}\""
        ));
    }
    debug_assert!(written.is_ok(), "writing to a text cannot fail");
    text
}

/// The whole configuration of a daemon that tries things against the sandbox: where it is, no pauses for
/// the sake of Telegram's limits, webhooks to this machine.
pub fn daemon_config(centres: &Centres, public_pem: &str, api: &(i32, String)) -> String {
    let section = section(centres, public_pem, api);
    format!(
        "{section}\n[limiter]\nprofile = \"sandbox\"\n\n[webhook]\nallowed_networks = [\"127.0.0.0/8\", \"::1/128\"]\n"
    )
}

/// The server's key: read from its file, or made and written there.
pub fn key(file: Option<&Path>) -> Result<RsaKey, SandboxError> {
    let Some(file) = file else {
        return Ok(RsaKey::generate()?);
    };
    match std::fs::read_to_string(file) {
        Ok(pem) => Ok(RsaKey::from_pem(&pem)?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let key = RsaKey::generate()?;
            if let Some(folder) = file.parent() {
                let made = std::fs::create_dir_all(folder);
                made.map_err(|source| DiskError::Io {
                    path: folder.to_owned(),
                    source,
                })?;
            }
            disk::replace(file, key.private_pem()?.as_bytes())?;
            Ok(key)
        }
        Err(source) => Err(DiskError::Io {
            path: file.to_owned(),
            source,
        }
        .into()),
    }
}

fn fresh(seed: Option<Seed>, clock_offset: i64) -> Result<State, SandboxError> {
    let mut secret = [0; 8];
    getrandom::fill(&mut secret).map_err(|_| SandboxError::System)?;
    let mut state = State::new(u64::from_le_bytes(secret));
    let offset = clock_offset.saturating_mul(1_000);
    state.now = crate::base::Timestamp::now().0.saturating_add(offset);
    if let Some(seed) = seed {
        seed.plant(&mut state)?;
        state.news.clear();
    }
    Ok(state)
}

/// Lets the stream of updates go on, while there is to be one.
async fn blow(world: World, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(GUSTS_EVERY) => world.next_gust(),
        }
    }
}

/// How long to wait for the next writing, after one that took this long.
fn rest_after(spent: Duration) -> Duration {
    SAVE_AFTER.max(spent.saturating_mul(SAVE_REST))
}

/// Writes the world when it has changed, and at the end.
async fn keep(mut disk: Disk, telegram: Telegram, stop: CancellationToken) {
    let mut written = 0;
    let mut rest = SAVE_AFTER;
    loop {
        let last = tokio::select! {
            () = stop.cancelled() => true,
            () = tokio::time::sleep(rest) => false,
        };
        let revision = telegram.revision();
        if revision != written {
            let telegram = telegram.clone();
            let began = std::time::Instant::now();
            let saved = tokio::task::spawn_blocking(move || {
                let snapshot = telegram.look(|state| disk.snapshot(state));
                let result = snapshot.map(|snapshot| disk.save(snapshot));
                (disk, result)
            });
            let Ok((back, result)) = saved.await else { return };
            disk = back;
            rest = rest_after(began.elapsed());
            match result {
                Some(Ok(())) => written = revision,
                Some(Err(error)) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "world not written")
                }
                None => tracing::error!("world not written: it cannot be put into bytes"),
            }
        }
        if last {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_long_to_write_is_written_seldom() {
        assert_eq!(rest_after(Duration::from_millis(3)), SAVE_AFTER);
        assert_eq!(rest_after(Duration::from_millis(400)), Duration::from_secs(8));
    }
}
