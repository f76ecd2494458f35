//! The audit log: who did what to whose sessions and keys, when, and from where.
//!
//! An entry is part of the commit of what it tells of: neither is there without the other. What has no commit of its
//! own, such as handing something out, follows its entry's. An entry bears ids and stable words, never a secret, a phone
//! number or a text. Entries are forgotten once they are older than `audit.keep`.
//!
//! A domain that does what is audited takes an [`Initiator`] and makes the entry itself; no caller can leave it out.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::{AuditId, KeyId, Owner, Span, Timestamp};
use crate::runtime::{ChildSpec, TaskContext};
use crate::store::{Batch, SWEEP_EVERY, Scan, Store, StoreError, Table, catalog};

/// The config section `[audit]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditConfig {
    /// How long entries are kept.
    pub keep: Span,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self {
            keep: Span::secs(365 * 24 * 3600),
        }
    }
}

/// What was done, as a stable word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Deed {
    /// A login was begun.
    #[serde(rename = "login.begun")]
    LoginBegun,
    /// A code or a password that was handed in was refused.
    #[serde(rename = "login.refused")]
    LoginRefused,
    /// An account was logged in.
    #[serde(rename = "session.logged_in")]
    LoggedIn,
    /// A session was imported.
    #[serde(rename = "session.imported")]
    Imported,
    /// The authorisation of a session was handed out.
    #[serde(rename = "session.exported")]
    Exported,
    /// A session was logged out at Telegram.
    #[serde(rename = "session.logged_out")]
    LoggedOut,
    /// A session was deleted.
    #[serde(rename = "session.deleted")]
    Deleted,
    /// A fresh auth key was asked for.
    #[serde(rename = "rotation.begun")]
    RotationBegun,
    /// A fresh auth key has taken the place of the former one.
    #[serde(rename = "rotation.completed")]
    RotationCompleted,
    /// The former auth key has stayed, or is back.
    #[serde(rename = "rotation.failed")]
    RotationFailed,
    /// An API key was made.
    #[serde(rename = "key.made")]
    KeyMade,
    /// An API key was given another text.
    #[serde(rename = "key.rotated")]
    KeyRotated,
    /// An API key was revoked.
    #[serde(rename = "key.revoked")]
    KeyRevoked,
    /// The secret of an endpoint was handed out.
    #[serde(rename = "endpoint.secret_shown")]
    SecretShown,
    /// A copy of the store was handed out.
    #[serde(rename = "store.exported")]
    StoreExported,
}

/// Who did it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// A caller of the API, with this key.
    Key(KeyId),
    /// The daemon itself.
    Daemon,
}

/// Who asks a domain for something that is audited, and from where.
#[derive(Clone, Debug)]
pub struct Initiator {
    /// Who it is.
    pub who: Who,
    /// From which address.
    pub from: Option<IpAddr>,
    /// The request's name in the daemon's log.
    pub request: Option<String>,
    /// Whom they belong to.
    pub owner: Owner,
}

impl Initiator {
    /// The daemon, by itself.
    pub fn daemon() -> Self {
        Self {
            who: Who::Daemon,
            from: None,
            request: None,
            owner: Owner::admin(),
        }
    }

    /// What is done now, to be committed together with it.
    pub fn does(self, what: Deed, subject: impl ToString) -> Entry {
        Entry {
            id: AuditId::generate(),
            at: Timestamp::now(),
            who: self.who,
            what,
            subject: subject.to_string(),
            from: self.from,
            request: self.request,
            details: BTreeMap::new(),
            owner: self.owner,
        }
    }
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "AuditEntry")]
pub struct Entry {
    /// Its id.
    pub id: AuditId,
    /// When it was done.
    pub at: Timestamp,
    /// Who did it.
    pub who: Who,
    /// What was done.
    pub what: Deed,
    /// The id of what it was done to.
    pub subject: String,
    /// From which address, as the daemon saw it.
    #[schemars(with = "Option<String>")]
    pub from: Option<IpAddr>,
    /// The request's name in the daemon's log.
    pub request: Option<String>,
    /// More about it, such as the form of an export.
    pub details: BTreeMap<String, String>,
    /// Whom it belongs to.
    pub owner: Owner,
}

impl Entry {
    /// Something that the daemon did by itself, now.
    pub fn by_daemon(what: Deed, subject: impl ToString) -> Self {
        Initiator::daemon().does(what, subject)
    }

    /// The same, done now and not when it was drafted.
    pub fn now(self) -> Self {
        Self {
            id: AuditId::generate(),
            at: Timestamp::now(),
            ..self
        }
    }

    /// The same, with more about it.
    pub fn detail(mut self, name: &str, value: impl ToString) -> Self {
        self.details.insert(name.to_owned(), value.to_string());
        self
    }
}

/// How long the latest entry is looked for.
const READY: Duration = Duration::from_secs(30);

struct AuditTable;

impl Table for AuditTable {
    const ENTRY: catalog::Entry = catalog::AUDIT;
    type Key = AuditId;
    type Value = Entry;
}

/// Commits a change together with the entry that tells of it.
///
/// # Errors
/// If the store did not keep it: then neither happened.
pub async fn commit(store: &Store, mut batch: Batch, entry: Entry) -> Result<(), StoreError> {
    batch.put::<AuditTable>(&entry.id, &entry);
    store.commit(batch).await?;
    tracing::info!(audit = %entry.id, what = ?entry.what, subject = entry.subject, "audit");
    Ok(())
}

/// The same, where it may be that nothing is told.
///
/// # Errors
/// As [`commit`].
pub async fn commit_with(store: &Store, batch: Batch, entry: Option<Entry>) -> Result<(), StoreError> {
    match entry {
        Some(entry) => commit(store, batch, entry).await,
        None => store.commit(batch).await.map(drop),
    }
}

/// The handle to the log. Cheap to clone.
#[derive(Clone)]
pub struct Audit {
    store: Store,
}

impl Audit {
    /// The log in a store.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Adds an entry of something that changes nothing in the store; it is durable when this returns.
    ///
    /// # Errors
    /// If the store did not keep it.
    pub async fn add(&self, entry: Entry) -> Result<(), StoreError> {
        commit(&self.store, Batch::new(), entry).await
    }

    /// Up to `limit` entries, the latest first, from before the cursor on.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn list(
        &self,
        cursor: Option<AuditId>,
        limit: usize,
    ) -> Result<(Vec<Entry>, Option<AuditId>), StoreError> {
        let mut scan = Scan::<AuditId>::all().reverse();
        if let Some(before) = &cursor {
            scan = scan.after(before);
        }
        let mut rows = self.store.scan::<AuditTable>(scan, limit + 1)?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(|(id, _)| *id);
        Ok((rows.into_iter().map(|(_, entry)| entry).collect(), next))
    }

    /// New entries come after those that are stored, also if the machine's clock was put back since.
    fn follow(&self) -> Result<(), StoreError> {
        let latest = self.store.scan::<AuditTable>(Scan::all().reverse(), 1)?;
        latest.into_iter().for_each(|(id, _)| id.follow());
        Ok(())
    }

    /// Has new entries follow the stored ones, and forgets what is too old every now and then.
    pub fn child(&self, config: &AuditConfig) -> ChildSpec {
        let (audit, keep) = (self.clone(), *config.keep);
        ChildSpec::task("audit", move |task: TaskContext| {
            let audit = audit.clone();
            async move {
                audit.follow()?;
                task.ready();
                loop {
                    match audit.forget(Timestamp::now().minus(keep)).await {
                        Ok(0) => {}
                        Ok(entries) => tracing::info!(entries, "old entries of the audit log were forgotten"),
                        Err(error) => tracing::warn!(%error, "the audit log was not looked through"),
                    }
                    tokio::select! {
                        () = task.stop.cancelled() => return Ok(()),
                        () = tokio::time::sleep(SWEEP_EVERY) => {}
                    }
                }
            }
        })
        .ready_within(READY)
    }

    async fn forget(&self, before: Timestamp) -> Result<usize, StoreError> {
        self.store
            .sweep::<AuditTable>(|id, entry, batch| {
                if entry.at < before {
                    batch.remove::<AuditTable>(id);
                }
                Ok(())
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{OpenStore, StoreConfig, SyncMode};

    fn audit() -> (Audit, OpenStore, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("a folder");
        let config = StoreConfig {
            sync: SyncMode::Process,
            ..StoreConfig::in_folder(folder.path())
        };
        let store = Store::open(config).expect("opens");
        (Audit::new(store.store()), store, folder)
    }

    #[tokio::test]
    async fn the_latest_come_first_page_by_page_and_old_ones_go() {
        let (audit, _store, _folder) = audit();
        for number in 0..7i64 {
            let entry = Entry {
                at: Timestamp::from_secs(100 + number),
                ..Entry::by_daemon(Deed::Deleted, number).detail("reason", "INACTIVE")
            };
            audit.add(entry).await.expect("is stored");
        }
        let subjects = |entries: &[Entry]| entries.iter().map(|it| it.subject.clone()).collect::<Vec<_>>();
        let (first, next) = audit.list(None, 3).expect("lists");
        let (second, rest) = audit.list(next, 4).expect("lists");
        assert_eq!(subjects(&first), ["6", "5", "4"]);
        assert_eq!(
            (subjects(&second), rest),
            (["3", "2", "1", "0"].map(str::to_owned).to_vec(), None)
        );
        assert_eq!(audit.forget(Timestamp::from_secs(105)).await.expect("sweeps"), 5);
        assert_eq!(subjects(&audit.list(None, 9).expect("lists").0), ["6", "5"]);
    }

    #[test]
    fn an_entry_is_shown_in_plain_words() {
        let shown = serde_json::to_value(Entry::by_daemon(Deed::KeyMade, "key_1")).expect("JSON");
        assert_eq!(
            (&shown["what"], &shown["who"]),
            (&"key.made".into(), &"daemon".into())
        );
    }

    #[test]
    fn rows_of_any_bytes_are_an_error_at_worst() {
        use crate::store::fuzz::*;

        bears_any_row::<AuditTable>();
    }
}
