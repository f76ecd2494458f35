//! An agent's session gives way to another one, and not before that has logged in.

use serde_json::{Value, json};
use trunkline::base::Span;
use trunkline::sandbox::world::Peer;
use trunkline::sandbox::world::posting::Draft;

use super::backend::{Backend, session};
use crate::control_api::caller::Caller;
use crate::secrets::{self, Process};
use crate::stage::{Stage, received, until};

const PHONE: &str = "+989120000001";

/// An agent's request that its session give way.
fn replace() -> Value {
    json!({"agent_id": 5, "phone": PHONE, "replace": true})
}

/// Logs agent 5 in by code.
async fn logged_in(backend: &Backend) -> String {
    let session = backend.request_code(5, PHONE).await;
    let body = json!({"session_id": session, "code": backend.code(PHONE)});
    backend.post("verify-code", body).await.ok();
    backend.connected(&session).await;
    session
}

#[tokio::test(flavor = "multi_thread")]
async fn the_former_session_works_until_the_next_has_logged_in() {
    let backend = Backend::new().await;
    let ann = backend.stage.user(PHONE, "Ann");
    let bob = backend.stage.user("+989120000002", "Bob");
    let says = |words: &str| {
        let posted = backend
            .stage
            .world
            .world(|world| world.post(bob, Peer::User(ann), Draft::text(words)));
        posted.expect("posted");
    };
    let former = logged_in(&backend).await;
    let next = session(&backend.post("request-code", replace()).await.ok());
    assert_ne!(next, former);
    says("while the other logs in");
    let hears = |words: &str| received(&backend.daemon).iter().any(|text| text == words);
    until("the former one hears it", || hears("while the other logs in")).await;
    let again = session(&backend.post("request-code", replace()).await.ok());
    assert_eq!(again, next, "the same request, the same login");
    let taken = backend.post("request-qr", json!({"agent_id": 5})).await;
    assert_eq!(taken.refusal(), (409, "SESSION_EXISTS"));
    assert_eq!(taken.body["details"]["session_id"], former.as_str());

    let body = json!({"session_id": next, "code": backend.code(PHONE)});
    backend.post("verify-code", body).await.ok();
    backend.connected(&next).await;
    let telegram = &backend.daemon.handles.telegram;
    until("the former one is gone", || telegram.find(&former).is_err()).await;
    let left = backend.stage.handle().logins(ann).expect("known");
    assert_eq!(left.len(), 1, "it was logged out: {left:?}");
    says("afterwards");
    until("the next one hears it", || hears("afterwards")).await;
    let taken = backend.post("request-qr", json!({"agent_id": 5})).await;
    assert_eq!(taken.body["details"]["session_id"], next.as_str());
    let listed = backend.get("accounts").await.ok();
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_comes_to_nothing_replaces_nothing() {
    let backend = Backend::with(Stage::new().await, |config| {
        config.telegram.login_expires = Span::secs(4);
    })
    .await;
    let ann = backend.stage.user(PHONE, "Ann");
    let former = logged_in(&backend).await;
    let telegram = &backend.daemon.handles.telegram;
    for cancelled in [true, false] {
        let next = session(&backend.post("request-code", replace()).await.ok());
        assert_ne!(next, former);
        if cancelled {
            let cancel = format!("/api/sessions/{next}/login/cancel");
            backend.caller.post(&cancel, json!({})).await.ok();
        }
        until("nothing is left of the login", || telegram.list().len() == 1).await;
    }
    backend.connected(&former).await;
    let kept = backend.stage.handle().logins(ann).expect("known");
    assert_eq!(kept.len(), 1, "{kept:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_before_and_after_the_login_changes_nothing() {
    let stage = Stage::new().await;
    let ann = stage.user(PHONE, "Ann");
    let (config, data) = stage.files();
    let log = |number| data.with_file_name(format!("{number}.log"));
    let first = Process::start(&config, &data, log(1)).await;
    let key = std::fs::read_to_string(data.join("admin.key")).expect("the first key");
    let key = key.trim();
    let post = async |process: &Process, route: &str, body: Value| {
        let caller = Caller::at(&process.base, key);
        caller.post(&format!("/api/telegram/{route}"), body).await.ok()
    };
    let submit = async |process: &Process, session: &str| {
        let code = stage
            .world
            .world(|world| world.keys.codes["989120000001"].code.clone());
        let body = json!({"session_id": session, "code": code});
        post(process, "verify-code", body).await
    };
    let asked = json!({"agent_id": 5, "phone": PHONE});
    let former = session(&post(&first, "request-code", asked).await);
    submit(&first, &former).await;
    let next = session(&post(&first, "request-code", replace()).await);
    first.signal(rustix::process::Signal::KILL);
    drop(first);

    let second = Process::start(&config, &data, log(2)).await;
    let caller = Caller::at(&second.base, key);
    let path = format!("/api/telegram/status/{former}");
    secrets::until("the former one goes on", async || {
        caller.get(&path).await.ok()["connected"] == true
    })
    .await;
    // The log-out of the former one takes long, and the kill comes before its end.
    let slow = json!({"kind": "silence", "method": "auth.logOut"});
    let people = stage.handle();
    let slow = people
        .fault(serde_json::from_value(slow).expect("a fault"))
        .expect("taken");
    assert_eq!(submit(&second, &next).await["connected"], true);
    until("the former one is being logged out", || {
        people
            .faults()
            .iter()
            .any(|fault| fault.id == slow.id && fault.acted > 0)
    })
    .await;
    second.signal(rustix::process::Signal::KILL);
    drop(second);
    assert_eq!(people.logins(ann).expect("known").len(), 2);

    let third = Process::start(&config, &data, log(3)).await;
    let caller = Caller::at(&third.base, key);
    secrets::until("the former one is deleted", async || {
        caller.get(&path).await.status == 404
    })
    .await;
    let left = people.logins(ann).expect("known");
    assert_eq!(left.len(), 1, "and logged out: {left:?}");
    let listed = caller.get("/api/telegram/accounts").await.ok();
    assert_eq!(listed["items"][0]["session_id"], next.as_str(), "{listed}");
    let audit = caller.get("/api/admin/audit").await.ok();
    let deleted = audit["items"].as_array().expect("items").iter();
    let deleted = deleted.filter(|entry| entry["what"] == "session.deleted").count();
    assert_eq!(deleted, 1, "a kill in the middle tells of it once");
    let entry = &audit["items"][0];
    assert_eq!(
        (&entry["what"], &entry["details"]["reason"]),
        (&json!("session.deleted"), &json!("REPLACED"))
    );
}
