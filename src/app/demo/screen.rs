//! The demo's live view: the conversation, its copies, the counts, and where to look further.
//!
//! On a terminal the same lines are drawn over and over; elsewhere there is a line every few seconds.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::time::{Duration, Instant};

use super::scene::Glance;
use crate::sandbox::ledger::{Ledger, quantile};

/// Messages shown at a time.
const SHOWN: usize = 8;

/// Characters of a message that are shown.
const WIDTH: usize = 52;

/// How often a line is written where there is no terminal.
const LINE: Duration = Duration::from_secs(5);

/// See the head of the file.
pub(super) struct Screen {
    mode: Mode,
    head: String,
    drawn: usize,
    last: Option<Instant>,
}

enum Mode {
    Silent,
    Lines,
    Live,
}

impl Screen {
    /// A screen; a silent one shows nothing.
    pub fn new(silent: bool, urls: &[(&'static str, String)]) -> Self {
        let mode = match (silent, std::io::stdout().is_terminal()) {
            (true, _) => Mode::Silent,
            (false, true) => Mode::Live,
            (false, false) => Mode::Lines,
        };
        let mut head =
            String::from("trunkline: every message of one chat into another, and to a webhook\n\n");
        for (name, url) in urls {
            // Writing to a string does not fail.
            let _ = writeln!(head, "  {name:<10} {url}");
        }
        let screen = Self {
            mode,
            head,
            drawn: 0,
            last: None,
        };
        if matches!(screen.mode, Mode::Lines) {
            screen.print(&screen.head.clone());
        }
        screen
    }

    /// Shows the state of things.
    pub fn draw(&mut self, glance: &Glance) {
        match self.mode {
            Mode::Silent => {}
            Mode::Lines => {
                if self.last.is_none_or(|last| last.elapsed() >= LINE) {
                    self.last = Some(Instant::now());
                    self.print(&format!("{}\n", so_far(glance)));
                }
            }
            Mode::Live => {
                let text = format!(
                    "{}\n{}\n{}\n\nCtrl-C ends it.\n",
                    self.head,
                    talk(glance),
                    so_far(glance)
                );
                let lines = text.lines().count();
                // Back to the first line, each line cleared to its end before it is written anew.
                let back = if self.drawn > 0 {
                    format!("\x1b[{}A", self.drawn)
                } else {
                    String::new()
                };
                let fresh: String = text.lines().map(|line| format!("\x1b[2K{line}\n")).collect();
                self.drawn = lines;
                self.print(&format!("{back}{fresh}"));
            }
        }
    }

    /// Leaves what is drawn and goes on below.
    pub fn leave(&mut self) {
        self.drawn = 0;
    }

    /// A terminal that has gone away is not worth the demo's end.
    fn print(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

/// What came of it, for people.
pub(super) fn verdict(ledger: &Ledger) -> String {
    let whole = match ledger.is_clean() {
        true => "Nothing was lost, nothing came twice, nothing is open.",
        false => {
            "This is not as it should be: see what is lost, doubled, out of order, unlike, waiting or discarded."
        }
    };
    format!(
        "{}\n  cancelled {}  discarded {}  in {:.1} s\n\n{whole}",
        counts(ledger),
        ledger.cancelled,
        ledger.dead_lettered,
        ledger.wall_s,
    )
}

fn talk(glance: &Glance) -> String {
    let mut text = String::new();
    let from = glance.recent.len().saturating_sub(SHOWN);
    for (said, took) in &glance.recent[from..] {
        let mark = match took {
            Some(took) => format!("→ {took:>4} ms "),
            None => "→ waiting ".to_owned(),
        };
        let line: String = said.chars().take(WIDTH).collect();
        // Writing to a string does not fail.
        let _ = writeln!(text, "  {mark} {line}");
    }
    text
}

/// How things stand while more is to come: what has not arrived is on its way.
fn so_far(glance: &Glance) -> String {
    let mut took: Vec<i64> = glance.recent.iter().filter_map(|(_, took)| *took).collect();
    took.sort_unstable();
    format!(
        "  produced {}  delivered {}  edits {}  deletions {}  waiting {}  p50 {} ms  p99 {} ms",
        glance.produced,
        glance.delivered,
        glance.edits,
        glance.deletions,
        glance.waiting,
        quantile(&took, 50),
        quantile(&took, 99),
    )
}

fn counts(ledger: &Ledger) -> String {
    format!(
        "  produced {}  forwarded {}  delivered {} (+{} again)  edits {}  deletions {}  waiting {}  \
         lost {}  doubled {}  out of order {}  unlike {}  p50 {} ms  p99 {} ms",
        ledger.produced,
        ledger.forwarded,
        ledger.delivered,
        ledger.redelivered,
        ledger.edits,
        ledger.deletions,
        ledger.pending,
        ledger.lost,
        ledger.duplicated,
        ledger.disordered,
        ledger.unlike,
        ledger.p50_ms,
        ledger.p99_ms,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_told_in_a_few_lines() {
        let ledger = Ledger {
            produced: 10_000,
            forwarded: 10_000,
            delivered: 10_000,
            delays: vec![5; 10_000],
            ..Ledger::default()
        };
        let told = verdict(&ledger);
        assert!(told.lines().count() < 6, "{told}");
        assert!(told.contains("Nothing was lost"), "{told}");
        let told = verdict(&Ledger { lost: 1, ..ledger });
        assert!(
            told.contains("lost 1") && !told.contains("Nothing was lost"),
            "{told}"
        );
    }

    #[test]
    fn what_is_on_its_way_is_said_to_wait() {
        let glance = Glance {
            produced: 2,
            delivered: 2,
            edits: 0,
            deletions: 0,
            waiting: 1,
            recent: vec![("first".to_owned(), Some(7)), ("second".to_owned(), None)],
        };
        let told = format!("{}{}", talk(&glance), so_far(&glance));
        assert!(
            told.contains("→ waiting  second") && told.contains("waiting 1"),
            "{told}"
        );
        assert!(!told.contains("lost"), "{told}");
    }
}
