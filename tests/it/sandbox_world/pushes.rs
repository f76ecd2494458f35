//! Pushes and connections that go wrong on purpose, and a daemon that must not lose or double anything.

use std::time::Duration;

use trunkline::app::Daemon;
use trunkline::config::Config;
use trunkline::model::SessionState;
use trunkline::ops::audit::Initiator;
use trunkline::sandbox::acts::{NewChat, NewChatKind, Who};
use trunkline::sandbox::{Sandbox, SandboxConfig, World};
use trunkline::telegram::NewAccount;

use crate::stage::{Stage, received, state, until};

const PATIENCE: Duration = Duration::from_secs(5);

fn sorted(daemon: &Daemon) -> Vec<String> {
    let mut texts = received(daemon);
    texts.sort();
    texts
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_that_are_lost_doubled_or_swapped_arrive_once() {
    let stage = Stage::new().await;
    let ann = stage.user("+989120000001", "Ann");
    let bob = stage.user("+989120000002", "Bob");
    let world = World::new(stage.world.clone());
    let news = NewChat {
        kind: NewChatKind::Channel,
        id: None,
        title: "News".into(),
        about: String::new(),
        username: None,
        creator: Who::Id(bob),
        members: vec![Who::Id(ann)],
        admins: vec![],
        slow_mode: 0,
        protected: false,
    };
    let channel = world.add_chat(news).expect("a channel");
    let daemon = stage.daemon().await;
    stage.log_in(&daemon, "+989120000001").await;
    let mut said = Vec::new();
    for (chat, name) in [(ann, "private"), (channel, "channel")] {
        for kind in ["gap", "duplicate", "reorder"] {
            let fault = format!(r#"{{"kind":"{kind}","account":{ann}}}"#);
            world
                .fault(serde_json::from_str(&fault).expect("a fault"))
                .expect("added");
            for n in 1..=3 {
                let text = format!("{name} {kind} {n}");
                world.say(chat, bob, &text).expect("posted");
                said.push(text);
            }
            until("all of it arrived", || received(&daemon).len() >= said.len()).await;
            // grammers forgets a gap that opens within half a second of another one that has closed, until
            // the next quarter of an hour: that is its own story.
            tokio::time::sleep(Duration::from_millis(600)).await;
        }
    }
    said.sort();
    assert_eq!(sorted(&daemon), said);
    assert!(world.faults().iter().all(|fault| fault.acted == 1));
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_survived_and_what_was_said_meanwhile_arrives() {
    let stage = Stage::new().await;
    let ann = stage.user("+989120000001", "Ann");
    let bob = stage.user("+989120000002", "Bob");
    let world = World::new(stage.world.clone());
    let daemon = stage.daemon().await;
    let session = stage.log_in(&daemon, "+989120000001").await;
    world.say(ann, bob, "before").expect("posted");
    until("it arrived", || received(&daemon).len() == 1).await;
    let outage = r#"{"kind":"outage","milliseconds":400}"#;
    world
        .fault(serde_json::from_str(outage).expect("a fault"))
        .expect("begun");
    world.say(ann, bob, "meanwhile").expect("posted");
    until("it arrived", || received(&daemon).len() == 2).await;
    until("the session is back", || {
        state(&daemon, session) == SessionState::Connected
    })
    .await;
    world.say(ann, bob, "after").expect("posted");
    until("it arrived", || received(&daemon).len() >= 3).await;
    assert_eq!(received(&daemon), ["before", "meanwhile", "after"]);
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_account_may_be_without_a_network_alone() {
    let stage = Stage::new().await;
    let phones = ["+989120000001", "+989120000002"];
    let (ann, bob) = (stage.user(phones[0], "Ann"), stage.user(phones[1], "Bob"));
    let carl = stage.user("+989120000003", "Carl");
    let world = World::new(stage.world.clone());
    let daemon = stage.daemon().await;
    for phone in phones {
        stage.log_in(&daemon, phone).await;
    }
    let outage = format!(r#"{{"kind":"outage","milliseconds":60000,"account":{ann}}}"#);
    world
        .fault(serde_json::from_str(&outage).expect("a fault"))
        .expect("begun");
    let refused = world.connections().turned_away;
    world.say(ann, carl, "to Ann").expect("posted");
    world.say(bob, carl, "to Bob").expect("posted");
    until("the other one hears", || received(&daemon) == ["to Bob"]).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(received(&daemon), ["to Bob"], "nothing comes through");
    assert_eq!(
        world.connections().turned_away,
        refused,
        "the door is open to others"
    );
    world.clear_faults(None);
    until("she hears when it is over", || {
        received(&daemon) == ["to Bob", "to Ann"]
    })
    .await;
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_sandbox_restarts_under_a_daemon_that_stays_logged_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = SandboxConfig {
        data: Some(folder.path().join("world")),
        ..SandboxConfig::default()
    };
    let sandbox = Sandbox::start(config.clone()).await.expect("starts");
    let ann = sandbox.world().user("+989120000001", "Ann").expect("a user");
    let bob = sandbox.world().user("+989120000002", "Bob").expect("a user");
    let text = format!(
        "{}\n[limiter]\nprofile = \"sandbox\"\n[http]\nlisten = \"127.0.0.1:0\"\nmetrics_listen = \"127.0.0.1:0\"\n",
        sandbox.config_section()
    );
    let mut settings = Config::from_text(&text).expect("a right configuration");
    settings.store.folder = folder.path().join("data");
    let daemon = Daemon::start(settings).await.expect("the daemon starts");
    let telegram = &daemon.handles.telegram;
    let id = telegram
        .add(NewAccount::default())
        .await
        .expect("added")
        .account
        .id;
    telegram
        .request_code(id, "+989120000001", Initiator::daemon())
        .await
        .expect("a code is sent");
    let code = sandbox.world().code("+989120000001").expect("a code");
    telegram
        .submit_code(id, &code, Initiator::daemon())
        .await
        .expect("logged in");
    until("the session is connected", || {
        state(&daemon, id) == SessionState::Connected
    })
    .await;

    config.port = sandbox.address().port();
    sandbox.stop().await;
    let sandbox = Sandbox::start(config).await.expect("starts again");
    sandbox.world().say(ann, bob, "still there?").expect("posted");
    until("it arrived", || received(&daemon) == ["still there?"]).await;
    until("the session is connected", || {
        state(&daemon, id) == SessionState::Connected
    })
    .await;
    daemon.stop(PATIENCE).await;
    sandbox.stop().await;
}
