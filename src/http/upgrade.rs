//! How a request becomes a conversation: a handler that answers 101 leaves here what shall be spoken, and the task of
//! the connection goes on with it as soon as hyper has let go of the socket.
//!
//! So a conversation keeps the place of its connection, ends with the listener, and no limit on handlers concerns it.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::upgrade::{OnUpgrade, Upgraded};
use tokio_util::sync::CancellationToken;

/// What is spoken over an upgraded connection until its end, or until it is told to stop.
type Conversation =
    Box<dyn FnOnce(Upgraded, CancellationToken) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// Where a handler leaves a conversation for its connection.
#[derive(Clone, Default)]
pub(super) struct Seat(Arc<Mutex<Option<(OnUpgrade, Conversation)>>>);

impl Seat {
    /// What was left, if a request was upgraded.
    fn take(&self) -> Option<(OnUpgrade, Conversation)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Speaks what was left, if something was; for the connection's task, after hyper is done with it.
    pub(super) async fn talk(&self, stop: CancellationToken) {
        let Some((upgraded, conversation)) = self.take() else {
            return;
        };
        match upgraded.await {
            Ok(connection) => conversation(connection, stop).await,
            Err(error) => tracing::debug!(%error, "a connection ended before it was upgraded"),
        }
    }
}

/// A request's wish to speak something else than HTTP from now on.
pub struct Upgrade {
    upgraded: OnUpgrade,
    seat: Seat,
}

impl Upgrade {
    /// The wish of a request, if it has one and its connection can fulfil it.
    pub(super) fn of(extensions: &mut hyper::http::Extensions) -> Option<Self> {
        let (upgraded, seat) = (extensions.remove(), extensions.remove());
        Some(Self {
            upgraded: upgraded?,
            seat: seat?,
        })
    }

    /// Fulfils the wish: after the answer 101, `conversation` has the connection.
    pub(super) fn accept<F, Fut>(self, conversation: F)
    where
        F: FnOnce(Upgraded, CancellationToken) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let conversation: Conversation =
            Box::new(move |connection, stop| Box::pin(conversation(connection, stop)));
        let mut seat = self.seat.0.lock().unwrap_or_else(PoisonError::into_inner);
        *seat = Some((self.upgraded, conversation));
    }
}
