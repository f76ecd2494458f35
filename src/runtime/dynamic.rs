//! The handle to a dynamic supervisor: start, terminate, restart and release children by their key.
//!
//! It survives the supervisor's restarts: an order waits a few seconds for the new incarnation. The children of the old
//! one are not there any more then.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use super::error::{Reason, StartError};
use super::mail::{Mail, Order, Post, Wish};
use super::spec::ChildSpec;
use super::tree::{TreeNode, look};

/// How long an order waits for the supervisor to be there.
const PATIENCE: Duration = Duration::from_secs(5);

/// A child that used up its intensity.
#[derive(Clone, Debug)]
pub struct Quarantine {
    /// Where in the tree the child is, ids joined by `/`.
    pub path: String,
    /// Its id.
    pub id: Arc<str>,
    /// What it last crashed of.
    pub reason: Reason,
    /// How often it was started again before.
    pub restarts: u32,
}

/// Hears of each quarantine. It runs in the supervisor's own loop, so it only hands the news on.
pub type OnQuarantine = Arc<dyn Fn(Quarantine) + Send + Sync>;

/// The handle. Cheap to clone.
#[derive(Clone)]
pub struct Dynamic(Arc<Seat>);

struct Seat {
    supervisor: watch::Sender<Option<Post>>,
    on_quarantine: Mutex<Option<OnQuarantine>>,
}

impl Dynamic {
    pub(super) fn new() -> Self {
        Self(Arc::new(Seat {
            supervisor: watch::Sender::new(None),
            on_quarantine: Mutex::new(None),
        }))
    }

    /// Starts a child and waits for its start to answer. If it fails the child is not kept.
    pub async fn start(&self, spec: ChildSpec) -> Result<(), StartError> {
        self.order(Wish::Start(Arc::new(spec))).await
    }

    /// Stops a child as its spec says and forgets it, whatever it was doing. Answers when it is gone, so a child
    /// does not wait for its own.
    pub async fn terminate(&self, id: &str) -> Result<(), StartError> {
        self.order(Wish::Terminate(id.into())).await
    }

    /// Stops a child and starts it again; that does not count as a crash. Answers with its start.
    pub async fn restart(&self, id: &str) -> Result<(), StartError> {
        self.order(Wish::Restart(id.into())).await
    }

    /// Starts a quarantined child again, with a clean record. Answers with its start; if that fails, it is
    /// restarted like any other child.
    pub async fn release(&self, id: &str) -> Result<(), StartError> {
        self.order(Wish::Release(id.into())).await
    }

    /// The children there are, without what is below them; empty while the supervisor is not there.
    pub async fn children(&self) -> Vec<TreeNode> {
        let post = self.0.supervisor.borrow().clone();
        match post {
            Some(post) => look(&post).await.map_or_else(Vec::new, |view| {
                view.children.into_iter().map(|part| part.node).collect()
            }),
            None => Vec::new(),
        }
    }

    /// Says who hears of quarantines.
    pub fn on_quarantine(&self, hears: OnQuarantine) {
        *self
            .0
            .on_quarantine
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(hears);
    }

    pub(super) fn quarantined(&self, quarantine: Quarantine) {
        let hears = self
            .0
            .on_quarantine
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let path = quarantine.path.clone();
        let told = catch_unwind(AssertUnwindSafe(|| hears.map(|hears| hears(quarantine))));
        if told.is_err() {
            tracing::error!(child = %path, "whoever hears of quarantines panicked");
        }
    }

    /// A new incarnation of the supervisor takes orders from now on, until the guard is dropped.
    pub(super) fn occupy(&self, post: Post) -> Occupied {
        self.0.supervisor.send_replace(Some(post.clone()));
        Occupied(self.clone(), post)
    }

    async fn order(&self, wish: Wish) -> Result<(), StartError> {
        let mut seat = self.0.supervisor.subscribe();
        let present = seat.wait_for(Option::is_some);
        let post = match tokio::time::timeout(PATIENCE, present).await {
            Ok(Ok(post)) => post.clone().ok_or(StartError::Unavailable)?,
            _ => return Err(StartError::Unavailable),
        };
        let (reply, answer) = oneshot::channel();
        post.send(Mail::Order(Box::new(Order { wish, reply })))
            .map_err(|_| StartError::Unavailable)?;
        answer.await.unwrap_or(Err(StartError::Unavailable))
    }
}

/// The seat as long as an incarnation of the supervisor holds it.
pub(super) struct Occupied(Dynamic, Post);

impl Drop for Occupied {
    fn drop(&mut self) {
        self.0.0.supervisor.send_if_modified(|current| {
            let mine = current.as_ref().is_some_and(|post| post.same_channel(&self.1));
            if mine {
                *current = None;
            }
            mine
        });
    }
}
