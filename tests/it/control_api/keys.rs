//! Keys: made, bound, rotated, revoked; the first one.

use serde_json::json;
use trunkline::access::Scope;

use super::caller::{Caller, id};
use crate::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn the_first_key_lies_in_the_data_folder_and_makes_others() {
    let stage = Stage::new().await;
    let daemon = stage.daemon().await;
    let folder = daemon.handles.store.config().folder.clone();
    let text = std::fs::read_to_string(folder.join("admin.key")).expect("the first key");
    let first = Caller::with_key(&daemon, text.trim()).await;
    assert_eq!(first.items("/api/keys").await.len(), 1);

    let made = first
        .post("/api/keys", json!({"name": "crm", "scopes": ["manage"]}))
        .await;
    assert_eq!(made.status, 201);
    let made = made.ok();
    let crm = Caller::with_key(&daemon, made["key"].as_str().expect("a text")).await;
    crm.get("/api/sessions").await.ok();
    assert_eq!(crm.get("/api/keys").await.refusal(), (403, "FORBIDDEN"));
    let shown = first.items("/api/keys").await;
    assert!(
        shown.iter().all(|key| key.get("key").is_none()),
        "a text is shown once"
    );
    assert!(shown[1]["last_used_at"].is_string());

    let path = format!("/api/keys/{}", id(&made));
    let rotated = first
        .post(&format!("{path}/rotate"), json!({"overlap_seconds": 60}))
        .await
        .ok();
    let renewed = Caller::with_key(&daemon, rotated["key"].as_str().expect("a text")).await;
    crm.get("/api/sessions").await.ok();
    renewed.get("/api/sessions").await.ok();
    for _ in 0..2 {
        first.delete(&path).await.ok();
    }
    assert_eq!(crm.get("/api/sessions").await.refusal(), (401, "UNAUTHORIZED"));
    assert_eq!(
        renewed.get("/api/sessions").await.refusal(),
        (401, "UNAUTHORIZED")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_lasting_admin_key_stays() {
    let stage = Stage::new().await;
    let daemon = stage.daemon().await;
    let admin = Caller::new(&daemon, Scope::Admin, None).await;
    let keys = admin.items("/api/keys").await;
    let mut refused = 0;
    for key in keys.iter().rev() {
        let answer = admin.delete(&format!("/api/keys/{}", id(key))).await;
        refused += u32::from(answer.status == 409 || answer.status == 401);
    }
    assert_eq!(refused, 1);
    let wrong = [
        json!({"name": "x", "scopes": []}),
        json!({"name": "", "scopes": ["read"]}),
        json!({"name": "x", "scopes": ["owner"]}),
        json!({"name": "x", "scopes": ["read"], "expires_at": "2001-01-01T00:00:00Z"}),
        json!({"name": "x", "scopes": ["read"], "sessions": []}),
    ];
    let other = Caller::new(&daemon, Scope::Admin, None).await;
    for body in wrong {
        assert_eq!(
            other.post("/api/keys", body.clone()).await.refusal().0,
            400,
            "{body}"
        );
    }
}
