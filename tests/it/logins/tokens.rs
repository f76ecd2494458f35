//! Tokens by which an account logs in again without a code.

use serde_json::{Value, json};
use trunkline::sandbox::world::ways::Plan;

use super::backend::{Backend, session};

const PHONE: &str = "+989120000001";

/// An agent who has logged in by code, with a number that is given tokens.
async fn backend() -> (Backend, i64, String) {
    let backend = Backend::new().await;
    let ann = backend.stage.user(PHONE, "Ann");
    let plan = Plan {
        future_tokens: true,
        ..Plan::default()
    };
    backend.stage.handle().plan_codes(PHONE, plan).expect("planned");
    let session = backend.request_code(1, PHONE).await;
    let body = json!({"session_id": session, "code": backend.code(PHONE)});
    backend.post("verify-code", body).await.ok();
    backend.connected(&session).await;
    (backend, ann, session)
}

async fn again(backend: &Backend, agent: i64) -> Value {
    let body = json!({"agent_id": agent, "phone": PHONE});
    backend.post("request-code", body).await.ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_logged_out_needs_no_code() {
    let (backend, ann, first) = backend().await;
    backend
        .post("disconnect", json!({"session_id": first}))
        .await
        .ok();
    backend.empty().await;
    let done = again(&backend, 1).await;
    let session = session(&done);
    let documented = json!({
        "success": true, "session_id": session, "connected": true, "phone": PHONE, "user_id": ann
    });
    assert_eq!(done, documented);
    backend.connected(&session).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_with_a_password_is_asked_for_that_alone() {
    let (backend, ann, first) = backend().await;
    backend
        .post("disconnect", json!({"session_id": first}))
        .await
        .ok();
    let phone = backend.stage.handle();
    phone.set_password(ann, "a cat", "miaow").expect("set");
    let wanted = again(&backend, 1).await;
    let session = session(&wanted);
    let documented = json!({
        "success": true, "session_id": session, "connected": false, "requires_password": true,
        "hint": "miaow", "has_recovery": false
    });
    assert_eq!(wanted, documented);
    let body = json!({"session_id": session, "password": "a cat"});
    assert_eq!(
        backend.post("verify-password", body).await.ok()["connected"],
        true
    );
    backend.connected(&session).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_no_good_to_telegram_once_the_owner_ended_all_logins() {
    let (backend, ann, first) = backend().await;
    backend
        .post("disconnect", json!({"session_id": first}))
        .await
        .ok();
    backend.stage.handle().end_logins(ann, None).expect("ended");
    let sent = again(&backend, 1).await;
    assert_eq!(sent["code_type"], "sms");
    // A QR beside it is shown, whatever tokens there are.
    let body = json!({"agent_id": 2, "phone": PHONE});
    let shown = backend.post("request-qr", body).await.ok();
    assert!(shown["login_url"].is_string(), "{shown}");
}
