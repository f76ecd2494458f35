//! The daemon as a value: its handles, and the running tree behind them.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::access::Access;
use crate::base::SessionId;
use crate::config::Config;
use crate::forward::Pairs;
use crate::http::Listening;
use crate::limiter::Limiter;
use crate::ops::{Audit, Incidents};
use crate::runtime::{Drained, Reason, Root, StartError, Tree};
use crate::store::Store;
use crate::telegram::{Asks, NotAKey, Telegram};
use crate::telemetry;
use crate::webhook::{SessionContext, SessionLookup, Webhooks};

use super::tree;

/// Why the daemon did not start.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// A self-hosted server's key is none.
    #[error("telegram.server.rsa_public_key cannot be used")]
    ServerKey(#[from] NotAKey),
    /// A part of the tree did not start.
    #[error("the daemon did not start")]
    Start(#[from] StartError),
}

/// Every handle of the house, before and after the tree runs.
#[derive(Clone)]
pub struct Handles {
    /// State.
    pub store: Store,
    /// Telegram's limits.
    pub limiter: Limiter,
    /// What waits for a person.
    pub incidents: Incidents,
    /// Who did what.
    pub audit: Audit,
    /// Sessions.
    pub telegram: Telegram,
    /// Webhook endpoints.
    pub webhooks: Webhooks,
    /// Forwarding pairs.
    pub pairs: Pairs,
    /// Who asks.
    pub access: Access,
    /// The tree, once it stands.
    pub tree: Arc<OnceLock<Tree>>,
}

/// A running daemon.
pub struct Daemon {
    /// Every handle of the house.
    pub handles: Handles,
    root: Root,
    api: Listening,
    metrics: Listening,
}

impl Daemon {
    /// Starts the daemon; when this returns it serves.
    ///
    /// # Errors
    /// The first part that did not start; what had started is stopped again.
    pub async fn start(config: Config) -> Result<Self, DaemonError> {
        telemetry::metrics();
        install_tls_provider();
        let store = Store::new(config.store.clone());
        let limiter = Limiter::new(config.limiter.clone(), store.clone());
        let incidents = Incidents::new(store.clone());
        let audit = Audit::new(store.clone());
        let telegram = Telegram::new(
            store.clone(),
            limiter.clone(),
            incidents.clone(),
            config.telegram.clone(),
        )?;
        let lookup = session_lookup(&telegram);
        let webhooks = Webhooks::new(config.webhook.clone(), store.clone(), incidents.clone(), lookup);
        let pairs = Pairs::new(
            config.forward.clone(),
            store.clone(),
            telegram.clone(),
            incidents.clone(),
        );
        telegram.ask_for_interest(asks(&pairs, &webhooks));
        let access = Access::new(store.clone());
        let handles = Handles {
            pairs,
            store,
            limiter,
            incidents,
            audit,
            telegram,
            webhooks,
            access,
            tree: Arc::default(),
        };
        let (api, metrics) = (Listening::default(), Listening::default());
        let spec = tree::spec(&config, &handles, (&api, &metrics));
        let root = Root::start(spec).await?;
        handles.tree.get_or_init(|| root.tree());
        Ok(Self {
            handles,
            root,
            api,
            metrics,
        })
    }

    /// Where the API listens.
    pub async fn api_address(&self) -> SocketAddr {
        self.api.address().await
    }

    /// Where the metrics are served without a key; none if the configuration wants none.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.now()
    }

    /// The live supervision tree.
    pub fn tree(&self) -> Tree {
        self.root.tree()
    }

    /// Waits until the tree has given up.
    pub async fn failed(&self) -> Reason {
        self.root.failed().await
    }

    /// Stops everything in reverse order; what does not end within the deadline is killed.
    pub async fn stop(self, deadline: Duration) -> Drained {
        self.root.stop(deadline).await
    }
}

/// What webhook bodies tell of a session.
fn session_lookup(telegram: &Telegram) -> SessionLookup {
    let telegram = telegram.clone();
    Arc::new(move |id: SessionId| {
        let account = telegram.view(id).ok()?.account;
        let metadata = account.metadata();
        Some(SessionContext {
            uuid: Some(account.uuid),
            agent_id: account.agent_id,
            metadata,
        })
    })
}

/// To whom a session's messages matter.
fn asks(pairs: &Pairs, webhooks: &Webhooks) -> Asks {
    let (pairs, webhooks) = (pairs.clone(), webhooks.clone());
    Box::new(move |session| (pairs.sources(session), webhooks.want_messages_of(session)))
}

/// A process has one TLS provider; whoever came first has installed this very one.
fn install_tls_provider() {
    if rustls::crypto::ring::default_provider()
        .install_default()
        .is_err()
    {
        tracing::debug!("the TLS provider was there");
    }
}
