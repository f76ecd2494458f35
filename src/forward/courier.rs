//! What forwarding asks of Telegram, as a trait, so that workers can be tried with a scripted one.

use futures_util::future::BoxFuture;

use tokio::sync::watch;

use crate::base::{Code, Coded, SessionId, Timestamp};
use crate::model::Refusal;
use crate::model::{ChatId, Message, MessageId};
use crate::telegram::{Outgoing, Patience, Reach, Revision, SentPart, Telegram, TelegramError};

/// A failed call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) class: Refusal,
    pub(super) code: Code,
    /// In words, without message text.
    pub(super) text: String,
}

impl Trouble {
    /// It was done, but what came of it was not told.
    pub(super) fn unclear() -> Self {
        Self {
            class: Refusal::Duplicate,
            code: Code::TelegramError,
            text: "Telegram did not say what was sent".to_owned(),
        }
    }
}

impl From<TelegramError> for Trouble {
    fn from(error: TelegramError) -> Self {
        Self {
            class: error.class(),
            code: error.code(),
            text: error.to_string(),
        }
    }
}

/// What is known of a chat before a pair is made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// There is no such session.
    NoSession,
    /// The session has not met the chat (yet).
    Unknown,
    /// It is there.
    Known {
        /// Whether forwarding from it is forbidden.
        protected: bool,
        /// Whether the session was in it once and is no more.
        left: bool,
        /// Whether it has topics; none where that is not known.
        forum: Option<bool>,
    },
}

pub(super) type Answer<'a, T> = BoxFuture<'a, Result<T, Trouble>>;

/// Telegram, as forwarding needs it.
pub(super) trait Courier: Send + Sync + 'static {
    fn send<'a>(
        &'a self,
        session: SessionId,
        outgoing: &'a Outgoing,
        patience: Patience,
    ) -> Answer<'a, Vec<SentPart>>;

    fn edit<'a>(
        &'a self,
        session: SessionId,
        place: (ChatId, MessageId),
        form: &'a Revision,
        patience: Patience,
    ) -> Answer<'a, ()>;

    fn delete(
        &self,
        session: SessionId,
        chat: ChatId,
        messages: Vec<MessageId>,
        patience: Patience,
    ) -> Answer<'_, ()>;

    /// Our messages of a chat, newest first, as far back as it reaches.
    fn own_recent<'a>(
        &'a self,
        session: SessionId,
        chat: ChatId,
        reach: Reach<'a>,
        patience: Patience,
    ) -> Answer<'a, Vec<Message>>;

    /// One message, if it is there.
    fn message(
        &self,
        session: SessionId,
        place: (ChatId, MessageId),
        patience: Patience,
    ) -> Answer<'_, Option<Message>>;

    /// The user that a session is, if it is known.
    fn own_user(&self, session: SessionId) -> Option<i64>;

    /// Since when a session has been told all that it missed; none while it is still being told.
    fn told_since(&self, session: SessionId) -> Option<Timestamp>;

    /// Whether a session's connection has given a sign of life since then, if it has one.
    fn lives_since(&self, session: SessionId, since: Timestamp) -> BoxFuture<'_, bool>;

    /// Has what is known of a chat be what Telegram says now.
    fn look_anew(&self, session: SessionId, chat: ChatId, patience: Patience) -> Answer<'_, ()>;

    /// What is known of a chat.
    fn sight(&self, session: SessionId, chat: ChatId) -> Result<Sight, Trouble>;

    /// Changes whenever a session was deleted.
    fn deletions(&self) -> watch::Receiver<u64>;
}

impl Courier for Telegram {
    fn send<'a>(
        &'a self,
        session: SessionId,
        outgoing: &'a Outgoing,
        patience: Patience,
    ) -> Answer<'a, Vec<SentPart>> {
        Box::pin(async move { Ok(Telegram::send(self, session, outgoing, patience).await?) })
    }

    fn edit<'a>(
        &'a self,
        session: SessionId,
        place: (ChatId, MessageId),
        form: &'a Revision,
        patience: Patience,
    ) -> Answer<'a, ()> {
        Box::pin(async move { Ok(Telegram::edit(self, session, place, form, patience).await?) })
    }

    fn delete(
        &self,
        session: SessionId,
        chat: ChatId,
        messages: Vec<MessageId>,
        patience: Patience,
    ) -> Answer<'_, ()> {
        Box::pin(async move { Ok(self.delete_messages(session, chat, messages, patience).await?) })
    }

    fn own_recent<'a>(
        &'a self,
        session: SessionId,
        chat: ChatId,
        reach: Reach<'a>,
        patience: Patience,
    ) -> Answer<'a, Vec<Message>> {
        Box::pin(async move { Ok(Telegram::own_recent(self, session, chat, reach, patience).await?) })
    }

    fn message(
        &self,
        session: SessionId,
        place: (ChatId, MessageId),
        patience: Patience,
    ) -> Answer<'_, Option<Message>> {
        Box::pin(async move { Ok(Telegram::message(self, session, place, patience).await?) })
    }

    fn own_user(&self, session: SessionId) -> Option<i64> {
        self.view(session).ok()?.account.user_id
    }

    fn told_since(&self, session: SessionId) -> Option<Timestamp> {
        Telegram::told_since(self, session)
    }

    fn lives_since(&self, session: SessionId, since: Timestamp) -> BoxFuture<'_, bool> {
        Box::pin(Telegram::lives_since(self, session, since))
    }

    fn look_anew(&self, session: SessionId, chat: ChatId, patience: Patience) -> Answer<'_, ()> {
        Box::pin(async move { Ok(Telegram::look_anew(self, session, chat, patience).await?) })
    }

    fn deletions(&self) -> watch::Receiver<u64> {
        self.deletions()
    }

    fn sight(&self, session: SessionId, chat: ChatId) -> Result<Sight, Trouble> {
        match self.chat(session, chat) {
            Ok(Some(info)) => Ok(Sight::Known {
                protected: info.protected,
                left: info.left,
                forum: info.forum,
            }),
            Ok(None) => Ok(Sight::Unknown),
            Err(TelegramError::UnknownSession) => Ok(Sight::NoSession),
            Err(error) => Err(error.into()),
        }
    }
}
