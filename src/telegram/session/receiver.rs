//! The receiver turns what a connection pushes into ordered batches, and asks for what is missing.
//!
//! Order and positions are kept by grammers' message boxes. The calls for differences are made here, because only
//! their answers show what no batch tells: that Telegram found a difference too long and leaves messages out. That
//! is told as an arrival of its own, before anything that came later. Reading what was left out is not its business.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use grammers_client::InvocationError;
use grammers_client::session::updates::{MessageBoxes, PrematureEndReason, UpdateAndPeers, UpdatesLike};
use grammers_client::tl;
use tokio::time::{timeout, timeout_at};

use super::Context;
use crate::base::SessionId;
use crate::model::ChatId;
use crate::runtime::BoxError;
use crate::telegram::link::{Connection, Link};
use crate::telegram::peers;
use crate::telegram::tables::Peers;

/// Events in one difference of a channel; Telegram gives an account no more.
const CHANNEL_EVENTS: i32 = 100;

/// The number of refusals that ask to wait.
const FLOOD: i32 = 420;

/// What arrived.
pub(super) enum Arrival {
    /// Updates in their order, with the users and chats they speak of.
    Updates(UpdateAndPeers),
    /// Telegram jumped: messages of this channel were left out; without one, messages of all other chats.
    LeftOut(Option<ChatId>),
    /// Every difference that was due at the beginning has been told to its end. Comes once.
    Complete,
}

/// See the head of the file.
pub(super) struct Receiver {
    context: Arc<Context>,
    session: SessionId,
    link: Arc<Link>,
    connection: Connection,
    dc: i32,
    boxes: MessageBoxes,
    ready: VecDeque<Arrival>,
    complete: bool,
    /// Whether updates are missing that are being asked for.
    gap: bool,
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
        Ok(Self {
            dc: connection.handle.session.home_dc_id()?,
            boxes: MessageBoxes::load(state),
            ready: VecDeque::new(),
            complete: false,
            gap: false,
            context,
            session: link.id,
            link,
            connection,
        })
    }

    /// What arrives next. Dropping this loses what was under way: whoever began it has to see it through.
    ///
    /// # Errors
    /// If the connection ended, or Telegram refused to tell what was missed.
    pub async fn next(&mut self) -> Result<Arrival, InvocationError> {
        if self.boxes.is_empty() {
            let state = self.invoke(&tl::functions::updates::GetState {}).await?;
            let tl::enums::updates::State::State(state) = state;
            self.boxes.set_state(state);
        }
        loop {
            if let Some(arrival) = self.ready.pop_front() {
                return Ok(arrival);
            }
            let deadline = self.boxes.check_deadlines();
            if let Some(request) = self.boxes.get_difference() {
                self.fill(&request).await?;
            } else if let Some(request) = self.boxes.get_channel_difference() {
                self.fill_channel(request).await?;
            } else if !std::mem::replace(&mut self.complete, true) {
                return Ok(Arrival::Complete);
            } else {
                if std::mem::take(&mut self.gap) {
                    self.link.vitals.gap_filled();
                }
                match timeout_at(deadline.into(), self.connection.updates.recv()).await {
                    Ok(Some(updates)) => self.take(updates),
                    Ok(None) => return Err(InvocationError::Dropped("the updates ended")),
                    Err(_) => {}
                }
            }
        }
    }

    /// A flood wait is waited out here: nobody else would ask again, and updates would stay away unnoticed. So they
    /// would behind a call that is never answered: it ends as if the connection had.
    async fn invoke<R: tl::RemoteCall>(&self, request: &R) -> Result<R::Return, InvocationError> {
        loop {
            let answer = self.connection.handle.thin.invoke_in_dc(self.dc, request);
            let answer = timeout(*self.context.config.call_timeout, answer).await;
            let answer = answer.unwrap_or(Err(InvocationError::Dropped("the call took too long")));
            let wait = match &answer {
                Err(InvocationError::Rpc(refusal)) if refusal.code == FLOOD => refusal.value.unwrap_or(1),
                _ => return answer,
            };
            tracing::warn!(session = %self.session, wait_s = wait, "missed updates wait for Telegram");
            tokio::time::sleep(Duration::from_secs(wait.into())).await;
        }
    }

    fn take(&mut self, mut updates: UpdatesLike) {
        match &mut updates {
            UpdatesLike::Updates(tl::enums::Updates::Updates(it)) => self.keep_positions(&mut it.updates),
            UpdatesLike::Updates(tl::enums::Updates::Combined(it)) => self.keep_positions(&mut it.updates),
            _ => {}
        }
        // An error means that something is missing: the difference is asked for next.
        match self.boxes.process_updates(updates) {
            Ok(batch) => self.ready.push_back(Arrival::Updates(batch)),
            Err(_) => self.miss(),
        }
    }

    /// "Too long" may name the channel's present position. A box that went there would ask for nothing of what
    /// lies between: where we have a position of our own, that one counts.
    fn keep_positions(&self, updates: &mut [tl::enums::Update]) {
        for update in updates {
            if let tl::enums::Update::ChannelTooLong(it) = update
                && it.pts.is_some()
                && (self.boxes.session_state().channels.iter()).any(|known| known.id == it.channel_id)
            {
                it.pts = None;
            }
        }
    }

    /// Something is missing. What came while there was no connection is no gap.
    fn miss(&mut self) {
        if self.complete && !std::mem::replace(&mut self.gap, true) {
            self.link.vitals.gap_found();
        }
    }

    /// Asks what was missed of the account's own sequence.
    async fn fill(&mut self, request: &tl::functions::updates::GetDifference) -> Result<(), InvocationError> {
        use tl::enums::updates::Difference;
        let mut answer = self.invoke(request).await?;
        match &mut answer {
            Difference::Difference(it) => self.keep_positions(&mut it.other_updates),
            Difference::Slice(it) => self.keep_positions(&mut it.other_updates),
            Difference::TooLong(_) => self.ready.push_back(Arrival::LeftOut(None)),
            Difference::Empty(_) => {}
        }
        // Telegram is asked after a long silence, too: only what it has to tell was missing.
        if !matches!(answer, Difference::Empty(_)) {
            self.miss();
        }
        let batch = self.boxes.apply_difference(answer);
        self.ready.push_back(Arrival::Updates(batch));
        Ok(())
    }

    /// Asks what was missed of a channel.
    async fn fill_channel(
        &mut self,
        mut request: tl::functions::updates::GetChannelDifference,
    ) -> Result<(), InvocationError> {
        let channel = match &request.channel {
            tl::enums::InputChannel::Channel(it) => Some(ChatId::channel(it.channel_id)),
            _ => None,
        };
        let named = channel.and_then(|chat| {
            let known = self.context.store.get::<Peers>(&(self.session, chat.0));
            peers::input_channel(chat, known.ok().flatten().as_ref())
        });
        let Some(named) = named else {
            tracing::warn!(session = %self.session, "updates of a channel that is not known are left aside");
            self.boxes.end_channel_difference(PrematureEndReason::Banned);
            return Ok(());
        };
        request.channel = named;
        request.limit = CHANNEL_EVENTS;
        match self.invoke(&request).await {
            Ok(answer) => {
                if matches!(answer, tl::enums::updates::ChannelDifference::TooLong(_)) {
                    self.ready.push_back(Arrival::LeftOut(channel));
                }
                if !matches!(answer, tl::enums::updates::ChannelDifference::Empty(_)) {
                    self.miss();
                }
                let batch = self.boxes.apply_channel_difference(answer);
                self.ready.push_back(Arrival::Updates(batch));
            }
            Err(error) => match verdict(&error) {
                Some(reason) => {
                    tracing::info!(session = %self.session, %error, "a channel does not tell what was missed");
                    self.boxes.end_channel_difference(reason);
                }
                None => return Err(error),
            },
        }
        Ok(())
    }
}

/// Why a channel tells nothing for now; none if the refusal concerns more than this channel.
fn verdict(error: &InvocationError) -> Option<PrematureEndReason> {
    let InvocationError::Rpc(refusal) = error else {
        return None;
    };
    match (refusal.name.as_str(), refusal.code) {
        ("CHANNEL_PRIVATE" | "CHANNEL_INVALID", _) => Some(PrematureEndReason::Banned),
        // Telegram's own trouble: the next gap or time-out asks again.
        ("PERSISTENT_TIMESTAMP_OUTDATED", _) | (_, 500) => Some(PrematureEndReason::TemporaryServerIssues),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use grammers_client::sender::RpcError;

    use super::*;

    fn refused(name: &str, code: i32) -> Option<PrematureEndReason> {
        verdict(&InvocationError::Rpc(RpcError {
            code,
            name: name.to_owned(),
            value: None,
            caused_by: None,
        }))
    }

    #[test]
    fn only_what_concerns_a_channel_ends_with_it() {
        assert!(matches!(
            refused("CHANNEL_PRIVATE", 400),
            Some(PrematureEndReason::Banned)
        ));
        assert!(matches!(
            refused("HISTORY_GET_FAILED", 500),
            Some(PrematureEndReason::TemporaryServerIssues)
        ));
        assert!(refused("FLOOD_WAIT", 420).is_none());
        assert!(refused("AUTH_KEY_UNREGISTERED", 401).is_none());
        assert!(verdict(&InvocationError::Dropped("cut")).is_none());
    }
}
