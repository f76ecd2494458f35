//! The ways on which Telegram sends codes, those on which it sends none, and codes that are asked for again.

use serde_json::{Value, json};
use trunkline::sandbox::faults::Fault;
use trunkline::sandbox::world::settings::Change;
use trunkline::sandbox::world::ways::{Plan, Way};

use super::backend::{Backend, session};

const PHONE: &str = "+989120000001";

fn plan(backend: &Backend, ways: &[Way]) {
    let plan = Plan {
        ways: ways.to_vec(),
        ..Plan::default()
    };
    backend.stage.handle().plan_codes(PHONE, plan).expect("planned");
}

fn fault(backend: &Backend, fault: Value) {
    let fault: Fault = serde_json::from_value(fault).expect("a fault");
    backend.stage.handle().fault(fault).expect("taken");
}

/// How often the sandbox was asked for codes, sent anew or again.
fn asked(backend: &Backend) -> (u64, u64) {
    let counts = backend.stage.handle().counts();
    let of = |method| counts.get(method).map_or(0, |outcomes| outcomes.values().sum());
    (of("auth.sendCode"), of("auth.resendCode"))
}

async fn request(backend: &Backend) -> Value {
    let body = json!({"agent_id": 1, "phone": PHONE});
    backend.post("request-code", body).await.ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_taken_on_whichever_way_it_came() {
    let backend = Backend::new().await;
    backend.stage.user(PHONE, "Ann");
    for (way, told) in [
        (Way::App, json!({"code_type": "app", "code_length": 5})),
        (Way::Call, json!({"code_type": "call", "code_length": 5})),
        (Way::FlashCall, json!({"code_type": "flash_call"})),
        (
            Way::MissedCall,
            json!({"code_type": "missed_call", "code_length": 5, "code_prefix": "+447400"}),
        ),
        (
            Way::Fragment,
            json!({"code_type": "fragment", "code_length": 5, "url": "https://fragment.com/login/989120000001"}),
        ),
        (Way::Word, json!({"code_type": "word"})),
        (Way::Phrase, json!({"code_type": "phrase"})),
        (
            Way::Email,
            json!({"code_type": "email", "code_length": 6, "email_pattern": "a***e@example.org"}),
        ),
    ] {
        plan(&backend, &[way]);
        let mut sent = request(&backend).await;
        let session = session(&sent);
        let code = backend.code(PHONE);
        let fields = sent.as_object_mut().expect("an object");
        for usual in ["success", "session_id", "expires_in"] {
            assert!(fields.remove(usual).is_some(), "{way:?}: {usual}");
        }
        let mut told = told;
        match way {
            Way::FlashCall => told["code_pattern"] = json!(format!("{}*", &code[..4])),
            Way::Word => told["beginning"] = json!(&code[..1]),
            Way::Phrase => told["beginning"] = json!(code.split(' ').next()),
            _ => {}
        }
        assert_eq!(sent, told, "{way:?}");
        let typed = match way {
            Way::Phrase => format!("\u{202a}{}\u{202c} ", code.replace(' ', "\u{a0}")),
            Way::MissedCall => format!("+44 7400 {code}"),
            _ => code,
        };
        let wrong = json!({"session_id": session, "code": "no such code"});
        let wrong = backend.post("verify-code", wrong).await;
        assert_eq!(wrong.refusal(), (400, "PHONE_CODE_INVALID"), "{way:?}");
        let body = json!({"session_id": session, "code": typed});
        assert_eq!(
            backend.post("verify-code", body).await.ok()["connected"],
            true,
            "{way:?}"
        );
        let body = json!({"session_id": session});
        backend.post("disconnect", body).await.ok();
    }
    backend.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_telegram_wants_and_is_not_done_here_is_said_and_leaves_nothing() {
    let backend = Backend::new().await;
    backend.stage.user(PHONE, "Ann");
    for (ways, code) in [
        (vec![Way::EmailSetup], "EMAIL_SETUP_REQUIRED"),
        (vec![Way::Payment], "LOGIN_PAYMENT_REQUIRED"),
        (vec![Way::Firebase], "CODE_WAY_UNSUPPORTED"),
        (vec![Way::Firebase, Way::Payment], "CODE_WAY_UNSUPPORTED"),
    ] {
        plan(&backend, &ways);
        let body = json!({"agent_id": 1, "phone": PHONE});
        let refused = backend.post("request-code", body).await;
        assert_eq!(refused.refusal(), (422, code), "{ways:?}");
        backend.empty().await;
    }
    plan(&backend, &[Way::Firebase, Way::Sms]);
    let sent = request(&backend).await;
    assert_eq!(sent["code_type"], "sms", "the next way");
    let body = json!({"session_id": session(&sent), "code": backend.code(PHONE)});
    assert_eq!(backend.post("verify-code", body).await.ok()["connected"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_nobody_has_ends_the_login() {
    let backend = Backend::new().await;
    for fault_of_old in [false, true] {
        let session = backend.request_code(2, PHONE).await;
        if fault_of_old {
            let refused = json!({
                "kind": "error", "code": 400, "name": "PHONE_NUMBER_UNOCCUPIED", "method": "auth.signIn"
            });
            fault(&backend, refused);
        }
        let body = json!({"session_id": session, "code": backend.code(PHONE)});
        let refused = backend.post("verify-code", body.clone()).await;
        assert_eq!(refused.refusal(), (422, "PHONE_NUMBER_UNOCCUPIED"));
        backend.empty().await;
        let again = backend.post("verify-code", body).await;
        assert_eq!(
            again.refusal(),
            (422, "PHONE_NUMBER_UNOCCUPIED"),
            "it is known why"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_is_on_its_way_is_not_sent_again() {
    let backend = Backend::new().await;
    backend.stage.user(PHONE, "Ann");
    let first = request(&backend).await;
    let code = backend.code(PHONE);
    let again = request(&backend).await;
    assert_eq!(
        (&again["code_type"], &again["session_id"]),
        (&first["code_type"], &first["session_id"])
    );
    assert_eq!(asked(&backend), (1, 0), "Telegram was asked once");
    let body = json!({"session_id": session(&first), "code": code});
    assert_eq!(backend.post("verify-code", body).await.ok()["connected"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_ended_is_followed_by_another() {
    let backend = Backend::new().await;
    backend.stage.user(PHONE, "Ann");
    let session = session(&request(&backend).await);
    for (code, name) in [(400, "PHONE_CODE_EXPIRED"), (500, "AUTH_RESTART")] {
        let old = backend.code(PHONE);
        let refused = json!({"kind": "error", "code": code, "name": name, "method": "auth.signIn"});
        fault(&backend, refused);
        let body = json!({"session_id": session, "code": old});
        let refused = backend.post("verify-code", body).await;
        assert_eq!(refused.refusal(), (400, "PHONE_CODE_EXPIRED"), "{name}");
        request(&backend).await;
        assert_ne!(backend.code(PHONE), old, "{name}");
    }
    assert_eq!(asked(&backend), (3, 0));
    let restart = json!({"kind": "error", "code": 500, "name": "AUTH_RESTART", "method": "auth.sendCode"});
    fault(&backend, restart);
    let other = json!({"agent_id": 7, "phone": PHONE});
    let other = backend.post("request-code", other).await.ok();
    assert_eq!(other["code_type"], "sms", "begun anew at once");
    let body = json!({"session_id": other["session_id"], "code": backend.code(PHONE)});
    assert_eq!(backend.post("verify-code", body).await.ok()["connected"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_goes_the_next_way_when_its_time_is_over() {
    let backend = Backend::new().await;
    backend.stage.user(PHONE, "Ann");
    plan(&backend, &[Way::Sms, Way::MissedCall]);
    backend.stage.handle().set(Change {
        resend_after: Some(1_000),
        ..Change::default()
    });
    assert_eq!(request(&backend).await["code_type"], "sms");
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    let called = request(&backend).await;
    assert_eq!(called["code_type"], "missed_call");
    assert_eq!(asked(&backend), (1, 1));
    assert_eq!(
        request(&backend).await["code_type"],
        "missed_call",
        "there is no other"
    );
    assert_eq!(asked(&backend), (1, 1));
}
