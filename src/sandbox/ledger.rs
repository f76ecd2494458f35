//! The ledger of a run: what was produced in the world, against what arrived in it. Pure.
//!
//! It counts messages as the sandbox stored them and bodies as the receiver accepted them; no counter of
//! the daemon enters it, but for what the daemon says is still waiting. The demo and the fault campaign end
//! with one.

mod likeness;

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use self::likeness::Matched;
pub use self::likeness::{Jump, Line, Name, Terms};
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
    /// Messages of the source that were deleted before a copy of them could stand.
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
    /// Of these, copies of what was never said in the source: of another chat's messages, say.
    pub strayed: usize,
    /// Copies that stand before the copy of an earlier message.
    pub disordered: usize,
    /// Copies that stand after that of a later message since the account could not read their sources at first.
    pub displaced: usize,
    /// Copies that do not follow an edit or deletion since Telegram left it out.
    pub untold: usize,
    /// Messages that the account could not read when they were posted: they may have a copy, and need none.
    pub unread: usize,
    /// Copies that, when nothing waits any more, do not show what their source shows: text, formatting, kind and
    /// content of media, what they answer, which album they are of, whether they still stand.
    pub unlike: usize,
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
    /// What is missing, too much or unlike, a line each.
    #[serde(skip)]
    pub remarks: Vec<String>,
}

/// What the ledger is made of.
pub struct Evidence<'a> {
    /// Sources with their destinations; most runs have one.
    pub lines: &'a [Line<'a>],
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
    /// Whether nothing is lost, doubled, misplaced or open.
    pub fn is_clean(&self) -> bool {
        self.is_settled() && self.duplicated == 0 && self.disordered == 0
    }

    /// Whether nothing more is to come, nor anything to be changed.
    pub fn is_settled(&self) -> bool {
        self.lost == 0 && self.pending == 0 && self.unlike == 0
    }

    /// How many copies came later after their source than this.
    pub fn later_than(&self, bound: std::time::Duration) -> usize {
        let bound = i64::try_from(bound.as_millis()).unwrap_or(i64::MAX);
        self.delays.len() - self.delays.partition_point(|delay| *delay <= bound)
    }

    /// Draws the ledger up.
    pub fn draw(evidence: &Evidence<'_>) -> Self {
        let mut ledger = Self {
            edits: evidence.edits,
            dead_lettered: evidence.dead,
            ..Self::default()
        };
        let (mut missing, mut unlike) = (ledger.match_deliveries(evidence), 0);
        for line in evidence.lines {
            let matched = Matched::of(line);
            missing += ledger.match_copies(&matched);
            let (others, untold) = matched.unlike();
            unlike += others.len();
            ledger.untold += untold;
            ledger.remark("unlike its source", &others);
        }
        ledger.delays.sort_unstable();
        ledger.p50_ms = quantile(&ledger.delays, 50);
        ledger.p99_ms = quantile(&ledger.delays, 99);
        if evidence.waiting > 0 {
            ledger.pending += missing + unlike;
        } else {
            ledger.lost += missing;
            ledger.unlike += unlike;
        }
        ledger
    }

    /// Counts the copies of a line; how many are missing.
    fn match_copies(&mut self, matched: &Matched<'_>) -> usize {
        let (missing, cancelled) = matched.passed_over();
        self.remark("without a copy", &missing);
        self.remark("a copy too many", &matched.rest);
        let (disordered, displaced) = matched.disordered();
        let copied = (matched.pairs.iter())
            .filter_map(|(message, copy)| Some((copy.as_ref()?.stored_at - message.stored_at).max(0)));
        self.delays.extend(copied);
        self.forwarded = self.delays.len();
        self.produced += matched.pairs.len();
        self.deletions += matched.deletions();
        self.unread += matched.unread();
        self.duplicated += matched.rest.len();
        self.strayed += matched.strayed().len();
        self.cancelled += cancelled;
        self.disordered += disordered.len();
        self.remark("copied after a later one, or before an earlier one", &disordered);
        self.displaced += displaced;
        missing.len()
    }

    fn remark(&mut self, what: &str, messages: &[&MessageView]) {
        let words = |message: &&MessageView| {
            let (chat, id, text) = (message.chat, message.id, &message.text);
            format!(
                "{what}: {text:?}, {id} of {chat}, stored at {}",
                message.stored_at
            )
        };
        self.remarks.extend(messages.iter().map(words));
    }

    /// Compares the sources with what the receiver accepted; how many messages it never heard of.
    fn match_deliveries(&mut self, evidence: &Evidence<'_>) -> usize {
        let owed = || evidence.lines.iter().flat_map(Line::owed);
        let chats: HashSet<i64> = owed().map(|message| message.chat).collect();
        let mut told = HashSet::new();
        for one in evidence.received.values() {
            self.delivered += usize::from(one.accepted > 0);
            self.redelivered += (one.tries as usize).saturating_sub(1);
            self.duplicated += usize::from(one.changed);
            if one.accepted > 0
                && let Some(message) = new_message(&one.body).filter(|(chat, _)| chats.contains(chat))
            {
                let known = usize::from(!told.insert(message));
                self.told_anew += known;
                self.duplicated += known;
            }
        }
        // What was deleted before the daemon could see it is never told of.
        let heard = |message: &MessageView| told.contains(&(message.chat, message.id));
        let missing: Vec<_> = owed()
            .filter(|message| message.deleted_at.is_none() && !heard(message))
            .collect();
        self.remark("without a delivery", &missing);
        missing.len()
    }
}

/// The message that a delivered body announces as new; by the account itself, as all in its Saved Messages is, or not.
fn new_message(body: &[u8]) -> Option<Name> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    let tells = body["type"] == "message.new" || body["type"] == "message.sent";
    let data = tells.then(|| &body["data"])?;
    Some((data["chat"].as_i64()?, data["id"].as_i64()?.try_into().ok()?))
}

/// The value below which so many of a hundred are.
pub(crate) fn quantile(sorted: &[i64], percent: usize) -> i64 {
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
            thread: None,
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
        draw_by(&Terms::default(), source, destination, ids, waiting)
    }

    fn draw_by(
        terms: &Terms,
        source: &[MessageView],
        destination: &[MessageView],
        ids: &[i32],
        waiting: usize,
    ) -> Ledger {
        let received = told(ids);
        Ledger::draw(&Evidence {
            lines: &[Line {
                source,
                destination,
                terms,
            }],
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
        let ledger = draw(&source, &copies, &[1], 0);
        assert_eq!((ledger.duplicated, ledger.strayed), (2, 1));
    }

    #[test]
    fn a_message_told_of_under_two_ids_is_a_double() {
        let source = [message(1, "a №1", 100)];
        let copies = [message(7, "a №1", 110)];
        let mut received = told(&[1]);
        let again = received["1"].clone();
        received.insert("another".to_owned(), again);
        let ledger = Ledger::draw(&Evidence {
            lines: &[Line {
                source: &source,
                destination: &copies,
                terms: &Terms::default(),
            }],
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
        assert_eq!(draw(&source, &copies, &[1, 2], 1).pending, 2);
        assert_eq!(draw(&source, &copies, &[1, 2], 0).unlike, 2);
        let gone = [MessageView {
            deleted_at: Some(5),
            ..message(2, "b №2", 1)
        }];
        assert_eq!(draw(&gone, &[], &[2], 0).cancelled, 1);
    }

    #[test]
    fn only_what_went_before_its_turn_is_cancelled() {
        let gone = |deleted_at| MessageView {
            deleted_at: Some(deleted_at),
            ..message(1, "a №1", 100)
        };
        let later = message(2, "b №2", 200);
        let copies = [message(8, "b №2", 230)];
        let drawn = |first| draw(&[first, later.clone()], &copies, &[1, 2], 0);
        let (early, late) = (drawn(gone(220)), drawn(gone(900)));
        assert_eq!((early.cancelled, early.lost), (1, 0));
        assert_eq!((late.cancelled, late.lost), (0, 1), "its turn had come");
    }

    #[test]
    fn copies_keep_the_order() {
        let source = [message(1, "a №1", 100), message(2, "b №2", 200)];
        let copies = [message(7, "b №2", 210), message(8, "a №1", 230)];
        let ledger = draw(&source, &copies, &[1, 2], 0);
        assert_eq!((ledger.disordered, ledger.lost, ledger.duplicated), (1, 0, 0));
        assert!(!ledger.is_clean());
    }

    #[test]
    fn copies_show_what_their_sources_show() {
        let photo = |size| {
            let wanted = serde_json::json!({"kind": "photo", "size": size});
            serde_json::from_value(wanted).expect("a picture")
        };
        let bold = serde_json::from_str(r#"[{"type":"bold","offset":0,"length":1}]"#).expect("entities");
        let source = [
            MessageView {
                entities: bold,
                ..message(1, "a №1", 100)
            },
            MessageView {
                media: Some(photo(5)),
                album: Some("x".to_owned()),
                ..message(2, "b №2", 200)
            },
            MessageView {
                media: Some(photo(6)),
                album: Some("x".to_owned()),
                ..message(3, "c №3", 200)
            },
            MessageView {
                reply_to: Some(1),
                ..message(4, "d №4", 300)
            },
        ];
        let copy = |message: &MessageView| MessageView {
            id: message.id + 10,
            reply_to: message.reply_to.map(|id| id + 10),
            album: message.album.as_ref().map(|_| "y".to_owned()),
            ..message.clone()
        };
        let unlike = |change: &dyn Fn(&mut [MessageView])| {
            let mut copies: Vec<MessageView> = source.iter().map(copy).collect();
            change(&mut copies);
            draw(&source, &copies, &[1, 2, 3, 4], 0).unlike
        };
        assert_eq!(unlike(&|_| {}), 0);
        assert_eq!(unlike(&|copies| copies[0].entities.clear()), 1);
        assert_eq!(unlike(&|copies| copies[1].media = Some(photo(6))), 1);
        assert_eq!(unlike(&|copies| copies[2].media = None), 1);
        assert_eq!(unlike(&|copies| copies[2].album = None), 2, "both parts");
        assert_eq!(unlike(&|copies| copies[3].reply_to = None), 1);
        assert_eq!(unlike(&|copies| copies[3].reply_to = Some(12)), 1);
        assert_eq!(unlike(&|copies| copies[0].deleted_at = Some(900)), 1);
    }

    #[test]
    fn a_reply_is_missing_rightly_only_if_its_target_went_before() {
        let drawn = |deleted_at| {
            let source = [
                MessageView {
                    deleted_at: Some(deleted_at),
                    ..message(1, "a №1", 100)
                },
                MessageView {
                    reply_to: Some(1),
                    ..message(2, "b №2", 200)
                },
            ];
            let copies = [
                MessageView {
                    deleted_at: Some(deleted_at + 10),
                    ..message(7, "a №1", 110)
                },
                message(8, "b №2", 250),
            ];
            draw(&source, &copies, &[1, 2], 0).unlike
        };
        assert_eq!((drawn(240), drawn(300)), (0, 1));
    }

    #[test]
    fn what_was_never_told_excuses_a_form_and_a_deletion_and_nothing_else() {
        let terms = Terms {
            jumps: vec![Jump {
                blind: 200,
                until: 400,
            }],
            ..Terms::default()
        };
        let edited = MessageView {
            edited_at: Some(300),
            reply_to: Some(1),
            ..message(2, "(corrected) b №2", 120)
        };
        let answer = MessageView {
            reply_to: Some(7),
            ..message(8, "b №2", 130)
        };
        let drawn = |source: &MessageView, copy: &MessageView| {
            let source = [message(1, "a №1", 100), source.clone()];
            let copies = [message(7, "a №1", 110), copy.clone()];
            let ledger = draw_by(&terms, &source, &copies, &[1, 2], 0);
            (ledger.untold, ledger.unlike)
        };
        assert_eq!(drawn(&edited, &answer), (1, 0));
        let deleted = MessageView {
            deleted_at: Some(300),
            ..edited.clone()
        };
        assert_eq!(drawn(&deleted, &answer), (1, 0));
        let answers_nothing = message(8, "b №2", 130);
        assert_eq!(drawn(&edited, &answers_nothing), (0, 1));
        let went = MessageView {
            deleted_at: Some(500),
            ..answer
        };
        assert_eq!(drawn(&edited, &went), (0, 1), "its source stands");
    }

    #[test]
    fn what_the_account_could_not_see_is_not_asked_for() {
        let source = [
            message(1, "a №1", 100),
            message(2, "b №2", 200),
            message(3, "c №3", 300),
            message(4, "d №4", 400),
        ];
        let copies = [
            message(6, "c №3", 310),
            message(7, "a №1", 510),
            message(8, "old №4", 520),
        ];
        let terms = Terms {
            unread: [(-100, 1), (-100, 2)].into(),
            unseen: [(-100, 4)].into(),
            jumps: Vec::new(),
        };
        let ledger = draw_by(&terms, &source, &copies, &[1, 3, 4], 0);
        assert!(ledger.is_clean(), "{ledger:?}");
        assert_eq!((ledger.displaced, ledger.unread, ledger.forwarded), (1, 2, 3));
        let strict = draw(&source, &copies, &[1, 3, 4], 0);
        assert_eq!((strict.lost, strict.unlike, strict.disordered), (2, 1, 1));
    }

    #[test]
    fn messages_of_two_sources_may_have_one_number() {
        let other = |id, text| MessageView {
            chat: -200,
            ..message(id, text, 50)
        };
        let (first, second) = ([message(1, "a №1.1", 100)], [other(1, "b №2.1")]);
        let (here, there) = (
            [message(7, "a №1.1", 110)],
            [other(7, "b №2.1"), other(8, "a №1.1")],
        );
        let body =
            |chat| serde_json::json!({"type": "message.new", "data": {"id": 1, "chat": chat}}).to_string();
        let one = |chat| Received {
            tries: 1,
            accepted: 1,
            body: body(chat).into(),
            changed: false,
        };
        let received = HashMap::from([("x".to_owned(), one(-100)), ("y".to_owned(), one(-200))]);
        let terms = Terms::default();
        let line = |source, destination| Line {
            source,
            destination,
            terms: &terms,
        };
        let ledger = Ledger::draw(&Evidence {
            lines: &[line(&first, &here), line(&second, &there)],
            received: &received,
            edits: 0,
            waiting: 0,
            dead: 0,
        });
        assert_eq!((ledger.produced, ledger.forwarded, ledger.lost), (2, 2, 0));
        assert_eq!((ledger.duplicated, ledger.strayed), (1, 1));
    }
}
