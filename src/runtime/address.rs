//! A handle to an actor that survives the actor's restarts: whoever calls waits, then finds the new one.
//!
//! It does not promise that a message taken by an incarnation that then died was worked on: a cast may be
//! lost with its mailbox, a call answers [`CallError::Lost`].

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use ractor::{ActorRef, ActorStatus, Message, MessagingErr, RpcReplyPort};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

/// Why a message was not delivered or not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// There was no running actor within the patience; the message was not delivered.
    #[error("not running at the moment")]
    Absent,
    /// The actor took the message and ended without an answer; it may have acted.
    #[error("ended before it answered")]
    Lost,
    /// The actor took the message and did not answer in time; it may still act.
    #[error("did not answer in time")]
    TimedOut,
}

/// An address: set by each incarnation in its `pre_start`, used by everybody else.
pub struct Address<M: Message> {
    current: Arc<watch::Sender<Option<ActorRef<M>>>>,
    patience: Duration,
    timeout: Duration,
}

impl<M: Message> Clone for Address<M> {
    fn clone(&self) -> Self {
        Self {
            current: self.current.clone(),
            patience: self.patience,
            timeout: self.timeout,
        }
    }
}

impl<M: Message> Default for Address<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M: Message> Address<M> {
    /// An address that nobody lives at yet. Callers wait up to 5 seconds for somebody, and 30 for an answer.
    pub fn new() -> Self {
        Self {
            current: Arc::new(watch::Sender::new(None)),
            patience: Duration::from_secs(5),
            timeout: Duration::from_secs(30),
        }
    }

    /// The same address for a caller that waits this long for the actor to be there.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The same address for a caller that waits this long for an answer.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The actor that lives here from now on; called in its `pre_start`.
    pub fn set(&self, actor: ActorRef<M>) {
        self.current.send_replace(Some(actor));
    }

    /// Whether an actor is there that takes messages.
    pub fn is_present(&self) -> bool {
        self.current.borrow().as_ref().is_some_and(takes_messages)
    }

    /// Delivers a message; waits for the actor if it is being restarted.
    pub async fn cast(&self, message: M) -> Result<(), CallError> {
        self.deliver(message, Instant::now() + self.patience).await
    }

    /// Delivers a message if the actor is there now.
    pub fn try_cast(&self, message: M) -> Result<(), CallError> {
        let actor = self.current.borrow().clone().ok_or(CallError::Absent)?;
        actor.send_message(message).map_err(|_| CallError::Absent)
    }

    /// Delivers a message with a reply port in it and waits for the answer.
    pub async fn call<T, F>(&self, message: F) -> Result<T, CallError>
    where
        T: Send + 'static,
        F: FnOnce(RpcReplyPort<T>) -> M,
    {
        let (port, answer) = oneshot::channel();
        self.deliver(message(port.into()), Instant::now() + self.patience)
            .await?;
        within(self.timeout, answer)
            .await
            .ok_or(CallError::TimedOut)?
            .map_err(|_| CallError::Lost)
    }

    async fn deliver(&self, mut message: M, until: Instant) -> Result<(), CallError> {
        let mut changes = self.current.subscribe();
        loop {
            let actor = changes.borrow_and_update().clone();
            if let Some(actor) = actor {
                match actor.send_message(message) {
                    Ok(()) => return Ok(()),
                    Err(MessagingErr::SendErr(back)) => message = back,
                    Err(_) => return Err(CallError::Absent),
                }
            }
            match tokio::time::timeout_at(until, changes.changed()).await {
                Ok(Ok(())) => {}
                _ => return Err(CallError::Absent),
            }
        }
    }
}

fn takes_messages<M: Message>(actor: &ActorRef<M>) -> bool {
    actor.get_status() < ActorStatus::Draining
}

async fn within<T>(span: Duration, wait: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(span, wait).await.ok()
}
