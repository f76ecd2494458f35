//! Receivers that misbehave: every delivery arrives all the same, or says why not.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use trunkline::base::Timestamp;
use trunkline::ops::DeadQuery;
use trunkline::webhook::{DeliveryState, EndpointState, Trigger, WebhookConfig};

use super::office::{Office, quick};
use super::receiver::{Answer, Receiver, Seen};

#[tokio::test]
async fn whatever_a_receiver_does_first_each_delivery_arrives_under_one_id_with_one_body() {
    let elsewhere = Receiver::content().await;
    let target = elsewhere.url();
    let receiver = Receiver::start(move |seen, before| {
        if before > 0 {
            return Answer::Status(204);
        }
        match seen.message() % 7 {
            0 => Answer::Status(500),
            1 => Answer::Later("0"),
            2 => Answer::Redirect(target.clone()),
            3 => Answer::Slow(Duration::from_millis(900)),
            4 => Answer::Cut,
            5 => Answer::Status(404),
            _ => Answer::Status(100 + 103),
        }
    })
    .await;
    let office = Office::open(quick()).await;
    let (endpoint, _) = office.endpoint(json!({"url": receiver.url()})).await;
    office
        .messages((0..70).map(|number| (i64::from(number) + 1, number)))
        .await;
    office.until_quiet().await;
    assert_eq!(receiver.delivered().len(), 70);
    assert!(receiver.ids_with_several_bodies().is_empty());
    assert!(elsewhere.seen().is_empty(), "redirects are not followed");
    let (deliveries, _) = office
        .webhooks
        .deliveries(endpoint.id, None, 100)
        .expect("deliveries");
    let mut errors = BTreeMap::new();
    for delivery in deliveries {
        assert_eq!(delivery.state, DeliveryState::Delivered);
        let detail = office.webhooks.delivery(delivery.id).expect("a delivery");
        assert_eq!(detail.tries.len() as u32, delivery.attempts);
        if let Some(error) = &detail.tries[0].error {
            *errors.entry(error.clone()).or_insert(0) += 1;
            assert!(detail.tries[0].next_at.is_some());
        }
    }
    let expected = [
        ("answered 302; redirects are not followed", 10),
        ("answered 404", 10),
        ("answered 429", 10),
        ("answered 500", 10),
        ("the connection broke before an answer", 10),
        ("no answer in time", 10),
    ];
    assert_eq!(
        errors,
        expected.map(|(error, count)| (error.to_owned(), count)).into()
    );
    let told = office.told(0);
    let count = |name| told.iter().filter(|told| **told == name).count();
    assert_eq!((count("delivery.failing"), count("delivery.recovered")), (60, 60));
    office.stop().await;
}

#[tokio::test]
async fn an_endless_or_huge_answer_is_cut_and_counts_by_its_status() {
    let receiver = Receiver::start(|seen, _| match seen.message() {
        1 => Answer::Huge(3_000_000),
        _ => Answer::Dawdle,
    })
    .await;
    let office = Office::open(quick()).await;
    let (endpoint, _) = office.endpoint(json!({"url": receiver.url()})).await;
    office.messages([(1, 1), (2, 2)]).await;
    office.until_quiet().await;
    assert_eq!(receiver.seen().len(), 2, "one try each");
    let (deliveries, _) = office
        .webhooks
        .deliveries(endpoint.id, None, 10)
        .expect("deliveries");
    let answers: Vec<usize> = deliveries
        .iter()
        .map(|delivery| {
            office.webhooks.delivery(delivery.id).expect("a delivery").tries[0]
                .answer
                .len()
        })
        .collect();
    assert!(answers.contains(&(20 * 1024)), "{answers:?}");
    office.stop().await;
}

#[tokio::test]
async fn a_failing_delivery_holds_back_its_own_chat_and_not_for_ever() {
    let receiver = Receiver::start(|seen, _| match (seen.chat(), seen.message()) {
        (1, 1) => Answer::Status(500),
        _ => Answer::Status(200),
    })
    .await;
    let hold = Duration::from_millis(700);
    let office = Office::open(WebhookConfig {
        hold: hold.into(),
        ..quick()
    })
    .await;
    office.endpoint(json!({"url": receiver.url()})).await;
    office.messages([(1, 1), (1, 2), (1, 3), (2, 1), (2, 2)]).await;
    let seen = receiver
        .until("the end of the hold", |seen| {
            seen.iter().any(|seen| seen.message() == 3)
        })
        .await;
    let at = |chat, message| {
        let mut of = seen
            .iter()
            .filter(|seen| (seen.chat(), seen.message()) == (chat, message));
        of.next().map(|seen| seen.at).expect("came")
    };
    let failed = at(1, 1);
    assert!(
        at(2, 2) - failed < Duration::from_millis(500),
        "another chat waits for nothing"
    );
    assert!(
        at(1, 2) - failed >= hold - Duration::from_millis(50),
        "its own chat is held"
    );
    assert!(
        at(1, 2) - failed < hold + Duration::from_millis(700),
        "and let go"
    );
    office.stop().await;
}

#[tokio::test]
async fn what_is_given_up_is_a_dead_letter_and_can_be_put_back() {
    let dead_end = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let broken = dead_end.clone();
    let receiver = Receiver::start(
        move |_, _| match broken.load(std::sync::atomic::Ordering::Relaxed) {
            true => Answer::Status(503),
            false => Answer::Status(200),
        },
    )
    .await;
    let config = WebhookConfig {
        retry_delays: [0, 20, 20].map(trunkline::base::Span::millis).to_vec(),
        ..quick()
    };
    let office = Office::open(config).await;
    let (endpoint, _) = office.endpoint(json!({"url": receiver.url()})).await;
    office.messages([(1, 1), (2, 2)]).await;
    office.until_quiet().await;
    assert_eq!(receiver.seen().len(), 6, "three tries each");
    let (letters, next) = office
        .dead_letters
        .list(&DeadQuery::default(), None, 10)
        .expect("lists");
    assert_eq!((letters.len(), next), (2, None));
    let letter = &letters[0];
    assert_eq!(
        (letter.code.as_str(), letter.reason.as_str()),
        ("RECEIVER_REFUSED", "answered 503")
    );
    assert_eq!((letter.kind.as_str(), letter.attempts), ("message.new", 3));
    assert_eq!(letter.subject, endpoint.id.to_string());
    assert!(letter.first_at <= letter.last_at);
    let other = DeadQuery {
        code: Some("OTHER".to_owned()),
        ..DeadQuery::default()
    };
    assert_eq!(office.dead_letters.requeue_all(&other).await.expect("none"), 0);
    // Lanes of pairs and endpoints are told apart by the same bytes.
    for (group, many) in [([7; 16], 0), (endpoint.id.to_bytes(), 2)] {
        let of = DeadQuery {
            pair: Some(trunkline::base::PairId::from_bytes(group)),
            ..DeadQuery::default()
        };
        let (found, _) = office.dead_letters.list(&of, None, 10).expect("lists");
        assert_eq!(found.len(), many);
    }
    dead_end.store(false, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(
        office
            .dead_letters
            .requeue(&[letter.id])
            .await
            .expect("is put back"),
        1
    );
    receiver
        .until("one arrives", |seen| {
            seen.iter().any(|seen| seen.answered == Some(200))
        })
        .await;
    assert_eq!(
        office
            .dead_letters
            .drop_all(&DeadQuery::default())
            .await
            .expect("drops"),
        1
    );
    office.until_quiet().await;
    assert_eq!(receiver.delivered().len(), 1);
    let told = office.told(0);
    let count = |name| told.iter().filter(|told| **told == name).count();
    assert_eq!((count("delivery.exhausted"), count("delivery.recovered")), (2, 1));
    office.stop().await;
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_left_alone_until_it_is_enabled() {
    let gone = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let is_gone = gone.clone();
    let receiver = Receiver::start(
        move |_, _| match is_gone.load(std::sync::atomic::Ordering::Relaxed) {
            true => Answer::Status(410),
            false => Answer::Status(200),
        },
    )
    .await;
    let witness = Receiver::content().await;
    let office = Office::open(quick()).await;
    let (endpoint, _) = office
        .endpoint(json!({"url": receiver.url(), "events": ["*"]}))
        .await;
    office
        .endpoint(json!({"url": witness.url(), "events": ["endpoint.*", "incident.*"]}))
        .await;
    office.message(1, 1).await;
    office
        .until("it is disabled", || {
            office
                .webhooks
                .get(endpoint.id)
                .is_ok_and(|endpoint| endpoint.state == EndpointState::Disabled)
        })
        .await;
    assert_eq!(
        office
            .webhooks
            .get(endpoint.id)
            .expect("is there")
            .reason
            .as_deref(),
        Some("gone")
    );
    let (open, _) = office.incidents.list(true, None, 10).expect("lists");
    assert_eq!(open.len(), 1);
    assert_eq!(
        (open[0].kind.as_str(), open[0].subject.as_str()),
        ("endpoint_disabled", &*endpoint.id.to_string())
    );
    office.message(1, 2).await;
    let heard = witness.until("others hear of it", |seen| seen.len() == 2).await;
    let kinds: Vec<String> = heard.iter().map(|seen| seen.json()["type"].to_string()).collect();
    assert!(kinds.contains(&"\"endpoint.disabled\"".to_owned()), "{kinds:?}");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(receiver.seen().len(), 1, "it is left alone");
    let refused = office.webhooks.recover(endpoint.id, Timestamp(0)).await;
    assert!(refused.is_err(), "enable it first");
    gone.store(false, std::sync::atomic::Ordering::Relaxed);
    let enabled = office.webhooks.enable(endpoint.id).await.expect("enables");
    assert_eq!((enabled.state, enabled.reason), (EndpointState::Active, None));
    receiver
        .until("what waited arrives", |seen| {
            seen.iter().any(|seen| seen.answered == Some(200))
        })
        .await;
    assert_eq!(office.incidents.open_count().expect("counts"), 0);
    assert!(
        receiver.seen().iter().all(|seen| !seen.json()["type"]
            .as_str()
            .is_some_and(|kind| { kind.starts_with("delivery.") || kind.starts_with("endpoint.") })),
        "it never hears of itself"
    );
    office.stop().await;
}

#[tokio::test]
async fn an_endpoint_that_only_fails_is_disabled_in_the_end() {
    let receiver = Receiver::start(|_, _| Answer::Status(500)).await;
    let config = WebhookConfig {
        disable_after: Duration::from_millis(500).into(),
        ..quick()
    };
    let office = Office::open(config).await;
    let (endpoint, _) = office.endpoint(json!({"url": receiver.url()})).await;
    office.message(1, 1).await;
    office
        .until("it is disabled", || {
            office
                .webhooks
                .get(endpoint.id)
                .is_ok_and(|endpoint| endpoint.reason.as_deref() == Some("failing"))
        })
        .await;
    assert!(office.told(0).contains(&"endpoint.disabled"));
    assert_eq!(office.incidents.open_count().expect("counts"), 1);
    office.stop().await;
}

#[tokio::test]
async fn one_can_be_sent_again_whether_it_waits_failed_or_arrived() {
    let receiver = Receiver::start(|seen: &Seen, before| match (seen.message(), before) {
        (1, 0) => Answer::Status(500),
        _ => Answer::Status(200),
    })
    .await;
    let config = WebhookConfig {
        retry_delays: [trunkline::base::Span::millis(0), trunkline::base::Span::secs(600)].to_vec(),
        ..quick()
    };
    let office = Office::open(config).await;
    let (endpoint, _) = office.endpoint(json!({"url": receiver.url()})).await;
    office.message(1, 1).await;
    receiver.until("the failure", |seen| seen.len() == 1).await;
    office
        .until("it is noted", || {
            office
                .webhooks
                .stats(endpoint.id)
                .is_ok_and(|stats| stats.failed == 1)
        })
        .await;
    let (deliveries, _) = office
        .webhooks
        .deliveries(endpoint.id, None, 10)
        .expect("deliveries");
    let id = deliveries[0].id;
    office.webhooks.resend(id).await.expect("is sent again");
    receiver.until("the second try", |seen| seen.len() == 2).await;
    office.until_quiet().await;
    // what was tried keeps its form, whatever the endpoint's is by now
    let patch = serde_json::from_value(json!({"shape": "bot_api"})).expect("fits");
    office
        .webhooks
        .patch(endpoint.id, patch)
        .await
        .expect("is changed");
    office.webhooks.resend(id).await.expect("is sent once more");
    receiver.until("the third", |seen| seen.len() == 3).await;
    office.until_quiet().await;
    assert!(receiver.ids_with_several_bodies().is_empty());
    let triggers: Vec<Trigger> = office
        .webhooks
        .delivery(id)
        .expect("a delivery")
        .tries
        .iter()
        .map(|one| one.trigger)
        .collect();
    assert_eq!(triggers, [Trigger::Scheduled, Trigger::Manual, Trigger::Manual]);
    office.stop().await;
}
