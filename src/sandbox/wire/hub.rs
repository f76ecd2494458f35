//! The world's handle on the wire: who hears updates, and who is cut off.
//!
//! A push goes to one session of a key, the one subscribed last; in order; it never waits. A session that does not keep
//! up is told that it missed something, in place of what waits for it; or it is disconnected and forgotten, and its client
//! finds the gap by itself.

use std::sync::Arc;
use std::time::Duration;

use grammers_tl_types::{Serializable, enums};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::super::rpc::{KeyId, Manners, MtSession};
use super::envelope;
use super::registry::Registry;
use super::session::{Lagging, Session};

/// A connection that its client has closed is known to be so after this time.
const CLOSING: Duration = Duration::from_secs(1);

/// What became of connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Connections {
    /// There are so many now.
    pub open: usize,
    /// So many were refused: too many, or an outage.
    pub turned_away: u64,
    /// So many were cut off since they took too long or too much.
    pub cut_off: u64,
    /// So often two main connections used one key at a time.
    pub doubled_keys: u64,
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
        let manners = self.registry.manners();
        let push = |session: &mut Session| match session.push(updates) {
            Err(Lagging) if manners.laggards_told.decides() => {
                session.leave_out(enums::Updates::TooLong.to_bytes())
            }
            pushed => pushed,
        };
        if slot.is_stale() || slot.with(push).is_err() {
            slot.give_up();
        }
    }

    /// Whether somebody would hear a push: rendering one for nobody is not worth the while.
    pub fn hears(&self, key: KeyId) -> bool {
        self.registry
            .peek(key)
            .is_some_and(|key| key.subscribed().is_some())
    }

    /// A call came over a main connection of a key: other ones that are in use beside it, unless they are known.
    pub fn rivals(&self, key: KeyId, connection: u64) -> Option<Rivals> {
        let own = self.registry.line(connection)?;
        let lines = self.registry.peek(key)?.rivals(&own);
        let closed: Vec<_> = lines.iter().map(|line| line.closed.clone()).collect();
        (!closed.is_empty()).then(|| Rivals {
            registry: self.registry.clone(),
            own: own.closed.clone(),
            closed,
        })
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

    /// How strict the wire is from now on.
    pub fn set_manners(&self, manners: Manners) {
        self.registry.set_manners(manners);
    }

    /// The server forgets the key's sessions while their connections stay: what they had to say is gone, nobody hears
    /// the key's updates until it calls, and its next message is told that the session is new.
    pub fn forget_sessions(&self, key: KeyId) {
        if let Some(key) = self.registry.peek(key) {
            key.subscribe(None);
            key.slots().iter().for_each(|slot| slot.quietly(Session::forget));
        }
    }

    /// The server asks what became of the content that it has sent and that is not acknowledged.
    pub fn ask_states(&self, key: KeyId) {
        if let Some(key) = self.registry.peek(key) {
            key.slots().iter().for_each(|slot| slot.with(Session::ask_states));
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
            doubled_keys: self.registry.doubled_keys(),
        }
    }

    /// An outage: every connection is cut and new ones are refused, until [`Self::resume`].
    pub fn pause(&self) {
        self.registry.set_paused(true);
    }

    /// Ends the outage, and those of single keys.
    pub fn resume(&self) {
        self.registry.set_paused(false);
        self.registry.none_away();
    }

    /// An outage of one key: its connections are cut, and new ones closed at their first packet; or its end.
    pub fn set_away(&self, key: KeyId, away: bool) {
        self.registry.set_away(key, away);
    }
}

/// A key's main connection, and others that are in use beside it.
pub struct Rivals {
    registry: Arc<Registry>,
    own: CancellationToken,
    closed: Vec<CancellationToken>,
}

impl Rivals {
    /// Waits for the end of the one or of all others, but not long; true if they stay: then the key is counted as
    /// doubled.
    pub async fn stay(self) -> bool {
        let all = async {
            for closed in &self.closed {
                closed.cancelled().await;
            }
        };
        let end = async {
            tokio::select! {
                () = self.own.cancelled() => {}
                () = all => {}
            }
        };
        let stay = timeout(CLOSING, end).await.is_err();
        if stay {
            self.registry.note_doubled_key();
        }
        stay
    }
}
