//! Reading lanes and dead letters.

use std::ops::Bound;

use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::Store;
use super::apply::dead_id_key;
use super::catalog;
use super::error::StoreError;
use super::gauges::LaneStats;
use super::key::KeyBytes;
use super::lane::{DeadFilter, DeadKey, DeadLetter, DeadRow, Lane, LaneKind, Task, TaskKey, TaskRow};
use super::read::{Live, hex, sled_rows};
use super::table::end_of;
use crate::base::{TaskId, Timestamp};

/// How many dead letters one call looks at: a narrow filter over many is read in several pages.
const LOOKED_AT: usize = 20_000;

fn lane_prefix(kind: LaneKind, group: Option<[u8; 16]>) -> Vec<u8> {
    let mut prefix = vec![catalog::TASKS.prefix];
    kind.write(&mut prefix);
    if let Some(group) = group {
        group.write(&mut prefix);
    }
    prefix
}

fn typed<P: DeserializeOwned>(key: TaskKey, row: TaskRow) -> Option<Task<P>> {
    match row.into_task(key) {
        Ok(task) => Some(task),
        Err(error) => {
            metrics::counter!("trunkline_store_rows_unreadable_total").increment(1);
            tracing::error!(lane = key.lane.kind.as_str(), number = key.number, %error, "a task does not fit its type");
            None
        }
    }
}

impl Store {
    /// Up to `limit` waiting tasks of a kind (of one group) after a place, in the order of lanes and numbers.
    /// Due or not: the caller looks at `due`.
    pub fn tasks<P: DeserializeOwned>(
        &self,
        kind: LaneKind,
        group: Option<[u8; 16]>,
        after: Option<TaskKey>,
        limit: usize,
    ) -> Result<Vec<Task<P>>, StoreError> {
        let durable = self.shared.durable_number();
        let live = self.live()?;
        self.guarded(|| {
            let prefix = lane_prefix(kind, group);
            let high = end_of(&prefix);
            let low = after.map_or(Bound::Included(prefix), |key| Bound::Excluded(key.row()));
            let mut tasks = Vec::new();
            for item in sled_rows(live.tree.range((low, high))) {
                if tasks.len() >= limit {
                    break;
                }
                let (key, row) = item?;
                let Some(place) = TaskKey::of_row(&key).filter(|place| place.number <= durable) else {
                    continue;
                };
                if let Some(row) = live.row::<TaskRow>(&catalog::TASKS, &key, row)? {
                    tasks.extend(typed(place, row));
                }
            }
            Ok(tasks)
        })
    }

    /// The first task of each lane of a group, up to `limit` lanes after the one given.
    pub fn lane_heads<P: DeserializeOwned>(
        &self,
        kind: LaneKind,
        group: [u8; 16],
        after: Option<Lane>,
        limit: usize,
    ) -> Result<Vec<Task<P>>, StoreError> {
        let mut heads: Vec<Task<P>> = Vec::new();
        let mut after = after.map(TaskKey::end_of);
        while heads.len() < limit {
            let Some(head) = self.tasks(kind, Some(group), after, 1)?.pop() else {
                break;
            };
            after = Some(TaskKey::end_of(head.key.lane));
            heads.push(head);
        }
        Ok(heads)
    }

    /// A waiting task by its place.
    pub fn task<P: DeserializeOwned>(&self, key: &TaskKey) -> Result<Option<Task<P>>, StoreError> {
        let live = self.live()?;
        self.guarded(|| {
            let row = live.typed::<TaskRow>(&catalog::TASKS, &key.row())?;
            Ok(row.and_then(|row| typed(*key, row)))
        })
    }

    /// Where a task waits, by its id; none if it is done, dead or unknown.
    pub fn task_place(&self, id: TaskId) -> Result<Option<TaskKey>, StoreError> {
        self.live()?;
        Ok(self.shared.gauges().place(id))
    }

    /// Word of every commit that enqueued or changed tasks of a kind.
    pub fn lane_signal(&self, kind: LaneKind) -> watch::Receiver<u64> {
        self.shared.signals[kind.index()].subscribe()
    }

    /// What waits in all lanes of a kind.
    pub fn lane_stats(&self, kind: LaneKind) -> LaneStats {
        self.shared.gauges().kind(kind)
    }

    /// What waits for one pair or endpoint.
    pub fn group_stats(&self, kind: LaneKind, group: [u8; 16]) -> LaneStats {
        self.shared.gauges().group(kind, group)
    }

    /// A dead letter by its task's id.
    pub fn dead_letter(&self, id: TaskId) -> Result<Option<DeadLetter>, StoreError> {
        let live = self.live()?;
        self.guarded(|| {
            let Some(key) = live.typed::<DeadKey>(&catalog::DEAD_IDS, &dead_id_key(id))? else {
                return Ok(None);
            };
            let row = live.typed::<DeadRow>(&catalog::DEAD_LETTERS, &key.row())?;
            Ok(row.map(|row| row.into_letter(key)))
        })
    }

    /// Dead letters, the latest first, from after the cursor on; with the cursor of the next page if there is one.
    pub fn dead_letters(
        &self,
        filter: &DeadFilter,
        cursor: Option<DeadKey>,
        limit: usize,
    ) -> Result<(Vec<DeadLetter>, Option<DeadKey>), StoreError> {
        let live = self.live()?;
        self.guarded(|| page(&live, filter, cursor, limit))
    }
}

fn page(
    live: &Live,
    filter: &DeadFilter,
    cursor: Option<DeadKey>,
    limit: usize,
) -> Result<(Vec<DeadLetter>, Option<DeadKey>), StoreError> {
    let since = filter.since.unwrap_or(Timestamp(i64::MIN));
    let low = DeadKey {
        at: since,
        id: TaskId::from_bytes([0; 16]),
    };
    let high = match cursor {
        Some(cursor) if cursor <= low => return Ok((Vec::new(), None)),
        Some(cursor) => Bound::Excluded(cursor.row()),
        None => end_of(&[catalog::DEAD_LETTERS.prefix]),
    };
    let rows = live.tree.range((Bound::Included(low.row()), high)).rev();
    let mut letters = Vec::new();
    let mut last = None;
    for (looked_at, item) in sled_rows(rows).enumerate() {
        if letters.len() >= limit || looked_at >= LOOKED_AT {
            return Ok((letters, last));
        }
        let (key, row) = item?;
        let Some(place) = DeadKey::of_row(&key) else {
            tracing::error!(key = %hex(&key), "the key of a dead letter does not fit its type");
            continue;
        };
        if let Some(row) = live.row::<DeadRow>(&catalog::DEAD_LETTERS, &key, row)?
            && filter.admits(&row)
        {
            letters.push(row.into_letter(place));
        }
        last = Some(place);
    }
    Ok((letters, None))
}
