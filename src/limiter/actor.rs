//! The limiter's actor: owns the core, a clock and the ports of those who wait.
//!
//! It hears asks, waits that Telegram asked for, and its own timer; it tells each asker when it may
//! go. It reads the kept waits before it answers the first ask, and writes nothing itself: who
//! reports a wait stores it (see `handle`), so that no ask waits for the disk.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use tokio::time::Instant;

use super::budget::Tick;
use super::core::{Answer, Core, Mark, Replies, Ticket};
use super::handle::{Budgets, ClassBudget, Wait};
use super::pace::Pace;
use super::table::{self, KeptLesson, KeptWait};
use super::{Ask, CostClass, Limited, LimiterConfig};
use crate::base::{SessionId, Timestamp};
use crate::runtime::Address;
use crate::store::{Batch, Store};

/// How long until kept waits are read again if the store is not there.
const LOAD_AGAIN: Duration = Duration::from_millis(100);
/// Where the limiter's clock begins, so that times before its start have a place.
const EPOCH: Tick = Tick(1 << 52);

pub(super) struct LimiterActor;

/// What an incarnation begins with.
#[derive(Clone)]
pub(super) struct Args {
    pub(super) rules: Arc<LimiterConfig>,
    pub(super) store: Store,
    pub(super) address: Address<Msg>,
}

type Port = RpcReplyPort<Result<(), Limited>>;

/// A wait as it has to be stored, with what it taught.
pub(super) type Noted = (KeptWait, Option<KeptLesson>);

pub(super) enum Msg {
    /// Read the kept waits.
    Load,
    /// May this call go?
    Acquire(Ask, Port),
    /// Telegram asked for a wait.
    WaitAnswered(SessionId, Mark, Duration, RpcReplyPort<Noted>),
    /// Forget a peer flood and lessons.
    Clear(SessionId, RpcReplyPort<()>),
    /// What is left of an account's budgets.
    Look(SessionId, RpcReplyPort<Budgets>),
    /// Somebody's time has come.
    Wake(Tick),
}

pub(super) struct State {
    args: Args,
    core: Core,
    began: Instant,
    /// Asks that came before the kept waits were read.
    early: Vec<(Ask, Port)>,
    loaded: bool,
    waiting: HashMap<Ticket, (Ask, Port)>,
    armed: Option<Tick>,
}

impl Actor for LimiterActor {
    type Msg = Msg;
    type State = State;
    type Arguments = Args;

    async fn pre_start(&self, myself: ActorRef<Msg>, args: Args) -> Result<State, ActorProcessingErr> {
        args.address.set(myself.clone());
        myself.cast(Msg::Load)?;
        Ok(State {
            core: Core::new(args.rules.clone()),
            args,
            began: Instant::now(),
            early: Vec::new(),
            loaded: false,
            waiting: HashMap::new(),
            armed: None,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Msg>,
        msg: Msg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match msg {
            Msg::Load => state.load(&myself).await,
            Msg::Acquire(ask, port) => state.acquire(ask, port),
            Msg::WaitAnswered(session, mark, wait, port) => state.wait_answered(session, mark, wait, port),
            Msg::Clear(session, port) => state.clear(session, port),
            Msg::Look(session, port) => state.look(session, port),
            Msg::Wake(at) => state.wake(at),
        }
        state.arm(&myself);
        Ok(())
    }
}

impl State {
    async fn load(&mut self, myself: &ActorRef<Msg>) {
        let (waits, lessons) = match table::load(&self.args.store) {
            Ok(kept) => kept,
            Err(error) => {
                tracing::warn!(%error, "flood waits cannot be read yet");
                myself.send_after(LOAD_AGAIN, || Msg::Load);
                return;
            }
        };
        let (wall, now) = (Timestamp::now(), self.now());
        let (live, over): (Vec<_>, Vec<_>) = waits.into_iter().partition(|wait| wait.until > wall);
        for wait in live {
            let left = wait.until.since(wall).min(wait.until.since(wait.noted));
            self.meet(wait.session, now);
            self.core.restore(wait.session, wait.mark, now.plus(left));
        }
        for lesson in lessons {
            let pace = Pace {
                level: lesson.level,
                at: now.minus(wall.since(lesson.at)),
                ends: now.minus(wall.since(lesson.ends)).plus(lesson.ends.since(wall)),
            };
            self.meet(lesson.session, now);
            self.core.restore_pace(lesson.session, lesson.class, pace);
        }
        if !over.is_empty() {
            let mut batch = Batch::new();
            table::forget(&mut batch, &over);
            if let Err(error) = self.args.store.commit(batch).await {
                tracing::warn!(%error, "flood waits that are over stay in the store for now");
            }
        }
        self.loaded = true;
        for (ask, port) in std::mem::take(&mut self.early) {
            self.acquire(ask, port);
        }
    }

    fn acquire(&mut self, ask: Ask, port: Port) {
        if !self.loaded {
            self.early.push((ask, port));
            return;
        }
        let now = self.now();
        self.meet(ask.session, now);
        let mut replies = Replies::new();
        let ticket = self.core.ask(&ask, now, &mut replies);
        self.waiting.insert(ticket, (ask, port));
        self.answer(replies, now);
    }

    fn wait_answered(&mut self, session: SessionId, mark: Mark, wait: Duration, port: RpcReplyPort<Noted>) {
        let (now, wall) = (self.now(), Timestamp::now());
        self.meet(session, now);
        let mut replies = Replies::new();
        let mark = self.core.mark(session, mark, wait, now, &mut replies);
        self.answer(replies, now);
        let kept = KeptWait {
            session,
            mark,
            until: wall.plus(wait),
            noted: wall,
        };
        let lesson = match mark {
            Mark::Account(class) | Mark::Chat(class, _) => self.lesson(session, class, now, wall),
            Mark::SlowMode(_) | Mark::PeerFlood => None,
        };
        // Nobody listens any more if the session that was told to wait is gone.
        port.send((kept, lesson)).ok();
    }

    fn lesson(&self, session: SessionId, class: CostClass, now: Tick, wall: Timestamp) -> Option<KeptLesson> {
        let pace = self.core.account(session)?.classes[class.index()].pace;
        (pace.level > 1.0).then(|| KeptLesson {
            session,
            class,
            level: pace.level,
            at: wall.minus(now.since(pace.at)),
            ends: at(pace.ends, now, wall),
        })
    }

    fn clear(&mut self, session: SessionId, port: RpcReplyPort<()>) {
        let now = self.now();
        let mut replies = Replies::new();
        self.core.clear(session, now, &mut replies);
        self.answer(replies, now);
        // Cleared it is, whether or not somebody still waits to hear so.
        port.send(()).ok();
    }

    fn look(&self, session: SessionId, port: RpcReplyPort<Budgets>) {
        let (now, wall) = (self.now(), Timestamp::now());
        let mut budgets = Budgets::default();
        if let Some(account) = self.core.account(session) {
            let rules = &self.args.rules;
            budgets.classes.extend(CostClass::ALL.into_iter().map(|class| {
                let (next, cause) = account.next(rules, class, now);
                ClassBudget {
                    class,
                    next: (next > now).then(|| at(next, now, wall)),
                    cause: (next > now).then_some(cause),
                    slowdown: account.slowdown(rules, class, now),
                    waiting: account.waiting(class),
                }
            }));
            for (chat, state) in &account.chats {
                let floods = state.floods.iter().map(|(class, until)| (Some(*class), *until));
                let slow_mode = std::iter::once((None, state.slow_mode));
                let running = floods.chain(slow_mode).filter(|(_, until)| *until > now);
                budgets.waits.extend(running.map(|(class, until)| Wait {
                    chat: *chat,
                    class,
                    until: at(until, now, wall),
                }));
            }
        }
        // Who asked may have gone in the meantime.
        port.send(budgets).ok();
    }

    fn wake(&mut self, armed: Tick) {
        if self.armed == Some(armed) {
            self.armed = None;
        }
        let now = self.now();
        let mut replies = Replies::new();
        self.core.wake(now, &mut replies);
        self.answer(replies, now);
    }

    fn answer(&mut self, replies: Replies, now: Tick) {
        for (ticket, answer) in replies {
            let Some((ask, port)) = self.waiting.remove(&ticket) else {
                continue;
            };
            let answer = match answer {
                Answer::Granted => Ok(()),
                Answer::Refused(until, cause) => Err(Limited {
                    until: at(until, now, Timestamp::now()),
                    class: ask.class,
                    cause,
                }),
            };
            // Who no longer waits has lost a grant: that costs a slot of the budget, no more.
            port.send(answer).ok();
        }
    }

    /// Sets the timer if somebody's time comes before it.
    fn arm(&mut self, myself: &ActorRef<Msg>) {
        let Some(next) = self.core.next_wake() else {
            return;
        };
        if self.armed.is_none_or(|armed| next < armed) {
            self.armed = Some(next);
            myself.send_after(next.since(self.now()), move || Msg::Wake(next));
        }
    }

    /// Makes an account known; its age is that of its id.
    fn meet(&mut self, session: SessionId, now: Tick) {
        if self.core.is_unknown(session) {
            let age = Timestamp::now().since(session.made_at());
            self.core.introduce(session, age, now);
        }
    }

    fn now(&self) -> Tick {
        EPOCH.plus(self.began.elapsed())
    }
}

fn at(tick: Tick, now: Tick, wall: Timestamp) -> Timestamp {
    // Rounded up: whoever comes back then shall not be early by a fraction of a millisecond.
    let ahead = tick.since(now);
    let ahead = if ahead.is_zero() {
        ahead
    } else {
        ahead + Duration::from_millis(1)
    };
    wall.plus(ahead).minus(now.since(tick))
}
