//! The machine, one rule a test.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::runtime::spec::{Backoff, Intensity, Strategy};

const PERIOD: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_secs(1);

/// A plan, its clock, and every action so far.
struct Bench {
    plan: Plan,
    now: Moment,
    spawned: Vec<(Key, Serial)>,
    alarms: Vec<(Moment, Alarm)>,
    tickets: u64,
}

fn rules(restart: Restart) -> Rules {
    Rules {
        restart,
        shutdown: Shutdown::Drain(Duration::from_secs(5)),
        start_within: Some(Duration::from_secs(30)),
    }
}

fn crash() -> Exit {
    Exit::Crash(Reason::new("boom"))
}

fn bench(strategy: Strategy, keyed: bool, backoff: Backoff, children: &[Restart]) -> Bench {
    let intensity = Intensity {
        restarts: 2,
        period: PERIOD,
    };
    let named = children
        .iter()
        .enumerate()
        .map(|(n, restart)| (Arc::from(format!("c{n}")), rules(*restart)));
    Bench {
        plan: Plan::new(strategy, keyed, intensity, backoff, 7, named.collect::<Vec<_>>()),
        now: Moment::ZERO,
        spawned: Vec::new(),
        alarms: Vec::new(),
        tickets: 0,
    }
}

/// A bench whose children have all started.
fn up(strategy: Strategy, backoff: Backoff, children: &[Restart]) -> Bench {
    let mut bench = bench(strategy, false, backoff, children);
    bench.input(Input::Begin);
    for n in 0..children.len() as u64 {
        let actions = bench.started(n);
        assert_eq!(actions.contains(&Action::Ready), n + 1 == children.len() as u64);
    }
    bench
}

/// A bench of keyed children `a`, `b`, … that have all started.
fn keyed(backoff: Backoff, ids: &[&str]) -> Bench {
    let mut bench = bench(Strategy::OneForOne, true, backoff, &[]);
    assert_eq!(bench.input(Input::Begin), [Action::Ready]);
    for (n, id) in ids.iter().enumerate() {
        bench.start(id);
        bench.started(n as u64);
    }
    bench
}

const PAUSING: Backoff = Backoff {
    first: PAUSE,
    max: PAUSE,
};

impl Bench {
    fn input(&mut self, input: Input) -> Vec<Action> {
        let actions = self.plan.input(self.now, input);
        for action in &actions {
            match action {
                Action::Spawn(key, serial) => self.spawned.push((*key, *serial)),
                Action::Arm(alarm, after) => self.alarms.push((self.now + *after, *alarm)),
                _ => {}
            }
        }
        actions
    }

    fn serial(&self, key: u64) -> Serial {
        self.spawned
            .iter()
            .rev()
            .find(|(of, _)| of.0 == key)
            .expect("was spawned")
            .1
    }

    fn started(&mut self, key: u64) -> Vec<Action> {
        let serial = self.serial(key);
        self.input(Input::Started(Key(key), serial))
    }

    fn exited(&mut self, key: u64, exit: Exit) -> Vec<Action> {
        let serial = self.serial(key);
        self.input(Input::Exited(Key(key), serial, exit))
    }

    fn start(&mut self, id: &str) -> Vec<Action> {
        self.tickets += 1;
        self.input(Input::Start(
            id.into(),
            rules(Restart::Permanent),
            Ticket(self.tickets),
        ))
    }

    fn order(&mut self, order: impl Fn(Arc<str>, Ticket) -> Input, id: &str) -> Vec<Action> {
        self.tickets += 1;
        self.input(order(id.into(), Ticket(self.tickets)))
    }

    fn answer(&self, actions: &[Action]) -> Option<Result<(), StartError>> {
        actions.iter().find_map(|action| match action {
            Action::Answer(ticket, answer) if ticket.0 == self.tickets => Some(answer.clone()),
            _ => None,
        })
    }

    /// Lets time pass; every alarm that falls due rings, also those of the past.
    fn pass(&mut self, span: Duration) -> Vec<Action> {
        self.now += span;
        let now = self.now;
        let due: Vec<_> = self.alarms.extract_if(.., |(at, _)| *at <= now).collect();
        due.into_iter()
            .flat_map(|(_, alarm)| self.input(Input::Timer(alarm)))
            .collect()
    }

    fn doing(&self) -> Vec<Doing> {
        self.plan.seen().map(|seen| seen.doing).collect()
    }
}

/// Which children the actions start, stop or kill, in order: `+0`, `-1`, `!2`.
fn moves(actions: &[Action]) -> String {
    let words = actions.iter().filter_map(|action| match action {
        Action::Spawn(key, _) => Some(format!("+{}", key.0)),
        Action::Stop(key, _) => Some(format!("-{}", key.0)),
        Action::Kill(key, _) => Some(format!("!{}", key.0)),
        Action::End(Ok(())) => Some("end".to_owned()),
        Action::End(Err(_)) => Some("failed".to_owned()),
        _ => None,
    });
    words.collect::<Vec<_>>().join(" ")
}

use Restart::{Permanent, Temporary, Transient};

#[test]
fn a_start_answers_before_the_next_begins() {
    let mut bench = bench(Strategy::OneForOne, false, Backoff::NONE, &[Permanent; 3]);
    assert_eq!(moves(&bench.input(Input::Begin)), "+0");
    assert_eq!(moves(&bench.started(0)), "+1");
    assert_eq!(moves(&bench.started(1)), "+2");
    assert!(bench.started(2).contains(&Action::Ready));
}

#[test]
fn a_first_start_that_fails_undoes_those_before_it() {
    let mut bench = bench(Strategy::OneForOne, false, Backoff::NONE, &[Permanent; 3]);
    bench.input(Input::Begin);
    bench.started(0);
    bench.started(1);
    assert_eq!(moves(&bench.exited(2, crash())), "-1");
    assert_eq!(moves(&bench.exited(1, Exit::Normal)), "-0");
    let last = bench.exited(0, Exit::Normal);
    assert_eq!(last, [Action::End(Err(Reason::new("c2: boom")))]);
}

#[test]
fn two_children_of_one_name_are_refused() {
    let mut plan = Plan::new(
        Strategy::OneForOne,
        false,
        Intensity::default(),
        Backoff::NONE,
        1,
        [("a".into(), rules(Permanent)), ("a".into(), rules(Permanent))],
    );
    assert_eq!(moves(&plan.input(Moment::ZERO, Input::Begin)), "failed");
}

#[test]
fn each_kind_of_restart_keeps_its_word() {
    let mut bench = up(
        Strategy::OneForOne,
        Backoff::NONE,
        &[Permanent, Transient, Temporary, Transient, Temporary],
    );
    assert_eq!(moves(&bench.exited(0, Exit::Normal)), "+0");
    assert_eq!(moves(&bench.exited(1, Exit::Normal)), "");
    assert_eq!(moves(&bench.exited(2, crash())), "");
    assert_eq!(moves(&bench.exited(3, crash())), "+3");
    assert_eq!(moves(&bench.exited(4, Exit::Normal)), "");
    assert_eq!(bench.doing(), [Doing::Starting, Doing::Down, Doing::Starting]);
}

#[test]
fn one_for_one_gives_up_one_restart_after_its_intensity() {
    let mut bench = up(Strategy::OneForOne, Backoff::NONE, &[Permanent, Permanent]);
    assert_eq!(moves(&bench.exited(0, crash())), "+0");
    assert_eq!(moves(&bench.exited(1, crash())), "+1");
    bench.started(0);
    assert_eq!(moves(&bench.exited(0, crash())), "-1");
    assert_eq!(moves(&bench.exited(1, Exit::Normal)), "failed");
}

#[test]
fn old_restarts_do_not_count() {
    let mut bench = up(Strategy::OneForOne, Backoff::NONE, &[Permanent]);
    for _ in 0..6 {
        assert_eq!(moves(&bench.exited(0, crash())), "+0");
        bench.started(0);
        bench.pass(PERIOD / 2 + Duration::from_millis(1));
    }
}

#[test]
fn restarts_go_on_side_by_side() {
    let mut bench = up(Strategy::OneForOne, Backoff::NONE, &[Permanent, Permanent]);
    assert_eq!(moves(&bench.exited(0, crash())), "+0");
    assert_eq!(moves(&bench.exited(1, crash())), "+1");
    bench.started(1);
    assert_eq!(bench.doing(), [Doing::Starting, Doing::Running]);
}

#[test]
fn a_start_that_fails_at_a_restart_is_a_crash() {
    let mut bench = up(Strategy::OneForOne, Backoff::NONE, &[Permanent]);
    assert_eq!(moves(&bench.exited(0, crash())), "+0");
    assert_eq!(moves(&bench.exited(0, crash())), "+0");
    assert_eq!(moves(&bench.exited(0, crash())), "failed");
}

#[test]
fn one_for_all_stops_in_reverse_and_starts_in_order() {
    let mut bench = up(
        Strategy::OneForAll,
        Backoff::NONE,
        &[Permanent, Transient, Temporary, Permanent],
    );
    bench.exited(1, Exit::Normal);
    assert_eq!(moves(&bench.exited(0, crash())), "-3");
    assert_eq!(moves(&bench.exited(3, Exit::Normal)), "-2");
    assert_eq!(moves(&bench.exited(2, Exit::Normal)), "+0");
    // The transient child that had ended comes back with its group, the temporary one does not.
    assert_eq!(moves(&bench.started(0)), "+1");
    assert_eq!(moves(&bench.started(1)), "+3");
    assert_eq!(moves(&bench.started(3)), "");
}

#[test]
fn rest_for_one_leaves_earlier_children_alone() {
    let mut bench = up(Strategy::RestForOne, Backoff::NONE, &[Permanent; 4]);
    assert_eq!(moves(&bench.exited(1, crash())), "-3");
    assert_eq!(moves(&bench.exited(3, Exit::Normal)), "-2");
    assert_eq!(moves(&bench.exited(2, Exit::Normal)), "+1");
    assert_eq!(moves(&bench.started(1)), "+2");
    assert_eq!(moves(&bench.started(2)), "+3");
    assert_eq!(bench.doing()[0], Doing::Running);
}

#[test]
fn a_group_failure_counts_once() {
    let mut bench = up(Strategy::OneForAll, Backoff::NONE, &[Permanent; 3]);
    for _ in 0..2 {
        assert_eq!(moves(&bench.exited(1, crash())), "-2");
        // These crash too, one before and one after it was asked to stop.
        assert_eq!(moves(&bench.exited(0, crash())), "");
        assert_eq!(moves(&bench.exited(2, crash())), "+0");
        for key in 0..3 {
            bench.started(key);
        }
    }
    let first = bench.plan.seen().map(|seen| seen.restarts).sum::<u32>();
    assert_eq!(first, 2);
    assert_eq!(moves(&bench.exited(1, crash())), "-2");
    bench.exited(2, Exit::Normal);
    assert_eq!(moves(&bench.exited(0, Exit::Normal)), "failed");
}

#[test]
fn an_earlier_failure_widens_a_group_that_is_being_stopped() {
    let mut bench = up(Strategy::RestForOne, Backoff::NONE, &[Permanent; 3]);
    assert_eq!(moves(&bench.exited(1, crash())), "-2");
    assert_eq!(moves(&bench.exited(0, crash())), "");
    assert_eq!(moves(&bench.exited(2, Exit::Normal)), "+0");
}

#[test]
fn a_crash_while_the_group_starts_begins_anew_without_waiting() {
    let mut bench = up(Strategy::OneForAll, Backoff::NONE, &[Permanent; 2]);
    bench.exited(0, crash());
    assert_eq!(moves(&bench.exited(1, Exit::Normal)), "+0");
    assert_eq!(moves(&bench.started(0)), "+1");
    assert_eq!(moves(&bench.exited(0, crash())), "-1");
    assert_eq!(moves(&bench.exited(1, Exit::Normal)), "+0");
}

#[test]
fn a_group_waits_out_its_pause_and_a_late_pause_starts_nothing() {
    let mut bench = up(Strategy::OneForAll, PAUSING, &[Permanent; 2]);
    bench.exited(0, crash());
    assert_eq!(moves(&bench.exited(1, Exit::Normal)), "");
    assert_eq!(moves(&bench.input(Input::Stop)), "end");
    assert_eq!(bench.pass(PAUSE), []);
}

#[test]
fn a_stop_is_in_reverse_and_its_exits_are_no_crashes() {
    let mut bench = up(Strategy::OneForOne, Backoff::NONE, &[Permanent; 3]);
    assert_eq!(moves(&bench.input(Input::Stop)), "-2");
    assert_eq!(bench.exited(0, Exit::Normal), []);
    assert_eq!(moves(&bench.exited(2, crash())), "-1");
    assert_eq!(bench.exited(1, crash()), [Action::End(Ok(()))]);
}

#[test]
fn whoever_does_not_stop_in_time_is_killed_and_at_last_given_up() {
    let mut bench = up(Strategy::OneForOne, Backoff::NONE, &[Permanent; 2]);
    bench.input(Input::Stop);
    assert_eq!(moves(&bench.pass(Duration::from_secs(5))), "!1");
    let actions = bench.pass(Duration::from_secs(10));
    assert!(matches!(actions[0], Action::Abandon(Key(1), _)));
    assert_eq!(moves(&actions), "-0");
    // Its end comes after all, and concerns nobody any more.
    assert_eq!(bench.exited(1, crash()), []);
}

#[test]
fn a_start_that_takes_too_long_is_killed_and_failed() {
    let mut bench = keyed(Backoff::NONE, &[]);
    bench.start("a");
    assert_eq!(moves(&bench.pass(Duration::from_secs(30))), "!0");
    let actions = bench.exited(0, crash());
    let refusal = StartError::Failed {
        child: "a".into(),
        reason: Reason::new("did not start in time"),
    };
    assert_eq!(bench.answer(&actions), Some(Err(refusal)));
    assert_eq!(bench.doing(), []);
}

#[test]
fn a_hung_child_is_killed_and_that_is_a_crash() {
    let mut bench = up(Strategy::OneForOne, Backoff::NONE, &[Permanent, Temporary]);
    let hung = Input::Hung(Key(0), bench.serial(0));
    assert_eq!(moves(&bench.input(hung.clone())), "!0");
    let actions = bench.exited(0, crash());
    assert_eq!(
        actions[0],
        Action::Crashed(Key(0), Reason::new("showed no life in time"))
    );
    assert_eq!(moves(&actions), "+0");
    assert_eq!(bench.input(hung), []);
    let hung = Input::Hung(Key(1), bench.serial(1));
    bench.input(hung);
    assert_eq!(moves(&bench.exited(1, crash())), "");
}

#[test]
fn a_duplicate_id_is_an_error_and_disturbs_nothing() {
    let mut bench = keyed(PAUSING, &["a", "b"]);
    let again = bench.start("a");
    assert_eq!(again, [Action::Answer(Ticket(3), Err(StartError::Duplicate))]);
    assert_eq!(bench.doing(), [Doing::Running, Doing::Running]);
    bench.exited(0, crash());
    let again = bench.start("a");
    assert_eq!(bench.answer(&again), Some(Err(StartError::Duplicate)));
    assert_eq!(bench.doing(), [Doing::Waiting, Doing::Running]);
}

#[test]
fn a_failing_start_is_the_answer_and_the_id_is_free_again() {
    let mut bench = keyed(Backoff::NONE, &["a"]);
    bench.start("b");
    let actions = bench.exited(1, crash());
    assert!(matches!(
        bench.answer(&actions),
        Some(Err(StartError::Failed { .. }))
    ));
    assert_eq!(moves(&actions), "");
    assert_eq!(bench.doing(), [Doing::Running]);
    bench.start("b");
    let actions = bench.started(2);
    assert_eq!(bench.answer(&actions), Some(Ok(())));
}

impl Bench {
    fn terminated_while_waiting(mut self) -> Self {
        bench_crash(&mut self);
        let actions = self.order(Input::Terminate, "a");
        assert_eq!(self.answer(&actions), Some(Ok(())));
        self
    }
}

fn bench_crash(bench: &mut Bench) {
    assert_eq!(moves(&bench.exited(0, crash())), "");
    assert_eq!(bench.doing()[0], Doing::Waiting);
}

#[test]
fn terminated_during_backoff_it_stays_stopped() {
    let mut bench = keyed(PAUSING, &["a"]).terminated_while_waiting();
    assert_eq!(bench.pass(PAUSE * 2), []);
    assert_eq!(bench.doing(), []);
}

#[test]
fn a_late_timer_resurrects_nothing_and_hurries_nobody() {
    let mut bench = keyed(PAUSING, &["a"]).terminated_while_waiting();
    bench.start("a");
    bench.started(1);
    assert_eq!(bench.pass(PAUSE), []);
    // The new one crashes; the timers of the old one, rung again, do not shorten its pause.
    bench.exited(1, crash());
    let old: Vec<_> = (1..6)
        .map(|serial| Alarm {
            key: Some(Key(1)),
            serial: Serial(serial),
        })
        .collect();
    for alarm in old {
        assert_eq!(bench.input(Input::Timer(alarm)), []);
    }
    assert_eq!(moves(&bench.pass(PAUSE)), "+1");
}

#[test]
fn a_late_exit_of_an_older_incarnation_concerns_nobody() {
    let mut bench = keyed(Backoff::NONE, &["a"]);
    let old = bench.serial(0);
    bench.exited(0, crash());
    bench.started(0);
    assert_eq!(bench.input(Input::Exited(Key(0), old, crash())), []);
    assert_eq!(bench.input(Input::Started(Key(0), old)), []);
    assert_eq!(bench.doing(), [Doing::Running]);
}

#[test]
fn terminating_a_start_answers_both_callers() {
    let mut bench = keyed(Backoff::NONE, &[]);
    bench.start("a");
    let actions = bench.order(Input::Terminate, "a");
    assert_eq!(actions[0], Action::Answer(Ticket(1), Err(StartError::Terminated)));
    assert_eq!(moves(&actions), "-0");
    assert_eq!(bench.started(0), []);
    let actions = bench.exited(0, Exit::Normal);
    assert_eq!(bench.answer(&actions), Some(Ok(())));
}

#[test]
fn a_restart_on_request_counts_for_nothing() {
    let mut bench = keyed(PAUSING, &["a"]);
    for _ in 0..5 {
        assert_eq!(moves(&bench.order(Input::Restart, "a")), "-0");
        assert_eq!(moves(&bench.exited(0, crash())), "+0");
        let actions = bench.started(0);
        assert_eq!(bench.answer(&actions), Some(Ok(())));
    }
    bench_crash(&mut bench);
    assert_eq!(moves(&bench.order(Input::Restart, "a")), "+0");
}

#[test]
fn the_intensity_of_a_keyed_child_is_exact_and_its_own() {
    let mut bench = keyed(PAUSING, &["a", "b"]);
    for _ in 0..2 {
        assert_eq!(moves(&bench.exited(0, crash())), "");
        assert_eq!(moves(&bench.pass(PAUSE)), "+0");
        bench.started(0);
    }
    let actions = bench.exited(0, crash());
    assert!(actions.contains(&Action::Quarantined(Key(0), Reason::new("boom"), 2)));
    assert_eq!(bench.doing(), [Doing::Quarantined, Doing::Running]);
    assert_eq!(bench.pass(PERIOD / 10), []);
    let actions = bench.order(Input::Restart, "a");
    assert_eq!(bench.answer(&actions), Some(Err(StartError::Quarantined)));
    let actions = bench.order(Input::Release, "b");
    assert_eq!(bench.answer(&actions), Some(Err(StartError::NotQuarantined)));
    assert_eq!(moves(&bench.order(Input::Release, "a")), "+0");
    let actions = bench.started(0);
    assert_eq!(bench.answer(&actions), Some(Ok(())));
    // A clean record: it may crash as often as before.
    bench_crash(&mut bench);
}

#[test]
fn a_quarantined_child_can_be_terminated() {
    let mut bench = keyed(Backoff::NONE, &["a"]);
    for _ in 0..3 {
        bench.exited(0, crash());
        bench.started(0);
    }
    bench.exited(0, crash());
    let actions = bench.order(Input::Terminate, "a");
    assert_eq!(bench.answer(&actions), Some(Ok(())));
    let actions = bench.order(Input::Terminate, "a");
    assert_eq!(bench.answer(&actions), Some(Err(StartError::Unknown)));
}

#[test]
fn keyed_children_stop_together_and_orders_are_refused_meanwhile() {
    let mut bench = keyed(PAUSING, &["a", "b", "c"]);
    bench_crash(&mut bench);
    assert_eq!(moves(&bench.input(Input::Stop)), "-2 -1");
    let refused = bench.start("d");
    assert_eq!(bench.answer(&refused), Some(Err(StartError::Unavailable)));
    let refused = bench.order(Input::Terminate, "b");
    assert_eq!(bench.answer(&refused), Some(Err(StartError::Unavailable)));
    assert_eq!(moves(&bench.exited(1, crash())), "");
    assert_eq!(moves(&bench.exited(2, Exit::Normal)), "end");
}

#[test]
fn a_quarantine_does_not_end_by_itself() {
    let mut bench = keyed(Backoff::NONE, &["a"]);
    for _ in 0..2 {
        bench.exited(0, crash());
        bench.started(0);
    }
    bench.exited(0, crash());
    assert_eq!(bench.pass(PERIOD * 100), []);
    assert_eq!(bench.doing(), [Doing::Quarantined]);
}

#[test]
fn after_a_period_of_running_restarts_are_forgotten_and_the_pause_is_the_first_again() {
    let growing = Backoff {
        first: PAUSE,
        max: PAUSE * 64,
    };
    let mut bench = up(Strategy::OneForOne, growing, &[Permanent]);
    for _ in 0..5 {
        bench_crash(&mut bench);
        assert_eq!(moves(&bench.pass(PAUSE)), "+0");
        bench.started(0);
        bench.pass(PERIOD + Duration::from_millis(1));
    }
    bench_crash(&mut bench);
    bench.pass(PAUSE);
    bench.started(0);
    // In a row the pause grows: between one and two of the first.
    bench_crash(&mut bench);
    assert_eq!(moves(&bench.pass(PAUSE)), "");
    assert_eq!(moves(&bench.pass(PAUSE)), "+0");
}

#[test]
fn a_temporary_child_that_fails_a_requested_restart_is_gone() {
    let mut bench = keyed(Backoff::NONE, &[]);
    bench.input(Input::Start("t".into(), rules(Temporary), Ticket(1)));
    bench.started(0);
    bench.order(Input::Restart, "t");
    assert_eq!(moves(&bench.exited(0, Exit::Normal)), "+0");
    let actions = bench.exited(0, crash());
    assert_eq!(moves(&actions), "");
    assert_eq!(bench.doing(), []);
}

#[test]
fn a_hung_member_that_is_never_restarted_does_not_hold_up_its_group() {
    let mut bench = up(Strategy::OneForAll, Backoff::NONE, &[Permanent, Temporary]);
    let hung = Input::Hung(Key(1), bench.serial(1));
    assert_eq!(moves(&bench.input(hung)), "!1");
    assert_eq!(moves(&bench.exited(0, crash())), "");
    assert_eq!(moves(&bench.exited(1, crash())), "+0");
}
