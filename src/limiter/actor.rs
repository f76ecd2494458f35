//! The limiter's actor: owns the core, a clock and the ports of those who wait.
//!
//! It hears asks, waits that Telegram asked for, the keeper, and its own timer; it tells each asker when it may
//! go. It reads what is kept before it answers the first ask, and writes nothing itself: who reports a wait stores it
//! (see `handle`), and the keeper stores what was spent, so that no ask waits for another one's disk.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::budget::Tick;
use super::core::{Answer, Core, Mark, Notice, Replies, Row, Ticket};
use super::means::{LearnedCap, Place};
use super::number::Number;
use super::pace::Pace;
use super::restriction::Restriction;
use super::spent::{self, SpentRow};
use super::table::{self, KeptHour, KeptLesson, KeptNumber, KeptRest, KeptWait, Learner};
use super::view::Budgets;
use super::{Ask, CostClass, Grant, Limited, LimiterConfig};
use crate::base::{SessionId, Timestamp};
use crate::model::ChatId;
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
    /// Since when sessions are in use here, as far as that was told; none for those that need no warm-up.
    pub(super) since: Arc<RwLock<HashMap<SessionId, Option<Timestamp>>>>,
    /// Tells the keeper that there is something to store.
    pub(super) unkept: Arc<Notify>,
}

type Port = RpcReplyPort<Result<Grant, Limited>>;

/// A wait as it has to be stored, with what it taught.
pub(super) struct Noted {
    pub(super) wait: KeptWait,
    pub(super) lessons: Vec<KeptLesson>,
    pub(super) hour: Option<KeptHour>,
}

/// A row that is to be stored.
pub(super) struct Keeping {
    pub(super) session: SessionId,
    pub(super) place: Place,
    /// None if it goes.
    pub(super) row: Option<SpentRow>,
}

/// What is to be stored now: rows, chats of which nothing is remembered any more, and what is told.
pub(super) type ToKeep = (Vec<Keeping>, Vec<(SessionId, ChatId)>, Vec<Notice>);

pub(super) enum Msg {
    /// Read what is kept.
    Load,
    /// May this call go?
    Acquire(Ask, Port),
    /// Telegram asked for a wait.
    WaitAnswered(SessionId, Mark, Duration, RpcReplyPort<Noted>),
    /// Telegram answered a new message with a peer flood.
    PeerFlooded(SessionId, RpcReplyPort<KeptRest>),
    /// The message that tried if a peer flood is over arrived.
    Proven(SessionId, RpcReplyPort<()>),
    /// Forget a peer flood and lessons.
    Clear(SessionId, RpcReplyPort<()>),
    /// What is left of an account's budgets.
    Look(SessionId, RpcReplyPort<Budgets>),
    /// Until when it rests after a peer flood.
    Rests(SessionId, RpcReplyPort<Option<Timestamp>>),
    /// Since when a session is in use here was told anew.
    Aged(SessionId),
    /// A session is no more.
    Forget(SessionId, RpcReplyPort<()>),
    /// Telegram asked for a wait with logins by a number.
    NumberFlooded(Number, Duration, RpcReplyPort<(KeptNumber, Vec<Number>)>),
    /// Until when logins by a number wait.
    NumberRests(Number, RpcReplyPort<Option<Timestamp>>),
    /// What is to be stored now?
    Keep(RpcReplyPort<ToKeep>),
    /// What was to be stored is, or is not.
    Kept(bool),
    /// What is to be stored before the end?
    GiveBack(RpcReplyPort<Vec<Keeping>>),
    /// Somebody's time has come.
    Wake(Tick),
}

pub(super) struct State {
    args: Args,
    core: Core,
    began: Instant,
    /// Asks that came before what is kept was read.
    early: Vec<(Ask, Port)>,
    loaded: bool,
    waiting: HashMap<Ticket, (Ask, Port)>,
    armed: Option<Tick>,
    /// Until when logins by a number wait.
    numbers: HashMap<Number, Tick>,
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
            numbers: HashMap::new(),
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
            Msg::PeerFlooded(session, port) => state.peer_flooded(session, port),
            Msg::Proven(session, port) => state.proven(session, port),
            Msg::Clear(session, port) => state.clear(session, port),
            Msg::Look(session, port) => state.look(session, port),
            Msg::Rests(session, port) => state.rests(session, port),
            Msg::Aged(session) => state.aged(session),
            Msg::Forget(session, port) => state.forget(session, port),
            Msg::NumberFlooded(number, wait, port) => state.number_flooded(number, wait, port),
            Msg::NumberRests(number, port) => state.number_rests(number, port),
            Msg::Keep(port) => state.keep(port),
            Msg::Kept(stored) => state.kept(stored),
            Msg::GiveBack(port) => state.give_back(port),
            Msg::Wake(at) => state.wake(at),
        }
        state.arm(&myself);
        if state.core.has_unkept() {
            state.args.unkept.notify_one();
        }
        Ok(())
    }
}

impl State {
    async fn load(&mut self, myself: &ActorRef<Msg>) {
        let store = &self.args.store;
        let (kept, ledgers) = match table::load(store).and_then(|kept| Ok((kept, spent::load(store)?))) {
            Ok(kept) => kept,
            Err(error) => {
                tracing::warn!(%error, "flood waits cannot be read yet");
                myself.send_after(LOAD_AGAIN, || Msg::Load);
                return;
            }
        };
        let (wall, now) = (Timestamp::now(), self.now());
        let mut batch = Batch::new();
        let (live, over): (Vec<_>, Vec<_>) = kept.waits.into_iter().partition(|wait| wait.until > wall);
        for wait in live {
            let left = wait.until.since(wall).min(wait.until.since(wait.noted));
            self.meet(wait.session, now);
            self.core.restore(wait.session, wait.mark, now.plus(left));
        }
        table::forget(&mut batch, &over);
        for rest in kept.rests {
            let left = rest.until.since(wall).min(rest.until.since(rest.noted));
            self.meet(rest.session, now);
            let restriction = Restriction::restored(now.plus(left), rest.strikes);
            self.core.restore_restriction(rest.session, restriction);
        }
        let tick = |at: Timestamp| now.minus(wall.since(at)).plus(at.since(wall));
        for lesson in kept.lessons {
            let pace = Pace {
                level: lesson.level,
                failed: lesson.failed.max(1.0),
                at: tick(lesson.at),
                ends: tick(lesson.ends),
            };
            if pace.is_over(&self.args.rules.after_flood, now) {
                table::forget_lesson(&mut batch, lesson.session, lesson.learner);
                continue;
            }
            self.meet(lesson.session, now);
            self.core.restore_pace(lesson.session, lesson.learner, pace);
        }
        for hour in kept.hours.into_iter().filter(|hour| hour.until > wall) {
            self.meet(hour.session, now);
            let until = tick(hour.until);
            let learned = LearnedCap {
                units: hour.units,
                until,
            };
            self.core.restore_learned(hour.session, learned);
        }
        let (live, over): (Vec<_>, Vec<_>) = kept.numbers.into_iter().partition(|wait| wait.until > wall);
        for wait in live {
            let left = wait.until.since(wall).min(wait.until.since(wait.noted));
            self.numbers.insert(wait.number, now.plus(left));
        }
        let over: Vec<Number> = over.into_iter().map(|wait| wait.number).collect();
        table::forget_numbers(&mut batch, &over);
        for (session, place, row) in ledgers {
            match row.ledger(now, wall) {
                Some(ledger) => {
                    self.meet(session, now);
                    self.core.restore_ledger(session, place, ledger);
                }
                None => spent::keep(&mut batch, session, place, None),
            }
        }
        if !batch.is_empty()
            && let Err(error) = self.args.store.commit(batch).await
        {
            tracing::warn!(%error, "flood waits that are over stay in the store for now");
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
        let placed = self.core.mark(session, mark, wait, now, &mut replies);
        self.answer(replies, now);
        let wait = KeptWait {
            session,
            mark: placed,
            until: wall.plus(wait),
            noted: wall,
        };
        let (lessons, hour) = self.taught(session, [mark, placed], now, wall);
        // Nobody listens any more if the session that was told to wait is gone.
        port.send(Noted { wait, lessons, hour }).ok();
    }

    /// What the class and the chats of a wait know now.
    fn taught(
        &self,
        session: SessionId,
        marks: [Mark; 2],
        now: Tick,
        wall: Timestamp,
    ) -> (Vec<KeptLesson>, Option<KeptHour>) {
        let Some(account) = self.core.account(session) else {
            return Default::default();
        };
        let place = |tick: Tick| at(tick, now, wall);
        let mut lessons = Vec::new();
        for mark in marks {
            let cleared = |class: CostClass| account.classes[class.index()].cleared.map(Learner::Chat);
            let learners = match mark {
                Mark::Account(class) => [Some(Learner::Class(class)), None, cleared(class)],
                Mark::Chat(class, chat) => [
                    Some(Learner::Class(class)),
                    Some(Learner::Chat(chat)),
                    cleared(class),
                ],
                Mark::SlowMode(_) => [None, None, None],
            };
            for learner in learners.into_iter().flatten() {
                let pace = match learner {
                    Learner::Class(class) => Some(account.classes[class.index()].pace),
                    Learner::Chat(chat) => account.chats.get(&chat).map(|chat| chat.pace),
                };
                lessons.extend(pace.map(|pace| KeptLesson::of(session, learner, &pace, place)));
            }
        }
        let hour = account.learned.filter(|learned| learned.until > now);
        (
            lessons,
            hour.map(|learned| KeptHour::of(session, &learned, place)),
        )
    }

    fn peer_flooded(&mut self, session: SessionId, port: RpcReplyPort<KeptRest>) {
        let (now, wall) = (self.now(), Timestamp::now());
        self.meet(session, now);
        let mut replies = Replies::new();
        let (rest, strikes) = self.core.peer_flood(session, now, &mut replies);
        self.answer(replies, now);
        // As above.
        port.send(KeptRest {
            session,
            until: wall.plus(rest),
            noted: wall,
            strikes,
        })
        .ok();
    }

    fn proven(&mut self, session: SessionId, port: RpcReplyPort<()>) {
        let now = self.now();
        let mut replies = Replies::new();
        self.core.proven(session, now, &mut replies);
        self.answer(replies, now);
        // As above.
        port.send(()).ok();
    }

    fn clear(&mut self, session: SessionId, port: RpcReplyPort<()>) {
        let now = self.now();
        let mut replies = Replies::new();
        self.core.clear(session, now, &mut replies);
        self.answer(replies, now);
        // Cleared it is, whether or not somebody still waits to hear so.
        port.send(()).ok();
    }

    fn look(&mut self, session: SessionId, port: RpcReplyPort<Budgets>) {
        let (now, wall) = (self.now(), Timestamp::now());
        self.meet(session, now);
        let account = self.core.account(session);
        let budgets =
            account.map(|account| Budgets::of(account, &self.args.rules, now, |tick| at(tick, now, wall)));
        // Who asked may have gone in the meantime.
        port.send(budgets.unwrap_or_default()).ok();
    }

    fn rests(&self, session: SessionId, port: RpcReplyPort<Option<Timestamp>>) {
        if !self.loaded {
            // Nobody knows yet: an unanswered port says so.
            return;
        }
        let (now, wall) = (self.now(), Timestamp::now());
        let account = self.core.account(session);
        let until = account.and_then(|account| account.restriction.rests(now));
        // As above.
        port.send(until.map(|until| at(until, now, wall))).ok();
    }

    fn forget(&mut self, session: SessionId, port: RpcReplyPort<()>) {
        let now = self.now();
        let mut replies = Replies::new();
        self.core.forget(session, now, &mut replies);
        self.answer(replies, now);
        // As above.
        port.send(()).ok();
    }

    fn number_flooded(
        &mut self,
        number: Number,
        wait: Duration,
        port: RpcReplyPort<(KeptNumber, Vec<Number>)>,
    ) {
        let (now, wall) = (self.now(), Timestamp::now());
        let over = self.numbers.iter().filter(|(_, until)| **until <= now);
        let over: Vec<Number> = over.map(|(number, _)| *number).collect();
        for number in &over {
            self.numbers.remove(number);
        }
        let until = self.numbers.entry(number).or_default();
        *until = (*until).max(now.plus(wait));
        let kept = KeptNumber {
            number,
            until: at(*until, now, wall),
            noted: wall,
        };
        // As above.
        port.send((kept, over)).ok();
    }

    fn number_rests(&self, number: Number, port: RpcReplyPort<Option<Timestamp>>) {
        if !self.loaded {
            // Nobody knows yet: an unanswered port says so.
            return;
        }
        let (now, wall) = (self.now(), Timestamp::now());
        let until = self.numbers.get(&number).filter(|until| **until > now);
        // As above.
        port.send(until.map(|until| at(*until, now, wall))).ok();
    }

    fn keep(&mut self, port: RpcReplyPort<ToKeep>) {
        let keep = self.core.keep();
        // A keeper that is gone has stored nothing; the next one is told again.
        if let Err(error) = port.send((self.keepings(keep.rows), keep.forgotten, keep.notices)) {
            tracing::debug!(%error, "the keeper is gone");
        }
    }

    fn kept(&mut self, stored: bool) {
        let now = self.now();
        let mut replies = Replies::new();
        self.core.kept(stored, now, &mut replies);
        self.answer(replies, now);
    }

    fn give_back(&mut self, port: RpcReplyPort<Vec<Keeping>>) {
        let rows = self.core.give_back();
        // Who asked may have gone: then the reserves stay spent.
        port.send(self.keepings(rows)).ok();
    }

    fn keepings(&self, rows: Vec<Row>) -> Vec<Keeping> {
        let (now, wall) = (self.now(), Timestamp::now());
        let keeping = |(session, place, row): Row| Keeping {
            session,
            place,
            row: row.map(|(ledger, reserved)| SpentRow::of(&ledger, reserved, now, wall)),
        };
        rows.into_iter().map(keeping).collect()
    }

    fn aged(&mut self, session: SessionId) {
        if !self.core.is_unknown(session) {
            self.introduce(session, self.now());
        }
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
                Answer::Granted(probe) => Ok(Grant { probe }),
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

    /// Makes an account known.
    fn meet(&mut self, session: SessionId, now: Tick) {
        if self.core.is_unknown(session) {
            self.introduce(session, now);
        }
    }

    /// Tells the core since when the session is in use here; if nobody said so, since its id was made.
    fn introduce(&mut self, session: SessionId, now: Tick) {
        let told = self.args.since.read().unwrap_or_else(PoisonError::into_inner);
        let since = told
            .get(&session)
            .copied()
            .unwrap_or_else(|| Some(session.made_at()));
        drop(told);
        let wall = Timestamp::now();
        let since = since.map(|since| now.minus(wall.since(since)));
        let mut replies = Replies::new();
        self.core.introduce(session, since, now, &mut replies);
        self.answer(replies, now);
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
