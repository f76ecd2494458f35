//! The limiter's rows: waits that Telegram asked for, and what they taught.
//!
//! A row names its end by the machine's clock and when it was noted; a clock that was set back
//! meanwhile cannot make a wait longer than it was.

use serde::{Deserialize, Serialize};

use super::CostClass;
use super::core::Mark;
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
    /// By how much the class slows down; only in lessons.
    #[serde(default)]
    level: f64,
}

const ACCOUNT: u8 = 1;
const CHAT: u8 = 2;
const SLOW_MODE: u8 = 3;
const PEER_FLOOD: u8 = 4;
const LESSON: u8 = 5;

/// A wait, as it is kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct KeptWait {
    pub(super) session: SessionId,
    pub(super) mark: Mark,
    pub(super) until: Timestamp,
    pub(super) noted: Timestamp,
}

/// What a class learned, as it is kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct KeptLesson {
    pub(super) session: SessionId,
    pub(super) class: CostClass,
    pub(super) level: f64,
    pub(super) at: Timestamp,
    pub(super) ends: Timestamp,
}

fn key(session: SessionId, mark: Mark) -> (SessionId, u8, u8, i64) {
    match mark {
        Mark::Account(class) => (session, ACCOUNT, class as u8, 0),
        Mark::Chat(class, chat) => (session, CHAT, class as u8, chat.0),
        Mark::SlowMode(chat) => (session, SLOW_MODE, 0, chat.0),
        Mark::PeerFlood => (session, PEER_FLOOD, 0, 0),
    }
}

fn mark_of(kind: u8, class: u8, chat: i64) -> Option<Mark> {
    let class = CostClass::ALL.get(usize::from(class)).copied()?;
    match kind {
        ACCOUNT => Some(Mark::Account(class)),
        CHAT => Some(Mark::Chat(class, ChatId(chat))),
        SLOW_MODE => Some(Mark::SlowMode(ChatId(chat))),
        PEER_FLOOD => Some(Mark::PeerFlood),
        _ => None,
    }
}

/// Writes a wait and what it taught into a batch.
pub(super) fn keep(batch: &mut Batch, wait: &KeptWait, lesson: Option<&KeptLesson>) {
    let row = Row {
        until: wait.until,
        noted: wait.noted,
        level: 0.0,
    };
    batch.put::<LimitsTable>(&key(wait.session, wait.mark), &row);
    if let Some(lesson) = lesson {
        let row = Row {
            until: lesson.ends,
            noted: lesson.at,
            level: lesson.level,
        };
        batch.put::<LimitsTable>(&(lesson.session, LESSON, lesson.class as u8, 0), &row);
    }
}

/// Everything that is kept.
pub(super) fn load(store: &Store) -> Result<(Vec<KeptWait>, Vec<KeptLesson>), StoreError> {
    let mut waits = Vec::new();
    let mut lessons = Vec::new();
    for ((session, kind, class, chat), row) in store.scan::<LimitsTable>(Scan::all(), usize::MAX)? {
        if kind == LESSON {
            lessons.extend(CostClass::ALL.get(usize::from(class)).map(|class| KeptLesson {
                session,
                class: *class,
                level: row.level,
                at: row.noted,
                ends: row.until,
            }));
        } else if let Some(mark) = mark_of(kind, class, chat) {
            waits.push(KeptWait {
                session,
                mark,
                until: row.until,
                noted: row.noted,
            });
        }
    }
    Ok((waits, lessons))
}

/// Forgets waits that are over.
pub(super) fn forget(batch: &mut Batch, over: &[KeptWait]) {
    for wait in over {
        batch.remove::<LimitsTable>(&key(wait.session, wait.mark));
    }
}

/// Forgets a session's peer flood and lessons.
pub(super) fn forget_lessons(batch: &mut Batch, session: SessionId) {
    batch.remove::<LimitsTable>(&key(session, Mark::PeerFlood));
    for class in CostClass::ALL {
        batch.remove::<LimitsTable>(&(session, LESSON, class as u8, 0));
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
