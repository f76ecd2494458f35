//! What a stop left behind. The stop itself is the tree's: reverse order, a deadline a child, then the kill.

use super::tree::{NodeState, Tree, TreeNode};

/// How a stop went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drained {
    /// The paths of the children that had not ended at the deadline and were killed.
    pub unfinished: Vec<String>,
}

impl Drained {
    /// Whether every child ended in time.
    pub fn is_clean(&self) -> bool {
        self.unfinished.is_empty()
    }
}

/// The leaves of the tree that have not ended.
pub(super) async fn unfinished(tree: &Tree) -> Vec<String> {
    let mut left = Vec::new();
    collect(&tree.snapshot().await, "", &mut left);
    left
}

fn collect(node: &TreeNode, above: &str, left: &mut Vec<String>) {
    let path = format!("{above}/{}", node.id);
    let gone = matches!(
        node.state,
        NodeState::Stopped | NodeState::Quarantined | NodeState::Restarting
    );
    if node.children.is_empty() && !gone {
        left.push(path);
        return;
    }
    for child in &node.children {
        collect(child, &path, left);
    }
}
