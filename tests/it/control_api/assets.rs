//! Sessions as an asset: handed out, brought in, deleted when nobody uses them; and the log of who did so.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::{Value, json};
use trunkline::access::Scope;
use trunkline::app::Daemon;
use trunkline::base::{Span, Timestamp, chain};
use trunkline::config::Config;
use trunkline::model::SessionState;
use trunkline::ops::audit::Initiator;
use trunkline::sandbox::World;
use trunkline::sandbox::world::Peer;
use trunkline::sandbox::world::posting::Draft;
use trunkline::telegram::{Form, Portable, Surroundings};

use super::caller::{Caller, id};
use crate::stage::{Stage, received, state, until, view};

const PHONE: &str = "+989120000001";
const PATIENCE: Duration = Duration::from_secs(5);
const DAY: u64 = 24 * 3600;

/// The entries of the audit log but those of the tests' own keys; the latest first.
async fn entries(admin: &Caller) -> Vec<Value> {
    let mut items = admin.items("/api/admin/audit?limit=200").await;
    items.retain(|item| item["what"] != "key.made" || item["who"] != "daemon");
    items
}

/// What the audit log says: deed, subject, details; the latest first.
async fn deeds(admin: &Caller) -> Vec<(String, String, Value)> {
    let items = entries(admin).await;
    let deed = |item: Value| {
        let text = |name: &str| item[name].as_str().expect("a text").to_owned();
        (text("what"), text("subject"), item["details"].clone())
    };
    items.into_iter().map(deed).collect()
}

async fn exported(admin: &Caller, session: impl std::fmt::Display, form: &str) -> String {
    let path = format!("/api/sessions/{session}/export");
    let answer = admin.post(&path, json!({"form": form})).await.ok();
    answer["session"].as_str().expect("a text").to_owned()
}

async fn elsewhere(stage: &Stage) -> Daemon {
    stage
        .daemon_with(|config| config.store.folder = config.store.folder.with_file_name("elsewhere"))
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_handed_out_and_brought_in_elsewhere() {
    let stage = Stage::new().await;
    let (ann, bob) = (stage.user(PHONE, "Ann"), stage.user("+989120000002", "Bob"));
    let say = |words: &str| {
        let said = stage
            .world
            .world(|world| world.post(bob, Peer::User(ann), Draft::text(words)));
        said.expect("posted");
    };
    let daemon = stage.daemon().await;
    let session = stage.log_in(&daemon, PHONE).await;
    say("before");
    until("it arrived", || received(&daemon).len() == 1).await;
    let admin = Caller::new(&daemon, Scope::Admin, None).await;
    let manager = Caller::new(&daemon, Scope::Manage, None).await;
    let path = format!("/api/sessions/{session}/export");
    let refused = manager.post(&path, json!({"form": "telethon"})).await;
    assert_eq!(refused.refusal(), (403, "FORBIDDEN"));
    let refused = admin.post(&path, json!({"form": "papyrus"})).await;
    assert_eq!(refused.refusal(), (400, "INVALID_REQUEST"));

    let forms = [
        ("telethon", Form::Telethon),
        ("pyrogram", Form::Pyrogram),
        ("auth_key", Form::AuthKey),
    ];
    let mut texts = Vec::new();
    for (name, form) in forms {
        let text = exported(&admin, session, name).await;
        let read = Portable::read(form, &text).expect("a session");
        let keys = stage.world.world(|world| world.accounts[&ann].keys.clone());
        let key = stage
            .world
            .world(|world| world.keys.known[&keys[0]].auth_key.clone());
        assert_eq!((read.dc, &read.key[..]), (2, &key[..]));
        assert!(read.user_id.is_none_or(|user| user == ann));
        let again = manager
            .post("/api/sessions", json!({"import": {name: &text}}))
            .await;
        assert_eq!(again.refusal(), (409, "AUTH_KEY_IN_USE"));
        assert_eq!(again.body["details"]["session"], session.to_string());
        texts.push((name, text));
    }
    daemon.stop(PATIENCE).await;
    say("meanwhile");

    // One after the other: Telegram ends a key that is in use from two places.
    for (name, text) in &texts {
        let folder = |config: &mut Config| config.store.folder = config.store.folder.with_file_name(*name);
        let daemon = stage.daemon_with(folder).await;
        let admin = Caller::new(&daemon, Scope::Admin, None).await;
        let draft = json!({"name": "sales", "agent_id": 7, "import": {*name: text}});
        let made = admin.post("/api/sessions", draft).await;
        assert_eq!(made.status, 201, "{made:?}");
        let made = made.ok();
        assert_eq!((&made["user_id"], &made["phone"]), (&json!(ann), &json!(PHONE)));
        let brought = id(&made).parse().expect("an id");
        until("it is connected", || {
            state(&daemon, brought) == SessionState::Connected
        })
        .await;
        say(name);
        until("it arrived", || !received(&daemon).is_empty()).await;
        assert_eq!(received(&daemon), [*name], "and nothing old");
        let deeds = deeds(&admin).await;
        let imported = deeds.iter().filter(|(what, ..)| what == "session.imported");
        let forms: Vec<_> = imported.map(|(_, _, details)| details["form"].clone()).collect();
        assert_eq!(forms, [*name]);
        daemon.stop(PATIENCE).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_session_is_not_brought_in() {
    let stage = Stage::new().await;
    let ann = stage.user(PHONE, "Ann");
    let daemon = stage.daemon().await;
    let session = stage.log_in(&daemon, PHONE).await;
    let admin = Caller::new(&daemon, Scope::Admin, None).await;
    let text = exported(&admin, session, "pyrogram").await;
    daemon.stop(PATIENCE).await;

    let daemon = elsewhere(&stage).await;
    let admin = Caller::new(&daemon, Scope::Admin, None).await;
    let import = async |form: &str, text: &str| {
        let answer = admin.post("/api/sessions", json!({"import": {form: text}})).await;
        let (status, code) = answer.refusal();
        assert!(!answer.body.to_string().contains("AABBCC"), "{answer:?}");
        (status, code.to_owned())
    };
    let invalid = (400, "IMPORT_INVALID".to_owned());
    for (form, wrong) in [
        ("telethon", ""),
        ("telethon", "1AABBCC"),
        ("telethon", text.as_str()),
        ("pyrogram", "AABBCC"),
        ("auth_key", "AABBCC"),
    ] {
        assert_eq!(import(form, wrong).await, invalid, "{form} {wrong}");
    }
    let unknown_dc = format!("3:{}", "5f".repeat(256));
    assert_eq!(import("auth_key", &unknown_dc).await, invalid);
    let unknown_form = (400, "INVALID_REQUEST".to_owned());
    assert_eq!(import("papyrus", "AABBCC").await, unknown_form);

    let refused = (422, "IMPORT_REFUSED".to_owned());
    let nobodys = format!("2:{}", "5f".repeat(256));
    assert_eq!(
        import("auth_key", &nobodys).await,
        refused,
        "a key that was never made"
    );
    let mut other = Portable::read(Form::Pyrogram, &text).expect("a session");
    other.user_id = Some(ann + 1);
    let around = Surroundings {
        address: "127.0.0.1:1".parse().expect("an address"),
        api_id: 1,
        bot: false,
    };
    let others = other.write(Form::Pyrogram, &around);
    assert_eq!(import("pyrogram", others.expose()).await, refused, "another's");
    stage.world.world(|world| {
        for key in world.accounts[&ann].keys.clone() {
            world.end_key(key, "SESSION_REVOKED");
        }
    });
    assert_eq!(import("pyrogram", &text).await, refused, "one that was ended");
    assert!(
        admin.items("/api/sessions").await.is_empty(),
        "nothing is left of them"
    );
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_tells_who_did_what_from_where() {
    let stage = Stage::new().await;
    stage.user(PHONE, "Ann");
    let daemon = stage.daemon().await;
    let admin = Caller::new(&daemon, Scope::Admin, None).await;
    let session = stage.log_in(&daemon, PHONE).await;
    let text = exported(&admin, session, "telethon").await;
    let key = admin
        .post("/api/keys", json!({"name": "crm", "scopes": ["send"]}))
        .await
        .ok();
    let path = format!("/api/keys/{}", id(&key));
    let rotated = admin.post(&format!("{path}/rotate"), json!({})).await.ok();
    admin.delete(&path).await.ok();
    admin
        .post(&format!("/api/sessions/{session}/logout"), json!({}))
        .await
        .ok();
    admin.delete(&format!("/api/sessions/{session}")).await.ok();
    let refused = Caller::new(&daemon, Scope::Manage, None).await;
    assert_eq!(
        refused.get("/api/admin/audit").await.refusal(),
        (403, "FORBIDDEN")
    );

    let whats = async || {
        deeds(&admin)
            .await
            .into_iter()
            .map(|(what, ..)| what)
            .collect::<Vec<_>>()
    };
    let expected = [
        "session.deleted",
        "session.logged_out",
        "key.revoked",
        "key.rotated",
        "key.made",
        "session.exported",
        "session.logged_in",
        "login.begun",
    ];
    assert_eq!(whats().await, expected);
    let all = Value::Array(entries(&admin).await);
    let export = &all[5];
    assert_eq!(
        (&export["from"], &export["subject"]),
        (&json!("127.0.0.1"), &json!(session))
    );
    let keys = admin.items("/api/keys").await;
    let own = keys
        .iter()
        .find(|key| key["name"] == "story")
        .expect("the caller's key");
    assert_eq!(export["who"]["key"], own["id"]);
    assert!(
        export["request"]
            .as_str()
            .is_some_and(|name| name.starts_with("req_"))
    );
    let login = &all[6];
    assert_eq!((&login["who"], &login["from"]), (&json!("daemon"), &Value::Null));
    for secret in [
        &text,
        key["key"].as_str().expect("a text"),
        rotated["key"].as_str().expect("a text"),
        PHONE,
    ] {
        assert!(!all.to_string().contains(secret));
    }
    let (mut paged, mut cursor) = (0, String::new());
    loop {
        let page = admin.get(&format!("/api/admin/audit?limit=3{cursor}")).await.ok();
        paged += page["items"].as_array().expect("items").len();
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(paged, admin.items("/api/admin/audit?limit=200").await.len());

    daemon.stop(PATIENCE).await;
    let daemon = stage
        .daemon_with(|config| config.audit.keep = Span::millis(1))
        .await;
    let admin = Caller::with_key(&daemon, &admin.key).await;
    until("old entries are forgotten", || {
        let left = daemon.handles.audit.list(None, 10).expect("lists");
        left.0.is_empty()
    })
    .await;
    assert!(admin.items("/api/admin/audit").await.is_empty());
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_used_in_two_places_is_noticed() {
    let stage = Stage::new().await;
    stage.user(PHONE, "Ann");
    let daemon = stage.daemon().await;
    let admin = Caller::new(&daemon, Scope::Admin, None).await;
    // Telegram says so to any call; to the first one of a connection too.
    for method in ["messages.sendMessage", "help.getConfig"] {
        let session = stage.log_in(&daemon, PHONE).await;
        let world = World::new(stage.world.clone());
        let fault = format!(
            r#"{{"kind":"error","code":406,"name":"AUTH_KEY_DUPLICATED","method":"{method}","times":0}}"#
        );
        world
            .fault(serde_json::from_str(&fault).expect("a fault"))
            .expect("added");
        let path = format!("/api/sessions/{session}");
        if method == "help.getConfig" {
            admin.post(&format!("{path}/restart"), json!({})).await.ok();
        } else {
            let own = view(&daemon, session).account.user_id;
            let message = json!({"chat": own, "text": "hello"});
            let refused = admin.post(&format!("{path}/messages"), message).await;
            assert_eq!(refused.refusal(), (410, "SESSION_EXPIRED"), "{refused:?}");
        }
        until("its state tells", || {
            state(&daemon, session) == SessionState::BadCredentials
        })
        .await;
        assert_eq!(
            view(&daemon, session).account.reason.as_deref(),
            Some("AUTH_KEY_DUPLICATED")
        );
        let open = || daemon.handles.incidents.list(true, None, 9).expect("lists").0;
        until("an incident tells", || {
            open()
                .iter()
                .any(|it| it.kind == "session_key_duplicated" && it.subject == session.to_string())
        })
        .await;
        world.clear_faults(None);
        daemon
            .handles
            .telegram
            .delete(session, Initiator::daemon())
            .await
            .expect("deleted");
        assert!(open().is_empty(), "settled");
    }
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_nobody_uses_are_deleted_if_that_is_wanted() {
    let stage = Stage::new().await;
    let ann = stage.user(PHONE, "Ann");
    let daemon = stage.daemon().await;
    let session = stage.log_in(&daemon, PHONE).await;
    let telegram = &daemon.handles.telegram;
    let later = |days: u64| Timestamp::now().plus(Duration::from_secs(days * DAY));
    telegram.delete_inactive(later(5000)).await;
    assert_eq!(state(&daemon, session), SessionState::Connected, "off by default");
    daemon.stop(PATIENCE).await;

    let daemon = stage
        .daemon_with(|config| config.telegram.delete_inactive_after = Span::secs(30 * DAY))
        .await;
    let telegram = &daemon.handles.telegram;
    telegram.delete_inactive(later(29)).await;
    telegram.stop(session).await.expect("stopped");
    assert_eq!(state(&daemon, session), SessionState::Stopped);
    let keys = || stage.world.world(|world| world.accounts[&ann].keys.len());
    assert_eq!(keys(), 1);
    telegram.delete_inactive(later(31)).await;
    assert!(telegram.view(session).is_err(), "deleted");
    assert_eq!(keys(), 0, "and logged out at Telegram, though it rested");
    let admin = Caller::new(&daemon, Scope::Admin, None).await;
    let deeds = deeds(&admin).await;
    assert_eq!(
        (deeds[0].0.as_str(), &deeds[0].2["reason"]),
        ("session.deleted", &json!("INACTIVE"))
    );
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_data_folder_is_its_owners_and_one_daemons() {
    let stage = Stage::new().await;
    stage.user(PHONE, "Ann");
    let daemon = stage.daemon().await;
    stage.log_in(&daemon, PHONE).await;
    daemon.handles.store.export_file().await.expect("exported");
    let mut config = trunkline::config::Config::from_text("").expect("right");
    config
        .store
        .folder
        .clone_from(&daemon.handles.store.config().folder);
    let Err(error) = Daemon::start(config).await else {
        panic!("two daemons have one store");
    };
    let told = chain(&error);
    assert!(told.contains("in use by another process"), "{told}");

    let (file, data) = stage.files();
    let other = std::process::Command::new(env!("CARGO_BIN_EXE_trunkline"))
        .args(["run", "--config"])
        .arg(file)
        .arg("--data-dir")
        .arg(&data)
        .output()
        .expect("runs");
    assert_eq!(other.status.code(), Some(1));
    let said = String::from_utf8_lossy(&[other.stdout, other.stderr].concat()).into_owned();
    assert!(said.contains("in use by another process"), "{said}");

    let (mut folders, mut files) = (vec![data], 0);
    while let Some(folder) = folders.pop() {
        let mode = |path: &std::path::Path| path.metadata().expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700, "{}", folder.display());
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files += 1;
                assert_eq!(mode(&path), 0o600, "{}", path.display());
            }
        }
    }
    assert!(files > 3);
    daemon.stop(PATIENCE).await;
}
