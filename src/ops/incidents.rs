//! Incidents: what did not heal by itself and waits for a person.
//!
//! There is at most one open incident for a kind and subject; a further report counts on it.
//! Opening and resolving are told as events, in the same commit as the record.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::base::{EventId, IncidentId, Owner, Timestamp};
use crate::model::{Event, EventBody};
use crate::store::{Batch, Scan, Store, StoreError, Table, catalog};

/// Something that waits for a person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Incident {
    /// Its id.
    pub id: IncidentId,
    /// What it is about, as a stable word: `endpoint_disabled`, `quarantine`.
    pub kind: String,
    /// What or whom it concerns.
    pub subject: String,
    /// What happened.
    pub cause: String,
    /// What a person may do about it.
    pub action: String,
    /// How often it was reported.
    pub count: u64,
    /// Whom it belongs to.
    pub owner: Owner,
    /// When it was reported first.
    pub opened_at: Timestamp,
    /// When it was reported last.
    pub last_at: Timestamp,
    /// When it was resolved; null while it is open.
    pub resolved_at: Option<Timestamp>,
}

struct IncidentsTable;

impl Table for IncidentsTable {
    const ENTRY: catalog::Entry = catalog::INCIDENTS;
    type Key = IncidentId;
    type Value = Incident;
}

struct OpenIncidentsTable;

impl Table for OpenIncidentsTable {
    const ENTRY: catalog::Entry = catalog::OPEN_INCIDENTS;
    type Key = (String, String);
    type Value = IncidentId;
}

/// The handle to the incidents. Cheap to clone.
#[derive(Clone)]
pub struct Incidents(Arc<Inner>);

struct Inner {
    store: Store,
    /// Reports go one after another, so that two of the same thing meet.
    turn: Mutex<()>,
}

impl Incidents {
    /// The incidents of a store, which need not be open yet.
    pub fn new(store: Store) -> Self {
        Self(Arc::new(Inner {
            store,
            turn: Mutex::new(()),
        }))
    }

    /// Reports something that waits for a person: `kind` a stable word, `subject` an id, `cause` and
    /// `action` sentences without message text or secrets. A repeated report is counted.
    pub async fn open(
        &self,
        kind: &str,
        subject: &str,
        cause: &str,
        action: &str,
    ) -> Result<IncidentId, StoreError> {
        let store = &self.0.store;
        let _turn = self.0.turn.lock().await;
        let now = Timestamp::now();
        let place = (kind.to_owned(), subject.to_owned());
        let known = match self.sound::<OpenIncidentsTable>(&place)? {
            Some(id) => self.sound::<IncidentsTable>(&id)?,
            None => None,
        };
        let mut batch = Batch::new();
        let incident = match known {
            Some(known) => Incident {
                count: known.count + 1,
                last_at: now,
                cause: cause.to_owned(),
                action: action.to_owned(),
                ..known
            },
            None => {
                let incident = Incident {
                    id: IncidentId::generate(),
                    kind: kind.to_owned(),
                    subject: subject.to_owned(),
                    cause: cause.to_owned(),
                    action: action.to_owned(),
                    count: 1,
                    owner: Owner::admin(),
                    opened_at: now,
                    last_at: now,
                    resolved_at: None,
                };
                batch.put::<OpenIncidentsTable>(&place, &incident.id);
                batch.append(event(&incident, now), None);
                tracing::warn!(incident = %incident.id, kind, subject, cause, "incident opened");
                incident
            }
        };
        batch.put::<IncidentsTable>(&incident.id, &incident);
        store.commit(batch).await?;
        self.measure();
        Ok(incident.id)
    }

    /// Says that an incident is dealt with. One that is resolved already stays as it is; none if
    /// there is no such incident.
    pub async fn resolve(&self, id: IncidentId) -> Result<Option<Incident>, StoreError> {
        let store = &self.0.store;
        let _turn = self.0.turn.lock().await;
        let Some(incident) = store.get::<IncidentsTable>(&id)? else {
            return Ok(None);
        };
        if incident.resolved_at.is_some() {
            return Ok(Some(incident));
        }
        let now = Timestamp::now();
        let incident = Incident {
            resolved_at: Some(now),
            ..incident
        };
        let mut batch = Batch::new();
        batch.put::<IncidentsTable>(&id, &incident);
        batch.remove::<OpenIncidentsTable>(&(incident.kind.clone(), incident.subject.clone()));
        batch.append(event(&incident, now), None);
        store.commit(batch).await?;
        tracing::info!(incident = %id, kind = incident.kind, subject = incident.subject, "incident resolved");
        self.measure();
        Ok(Some(incident))
    }

    /// Says that what was reported is over, if it was.
    pub async fn settle(&self, kind: &str, subject: &str) -> Result<(), StoreError> {
        let place = (kind.to_owned(), subject.to_owned());
        if let Some(id) = self.sound::<OpenIncidentsTable>(&place)? {
            self.resolve(id).await?;
        }
        Ok(())
    }

    /// An incident by its id.
    pub fn get(&self, id: IncidentId) -> Result<Option<Incident>, StoreError> {
        self.0.store.get::<IncidentsTable>(&id)
    }

    /// Up to `limit` incidents, the latest first, from before the cursor on; only open ones, or all.
    pub fn list(
        &self,
        open_only: bool,
        cursor: Option<IncidentId>,
        limit: usize,
    ) -> Result<(Vec<Incident>, Option<IncidentId>), StoreError> {
        let mut found = Vec::new();
        let mut place = cursor;
        loop {
            let mut scan = Scan::<IncidentId>::all().reverse();
            if let Some(before) = &place {
                scan = scan.after(before);
            }
            let rows = self.0.store.scan::<IncidentsTable>(scan, PAGE)?;
            let last_page = rows.len() < PAGE;
            for (id, incident) in rows {
                if found.len() == limit {
                    return Ok((found, place));
                }
                place = Some(id);
                if !open_only || incident.resolved_at.is_none() {
                    found.push(incident);
                }
            }
            if last_page {
                return Ok((found, None));
            }
        }
    }

    /// A row, or none if it is damaged: an incident is then reported as a new one.
    fn sound<T: Table>(&self, key: &T::Key) -> Result<Option<T::Value>, StoreError> {
        match self.0.store.get::<T>(key) {
            Err(StoreError::BadRow { .. } | StoreError::Decode { .. }) => Ok(None),
            found => found,
        }
    }

    /// How many are open.
    pub fn open_count(&self) -> Result<u64, StoreError> {
        self.0.store.count::<OpenIncidentsTable>()
    }

    /// Brings the gauge of open incidents up to date.
    pub fn measure(&self) {
        match self.open_count() {
            Ok(count) => metrics::gauge!("trunkline_incidents_open").set(count as f64),
            Err(error) => tracing::debug!(%error, "open incidents are not counted"),
        }
    }
}

/// How many rows one look into the table takes.
const PAGE: usize = 200;

fn event(incident: &Incident, now: Timestamp) -> Event {
    Event {
        id: EventId::generate(),
        at: now,
        session: None,
        owner: incident.owner.clone(),
        body: EventBody::Incident {
            incident: incident.id.to_string(),
            resolved: incident.resolved_at.is_some(),
            kind: incident.kind.clone(),
            subject: incident.subject.clone(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{OpenStore, StoreConfig, SyncMode};

    fn incidents() -> (Incidents, OpenStore, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("a folder");
        let config = StoreConfig {
            sync: SyncMode::Process,
            ..StoreConfig::in_folder(folder.path())
        };
        let store = Store::open(config).expect("opens");
        (Incidents::new(store.clone()), store, folder)
    }

    async fn report(incidents: &Incidents, subject: &str) -> IncidentId {
        let opened = incidents
            .open("quarantine", subject, "it crashed", "restart it")
            .await;
        opened.expect("is stored")
    }

    fn told(store: &Store) -> Vec<&'static str> {
        let events = store.events(0, 100).expect("readable");
        events
            .iter()
            .map(|(_, event)| event.body.kind().as_str())
            .collect()
    }

    #[tokio::test]
    async fn what_is_reported_again_is_counted_until_it_is_resolved() {
        let (incidents, store, _folder) = incidents();
        let first = report(&incidents, "ses_1").await;
        assert_eq!(report(&incidents, "ses_1").await, first);
        let other = report(&incidents, "ses_2").await;
        assert_eq!(incidents.open_count().expect("counts"), 2);
        let counted = incidents.get(first).expect("readable").expect("is there");
        assert_eq!((counted.count, counted.resolved_at), (2, None));
        let resolved = incidents
            .resolve(first)
            .await
            .expect("is stored")
            .expect("is there");
        assert!(resolved.resolved_at.is_some());
        let again = incidents
            .resolve(first)
            .await
            .expect("harmless")
            .expect("is there");
        assert_eq!(again, resolved);
        incidents.settle("quarantine", "ses_2").await.expect("is stored");
        incidents.settle("quarantine", "ses_3").await.expect("harmless");
        assert!(
            incidents
                .get(other)
                .expect("readable")
                .expect("is there")
                .resolved_at
                .is_some()
        );
        assert_ne!(report(&incidents, "ses_1").await, first, "a new one");
        let (opened, resolved) = ("incident.opened", "incident.resolved");
        assert_eq!(told(&store), [opened, opened, resolved, resolved, opened]);
        let nobody = incidents.resolve(IncidentId::generate()).await.expect("harmless");
        assert_eq!(nobody, None);
    }

    #[tokio::test]
    async fn a_list_is_read_page_by_page() {
        let (incidents, _store, _folder) = incidents();
        let mut all = Vec::new();
        for number in 0..7 {
            all.push(report(&incidents, &format!("ses_{number}")).await);
        }
        incidents.resolve(all[3]).await.expect("is stored");
        let (mut seen, mut cursor) = (Vec::new(), None);
        loop {
            let (page, next) = incidents.list(true, cursor, 2).expect("lists");
            assert!(page.len() <= 2);
            seen.extend(page.iter().map(|incident| incident.id));
            match next {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        seen.sort();
        all.remove(3);
        all.sort();
        assert_eq!(seen, all);
        assert_eq!(incidents.list(false, None, 100).expect("lists").0.len(), 7);
    }

    #[test]
    fn rows_of_any_bytes_are_an_error_at_worst() {
        use crate::store::fuzz::*;

        bears_any_row::<IncidentsTable>();
        bears_any_row::<OpenIncidentsTable>();
    }
}
