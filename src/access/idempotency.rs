//! Requests that their callers named with `Idempotency-Key`: the same request has its effect once.
//!
//! The effect's own number (`random_id`) is derived from the name before anything is sent, so that a
//! repeat after a crash is the same effect to Telegram. An answer is kept for a day. Requests that
//! were refused are forgotten: they had no effect, and may be mended and sent again.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::error::AccessError;
use super::tables::{Name, Named, RequestTimes, Requests};
use crate::base::{KeyId, Timestamp};
use crate::store::{Batch, Scan, Store};

/// For how long a name stands for its request.
pub const RETENTION: Duration = Duration::from_secs(24 * 3600);

/// How many names are forgotten in one commit.
const SWEEP: usize = 500;

/// The memory of named requests.
#[derive(Clone)]
pub struct Idempotency {
    store: Store,
    running: Arc<Mutex<HashSet<Name>>>,
}

/// What is known of a named request when it comes in.
pub enum Begun {
    /// It was answered already.
    Answered(String),
    /// It came before, and nobody knows whether it had its effect.
    Again(Try),
    /// It is new.
    Fresh(Try),
}

/// A named request under way.
pub struct Try {
    /// The number of its effect at Telegram, never 0.
    pub random_id: i64,
    /// When it came first.
    pub first: Timestamp,
    fingerprint: [u8; 32],
    store: Store,
    held: Held,
}

/// As long as it lives, nobody else works on the same name.
struct Held {
    name: Name,
    running: Arc<Mutex<HashSet<Name>>>,
}

impl Held {
    fn take(name: Name, running: &Arc<Mutex<HashSet<Name>>>) -> Option<Self> {
        let fresh = running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name);
        fresh.then(|| Self {
            name,
            running: running.clone(),
        })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.name);
    }
}

impl Idempotency {
    /// The memory in a store.
    pub fn new(store: Store) -> Self {
        Self {
            store,
            running: Arc::default(),
        }
    }

    /// Takes note of a request before it has an effect. The fingerprint tells it from others.
    pub async fn begin(&self, key: KeyId, name: &str, fingerprint: [u8; 32]) -> Result<Begun, AccessError> {
        if !(1..=255).contains(&name.len()) || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(AccessError::Invalid(
                "Idempotency-Key must have 1 to 255 visible ASCII characters",
            ));
        }
        let name: Name = (key, Sha256::digest(name.as_bytes()).into());
        let held = Held::take(name, &self.running).ok_or(AccessError::UnderWay)?;
        let now = Timestamp::now();
        let known = self
            .store
            .get::<Requests>(&name)?
            .filter(|known| now.since(known.first) < RETENTION);
        let first = known.as_ref().map_or(now, |known| known.first);
        let attempt = Try {
            random_id: derive(&self.store.installation_secret()?, &name, first),
            first,
            fingerprint,
            store: self.store.clone(),
            held,
        };
        match known {
            Some(known) if known.fingerprint != fingerprint => Err(AccessError::Reused),
            Some(Named {
                answer: Some(answer), ..
            }) => Ok(Begun::Answered(answer)),
            Some(_) => Ok(Begun::Again(attempt)),
            None => {
                attempt.write(None).await?;
                Ok(Begun::Fresh(attempt))
            }
        }
    }

    /// Forgets what is older than a day.
    pub async fn sweep(&self, now: Timestamp) -> Result<usize, AccessError> {
        let end = now.minus(RETENTION);
        let mut gone = 0;
        loop {
            let rows = self.store.scan::<RequestTimes>(Scan::all(), SWEEP)?;
            let old: Vec<_> = rows
                .into_iter()
                .map(|(key, ())| key)
                .take_while(|(first, ..)| *first <= end)
                .collect();
            let mut batch = Batch::new();
            for (first, key, name) in &old {
                batch.remove::<RequestTimes>(&(*first, *key, *name));
                // The name may stand for a younger request by now.
                let row = self.store.get::<Requests>(&(*key, *name))?;
                if row.is_some_and(|row| row.first == *first) {
                    batch.remove::<Requests>(&(*key, *name));
                }
            }
            if batch.is_empty() {
                return Ok(gone);
            }
            self.store.commit(batch).await?;
            gone += old.len();
        }
    }
}

impl Try {
    /// It had its effect and was answered so.
    pub async fn finish(self, answer: String) -> Result<(), AccessError> {
        self.write(Some(answer)).await
    }

    /// It certainly had no effect.
    pub async fn forget(self) -> Result<(), AccessError> {
        let (key, name) = self.held.name;
        let mut batch = Batch::new();
        batch.remove::<Requests>(&(key, name));
        batch.remove::<RequestTimes>(&(self.first, key, name));
        self.store.commit(batch).await?;
        Ok(())
    }

    async fn write(&self, answer: Option<String>) -> Result<(), AccessError> {
        let (key, name) = self.held.name;
        let named = Named {
            first: self.first,
            fingerprint: self.fingerprint,
            answer,
        };
        let mut batch = Batch::new();
        batch.put::<Requests>(&(key, name), &named);
        batch.put::<RequestTimes>(&(self.first, key, name), &());
        self.store.commit(batch).await?;
        Ok(())
    }
}

/// What tells a request from others: its path and its body.
pub fn fingerprint(path: &str, body: &[u8]) -> [u8; 32] {
    Sha256::new()
        .chain_update(path.as_bytes())
        .chain_update([0])
        .chain_update(body)
        .finalize()
        .into()
}

/// The number of the effect: the same for the same name until it is forgotten, never 0.
fn derive(secret: &[u8; 32], name: &Name, first: Timestamp) -> i64 {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(b"idempotency");
    mac.update(&name.0.to_bytes());
    mac.update(&name.1);
    mac.update(&first.0.to_be_bytes());
    let digest = mac.finalize().into_bytes();
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&digest[..8]);
    i64::from_be_bytes(bytes) | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_an_effect_depends_on_its_name_alone() {
        let name = (KeyId::generate(), [7; 32]);
        let one = derive(&[1; 32], &name, Timestamp(5));
        assert_eq!(one, derive(&[1; 32], &name, Timestamp(5)));
        assert_ne!(one, derive(&[1; 32], &(name.0, [8; 32]), Timestamp(5)));
        assert_ne!(one, derive(&[2; 32], &name, Timestamp(5)));
        assert_ne!(one, 0);
    }

    #[test]
    fn a_name_is_worked_on_by_one_at_a_time() {
        let running = Arc::default();
        let name = (KeyId::generate(), [7; 32]);
        let held = Held::take(name, &running).expect("free");
        assert!(Held::take(name, &running).is_none());
        drop(held);
        assert!(Held::take(name, &running).is_some());
    }
}
