//! The deliverer with a plan that holds little, over a real store.
//!
//! The receiver is a bare socket here; receivers that misbehave have their own stories.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::base::{EventId, Owner, Span, Timestamp};
use crate::model::{ChatId, Event, EventBody, Message};
use crate::ops::Incidents;
use crate::runtime::{Root, Strategy, SupervisorSpec};
use crate::store::{Batch, LaneKind, OpenStore, Store, StoreConfig, SyncMode};
use crate::webhook::body::samples;
use crate::webhook::{ChatOrder, NewEndpoint, WebhookConfig, Webhooks};

/// The (chat, message) of every request, in order; a message number that is in `refused` gets a 500 once.
type Log = Arc<Mutex<Vec<(i64, i64)>>>;

async fn receiver(refused: fn(i64) -> bool) -> (String, Log) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let url = format!("http://{}/", listener.local_addr().expect("bound"));
    let log = Log::default();
    let seen = log.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, seen.clone(), refused));
        }
    });
    (url, log)
}

/// Requests of one connection; it ends with it.
async fn serve(mut stream: TcpStream, log: Log, refused: fn(i64) -> bool) -> Option<()> {
    let mut buffer = Vec::new();
    loop {
        let (head, length) = loop {
            let text = String::from_utf8_lossy(&buffer);
            if let Some(end) = text.find("\r\n\r\n") {
                let length = text
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: "));
                break (end + 4, length?.parse::<usize>().ok()?);
            }
            if stream.read_buf(&mut buffer).await.ok()? == 0 {
                return None;
            }
        };
        while buffer.len() < head + length {
            stream.read_buf(&mut buffer).await.ok()?;
        }
        let body: serde_json::Value = serde_json::from_slice(&buffer[head..head + length]).ok()?;
        buffer.drain(..head + length);
        let place = (body["data"]["chat"].as_i64()?, body["data"]["id"].as_i64()?);
        let again = {
            let mut log = log.lock().expect("not poisoned");
            let again = log.contains(&place);
            log.push(place);
            again
        };
        let status = if refused(place.1) && !again {
            "500 No"
        } else {
            "200 OK"
        };
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.ok()?;
    }
}

async fn happen(store: &Store, list: impl IntoIterator<Item = (i64, i32)>) {
    let mut batch = Batch::new();
    for (chat, id) in list {
        let message = Message {
            chat: ChatId(chat),
            id,
            ..samples::text()
        };
        let event = Event {
            id: EventId::generate(),
            at: Timestamp::now(),
            session: Some(samples::session()),
            owner: Owner::admin(),
            body: EventBody::MessageNew(message),
        };
        batch.append(event, None);
    }
    store.commit(batch).await.expect("is stored");
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

struct Stage {
    webhooks: Webhooks,
    store: OpenStore,
    _root: Root,
    _folder: tempfile::TempDir,
}

async fn stage() -> Stage {
    stage_with(WebhookConfig::sandbox()).await
}

async fn stage_with(config: WebhookConfig) -> Stage {
    let webhook = config;
    // another test of this process may have been first
    drop(rustls::crypto::ring::default_provider().install_default());
    let folder = tempfile::tempdir().expect("a folder");
    let config = StoreConfig {
        sync: SyncMode::Process,
        ..StoreConfig::in_folder(folder.path())
    };
    let store = Store::open(config).expect("opens");
    let incidents = Incidents::new(store.clone());
    let webhooks = Webhooks::new(webhook, store.clone(), incidents, Arc::new(|_| None));
    let spec = SupervisorSpec::new(Strategy::OneForOne).child(webhooks.child());
    let root = Root::start(spec).await.expect("starts");
    Stage {
        webhooks,
        store,
        _root: root,
        _folder: folder,
    }
}

fn endpoint(url: String, order: ChatOrder) -> NewEndpoint {
    let mut new: NewEndpoint = serde_json::from_value(serde_json::json!({"url": url})).expect("fits");
    new.events = vec!["message.*".to_owned()];
    new.order = order;
    new
}

#[tokio::test]
async fn a_lane_longer_than_the_plan_is_worked_off_in_order() {
    let (url, log) = receiver(|number| number % 37 == 0).await;
    let stage = stage().await;
    let (made, _) = stage
        .webhooks
        .create(Owner::admin(), endpoint(url, ChatOrder::Chat))
        .await
        .expect("is made");
    // one chat with far more than its share, many others; in several commits, while it is being worked off
    for round in 0..5 {
        let busy = (0..60).map(move |number| (1000, round * 100 + number));
        let others = (0..40).map(move |number| (i64::from(number % 20) + 1, round * 100 + number));
        happen(&stage.store, busy.chain(others)).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    until("all have arrived", || {
        let stats = stage.webhooks.stats(made.id).expect("stats");
        stats.delivered == 500 && stage.store.lane_stats(LaneKind::Webhook).depth == 0
    })
    .await;
    let log = log.lock().expect("not poisoned").clone();
    for chat in (1..=20).chain([1000]) {
        let mut numbers: Vec<i64> = log
            .iter()
            .filter(|seen| seen.0 == chat)
            .map(|seen| seen.1)
            .collect();
        numbers.dedup();
        assert!(numbers.is_sorted(), "chat {chat}: {numbers:?}");
    }
    let refused = log.len() - 500;
    assert!(
        refused > 0 && refused < 30,
        "only what was refused came twice: {refused}"
    );
}

#[tokio::test]
async fn what_the_dispatcher_did_not_tell_is_found() {
    let (url, log) = receiver(|_| false).await;
    let stage = stage().await;
    let (made, _) = stage
        .webhooks
        .create(Owner::admin(), endpoint(url, ChatOrder::None))
        .await
        .expect("is made");
    happen(&stage.store, [(1, 1)]).await;
    until("it arrives", || {
        stage
            .webhooks
            .stats(made.id)
            .is_ok_and(|stats| stats.delivered == 1)
    })
    .await;
    // a task that came without a letter, as after a crash between commit and word
    let (delivery, _) = stage.webhooks.deliveries(made.id, None, 1).expect("deliveries");
    let (seat, row) = stage.webhooks.find(delivery[0].id).expect("is kept");
    let (lane, payload) = stage.webhooks.again(&seat, &row).expect("can be made again");
    let mut batch = Batch::new();
    let draft = crate::store::TaskDraft {
        id: crate::base::TaskId::generate(),
        due: Timestamp::now(),
        payload: &payload,
    };
    batch.enqueue(lane, &draft);
    stage.store.commit(batch).await.expect("is stored");
    until("it is found", || log.lock().expect("not poisoned").len() == 2).await;
}

#[tokio::test]
async fn records_of_tasks_that_were_taken_out_are_cleared() {
    let (url, _) = receiver(|_| true).await;
    let config = WebhookConfig {
        retry_delays: vec![Span::millis(0), Span::secs(3600)],
        keep: Span::millis(1),
        ..WebhookConfig::sandbox()
    };
    let stage = stage_with(config).await;
    let (made, _) = stage
        .webhooks
        .create(Owner::admin(), endpoint(url, ChatOrder::None))
        .await
        .expect("is made");
    happen(&stage.store, [(1, 1), (1, 2)]).await;
    let failed = || stage.webhooks.stats(made.id).is_ok_and(|stats| stats.failed == 2);
    until("both have failed", failed).await;
    let records = || {
        stage
            .webhooks
            .deliveries(made.id, None, 9)
            .map(|(page, _)| page.len())
            .unwrap_or(9)
    };
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(records(), 2, "they wait for their next try");
    let tasks = stage
        .store
        .tasks::<serde::de::IgnoredAny>(LaneKind::Webhook, Some(made.id.to_bytes()), None, 9)
        .expect("tasks");
    let mut batch = Batch::new();
    batch.complete(&tasks[0].key);
    stage.store.commit(batch).await.expect("is stored");
    until("its record is gone", || records() == 1).await;
}

#[tokio::test]
async fn events_that_nobody_wants_cost_no_commit_and_are_nobodys_later() {
    let (url, log) = receiver(|_| false).await;
    let stage = stage().await;
    let mut new = endpoint(url, ChatOrder::None);
    new.events = vec!["session.*".to_owned()];
    let (made, _) = stage.webhooks.create(Owner::admin(), new).await.expect("is made");
    let cursor = || {
        stage
            .store
            .cursor(crate::webhook::dispatcher::CONSUMER)
            .expect("a cursor")
    };
    let before = cursor();
    happen(&stage.store, (1..=30).map(|number| (1, number))).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(cursor(), before);
    // From now on it wants them. What was read is not read again, should the daemon be killed.
    let patch = serde_json::from_value(serde_json::json!({"events": ["message.*"]})).expect("a patch");
    stage.webhooks.patch(made.id, patch).await.expect("is changed");
    let head = *stage.store.head().borrow();
    assert_eq!(cursor(), head);
    happen(&stage.store, [(1, 31)]).await;
    until("it arrives", || log.lock().expect("not poisoned").len() == 1).await;
    assert_eq!(log.lock().expect("not poisoned")[0], (1, 31));
}

#[tokio::test]
async fn a_delivery_shows_its_last_tries_however_often_it_is_sent() {
    let (url, log) = receiver(|_| false).await;
    let stage = stage().await;
    let (made, _) = stage
        .webhooks
        .create(Owner::admin(), endpoint(url, ChatOrder::None))
        .await
        .expect("is made");
    happen(&stage.store, [(1, 1)]).await;
    until("it arrives", || log.lock().expect("not poisoned").len() == 1).await;
    let id = stage.webhooks.deliveries(made.id, None, 1).expect("deliveries").0[0].id;
    for sent in 1..30u32 {
        let settled = || {
            let detail = stage.webhooks.delivery(id).expect("is kept");
            detail.delivery.attempts == sent
        };
        until("it is noted", settled).await;
        stage.webhooks.resend(id).await.expect("is sent again");
    }
    until("the last is noted", || {
        stage
            .webhooks
            .delivery(id)
            .is_ok_and(|detail| detail.delivery.attempts == 30)
    })
    .await;
    let tries = stage.webhooks.delivery(id).expect("is kept").tries;
    let numbers: Vec<u32> = tries.iter().map(|attempt| attempt.number).collect();
    assert_eq!(numbers, (11..=30).collect::<Vec<_>>());
}
