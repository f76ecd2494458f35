//! What a sweep ends with: a table for people, and one JSON object for programs.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

/// Lines that are printed of each kind of fault.
const REMARKS: usize = 400;

/// Missed bounds that a busy machine may account for.
const BESIDE_OTHERS: usize = 4;

/// What came of the cases of one method.
#[derive(Clone, Copy, Default)]
pub struct Row {
    pub cases: usize,
    /// Those in which the method was called so often that the error was met.
    pub met: usize,
    pub faults: usize,
    /// The most calls of one account in the time that is watched.
    pub calls: usize,
}

/// A finished sweep.
#[derive(Default)]
pub struct Report {
    pub seed: u64,
    pub rows: BTreeMap<&'static str, Row>,
    /// What was wrong, a line each.
    pub faults: Vec<String>,
    /// Messages in the sources, and what became of them.
    pub produced: usize,
    pub lost: usize,
    pub doubled: usize,
    /// What was rightly passed over or given up.
    pub excused: usize,
    pub disordered: usize,
    /// The neighbours' copies: 99 of 100 came in this time, in milliseconds, in the round without errors and in the worst.
    pub calm_p99_ms: Option<i64>,
    pub worst_p99_ms: Option<i64>,
    pub lasted: Duration,
}

impl Report {
    pub fn of(seed: u64) -> Self {
        Self {
            seed,
            ..Self::default()
        }
    }

    /// Takes what came of a batch.
    pub fn add(&mut self, batch: Self) {
        for (method, row) in batch.rows {
            let sum = self.rows.entry(method).or_default();
            sum.cases += row.cases;
            sum.met += row.met;
            sum.faults += row.faults;
            sum.calls = sum.calls.max(row.calls);
        }
        self.faults.extend(batch.faults);
        self.produced += batch.produced;
        self.lost += batch.lost;
        self.doubled += batch.doubled;
        self.excused += batch.excused;
        self.disordered += batch.disordered;
        self.worst_p99_ms = self.worst_p99_ms.max(batch.worst_p99_ms);
    }

    pub fn cases(&self) -> usize {
        self.rows.values().map(|row| row.cases).sum()
    }

    pub fn met(&self) -> usize {
        self.rows.values().map(|row| row.met).sum()
    }

    pub fn failed(&self) -> bool {
        !self.faults.is_empty() || self.lost > 0 || self.doubled > 0
    }

    /// Whether it failed on a machine that may be busy with other tests: bounds in seconds may be missed by a few.
    pub fn failed_beside_others(&self) -> bool {
        self.faults.len() > BESIDE_OTHERS || self.lost > 0 || self.doubled > 0
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut text = String::from(
            "| method | cases | error met | most calls in 15 s | faults |\n| --- | --- | --- | --- | --- |\n",
        );
        for (method, row) in &self.rows {
            text += &format!(
                "| `{method}` | {} | {} | {} | {} |\n",
                row.cases, row.met, row.calls, row.faults
            );
        }
        let shown = self.faults.iter().take(REMARKS);
        shown.for_each(|fault| text += &format!("FAULT {fault}\n"));
        if self.faults.len() > REMARKS {
            text += &format!("… and {} more\n", self.faults.len() - REMARKS);
        }
        text
    }

    /// For programs, on one line.
    pub fn summary(&self) -> String {
        json!({
            "seed": self.seed,
            "cases": self.cases(),
            "met": self.met(),
            "faults": self.faults.len(),
            "messages": self.produced,
            "lost": self.lost,
            "doubled": self.doubled,
            "excused": self.excused,
            "disordered": self.disordered,
            "calm_p99_ms": self.calm_p99_ms,
            "worst_p99_ms": self.worst_p99_ms,
            "seconds": self.lasted.as_secs(),
        })
        .to_string()
    }
}
