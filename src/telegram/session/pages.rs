//! Pages of a chat's history, read downwards; and which messages of one are no more.
//!
//! Whom a page shows is kept, so that they can be named later. Nothing else is stored here.

use std::time::Duration;

use grammers_client::tl;

use super::Context;
use crate::base::Timestamp;
use crate::limiter::CostClass;
use crate::model::{ChatId, Message, MessageId};
use crate::telegram::error::TelegramError;
use crate::telegram::from_tl::{self, Names};
use crate::telegram::limits;
use crate::telegram::link::Link;
use crate::telegram::met::{self, Trust};
use crate::telegram::tables::Peers;
use crate::telegram::{peers, requests};

/// Messages in one page: Telegram gives no more.
pub(super) const PAGE: i32 = 100;

/// The rests between tries of a page, once others before it are read.
const SHORTEST_REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(300);
/// How often whoever rests says that it goes on.
const SIGN: Duration = Duration::from_secs(20);

/// How far down to read.
pub(super) struct Bounds {
    /// Nothing at this message or below it.
    pub above: MessageId,
    /// Nothing older, if that is said.
    pub since: Option<Timestamp>,
    /// So many messages, about, and no more.
    pub most: usize,
}

/// The messages above the bounds, newest first, and whether that is all of them; none if the chat cannot be
/// read.
///
/// # Errors
/// If a call failed, or the store.
pub(super) async fn read_down(
    context: &Context,
    link: &Link,
    chat: ChatId,
    bounds: &Bounds,
) -> Result<Option<(Vec<Message>, bool)>, TelegramError> {
    let peer = context.store.get::<Peers>(&(link.id, chat.0))?;
    let Some(peer) = peers::input_peer(chat, peer.as_ref()) else {
        return Ok(None);
    };
    let (mut found, mut offset_id) = (Vec::new(), 0);
    loop {
        let request = tl::functions::messages::GetHistory {
            offset_id,
            min_id: bounds.above,
            ..requests::get_history(peer.clone(), PAGE)
        };
        let answer = match limits::read(&context.limiter, link, Some(chat), &request).await {
            // What was read so far shall not be read again.
            Err(error) if offset_id != 0 && rested(&error, &|| {}).await => continue,
            answer => answer?,
        };
        let page = take(context, link, answer).await?;
        let too_old = |it: &Message| bounds.since.is_some_and(|since| it.date < since);
        let below = page.messages.iter().any(too_old);
        found.extend(page.messages.into_iter().filter(|it| !too_old(it)));
        let (Some(last), false) = (page.last, below || page.read < PAGE as usize) else {
            return Ok(Some((found, true)));
        };
        if found.len() >= bounds.most {
            return Ok(Some((found, false)));
        }
        offset_id = last;
    }
}

/// Rests before the same page is asked for again, if somebody asks to wait and that is not too long; whether it has.
/// Meanwhile it says that it goes on.
pub(crate) async fn rested(error: &TelegramError, goes_on: &(dyn Fn() + Send + Sync)) -> bool {
    let Some(mut rest) = rest_of(error) else {
        return false;
    };
    while !rest.is_zero() {
        let part = rest.min(SIGN);
        tokio::time::sleep(part).await;
        goes_on();
        rest -= part;
    }
    true
}

/// How long to rest before the same page is asked for again, if that is not too long.
fn rest_of(error: &TelegramError) -> Option<Duration> {
    let rest = error.class().until()?.since(Timestamp::now()).max(SHORTEST_REST);
    (rest <= LONGEST_REST).then_some(rest)
}

/// Which of these messages Telegram says are no more. Not to have read them proves nothing.
///
/// # Errors
/// If a call failed, or the store.
pub(super) async fn gone(
    context: &Context,
    link: &Link,
    chat: ChatId,
    ids: &[MessageId],
) -> Result<Vec<MessageId>, TelegramError> {
    let peer = context.store.get::<Peers>(&(link.id, chat.0))?;
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let id = ids
        .iter()
        .map(|id| tl::types::InputMessageId { id: *id }.into())
        .collect();
    let limiter = &context.limiter;
    let answer = match peers::input_channel(chat, peer.as_ref()) {
        Some(channel) => {
            let request = tl::functions::channels::GetMessages { channel, id };
            limits::read(limiter, link, Some(chat), &request).await?
        }
        None => {
            let request = tl::functions::messages::GetMessages { id };
            limits::read(limiter, link, Some(chat), &request).await?
        }
    };
    let messages = match answer {
        tl::enums::messages::Messages::Messages(it) => it.messages,
        tl::enums::messages::Messages::Slice(it) => it.messages,
        tl::enums::messages::Messages::ChannelMessages(it) => it.messages,
        tl::enums::messages::Messages::NotModified(_) => Vec::new(),
    };
    let empty = messages.into_iter().filter_map(|message| match message {
        tl::enums::Message::Empty(it) => Some(it.id),
        _ => None,
    });
    let mut empty: Vec<MessageId> = empty.filter(|id| ids.contains(id)).collect();
    if !empty.is_empty() && chat.is_channel() {
        // A history that is hidden from the account, or cleared for it alone, shows empty messages that still stand.
        let hidden = hidden_up_to(context, link, chat).await?;
        empty.retain(|id| *id > hidden);
    }
    Ok(empty)
}

/// Up to which message a channel's history is hidden from this account.
async fn hidden_up_to(context: &Context, link: &Link, chat: ChatId) -> Result<MessageId, TelegramError> {
    let peer = context.store.get::<Peers>(&(link.id, chat.0))?;
    let Some(channel) = peers::input_channel(chat, peer.as_ref()) else {
        return Ok(MessageId::MAX);
    };
    let request = tl::functions::channels::GetFullChannel { channel };
    let answer = limits::read(&context.limiter, link, Some(chat), &request).await?;
    let tl::enums::messages::ChatFull::Full(answer) = answer;
    Ok(match answer.full_chat {
        tl::enums::ChatFull::ChannelFull(full) => full.available_min_id.unwrap_or(0),
        tl::enums::ChatFull::Full(_) | tl::enums::ChatFull::CommunityFull(_) => 0,
    })
}

/// The account's own pts at Telegram.
pub(super) async fn server_pts(context: &Context, link: &Link) -> Result<i32, TelegramError> {
    let request = tl::functions::updates::GetState {};
    let answer = limits::made(&context.limiter, link, CostClass::Other, &request).await?;
    let tl::enums::updates::State::State(state) = answer;
    Ok(state.pts)
}

/// Messages of an answer.
pub(crate) struct Page {
    /// In the answer's order, as this session's account sees them.
    pub messages: Vec<Message>,
    /// How many the answer had: some may be empty.
    pub read: usize,
    /// The last one's number, be it empty.
    pub last: Option<MessageId>,
}

/// Reads an answer, and keeps whom it shows.
///
/// # Errors
/// If the store did not keep it.
pub(crate) async fn take(
    context: &Context,
    link: &Link,
    answer: tl::enums::messages::Messages,
) -> Result<Page, TelegramError> {
    let (messages, chats, users) = match answer {
        tl::enums::messages::Messages::Messages(it) => (it.messages, it.chats, it.users),
        tl::enums::messages::Messages::Slice(it) => (it.messages, it.chats, it.users),
        tl::enums::messages::Messages::ChannelMessages(it) => (it.messages, it.chats, it.users),
        tl::enums::messages::Messages::NotModified(_) => (Vec::new(), Vec::new(), Vec::new()),
    };
    let shown = peers::of_containers(&users, &chats);
    met::keep(&context.store, link, shown, Trust::Passing).await?;
    let names = Names::from_containers(&users, &chats).seen_by(link.account().user_id);
    Ok(Page {
        read: messages.len(),
        last: messages.last().map(tl::enums::Message::id),
        messages: messages
            .iter()
            .filter_map(|message| from_tl::message(message, &names))
            .collect(),
    })
}
