//! What a receiver gets when all is well, and what it must never get.

use std::time::{Duration, Instant};

use serde_json::json;
use trunkline::base::{Coded, Owner};
use trunkline::model::EventBody;
use trunkline::webhook::{ConfiguredEndpoint, EndpointPatch, WebhookConfig};

use super::office::{Office, quick, session};
use super::receiver::{Answer, Receiver, Seen};

fn verified(seen: &Seen, secret: &str) -> bool {
    let mut headers = reqwest::header::HeaderMap::new();
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        headers.insert(name, seen.header(name).parse().expect("a header"));
    }
    let verifier = standardwebhooks::Webhook::new(secret).expect("a secret");
    verifier.verify(&seen.body, &headers).is_ok()
}

#[tokio::test]
async fn messages_arrive_signed_and_each_chat_in_order() {
    let receiver = Receiver::content().await;
    let office = Office::open(quick()).await;
    let (endpoint, secret) = office
        .endpoint(json!({"url": receiver.url(), "events": ["message.*"]}))
        .await;
    office
        .messages((0..200).map(|number| (i64::from(number % 7) + 1, number)))
        .await;
    office.happens(EventBody::SessionRestored).await;
    office.until_quiet().await;
    let seen = receiver.seen();
    assert_eq!(seen.len(), 200, "each once, and nothing that was not asked for");
    for chat in 1..=7 {
        let ids: Vec<i64> = seen
            .iter()
            .filter(|seen| seen.chat() == chat)
            .map(Seen::message)
            .collect();
        assert!(ids.is_sorted(), "chat {chat}: {ids:?}");
    }
    assert!(seen.iter().all(|seen| verified(seen, &secret)));
    let first = &seen[0];
    assert!(first.id().starts_with("dlv_") && !first.id().contains('.'));
    assert_eq!(first.header("content-type"), "application/json");
    let body = first.json();
    assert_eq!(body["type"], "message.new");
    assert_eq!(body["session"], session().to_string());
    assert_eq!(body["metadata"], json!({"team": "north"}));
    let stats = office.webhooks.stats(endpoint.id).expect("stats");
    assert_eq!((stats.delivered, stats.failed, stats.pending), (200, 0, 0));
    let (page, next) = office
        .webhooks
        .deliveries(endpoint.id, None, 150)
        .expect("deliveries");
    let (rest, end) = office
        .webhooks
        .deliveries(endpoint.id, next, 150)
        .expect("deliveries");
    assert_eq!((page.len(), rest.len(), end), (150, 50, None));
    let detail = office.webhooks.delivery(page[0].id).expect("a delivery");
    assert_eq!(detail.tries.len(), 1);
    assert_eq!(detail.tries[0].answer, "status 200");
    office.stop().await;
}

#[tokio::test]
async fn after_rotations_every_secret_of_the_last_day_verifies() {
    let receiver = Receiver::content().await;
    let office = Office::open(quick()).await;
    let (endpoint, old) = office.endpoint(json!({"url": receiver.url()})).await;
    let second = office.webhooks.rotate_secret(endpoint.id).await.expect("rotates");
    let new = office.webhooks.rotate_secret(endpoint.id).await.expect("rotates");
    office.message(1, 1).await;
    let seen = receiver.until("one request", |seen| !seen.is_empty()).await;
    assert!(
        verified(&seen[0], &old) && verified(&seen[0], second.expose()) && verified(&seen[0], new.expose())
    );
    let office = office.restart().await;
    office.message(1, 2).await;
    let seen = receiver.until("another", |seen| seen.len() == 2).await;
    assert!(verified(&seen[1], &old) && verified(&seen[1], new.expose()));
    office.stop().await;
}

#[tokio::test]
async fn the_agents_backend_is_set_up_by_the_configuration() {
    let receiver = Receiver::content().await;
    let endpoint: ConfiguredEndpoint = serde_json::from_value(json!({
        "name": "crm",
        "url": format!("http://{}/api/webhooks/telegram/{{agent_id}}", receiver.address),
        "shape": "agent",
        "bearer": "token-1",
    }))
    .expect("fits");
    let config = WebhookConfig {
        endpoints: vec![endpoint],
        allowed_networks: Vec::new(),
        ..quick()
    };
    let office = Office::open(config).await;
    office.message(9, 1).await;
    office
        .happens(EventBody::SessionLost {
            reason: "network".to_owned(),
        })
        .await;
    office
        .happens(EventBody::SessionLogin {
            step: "complete".to_owned(),
        })
        .await;
    office.until_quiet().await;
    let seen = receiver.seen();
    assert_eq!(seen.len(), 2);
    for seen in &seen {
        assert_eq!(seen.path, "/api/webhooks/telegram/123");
        assert_eq!(seen.header("authorization"), "Bearer token-1");
        assert_eq!(seen.json()["session_id"], "00000000-0000-0000-0000-000000000007");
    }
    assert!(seen.iter().any(|seen| seen.json()["event"] == "new_message"));
    assert!(seen.iter().any(|seen| seen.json()["event"] == "connection_lost"));
    let listed = office.webhooks.list().expect("lists");
    assert_eq!(listed.len(), 1);
    let id = listed[0].id;
    let secret = office
        .webhooks
        .configured_secret(id, trunkline::ops::audit::Initiator::daemon())
        .await
        .expect("readable")
        .expect("is configured");
    assert!(verified(&seen[0], secret.expose()));
    let patch = EndpointPatch {
        url: Some("https://example.org/".to_owned()),
        ..EndpointPatch::default()
    };
    assert!(
        office.webhooks.patch(id, patch).await.is_err(),
        "the configuration decides"
    );
    assert!(office.webhooks.delete(id).await.is_err());
    // taken out of the configuration, it rests; back in, it goes on
    let office = office.kill_and_restart(Some(quick())).await;
    let rested = office.webhooks.get(id).expect("is there");
    assert_eq!(rested.reason.as_deref(), Some("not_configured"));
    office.stop().await;
}

#[tokio::test]
async fn only_public_addresses_and_allowed_networks_are_called() {
    let receiver = Receiver::content().await;
    let strict = WebhookConfig {
        allowed_networks: Vec::new(),
        ..quick()
    };
    let office = Office::open(strict).await;
    for url in [
        receiver.url(),
        format!("https://{}/", receiver.address),
        "https://localhost/".to_owned(),
        "https://169.254.169.254/latest/meta-data".to_owned(),
        "https://[::ffff:10.0.0.1]/".to_owned(),
        "https://2130706433/".to_owned(),
        "http://example.org/".to_owned(),
        "file:///etc/passwd".to_owned(),
    ] {
        let new = serde_json::from_value(json!({"url": url})).expect("fits");
        let refused = office.webhooks.create(Owner::admin(), new).await.expect_err(&url);
        assert_eq!(refused.code().as_str(), "ADDRESS_FORBIDDEN", "{url}");
    }
    // an endpoint from better times is not called any more either, and says why
    let office = office.kill_and_restart(Some(quick())).await;
    let (endpoint, _) = office.endpoint(json!({"url": receiver.url()})).await;
    let strict = WebhookConfig {
        allowed_networks: Vec::new(),
        ..quick()
    };
    let office = office.kill_and_restart(Some(strict)).await;
    office.message(1, 1).await;
    office
        .until("a refused try", || {
            office
                .webhooks
                .stats(endpoint.id)
                .is_ok_and(|stats| stats.failed > 0)
        })
        .await;
    let stats = office.webhooks.stats(endpoint.id).expect("stats");
    assert_eq!(
        stats.last_error.expect("an error").error,
        "the address may not be called"
    );
    assert!(receiver.seen().is_empty());
    office.stop().await;
}

#[tokio::test]
async fn a_slow_receiver_costs_the_others_nothing() {
    let slow = Receiver::start(|_, _| Answer::Slow(Duration::from_millis(300))).await;
    let quick_one = Receiver::content().await;
    let office = Office::open(quick()).await;
    office.endpoint(json!({"url": slow.url()})).await;
    office.endpoint(json!({"url": quick_one.url()})).await;
    let since = Instant::now();
    office.messages((0..100).map(|number| (1, number))).await;
    quick_one
        .until("all at the quick one", |seen| seen.len() == 100)
        .await;
    assert!(since.elapsed() < Duration::from_secs(3), "{:?}", since.elapsed());
    assert!(slow.seen().len() < 20, "one at a time for one chat");
    office.stop().await;
}

#[tokio::test]
async fn a_patched_endpoint_gets_what_it_wants_now() {
    let (old, new) = (Receiver::content().await, Receiver::content().await);
    let office = Office::open(quick()).await;
    let (endpoint, _) = office
        .endpoint(json!({"url": old.url(), "events": ["message.new"]}))
        .await;
    office.message(1, 1).await;
    office.until_quiet().await;
    let patch = serde_json::from_value(json!({
        "url": new.url(), "shape": "bot_api", "order": "none", "secret_token": "abc",
        "sessions": [session().to_string()],
    }));
    let patched = office
        .webhooks
        .patch(endpoint.id, patch.expect("fits"))
        .await
        .expect("is changed");
    assert_eq!(patched.events, ["message.new"]);
    office.message(1, 2).await;
    let seen = new.until("one request", |seen| !seen.is_empty()).await;
    assert_eq!(seen[0].json()["message"]["message_id"], 2);
    assert_eq!(seen[0].header("x-telegram-bot-api-secret-token"), "abc");
    assert_eq!(old.seen().len(), 1);
    office.stop().await;
}

#[tokio::test]
async fn an_example_can_be_asked_for() {
    let receiver = Receiver::content().await;
    let office = Office::open(quick()).await;
    let (endpoint, _) = office
        .endpoint(json!({"url": receiver.url(), "events": ["message.new"]}))
        .await;
    let delivery = office
        .webhooks
        .send_example(endpoint.id, Some("session.expired"))
        .await
        .expect("is sent");
    let seen = receiver.until("one request", |seen| !seen.is_empty()).await;
    assert_eq!(seen[0].id(), delivery.id.to_string());
    assert_eq!(seen[0].json()["type"], "session.expired");
    assert!(
        office
            .webhooks
            .send_example(endpoint.id, Some("no.such"))
            .await
            .is_err()
    );
    office.stop().await;
}
