//! Loops among pairs: whether one more would let a message come back to where it began.
//!
//! Pure. A place is known by its chat; a private chat has another number on each side of it, so it
//! is known by both users where the own one is known.

use std::collections::{HashMap, HashSet};

use crate::base::{PairId, SessionId};
use crate::model::ChatId;

/// A chat, the same for all sessions that see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Node {
    /// A channel, supergroup or basic group: its number is everybody's.
    Shared(ChatId),
    /// A conversation of two users, the smaller number first.
    Between(i64, i64),
    /// A private chat of a session whose user is not known.
    Private(SessionId, ChatId),
}

impl Node {
    pub(super) fn of(session: SessionId, own: Option<i64>, chat: ChatId) -> Self {
        match own {
            _ if !chat.is_user() => Self::Shared(chat),
            Some(own) => Self::Between(own.min(chat.0), own.max(chat.0)),
            None => Self::Private(session, chat),
        }
    }
}

/// The pairs by way of which messages would come back to `source`, if `edges` and one more from
/// `source` to `destination` close a loop.
pub(super) fn way_back(
    edges: &[(Node, Node, PairId)],
    source: Node,
    destination: Node,
) -> Option<Vec<PairId>> {
    let mut onward: HashMap<Node, Vec<(Node, PairId)>> = HashMap::new();
    for (from, to, pair) in edges {
        onward.entry(*from).or_default().push((*to, *pair));
    }
    let mut seen = HashSet::new();
    let mut ahead = vec![(destination, Vec::new())];
    while let Some((node, way)) = ahead.pop() {
        if node == source {
            return Some(way);
        }
        if seen.insert(node) {
            for (next, pair) in onward.get(&node).into_iter().flatten() {
                let mut way = way.clone();
                way.push(*pair);
                ahead.push((*next, way));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(id: i64) -> Node {
        Node::Shared(ChatId::channel(id))
    }

    fn edge(from: i64, to: i64) -> (Node, Node, PairId) {
        (chat(from), chat(to), PairId::from_bytes([to as u8; 16]))
    }

    fn way(edges: &[(Node, Node, PairId)], from: i64, to: i64) -> Option<usize> {
        way_back(edges, chat(from), chat(to)).map(|way| way.len())
    }

    #[test]
    fn loops_of_one_two_and_three_pairs_are_seen() {
        assert_eq!(way(&[], 1, 1), Some(0));
        assert_eq!(way(&[edge(1, 2)], 2, 1), Some(1));
        let edges = [edge(1, 2), edge(2, 3)];
        assert_eq!(way(&edges, 3, 1), Some(2));
        assert_eq!(way(&edges, 1, 3), None);
        assert_eq!(way(&edges, 3, 4), None);
    }

    #[test]
    fn a_loop_elsewhere_is_not_this_ones_and_does_not_hang_the_search() {
        assert_eq!(way(&[edge(1, 2), edge(2, 1)], 5, 1), None);
    }

    #[test]
    fn a_private_chat_is_one_place_from_both_sides() {
        let (one, two) = (SessionId::generate(), SessionId::generate());
        let here = Node::of(one, Some(10), ChatId::user(20));
        let there = Node::of(two, Some(20), ChatId::user(10));
        assert_eq!(here, there);
        assert_ne!(Node::of(one, None, ChatId::user(20)), here);
        assert_eq!(
            Node::of(one, None, ChatId::group(7)),
            Node::of(two, Some(3), ChatId::group(7))
        );
    }
}
