//! Requests that their callers named with `Idempotency-Key`: the same request has its effect once, and one answer.
//!
//! A request is known by key, caller and route. Before it has an effect a row says that it began; what the effect is
//! called (a random id, the id of a new thing) is derived from that row, so that a repeat after a crash is the same
//! effect. An answer is kept for a day. What had no effect is forgotten: it may be mended and sent again.
//!
//! It does not know which answers are worth keeping; whoever carries out the request says so. A request that was cut
//! off before its answer was kept is carried out again, under the same name.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::error::AccessError;
use super::scope::Principal;
use super::tables::{Name, Named, RequestTimes, Requests};
use crate::base::{KeyId, Owner, Timestamp};
use crate::store::{Batch, Scan, Store, StoreError};

/// For how long a name stands for its request.
pub const RETENTION: Duration = Duration::from_secs(24 * 3600);

/// How many requests of one API key are remembered at once.
pub const MOST_OF_ONE: usize = 2_000_000;

/// How many names are forgotten in one commit, or counted at a time.
const SWEEP: usize = 500;

/// The key that a caller gave: 1 to 255 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The key in the bytes of a header.
    pub fn parse(bytes: &[u8]) -> Result<Self, AccessError> {
        let fits = (1..=255).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
        let text = std::str::from_utf8(bytes).ok().filter(|_| fits);
        text.map(|text| Self(text.to_owned())).ok_or(AccessError::Invalid(
            "Idempotency-Key must have 1 to 255 visible ASCII characters",
        ))
    }
}

/// The memory of named requests.
#[derive(Clone)]
pub struct Idempotency {
    store: Store,
    running: Arc<Mutex<HashSet<Name>>>,
    /// How many rows each API key has; none before they were counted.
    counts: Arc<Mutex<Option<HashMap<KeyId, usize>>>>,
    most: usize,
}

/// What is known of a named request when it comes in.
pub enum Begun {
    /// It was answered already.
    Answered(Kept),
    /// It is to be carried out.
    Try(Try),
}

/// An answer that is given again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: String,
}

/// What the effect of a named request is called: the same on every try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effect {
    /// The number of a message at Telegram, never 0.
    pub random_id: i64,
    /// The id of a new thing, sorted by when the request came first.
    pub id: [u8; 16],
    /// When the request came first.
    pub first: Timestamp,
    /// Whether it came before, and nobody knows whether it had its effect.
    pub again: bool,
}

/// A named request under way.
pub struct Try {
    /// What its effect is called.
    pub effect: Effect,
    fingerprint: [u8; 32],
    owner: Owner,
    requests: Idempotency,
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
    /// The memory in a store, which need not be open yet.
    pub fn new(store: Store) -> Self {
        Self {
            store,
            running: Arc::default(),
            counts: Arc::default(),
            most: MOST_OF_ONE,
        }
    }

    /// The same with room for fewer requests of one key.
    #[cfg(test)]
    pub(super) fn with_room_for(self, most: usize) -> Self {
        Self { most, ..self }
    }

    /// What tells a request from others, in parts. It is hashed under a secret of the installation, so that nobody can
    /// find out by trying what was in it.
    pub fn fingerprint(&self, parts: &[&[u8]]) -> Result<[u8; 32], AccessError> {
        let mut mac = keyed(&self.store.installation_secret()?, b"idempotency fingerprint");
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        Ok(mac.finalize().into_bytes().into())
    }

    /// Takes note of a request of a route before it has an effect.
    pub async fn begin(
        &self,
        caller: &Principal,
        route: &str,
        key: &IdempotencyKey,
        fingerprint: [u8; 32],
    ) -> Result<Begun, AccessError> {
        let hashed = Sha256::new()
            .chain_update(route.as_bytes())
            .chain_update([0])
            .chain_update(key.0.as_bytes());
        let name: Name = (caller.key, hashed.finalize().into());
        let held = Held::take(name, &self.running);
        let now = Timestamp::now();
        let stored = self.store.get::<Requests>(&name)?;
        let (known, old) = match stored {
            Some(known) if now.since(known.first) < RETENTION => (Some(known), None),
            old => (None, old.map(|old| old.first)),
        };
        // Another request under the name of one that still runs is as wrong as under that of one that has ended.
        if known
            .as_ref()
            .is_some_and(|known| known.fingerprint != fingerprint)
        {
            return Err(AccessError::Reused);
        }
        let held = held.ok_or(AccessError::UnderWay)?;
        let again = known.is_some();
        let first = known.as_ref().map_or(now, |known| known.first);
        if let Some(Named {
            answer: Some(body),
            status,
            ..
        }) = known
        {
            return Ok(Begun::Answered(Kept { status, body }));
        }
        let attempt = Try {
            effect: derive(&self.store.installation_secret()?, &name, first, again),
            fingerprint,
            owner: caller.owner.clone(),
            requests: self.clone(),
            held,
        };
        if !again {
            self.make_room(caller.key)?;
            attempt.write(None, old).await?;
            self.counted(caller.key, 1 - isize::from(old.is_some()));
        }
        Ok(Begun::Try(attempt))
    }

    /// Forgets what is older than a day.
    pub async fn sweep(&self, now: Timestamp) -> Result<usize, AccessError> {
        // Counted here, and not while the first request waits.
        self.with_counts(|_| ())?;
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
                let goes = match self.store.get::<Requests>(&(*key, *name)) {
                    // It cannot be read, and keeps no other from being forgotten.
                    Err(StoreError::BadRow { .. } | StoreError::Decode { .. }) => true,
                    row => row?.is_some_and(|row| row.first == *first),
                };
                if goes {
                    batch.remove::<Requests>(&(*key, *name));
                }
            }
            if batch.is_empty() {
                return Ok(gone);
            }
            self.store.commit(batch).await?;
            gone += old.len();
            for (_, key, _) in old {
                self.counted(key, -1);
            }
        }
    }

    /// Refuses a further request of a key that has too many, until the oldest of all is forgotten.
    fn make_room(&self, key: KeyId) -> Result<(), AccessError> {
        if self.count(key)? < self.most {
            return Ok(());
        }
        let now = Timestamp::now();
        let oldest = self.store.scan::<RequestTimes>(Scan::all(), SWEEP)?;
        let oldest = oldest.iter().find(|((_, of, _), ())| *of == key);
        let forgotten = oldest.map(|((first, ..), ())| first.plus(RETENTION).since(now));
        Err(AccessError::TooMany(
            forgotten.unwrap_or(Duration::from_secs(3600)),
        ))
    }

    fn count(&self, key: KeyId) -> Result<usize, AccessError> {
        self.with_counts(|counts| counts.get(&key).copied().unwrap_or(0))
    }

    fn with_counts<T>(&self, look: impl FnOnce(&HashMap<KeyId, usize>) -> T) -> Result<T, AccessError> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = match &mut *counts {
            Some(counts) => counts,
            none => none.insert(count_all(&self.store)?),
        };
        Ok(look(counts))
    }

    /// A key has so many rows more, or fewer.
    fn counted(&self, key: KeyId, by: isize) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(counts) = &mut *counts else { return };
        let count = counts.entry(key).or_default();
        *count = count.saturating_add_signed(by);
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

/// How many requests of each key are remembered.
fn count_all(store: &Store) -> Result<HashMap<KeyId, usize>, AccessError> {
    let mut counts = HashMap::new();
    let mut scan = Scan::all();
    loop {
        let rows = store.scan::<RequestTimes>(scan, SWEEP)?;
        for ((_, key, _), ()) in &rows {
            *counts.entry(*key).or_default() += 1;
        }
        match rows.last() {
            Some((last, ())) if rows.len() == SWEEP => scan = Scan::all().after(last),
            _ => return Ok(counts),
        }
    }
}

impl Try {
    /// It was answered so, and is from now on.
    pub async fn keep(self, answer: &Kept) -> Result<(), AccessError> {
        self.write(Some(answer), None).await
    }

    /// It certainly had no effect. One that came before may have had it then, and stays known.
    pub async fn forget(self) -> Result<(), AccessError> {
        if self.effect.again {
            return Ok(());
        }
        let (key, name) = self.held.name;
        let mut batch = Batch::new();
        batch.remove::<Requests>(&(key, name));
        batch.remove::<RequestTimes>(&(self.effect.first, key, name));
        self.requests.store.commit(batch).await?;
        self.requests.counted(key, -1);
        Ok(())
    }

    /// Writes its row, in place of one that is too old.
    async fn write(&self, answer: Option<&Kept>, old: Option<Timestamp>) -> Result<(), AccessError> {
        let (key, name) = self.held.name;
        let named = Named {
            first: self.effect.first,
            fingerprint: self.fingerprint,
            answer: answer.map(|kept| kept.body.clone()),
            status: answer.map_or(0, |kept| kept.status),
            owner: self.owner.clone(),
        };
        let mut batch = Batch::new();
        if let Some(old) = old {
            batch.remove::<RequestTimes>(&(old, key, name));
        }
        batch.put::<Requests>(&(key, name), &named);
        batch.put::<RequestTimes>(&(self.effect.first, key, name), &());
        self.requests.store.commit(batch).await?;
        Ok(())
    }
}

fn keyed(secret: &[u8; 32], purpose: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(purpose);
    mac
}

/// What the effect is called: the same for the same name until it is forgotten.
fn derive(secret: &[u8; 32], name: &Name, first: Timestamp, again: bool) -> Effect {
    let mut mac = keyed(secret, b"idempotency");
    mac.update(&name.0.to_bytes());
    mac.update(&name.1);
    mac.update(&first.0.to_be_bytes());
    let digest: [u8; 32] = mac.finalize().into_bytes().into();
    let (number, rest) = digest.split_at(8);
    // As a new id: six bytes of time, then what nobody can guess.
    let millis = first.0.max(0).to_be_bytes();
    let mut id = [0; 16];
    id[..6].copy_from_slice(&millis[2..]);
    id[6..].copy_from_slice(&rest[..10]);
    Effect {
        random_id: i64::from_be_bytes(number.try_into().expect("eight bytes")) | 1,
        id,
        first,
        again,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::PairId;

    #[test]
    fn the_name_of_an_effect_depends_on_its_request_alone() {
        let name = (KeyId::generate(), [7; 32]);
        let one = derive(&[1; 32], &name, Timestamp(5_000), false);
        assert_eq!(one, derive(&[1; 32], &name, Timestamp(5_000), false));
        let others = [
            derive(&[1; 32], &(name.0, [8; 32]), Timestamp(5_000), false),
            derive(&[1; 32], &(KeyId::generate(), [7; 32]), Timestamp(5_000), false),
            derive(&[1; 32], &name, Timestamp(5_001), false),
            derive(&[2; 32], &name, Timestamp(5_000), false),
        ];
        for other in others {
            assert_ne!((one.random_id, one.id), (other.random_id, other.id));
        }
        assert_ne!(one.random_id, 0);
        assert_eq!(PairId::from_bytes(one.id).made_at(), Timestamp(5_000));
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

    #[test]
    fn a_key_is_visible_ascii() {
        for right in ["a", "order-4711", "\"8e03978e\"", &"x".repeat(255)] {
            assert!(IdempotencyKey::parse(right.as_bytes()).is_ok(), "{right}");
        }
        for wrong in [
            &b""[..],
            b"a b",
            b"a\tb",
            &[b'x'; 256],
            "سفارش-1".as_bytes(),
            b"\xff",
        ] {
            assert!(IdempotencyKey::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
