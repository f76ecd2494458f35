//! The webhooks over a real store, in a tree of their own, with the quick profile.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use trunkline::base::{EventId, Owner, SessionId, Timestamp};
use trunkline::model::{ChatId, Event, EventBody, Message};
use trunkline::ops::{DeadLetters, Incidents};
use trunkline::runtime::{ChildSpec, Root, Shutdown, Strategy, SupervisorSpec};
use trunkline::store::{self, Batch, LaneKind, Store, StoreConfig, SyncMode};
use trunkline::webhook::{Endpoint, NewEndpoint, SessionContext, SessionLookup, WebhookConfig, Webhooks};

/// The session that the stories' events belong to.
pub fn session() -> SessionId {
    SessionId::from_bytes([9; 16])
}

pub struct Office {
    pub store: Store,
    pub webhooks: Webhooks,
    pub incidents: Incidents,
    pub dead_letters: DeadLetters,
    /// What the session's metadata say at the moment.
    pub team: Arc<Mutex<&'static str>>,
    root: Root,
    folder: Arc<tempfile::TempDir>,
    config: WebhookConfig,
}

impl Office {
    pub async fn open(config: WebhookConfig) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self::open_in(Arc::new(folder), config).await
    }

    async fn open_in(folder: Arc<tempfile::TempDir>, config: WebhookConfig) -> Self {
        // another test of this process may have been first
        drop(rustls::crypto::ring::default_provider().install_default());
        let store = Store::new(StoreConfig {
            sync: SyncMode::Process,
            ..StoreConfig::in_folder(folder.path())
        });
        let incidents = Incidents::new(store.clone());
        let team = Arc::new(Mutex::new("north"));
        let known = team.clone();
        let sessions: SessionLookup = Arc::new(move |id| {
            let team = *known.lock().expect("no panic");
            (id == session()).then(|| SessionContext {
                uuid: Some(uuid::Uuid::from_u128(7)),
                agent_id: Some(123),
                metadata: Some(json!({ "team": team })),
            })
        });
        let webhooks = Webhooks::new(config.clone(), store.clone(), incidents.clone(), sessions);
        let opened = store.clone();
        let store_child = ChildSpec::task("store", move |context| {
            let store = opened.clone();
            async move { Ok(store.run(context.stop.clone(), || context.ready()).await?) }
        })
        .ready_within(store::OPENING)
        .shutdown(Shutdown::Drain(store::CLOSING));
        let spec = SupervisorSpec::new(Strategy::RestForOne)
            .child(store_child)
            .child(webhooks.child());
        let root = Root::start(spec).await.expect("starts");
        Self {
            dead_letters: DeadLetters::new(store.clone()),
            team,
            store,
            webhooks,
            incidents,
            root,
            folder,
            config,
        }
    }

    /// Stops in order and starts again.
    pub async fn restart(self) -> Self {
        let (folder, config) = (self.folder.clone(), self.config.clone());
        self.root.stop(Duration::from_secs(20)).await;
        Self::open_in(folder, config).await
    }

    /// Kills everything at once and starts again, with another configuration if one is given.
    pub async fn kill_and_restart(self, config: Option<WebhookConfig>) -> Self {
        let Self {
            root,
            folder,
            config: old,
            store,
            ..
        } = self;
        drop(root);
        let deadline = Instant::now() + Duration::from_secs(10);
        while store.is_open() {
            assert!(Instant::now() < deadline, "the store did not close");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        drop(store);
        tokio::time::sleep(Duration::from_millis(50)).await;
        Self::open_in(folder, config.unwrap_or(old)).await
    }

    pub async fn stop(self) {
        self.root.stop(Duration::from_secs(20)).await;
    }

    /// Makes an endpoint as the API would.
    pub async fn endpoint(&self, body: serde_json::Value) -> (Endpoint, String) {
        let new: NewEndpoint = serde_json::from_value(body).expect("fits");
        let (endpoint, secret) = self.webhooks.create(Owner::admin(), new).await.expect("is made");
        (endpoint, secret.expose().to_owned())
    }

    /// Stores an event, as the pump would.
    pub async fn happens(&self, body: EventBody) -> EventId {
        let event = Event {
            id: EventId::generate(),
            at: Timestamp::now(),
            session: Some(session()),
            owner: Owner::admin(),
            body,
        };
        let (id, mut batch) = (event.id, Batch::new());
        batch.append(event, None);
        self.store.commit(batch).await.expect("is stored");
        id
    }

    /// A new message in a chat.
    pub async fn message(&self, chat: i64, id: i32) -> EventId {
        self.happens(EventBody::MessageNew(message(chat, id))).await
    }

    /// Many new messages in one commit.
    pub async fn messages(&self, list: impl IntoIterator<Item = (i64, i32)>) {
        let mut batch = Batch::new();
        for (chat, id) in list {
            let event = Event {
                id: EventId::generate(),
                at: Timestamp::now(),
                session: Some(session()),
                owner: Owner::admin(),
                body: EventBody::MessageNew(message(chat, id)),
            };
            batch.append(event, None);
        }
        self.store.commit(batch).await.expect("is stored");
    }

    /// Waits until no delivery is pending, and stays so for a moment: the store shows a commit's rows a little
    /// before it counts its tasks.
    pub async fn until_quiet(&self) {
        let quiet = || {
            let read = self.webhooks.read();
            read == *self.store.head().borrow() && self.store.lane_stats(LaneKind::Webhook).depth == 0
        };
        let mut in_a_row = 0;
        while in_a_row < 10 {
            self.until("nothing is pending", quiet).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
            in_a_row = if quiet() { in_a_row + 1 } else { 0 };
        }
    }

    pub async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !holds() {
            assert!(Instant::now() < deadline, "not in time: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The names of the journal's events after a place.
    pub fn told(&self, after: u64) -> Vec<&'static str> {
        let events = self.store.events(after, 10_000).expect("readable");
        events
            .iter()
            .map(|(_, event)| event.body.kind().as_str())
            .collect()
    }
}

/// The quick profile with a shorter time-out.
pub fn quick() -> WebhookConfig {
    WebhookConfig {
        timeout: Duration::from_millis(400).into(),
        ..WebhookConfig::sandbox()
    }
}

pub fn message(chat: i64, id: i32) -> Message {
    Message {
        chat: ChatId(chat),
        id,
        sender: None,
        date: Timestamp::from_secs(1_766_000_000),
        edit_date: None,
        out: false,
        post: false,
        silent: false,
        service: false,
        protected: false,
        text: format!("message {id} — پیام 👋"),
        entities: Vec::new(),
        media: None,
        album: None,
        reply_to: None,
        forwarded: None,
        thread: None,
        author: None,
        action: None,
    }
}
