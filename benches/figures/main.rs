//! What trunkline costs and how fast it is: each figure beside a named floor, measured in the same run.
//!
//! `make bench`, or `make bench QUICK=1`. Sandbox, daemon and floors are processes of their own, so that each one's
//! processor time and memory are its own. The last line is one JSON object. `--only NAME` measures one part;
//! `--beside BINARY` measures forwarding alone, this build and another in turns.

mod bare;
mod daemon;
mod fleet;
mod forwarding;
mod logins;
mod post;
mod process;
mod receiver;
mod report;
mod rounds;
mod scene;
mod webhooks;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use scene::Failed;

/// Measure trunkline
#[derive(Parser)]
struct Options {
    /// The short form
    #[arg(long)]
    quick: bool,
    /// One part: forwarding, webhooks, fleet, logins
    #[arg(long)]
    only: Option<String>,
    /// Another build of the daemon: what a forward costs each of the two, in turns
    #[arg(long, value_name = "BINARY", conflicts_with = "only")]
    beside: Option<PathBuf>,
    /// How many turns each has
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// Be a floor instead
    #[arg(long, num_args = 1.., allow_hyphen_values = true, hide = true)]
    role: Vec<String>,
    /// What cargo adds
    #[arg(long, hide = true)]
    bench: bool,
}

/// How much is done.
pub struct Size {
    /// Copies for a rate.
    pub forwards: usize,
    /// Pairs, where there are many.
    pub pairs: usize,
    /// Copies for a latency.
    pub calm: usize,
    /// The highest rate at which latency is taken, a second.
    pub calm_rate: f64,
    /// Webhook deliveries.
    pub deliveries: usize,
    /// Sessions of a fleet.
    pub sessions: usize,
    /// Logins at once.
    pub logins: usize,
    /// Tasks that wait at a start.
    pub tasks: usize,
    /// Events for the cost of one.
    pub events: usize,
}

const WHOLE: Size = Size {
    forwards: 20_000,
    pairs: 100,
    calm: 5_000,
    calm_rate: 500.0,
    deliveries: 30_000,
    sessions: 1000,
    logins: 200,
    tasks: 100_000,
    events: 20_000,
};

const QUICK: Size = Size {
    forwards: 3_000,
    pairs: 20,
    calm: 500,
    calm_rate: 250.0,
    deliveries: 5_000,
    sessions: 100,
    logins: 40,
    tasks: 5_000,
    events: 2_000,
};

fn main() -> ExitCode {
    let options = Options::parse();
    // Before any TLS: one provider for all, as in the daemon.
    if rustls::crypto::ring::default_provider()
        .install_default()
        .is_err()
    {
        eprintln!("figures: TLS was set up already");
    }
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("figures: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("figures: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Result<(), Failed> {
    if let Some((role, arguments)) = options.role.split_first() {
        return match role.as_str() {
            "post" => post::play(arguments).await,
            role => bare::play(role, arguments).await,
        };
    }
    let size = if options.quick { &QUICK } else { &WHOLE };
    if let Some(other) = &options.beside {
        return rounds::measure(other, options.rounds, size).await;
    }
    let wanted = |part: &str| options.only.as_deref().is_none_or(|only| only == part);
    let mut figures = Vec::new();
    if wanted("forwarding") {
        figures.extend(forwarding::measure(size).await?);
    }
    if wanted("webhooks") {
        figures.extend(webhooks::measure(size).await?);
    }
    if wanted("fleet") {
        figures.extend(fleet::measure(size).await?);
    }
    if wanted("logins") {
        figures.extend(logins::measure(size).await?);
    }
    report::print(&figures, options.quick);
    Ok(())
}
