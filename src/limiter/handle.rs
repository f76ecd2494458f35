//! The way in: a cheap handle that everybody who calls Telegram holds.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::actor::{Args, LimiterActor, Msg};
use super::core::Mark;
use super::table;
use super::{Ask, Cause, CostClass, Limited, LimiterConfig};
use crate::base::{SessionId, Timestamp};
use crate::model::ChatId;
use crate::runtime::{Address, CallError, ChildSpec};
use crate::store::{Batch, Store};

/// How much longer than a caller's patience its answer may take on the way.
const MARGIN: Duration = Duration::from_secs(10);
/// How long a call is put off when the limiter itself is away.
const AWAY: Duration = Duration::from_secs(1);
/// How often a wait is offered to a limiter, or a store, that is being restarted.
const TRIES: u32 = 5;

/// The limiter, as everybody else sees it.
#[derive(Clone)]
pub struct Limiter {
    args: Args,
}

/// What is left of an account's budgets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Budgets {
    /// By class; empty if the account has made no call yet.
    pub classes: Vec<ClassBudget>,
    /// Chats that Telegram asked to leave alone.
    pub waits: Vec<Wait>,
}

/// One class of call of one account.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct ClassBudget {
    /// The class.
    pub class: CostClass,
    /// When the next call may go; none if now.
    pub next: Option<Timestamp>,
    /// What it waits for.
    pub cause: Option<Cause>,
    /// By how much the account goes slower than configured.
    pub slowdown: f64,
    /// Calls that wait.
    pub waiting: usize,
}

/// A chat that Telegram asked to leave alone.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Wait {
    /// The chat.
    pub chat: ChatId,
    /// The class of call; none if it is slow mode, for new messages of any class.
    pub class: Option<CostClass>,
    /// Until when.
    pub until: Timestamp,
}

impl Limiter {
    /// The handle. It works once [`Self::child`] runs; whoever asks before that waits.
    pub fn new(config: LimiterConfig, store: Store) -> Self {
        describe();
        let args = Args {
            rules: Arc::new(config),
            store,
            address: Address::new(),
        };
        Self { args }
    }

    /// The actor, as a child for a supervisor.
    pub fn child(&self) -> ChildSpec {
        let args = self.args.clone();
        ChildSpec::actor("limiter", move |context| {
            let args = args.clone();
            async move { context.spawn(LimiterActor, args).await }
        })
        .liveness(Duration::from_secs(10))
    }

    /// Waits until the call may go, at most as long as the ask says; a call that would have to wait
    /// longer is refused at once.
    pub async fn acquire(&self, ask: Ask) -> Result<(), Limited> {
        let began = Instant::now();
        let mut left = ask;
        let address = self.args.address.clone().timeout(ask.patience + MARGIN);
        loop {
            let answer = address.call(|port| Msg::Acquire(left, port)).await;
            left.patience = ask.patience.saturating_sub(began.elapsed());
            match answer {
                Ok(answer) => {
                    let outcome = if answer.is_ok() { "granted" } else { "refused" };
                    metrics::histogram!("trunkline_limiter_waited_seconds", "outcome" => outcome)
                        .record(began.elapsed().as_secs_f64());
                    return answer;
                }
                // The actor ended with the ask in its mailbox: nothing was granted.
                Err(CallError::Lost) if !left.patience.is_zero() => {}
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

    /// The account sent to too many strangers: it sends no new message until it has rested as long
    /// as the config says, or is cleared.
    pub async fn peer_flooded(&self, session: SessionId) {
        metrics::counter!("trunkline_flood_waits_total", "class" => "peer_flood").increment(1);
        let rest = self.args.rules.peer_flood_rest;
        self.note(session, Mark::PeerFlood, rest).await;
    }

    /// Forgets an account's peer flood and what its flood waits taught. Running flood waits stay.
    pub async fn clear(&self, session: SessionId) -> Result<(), CallError> {
        let mut batch = Batch::new();
        table::forget_lessons(&mut batch, session);
        if let Err(error) = self.args.store.commit(batch).await {
            tracing::warn!(%session, %error, "lessons of flood waits stay in the store for now");
        }
        self.args.address.call(|port| Msg::Clear(session, port)).await
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
            let (kept, lesson) = match self.args.address.call(heard).await {
                Ok(noted) => noted,
                Err(error) => {
                    tracing::warn!(%session, %error, "a flood wait did not reach the limiter");
                    continue;
                }
            };
            let mut batch = Batch::new();
            table::keep(&mut batch, &kept, lesson.as_ref());
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
}
