//! Random schedules under the real supervisor, with real tasks, against the model of OTP, by outcome.
//!
//! The schedules are at leisure, as the order of what happens at once is the machine's: after each act the tree must come to
//! where the model is (how often each worker was started, whether it is there, whether the tree has ended) and stay there.
//! Many trees live side by side on one thread. Counted and repeated as in `plan/otp_tests`.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use futures_util::stream::{StreamExt, iter};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::*;
use crate::runtime::otp::{Act, Family, Fate, Kind, Manner, Model, Schedule, campaign};

/// Schedules in an everyday run.
const EVERYDAY: u64 = 300;
/// A real tree costs so many times what one in the mind costs: a campaign has so many fewer of them.
const DEARER: u64 = 10;
/// Trees that live at one time.
const TOGETHER: usize = 100;
/// How long one that is asked to end has; all but the deaf end at once.
const PATIENCE: Duration = Duration::from_millis(5);
/// When one that hangs is noticed.
const LIVENESS: Duration = Duration::from_millis(10);
/// How long a tree may take to come to where the model is, on a busy machine too.
const GENEROUS: Duration = Duration::from_secs(60);

#[tokio::test]
async fn random_schedules_of_real_tasks_end_as_under_otp() {
    std::panic::set_hook(Box::new(|_| {}));
    let (count, first) = campaign(EVERYDAY * DEARER);
    let count = count.div_ceil(DEARER);
    let began = Instant::now();
    let seeds = (0..count).map(|n| first.wrapping_add(n));
    let played = iter(seeds).map(|seed| async move {
        let schedule = Schedule::random(seed).at_leisure();
        (
            seed,
            play(&schedule).await.map_err(|why| format!("{schedule}{why}")),
        )
    });
    let mut played = played.buffer_unordered(TOGETHER);
    let (mut starts, mut over) = (0, 0);
    while let Some((seed, outcome)) = played.next().await {
        let outcome = outcome.unwrap_or_else(|why| {
            // Panics are silent here.
            println!("seed {seed} differs\n{why}");
            panic!("seed {seed} differs")
        });
        starts += outcome.starts();
        over += u64::from(outcome.over);
    }
    let took = began.elapsed();
    println!(
        "{count} real trees from seed {first}: {starts} starts, {over} trees ended, 0 differences, {took:.1?}"
    );
    assert!(starts > count * 5 && over > count / 20);
}

/// What became of a family so far.
#[derive(Debug, PartialEq)]
struct Outcome {
    fates: Vec<(usize, Fate)>,
    over: bool,
}

impl Outcome {
    fn starts(&self) -> u64 {
        self.fates.iter().map(|(_, fate)| u64::from(fate.starts)).sum()
    }
}

/// Lets a schedule happen to a real tree and to the model; the outcome, or how they differ.
async fn play(schedule: &Schedule) -> Result<Outcome, String> {
    let mut model = Expected::new(schedule);
    let theatre = Theatre::new(schedule);
    let tree = theatre.supervisor(0);
    let root = Root::start(tree).await;
    let mut top = Top::Serves(root.expect("nothing refuses before the first act"));
    theatre.comes_to(&top, &model.next(), "the start").await?;
    for (_, act) in &schedule.acts {
        match act {
            Act::Crash(many) => many.iter().for_each(|node| theatre.tell(*node, Word::Crash)),
            Act::End(node) => theatre.tell(*node, Word::End),
            Act::Deafen(node) => theatre.tell(*node, Word::Deafen),
            Act::Hang(node) => theatre.tell(*node, Word::Hang),
            Act::Refuse(node, starts) => theatre.roles[*node].refusals.store(*starts, Ordering::Relaxed),
            Act::Stop => top = top.stop(),
        }
        theatre.comes_to(&top, &model.next(), &format!("{act:?}")).await?;
    }
    sleep(LIVENESS * 2).await;
    let last = model.last();
    theatre.comes_to(&top, &last, "the end").await?;
    Ok(last)
}

/// Where the model is after each act.
struct Expected(std::vec::IntoIter<Outcome>, Option<Outcome>);

impl Expected {
    fn new(schedule: &Schedule) -> Self {
        let mut model = Model::new(&schedule.family, Manner::Ours, 0);
        let outcome = |model: &Model| Outcome {
            fates: model.fates(),
            over: model.is_over(),
        };
        let mut outcomes = Vec::new();
        for (at, act) in &schedule.acts {
            model.pass_to(at - 1);
            outcomes.push(outcome(&model));
            model.act(*at, act);
        }
        model.pass_to(u64::MAX);
        outcomes.push(outcome(&model));
        Self(outcomes.into_iter(), Some(outcome(&model)))
    }

    fn next(&mut self) -> Outcome {
        self.0.next().expect("one more than acts")
    }

    fn last(&mut self) -> Outcome {
        self.1.take().expect("asked once")
    }
}

/// The top of a real tree.
enum Top {
    Serves(Root),
    Stops(JoinHandle<Drained>),
}

impl Top {
    fn stop(self) -> Self {
        match self {
            Self::Serves(root) => Self::Stops(tokio::spawn(root.stop(GENEROUS))),
            stops => stops,
        }
    }

    fn is_over(&self) -> bool {
        match self {
            Self::Serves(root) => root.failed().now_or_never().is_some(),
            Self::Stops(done) => done.is_finished(),
        }
    }
}

/// What a worker is told.
#[derive(Clone, Copy)]
enum Word {
    Crash,
    End,
    Deafen,
    Hang,
}

/// A worker over all its incarnations.
#[derive(Default)]
struct Role {
    refusals: AtomicU32,
    /// How the living incarnation is reached.
    line: Mutex<Option<UnboundedSender<Word>>>,
    fate: Mutex<Fate>,
}

/// A family of real tasks.
struct Theatre {
    family: Family,
    roles: Vec<Arc<Role>>,
}

impl Theatre {
    fn new(schedule: &Schedule) -> Self {
        let family = schedule.family.clone();
        let roles = family.nodes.iter().map(|_| Arc::default()).collect();
        Self { family, roles }
    }

    fn tell(&self, node: usize, word: Word) {
        if let Some(line) = &*self.roles[node].line.lock().expect("whole") {
            // Whoever has ended hears nothing any more.
            line.send(word).ok();
        }
    }

    async fn comes_to(&self, top: &Top, expected: &Outcome, after: &str) -> Result<(), String> {
        let began = Instant::now();
        let mut pause = Duration::from_micros(50);
        loop {
            let workers = self.family.workers().into_iter();
            let fates = workers.map(|node| (node, *self.roles[node].fate.lock().expect("whole")));
            let over = top.is_over();
            let is = Outcome {
                fates: fates.collect(),
                over,
            };
            if is == *expected {
                return Ok(());
            }
            if began.elapsed() > GENEROUS {
                return Err(format!("after {after}:\nours  {is:?}\nOTP's {expected:?}"));
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }

    /// The spec of a supervisor and all that stands under it.
    fn supervisor(&self, node: usize) -> SupervisorSpec {
        let Kind::Supervisor {
            strategy,
            restarts,
            period,
            children,
        } = &self.family.nodes[node].kind
        else {
            unreachable!("only supervisors have children");
        };
        let intensity = Intensity {
            restarts: *restarts,
            period: Duration::from_millis(*period),
        };
        let spec = SupervisorSpec::new(*strategy).intensity(intensity);
        let children = children.iter();
        children.fold(spec, |spec, child| spec.child(self.child(*child)))
    }

    fn child(&self, node: usize) -> ChildSpec {
        let spec = match self.family.nodes[node].kind {
            Kind::Supervisor { .. } => ChildSpec::supervisor(node.to_string(), self.supervisor(node)),
            Kind::Worker { limit, .. } => {
                let role = self.roles[node].clone();
                let worker = ChildSpec::task(node.to_string(), move |context| work(context, role.clone()));
                worker
                    .ready_within(GENEROUS)
                    .liveness(LIVENESS)
                    .shutdown(limit.map_or(Shutdown::Kill, |_| Shutdown::Drain(PATIENCE)))
            }
        };
        spec.restart(self.family.nodes[node].restart)
    }
}

/// A worker's incarnation.
struct Alive(Arc<Role>);

impl Alive {
    fn begin(role: Arc<Role>) -> (Self, UnboundedReceiver<Word>) {
        let (line, words) = unbounded_channel();
        *role.line.lock().expect("whole") = Some(line);
        {
            let mut fate = role.fate.lock().expect("whole");
            assert!(!fate.alive, "two at once");
            *fate = Fate {
                starts: fate.starts + 1,
                alive: true,
            };
        }
        (Self(role), words)
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fate.lock().expect("whole").alive = false;
    }
}

async fn work(context: TaskContext, role: Arc<Role>) -> Result<(), BoxError> {
    let refusals = &role.refusals;
    let refuses = refusals.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
    if refuses.is_ok() {
        return Err("refuses".into());
    }
    let (_alive, mut words) = Alive::begin(role);
    context.ready();
    let mut deaf = false;
    let wait = async {
        loop {
            tokio::select! {
                biased;
                Some(word) = words.recv() => match word {
                    Word::Crash => panic!("told to"),
                    Word::End => return true,
                    Word::Deafen => deaf = true,
                    Word::Hang => return false,
                },
                () = context.stop.cancelled(), if !deaf => return true,
            }
        }
    };
    if !context.idle(wait).await {
        std::future::pending::<()>().await;
    }
    Ok(())
}
