//! Chats and users whom answers of calls showed: kept, so that they can be named.
//!
//! What updates tell of them is kept with the updates, in turns with this.

use super::link::Link;
use super::peers;
use super::tables::{Peer, Peers};
use crate::model::ChatId;
use crate::store::{Batch, Store, StoreError};

/// How an answer is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// It may be older than what the updates have told since: it brings no membership back, and takes none away.
    Passing,
    /// It was asked for to know how the chats stand.
    Asked,
}

/// Keeps what is new of them.
///
/// # Errors
/// If the store did not keep it.
pub(super) async fn keep(
    store: &Store,
    link: &Link,
    found: Vec<(ChatId, Peer)>,
    trust: Trust,
) -> Result<(), StoreError> {
    let _turn = link.turn.lock().await;
    let mut batch = Batch::new();
    for (chat, found) in found {
        let key = (link.id, chat.0);
        let known = store.get::<Peers>(&key)?;
        let merged = match &known {
            Some(known) => {
                let returns = found.member && (trust == Trust::Asked || !known.left);
                let member = known.member || returns;
                peers::merge(known.clone(), Peer { member, ..found })
            }
            None => peers::merge(Peer::default(), found),
        };
        if known.as_ref() != Some(&merged) {
            batch.put::<Peers>(&key, &merged);
        }
    }
    if batch.is_empty() {
        return Ok(());
    }
    store.commit(batch).await.map(drop)
}
