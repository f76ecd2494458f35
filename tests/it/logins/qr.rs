//! Login by QR.

use reqwest::Method;
use serde_json::{Value, json};
use trunkline::base::Span;
use trunkline::sandbox::world::settings::Change;

use super::backend::{Backend, session};
use crate::stage::{Stage, state, until};

const PHONE: &str = "+989120000001";

/// Has tokens live for this long.
fn tokens_live(backend: &Backend, milliseconds: i64) {
    backend.stage.handle().set(Change {
        login_token_life: Some(milliseconds),
        ..Change::default()
    });
}

fn url(answer: &Value) -> String {
    answer["login_url"].as_str().expect("a link").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_logs_in_by_qr() {
    let backend = Backend::new().await;
    let ann = backend.stage.user(PHONE, "Ann");
    let asked = json!({"agent_id": 123, "metadata": {"team": 7}});
    let shown = backend.post("request-qr", asked.clone()).await.ok();
    let session = session(&shown);
    let documented = json!({
        "success": true, "session_id": session, "qr_code": shown["qr_code"], "expires_in": shown["expires_in"],
        "login_url": shown["login_url"], "qr_expires_in": shown["qr_expires_in"]
    });
    assert_eq!(shown, documented);
    assert!(
        shown["expires_in"]
            .as_u64()
            .is_some_and(|left| (290..=300).contains(&left))
    );
    assert!(
        shown["qr_expires_in"]
            .as_u64()
            .is_some_and(|left| (20..=31).contains(&left))
    );
    let picture = shown["qr_code"].as_str().expect("a picture");
    assert!(
        picture.starts_with("data:image/png;base64,iVBOR"),
        "a PNG: {picture}"
    );
    let again = backend.post("request-qr", asked).await.ok();
    assert_eq!(
        (&again["session_id"], &again["login_url"]),
        (&shown["session_id"], &shown["login_url"]),
        "the same request, the same answer"
    );

    let status = backend.get(&format!("status/{session}")).await.ok();
    assert_eq!(
        (&status["login_step"], &status["connected"], &status["qr_code"]),
        (&json!("display_qr"), &json!(false), &shown["qr_code"])
    );
    let told = backend.get(&format!("qr/{session}")).await.ok();
    assert_eq!(told["login_url"], shown["login_url"]);
    let path = format!("/api/telegram/qr/{session}");
    let get = async |path: &str, accept: &str| {
        let request = backend.caller.request(Method::GET, path).header("accept", accept);
        let answer = request.send().await.expect("an answer");
        let kind = answer.headers()["content-type"]
            .to_str()
            .expect("a type")
            .to_owned();
        (kind, answer.bytes().await.expect("a body"))
    };
    let (kind, bytes) = get(&path, "image/png").await;
    assert_eq!((kind.as_str(), &bytes[1..4]), ("image/png", &b"PNG"[..]));
    let (kind, bytes) = get(&format!("{path}?format=raw"), "*/*").await;
    assert!(kind.starts_with("text/plain"), "{kind}");
    assert_eq!(bytes, url(&shown).as_bytes());

    let phone = backend.stage.handle();
    phone.accept_login(ann, &url(&shown)).expect("scanned");
    backend.connected(&session).await;
    let status = backend.get(&format!("status/{session}")).await.ok();
    assert_eq!(
        (&status["connected"], &status["user_id"], &status["phone"]),
        (&json!(true), &json!(ann), &json!(PHONE))
    );
    assert_eq!(
        (&status["login_step"], &status["qr_code"]),
        (&Value::Null, &Value::Null)
    );
    let late = backend.get(&format!("qr/{session}")).await;
    assert_eq!(late.refusal(), (409, "LOGIN_STEP"));
    assert_eq!(late.body["details"]["step"], "complete");
    let gone = backend
        .post("disconnect", json!({"session_id": session}))
        .await
        .ok();
    assert_eq!(gone["success"], true);
    assert!(
        phone.logins(ann).expect("known").is_empty(),
        "logged out at Telegram too"
    );
    backend.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_qr_is_followed_by_the_next_and_the_present_one_works() {
    let backend = Backend::new().await;
    let ann = backend.stage.user(PHONE, "Ann");
    tokens_live(&backend, 2_000);
    let shown = backend.post("request-qr", json!({"agent_id": 1})).await.ok();
    let session = session(&shown);
    let id = backend.daemon.handles.telegram.find(&session).expect("known");
    let present = || {
        let account = backend.daemon.handles.telegram.view(id).expect("known").account;
        account.login.and_then(|login| login.qr).map(|qr| qr.url())
    };
    until("the QR was renewed", || {
        present().is_some_and(|now| now != url(&shown))
    })
    .await;
    let second = present();
    until("and again", || present().is_some() && present() != second).await;
    // An update that gets lost costs no more than the life of a token.
    let gap = json!({"kind": "gap", "account": ann, "times": 1});
    let phone = backend.stage.handle();
    phone
        .fault(serde_json::from_value(gap).expect("a fault"))
        .expect("taken");
    let told = backend.get(&format!("qr/{session}")).await.ok();
    phone.accept_login(ann, &url(&told)).expect("scanned");
    backend.connected(&session).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_qr_login_goes_on_where_the_account_lives() {
    let backend = Backend::with(Stage::with_centres(&[2, 4]).await, |_| {}).await;
    let (ann, bob) = (
        backend.stage.user(PHONE, "Ann"),
        backend.stage.user("+989120000002", "Bob"),
    );
    let phone = backend.stage.handle();
    phone.set_home(ann, 4).expect("there is one");
    phone.set_home(bob, 4).expect("there is one");
    phone.set_password(bob, "a cat", "miaow").expect("set");
    let shown = backend.post("request-qr", json!({"agent_id": 1})).await.ok();
    phone.accept_login(ann, &url(&shown)).expect("scanned");
    backend.connected(&session(&shown)).await;
    let id = backend
        .daemon
        .handles
        .telegram
        .find(&session(&shown))
        .expect("known");
    assert_eq!(crate::stage::view(&backend.daemon, id).dc, Some(4));

    let shown = backend.post("request-qr", json!({"agent_id": 2})).await.ok();
    phone.accept_login(bob, &url(&shown)).expect("scanned");
    let session = session(&shown);
    let id = backend.daemon.handles.telegram.find(&session).expect("known");
    let step = || {
        crate::stage::view(&backend.daemon, id)
            .account
            .login
            .map(|login| login.step)
    };
    until("the password is wanted", || {
        step() == Some(trunkline::model::LoginStep::InputPassword)
    })
    .await;
    let body = json!({"session_id": session, "password": "a cat"});
    assert_eq!(backend.post("verify-password", body).await.ok()["user_id"], bob);
    backend.connected(&session).await;

    // By code, too.
    let cleo = backend.stage.user("+989120000003", "Cleo");
    phone.set_home(cleo, 4).expect("there is one");
    let session = backend.request_code(3, "+989120000003").await;
    let body = json!({"session_id": session, "code": backend.code("+989120000003")});
    assert_eq!(backend.post("verify-code", body).await.ok()["user_id"], cleo);
    backend.connected(&session).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_takes_whichever_comes_first() {
    let backend = Backend::new().await;
    let ann = backend.stage.user(PHONE, "Ann");
    let bob = backend.stage.user("+989120000002", "Bob");
    let both = json!({"agent_id": 1, "phone": PHONE});
    let shown = backend.post("request-qr", both).await.ok();
    let body = json!({"session_id": shown["session_id"], "code": backend.code(PHONE)});
    assert_eq!(backend.post("verify-code", body).await.ok()["user_id"], ann);

    let both = json!({"agent_id": 2, "phone": "+989120000002"});
    let shown = backend.post("request-qr", both).await.ok();
    backend
        .stage
        .handle()
        .accept_login(bob, &url(&shown))
        .expect("scanned");
    backend.connected(&session(&shown)).await;

    let shown = backend.post("request-qr", json!({"agent_id": 3})).await.ok();
    let by_code = json!({"session_id": shown["session_id"], "code": "12345"});
    let early = backend.post("verify-code", by_code).await;
    assert_eq!(early.refusal(), (409, "LOGIN_STEP"));
    assert_eq!(early.body["details"]["step"], "display_qr");
    let on = json!({"session_id": shown["session_id"], "phone": PHONE});
    let sent = backend.post("request-code", on).await.ok();
    assert_eq!(
        (&sent["session_id"], &sent["code_type"]),
        (&shown["session_id"], &json!("app"))
    );
    let no_qr = backend.get(&format!("qr/{}", session(&shown))).await;
    assert_eq!(no_qr.refusal(), (409, "LOGIN_STEP"));
    let body = json!({"session_id": shown["session_id"], "code": backend.code(PHONE)});
    assert_eq!(backend.post("verify-code", body).await.ok()["user_id"], ann);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_qr_that_nobody_scans_leaves_nothing() {
    let backend = Backend::with(Stage::new().await, |config| {
        config.telegram.login_expires = Span::secs(1);
    })
    .await;
    backend.stage.user(PHONE, "Ann");
    tokens_live(&backend, 1_500);
    let shown = backend.post("request-qr", json!({"agent_id": 1})).await.ok();
    backend.empty().await;
    let late = backend.get(&format!("qr/{}", session(&shown))).await;
    assert_eq!(late.refusal(), (410, "LOGIN_EXPIRED"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_qr_login_survives_a_broken_connection() {
    let backend = Backend::new().await;
    let ann = backend.stage.user(PHONE, "Ann");
    let shown = backend.post("request-qr", json!({"agent_id": 1})).await.ok();
    let session = session(&shown);
    let phone = backend.stage.handle();
    let cut = serde_json::from_value(json!({"kind": "outage", "milliseconds": 800})).expect("a fault");
    phone.fault(cut).expect("taken");
    phone
        .accept_login(ann, &url(&shown))
        .expect("scanned while nobody was there to be told");
    backend.connected(&session).await;
    let id = backend.daemon.handles.telegram.find(&session).expect("known");
    assert!(state(&backend.daemon, id).is_connected());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_qr_that_is_scanned_after_its_login_was_given_up_leaves_no_login() {
    let backend = Backend::with(Stage::with_centres(&[2, 4]).await, |_| {}).await;
    let ann = backend.stage.user(PHONE, "Ann");
    let bob = backend.stage.user("+989120000002", "Bob");
    let phone = backend.stage.handle();
    phone.set_home(bob, 4).expect("there is one");
    tokens_live(&backend, 8_000);
    for (agent, user) in [(1, ann), (2, bob)] {
        let shown = backend.post("request-qr", json!({"agent_id": agent})).await.ok();
        let cancel = format!("/api/sessions/{}/login/cancel", session(&shown));
        backend.caller.post(&cancel, json!({})).await.ok();
        backend.empty().await;
        phone.accept_login(user, &url(&shown)).expect("it is still taken");
        assert_eq!(phone.logins(user).expect("known").len(), 1);
    }
    // What is left to do is not forgotten by a restart.
    let Backend { stage, daemon, .. } = backend;
    daemon.stop(std::time::Duration::from_secs(10)).await;
    let daemon = stage.daemon().await;
    until("nobody is logged in", || {
        [ann, bob]
            .iter()
            .all(|user| phone.logins(*user).expect("known").is_empty())
    })
    .await;
    let store = &daemon.handles.store;
    until("no key is kept", || {
        store.count::<super::backend::SpareKeys>().expect("counted") == 0
    })
    .await;
}
