//! Webhook deliveries from live messages: how many a second, at what latency, at what cost; beside a bare loop.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::Size;
use crate::daemon::{Daemon, Home};
use crate::process::Process;
use crate::receiver::Receiver;
use crate::report::{Aim, Figure};
use crate::scene::{Failed, Scene, phone, quantile, until};

/// Posted and not delivered yet, at most.
const WINDOW: usize = 2000;

/// Posted at once.
const CHUNK: usize = 50;

/// How long the last ones may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Chats that the messages come from: within one, deliveries wait for each other.
const CHATS: usize = 50;

/// Measures (d).
pub async fn measure(size: &Size) -> Result<Vec<Figure>, Failed> {
    let scene = Scene::set().await?;
    let receiver = Receiver::start().await?;
    let (bare_rate, bare_cpu) = bare(&receiver, size.deliveries).await?;

    let author = scene.user(&phone(0)).await?;
    let reader = scene.user(&phone(1)).await?;
    let mut chats = Vec::new();
    for number in 0..CHATS {
        chats.push(
            scene
                .channel(&format!("chat {number}"), author, &[reader])
                .await?,
        );
    }
    let home = Home::new(&scene, "webhooks", "").await?;
    let daemon = Daemon::start(&home).await?;
    daemon.log_in(1..2).await?;
    daemon.connected(1, PATIENCE).await?;
    let endpoint = json!({"url": receiver.url, "events": ["message.new"]});
    daemon.post("/api/webhooks/endpoints", endpoint).await?;

    fast(&scene, &receiver, (author, &chats), size.deliveries / 20).await?;
    let before = daemon.process.cpu();
    let begun = Instant::now();
    let delivered = fast(&scene, &receiver, (author, &chats), size.deliveries).await?;
    let rate = delivered as f64 / begun.elapsed().as_secs_f64();
    let cpu = (daemon.process.cpu() - before).as_secs_f64() * 1e6 / delivered as f64;
    let calm_rate = (rate / 2.0).min(size.calm_rate);
    let mut latencies = calm(&scene, &receiver, (author, &chats), calm_rate, size.calm).await?;
    daemon.stop().await;
    Ok(vec![
        Figure::new("webhook deliveries", rate, "1/s")
            .beside("a bare reqwest loop", bare_rate)
            .aim(&Aim::AtLeast(3000.0)),
        Figure::new("processor per delivery", cpu, "µs").beside("a bare reqwest loop", bare_cpu),
        Figure::new("webhook latency p50", quantile(&mut latencies, 50) as f64, "ms"),
        Figure::new("webhook latency p99", quantile(&mut latencies, 99) as f64, "ms"),
    ])
}

/// The floor: rate, and processor time a post in microseconds.
async fn bare(receiver: &Receiver, count: usize) -> Result<(f64, f64), Failed> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--role", "post", &receiver.url, &count.to_string()]);
    let begun = Instant::now();
    let process = Process::start(&mut command)?;
    until("the bare loop's posts", PATIENCE * 5, async || {
        Ok(receiver.count() >= count)
    })
    .await?;
    // It has ended, but is not waited for yet: its account is still there.
    let cpu = process.cpu();
    let rate = count as f64 / begun.elapsed().as_secs_f64();
    receiver.take();
    Ok((rate, cpu.as_secs_f64() * 1e6 / count as f64))
}

/// As fast as it goes; how many were delivered. It fails if one was lost or came twice.
async fn fast(
    scene: &Scene,
    receiver: &Receiver,
    (author, chats): (i64, &[i64]),
    total: usize,
) -> Result<usize, Failed> {
    let (mut posted, mut round) = (0, 0);
    while posted < total {
        if posted - receiver.count().min(posted) >= WINDOW {
            tokio::time::sleep(Duration::from_millis(2)).await;
            continue;
        }
        let chat = chats[round % chats.len()];
        scene.burst(chat, author, &format!("fast {round}"), CHUNK).await?;
        posted += CHUNK;
        round += 1;
    }
    until("the last delivery", PATIENCE, async || {
        Ok(receiver.count() >= posted)
    })
    .await?;
    match receiver.take().again {
        0 => Ok(posted),
        again => Err(format!("{again} deliveries came again").into()),
    }
}

/// At a given rate; how long each took from its message stored to its delivery, in milliseconds.
async fn calm(
    scene: &Scene,
    receiver: &Receiver,
    (author, chats): (i64, &[i64]),
    rate: f64,
    total: usize,
) -> Result<Vec<i64>, Failed> {
    let mut pace = tokio::time::interval(Duration::from_secs_f64(1.0 / rate));
    for number in 0..total {
        pace.tick().await;
        let chat = chats[number % chats.len()];
        scene.burst(chat, author, &format!("calm {number}"), 1).await?;
    }
    until("the last delivery", PATIENCE, async || {
        Ok(receiver.count() >= total)
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
