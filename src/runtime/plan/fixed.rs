//! Ordered starts, and the group failures of one_for_all and rest_for_one.
//!
//! A group fails once: from the first failure until its members are all down, further ends of members are part of it.

use std::time::Duration;

use super::child::{After, Phase};
use super::machine::{Plan, Stage};
use super::{Action, Alarm, Key, Serial};
use crate::runtime::error::Reason;

/// What the children are doing together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    Idle,
    /// Those from `from` on are being stopped, last first; then there is a pause.
    Stopping {
        from: Key,
        pause: Duration,
    },
    /// They are down, and will be started when the timer is due.
    Waiting {
        from: Key,
    },
    /// They are being started one after the other; this one is on.
    Starting {
        at: Key,
    },
}

impl Plan {
    /// A child failed, and all from `from` on are to be started again.
    pub(super) fn group_failed(&mut self, key: Key, from: Key, reason: &Reason) {
        self.enter(key, Phase::Down);
        if let Group::Stopping { from: first, .. } = self.group
            && key >= first
        {
            return self.stop_group();
        }
        if !self.window.count(self.now, self.intensity) {
            return self.give_up(key, reason);
        }
        let pause = self.next_pause(key);
        self.out.push(Action::Restarting(key, pause));
        self.leave_group();
        self.group = Group::Stopping { from, pause };
        self.stop_group();
    }

    /// Goes on with the stop of the group: last first, the next one when the one before is gone.
    pub(super) fn stop_group(&mut self) {
        let Group::Stopping { from, pause } = self.group else {
            return;
        };
        let last = self
            .children
            .range_mut(from..)
            .rev()
            .find(|(_, child)| child.incarnation().is_some());
        if let Some((&key, child)) = last {
            match &mut child.phase {
                Phase::Starting(serial) | Phase::Running(serial) => {
                    let serial = *serial;
                    self.stop(key, serial, After::Rest);
                }
                Phase::Stopping { after, .. } => *after = After::Rest,
                Phase::Down | Phase::Waiting | Phase::Quarantined => {}
            }
            return;
        }
        if pause.is_zero() {
            return self.next_start(from);
        }
        let serial = self.serial();
        self.group = Group::Waiting { from };
        self.group_timer = Some(serial);
        self.window.hold(self.now);
        self.out.push(Action::Arm(Alarm { key: None, serial }, pause));
    }

    /// The group's pause is over.
    pub(super) fn group_due(&mut self, serial: Serial) {
        if let Group::Waiting { from } = self.group
            && self.group_timer == Some(serial)
        {
            self.leave_group();
            self.next_start(from);
        }
    }

    /// Starts the first child from `from` on that is down; when there is none, all have started.
    pub(super) fn next_start(&mut self, from: Key) {
        let next = self
            .children
            .range(from..)
            .find(|(_, child)| child.phase == Phase::Down);
        if let Some((&key, _)) = next {
            self.group = Group::Starting { at: key };
            return self.spawn(key);
        }
        self.group = Group::Idle;
        if self.stage == Stage::Starting {
            self.stage = Stage::Serving;
            self.out.push(Action::Ready);
        }
    }

    /// Ends whatever the group was doing.
    pub(super) fn leave_group(&mut self) {
        if matches!(self.group, Group::Waiting { .. }) {
            self.window.let_go(self.now);
        }
        self.group = Group::Idle;
        self.group_timer = None;
    }
}
