//! What all sessions together ask of Telegram: calls by method and outcome, how long they took, what they carried.
//!
//! Counted in this process and shown; nothing is decided by it. No session, chat or text is named.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use grammers_client::InvocationError;

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was answered.
    Done,
    /// Telegram refused it.
    Refused,
    /// Telegram asked to wait for so many seconds.
    Flood(u32),
    /// The connection broke, or there was none.
    Broken,
    /// No answer came in time.
    TooLate,
}

impl Outcome {
    /// The outcome of an answer; none if none came in time.
    pub fn of<T>(answer: Option<&Result<T, InvocationError>>) -> Self {
        match answer {
            None => Self::TooLate,
            Some(Ok(_)) => Self::Done,
            Some(Err(InvocationError::Rpc(refusal))) if refusal.code == 420 => {
                Self::Flood(refusal.value.unwrap_or(0))
            }
            Some(Err(InvocationError::Rpc(_) | InvocationError::Authentication(_))) => Self::Refused,
            Some(Err(_)) => Self::Broken,
        }
    }
}

/// The calls of one method.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, schemars::JsonSchema)]
pub struct MethodCalls {
    /// Its name, as Telegram documents it.
    pub method: String,
    /// Calls that were answered.
    pub ok: u64,
    /// Calls that Telegram refused.
    pub refused: u64,
    /// Calls to which Telegram answered with a wait.
    pub flood_wait: u64,
    /// Calls whose connection broke.
    pub network: u64,
    /// Calls that were not answered in time.
    pub timeout: u64,
    /// How long answers took, in milliseconds.
    pub latency_ms: Quantiles,
    /// Bytes of requests.
    pub bytes_sent: u64,
    /// Bytes of answers.
    pub bytes_received: u64,
}

/// Quantiles, each not more than a fifth above the truth; null before the first answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, schemars::JsonSchema)]
pub struct Quantiles {
    /// Half of all are at most this.
    pub p50: Option<f64>,
    /// Nine of ten.
    pub p90: Option<f64>,
    /// Ninety-nine of a hundred.
    pub p99: Option<f64>,
}

/// See the head of the file.
#[derive(Debug, Default)]
pub(crate) struct Calls(Mutex<HashMap<&'static str, Counted>>);

#[derive(Debug, Default)]
struct Counted {
    sums: MethodCalls,
    waited: u64,
    times: Histogram,
}

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallsView {
    /// By method, in order of their names.
    pub methods: Vec<MethodCalls>,
    /// Of all methods.
    pub latency_ms: Quantiles,
    /// The seconds that Telegram asked to wait for, all added up.
    pub flood_seconds: u64,
}

impl Calls {
    /// Counts a call. `name` is the type of the request.
    pub fn note(
        &self,
        name: &'static str,
        outcome: Outcome,
        took: Duration,
        (sent, received): (usize, usize),
    ) {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = calls.entry(name).or_default();
        let sums = &mut counted.sums;
        match outcome {
            Outcome::Done => sums.ok += 1,
            Outcome::Refused => sums.refused += 1,
            Outcome::Flood(seconds) => {
                sums.flood_wait += 1;
                counted.waited += u64::from(seconds);
            }
            Outcome::Broken => sums.network += 1,
            Outcome::TooLate => sums.timeout += 1,
        }
        sums.bytes_sent += sent as u64;
        sums.bytes_received += received as u64;
        if matches!(outcome, Outcome::Done | Outcome::Refused | Outcome::Flood(_)) {
            counted.times.note(took);
        }
    }

    /// What was counted so far.
    pub fn view(&self) -> CallsView {
        let calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut view = CallsView::default();
        let mut all = Histogram::default();
        for (name, counted) in calls.iter() {
            all.add(&counted.times);
            view.flood_seconds += counted.waited;
            view.methods.push(MethodCalls {
                method: method(name),
                latency_ms: counted.times.quantiles(),
                ..counted.sums.clone()
            });
        }
        view.latency_ms = all.quantiles();
        view.methods.sort_by(|one, other| one.method.cmp(&other.method));
        view
    }
}

/// Telegram's name of a request's type: `…::functions::messages::SendMessage` is `messages.sendMessage`.
fn method(name: &str) -> String {
    let bare = name.split('<').next().unwrap_or(name);
    let path = bare.rsplit_once("functions::").map_or(bare, |(_, path)| path);
    let (space, word) = path.rsplit_once("::").unwrap_or(("", path));
    let mut letters = word.chars();
    let first = letters.next().map(|letter| letter.to_ascii_lowercase());
    let word: String = first.into_iter().chain(letters).collect();
    match space {
        "" => word,
        space => format!("{}.{word}", space.replace("::", ".")),
    }
}

/// How many times lie below each bound; each bound is a fifth above the one before, from a tenth of a millisecond on.
#[derive(Clone, Debug)]
struct Histogram([u64; STEPS]);

/// Enough steps to reach beyond the longest call.
const STEPS: usize = 80;

impl Default for Histogram {
    fn default() -> Self {
        Self([0; STEPS])
    }
}

/// The bound of a step, in milliseconds.
fn bound(step: usize) -> f64 {
    0.1 * 1.2_f64.powi(i32::try_from(step).unwrap_or(i32::MAX))
}

impl Histogram {
    fn note(&mut self, took: Duration) {
        let millis = took.as_secs_f64() * 1000.0;
        let step = (0..STEPS - 1).find(|step| millis <= bound(*step));
        self.0[step.unwrap_or(STEPS - 1)] += 1;
    }

    fn add(&mut self, other: &Self) {
        for (here, there) in self.0.iter_mut().zip(other.0) {
            *here += there;
        }
    }

    fn quantiles(&self) -> Quantiles {
        Quantiles {
            p50: self.quantile(0.5),
            p90: self.quantile(0.9),
            p99: self.quantile(0.99),
        }
    }

    /// The bound below which so large a part lies.
    fn quantile(&self, part: f64) -> Option<f64> {
        let all: u64 = self.0.iter().sum();
        if all == 0 {
            return None;
        }
        let wanted = (part * all as f64).ceil().max(1.0);
        let mut below = 0;
        let step = self.0.iter().position(|count| {
            below += count;
            below as f64 >= wanted
        });
        step.map(|step| (bound(step) * 100.0).round() / 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_named_as_telegram_names_it() {
        let name = std::any::type_name::<grammers_client::tl::functions::messages::SendMessage>;
        assert_eq!(method(name()), "messages.sendMessage");
        assert_eq!(
            method(std::any::type_name::<grammers_client::tl::functions::Ping>()),
            "ping"
        );
        assert_eq!(
            method("a::functions::InvokeWithLayer<a::functions::Ping>"),
            "invokeWithLayer"
        );
    }

    #[test]
    fn quantiles_are_near_the_truth() {
        let mut times = Histogram::default();
        assert_eq!(times.quantiles(), Quantiles::default());
        for millis in 1..=1000 {
            times.note(Duration::from_millis(millis));
        }
        let got = times.quantiles();
        for (quantile, truth) in [(got.p50, 500.0), (got.p90, 900.0), (got.p99, 990.0)] {
            let quantile = quantile.expect("some");
            assert!(
                quantile >= truth && quantile <= truth * 1.21,
                "{quantile} for {truth}"
            );
        }
        times.note(Duration::from_secs(100_000));
        assert!(times.quantile(1.0).is_some(), "nothing is too long to be counted");
    }

    #[test]
    fn calls_are_counted_by_method_and_outcome() {
        let calls = Calls::default();
        let (name, took) = ("x::functions::messages::GetHistory", Duration::from_millis(5));
        calls.note(name, Outcome::Done, took, (10, 1000));
        calls.note(name, Outcome::Flood(7), took, (10, 0));
        calls.note(name, Outcome::TooLate, Duration::from_secs(30), (10, 0));
        calls.note("x::functions::Ping", Outcome::Broken, took, (8, 0));
        let view = calls.view();
        let names: Vec<_> = view.methods.iter().map(|calls| calls.method.as_str()).collect();
        assert_eq!(names, ["messages.getHistory", "ping"]);
        let history = &view.methods[0];
        assert_eq!((history.ok, history.flood_wait, history.timeout), (1, 1, 1));
        assert_eq!(
            (history.bytes_sent, history.bytes_received, view.flood_seconds),
            (30, 1000, 7)
        );
        assert!(
            history.latency_ms.p99.is_some_and(|millis| millis < 7.0),
            "no answer, no time"
        );
        assert_eq!(
            (view.methods[1].network, view.methods[1].latency_ms.p50),
            (1, None)
        );
    }
}
