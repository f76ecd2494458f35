//! Many sessions: what an idle one costs, how fast all of them start, and whether an event costs more among many.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::daemon::{Daemon, Home};
use crate::report::{Aim, Figure};
use crate::scene::{Failed, Scene, phone, until};
use crate::{Size, bare};

/// How long a start may take, and logins.
const PATIENCE: Duration = Duration::from_secs(300);

/// How long idle sessions settle before they are measured.
const SETTLE: Duration = Duration::from_secs(15);

/// Sessions of the small fleet.
const FEW: usize = 10;

/// Events a second while their cost is measured.
const RATE: f64 = 500.0;

/// Texts posted at once while a backlog is made.
const BURST: usize = 500;

/// Posted and not waiting as tasks yet, at most, while a backlog is made.
const AHEAD: usize = 5_000;

/// Measures (a), (e) and (f).
pub async fn measure(size: &Size) -> Result<Vec<Figure>, Failed> {
    let scene = Scene::set().await?;
    let author = scene.user(&phone(0)).await?;
    let (mut users, mut chats) = (Vec::new(), Vec::new());
    for number in 1..=size.sessions {
        let user = scene.user(&phone(number)).await?;
        users.push(user);
        chats.push(scene.channel(&format!("chat {number}"), author, &[user]).await?);
    }
    let mut figures = Vec::new();

    let home = Home::new(&scene, "few", "").await?;
    let daemon = Daemon::start(&home).await?;
    let empty = daemon.process.memory();
    daemon.log_in(1..FEW + 1).await?;
    daemon.connected(FEW, PATIENCE).await?;
    let few = cost(&scene, &daemon, (author, &chats[..FEW]), size.events).await?;
    daemon.stop().await;

    let home = Home::new(&scene, "many", "").await?;
    let daemon = Daemon::start(&home).await?;
    let sessions = daemon.log_in(1..size.sessions + 1).await?;
    daemon.connected(size.sessions, PATIENCE).await?;
    daemon.stop().await;

    let daemon = Daemon::start(&home).await?;
    daemon.connected(size.sessions, PATIENCE).await?;
    tokio::time::sleep(SETTLE).await;
    let full = daemon.process.memory();
    let destination = scene.channel("destination", users[0], &[]).await?;
    let pair = daemon.pair(&sessions[0], chats[0], destination).await?;
    backlog(&scene, &daemon, (author, chats[0]), &pair, size.tasks).await?;
    daemon.stop().await;

    let begun = Instant::now();
    let daemon = Daemon::start(&home).await?;
    let serves = begun.elapsed();
    daemon.connected(size.sessions, PATIENCE).await?;
    let started = begun.elapsed();
    tokio::time::sleep(SETTLE).await;
    let many = cost(&scene, &daemon, (author, &chats), size.events).await?;
    daemon.stop().await;

    let idle = bare::start(&scene, "idle", &["1".to_owned(), "2".to_owned()]).await?;
    let one = idle.memory();
    drop(idle);
    let last = (size.sessions + 1).to_string();
    let idle = bare::start(&scene, "idle", &["1".to_owned(), last]).await?;
    tokio::time::sleep(SETTLE).await;
    let all = idle.memory();
    drop(idle);

    let each = |all: u64, none: u64, count: usize| all.saturating_sub(none) as f64 / count as f64;
    figures.push(
        Figure::new("memory per idle session", each(full, empty, size.sessions), "KiB")
            .beside("a bare grammers loop", each(all, one, size.sessions - 1))
            .aim(&Aim::AtMost(64.0)),
    );
    figures.push(Figure::new("start until it serves", serves.as_secs_f64(), "s"));
    figures.push(
        Figure::new(
            "start until all sessions are connected",
            started.as_secs_f64(),
            "s",
        )
        .aim(&Aim::AtMost(5.0)),
    );
    figures.push(
        Figure::new("processor per event, many sessions", many, "µs")
            .beside("the same with 10 sessions", few)
            .aim(&Aim::RatioAtMost(1.2)),
    );
    Ok(figures)
}

/// Processor time of an event, in microseconds: messages come at an even pace, to one session after the other.
async fn cost(
    scene: &Scene,
    daemon: &Daemon,
    (author, chats): (i64, &[i64]),
    total: usize,
) -> Result<f64, Failed> {
    let (cpu, before) = (
        daemon.process.cpu(),
        daemon.metric("trunkline_updates_total").await?,
    );
    let mut pace = tokio::time::interval(Duration::from_secs_f64(1.0 / RATE));
    for number in 0..total {
        pace.tick().await;
        scene
            .burst(chats[number % chats.len()], author, "event", 1)
            .await?;
    }
    until("all events are stored", PATIENCE, async || {
        let stored = daemon.metric("trunkline_updates_total").await? - before;
        Ok(stored >= total as f64)
    })
    .await?;
    Ok((daemon.process.cpu() - cpu).as_secs_f64() * 1e6 / total as f64)
}

/// Tasks of a pair that is paused.
async fn backlog(
    scene: &Scene,
    daemon: &Daemon,
    (author, source): (i64, i64),
    pair: &str,
    tasks: usize,
) -> Result<(), Failed> {
    daemon
        .post(&format!("/api/pairs/{pair}/pause"), json!({}))
        .await?;
    for number in 0..tasks.div_ceil(BURST) {
        scene
            .burst(source, author, &format!("backlog {number}"), BURST)
            .await?;
        // More at once than a session's buffer holds would be a gap, and a difference that is too long.
        let posted = (number + 1) * BURST;
        wait_for_tasks(daemon, posted.saturating_sub(AHEAD)).await?;
    }
    wait_for_tasks(daemon, tasks).await
}

async fn wait_for_tasks(daemon: &Daemon, count: usize) -> Result<(), Failed> {
    until("the tasks wait", PATIENCE, async || {
        Ok(daemon.metric("trunkline_lane_depth").await? >= count as f64)
    })
    .await
}
