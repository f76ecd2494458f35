//! The dead letters of every lane: looked at, put back, dropped.
//!
//! What a task was about is its domain's business; this view shows what every lane says of a task:
//! where it was, why it was discarded, and its kind if the task's record has such a field.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::{PairId, TaskId, Timestamp};
use crate::store::{Batch, DeadFilter, DeadKey, DeadLetter, LaneKind, Store, StoreError, decode};

/// How many dead letters one commit changes.
const CHUNK: usize = 50;

/// A dead letter as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct DeadItem {
    /// The task.
    pub id: TaskId,
    /// The kind of lane it was in.
    pub lane: LaneKind,
    /// What it was to do, as its domain calls it.
    pub kind: String,
    /// Why it was discarded, in words.
    pub reason: String,
    /// Why it was discarded, as a stable code.
    pub code: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it failed for the first time.
    pub first_at: Timestamp,
    /// When it was discarded.
    pub last_at: Timestamp,
    /// What or whom it concerns.
    pub subject: String,
}

/// Which dead letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadQuery {
    /// Only of this kind of lane.
    pub lane: Option<LaneKind>,
    /// Only with this code.
    pub code: Option<String>,
    /// Only of this pair.
    pub pair: Option<PairId>,
    /// Only those discarded at or after this time.
    pub since: Option<Timestamp>,
}

impl DeadQuery {
    fn filter(&self) -> DeadFilter {
        DeadFilter {
            kind: self.lane,
            group: self.pair.map(PairId::to_bytes),
            code: self.code.clone(),
            since: self.since,
        }
    }
}

/// The handle to the dead letters. Cheap to clone.
#[derive(Clone)]
pub struct DeadLetters {
    store: Store,
}

#[derive(Clone, Copy)]
enum Change {
    Requeue,
    Drop,
}

impl DeadLetters {
    /// The dead letters of a store, which need not be open yet.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Up to `limit` of them, the latest first, from after the cursor on.
    pub fn list(
        &self,
        query: &DeadQuery,
        cursor: Option<DeadKey>,
        limit: usize,
    ) -> Result<(Vec<DeadItem>, Option<DeadKey>), StoreError> {
        let (letters, next) = self.store.dead_letters(&query.filter(), cursor, limit)?;
        Ok((letters.into_iter().map(item).collect(), next))
    }

    /// Puts these back into their lanes, due at once; how many of them there were.
    pub async fn requeue(&self, ids: &[TaskId]) -> Result<u64, StoreError> {
        self.change_named(ids, Change::Requeue).await
    }

    /// Forgets these; how many of them there were.
    pub async fn drop(&self, ids: &[TaskId]) -> Result<u64, StoreError> {
        self.change_named(ids, Change::Drop).await
    }

    /// Puts all that match back into their lanes; how many there were.
    pub async fn requeue_all(&self, query: &DeadQuery) -> Result<u64, StoreError> {
        self.change_all(query, Change::Requeue).await
    }

    /// Forgets all that match; how many there were.
    pub async fn drop_all(&self, query: &DeadQuery) -> Result<u64, StoreError> {
        self.change_all(query, Change::Drop).await
    }

    async fn change_named(&self, ids: &[TaskId], change: Change) -> Result<u64, StoreError> {
        let mut changed = 0;
        for chunk in ids.chunks(CHUNK) {
            let mut known = Vec::with_capacity(chunk.len());
            for id in chunk {
                if self.store.dead_letter(*id)?.is_some() {
                    known.push(*id);
                }
            }
            changed += self.commit(&known, change).await?;
        }
        Ok(changed)
    }

    /// Goes through the list once, so that one that dies anew meanwhile is not taken a second time.
    async fn change_all(&self, query: &DeadQuery, change: Change) -> Result<u64, StoreError> {
        let filter = query.filter();
        let (mut changed, mut cursor) = (0, None);
        loop {
            let (letters, next) = self.store.dead_letters(&filter, cursor, CHUNK)?;
            let ids: Vec<TaskId> = letters.iter().map(|letter| letter.id).collect();
            changed += self.commit(&ids, change).await?;
            match next {
                Some(next) => cursor = Some(next),
                None => return Ok(changed),
            }
        }
    }

    async fn commit(&self, ids: &[TaskId], change: Change) -> Result<u64, StoreError> {
        if ids.is_empty() {
            return Ok(0);
        }
        let mut batch = Batch::new();
        for id in ids {
            match change {
                Change::Requeue => batch.requeue(*id),
                Change::Drop => batch.drop_dead(*id),
            };
        }
        self.store.commit(batch).await?;
        Ok(ids.len() as u64)
    }
}

fn item(letter: DeadLetter) -> DeadItem {
    DeadItem {
        id: letter.id,
        lane: letter.lane.kind,
        kind: kind_of(&letter.payload).unwrap_or_else(|| letter.lane.kind.as_str().to_owned()),
        reason: letter.reason,
        code: letter.code,
        attempts: letter.attempts,
        first_at: letter.first_at,
        last_at: letter.last_at,
        subject: letter.subject,
    }
}

/// The field `kind` of a task's record, if it has one that is a text.
fn kind_of(payload: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Kind {
        kind: String,
    }
    decode::<Kind>(payload).ok().map(|record| record.kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_a_record_is_found_among_other_fields() {
        #[derive(Serialize)]
        struct Record {
            number: u64,
            kind: &'static str,
            list: Vec<u8>,
        }
        let record = Record {
            number: 3,
            kind: "message.new",
            list: vec![1, 2],
        };
        let bytes = rmp_serde::to_vec_named(&record).expect("serialises");
        assert_eq!(kind_of(&bytes), Some("message.new".to_owned()));
        assert_eq!(
            kind_of(&rmp_serde::to_vec_named(&vec![1]).expect("serialises")),
            None
        );
        assert_eq!(kind_of(&[]), None);
    }
}
