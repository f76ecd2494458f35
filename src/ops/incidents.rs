//! Incidents: what did not heal by itself and waits for a person.
//!
//! There is at most one open incident for a kind and subject; a further report counts on it.
//! Opening and resolving are told as events, in the same commit as the record. Open ones stay until they are resolved;
//! resolved ones are forgotten once they are older than `incidents.keep`, and so are the oldest beyond `incidents.most`.

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::base::{EventId, IncidentId, Owner, Span, Timestamp};
use crate::model::{Event, EventBody};
use crate::runtime::{ChildSpec, TaskContext};
use crate::store::{Batch, SWEEP_EVERY, Scan, Store, StoreError, Table, catalog};

/// The config section `[incidents]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IncidentsConfig {
    /// How long resolved incidents are kept.
    pub keep: Span,
    /// How many of them are kept.
    pub most: usize,
}

impl Default for IncidentsConfig {
    fn default() -> Self {
        Self {
            keep: Span::secs(90 * 24 * 3600),
            most: 10_000,
        }
    }
}

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
                // Later in order than all before, also if the machine's clock was put back since.
                let latest = store.scan::<IncidentsTable>(Scan::all().reverse(), 1)?;
                latest.into_iter().for_each(|(id, _)| id.follow());
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
        let place = (incident.kind.clone(), incident.subject.clone());
        // It may be another's, if this one could not be read when the next was reported.
        if self
            .sound::<OpenIncidentsTable>(&place)?
            .is_none_or(|open| open == id)
        {
            batch.remove::<OpenIncidentsTable>(&place);
        }
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

    /// Whether something was reported and is not over.
    pub fn is_open(&self, kind: &str, subject: &str) -> Result<bool, StoreError> {
        let place = (kind.to_owned(), subject.to_owned());
        Ok(self.sound::<OpenIncidentsTable>(&place)?.is_some())
    }

    /// Up to `limit` incidents, the latest first, from before the cursor on; only open ones, or all.
    pub fn list(
        &self,
        open_only: bool,
        cursor: Option<IncidentId>,
        limit: usize,
    ) -> Result<(Vec<Incident>, Option<IncidentId>), StoreError> {
        let mut found = match open_only {
            true => self.open_before(cursor, limit)?,
            false => {
                let mut scan = Scan::<IncidentId>::all().reverse();
                if let Some(before) = &cursor {
                    scan = scan.after(before);
                }
                let rows = self
                    .0
                    .store
                    .scan::<IncidentsTable>(scan, limit.saturating_add(1))?;
                rows.into_iter().map(|(_, incident)| incident).collect()
            }
        };
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| more).map(|last| last.id);
        Ok((found, next))
    }

    /// Open incidents from before the cursor on, the latest first; one more than asked for if there are more.
    fn open_before(&self, cursor: Option<IncidentId>, limit: usize) -> Result<Vec<Incident>, StoreError> {
        let open = self.0.store.scan::<OpenIncidentsTable>(Scan::all(), usize::MAX)?;
        let ids = open.into_iter().map(|(_, id)| id);
        let mut ids: Vec<_> = ids
            .filter(|id| cursor.is_none_or(|before| *id < before))
            .collect();
        ids.sort_unstable_by(|one, other| other.cmp(one));
        let mut found = Vec::new();
        for id in ids {
            if found.len() > limit {
                break;
            }
            // One that cannot be read is reported again as a new one.
            found.extend(self.sound::<IncidentsTable>(&id)?);
        }
        Ok(found)
    }

    /// Forgets resolved incidents that are too old or too many, every now and then.
    pub fn child(&self, config: &IncidentsConfig) -> ChildSpec {
        let (incidents, keep, most) = (self.clone(), *config.keep, config.most);
        ChildSpec::task("incidents", move |task: TaskContext| {
            let incidents = incidents.clone();
            async move {
                loop {
                    match incidents.forget(Timestamp::now().minus(keep), most).await {
                        Ok(0) => {}
                        Ok(count) => tracing::info!(count, "resolved incidents were forgotten"),
                        Err(error) => tracing::warn!(%error, "incidents were not looked through"),
                    }
                    tokio::select! {
                        () = task.stop.cancelled() => return Ok(()),
                        () = tokio::time::sleep(SWEEP_EVERY) => {}
                    }
                }
            }
        })
    }

    /// Forgets those that were resolved before a time, and all but the latest `most` resolved ones.
    async fn forget(&self, before: Timestamp, most: usize) -> Result<usize, StoreError> {
        let (mut kept, mut forgotten, mut place) = (0, 0, None::<IncidentId>);
        loop {
            let mut scan = Scan::<IncidentId>::all().reverse();
            if let Some(place) = &place {
                scan = scan.after(place);
            }
            let rows = self.0.store.scan::<IncidentsTable>(scan, PAGE)?;
            let last_page = rows.len() < PAGE;
            let mut batch = Batch::new();
            for (id, incident) in rows {
                place = Some(id);
                // What is resolved does not change any more.
                match incident.resolved_at {
                    None => {}
                    Some(resolved) if resolved >= before && kept < most => kept += 1,
                    Some(_) => {
                        batch.remove::<IncidentsTable>(&id);
                    }
                }
            }
            if !batch.is_empty() {
                forgotten += batch.len();
                self.0.store.commit(batch).await?;
            }
            if last_page {
                return Ok(forgotten);
            }
            tokio::time::sleep(PAUSE).await;
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

/// How many rows one look into the table takes, and the pause between two.
const PAGE: usize = 200;
const PAUSE: Duration = Duration::from_millis(20);

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

    #[tokio::test]
    async fn resolved_ones_are_forgotten_by_age_and_number_and_open_ones_stay() {
        let (incidents, _store, _folder) = incidents();
        let mut all = Vec::new();
        for number in 0..PAGE + 20 {
            all.push(report(&incidents, &format!("ses_{number}")).await);
        }
        let (open, resolved) = (all[0], &all[1..]);
        for id in resolved {
            incidents.resolve(*id).await.expect("is stored");
        }
        let left = |incidents: &Incidents| {
            let (left, next) = incidents.list(false, None, 1000).expect("lists");
            assert_eq!(next, None);
            left.iter().map(|incident| incident.id).collect::<Vec<_>>()
        };
        let long_ago = Timestamp::from_secs(0);
        let forgotten = incidents.forget(long_ago, 10).await.expect("sweeps");
        assert_eq!(forgotten, resolved.len() - 10);
        let mut wanted: Vec<_> = resolved.iter().rev().take(10).copied().collect();
        wanted.push(open);
        assert_eq!(
            left(&incidents),
            wanted,
            "the latest, and the open one however old it is"
        );
        let all_old = Timestamp::now().plus(Duration::from_secs(1));
        assert_eq!(incidents.forget(all_old, 10).await.expect("sweeps"), 10);
        assert_eq!(left(&incidents), [open]);
        assert_eq!(incidents.list(true, None, 10).expect("lists").0[0].id, open);
    }

    #[tokio::test]
    async fn incidents_are_in_order_though_the_clock_was_put_back() {
        let (incidents, _store, _folder) = incidents();
        let first = report(&incidents, "ses_1").await;
        let mut bytes = first.to_bytes();
        bytes[0] += 1;
        let ahead = IncidentId::from_bytes(bytes);
        let mut batch = Batch::new();
        let row = incidents.get(first).expect("readable").expect("is there");
        batch.put::<IncidentsTable>(&ahead, &Incident { id: ahead, ..row });
        incidents.0.store.commit(batch).await.expect("is stored");
        assert!(report(&incidents, "ses_2").await > ahead);
    }

    #[tokio::test]
    async fn the_one_that_is_open_is_found_without_a_look_at_all() {
        let (incidents, store, _folder) = incidents();
        let first = report(&incidents, "ses_1").await;
        assert!(incidents.is_open("quarantine", "ses_1").expect("readable"));
        assert!(!incidents.is_open("quarantine", "ses_2").expect("readable"));
        // As if the first had been unreadable when it was reported again.
        let mut batch = Batch::new();
        let place = ("quarantine".to_owned(), "ses_1".to_owned());
        batch.remove::<OpenIncidentsTable>(&place);
        store.commit(batch).await.expect("is stored");
        let second = report(&incidents, "ses_1").await;
        assert_ne!(second, first);
        incidents.resolve(first).await.expect("is stored");
        assert!(
            incidents.is_open("quarantine", "ses_1").expect("readable"),
            "the second"
        );
        assert_eq!(incidents.list(true, None, 10).expect("lists").0[0].id, second);
    }

    #[test]
    fn rows_of_any_bytes_are_an_error_at_worst() {
        use crate::store::fuzz::*;

        bears_any_row::<IncidentsTable>();
        bears_any_row::<OpenIncidentsTable>();
    }
}
