//! The shell around a [`Plan`]: a task that feeds it what happens and carries out what it answers.
//!
//! It never waits for a child: starts run in tasks of their own and their answers come as mail, so a slow start of one
//! child delays no other. It hears incarnations, handles and timers; it tells its parent by ending.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot::Sender as Reply;
use tokio::time::{Instant, sleep_until};

use super::context::TaskContext;
use super::dynamic::Quarantine;
use super::error::{Reason, StartError};
use super::launch::Incarnation;
use super::mail::{Line, Mail, News, Order, Post, Report, Wish};
use super::plan::{Action, Alarm, Input, Key, Plan, Rules, Serial, Ticket};
use super::spec::{BoxError, ChildSpec, Strategy, SupervisorSpec, Work};
use super::tree::{NodeKind, NodeState, Part, TreeNode, View};
use super::warden::Warden;
use crate::base::Timestamp;

/// A step of a child that lasts this long is told of.
const STUCK: Duration = Duration::from_millis(500);

/// A timer of the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Alarm(Alarm),
    /// Time to look whether a child still shows life.
    Pulse(Key, Serial),
}

struct Body {
    spec: Arc<ChildSpec>,
    incarnation: Option<(Serial, Incarnation)>,
}

struct Pending {
    reply: Reply<Result<(), StartError>>,
    spec: Option<Arc<ChildSpec>>,
}

/// A supervisor at work.
pub(super) struct Supervisor {
    spec: Arc<SupervisorSpec>,
    path: Arc<str>,
    warden: Warden,
    post: Post,
    /// Held by every line to us.
    hold: Arc<Report>,
    plan: Plan,
    bodies: HashMap<Key, Body>,
    pending: HashMap<Ticket, Pending>,
    next_ticket: u64,
    timers: BinaryHeap<Reverse<(Instant, Due)>>,
    /// Killed and still there: only the end of the process ends a child that never awaits.
    abandoned: Vec<(Arc<str>, Incarnation)>,
    began: Instant,
    end: Option<Result<(), Reason>>,
}

impl Supervisor {
    pub(super) fn new(
        spec: Arc<SupervisorSpec>,
        path: Arc<str>,
        warden: Warden,
        post: Post,
        hold: Arc<Report>,
    ) -> Self {
        let children = spec.children.iter().map(|child| (child.id.clone(), rules(child)));
        let plan = Plan::new(
            spec.strategy,
            spec.keyed.is_some(),
            spec.intensity,
            spec.backoff,
            rand::random(),
            children,
        );
        let keys = plan.seen().map(|seen| seen.key);
        let bodies = keys
            .zip(&spec.children)
            .map(|(key, child)| (key, Body::new(child.clone())))
            .collect();
        Self {
            spec,
            path,
            warden,
            post,
            hold,
            bodies,
            plan,
            pending: HashMap::new(),
            next_ticket: 0,
            timers: BinaryHeap::new(),
            abandoned: Vec::new(),
            began: Instant::now(),
            end: None,
        }
    }

    /// Serves until all children are stopped: because the parent asked, or because it gave up.
    pub(super) async fn run(
        mut self: Box<Self>,
        context: TaskContext,
        mut mailbox: UnboundedReceiver<Mail>,
    ) -> Result<(), BoxError> {
        metrics::counter!("trunkline_restarts_total", "supervisor" => self.spec.kind).increment(0);
        let _seat = self
            .spec
            .keyed
            .as_ref()
            .map(|handle| handle.occupy(self.post.clone()));
        let mut asked = false;
        self.feed(&context, Input::Begin);
        loop {
            self.ring(&context);
            if let Some(end) = self.end.take() {
                return end.map_err(|reason| reason.as_str().into());
            }
            let next = self.timers.peek().map(|Reverse((at, _))| *at);
            tokio::select! {
                biased;
                () = context.stop.cancelled(), if !asked => {
                    asked = true;
                    self.feed(&context, Input::Stop);
                }
                Some(mail) = mailbox.recv() => {
                    let waiting = mailbox.len();
                    self.take(&context, mail, waiting);
                }
                () = sleep_until(next.unwrap_or(self.began)), if next.is_some() => {}
            }
        }
    }

    fn take(&mut self, context: &TaskContext, mail: Mail, waiting: usize) {
        match mail {
            Mail::News(key, serial, News::Started) => {
                self.feed(context, Input::Started(key, serial));
                self.watch_pulse(key, serial);
            }
            Mail::News(key, serial, News::Exited(exit)) => {
                self.bury(key, serial);
                // It may have been one of those that nobody waited for any more.
                self.abandoned.retain(|(_, left)| left.step().is_some());
                self.feed(context, Input::Exited(key, serial, exit));
            }
            Mail::Order(order) => self.obey(context, *order),
            // Whoever asked may have gone in the meantime.
            Mail::Look(reply) => drop(reply.send(self.view(waiting))),
        }
    }

    fn obey(&mut self, context: &TaskContext, Order { wish, reply }: Order) {
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        let (input, spec) = match wish {
            Wish::Start(spec) => (Input::Start(spec.id.clone(), rules(&spec), ticket), Some(spec)),
            Wish::Terminate(id) => (Input::Terminate(id, ticket), None),
            Wish::Restart(id) => (Input::Restart(id, ticket), None),
            Wish::Release(id) => (Input::Release(id, ticket), None),
        };
        self.pending.insert(ticket, Pending { reply, spec });
        self.feed(context, input);
    }

    fn feed(&mut self, context: &TaskContext, input: Input) {
        for action in self.plan.input(self.began.elapsed(), input) {
            self.act(context, action);
        }
    }

    fn act(&mut self, context: &TaskContext, action: Action) {
        match action {
            Action::Spawn(key, serial) => self.spawn(key, serial),
            Action::Stop(key, serial) => self.with(key, serial, Incarnation::stop),
            Action::Kill(key, serial) => self.with(key, serial, Incarnation::kill),
            Action::Abandon(key, serial) => {
                tracing::error!(child = %self.child_path(key), "killed child does not end; going on without it");
                if let (Some(id), Some(left)) = (self.plan.id(key).cloned(), self.take_out(key, serial)) {
                    self.abandoned.push((id, left));
                }
            }
            Action::Arm(alarm, after) => self.arm(Due::Alarm(alarm), after),
            Action::Answer(ticket, answer) => {
                if let Some(pending) = self.pending.remove(&ticket) {
                    // Whoever asked may have gone in the meantime.
                    pending.reply.send(answer).ok();
                }
            }
            Action::Added(ticket, key) => {
                if let Some(spec) = self
                    .pending
                    .get_mut(&ticket)
                    .and_then(|pending| pending.spec.take())
                {
                    self.bodies.insert(key, Body::new(spec));
                }
            }
            Action::Crashed(key, reason) => {
                tracing::error!(child = %self.child_path(key), %reason, "child crashed");
            }
            Action::Restarting(key, pause) => {
                metrics::counter!("trunkline_restarts_total", "supervisor" => self.spec.kind).increment(1);
                let pause_ms = pause.as_millis();
                tracing::info!(child = %self.child_path(key), pause_ms, "child is restarted");
            }
            Action::Quarantined(key, reason, restarts) => self.quarantined(key, reason, restarts),
            Action::Forget(key) => drop(self.bodies.remove(&key)),
            Action::Ready => context.ready(),
            Action::End(result) => self.end = Some(result),
        }
    }

    fn spawn(&mut self, key: Key, serial: Serial) {
        let path = self.child_path(key);
        let Some(body) = self.bodies.get_mut(&key) else {
            return;
        };
        let line = Line {
            post: self.post.clone(),
            key,
            serial,
            _hold: Some(self.hold.clone()),
        };
        body.incarnation = Some((serial, Incarnation::launch(&body.spec, line, &path, &self.warden)));
    }

    fn with(&self, key: Key, serial: Serial, act: fn(&Incarnation)) {
        if let Some((current, incarnation)) = self.bodies.get(&key).and_then(|body| body.incarnation.as_ref())
            && *current == serial
        {
            act(incarnation);
        }
    }

    fn bury(&mut self, key: Key, serial: Serial) {
        drop(self.take_out(key, serial));
    }

    fn take_out(&mut self, key: Key, serial: Serial) -> Option<Incarnation> {
        let body = self.bodies.get_mut(&key)?;
        let taken = body.incarnation.take_if(|(current, _)| *current == serial);
        taken.map(|(_, incarnation)| incarnation)
    }

    fn quarantined(&self, key: Key, reason: Reason, restarts: u32) {
        let path = self.child_path(key);
        tracing::error!(child = %path, %reason, restarts, "child is quarantined until it is released");
        if let (Some(handle), Some(id)) = (&self.spec.keyed, self.plan.id(key)) {
            let id = id.clone();
            handle.quarantined(Quarantine {
                path,
                id,
                reason,
                restarts,
            });
        }
    }

    fn arm(&mut self, due: Due, after: Duration) {
        if let Some(at) = Instant::now().checked_add(after) {
            self.timers.push(Reverse((at, due)));
        }
    }

    /// Acts on the timers that are due.
    fn ring(&mut self, context: &TaskContext) {
        while let Some(Reverse((at, due))) = self.timers.peek().copied() {
            if at > Instant::now() {
                return;
            }
            self.timers.pop();
            match due {
                Due::Alarm(alarm) => self.feed(context, Input::Timer(alarm)),
                Due::Pulse(key, serial) => self.feel_pulse(context, key, serial),
            }
        }
    }

    fn watch_pulse(&mut self, key: Key, serial: Serial) {
        if let Some(deadline) = self.bodies.get(&key).and_then(|body| body.spec.liveness) {
            self.arm(Due::Pulse(key, serial), patience(deadline));
        }
    }

    fn feel_pulse(&mut self, context: &TaskContext, key: Key, serial: Serial) {
        let Some(body) = self.bodies.get(&key) else { return };
        let (Some(deadline), Some((current, incarnation))) = (body.spec.liveness, &body.incarnation) else {
            return;
        };
        if *current != serial {
            return;
        }
        match incarnation.silence() {
            Some(silence) if silence >= deadline => self.feed(context, Input::Hung(key, serial)),
            Some(silence) => self.arm(Due::Pulse(key, serial), patience(deadline - silence)),
            None => self.arm(Due::Pulse(key, serial), patience(deadline / 2)),
        }
    }

    fn child_path(&self, key: Key) -> String {
        format!("{}/{}", self.path, self.plan.id(key).map_or("", |id| id))
    }

    fn view(&mut self, waiting: usize) -> View {
        let (now, elapsed) = (Timestamp::now(), self.began.elapsed());
        self.abandoned.retain(|(_, left)| left.step().is_some());
        let children = self.plan.seen().map(|seen| {
            let body = self.bodies.get(&seen.key);
            let there = body.and_then(|body| body.incarnation.as_ref());
            let inside = there.and_then(|(_, there)| there.inside().cloned());
            let node = TreeNode {
                id: seen.id.to_string(),
                kind: body.map_or(NodeKind::Task, |body| kind(&body.spec)),
                strategy: None,
                state: seen.doing.into(),
                since: now.minus(elapsed.saturating_sub(seen.since)),
                restarts: seen.restarts,
                restarts_left: self.plan.left(seen.key, elapsed),
                last_error: seen.last.map(ToString::to_string),
                stuck_ms: there.and_then(|(_, there)| stuck(there)),
                mailbox: None,
                children: Vec::new(),
            };
            Part { node, inside }
        });
        let abandoned = self.abandoned.iter().filter_map(|(id, left)| {
            let held = left.step()?;
            let node = TreeNode {
                id: id.to_string(),
                kind: NodeKind::Task,
                strategy: None,
                state: NodeState::Stopping,
                since: now.minus(held),
                restarts: 0,
                restarts_left: None,
                last_error: None,
                stuck_ms: stuck(left),
                mailbox: None,
                children: Vec::new(),
            };
            Some(Part { node, inside: None })
        });
        View {
            strategy: strategy(&self.spec),
            mailbox: waiting,
            children: children.chain(abandoned).collect(),
        }
    }
}

impl Body {
    fn new(spec: Arc<ChildSpec>) -> Self {
        Self {
            spec,
            incarnation: None,
        }
    }
}

fn rules(spec: &ChildSpec) -> Rules {
    Rules {
        restart: spec.restart,
        shutdown: spec.shutdown,
        start_within: spec.start_within,
    }
}

/// How long it has held a thread, in milliseconds, where that is worth telling.
fn stuck(incarnation: &Incarnation) -> Option<u64> {
    let held = incarnation.step().filter(|held| *held >= STUCK)?;
    u64::try_from(held.as_millis()).ok()
}

/// When a pulse is felt next.
fn patience(deadline: Duration) -> Duration {
    #[cfg(feature = "fault-points")]
    let deadline = super::afflict::patience(deadline);
    deadline
}

fn kind(spec: &ChildSpec) -> NodeKind {
    match spec.work {
        Work::Task(_) => NodeKind::Task,
        Work::Actor(_) => NodeKind::Actor,
        Work::Supervisor(_) => NodeKind::Supervisor,
    }
}

fn strategy(spec: &SupervisorSpec) -> &'static str {
    match (&spec.keyed, spec.strategy) {
        (Some(_), _) => "dynamic",
        (None, Strategy::OneForOne) => "one_for_one",
        (None, Strategy::OneForAll) => "one_for_all",
        (None, Strategy::RestForOne) => "rest_for_one",
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::runtime::pulse::Pulse;

    #[tokio::test]
    async fn one_that_was_abandoned_is_forgotten_when_it_ends_though_nobody_looks() {
        let (post, mut mailbox) = mpsc::unbounded_channel();
        let warden = Warden::start().await.expect("starts");
        let line = |serial| Line {
            post: post.clone(),
            key: Key(0),
            serial: Serial(serial),
            _hold: None,
        };
        let spec = Arc::new(SupervisorSpec::new(Strategy::OneForOne));
        let hold = Arc::new(Report::to(line(0)));
        let mut supervisor = Supervisor::new(spec, "root".into(), warden.clone(), post.clone(), hold);
        let child = Arc::new(ChildSpec::task("child", |_| async { Ok(()) }));
        let left = Incarnation::launch(&child, line(7), "root/child", &warden);
        supervisor.abandoned.push(("child".into(), left));
        let context = TaskContext::new(line(0), CancellationToken::new(), Arc::new(Pulse::default()));
        while !supervisor.abandoned.is_empty() {
            let mail = mailbox.recv().await.expect("it tells of its end");
            let over = matches!(mail, Mail::News(_, _, News::Exited(_)));
            supervisor.take(&context, mail, 0);
            assert_eq!(supervisor.abandoned.is_empty(), over);
        }
    }
}
