//! Reading the journal: events in the order in which they were committed, and how far consumers have read.
//!
//! Sequence numbers begin at 1 and have no gaps when given; a damaged event leaves one when it is moved aside.
//! Only durable events are served: one that a crash could take back is not seen by any consumer.

use std::ops::Bound;
use std::sync::Arc;

use tokio::sync::watch;

use super::Store;
use super::batch::{JournalRow, cursor_key};
use super::catalog;
use super::error::StoreError;
use super::key::KeyBytes;
use super::read::sled_rows;
use crate::model::Event;

pub(super) fn event_key(seq: u64) -> Vec<u8> {
    let mut key = vec![catalog::JOURNAL.prefix];
    seq.write(&mut key);
    key
}

pub(super) fn seq_of(key: &[u8]) -> Option<u64> {
    let mut rest = key.get(1..)?;
    u64::read(&mut rest)
}

impl Store {
    /// Up to `limit` events after the sequence number `after`, oldest first.
    pub fn events(&self, after: u64, limit: usize) -> Result<Vec<(u64, Arc<Event>)>, StoreError> {
        let head = *self.head().borrow();
        if after >= head {
            return Ok(Vec::new());
        }
        let live = self.live()?;
        if let Some(events) = live.recent.between(after, head, limit) {
            return Ok(events);
        }
        self.guarded(|| {
            let range = (
                Bound::Excluded(event_key(after)),
                Bound::Included(event_key(head)),
            );
            let mut events = Vec::new();
            for item in sled_rows(live.tree.range(range)) {
                let (key, row) = item?;
                let Some(event) = live.row::<JournalRow<Event>>(&catalog::JOURNAL, &key, row)? else {
                    continue;
                };
                if let Some(seq) = seq_of(&key) {
                    events.push((seq, Arc::new(event.event)));
                }
                if events.len() >= limit {
                    break;
                }
            }
            Ok(events)
        })
    }

    /// An event by its sequence number; none if it is not kept (any more), or not durable yet.
    pub fn event(&self, seq: u64) -> Result<Option<Event>, StoreError> {
        if seq > *self.head().borrow() {
            return Ok(None);
        }
        let live = self.live()?;
        self.guarded(|| {
            let row = live.typed::<JournalRow<Event>>(&catalog::JOURNAL, &event_key(seq))?;
            Ok(row.map(|row| row.event))
        })
    }

    /// The sequence number of the last durable event, and word of every new one.
    pub fn head(&self) -> watch::Receiver<u64> {
        self.shared.head.subscribe()
    }

    /// The sequence number of the oldest event that is kept; one past the head if none is.
    pub fn oldest_event(&self) -> Result<u64, StoreError> {
        let head = *self.head().borrow();
        let live = self.live()?;
        self.guarded(|| {
            let first = live.tree.range(event_key(0)..=event_key(head)).next();
            let first = sled_rows(first.into_iter()).next().transpose()?;
            Ok(first.and_then(|(key, _)| seq_of(&key)).unwrap_or(head + 1))
        })
    }

    /// The last event that a consumer is done with; 0 before its first.
    pub fn cursor(&self, consumer: &str) -> Result<u64, StoreError> {
        let live = self.live()?;
        self.guarded(|| {
            let value = live.plain(&catalog::CURSORS, &cursor_key(consumer))?;
            Ok(value
                .and_then(|bytes| u64::read(&mut bytes.as_slice()))
                .unwrap_or(0))
        })
    }
}
