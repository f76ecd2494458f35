//! Chats and users whom answers of calls showed: kept, so that they can be named.
//!
//! What updates tell of them is kept with the updates.

use super::peers;
use super::tables::{Peer, Peers};
use crate::base::SessionId;
use crate::model::ChatId;
use crate::store::{Batch, Store, StoreError};

/// Keeps what is new of them.
///
/// # Errors
/// If the store did not keep it.
pub(super) async fn keep(
    store: &Store,
    session: SessionId,
    found: Vec<(ChatId, Peer)>,
) -> Result<(), StoreError> {
    let mut batch = Batch::new();
    for (chat, found) in found {
        let key = (session, chat.0);
        let known = store.get::<Peers>(&key)?;
        let merged = peers::merge_answer(known.clone().unwrap_or_default(), found);
        if known.as_ref() != Some(&merged) {
            batch.put::<Peers>(&key, &merged);
        }
    }
    if batch.is_empty() {
        return Ok(());
    }
    store.commit(batch).await.map(drop)
}
