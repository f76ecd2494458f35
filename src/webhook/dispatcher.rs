//! The dispatcher: reads the journal from its cursor and turns events into deliveries.
//!
//! Input: the journal (woken by its head) and the registry of endpoints. Output: tasks in the
//! endpoints' lanes and records of deliveries, in the same commit as the cursor; then a word to
//! each deliverer. It sends nothing itself. If it ends between a commit and the word, the
//! deliverers find the tasks in the store.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::attempt::Trigger;
use super::body::SessionContext;
use super::draft::{Source, draft};
use super::registry::{Letter, Live};
use super::service::Service;
use crate::base::fault::fault_point;
use crate::base::{EndpointId, SessionId, Timestamp};
use crate::runtime::{BoxError, TaskContext};
use crate::store::{Batch, StoreError, TaskKey};

/// The name of its cursor in the journal.
pub(super) const CONSUMER: &str = "webhook";

/// How many events one look into the journal takes.
const EVENTS: usize = 64;

/// How many deliveries one commit makes, about.
const DRAFTS: usize = 128;

/// While no endpoint wants anything the cursor is stored after so many events; what changes what they want stores it, too.
const UNCONCERNED: u64 = 1000;

/// And after so long without another event.
const REST: Duration = Duration::from_secs(60);

/// The task child.
pub(super) async fn run(service: Arc<Service>, context: TaskContext) -> Result<(), BoxError> {
    service.load().await?;
    context.ready();
    let mut head = service.store.head();
    let mut cursor = Cursor::at(service.store.cursor(CONSUMER)?);
    service.has_read(cursor.read);
    while !context.stop.is_cancelled() {
        context.alive();
        head.borrow_and_update();
        if dispatch(&service, &mut cursor).await? {
            continue;
        }
        let lags = cursor.is_ahead_by(1);
        let news = context.idle(async {
            tokio::select! {
                () = context.stop.cancelled() => Ok(false),
                news = head.changed() => news.map(|()| false),
                () = tokio::time::sleep(REST), if lags => Ok(true),
            }
        });
        if news.await? {
            cursor.store(&service).await?;
        }
    }
    if cursor.is_ahead_by(1) {
        cursor.store(&service).await?;
    }
    Ok(())
}

/// How far the journal was read, and how much of that is stored.
#[derive(Clone, Copy, Debug)]
struct Cursor {
    read: u64,
    stored: u64,
}

impl Cursor {
    fn at(stored: u64) -> Self {
        Self { read: stored, stored }
    }

    async fn store(&mut self, service: &Service) -> Result<(), StoreError> {
        let mut batch = Batch::new();
        batch.set_cursor(CONSUMER, self.read);
        service.store.commit(batch).await?;
        self.stored = self.read;
        Ok(())
    }

    fn is_ahead_by(self, events: u64) -> bool {
        self.read - self.stored >= events
    }
}

/// Turns the next events into deliveries; false if there was nothing to read.
async fn dispatch(service: &Service, cursor: &mut Cursor) -> Result<bool, StoreError> {
    let events = service.store.events(cursor.read, EVENTS)?;
    // no endpoint vanishes between here and the commit
    let _gate = service.gate.read().await;
    let endpoints: Vec<Arc<Live>> = service
        .registry
        .all()
        .iter()
        .map(|seat| seat.live.borrow().clone())
        .filter(|live| live.is_active())
        .collect();
    let mut sessions = Sessions::default();
    let (mut batch, mut drafts, mut done, mut wanted) = (Batch::new(), 0, None, false);
    let now = Timestamp::now();
    let due = now.plus(service.first_delay());
    for (seq, event) in &events {
        done = Some(*seq);
        let wanting: Vec<&Arc<Live>> = endpoints
            .iter()
            .filter(|live| *seq > live.record.from_seq && live.wants.want(event, live.record.id))
            .collect();
        if wanting.is_empty() {
            continue;
        }
        let mut source = Source::new(*seq, event, sessions.get(service, event.session));
        for live in wanting {
            let Some(draft) = draft(live, live.record.shape, &mut source, Trigger::Scheduled, now) else {
                continue;
            };
            draft.enqueue(&mut batch, due);
            draft.record(&mut batch);
            drafts += 1;
            wanted = true;
            if drafts >= 2 * DRAFTS {
                // very many endpoints want one event: a part of them first, the cursor with the last
                announce(
                    service,
                    service.store.commit(std::mem::take(&mut batch)).await?.tasks,
                    due,
                );
                drafts = 0;
            }
        }
        if drafts >= DRAFTS {
            break;
        }
    }
    let Some(seq) = done else { return Ok(false) };
    cursor.read = seq;
    if !wanted && !cursor.is_ahead_by(UNCONCERNED) {
        service.has_read(seq);
        return Ok(true);
    }
    batch.set_cursor(CONSUMER, seq);
    fault_point!("webhook.dispatch.before");
    let stored = service.store.commit(batch).await?;
    fault_point!("webhook.dispatch.after");
    cursor.stored = seq;
    service.has_read(seq);
    announce(service, stored.tasks, due);
    Ok(true)
}

/// Tells the deliverers what has come.
pub(super) fn announce(service: &Service, tasks: Vec<TaskKey>, due: Timestamp) {
    let mut letters: HashMap<[u8; 16], Vec<Letter>> = HashMap::new();
    for task in tasks {
        letters
            .entry(task.lane.group)
            .or_default()
            .push(Letter::Came(task, due));
    }
    for (group, letters) in letters {
        if let Some(seat) = service.registry.get(EndpointId::from_bytes(group)) {
            seat.inbox.put(letters);
        }
    }
}

/// What is known of the sessions of one round's events.
#[derive(Default)]
pub(super) struct Sessions {
    known: HashMap<Option<SessionId>, SessionContext>,
}

impl Sessions {
    /// A session's context; an empty one for none, and for one that is not known.
    pub fn get(&mut self, service: &Service, session: Option<SessionId>) -> &SessionContext {
        self.known.entry(session).or_insert_with(|| {
            session
                .and_then(|session| (service.sessions)(session))
                .unwrap_or_default()
        })
    }
}
