//! Login by phone code.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use trunkline::base::Span;
use trunkline::sandbox::faults::{Fault, Kind};
use trunkline::sandbox::world::settings::Change;

use super::backend::{Backend, session};
use crate::control_api::caller::answer;

const PHONE: &str = "+989120000001";

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_logs_in_by_code_and_the_answers_are_the_documented_ones() {
    let backend = Backend::new().await;
    let ann = backend.stage.user(PHONE, "Ann");
    let sent = backend
        .post(
            "request-code",
            json!({"agent_id": 123, "phone": "+98 912 000 0001"}),
        )
        .await
        .ok();
    let session = session(&sent);
    let documented = json!({
        "success": true, "session_id": session, "code_type": "sms", "code_length": 5, "expires_in": sent["expires_in"]
    });
    assert_eq!(sent, documented);
    assert!(
        sent["expires_in"]
            .as_u64()
            .is_some_and(|left| (295..=300).contains(&left))
    );

    let status = backend.get(&format!("status/{session}")).await.ok();
    let documented = json!({
        "success": true, "connected": false, "phone": PHONE, "user_id": null,
        "last_activity": status["last_activity"], "state": "logging_in", "wanted": "running",
        "login_step": "input_code", "qr_code": null
    });
    assert_eq!(status, documented);

    let right = json!({"session_id": session, "code": backend.code(PHONE)});
    for _ in 0..2 {
        let request = backend
            .caller
            .request(Method::POST, "/api/telegram/verify-code")
            .json(&right);
        let text = request
            .send()
            .await
            .expect("an answer")
            .text()
            .await
            .expect("a text");
        let documented = format!(r#"{{"success":true,"connected":true,"phone":"{PHONE}","user_id":{ann}}}"#);
        assert_eq!(text, documented, "to the letter, and again");
    }
    backend.connected(&session).await;
    let accounts = backend.caller.items("/api/telegram/accounts").await;
    assert_eq!(
        (
            &accounts[0]["session_id"],
            &accounts[0]["is_active"],
            &accounts[0]["agent_id"]
        ),
        (&json!(session), &json!(true), &json!(123))
    );
    let path = format!("/api/telegram/accounts/{session}");
    let change = json!({"name": "Sales", "metadata": {"team": 7}});
    let changed = backend.caller.patch(&path, change).await.ok();
    assert_eq!(
        (&changed["name"], &changed["metadata"]),
        (&json!("Sales"), &json!({"team": 7}))
    );
    for _ in 0..2 {
        let gone = backend.caller.delete(&path).await.ok();
        assert_eq!(gone, json!({"success": true, "message": "Disconnected"}));
    }
    backend.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_sent_again_and_only_the_last_one_is_taken() {
    let backend = Backend::new().await;
    backend.stage.user(PHONE, "Ann");
    backend.stage.handle().set(Change {
        resend_after: Some(0),
        ..Change::default()
    });
    let session = backend.request_code(1, PHONE).await;
    let first = backend.code(PHONE);
    let again = backend.request_code(1, PHONE).await;
    assert_eq!(session, again, "an agent has one login");
    let second = backend.code(PHONE);
    assert_ne!(first, second);
    let asked = json!({"session_id": session, "phone": PHONE});
    backend.post("request-code", asked).await.ok();
    let third = backend.code(PHONE);
    let submit = async |code: &str| {
        let body = json!({"session_id": session, "code": code});
        backend.post("verify-code", body).await
    };
    assert_eq!(submit(&first).await.refusal(), (400, "PHONE_CODE_INVALID"));
    assert_eq!(submit(&third).await.ok()["connected"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_code_is_told_in_the_callers_language() {
    let backend = Backend::new().await;
    backend.stage.user(PHONE, "Ann");
    let session = backend.request_code(1, PHONE).await;
    let body = json!({"session_id": session, "code": "00000"});
    let wrong = backend.post("verify-code", body.clone()).await;
    assert_eq!(wrong.refusal(), (400, "PHONE_CODE_INVALID"));
    assert_eq!(wrong.body["error"], "The code is invalid");
    let request = backend
        .caller
        .request(Method::POST, "/api/telegram/verify-code")
        .header("accept-language", "fa-IR,fa;q=0.9")
        .json(&body);
    let wrong = answer(request).await;
    assert_eq!(wrong.body["error"], "کد نامعتبر است");
    let early = json!({"session_id": session, "password": "x"});
    let early = backend.post("verify-password", early).await;
    assert_eq!(early.refusal(), (409, "LOGIN_STEP"));
    assert_eq!(early.body["details"]["step"], "input_code");
    let no_qr = backend.get(&format!("qr/{session}")).await;
    assert_eq!(no_qr.refusal(), (409, "LOGIN_STEP"));
    let right = json!({"session_id": session, "code": backend.code(PHONE)});
    assert_eq!(backend.post("verify-code", right).await.ok()["connected"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_whose_answer_was_lost_is_found_done() {
    let backend = Backend::with(crate::stage::Stage::new().await, |config| {
        config.telegram.call_timeout = Span::secs(3);
    })
    .await;
    backend.stage.user(PHONE, "Ann");
    let session = backend.request_code(1, PHONE).await;
    let fault: Fault =
        serde_json::from_value(json!({"kind": "drop_after", "method": "auth.signIn"})).expect("one");
    assert_eq!(fault.kind, Kind::DropAfter);
    trunkline::sandbox::World::new(backend.stage.world.clone())
        .fault(fault)
        .expect("taken");
    let body = json!({"session_id": session, "code": backend.code(PHONE)});
    let lost = backend.post("verify-code", body.clone()).await;
    assert_eq!(lost.refusal(), (503, "SESSION_UNAVAILABLE"));
    // As a caller does: again after the time that the refusal named, until the session has its connection back.
    let mut again = backend.post("verify-code", body.clone()).await;
    for _ in 0..5 {
        if again.status != 503 {
            break;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        again = backend.post("verify-code", body.clone()).await;
    }
    assert_eq!(again.ok()["connected"], true);
    backend.connected(&session).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_log_in_at_once_and_none_is_refused() {
    const MANY: i64 = 12;
    let backend = Backend::with(crate::stage::Stage::new().await, |config| {
        config.telegram.logins_at_once = 2;
    })
    .await;
    let phone = |agent: i64| format!("+98912000{agent:04}");
    let users: Vec<i64> = (0..MANY)
        .map(|agent| backend.stage.user(&phone(agent), "Agent"))
        .collect();
    let log_in = async |agent: i64| -> Value {
        let session = backend.request_code(agent, &phone(agent)).await;
        let body = json!({"session_id": session, "code": backend.code(&phone(agent))});
        let done = backend.post("verify-code", body).await.ok();
        backend.connected(&session).await;
        done
    };
    let all = futures_util::future::join_all((0..MANY).map(log_in));
    let done = tokio::time::timeout(Duration::from_secs(100), all)
        .await
        .expect("in time");
    for (answer, user) in done.iter().zip(users) {
        assert_eq!(
            (&answer["connected"], &answer["user_id"]),
            (&json!(true), &json!(user))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_has_one_session_unless_it_is_replaced() {
    let backend = Backend::new().await;
    backend.stage.user(PHONE, "Ann");
    let both = [0, 1].map(|_| backend.post("request-code", json!({"agent_id": 5, "phone": PHONE})));
    let answers = futures_util::future::join_all(both).await;
    let sessions: Vec<String> = answers.into_iter().map(|answer| session(&answer.ok())).collect();
    assert_eq!(sessions[0], sessions[1], "two at the same time are one login");
    let body = json!({"session_id": sessions[0], "code": backend.code(PHONE)});
    backend.post("verify-code", body).await.ok();
    let taken = backend
        .post("request-code", json!({"agent_id": 5, "phone": PHONE}))
        .await;
    assert_eq!(taken.refusal(), (409, "SESSION_EXISTS"));
    assert_eq!(taken.body["details"]["session_id"], sessions[0].as_str());
    let body = json!({"agent_id": 5, "phone": PHONE, "replace": true, "metadata": {"a": 1}});
    let anew = session(&backend.post("request-code", body).await.ok());
    assert_ne!(anew, sessions[0]);
    let old = backend.get(&format!("status/{}", sessions[0])).await.ok();
    assert_eq!(old["connected"], true, "until the other has logged in");
}
