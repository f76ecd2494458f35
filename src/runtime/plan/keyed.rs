//! Children that come and go by key: orders, and the quarantine of one that used up its own intensity.

use std::sync::Arc;

use super::child::{After, Phase};
use super::machine::{Plan, Stage};
use super::{Action, Key, Rules, Ticket};
use crate::runtime::error::{Reason, StartError};

impl Plan {
    /// Adds a child and starts it; starts of several run side by side. A start that fails is the answer,
    /// and the child is not kept.
    pub(super) fn start(&mut self, id: Arc<str>, rules: Rules, ticket: Ticket) {
        if !self.keyed || self.stage != Stage::Serving {
            return self.answer(ticket, Err(StartError::Unavailable));
        }
        if self.ids.contains_key(&id) {
            return self.answer(ticket, Err(StartError::Duplicate));
        }
        let key = self.insert(id, rules);
        self.out.push(Action::Added(ticket, key));
        self.wait_for_start(key, ticket);
        self.spawn(key);
    }

    /// Stops a child and forgets it. It stays stopped, also if it was waiting for a restart.
    pub(super) fn terminate(&mut self, id: &str, ticket: Ticket) {
        let Some(key) = self.known(id, ticket) else { return };
        let Some(child) = self.children.get_mut(&key) else {
            return;
        };
        child.leavers.push(ticket);
        match &mut child.phase {
            Phase::Down | Phase::Waiting | Phase::Quarantined => self.remove(key),
            Phase::Stopping { after, .. } => {
                *after = After::Remove;
                self.answer_waiters(key, &Err(StartError::Terminated));
            }
            Phase::Starting(serial) | Phase::Running(serial) => {
                let serial = *serial;
                self.answer_waiters(key, &Err(StartError::Terminated));
                self.stop(key, serial, After::Remove);
            }
        }
    }

    /// Stops a child and starts it again; that is no crash and counts for nothing.
    pub(super) fn restart(&mut self, id: &str, ticket: Ticket) {
        let Some(key) = self.known(id, ticket) else { return };
        let Some(child) = self.children.get_mut(&key) else {
            return;
        };
        match &mut child.phase {
            Phase::Quarantined => return self.answer(ticket, Err(StartError::Quarantined)),
            Phase::Stopping {
                after: After::Remove, ..
            } => {
                return self.answer(ticket, Err(StartError::Terminated));
            }
            Phase::Stopping { after, .. } => *after = After::Again,
            Phase::Starting(_) => {}
            Phase::Running(serial) => {
                let serial = *serial;
                self.stop(key, serial, After::Again);
            }
            Phase::Down | Phase::Waiting => self.spawn(key),
        }
        self.wait_for_start(key, ticket);
    }

    /// Lets a quarantined child start again, with a clean record.
    pub(super) fn release(&mut self, id: &str, ticket: Ticket) {
        let Some(key) = self.known(id, ticket) else { return };
        let Some(child) = self.children.get_mut(&key) else {
            return;
        };
        if child.phase != Phase::Quarantined {
            return self.answer(ticket, Err(StartError::NotQuarantined));
        }
        child.window.clear();
        child.streak = 0;
        self.wait_for_start(key, ticket);
        self.spawn(key);
    }

    /// A keyed child failed: it is started again, or waits for a person if it has failed too often.
    pub(super) fn restart_or_quarantine(&mut self, key: Key, reason: Reason) {
        let Some(child) = self.children.get_mut(&key) else {
            return;
        };
        if child.window.count(self.now, self.intensity) {
            return self.wait(key);
        }
        let restarts = child.restarts;
        self.enter(key, Phase::Quarantined);
        self.out.push(Action::Quarantined(key, reason, restarts));
    }

    fn known(&mut self, id: &str, ticket: Ticket) -> Option<Key> {
        let refusal = match self.ids.get(id) {
            _ if self.stage != Stage::Serving => StartError::Unavailable,
            Some(key) => return Some(*key),
            None => StartError::Unknown,
        };
        self.answer(ticket, Err(refusal));
        None
    }

    fn wait_for_start(&mut self, key: Key, ticket: Ticket) {
        if let Some(child) = self.children.get_mut(&key) {
            child.waiters.push(ticket);
        }
    }
}
