//! The command line: `trunkline <command>`.
//!
//! A command either is the daemon (run, demo, sandbox), or talks to a running one over its API, or
//! works on a stopped one's data folder. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no daemon
//! answers, 4 the key was refused, 78 wrong configuration.

mod access;
mod asset;
mod client;
mod daemon;
pub mod data;
mod demo;
mod endpoints;
mod events;
mod login;
mod pairs;
mod recovery;
mod sandbox;
mod sessions;
mod show;
mod store;

use std::future::Future;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use client::{CliError, Client, Target};

/// Keeps Telegram user sessions alive and puts them to work
#[derive(Debug, Parser)]
#[command(name = "trunkline", version, arg_required_else_help = true)]
#[command(after_help = "\
Examples:
  trunkline login --phone +989121234567      log an account in
  trunkline sessions                         what is connected
  trunkline events --follow                  what happens, as it happens
  trunkline tree                             the live supervision tree

Environment:
  TRUNKLINE_URL        where the daemon's API is
  TRUNKLINE_API_KEY    the API key; else admin.key in the data folder is read")]
struct Cli {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    command: Command,
}

/// What can be asked for.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon until it is told to stop
    Run(daemon::Run),
    /// Show everything at work against the built-in sandbox
    Demo(demo::Demo),
    /// Check the configuration and say everything that is wrong with it
    CheckConfig(daemon::CheckConfig),
    /// Run a Telegram of one's own on loopback, to try and to test against
    Sandbox(sandbox::Command),
    /// Log a Telegram account in by code or QR
    Login(login::Login),
    /// List and steer sessions
    Sessions(sessions::Sessions),
    /// List and steer forwarding pairs
    Pairs(pairs::Pairs),
    /// List and steer webhook endpoints
    Endpoints(endpoints::Endpoints),
    /// Look at discarded tasks, put them back or drop them
    DeadLetters(recovery::DeadLetters),
    /// Look at what waits for a person
    Incidents(recovery::Incidents),
    /// Print what happens, as it happens
    Events(events::Events),
    /// Show the live supervision tree
    Tree,
    /// Show who logged in, imported, exported or deleted what
    Audit(asset::AuditLog),
    /// Make, list and revoke API keys
    #[command(alias = "keys")]
    Key(access::Key),
    /// Check, import or export the stored state
    Store(store::Store),
    /// Print the OpenAPI document
    Openapi,
}

/// Reads the arguments and does what they say.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    cli.command.run(cli.target)
}

impl Command {
    /// Does it.
    pub fn run(self, target: Target) -> ExitCode {
        let done = match self {
            Self::Run(command) => return command.run(target.data_dir),
            Self::Demo(command) => return command.run(target.json),
            Self::CheckConfig(command) => match command.run() {
                Ok(code) => return code,
                Err(error) => Err(error),
            },
            Self::Sandbox(command) => return command.run(target.data_dir.as_deref()),
            Self::Login(command) => over_api(&target, |client| command.run(client, &target)),
            Self::Sessions(command) => over_api(&target, |client| command.run(client, &target)),
            Self::Pairs(command) => over_api(&target, |client| command.run(client, &target)),
            Self::Endpoints(command) => over_api(&target, |client| command.run(client, &target)),
            Self::DeadLetters(command) => over_api(&target, |client| command.run(client, &target)),
            Self::Incidents(command) => over_api(&target, |client| command.run(client, &target)),
            Self::Audit(command) => over_api(&target, |client| command.run(client, &target)),
            Self::Events(command) => over_api(&target, |client| command.run(client, &target)),
            Self::Tree => over_api(&target, |client| recovery::tree(client, &target)),
            Self::Key(command) => command.run(&target),
            Self::Store(command) => command.run(&target),
            Self::Openapi => show::json(&crate::http::document()),
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                show::complain(&error.to_string());
                error.exit_code()
            }
        }
    }
}

/// Runs a command that talks to the daemon.
fn over_api<F, Fut>(target: &Target, command: F) -> Result<(), CliError>
where
    F: FnOnce(Client) -> Fut,
    Fut: Future<Output = Result<(), CliError>>,
{
    // A process has one TLS provider; whoever came first has installed this very one.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let client = Client::new(target)?;
    on_this_thread(command(client))?
}

/// Runs a future to its end.
fn on_this_thread<F: Future>(work: F) -> Result<F::Output, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|cause| CliError::Io {
            what: "the runtime".to_owned(),
            cause,
        })?;
    Ok(runtime.block_on(work))
}

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory};

    /// An argument of a command that is named like a global one would be taken for it: the key would
    /// be sent to a webhook's receiver.
    fn check(command: &Command) {
        for below in command.get_subcommands() {
            for argument in below.get_arguments() {
                let name = argument.get_id().as_str();
                assert!(
                    !["url", "data_dir", "json", "timeout"].contains(&name),
                    "{} {name}",
                    below.get_name()
                );
            }
            check(below);
        }
    }

    #[test]
    fn no_command_takes_a_global_argument_for_its_own() {
        check(&super::Cli::command());
    }

    #[test]
    fn the_arguments_are_consistent() {
        super::Cli::command().debug_assert();
    }
}
