//! The handle: keys are made, listed, rotated, revoked and, with every request, recognised.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::config::{AccessConfig, unfit};
use super::error::AccessError;
use super::first::hand_over;
use super::idempotency::Idempotency;
use super::key::{ApiKey, KeySecret, NewKey};
use super::remembered::Remembered;
use super::scope::{Principal, Scope};
use super::secret;
use super::tables::{Keys, Lookups, Uses};
use super::ticket::{self, Tickets};
use crate::base::{Code, Coded, KeyId, Owner, Secret, Timestamp};
use crate::ops::audit::{self, Deed, Entry, Initiator};
use crate::runtime::{ChildSpec, TaskContext};
use crate::store::{Batch, Scan, Store, StoreError};

/// How exactly it is known when a key was used last.
const USE_EVERY: Duration = Duration::from_secs(60);

/// How often remembered answers are looked through for old ones.
const SWEEP_EVERY: Duration = Duration::from_secs(600);

/// No installation has more keys than one list shows.
const MOST_KEYS: usize = 10_000;

/// The keys of this installation.
#[derive(Clone)]
pub struct Access {
    store: Store,
    requests: Idempotency,
    shared: Arc<Shared>,
}

struct Shared {
    /// One change of keys at a time: each reads before it writes.
    changing: tokio::sync::Mutex<()>,
    used: Mutex<HashMap<KeyId, Timestamp>>,
    tickets: Tickets,
    remembered: Remembered,
}

impl Access {
    /// The keys in a store.
    pub fn new(store: Store) -> Self {
        Self {
            requests: Idempotency::new(store.clone()),
            store,
            shared: Arc::new(Shared {
                changing: tokio::sync::Mutex::default(),
                used: Mutex::default(),
                tickets: Tickets::default(),
                remembered: Remembered::default(),
            }),
        }
    }

    /// Requests that their callers named.
    pub fn requests(&self) -> &Idempotency {
        &self.requests
    }

    /// Who presents this text. While the store cannot be read, whoever was recognised before still is.
    pub async fn authenticate(&self, text: &str) -> Result<Principal, AccessError> {
        let lookup = secret::lookup(text).ok_or(AccessError::Unknown)?;
        let remembered = &self.shared.remembered;
        let changes = remembered.changes();
        let now = Timestamp::now();
        let key = match self.stored(&lookup) {
            Ok(key) => key.ok_or(AccessError::Unknown)?,
            Err(error) if error.code() == Code::StoreUnavailable => {
                let key = remembered.get(&lookup).ok_or(error)?;
                return key.admit(text, now).ok_or(AccessError::Unknown);
            }
            Err(error) => return Err(error.into()),
        };
        let principal = key.admit(text, now).ok_or(AccessError::Unknown)?;
        remembered.keep(lookup, &key, changes);
        self.note_use(key.id, now).await;
        Ok(principal)
    }

    fn stored(&self, lookup: &String) -> Result<Option<ApiKey>, StoreError> {
        match self.store.get::<Lookups>(lookup)? {
            Some(id) => self.store.get::<Keys>(&id),
            None => Ok(None),
        }
    }

    /// What a key stands for now; it may have been revoked or have ended meanwhile.
    pub fn still(&self, id: KeyId) -> Result<Principal, AccessError> {
        let key = self.store.get::<Keys>(&id)?.ok_or(AccessError::Unknown)?;
        key.principal(Timestamp::now()).ok_or(AccessError::Unknown)
    }

    /// A ticket that stands for this caller once, and for how long.
    pub fn ticket(&self, caller: &Principal) -> Result<(Secret, Duration), AccessError> {
        let text = self.shared.tickets.issue(caller.key)?;
        Ok((text, ticket::LIFE))
    }

    /// Who presents this ticket; nobody can present it again.
    pub fn redeem(&self, text: &str) -> Result<Principal, AccessError> {
        let key = self.shared.tickets.redeem(text).ok_or(AccessError::Unknown)?;
        self.still(key)
    }

    /// Every key, in the order they were made, with the time of its last use.
    pub fn list(&self) -> Result<Vec<(ApiKey, Option<Timestamp>)>, AccessError> {
        let keys = self.store.scan::<Keys>(Scan::all(), MOST_KEYS)?;
        keys.into_iter()
            .map(|(id, key)| Ok((key, self.last_use(id)?)))
            .collect()
    }

    /// Makes a key. Its text is in the answer and nowhere else.
    pub async fn create(&self, new: NewKey, by: Initiator) -> Result<(ApiKey, Secret), AccessError> {
        self.create_as(None, new, by).await
    }

    /// The same under this id, if one is given: a key that has it already is what an earlier try made. Nobody has been
    /// told its text, so it gets another one.
    pub async fn create_as(
        &self,
        id: Option<KeyId>,
        new: NewKey,
        by: Initiator,
    ) -> Result<(ApiKey, Secret), AccessError> {
        if let Some(id) = id
            && self.store.contains::<Keys>(&id)?
        {
            return self.rotate(id, Duration::ZERO, by).await;
        }
        new.check(Timestamp::now())?;
        let text = secret::generate()?;
        let _changing = self.shared.changing.lock().await;
        let key = self.put(id, new, &text, by).await?;
        Ok((key, text))
    }

    /// Gives a key another text; the one before works for the overlap.
    pub async fn rotate(
        &self,
        id: KeyId,
        overlap: Duration,
        by: Initiator,
    ) -> Result<(ApiKey, Secret), AccessError> {
        let text = secret::generate()?;
        let fresh = KeySecret::of(text.expose()).ok_or(AccessError::Unknown)?;
        let _changing = self.shared.changing.lock().await;
        let key = self.store.get::<Keys>(&id)?.ok_or(AccessError::NoSuchKey)?;
        let lookup = fresh.lookup.clone();
        let (key, gone) = key.rotate(fresh, overlap, Timestamp::now())?;
        let mut batch = Batch::new();
        for lookup in &gone {
            batch.remove::<Lookups>(lookup);
        }
        batch.require::<Lookups>(&lookup, |taken| taken.is_none());
        batch.put::<Lookups>(&lookup, &id);
        batch.put::<Keys>(&id, &key);
        let entry = by.does(Deed::KeyRotated, id).detail("name", &key.name);
        self.change(id, batch, entry).await?;
        Ok((key, text))
    }

    /// Ends a key at once. Revoking one that is gone does no harm, and the audit log tells nothing of it.
    pub async fn revoke(&self, id: KeyId, by: Initiator) -> Result<(), AccessError> {
        let _changing = self.shared.changing.lock().await;
        let Some(key) = self.store.get::<Keys>(&id)? else {
            return Ok(());
        };
        if key.is_lasting_admin() {
            let keys = self.store.scan::<Keys>(Scan::all(), MOST_KEYS)?;
            if !keys
                .iter()
                .any(|(other, key)| *other != id && key.is_lasting_admin())
            {
                return Err(AccessError::LastAdmin);
            }
        }
        let mut batch = Batch::new();
        for secret in &key.secrets {
            batch.remove::<Lookups>(&secret.lookup);
        }
        batch.remove::<Keys>(&id);
        batch.remove::<Uses>(&id);
        let entry = by.does(Deed::KeyRevoked, id).detail("name", &key.name);
        self.change(id, batch, entry).await
    }

    /// Stores a change of a key. Whether or not that succeeds, what was known of it before is forgotten.
    async fn change(&self, id: KeyId, batch: Batch, entry: Entry) -> Result<(), AccessError> {
        let changed = audit::commit(&self.store, batch, entry).await;
        self.shared.remembered.forget(id);
        changed?;
        Ok(())
    }

    /// Makes the first admin key if there is no key at all: the text that was given, or a new one
    /// that is shown once.
    pub async fn first_key(&self, given: Option<&Secret>, folder: &Path) -> Result<(), AccessError> {
        let _changing = self.shared.changing.lock().await;
        if !self.store.scan::<Keys>(Scan::all(), 1)?.is_empty() {
            return Ok(());
        }
        match given {
            Some(text) if unfit(text.expose()).is_some() => {
                return Err(AccessError::Invalid(
                    "the first API key must have 16 to 256 visible ASCII characters",
                ));
            }
            Some(text) => self.put(None, first(), text, Initiator::daemon()).await?,
            None => {
                let text = secret::generate()?;
                hand_over(&text, folder).map_err(AccessError::HandOver)?;
                self.put(None, first(), &text, Initiator::daemon()).await?
            }
        };
        Ok(())
    }

    /// New keys come after those that are stored.
    fn follow(&self) -> Result<(), StoreError> {
        let latest = self.store.scan::<Keys>(Scan::all().reverse(), 1)?;
        latest.into_iter().for_each(|(id, _)| id.follow());
        Ok(())
    }

    /// Makes the first key when the store is open, and keeps the memory of named requests short.
    pub fn child(&self, config: &AccessConfig, folder: PathBuf) -> ChildSpec {
        let (access, given) = (self.clone(), config.first_key.clone());
        ChildSpec::task("access", move |context: TaskContext| {
            let (access, given, folder) = (access.clone(), given.clone(), folder.clone());
            async move {
                access.follow()?;
                access.first_key(given.as_ref(), &folder).await?;
                context.ready();
                loop {
                    if let Err(error) = access.requests.sweep(Timestamp::now()).await {
                        tracing::warn!(%error, "named requests were not looked through");
                    }
                    tokio::select! {
                        () = context.stop.cancelled() => return Ok(()),
                        () = tokio::time::sleep(SWEEP_EVERY) => {}
                    }
                }
            }
        })
        .ready_within(Duration::from_secs(30))
    }

    async fn put(
        &self,
        id: Option<KeyId>,
        new: NewKey,
        text: &Secret,
        by: Initiator,
    ) -> Result<ApiKey, AccessError> {
        let secret = KeySecret::of(text.expose()).ok_or(AccessError::Invalid("this text can be no key"))?;
        let key = ApiKey {
            id: id.unwrap_or_else(KeyId::generate),
            name: new.name,
            scopes: new.scopes,
            sessions: new.sessions,
            owner: new.owner,
            created_at: Timestamp::now(),
            expires_at: new.expires_at,
            secrets: vec![secret.clone()],
        };
        let mut batch = Batch::new();
        batch.require::<Lookups>(&secret.lookup, |taken| taken.is_none());
        batch.put::<Lookups>(&secret.lookup, &key.id);
        batch.put::<Keys>(&key.id, &key);
        let scopes: Vec<_> = key.scopes.iter().map(|scope| scope.as_str()).collect();
        let entry = by.does(Deed::KeyMade, key.id).detail("name", &key.name);
        audit::commit(&self.store, batch, entry.detail("scopes", scopes.join(","))).await?;
        Ok(key)
    }

    fn last_use(&self, id: KeyId) -> Result<Option<Timestamp>, AccessError> {
        let used = self.shared.used.lock().unwrap_or_else(PoisonError::into_inner);
        match used.get(&id) {
            Some(time) => Ok(Some(*time)),
            None => Ok(self.store.get::<Uses>(&id)?),
        }
    }

    /// Remembers that a key is in use; stored at most once a minute, and no reason to refuse anybody.
    async fn note_use(&self, id: KeyId, now: Timestamp) {
        {
            let mut used = self.shared.used.lock().unwrap_or_else(PoisonError::into_inner);
            if used.get(&id).is_some_and(|last| now.since(*last) < USE_EVERY) {
                return;
            }
            used.insert(id, now);
        }
        let mut batch = Batch::new();
        batch.put::<Uses>(&id, &now);
        if let Err(error) = self.store.commit(batch).await {
            tracing::debug!(%error, "a key's use was not stored");
        }
    }
}

fn first() -> NewKey {
    NewKey {
        name: "first".to_owned(),
        scopes: BTreeSet::from([Scope::Admin]),
        sessions: None,
        expires_at: None,
        owner: Owner::admin(),
    }
}
