//! Lanes: durable first-in-first-out queues of tasks, and the dead letters beside them.
//!
//! A lane is (kind, group, sub): the group is a pair or an endpoint, the sub whatever keeps its own order
//! within it (a chat; 0 if there is one order). A task's number is given by the committer and only
//! grows, so key order within a lane is the order of enqueueing. Postponing a task does not move it.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::bytes::Bytes;
use super::catalog;
use super::decode::decode;
use super::key::KeyBytes;
use crate::base::{TaskId, Timestamp};

/// What the tasks of a lane are.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum LaneKind {
    /// Messages to forward; a group is a pair.
    Forward,
    /// Deliveries to webhooks; a group is an endpoint.
    Webhook,
}

impl LaneKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Forward, Self::Webhook];

    /// The name, as metrics and the API show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Webhook => "webhook",
        }
    }

    /// The kind of a name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    pub(super) fn index(self) -> usize {
        match self {
            Self::Forward => 0,
            Self::Webhook => 1,
        }
    }
}

impl KeyBytes for LaneKind {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(match self {
            Self::Forward => 1,
            Self::Webhook => 2,
        });
    }

    fn read(input: &mut &[u8]) -> Option<Self> {
        match u8::read(input)? {
            1 => Some(Self::Forward),
            2 => Some(Self::Webhook),
            _ => None,
        }
    }
}

/// One queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Lane {
    /// What its tasks are.
    pub kind: LaneKind,
    /// Whose it is: the bytes of a pair's or an endpoint's id.
    pub group: [u8; 16],
    /// What keeps its own order within the group.
    pub sub: u64,
}

/// A task's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TaskKey {
    /// Its lane.
    pub lane: Lane,
    /// Its number, given by the committer.
    pub number: u64,
}

impl TaskKey {
    /// The place after all tasks of a lane: as `after`, it leads to the next lane.
    pub fn end_of(lane: Lane) -> Self {
        Self {
            lane,
            number: u64::MAX,
        }
    }

    pub(super) fn row(&self) -> Vec<u8> {
        let mut key = vec![catalog::TASKS.prefix];
        self.write(&mut key);
        key
    }

    pub(super) fn of_row(row: &[u8]) -> Option<Self> {
        let mut rest = row.get(1..)?;
        Self::read(&mut rest).filter(|_| rest.is_empty())
    }
}

impl KeyBytes for TaskKey {
    fn write(&self, out: &mut Vec<u8>) {
        self.lane.kind.write(out);
        (self.lane.group, self.lane.sub, self.number).write(out);
    }

    fn read(input: &mut &[u8]) -> Option<Self> {
        let (kind, group, sub, number) = KeyBytes::read(input)?;
        Some(Self {
            lane: Lane { kind, group, sub },
            number,
        })
    }
}

/// A task to be enqueued.
#[derive(Clone, Debug)]
pub struct TaskDraft<'a, P> {
    /// Its name. One that waits already is left as it is; one among the dead letters is taken out of them.
    pub id: TaskId,
    /// When it may be tried first.
    pub due: Timestamp,
    /// What to do.
    pub payload: &'a P,
}

/// A task that waits in its lane.
#[derive(Clone, Debug, PartialEq)]
pub struct Task<P> {
    /// Its place.
    pub key: TaskKey,
    /// Its name.
    pub id: TaskId,
    /// When it may be tried.
    pub due: Timestamp,
    /// How often it was tried.
    pub attempts: u32,
    /// When it came.
    pub enqueued_at: Timestamp,
    /// When it failed for the first time.
    pub first_failed_at: Option<Timestamp>,
    /// Why it failed last.
    pub last_error: Option<String>,
    /// What to do.
    pub payload: P,
}

/// How a task is stored, in its lane and among the dead letters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct TaskRow {
    pub id: TaskId,
    pub due: Timestamp,
    pub attempts: u32,
    pub enqueued_at: Timestamp,
    pub first_failed_at: Option<Timestamp>,
    pub last_error: Option<String>,
    pub payload: Bytes,
}

impl TaskRow {
    pub fn into_task<P: DeserializeOwned>(self, key: TaskKey) -> Result<Task<P>, rmp_serde::decode::Error> {
        Ok(Task {
            key,
            id: self.id,
            due: self.due,
            attempts: self.attempts,
            enqueued_at: self.enqueued_at,
            first_failed_at: self.first_failed_at,
            last_error: self.last_error,
            payload: decode(&self.payload.0)?,
        })
    }
}

/// Why a task was discarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadReason {
    /// A stable code.
    pub code: String,
    /// The reason in words; no message text.
    pub reason: String,
    /// What or whom it concerns: a pair, an endpoint, a delivery.
    pub subject: String,
}

/// A dead letter's place in the list, which goes by time. As text it is the list's cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeadKey {
    pub(super) at: Timestamp,
    pub(super) id: TaskId,
}

impl DeadKey {
    pub(super) fn row(&self) -> Vec<u8> {
        let mut key = vec![catalog::DEAD_LETTERS.prefix];
        (self.at, self.id).write(&mut key);
        key
    }

    pub(super) fn of_row(row: &[u8]) -> Option<Self> {
        let mut rest = row.get(1..)?;
        let (at, id) = KeyBytes::read(&mut rest)?;
        Some(Self { at, id }).filter(|_| rest.is_empty())
    }
}

impl std::fmt::Display for DeadKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.at.0, self.id)
    }
}

impl std::str::FromStr for DeadKey {
    type Err = crate::base::id::NotAnId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = crate::base::id::NotAnId { prefix: "task" };
        let (at, id) = text.split_once('.').ok_or(refuse.clone())?;
        Ok(Self {
            at: Timestamp(at.parse().map_err(|_| refuse)?),
            id: id.parse()?,
        })
    }
}

/// How a dead letter is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct DeadRow {
    pub task: TaskRow,
    pub lane: Lane,
    pub code: String,
    pub reason: String,
    pub subject: String,
}

/// A task that was discarded.
#[derive(Clone, Debug, PartialEq)]
pub struct DeadLetter {
    /// Its place in the list.
    pub key: DeadKey,
    /// The task.
    pub id: TaskId,
    /// The lane it was in.
    pub lane: Lane,
    /// A stable code.
    pub code: String,
    /// The reason in words.
    pub reason: String,
    /// What or whom it concerns.
    pub subject: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it failed for the first time.
    pub first_at: Timestamp,
    /// When it was discarded.
    pub last_at: Timestamp,
    /// The task's payload as stored.
    pub payload: Vec<u8>,
}

impl DeadRow {
    pub fn into_letter(self, key: DeadKey) -> DeadLetter {
        DeadLetter {
            key,
            id: self.task.id,
            lane: self.lane,
            code: self.code,
            reason: self.reason,
            subject: self.subject,
            attempts: self.task.attempts,
            first_at: self.task.first_failed_at.unwrap_or(key.at),
            last_at: key.at,
            payload: self.task.payload.0,
        }
    }
}

/// Which dead letters to list.
#[derive(Clone, Debug, Default)]
pub struct DeadFilter {
    /// Only of this kind of lane.
    pub kind: Option<LaneKind>,
    /// Only of this pair or endpoint.
    pub group: Option<[u8; 16]>,
    /// Only with this code.
    pub code: Option<String>,
    /// Only those discarded at or after this time.
    pub since: Option<Timestamp>,
}

impl DeadFilter {
    pub(super) fn admits(&self, row: &DeadRow) -> bool {
        self.kind.is_none_or(|kind| row.lane.kind == kind)
            && self.group.is_none_or(|group| row.lane.group == group)
            && self.code.as_ref().is_none_or(|code| row.code == *code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_lead_back_and_their_order_is_lane_then_number() {
        let lane = |sub| Lane {
            kind: LaneKind::Forward,
            group: [7; 16],
            sub,
        };
        let key = |sub, number| TaskKey {
            lane: lane(sub),
            number,
        };
        let mut keys = [key(1, 5), key(0, 9), TaskKey::end_of(lane(0)), key(1, 4)];
        keys.sort_by_key(TaskKey::row);
        assert_eq!(keys, [key(0, 9), TaskKey::end_of(lane(0)), key(1, 4), key(1, 5)]);
        assert_eq!(TaskKey::of_row(&keys[0].row()), Some(keys[0]));
        let dead = DeadKey {
            at: Timestamp(12),
            id: TaskId::generate(),
        };
        assert_eq!(DeadKey::of_row(&dead.row()), Some(dead));
        assert_eq!(dead.to_string().parse(), Ok(dead));
    }

    #[test]
    fn every_kind_has_its_own_index_name_and_byte() {
        for (at, kind) in LaneKind::ALL.into_iter().enumerate() {
            assert_eq!(kind.index(), at);
            assert_eq!(LaneKind::parse(kind.as_str()), Some(kind));
            let mut bytes = Vec::new();
            kind.write(&mut bytes);
            assert_eq!(LaneKind::read(&mut bytes.as_slice()), Some(kind));
        }
    }
}
