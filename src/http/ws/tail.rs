//! The end of the journal as frames, made once for all who listen.
//!
//! Most listeners stand at the end: the first that wakes reads the new events and makes frames of them, the others find
//! both here. Who is further behind reads for itself. Nothing here waits for a listener, and no more than [`KEPT`]
//! events are kept.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use super::frame::{Frame, frames};
use crate::base::{SessionId, Timestamp};
use crate::model::Event;
use crate::store::{Store, StoreError};
use crate::telegram::Telegram;

/// Events that are kept for those who come a little later.
const KEPT: usize = 256;

/// Events that one look takes.
const AT_ONCE: usize = 64;

/// An event, as frames.
#[derive(Debug)]
pub(super) struct Row {
    /// Its number in the journal.
    pub seq: u64,
    /// The session it belongs to.
    pub session: Option<SessionId>,
    /// Its frames, in order.
    pub frames: Vec<Frame>,
}

/// What comes after a place in the journal.
#[derive(Debug)]
pub(super) struct Next {
    /// Events in order; a number that is left out is gone.
    pub rows: Vec<Arc<Row>>,
    /// How far that is: the last number, or a later one if all before it are gone.
    pub upto: u64,
}

/// See the head of the file.
pub(super) struct Tail {
    store: Store,
    telegram: Telegram,
    ring: Mutex<Ring>,
}

/// The events after `after`, up to and including `upto`.
#[derive(Debug, Default)]
struct Ring {
    after: u64,
    upto: u64,
    rows: VecDeque<Arc<Row>>,
}

impl Ring {
    /// What it has after a place; none if that lies before what it has.
    fn after(&self, place: u64) -> Option<Next> {
        if place < self.after || place >= self.upto {
            return None;
        }
        let begin = self.rows.partition_point(|row| row.seq <= place);
        let rows: Vec<_> = self.rows.iter().skip(begin).take(AT_ONCE).cloned().collect();
        let whole = begin + rows.len() == self.rows.len();
        let upto = match rows.last() {
            Some(last) if !whole => last.seq,
            _ => self.upto,
        };
        Some(Next { rows, upto })
    }

    /// Takes what follows its end.
    fn extend(&mut self, next: &Next) {
        self.rows.extend(next.rows.iter().cloned());
        self.upto = next.upto;
        while self.rows.len() > KEPT {
            if let Some(gone) = self.rows.pop_front() {
                self.after = gone.seq;
            }
        }
    }

    /// Begins anew at a place.
    fn begin_at(&mut self, place: u64) {
        (self.after, self.upto) = (place, place);
        self.rows.clear();
    }
}

impl Tail {
    pub fn new(store: Store, telegram: Telegram) -> Self {
        Self {
            store,
            telegram,
            ring: Mutex::default(),
        }
    }

    /// What comes after a place; nothing if it is the end.
    pub fn next(&self, place: u64) -> Result<Option<Next>, StoreError> {
        let head = *self.store.head().borrow();
        if place >= head {
            return Ok(None);
        }
        {
            let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(next) = ring.after(place) {
                return Ok(Some(next));
            }
            // Nobody has read here for long: what lies between is of no use to those at the end.
            if ring.upto < place && head - place <= KEPT as u64 {
                ring.begin_at(place);
            }
            if ring.upto == place {
                let next = self.read(place, head)?;
                ring.extend(&next);
                return Ok(Some(next));
            }
        }
        self.read(place, head).map(Some)
    }

    fn read(&self, place: u64, head: u64) -> Result<Next, StoreError> {
        let events = self.store.events(place, AT_ONCE)?;
        let mut known = HashMap::new();
        let rows: Vec<_> = events
            .iter()
            .map(|(seq, event)| Arc::new(self.row(*seq, event, &mut known)))
            .collect();
        let upto = match rows.last() {
            Some(last) => last.seq,
            None => head,
        };
        Ok(Next { rows, upto })
    }

    fn row(&self, seq: u64, event: &Event, known: &mut HashMap<SessionId, Context>) -> Row {
        let context = event
            .session
            .map(|session| &*known.entry(session).or_insert_with(|| self.context(session)));
        let metadata = context.and_then(|context| context.metadata.as_ref());
        let proof = context.and_then(|context| context.proof);
        Row {
            seq,
            session: event.session,
            frames: frames(seq, event, metadata, proof),
        }
    }

    fn context(&self, session: SessionId) -> Context {
        match self.telegram.view(session) {
            Ok(view) => Context {
                metadata: view.account.metadata(),
                proof: view.last_proof,
            },
            Err(_) => Context::default(),
        }
    }
}

/// What frames tell of a session besides its events.
#[derive(Default)]
struct Context {
    metadata: Option<Value>,
    proof: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(seq: u64) -> Arc<Row> {
        Arc::new(Row {
            seq,
            session: None,
            frames: Vec::new(),
        })
    }

    fn next(seqs: impl Iterator<Item = u64>, upto: u64) -> Next {
        let rows = seqs.map(row).collect();
        Next { rows, upto }
    }

    fn seqs(next: &Next) -> Vec<u64> {
        next.rows.iter().map(|row| row.seq).collect()
    }

    #[test]
    fn what_the_ring_has_is_handed_out_without_a_gap() {
        let mut ring = Ring::default();
        ring.begin_at(10);
        assert!(ring.after(10).is_none() && ring.after(9).is_none());
        ring.extend(&next([11, 12, 15].into_iter(), 15));
        let got = ring.after(11).expect("known");
        assert_eq!((seqs(&got), got.upto), (vec![12, 15], 15));
        let got = ring.after(10).expect("known");
        assert_eq!(seqs(&got), vec![11, 12, 15]);
        assert!(ring.after(15).is_none(), "the end");
        // All that followed is gone.
        ring.extend(&next([].into_iter(), 20));
        let got = ring.after(15).expect("known");
        assert_eq!((seqs(&got), got.upto), (vec![], 20));
    }

    #[test]
    fn only_so_much_is_kept_and_what_went_is_not_missed() {
        let mut ring = Ring::default();
        ring.begin_at(0);
        ring.extend(&next(1..=300, 300));
        assert_eq!(ring.rows.len(), KEPT);
        assert!(ring.after(43).is_none(), "the ring begins after 44");
        let mut place = 44;
        let mut seen = Vec::new();
        while let Some(got) = ring.after(place) {
            assert!(got.rows.len() <= AT_ONCE);
            seen.extend(seqs(&got));
            place = got.upto;
        }
        assert_eq!(seen, (45..=300).collect::<Vec<_>>());
    }
}
