//! Looking at what is there, for callers: pages of a chat's messages, a search in them, a person.
//!
//! Every call passes the limiter. Nothing of it is kept but names and access hashes.

use grammers_client::tl;

use super::effects::Effects;
use super::error::TelegramError;
use super::handle::Telegram;
use super::met::Trust;
use super::peers;
use super::requests;
use super::session::take_messages;
use crate::base::{Secret, SessionId};
use crate::limiter::{CostClass, Patience};
use crate::model::Refusal;
use crate::model::refusal::Obstacle;
use crate::model::{ChatId, Message, MessageId};

/// Which messages of a chat.
#[derive(Clone, Debug)]
pub struct MessagePage {
    /// The chat.
    pub chat: ChatId,
    /// Only those before this one.
    pub before: Option<MessageId>,
    /// Only those that hold this.
    pub query: Option<String>,
    /// How many at most; Telegram gives no more than 100.
    pub limit: usize,
}

/// A person, as the account sees them.
#[derive(Clone, Debug)]
pub struct Contact {
    /// Telegram's number.
    pub id: i64,
    /// Given name.
    pub first_name: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
    /// Public name, without the at sign.
    pub username: Option<String>,
    /// The number, if the account may see it.
    pub phone: Option<Secret>,
    /// Whether it is a bot.
    pub bot: bool,
    /// Whether it stands in the account's contacts.
    pub contact: bool,
    /// Whether the account stands in theirs as well.
    pub mutual: bool,
    /// Whether it has Premium.
    pub premium: bool,
}

impl Effects<'_> {
    async fn page(&self, page: &MessagePage) -> Result<Vec<Message>, TelegramError> {
        let limit = i32::try_from(page.limit.min(100)).unwrap_or(100);
        let (peer, offset_id) = (self.peer(page.chat)?, page.before.unwrap_or(0));
        let chat = Some(page.chat);
        let answer = match &page.query {
            None => {
                let request = tl::functions::messages::GetHistory {
                    offset_id,
                    ..requests::get_history(peer, limit)
                };
                self.call(chat, CostClass::History, 1, &request).await?
            }
            Some(query) => {
                let request = tl::functions::messages::Search {
                    peer,
                    q: query.clone(),
                    from_id: None,
                    saved_peer_id: None,
                    saved_reaction: None,
                    top_msg_id: None,
                    filter: tl::enums::MessagesFilter::InputMessagesFilterEmpty,
                    min_date: 0,
                    max_date: 0,
                    offset_id,
                    add_offset: 0,
                    limit,
                    max_id: 0,
                    min_id: 0,
                    hash: 0,
                };
                self.call(chat, CostClass::History, 1, &request).await?
            }
        };
        Ok(take_messages(self.context, self.link, answer).await?.messages)
    }

    async fn contact(&self, user: i64) -> Result<Contact, TelegramError> {
        let nobody = || TelegramError::Rpc {
            class: Refusal::Hold(Obstacle::ChatUnknown),
            name: "USER_ID_INVALID".to_owned(),
        };
        let chat = ChatId::user(user);
        let known = peers::input_user(chat, self.known(chat)?.as_ref()).ok_or_else(nobody)?;
        let request = tl::functions::users::GetUsers { id: vec![known] };
        let found = self.call(None, CostClass::Other, 1, &request).await?;
        self.keep_peers(&found, &[], Trust::Passing).await?;
        match found.into_iter().next() {
            Some(tl::enums::User::User(user)) => Ok(Contact {
                id: user.id,
                first_name: user.first_name,
                last_name: user.last_name,
                username: user.username,
                phone: user
                    .phone
                    .map(|phone| Secret::new(format!("+{}", phone.trim_start_matches('+')))),
                bot: user.bot,
                contact: user.contact,
                mutual: user.mutual_contact,
                premium: user.premium,
            }),
            _ => Err(nobody()),
        }
    }
}

impl Telegram {
    /// A page of a chat's messages, newest first.
    ///
    /// # Errors
    /// See [`TelegramError::class`].
    pub async fn messages(
        &self,
        id: SessionId,
        page: &MessagePage,
        patience: impl Into<Patience>,
    ) -> Result<Vec<Message>, TelegramError> {
        let link = self.link_at_work(id).await?;
        self.effects(&link, patience).page(page).await
    }

    /// A person that the session has seen.
    ///
    /// # Errors
    /// See [`TelegramError::class`].
    pub async fn contact(
        &self,
        id: SessionId,
        user: i64,
        patience: impl Into<Patience>,
    ) -> Result<Contact, TelegramError> {
        let link = self.link_at_work(id).await?;
        self.effects(&link, patience).contact(user).await
    }
}
