//! Plans, and the world around them as the model of OTP has it: what shells, tasks and timers would do.
//!
//! Mail is delivered in the order it was sent, but that a start that succeeds takes no time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::runtime::otp::{Act, Family, Kind, Order, Seen, Trace};
use crate::runtime::spec::{Backoff, Intensity};

fn ticks(ticks: u64) -> Duration {
    Duration::from_millis(ticks)
}

fn rules(restart: Restart, kind: &Kind) -> Rules {
    let shutdown = match kind {
        Kind::Worker {
            limit: Some(limit), ..
        } => Shutdown::Drain(ticks(*limit)),
        Kind::Worker { limit: None, .. } => Shutdown::Kill,
        Kind::Supervisor { .. } => Shutdown::Drain(Duration::MAX),
    };
    Rules {
        restart,
        shutdown,
        start_within: None,
    }
}

/// Something on its way to a plan.
enum Letter {
    Input(Input),
    /// A worker that was asked to end does.
    Obeys(usize, Serial),
}

/// A supervisor's incarnation.
struct Shell {
    node: usize,
    plan: Plan,
    ready: bool,
    parent: Option<(usize, Key, Serial)>,
    /// The node of each key.
    nodes: BTreeMap<Key, usize>,
    answers: BTreeMap<Ticket, Result<(), StartError>>,
}

/// A child's incarnation.
#[derive(Clone, Copy)]
struct Live {
    shell: usize,
    key: Key,
    serial: Serial,
    asked: bool,
    deaf: bool,
    /// Its own shell, if it is a supervisor.
    inside: Option<usize>,
}

/// A family under plans.
pub(super) struct World {
    family: Family,
    now: u64,
    /// By its time, whether it is no part of a start, and the order it was sent in.
    mail: BTreeMap<(u64, bool, u64), (usize, Letter)>,
    sent: u64,
    shells: Vec<Shell>,
    live: Vec<Option<Live>>,
    refusals: Vec<u32>,
    trace: Trace,
    /// Whether the children of the top come and go by key.
    keyed: bool,
}

impl World {
    pub(super) fn new(family: &Family, keyed: bool) -> Self {
        let count = family.nodes.len();
        let mut world = Self {
            keyed,
            family: family.clone(),
            now: 0,
            mail: BTreeMap::new(),
            sent: 0,
            shells: Vec::new(),
            live: vec![None; count],
            refusals: vec![0; count],
            trace: vec![Vec::new(); count],
        };
        world.open(0, None);
        world.pass_to(0);
        world
    }

    /// A supervisor starts.
    fn open(&mut self, node: usize, parent: Option<(usize, Key, Serial)>) -> usize {
        let keyed = self.keyed;
        let Kind::Supervisor {
            strategy,
            restarts,
            period,
            children,
        } = self.family.nodes[node].kind.clone()
        else {
            unreachable!("only supervisors have a plan");
        };
        let intensity = Intensity {
            restarts,
            period: ticks(period),
        };
        let fixed = children.iter().filter(|_| !keyed);
        let named = fixed.clone().map(|child| {
            let child = &self.family.nodes[*child];
            rules(child.restart, &child.kind)
        });
        let named = named
            .enumerate()
            .map(|(n, rules)| (Arc::from(n.to_string()), rules));
        let plan = Plan::new(
            strategy,
            keyed,
            intensity,
            Backoff::NONE,
            1,
            named.collect::<Vec<_>>(),
        );
        let nodes = fixed.enumerate().map(|(n, child)| (Key(n as u64), *child));
        self.shells.push(Shell {
            node,
            plan,
            ready: false,
            parent,
            nodes: nodes.collect(),
            answers: BTreeMap::new(),
        });
        let shell = self.shells.len() - 1;
        self.begin(shell, Input::Begin);
        shell
    }

    fn send(&mut self, after: u64, shell: usize, letter: Letter) {
        self.sent += 1;
        self.mail
            .insert((self.now + after, true, self.sent), (shell, letter));
    }

    /// Sends what belongs to a start, before all else.
    fn begin(&mut self, shell: usize, input: Input) {
        self.sent += 1;
        self.mail
            .insert((self.now, false, self.sent), (shell, Letter::Input(input)));
    }

    fn see(&mut self, shell: usize, seen: Seen) {
        let node = match seen {
            Seen::Start(child) | Seen::Refuse(child) | Seen::Stop(child) | Seen::Kill(child)
                if self.keyed =>
            {
                child
            }
            _ => self.shells[shell].node,
        };
        self.trace[node].push((self.now, seen));
    }

    pub(super) fn pass_to(&mut self, end: u64) {
        while let Some(entry) = self.mail.first_entry()
            && entry.key().0 <= end
        {
            let ((at, ..), (shell, letter)) = entry.remove_entry();
            self.now = at;
            match letter {
                Letter::Input(input) => self.input(shell, input),
                Letter::Obeys(node, serial) => {
                    if self.live[node].is_some_and(|live| live.shell == shell && live.serial == serial) {
                        self.dies(node, Exit::Normal);
                    }
                }
            }
        }
        if end < u64::MAX {
            self.now = end;
        }
    }

    fn input(&mut self, shell: usize, input: Input) {
        let actions = self.shells[shell].plan.input(ticks(self.now), input);
        for action in actions {
            self.carry_out(shell, action);
        }
    }

    fn carry_out(&mut self, shell: usize, action: Action) {
        match action {
            Action::Spawn(key, serial) => self.spawn(shell, key, serial),
            Action::Stop(key, serial) => {
                let node = self.shells[shell].nodes[&key];
                self.stop(node, serial);
            }
            Action::Kill(key, serial) => {
                let node = self.shells[shell].nodes[&key];
                if self.live[node].is_some_and(|live| live.serial == serial) {
                    self.see(shell, Seen::Kill(node));
                    self.dies(node, Exit::Crash(Reason::new("killed")));
                }
            }
            Action::Arm(alarm, after) => {
                let after = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
                self.send(after, shell, Letter::Input(Input::Timer(alarm)));
            }
            Action::Ready => {
                self.shells[shell].ready = true;
                if let Some((parent, key, serial)) = self.shells[shell].parent {
                    self.begin(parent, Input::Started(key, serial));
                }
            }
            Action::End(result) => {
                self.see(shell, Seen::End(result.is_err()));
                let node = self.shells[shell].node;
                let exit = result.map_or_else(Exit::Crash, |()| Exit::Normal);
                self.dies(node, exit);
            }
            Action::Answer(ticket, answer) => drop(self.shells[shell].answers.insert(ticket, answer)),
            Action::Quarantined(key, ..) => {
                let node = self.shells[shell].nodes[&key];
                self.trace[node].push((self.now, Seen::End(true)));
            }
            Action::Forget(key) if self.keyed => {
                let node = self.shells[shell].nodes[&key];
                self.trace[node].push((self.now, Seen::End(false)));
            }
            Action::Abandon(..) => panic!("a killed child is gone at once here"),
            Action::Added(..) | Action::Crashed(..) | Action::Restarting(..) | Action::Forget(_) => {}
        }
    }

    fn spawn(&mut self, shell: usize, key: Key, serial: Serial) {
        let node = self.shells[shell].nodes[&key];
        assert!(self.live[node].is_none(), "two incarnations of one child");
        if self.refusals[node] > 0 {
            self.refusals[node] -= 1;
            self.see(shell, Seen::Refuse(node));
            let exit = Exit::Crash(Reason::new("refuses"));
            return self.ended(shell, Input::Exited(key, serial, exit));
        }
        self.see(shell, Seen::Start(node));
        let mut live = Live {
            shell,
            key,
            serial,
            asked: false,
            deaf: false,
            inside: None,
        };
        if matches!(self.family.nodes[node].kind, Kind::Worker { .. }) {
            self.begin(shell, Input::Started(key, serial));
        } else {
            live.inside = Some(self.open(node, Some((shell, key, serial))));
        }
        self.live[node] = Some(live);
    }

    fn stop(&mut self, node: usize, serial: Serial) {
        let Some(live) = self.live[node].as_mut().filter(|live| live.serial == serial) else {
            return;
        };
        live.asked = true;
        let live = *live;
        self.see(live.shell, Seen::Stop(node));
        match (&self.family.nodes[node].kind, live.inside) {
            (_, Some(inside)) => self.send(0, inside, Letter::Input(Input::Stop)),
            (Kind::Worker { obeys, .. }, None) if !live.deaf => {
                let obeys = *obeys;
                self.send(obeys, live.shell, Letter::Obeys(node, serial));
            }
            _ => {}
        }
    }

    fn dies(&mut self, node: usize, exit: Exit) {
        if let Some(live) = self.live[node].take() {
            self.ended(live.shell, Input::Exited(live.key, live.serial, exit));
        }
    }

    /// An end before its supervisor has started belongs to that start.
    fn ended(&mut self, shell: usize, exited: Input) {
        if self.shells[shell].ready {
            self.send(0, shell, Letter::Input(exited));
        } else {
            self.begin(shell, exited);
        }
    }

    pub(super) fn act(&mut self, at: u64, act: &Act) {
        self.pass_to(at);
        match act {
            Act::Crash(many) => {
                for node in many {
                    self.dies(*node, Exit::Crash(Reason::new("boom")));
                }
            }
            Act::End(node) => self.dies(*node, Exit::Normal),
            Act::Deafen(node) => self.deafen(*node),
            Act::Hang(node) => {
                self.deafen(*node);
                if let Some(live) = self.live[*node] {
                    let hung = Input::Hung(live.key, live.serial);
                    self.send(self.family.notice, live.shell, Letter::Input(hung));
                }
            }
            Act::Refuse(node, starts) => self.refusals[*node] = *starts,
            Act::Stop => self.send(0, 0, Letter::Input(Input::Stop)),
        }
        self.pass_to(at);
    }

    fn deafen(&mut self, node: usize) {
        if let Some(live) = &mut self.live[node] {
            live.deaf |= !live.asked;
        }
    }

    /// Whether a node is there and is being stopped.
    pub(super) fn is_stopping(&self, node: usize) -> bool {
        self.live[node].is_some_and(|live| live.asked)
    }

    pub(super) fn let_start(&mut self, node: usize) {
        self.refusals[node] = 0;
    }

    /// What the top answered to an order.
    pub(super) fn answer(&self, ticket: Ticket) -> Option<&Result<(), StartError>> {
        self.shells[0].answers.get(&ticket)
    }

    /// What each supervisor did; what became of each key, if the top's children are keyed.
    pub(super) fn into_trace(self) -> Trace {
        self.trace
    }

    pub(super) fn order(&mut self, node: usize, order: Order, ticket: Ticket) {
        let id: Arc<str> = node.to_string().into();
        let input = match order {
            Order::Start(restart) => {
                let rules = rules(restart, &self.family.nodes[node].kind);
                Input::Start(id, rules, ticket)
            }
            Order::Terminate => Input::Terminate(id, ticket),
            Order::Restart => Input::Restart(id, ticket),
            Order::Release => Input::Release(id, ticket),
        };
        for action in self.shells[0].plan.input(ticks(self.now), input) {
            if let Action::Added(_, key) = action {
                self.shells[0].nodes.insert(key, node);
            }
            self.carry_out(0, action);
        }
    }
}
