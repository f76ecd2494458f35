//! A connection for a call or two with an authorisation that no session's subtree runs: to try a key, or to end one.
//!
//! It keeps nothing. The same key must not be in use by a session at that moment: Telegram would end it.

use std::sync::Arc;
use std::time::Duration;

use grammers_client::session::SessionData;
use grammers_client::{Client, InvocationError, SenderPool};
use grammers_session::storages::MemorySession;

use super::params::params;
use super::session::Context;
use super::tables::Authorisation;

/// How long connection and calls may take together.
const PATIENCE: Duration = Duration::from_secs(30);

/// Carries calls out over a connection that ends with them.
///
/// # Errors
/// What the calls answered; no connection; no time left.
pub(super) async fn connection<T>(
    context: &Context,
    authorisation: &Authorisation,
    calls: impl AsyncFnOnce(Client) -> Result<T, InvocationError>,
) -> Result<T, InvocationError> {
    // It is never closed; if it were, nothing would cap the connections any more.
    let _turn = context.starts.acquire().await.ok();
    let options = authorisation.dcs.iter();
    let data = SessionData {
        home_dc: authorisation.home_dc,
        dc_options: options.map(|option| (option.id, option.clone())).collect(),
        ..SessionData::default()
    };
    let session = Arc::new(MemorySession::from(data));
    let pool = SenderPool::with_configuration(session, context.config.api_id, params(&context.config));
    let calls = tokio::time::timeout(PATIENCE, calls(Client::new(pool.handle)));
    tokio::select! {
        () = pool.runner.run() => Err(InvocationError::Dropped("the connection ended")),
        answer = calls => answer.unwrap_or(Err(InvocationError::Dropped("the call took too long"))),
    }
}
