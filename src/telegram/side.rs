//! A connection beside a session's own: a few calls with another auth key, for the same account.
//!
//! It stores nothing and knows no session: whoever opens it keeps the key. Nothing is retried, and its updates go
//! nowhere.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use grammers_client::sender::{SenderPoolFatHandle, SenderPoolRunner};
use grammers_client::session::updates::UpdatesLike;
use grammers_client::tl::RemoteCall;
use grammers_client::{InvocationError, SenderPool};
use grammers_session::SessionData;
use grammers_session::storages::MemorySession;
use tokio::sync::mpsc;

use super::error::TelegramError;
use super::exchange::{ExchangeError, create_auth_key};
use super::params::params;
use super::session::Context;
use super::tables::Authorisation;

/// See the head of the file.
pub(crate) struct Side {
    handle: SenderPoolFatHandle,
    home: i32,
    call_timeout: Duration,
}

/// A side connection's I/O. It has to be driven while calls are made.
pub(crate) struct Wire {
    runner: SenderPoolRunner,
    updates: mpsc::Receiver<UpdatesLike>,
}

impl Side {
    /// A connection with these keys; it is made with the first call. Where the home DC has no key yet, and the server
    /// is Telegram's own, that call makes one.
    pub fn new(context: &Context, keys: &Authorisation) -> (Self, Wire) {
        let data = SessionData {
            home_dc: keys.home_dc,
            dc_options: keys
                .dcs
                .iter()
                .map(|option| (option.id, option.clone()))
                .collect(),
            ..SessionData::default()
        };
        let session = Arc::new(MemorySession::from(data));
        let pool = SenderPool::with_configuration(session, context.config.api_id, params(&context.config));
        let side = Self {
            handle: pool.handle,
            home: keys.home_dc,
            call_timeout: *context.config.call_timeout,
        };
        let wire = Wire {
            runner: pool.runner,
            updates: pool.updates,
        };
        (side, wire)
    }

    /// Makes a call in the home DC.
    ///
    /// # Errors
    /// Telegram's refusal; no connection; one that broke or took too long meanwhile.
    pub async fn invoke<R: RemoteCall>(&self, request: &R) -> Result<R::Return, TelegramError> {
        let call = Box::pin(self.handle.thin.invoke_in_dc(self.home, request));
        let answer = tokio::time::timeout(self.call_timeout, call).await;
        let late = InvocationError::Dropped("the call took too long");
        Ok(answer.unwrap_or(Err(late))?)
    }

    /// The key of the home DC; none before the first call if it began without one.
    pub fn key(&self) -> Option<[u8; 256]> {
        let option = self.handle.session.dc_option(self.home);
        option.ok().flatten().and_then(|option| option.auth_key)
    }
}

impl Wire {
    /// Drives the I/O until these calls are done.
    ///
    /// # Errors
    /// What the calls answer; a connection that ended before they did.
    pub async fn during<T>(
        self,
        calls: impl Future<Output = Result<T, TelegramError>>,
    ) -> Result<T, TelegramError> {
        let Self { runner, mut updates } = self;
        let unheard = async { while updates.recv().await.is_some() {} };
        tokio::select! {
            answer = calls => answer,
            ((), ()) = async { tokio::join!(runner.run(), unheard) } => {
                Err(InvocationError::Dropped("the connection ended").into())
            }
        }
    }
}

/// The same DCs without keys, but for one of the home DC where it has to be made by us.
///
/// # Errors
/// If the exchange with a self-hosted server failed.
pub(crate) async fn fresh_keys(
    context: &Context,
    former: &Authorisation,
) -> Result<Authorisation, ExchangeError> {
    let mut keys = former.clone();
    for option in &mut keys.dcs {
        option.auth_key = None;
        if let Some(configured) = context.dcs.iter().find(|dc| dc.id == option.id)
            && let SocketAddr::V4(address) = configured.address
        {
            option.ipv4 = address;
        }
    }
    if let Some(server_key) = &context.server_key
        && let Some(home) = keys.home_mut()
    {
        home.auth_key = Some(create_auth_key(SocketAddr::V4(home.ipv4), server_key).await?);
    }
    Ok(keys)
}
