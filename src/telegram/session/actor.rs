//! The session's actor owns its observed state and its login process.
//!
//! It hears what runner, pump and callers observe and turns that into states, each stored together with
//! its event before anyone sees it. It tells the manager when nothing is left to run. Calls to Telegram do
//! not pass through it, except those of a login. It does not promise that an observation made while it is
//! being restarted arrives: its siblings are restarted with it and observe anew.

use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};

use super::login::{self, CodeSent};
use super::state::{self, Observation};
use super::{Context, DRAIN, LIVENESS};
use crate::base::Timestamp;
use crate::model::{EventBody, SessionState};
use crate::runtime::{ChildSpec, Shutdown};
use crate::telegram::error::TelegramError;
use crate::telegram::incident;
use crate::telegram::link::Link;
use crate::telegram::manager;
use crate::telegram::reply::answer;

/// How often deadlines are looked at.
const TICK: Duration = Duration::from_secs(5);

/// How long a login waits for a connection.
const CONNECT_PATIENCE: Duration = Duration::from_secs(20);

/// What the actor hears.
pub(crate) enum Msg {
    /// Something was observed.
    Observed(Observation),
    /// All dialogs have been read.
    DialogsRead,
    /// Have a code sent to this number.
    RequestCode(String, RpcReplyPort<Result<CodeSent, TelegramError>>),
    /// Hand in the code.
    SubmitCode(String, RpcReplyPort<Result<(), TelegramError>>),
    /// Give the login up.
    CancelLogin(RpcReplyPort<Result<(), TelegramError>>),
    /// Look at the deadlines.
    Tick,
}

/// The actor as a child of the session's supervisor.
pub(super) fn child(context: &Arc<Context>, link: &Arc<Link>) -> ChildSpec {
    let (context, link) = (context.clone(), link.clone());
    ChildSpec::actor("session", move |spawn| {
        let args = Args {
            context: context.clone(),
            link: link.clone(),
        };
        async move { spawn.spawn(SessionActor, args).await }
    })
    .shutdown(Shutdown::Drain(DRAIN))
    .liveness(LIVENESS)
}

struct SessionActor;

/// What an incarnation begins with.
struct Args {
    context: Arc<Context>,
    link: Arc<Link>,
}

/// What it keeps.
struct State {
    context: Arc<Context>,
    link: Arc<Link>,
    lost: Lost,
}

/// Whether the absence of the session has been told.
enum Lost {
    /// It is there.
    No,
    /// It is away since then; nobody was told yet.
    Since(Timestamp, String),
    /// It is away, and that was told.
    Told,
}

impl Actor for SessionActor {
    type Msg = Msg;
    type State = State;
    type Arguments = Args;

    async fn pre_start(&self, myself: ActorRef<Msg>, args: Args) -> Result<State, ActorProcessingErr> {
        args.link.actor.set(myself.clone());
        args.link.count_start();
        myself.send_interval(TICK, || Msg::Tick);
        Ok(State {
            context: args.context,
            link: args.link,
            lost: Lost::No,
        })
    }

    async fn handle(
        &self,
        _myself: ActorRef<Msg>,
        message: Msg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        // Boxed: between messages an idle session would keep room for the widest of these futures.
        Box::pin(state.take(message)).await;
        Ok(())
    }
}

impl State {
    async fn take(&mut self, message: Msg) {
        match message {
            Msg::Observed(observation) => self.observed(observation).await,
            Msg::DialogsRead => self.dialogs_read().await,
            Msg::RequestCode(phone, reply) => answer(reply, self.request_code(&phone).await),
            Msg::SubmitCode(code, reply) => answer(reply, self.submit_code(&code).await),
            Msg::CancelLogin(reply) => answer(reply, self.abandon_login("CANCELLED").await),
            Msg::Tick => self.tick().await,
        }
    }

    async fn observed(&mut self, observation: Observation) {
        // Word of a connection that is gone meanwhile.
        if observation == Observation::CaughtUp && !self.link.is_caught_up() {
            return;
        }
        let online = observation == Observation::Online;
        self.learn(observation).await;
        // The pump may have been done before the runner had its first answer.
        if online && self.link.is_caught_up() {
            self.learn(Observation::CaughtUp).await;
        }
    }

    async fn learn(&mut self, mut observation: Observation) {
        let now = Timestamp::now();
        if observation == Observation::CaughtUp && self.rests().await.unwrap_or(false) {
            observation = Observation::CaughtUpResting;
        }
        let changed = self
            .link
            .change(&self.context.store, |account| {
                let authorised = account.user_id.is_some();
                let Some((to, reason)) = state::next(account.state, authorised, &observation) else {
                    return (None, vec![]);
                };
                let from = std::mem::replace(&mut account.state, to);
                account.since = now;
                account.reason = reason.clone();
                let mut events = vec![EventBody::SessionState {
                    from,
                    to,
                    reason: reason.clone(),
                }];
                if let Observation::Ended(_, word) = &observation {
                    account.login = None;
                    events.push(EventBody::SessionExpired { reason: word.clone() });
                }
                (Some((to, reason)), events)
            })
            .await;
        match changed {
            Ok(Some((to, reason))) => self.follow(to, reason).await,
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(session = %self.link.id, error = %error, "a state was not stored");
            }
        }
    }

    /// What a new state brings with it.
    async fn follow(&mut self, to: SessionState, reason: Option<String>) {
        tracing::info!(session = %self.link.id, state = to.as_str(), reason = reason.as_deref(), "session");
        match to {
            SessionState::TransientDisconnect => {
                self.lost = Lost::Since(Timestamp::now(), reason.unwrap_or_default());
            }
            SessionState::Connected | SessionState::Restricted => self.restored().await,
            state if state.is_terminal() => {
                let ended = manager::Msg::Ended(self.link.id);
                if self.context.manager.cast(ended).await.is_err() {
                    tracing::warn!(session = %self.link.id, "nobody took note of the session's end");
                }
            }
            _ => {}
        }
    }

    async fn restored(&mut self) {
        if let Lost::Told = std::mem::replace(&mut self.lost, Lost::No) {
            self.tell(EventBody::SessionRestored).await;
        }
    }

    /// Whether the account rests after a peer flood; none if the limiter is away.
    async fn rests(&self) -> Option<bool> {
        let rests = self.context.limiter.rests_until(self.link.id).await;
        rests.ok().map(|until| until.is_some())
    }

    async fn tick(&mut self) {
        let now = Timestamp::now();
        if self.link.state() == SessionState::Restricted && self.rests().await == Some(false) {
            self.observed(Observation::Rested).await;
        }
        let grace = *self.context.config.lost_after;
        if let Lost::Since(since, reason) = &self.lost
            && now.since(*since) >= grace
        {
            let reason = reason.clone();
            self.lost = Lost::Told;
            self.tell(EventBody::SessionLost { reason }).await;
        }
        let expired = self
            .link
            .account()
            .login
            .is_some_and(|login| login.expires_at <= now);
        if expired && let Err(error) = self.abandon_login("EXPIRED").await {
            tracing::warn!(session = %self.link.id, error = %error, "a login did not end");
        }
    }

    async fn tell(&self, event: EventBody) {
        if let Err(error) = self.link.change(&self.context.store, |_| ((), vec![event])).await {
            tracing::warn!(session = %self.link.id, error = %error, "an event was not stored");
        }
    }

    async fn dialogs_read(&self) {
        let changed = self.link.change(&self.context.store, |account| {
            account.dialogs_read = true;
            ((), vec![])
        });
        if let Err(error) = changed.await {
            tracing::warn!(session = %self.link.id, error = %error, "the dialogs will be read again");
        }
    }

    async fn request_code(&mut self, phone: &str) -> Result<CodeSent, TelegramError> {
        self.observed(Observation::LoginBegan).await;
        self.until_client().await?;
        let sent = login::request_code(&self.context, &self.link, phone).await;
        if sent.is_err() && self.link.account().login.is_none() {
            self.observed(Observation::LoginAbandoned("CODE_NOT_SENT")).await;
        }
        sent
    }

    async fn submit_code(&mut self, code: &str) -> Result<(), TelegramError> {
        if self.link.account().login.is_none() {
            return Err(TelegramError::NoLogin);
        }
        self.until_client().await?;
        let submitted = login::submit_code(&self.context, &self.link, code).await;
        match &submitted {
            Ok(()) => {
                incident::settle(&self.context.incidents, self.link.id).await;
                self.follow(SessionState::CatchingUp, None).await;
            }
            Err(TelegramError::PasswordRequired) => self.abandon_login("PASSWORD_REQUIRED").await?,
            Err(_) => {}
        }
        submitted
    }

    async fn abandon_login(&mut self, word: &'static str) -> Result<(), TelegramError> {
        let had = self
            .link
            .change(&self.context.store, |account| {
                let events = login::abandon(account, word);
                (!events.is_empty(), events)
            })
            .await?;
        if had {
            self.observed(Observation::LoginAbandoned(word)).await;
        }
        Ok(())
    }

    /// A login begins with a subtree that has just been started: its connection needs a moment.
    async fn until_client(&self) -> Result<(), TelegramError> {
        let mut waited = Duration::ZERO;
        let step = Duration::from_millis(50);
        while let Err(error) = self.link.client() {
            if waited >= CONNECT_PATIENCE {
                return Err(error);
            }
            tokio::time::sleep(step).await;
            waited += step;
        }
        Ok(())
    }
}
