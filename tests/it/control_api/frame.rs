//! What all routes share: wrong input of every kind, the document, health and metrics.

use reqwest::Method;
use serde_json::json;
use trunkline::access::Scope;

use super::caller::{Caller, answer};
use crate::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn wrong_input_is_refused_with_its_reason() {
    let stage = Stage::new().await;
    let daemon = stage.daemon().await;
    let admin = Caller::new(&daemon, Scope::Admin, None).await;
    let code = async |request| {
        let answer = answer(request).await;
        let (status, code) = answer.refusal();
        (status, code.to_owned())
    };
    let post = |path: &str| admin.request(Method::POST, path);
    let invalid = (400, "INVALID_REQUEST".to_owned());

    let huge = format!(r#"{{"name":"{}"}}"#, "x".repeat(1024 * 1024));
    let refused = code(
        post("/api/sessions")
            .header("content-type", "application/json")
            .body(huge),
    )
    .await;
    assert_eq!(refused, (413, "BODY_TOO_LARGE".to_owned()));
    for malformed in ["", "{", "null", "[1]", "{\"name\":1}", "\u{0}"] {
        let refused = code(
            post("/api/sessions")
                .header("content-type", "application/json")
                .body(malformed),
        );
        assert_eq!(refused.await, invalid, "{malformed:?}");
    }
    let answers = async |body: &'static str| {
        let request = post("/api/pairs").header("content-type", "application/json");
        answer(request.body(body)).await.body["error"].to_string()
    };
    for (body, told) in [
        ("[3]", "an object, not a list"),
        ("3", "expected an object"),
        (r#"{"source": 3}"#, "expected an object"),
    ] {
        let words = answers(body).await;
        assert!(words.contains(told), "{body}: {words}");
    }
    let place = |chat: i64| json!({"session": "ses_01jbz4c9v7q4w0y3d8f6k2m5n7", "chat": chat});
    let pair = json!({"source": place(-1), "destination": place(-2)});
    let refused = admin.post("/api/pairs", pair).await;
    assert_eq!(refused.refusal(), (404, "NOT_FOUND"));
    let words = refused.body["error"].as_str().expect("words");
    assert!(words.contains("source.session names no session"), "{words}");
    let form = post("/api/sessions")
        .header("content-type", "text/plain")
        .body("name=x");
    assert_eq!(code(form).await, (415, "UNSUPPORTED_MEDIA_TYPE".to_owned()));

    let unknown = admin
        .post("/api/sessions", json!({"name": "a", "colour": "red"}))
        .await;
    assert_eq!(unknown.refusal(), (400, "INVALID_REQUEST"));
    assert_eq!(unknown.body["details"]["field"], "colour");
    for path in [
        "/api/sessions?limit=0",
        "/api/sessions?limit=201",
        "/api/sessions?colour=red",
        "/health?x=1",
        "/api/pairs?cursor=ses_01jbz4c9v7q4w0y3d8f6k2m5n7",
        "/api/sessions?cursor=0",
    ] {
        assert_eq!(
            admin.get(path).await.refusal(),
            (400, "INVALID_REQUEST"),
            "{path}"
        );
    }
    let nowhere = [
        "/api/sessions/ses_nonsense",
        "/api/sessions/ses_01jbz4c9v7q4w0y3d8f6k2m5n7",
        "/api/sessions/f81d4fae-7dec-41d0-a765-00a0c91e6bf6",
        "/api/webhooks/endpoints/pair_01jbz4c9v7q4w0y3d8f6k2m5n7",
        "/api/deliveries/1",
        "/api/nowhere",
        "/",
    ];
    for path in nowhere {
        assert_eq!(admin.get(path).await.refusal(), (404, "NOT_FOUND"), "{path}");
    }
    assert_eq!(
        admin.delete("/api/sessions").await.refusal(),
        (405, "METHOD_NOT_ALLOWED")
    );
    let persian = admin
        .request(Method::GET, "/api/nowhere")
        .header("accept-language", "fa");
    assert_eq!(answer(persian).await.body["error"], "پیدا نشد");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_health_and_metrics_are_served() {
    let stage = Stage::new().await;
    let daemon = stage.daemon().await;
    let reader = Caller::new(&daemon, Scope::Read, None).await;
    let nobody = Caller::with_key(&daemon, "tlk_nobody").await;

    let document = reader.get("/openapi.json").await.ok();
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["paths"]["/api/sessions/{id}/messages"]["post"].is_object());
    assert_eq!(
        document,
        trunkline::http::document(),
        "the command prints the same"
    );

    let health = reader.get("/health").await.ok();
    assert_eq!(
        (&health["status"], &health["checks"]["store"]["status"]),
        (&json!("ok"), &json!("ok"))
    );
    for open in ["/health/live", "/health/ready"] {
        assert_eq!(nobody.get(open).await.ok()["status"], "ok");
    }
    for closed in ["/health", "/metrics", "/openapi.json", "/api/sessions"] {
        assert_eq!(
            nobody.get(closed).await.refusal(),
            (401, "UNAUTHORIZED"),
            "{closed}"
        );
    }

    let text = async |url: String| {
        reqwest::get(url)
            .await
            .expect("an answer")
            .text()
            .await
            .expect("a text")
    };
    let address = daemon.metrics_address().expect("a listener of its own");
    let metrics = text(format!("http://{address}/metrics")).await;
    assert!(metrics.contains("trunkline_http_seconds"), "{metrics}");
    assert!(metrics.contains("route=\"/openapi.json\""), "{metrics}");
    assert_eq!(answer(reader.request(Method::GET, "/metrics")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_sees_the_tree_and_takes_a_copy() {
    let stage = Stage::new().await;
    let daemon = stage.daemon().await;
    let admin = Caller::new(&daemon, Scope::Admin, None).await;
    let manager = Caller::new(&daemon, Scope::Manage, None).await;

    let tree = admin.get("/api/admin/tree").await.ok();
    let children: Vec<_> = tree["children"]
        .as_array()
        .expect("children")
        .iter()
        .map(|node| &node["id"])
        .collect();
    assert!(
        children.contains(&&json!("store")) && children.contains(&&json!("http")),
        "{tree}"
    );
    for path in [
        "/api/admin/tree",
        "/api/admin/incidents",
        "/api/admin/export",
        "/api/keys",
    ] {
        assert_eq!(manager.get(path).await.refusal(), (403, "FORBIDDEN"), "{path}");
    }

    let incidents = &daemon.handles.incidents;
    let incident = incidents
        .open("story", "x", "it happened", "resolve it")
        .await
        .expect("opened")
        .to_string();
    assert_eq!(
        admin.items("/api/admin/incidents").await[0]["id"],
        incident.as_str()
    );
    let resolve = format!("/api/admin/incidents/{incident}/resolve");
    assert!(admin.post(&resolve, json!({})).await.ok()["resolved_at"].is_string());
    admin.post(&resolve, json!({})).await.ok();
    assert!(admin.items("/api/admin/incidents").await.is_empty());
    assert_eq!(admin.items("/api/admin/incidents?state=all").await.len(), 1);

    let copy = admin
        .request(Method::GET, "/api/admin/export")
        .send()
        .await
        .expect("an answer");
    let copy = copy.bytes().await.expect("the whole copy");
    let folder = tempfile::tempdir().expect("a folder");
    let config = trunkline::store::StoreConfig::in_folder(folder.path().join("new"));
    let rows = trunkline::store::import(&config, &copy[..])
        .expect("a right copy")
        .rows;
    assert!(rows > 0);
}
