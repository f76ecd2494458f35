//! A busy day: many sessions and pairs at once, messages of all kinds, and all that happens to accounts and chats on
//! such a day, each of it many times and in any order. Then the ledger is drawn: nothing may be lost, doubled, in
//! another chat or out of order, no edit or deletion not followed.
//!
//! What counts as owed is read from the world: a message that was posted while the session's account was in the
//! chat. What was posted while it was out may be copied (it can be read afterwards) and need not be; a copy of what
//! changed while it was out may show either form. In a basic group the messages that an account holds are its own,
//! and no others are asked for. What Telegram left out is read from the history, and stands in its order all the same.
//!
//! A person would resume a pair that stopped since its account was put out, once it is in again; here the day does.

mod line;
mod plan;
mod reckoning;
mod report;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until};
use trunkline::base::Timestamp;
use trunkline::sandbox::ledger::Jump;

use self::line::{CALLS, Line, Notes, Town, Voice, lock};
pub use self::plan::Size;
use self::plan::{Day, Trouble};
use self::reckoning::reckon;
pub use self::report::Report;
use crate::scene::{PATIENCE, Scene, Stage};

/// How often pairs are looked at that may have stopped.
const LOOK: Duration = Duration::from_millis(500);

/// Pushes that are left out before a difference is too long.
const LEFT_OUT: u32 = 3;

/// Runs a day in a runtime of its own.
pub fn perform(size: &Size, seed: u64) -> Report {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(play(size, seed))
}

async fn play(size: &Size, seed: u64) -> Report {
    let begun = Instant::now();
    let day = Day::drawn(size, seed);
    // What was left out between two parts of an album is read within its usual window.
    let stage = Stage {
        settings: vec![("FORWARD__ALBUM_WINDOW", "2500ms".to_owned())],
        ..Stage::default()
    };
    let mut scene = Scene::set(stage).await;
    let (town, mut voices, lines, agents) = settle_in(&scene, size, &day, seed).await;

    let over = Arc::new(AtomicBool::new(false));
    let keeper = tokio::spawn(keep(town.clone(), lines.clone(), over.clone()));
    let dawn = Instant::now();
    let mut talking = Vec::new();
    for mut voice in voices.drain(..) {
        talking.push(tokio::spawn(async move {
            voice.speak(dawn).await;
            voice
        }));
    }
    let (jumps, restarts) = trouble(&mut scene, size, &day, &lines, &agents, &town, dawn).await;
    for talk in talking {
        voices.push(talk.await.expect("a voice does not break off"));
    }
    for jump in jumps {
        jump.await.expect("it does not break off");
    }
    let gaps = scene.world.acted_in_all("gap").await;
    scene.world.clear_faults().await;
    for voice in &mut voices {
        voice.close().await;
    }
    let flowed = dawn.elapsed();
    let mut reckoning = reckon(&mut scene, &lines, &town, size.settles).await;
    over.store(true, Ordering::SeqCst);
    keeper.await.expect("it does not break off");
    if std::env::var_os("TRUNKLINE_FAULTS_KEEP").is_some() && !reckoning.ledger.is_clean() {
        reckoning.keep(scene.folder());
        eprintln!("kept: {}", scene.keep().display());
    }
    reckoning.ledger.wall_s = begun.elapsed().as_secs_f64();
    let report = Report {
        seed,
        size: *size,
        pairs: lines.len(),
        counts: lock(&town.counts).clone(),
        gaps: usize::try_from(gaps).unwrap_or(usize::MAX),
        restarts,
        reckoning,
        flowed,
        lasted: begun.elapsed(),
    };
    if report.failed() {
        eprintln!("the daemon's last words\n{}", scene.log_tail(40));
    }
    report
}

/// Makes accounts and sessions, and what the day begins with.
async fn settle_in(
    scene: &Scene,
    size: &Size,
    day: &Day,
    seed: u64,
) -> (Town, Vec<Voice>, Arc<Vec<Arc<Line>>>, Vec<i64>) {
    let author = scene.author.user;
    let town = Town {
        world: scene.world.clone(),
        api: scene.api.clone(),
        author,
        press: scene.world.channel("Press", author, &[]).await,
        calls: Arc::new(Semaphore::new(CALLS)),
        away: Arc::default(),
        counts: Arc::new(Mutex::new(BTreeMap::new())),
    };
    // What stands in Saved Messages is the account's own.
    let events = json!({"events": ["message.new", "message.sent"]});
    let endpoint = format!("/api/webhooks/endpoints/{}", scene.endpoint);
    scene.api.ask(Method::PATCH, &endpoint, Some(events)).await;
    let mut accounts = vec![(scene.session.clone(), scene.agent)];
    for number in 1..size.sessions {
        let phone = format!("+9996600001{number:02}");
        let agent = scene.world.user(&phone, &format!("Agent {number}")).await;
        accounts.push((scene.session_of(&phone).await, agent));
    }
    let (mut voices, mut lines) = (Vec::new(), Vec::new());
    for (at, course) in day.courses.iter().enumerate() {
        let (session, agent) = accounts[course.session].clone();
        let destination = match course.into_saved {
            true => agent,
            false => {
                scene
                    .world
                    .channel(&format!("Copies {}", at + 1), agent, &[])
                    .await
            }
        };
        let line = Arc::new(Line {
            number: at + 1,
            kind: course.kind,
            session,
            agent,
            destination,
            out: AtomicBool::new(false),
            notes: Mutex::new(Notes::default()),
        });
        let voice = Voice::new(town.clone(), line.clone(), course.clone(), seed);
        if course.begins == Duration::ZERO {
            voice.open().await;
        }
        voices.push(voice);
        lines.push(line);
    }
    let agents = accounts.into_iter().map(|(_, agent)| agent).collect();
    (town, voices, Arc::new(lines), agents)
}

/// Causes what goes wrong beside the sources, each at its time; those who wait for a difference that is too long, and
/// how long each start took.
async fn trouble(
    scene: &mut Scene,
    size: &Size,
    day: &Day,
    lines: &Arc<Vec<Arc<Line>>>,
    agents: &[i64],
    town: &Town,
    dawn: Instant,
) -> (Vec<tokio::task::JoinHandle<()>>, Vec<Duration>) {
    let (mut jumps, mut restarts) = (Vec::new(), Vec::new());
    let mut back = dawn;
    for (at, trouble) in &day.troubles {
        sleep_until(dawn + *at).await;
        match *trouble {
            Trouble::Kill(pause) => {
                assert!(scene.kill(), "the daemon ended by itself");
                let away = town.goes_away(None);
                sleep(pause).await;
                let started = Instant::now();
                scene.start();
                scene.ready().await;
                town.is_back(away);
                restarts.push(started.elapsed());
                town.count("kill");
            }
            Trouble::Loss { session } => {
                let milliseconds = u64::try_from(size.loss.as_millis()).unwrap_or(u64::MAX);
                let outage =
                    json!({"kind": "outage", "account": agents[session], "milliseconds": milliseconds});
                scene.world.fault(outage).await;
                let away = town.goes_away(Some(agents[session]));
                let (ends, loss) = (town.clone(), size.loss);
                tokio::spawn(async move {
                    sleep(loss).await;
                    ends.is_back(away);
                });
                back = back.max(Instant::now() + size.loss);
                town.count("network loss");
            }
            Trouble::Gap { session } => {
                scene
                    .world
                    .fault(json!({"kind": "gap", "account": agents[session]}))
                    .await;
            }
            Trouble::TooLong { course } => {
                let jump = jump(town.clone(), course, lines.clone());
                jumps.push(tokio::spawn(jump));
            }
        }
    }
    sleep_until(back).await;
    (jumps, restarts)
}

/// Leaves some pushes of a source out, and has the difference that is asked for then be too long; waits for that.
async fn jump(town: Town, course: usize, lines: Arc<Vec<Arc<Line>>>) {
    let line = &lines[course];
    let Some(chat) = line.chat() else { return };
    let channel = chat < -1_000_000_000_000;
    let since = Timestamp::now().0;
    let fault = match channel {
        true => {
            json!({"kind": "too_long", "account": line.agent, "method": "updates.getChannelDifference", "chat": chat})
        }
        false => json!({"kind": "too_long", "account": line.agent, "method": "updates.getDifference"}),
    };
    let fault = town.world.fault(fault).await;
    let gap = json!({"kind": "gap", "account": line.agent, "chat": chat, "times": LEFT_OUT});
    town.world.fault(gap).await;
    let waits = Instant::now();
    while town.world.acted(fault).await == 0 {
        if waits.elapsed() > PATIENCE {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
    let jump = Jump {
        blind: town.heard_all_before(line.agent, since),
        until: Timestamp::now().0,
    };
    // A channel has a sequence of its own, all else of an account another one.
    for other in lines.iter().filter(|other| other.agent == line.agent) {
        let mut notes = lock(&other.notes);
        let here = |known: &i64| match channel {
            true => *known == chat,
            false => *known > -1_000_000_000_000,
        };
        if notes.chats.iter().any(here) {
            notes.jumps.push(jump);
        }
    }
    town.count("difference too long");
}

/// Resumes pairs that stopped, once their account is in again, until the day is over.
async fn keep(town: Town, lines: Arc<Vec<Arc<Line>>>, over: Arc<AtomicBool>) {
    while !over.load(Ordering::SeqCst) {
        for pair in line::pairs(&town.api).await {
            let id = pair["id"].as_str().unwrap_or_default();
            let of = |line: &&Arc<Line>| lock(&line.notes).pair.as_deref() == Some(id);
            let Some(line) = lines.iter().find(of) else {
                continue;
            };
            // One whose source the session has not met yet goes on by itself.
            let goes_on = pair["reason"] == "source_unknown";
            if pair["state"] != "held" || goes_on || line.out.load(Ordering::SeqCst) {
                continue;
            }
            let path = format!("/api/pairs/{id}/resume");
            if let Some((200..300, _)) = town.api.try_ask(Method::POST, &path, None).await {
                town.count(match pair["reason"].as_str() {
                    Some("chat_lost") => report::RESUMED,
                    _ => report::RESUMED_OTHERWISE,
                });
            }
        }
        sleep(LOOK).await;
    }
}
