//! Opened values of sealed rows that are read for every message: whom it is from, whom it goes to.
//!
//! Only the committer changes rows, and it takes out what it changes; a reader that was looking meanwhile keeps
//! nothing. So what is found here is what stands in the tree. It is part of the open database and promises no place:
//! when it is full it begins anew.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use zeroize::Zeroizing;

use super::catalog::{self, Entry};

/// The most values that are held.
const VALUES: usize = 4096;

/// A value as it was opened; none if there is no such row.
pub(super) type Value = Option<Arc<Zeroizing<Vec<u8>>>>;

/// See the head of the file.
#[derive(Default)]
pub(super) struct Held(Mutex<Values>);

#[derive(Default)]
struct Values {
    of: HashMap<Vec<u8>, Value>,
    /// How often something was taken out.
    changes: u64,
}

/// When somebody looked and found nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Looked(u64);

/// Whether a table's values are held.
pub(super) fn is_for(entry: &Entry) -> bool {
    *entry == catalog::PEERS
}

impl Held {
    /// The value under a key; if it is not known, what [`Self::keep`] wants to hear.
    pub fn get(&self, key: &[u8]) -> Result<Value, Looked> {
        let values = self.values();
        values.of.get(key).cloned().ok_or(Looked(values.changes))
    }

    /// Keeps what was found in the tree after a look, unless rows have changed since.
    pub fn keep(&self, looked: Looked, key: &[u8], value: Value) {
        let mut values = self.values();
        if values.changes != looked.0 {
            return;
        }
        if values.of.len() >= VALUES {
            values.of.clear();
        }
        values.of.insert(key.to_vec(), value);
    }

    /// Takes out what was changed in the tree.
    pub fn forget<'a>(&self, keys: impl Iterator<Item = &'a Vec<u8>>) {
        let mut ours = keys
            .filter(|key| key.first() == Some(&catalog::PEERS.prefix))
            .peekable();
        if ours.peek().is_none() {
            return;
        }
        let mut values = self.values();
        values.changes += 1;
        for key in ours {
            values.of.remove(key);
        }
    }

    fn values(&self) -> MutexGuard<'_, Values> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(byte: u8) -> Value {
        Some(Arc::new(Zeroizing::new(vec![byte])))
    }

    fn key(number: u32) -> Vec<u8> {
        [&[catalog::PEERS.prefix], number.to_be_bytes().as_slice()].concat()
    }

    fn look(held: &Held, number: u32) -> Looked {
        held.get(&key(number)).expect_err("not known yet")
    }

    #[test]
    fn what_was_changed_is_read_anew() {
        let held = Held::default();
        held.keep(look(&held, 1), &key(1), value(1));
        held.keep(look(&held, 2), &key(2), None);
        assert_eq!((held.get(&key(1)), held.get(&key(2))), (Ok(value(1)), Ok(None)));
        held.forget([key(1)].iter());
        look(&held, 1);
        assert_eq!(held.get(&key(2)), Ok(None));
    }

    #[test]
    fn what_was_read_while_rows_changed_is_not_kept() {
        let held = Held::default();
        let looked = look(&held, 1);
        held.forget([key(2)].iter());
        held.keep(looked, &key(1), value(1));
        let looked = look(&held, 1);
        held.forget([vec![catalog::TASKS.prefix]].iter());
        held.keep(looked, &key(1), value(2));
        assert_eq!(
            held.get(&key(1)),
            Ok(value(2)),
            "another table concerns nobody here"
        );
    }

    #[test]
    fn it_does_not_grow_for_ever() {
        let held = Held::default();
        for number in 0..=u32::try_from(VALUES).expect("few") {
            held.keep(look(&held, number), &key(number), None);
        }
        assert_eq!(held.values().of.len(), 1);
    }
}
