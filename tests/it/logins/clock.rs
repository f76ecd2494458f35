//! A server whose clock is not the machine's.

use serde_json::json;
use trunkline::sandbox::world::settings::Change;

use super::backend::{Backend, session};

const PHONE: &str = "+989120000001";

/// Logs in by QR and by code while the server's clock is so many seconds ahead, and says something.
async fn logs_in(seconds: i64) {
    let stage = crate::stage::Stage::new().await;
    stage.handle().set(Change {
        clock_offset: Some(seconds * 1_000),
        ..Change::default()
    });
    let backend = Backend::with(stage, |_| {}).await;
    let ann = backend.stage.user(PHONE, "Ann");
    let world = backend.stage.handle();
    let shown = backend.post("request-qr", json!({"agent_id": 1})).await.ok();
    let left = shown["qr_expires_in"].as_u64().expect("a time");
    assert!((25..=31).contains(&left), "{left} s of a QR are left");
    let link = shown["login_url"].as_str().expect("a link");
    world.accept_login(ann, link).expect("scanned");
    let first = session(&shown);
    backend.connected(&first).await;

    let second = backend.request_code(2, PHONE).await;
    let body = json!({"session_id": second, "code": backend.code(PHONE)});
    assert_eq!(backend.post("verify-code", body).await.ok()["connected"], true);
    backend.connected(&second).await;
    let message = json!({"session_id": first, "chat_id": ann, "message": "what time is it?"});
    let sent = backend.post("send-message", message).await.ok();
    assert_eq!(sent["success"], true);
    let said = world.messages(ann, Some(ann), 0, 10, false).expect("there");
    let own = said.iter().filter(|message| message.text == "what time is it?");
    assert_eq!(own.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_logs_in_at_a_server_that_is_ahead() {
    logs_in(200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_logs_in_at_a_server_that_is_behind() {
    logs_in(-20).await;
}
