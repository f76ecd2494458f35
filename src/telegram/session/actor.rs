//! The session's actor owns its observed state and its login process (`login`).
//!
//! It hears what runner, pump and callers observe and turns that into states, each stored together with
//! its event before anyone sees it. It tells the manager when nothing is left to run. Calls to Telegram do
//! not pass through it, except those of a login. It does not promise that an observation made while it is
//! being restarted arrives: its siblings are restarted with it and observe anew.

use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};

use super::login::Leading;
use super::state::{self, Observation};
use super::{Context, DRAIN, LIVENESS};
use crate::base::{Secret, Timestamp};
use crate::model::{EventBody, SessionState};
use crate::runtime::{ChildSpec, Shutdown};
use crate::telegram::error::TelegramError;
use crate::telegram::link::Link;
use crate::telegram::manager;
use crate::telegram::reply::answer;

/// How often deadlines are looked at.
const TICK: Duration = Duration::from_secs(5);

type Reply = RpcReplyPort<Result<(), TelegramError>>;

/// What the actor hears.
pub(crate) enum Msg {
    /// Something was observed.
    Observed(Observation),
    /// All dialogs have been read.
    DialogsRead,
    /// Show a QR, and have a code sent too if a number is given.
    RequestQr(Option<String>, Reply),
    /// Have a code sent to this number.
    RequestCode(String, Reply),
    /// Hand in the code.
    SubmitCode(Secret, Reply),
    /// Hand in the password.
    SubmitPassword(Secret, Reply),
    /// Give the login up.
    CancelLogin(Reply),
    /// Telegram says that the token of a QR was accepted.
    TokenAccepted,
    /// Follow the QR with the next, if this is the latest timer.
    RenewQr(u64),
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
pub(super) struct State {
    pub(super) context: Arc<Context>,
    pub(super) link: Arc<Link>,
    pub(super) myself: ActorRef<Msg>,
    pub(super) leading: Leading,
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
            myself,
            leading: Leading::default(),
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
            Msg::RequestQr(phone, reply) => answer(reply, self.request_qr(phone).await),
            Msg::RequestCode(phone, reply) => answer(reply, self.request_code(phone).await),
            Msg::SubmitCode(code, reply) => answer(reply, self.submit_code(code).await),
            Msg::SubmitPassword(password, reply) => answer(reply, self.submit_password(password).await),
            Msg::CancelLogin(reply) => answer(reply, self.abandon_login("CANCELLED").await),
            Msg::TokenAccepted => self.token_accepted().await,
            Msg::RenewQr(number) => self.renew(number).await,
            Msg::Tick => self.tick().await,
        }
    }

    pub(super) async fn observed(&mut self, observation: Observation) {
        // Word of a connection that is gone meanwhile.
        if observation == Observation::CaughtUp && !self.link.is_caught_up() {
            return;
        }
        let online = observation == Observation::Online;
        if online {
            self.login_goes_on().await;
        }
        self.learn(observation).await;
        // The pump may have been done before the runner had its first answer.
        if online && self.link.is_caught_up() {
            self.learn(Observation::CaughtUp).await;
        }
    }

    async fn learn(&mut self, mut observation: Observation) {
        if observation == Observation::CaughtUp && self.rests().await.unwrap_or(false) {
            observation = Observation::CaughtUpResting;
        }
        let changed = self
            .link
            .change(&self.context.store, |account| {
                let authorised = account.is_authorised();
                let Some((to, reason)) = state::next(account.state, &observation) else {
                    return (None, vec![]);
                };
                let mut events = vec![account.enter(to, reason.clone())];
                if let Observation::Ended(_, word) = &observation {
                    account.login = None;
                    if authorised {
                        events.push(EventBody::SessionExpired { reason: word.clone() });
                    }
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
    pub(super) async fn follow(&mut self, to: SessionState, reason: Option<String>) {
        tracing::info!(session = %self.link.id, state = to.as_str(), reason = reason.as_deref(), "session");
        match to {
            SessionState::TransientDisconnect => {
                self.lost = Lost::Since(Timestamp::now(), reason.unwrap_or_default());
            }
            SessionState::Connected | SessionState::Restricted | SessionState::Frozen => {
                self.restored().await;
            }
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
        self.login_ends_in_time().await;
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
}
