//! Sessions over the API: added, logged in by code, stopped, started, deleted; and whose they are.

use serde_json::{Value, json};
use trunkline::access::Scope;
use trunkline::app::Daemon;
use trunkline::model::SessionState;

use super::caller::{Caller, id, meet};
use crate::stage::{Stage, state, until};

/// The code that the sandbox sent to a number.
fn code(stage: &Stage, phone: &str) -> String {
    let digits = phone.trim_start_matches('+').to_owned();
    let code = stage
        .world
        .world(|state| state.keys.codes.get(&digits).map(|code| code.code.clone()));
    code.expect("a code was sent")
}

/// Waits until a session is connected and has caught up.
async fn connected(daemon: &Daemon, id: &str) {
    let id = daemon.handles.telegram.find(id).expect("known");
    until("the session is connected", || {
        state(daemon, id) == SessionState::Connected
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_logged_in_step_by_step() {
    let stage = Stage::new().await;
    let ann = stage.user("+989120000001", "Ann");
    let daemon = stage.daemon().await;
    let manager = Caller::new(&daemon, Scope::Manage, None).await;

    let made = manager
        .post("/api/sessions", json!({"name": "sales", "metadata": {"team": 7}}))
        .await;
    assert_eq!(made.status, 201);
    let session = made.ok();
    assert_eq!(
        (&session["connected"], &session["metadata"]["team"]),
        (&json!(false), &json!(7))
    );
    let path = format!("/api/sessions/{}", id(&session));
    let early = manager
        .post(&format!("{path}/login/code"), json!({"code": "12345"}))
        .await;
    assert_eq!(early.status, 409, "{early:?}");

    let sent = manager
        .post(&format!("{path}/login"), json!({"phone": "+98 912 000 0001"}))
        .await
        .ok();
    assert_eq!(sent["step"], "input_code");
    assert!(sent["expires_in"].as_u64().is_some_and(|seconds| seconds > 0));
    assert_eq!(manager.get(&path).await.ok()["login"]["step"], "input_code");
    let wrong = manager
        .post(&format!("{path}/login/code"), json!({"code": "00000"}))
        .await;
    assert_eq!(wrong.refusal(), (400, "PHONE_CODE_INVALID"));
    let step = manager
        .post(&format!("{path}/login/password"), json!({"password": "x"}))
        .await;
    assert_eq!(
        (step.refusal(), &step.body["details"]["step"]),
        ((409, "LOGIN_STEP"), &json!("input_code"))
    );
    let right = json!({"code": code(&stage, "+989120000001")});
    for _ in 0..2 {
        let done = manager
            .post(&format!("{path}/login/code"), right.clone())
            .await
            .ok();
        assert_eq!(
            (&done["step"], &done["user_id"]),
            (&json!("complete"), &json!(ann))
        );
    }
    connected(&daemon, &id(&session)).await;

    let shown = manager.get(&path).await.ok();
    assert_eq!(
        (&shown["connected"], &shown["phone"]),
        (&json!(true), &json!("+989120000001"))
    );
    let reader = Caller::new(&daemon, Scope::Read, None).await;
    let masked = reader.get(&path).await.ok()["phone"].to_string();
    assert!(!masked.contains("912000"), "{masked}");
    let by_uuid = format!("/api/sessions/{}", shown["session_id"].as_str().expect("a UUID"));
    assert_eq!(reader.get(&by_uuid).await.ok()["id"], shown["id"]);

    let patched = manager.patch(&path, json!({"name": "support"})).await.ok();
    assert_eq!(
        (&patched["name"], &patched["metadata"]["team"]),
        (&json!("support"), &json!(7))
    );
    assert_eq!(
        manager.patch(&path, json!({"metadata": null})).await.ok()["metadata"],
        Value::Null
    );
    for verb in ["stop", "stop", "start", "start", "restart", "logout", "logout"] {
        manager.post(&format!("{path}/{verb}"), json!({})).await.ok();
    }
    assert_eq!(manager.get(&path).await.ok()["state"], "logged_out");
    for _ in 0..2 {
        manager.delete(&path).await.ok();
    }
    assert_eq!(manager.get(&path).await.refusal(), (404, "NOT_FOUND"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_connects_an_agent_and_disconnects_it() {
    let stage = Stage::new().await;
    let ann = stage.user("+989120000001", "Ann");
    let bob = stage.user("+989120000002", "Bob");
    let daemon = stage.daemon().await;
    let backend = Caller::new(&daemon, Scope::Manage, None).await;
    let post = async |route: &str, body: Value| backend.post(&format!("/api/telegram/{route}"), body).await;

    let sent = post("request-code", json!({"agent_id": 123, "phone": "+989120000001"}))
        .await
        .ok();
    assert_eq!(sent["success"], true);
    let session = sent["session_id"].as_str().expect("a UUID").to_owned();
    assert!(uuid::Uuid::parse_str(&session).is_ok_and(|uuid| uuid.get_version_num() == 4));
    let again = post(
        "request-code",
        json!({"session_id": session, "phone": "+989120000001"}),
    )
    .await
    .ok();
    assert_eq!(again["session_id"], session.as_str());
    let wrong = post("verify-code", json!({"session_id": session, "code": "00000"})).await;
    assert_eq!(wrong.refusal(), (400, "PHONE_CODE_INVALID"));
    let right = json!({"session_id": session, "code": code(&stage, "+989120000001")});
    let done = post("verify-code", right).await.ok();
    assert_eq!(
        done,
        json!({"success": true, "connected": true, "phone": "+989120000001", "user_id": ann})
    );
    connected(&daemon, &session).await;

    let status = backend.get(&format!("/api/telegram/status/{session}")).await.ok();
    assert_eq!(
        (&status["connected"], &status["state"]),
        (&json!(true), &json!("connected"))
    );
    let taken = post("request-code", json!({"agent_id": 123, "phone": "+989120000002"})).await;
    assert_eq!(taken.refusal(), (409, "SESSION_EXISTS"));
    assert_eq!(taken.body["details"]["session_id"], session.as_str());
    let neither = post("request-code", json!({"phone": "+989120000002"})).await;
    assert_eq!(neither.refusal(), (400, "INVALID_REQUEST"));

    meet(&stage, &daemon, ann, bob).await;
    let message = json!({"session_id": session, "chat_id": bob, "message": "hello", "reply_to": null});
    let sent = post("send-message", message).await.ok();
    assert!(sent["message_id"].is_number() && sent["sent_at"].is_string());

    let gone = post("disconnect", json!({"session_id": session})).await.ok();
    assert_eq!(gone, json!({"success": true, "message": "Disconnected"}));
    assert_eq!(
        post("disconnect", json!({"session_id": session})).await.refusal(),
        (404, "NOT_FOUND")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_key_knows_its_own_sessions_only() {
    let stage = Stage::new().await;
    let daemon = stage.daemon().await;
    let admin = Caller::new(&daemon, Scope::Admin, None).await;
    let mine = id(&admin.post("/api/sessions", json!({"name": "mine"})).await.ok());
    let other = id(&admin.post("/api/sessions", json!({"name": "other"})).await.ok());
    let own = mine.parse().expect("an id");
    let bound = Caller::new(&daemon, Scope::Manage, Some(&[own])).await;

    let seen = bound.items("/api/sessions").await;
    assert_eq!(seen.iter().map(id).collect::<Vec<_>>(), [mine.as_str()]);
    for verb in ["start", "stop", "restart", "logout", "login/cancel"] {
        let foreign = bound
            .post(&format!("/api/sessions/{other}/{verb}"), json!({}))
            .await;
        assert_eq!(foreign.refusal(), (404, "NOT_FOUND"), "{verb}");
    }
    assert_eq!(
        bound.get(&format!("/api/sessions/{other}")).await.refusal(),
        (404, "NOT_FOUND")
    );
    assert_eq!(
        bound.delete(&format!("/api/sessions/{other}")).await.refusal(),
        (404, "NOT_FOUND")
    );
    let message = json!({"chat": 1, "text": "x"});
    let foreign = bound
        .post(&format!("/api/sessions/{other}/messages"), message)
        .await;
    assert_eq!(foreign.refusal(), (404, "NOT_FOUND"));
    assert_eq!(
        bound
            .post("/api/sessions", json!({"name": "new"}))
            .await
            .refusal(),
        (403, "FORBIDDEN")
    );
    let hook = json!({"url": "https://example.org/hook"});
    assert_eq!(
        bound.post("/api/webhooks/endpoints", hook).await.refusal(),
        (403, "FORBIDDEN")
    );
    assert_eq!(bound.get("/api/dead-letters").await.refusal(), (403, "FORBIDDEN"));
    bound.get(&format!("/api/sessions/{mine}")).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_are_added_at_once_and_listed_page_by_page() {
    let stage = Stage::new().await;
    let daemon = stage.daemon().await;
    let manager = Caller::new(&daemon, Scope::Manage, None).await;
    let one_agent = (0..20).map(|_| manager.post("/api/sessions", json!({"agent_id": 5})));
    let answers = futures_util::future::join_all(one_agent).await;
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(made, 1, "an agent has one session");
    for refused in answers.iter().filter(|answer| answer.status != 201) {
        assert_eq!(refused.refusal(), (409, "SESSION_EXISTS"));
    }
    let many = (0..24).map(|number| manager.post("/api/sessions", json!({"name": format!("n{number}")})));
    for answer in futures_util::future::join_all(many).await {
        answer.ok();
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = manager.get(&format!("/api/sessions?limit=7{cursor}")).await.ok();
        seen.extend(page["items"].as_array().expect("items").iter().map(id));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let mut once = seen.clone();
    once.sort();
    once.dedup();
    assert_eq!((seen.len(), once.len()), (25, 25));
}
