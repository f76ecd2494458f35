//! The scene of the demo: a sandbox with people and two chats, a daemon with one account, a pair and an
//! endpoint, and a receiver.

use std::collections::HashMap;
use std::time::Duration;

use tempfile::TempDir;

use super::script::{CORRECTED, Step};
use crate::app::{Daemon, DaemonError};
use crate::base::{Owner, SessionId};
use crate::config::{Config, ConfigError};
use crate::forward::{ForwardConfig, NewPair, PairError};
use crate::limiter::LimiterConfig;
use crate::model::SessionState;
use crate::ops::audit::Initiator;
use crate::sandbox::acts::{NewChat, NewMessage};
use crate::sandbox::ledger::{Evidence, Ledger, Line, Terms};
use crate::sandbox::receiver::Receiver;
use crate::sandbox::view::MessageView;
use crate::sandbox::world::Refusal;
use crate::sandbox::world::settings::Change;
use crate::sandbox::{Sandbox, SandboxConfig, SandboxError, World};
use crate::store::LaneKind;
use crate::telegram::{NewAccount, TelegramError};
use crate::webhook::{NewEndpoint, WebhookConfig, WebhookError};

/// The receiver refuses every so many requests.
const FAIL_EVERY: u32 = 9;

/// The account's number at the sandbox.
const PHONE: &str = "+999660001001";

/// The longest time between two parts of an album, in milliseconds.
const ALBUM_GAP: i64 = 200;

/// How long the account's login may take.
const LOGIN: Duration = Duration::from_secs(30);

/// So many of the last messages are looked at for the screen.
const RECENT: usize = 200;

/// Why the scene could not be set.
#[derive(Debug, thiserror::Error)]
pub(super) enum SceneError {
    /// The sandbox did not start.
    #[error("the sandbox did not start")]
    Sandbox(#[from] SandboxError),
    /// The sandbox refused.
    #[error("the sandbox refused {0:?}")]
    World(Refusal),
    /// Its configuration was not right.
    #[error("the demo's configuration")]
    Config(#[from] ConfigError),
    /// The daemon did not start.
    #[error("the daemon did not start")]
    Daemon(#[from] DaemonError),
    /// The account did not log in.
    #[error("the account did not log in")]
    Telegram(#[from] TelegramError),
    /// The pair was not made.
    #[error("the pair was not made")]
    Pair(#[from] PairError),
    /// The endpoint was not made.
    #[error("the endpoint was not made")]
    Webhook(#[from] WebhookError),
    /// No folder, no port.
    #[error("the machine gave no folder or port")]
    Io(#[from] std::io::Error),
    /// The account was not connected in time.
    #[error("the account was not connected in time")]
    Late,
}

impl From<Refusal> for SceneError {
    fn from(refusal: Refusal) -> Self {
        Self::World(refusal)
    }
}

/// See the head of the file.
pub(super) struct Scene {
    sandbox: Sandbox,
    world: World,
    daemon: Daemon,
    receiver: Receiver,
    folder: TempDir,
    people: Vec<i64>,
    source: i64,
    destination: i64,
    spoken: Vec<Spoken>,
    produced: usize,
    edits: usize,
    deletions: usize,
}

/// How things stand.
pub(super) struct Glance {
    /// New messages so far.
    pub produced: usize,
    /// Deliveries that the receiver accepted.
    pub delivered: usize,
    /// Edits so far.
    pub edits: usize,
    /// Deletions so far.
    pub deletions: usize,
    /// Tasks that the daemon has.
    pub waiting: usize,
    /// The last messages that stand, and how long after each its copy came, in milliseconds.
    pub recent: Vec<(String, Option<i64>)>,
}

/// A message that was spoken and may be edited, answered or deleted.
struct Spoken {
    id: i32,
    author: i64,
    text: String,
}

impl Scene {
    /// Sets the scene; when this returns the account is connected and the pair runs.
    pub async fn set() -> Result<Self, SceneError> {
        let sandbox = Sandbox::start(SandboxConfig::default()).await?;
        let world = sandbox.world();
        // Well within the time that the daemon of a demo waits for a part.
        world.set(Change {
            album_gap: Some(ALBUM_GAP),
            ..Change::default()
        });
        let people = vec![
            world.user("+999660001002", "Mel")?,
            world.user("+999660001003", "Omid")?,
            world.user("+999660001004", "Yuki")?,
        ];
        let agent = world.user(PHONE, "Agent")?;
        let source = world.add_chat(chat(
            "supergroup",
            "Harbour talk",
            people[0],
            &[people[1], people[2], agent],
        ))?;
        let destination = world.add_chat(chat("channel", "Harbour news", agent, &[]))?;
        let receiver = Receiver::start(FAIL_EVERY).await?;
        let folder = tempfile::tempdir()?;
        let daemon = Daemon::start(config(&sandbox, &folder)?).await?;
        let session = log_in(&daemon, &world).await?;
        let wanted = serde_json::json!({
            "name": "harbour",
            "source": {"session": session, "chat": source},
            "destination": {"session": session, "chat": destination},
        });
        let pair: NewPair = serde_json::from_value(wanted).expect("a pair's form is fixed");
        daemon.handles.pairs.create(pair, Owner::admin()).await?;
        let events = ["message.new", "message.edited", "message.deleted"]
            .map(str::to_owned)
            .to_vec();
        let wanted = serde_json::json!({"url": receiver.url(), "events": events});
        let endpoint: NewEndpoint = serde_json::from_value(wanted).expect("an endpoint's form is fixed");
        daemon.handles.webhooks.create(Owner::admin(), endpoint).await?;
        Ok(Self {
            sandbox,
            world,
            daemon,
            receiver,
            folder,
            people,
            source,
            destination,
            spoken: Vec::new(),
            produced: 0,
            edits: 0,
            deletions: 0,
        })
    }

    /// Who speaks.
    pub fn people(&self) -> Vec<i64> {
        self.people.clone()
    }

    /// New messages so far.
    pub fn produced(&self) -> usize {
        self.produced
    }

    /// What can be looked at meanwhile.
    pub async fn urls(&self) -> Vec<(&'static str, String)> {
        let api = self.daemon.api_address().await;
        let mut urls = vec![("API", format!("http://{api}/health"))];
        if let Some(metrics) = self.daemon.metrics_address() {
            urls.push(("Metrics", format!("http://{metrics}/metrics")));
        }
        let key = self.folder.path().join("data/admin.key");
        urls.push(("Admin key", key.display().to_string()));
        urls.push(("Sandbox", format!("{}/world", self.sandbox.control())));
        urls
    }

    /// Does what the script says.
    pub fn play(&mut self, step: Step) -> Result<(), SceneError> {
        match step {
            Step::Say(message) => self.say(*message)?,
            Step::Reply { back, mut message } => {
                message.reply_to = self.back(back).map(|spoken| spoken.id);
                self.say(*message)?;
            }
            Step::Edit { back } => {
                let Some(at) = self.spoken.len().checked_sub(back) else {
                    return Ok(());
                };
                let spoken = &mut self.spoken[at];
                spoken.text = format!("{CORRECTED}{}", spoken.text);
                self.world
                    .edit(self.source, spoken.id, spoken.author, &spoken.text, Vec::new())?;
                self.edits += 1;
            }
            Step::Delete { back } => {
                let Some(at) = self.spoken.len().checked_sub(back) else {
                    return Ok(());
                };
                let spoken = self.spoken.remove(at);
                self.world.delete(self.source, spoken.id, spoken.author)?;
                self.deletions += 1;
            }
        }
        Ok(())
    }

    fn say(&mut self, message: NewMessage) -> Result<(), SceneError> {
        for posted in self.world.post(self.source, message)? {
            self.produced += 1;
            self.spoken.push(Spoken {
                id: posted.id,
                author: posted.from,
                text: posted.text,
            });
        }
        // Only the latest are ever come back to.
        let old = self.spoken.len().saturating_sub(32);
        self.spoken.drain(..old);
        Ok(())
    }

    fn back(&self, back: usize) -> Option<&Spoken> {
        self.spoken
            .len()
            .checked_sub(back)
            .and_then(|at| self.spoken.get(at))
    }

    /// The ledger as of now.
    pub fn ledger(&self) -> Ledger {
        let received = self.receiver.received();
        Ledger::draw(&Evidence {
            lines: &[Line {
                source: &self.all(self.source),
                destination: &self.all(self.destination),
                terms: &Terms::default(),
            }],
            received: &received,
            edits: self.edits,
            waiting: self.waiting(),
            dead: self.dead(),
        })
    }

    /// How things stand, for the screen: as cheap after hours as after a minute.
    pub fn glance(&self) -> Glance {
        let source = self.recent(self.source);
        let copies = self.recent(self.destination);
        let by_text: HashMap<&str, &MessageView> =
            copies.iter().map(|copy| (copy.text.as_str(), copy)).collect();
        let recent: Vec<_> = source
            .iter()
            .map(|message| {
                let copy = by_text.get(message.text.as_str());
                let took = copy.map(|copy| (copy.stored_at - message.stored_at).max(0));
                (message.text.clone(), took)
            })
            .collect();
        Glance {
            produced: self.produced,
            delivered: self.receiver.accepted(),
            edits: self.edits,
            deletions: self.deletions,
            waiting: self.waiting(),
            recent,
        }
    }

    /// The last messages of a chat that stand.
    fn recent(&self, chat: i64) -> Vec<MessageView> {
        self.world.latest(chat, RECENT).unwrap_or_default()
    }

    /// Tasks in lanes.
    pub fn waiting(&self) -> usize {
        let store = &self.daemon.handles.store;
        let tasks: u64 = LaneKind::ALL
            .into_iter()
            .map(|kind| store.lane_stats(kind).depth)
            .sum();
        usize::try_from(tasks).unwrap_or(usize::MAX)
    }

    fn dead(&self) -> usize {
        let letters =
            self.daemon
                .handles
                .store
                .dead_letters(&crate::store::DeadFilter::default(), None, 10_000);
        letters.map_or(0, |(letters, _)| letters.len())
    }

    fn all(&self, chat: i64) -> Vec<MessageView> {
        self.world
            .messages(chat, None, 0, usize::MAX, true)
            .unwrap_or_default()
    }

    /// Ends daemon, receiver and sandbox.
    pub async fn clear_away(self) {
        self.daemon.stop(Duration::from_secs(10)).await;
        self.receiver.stop().await;
        self.sandbox.stop().await;
    }
}

fn chat(kind: &str, title: &str, creator: i64, members: &[i64]) -> NewChat {
    let wanted = serde_json::json!({"kind": kind, "title": title, "creator": creator, "members": members});
    serde_json::from_value(wanted).expect("a chat's form is fixed")
}

fn config(sandbox: &Sandbox, folder: &TempDir) -> Result<Config, ConfigError> {
    let mut config = Config::from_text(&sandbox.config_section())?;
    config.store.folder = folder.path().join("data");
    config.limiter = LimiterConfig::sandbox();
    config.forward = ForwardConfig::sandbox();
    config.webhook = WebhookConfig::sandbox();
    config.http.listen = free_or_any(config.http.listen);
    config.http.metrics_listen = config.http.metrics_listen.map(free_or_any);
    Ok(config)
}

/// The usual port if nobody has it, else any.
fn free_or_any(wanted: std::net::SocketAddr) -> std::net::SocketAddr {
    match std::net::TcpListener::bind(wanted) {
        Ok(_) => wanted,
        Err(_) => std::net::SocketAddr::new(wanted.ip(), 0),
    }
}

async fn log_in(daemon: &Daemon, world: &World) -> Result<SessionId, SceneError> {
    let telegram = &daemon.handles.telegram;
    let id = telegram.add(NewAccount::default()).await?.account.id;
    telegram.request_code(id, PHONE, Initiator::daemon()).await?;
    let code = world.code(PHONE).ok_or(SceneError::Late)?;
    telegram.submit_code(id, &code, Initiator::daemon()).await?;
    let connected = async {
        while telegram
            .view(id)
            .is_ok_and(|view| view.account.state != SessionState::Connected)
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LOGIN, connected)
        .await
        .map_err(|_| SceneError::Late)?;
    Ok(id)
}
