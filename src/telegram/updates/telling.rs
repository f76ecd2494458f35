//! What is told together after one input: updates, who came along with them, and where the sequences stand then.

use std::sync::Arc;

use super::position::{Batch, Key, Out, Position, State};
use super::sequence::Told;

/// Updates that are being gathered to be told together.
pub(super) struct Telling<U, P> {
    updates: Vec<(Option<Position>, U)>,
    peers: Vec<Arc<P>>,
    stands: Vec<Option<Position>>,
}

impl<U, P> Default for Telling<U, P> {
    fn default() -> Self {
        Self {
            updates: Vec::new(),
            peers: Vec::new(),
            stands: Vec::new(),
        }
    }
}

impl<U, P> Telling<U, P> {
    pub fn new(peers: Arc<P>) -> Self {
        Self {
            peers: vec![peers],
            ..Self::default()
        }
    }

    pub fn tell(&mut self, updates: impl IntoIterator<Item = (Option<Position>, U)>) {
        self.updates.extend(updates);
    }

    pub fn tell_loose(&mut self, updates: impl IntoIterator<Item = U>) {
        self.tell(updates.into_iter().map(|update| (None, update)));
    }

    pub fn tell_from(&mut self, key: Key, told: Vec<Told<U, P>>) {
        for (pts, update, peers) in told {
            self.bring(&peers);
            self.updates.push((Some(Position { key, pts }), update));
        }
    }

    /// Who came along with an update that waited.
    pub fn bring(&mut self, peers: &Arc<P>) {
        if !self.peers.iter().any(|known| Arc::ptr_eq(known, peers)) {
            self.peers.push(peers.clone());
        }
    }

    /// A sequence, or only the account's date, stands where it does without an update to say so.
    pub fn stand(&mut self, position: Option<Position>) {
        self.stands.push(position);
    }

    /// What is told: the updates with the state behind each, then the sequences that moved besides.
    pub fn told(self, date: i32, seq: i32) -> impl Iterator<Item = Out<U, P>> {
        let state = move |position| State { date, seq, position };
        let says = !self.updates.is_empty() || !self.peers.is_empty();
        let updates = self
            .updates
            .into_iter()
            .map(|(position, update)| (update, state(position)));
        let batch = says.then(|| Batch {
            updates: updates.collect(),
            peers: self.peers,
        });
        let stands = self.stands.into_iter().map(state).map(Out::Stands);
        batch.map(Out::Updates).into_iter().chain(stands)
    }
}
