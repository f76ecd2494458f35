//! Sending over the API: once for each name, whatever happens in between.

use reqwest::Method;
use serde_json::{Value, json};
use trunkline::access::Scope;

use super::caller::{Answer, Caller, answer, meet, said};
use crate::stage::Stage;

async fn named(caller: &Caller, path: &str, name: &str, body: &Value) -> Answer {
    answer(
        caller
            .request(Method::POST, path)
            .header("idempotency-key", name)
            .json(body),
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_send_happens_once() {
    let stage = Stage::new().await;
    let ann = stage.user("+989120000001", "Ann");
    let bob = stage.user("+989120000002", "Bob");
    let daemon = stage.daemon().await;
    let session = stage.log_in(&daemon, "+989120000001").await;
    meet(&stage, &daemon, ann, bob).await;
    let sender = Caller::new(&daemon, Scope::Send, Some(&[session])).await;
    let path = format!("/api/sessions/{session}/messages");

    let body =
        json!({"chat": bob, "text": "hello *Bob*", "entities": [{"type": "bold", "offset": 6, "length": 5}]});
    let first = named(&sender, &path, "n-1", &body).await.ok();
    let repeats = (0..5).map(|_| named(&sender, &path, "n-1", &body));
    for repeat in futures_util::future::join_all(repeats).await {
        // One of them may meet another that is still being answered.
        if repeat.status != 409 {
            assert_eq!(repeat.ok(), first);
        }
    }
    let other = named(
        &sender,
        &path,
        "n-1",
        &json!({"chat": bob, "text": "something else"}),
    )
    .await;
    assert_eq!(other.refusal(), (409, "IDEMPOTENCY_KEY_REUSED"));
    let at_once = (0..8).map(|_| named(&sender, &path, "n-2", &body));
    let answers = futures_util::future::join_all(at_once).await;
    assert!(answers.iter().any(|answer| answer.status == 200), "{answers:?}");
    assert!(
        answers.iter().all(|answer| matches!(answer.status, 200 | 409)),
        "{answers:?}"
    );
    assert_eq!(said(&stage, ann, "hello *Bob*"), 2, "one for each name");

    for wrong in [
        json!({"chat": bob, "text": ""}),
        json!({"chat": 4711, "text": "x"}),
    ] {
        let refused = named(&sender, &path, "n-3", &wrong).await;
        assert_eq!(refused.refusal().0, 422, "{refused:?}");
    }
    let mended = named(&sender, &path, "n-3", &json!({"chat": bob, "text": "mended"})).await;
    mended.ok();
    let reader = Caller::new(&daemon, Scope::Read, None).await;
    assert_eq!(reader.post(&path, body).await.refusal(), (403, "FORBIDDEN"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_away_says_so() {
    let stage = Stage::new().await;
    let bob = stage.user("+989120000002", "Bob");
    let ann = stage.user("+989120000001", "Ann");
    let daemon = stage.daemon().await;
    let session = stage.log_in(&daemon, "+989120000001").await;
    meet(&stage, &daemon, ann, bob).await;
    let manager = Caller::new(&daemon, Scope::Manage, None).await;
    let path = format!("/api/sessions/{session}");
    let body = json!({"chat": bob, "text": "anybody there?"});

    manager.post(&format!("{path}/stop"), json!({})).await.ok();
    let away = named(&manager, &format!("{path}/messages"), "n-1", &body).await;
    assert_eq!(away.refusal(), (503, "SESSION_UNAVAILABLE"));
    manager.post(&format!("{path}/logout"), json!({})).await.ok();
    let expired = named(&manager, &format!("{path}/messages"), "n-1", &body).await;
    assert_eq!(expired.refusal(), (410, "SESSION_EXPIRED"));
}
