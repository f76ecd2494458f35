//! One job for all: what is posted into source channels has to be posted into their destinations. The daemon does
//! it durably, beside it a bare loop of the client library and a Telethon script, each against the same sandbox.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::daemon::{Daemon, Home};
use crate::process::Process;
use crate::report::{Aim, Figure};
use crate::scene::{Failed, Scene, Stored, phone, quantile};
use crate::{Size, bare};

/// The call that makes a copy.
const SEND: &str = "messages.sendMessage";

/// Posted and not copied yet, at most, while the rate is measured.
const WINDOW: usize = 1000;

/// How long a job may make no progress.
const PATIENCE: Duration = Duration::from_secs(60);

/// Source and destination.
type Route = (i64, i64);

/// An account with its channels, and the one that posts.
struct Job {
    account: usize,
    author: i64,
    routes: Vec<Route>,
}

/// What a job gave.
struct Outcome {
    /// Copies a second, from the first source message to the last copy.
    rate: f64,
    /// Processor time per copy, in microseconds: of the contender, and of the sandbox.
    cpu: f64,
    sandbox_cpu: f64,
}

/// Measures (b), (c) and (g).
pub async fn measure(size: &Size) -> Result<Vec<Figure>, Failed> {
    let scene = Scene::set().await?;
    let author = scene.user(&phone(0)).await?;
    let mut figures = Vec::new();
    for pairs in [1, size.pairs] {
        figures.extend(contest(&scene, author, pairs, size).await?);
    }
    Ok(figures)
}

/// What a forward costs a build of the daemon, in microseconds of processor time, at a lenient sandbox of its own.
pub async fn processor(binary: &Path, size: &Size) -> Result<f64, Failed> {
    let scene = Scene::set_with(&["--lenient"]).await?;
    let author = scene.user(&phone(0)).await?;
    let job = Job::new(&scene, author, 1, size.pairs).await?;
    let home = Home::new(&scene, "forwarding", "").await?.of(binary);
    let daemon = start_daemon(&home, &job).await?;
    let outcome = job.run(&scene, &daemon.process, size.forwards).await?;
    daemon.stop().await;
    Ok(outcome.cpu)
}

/// All contenders at the same job.
async fn contest(scene: &Scene, author: i64, pairs: usize, size: &Size) -> Result<Vec<Figure>, Failed> {
    let one = pairs == 1;
    let total = size.forwards;
    let mut figures = Vec::new();

    let job = Job::new(scene, author, if one { 1 } else { 4 }, pairs).await?;
    let floor = start_bare(scene, &job).await?;
    let bare = job.run(scene, &floor, total).await?;
    let bare_calm = job.calm(scene, size.calm_rate, size.calm).await?;
    drop(floor);

    let job = Job::new(scene, author, if one { 2 } else { 5 }, pairs).await?;
    let home = Home::new(scene, &format!("forwarding-{pairs}"), "").await?;
    let daemon = start_daemon(&home, &job).await?;
    let ours = job.run(scene, &daemon.process, total).await?;
    let half = (ours.rate / 2.0).min(size.calm_rate);
    let calm = job.calm(scene, half, size.calm).await?;
    daemon.stop().await;

    let telethon = match python() {
        Some(python) => {
            let job = Job::new(scene, author, if one { 3 } else { 6 }, pairs).await?;
            let script = start_telethon(scene, &job, &python).await?;
            Some(job.run(scene, &script, total / 4).await?)
        }
        None => None,
    };

    let name = |first: &'static str, second: &'static str| if one { first } else { second };
    let floor = telethon
        .as_ref()
        .map(|outcome| ("a Telethon script", outcome.rate));
    let rate = Figure::new(
        name("durable forwards, one pair", "durable forwards, many pairs"),
        ours.rate,
        "1/s",
    );
    figures.push(match floor {
        Some((floor, value)) => {
            rate.beside(floor, value)
                .aim(&Aim::RatioAtLeast(if one { 2.0 } else { 10.0 }))
        }
        None => rate,
    });
    figures.push(
        Figure::new(
            name(
                "rate beside the bare loop, one pair",
                "rate beside the bare loop, many pairs",
            ),
            ours.rate,
            "1/s",
        )
        .beside("a bare loop that keeps nothing", bare.rate),
    );
    figures.push(
        Figure::new(
            name(
                "processor per forward, one pair",
                "processor per forward, many pairs",
            ),
            ours.cpu,
            "µs",
        )
        .beside("a bare loop that keeps nothing", bare.cpu)
        .aim(&Aim::RatioAtMost(2.0)),
    );
    figures.push(Figure::new(
        name(
            "the sandbox's own processor, one pair",
            "the sandbox's own processor, many pairs",
        ),
        ours.sandbox_cpu,
        "µs",
    ));
    figures.extend(latency(one, calm, bare_calm));
    Ok(figures)
}

/// What is added to the bare loop's latency.
fn latency(one: bool, mut ours: Vec<i64>, mut bare: Vec<i64>) -> [Figure; 2] {
    let mut at = |percent, name, aim| {
        let (ours, bare) = (
            quantile(&mut ours, percent) as f64,
            quantile(&mut bare, percent) as f64,
        );
        Figure::new(name, ours, "ms")
            .beside("a bare loop at the same rate", bare)
            .aim(&Aim::AtMost(aim))
    };
    if one {
        [
            at(50, "latency p50, one pair", 5.0),
            at(99, "latency p99, one pair", 20.0),
        ]
    } else {
        [
            at(50, "latency p50, many pairs", 5.0),
            at(99, "latency p99, many pairs", 20.0),
        ]
    }
}

impl Job {
    async fn new(scene: &Scene, author: i64, account: usize, pairs: usize) -> Result<Self, Failed> {
        let user = scene.user(&phone(account)).await?;
        let mut routes = Vec::new();
        for pair in 0..pairs {
            let source = scene.channel(&format!("source {pair}"), author, &[user]).await?;
            let destination = scene.channel(&format!("destination {pair}"), user, &[]).await?;
            routes.push((source, destination));
        }
        Ok(Self {
            account,
            author,
            routes,
        })
    }

    /// As fast as it goes: never more than a window is on its way.
    async fn run(&self, scene: &Scene, contender: &Process, total: usize) -> Result<Outcome, Failed> {
        self.post_windowed(scene, "warm-up", (total / 20).max(self.routes.len()))
            .await?;
        let (cpu, sandbox_cpu) = (contender.cpu(), scene.process.cpu());
        let posted = self.post_windowed(scene, "run", total).await?;
        let (cpu, sandbox_cpu) = (contender.cpu() - cpu, scene.process.cpu() - sandbox_cpu);
        let micros = |time: Duration| time.as_secs_f64() * 1e6 / posted as f64;
        let copies = self.compare(scene, "run").await?;
        let first = copies.iter().map(|(from, _)| *from).min().unwrap_or_default();
        let last = copies.iter().map(|(_, to)| *to).max().unwrap_or_default();
        Ok(Outcome {
            rate: posted as f64 * 1000.0 / (last - first).max(1) as f64,
            cpu: micros(cpu),
            sandbox_cpu: micros(sandbox_cpu),
        })
    }

    /// At a given rate; how long each copy took, in milliseconds.
    async fn calm(&self, scene: &Scene, rate: f64, total: usize) -> Result<Vec<i64>, Failed> {
        let before = scene.calls(SEND).await?;
        let mut pace = tokio::time::interval(Duration::from_secs_f64(1.0 / rate));
        for number in 0..total {
            pace.tick().await;
            let (source, _) = self.routes[number % self.routes.len()];
            scene
                .burst(source, self.author, &format!("calm {number}"), 1)
                .await?;
        }
        self.copied(scene, before + total).await?;
        let copies = self.compare(scene, "calm").await?;
        Ok(copies.iter().map(|(from, to)| to - from).collect())
    }

    async fn post_windowed(&self, scene: &Scene, word: &str, total: usize) -> Result<usize, Failed> {
        let before = scene.calls(SEND).await?;
        let chunk = (WINDOW / 4 / self.routes.len()).clamp(5, 100);
        let (mut posted, mut round) = (0, 0);
        while posted < total {
            self.copied(scene, (before + posted).saturating_sub(WINDOW))
                .await?;
            let (source, _) = self.routes[round % self.routes.len()];
            let text = format!("{word} {round}");
            scene.burst(source, self.author, &text, chunk).await?;
            posted += chunk;
            round += 1;
        }
        self.copied(scene, before + posted).await?;
        Ok(posted)
    }

    /// Waits until so many copies were made altogether.
    async fn copied(&self, scene: &Scene, wanted: usize) -> Result<(), Failed> {
        let (mut last, mut since) = (0, tokio::time::Instant::now());
        loop {
            let done = scene.calls(SEND).await?;
            if done >= wanted {
                return Ok(());
            }
            if done > last {
                (last, since) = (done, tokio::time::Instant::now());
            }
            if since.elapsed() > PATIENCE {
                return Err(format!("{} copies are missing", wanted - done).into());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Both times of every message that begins with a word; it fails if one was lost or doubled.
    async fn compare(&self, scene: &Scene, word: &str) -> Result<Vec<(i64, i64)>, Failed> {
        let mut copies = Vec::new();
        for (source, destination) in &self.routes {
            let sent = |messages: Vec<Stored>| messages.into_iter().filter(|it| it.text.starts_with(word));
            let mut found: HashMap<String, i64> = HashMap::new();
            for copy in sent(scene.messages(*destination).await?) {
                if found.insert(copy.text, copy.at).is_some() {
                    return Err("a message was copied twice".into());
                }
            }
            for message in sent(scene.messages(*source).await?) {
                let at = found.remove(&message.text).ok_or("a message was not copied")?;
                copies.push((message.at, at));
            }
        }
        Ok(copies)
    }
}

async fn start_daemon(home: &Home, job: &Job) -> Result<Daemon, Failed> {
    let daemon = Daemon::start(home).await?;
    let sessions = daemon.log_in(job.account..job.account + 1).await?;
    daemon.connected(1, PATIENCE).await?;
    for (source, destination) in &job.routes {
        daemon.pair(&sessions[0], *source, *destination).await?;
    }
    Ok(daemon)
}

async fn start_bare(scene: &Scene, job: &Job) -> Result<Process, Failed> {
    // Channels have the Bot API's numbers here and their own there.
    let own = |chat: i64| (-1_000_000_000_000 - chat).to_string();
    let mut arguments = vec![job.account.to_string()];
    for (source, destination) in &job.routes {
        arguments.extend([own(*source), own(*destination)]);
    }
    bare::start(scene, "forward", &arguments).await
}

/// An interpreter that has Telethon, if there is one.
fn python() -> Option<PathBuf> {
    let path = std::env::var_os("TRUNKLINE_BENCH_PYTHON").map(PathBuf::from)?;
    let mut check = Command::new(&path);
    check
        .args(["-c", "import telethon, cryptg"])
        .stderr(Stdio::null());
    check
        .status()
        .is_ok_and(|status| status.success())
        .then_some(path)
}

async fn start_telethon(scene: &Scene, job: &Job, python: &PathBuf) -> Result<Process, Failed> {
    let mut command = Command::new(python);
    command
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/benches/figures/telethon_forward.py"
        ))
        .args([&scene.control, &phone(job.account)])
        .args(
            job.routes
                .iter()
                .flat_map(|(from, to)| [from.to_string(), to.to_string()]),
        )
        .stdout(Stdio::piped());
    let mut process = Process::start(&mut command)?;
    let output = process.child().stdout.take().ok_or("no output")?;
    match std::io::BufRead::lines(std::io::BufReader::new(output)).next() {
        Some(Ok(line)) if line == "ready" => Ok(process),
        _ => Err("the Telethon script did not start".into()),
    }
}
