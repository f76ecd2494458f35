//! One structured line where a thing is handled: to standard error, as text or JSON.

use serde::Deserialize;
use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::time::SystemTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::lines;

/// The config section `[log]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// Levels by module, as tracing's filters are written: `info`, `warn,trunkline=debug`.
    pub level: String,
    /// How a line looks.
    pub format: LogFormat,
}

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines.
    Json,
}

impl LogConfig {
    /// Everything that cannot be, by key.
    ///
    /// A filter takes a lone word that is no level for a module, and then logs nothing of all others: somebody who
    /// wrote `inof` would have a daemon without logs.
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut fault = |why: String| faults.push(("log.level".to_owned(), why));
        if let Err(error) = EnvFilter::try_new(&self.level) {
            fault(error.to_string());
        }
        let parts = self.level.split(',').map(str::trim);
        for part in parts.filter(|part| !part.is_empty() && !part.contains('=')) {
            if part.parse::<LevelFilter>().is_err() {
                fault(format!(
                    "`{part}` is no level (off, error, warn, info, debug, trace), nor module=level"
                ));
            }
        }
        faults
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            level: "info,grammers_mtproto=warn,grammers_mtsender=warn,grammers_session=warn,sled=warn".into(),
            format: LogFormat::Text,
        }
    }
}

/// At its finest level the Telegram client writes whole updates: texts, names and phone numbers, which no log may hold
/// whatever level is asked for.
fn may_be_told(line: &Metadata<'_>) -> bool {
    *line.level() != Level::TRACE || !line.target().starts_with("grammers")
}

/// Begins to log; a second call in a process changes nothing.
pub fn start(config: &LogConfig) {
    match lines::lines() {
        Ok(lines) => start_with(config, lines),
        // Without a thread for it, each part writes its lines itself.
        Err(_) => start_with(config, std::io::stderr),
    }
}

fn start_with<W>(config: &LogConfig, writer: W)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(&config.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // Where a line cannot be written, on a full disk say, a complaint about it cannot either, and would panic.
        .log_internal_errors(false)
        .with_writer(writer);
    let started = match config.format {
        LogFormat::Text => {
            let lines = lines.with_timer(SystemTime).with_ansi(false).finish();
            lines.with(filter_fn(may_be_told)).try_init()
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).finish();
            lines.with(filter_fn(may_be_told)).try_init()
        }
    };
    if started.is_err() {
        tracing::debug!("logs had been started before");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_would_silence_the_daemon_is_refused() {
        let faults = |level: &str| {
            let config = LogConfig {
                level: level.to_owned(),
                ..LogConfig::default()
            };
            config.faults().len()
        };
        assert_eq!(LogConfig::default().faults(), []);
        for right in [
            "info",
            "WARN",
            "off",
            "warn,trunkline=debug",
            "trunkline::http=trace",
        ] {
            assert_eq!(faults(right), 0, "{right}");
        }
        for wrong in [
            "inof",
            "loud",
            "trunkline",
            "warn,trunkline",
            "trunkline=loud",
            "warn, trunkline=debug",
        ] {
            assert_eq!(faults(wrong), 1, "{wrong}");
        }
    }
}
