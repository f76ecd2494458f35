//! How the daemon is: one word for all of it, one for each part that reported.
//!
//! A check reads what a domain knows already; it never calls out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use schemars::JsonSchema;
use serde::Serialize;

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Ok,
    /// A part does not do its work; the rest does.
    Degraded,
    /// The daemon can't do its work.
    Failing,
}

/// How one part is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Check {
    /// In one word.
    pub status: Status,
    /// In one line, for a person: numbers and states, never names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Check {
    /// As it should be.
    pub fn ok() -> Self {
        Self {
            status: Status::Ok,
            detail: None,
        }
    }

    /// Not as it should be.
    pub fn not_ok(status: Status, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: Some(detail.into()),
        }
    }
}

/// The answer of `/health`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Health {
    /// The worst of the checks.
    pub status: Status,
    /// Each part.
    pub checks: BTreeMap<&'static str, Check>,
    /// The version of the daemon.
    pub version: &'static str,
    /// Seconds since it started.
    pub uptime: u64,
}

impl Health {
    /// What a caller may hear whose key cannot be looked up, since the store is away: that.
    pub fn of_store_away(self) -> Self {
        let store = Check {
            status: Status::Failing,
            detail: None,
        };
        Self {
            status: Status::Failing,
            checks: BTreeMap::from([("store", store)]),
            ..self
        }
    }
}

type Ask = Arc<dyn Fn() -> Check + Send + Sync>;

/// The checks that were registered.
#[derive(Clone)]
pub struct Checks {
    began: Instant,
    checks: Vec<(&'static str, Ask)>,
}

impl Default for Checks {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            checks: Vec::new(),
        }
    }
}

impl Checks {
    /// Adds a part.
    pub fn with(mut self, name: &'static str, check: impl Fn() -> Check + Send + Sync + 'static) -> Self {
        self.checks.push((name, Arc::new(check)));
        self
    }

    /// Asks every part.
    pub fn report(&self) -> Health {
        let checks: BTreeMap<_, _> = self.checks.iter().map(|(name, ask)| (*name, ask())).collect();
        Health {
            status: checks
                .values()
                .map(|check| check.status)
                .max()
                .unwrap_or(Status::Ok),
            checks,
            version: env!("CARGO_PKG_VERSION"),
            uptime: self.began.elapsed().as_secs(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_is_as_well_as_its_worst_part() {
        let checks = Checks::default().with("store", Check::ok);
        assert_eq!(checks.report().status, Status::Ok);
        let checks = checks.with("telegram", || Check::not_ok(Status::Degraded, "1 of 3 connected"));
        let report = checks.report();
        assert_eq!(report.status, Status::Degraded);
        assert_eq!(report.checks.len(), 2);
    }
}
