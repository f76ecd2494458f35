//! Telegram's limits on speed, as far as they are known: so many units a span of time, then a flood wait that grows if
//! one asks before its end. Counts what came inside a wait.
//!
//! Pure: the caller says what time it is. A clock factor lets an hour of these limits pass in a minute; the waits that are
//! told are real seconds all the same. Nothing of it outlives the sandbox, and Telegram's own numbers are not published:
//! what stands here is documented for bots, or observed.

use std::collections::{BTreeMap, HashMap, VecDeque};

use serde::Serialize;

use super::world::{Peer, Refusal};

/// The longest wait, in milliseconds of the limits' clock.
const LONGEST: i64 = 86_400_000;

/// A call that comes so soon after a wait was told was under way already; in real milliseconds.
const UNDER_WAY: i64 = 250;

/// What a call costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// New messages, forwards among them.
    Send,
    /// A username is resolved.
    Resolve,
    /// A channel or group is joined.
    Join,
    /// A login code is sent, or sent again.
    Code,
    /// A password is tried.
    Password,
}

impl Class {
    /// The class of a method; none if it has no limit here.
    pub fn of(method: &str) -> Option<Self> {
        Some(match method {
            "messages.sendMessage"
            | "messages.sendMedia"
            | "messages.sendMultiMedia"
            | "messages.forwardMessages" => Self::Send,
            "contacts.resolveUsername" | "contacts.resolvePhone" => Self::Resolve,
            "channels.joinChannel" | "messages.importChatInvite" => Self::Join,
            "auth.sendCode" | "auth.resendCode" => Self::Code,
            "auth.checkPassword" => Self::Password,
            _ => return None,
        })
    }
}

/// Where a rule counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Where {
    /// Everything of an account.
    Account,
    /// Each chat of an account.
    Chat,
    /// Each group, supergroup and channel of an account.
    Group,
}

/// So many units a span, in seconds; `wait` is how long one waits then, if not until there is room.
struct Rule {
    class: Class,
    place: Where,
    units: u32,
    span: i64,
    wait: Option<i64>,
}

const fn rule(class: Class, place: Where, units: u32, span: i64, wait: Option<i64>) -> Rule {
    Rule {
        class,
        place,
        units,
        span,
        wait,
    }
}

const RULES: [Rule; 9] = [
    // One a second over thousands, then 23 minutes: observed.
    rule(Class::Send, Where::Account, 2_500, 3_600, Some(1_380)),
    rule(Class::Send, Where::Account, 30, 1, None),
    rule(Class::Send, Where::Group, 20, 60, None),
    rule(Class::Send, Where::Chat, 3, 3, None),
    rule(Class::Resolve, Where::Account, 200, 86_400, None),
    rule(Class::Resolve, Where::Account, 10, 60, None),
    rule(Class::Join, Where::Account, 5, 3_600, None),
    rule(Class::Code, Where::Account, 5, 86_400, None),
    rule(Class::Password, Where::Account, 5, 600, None),
];

/// Whose limit it is: the account, the rule, and the chat if the rule counts by chats.
type Subject = (i64, usize, Option<Peer>);

/// A wait that was told.
#[derive(Clone, Copy, Debug)]
struct Wait {
    /// Its end, and its length, on the limits' clock.
    until: i64,
    length: i64,
    /// When it was told, in real milliseconds.
    told_at: i64,
}

/// What an account met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Met {
    /// Calls that had limits.
    pub calls: u64,
    /// Waits that were told because there was no room.
    pub waits: u64,
    /// Calls that came inside a wait: each doubled it.
    pub inside: u64,
}

/// The limits in use.
#[derive(Debug)]
pub struct Limits {
    factor: i64,
    /// What went, newest last, with its time on the limits' clock.
    taken: HashMap<Subject, VecDeque<(i64, u32)>>,
    waits: HashMap<Subject, Wait>,
    met: BTreeMap<i64, Met>,
}

/// One call.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// Whose.
    pub account: i64,
    /// What it costs.
    pub class: Class,
    /// Where it goes, if it goes somewhere.
    pub chat: Option<Peer>,
    /// How many messages.
    pub units: u32,
}

impl Limits {
    /// Limits whose clock goes so many times faster.
    pub fn new(factor: u32) -> Self {
        Self {
            factor: i64::from(factor.max(1)),
            taken: HashMap::new(),
            waits: HashMap::new(),
            met: BTreeMap::new(),
        }
    }

    /// How much faster their clock goes.
    pub fn factor(&self) -> i64 {
        self.factor
    }

    /// What each account met.
    pub fn met(&self) -> &BTreeMap<i64, Met> {
        &self.met
    }

    /// Whether a call may be made at `now`, in real milliseconds; takes its units if so.
    ///
    /// # Errors
    /// The wait, in real seconds.
    pub fn ask(&mut self, now: i64, asked: Asked) -> Result<(), Refusal> {
        let clock = now.saturating_mul(self.factor);
        let subjects: Vec<Subject> = RULES
            .iter()
            .enumerate()
            .filter(|(_, rule)| rule.class == asked.class)
            .filter_map(|(at, rule)| match (rule.place, asked.chat) {
                (Where::Account, _) => Some((asked.account, at, None)),
                (Where::Group, Some(Peer::User(_))) | (_, None) => None,
                (Where::Group | Where::Chat, chat) => Some((asked.account, at, chat)),
            })
            .collect();
        self.met.entry(asked.account).or_default().calls += 1;
        for subject in &subjects {
            if let Some(refusal) = self.waits_still(*subject, now, clock) {
                return Err(refusal);
            }
        }
        for subject in &subjects {
            let rule = &RULES[subject.1];
            let taken = self.taken.entry(*subject).or_default();
            let Some(length) = no_room(rule, taken, asked.units, clock) else {
                continue;
            };
            if rule.wait.is_some() {
                taken.clear();
            }
            let wait = Wait {
                until: clock.saturating_add(length),
                length,
                told_at: now,
            };
            self.waits.insert(*subject, wait);
            self.met.entry(asked.account).or_default().waits += 1;
            return Err(self.told(wait, clock));
        }
        for subject in subjects {
            let taken = self.taken.entry(subject).or_default();
            taken.push_back((clock, asked.units));
        }
        Ok(())
    }

    /// The refusal of a call that comes inside a wait, which is twice as long from now on.
    fn waits_still(&mut self, subject: Subject, now: i64, clock: i64) -> Option<Refusal> {
        let wait = self.waits.get_mut(&subject)?;
        if clock >= wait.until {
            self.waits.remove(&subject);
            return None;
        }
        if now - wait.told_at > UNDER_WAY {
            wait.length = wait.length.saturating_mul(2).min(LONGEST);
            wait.until = clock.saturating_add(wait.length);
            wait.told_at = now;
            self.met.entry(subject.0).or_default().inside += 1;
        }
        let wait = *wait;
        Some(self.told(wait, clock))
    }

    fn told(&self, wait: Wait, clock: i64) -> Refusal {
        let left = (wait.until - clock).max(1);
        let second = self.factor.saturating_mul(1_000);
        Refusal::wait("FLOOD_WAIT", left.saturating_add(second - 1) / second)
    }
}

/// How long there is no room for so many units; none if there is.
fn no_room(rule: &Rule, taken: &mut VecDeque<(i64, u32)>, units: u32, clock: i64) -> Option<i64> {
    let span = rule.span * 1_000;
    while taken.front().is_some_and(|(at, _)| *at + span <= clock) {
        taken.pop_front();
    }
    // What is more than all the room goes alone.
    let room = rule.units.saturating_sub(units.min(rule.units));
    let mut counted = 0_u32;
    let last = taken.iter().rev().find(|(_, units)| {
        counted = counted.saturating_add(*units);
        counted > room
    });
    let (at, _) = last?;
    Some(rule.wait.map_or(at + span - clock, |wait| wait * 1_000))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GROUP: Peer = Peer::Channel(7);

    fn send(chat: Peer) -> Asked {
        Asked {
            account: 1,
            class: Class::Send,
            chat: Some(chat),
            units: 1,
        }
    }

    fn wait(answer: Result<(), Refusal>) -> Option<i64> {
        let name = answer.err()?.name;
        name.strip_prefix("FLOOD_WAIT_")
            .and_then(|text| text.parse().ok())
    }

    #[test]
    fn a_group_takes_twenty_a_minute_and_another_chat_does_not_notice() {
        let mut limits = Limits::new(1);
        for number in 0..20 {
            assert_eq!(limits.ask(number * 1_100, send(GROUP)), Ok(()));
        }
        assert_eq!(wait(limits.ask(22_000, send(GROUP))), Some(38));
        assert_eq!(limits.ask(22_000, send(Peer::User(2))), Ok(()));
        assert_eq!(limits.ask(60_000, send(GROUP)), Ok(()));
        assert_eq!(limits.met()[&1].inside, 0);
    }

    #[test]
    fn who_asks_early_waits_twice_as_long_but_not_for_what_was_under_way() {
        let mut limits = Limits::new(1);
        for _ in 0..3 {
            assert_eq!(limits.ask(0, send(Peer::User(2))), Ok(()));
        }
        assert_eq!(wait(limits.ask(0, send(Peer::User(2)))), Some(3));
        assert_eq!(wait(limits.ask(200, send(Peer::User(2)))), Some(3), "under way");
        assert_eq!(wait(limits.ask(1_000, send(Peer::User(2)))), Some(6));
        assert_eq!(wait(limits.ask(2_000, send(Peer::User(2)))), Some(12));
        assert_eq!(limits.ask(14_000, send(Peer::User(2))), Ok(()));
        let met = Met {
            calls: 7,
            waits: 1,
            inside: 2,
        };
        assert_eq!(limits.met()[&1], Met { calls: 8, ..met });
    }

    #[test]
    fn an_hour_passes_in_a_minute_and_waits_are_told_in_real_seconds() {
        let mut limits = Limits::new(60);
        let join = Asked {
            class: Class::Join,
            chat: None,
            ..send(GROUP)
        };
        for _ in 0..5 {
            assert_eq!(limits.ask(0, join), Ok(()));
        }
        assert_eq!(wait(limits.ask(0, join)), Some(60));
        assert_eq!(limits.ask(60_000, join), Ok(()));
    }

    proptest! {
        /// Who waits as long as was told is never told that it came inside a wait, and gets through.
        #[test]
        fn who_honours_its_waits_meets_no_longer_one(
            factor in 1_u32..100,
            chats in proptest::collection::vec((0_i64..4, 0_i64..2_000, 1_u32..10), 1..200),
        ) {
            let mut limits = Limits::new(factor);
            let (mut now, mut due) = (0, HashMap::new());
            for (chat, pause, units) in chats {
                now += pause;
                let chat = if chat < 2 { Peer::User(chat + 2) } else { Peer::Channel(chat) };
                now = now.max(due.get(&chat).copied().unwrap_or_default());
                while let Some(seconds) = wait(limits.ask(now, Asked { units, ..send(chat) })) {
                    prop_assert!(seconds > 0);
                    now += seconds * 1_000;
                    due.insert(chat, now);
                }
            }
            prop_assert_eq!(limits.met()[&1].inside, 0);
        }
    }
}
