//! Typed tables, and which of their rows to read.

use std::marker::PhantomData;
use std::ops::Bound;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::catalog::Entry;
use super::key::KeyBytes;

/// A table: its line of the catalog, its key and its value.
///
/// Values are stored as named maps: fields may be added later if they have a default.
pub trait Table {
    /// Its line of the catalog.
    const ENTRY: Entry;
    /// Its key; rows are in the order of keys.
    type Key: KeyBytes;
    /// Its value.
    type Value: Serialize + DeserializeOwned + 'static;
}

/// The whole key of a row: the table's prefix, then the key's bytes.
pub(super) fn row_key(entry: &Entry, key: &impl KeyBytes) -> Vec<u8> {
    let mut bytes = vec![entry.prefix];
    key.write(&mut bytes);
    bytes
}

/// The first byte string after all that begin with `prefix`.
pub(super) fn end_of(prefix: &[u8]) -> Bound<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return Bound::Excluded(end);
        }
    }
    Bound::Unbounded
}

/// Which rows of a table to read, and in which direction.
#[derive(Clone, Debug)]
pub struct Scan<K> {
    prefix: Vec<u8>,
    after: Option<Vec<u8>>,
    reverse: bool,
    key: PhantomData<fn() -> K>,
}

impl<K: KeyBytes> Scan<K> {
    /// All rows.
    pub fn all() -> Self {
        Self::prefix(&())
    }

    /// The rows whose keys begin with these parts.
    pub fn prefix(parts: &impl KeyBytes) -> Self {
        let mut prefix = Vec::new();
        parts.write(&mut prefix);
        Self {
            prefix,
            after: None,
            reverse: false,
            key: PhantomData,
        }
    }

    /// Only what comes after this key (before it, in reverse).
    pub fn after(mut self, key: &K) -> Self {
        let mut bytes = Vec::new();
        key.write(&mut bytes);
        self.after = Some(bytes);
        self
    }

    /// The last rows first.
    pub fn reverse(mut self) -> Self {
        self.reverse = true;
        self
    }

    pub(super) fn is_reverse(&self) -> bool {
        self.reverse
    }

    pub(super) fn bounds(&self, entry: &Entry) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
        let whole = |bytes: &[u8]| [&[entry.prefix], bytes].concat();
        let prefix = whole(&self.prefix);
        let end = end_of(&prefix);
        match self.after.as_deref().map(whole) {
            Some(after) if self.reverse => (Bound::Included(prefix), Bound::Excluded(after)),
            Some(after) => (Bound::Excluded(after), end),
            None => (Bound::Included(prefix), end),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_before_the_next_one() {
        assert_eq!(end_of(&[1, 2]), Bound::Excluded(vec![1, 3]));
        assert_eq!(end_of(&[1, 0xff]), Bound::Excluded(vec![2]));
        assert_eq!(end_of(&[0xff]), Bound::Unbounded);
    }
}
