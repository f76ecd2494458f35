//! How many listeners there are, of all keys and of one. It counts and says yes or no.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::base::KeyId;

/// The limits, and who listens.
pub(super) struct Places {
    most: usize,
    most_of_one: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    /// How many each key has; no key is kept that has none.
    keys: HashMap<KeyId, usize>,
}

/// A listener's place; free again when it is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    key: KeyId,
}

impl Places {
    pub fn new(most: usize, most_of_one: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            most_of_one,
            taken: Mutex::default(),
        })
    }

    /// A place for a listener with this key, if there is one.
    pub fn take(self: &Arc<Self>, key: KeyId) -> Option<Place> {
        let mut taken = self.taken();
        let of_key = taken.keys.get(&key).copied().unwrap_or(0);
        if taken.all >= self.most || of_key >= self.most_of_one {
            return None;
        }
        taken.keys.insert(key, of_key + 1);
        taken.all += 1;
        show(taken.all);
        Some(Place {
            places: self.clone(),
            key,
        })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn show(open: usize) {
    metrics::gauge!("trunkline_ws_connections").set(open as f64);
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all -= 1;
        show(taken.all);
        if let Some(count) = taken.keys.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                taken.keys.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_does_not_take_every_place() {
        let places = Places::new(3, 2);
        let (one, other) = (KeyId::generate(), KeyId::generate());
        let first = places.take(one).expect("free");
        let _second = places.take(one).expect("free");
        assert!(places.take(one).is_none());
        let third = places.take(other).expect("a place is left for others");
        assert!(places.take(other).is_none(), "all are taken");
        drop((first, third));
        let _fourth = places.take(one).expect("free again");
        assert_eq!(places.taken().keys.len(), 1, "who left is forgotten");
    }
}
