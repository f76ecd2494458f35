//! The limiter's rows: waits that Telegram asked for, what they taught, and peer floods.
//!
//! A row names its end by the machine's clock and when it was noted; a clock that was set back
//! meanwhile cannot make a wait longer than it was.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::CostClass;
use super::core::Mark;
use super::means::LearnedCap;
use super::number::Number;
use super::pace::Pace;
use crate::base::{SessionId, Timestamp};
use crate::model::ChatId;
use crate::store::{Batch, Scan, Store, StoreError, Table, catalog};

/// Waits and lessons of sessions.
struct LimitsTable;

impl Table for LimitsTable {
    const ENTRY: catalog::Entry = catalog::LIMITS;
    /// Session, kind of row, class, chat; 0 where there is none.
    type Key = (SessionId, u8, u8, i64);
    type Value = Row;
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Row {
    until: Timestamp,
    noted: Timestamp,
    /// In lessons by how much it slows down, of a peer flood how many there were, of an hour how many units it takes.
    #[serde(default)]
    level: f64,
    /// In lessons, how slow it was when it met the wait.
    #[serde(default)]
    failed: f64,
}

const ACCOUNT: u8 = 1;
const CHAT: u8 = 2;
const SLOW_MODE: u8 = 3;
const PEER_FLOOD: u8 = 4;
const LESSON: u8 = 5;
const CHAT_LESSON: u8 = 6;
const HOUR: u8 = 7;
/// Of a phone number: what stands for the session is its name.
const NUMBER: u8 = 8;

/// A wait, as it is kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct KeptWait {
    pub(super) session: SessionId,
    pub(super) mark: Mark,
    pub(super) until: Timestamp,
    pub(super) noted: Timestamp,
}

/// Whose lesson.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Learner {
    Class(CostClass),
    Chat(ChatId),
}

/// What a class or a chat learned, as it is kept; nothing is kept of a pace that is even.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct KeptLesson {
    pub(super) session: SessionId,
    pub(super) learner: Learner,
    pub(super) level: f64,
    pub(super) failed: f64,
    pub(super) at: Timestamp,
    pub(super) ends: Timestamp,
}

/// A peer flood, as it is kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct KeptRest {
    pub(super) session: SessionId,
    pub(super) until: Timestamp,
    pub(super) noted: Timestamp,
    pub(super) strikes: u32,
}

/// How much an hour takes, as it is kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct KeptHour {
    pub(super) session: SessionId,
    pub(super) units: u32,
    pub(super) until: Timestamp,
}

/// A wait with logins by a phone number, as it is kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct KeptNumber {
    pub(super) number: Number,
    pub(super) until: Timestamp,
    pub(super) noted: Timestamp,
}

/// Everything that is kept.
#[derive(Default)]
pub(super) struct Kept {
    pub(super) numbers: Vec<KeptNumber>,
    pub(super) waits: Vec<KeptWait>,
    pub(super) lessons: Vec<KeptLesson>,
    pub(super) rests: Vec<KeptRest>,
    pub(super) hours: Vec<KeptHour>,
}

type Key = (SessionId, u8, u8, i64);

fn key(session: SessionId, mark: Mark) -> Key {
    match mark {
        Mark::Account(class) => (session, ACCOUNT, class as u8, 0),
        Mark::Chat(class, chat) => (session, CHAT, class as u8, chat.0),
        Mark::SlowMode(chat) => (session, SLOW_MODE, 0, chat.0),
    }
}

fn lesson_key(session: SessionId, learner: Learner) -> Key {
    match learner {
        Learner::Class(class) => (session, LESSON, class as u8, 0),
        Learner::Chat(chat) => (session, CHAT_LESSON, 0, chat.0),
    }
}

fn mark_of(kind: u8, class: CostClass, chat: i64) -> Option<Mark> {
    match kind {
        ACCOUNT => Some(Mark::Account(class)),
        CHAT => Some(Mark::Chat(class, ChatId(chat))),
        SLOW_MODE => Some(Mark::SlowMode(ChatId(chat))),
        _ => None,
    }
}

/// Writes a wait into a batch.
pub(super) fn keep(batch: &mut Batch, wait: &KeptWait) {
    let row = Row {
        until: wait.until,
        noted: wait.noted,
        level: 0.0,
        failed: 0.0,
    };
    batch.put::<LimitsTable>(&key(wait.session, wait.mark), &row);
}

/// Writes what was learned into a batch.
pub(super) fn keep_lesson(batch: &mut Batch, lesson: &KeptLesson) {
    let key = lesson_key(lesson.session, lesson.learner);
    if lesson.level <= 1.0 {
        batch.remove::<LimitsTable>(&key);
        return;
    }
    let row = Row {
        until: lesson.ends,
        noted: lesson.at,
        level: lesson.level,
        failed: lesson.failed,
    };
    batch.put::<LimitsTable>(&key, &row);
}

/// Writes a peer flood into a batch.
pub(super) fn keep_rest(batch: &mut Batch, rest: &KeptRest) {
    let row = Row {
        until: rest.until,
        noted: rest.noted,
        level: f64::from(rest.strikes),
        failed: 0.0,
    };
    batch.put::<LimitsTable>(&(rest.session, PEER_FLOOD, 0, 0), &row);
}

/// Writes how much an hour takes into a batch.
pub(super) fn keep_hour(batch: &mut Batch, hour: &KeptHour) {
    let row = Row {
        until: hour.until,
        noted: hour.until,
        level: f64::from(hour.units),
        failed: 0.0,
    };
    batch.put::<LimitsTable>(&(hour.session, HOUR, 0, 0), &row);
}

/// Writes a wait with logins by a number into a batch.
pub(super) fn keep_number(batch: &mut Batch, wait: &KeptNumber) {
    let row = Row {
        until: wait.until,
        noted: wait.noted,
        level: 0.0,
        failed: 0.0,
    };
    batch.put::<LimitsTable>(&number_key(wait.number), &row);
}

/// Forgets waits with logins by numbers.
pub(super) fn forget_numbers(batch: &mut Batch, numbers: &[Number]) {
    for number in numbers {
        batch.remove::<LimitsTable>(&number_key(*number));
    }
}

fn number_key(number: Number) -> Key {
    (SessionId::from_bytes(number.0), NUMBER, CostClass::Login as u8, 0)
}

/// Everything that is kept.
pub(super) fn load(store: &Store) -> Result<Kept, StoreError> {
    let mut kept = Kept::default();
    for ((session, kind, class, chat), row) in store.scan::<LimitsTable>(Scan::all(), usize::MAX)? {
        let Some(class) = CostClass::ALL.get(usize::from(class)).copied() else {
            continue;
        };
        let lesson = |learner| KeptLesson {
            session,
            learner,
            level: row.level,
            failed: row.failed,
            at: row.noted,
            ends: row.until,
        };
        match kind {
            LESSON => kept.lessons.push(lesson(Learner::Class(class))),
            CHAT_LESSON => kept.lessons.push(lesson(Learner::Chat(ChatId(chat)))),
            PEER_FLOOD => kept.rests.push(KeptRest {
                session,
                until: row.until,
                noted: row.noted,
                strikes: row.level as u32,
            }),
            NUMBER => kept.numbers.push(KeptNumber {
                number: Number(session.to_bytes()),
                until: row.until,
                noted: row.noted,
            }),
            HOUR => kept.hours.push(KeptHour {
                session,
                units: row.level as u32,
                until: row.until,
            }),
            _ => kept.waits.extend(mark_of(kind, class, chat).map(|mark| KeptWait {
                session,
                mark,
                until: row.until,
                noted: row.noted,
            })),
        }
    }
    Ok(kept)
}

/// Forgets waits that are over.
pub(super) fn forget(batch: &mut Batch, over: &[KeptWait]) {
    for wait in over {
        batch.remove::<LimitsTable>(&key(wait.session, wait.mark));
    }
}

/// Forgets waits and lessons of a chat.
pub(super) fn forget_chat(batch: &mut Batch, session: SessionId, chat: ChatId) {
    for class in CostClass::ALL {
        batch.remove::<LimitsTable>(&key(session, Mark::Chat(class, chat)));
    }
    batch.remove::<LimitsTable>(&key(session, Mark::SlowMode(chat)));
    batch.remove::<LimitsTable>(&lesson_key(session, Learner::Chat(chat)));
}

/// Forgets what taught a class or a chat.
pub(super) fn forget_lesson(batch: &mut Batch, session: SessionId, learner: Learner) {
    batch.remove::<LimitsTable>(&lesson_key(session, learner));
}

/// Forgets a session; how many rows that were, of so many at most.
pub(super) fn forget_session(
    store: &Store,
    batch: &mut Batch,
    session: SessionId,
    most: usize,
) -> Result<usize, StoreError> {
    let rows = store.scan::<LimitsTable>(Scan::prefix(&session), most)?;
    for (key, _) in rows.iter().filter(|(key, _)| key.1 != NUMBER) {
        batch.remove::<LimitsTable>(key);
    }
    Ok(rows.len())
}

/// The sessions of which something is kept.
pub(super) fn sessions(store: &Store) -> Result<BTreeSet<SessionId>, StoreError> {
    let rows = store.scan::<LimitsTable>(Scan::all(), usize::MAX)?;
    let of_sessions = rows.into_iter().filter(|(key, _)| key.1 != NUMBER);
    Ok(of_sessions.map(|(key, _)| key.0).collect())
}

/// Forgets a session's peer flood.
pub(super) fn forget_rest(batch: &mut Batch, session: SessionId) {
    batch.remove::<LimitsTable>(&(session, PEER_FLOOD, 0, 0));
}

/// Forgets a session's peer flood and all that its flood waits taught.
pub(super) fn forget_lessons(store: &Store, batch: &mut Batch, session: SessionId) -> Result<(), StoreError> {
    for (key, _) in store.scan::<LimitsTable>(Scan::prefix(&session), usize::MAX)? {
        if matches!(key.1, PEER_FLOOD | LESSON | CHAT_LESSON | HOUR) {
            batch.remove::<LimitsTable>(&key);
        }
    }
    Ok(())
}

impl KeptLesson {
    /// A pace as it is to be kept.
    pub(super) fn of(
        session: SessionId,
        learner: Learner,
        pace: &Pace,
        wall: impl Fn(super::budget::Tick) -> Timestamp,
    ) -> Self {
        Self {
            session,
            learner,
            level: pace.level,
            failed: pace.failed,
            at: wall(pace.at),
            ends: wall(pace.ends),
        }
    }
}

impl KeptHour {
    /// What a long flood wait taught of the hour, as it is to be kept.
    pub(super) fn of(
        session: SessionId,
        learned: &LearnedCap,
        wall: impl Fn(super::budget::Tick) -> Timestamp,
    ) -> Self {
        Self {
            session,
            units: learned.units,
            until: wall(learned.until),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fuzz::*;

    #[test]
    fn rows_of_any_bytes_are_an_error_at_worst() {
        bears_any_row::<LimitsTable>();
    }
}
