//! The latest events in memory: whoever is not behind is told of them without a look into the tree, and without the
//! seal being opened once for every consumer.
//!
//! It holds what was appended and made durable since the database was opened, in order and without gaps, and forgets
//! the oldest for the newest. It is part of the open database, so nothing of it outlives a new opening. It promises
//! nothing to those who are behind: they read the tree.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::Event;

/// The most events that are kept.
const EVENTS: usize = 1024;
/// The most bytes that they may have as rows.
const BYTES: usize = 1 << 20;

/// An event that was just appended.
#[derive(Clone, Debug)]
pub(super) struct Fresh {
    pub seq: u64,
    pub event: Arc<Event>,
    /// The bytes of its row.
    pub size: usize,
}

/// See the head of the file.
#[derive(Default)]
pub(super) struct Recent(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    events: VecDeque<Fresh>,
    bytes: usize,
}

impl Recent {
    /// Keeps events that are durable from now on.
    pub fn add(&self, fresh: impl IntoIterator<Item = Fresh>) {
        let mut kept = self.kept();
        for fresh in fresh {
            kept.bytes += fresh.size;
            kept.events.push_back(fresh);
        }
        while kept.events.len() > EVENTS || kept.bytes > BYTES {
            kept.forget_first();
        }
    }

    /// Forgets what is not kept in the journal any more.
    pub fn forget_before(&self, oldest: u64) {
        let mut kept = self.kept();
        while kept.events.front().is_some_and(|first| first.seq < oldest) {
            kept.forget_first();
        }
    }

    /// Up to `limit` events after one and up to another; none if they do not reach back so far.
    pub fn between(&self, after: u64, upto: u64, limit: usize) -> Option<Vec<(u64, Arc<Event>)>> {
        let kept = self.kept();
        let first = kept.events.front()?.seq;
        let skipped = usize::try_from((after + 1).checked_sub(first)?).ok()?;
        let wanted = kept.events.iter().skip(skipped).take(limit);
        let durable = wanted.take_while(|fresh| fresh.seq <= upto);
        Some(durable.map(|fresh| (fresh.seq, fresh.event.clone())).collect())
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn forget_first(&mut self) {
        if let Some(first) = self.events.pop_front() {
            self.bytes -= first.size;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::basics::event;
    use super::*;

    fn fresh(seqs: std::ops::RangeInclusive<u64>, size: usize) -> impl Iterator<Item = Fresh> {
        seqs.map(move |seq| Fresh {
            seq,
            event: Arc::new(event("e")),
            size,
        })
    }

    fn numbers(recent: &Recent, after: u64, upto: u64, limit: usize) -> Option<Vec<u64>> {
        let events = recent.between(after, upto, limit)?;
        Some(events.into_iter().map(|(seq, _)| seq).collect())
    }

    #[test]
    fn it_tells_what_comes_after_and_nothing_of_what_it_never_had() {
        let recent = Recent::default();
        assert_eq!(numbers(&recent, 0, 9, 9), None);
        recent.add(fresh(5..=9, 1));
        assert_eq!(numbers(&recent, 3, 9, 9), None, "the fourth is missing");
        assert_eq!(numbers(&recent, 4, 9, 9), Some(vec![5, 6, 7, 8, 9]));
        assert_eq!(numbers(&recent, 5, 9, 2), Some(vec![6, 7]));
        assert_eq!(numbers(&recent, 5, 6, 9), Some(vec![6]));
        assert_eq!(numbers(&recent, 9, 9, 9), Some(vec![]));
    }

    #[test]
    fn the_oldest_goes_for_the_newest_and_with_the_journal() {
        let recent = Recent::default();
        recent.add(fresh(1..=EVENTS as u64 + 2, 1));
        assert_eq!(numbers(&recent, 1, 9, 9), None);
        assert_eq!(numbers(&recent, 2, 3, 9), Some(vec![3]));
        recent.forget_before(7);
        assert_eq!(numbers(&recent, 5, 7, 9), None);
        assert_eq!(numbers(&recent, 6, 7, 9), Some(vec![7]));
        recent.add(fresh(EVENTS as u64 + 3..=EVENTS as u64 + 4, BYTES / 2));
        assert_eq!(recent.kept().events.len(), 2, "large ones leave room for few");
    }
}
