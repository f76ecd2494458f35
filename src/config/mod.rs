//! Configuration: the embedded default, a file, the environment; checked as a whole before anything starts.
//!
//! `config/default.toml` is embedded, commented for operators, and is the reference. A file replaces what it
//! names, and so do the variables of earlier deployments; `TRUNKLINE__SECTION__KEY` replaces that. Unknown keys are refused, and all faults are reported at
//! once. Each section's type stands in the module that it configures.

mod environment;
#[cfg(test)]
mod fuzz_tests;
mod layers;
mod older;

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::access::AccessConfig;
use crate::base::Span;
use crate::forward::ForwardConfig;
use crate::http::HttpConfig;
use crate::limiter::LimiterConfig;
use crate::ops::{AuditConfig, IncidentsConfig};
use crate::store::StoreConfig;
use crate::telegram::TelegramConfig;
use crate::telemetry::LogConfig;
use crate::webhook::WebhookConfig;

/// The embedded default, which is the reference of every key.
pub const DEFAULT: &str = include_str!("../../config/default.toml");

/// The whole configuration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What is logged, and how.
    pub log: LogConfig,
    /// Where and how state is kept.
    pub store: StoreConfig,
    /// How Telegram is reached.
    pub telegram: TelegramConfig,
    /// Telegram's limits.
    pub limiter: LimiterConfig,
    /// Webhook endpoints.
    pub webhook: WebhookConfig,
    /// Forwarding pairs.
    pub forward: ForwardConfig,
    /// The control API.
    pub http: HttpConfig,
    /// Who asks.
    pub access: AccessConfig,
    /// The audit log.
    pub audit: AuditConfig,
    /// What waits for a person.
    pub incidents: IncidentsConfig,
    /// The life of the process.
    pub daemon: DaemonConfig,
    /// What was set and is of no use.
    #[serde(skip)]
    pub notes: Vec<Fault>,
    /// Whether somebody names the data folder; else it is looked for where such folders are.
    #[serde(skip)]
    pub folder_is_named: bool,
}

/// The life of the process.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DaemonConfig {
    /// Time for everything to end after SIGTERM; then it is killed.
    pub drain: Span,
    /// Files and connections that may be open at once; the system's hard limit is never exceeded.
    pub open_files: u64,
}

impl Default for DaemonConfig {
    fn default() -> Self {
        Self {
            drain: Span::secs(25),
            open_files: 65_536,
        }
    }
}

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The key, with its section.
    pub key: String,
    /// Why its value cannot be.
    pub why: String,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{} is not TOML: {why}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        why: String,
    },
    /// Values that cannot be.
    #[error("the configuration has {} fault(s)\n{}", .0.len(), list(.0))]
    Faults(Vec<Fault>),
}

fn list(faults: &[Fault]) -> String {
    let lines: Vec<_> = faults
        .iter()
        .map(|fault| format!("  {}: {}", fault.key, fault.why))
        .collect();
    lines.join("\n")
}

impl Config {
    /// Reads the default, the file if there is one, and the environment.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let mut layers = layers::Layers::embedded();
        if let Some(path) = file {
            layers.add_file(path)?;
        }
        layers.add_variables(std::env::vars_os());
        layers.finish()
    }

    /// Reads the default and a text over it; for tests, the demo and `sandbox --print-config`'s output.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn from_text(text: &str) -> Result<Self, ConfigError> {
        let mut layers = layers::Layers::embedded();
        layers.add_text(Path::new("(text)"), text)?;
        layers.finish()
    }

    /// Everything that cannot be, beyond types and names.
    fn faults(&self) -> Vec<Fault> {
        let sections = [
            self.log.faults(),
            self.access.faults(),
            self.telegram.faults(),
            self.limiter.faults(),
            self.webhook.faults(),
            self.forward.faults(),
            self.http.faults(),
        ];
        let faults = sections.into_iter().flatten();
        let mut faults: Vec<Fault> = faults.map(|(key, why)| Fault { key, why }).collect();
        if self.daemon.drain.is_zero() {
            faults.push(Fault {
                key: "daemon.drain".into(),
                why: "must be longer than nothing".into(),
            });
        }
        faults
    }

    /// Legal, but worth a thought.
    pub fn warnings(&self) -> Vec<Fault> {
        let mut warnings = Vec::new();
        let mut warn = |key: &str, why: &str| {
            warnings.push(Fault {
                key: key.into(),
                why: why.into(),
            })
        };
        if self.telegram.api_id == 0 && self.telegram.server.dc.is_empty() {
            warn(
                "telegram.api_id",
                "is not set: no session can log in before it is (see my.telegram.org)",
            );
        }
        if !self.http.listen.ip().is_loopback() {
            warn(
                "http.listen",
                "is not loopback: put a TLS-terminating proxy before it",
            );
        }
        if self.limiter == LimiterConfig::sandbox() && self.telegram.server.dc.is_empty() {
            warn(
                "limiter.profile",
                "is the sandbox's, at Telegram itself: accounts may be banned for it",
            );
        }
        warnings.extend(self.notes.iter().cloned());
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_default_is_what_the_sections_default_to() {
        let embedded = Config::from_text("").expect("the embedded default is right");
        assert_eq!(format!("{embedded:#?}"), format!("{:#?}", Config::default()));
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let text = "[telegram]\napi_id = \"x\"\nunknown = 1\n[store]\nsync = \"maybe\"\n[nowhere]\na = 1\n";
        let Err(ConfigError::Faults(faults)) = Config::from_text(text) else {
            panic!("it was taken")
        };
        let keys: Vec<_> = faults.iter().map(|fault| fault.key.as_str()).collect();
        assert_eq!(
            keys,
            ["nowhere.a", "store.sync", "telegram.api_id", "telegram.unknown"]
        );
    }

    #[test]
    fn a_text_that_is_no_toml_is_told_with_its_line() {
        let text = "[http]\nlisten = \"127.0.0.1:8000\"\n[telegram\napi_hash = \"0123456789abcdef\"\n";
        let error = Config::from_text(text).expect_err("an open bracket");
        let told = error.to_string();
        assert!(told.contains("line 3: "), "{told}");
        assert!(!told.contains("0123456789abcdef"), "{told}");
    }

    #[test]
    fn values_are_checked_beyond_their_types() {
        let text = "[telegram]\nstart_at_once = 0\n[daemon]\ndrain = \"0s\"\n";
        let Err(ConfigError::Faults(faults)) = Config::from_text(text) else {
            panic!("it was taken")
        };
        assert_eq!(faults.len(), 2);
    }

    #[test]
    fn secrets_do_not_show() {
        let config = Config::from_text("[telegram]\napi_hash = \"0123456789abcdef\"\n").expect("right");
        assert!(!format!("{config:?}").contains("0123456789abcdef"));
    }
}
