//! Very many logins at once, by QR, by code and with a password: how long they take, what they cost, and how late
//! updates of sessions that are busy come meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use reqwest::Method;
use serde_json::{Value, json};

use crate::Size;
use crate::daemon::{Daemon, Home};
use crate::receiver::Receiver;
use crate::report::{Aim, Figure};
use crate::scene::{CODE, Failed, Scene, phone, quantile, until};

/// Sessions that are busy.
const BUSY: usize = 20;

/// Messages to them, a second.
const RATE: f64 = 100.0;

/// Messages while nobody logs in.
const QUIET: usize = 500;

/// The password of every third account.
const PASSWORD: &str = "a cat and a dog";

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// How long sessions settle before their memory is measured: longer than the daemon keeps idle connections of its
/// callers.
const SETTLE: Duration = Duration::from_secs(40);

/// Measures logins.
pub async fn measure(size: &Size) -> Result<Vec<Figure>, Failed> {
    let scene = Scene::set().await?;
    let receiver = Receiver::start().await?;
    let author = scene.user(&phone(0)).await?;
    let mut chats = Vec::new();
    for number in 1..=BUSY {
        let reader = scene.user(&phone(number)).await?;
        chats.push(
            scene
                .channel(&format!("chat {number}"), author, &[reader])
                .await?,
        );
    }
    let agents: Vec<usize> = (BUSY + 1..=BUSY + size.logins).collect();
    for agent in &agents {
        scene.user(&phone(*agent)).await?;
        if agent % 3 == 0 {
            let password = json!({"password": PASSWORD, "hint": "pets"});
            let path = format!("/users/{}/password", phone(*agent));
            scene.ask(Method::PUT, &path, &password).await?;
        }
    }
    let home = Home::new(&scene, "logins", "").await?;
    let daemon = Daemon::start(&home).await?;
    let empty = daemon.process.memory();
    daemon.log_in(1..BUSY + 1).await?;
    daemon.connected(BUSY, PATIENCE).await?;
    let endpoint = json!({"url": receiver.url, "events": ["message.new"]});
    daemon.post("/api/webhooks/endpoints", endpoint).await?;

    let never = AtomicBool::new(false);
    let quiet = busy(&scene, (author, &chats), "quiet", &never, QUIET).await?;
    let mut quiet = latencies(&scene, &receiver, &chats, quiet).await?;
    tokio::time::sleep(SETTLE).await;
    let before = daemon.process.memory();

    let done = AtomicBool::new(false);
    let begun = Instant::now();
    let logins = async {
        let all = agents.iter().map(|agent| log_in(&scene, &daemon, *agent));
        let answers = join_all(all).await;
        done.store(true, Ordering::Relaxed);
        (answers, begun.elapsed())
    };
    let posts = busy(&scene, (author, &chats), "meanwhile", &done, usize::MAX);
    let ((answers, took), posted) = join(logins, posts).await;
    let mut waits = Vec::new();
    for answer in answers {
        waits.push(i64::try_from(answer?.as_millis())?);
    }
    let posted = posted?;
    let mut meanwhile = latencies(&scene, &receiver, &chats, posted).await?;
    daemon.connected(BUSY + size.logins, PATIENCE).await?;
    tokio::time::sleep(SETTLE).await;
    let after = daemon.process.memory();

    // As many messages again: what they take is not the logins'.
    let again = busy(&scene, (author, &chats), "again", &never, posted).await?;
    latencies(&scene, &receiver, &chats, again).await?;
    tokio::time::sleep(SETTLE).await;
    let messages = daemon.process.memory().saturating_sub(after);
    daemon.stop().await;
    let each = after.saturating_sub(before + messages) as f64 / size.logins as f64;

    let daemon = Daemon::start(&home).await?;
    daemon.connected(BUSY + size.logins, PATIENCE).await?;
    tokio::time::sleep(SETTLE).await;
    let anew = daemon.process.memory().saturating_sub(empty);
    daemon.stop().await;
    let each_anew = anew as f64 / (BUSY + size.logins) as f64;
    Ok(vec![
        Figure::new("all logins at once", took.as_secs_f64(), "s"),
        Figure::new("one login among them, p99", quantile(&mut waits, 99) as f64, "ms"),
        Figure::new(
            "webhook latency p99 meanwhile",
            quantile(&mut meanwhile, 99) as f64,
            "ms",
        )
        .beside("while nobody logs in", quantile(&mut quiet, 99) as f64)
        .aim(&Aim::AtMost(100.0)),
        Figure::new("memory per session afterwards", each, "KiB")
            .beside("a session of the daemon started anew", each_anew)
            .aim(&Aim::AtMost(64.0)),
    ])
}

/// One login, in one of three ways, until the account is connected.
async fn log_in(scene: &Scene, daemon: &Daemon, agent: usize) -> Result<Duration, Failed> {
    let begun = Instant::now();
    let phone = phone(agent);
    let by_qr = agent.is_multiple_of(2);
    let session = if by_qr {
        let shown = daemon
            .post("/api/telegram/request-qr", json!({"agent_id": agent}))
            .await?;
        let scanned = json!({"token": shown["login_url"]});
        scene
            .ask(Method::POST, &format!("/users/{phone}/logins"), &scanned)
            .await?;
        shown["session_id"].clone()
    } else {
        let body = json!({"agent_id": agent, "phone": phone});
        let sent = daemon.post("/api/telegram/request-code", body).await?;
        let body = json!({"session_id": sent["session_id"], "code": CODE});
        daemon.post("/api/telegram/verify-code", body).await?;
        sent["session_id"].clone()
    };
    let path = format!("/api/telegram/status/{}", session.as_str().ok_or("no session")?);
    let wants_password = agent.is_multiple_of(3);
    let status = async || daemon.call(Method::GET, &path, None).await;
    if wants_password {
        until("the password is wanted", PATIENCE, async || {
            tokio::time::sleep(Duration::from_millis(500)).await;
            Ok(status().await?["login_step"] == "input_password")
        })
        .await?;
        let body = json!({"session_id": session, "password": PASSWORD});
        daemon.post("/api/telegram/verify-password", body).await?;
    }
    until("the account is connected", PATIENCE, async || {
        tokio::time::sleep(Duration::from_millis(500)).await;
        Ok(status().await?["connected"] == Value::Bool(true))
    })
    .await?;
    Ok(begun.elapsed())
}

/// Messages at an even pace, to one session after the other; how many.
async fn busy(
    scene: &Scene,
    (author, chats): (i64, &[i64]),
    text: &str,
    done: &AtomicBool,
    most: usize,
) -> Result<usize, Failed> {
    let mut pace = tokio::time::interval(Duration::from_secs_f64(1.0 / RATE));
    let mut posted = 0;
    while posted < most && !done.load(Ordering::Relaxed) {
        pace.tick().await;
        let chat = chats[posted % chats.len()];
        scene.burst(chat, author, &format!("{text} {posted}"), 1).await?;
        posted += 1;
    }
    Ok(posted)
}

/// How long each took from its message stored to its delivery, in milliseconds.
async fn latencies(
    scene: &Scene,
    receiver: &Receiver,
    chats: &[i64],
    posted: usize,
) -> Result<Vec<i64>, Failed> {
    until("the last delivery", PATIENCE, async || {
        Ok(receiver.count() >= posted)
    })
    .await?;
    let arrivals = receiver.take();
    let mut latencies = Vec::new();
    for chat in chats {
        for message in scene.messages(*chat).await? {
            if let Some(at) = arrivals.at.get(&message.text) {
                latencies.push(at - message.at);
            }
        }
    }
    Ok(latencies)
}
