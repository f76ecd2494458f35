//! Accounts with a password.

use reqwest::Method;
use serde_json::{Value, json};
use trunkline::model::LoginStep;
use trunkline::sandbox::world::password::Password;

use super::backend::{Backend, session};
use crate::stage::{until, view};

const PHONE: &str = "+989120000001";

#[tokio::test(flavor = "multi_thread")]
async fn a_code_and_then_the_password() {
    let backend = Backend::new().await;
    let ann = backend.stage.user(PHONE, "Ann");
    backend
        .stage
        .handle()
        .set_password(ann, "گربهٔ من", "which pet?")
        .expect("set");
    let session = backend.request_code(1, PHONE).await;
    let code = json!({"session_id": session, "code": backend.code(PHONE)});
    for _ in 0..2 {
        let request = backend
            .caller
            .request(Method::POST, "/api/telegram/verify-code")
            .json(&code);
        let text = request
            .send()
            .await
            .expect("an answer")
            .text()
            .await
            .expect("a text");
        assert_eq!(
            text,
            r#"{"success":true,"connected":false,"requires_password":true,"hint":"which pet?","has_recovery":false}"#,
            "to the letter, and again"
        );
    }
    let other = json!({"session_id": session, "code": "54321"});
    let other = backend.post("verify-code", other).await;
    assert_eq!(other.refusal(), (409, "LOGIN_STEP"));
    assert_eq!(other.body["details"]["step"], "input_password");
    let qr = backend.post("request-qr", json!({"agent_id": 1})).await;
    assert_eq!(qr.refusal(), (409, "LOGIN_STEP"));
    for wrong in ["a dog", ""] {
        let body = json!({"session_id": session, "password": wrong});
        let refused = backend.post("verify-password", body).await;
        assert_eq!(refused.refusal(), (400, "PASSWORD_HASH_INVALID"));
    }
    let status = backend.get(&format!("status/{session}")).await.ok();
    assert_eq!(status["login_step"], "input_password");
    let right = json!({"session_id": session, "password": "گربهٔ من"});
    for _ in 0..2 {
        let done = backend.post("verify-password", right.clone()).await.ok();
        let documented = json!({"success": true, "connected": true, "phone": PHONE, "user_id": ann});
        assert_eq!(done, documented);
    }
    backend.connected(&session).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_qr_and_then_the_password() {
    let backend = Backend::new().await;
    let ann = backend.stage.user(PHONE, "Ann");
    let phone = backend.stage.handle();
    phone.set_password(ann, "a cat", "").expect("set");
    let shown = backend.post("request-qr", json!({"agent_id": 1})).await.ok();
    let session = session(&shown);
    phone
        .accept_login(ann, shown["login_url"].as_str().expect("a link"))
        .expect("scanned");
    let id = backend.daemon.handles.telegram.find(&session).expect("known");
    until("the password is wanted", || {
        let login = view(&backend.daemon, id).account.login;
        login.is_some_and(|login| login.step == LoginStep::InputPassword)
    })
    .await;
    let stale =
        json!({"kind": "error", "code": 400, "name": "SRP_ID_INVALID", "method": "auth.checkPassword"});
    phone
        .fault(serde_json::from_value(stale).expect("a fault"))
        .expect("taken");
    let path = format!("/api/sessions/{session}/login/password");
    let done = backend
        .caller
        .post(&path, json!({"password": "a cat"}))
        .await
        .ok();
    assert_eq!(
        (&done["step"], &done["user_id"]),
        (&json!("complete"), &json!(ann))
    );
    backend.connected(&session).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_waits_for_a_password_can_be_begun_anew() {
    let backend = Backend::new().await;
    let ann = backend.stage.user(PHONE, "Ann");
    backend
        .stage
        .handle()
        .set_password(ann, "a cat", "")
        .expect("set");
    let first = backend.request_code(1, PHONE).await;
    let code = json!({"session_id": first, "code": backend.code(PHONE)});
    let wanted = backend.post("verify-code", code).await.ok();
    assert_eq!(wanted["hint"], Value::Null);
    let flood = json!({"kind": "flood_wait", "seconds": 40, "method": "auth.checkPassword"});
    let phone = backend.stage.handle();
    phone
        .fault(serde_json::from_value(flood).expect("a fault"))
        .expect("taken");
    let body = json!({"session_id": first, "password": "a cat"});
    assert_eq!(
        backend.post("verify-password", body).await.refusal(),
        (429, "FLOOD_WAIT")
    );
    let anew = json!({"agent_id": 1, "replace": true});
    let shown = backend.post("request-qr", anew).await.ok();
    assert_ne!(session(&shown), first);
    // The former one is not in, and what it waited for lapses.
    let listed = phone.logins(ann).expect("known");
    assert!(listed.iter().all(|login| login.password_pending), "{listed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_telegram_tells_of_a_password_is_told_and_an_unknown_kind_of_it_said() {
    let backend = Backend::new().await;
    let ann = backend.stage.user(PHONE, "Ann");
    let password = |unknown: bool| Password {
        recovery: true,
        login_email: Some("a***@example.org".to_owned()),
        unknown,
        ..Password::new("a cat", "miaow")
    };
    let phone = backend.stage.handle();
    phone.set_kept_password(ann, password(true)).expect("set");
    let session = backend.request_code(1, PHONE).await;
    let code = json!({"session_id": session, "code": backend.code(PHONE)});
    let wanted = backend.post("verify-code", code).await.ok();
    let documented = json!({
        "success": true, "connected": false, "requires_password": true, "hint": "miaow",
        "has_recovery": true, "email_pattern": "a***@example.org"
    });
    assert_eq!(wanted, documented);
    let right = json!({"session_id": session, "password": "a cat"});
    let unknown = backend.post("verify-password", right.clone()).await;
    assert_eq!(unknown.refusal(), (409, "CONFLICT"));
    let reason = unknown.body["details"]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("newer release"), "{reason}");
    phone.set_kept_password(ann, password(false)).expect("set");
    let wrong = json!({"session_id": session, "password": "a dog"});
    let wrong = backend.post("verify-password", wrong).await;
    assert_eq!(wrong.refusal(), (400, "PASSWORD_HASH_INVALID"));
    let text = wrong.body["error"].as_str().unwrap_or_default();
    assert!(text.contains("Telegram app"), "{text}");
    assert_eq!(
        backend.post("verify-password", right).await.ok()["connected"],
        true
    );
}
