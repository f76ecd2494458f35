//! Forgetting what a session has learned of its account: chats, positions, numbers of messages.

use super::tables::{
    HeldMessages, HighWater, LeftOut, MessageChats, Peer, Peers, ToldEdits, Tombstones, UpdateStates,
};
use crate::base::SessionId;
use crate::store::{Batch, Scan, Store, StoreError, Table};

/// Rows that are removed in one commit.
const AT_ONCE: usize = 64;

/// Removes everything learned; the record and its keys stay.
///
/// # Errors
/// If the store did not keep it; what is left is removed by the next try.
pub(crate) async fn learned(store: &Store, id: SessionId) -> Result<(), StoreError> {
    clear::<Peers>(store, id).await?;
    clear::<UpdateStates>(store, id).await?;
    clear::<HighWater>(store, id).await?;
    clear::<MessageChats>(store, id).await?;
    clear::<LeftOut>(store, id).await?;
    clear::<HeldMessages>(store, id).await?;
    clear::<ToldEdits>(store, id).await?;
    clear::<Tombstones>(store, id).await
}

/// Removes the chats and users, which bear names; how far each chat is stored stays, and of which groups it was told that
/// they moved, or that the account left them.
///
/// # Errors
/// If the store did not keep it; what is left is removed by the next try.
pub(crate) async fn peers(store: &Store, id: SessionId) -> Result<(), StoreError> {
    let rows = store.scan::<Peers>(Scan::prefix(&id), usize::MAX)?;
    for rows in rows.chunks(AT_ONCE) {
        let mut batch = Batch::new();
        for (key, peer) in rows {
            if peer.migrated || peer.left {
                let bare = Peer {
                    kind: peer.kind,
                    migrated: peer.migrated,
                    left: peer.left,
                    ..Peer::default()
                };
                batch.put::<Peers>(key, &bare);
            } else {
                batch.remove::<Peers>(key);
            }
        }
        store.commit(batch).await?;
    }
    Ok(())
}

async fn clear<T: Table>(store: &Store, id: SessionId) -> Result<(), StoreError> {
    loop {
        let rows = store.scan::<T>(Scan::prefix(&id), AT_ONCE)?;
        if rows.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::new();
        for (key, _) in &rows {
            batch.remove::<T>(key);
        }
        store.commit(batch).await?;
    }
}
