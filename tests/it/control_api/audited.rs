//! Every act that the API's document calls audited leaves one entry, with who asked; what changes nothing leaves none.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use trunkline::access::Scope;
use trunkline::app::Daemon;
use trunkline::base::AuditId;
use trunkline::sandbox::world::settings::Change;

use super::caller::{Answer, Caller, answer, id};
use crate::secrets::Process;
use crate::stage::{Stage, until};

const PHONE: &str = "+989120000001";
const BOBS: &str = "+989120000002";
const PATIENCE: Duration = Duration::from_secs(5);

/// A caller who looks at the log after each act.
struct Clerk {
    admin: Caller,
    /// Entries that were seen.
    seen: Vec<String>,
    /// Routes that left what their rows say, with what that was.
    done: BTreeSet<(String, String)>,
}

impl Clerk {
    /// Asks a route, and sees what that leaves in the log.
    async fn asks(&mut self, route: &str, path: &str, body: Value, leaves: &[&str]) -> Answer {
        let (method, _) = route.split_once(' ').expect("a method and a path");
        let method: Method = method.parse().expect("a method");
        let mut request = self.admin.request(method.clone(), path);
        if method != Method::GET && method != Method::DELETE {
            request = request.json(&body);
        }
        let answered = answer(request).await;
        let left = self.left(leaves.len()).await;
        let whats: Vec<_> = left
            .iter()
            .map(|entry| entry["what"].as_str().expect("a word"))
            .collect();
        assert_eq!(whats, leaves, "{route} {answered:?}");
        for entry in &left {
            // A login or a rotation that succeeds is the daemon's doing: it may be long after the request.
            let by_daemon = ["session.logged_in", "rotation.completed"]
                .contains(&entry["what"].as_str().expect("a word"));
            assert_eq!(entry["who"] == "daemon", by_daemon, "{entry}");
            assert_eq!(entry["request"].is_null(), by_daemon, "{entry}");
        }
        for what in leaves {
            self.done.insert((route.to_owned(), (*what).to_owned()));
        }
        answered
    }

    /// New entries, the first of them first.
    async fn left(&mut self, wanted: usize) -> Vec<Value> {
        for _ in 0..100 {
            let entries = self.admin.items("/api/admin/audit?limit=200").await;
            let new: Vec<_> = entries
                .into_iter()
                .rev()
                .filter(|entry| !self.seen.contains(&id(entry)))
                .collect();
            if new.len() >= wanted {
                self.seen.extend(new.iter().map(id));
                return new;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{wanted} entries did not come");
    }
}

fn code(stage: &Stage, phone: &str) -> String {
    let digits = phone.trim_start_matches('+').to_owned();
    let sent = stage
        .world
        .world(|world| world.keys.codes.get(&digits).map(|sent| sent.code.clone()));
    sent.expect("a code was sent")
}

fn wrong(code: &str) -> &'static str {
    if code == "11111" { "22222" } else { "11111" }
}

async fn connected(daemon: &Daemon, session: &str) {
    let id = daemon.handles.telegram.find(session).expect("known");
    until("it is connected", || {
        crate::stage::view(daemon, id).account.state.is_connected()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_audited_act_leaves_one_entry() {
    let stage = Stage::new().await;
    let ann = stage.user(PHONE, "Ann");
    stage.user(BOBS, "Bob");
    let people = stage.handle();
    // A session of less than a day may not end others.
    people.set(Change {
        fresh_login: Some(0),
        ..Default::default()
    });
    // Bob's authorisation, from a daemon that has none of it any more.
    let elsewhere = stage
        .daemon_with(|config| config.store.folder = config.store.folder.with_file_name("elsewhere"))
        .await;
    let bobs = stage.log_in(&elsewhere, BOBS).await;
    let other = Caller::new(&elsewhere, Scope::Admin, None).await;
    let path = format!("/api/sessions/{bobs}/export");
    let bobs = other.post(&path, json!({"form": "telethon"})).await.ok()["session"].clone();
    elsewhere.stop(PATIENCE).await;
    people.set_password(ann, "a cat", "miaow").expect("set");

    let endpoint = json!({"name": "crm", "url": "https://crm.example/hook"});
    let daemon = stage
        .daemon_with(|config| {
            config
                .webhook
                .endpoints
                .push(serde_json::from_value(endpoint).expect("an endpoint"));
        })
        .await;
    let mut clerk = Clerk {
        admin: Caller::new(&daemon, Scope::Admin, None).await,
        seen: Vec::new(),
        done: BTreeSet::new(),
    };
    clerk.left(1).await;

    let draft = json!({"name": "crm", "scopes": ["send"]});
    let key = clerk
        .asks("POST /api/keys", "/api/keys", draft, &["key.made"])
        .await
        .ok();
    let path = format!("/api/keys/{}", id(&key));
    let rotate = format!("{path}/rotate");
    clerk
        .asks("POST /api/keys/{id}/rotate", &rotate, json!({}), &["key.rotated"])
        .await
        .ok();
    clerk
        .asks("DELETE /api/keys/{id}", &path, Value::Null, &["key.revoked"])
        .await
        .ok();
    clerk
        .asks("DELETE /api/keys/{id}", &path, Value::Null, &[])
        .await
        .ok();

    let made = clerk
        .asks("POST /api/sessions", "/api/sessions", json!({"name": "Ann"}), &[])
        .await
        .ok();
    let (session, public) = (id(&made), made["session_id"].as_str().expect("an id").to_owned());
    let path = format!("/api/sessions/{session}");
    let begin = json!({"phone": PHONE});
    let login = "POST /api/sessions/{id}/login";
    clerk
        .asks(login, &format!("{path}/login"), begin, &["login.begun"])
        .await
        .ok();
    let submit = |what: &str| (format!("{login}/{what}"), format!("{path}/login/{what}"));
    let (by_code, at) = submit("code");
    let right = code(&stage, PHONE);
    clerk
        .asks(&by_code, &at, json!({"code": wrong(&right)}), &["login.refused"])
        .await;
    clerk.asks(&by_code, &at, json!({"code": right}), &[]).await.ok();
    let (by_password, at) = submit("password");
    clerk
        .asks(
            &by_password,
            &at,
            json!({"password": "a dog"}),
            &["login.refused"],
        )
        .await;
    clerk
        .asks(
            &by_password,
            &at,
            json!({"password": "a cat"}),
            &["session.logged_in"],
        )
        .await
        .ok();
    connected(&daemon, &session).await;
    clerk
        .asks(login, &format!("{path}/login"), json!({"phone": PHONE}), &[])
        .await;

    let export = json!({"form": "pyrogram"});
    clerk
        .asks(
            "POST /api/sessions/{id}/export",
            &format!("{path}/export"),
            export,
            &["session.exported"],
        )
        .await
        .ok();
    let rotation = format!("/api/telegram-auth/rotate-session?session_id={session}");
    let leaves = ["rotation.begun", "rotation.completed"];
    clerk
        .asks(
            "POST /api/telegram-auth/rotate-session",
            &rotation,
            json!({"password": "a cat"}),
            &leaves,
        )
        .await
        .ok();
    connected(&daemon, &session).await;
    let disconnect = format!("/api/telegram-auth/disconnect?session_id={session}");
    let route = "POST /api/telegram-auth/disconnect";
    clerk
        .asks(
            route,
            &disconnect,
            json!({"logout": true}),
            &["session.logged_out"],
        )
        .await
        .ok();
    clerk
        .asks(route, &disconnect, json!({"logout": true}), &[])
        .await
        .ok();

    let code_request = json!({"session_id": public, "phone": PHONE});
    let asked = "/api/telegram/request-code";
    clerk
        .asks(&format!("POST {asked}"), asked, code_request, &["login.begun"])
        .await
        .ok();
    let right = code(&stage, PHONE);
    let verify = "/api/telegram/verify-code";
    let handed = |code: &str| json!({"session_id": public, "code": code});
    clerk
        .asks(
            &format!("POST {verify}"),
            verify,
            handed(wrong(&right)),
            &["login.refused"],
        )
        .await;
    clerk
        .asks(&format!("POST {verify}"), verify, handed(&right), &[])
        .await
        .ok();
    let verify = "/api/telegram/verify-password";
    let handed = |password: &str| json!({"session_id": public, "password": password});
    clerk
        .asks(
            &format!("POST {verify}"),
            verify,
            handed("a dog"),
            &["login.refused"],
        )
        .await;
    clerk
        .asks(
            &format!("POST {verify}"),
            verify,
            handed("a cat"),
            &["session.logged_in"],
        )
        .await
        .ok();
    connected(&daemon, &session).await;
    let logout = "POST /api/sessions/{id}/logout";
    clerk
        .asks(
            logout,
            &format!("{path}/logout"),
            json!({}),
            &["session.logged_out"],
        )
        .await
        .ok();
    clerk
        .asks(logout, &format!("{path}/logout"), json!({}), &[])
        .await
        .ok();
    clerk
        .asks(
            "DELETE /api/sessions/{id}",
            &path,
            Value::Null,
            &["session.deleted"],
        )
        .await
        .ok();
    clerk
        .asks("DELETE /api/sessions/{id}", &path, Value::Null, &[])
        .await
        .ok();

    let import = json!({"import": {"telethon": bobs}});
    let made = clerk
        .asks(
            "POST /api/sessions",
            "/api/sessions",
            import,
            &["session.imported"],
        )
        .await
        .ok();
    let body = json!({"session_id": made["session_id"]});
    let route = "/api/telegram/disconnect";
    clerk
        .asks(&format!("POST {route}"), route, body, &["session.deleted"])
        .await
        .ok();
    let qr = "/api/telegram/request-qr";
    let shown = clerk
        .asks(
            &format!("POST {qr}"),
            qr,
            json!({"agent_id": 9}),
            &["login.begun"],
        )
        .await
        .ok();
    let account = format!(
        "/api/telegram/accounts/{}",
        shown["session_id"].as_str().expect("an id")
    );
    let route = "DELETE /api/telegram/accounts/{session_id}";
    clerk
        .asks(route, &account, Value::Null, &["session.deleted"])
        .await
        .ok();

    let endpoint = daemon.handles.webhooks.list().expect("lists")[0].id;
    let secret = format!("/api/webhooks/endpoints/{endpoint}/secret");
    let route = "GET /api/webhooks/endpoints/{id}/secret";
    clerk
        .asks(route, &secret, Value::Null, &["endpoint.secret_shown"])
        .await
        .ok();
    let route = "/api/admin/export";
    clerk
        .asks(&format!("GET {route}"), route, Value::Null, &["store.exported"])
        .await;

    // By QR is as by code: what the code's rows say is not asked of each.
    let by_qr = |route: &str, what: &str| what == "session.logged_in" && route.ends_with("code");
    for (path, operations) in clerk.admin.get("/openapi.json").await.ok()["paths"]
        .as_object()
        .expect("paths")
    {
        for (method, operation) in operations.as_object().expect("operations") {
            let route = format!("{} {path}", method.to_uppercase());
            for what in operation["x-audited"].as_array().into_iter().flatten() {
                let what = what.as_str().expect("a word");
                let done = clerk.done.contains(&(route.clone(), what.to_owned()));
                assert!(
                    done || by_qr(&route, what),
                    "{route} was not seen to leave {what}"
                );
            }
        }
    }
    daemon.stop(PATIENCE).await;
}

/// A machine whose clock was an hour fast and is put right between two starts: nothing waits for the hour to pass.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_waits_for_a_clock_that_was_put_back() {
    let stage = Stage::new().await;
    stage.user(PHONE, "Ann");
    let now = AuditId::generate().to_bytes();
    let hour = (u128::from_be_bytes(now) >> 80) + 3_600_000;
    AuditId::from_bytes((hour << 80).to_be_bytes()).follow();
    let daemon = stage.daemon().await;
    let admin = Caller::new(&daemon, Scope::Admin, None).await;
    let (config, data) = stage.files();
    daemon.stop(PATIENCE).await;
    let mut text = std::fs::read_to_string(&config).expect("read");
    text += &format!(
        "[store]
seal_key_file = {:?}
",
        data.join("seal.key")
    );
    std::fs::write(&config, text).expect("written");

    let log = data.with_file_name("log");
    let process = Process::start(&config, &data, log).await;
    let admin = Caller::at(&process.base, &admin.key);
    let before = admin.items("/api/admin/audit").await;
    let began = std::time::Instant::now();
    let key = json!({"name": "crm", "scopes": ["send"]});
    admin.post("/api/keys", key).await.ok();
    let made = admin.post("/api/sessions", json!({})).await.ok();
    let path = format!("/api/sessions/{}/login", id(&made));
    admin.post(&path, json!({"phone": PHONE})).await.ok();
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let after = admin.items("/api/admin/audit").await;
    let whats: Vec<_> = after.iter().map(|entry| entry["what"].clone()).collect();
    assert_eq!(
        whats[..2],
        ["login.begun", "key.made"],
        "the latest first: {whats:?}"
    );
    assert_eq!(after[2..], before);
}
