//! The plan itself: the life of each child, and of the supervisor as a whole.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::child::{After, Child, Phase, reason_of};
use super::fixed::Group;
use super::window::{Window, pause};
use super::{Action, Alarm, Doing, Exit, Input, Key, Moment, Rules, Serial, Ticket};
use crate::runtime::error::{Reason, StartError};
use crate::runtime::spec::{Backoff, Intensity, Restart, Shutdown, Strategy};

/// How long a killed child may take to be gone. One that computes without ever awaiting cannot be ended.
const ABANDON_AFTER: Duration = Duration::from_secs(10);

/// Where the supervisor is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its start has not answered yet.
    Starting,
    Serving,
    Stopping(Result<(), Reason>),
    Ended,
}

/// A supervisor's decisions.
#[derive(Debug)]
pub(in crate::runtime) struct Plan {
    pub(super) strategy: Strategy,
    pub(super) keyed: bool,
    pub(super) intensity: Intensity,
    pub(super) backoff: Backoff,
    /// Boxed: a tree of three would else keep room for eleven.
    pub(super) children: BTreeMap<Key, Box<Child>>,
    pub(super) ids: HashMap<Arc<str>, Key>,
    pub(super) stage: Stage,
    pub(super) group: Group,
    pub(super) group_timer: Option<Serial>,
    pub(super) window: Window,
    pub(super) now: Moment,
    pub(super) out: Vec<Action>,
    next_key: u64,
    next_serial: u64,
    dice: u64,
}

/// One child as a snapshot shows it.
pub(in crate::runtime) struct Seen<'a> {
    pub(in crate::runtime) key: Key,
    pub(in crate::runtime) id: &'a Arc<str>,
    pub(in crate::runtime) doing: Doing,
    pub(in crate::runtime) since: Moment,
    pub(in crate::runtime) restarts: u32,
    pub(in crate::runtime) last: Option<&'a Reason>,
}

impl Plan {
    /// A plan for children that are known from the start; their keys count from 0. `seed` is for the jitter.
    pub(in crate::runtime) fn new(
        strategy: Strategy,
        keyed: bool,
        intensity: Intensity,
        backoff: Backoff,
        seed: u64,
        children: impl IntoIterator<Item = (Arc<str>, Rules)>,
    ) -> Self {
        let mut plan = Self {
            strategy,
            keyed,
            intensity,
            backoff,
            children: BTreeMap::new(),
            ids: HashMap::new(),
            stage: Stage::Starting,
            group: Group::Idle,
            group_timer: None,
            window: Window::default(),
            now: Moment::ZERO,
            out: Vec::new(),
            next_key: 0,
            next_serial: 0,
            dice: seed | 1,
        };
        for (id, rules) in children {
            plan.insert(id, rules);
        }
        plan
    }

    /// Takes an input in and answers what is to be done, in this order.
    pub(in crate::runtime) fn input(&mut self, now: Moment, input: Input) -> Vec<Action> {
        self.now = self.now.max(now);
        match input {
            Input::Begin => self.begin(),
            Input::Started(key, serial) => self.started(key, serial),
            Input::Exited(key, serial, exit) => self.exited(key, serial, exit),
            Input::Hung(key, serial) => self.hung(key, serial),
            Input::Timer(Alarm { key: None, serial }) => self.group_due(serial),
            Input::Timer(Alarm {
                key: Some(key),
                serial,
            }) => self.due(key, serial),
            Input::Start(id, rules, ticket) => self.start(id, rules, ticket),
            Input::Terminate(id, ticket) => self.terminate(&id, ticket),
            Input::Restart(id, ticket) => self.restart(&id, ticket),
            Input::Release(id, ticket) => self.release(&id, ticket),
            Input::Stop => self.stop_all(Ok(())),
        }
        std::mem::take(&mut self.out)
    }

    /// The children, in the order of their first start.
    pub(in crate::runtime) fn seen(&self) -> impl Iterator<Item = Seen<'_>> {
        self.children.iter().map(|(key, child)| Seen {
            key: *key,
            id: &child.id,
            doing: child.doing(),
            since: child.since,
            restarts: child.restarts,
            last: child.last.as_ref(),
        })
    }

    /// How many restarts of a keyed child are still borne before it is quarantined.
    pub(in crate::runtime) fn left(&self, key: Key, now: Moment) -> Option<u32> {
        let child = self.children.get(&key).filter(|_| self.keyed)?;
        Some(child.window.left(now, self.intensity))
    }

    /// The id of a child.
    pub(in crate::runtime) fn id(&self, key: Key) -> Option<&Arc<str>> {
        self.children.get(&key).map(|child| &child.id)
    }

    fn begin(&mut self) {
        let mut ids: Vec<_> = self.children.values().map(|child| &child.id).collect();
        ids.sort_unstable();
        if let Some(twice) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
            let reason = Reason::new(format!("two children are called {}", twice[0]));
            return self.stop_all(Err(reason));
        }
        if self.stage == Stage::Starting {
            self.next_start(Key(0));
        }
    }

    fn started(&mut self, key: Key, serial: Serial) {
        let Some(child) = self.children.get_mut(&key) else {
            return;
        };
        if child.phase != Phase::Starting(serial) {
            return;
        }
        child.fresh = false;
        self.enter(key, Phase::Running(serial));
        self.answer_waiters(key, &Ok(()));
        if self.group == (Group::Starting { at: key }) {
            self.next_start(Key(key.0 + 1));
        }
    }

    fn exited(&mut self, key: Key, serial: Serial, exit: Exit) {
        let Some(child) = self.children.get(&key) else {
            return;
        };
        if child.incarnation() != Some(serial) {
            return;
        }
        match child.phase.clone() {
            Phase::Starting(_) => self.start_failed(key, reason_of(exit, "ended before it was ready")),
            Phase::Running(_) => self.ended(key, exit),
            Phase::Stopping { after, .. } => self.gone(key, after),
            Phase::Down | Phase::Waiting | Phase::Quarantined => {}
        }
    }

    fn hung(&mut self, key: Key, serial: Serial) {
        if self.children.get(&key).map(|child| &child.phase) == Some(&Phase::Running(serial)) {
            self.kill(key, serial, After::Hung(Reason::new("showed no life in time")));
        }
    }

    fn due(&mut self, key: Key, serial: Serial) {
        let Some(child) = self.children.get_mut(&key) else {
            return;
        };
        if child.timer != Some(serial) {
            return;
        }
        child.timer = None;
        match child.phase.clone() {
            Phase::Starting(serial) => {
                self.kill(key, serial, After::Overdue(Reason::new("did not start in time")));
            }
            Phase::Stopping {
                serial,
                killed: false,
                after,
            } => self.kill(key, serial, after),
            Phase::Stopping {
                serial,
                killed: true,
                after,
            } => {
                self.out.push(Action::Abandon(key, serial));
                self.gone(key, after);
            }
            Phase::Waiting => self.spawn(key),
            Phase::Down | Phase::Running(_) | Phase::Quarantined => {}
        }
    }

    /// A running child ended by itself.
    fn ended(&mut self, key: Key, exit: Exit) {
        self.settle(key);
        let Some(child) = self.children.get_mut(&key) else {
            return;
        };
        let again = match (child.rules.restart, &exit) {
            (Restart::Permanent, _) | (Restart::Transient, Exit::Crash(_)) => true,
            (Restart::Transient, Exit::Normal) | (Restart::Temporary, _) => false,
        };
        if let Exit::Crash(reason) = &exit {
            child.last = Some(reason.clone());
            self.out.push(Action::Crashed(key, reason.clone()));
        }
        if again {
            self.must_restart(key, reason_of(exit, "ended, though it should not"));
        } else {
            self.finish(key);
        }
    }

    fn start_failed(&mut self, key: Key, reason: Reason) {
        let Some(child) = self.children.get_mut(&key) else {
            return;
        };
        let (fresh, id, temporary) = (
            child.fresh,
            child.id.clone(),
            child.rules.restart == Restart::Temporary,
        );
        child.last = Some(reason.clone());
        let refusal = StartError::Failed {
            child: id.clone(),
            reason: reason.clone(),
        };
        self.answer_waiters(key, &Err(refusal));
        self.out.push(Action::Crashed(key, reason.clone()));
        match self.stage {
            Stage::Starting if fresh => {
                self.enter(key, Phase::Down);
                self.stop_all(Err(Reason::new(format!("{id}: {reason}"))));
            }
            Stage::Serving if fresh || temporary => self.finish(key),
            _ => self.must_restart(key, reason),
        }
    }

    /// An incarnation that was being stopped is gone. That is not a crash, whatever its last words were.
    fn gone(&mut self, key: Key, after: After) {
        if matches!(self.stage, Stage::Stopping(_)) {
            return self.rests(key);
        }
        match after {
            After::Rest => self.rests(key),
            After::Remove => self.remove(key),
            After::Again => {
                if let Some(child) = self.children.get_mut(&key) {
                    child.streak = 0;
                }
                self.spawn(key);
            }
            After::Hung(reason) => self.ended(key, Exit::Crash(reason)),
            After::Overdue(reason) => self.start_failed(key, reason),
        }
    }

    /// The child is down because its group or the supervisor is being stopped; on with that.
    pub(super) fn rests(&mut self, key: Key) {
        self.enter(key, Phase::Down);
        let restart = self.children.get(&key).map(|child| child.rules.restart);
        if self.keyed || restart == Some(Restart::Temporary) {
            self.remove(key);
        }
        if matches!(self.stage, Stage::Stopping(_)) {
            self.stop_next();
        } else {
            self.stop_group();
        }
    }

    /// The child ended and stays so. OTP keeps the spec of a transient child of a fixed family: it comes back
    /// with its group.
    fn finish(&mut self, key: Key) {
        let Some(child) = self.children.get(&key) else {
            return;
        };
        if self.keyed || child.rules.restart == Restart::Temporary {
            self.remove(key);
        } else {
            self.enter(key, Phase::Down);
        }
    }

    fn must_restart(&mut self, key: Key, reason: Reason) {
        if self.stage != Stage::Serving && self.stage != Stage::Starting {
            return self.rests(key);
        }
        match (self.keyed, self.strategy) {
            (true, _) => self.restart_or_quarantine(key, reason),
            (false, Strategy::OneForOne) => {
                if self.window.count(self.now, self.intensity) {
                    self.wait(key);
                } else {
                    self.give_up(key, &reason);
                }
            }
            (false, Strategy::OneForAll) => self.group_failed(key, Key(0), &reason),
            (false, Strategy::RestForOne) => self.group_failed(key, key, &reason),
        }
    }

    /// Waits out the child's pause, then starts it.
    pub(super) fn wait(&mut self, key: Key) {
        let pause = self.next_pause(key);
        self.out.push(Action::Restarting(key, pause));
        if pause.is_zero() {
            self.spawn(key);
        } else {
            self.enter(key, Phase::Waiting);
            self.arm(key, pause);
        }
    }

    /// Counts one more restart of the child and says how long to wait for it.
    pub(super) fn next_pause(&mut self, key: Key) -> Duration {
        let roll = self.roll();
        let Some(child) = self.children.get_mut(&key) else {
            return Duration::ZERO;
        };
        let pause = pause(self.backoff, child.streak, roll);
        child.streak = child.streak.saturating_add(1);
        child.restarts = child.restarts.saturating_add(1);
        pause
    }

    /// The intensity is used up: all children are stopped, and the parent is told why.
    pub(super) fn give_up(&mut self, key: Key, reason: &Reason) {
        self.enter(key, Phase::Down);
        let id = self.id(key).cloned().unwrap_or_else(|| "".into());
        self.stop_all(Err(Reason::new(format!(
            "restarted too often, at last {id}: {reason}"
        ))));
    }

    pub(super) fn stop_all(&mut self, result: Result<(), Reason>) {
        if !matches!(self.stage, Stage::Starting | Stage::Serving) {
            return;
        }
        self.stage = Stage::Stopping(result);
        self.leave_group();
        let keys: Vec<_> = self.children.keys().copied().collect();
        for key in keys {
            self.answer_waiters(key, &Err(StartError::Unavailable));
            let phase = self.children.get(&key).map(|child| &child.phase);
            if matches!(phase, Some(Phase::Waiting | Phase::Quarantined)) {
                self.enter(key, Phase::Down);
            }
        }
        self.stop_next();
    }

    /// Stops the next child of a stopping supervisor: the last one that is there; keyed ones all at once.
    fn stop_next(&mut self) {
        let there = self
            .children
            .iter()
            .rev()
            .filter(|(_, child)| child.incarnation().is_some());
        let there: Vec<_> = there.map(|(key, child)| (*key, child.phase.clone())).collect();
        if there.is_empty() {
            let stage = std::mem::replace(&mut self.stage, Stage::Ended);
            if let Stage::Stopping(result) = stage {
                self.out.push(Action::End(result));
            }
            return;
        }
        let together = if self.keyed { there.len() } else { 1 };
        for (key, phase) in there.into_iter().take(together) {
            if let Phase::Starting(serial) | Phase::Running(serial) = phase {
                self.stop(key, serial, After::Rest);
            }
        }
    }

    /// Stops an incarnation as its spec says.
    pub(super) fn stop(&mut self, key: Key, serial: Serial, after: After) {
        let Some(child) = self.children.get(&key) else {
            return;
        };
        let Shutdown::Drain(deadline) = child.rules.shutdown else {
            return self.kill(key, serial, after);
        };
        self.enter(
            key,
            Phase::Stopping {
                serial,
                killed: false,
                after,
            },
        );
        self.out.push(Action::Stop(key, serial));
        if deadline < Duration::MAX {
            self.arm(key, deadline);
        }
    }

    pub(super) fn kill(&mut self, key: Key, serial: Serial, after: After) {
        self.settle(key);
        self.enter(
            key,
            Phase::Stopping {
                serial,
                killed: true,
                after,
            },
        );
        self.out.push(Action::Kill(key, serial));
        self.arm(key, ABANDON_AFTER);
    }

    pub(super) fn spawn(&mut self, key: Key) {
        let serial = self.serial();
        self.enter(key, Phase::Starting(serial));
        self.out.push(Action::Spawn(key, serial));
        if let Some(deadline) = self.children.get(&key).and_then(|child| child.rules.start_within) {
            self.arm(key, deadline);
        }
    }

    /// A child that ran for a whole period has no streak of restarts any more.
    fn settle(&mut self, key: Key) {
        let (now, period) = (self.now, self.intensity.period);
        if let Some(child) = self.children.get_mut(&key)
            && matches!(child.phase, Phase::Running(_))
            && now.saturating_sub(child.since) >= period
        {
            child.streak = 0;
        }
    }

    /// Moves the child to another phase; the clock of the intensity stands still while it waits.
    pub(super) fn enter(&mut self, key: Key, phase: Phase) {
        let Some(child) = self.children.get_mut(&key) else {
            return;
        };
        let window = if self.keyed {
            &mut child.window
        } else {
            &mut self.window
        };
        match (&child.phase, &phase) {
            (Phase::Waiting, Phase::Waiting) => {}
            (Phase::Waiting, _) => window.let_go(self.now),
            (_, Phase::Waiting) => window.hold(self.now),
            _ => {}
        }
        child.enter(phase, self.now);
    }

    pub(super) fn insert(&mut self, id: Arc<str>, rules: Rules) -> Key {
        let key = Key(self.next_key);
        self.next_key += 1;
        if self.keyed {
            self.ids.insert(id.clone(), key);
        }
        self.children
            .insert(key, Box::new(Child::new(id, rules, self.now)));
        key
    }

    /// Forgets a child that is not there any more.
    pub(super) fn remove(&mut self, key: Key) {
        self.answer_waiters(key, &Err(StartError::Terminated));
        let Some(child) = self.children.remove(&key) else {
            return;
        };
        for ticket in child.leavers {
            self.out.push(Action::Answer(ticket, Ok(())));
        }
        self.ids.remove(&child.id);
        self.out.push(Action::Forget(key));
    }

    pub(super) fn answer_waiters(&mut self, key: Key, answer: &Result<(), StartError>) {
        let Some(child) = self.children.get_mut(&key) else {
            return;
        };
        for ticket in std::mem::take(&mut child.waiters) {
            self.out.push(Action::Answer(ticket, answer.clone()));
        }
    }

    fn arm(&mut self, key: Key, after: Duration) {
        let serial = self.serial();
        if let Some(child) = self.children.get_mut(&key) {
            child.timer = Some(serial);
            self.out.push(Action::Arm(
                Alarm {
                    key: Some(key),
                    serial,
                },
                after,
            ));
        }
    }

    pub(super) fn serial(&mut self) -> Serial {
        self.next_serial += 1;
        Serial(self.next_serial)
    }

    /// The next number of a small generator (xorshift); it only spreads pauses.
    fn roll(&mut self) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice
    }

    pub(super) fn answer(&mut self, ticket: Ticket, answer: Result<(), StartError>) {
        self.out.push(Action::Answer(ticket, answer));
    }
}
