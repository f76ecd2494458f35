//! The receiver turns what a connection pushes into what may be stored, and asks for what is missing.
//!
//! The rules of order are the sequencer's (`telegram/updates`); the calls are made here, several at a time but one for
//! each sequence, so that a channel that refuses or has to wait holds nobody else up. What Telegram leaves out is told
//! as a jump, before anything that came later. Reading what was left out is not its business.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use grammers_client::InvocationError;
use grammers_client::sender::RpcError;
use grammers_client::session::updates::UpdatesLike;
use grammers_client::tl;
use tokio::time::sleep_until;

use super::{Context, Observation};
use crate::base::{SessionId, Timestamp};
use crate::limiter::{Cause, CostClass};
use crate::model::ChatId;
use crate::model::Refusal as Class;
use crate::runtime::BoxError;
use crate::telegram::error::wants_introduction;
use crate::telegram::link::{Connection, Link};
use crate::telegram::peers::{self, Departure};
use crate::telegram::refusals::classify;
use crate::telegram::tables::Peers;
use crate::telegram::updates::read::{self, Pushed};
use crate::telegram::updates::{Batch, Key, Out, Polls, Refusal, Request, Sequencer, State, Stored};

/// Events in one difference of a channel; Telegram gives an account no more.
const CHANNEL_EVENTS: i32 = 100;

/// The number of refusals that ask to wait.
const FLOOD: i32 = 420;

/// Why a channel is not asked whose access hash is not known.
const UNNAMED: &str = "ACCESS_HASH_UNKNOWN";

/// A wait that names no time takes so long.
const UNNAMED_WAIT: Duration = Duration::from_secs(60);

/// A rest of so long with the account's own difference is shown as a state of the session.
const BEHIND: Duration = Duration::from_secs(10);

/// Updates with the state behind each, and the users and chats they speak of.
pub(super) type Updates = (
    Vec<(read::Update, State)>,
    Vec<tl::enums::User>,
    Vec<tl::enums::Chat>,
);

/// What arrived.
pub(super) enum Arrival {
    /// Updates in their order.
    Updates(Updates),
    /// A sequence moved without an update that says so.
    Stands(State),
    /// Telegram jumped: messages of this channel were left out; without one, messages of all other chats. It goes on at
    /// this state, which is stored together with the mark that something is missing.
    Jump {
        channel: Option<ChatId>,
        to: Option<State>,
    },
    /// A channel tells this account nothing for now, in Telegram's word.
    Lost { channel: ChatId, word: String },
    /// Every difference that was due has been told to its end: once after the beginning, and after each `Behind`.
    Complete,
    /// What was missed is not told for a while, in Telegram's word.
    Behind { word: String },
}

/// Telegram's answer to a request of the sequencer.
enum Answer {
    Difference(Box<tl::enums::updates::Difference>),
    Present(tl::enums::updates::State),
    ChannelDifference(Box<tl::enums::updates::ChannelDifference>),
    ChannelPresent(Box<tl::enums::messages::PeerDialogs>),
}

/// Why there is no answer.
enum Unanswered {
    /// The channel cannot be named: its access hash is not known.
    Unnamed,
    /// The call failed.
    Failed(InvocationError),
}

/// See the head of the file.
pub(super) struct Receiver {
    context: Arc<Context>,
    link: Arc<Link>,
    connection: Connection,
    sequencer: Sequencer<read::Update, read::Peers>,
    polls: Polls,
    calls: FuturesUnordered<BoxFuture<'static, (Request, Result<Answer, Unanswered>)>>,
    /// In whose word a channel refused last.
    words: HashMap<i64, String>,
    complete: bool,
    /// Whether the account's own difference is not told for a while, as it was said.
    behind: bool,
    /// In whose word the account's own difference was refused last.
    word: String,
    /// Whether what is asked for is what a call of one's own has done.
    own_doing: bool,
}

impl Receiver {
    /// A receiver that goes on where the session's stored state ends.
    ///
    /// # Errors
    /// If the store does not give that state.
    pub async fn new(
        context: Arc<Context>,
        link: Arc<Link>,
        connection: Connection,
    ) -> Result<Self, BoxError> {
        let state = connection.handle.session.updates_state().await?;
        let stored = Stored {
            pts: state.pts,
            qts: state.qts,
            date: state.date,
            seq: state.seq,
            channels: state.channels.iter().map(|known| (known.id, known.pts)).collect(),
        };
        let now = Instant::now();
        let mut sequencer = Sequencer::new(now, &stored);
        for (channel, until) in waits(&context, link.id).await {
            let span = until.since(Timestamp::now());
            sequencer.rest(channel, now + span);
        }
        Ok(Self {
            sequencer,
            polls: Polls::new(*context.config.poll_pace, *context.config.poll_rest, now),
            calls: FuturesUnordered::new(),
            words: HashMap::new(),
            complete: false,
            behind: false,
            word: String::new(),
            own_doing: false,
            context,
            link,
            connection,
        })
    }

    /// What arrives next. Dropping this loses what was under way: whoever began it has to see it through.
    ///
    /// # Errors
    /// If the connection ended.
    pub async fn next(&mut self) -> Result<Arrival, InvocationError> {
        loop {
            if let Some(out) = self.sequencer.told() {
                if let Some(arrival) = self.arrival(out) {
                    return Ok(arrival);
                }
                continue;
            }
            let now = Instant::now();
            self.poll(now);
            while let Some(request) = self.sequencer.next_request(now) {
                self.calls.push(self.call(request));
            }
            if self.complete && !self.sequencer.has_gap() {
                self.own_doing = false;
                self.link.vitals.gap_filled();
            }
            if let Some(arrival) = self.turn(now) {
                return Ok(arrival);
            }
            let deadline = self.sequencer.deadline().min(self.polls.due());
            tokio::select! {
                Some((request, answer)) = self.calls.next(), if !self.calls.is_empty() => {
                    self.take_answer(request, answer)?;
                }
                pushed = self.connection.updates.recv() => match pushed {
                    Some(updates) => self.take(updates)?,
                    None => return Err(InvocationError::Dropped("the updates ended")),
                },
                () = sleep_until(deadline.into()) => {}
            }
        }
    }

    fn arrival(&mut self, out: Out<read::Update, read::Peers>) -> Option<Arrival> {
        Some(match out {
            Out::Updates(batch) => {
                let updates = updates(batch);
                self.forget_departed(&updates.2);
                Arrival::Updates(updates)
            }
            Out::Stands(state) => Arrival::Stands(state),
            Out::Jump { key, to } => {
                let channel = match key {
                    Key::Channel(channel) => Some(ChatId::channel(channel)),
                    Key::Account => None,
                    // Nothing of the second sequence becomes an event of ours.
                    Key::Secondary => return to.map(Arrival::Stands),
                };
                Arrival::Jump { channel, to }
            }
            Out::Lost { channel } => Arrival::Lost {
                channel: ChatId::channel(channel),
                word: self.words.remove(&channel).unwrap_or_default(),
            },
            Out::Complete => {
                self.complete = true;
                Arrival::Complete
            }
        })
    }

    /// Channels from which the account departs by this batch, of which chats come along, are not asked any more. Whether
    /// it was in them is read where the pen reads it, which stores nothing of a batch before it has it.
    fn forget_departed(&mut self, chats: &[tl::enums::Chat]) {
        for departure in peers::departures(chats) {
            let (Departure::Left(chat) | Departure::Forbidden(chat)) = departure else {
                continue;
            };
            let known = || self.context.store.get::<Peers>(&(self.link.id, chat.0));
            if chat.is_channel() && known().ok().flatten().is_some_and(|known| known.member) {
                self.sequencer.forget(chat.bare());
                self.words.remove(&chat.bare());
            }
        }
    }

    /// Whether the session has fallen behind, or is behind no more, if that has changed.
    fn turn(&mut self, now: Instant) -> Option<Arrival> {
        let rests = self.sequencer.rests_until();
        let long = rests.is_some_and(|until| until >= now + BEHIND);
        if self.complete && long && !self.behind {
            self.behind = true;
            let word = self.word.clone();
            return Some(Arrival::Behind { word });
        }
        let over = self.behind && self.sequencer.account_is_told();
        self.behind &= !over;
        over.then_some(Arrival::Complete)
    }

    /// # Errors
    /// If the connection ended.
    fn take(&mut self, updates: UpdatesLike) -> Result<(), InvocationError> {
        let now = Instant::now();
        // A short form names people by number only. Somebody unknown comes with a name in the difference.
        let strangers = read::named_by_number(&updates).any(|user| !self.knows(user));
        let place = read::place_of_short(&updates);
        let pushed = if strangers {
            Pushed::LostTrack
        } else {
            read::pushed(updates, self.link.account().user_id)
        };
        match pushed {
            Pushed::Packet(packet) => self.sequencer.push(now, packet),
            Pushed::LostTrack => {
                self.sequencer.lost_track(now);
                if let Some(pts) = place {
                    self.sequencer.known_behind(now, pts);
                }
                self.miss();
            }
            Pushed::Changed(pts) => {
                self.own_doing |= !self.sequencer.has_gap();
                self.sequencer.changed(now, pts);
            }
            Pushed::Closed => return Err(InvocationError::Dropped("the connection was closed")),
        }
        Ok(())
    }

    fn knows(&self, user: i64) -> bool {
        let key = (self.link.id, ChatId::user(user).0);
        // If the store cannot be read now, it does not keep the difference either.
        self.context.store.contains::<Peers>(&key).unwrap_or(true)
    }

    /// Asks a channel of which nobody says that something is missing, if it is time, and notes how long the one that
    /// waits longest has not been asked.
    fn poll(&mut self, now: Instant) {
        if now < self.polls.due() {
            return;
        }
        let interest = self.context.audience.interest(self.link.id);
        let lag = Polls::lag(now, self.sequencer.asked(), &interest);
        self.link
            .vitals
            .asked_since(lag.map(|lag| Timestamp::now().minus(lag)));
        if let Some(channel) = self.polls.turn(now, self.sequencer.pollable(now), &interest) {
            self.sequencer.poll(now, channel);
        }
    }

    /// Something is missing. What came while there was no connection is no gap.
    fn miss(&mut self) {
        if self.complete && !self.own_doing {
            self.link.vitals.gap_found();
        }
    }

    fn call(&self, request: Request) -> BoxFuture<'static, (Request, Result<Answer, Unanswered>)> {
        let (context, link) = (self.context.clone(), self.link.clone());
        let (number, wire) = (self.connection.number, self.connection.handle.clone());
        Box::pin(async move {
            let wire = (number, &wire);
            let answer = match request {
                Request::Account { pts, qts, date } => {
                    let call = tl::functions::updates::GetDifference {
                        pts,
                        pts_limit: None,
                        pts_total_limit: None,
                        date,
                        qts,
                        qts_limit: None,
                    };
                    let answer = link.invoke_by(wire, &call).await;
                    answer.map(|answer| Answer::Difference(Box::new(answer)))
                }
                Request::Present => {
                    let call = tl::functions::updates::GetState {};
                    link.invoke_by(wire, &call).await.map(Answer::Present)
                }
                Request::Channel { channel, pts } => {
                    let Some(channel) = input_channel(&context, &link, channel) else {
                        return (request, Err(Unanswered::Unnamed));
                    };
                    let call = tl::functions::updates::GetChannelDifference {
                        force: false,
                        channel,
                        filter: tl::enums::ChannelMessagesFilter::Empty,
                        pts,
                        limit: CHANNEL_EVENTS,
                    };
                    let answer = link.invoke_by(wire, &call).await;
                    answer.map(|answer| Answer::ChannelDifference(Box::new(answer)))
                }
                Request::ChannelPresent { channel } => {
                    let Some(peer) = input_peer(&context, &link, channel) else {
                        return (request, Err(Unanswered::Unnamed));
                    };
                    let call = tl::functions::messages::GetPeerDialogs {
                        peers: vec![tl::types::InputDialogPeer { peer }.into()],
                    };
                    let answer = link.invoke_by(wire, &call).await;
                    answer.map(|answer| Answer::ChannelPresent(Box::new(answer)))
                }
            };
            if let Err(InvocationError::Rpc(rpc)) = &answer
                && let Some(wait) = asked_wait(rpc)
            {
                let channel = request.channel().map(ChatId::channel);
                let limiter = &context.limiter;
                limiter.flooded(link.id, channel, CostClass::Updates, wait).await;
            }
            (request, answer.map_err(Unanswered::Failed))
        })
    }

    /// Tells the sequencer what became of its request.
    ///
    /// # Errors
    /// If the failure concerns more than what was asked.
    fn take_answer(
        &mut self,
        request: Request,
        answer: Result<Answer, Unanswered>,
    ) -> Result<(), InvocationError> {
        let now = Instant::now();
        match (request, answer) {
            (_, Ok(Answer::Difference(answer))) => {
                // Telegram is asked after a long silence, too: only what it has to tell was missing.
                if !matches!(*answer, tl::enums::updates::Difference::Empty(_)) {
                    self.miss();
                }
                self.sequencer.account_answered(now, read::difference(*answer));
            }
            (_, Ok(Answer::Present(state))) => self.sequencer.present_answered(now, read::present(state)),
            (Request::Channel { channel, .. }, Ok(Answer::ChannelDifference(answer))) => {
                self.words.remove(&channel);
                if !matches!(*answer, tl::enums::updates::ChannelDifference::Empty(_)) {
                    self.miss();
                }
                let difference = read::channel_difference(*answer);
                self.sequencer.channel_answered(now, channel, difference);
            }
            (Request::ChannelPresent { channel }, Ok(Answer::ChannelPresent(answer))) => {
                match read::channel_present(*answer) {
                    Some((pts, peers)) => self.sequencer.channel_present_answered(now, channel, pts, peers),
                    None => self.sequencer.refused(now, request, Refusal::Again),
                }
            }
            (_, Ok(_)) => self.sequencer.refused(now, request, Refusal::Again),
            (_, Err(Unanswered::Unnamed)) => {
                // Who has just come into a channel hears of it before its name is stored.
                let known = self.note_word(request, UNNAMED);
                let refusal = if known { Refusal::Lost } else { Refusal::Again };
                self.sequencer.refused(now, request, refusal);
            }
            (_, Err(Unanswered::Failed(error))) => match verdict(&request, &error) {
                Some(refusal) => {
                    tracing::info!(session = %self.link.id, %error, ?refusal, "what was missed is not told yet");
                    let word = match &error {
                        InvocationError::Rpc(rpc) => rpc.name.as_str(),
                        _ => "UNREADABLE",
                    };
                    match request.channel() {
                        Some(_) => {
                            self.note_word(request, word);
                            if let Refusal::Wait(span) = refusal {
                                self.polls.hold(now, span);
                            }
                        }
                        None => self.word = word.to_owned(),
                    }
                    if request.channel().is_none() && is_frozen(&error) {
                        self.link.observe(Observation::Frozen(self.word.clone()));
                    }
                    self.miss();
                    self.sequencer.refused(now, request, refusal);
                }
                None => return Err(error),
            },
        }
        Ok(())
    }

    /// Keeps why a channel tells nothing; whether that was the reason before.
    fn note_word(&mut self, request: Request, word: &str) -> bool {
        let Some(channel) = request.channel() else {
            return false;
        };
        let before = self.words.insert(channel, word.to_owned());
        before.is_some_and(|before| before == word)
    }
}

/// For how long a refusal asks to wait, if it says so.
fn asked_wait(rpc: &RpcError) -> Option<Duration> {
    let wait = rpc.value.filter(|wait| rpc.code == FLOOD && *wait > 0)?;
    Some(Duration::from_secs(wait.into()))
}

/// The waits with differences that Telegram asked for before, and that still run: of channels, and of the account.
async fn waits(context: &Context, session: SessionId) -> Vec<(Option<i64>, Timestamp)> {
    // Without the limiter they are asked for once more.
    let Ok(budgets) = context.limiter.budgets(session).await else {
        return Vec::new();
    };
    let of_account = (budgets.classes.iter())
        .filter(|class| class.class == CostClass::Updates && class.cause == Some(Cause::FloodWait))
        .filter_map(|class| Some((None, class.next?)));
    let of_channels = (budgets.waits.iter())
        .filter(|wait| wait.class == Some(CostClass::Updates))
        .map(|wait| (Some(wait.chat.bare()), wait.until));
    of_account.chain(of_channels).collect()
}

/// A batch as it is stored.
fn updates(batch: Batch<read::Update, read::Peers>) -> Updates {
    let (mut users, mut chats) = (Vec::new(), Vec::new());
    for peers in batch.peers {
        let peers = Arc::unwrap_or_clone(peers);
        users.extend(peers.users);
        chats.extend(peers.chats);
    }
    (batch.updates, users, chats)
}

fn input_channel(context: &Context, link: &Link, channel: i64) -> Option<tl::enums::InputChannel> {
    let chat = ChatId::channel(channel);
    let known = context.store.get::<Peers>(&(link.id, chat.0)).ok().flatten();
    peers::input_channel(chat, known.as_ref())
}

fn input_peer(context: &Context, link: &Link, channel: i64) -> Option<tl::enums::InputPeer> {
    let chat = ChatId::channel(channel);
    let known = context.store.get::<Peers>(&(link.id, chat.0)).ok().flatten();
    peers::input_peer(chat, known.as_ref())
}

/// What a failed call means for what was asked; none if it concerns the whole session. There is no refusal that ends
/// the updates: a call that names a channel is that channel's trouble, the account's own is asked again.
fn verdict(request: &Request, error: &InvocationError) -> Option<Refusal> {
    let rpc = match error {
        InvocationError::Rpc(rpc) => rpc,
        // An answer in a form that we do not know: the next one may be another.
        InvocationError::Deserialize(_) => return Some(Refusal::Again),
        _ => return None,
    };
    let ends = matches!(classify(rpc.code, &rpc.name, Timestamp::now()), Class::Ended(_));
    // A connection that has to introduce itself anew answers nothing any more: the next one does.
    if ends || wants_introduction(error) {
        return None;
    }
    let of_channel = matches!(request, Request::Channel { .. } | Request::ChannelPresent { .. });
    Some(match (rpc.code, rpc.name.as_str()) {
        (FLOOD, _) => Refusal::Wait(asked_wait(rpc).unwrap_or(UNNAMED_WAIT)),
        (_, "PERSISTENT_TIMESTAMP_INVALID" | "PERSISTENT_TIMESTAMP_EMPTY") => Refusal::Unknown,
        (400 | 403 | 404 | 406, _) if of_channel => Refusal::Lost,
        _ => Refusal::Again,
    })
}

fn is_frozen(error: &InvocationError) -> bool {
    let class = |rpc: &RpcError| classify(rpc.code, &rpc.name, Timestamp::now());
    matches!(error, InvocationError::Rpc(rpc) if class(rpc) == Class::Frozen)
}

#[cfg(test)]
mod tests {
    use grammers_client::sender::RpcError;

    use super::*;

    const CHANNEL: Request = Request::Channel { channel: 1, pts: 1 };
    const ACCOUNT: Request = Request::Account {
        pts: 1,
        qts: 0,
        date: 1,
    };

    fn refused(request: &Request, name: &str, code: i32, value: Option<u32>) -> Option<Refusal> {
        let error = RpcError {
            code,
            name: name.to_owned(),
            value,
            caused_by: None,
        };
        verdict(request, &InvocationError::Rpc(error))
    }

    #[test]
    fn a_channel_that_refuses_is_lost_alone_whatever_the_word() {
        for (code, name) in [
            (400, "CHANNEL_PRIVATE"),
            (406, "CHANNEL_PRIVATE"),
            (403, "CHANNEL_PUBLIC_GROUP_NA"),
            (400, "USER_BANNED_IN_CHANNEL"),
            (400, "FROZEN_PARTICIPANT_MISSING"),
            (403, "A_WORD_OF_TOMORROW"),
        ] {
            assert_eq!(refused(&CHANNEL, name, code, None), Some(Refusal::Lost), "{name}");
            assert_eq!(
                refused(&ACCOUNT, name, code, None),
                Some(Refusal::Again),
                "{name}"
            );
        }
    }

    #[test]
    fn only_the_end_of_an_authorisation_or_a_connection_ends_the_updates() {
        for request in [CHANNEL, ACCOUNT] {
            assert_eq!(
                refused(&request, "HISTORY_GET_FAILED", 500, None),
                Some(Refusal::Again)
            );
            assert_eq!(refused(&request, "Timeout", -503, None), Some(Refusal::Again));
            assert_eq!(
                refused(&request, "PERSISTENT_TIMESTAMP_INVALID", 400, None),
                Some(Refusal::Unknown)
            );
            assert_eq!(refused(&request, "AUTH_KEY_UNREGISTERED", 401, None), None);
            assert_eq!(refused(&request, "CONNECTION_NOT_INITED", 400, None), None);
            assert_eq!(refused(&request, "CONNECTION_LAYER_INVALID", 400, None), None);
            assert_eq!(verdict(&request, &InvocationError::Dropped("cut")), None);
        }
    }

    #[test]
    fn a_wait_is_as_long_as_it_says_and_never_nothing() {
        let wait = |value| refused(&ACCOUNT, "FLOOD_WAIT", FLOOD, value);
        assert_eq!(wait(Some(7)), Some(Refusal::Wait(Duration::from_secs(7))));
        assert_eq!(wait(Some(0)), Some(Refusal::Wait(UNNAMED_WAIT)));
        assert_eq!(
            refused(&CHANNEL, "FROZEN_METHOD_INVALID", FLOOD, None),
            Some(Refusal::Wait(UNNAMED_WAIT))
        );
    }
}
