//! Forwarding pairs over the API.

use serde_json::json;
use trunkline::access::Scope;
use trunkline::model::ChatId;
use trunkline::sandbox::world::Peer;
use trunkline::sandbox::world::posting::Draft;

use super::caller::{Caller, id, said};
use crate::stage::{Stage, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_is_made_paused_resumed_and_deleted() {
    let stage = Stage::new().await;
    let ann = stage.user("+989120000001", "Ann");
    let add = |title: &str| {
        stage
            .world
            .world(|world| world.add_channel(None, ann, title, true, &[]))
    };
    let (news, copies) = (add("News").expect("a channel"), add("Copies").expect("a channel"));
    let daemon = stage.daemon().await;
    let session = stage.log_in(&daemon, "+989120000001").await;
    let manager = Caller::new(&daemon, Scope::Manage, None).await;
    let path = format!("/api/sessions/{session}");
    let public = manager.get(&path).await.ok()["session_id"].clone();

    let chats = manager.items(&format!("{path}/chats")).await;
    let numbers: Vec<_> = chats.iter().map(|chat| chat["id"].clone()).collect();
    let (from, to) = (json!(ChatId::channel(news)), json!(ChatId::channel(copies)));
    assert!(numbers.contains(&from) && numbers.contains(&to), "{chats:?}");
    let found = manager.items(&format!("{path}/chats?query=news")).await;
    assert_eq!((found.len(), &found[0]["title"]), (1, &json!("News")));

    let body = json!({
        "name": "news",
        "source": {"session": public, "chat": from},
        "destination": {"session": session, "chat": to},
    });
    let made = manager.post("/api/pairs", body.clone()).await;
    assert_eq!(made.status, 201, "{made:?}");
    let made = made.ok();
    assert_eq!(
        (&made["kind"], &made["mode"], &made["state"]),
        (&json!("t2t"), &json!("copy"), &json!("running"))
    );
    assert_eq!(made["source"]["session"], json!(session), "a public id works too");
    let back = json!({"source": body["destination"], "destination": body["source"]});
    assert_eq!(
        manager.post("/api/pairs", back).await.refusal(),
        (409, "PAIR_LOOP")
    );
    let rules = json!({"source": body["source"], "destination": body["destination"], "rules": {"colour": 1}});
    assert_eq!(
        manager.post("/api/pairs", rules).await.body["details"]["field"],
        "rules.colour"
    );

    let post = |text: &str| {
        let posted = stage
            .world
            .world(|world| world.post(ann, Peer::Channel(news), Draft::text(text)));
        posted.expect("posted");
    };
    post("one");
    until("it is copied", || said(&stage, ann, "one") == 2).await;
    let pair = format!("/api/pairs/{}", id(&made));
    for _ in 0..2 {
        assert_eq!(
            manager.post(&format!("{pair}/pause"), json!({})).await.ok()["state"],
            "paused"
        );
    }
    post("two");
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(said(&stage, ann, "two"), 1);
    for _ in 0..2 {
        assert_eq!(
            manager.post(&format!("{pair}/resume"), json!({})).await.ok()["state"],
            "running"
        );
    }
    until("it is copied", || said(&stage, ann, "two") == 2).await;
    let patched = manager.patch(&pair, json!({"silent": true})).await.ok();
    assert_eq!(
        (&patched["silent"], &patched["name"]),
        (&json!(true), &json!("news"))
    );
    assert_eq!(
        manager.patch(&pair, json!({"source": {}})).await.refusal(),
        (400, "INVALID_REQUEST")
    );

    let restart = format!("/api/admin/pairs/{}/restart", id(&made));
    assert_eq!(
        manager.post(&restart, json!({})).await.refusal(),
        (403, "FORBIDDEN")
    );
    Caller::new(&daemon, Scope::Admin, None)
        .await
        .post(&restart, json!({}))
        .await
        .ok();
    let bound = Caller::new(
        &daemon,
        Scope::Manage,
        Some(&[trunkline::base::SessionId::generate()]),
    )
    .await;
    assert_eq!(bound.get(&pair).await.refusal(), (404, "NOT_FOUND"));
    assert!(bound.items("/api/pairs").await.is_empty());
    for _ in 0..2 {
        manager.delete(&pair).await.ok();
    }
    assert!(manager.items("/api/pairs").await.is_empty());
}
