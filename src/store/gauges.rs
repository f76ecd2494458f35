//! Which tasks wait and where, how many, and since when (exact to the second): kept in memory by the committer, and
//! found anew when the database is opened.

use std::collections::{BTreeMap, HashMap};

use super::lane::{Lane, LaneKind, TaskKey};
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
    seconds: BTreeMap<u32, u64>,
}

/// Where a task waits, and since which second. There may be millions of these: 16 bytes beside the id.
#[derive(Clone, Copy)]
struct Place {
    number: u64,
    /// See [`Lanes`].
    lane: u32,
    second: u32,
}

/// Lanes by small numbers, for as long as something waits in them.
#[derive(Default)]
struct Lanes {
    numbers: HashMap<Lane, u32>,
    /// Each with how many tasks wait in it.
    lanes: Vec<(Lane, u64)>,
    free: Vec<u32>,
}

impl Lanes {
    fn come(&mut self, lane: Lane) -> u32 {
        let (lanes, free) = (&mut self.lanes, &mut self.free);
        let number = *self.numbers.entry(lane).or_insert_with(|| {
            free.pop().unwrap_or_else(|| {
                lanes.push((lane, 0));
                u32::try_from(lanes.len() - 1).expect("lanes that are in memory are fewer")
            })
        });
        let slot = &mut self.lanes[number as usize];
        *slot = (lane, slot.1 + 1);
        number
    }

    fn go(&mut self, number: u32) {
        let (lane, count) = &mut self.lanes[number as usize];
        *count -= 1;
        if *count == 0 {
            self.numbers.remove(lane);
            self.free.push(number);
        }
    }

    fn of(&self, number: u32) -> Lane {
        self.lanes[number as usize].0
    }
}

/// The gauges of all lanes.
#[derive(Default)]
pub(super) struct Gauges {
    groups: HashMap<(LaneKind, [u8; 16]), Gauge>,
    waiting: HashMap<TaskId, Place>,
    lanes: Lanes,
}

/// The second of a time, as far as 32 bits go.
fn second_of(at: Timestamp) -> u32 {
    u32::try_from(at.as_secs().max(0)).unwrap_or(u32::MAX)
}

impl Gauges {
    pub fn apply(&mut self, change: &LaneChange) {
        match change.by {
            0 => {}
            by if by > 0 => self.come(change),
            // Numbers are given once, over all lanes.
            _ if self.waiting.get(&change.id).map(|place| place.number) == Some(change.key.number) => {
                self.go(change.id);
            }
            _ => {}
        }
    }

    fn come(&mut self, change: &LaneChange) {
        // One that waits already has its place.
        if self.waiting.contains_key(&change.id) {
            return;
        }
        let lane = change.key.lane;
        let place = Place {
            number: change.key.number,
            lane: self.lanes.come(lane),
            second: second_of(change.enqueued_at),
        };
        self.waiting.insert(change.id, place);
        let gauge = self.groups.entry((lane.kind, lane.group)).or_default();
        gauge.depth += 1;
        *gauge.seconds.entry(place.second).or_default() += 1;
    }

    fn go(&mut self, id: TaskId) {
        let Some(place) = self.waiting.remove(&id) else {
            return;
        };
        let lane = self.lanes.of(place.lane);
        self.lanes.go(place.lane);
        let key = (lane.kind, lane.group);
        let Some(gauge) = self.groups.get_mut(&key) else {
            return;
        };
        gauge.depth = gauge.depth.saturating_sub(1);
        if let Some(count) = gauge.seconds.get_mut(&place.second) {
            *count -= 1;
            if *count == 0 {
                gauge.seconds.remove(&place.second);
            }
        }
        if gauge.depth == 0 {
            self.groups.remove(&key);
        }
    }

    /// Forgets the task at a place whose row cannot be read. It looks through all that wait, but opens none.
    pub fn forget(&mut self, key: &TaskKey) {
        let lanes = &self.lanes;
        let there = |place: &Place| place.number == key.number && lanes.of(place.lane) == key.lane;
        let found = self.waiting.iter().find(|(_, place)| there(place));
        if let Some(id) = found.map(|(id, _)| *id) {
            self.go(id);
        }
    }

    /// Where a task waits.
    pub fn place(&self, id: TaskId) -> Option<TaskKey> {
        let place = self.waiting.get(&id)?;
        Some(TaskKey {
            lane: self.lanes.of(place.lane),
            number: place.number,
        })
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
                    .map(|second| Timestamp::from_secs(i64::from(*second))),
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
    use super::*;

    #[test]
    fn depth_and_oldest_follow_what_comes_and_goes() {
        let mut gauges = Gauges::default();
        let id = |number: u64| TaskId::from_bytes(u128::from(number).to_be_bytes());
        let key = |group: u8, number: u64| TaskKey {
            lane: Lane {
                kind: LaneKind::Webhook,
                group: [group; 16],
                sub: 0,
            },
            number,
        };
        let mut change = |group: u8, number: u64, secs: i64, by| {
            gauges.apply(&LaneChange {
                id: id(number),
                key: key(group, number),
                enqueued_at: Timestamp(secs * 1000 + 7),
                by,
            });
            (
                gauges.kind(LaneKind::Webhook),
                gauges.group(LaneKind::Webhook, [1; 16]),
            )
        };
        change(1, 1, 50, 1);
        change(1, 2, 50, 1);
        let (all, one) = change(2, 3, 40, 1);
        assert_eq!((all.depth, all.oldest), (3, Some(Timestamp(40_000))));
        assert_eq!((one.depth, one.oldest), (2, Some(Timestamp(50_000))));
        change(2, 3, 40, -1);
        let (all, _) = change(1, 1, 50, -1);
        assert_eq!((all.depth, all.oldest), (1, Some(Timestamp(50_000))));
        assert_eq!(change(1, 1, 50, -1).0.depth, 1, "it went already");
        assert_eq!(change(1, 2, 50, -1).0, LaneStats::default());
        change(3, 4, 60, 1);
        assert_eq!(gauges.place(id(4)), Some(key(3, 4)));
        assert_eq!(gauges.place(id(1)), None);
        gauges.forget(&key(3, 5));
        gauges.forget(&key(2, 4));
        assert_eq!(gauges.kind(LaneKind::Webhook).depth, 1, "those wait nowhere");
        gauges.forget(&key(3, 4));
        assert_eq!(gauges.kind(LaneKind::Webhook), LaneStats::default());
        assert_eq!(gauges.place(id(4)), None);
    }

    #[test]
    fn a_waiting_task_takes_half_a_line_of_memory_and_lanes_go_with_their_last() {
        assert!(size_of::<(TaskId, Place)>() <= 32);
        let mut gauges = Gauges::default();
        for round in 0..3 {
            let mut change = |number: u64, by| {
                let lane = Lane {
                    kind: LaneKind::Forward,
                    group: [1; 16],
                    sub: number,
                };
                let key = TaskKey { lane, number };
                let id = TaskId::from_bytes(u128::from(number).to_be_bytes());
                gauges.apply(&LaneChange {
                    id,
                    key,
                    enqueued_at: Timestamp(round),
                    by,
                });
                assert_eq!(gauges.place(id), (by > 0).then_some(key));
            };
            (0..1000).for_each(|number| change(number, 1));
            (0..1000).for_each(|number| change(number, -1));
            assert!(gauges.lanes.numbers.is_empty());
            assert_eq!(gauges.lanes.lanes.len(), 1000);
        }
    }
}
