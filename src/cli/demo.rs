//! `trunkline demo`: the whole product at work, with no account anywhere.

use std::process::ExitCode;
use std::time::Duration;

use super::show;
use crate::app::{DemoOptions, demo};
use crate::telemetry;

/// Show everything at work against the built-in sandbox
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  trunkline demo                              until Ctrl-C
  trunkline demo --messages 500 --json        to its end; the last line is the ledger
  trunkline demo --messages 500 --rate 200

Exit code 0 only if nothing was lost, doubled or left open.")]
pub struct Demo {
    /// New messages until it ends; without it, it goes on until Ctrl-C
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    messages: Option<u32>,
    /// Messages a second [default: 40 with --messages, else 3]
    #[arg(long, value_parser = rate)]
    rate: Option<f64>,
    /// What is logged meanwhile
    #[arg(long, default_value = "error", value_name = "LEVEL")]
    log: String,
}

impl Demo {
    /// Runs it.
    pub fn run(self, json: bool) -> ExitCode {
        telemetry::start_logs(&telemetry::LogConfig {
            level: self.log,
            ..Default::default()
        });
        let rate = self
            .rate
            .unwrap_or(if self.messages.is_some() { 40.0 } else { 3.0 });
        let options = DemoOptions {
            messages: self.messages.map(|count| count as usize),
            rate,
            json,
        };
        match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
            Ok(runtime) => {
                let code = runtime.block_on(demo(options));
                telemetry::flush_logs(Duration::from_secs(1));
                code
            }
            Err(error) => {
                show::complain(&format!("no runtime: {error}"));
                ExitCode::FAILURE
            }
        }
    }
}

/// Messages a second that a demo can be played at.
fn rate(text: &str) -> Result<f64, String> {
    let rate: Option<f64> = text.parse().ok();
    let fits = rate.filter(|rate| (0.01..=1000.0).contains(rate));
    fits.ok_or_else(|| "a rate is 0.01 to 1000 messages a second".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_that_no_clock_can_keep_is_refused() {
        for right in ["0.01", "3", "1e3"] {
            assert!(rate(right).is_ok(), "{right}");
        }
        for wrong in ["inf", "-inf", "nan", "0", "-1", "1e300", "1001", "x", ""] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }
}
