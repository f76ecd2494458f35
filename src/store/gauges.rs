//! Which tasks wait and where, how many, and since when (exact to the second): kept in memory by the committer, and
//! found anew when the database is opened.

use std::collections::{BTreeMap, HashMap};

use super::lane::{LaneKind, TaskKey};
use crate::base::{TaskId, Timestamp};

/// What waits in a lane, a group of lanes or all lanes of a kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneStats {
    /// How many tasks wait.
    pub depth: u64,
    /// When the oldest of them came, to the second.
    pub oldest: Option<Timestamp>,
}

/// A task came or went.
#[derive(Clone, Copy, Debug)]
pub(super) struct LaneChange {
    pub id: TaskId,
    pub key: TaskKey,
    pub enqueued_at: Timestamp,
    /// Whether it came, went, or neither (it was changed).
    pub by: i8,
}

#[derive(Default)]
struct Gauge {
    depth: u64,
    seconds: BTreeMap<i64, u64>,
}

/// The gauges of all lanes.
#[derive(Default)]
pub(super) struct Gauges {
    groups: HashMap<(LaneKind, [u8; 16]), Gauge>,
    waiting: HashMap<TaskId, TaskKey>,
}

impl Gauges {
    pub fn apply(&mut self, change: &LaneChange) {
        let key = (change.key.lane.kind, change.key.lane.group);
        let second = change.enqueued_at.as_secs();
        match change.by {
            0 => {}
            by if by > 0 => {
                self.waiting.insert(change.id, change.key);
                let gauge = self.groups.entry(key).or_default();
                gauge.depth += 1;
                *gauge.seconds.entry(second).or_default() += 1;
            }
            _ => {
                self.waiting.remove(&change.id);
                let Some(gauge) = self.groups.get_mut(&key) else {
                    return;
                };
                gauge.depth = gauge.depth.saturating_sub(1);
                if let Some(count) = gauge.seconds.get_mut(&second) {
                    *count -= 1;
                    if *count == 0 {
                        gauge.seconds.remove(&second);
                    }
                }
                if gauge.depth == 0 {
                    self.groups.remove(&key);
                }
            }
        }
    }

    /// Where a task waits.
    pub fn place(&self, id: TaskId) -> Option<TaskKey> {
        self.waiting.get(&id).copied()
    }

    /// Of one group.
    pub fn group(&self, kind: LaneKind, group: [u8; 16]) -> LaneStats {
        self.groups
            .get(&(kind, group))
            .map_or_else(LaneStats::default, |gauge| LaneStats {
                depth: gauge.depth,
                oldest: gauge
                    .seconds
                    .keys()
                    .next()
                    .map(|second| Timestamp::from_secs(*second)),
            })
    }

    /// Of all lanes of a kind.
    pub fn kind(&self, kind: LaneKind) -> LaneStats {
        let groups = self.groups.keys().filter(|(of, _)| *of == kind);
        groups.fold(LaneStats::default(), |sum, (_, group)| {
            let stats = self.group(kind, *group);
            LaneStats {
                depth: sum.depth + stats.depth,
                oldest: [sum.oldest, stats.oldest].into_iter().flatten().min(),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::lane::Lane;
    use super::*;

    #[test]
    fn depth_and_oldest_follow_what_comes_and_goes() {
        let mut gauges = Gauges::default();
        let id = |group: u8, secs: i64| {
            TaskId::from_bytes([group; 16].map(|byte: u8| byte.wrapping_add(secs as u8)))
        };
        let key = |group: u8| TaskKey {
            lane: Lane {
                kind: LaneKind::Webhook,
                group: [group; 16],
                sub: 0,
            },
            number: 1,
        };
        let mut change = |group: u8, secs: i64, by| {
            gauges.apply(&LaneChange {
                id: id(group, secs),
                key: key(group),
                enqueued_at: Timestamp(secs * 1000 + 7),
                by,
            });
            (
                gauges.kind(LaneKind::Webhook),
                gauges.group(LaneKind::Webhook, [1; 16]),
            )
        };
        change(1, 50, 1);
        change(1, 50, 1);
        let (all, one) = change(2, 40, 1);
        assert_eq!((all.depth, all.oldest), (3, Some(Timestamp(40_000))));
        assert_eq!((one.depth, one.oldest), (2, Some(Timestamp(50_000))));
        change(2, 40, -1);
        let (all, _) = change(1, 50, -1);
        assert_eq!((all.depth, all.oldest), (1, Some(Timestamp(50_000))));
        assert_eq!(change(1, 50, -1).0, LaneStats::default());
        change(3, 60, 1);
        assert_eq!(gauges.place(id(3, 60)), Some(key(3)));
        assert_eq!(gauges.place(id(1, 50)), None);
    }
}
