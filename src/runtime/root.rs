//! The top of a tree: starts it, says when it has failed, stops it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::drain::{Drained, unfinished};
use super::error::{Reason, StartError};
use super::launch::Incarnation;
use super::mail::{Line, Mail, News};
use super::plan::{Exit, Key, Serial};
use super::spec::{ChildSpec, SupervisorSpec};
use super::tree::Tree;
use super::warden::Warden;

/// A running tree. Dropping it kills what is left of it.
pub struct Root {
    tree: Tree,
    incarnation: Incarnation,
    ended: watch::Receiver<Option<Exit>>,
    warden: Warden,
}

impl Root {
    /// Starts a tree, children in order; answers when all have started, or with the first start that failed.
    pub async fn start(spec: SupervisorSpec) -> Result<Self, StartError> {
        Self::start_with(spec, Tree::new()).await
    }

    /// The same for a handle that children of the tree hold already.
    pub async fn start_with(spec: SupervisorSpec, tree: Tree) -> Result<Self, StartError> {
        let id: Arc<str> = "root".into();
        let failed = |reason| StartError::Failed {
            child: id.clone(),
            reason,
        };
        let warden = Warden::start()
            .await
            .map_err(|error| failed(Reason::of_error(&error)))?;
        let (post, mut mailbox) = mpsc::unbounded_channel();
        let line = Line {
            post,
            key: Key(0),
            serial: Serial(0),
            _hold: None,
        };
        let child = Arc::new(ChildSpec::supervisor(id.clone(), spec));
        let incarnation = Incarnation::launch(&child, line, &id, &warden);
        if let Some(inside) = incarnation.inside() {
            tree.grow(inside.clone());
        }
        let exit = loop {
            match mailbox.recv().await {
                Some(Mail::News(_, _, News::Started)) => break None,
                Some(Mail::News(_, _, News::Exited(exit))) => break Some(exit),
                Some(Mail::Order(_) | Mail::Look(_)) => {}
                None => break Some(Exit::Normal),
            }
        };
        if let Some(exit) = exit {
            warden.stop();
            return Err(failed(match exit {
                Exit::Crash(reason) => reason,
                Exit::Normal => Reason::new("ended before it was ready"),
            }));
        }
        let (end, ended) = watch::channel(None);
        let net = warden.clone();
        tokio::spawn(async move {
            let exit = tokio::select! {
                exit = exit_of(&mut mailbox) => exit,
                () = net.gone() => Exit::Crash(Reason::new("the warden of the actors ended")),
            };
            end.send_replace(Some(exit));
        });
        Ok(Self {
            tree,
            incarnation,
            ended,
            warden,
        })
    }

    /// A handle that takes snapshots of the tree.
    pub fn tree(&self) -> Tree {
        self.tree.clone()
    }

    /// Returns when the tree has ended without being asked to, with the reason.
    pub async fn failed(&self) -> Reason {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(Exit::Crash(reason))) => reason.clone(),
            _ => Reason::new("the tree ended"),
        }
    }

    /// Stops the tree: children in reverse order, each within its own deadline; what is left at `deadline` is killed.
    pub async fn stop(mut self, deadline: Duration) -> Drained {
        self.incarnation.stop();
        let done = timeout(deadline, self.ended.wait_for(Option::is_some))
            .await
            .is_ok();
        let unfinished = if done {
            Vec::new()
        } else {
            unfinished(&self.tree).await
        };
        self.incarnation.kill();
        self.warden.stop();
        Drained { unfinished }
    }
}

async fn exit_of(mailbox: &mut mpsc::UnboundedReceiver<Mail>) -> Exit {
    loop {
        match mailbox.recv().await {
            Some(Mail::News(_, _, News::Exited(exit))) => return exit,
            Some(_) => {}
            None => return Exit::Normal,
        }
    }
}
