//! What is seen of an account while its case is on, and what is asked of the daemon in that time. Pure.

use serde_json::Value;
use trunkline::model::{Refusal, SessionState};

use super::cases::{Case, Mode};
use super::exercise::Work;

/// Bounds of the time that is watched.
pub const CALLS: usize = 6;
pub const RECONNECTS: usize = 2;
pub const LOG_LINES: usize = 20;

/// A call may come this much before the end of a named wait: clocks are read at different moments. In milliseconds.
const GRACE: i64 = 60;

/// What was seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// When the method was called, and with what outcome.
    pub calls: Vec<(i64, String)>,
    /// How often it was called by whom the sandbox knows the account of, or not yet.
    pub matched: usize,
    /// How often the fault acted.
    pub acted: u64,
    pub reconnects: usize,
    pub log_lines: usize,
    /// The session's state.
    pub state: String,
    /// Whether the pair runs, and why it does not.
    pub pair: Option<(String, Option<String>)>,
    pub skipped: u64,
    pub dead_letters: usize,
    /// Whether an incident names the session or the pair.
    pub incidents: usize,
    pub answers: Vec<(u16, Value)>,
}

impl Seen {
    /// What was not as it has to be.
    pub fn faults(&self, case: &Case) -> Vec<String> {
        let mut faults = Vec::new();
        if self.acted == 0 {
            return faults;
        }
        // The parts of a large file are many calls; those that were refused are counted.
        let calls = match case.method.starts_with("upload.") {
            true => self.acted as usize,
            // Of a call before a login the sandbox knows no account.
            false if self.calls.is_empty() => self.matched,
            false => self.calls.len(),
        };
        if calls > CALLS {
            let first = self.calls.first().map_or(0, |(at, _)| *at);
            let times: Vec<i64> = self.calls.iter().map(|(at, _)| at - first).collect();
            faults.push(format!("{calls} calls of the method, at {times:?} ms"));
        }
        // A session that a person starts anew begins anew.
        let starts = if case.work == Work::Restart { 2 } else { 1 };
        if self.reconnects > RECONNECTS * starts {
            faults.push(format!("{} reconnects", self.reconnects));
        }
        if self.log_lines > LOG_LINES {
            faults.push(format!("{} log lines", self.log_lines));
        }
        if let Some(seconds) = case.wait() {
            let early = early(&self.calls, &case.name, seconds * 1000);
            if early > 0 {
                faults.push(format!("{early} calls inside a wait"));
            }
        }
        for (status, body) in &self.answers {
            if *status == 500 {
                faults.push(format!("an answer 500 {body}"));
            }
        }
        faults.extend(self.broken_promise(case));
        faults
    }

    /// What the error's class promises and was not kept.
    fn broken_promise(&self, case: &Case) -> Option<String> {
        let class = case.class();
        let (state, reason) = match &self.pair {
            Some((state, reason)) => (state.as_str(), reason.as_deref()),
            None => ("", None),
        };
        let wanted = |what: &str| {
            Some(format!(
                "promised {what}: session {}, pair {state} ({reason:?}), {} skipped, {} dead letters, {} incidents",
                self.state, self.skipped, self.dead_letters, self.incidents
            ))
        };
        let sends = case.work.forwards();
        let named = case.method.starts_with("messages.send") || case.method == "messages.forwardMessages";
        if sends && named {
            let kept = match class {
                Refusal::Hold(_) | Refusal::Protected => state == "held" && reason.is_some(),
                Refusal::KindForbidden => self.skipped > 0,
                Refusal::PeerFlood => self.state == "restricted" && reason == Some("peer_flood"),
                Refusal::Frozen => self.state == "frozen" && reason == Some("account_frozen"),
                Refusal::Refused | Refusal::Login | Refusal::Defect | Refusal::TooBig => {
                    self.dead_letters > 0
                }
                Refusal::Wait { .. } | Refusal::Uncertain | Refusal::Unavailable | Refusal::Renew(_) => {
                    state == "running" && self.dead_letters == 0
                }
                _ => true,
            };
            if !kept {
                return wanted(class.as_str());
            }
        }
        if let Refusal::Ended(ended) = class
            && !case.work.logs_in()
            && self.state != ended.as_str()
            && self.state != SessionState::LoggedOut.as_str()
        {
            return wanted(ended.as_str());
        }
        let asked = case.work.is_asked_for() && case.mode == Mode::Every;
        let heals = matches!(class, Refusal::Done | Refusal::Simplify(_));
        if asked && !heals && self.answers.iter().any(|(status, _)| *status < 400) {
            return wanted("an answer that tells of the refusal");
        }
        None
    }
}

/// Calls that came before the end of the wait that the one before them was answered with.
fn early(calls: &[(i64, String)], name: &str, wait: i64) -> usize {
    let inside = |pair: &&[(i64, String)]| pair[0].1.contains(name) && pair[1].0 < pair[0].0 + wait - GRACE;
    calls.windows(2).filter(inside).count()
}
