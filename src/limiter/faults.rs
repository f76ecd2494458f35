//! What is wrong with the limiter's numbers: each has bounds, and whoever is within them has a budget that works.

use std::time::Duration;

use super::config::{Budget, FloodLesson, LimiterConfig};

/// The longest distance between units, and the longest span of a quota.
const LONGEST_SPAN: Duration = Duration::from_secs(24 * 3600);
/// The longest time for which something is remembered, or an account rests.
const LONGEST_MEMORY: Duration = Duration::from_secs(365 * 24 * 3600);
/// The most units that go at once, or within the span of a quota.
const MOST_UNITS: u32 = 100_000;
/// The most quotas of a budget.
const MOST_QUOTAS: usize = 8;
/// The slowest that flood waits may make an account.
const SLOWEST: f64 = 1000.0;
/// The smallest share of the budgets that a day of a warm-up may have.
const SMALLEST_SHARE: f64 = 0.01;
/// The longest warm-up, in days.
const LONGEST_WARM_UP: usize = 365;

/// Faults, each as key and why.
struct Faults(Vec<(String, String)>);

impl Faults {
    fn unless(&mut self, right: bool, key: &str, why: &str) {
        if !right {
            self.0.push((format!("limiter.{key}"), why.to_owned()));
        }
    }

    fn budget(&mut self, name: &str, budget: &Budget) {
        let key = |field: &str| format!("{name}.{field}");
        let day = "must be no more than a day";
        self.unless(budget.every <= LONGEST_SPAN, &key("every_s"), day);
        self.unless(budget.grows_to <= LONGEST_SPAN, &key("grows_to_s"), day);
        self.unless(
            budget.grows_to.is_zero() || (!budget.every.is_zero() && budget.grows_to >= budget.every),
            &key("grows_to_s"),
            "must be 0, or no less than every_s, which is not 0 then",
        );
        self.unless(
            (1..=MOST_UNITS).contains(&budget.burst),
            &key("burst"),
            "must be from 1 to 100,000",
        );
        self.unless(
            budget.quotas.len() <= MOST_QUOTAS,
            &key("quotas"),
            "must be no more than 8",
        );
        for (at, quota) in budget.quotas.iter().enumerate() {
            self.unless(
                (1..=MOST_UNITS).contains(&quota.count),
                &key(&format!("quotas[{at}].count")),
                "must be from 1 to 100,000",
            );
            self.unless(
                !quota.per.is_zero() && quota.per <= LONGEST_SPAN,
                &key(&format!("quotas[{at}].per_s")),
                "must be more than nothing, and no more than a day",
            );
        }
        self.unless(
            budget.per_hour == 0 || budget.per_day == 0 || budget.per_hour <= budget.per_day,
            &key("per_day"),
            "must be 0, or no less than per_hour",
        );
    }

    fn lesson(&mut self, lesson: &FloodLesson) {
        let times = "must be from 1 to 1000";
        let slows = |factor: f64| (1.0..=SLOWEST).contains(&factor);
        self.unless(slows(lesson.slowdown), "after_flood.slowdown", times);
        self.unless(slows(lesson.slowest), "after_flood.slowest", times);
        for (name, span) in [
            ("hold_s", lesson.hold),
            ("recovery_s", lesson.recovery),
            ("remember_s", lesson.remember),
        ] {
            let key = format!("after_flood.{name}");
            self.unless(span <= LONGEST_MEMORY, &key, "must be no more than a year");
        }
    }
}

impl LimiterConfig {
    /// What is wrong with it, each as key and why; nothing if it can be used.
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Faults(Vec::new());
        for (name, budget) in [
            ("chat", &self.chat),
            ("group", &self.group),
            ("account", &self.account),
            ("strangers", &self.strangers),
        ] {
            faults.budget(name, budget);
        }
        for (class, budget) in &self.classes {
            faults.budget(&format!("classes.{}", class.as_str()), budget);
        }
        faults.lesson(&self.after_flood);
        let days = &self.warm_up.days;
        faults.unless(
            days.len() <= LONGEST_WARM_UP && days.iter().all(|share| (SMALLEST_SHARE..=1.0).contains(share)),
            "warm_up.days",
            "must be no more than 365 shares, each from 0.01 to 1",
        );
        faults.unless(
            !self.peer_flood_rest.is_zero() && self.peer_flood_rest <= LONGEST_MEMORY,
            "peer_flood_rest_s",
            "must be more than nothing, and no more than a year",
        );
        faults.unless(
            (self.peer_flood_rest..=LONGEST_MEMORY).contains(&self.peer_flood_longest),
            "peer_flood_longest_s",
            "must be no less than peer_flood_rest_s, and no more than a year",
        );
        faults.0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::super::core::{Core, Mark, Replies};
    use super::super::tests::START;
    use super::super::{Ask, CostClass};
    use super::*;
    use crate::base::SessionId;
    use crate::model::ChatId;

    fn keys(text: &str) -> Vec<String> {
        let config: LimiterConfig = toml::from_str(text).expect("parses");
        config.faults().into_iter().map(|(key, _)| key).collect()
    }

    #[test]
    fn the_profiles_have_no_fault() {
        assert_eq!(LimiterConfig::default().faults(), []);
        assert_eq!(LimiterConfig::sandbox().faults(), []);
    }

    #[test]
    fn every_wrong_number_is_named() {
        for (text, key) in [
            ("chat = { burst = 0 }", "chat.burst"),
            (
                "group = { quotas = [{ count = 0, per_s = 60 }] }",
                "group.quotas[0].count",
            ),
            (
                "group = { quotas = [{ count = 1, per_s = 0 }] }",
                "group.quotas[0].per_s",
            ),
            ("account = { every_s = 1e9 }", "account.every_s"),
            ("account = { every_s = 2, grows_to_s = 1 }", "account.grows_to_s"),
            ("strangers = { burst = 4000000000 }", "strangers.burst"),
            ("strangers = { per_hour = 10, per_day = 5 }", "strangers.per_day"),
            ("classes = { join = { every_s = 1e15 } }", "classes.join.every_s"),
            ("warm_up = { days = [0.5, 0.0] }", "warm_up.days"),
            ("warm_up = { days = [nan] }", "warm_up.days"),
            ("warm_up = { days = [inf] }", "warm_up.days"),
            ("peer_flood_rest_s = 0", "peer_flood_rest_s"),
            ("peer_flood_longest_s = 5", "peer_flood_longest_s"),
        ] {
            assert_eq!(keys(text), [format!("limiter.{key}")], "{text}");
        }
        for number in ["0", "0.5", "-1", "inf", "-inf", "nan", "1e300"] {
            for key in ["slowdown", "slowest"] {
                let other = if key == "slowdown" { "slowest" } else { "slowdown" };
                let text =
                    format!("[after_flood]\n{key} = {number}\n{other} = 2\nhold_s = 1\nrecovery_s = 1\n");
                let text = text.replace("= 1e300", "= 1.0e300");
                assert_eq!(keys(&text), [format!("limiter.after_flood.{key}")], "{text}");
            }
        }
        // What is no time at all is refused where it is read.
        for number in ["-1.0", "nan", "inf", "1e300"] {
            let text = format!("chat = {{ every_s = {number} }}");
            assert!(toml::from_str::<LimiterConfig>(&text).is_err(), "{text}");
        }
    }

    fn number() -> impl Strategy<Value = f64> {
        prop_oneof![
            Just(0.0),
            Just(f64::NAN),
            Just(f64::INFINITY),
            Just(-1.0),
            0.0..3.0f64,
            0.0..2_000.0f64,
            any::<f64>(),
        ]
    }

    fn span() -> impl Strategy<Value = Duration> {
        prop_oneof![
            Just(Duration::ZERO),
            (0..5_000u64).prop_map(Duration::from_millis),
            (0..200_000u64).prop_map(Duration::from_secs),
            any::<u64>().prop_map(Duration::from_secs),
        ]
    }

    fn count() -> impl Strategy<Value = u32> {
        prop_oneof![0..4u32, 0..200_000u32, any::<u32>()]
    }

    fn budget() -> impl Strategy<Value = Budget> {
        let quotas = proptest::collection::vec((count(), span()), 0..2);
        (span(), count(), span(), quotas, count(), count()).prop_map(
            |(every, burst, grows_to, quotas, per_hour, per_day)| Budget {
                every,
                burst,
                grows_to,
                quotas: quotas
                    .into_iter()
                    .map(|(count, per)| super::super::Quota { count, per })
                    .collect(),
                per_hour,
                per_day,
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever is within its bounds works: asks and waits of any size end nothing.
        #[test]
        fn numbers_without_a_fault_do_no_harm(
            account in budget(),
            history in budget(),
            slowdown in number(),
            slowest in number(),
            spans in proptest::array::uniform5(span()),
            units in count(),
            share in number(),
        ) {
            let mut config = LimiterConfig {
                account,
                after_flood: FloodLesson {
                    slowdown,
                    slowest,
                    hold: spans[0],
                    recovery: spans[1],
                    remember: spans[2],
                },
                peer_flood_rest: spans[3],
                peer_flood_longest: spans[4],
                ..LimiterConfig::default()
            };
            config.classes.insert(CostClass::History, history);
            config.warm_up.days = vec![share; 3];
            // Each that is wrong takes the default's place, so that many cases have none.
            for (key, _) in config.faults() {
                let fine = LimiterConfig::default();
                match key.split('.').nth(1).unwrap_or_default() {
                    "account" => config.account = fine.account,
                    "classes" => config.classes = fine.classes,
                    "after_flood" => config.after_flood = fine.after_flood,
                    "warm_up" => config.warm_up = fine.warm_up,
                    _ => {
                        config.peer_flood_rest = fine.peer_flood_rest;
                        config.peer_flood_longest = fine.peer_flood_longest;
                    }
                }
            }
            prop_assert_eq!(config.faults(), []);
            let (mut core, session, mut replies) =
                (Core::new(Arc::new(config)), SessionId::generate(), Replies::new());
            let mut now = START;
            core.introduce(session, Some(now), now, &mut replies);
            for round in 0..20u32 {
                for class in [CostClass::SendMedia, CostClass::History] {
                    let ask = Ask {
                        session,
                        chat: Some(ChatId(7)),
                        class,
                        units: units.saturating_add(round),
                        stranger: round % 2 == 0,
                        patience: Duration::from_secs(u64::from(round)).into(),
                    };
                    core.ask(&ask, now, &mut replies);
                    core.keep();
                    core.kept(true, now, &mut replies);
                    if round % 5 == 0 {
                        core.mark(session, Mark::Chat(class, ChatId(7)), Duration::from_secs(40), now, &mut replies);
                        core.peer_flood(session, now, &mut replies);
                    }
                }
                now = core.next_wake().unwrap_or(now).max(now.plus(Duration::from_secs(1)));
                core.wake(now, &mut replies);
            }
        }
    }
}
