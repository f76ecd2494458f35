//! One structured line where a thing is handled: to standard error, as text or JSON.

use serde::Deserialize;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::SystemTime;

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

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            level: "info,grammers_mtsender=warn,grammers_session=warn,sled=warn".into(),
            format: LogFormat::Text,
        }
    }
}

/// Begins to log; a second call in a process changes nothing.
pub fn start(config: &LogConfig) {
    let filter = EnvFilter::try_new(&config.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // Where a line cannot be written, on a full disk say, a complaint about it cannot either, and would panic.
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    let started = match config.format {
        LogFormat::Text => lines.with_timer(SystemTime).with_ansi(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    if started.is_err() {
        tracing::debug!("logs had been started before");
    }
}
