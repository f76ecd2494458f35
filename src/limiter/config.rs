//! The limiter's numbers: two named profiles, and each number on its own.
//!
//! `profile` chooses where to start from; whatever else the section names replaces that number.
//! Flood waits are honoured in full by every profile.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::CostClass;

/// A named set of numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// Careful numbers for real accounts.
    #[default]
    Default,
    /// So high that they do not matter; for the sandbox.
    Sandbox,
}

/// One budget: a steady rate with some burst, and counts per span.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Budget {
    /// Seconds between units in the long run; 0 sets no rate.
    #[serde(rename = "every_s", deserialize_with = "seconds")]
    pub every: Duration,
    /// Units that may go at once after a rest; at least 1.
    pub burst: u32,
    /// Where the distance between units grows to while they come without a rest; 0 does not grow.
    #[serde(rename = "grows_to_s", deserialize_with = "seconds")]
    pub grows_to: Duration,
    /// Units per span, counted exactly; forgotten at a restart.
    pub quotas: Vec<Quota>,
    /// Units within any hour; 0 sets no cap. What was spent is remembered across restarts, here and below.
    pub per_hour: u32,
    /// Units within any day; 0 sets no cap.
    pub per_day: u32,
}

/// So many units within any span of this length.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// Units.
    pub count: u32,
    /// Seconds.
    #[serde(rename = "per_s", deserialize_with = "seconds")]
    pub per: Duration,
}

/// What a flood wait teaches about the class of call that met it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FloodLesson {
    /// By how much the budgets of that account and class slow down; 1 does not slow.
    pub slowdown: f64,
    /// The most that several lessons add up to.
    pub slowest: f64,
    /// Seconds it stays so.
    #[serde(rename = "hold_s", deserialize_with = "seconds")]
    pub hold: Duration,
    /// Seconds it then takes to recover.
    #[serde(rename = "recovery_s", deserialize_with = "seconds")]
    pub recovery: Duration,
    /// Seconds for which a pace that met a flood wait is not tried again.
    #[serde(rename = "remember_s", deserialize_with = "seconds", default = "a_day")]
    pub remember: Duration,
}

/// How accounts begin that are new here.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WarmUp {
    /// The share of the budgets for new messages, names and joins: on the first day after the first login, on
    /// the second, and so on; all of it afterwards.
    pub days: Vec<f64>,
}

/// All numbers of the limiter.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(from = "Section")]
pub struct LimiterConfig {
    /// New messages into one private chat.
    pub chat: Budget,
    /// New messages into one group or channel.
    pub group: Budget,
    /// New messages of one account into all chats.
    pub account: Budget,
    /// First messages of one account to people it has no chat with.
    pub strangers: Budget,
    /// Calls of one class of one account, by class.
    pub classes: BTreeMap<CostClass, Budget>,
    /// What a flood wait teaches.
    pub after_flood: FloodLesson,
    /// How new accounts begin.
    pub warm_up: WarmUp,
    /// How long an account rests after a peer flood, before one message is tried; each further peer flood doubles it.
    pub peer_flood_rest: Duration,
    /// The longest such rest.
    pub peer_flood_longest: Duration,
}

const HOUR: Duration = Duration::from_secs(3600);

fn a_day() -> Duration {
    24 * HOUR
}

impl Default for Budget {
    /// No rate, no cap.
    fn default() -> Self {
        Self {
            every: Duration::ZERO,
            burst: 1,
            grows_to: Duration::ZERO,
            quotas: Vec::new(),
            per_hour: 0,
            per_day: 0,
        }
    }
}

impl Budget {
    fn new(every: Duration, burst: u32) -> Self {
        Self {
            every,
            burst,
            ..Self::default()
        }
    }

    fn quota(mut self, count: u32, per: Duration) -> Self {
        self.quotas.push(Quota { count, per });
        self
    }

    fn caps(mut self, per_hour: u32, per_day: u32) -> Self {
        (self.per_hour, self.per_day) = (per_hour, per_day);
        self
    }

    /// Whether it has a cap, which is remembered across restarts.
    pub(super) fn is_capped(&self) -> bool {
        self.per_hour > 0 || self.per_day > 0
    }
}

impl Default for LimiterConfig {
    fn default() -> Self {
        let ms = Duration::from_millis;
        let secs = Duration::from_secs;
        let history = Budget {
            grows_to: secs(15),
            ..Budget::new(secs(2), 1)
        };
        Self {
            chat: Budget::new(ms(1100), 1),
            group: Budget::new(ms(1100), 1).quota(20, secs(60)),
            account: Budget::new(secs(1), 3).caps(2_000, 20_000),
            strangers: Budget::new(secs(3), 1).caps(30, 100),
            classes: BTreeMap::from([
                (CostClass::Edit, Budget::new(secs(1), 3)),
                (CostClass::Delete, Budget::new(secs(1), 3)),
                (CostClass::History, history),
                (
                    CostClass::Resolve,
                    Budget::new(secs(0), 1).quota(5, secs(60)).caps(0, 200),
                ),
                (CostClass::Join, Budget::new(secs(0), 1).caps(5, 0)),
                (CostClass::Login, Budget::new(secs(1), 5)),
                (CostClass::Other, Budget::new(ms(200), 20)),
            ]),
            after_flood: FloodLesson {
                slowdown: 2.0,
                slowest: 8.0,
                hold: HOUR,
                recovery: 2 * HOUR,
                remember: 24 * HOUR,
            },
            warm_up: WarmUp {
                days: vec![0.25, 0.25, 0.5, 0.5, 0.75, 0.75, 0.75],
            },
            peer_flood_rest: 24 * HOUR,
            peer_flood_longest: 7 * 24 * HOUR,
        }
    }
}

impl LimiterConfig {
    /// Numbers for demo, tests and benches: every call still passes, none has to wait for a budget.
    pub fn sandbox() -> Self {
        let wide = Budget::new(Duration::from_micros(10), 10_000);
        Self {
            chat: wide.clone(),
            group: wide.clone(),
            account: wide.clone(),
            strangers: wide.clone(),
            classes: CostClass::ALL.map(|class| (class, wide.clone())).into(),
            after_flood: FloodLesson {
                slowdown: 1.0,
                slowest: 1.0,
                hold: Duration::ZERO,
                recovery: Duration::ZERO,
                remember: Duration::ZERO,
            },
            warm_up: WarmUp { days: Vec::new() },
            peer_flood_rest: HOUR,
            peer_flood_longest: 24 * HOUR,
        }
    }

    /// The numbers of a profile.
    pub fn of(profile: Profile) -> Self {
        match profile {
            Profile::Default => Self::default(),
            Profile::Sandbox => Self::sandbox(),
        }
    }
}

/// The section as it is written: a profile and what differs from it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    #[serde(default)]
    profile: Profile,
    chat: Option<Budget>,
    group: Option<Budget>,
    account: Option<Budget>,
    strangers: Option<Budget>,
    #[serde(default)]
    classes: BTreeMap<CostClass, Budget>,
    after_flood: Option<FloodLesson>,
    warm_up: Option<WarmUp>,
    #[serde(default, deserialize_with = "some_seconds")]
    peer_flood_rest_s: Option<Duration>,
    #[serde(default, deserialize_with = "some_seconds")]
    peer_flood_longest_s: Option<Duration>,
}

impl From<Section> for LimiterConfig {
    fn from(section: Section) -> Self {
        let mut config = Self::of(section.profile);
        config.classes.extend(section.classes);
        Self {
            chat: section.chat.unwrap_or(config.chat),
            group: section.group.unwrap_or(config.group),
            account: section.account.unwrap_or(config.account),
            strangers: section.strangers.unwrap_or(config.strangers),
            classes: config.classes,
            after_flood: section.after_flood.unwrap_or(config.after_flood),
            warm_up: section.warm_up.unwrap_or(config.warm_up),
            peer_flood_rest: section.peer_flood_rest_s.unwrap_or(config.peer_flood_rest),
            peer_flood_longest: section.peer_flood_longest_s.unwrap_or(config.peer_flood_longest),
        }
    }
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    Duration::try_from_secs_f64(seconds).map_err(serde::de::Error::custom)
}

fn some_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    seconds(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_section_is_the_default_profile() {
        assert_eq!(
            toml::from_str::<LimiterConfig>("").expect("parses"),
            LimiterConfig::default()
        );
        let sandbox: LimiterConfig = toml::from_str("profile = \"sandbox\"").expect("parses");
        assert_eq!(sandbox, LimiterConfig::sandbox());
    }

    #[test]
    fn single_numbers_replace_those_of_the_profile() {
        let text = "chat = { every_s = 0.5, burst = 2, per_day = 300 }\nwarm_up = { days = [0.1, 1] }\n\
                    [classes]\njoin = { quotas = [{ count = 1, per_s = 3600 }] }\n";
        let config: LimiterConfig = toml::from_str(text).expect("parses");
        assert_eq!(
            config.chat,
            Budget::new(Duration::from_millis(500), 2).caps(0, 300)
        );
        assert_eq!(config.warm_up.days, [0.1, 1.0]);
        assert_eq!(config.classes[&CostClass::Join].quotas[0].count, 1);
        assert_eq!(config.group, LimiterConfig::default().group);
    }

    #[test]
    fn unknown_names_and_negative_spans_are_refused() {
        assert!(toml::from_str::<LimiterConfig>("chats = {}").is_err());
        assert!(toml::from_str::<LimiterConfig>("chat = { every_s = -1.0 }").is_err());
        assert!(toml::from_str::<LimiterConfig>("profile = \"fast\"").is_err());
    }
}
