//! The way in: a cheap handle that everybody who calls Telegram holds.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::actor::{Args, LimiterActor, Msg};
use super::core::Mark;
use super::means::Place;
use super::number::Number;
use super::view::Budgets;
use super::{Ask, Cause, CostClass, Grant, Limited, LimiterConfig, keeper, spent, table};
use crate::base::{SessionId, Timestamp};
use crate::model::ChatId;
use crate::runtime::{Address, CallError, ChildSpec, Strategy, SupervisorSpec};
use crate::store::{Batch, Store, StoreError};

/// How much longer than a caller's patience its answer may take on the way.
const MARGIN: Duration = Duration::from_secs(10);
/// How long a call is put off when the limiter itself is away.
const AWAY: Duration = Duration::from_secs(1);
/// How many rows of a session are forgotten by one commit.
const FORGET: usize = 200;
/// How often a wait is offered to a limiter, or a store, that is being restarted.
const TRIES: u32 = 5;

/// The limiter, as everybody else sees it.
#[derive(Clone)]
pub struct Limiter {
    args: Args,
}

impl Limiter {
    /// The handle. It works once [`Self::child`] runs; whoever asks before that waits.
    pub fn new(config: LimiterConfig, store: Store) -> Self {
        describe();
        let args = Args {
            rules: Arc::new(config),
            store,
            address: Address::new(),
            since: Arc::new(RwLock::new(HashMap::new())),
            unkept: Arc::new(Notify::new()),
        };
        Self { args }
    }

    /// The actor and its keeper, as a child for a supervisor.
    pub fn child(&self) -> ChildSpec {
        let args = self.args.clone();
        let actor = ChildSpec::actor("actor", move |context| {
            let args = args.clone();
            async move { context.spawn(LimiterActor, args).await }
        })
        .liveness(Duration::from_secs(10));
        let both = SupervisorSpec::new(Strategy::RestForOne)
            .kind("limiter")
            .child(actor)
            .child(keeper::child(&self.args));
        ChildSpec::supervisor("limiter", both)
    }

    /// Tells since when a session is in use here, which is when its warm-up began; none if it needs none.
    pub fn in_use_since(&self, session: SessionId, since: Option<Timestamp>) {
        let mut told = self.args.since.write().unwrap_or_else(PoisonError::into_inner);
        let before = told.insert(session, since);
        drop(told);
        // An actor that is not there reads it when it begins.
        if before != Some(since) && self.args.address.try_cast(Msg::Aged(session)).is_err() {
            tracing::debug!(%session, "the limiter is not there yet");
        }
    }

    /// Waits until the call may go, at most as long as the ask says; a call that would have to wait
    /// longer is refused at once.
    pub async fn acquire(&self, ask: Ask) -> Result<Grant, Limited> {
        let began = Instant::now();
        let mut left = ask;
        let address = self.args.address.clone().timeout(ask.patience.span + MARGIN);
        loop {
            let answer = address.call(|port| Msg::Acquire(left, port)).await;
            left.patience.span = ask.patience.span.saturating_sub(began.elapsed());
            match answer {
                Ok(answer) => {
                    let outcome = if answer.is_ok() { "granted" } else { "refused" };
                    metrics::histogram!("trunkline_limiter_waited_seconds", "outcome" => outcome)
                        .record(began.elapsed().as_secs_f64());
                    return answer;
                }
                // The actor ended with the ask in its mailbox: nothing was granted.
                Err(CallError::Lost) if !left.patience.span.is_zero() => {}
                Err(error) => {
                    tracing::warn!(session = %ask.session, %error, "the limiter is away");
                    return Err(Limited {
                        until: Timestamp::now().plus(AWAY),
                        class: ask.class,
                        cause: Cause::Budget,
                    });
                }
            }
        }
    }

    /// Telegram answered a call with a flood wait: of this class, of this chat, or of the whole
    /// account if there is none. On return it is remembered, also across a restart.
    pub async fn flooded(&self, session: SessionId, chat: Option<ChatId>, class: CostClass, wait: Duration) {
        metrics::counter!("trunkline_flood_waits_total", "class" => class.as_str()).increment(1);
        let mark = match chat {
            Some(chat) => Mark::Chat(class, chat),
            None => Mark::Account(class),
        };
        self.note(session, mark, wait).await;
    }

    /// Telegram answered a send with the chat's slow mode. On return it is remembered, also across
    /// a restart. It holds new messages of every class into that chat, and nothing else.
    pub async fn slowed(&self, session: SessionId, chat: ChatId, wait: Duration) {
        metrics::counter!("trunkline_flood_waits_total", "class" => "slow_mode").increment(1);
        self.note(session, Mark::SlowMode(chat), wait).await;
    }

    /// The account sent to too many strangers: it sends no new message until it has rested as long as the config
    /// says and one message got through, or is cleared. On return that is remembered, also across a restart.
    pub async fn peer_flooded(&self, session: SessionId) {
        metrics::counter!("trunkline_flood_waits_total", "class" => "peer_flood").increment(1);
        for _ in 0..TRIES {
            let heard = |port| Msg::PeerFlooded(session, port);
            let rest = match self.args.address.call(heard).await {
                Ok(rest) => rest,
                Err(error) => {
                    tracing::warn!(%session, %error, "a peer flood did not reach the limiter");
                    continue;
                }
            };
            tracing::warn!(%session, until = %rest.until, strikes = rest.strikes, "a peer flood: the account rests");
            let mut batch = Batch::new();
            table::keep_rest(&mut batch, &rest);
            match self.args.store.commit(batch).await {
                Ok(_) => return,
                Err(error) => tracing::warn!(%session, %error, "a peer flood was not stored"),
            }
            tokio::time::sleep(AWAY).await;
        }
    }

    /// The call of a [`Grant`] that tried if a peer flood is over went well: it is.
    pub async fn proven(&self, session: SessionId) {
        if let Err(error) = self.args.address.call(|port| Msg::Proven(session, port)).await {
            tracing::warn!(%session, %error, "the end of a peer flood did not reach the limiter");
        }
        tracing::info!(%session, "a message got through: the peer flood is over");
        let mut batch = Batch::new();
        table::forget_rest(&mut batch, session);
        if let Err(error) = self.args.store.commit(batch).await {
            tracing::warn!(%session, %error, "a peer flood that is over stays in the store for now");
        }
    }

    /// Until when an account rests after a peer flood; none if it does not.
    pub async fn rests_until(&self, session: SessionId) -> Result<Option<Timestamp>, CallError> {
        self.args.address.call(|port| Msg::Rests(session, port)).await
    }

    /// Forgets an account's peer flood and what its flood waits taught. Running flood waits stay.
    pub async fn clear(&self, session: SessionId) -> Result<(), CallError> {
        let mut batch = Batch::new();
        let stored = match table::forget_lessons(&self.args.store, &mut batch, session) {
            Ok(()) => self.args.store.commit(batch).await.map(drop),
            Err(error) => Err(error),
        };
        if let Err(error) = stored {
            tracing::warn!(%session, %error, "lessons of flood waits stay in the store for now");
        }
        self.args.address.call(|port| Msg::Clear(session, port)).await
    }

    /// Until when logins by a number wait; none if they do not, or if that cannot be known now.
    pub async fn login_rests_until(&self, number: Number) -> Option<Timestamp> {
        let asked = self.args.address.call(|port| Msg::NumberRests(number, port));
        asked.await.unwrap_or_else(|error| {
            tracing::warn!(%error, "whether a login has to wait is not known");
            None
        })
    }

    /// Telegram answered a login with a wait that is the number's. On return it is remembered, also across a restart.
    pub async fn login_flooded(&self, number: Number, wait: Duration) {
        metrics::counter!("trunkline_flood_waits_total", "class" => "login").increment(1);
        for _ in 0..TRIES {
            let heard = |port| Msg::NumberFlooded(number, wait, port);
            let (kept, over) = match self.args.address.call(heard).await {
                Ok(kept) => kept,
                Err(error) => {
                    tracing::warn!(%error, "a wait with logins did not reach the limiter");
                    continue;
                }
            };
            let mut batch = Batch::new();
            table::keep_number(&mut batch, &kept);
            table::forget_numbers(&mut batch, &over);
            match self.args.store.commit(batch).await {
                Ok(_) => return,
                Err(error) => tracing::warn!(%error, "a wait with logins was not stored"),
            }
            tokio::time::sleep(AWAY).await;
        }
    }

    /// Forgets a session that is no more, and its rows. What is left of it, if that fails, goes with
    /// [`Self::forget_strangers`].
    pub async fn forget(&self, session: SessionId) {
        self.args
            .since
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&session);
        if let Err(error) = self.args.address.call(|port| Msg::Forget(session, port)).await {
            tracing::warn!(%session, %error, "the limiter did not forget a session");
        }
        if let Err(error) = self.forget_rows(session).await {
            tracing::warn!(%session, %error, "rows of a session that is no more stay for now");
        }
    }

    async fn forget_rows(&self, session: SessionId) -> Result<(), StoreError> {
        let store = &self.args.store;
        loop {
            let mut batch = Batch::new();
            let rows = table::forget_session(store, &mut batch, session, FORGET)?
                + spent::forget_session(store, &mut batch, session, FORGET)?;
            if batch.is_empty() {
                return Ok(());
            }
            store.commit(batch).await?;
            if rows < FORGET {
                return Ok(());
            }
        }
    }

    /// Forgets every session that is not known; how many those were.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn forget_strangers(&self, known: impl Fn(SessionId) -> bool) -> Result<usize, StoreError> {
        let mut sessions = table::sessions(&self.args.store)?;
        sessions.extend(spent::sessions(&self.args.store)?);
        let strangers: Vec<SessionId> = sessions.into_iter().filter(|id| !known(*id)).collect();
        for session in &strangers {
            self.forget(*session).await;
        }
        Ok(strangers.len())
    }

    /// What is left of an account's budgets.
    pub async fn budgets(&self, session: SessionId) -> Result<Budgets, CallError> {
        self.args.address.call(|port| Msg::Look(session, port)).await
    }

    /// Tells the actor, then the store. Each is tried again while it is being restarted: a wait
    /// that is forgotten would be met a second time.
    async fn note(&self, session: SessionId, mark: Mark, wait: Duration) {
        tracing::info!(%session, ?mark, seconds = wait.as_secs(), "Telegram asked for a wait");
        for _ in 0..TRIES {
            let heard = |port| Msg::WaitAnswered(session, mark, wait, port);
            let noted = match self.args.address.call(heard).await {
                Ok(noted) => noted,
                Err(error) => {
                    tracing::warn!(%session, %error, "a flood wait did not reach the limiter");
                    continue;
                }
            };
            let mut batch = Batch::new();
            table::keep(&mut batch, &noted.wait);
            for lesson in &noted.lessons {
                table::keep_lesson(&mut batch, lesson);
            }
            if let Some(hour) = &noted.hour {
                table::keep_hour(&mut batch, hour);
            }
            match self.args.store.commit(batch).await {
                Ok(_) => return,
                Err(error) => tracing::warn!(%session, %error, "a flood wait was not stored"),
            }
            tokio::time::sleep(AWAY).await;
        }
    }
}

fn describe() {
    metrics::describe_histogram!(
        "trunkline_limiter_waited_seconds",
        metrics::Unit::Seconds,
        "How long calls to Telegram waited for their turn"
    );
    metrics::describe_counter!(
        "trunkline_flood_waits_total",
        "Waits that Telegram asked for, by class of call"
    );
    // Told as 0 from the start: a rule that looks for growth does not see a series whose first value is 1.
    for class in CostClass::ALL
        .map(CostClass::as_str)
        .into_iter()
        .chain(["slow_mode", "peer_flood"])
    {
        metrics::counter!("trunkline_flood_waits_total", "class" => class).increment(0);
    }
    metrics::describe_counter!(
        "trunkline_budget_warnings_total",
        "Caps per hour or day of which most, or all, was spent; each once a window"
    );
    let capped = [Place::Account, Place::Strangers, Place::Chat(ChatId(0))].into_iter();
    for place in capped.chain(CostClass::ALL.map(Place::Class)) {
        for window in ["hour", "day"] {
            for spent in ["most", "all"] {
                metrics::counter!("trunkline_budget_warnings_total", "budget" => place.as_str(), "window" => window, "spent" => spent)
                    .increment(0);
            }
        }
    }
}
