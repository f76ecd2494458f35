//! Crashes, restarts, and what an endpoint missed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use trunkline::base::Timestamp;
use trunkline::ops::DeadQuery;
use trunkline::store::LaneKind;
use trunkline::webhook::{WebhookConfig, WebhookError};

use super::office::{Office, quick};
use super::receiver::{Answer, Receiver, Seen};

#[tokio::test]
async fn killed_again_and_again_it_loses_nothing() {
    let receiver = Receiver::start(|seen, before| match (seen.message() % 5, before) {
        (0, 0) => Answer::Status(500),
        _ => Answer::Status(200),
    })
    .await;
    let mut office = Office::open(quick()).await;
    office.endpoint(json!({"url": receiver.url()})).await;
    let mut number = 0;
    for round in 0..6u64 {
        for _ in 0..50 {
            office.message(i64::from(number % 5) + 1, number).await;
            number += 1;
        }
        tokio::time::sleep(Duration::from_millis(round * 7)).await;
        office = office.kill_and_restart(None).await;
    }
    office.until_quiet().await;
    let delivered = receiver.delivered();
    assert_eq!(delivered.len(), 300);
    assert!(receiver.ids_with_several_bodies().is_empty());
    let messages: BTreeSet<i64> = receiver.seen().iter().map(Seen::message).collect();
    assert_eq!(messages.len(), 300);
    let (dead, _) = office
        .dead_letters
        .list(&Default::default(), None, 1)
        .expect("lists");
    assert!(dead.is_empty());
    office.stop().await;
}

#[tokio::test]
async fn a_restart_in_order_sends_nothing_twice() {
    let receiver = Receiver::content().await;
    let mut office = Office::open(quick()).await;
    office.endpoint(json!({"url": receiver.url()})).await;
    for round in 0..3 {
        office
            .messages((0..100).map(|number| (number.into(), round * 100 + number)))
            .await;
        office = office.restart().await;
    }
    office.until_quiet().await;
    assert_eq!(receiver.delivered().len(), 300);
    assert_eq!(receiver.seen().len(), 300);
    office.stop().await;
}

#[tokio::test]
async fn what_was_missed_can_be_recovered() {
    let receiver = Receiver::content().await;
    let office = Office::open(quick()).await;
    office.message(1, 1).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let since = Timestamp::now();
    let (endpoint, _) = office.endpoint(json!({"url": receiver.url()})).await;
    office.message(1, 2).await;
    receiver.until("the first", |seen| seen.len() == 1).await;
    office.webhooks.disable(endpoint.id).await.expect("disables");
    office.webhooks.disable(endpoint.id).await.expect("harmless");
    office
        .messages((3..150).map(|number| (i64::from(number % 3), number)))
        .await;
    office
        .until("they went by", || {
            office.webhooks.read() == *office.store.head().borrow()
        })
        .await;
    office.webhooks.enable(endpoint.id).await.expect("enables");
    office.webhooks.recover(endpoint.id, since).await.expect("begins");
    receiver.until("all of them", |seen| seen.len() == 148).await;
    office.until_quiet().await;
    let messages: BTreeSet<i64> = receiver.seen().iter().map(Seen::message).collect();
    assert_eq!(messages, (2..150).collect(), "none from before, none twice");
    assert_eq!(receiver.seen().len(), 148);
    office.stop().await;
}

#[tokio::test]
async fn what_was_given_up_is_recovered_with_the_body_it_had() {
    let broken = Arc::new(AtomicBool::new(true));
    let breaks = broken.clone();
    let receiver = Receiver::start(move |_, _| match breaks.load(Ordering::Relaxed) {
        true => Answer::Status(503),
        false => Answer::Status(200),
    })
    .await;
    let config = WebhookConfig {
        retry_delays: [0, 20].map(trunkline::base::Span::millis).to_vec(),
        ..quick()
    };
    let office = Office::open(config).await;
    let since = Timestamp::now();
    let (endpoint, _) = office.endpoint(json!({"url": receiver.url()})).await;
    office.messages([(1, 1), (2, 2)]).await;
    office.until_quiet().await;
    // one stays a dead letter, the other one's is dropped by somebody
    let (letters, _) = office
        .dead_letters
        .list(&DeadQuery::default(), None, 10)
        .expect("lists");
    assert_eq!(letters.len(), 2);
    assert_eq!(
        office.dead_letters.drop(&[letters[0].id]).await.expect("drops"),
        1
    );
    *office.team.lock().expect("no panic") = "south";
    broken.store(false, Ordering::Relaxed);
    office.webhooks.recover(endpoint.id, since).await.expect("begins");
    receiver
        .until("both arrive", |seen| {
            seen.iter().filter(|seen| seen.answered == Some(200)).count() == 2
        })
        .await;
    office.until_quiet().await;
    assert_eq!(receiver.seen().len(), 6);
    assert_eq!(receiver.ids_with_several_bodies(), BTreeSet::new());
    office.stop().await;
}

#[tokio::test]
async fn of_a_deleted_endpoint_nothing_is_left() {
    let receiver = Receiver::start(|_, _| Answer::Status(500)).await;
    let office = Office::open(quick()).await;
    let (endpoint, _) = office.endpoint(json!({"url": receiver.url()})).await;
    office
        .messages((0..100).map(|number| (number.into(), number)))
        .await;
    receiver.until("some tries", |seen| seen.len() > 20).await;
    let (deliveries, _) = office
        .webhooks
        .deliveries(endpoint.id, None, 1)
        .expect("deliveries");
    office.webhooks.delete(endpoint.id).await.expect("deletes");
    assert!(matches!(
        office.webhooks.get(endpoint.id),
        Err(WebhookError::NotFound(_))
    ));
    assert!(matches!(
        office.webhooks.delivery(deliveries[0].id),
        Err(WebhookError::NotFound(_))
    ));
    office
        .until("all is cleared away", || {
            office.store.lane_stats(LaneKind::Webhook).depth == 0
        })
        .await;
    let tries = receiver.seen().len();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(receiver.seen().len(), tries);
    let office = office.restart().await;
    assert!(office.webhooks.list().expect("lists").is_empty());
    office.stop().await;
}
