//! How many tasks wait, and since when: kept in memory by the committer, exact to the second.

use std::collections::{BTreeMap, HashMap};

use super::lane::LaneKind;
use crate::base::Timestamp;

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
    pub kind: LaneKind,
    pub group: [u8; 16],
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
}

impl Gauges {
    pub fn apply(&mut self, change: &LaneChange) {
        let key = (change.kind, change.group);
        let second = change.enqueued_at.as_secs();
        match change.by {
            0 => {}
            by if by > 0 => {
                let gauge = self.groups.entry(key).or_default();
                gauge.depth += 1;
                *gauge.seconds.entry(second).or_default() += 1;
            }
            _ => {
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
    use super::*;

    #[test]
    fn depth_and_oldest_follow_what_comes_and_goes() {
        let mut gauges = Gauges::default();
        let mut change = |group: u8, secs: i64, by| {
            gauges.apply(&LaneChange {
                kind: LaneKind::Webhook,
                group: [group; 16],
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
    }
}
