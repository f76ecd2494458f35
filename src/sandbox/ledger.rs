//! The ledger of a run: what was produced in the world, against what arrived in it. Pure.
//!
//! It counts messages as the sandbox stored them and bodies as the receiver accepted them; no counter of
//! the daemon enters it, but for what the daemon says is still waiting. The demo and the fault campaign end
//! with one.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::receiver::Received;
use super::view::MessageView;

/// The account of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Ledger {
    /// New messages in the source; each part of an album is one.
    pub produced: usize,
    /// Edits in the source.
    pub edits: usize,
    /// Deletions in the source.
    pub deletions: usize,
    /// Messages of the source that have their copy, or had it.
    pub forwarded: usize,
    /// Messages of the source that were deleted before they were copied.
    pub cancelled: usize,
    /// Webhook ids that were accepted.
    pub delivered: usize,
    /// Tries of deliveries beyond the first of each.
    pub redelivered: usize,
    /// Messages without a copy, and messages without a delivery, that nothing waits for any more.
    pub lost: usize,
    /// Second copies, messages told of under two webhook ids, and webhook ids with two bodies.
    pub duplicated: usize,
    /// Of these, messages told of under two webhook ids.
    pub told_anew: usize,
    /// What is still on its way: copies, edits, deletions, deliveries.
    pub pending: usize,
    /// What the daemon gave up, with its reason.
    pub dead_lettered: usize,
    /// Half of the copies were stored within this time after their source, in milliseconds.
    pub p50_ms: i64,
    /// 99 of 100 were.
    pub p99_ms: i64,
    /// The whole run, in seconds.
    pub wall_s: f64,
    /// How long each copy came after its source, in milliseconds, the shortest first.
    #[serde(skip)]
    pub delays: Vec<i64>,
}

/// What the ledger is made of.
pub struct Evidence<'a> {
    /// The source.
    pub chat: i64,
    /// Every message ever stored in the source.
    pub source: &'a [MessageView],
    /// Every message ever stored in the destination.
    pub destination: &'a [MessageView],
    /// Everything the receiver was sent.
    pub received: &'a HashMap<String, Received>,
    /// Edits made in the source.
    pub edits: usize,
    /// Tasks that the daemon still has.
    pub waiting: usize,
    /// Tasks that it gave up.
    pub dead: usize,
}

impl Ledger {
    /// Whether nothing is lost, doubled or open.
    pub fn is_clean(&self) -> bool {
        self.lost == 0 && self.duplicated == 0 && self.pending == 0
    }

    /// How many copies came later after their source than this.
    pub fn later_than(&self, bound: std::time::Duration) -> usize {
        let bound = i64::try_from(bound.as_millis()).unwrap_or(i64::MAX);
        self.delays.len() - self.delays.partition_point(|delay| *delay <= bound)
    }

    /// Draws the ledger up.
    pub fn draw(evidence: &Evidence<'_>) -> Self {
        let said = |messages: &'_ [MessageView]| {
            messages
                .iter()
                .filter(|message| message.service.is_none())
                .cloned()
                .collect::<Vec<_>>()
        };
        let (source, destination) = (said(evidence.source), said(evidence.destination));
        let mut ledger = Self {
            produced: source.len(),
            edits: evidence.edits,
            deletions: source
                .iter()
                .filter(|message| message.deleted_at.is_some())
                .count(),
            dead_lettered: evidence.dead,
            ..Self::default()
        };
        let unsettled =
            ledger.match_copies(&source, &destination) + ledger.match_deliveries(&source, evidence);
        if evidence.waiting > 0 {
            ledger.pending += unsettled;
        } else {
            ledger.lost += unsettled;
        }
        ledger
    }

    /// Compares the chats message by message; how many copies are missing.
    fn match_copies(&mut self, source: &[MessageView], destination: &[MessageView]) -> usize {
        let mut copies: HashMap<String, Vec<&MessageView>> = HashMap::new();
        for copy in destination {
            copies.entry(number(&copy.text)).or_default().push(copy);
        }
        let mut latencies = Vec::new();
        let mut missing = 0;
        for message in source {
            let found = copies.remove(&number(&message.text)).unwrap_or_default();
            self.duplicated += found.len().saturating_sub(1);
            match found.first() {
                Some(copy) => {
                    self.forwarded += 1;
                    latencies.push((copy.stored_at - message.stored_at).max(0));
                    let followed = message.deleted_at.is_some() == copy.deleted_at.is_some()
                        && (message.deleted_at.is_some() || message.text == copy.text);
                    self.pending += usize::from(!followed);
                }
                None if message.deleted_at.is_some() => self.cancelled += 1,
                None => missing += 1,
            }
        }
        self.duplicated += copies.into_values().map(|rest| rest.len()).sum::<usize>();
        latencies.sort_unstable();
        self.p50_ms = quantile(&latencies, 50);
        self.p99_ms = quantile(&latencies, 99);
        self.delays = latencies;
        missing
    }

    /// Compares the source with what the receiver accepted; how many messages it never heard of.
    fn match_deliveries(&mut self, source: &[MessageView], evidence: &Evidence<'_>) -> usize {
        let mut told = HashSet::new();
        for one in evidence.received.values() {
            self.delivered += usize::from(one.accepted > 0);
            self.redelivered += (one.tries as usize).saturating_sub(1);
            self.duplicated += usize::from(one.changed);
            if one.accepted > 0
                && let Some(message) = new_message(&one.body, evidence.chat)
            {
                let known = usize::from(!told.insert(message));
                self.told_anew += known;
                self.duplicated += known;
            }
        }
        // What was deleted before the daemon could see it is never told of.
        source
            .iter()
            .filter(|message| message.deleted_at.is_none() && !told.contains(&message.id))
            .count()
    }
}

/// The number that the script gives each message, at the end of its text.
fn number(text: &str) -> String {
    text.rsplit_once('№')
        .map_or_else(|| text.to_owned(), |(_, number)| number.to_owned())
}

/// The message that a delivered body announces as new.
fn new_message(body: &[u8], chat: i64) -> Option<i32> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    let wanted = body["type"] == "message.new" && body["data"]["chat"] == chat;
    wanted
        .then(|| body["data"]["id"].as_i64())?
        .and_then(|id| id.try_into().ok())
}

fn quantile(sorted: &[i64], percent: usize) -> i64 {
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(id: i32, text: &str, stored_at: i64) -> MessageView {
        MessageView {
            id,
            chat: -100,
            from: 1,
            date: 0,
            stored_at,
            edited_at: None,
            deleted_at: None,
            text: text.to_owned(),
            entities: Vec::new(),
            media: None,
            album: None,
            reply_to: None,
            forward: None,
            random_id: String::new(),
            silent: false,
            pinned: false,
            reactions: std::collections::BTreeMap::new(),
            service: None,
        }
    }

    fn told(ids: &[i32]) -> HashMap<String, Received> {
        let body = |id: &i32| {
            serde_json::json!({"type": "message.new", "data": {"id": id, "chat": -100}}).to_string()
        };
        let one = |id| Received {
            tries: 1,
            accepted: 1,
            body: body(id).into(),
            changed: false,
        };
        ids.iter().map(|id| (id.to_string(), one(id))).collect()
    }

    fn draw(source: &[MessageView], destination: &[MessageView], ids: &[i32], waiting: usize) -> Ledger {
        let received = told(ids);
        Ledger::draw(&Evidence {
            chat: -100,
            source,
            destination,
            received: &received,
            edits: 0,
            waiting,
            dead: 0,
        })
    }

    #[test]
    fn a_copy_of_each_is_clean() {
        let source = [message(1, "a №1", 100), message(2, "b №2", 200)];
        let copies = [message(7, "a №1", 110), message(8, "b №2", 230)];
        let ledger = draw(&source, &copies, &[1, 2], 0);
        assert!(ledger.is_clean(), "{ledger:?}");
        assert_eq!(
            (ledger.forwarded, ledger.delivered, ledger.p50_ms, ledger.p99_ms),
            (2, 2, 10, 30)
        );
        let late = |bound| ledger.later_than(std::time::Duration::from_millis(bound));
        assert_eq!((late(9), late(10), late(30)), (2, 1, 0));
    }

    #[test]
    fn what_is_missing_is_lost_once_nothing_waits() {
        let source = [message(1, "a №1", 100)];
        assert_eq!(draw(&source, &[], &[1], 1).pending, 1);
        assert_eq!(draw(&source, &[], &[1], 0).lost, 1);
        assert_eq!(
            draw(&source, &[message(7, "a №1", 1)], &[], 0).lost,
            1,
            "a delivery is missing"
        );
    }

    #[test]
    fn second_copies_and_strangers_are_doubles() {
        let source = [message(1, "a №1", 100)];
        let copies = [
            message(7, "a №1", 110),
            message(8, "a №1", 120),
            message(9, "x №5", 130),
        ];
        assert_eq!(draw(&source, &copies, &[1], 0).duplicated, 2);
    }

    #[test]
    fn a_message_told_of_under_two_ids_is_a_double() {
        let source = [message(1, "a №1", 100)];
        let copies = [message(7, "a №1", 110)];
        let mut received = told(&[1]);
        let again = received["1"].clone();
        received.insert("another".to_owned(), again);
        let ledger = Ledger::draw(&Evidence {
            chat: -100,
            source: &source,
            destination: &copies,
            received: &received,
            edits: 0,
            waiting: 0,
            dead: 0,
        });
        assert_eq!((ledger.duplicated, ledger.delivered), (1, 2));
    }

    #[test]
    fn edits_and_deletions_have_to_be_followed() {
        let source = [
            message(1, "(corrected) a №1", 100),
            MessageView {
                deleted_at: Some(5),
                ..message(2, "b №2", 1)
            },
        ];
        let copies = [message(7, "a №1", 110), message(8, "b №2", 120)];
        assert_eq!(draw(&source, &copies, &[1, 2], 0).pending, 2);
        let gone = [MessageView {
            deleted_at: Some(5),
            ..message(2, "b №2", 1)
        }];
        assert_eq!(draw(&gone, &[], &[2], 0).cancelled, 1);
    }
}
