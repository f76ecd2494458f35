//! The rows of what was spent of hours and days, and their way between the limiter's clock and the machine's.
//!
//! A row tells ages, and when it was noted; a clock that was set back meanwhile makes nothing younger than it was.
//! What the row is ahead by counts as spent when it is read: see `ledger`.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::CostClass;
use super::budget::Tick;
use super::ledger::{Ledger, Sliding, Window};
use super::means::Place;
use crate::base::{SessionId, Timestamp};
use crate::model::ChatId;
use crate::store::{Batch, Scan, Store, StoreError, Table, catalog};

/// Ledgers of sessions.
struct SpentTable;

impl Table for SpentTable {
    const ENTRY: catalog::Entry = catalog::SPENT;
    /// Session, kind of budget, class, chat; 0 where there is none.
    type Key = (SessionId, u8, u8, i64);
    type Value = SpentRow;
}

/// Forgets a session; how many rows that were, of so many at most.
pub(super) fn forget_session(
    store: &Store,
    batch: &mut Batch,
    session: SessionId,
    most: usize,
) -> Result<usize, StoreError> {
    let rows = store.scan::<SpentTable>(Scan::prefix(&session), most)?;
    for (key, _) in &rows {
        batch.remove::<SpentTable>(key);
    }
    Ok(rows.len())
}

/// The sessions of which something is kept.
pub(super) fn sessions(store: &Store) -> Result<BTreeSet<SessionId>, StoreError> {
    let rows = store.scan::<SpentTable>(Scan::all(), usize::MAX)?;
    Ok(rows.into_iter().map(|(key, _)| key.0).collect())
}

/// A ledger as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct SpentRow {
    noted: Timestamp,
    reserved: u32,
    /// Milliseconds before `noted`, and units; oldest first.
    hour: Vec<(u32, u32)>,
    day: Vec<(u32, u32)>,
    /// When it was told that the hour, then the day, is mostly spent, and that it is spent.
    told: [Option<u32>; 4],
}

const ACCOUNT: u8 = 1;
const STRANGERS: u8 = 2;
const CLASS: u8 = 3;
const CHAT: u8 = 4;

fn key(session: SessionId, place: Place) -> (SessionId, u8, u8, i64) {
    match place {
        Place::Account => (session, ACCOUNT, 0, 0),
        Place::Strangers => (session, STRANGERS, 0, 0),
        Place::Class(class) => (session, CLASS, class as u8, 0),
        Place::Chat(chat) => (session, CHAT, 0, chat.0),
    }
}

fn place_of(kind: u8, class: u8, chat: i64) -> Option<Place> {
    match kind {
        ACCOUNT => Some(Place::Account),
        STRANGERS => Some(Place::Strangers),
        CLASS => CostClass::ALL
            .get(usize::from(class))
            .map(|class| Place::Class(*class)),
        CHAT => Some(Place::Chat(ChatId(chat))),
        _ => None,
    }
}

impl SpentRow {
    /// A ledger, and how far the row is ahead of it.
    pub(super) fn of(ledger: &Ledger, reserved: u32, now: Tick, wall: Timestamp) -> Self {
        let age = |at: Tick| u32::try_from(now.since(at).as_millis()).unwrap_or(u32::MAX);
        let rows = |window: Window| {
            let running = ledger.sliding(window).spent.iter();
            let running = running.filter(|spent| spent.last.plus(window.span()) > now);
            running.map(|spent| (age(spent.last), spent.units)).collect()
        };
        let told = [
            ledger.hour.warned,
            ledger.hour.reached,
            ledger.day.warned,
            ledger.day.reached,
        ];
        Self {
            noted: wall,
            reserved,
            hour: rows(Window::Hour),
            day: rows(Window::Day),
            told: told.map(|told| told.map(age)),
        }
    }

    /// The ledger of a row; none if nothing of it counts any more.
    pub(super) fn ledger(&self, now: Tick, wall: Timestamp) -> Option<Ledger> {
        let noted = now.minus(wall.since(self.noted));
        let at = |age: u32| noted.minus(Duration::from_millis(age.into()));
        let told = self.told.map(|told| told.map(at));
        let sliding = |rows: &[(u32, u32)], warned, reached| {
            let mut sliding = Sliding {
                warned,
                reached,
                ..Sliding::default()
            };
            for (age, units) in rows {
                sliding.put(at(*age), *units);
            }
            if self.reserved > 0 {
                sliding.put(now, self.reserved);
            }
            sliding
        };
        let hour = sliding(&self.hour, told[0], told[1]);
        let day = sliding(&self.day, told[2], told[3]);
        let ledger = Ledger::restored(hour, day);
        Some(ledger).filter(|ledger| !ledger.is_rested(now))
    }
}

/// Writes a ledger's row into a batch, or takes it away.
pub(super) fn keep(batch: &mut Batch, session: SessionId, place: Place, row: Option<&SpentRow>) {
    match row {
        Some(row) => batch.put::<SpentTable>(&key(session, place), row),
        None => batch.remove::<SpentTable>(&key(session, place)),
    };
}

/// Every row.
pub(super) fn load(store: &Store) -> Result<Vec<(SessionId, Place, SpentRow)>, StoreError> {
    let rows = store.scan::<SpentTable>(Scan::all(), usize::MAX)?;
    let known = |((session, kind, class, chat), row)| Some((session, place_of(kind, class, chat)?, row));
    Ok(rows.into_iter().filter_map(known).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limiter::config::Budget;
    use crate::store::fuzz::*;

    #[test]
    fn rows_of_any_bytes_are_an_error_at_worst() {
        bears_any_row::<SpentTable>();
    }

    const HOURLY: Budget = Budget {
        every: Duration::ZERO,
        burst: 1,
        grows_to: Duration::ZERO,
        quotas: Vec::new(),
        per_hour: 100,
        per_day: 0,
    };

    #[test]
    fn a_row_read_later_counts_what_still_runs_and_what_was_reserved() {
        let (now, wall) = (Tick(1 << 52), Timestamp(1_800_000_000_000));
        let mut ledger = Ledger::default();
        for minutes in [0u64, 30, 50] {
            ledger.take(1, now.plus(Duration::from_secs(minutes * 60)));
        }
        let noted = now.plus(Duration::from_secs(3000));
        let row = SpentRow::of(&ledger, 2, noted, wall);
        // Another clock, 20 minutes later: the first one left the hour, the reserve came in.
        let (then, later) = (Tick(1 << 51), wall.plus(Duration::from_secs(1200)));
        let read = row.ledger(then, later).expect("runs");
        assert_eq!(
            (
                read.hour.used(Window::Hour, then),
                read.day.used(Window::Day, then)
            ),
            (4, 5)
        );
        let full = Budget {
            per_hour: 4,
            ..HOURLY
        };
        assert_eq!(
            read.earliest(&full, 1, 1.0).since(then),
            Duration::from_secs(20 * 60)
        );
        // A clock that was set back makes nothing younger.
        let back = row
            .ledger(then, wall.minus(Duration::from_secs(9999)))
            .expect("runs");
        assert_eq!(back.hour.used(Window::Hour, then), 5);
        assert_eq!(
            row.ledger(then, wall.plus(Duration::from_secs(90_000)))
                .map(|_| ()),
            Some(()),
            "the reserve counts"
        );
        let bare = SpentRow::of(&ledger, 0, noted, wall);
        assert!(
            bare.ledger(then, wall.plus(Duration::from_secs(90_000)))
                .is_none()
        );
    }
}
