//! The world's handle on the wire: who hears updates, and who is cut off.
//!
//! A push goes to one session of a key, the one subscribed last; in order; it never waits. A session
//! that does not keep up is disconnected and forgotten: its client finds the gap by itself.

use std::sync::Arc;

use super::super::rpc::{KeyId, MtSession};
use super::envelope;
use super::registry::Registry;

/// What became of connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Connections {
    /// There are so many now.
    pub open: usize,
    /// So many were refused: too many, or an outage.
    pub turned_away: u64,
    /// So many were cut off since they took too long or too much.
    pub cut_off: u64,
}

/// A cheap handle, made before both halves and given to both.
#[derive(Clone, Default)]
pub struct Hub {
    pub(super) registry: Arc<Registry>,
}

impl Hub {
    /// A hub without keys and connections.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends a serialised `Updates` to the key's subscribed session; without one, to nobody.
    pub fn push(&self, key: KeyId, updates: Vec<u8>) {
        let Some(slot) = self.registry.peek(key).and_then(|key| key.subscribed()) else {
            return;
        };
        let updates = envelope::pushed(updates);
        if slot.is_stale() || slot.with(|session| session.push(updates)).is_err() {
            slot.give_up();
        }
    }

    /// Whether somebody would hear a push: rendering one for nobody is not worth the while.
    pub fn hears(&self, key: KeyId) -> bool {
        self.registry
            .peek(key)
            .is_some_and(|key| key.subscribed().is_some())
    }

    /// From now on this session is the one that hears the key's updates.
    pub fn subscribe(&self, key: KeyId, session: MtSession) {
        if let Some(key) = self.registry.peek(key) {
            key.subscribe(Some(session));
        }
    }

    /// Ends the subscription: nobody hears the key's updates (it was logged out, say).
    pub fn unsubscribe(&self, key: KeyId) {
        if let Some(key) = self.registry.peek(key) {
            key.subscribe(None);
        }
    }

    /// Cuts every connection that speaks under the key; the key stays good.
    pub fn disconnect(&self, key: KeyId) {
        if let Some(key) = self.registry.peek(key) {
            key.cut();
        }
    }

    /// Forgets the key: its connections are cut, and the next packet under it gets transport error 404.
    pub fn forget(&self, key: KeyId) {
        if let Some(key) = self.registry.remove_key(key) {
            key.cut();
            key.end();
        }
    }

    /// What became of connections.
    pub fn connections(&self) -> Connections {
        let (open, turned_away, cut_off) = self.registry.connections();
        Connections {
            open,
            turned_away,
            cut_off,
        }
    }

    /// An outage: every connection is cut and new ones are refused, until [`Self::resume`].
    pub fn pause(&self) {
        self.registry.set_paused(true);
    }

    /// Ends the outage.
    pub fn resume(&self) {
        self.registry.set_paused(false);
    }
}
