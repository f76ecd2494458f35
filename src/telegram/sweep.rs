//! Forgetting where old messages of private chats stand, and that old messages were deleted.
//!
//! A deletion that concerns an older message of such a chat is told of without its chat.

use std::sync::Arc;

use super::session::Context;
use super::tables::{Accounts, MessageChats, ToldEdits, Tombstones, Whereabouts};
use crate::base::Timestamp;
use crate::runtime::{BoxError, TaskContext};
use crate::store::{SWEEP_EVERY, SWEEP_FIRST, Store, StoreError};

/// Sweeps every now and then.
pub(super) async fn run(context: Arc<Context>, task: TaskContext) -> Result<(), BoxError> {
    let mut pause = SWEEP_FIRST;
    loop {
        tokio::select! {
            () = task.stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
        pause = SWEEP_EVERY;
        let known = |id| context.store.contains::<Accounts>(&id).unwrap_or(true);
        match context.limiter.forget_strangers(known).await {
            Ok(0) => {}
            Ok(sessions) => tracing::info!(sessions, "limits of sessions that are no more were cleared"),
            Err(error) => tracing::warn!(%error, "limits of sessions that are no more could not be cleared"),
        }
        let now = Timestamp::now();
        match sweep(&context.store, now.minus(*context.config.remember), now).await {
            Ok(0) => {}
            Ok(rows) => tracing::info!(rows, "the places of old messages were cleared"),
            Err(error) => tracing::warn!(%error, "the places of old messages could not be cleared"),
        }
    }
}

async fn sweep(store: &Store, before: Timestamp, now: Timestamp) -> Result<usize, StoreError> {
    let places = store
        .sweep::<MessageChats>(|key, place, batch| {
            match place {
                Whereabouts::Since(_, at) if *at < before.as_secs() => {
                    batch.remove::<MessageChats>(key);
                }
                // Of an earlier release: its time begins now.
                Whereabouts::Of(chat) => {
                    batch.put::<MessageChats>(key, &Whereabouts::since(*chat, now));
                }
                Whereabouts::Since(..) => {}
            }
            Ok(())
        })
        .await?;
    let deletions = store
        .sweep::<Tombstones>(|key, at, batch| {
            if *at < before {
                batch.remove::<Tombstones>(key);
            }
            Ok(())
        })
        .await?;
    let edits = store
        .sweep::<ToldEdits>(|key, told, batch| {
            if told.at < before {
                batch.remove::<ToldEdits>(key);
            }
            Ok(())
        })
        .await?;
    Ok(places + deletions + edits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::SessionId;
    use crate::model::ChatId;
    use crate::store::{Batch, StoreConfig};

    #[tokio::test]
    async fn what_is_old_goes_and_what_has_no_time_gets_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(StoreConfig::in_folder(folder.path())).expect("opens");
        let (session, chat) = (SessionId::generate(), ChatId(7));
        let (old, now) = (Timestamp::from_secs(1000), Timestamp::from_secs(5000));
        let mut batch = Batch::new();
        for number in 0..1000 {
            let place = match number % 4 {
                0 => Whereabouts::Of(chat),
                1 => Whereabouts::since(chat, now),
                _ => Whereabouts::since(chat, old),
            };
            batch.put::<MessageChats>(&(session, number), &place);
            let at = if number % 2 == 0 { old } else { now };
            batch.put::<Tombstones>(&(session, 0, number), &at);
        }
        store.commit(batch).await.expect("commits");
        let before = Timestamp::from_secs(4000);
        assert_eq!(sweep(&store, before, now).await.expect("sweeps"), 750 + 500);
        assert_eq!(store.count::<MessageChats>().expect("counts"), 500);
        assert_eq!(store.count::<Tombstones>().expect("counts"), 500);
        let kept = store.get::<MessageChats>(&(session, 4)).expect("reads");
        assert_eq!(kept.map(Whereabouts::chat), Some(chat));
        assert_eq!(sweep(&store, before, now).await.expect("sweeps"), 0);
        assert_eq!(
            sweep(&store, now.plus(std::time::Duration::from_secs(2)), now)
                .await
                .expect("sweeps"),
            1000
        );
    }

    #[test]
    fn places_of_an_earlier_release_are_read() {
        let (chat, now) = (ChatId(-5), Timestamp::from_secs(9));
        for (bytes, place) in [
            (rmp_serde::to_vec_named(&chat), Whereabouts::Of(chat)),
            (rmp_serde::to_vec_named(&(chat, 9)), Whereabouts::since(chat, now)),
        ] {
            let read: Whereabouts = rmp_serde::from_slice(&bytes.expect("written")).expect("is read");
            assert_eq!(read, place);
        }
    }
}
