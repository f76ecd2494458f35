//! Logins that nobody finishes, that are cancelled, or that a death of the daemon interrupts.

use reqwest::Method;
use serde_json::json;
use trunkline::base::Span;

use super::backend::{Backend, session};
use crate::control_api::caller::Caller;
use crate::secrets::Process;
use crate::stage::{Stage, until};

const PHONE: &str = "+989120000001";

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_nobody_finishes_leaves_nothing() {
    let backend = Backend::with(Stage::new().await, |config| {
        config.telegram.login_expires = Span::millis(500);
    })
    .await;
    backend.stage.user(PHONE, "Ann");
    let session = backend.request_code(1, PHONE).await;
    let entry = backend
        .caller
        .post("/api/sessions", json!({"name": "kept"}))
        .await
        .ok();
    let path = format!("/api/sessions/{}", entry["id"].as_str().expect("an id"));
    let login = json!({"phone": PHONE});
    backend.caller.post(&format!("{path}/login"), login).await.ok();
    let telegram = &backend.daemon.handles.telegram;
    until("the login has ended", || telegram.find(&session).is_err()).await;
    let body = json!({"session_id": session, "code": "12345"});
    let late = backend.post("verify-code", body).await;
    assert_eq!(late.refusal(), (410, "LOGIN_EXPIRED"));
    until("the other login has ended", || {
        telegram
            .list()
            .iter()
            .all(|session| session.account.login.is_none())
    })
    .await;
    let late = backend
        .caller
        .post(&format!("{path}/login/code"), json!({"code": "12345"}))
        .await;
    assert_eq!(late.refusal(), (410, "LOGIN_EXPIRED"));
    let kept = backend.caller.get(&path).await.ok();
    assert_eq!(
        (&kept["state"], &kept["login"], &kept["user_id"]),
        (&json!("logged_out"), &json!(null), &json!(null))
    );
    backend.caller.delete(&path).await.ok();
    backend.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_login_leaves_nothing_and_may_begin_again() {
    let backend = Backend::new().await;
    backend.stage.user(PHONE, "Ann");
    let session = backend.request_code(1, PHONE).await;
    let cancel = format!("/api/sessions/{session}/login/cancel");
    for _ in 0..2 {
        backend.caller.post(&cancel, json!({})).await.ok();
    }
    backend.empty().await;
    let body = json!({"session_id": session, "code": backend.code(PHONE)});
    let late = backend.post("verify-code", body).await;
    assert_eq!(late.refusal(), (410, "LOGIN_CANCELLED"));
    let again = backend.request_code(1, PHONE).await;
    assert_ne!(again, session);
    let body = json!({"session_id": again, "code": backend.code(PHONE)});
    assert_eq!(backend.post("verify-code", body).await.ok()["connected"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_goes_on_after_the_daemon_was_killed() {
    let stage = Stage::new().await;
    let ann = stage.user(PHONE, "Ann");
    let (config, data) = stage.files();
    let log = |number| data.with_file_name(format!("{number}.log"));
    let first = Process::start(&config, &data, log(1)).await;
    let key = std::fs::read_to_string(data.join("admin.key")).expect("the first key");
    let caller = |process: &Process| Caller::at(&process.base, key.trim());
    let sent = caller(&first)
        .post(
            "/api/telegram/request-code",
            json!({"agent_id": 1, "phone": PHONE}),
        )
        .await
        .ok();
    let session = session(&sent);
    first.signal(rustix::process::Signal::KILL);
    drop(first);

    let second = Process::start(&config, &data, log(2)).await;
    let caller = caller(&second);
    let status = caller.get(&format!("/api/telegram/status/{session}")).await.ok();
    assert_eq!(status["login_step"], "input_code");
    let code = stage
        .world
        .world(|world| world.keys.codes["989120000001"].code.clone());
    let body = json!({"session_id": session, "code": code});
    let done = caller.post("/api/telegram/verify-code", body).await.ok();
    assert_eq!(
        (&done["connected"], &done["user_id"]),
        (&json!(true), &json!(ann))
    );
    let keys = stage.world.world(|world| world.accounts[&ann].keys.len());
    assert_eq!(keys, 1, "one key began the login and finished it");
    let gone = caller.request(Method::DELETE, &format!("/api/telegram/accounts/{session}"));
    assert_eq!(gone.send().await.expect("an answer").status().as_u16(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_waits_for_a_qr_or_a_password_goes_on_after_a_kill() {
    let stage = Stage::new().await;
    let (ann, bob) = (stage.user(PHONE, "Ann"), stage.user("+989120000002", "Bob"));
    let phone = stage.handle();
    phone.set_password(bob, "a cat", "").expect("set");
    let (config, data) = stage.files();
    let first = Process::start(&config, &data, data.with_file_name("1.log")).await;
    let key = std::fs::read_to_string(data.join("admin.key")).expect("the first key");
    let caller = Caller::at(&first.base, key.trim());
    let post = async |caller: &Caller, route: &str, body| {
        let answer = caller.post(&format!("/api/telegram/{route}"), body).await;
        answer.ok()
    };
    let shown = post(&caller, "request-qr", json!({"agent_id": 1})).await;
    let by_code = json!({"agent_id": 2, "phone": "+989120000002"});
    let asked = session(&post(&caller, "request-code", by_code).await);
    let code = stage
        .world
        .world(|world| world.keys.codes["989120000002"].code.clone());
    let wanted = post(&caller, "verify-code", json!({"session_id": asked, "code": code})).await;
    assert_eq!(wanted["requires_password"], true);
    first.signal(rustix::process::Signal::KILL);
    drop(first);
    // Scanned while nobody was there.
    phone
        .accept_login(ann, shown["login_url"].as_str().expect("a link"))
        .expect("scanned");

    let second = Process::start(&config, &data, data.with_file_name("2.log")).await;
    let caller = Caller::at(&second.base, key.trim());
    let body = json!({"session_id": asked, "password": "a cat"});
    assert_eq!(post(&caller, "verify-password", body).await["user_id"], bob);
    let path = format!("/api/telegram/status/{}", session(&shown));
    let mut tries = 0;
    while caller.get(&path).await.ok()["connected"] != true {
        tries += 1;
        assert!(tries < 400, "the scanned login is complete");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    for user in [ann, bob] {
        assert_eq!(phone.logins(user).expect("known").len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_deleted_while_telegram_is_away_is_logged_out_later() {
    let backend = Backend::new().await;
    let ann = backend.stage.user(PHONE, "Ann");
    let session = backend.request_code(1, PHONE).await;
    let body = json!({"session_id": session, "code": backend.code(PHONE)});
    backend.post("verify-code", body).await.ok();
    backend.connected(&session).await;
    let path = format!("/api/sessions/{session}");
    let phone = backend.stage.handle();
    let away = json!({"kind": "outage", "milliseconds": 60_000});
    phone
        .fault(serde_json::from_value(away).expect("a fault"))
        .expect("taken");
    backend.caller.delete(&path).await.ok();
    assert_eq!(phone.logins(ann).expect("known").len(), 1);
    phone.clear_faults(None);
    backend.empty().await;
    until("it is logged out", || {
        phone.logins(ann).expect("known").is_empty()
    })
    .await;
}
