//! The commands that are the daemon, or look at its configuration.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use crate::app;
use crate::config::Config;
use crate::telemetry;

use super::client::CliError;
use super::{data, show};

/// What sysexits calls EX_CONFIG: starting again would not help.
const EX_CONFIG: u8 = 78;

/// Time for threads in the background to end after all else has.
const LEFT_OVER: Duration = Duration::from_secs(1);

/// Run the daemon until it is told to stop
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  trunkline run                                  with the built-in defaults
  trunkline run --config /etc/trunkline.toml     with a file over them
  TRUNKLINE__HTTP__LISTEN=127.0.0.1:8100 trunkline run

Exit codes: 0 stopped as asked, 1 the start failed or the tree gave up, 78 wrong configuration.")]
pub struct Run {
    /// A file that replaces defaults
    #[arg(long, value_name = "FILE", env = "TRUNKLINE_CONFIG")]
    config: Option<PathBuf>,
}

/// Check the configuration and say everything that is wrong with it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  trunkline check-config --config /etc/trunkline.toml
  trunkline check-config --print-default > trunkline.toml")]
pub struct CheckConfig {
    /// A file that replaces defaults
    #[arg(long, value_name = "FILE", env = "TRUNKLINE_CONFIG")]
    config: Option<PathBuf>,
    /// Print the default configuration, with every key explained
    #[arg(long)]
    print_default: bool,
}

impl Run {
    /// Runs.
    pub fn run(self, data_dir: Option<PathBuf>) -> ExitCode {
        let mut config = match Config::load(self.config.as_deref()) {
            Ok(config) => config,
            Err(error) => return refuse(&error),
        };
        config.store.folder = match data::folder_of(&config, data_dir.as_deref()) {
            Ok(folder) => folder,
            Err(error) => return refuse(&error),
        };
        match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
            Ok(runtime) => {
                let code = runtime.block_on(app::run(config));
                // What a start that was cut off still does in the background is not waited for.
                runtime.shutdown_timeout(LEFT_OVER);
                telemetry::flush_logs(LEFT_OVER);
                code
            }
            Err(error) => {
                show::complain(&format!("no runtime: {error}"));
                ExitCode::FAILURE
            }
        }
    }
}

impl CheckConfig {
    /// Checks, or prints the default.
    pub fn run(self) -> Result<ExitCode, CliError> {
        if self.print_default {
            show::text(crate::config::DEFAULT)?;
            return Ok(ExitCode::SUCCESS);
        }
        match Config::load(self.config.as_deref()) {
            Ok(config) => {
                for warning in config.warnings() {
                    show::line(&format!("warning: {} {}", warning.key, warning.why))?;
                }
                show::line("the configuration is right")?;
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => Ok(refuse(&error)),
        }
    }
}

fn refuse(error: &dyn std::error::Error) -> ExitCode {
    show::complain(&crate::base::chain(error));
    ExitCode::from(EX_CONFIG)
}
