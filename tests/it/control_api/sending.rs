//! Sending over the API: once for each name, whatever happens in between.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use trunkline::access::{NewKey, Scope};
use trunkline::base::{EndpointId, KeyId, Owner, PairId, SessionId};
use trunkline::forward::{NewPair, Place};
use trunkline::model::ChatId;
use trunkline::ops::audit::Initiator;
use trunkline::telegram::NewAccount;

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

#[tokio::test(flavor = "multi_thread")]
async fn what_a_named_request_made_is_found_again_after_a_restart() {
    let stage = Stage::new().await;
    let ann = stage.user("+989120000001", "Ann");
    let chats = ["News", "Copies"].map(|title| {
        let made = stage
            .world
            .world(|world| world.add_channel(None, ann, title, true, &[]));
        ChatId::channel(made.expect("a channel"))
    });
    let daemon = stage.daemon().await;
    let session = stage.log_in(&daemon, "+989120000001").await;
    let place = |chat: ChatId| json!({"session": session, "chat": chat});
    let requests = [
        ("/api/sessions", json!({"name": "second", "agent_id": 7})),
        (
            "/api/pairs",
            json!({"source": place(chats[0]), "destination": place(chats[1])}),
        ),
        (
            "/api/webhooks/endpoints",
            json!({"url": "https://1.1.1.1/", "events": ["message.new"]}),
        ),
        ("/api/keys", json!({"name": "crm", "scopes": ["read"]})),
    ];
    let admin = Caller::new(&daemon, Scope::Admin, None).await;
    let path = format!("/api/sessions/{session}/messages");
    let text = json!({"chat": chats[1], "text": "once"});
    let mut made = Vec::new();
    for (at, (path, body)) in requests.iter().enumerate() {
        let first = named(&admin, path, "n-1", body).await;
        assert_eq!(first.status, 201, "{first:?}");
        made.push(first.ok());
        let again = named(&admin, path, "n-1", body).await;
        assert_eq!(again.body["id"], made[at]["id"]);
    }
    let sent = named(&admin, &path, "n-1", &text).await.ok();

    let key = admin.key.clone();
    daemon.stop(std::time::Duration::from_secs(20)).await;
    let daemon = stage.daemon().await;
    let admin = Caller::with_key(&daemon, &key).await;
    for ((path, body), first) in requests.iter().zip(&made) {
        let again = named(&admin, path, "n-1", body).await;
        let secret = first.get("secret").or(first.get("key"));
        assert_eq!(
            again.status,
            if secret.is_some() { 200 } else { 201 },
            "{again:?}"
        );
        assert_eq!(
            again.body.get("secret_shown").is_some(),
            secret.is_some(),
            "{again:?}"
        );
        let mut wanted = first.clone();
        let fields = wanted.as_object_mut().expect("an object");
        if secret.is_some() {
            fields.remove("secret");
            fields.remove("key");
            fields.insert("secret_shown".to_owned(), true.into());
        }
        assert_eq!(again.body, wanted);
        let listed = admin.items(path).await;
        let same = listed.iter().filter(|item| item["id"] == first["id"]);
        assert_eq!(same.count(), 1, "{path}");
    }
    assert_eq!(admin.items("/api/sessions").await.len(), 2);
    assert_eq!(admin.items("/api/pairs").await.len(), 1);
    assert_eq!(admin.items("/api/webhooks/endpoints").await.len(), 1);
    let again = named(&admin, &path, "n-1", &text).await.ok();
    assert_eq!(again, sent);
    assert_eq!(said(&stage, ann, "once"), 1);
}

/// A daemon that is killed after the effect and before its answer is stored carries the repeat out again, under the
/// same names.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_under_a_name_is_not_made_twice() {
    let stage = Stage::new().await;
    let ann = stage.user("+989120000001", "Ann");
    let chats = ["News", "Copies"].map(|title| {
        let made = stage
            .world
            .world(|world| world.add_channel(None, ann, title, true, &[]));
        ChatId::channel(made.expect("a channel"))
    });
    let daemon = stage.daemon().await;
    let session = stage.log_in(&daemon, "+989120000001").await;
    let handles = &daemon.handles;
    let add = async || {
        let new = NewAccount {
            id: Some(SessionId::from_bytes([1; 16])),
            agent_id: Some(7),
            ..NewAccount::default()
        };
        handles.telegram.add(new).await.expect("added").account
    };
    let (first, again) = (add().await, add().await);
    assert_eq!((first.id, first.uuid), (again.id, again.uuid));
    let join = async || {
        let place = |chat| Place {
            session,
            chat,
            topic: None,
        };
        let new: NewPair = serde_json::from_value(json!({
            "name": "", "kind": "t2t", "source": place(chats[0]), "destination": place(chats[1]), "mode": "copy",
            "silent": false, "delay": 0, "rules": {}, "on_edit": "edit", "on_delete": "delete"
        }))
        .expect("a pair");
        let id = Some(PairId::from_bytes([2; 16]));
        let made = handles.pairs.create_as(id, new, Owner::admin()).await;
        made.expect("made").id
    };
    assert_eq!(join().await, join().await);
    assert_eq!(handles.pairs.list().expect("listed").len(), 1);
    let listen = async || {
        let new = serde_json::from_value(json!({"url": "https://1.1.1.1/"})).expect("an endpoint");
        let id = Some(EndpointId::from_bytes([3; 16]));
        let made = handles.webhooks.create_as(id, Owner::admin(), new).await;
        let (endpoint, secret) = made.expect("made");
        (endpoint.id, secret.expose().to_owned())
    };
    assert_eq!(listen().await, listen().await, "nobody has seen the secret yet");
    assert_eq!(handles.webhooks.list().expect("listed").len(), 1);
    let issue = async || {
        let new = NewKey {
            name: "crm".to_owned(),
            scopes: BTreeSet::from([Scope::Read]),
            sessions: None,
            expires_at: None,
            owner: Owner::admin(),
        };
        let id = Some(KeyId::from_bytes([4; 16]));
        handles
            .access
            .create_as(id, new, Initiator::daemon())
            .await
            .expect("made")
    };
    let ((first, lost), (again, text)) = (issue().await, issue().await);
    assert_eq!(first.id, again.id);
    assert!(handles.access.authenticate(lost.expose()).await.is_err());
    assert!(handles.access.authenticate(text.expose()).await.is_ok());
}
