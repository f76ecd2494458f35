//! What each session called: the last calls, and counters.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

/// How many calls are remembered one by one.
const KEPT: usize = 50_000;

/// One call.
#[derive(Clone, Debug, Serialize)]
pub struct Request {
    /// When, in milliseconds since the epoch.
    pub at: i64,
    /// Under which key.
    pub key: String,
    /// In which session.
    pub session: String,
    /// As whom.
    pub account: Option<i64>,
    /// Which method.
    pub method: &'static str,
    /// `ok`, an error's name, or what a fault did.
    pub outcome: String,
}

/// The log of calls.
#[derive(Debug, Default)]
pub struct Requests {
    recent: VecDeque<Request>,
    counts: BTreeMap<&'static str, BTreeMap<String, u64>>,
}

impl Requests {
    /// Writes a call down.
    pub fn add(&mut self, request: Request) {
        *self
            .counts
            .entry(request.method)
            .or_default()
            .entry(request.outcome.clone())
            .or_default() += 1;
        if self.recent.len() == KEPT {
            self.recent.pop_front();
        }
        self.recent.push_back(request);
    }

    /// The last calls, newest last.
    pub fn recent(&self, account: Option<i64>, method: Option<&str>, limit: usize) -> Vec<Request> {
        let fits = |request: &&Request| {
            account.is_none_or(|account| request.account == Some(account))
                && method.is_none_or(|method| request.method == method)
        };
        let mut found: Vec<Request> = self
            .recent
            .iter()
            .rev()
            .filter(fits)
            .take(limit)
            .cloned()
            .collect();
        found.reverse();
        found
    }

    /// How often each method was called, by outcome.
    pub fn counts(&self) -> &BTreeMap<&'static str, BTreeMap<String, u64>> {
        &self.counts
    }
}
