//! Webhook endpoints and dead letters over the API.

use serde_json::json;
use trunkline::access::Scope;

use super::caller::{Caller, id};
use crate::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_made_steered_and_deleted() {
    let stage = Stage::new().await;
    let daemon = stage.daemon().await;
    let manager = Caller::new(&daemon, Scope::Manage, None).await;
    const BASE: &str = "/api/webhooks/endpoints";

    for url in [
        "http://127.0.0.1:9/hook",
        "ftp://example.org/",
        "nonsense",
        "https://10.0.0.1/",
    ] {
        let refused = manager.post(BASE, json!({"url": url})).await;
        assert_eq!(refused.refusal(), (400, "ADDRESS_FORBIDDEN"), "{url}");
    }
    let wrong = manager
        .post(
            BASE,
            json!({"url": "https://1.1.1.1/", "events": ["message.news"]}),
        )
        .await;
    assert_eq!(wrong.refusal(), (400, "INVALID_REQUEST"));

    let made = manager
        .post(
            BASE,
            json!({"url": "https://1.1.1.1/hook", "events": ["message.new"]}),
        )
        .await;
    assert_eq!(made.status, 201);
    let made = made.ok();
    assert!(
        made["secret"]
            .as_str()
            .is_some_and(|secret| secret.starts_with("whsec_"))
    );
    let path = format!("{BASE}/{}", id(&made));
    assert!(
        manager.get(&path).await.ok().get("secret").is_none(),
        "it is shown once"
    );
    let rotated = manager
        .post(&format!("{path}/rotate-secret"), json!({}))
        .await
        .ok();
    assert_ne!(rotated["secret"], made["secret"]);
    let admin = Caller::new(&daemon, Scope::Admin, None).await;
    assert_eq!(
        admin.get(&format!("{path}/secret")).await.refusal(),
        (409, "CONFLICT")
    );

    for _ in 0..2 {
        assert_eq!(
            manager.post(&format!("{path}/disable"), json!({})).await.ok()["state"],
            "disabled"
        );
    }
    assert_eq!(
        manager
            .post(&format!("{path}/send-example"), json!({}))
            .await
            .refusal(),
        (409, "CONFLICT")
    );
    for _ in 0..2 {
        assert_eq!(
            manager.post(&format!("{path}/enable"), json!({})).await.ok()["state"],
            "active"
        );
    }
    let patched = manager.patch(&path, json!({"order": "none"})).await.ok();
    assert_eq!(
        (&patched["order"], &patched["events"]),
        (&json!("none"), &json!(["message.new"]))
    );
    assert_eq!(manager.get(&format!("{path}/stats")).await.ok()["attempts"], 0);
    assert!(manager.items(&format!("{path}/deliveries")).await.is_empty());
    let late = manager
        .post(&format!("{path}/recover"), json!({"since": "yesterday"}))
        .await;
    assert_eq!(late.refusal(), (400, "INVALID_REQUEST"));
    manager
        .post(
            &format!("{path}/recover"),
            json!({"since": "2026-01-01T00:00:00Z"}),
        )
        .await
        .ok();
    for _ in 0..2 {
        manager.delete(&path).await.ok();
    }
    assert_eq!(manager.get(&path).await.refusal(), (404, "NOT_FOUND"));
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_asked_for_by_filter_or_id() {
    let stage = Stage::new().await;
    let daemon = stage.daemon().await;
    let manager = Caller::new(&daemon, Scope::Manage, None).await;
    for query in [
        "",
        "?lane=forward",
        "?lane=webhook&code=X&since=2026-01-01T00:00:00Z&limit=5",
    ] {
        assert!(
            manager
                .items(&format!("/api/dead-letters{query}"))
                .await
                .is_empty()
        );
    }
    for query in ["?lane=other", "?since=today", "?cursor=x"] {
        let refused = manager.get(&format!("/api/dead-letters{query}")).await;
        assert_eq!(refused.refusal(), (400, "INVALID_REQUEST"), "{query}");
    }
    for verb in ["requeue", "drop"] {
        let path = format!("/api/dead-letters/{verb}");
        assert_eq!(
            manager.post(&path, json!({})).await.refusal(),
            (400, "INVALID_REQUEST"),
            "neither"
        );
        let both = json!({"ids": [], "lane": "forward"});
        assert_eq!(
            manager.post(&path, both).await.refusal(),
            (400, "INVALID_REQUEST")
        );
        assert_eq!(
            manager.post(&path, json!({"lane": "forward"})).await.ok()["changed"],
            0
        );
        let unknown = json!({"ids": ["task_01jbz4c9v7q4w0y3d8f6k2m5n7"]});
        assert_eq!(manager.post(&path, unknown).await.ok()["changed"], 0);
    }
    assert_eq!(
        manager.post("/api/admin/tasks/clear", json!({})).await.refusal(),
        (403, "FORBIDDEN")
    );
    let admin = Caller::new(&daemon, Scope::Admin, None).await;
    for verb in ["requeue", "clear"] {
        assert_eq!(
            admin
                .post(&format!("/api/admin/tasks/{verb}"), json!({}))
                .await
                .ok()["changed"],
            0
        );
    }
}
