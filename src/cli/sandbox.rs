//! `trunkline sandbox`: a Telegram of one's own on loopback.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::sandbox::server::{daemon_config, key};
use crate::sandbox::world::account::{DC, SECOND_DC};
use crate::sandbox::{Sandbox, SandboxConfig, SandboxError, Seed, Switches};

use super::{data, show};

/// Run a Telegram of one's own on loopback, to try and to test against
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  trunkline sandbox                              a small world, gone when it stops
  trunkline sandbox --data ./world               a world that stays
  trunkline sandbox --seed my-world.toml
  trunkline sandbox --print-config >> trunkline.toml     with --data, name the same folder here
  curl http://127.0.0.1:7480/world               who is there
  curl http://127.0.0.1:7480/codes/999661000001  the login code of a number")]
pub struct Command {
    /// The port of the Telegram server
    #[arg(long, default_value_t = 7443)]
    port: u16,
    /// The port of a second data centre (number 4); without it there is one only
    #[arg(long, value_name = "PORT")]
    second_port: Option<u16>,
    /// The port of the control interface (HTTP)
    #[arg(long, default_value_t = 7480)]
    control_port: u16,
    /// Keep world and keys in this folder
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Fill an empty world from this file (TOML); without it a small example is used
    #[arg(long, value_name = "FILE")]
    seed: Option<PathBuf>,
    /// Spare clients what Telegram does not spare them: all switches off
    #[arg(long)]
    lenient: bool,
    /// Turn one of Telegram's ways on or off (`GET /switches` lists them); may be given several times
    #[arg(long = "switch", value_name = "NAME=on|off", value_parser = wanted)]
    switches: Vec<(String, bool)>,
    /// Send the stream that real accounts hear all day (status, counters, drafts, settings), drawn from this number
    #[arg(long, value_name = "SEED")]
    weather: Option<i64>,
    /// Have Telegram's limits on speed: flood waits, which grow if one asks before their end
    #[arg(long)]
    limits: bool,
    /// How many times faster the clock of these limits goes; 60 lets an hour pass in a minute
    #[arg(long, value_name = "TIMES", default_value_t = 1, requires = "limits",
          value_parser = clap::value_parser!(u32).range(1..=3600))]
    clock_factor: u32,
    /// By how many seconds its clock is ahead of the machine's, or behind
    #[arg(long, value_name = "SECONDS", default_value_t = 0, allow_negative_numbers = true,
          value_parser = clap::value_parser!(i64).range(-31_536_000..=31_536_000))]
    clock_offset: i64,
    /// Print the configuration section with which a daemon reaches it, and end
    #[arg(long)]
    print_config: bool,
}

impl Command {
    /// Runs it until it is interrupted.
    pub fn run(self, data_dir: Option<&Path>) -> ExitCode {
        let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return failed(&error),
        };
        match runtime.block_on(self.work(data_dir)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(error.as_ref()),
        }
    }

    async fn work(self, data_dir: Option<&Path>) -> Result<(), Cause> {
        let key_file = match &self.data {
            Some(folder) => folder.join("rsa.pem"),
            None => data::folder(data_dir)?.join("sandbox-rsa.pem"),
        };
        if self.print_config {
            let rsa = key(Some(&key_file))?;
            let pem = rsa.public_pem().map_err(SandboxError::from)?;
            let ports =
                std::iter::once((DC, self.port)).chain(self.second_port.map(|port| (SECOND_DC, port)));
            let centres = ports.map(|(dc, port)| (dc, SocketAddr::from((Ipv4Addr::LOCALHOST, port))));
            let config = daemon_config(&centres.collect(), &pem, &(1, "sandbox".to_owned()));
            return Ok(show::text(&config)?);
        }
        let seed = match &self.seed {
            Some(file) => read_seed(file).map_err(|source| of_seed(file, source))?,
            None => Seed::example()?,
        };
        let mut switches = if self.lenient {
            Switches::LENIENT
        } else {
            Switches::default()
        };
        for (name, on) in &self.switches {
            switches.turn(name, *on)?;
        }
        let config = SandboxConfig {
            switches,
            weather: self.weather,
            limits: self.limits.then_some(self.clock_factor),
            clock_offset: self.clock_offset,
            port: self.port,
            second_port: self.second_port,
            control_port: self.control_port,
            data: self.data,
            key_file: Some(key_file),
            seed: Some(seed),
            ..SandboxConfig::default()
        };
        let started = Sandbox::start(config).await;
        let sandbox = started.map_err(|error| match (error, &self.seed) {
            (SandboxError::Seed(error), Some(file)) => of_seed(file, error.into()),
            (error, _) => error.into(),
        })?;
        let control = sandbox.control();
        let servers: Vec<String> = sandbox.centres().values().map(SocketAddr::to_string).collect();
        let told = format!(
            "Telegram server  {}\nControl          {control}\nConfiguration    {control}/config\n",
            servers.join(" ")
        );
        if let Err(error) = std::io::stdout().write_all(told.as_bytes()) {
            // Whoever started it may have read enough and gone.
            tracing::debug!(%error, "nobody reads where the sandbox listens");
        }
        stopped().await?;
        sandbox.stop().await;
        Ok(())
    }
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A seed file that cannot be read or planted.
#[derive(Debug, thiserror::Error)]
#[error("the seed {}", file.display())]
struct OfSeed {
    file: PathBuf,
    #[source]
    source: Cause,
}

fn of_seed(file: &Path, source: Cause) -> Cause {
    let file = file.to_owned();
    OfSeed { file, source }.into()
}

fn read_seed(file: &Path) -> Result<Seed, Cause> {
    Ok(Seed::parse(&std::fs::read_to_string(file)?)?)
}

/// A switch and where it is to stand.
fn wanted(text: &str) -> Result<(String, bool), String> {
    match text.split_once('=') {
        Some((name, "on")) => Ok((name.to_owned(), true)),
        Some((name, "off")) => Ok((name.to_owned(), false)),
        _ => Err("a switch is given as NAME=on or NAME=off".to_owned()),
    }
}

/// Waits until the process is told to stop.
async fn stopped() -> std::io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    show::complain(&crate::base::chain(error));
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_seed_names_its_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("world.toml");
        std::fs::write(&file, "[[users]]\nnobody = 1\n").expect("written");
        let cause = read_seed(&file).expect_err("no seed");
        let error = of_seed(&file, cause);
        assert!(error.to_string().ends_with("world.toml"), "{error}");
        assert!(error.source().is_some(), "and says why");
    }
}
