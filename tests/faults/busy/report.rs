//! What a busy day ends with: a table of what happened, the ledger, and one JSON object for programs.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::plan::Size;
use super::reckoning::Reckoning;

/// Pairs that a person would have resumed.
pub const RESUMED: &str = "pairs resumed after a return";
/// Pairs that had stopped for another reason: none may.
pub const RESUMED_OTHERWISE: &str = "pairs resumed otherwise";

/// Remarks that are printed at most.
const REMARKS: usize = 60;

/// A finished day.
pub struct Report {
    pub seed: u64,
    pub size: Size,
    /// With those that were made in the course of it.
    pub pairs: usize,
    pub counts: BTreeMap<&'static str, usize>,
    /// Pushes that were lost.
    pub gaps: usize,
    /// How long each start took after a kill.
    pub restarts: Vec<Duration>,
    pub reckoning: Reckoning,
    /// How long messages flowed, and the day with its settling lasted.
    pub flowed: Duration,
    pub lasted: Duration,
}

impl Report {
    fn count(&self, what: &str) -> usize {
        self.counts.get(what).copied().unwrap_or(0)
    }

    /// What happened, how often, and what came of it.
    fn events(&self) -> Vec<(&'static str, usize, String)> {
        let ledger = &self.reckoning.ledger;
        let slowest = self.restarts.iter().max().copied().unwrap_or_default();
        vec![
            (
                "migration",
                self.count("migration"),
                format!("{} pairs in all", self.pairs),
            ),
            (
                "kick and return",
                self.count("kick and return"),
                format!(
                    "{} messages said meanwhile, {} pairs resumed",
                    ledger.unread,
                    self.count(RESUMED)
                ),
            ),
            ("hidden edit", self.count("hidden edit"), "reactions".to_owned()),
            ("edit", self.count("edit"), String::new()),
            (
                "link preview added",
                self.reckoning.previews,
                "still shown".to_owned(),
            ),
            (
                "deletion",
                self.count("deletion"),
                format!("{} went before their copy", ledger.cancelled),
            ),
            (
                "gap",
                self.gaps,
                "those before a difference too long included".to_owned(),
            ),
            (
                "difference too long",
                self.count("difference too long"),
                format!("{} changes were never told", ledger.untold),
            ),
            (
                "kill",
                self.count("kill"),
                format!("ready again after {} ms at most", slowest.as_millis()),
            ),
            (
                "network loss",
                self.count("network loss"),
                format!("of {} s, one session each", self.size.loss.as_secs()),
            ),
        ]
    }

    /// What was missed.
    pub fn missed(&self) -> Vec<String> {
        let ledger = &self.reckoning.ledger;
        let mut missed = Vec::new();
        for (count, what) in [
            (ledger.lost, "lost"),
            (ledger.pending, "still on their way"),
            (ledger.unlike, "edits, deletions or contents not followed"),
            (ledger.duplicated - ledger.strayed, "doubled"),
            (self.reckoning.elsewhere(), "in another chat"),
            (ledger.disordered, "out of order"),
            (ledger.dead_lettered, "dead letters"),
            (self.count(RESUMED_OTHERWISE), RESUMED_OTHERWISE),
        ] {
            if count > 0 {
                missed.push(format!("{count} {what}"));
            }
        }
        for (what, times, _) in self.events() {
            if times < self.size.times {
                missed.push(format!("{what} happened {times} times of {}", self.size.times));
            }
        }
        missed
    }

    pub fn failed(&self) -> bool {
        !self.missed().is_empty()
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut text = String::from("| event | times | what came of it |\n| --- | --- | --- |\n");
        for (what, times, note) in self.events() {
            text += &format!("| {what} | {times} | {note} |\n");
        }
        text += "\n";
        let kinds = [
            "plain texts",
            "formatted texts",
            "links",
            "photos",
            "documents",
            "albums",
            "replies",
            "forwards",
        ];
        let said: Vec<String> = kinds
            .iter()
            .map(|kind| format!("{} {kind}", self.count(kind)))
            .collect();
        let ledger = &self.reckoning.ledger;
        text += &format!(
            "{} sessions, {} pairs at first; {} messages: {}\n",
            self.size.sessions,
            self.size.pairs,
            ledger.produced,
            said.join(", ")
        );
        text += &format!(
            "{} copied, half of them within {} ms, 99 of 100 within {} ms; {} delivered, {} said out of sight\n",
            ledger.forwarded, ledger.p50_ms, ledger.p99_ms, ledger.delivered, ledger.unread
        );
        text += &format!(
            "lost {}, doubled {}, in another chat {}, not followed {}, out of order {}, later as the account was out {}, pending {}, dead letters {}\n",
            ledger.lost,
            ledger.duplicated - ledger.strayed,
            self.reckoning.elsewhere(),
            ledger.unlike,
            ledger.disordered,
            ledger.displaced,
            ledger.pending,
            ledger.dead_lettered
        );
        for remark in self.reckoning.remarks.iter().take(REMARKS) {
            text += &format!("{remark}\n");
        }
        text += &format!(
            "seed {}, {:.0} s, of which messages flowed {:.0} and settled {:.0}\n",
            self.seed,
            self.lasted.as_secs_f64(),
            self.flowed.as_secs_f64(),
            self.reckoning.settled.as_secs_f64()
        );
        text
    }

    /// For programs: one object on one line.
    pub fn summary(&self) -> String {
        let events: BTreeMap<_, _> = (self.events().into_iter())
            .map(|(what, times, _)| (what, times))
            .collect();
        json!({
            "events": events,
            "counts": self.counts,
            "ledger": self.reckoning.ledger,
            "elsewhere": self.reckoning.elsewhere(),
            "missed": self.missed(),
            "seed": self.seed,
            "seconds": self.lasted.as_secs_f64(),
        })
        .to_string()
    }
}
