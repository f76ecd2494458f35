//! The commands that are the daemon, or look at its configuration.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::app;
use crate::config::{Config, ConfigError};
use crate::store::StoreConfig;

use super::data;

/// What sysexits calls EX_CONFIG: starting again would not help.
const EX_CONFIG: u8 = 78;

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
        let unnamed = config.store.folder == StoreConfig::default().folder;
        if data_dir.is_some() || unnamed {
            config.store.folder = data::folder(data_dir.as_deref());
        }
        match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(app::run(config)),
            Err(error) => {
                eprintln!("trunkline: no runtime: {error}");
                ExitCode::FAILURE
            }
        }
    }
}

impl CheckConfig {
    /// Checks, or prints the default.
    pub fn run(self) -> ExitCode {
        if self.print_default {
            print!("{}", crate::config::DEFAULT);
            return ExitCode::SUCCESS;
        }
        match Config::load(self.config.as_deref()) {
            Ok(config) => {
                for warning in config.warnings() {
                    println!("warning: {} {}", warning.key, warning.why);
                }
                println!("the configuration is right");
                ExitCode::SUCCESS
            }
            Err(error) => refuse(&error),
        }
    }
}

fn refuse(error: &ConfigError) -> ExitCode {
    eprintln!("trunkline: {}", crate::base::chain(error));
    ExitCode::from(EX_CONFIG)
}
