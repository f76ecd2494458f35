//! A session's chats and the messages in them, as callers ask for them: what it knows of chats, and effects that are
//! asked for one at a time. Pages of messages are read in `reading`.

use std::time::Duration;

use super::effects::Reach;
use super::error::TelegramError;
use super::handle::Telegram;
use super::outgoing::{Outgoing, Revision, SentPart};
use super::tables::{Peer, Peers};
use crate::base::{SessionId, Timestamp};
use crate::limiter::Patience;
use crate::model::{ChatId, ChatKind, Message, MessageId, SessionState};
use crate::store::Scan;

/// How long a connection has for a sign of life.
const SIGN_OF_LIFE: Duration = Duration::from_secs(3);

/// A chat as a session knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatInfo {
    /// Its id.
    pub id: ChatId,
    /// What it is.
    pub kind: ChatKind,
    /// Title, or the user's names.
    pub title: Option<String>,
    /// Public name, without the at sign.
    pub username: Option<String>,
    /// Whether forwarding from it is forbidden.
    pub protected: bool,
    /// Whether the account was in it once and is no more.
    pub left: bool,
    /// Whether it has topics; none where that is not known.
    pub forum: Option<bool>,
}

impl Telegram {
    /// Sends; a call that would wait longer than `patience` at the limiter is refused at once.
    ///
    /// # Errors
    /// See [`TelegramError::class`].
    pub async fn send(
        &self,
        id: SessionId,
        outgoing: &Outgoing,
        patience: impl Into<Patience>,
    ) -> Result<Vec<SentPart>, TelegramError> {
        let link = self.link_at_work(id).await?;
        self.effects(&link, patience).send(outgoing).await
    }

    /// Gives an own message another form.
    ///
    /// # Errors
    /// See [`TelegramError::class`].
    pub async fn edit(
        &self,
        id: SessionId,
        (chat, message): (ChatId, MessageId),
        form: &Revision,
        patience: impl Into<Patience>,
    ) -> Result<(), TelegramError> {
        let link = self.link_at_work(id).await?;
        self.effects(&link, patience).edit(chat, message, form).await
    }

    /// Deletes messages for everybody.
    ///
    /// # Errors
    /// See [`TelegramError::class`].
    pub async fn delete_messages(
        &self,
        id: SessionId,
        chat: ChatId,
        messages: Vec<MessageId>,
        patience: impl Into<Patience>,
    ) -> Result<(), TelegramError> {
        let link = self.link_at_work(id).await?;
        self.effects(&link, patience).delete(chat, messages).await
    }

    /// The account's own messages in a chat, newest first, as far back as it reaches (and perhaps some more).
    ///
    /// # Errors
    /// See [`TelegramError::class`].
    pub async fn own_recent(
        &self,
        id: SessionId,
        chat: ChatId,
        reach: Reach<'_>,
        patience: impl Into<Patience>,
    ) -> Result<Vec<Message>, TelegramError> {
        let link = self.link_at_work(id).await?;
        self.effects(&link, patience).own_recent(chat, reach).await
    }

    /// One message, if it is there.
    ///
    /// # Errors
    /// See [`TelegramError::class`].
    pub async fn message(
        &self,
        id: SessionId,
        (chat, message): (ChatId, MessageId),
        patience: impl Into<Patience>,
    ) -> Result<Option<Message>, TelegramError> {
        let link = self.link_at_work(id).await?;
        self.effects(&link, patience).message(chat, message).await
    }

    /// Since when a session has been told all that it missed; none while it is still being told. What a session that ended
    /// was not told does not come any more.
    pub fn told_since(&self, id: SessionId) -> Option<Timestamp> {
        use SessionState as S;
        let Ok(link) = self.link(id) else {
            return Some(Timestamp::default());
        };
        let account = link.account();
        match account.state {
            // The state is a stored one: it may be from before this process began.
            S::Connected | S::Restricted | S::Frozen => link.is_caught_up().then_some(account.since),
            S::Connecting | S::TransientDisconnect | S::CatchingUp => None,
            _ => Some(Timestamp::default()),
        }
    }

    /// Whether a session's connection has given a sign of life since then; it is asked for one, for a moment.
    pub async fn lives_since(&self, id: SessionId, since: Timestamp) -> bool {
        match self.link(id) {
            Ok(link) => link.lives_since(since, SIGN_OF_LIFE).await,
            Err(_) => true,
        }
    }

    /// Asks Telegram for a chat's record anew, which [`Self::chat`] shows then.
    ///
    /// # Errors
    /// See [`TelegramError::class`].
    pub async fn look_anew(
        &self,
        id: SessionId,
        chat: ChatId,
        patience: impl Into<Patience>,
    ) -> Result<(), TelegramError> {
        let link = self.link_at_work(id).await?;
        self.effects(&link, patience).look_anew(chat).await
    }

    /// Finds a chat by its public name.
    ///
    /// # Errors
    /// See [`TelegramError::class`].
    pub async fn resolve(
        &self,
        id: SessionId,
        username: &str,
        patience: impl Into<Patience>,
    ) -> Result<ChatId, TelegramError> {
        let link = self.link_at_work(id).await?;
        self.effects(&link, patience).resolve(username).await
    }

    /// The dialogs, and the groups and channels that the account is in, whose title or public name holds `query`, in any case.
    ///
    /// # Errors
    /// If there is no such session, or the store cannot be read.
    pub fn chats(&self, id: SessionId, query: Option<&str>) -> Result<Vec<ChatInfo>, TelegramError> {
        let link = self.link(id)?;
        let query = query.unwrap_or_default().to_lowercase();
        let holds = |text: &Option<String>| {
            text.as_ref()
                .is_some_and(|text| text.to_lowercase().contains(&query))
        };
        let rows = self
            .context
            .store
            .scan::<Peers>(Scan::prefix(&link.id), usize::MAX)?;
        let wanted = rows.into_iter().filter(|(_, peer)| {
            let listed = (peer.dialog || peer.member) && !peer.migrated;
            listed && (query.is_empty() || holds(&peer.title) || holds(&peer.username))
        });
        Ok(wanted.map(|((_, chat), peer)| info(ChatId(chat), peer)).collect())
    }

    /// A chat that the session has seen.
    ///
    /// # Errors
    /// If there is no such session, or the store cannot be read.
    pub fn chat(&self, id: SessionId, chat: ChatId) -> Result<Option<ChatInfo>, TelegramError> {
        let link = self.link(id)?;
        let peer = self.context.store.get::<Peers>(&(link.id, chat.0))?;
        Ok(peer.map(|peer| info(chat, peer)))
    }
}

fn info(chat: ChatId, peer: Peer) -> ChatInfo {
    let assumed = if chat.is_user() {
        ChatKind::Private
    } else if chat.is_channel() {
        ChatKind::Channel
    } else {
        ChatKind::Group
    };
    ChatInfo {
        id: chat,
        kind: peer.kind.unwrap_or(assumed),
        title: peer.title,
        username: peer.username,
        protected: peer.protected,
        left: peer.left || peer.migrated,
        forum: peer.forum,
    }
}
