//! Keys that were recognised in this process: who they are is known also while the store cannot be read.
//!
//! Like the store it holds their texts hashed only. What was changed or revoked is forgotten; it does not look for keys
//! that nobody has presented yet.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::key::ApiKey;
use crate::base::KeyId;

/// See the head of the file.
#[derive(Default)]
pub(super) struct Remembered(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    changes: u64,
    keys: HashMap<String, ApiKey>,
}

impl Remembered {
    /// How often keys were changed so far: to be asked before one is looked up.
    pub fn changes(&self) -> u64 {
        self.inner().changes
    }

    /// Keeps a key that was found under its public part, unless a key was changed since that many changes.
    pub fn keep(&self, lookup: String, key: &ApiKey, changes: u64) {
        let mut inner = self.inner();
        if inner.changes == changes {
            inner.keys.entry(lookup).or_insert_with(|| key.clone());
        }
    }

    /// The key of this public part.
    pub fn get(&self, lookup: &str) -> Option<ApiKey> {
        self.inner().keys.get(lookup).cloned()
    }

    /// Forgets a key that is being changed.
    pub fn forget(&self, id: KeyId) {
        let mut inner = self.inner();
        inner.changes += 1;
        inner.keys.retain(|_, key| key.id != id);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
