//! The promise under the hardest test: the real binary, killed with SIGKILL again and again while messages
//! flow, loses none and doubles none.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use trunkline::app::Daemon;
use trunkline::base::{Owner, Timestamp};
use trunkline::config::Config;
use trunkline::forward::{ForwardConfig, NewPair};
use trunkline::model::SessionState;
use trunkline::ops::audit::Initiator;
use trunkline::sandbox::receiver::Receiver;
use trunkline::sandbox::view::MessageView;
use trunkline::sandbox::{Sandbox, SandboxConfig, World};
use trunkline::telegram::NewAccount;
use trunkline::webhook::{NewEndpoint, WebhookConfig};

use crate::stage::until;

const KILLS: u32 = 20;
const MESSAGES: usize = 500;
const PHONE: &str = "+999660000001";

/// What the daemon's processes have in common.
struct Scene {
    sandbox: Sandbox,
    world: World,
    receiver: Receiver,
    folder: tempfile::TempDir,
    author: i64,
    source: i64,
    destination: i64,
}

impl Scene {
    /// A sandbox with two channels, a logged-in session, a pair and an endpoint, all stored.
    async fn set() -> Self {
        let sandbox = Sandbox::start(SandboxConfig::default()).await.expect("a sandbox");
        let world = sandbox.world();
        let author = world.user("+999660000002", "Author").expect("a user");
        let agent = world.user(PHONE, "Agent").expect("a user");
        let chat = |title: &str, creator: i64, members: &[i64]| {
            let new = serde_json::json!({
                "kind": "channel", "title": title, "creator": creator, "members": members
            });
            world
                .add_chat(serde_json::from_value(new).expect("a chat"))
                .expect("made")
        };
        let source = chat("Source", author, &[agent]);
        let destination = chat("Destination", agent, &[]);
        let receiver = Receiver::start(7).await.expect("a receiver");
        let folder = tempfile::tempdir().expect("a folder");
        let scene = Self {
            sandbox,
            world,
            receiver,
            folder,
            author,
            source,
            destination,
        };
        scene.prepare().await;
        scene
    }

    /// Logs in and makes pair and endpoint with a daemon of this process.
    async fn prepare(&self) {
        let mut config = Config::from_text(&self.config()).expect("right");
        config.store.folder = self.folder.path().join("data");
        config.webhook = WebhookConfig::sandbox();
        config.forward = ForwardConfig::sandbox();
        let daemon = Daemon::start(config).await.expect("starts");
        let telegram = &daemon.handles.telegram;
        let session = telegram
            .add(NewAccount::default())
            .await
            .expect("added")
            .account
            .id;
        telegram
            .request_code(session, PHONE, Initiator::daemon())
            .await
            .expect("sent");
        telegram
            .submit_code(
                session,
                &self.world.code(PHONE).expect("a code"),
                Initiator::daemon(),
            )
            .await
            .expect("logged in");
        until("connected", || {
            telegram
                .view(session)
                .is_ok_and(|view| view.account.state == SessionState::Connected)
        })
        .await;
        let pair = serde_json::json!({
            "name": "pair",
            "source": {"session": session, "chat": self.source},
            "destination": {"session": session, "chat": self.destination},
        });
        let pair: NewPair = serde_json::from_value(pair).expect("a pair");
        daemon
            .handles
            .pairs
            .create(pair, Owner::admin())
            .await
            .expect("made");
        let endpoint = serde_json::json!({"url": self.receiver.url(), "events": ["message.new"]});
        let endpoint: NewEndpoint = serde_json::from_value(endpoint).expect("an endpoint");
        daemon
            .handles
            .webhooks
            .create(Owner::admin(), endpoint)
            .await
            .expect("made");
        daemon.stop(Duration::from_secs(10)).await;
    }

    /// The configuration of every process of the daemon.
    fn config(&self) -> String {
        format!(
            "{}\n[limiter]\nprofile = \"sandbox\"\n[http]\nlisten = \"127.0.0.1:0\"\nmetrics_listen = \"127.0.0.1:0\"\n\
             [webhook]\nretry_delays = [\"0s\", \"50ms\", \"100ms\", \"200ms\", \"400ms\", \"800ms\", \"2s\", \"4s\", \"8s\"]\n\
             overload_floor = \"100ms\"\nallowed_networks = [\"127.0.0.0/8\"]\n\
             [forward]\nretry_first = \"50ms\"\nretry_max = \"1s\"\n",
            self.sandbox.config_section()
        )
    }

    /// The real binary on the same data.
    fn run(&self) -> Child {
        let config = self.folder.path().join("trunkline.toml");
        std::fs::write(&config, self.config()).expect("written");
        binary(&config, &self.folder.path().join("data"))
    }

    fn messages(&self, chat: i64) -> Vec<MessageView> {
        let mut all = self
            .world
            .messages(chat, None, 0, usize::MAX, true)
            .expect("a chat");
        all.retain(|message| message.service.is_none());
        all
    }

    /// The webhook ids that told of each message, as the receiver accepted them.
    fn told(&self) -> HashMap<i64, HashSet<String>> {
        let mut told: HashMap<i64, HashSet<String>> = HashMap::new();
        for (id, one) in self.receiver.received() {
            assert!(!one.changed, "an id came with two bodies");
            let body: serde_json::Value = serde_json::from_slice(&one.body).expect("JSON");
            if one.accepted > 0 && body["data"]["chat"] == self.source {
                told.entry(body["data"]["id"].as_i64().expect("an id"))
                    .or_default()
                    .insert(id);
            }
        }
        told
    }
}

fn binary(config: &Path, data: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_trunkline"))
        .arg("run")
        .arg("--config")
        .arg(config)
        .arg("--data-dir")
        .arg(data)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts")
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_twenty_times_it_loses_and_doubles_nothing() {
    let seed = u64::try_from(Timestamp::now().0).expect("after 1970");
    println!("seed {seed}");
    let mut dice = StdRng::seed_from_u64(seed);
    let scene = Scene::set().await;

    let (world, chat, author) = (scene.world.clone(), scene.source, scene.author);
    let talk = tokio::spawn(async move {
        for number in 0..MESSAGES {
            world
                .say(chat, author, &format!("message {number}"))
                .expect("said");
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
    });
    for _ in 0..KILLS {
        let mut daemon = scene.run();
        tokio::time::sleep(Duration::from_millis(dice.random_range(150..1600))).await;
        // `kill` is SIGKILL: nothing is flushed, nobody is told.
        daemon.kill().expect("it was running");
        daemon.wait().expect("it ended");
    }
    talk.await.expect("all was said");
    let meanwhile = scene.messages(scene.destination).len();
    assert!(
        meanwhile > MESSAGES / 4,
        "the kills hit a daemon at work, not one that starts: {meanwhile}"
    );

    let mut daemon = scene.run();
    let complete = || {
        let copies = scene.messages(scene.destination).len();
        copies >= MESSAGES && scene.told().len() >= MESSAGES
    };
    let begun = Timestamp::now();
    while !complete() && Timestamp::now().since(begun) < Duration::from_secs(60) {
        assert!(
            daemon.try_wait().expect("its state").is_none(),
            "the daemon ended by itself"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    daemon.kill().expect("it was running");
    daemon.wait().expect("it ended");

    let said: Vec<String> = scene
        .messages(scene.source)
        .into_iter()
        .map(|message| message.text)
        .collect();
    let copied: Vec<String> = scene
        .messages(scene.destination)
        .into_iter()
        .map(|message| message.text)
        .collect();
    assert_eq!(copied, said, "each once, in order (seed {seed})");
    let told = scene.told();
    assert_eq!(told.len(), MESSAGES, "every message was delivered (seed {seed})");
    assert!(
        told.values().all(|ids| ids.len() == 1),
        "a message has one id (seed {seed})"
    );
    scene.receiver.stop().await;
    scene.sandbox.stop().await;
}
