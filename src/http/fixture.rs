//! Handles for tests: a store in a folder of its own, and nothing that runs.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Api, Checks, HttpConfig, Hub};
use crate::access::{Access, NewKey, Scope};
use crate::base::Owner;
use crate::forward::{ForwardConfig, Pairs};
use crate::limiter::{Limiter, LimiterConfig};
use crate::ops::audit::Initiator;
use crate::ops::{Audit, DeadLetters, Incidents};
use crate::store::{OpenStore, Store, StoreConfig, SyncMode};
use crate::telegram::{Telegram, TelegramConfig};
use crate::webhook::{WebhookConfig, Webhooks};

/// The handles, and what they need to live.
pub(crate) fn api() -> (Api, (tempfile::TempDir, OpenStore)) {
    let folder = tempfile::tempdir().expect("a folder");
    let config = StoreConfig {
        sync: SyncMode::Process,
        ..StoreConfig::in_folder(folder.path())
    };
    let open = Store::open(config).expect("opened");
    let limiter = Limiter::new(LimiterConfig::sandbox(), open.store());
    let incidents = Incidents::new(open.store());
    let telegram = Telegram::new(
        open.store(),
        limiter,
        incidents.clone(),
        TelegramConfig::default(),
    )
    .expect("no server of its own");
    let nobody = Arc::new(|_| None);
    let webhooks = Webhooks::new(WebhookConfig::sandbox(), open.store(), incidents.clone(), nobody);
    let pairs = Pairs::new(
        ForwardConfig::sandbox(),
        open.store(),
        telegram.clone(),
        incidents.clone(),
    );
    let access = Access::new(open.store());
    let hub = Hub::new(
        HttpConfig::default().websocket,
        open.store(),
        telegram.clone(),
        access.clone(),
    );
    let api = Api {
        hub,
        pairs,
        webhooks,
        incidents,
        audit: Audit::new(open.store()),
        dead_letters: DeadLetters::new(open.store()),
        store: open.store(),
        access,
        telegram,
        tree: Arc::default(),
        health: Checks::default(),
        metrics: Arc::new(String::new),
    };
    (api, (folder, open))
}

/// A new key's text.
pub(crate) async fn key(api: &Api, scope: Scope) -> String {
    let new = NewKey {
        name: "test".to_owned(),
        scopes: BTreeSet::from([scope]),
        sessions: None,
        expires_at: None,
        owner: Owner::admin(),
    };
    let (_, text) = api.access.create(new, Initiator::daemon()).await.expect("made");
    text.expose().to_owned()
}
