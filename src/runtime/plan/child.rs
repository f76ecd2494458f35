//! What the plan knows of one child.

use std::sync::Arc;

use super::window::Window;
use super::{Doing, Exit, Moment, Rules, Serial, Ticket};
use crate::runtime::error::Reason;

/// Where a child is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Not there and not coming by itself: not started yet, or ended for good.
    Down,
    Starting(Serial),
    Running(Serial),
    Stopping {
        serial: Serial,
        killed: bool,
        after: After,
    },
    /// A restart is due when the timer is.
    Waiting,
    Quarantined,
}

/// What follows when a stopping child is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// It stays down; a group or the whole supervisor is being stopped.
    Rest,
    /// It is forgotten.
    Remove,
    /// It is started again, because somebody asked.
    Again,
    /// It was killed for showing no life, which is a crash.
    Hung(Reason),
    /// It was killed for starting too slowly, which is a failed start.
    Overdue(Reason),
}

/// One child.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) id: Arc<str>,
    pub(super) rules: Rules,
    pub(super) phase: Phase,
    /// Since when it is in this phase.
    pub(super) since: Moment,
    /// The timer that may act on it now.
    pub(super) timer: Option<Serial>,
    /// Whether it never ran.
    pub(super) fresh: bool,
    /// Restarts in all.
    pub(super) restarts: u32,
    /// Restarts in a row, without a whole period of running between them.
    pub(super) streak: u32,
    /// A keyed child's own restarts of late.
    pub(super) window: Window,
    pub(super) last: Option<Reason>,
    /// Who waits for its start.
    pub(super) waiters: Vec<Ticket>,
    /// Who waits for its end.
    pub(super) leavers: Vec<Ticket>,
}

impl Child {
    pub(super) fn new(id: Arc<str>, rules: Rules, now: Moment) -> Self {
        Self {
            id,
            rules,
            phase: Phase::Down,
            since: now,
            timer: None,
            fresh: true,
            restarts: 0,
            streak: 0,
            window: Window::default(),
            last: None,
            waiters: Vec::new(),
            leavers: Vec::new(),
        }
    }

    /// Moves on. Whatever timer was set before does not act any more.
    pub(super) fn enter(&mut self, phase: Phase, now: Moment) {
        self.phase = phase;
        self.since = now;
        self.timer = None;
    }

    pub(super) fn doing(&self) -> Doing {
        match self.phase {
            Phase::Down => Doing::Down,
            Phase::Starting(_) => Doing::Starting,
            Phase::Running(_) => Doing::Running,
            Phase::Stopping { .. } => Doing::Stopping,
            Phase::Waiting => Doing::Waiting,
            Phase::Quarantined => Doing::Quarantined,
        }
    }

    /// The serial of the incarnation that is there.
    pub(super) fn incarnation(&self) -> Option<Serial> {
        match self.phase {
            Phase::Starting(serial) | Phase::Running(serial) | Phase::Stopping { serial, .. } => Some(serial),
            Phase::Down | Phase::Waiting | Phase::Quarantined => None,
        }
    }
}

/// The words for an end that should not have been one.
pub(super) fn reason_of(exit: Exit, normal: &str) -> Reason {
    match exit {
        Exit::Normal => Reason::new(normal),
        Exit::Crash(reason) => reason,
    }
}
