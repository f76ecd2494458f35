//! The demo: sandbox, daemon, a conversation, a pair, a webhook receiver, and a ledger of it all.
//!
//! Everything is real but the people: the daemon reaches the sandbox over MTProto and the receiver over
//! HTTP, and what the ledger says is read from the sandbox's world.

mod scene;
mod screen;
mod script;

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use scene::{Scene, SceneError};
use screen::{Screen, verdict};
use script::Script;

use crate::sandbox::ledger::Ledger;

/// What is shown, and for how long.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    /// New messages until it ends; none goes on until Ctrl-C.
    pub messages: Option<usize>,
    /// Messages a second.
    pub rate: f64,
    /// Whether the last line is the ledger as JSON, and nothing else is shown.
    pub json: bool,
}

/// How long everything may take to arrive after the last message.
const SETTLE: Duration = Duration::from_secs(60);

/// How often the screen is drawn.
const FRAME: Duration = Duration::from_millis(200);

/// Runs the demo; it succeeds only if nothing was lost, doubled or left open.
pub async fn demo(options: DemoOptions) -> ExitCode {
    match play(&options).await {
        Ok(ledger) => {
            let told = match options.json {
                true => serde_json::json!(ledger).to_string(),
                false => verdict(&ledger).to_string(),
            };
            // A verdict that could not be told is none.
            let told = writeln!(std::io::stdout().lock(), "{told}");
            match ledger.is_clean() && told.is_ok() {
                true => ExitCode::SUCCESS,
                false => ExitCode::FAILURE,
            }
        }
        Err(error) => {
            let why = crate::base::chain(&error);
            // Where that cannot be written, the exit code tells.
            drop(writeln!(std::io::stderr().lock(), "trunkline: {why}"));
            ExitCode::FAILURE
        }
    }
}

async fn play(options: &DemoOptions) -> Result<Ledger, SceneError> {
    let mut scene = Scene::set().await?;
    let mut screen = Screen::new(options.json, &scene.urls().await);
    let begun = Instant::now();
    let interrupted = talk(options, &mut scene, &mut screen).await?;
    let mut ledger = settle(&scene, &mut screen, if interrupted { SETTLE / 6 } else { SETTLE }).await;
    ledger.wall_s = (begun.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
    screen.draw(&scene.glance());
    screen.leave();
    scene.clear_away().await;
    Ok(ledger)
}

/// Lets the people talk; whether they were interrupted.
async fn talk(options: &DemoOptions, scene: &mut Scene, screen: &mut Screen) -> Result<bool, SceneError> {
    let mut script = Script::new(scene.people());
    let mut pace = tokio::time::interval(Duration::from_secs_f64(1.0 / options.rate.max(0.01)));
    let mut frames = tokio::time::interval(FRAME);
    loop {
        let room = options
            .messages
            .map_or(usize::MAX, |most| most.saturating_sub(scene.produced()));
        if room == 0 {
            return Ok(false);
        }
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return Ok(true),
            _ = pace.tick() => scene.play(script.next(room))?,
            _ = frames.tick(), if !options.json => screen.draw(&scene.glance()),
        }
    }
}

/// Waits until everything has arrived, or nothing more is to be expected.
async fn settle(scene: &Scene, screen: &mut Screen, patience: Duration) -> Ledger {
    let begun = Instant::now();
    loop {
        let over = begun.elapsed() >= patience;
        if scene.waiting() == 0 || over {
            let ledger = scene.ledger();
            if ledger.is_clean() || over {
                return ledger;
            }
        }
        screen.draw(&scene.glance());
        tokio::time::sleep(FRAME / 2).await;
    }
}
