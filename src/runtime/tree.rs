//! The tree as people see it: what is running, restarting, quarantined, since when, and what it last stumbled over.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, join_all};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::{oneshot, watch};

use super::mail::{Mail, Post};
use super::plan::Doing;
use crate::base::Timestamp;

/// What a child is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// Its start has not answered yet.
    Starting,
    /// It runs.
    Running,
    /// It was asked to end, or killed, and is not gone yet.
    Stopping,
    /// It crashed and will be started again after a pause.
    Restarting,
    /// It ended and is not to be started again by itself.
    Stopped,
    /// It crashed too often and waits for its release.
    Quarantined,
    /// Its supervisor did not say in time.
    Unknown,
}

impl From<Doing> for NodeState {
    fn from(doing: Doing) -> Self {
        match doing {
            Doing::Starting => Self::Starting,
            Doing::Running => Self::Running,
            Doing::Stopping => Self::Stopping,
            Doing::Waiting => Self::Restarting,
            Doing::Down => Self::Stopped,
            Doing::Quarantined => Self::Quarantined,
        }
    }
}

/// What a node of the tree is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeKind {
    /// A supervisor.
    Supervisor,
    /// An actor.
    Actor,
    /// A supervised future.
    Task,
}

/// One child and, if it is a supervisor, its children.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TreeNode {
    /// Its id among its siblings.
    pub id: String,
    /// What it is.
    pub kind: NodeKind,
    /// A supervisor's strategy: `one_for_one`, `one_for_all`, `rest_for_one` or `dynamic`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<String>,
    /// What it is doing.
    pub state: NodeState,
    /// Since when.
    pub since: Timestamp,
    /// How often it was started again, by this incarnation of its supervisor.
    pub restarts: u32,
    /// How many more are borne before it is quarantined, where each child has an intensity of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restarts_left: Option<u32>,
    /// What it last crashed of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// For how many milliseconds it has held a thread without a pause, where that is long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stuck_ms: Option<u64>,
    /// Messages that wait for it, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mailbox: Option<usize>,
    /// A supervisor's children in the order of their start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<TreeNode>,
}

impl TreeNode {
    /// The node at a path of ids below this one.
    pub fn find(&self, path: &[&str]) -> Option<&TreeNode> {
        let Some((first, rest)) = path.split_first() else {
            return Some(self);
        };
        self.children.iter().find(|child| child.id == *first)?.find(rest)
    }
}

/// What a supervisor says of itself and its children.
pub(super) struct View {
    pub(super) strategy: &'static str,
    pub(super) mailbox: usize,
    pub(super) children: Vec<Part>,
}

/// One child in a [`View`].
pub(super) struct Part {
    pub(super) node: TreeNode,
    /// Whom to ask for its children.
    pub(super) inside: Option<Post>,
}

/// Asks a supervisor for its view; `None` if it is gone or does not answer.
pub(super) async fn look(post: &Post) -> Option<View> {
    let (reply, view) = oneshot::channel();
    post.send(Mail::Look(reply)).ok()?;
    tokio::time::timeout(Duration::from_secs(2), view)
        .await
        .ok()?
        .ok()
}

/// A handle that takes snapshots of a tree. Cheap to clone; it can be made before its tree, so that a child
/// of the tree can show it.
#[derive(Clone, Default)]
pub struct Tree(Arc<watch::Sender<Option<(Post, Timestamp)>>>);

impl Tree {
    /// A handle for a tree that is yet to be started.
    pub fn new() -> Self {
        Self::default()
    }

    pub(super) fn grow(&self, top: Post) {
        self.0.send_replace(Some((top, Timestamp::now())));
    }

    /// The whole tree as it is now. Each supervisor answers for itself, so it is not one instant.
    pub async fn snapshot(&self) -> TreeNode {
        let top = self.0.borrow().clone();
        let (post, since) = top.unzip();
        let node = TreeNode {
            id: "root".to_owned(),
            kind: NodeKind::Supervisor,
            strategy: None,
            state: if post.is_some() {
                NodeState::Running
            } else {
                NodeState::Stopped
            },
            since: since.unwrap_or_else(Timestamp::now),
            restarts: 0,
            restarts_left: None,
            last_error: None,
            stuck_ms: None,
            mailbox: None,
            children: Vec::new(),
        };
        gather(node, post).await
    }
}

fn gather(mut node: TreeNode, inside: Option<Post>) -> BoxFuture<'static, TreeNode> {
    async move {
        let Some(post) = inside else { return node };
        match look(&post).await {
            Some(view) => {
                node.strategy = Some(view.strategy.to_owned());
                node.mailbox = Some(view.mailbox);
                node.children = join_all(
                    view.children
                        .into_iter()
                        .map(|part| gather(part.node, part.inside)),
                )
                .await;
            }
            None if node.state == NodeState::Running => node.state = NodeState::Unknown,
            None => {}
        }
        node
    }
    .boxed()
}
