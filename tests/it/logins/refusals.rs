//! What Telegram refuses in a login, and what a caller is told.

use serde_json::{Value, json};

use super::backend::Backend;
use crate::control_api::caller::Caller;

const PHONE: &str = "+989120000001";

/// Has the sandbox refuse the next call of a method.
fn fail(backend: &Backend, method: &str, mut fault: Value) {
    fault["method"] = json!(method);
    let fault = serde_json::from_value(fault).expect("a fault");
    trunkline::sandbox::World::new(backend.stage.world.clone())
        .fault(fault)
        .expect("taken");
}

fn error(code: i32, name: &str) -> Value {
    json!({"kind": "error", "code": code, "name": name})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_gets_no_code_leaves_nothing() {
    let backend = Backend::new().await;
    backend.stage.user(PHONE, "Ann");
    let cases = [
        (error(400, "PHONE_NUMBER_BANNED"), 422, "PHONE_NUMBER_BANNED"),
        (error(401, "USER_DEACTIVATED_BAN"), 422, "PHONE_NUMBER_BANNED"),
        (error(406, "PHONE_NUMBER_INVALID"), 422, "PHONE_NUMBER_INVALID"),
        (json!({"kind": "flood_wait", "seconds": 77}), 429, "FLOOD_WAIT"),
        (error(400, "PHONE_NUMBER_FLOOD"), 429, "FLOOD_WAIT"),
        (
            json!({"kind": "error", "code": 500, "name": "AUTH_RESTART", "times": 2}),
            503,
            "SESSION_UNAVAILABLE",
        ),
    ];
    for (case, (fault, status, code)) in cases.into_iter().enumerate() {
        fail(&backend, "auth.sendCode", fault.clone());
        // A number that is to wait is not asked for again.
        let phone = format!("+98912000010{case}");
        let refused = backend
            .post("request-code", json!({"agent_id": 1, "phone": phone}))
            .await;
        assert_eq!(refused.refusal(), (status, code));
        if fault["seconds"] == 77 {
            let wait: u64 = refused.retry_after.expect("a time").parse().expect("seconds");
            assert!((70..=77).contains(&wait), "{wait}");
        }
        backend.empty().await;
    }
    let text = backend
        .post("request-code", json!({"agent_id": 1, "phone": "none"}))
        .await;
    assert_eq!(text.refusal(), (400, "INVALID_REQUEST"));
    backend.empty().await;
    backend.request_code(1, PHONE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_is_not_taken_keeps_the_step() {
    let backend = Backend::new().await;
    backend.stage.user(PHONE, "Ann");
    let session = backend.request_code(1, PHONE).await;
    let body = json!({"session_id": session, "code": backend.code(PHONE)});
    let cases = [
        (error(400, "PHONE_CODE_EXPIRED"), 400, "PHONE_CODE_EXPIRED"),
        (error(400, "SOMETHING_NEW"), 422, "TELEGRAM_ERROR"),
        (json!({"kind": "flood_wait", "seconds": 2}), 429, "FLOOD_WAIT"),
    ];
    for (fault, status, code) in cases {
        fail(&backend, "auth.signIn", fault);
        let refused = backend.post("verify-code", body.clone()).await;
        assert_eq!(refused.refusal(), (status, code));
        let shown = backend.get(&format!("status/{session}")).await.ok();
        assert_eq!(shown["login_step"], "input_code", "{code}");
    }
    let early = backend.post("verify-code", body.clone()).await;
    assert_eq!(
        early.refusal(),
        (429, "FLOOD_WAIT"),
        "Telegram is not asked again inside the wait"
    );
    tokio::time::sleep(std::time::Duration::from_millis(2_100)).await;
    assert_eq!(backend.post("verify-code", body).await.ok()["connected"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_waits_whoever_logs_in_by_it() {
    let backend = Backend::new().await;
    backend.stage.user(PHONE, "Ann");
    fail(
        &backend,
        "auth.sendCode",
        json!({"kind": "flood_wait", "seconds": 300}),
    );
    for agent in 1..=3 {
        let refused = backend
            .post("request-code", json!({"agent_id": agent, "phone": PHONE}))
            .await;
        assert_eq!(refused.refusal(), (429, "FLOOD_WAIT"), "agent {agent}");
        let wait: u64 = refused.retry_after.expect("a time").parse().expect("seconds");
        assert!((280..=300).contains(&wait), "{wait}");
        backend.empty().await;
    }
    backend.request_code(4, "+989120000002").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ended_is_gone_and_one_that_is_away_unavailable() {
    let backend = Backend::new().await;
    let ann = backend.stage.user(PHONE, "Ann");
    let session = backend.request_code(1, PHONE).await;
    let message = json!({"session_id": session, "chat_id": ann, "message": "hello"});
    let early = backend.post("send-message", message.clone()).await;
    assert_eq!(early.refusal(), (503, "SESSION_UNAVAILABLE"));
    let body = json!({"session_id": session, "code": backend.code(PHONE)});
    backend.post("verify-code", body).await.ok();
    backend.connected(&session).await;
    let revoked = json!({"kind": "revoke", "account": ann});
    let fault = serde_json::from_value(revoked).expect("a fault");
    trunkline::sandbox::World::new(backend.stage.world.clone())
        .fault(fault)
        .expect("revoked");
    crate::stage::until("the session has ended", || {
        let id = backend.daemon.handles.telegram.find(&session).expect("known");
        crate::stage::state(&backend.daemon, id).is_terminal()
    })
    .await;
    let gone = backend.post("send-message", message).await;
    assert_eq!(gone.refusal(), (410, "SESSION_EXPIRED"));
    let again = backend.request_code(1, PHONE).await;
    assert_eq!(again, session, "a dead session is logged in again");
    let body = json!({"session_id": session, "code": backend.code(PHONE)});
    assert_eq!(backend.post("verify-code", body).await.ok()["connected"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_logins_and_rotations_stand_in_the_audit_log() {
    let backend = Backend::new().await;
    let ann = backend.stage.user(PHONE, "Ann");
    let people = backend.stage.handle();
    people.set_password(ann, "a cat", "miaow").expect("set");
    people.set(trunkline::sandbox::world::settings::Change {
        // A session of less than a day may not end others.
        fresh_login: Some(0),
        ..Default::default()
    });
    let session = backend.request_code(1, PHONE).await;
    let right = backend.code(PHONE);
    let wrong = if right == "11111" { "22222" } else { "11111" };
    for code in [wrong, right.as_str()] {
        backend
            .post("verify-code", json!({"session_id": session, "code": code}))
            .await;
    }
    for password in ["a dog", "a cat"] {
        let body = json!({"session_id": session, "password": password});
        backend.post("verify-password", body).await;
    }
    backend.connected(&session).await;
    let admin = Caller::new(&backend.daemon, trunkline::access::Scope::Admin, None).await;
    let id = backend.daemon.handles.telegram.find(&session).expect("known");
    let audit = async || {
        let listed = admin.get("/api/admin/audit").await.ok();
        let entries = listed["items"].as_array().expect("a list").clone();
        entries
            .into_iter()
            .filter(|entry| entry["subject"] == id.to_string().as_str())
            .rev()
            .collect::<Vec<_>>()
    };
    let route = format!("/api/telegram-auth/rotate-session?session_id={session}");
    let mut rotations = Vec::new();
    for (round, password) in ["a dog", "a cat"].into_iter().enumerate() {
        let begun = admin.post(&route, json!({"password": password})).await.ok();
        rotations.push(begun["rotation_id"].clone());
        let mut tries = 0;
        while audit().await.len() < 4 + 2 * (round + 1) {
            tries += 1;
            assert!(tries < 400, "the rotation has ended: {:?}", audit().await);
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        backend.connected(&session).await;
    }
    let entries = audit().await;
    let mut told: Vec<(&str, &str)> = entries
        .iter()
        .map(|entry| {
            let error = entry["details"]["error"].as_str().unwrap_or_default();
            (entry["what"].as_str().expect("a word"), error)
        })
        .collect();
    // A short rotation may end before the answer of who asked for it.
    told[4..6].sort_unstable();
    told[6..8].sort_unstable();
    let expected = [
        ("login.begun", ""),
        ("login.refused", "PHONE_CODE_INVALID"),
        ("login.refused", "PASSWORD_HASH_INVALID"),
        ("session.logged_in", ""),
        ("rotation.begun", ""),
        ("rotation.failed", "PASSWORD_HASH_INVALID"),
        ("rotation.begun", ""),
        ("rotation.completed", ""),
    ];
    assert_eq!(told, expected);
    assert!(
        entries[1]["who"]["key"].is_string() && entries[1]["from"].is_string(),
        "{:?}",
        entries[1]
    );
    let named: Vec<_> = entries[4..]
        .iter()
        .map(|entry| &entry["details"]["rotation"])
        .collect();
    assert_eq!(
        named,
        [&rotations[0], &rotations[0], &rotations[1], &rotations[1]]
    );
    let all = serde_json::to_string(&entries).expect("JSON");
    for secret in [PHONE.trim_start_matches('+'), "a cat", "a dog"] {
        assert!(!all.contains(secret), "{secret} in {all}");
    }
    let by_code = json!({"by": "code", "error": "PHONE_CODE_INVALID"});
    assert_eq!(entries[1]["details"], by_code, "and not the code");
}
