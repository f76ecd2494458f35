//! Forgetting which message became which once that is old: else the map would grow for ever.
//!
//! An edit, a deletion or an answer that concerns an older message is not followed any more.

use std::sync::Arc;

use super::config::ForwardConfig;
use super::map::{AlbumsTable, BackTable, Fate, MapRow, MapTable, back_key};
use super::registry::Registry;
use crate::base::Timestamp;
use crate::runtime::{BoxError, TaskContext};
use crate::store::{SWEEP_EVERY, SWEEP_FIRST, Store, StoreError};

/// Sweeps every now and then.
pub(super) async fn run(
    registry: Arc<Registry>,
    config: Arc<ForwardConfig>,
    context: TaskContext,
) -> Result<(), BoxError> {
    let mut pause = SWEEP_FIRST;
    loop {
        tokio::select! {
            () = context.stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
        pause = SWEEP_EVERY;
        let before = Timestamp::now().minus(*config.remember);
        match sweep(&registry.store, before).await {
            Ok(0) => {}
            Ok(rows) => tracing::info!(rows, "the map of old messages was cleared"),
            Err(error) => tracing::warn!(%error, "the map of old messages could not be cleared"),
        }
    }
}

/// Removes what was copied, or was to be, before this time, unless it still waits.
async fn sweep(store: &Store, before: Timestamp) -> Result<usize, StoreError> {
    let waits = |task| Ok::<_, StoreError>(store.task_place(task)?.is_some());
    let rows = store
        .sweep::<MapTable>(|key, row, batch| {
            if row.since() >= before || matches!(row.fate, Fate::Waiting(task) if waits(task)?) {
                return Ok(());
            }
            batch.remove::<MapTable>(key);
            if let Some(copied) = row.copied() {
                batch.remove::<BackTable>(&back_key(copied.session, copied.chat, copied.message));
            }
            Ok(())
        })
        .await?;
    // Copies that were deleted, and those of deleted pairs: what they are the copies of is gone.
    let copies = store
        .sweep::<BackTable>(|key, back, batch| {
            if !store.contains::<MapTable>(&(back.pair, back.chat, back.message, back.part))? {
                batch.remove::<BackTable>(key);
            }
            Ok(())
        })
        .await?;
    let albums = store
        .sweep::<AlbumsTable>(|key, task, batch| {
            if task.made_at() < before && !waits(*task)? {
                batch.remove::<AlbumsTable>(key);
            }
            Ok(())
        })
        .await?;
    Ok(rows + copies + albums)
}

impl MapRow {
    /// When it became what it is, as far as is known.
    fn since(&self) -> Timestamp {
        match self.fate {
            Fate::Waiting(task) => task.made_at(),
            Fate::Copied(copied) => copied.at,
            Fate::Gone => self.at,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::super::dispatcher::lane;
    use super::super::map::{Copied, put_copy};
    use super::super::samples::{DESTINATION, SOURCE, message, pair};
    use super::*;
    use crate::base::{EventId, Owner, PairId, SessionId, TaskId};
    use crate::model::{Event, EventBody};
    use crate::store::{Batch, StoreConfig, TaskDraft};

    const DAY: Duration = Duration::from_secs(24 * 3600);
    /// What is remembered, in days.
    const KEPT: u32 = 7;
    const A_DAY: i32 = 300;
    const AT_ONCE: i32 = 20;

    fn size(folder: &Path) -> u64 {
        let entries = std::fs::read_dir(folder).expect("a folder").flatten();
        let sizes = entries.map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => size(&entry.path()),
            _ => entry.metadata().map_or(0, |it| it.len()),
        });
        sizes.sum()
    }

    async fn rows(store: &Store) -> u64 {
        let (map, back) = (store.count::<MapTable>(), store.count::<BackTable>());
        map.expect("counts") + back.expect("counts")
    }

    /// A day's messages: each an event, a task, a copy in the map; one in ten copies is deleted.
    async fn live(store: &Store, day: u32, at: Timestamp) {
        let session = SessionId::generate();
        let pair = pair(session);
        let first = i32::try_from(day).expect("a month") * A_DAY;
        for from in (first..first + A_DAY).step_by(AT_ONCE as usize) {
            let (mut arrive, mut copied) = (Batch::new(), Batch::new());
            for id in from..from + AT_ONCE {
                let source = message(id, "a message of a usual length, and some more words to it");
                let event = Event {
                    id: EventId::generate(),
                    at,
                    session: Some(session),
                    owner: Owner::admin(),
                    body: EventBody::MessageNew(source.clone()),
                };
                arrive.append(event, Some(id.to_be_bytes().to_vec()));
                let draft = TaskDraft {
                    id: TaskId::generate(),
                    due: at,
                    payload: &source,
                };
                arrive.enqueue(lane(pair.id), &draft);
                let place = Copied {
                    session,
                    chat: DESTINATION,
                    message: id,
                    at,
                };
                let row = put_copy(&mut copied, &pair, &source, place);
                if id % 10 == 0 {
                    let gone = MapRow {
                        fate: Fate::Gone,
                        ..row
                    };
                    copied.put::<MapTable>(&(pair.id, SOURCE, id, 0), &gone);
                }
            }
            let tasks = store.commit(arrive).await.expect("commits").tasks;
            for task in tasks {
                copied.complete(&task);
            }
            store.commit(copied).await.expect("commits");
        }
        let mut batch = Batch::new();
        batch.set_cursor("forward", *store.head().borrow());
        store.commit(batch).await.expect("commits");
    }

    /// Thirty days of traffic while the clock runs: what is kept stays what a week leaves.
    #[tokio::test]
    async fn a_month_of_traffic_takes_no_more_room_than_its_last_week() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(StoreConfig::in_folder(folder.path())).expect("opens");
        let begun = Timestamp::now();
        let mut after = Vec::new();
        for day in 0..30u32 {
            let at = begun.plus(DAY * day);
            store.set_ahead(DAY * day);
            live(&store, day, at).await;
            sweep(&store, at.minus(DAY * KEPT)).await.expect("sweeps");
            if (day + 1) % 10 == 0 {
                // What the journal may forget goes with the committer's next look.
                let oldest = |store: &Store| store.oldest_event().expect("reads");
                let wanted = u64::from(day - 3) * A_DAY as u64;
                while oldest(&store) < wanted {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                after.push((rows(&store).await, size(folder.path())));
            }
        }
        let figures: Vec<_> = after
            .iter()
            .map(|(rows, bytes)| (*rows, *bytes as f64 / f64::from(1 << 20)))
            .collect();
        println!("rows of the map and MB after 10, 20 and 30 days: {figures:.1?}");
        let week = u64::from(KEPT + 1) * A_DAY as u64 * 2;
        assert!(after.iter().all(|(rows, _)| *rows <= week), "{figures:?}");
        assert!(after[2].1 <= after[0].1 * 2, "{figures:?}");
    }

    #[tokio::test]
    async fn what_still_waits_is_kept_whatever_its_age() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(StoreConfig::in_folder(folder.path())).expect("opens");
        let id = PairId::generate();
        let (waiting, given_up) = (TaskId::generate(), TaskId::generate());
        let mut batch = Batch::new();
        let draft = TaskDraft {
            id: waiting,
            due: Timestamp(0),
            payload: &0,
        };
        batch.enqueue(lane(id), &draft);
        for (number, task) in [(1, waiting), (2, given_up)] {
            let row = MapRow::waiting(task, &message(number, "x"));
            batch.put::<MapTable>(&(id, SOURCE, number, 0), &row);
            batch.put::<AlbumsTable>(&(id, SOURCE, number.into()), &task);
        }
        store.commit(batch).await.expect("commits");
        let later = Timestamp::now().plus(DAY);
        assert_eq!(sweep(&store, later).await.expect("sweeps"), 2);
        assert!(store.contains::<MapTable>(&(id, SOURCE, 1, 0)).expect("reads"));
        assert!(store.contains::<AlbumsTable>(&(id, SOURCE, 1)).expect("reads"));
    }
}
