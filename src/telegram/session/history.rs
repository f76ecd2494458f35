//! Finding and filling what no difference told: messages between what is stored of a chat and its top.
//!
//! After `differenceTooLong` Telegram's position jumps and the messages in between are never sent. They are
//! read from the chats' histories instead, oldest first, and what is known already is dropped by name.

use std::sync::Arc;
use std::time::Duration;

use grammers_client::tl;

use super::commit::Pen;
use super::dialogs;
use super::{Context, pump};
use crate::base::Timestamp;
use crate::model::{ChatId, Message, MessageId};
use crate::store::{Scan, StoreError};
use crate::telegram::error::{ErrorClass, TelegramError};
use crate::telegram::from_tl::{self, Names};
use crate::telegram::limits;
use crate::telegram::link::Link;
use crate::telegram::peers;
use crate::telegram::requests;
use crate::telegram::tables::{HighWater, LeftOut, LeftOutMark, Peer, Peers};

/// Messages in one page: Telegram gives no more.
const PAGE: i32 = 100;

/// Messages in one commit.
const SLICE: usize = 64;

/// Whether there is something that Telegram left out and that is still to be read. What could not be read is not waited
/// for.
///
/// # Errors
/// If the store cannot be read.
pub(super) fn is_left_out(context: &Context, link: &Link) -> Result<bool, StoreError> {
    Ok(marks(context, link)?.iter().any(|(_, mark)| !mark.unreadable))
}

/// The marks of what was left out, with the place of each.
fn marks(context: &Context, link: &Link) -> Result<Vec<(i64, LeftOutMark)>, StoreError> {
    let marks = context
        .store
        .scan::<LeftOut>(Scan::prefix(&link.id), usize::MAX)?;
    Ok(marks
        .into_iter()
        .map(|((_, place), mark)| (place, mark))
        .collect())
}

/// Reads what was left out; then compares the tops of the recent chats with what is stored, and fills what lies
/// between. A chat that is new to us begins at `since`, not at its first message. False if it is `patient` and updates
/// are still on their way, so that it is too early to tell. What could not be read before is tried once each time that
/// is told.
///
/// # Errors
/// If a call failed or the store did not keep something.
pub(super) async fn catch_up(
    context: &Arc<Context>,
    link: &Arc<Link>,
    pen: &Pen,
    since: Timestamp,
    patient: bool,
) -> Result<bool, TelegramError> {
    let (unreadable, readable): (Vec<_>, Vec<_>) = marks(context, link)?
        .into_iter()
        .partition(|(_, mark)| mark.unreadable);
    read_left_out(context, link, pen, readable).await?;
    if patient && recently(link) && pump::server_pts(link).await? > pen.pts() {
        return Ok(false);
    }
    let page = dialogs::read_page(context, link, &dialogs::first_page()).await?;
    let again = unreadable.into_iter().filter_map(|(place, mark)| {
        let listed = page.peers.iter().find(|(chat, _)| chat.0 == place);
        let known = match listed {
            Some((_, peer)) => Ok(Some(peer.clone())),
            None => context.store.get::<Peers>(&(link.id, place)),
        };
        let worth_asking = known.map(|peer| is_open(ChatId(place), peer.as_ref()));
        worth_asking.map(|open| open.then_some((place, mark))).transpose()
    });
    let again = again.collect::<Result<Vec<_>, StoreError>>()?;
    read_left_out(context, link, pen, again).await?;
    for dialog in page.dialogs {
        let stored = context.store.get::<HighWater>(&(link.id, dialog.chat.0))?;
        if stored.is_none_or(|stored| stored < dialog.top) {
            let since = stored.is_none().then_some(since);
            let above = stored.unwrap_or(0);
            fill(context, link, pen, dialog.chat, above, since).await?;
        }
    }
    Ok(true)
}

/// Whether updates arrived so lately that more may follow.
fn recently(link: &Link) -> bool {
    let now = Timestamp::now();
    link.last_update()
        .is_some_and(|update| now.since(update) < Duration::from_secs(2))
}

/// Whether a chat that could not be read may be readable now: not a channel that the account is in no more.
fn is_open(chat: ChatId, peer: Option<&Peer>) -> bool {
    !chat.is_channel() || peer.is_none_or(|peer| peer.member)
}

/// Reads what differences left out. Chats in which more was written meanwhile look complete by their tops: what is
/// missing lies deeper, above the mark. The mark of a chat that cannot be read stays.
async fn read_left_out(
    context: &Arc<Context>,
    link: &Arc<Link>,
    pen: &Pen,
    marks: Vec<(i64, LeftOutMark)>,
) -> Result<(), TelegramError> {
    for (place, mark) in marks {
        let since = (mark.above == 0).then_some(mark.since);
        let chats = match place {
            0 => chats_above(context, link, mark.above).await?,
            channel => vec![ChatId(channel)],
        };
        let mut settled = true;
        for chat in chats {
            // What stands just below the mark is known, and may have been edited or deleted meanwhile.
            let below = (mark.above - PAGE).max(0);
            let Some(read) = fill(context, link, pen, chat, below, since).await? else {
                pen.keep_unreadable(place, chat, mark).await?;
                settled &= chat.0 != place;
                continue;
            };
            let unseen = (below + 1..=mark.above).filter(|id| read.binary_search(id).is_err());
            let known = pen.known(chat, unseen)?;
            let gone = if_readable(link, gone(context, link, chat, &known).await)?;
            pen.write_deleted(chat, gone.unwrap_or_default()).await?;
        }
        if settled {
            pen.settle_left_out(place).await?;
        }
    }
    Ok(())
}

/// The chats other than channels in which there are messages above this one: their numbers are of one sequence.
async fn chats_above(context: &Context, link: &Link, above: MessageId) -> Result<Vec<ChatId>, TelegramError> {
    let (mut chats, mut request, mut asked) = (Vec::new(), Some(dialogs::first_page()), Vec::new());
    while let Some(page_request) = request.take() {
        let page = dialogs::read_page(context, link, &page_request).await?;
        let before = chats.len();
        let wanted = page
            .dialogs
            .iter()
            .filter(|dialog| !dialog.chat.is_channel() && dialog.top > above);
        chats.extend(wanted.map(|dialog| dialog.chat));
        // The latest come first, but for those that are pinned.
        let in_order = |dialog: &dialogs::Dialog| !dialog.chat.is_channel() && !dialog.pinned;
        let others = page.dialogs.iter().any(in_order);
        if chats.len() > before || !others {
            asked.push(page_request);
            request = page.next.filter(|next| !asked.contains(next));
        }
    }
    Ok(chats)
}

/// None of a chat that cannot be read: it shall not keep the session from all others.
fn if_readable<T>(link: &Link, read: Result<T, TelegramError>) -> Result<Option<T>, TelegramError> {
    use ErrorClass as Class;
    match read {
        Err(error)
            if matches!(
                error.class(),
                Class::NoRights | Class::PeerInvalid | Class::MessageGone | Class::Refused
            ) =>
        {
            tracing::warn!(session = %link.id, error = %error, "a chat's history cannot be read");
            Ok(None)
        }
        read => read.map(Some),
    }
}

/// Reads a chat's history down to a message, and stores it; the numbers of what was read, in order, or none if the chat
/// cannot be read.
async fn fill(
    context: &Context,
    link: &Link,
    pen: &Pen,
    chat: ChatId,
    above: MessageId,
    since: Option<Timestamp>,
) -> Result<Option<Vec<MessageId>>, TelegramError> {
    let bounds = Bounds {
        above,
        since,
        most: context.config.history_fill_max,
    };
    let read = read_down(context, link, chat, &bounds).await;
    let Some((mut missing, complete)) = if_readable(link, read)?.flatten() else {
        return Ok(None);
    };
    if missing.is_empty() {
        return Ok(Some(Vec::new()));
    }
    link.count_gap();
    link.vitals.gap_found();
    metrics::counter!("trunkline_gaps_filled_total").increment(1);
    tracing::info!(session = %link.id, messages = missing.len(), complete, "a gap was filled from history");
    if !complete {
        pen.write_gap(chat, "HISTORY_TOO_LONG").await?;
    }
    // What comes live meanwhile stands above what is missing: only a mark says after a crash where to go on.
    let marked = missing.len() > SLICE && pen.mark_gap(chat, above).await?;
    missing.reverse();
    let read = missing.iter().map(|message| message.id).collect();
    while !missing.is_empty() {
        let rest = missing.split_off(missing.len().min(SLICE));
        pen.write_history(std::mem::replace(&mut missing, rest)).await?;
    }
    if marked {
        pen.settle_left_out(chat.0).await?;
    }
    if complete {
        link.vitals.gap_filled();
    }
    Ok(Some(read))
}

/// Which of these messages Telegram says are no more. Not to have read them proves nothing.
async fn gone(
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

/// How far down to read.
struct Bounds {
    above: MessageId,
    since: Option<Timestamp>,
    most: usize,
}

/// The messages above the bounds, newest first, and whether that is all of them; none if the chat cannot be
/// read.
async fn read_down(
    context: &Context,
    link: &Link,
    chat: ChatId,
    bounds: &Bounds,
) -> Result<Option<(Vec<Message>, bool)>, TelegramError> {
    let peer = context.store.get::<Peers>(&(link.id, chat.0))?;
    let Some(peer) = peers::input_peer(chat, peer.as_ref()) else {
        return Ok(None);
    };
    let mut found: Vec<Message> = Vec::new();
    loop {
        let offset_id = found.last().map_or(0, |message| message.id);
        let page = read_page(context, link, chat, peer.clone(), offset_id, bounds.above).await?;
        let read = page.len();
        let wanted = page
            .into_iter()
            .filter(|it| bounds.since.is_none_or(|since| it.date >= since));
        let before = found.len();
        found.extend(wanted);
        if read < PAGE as usize || found.len() - before < read {
            return Ok(Some((found, true)));
        }
        if found.len() >= bounds.most {
            return Ok(Some((found, false)));
        }
    }
}

/// One page of a history, newest first.
async fn read_page(
    context: &Context,
    link: &Link,
    chat: ChatId,
    peer: tl::enums::InputPeer,
    offset_id: MessageId,
    min_id: MessageId,
) -> Result<Vec<Message>, TelegramError> {
    let request = tl::functions::messages::GetHistory {
        offset_id,
        min_id,
        ..requests::get_history(peer, PAGE)
    };
    let answer = limits::read(&context.limiter, link, Some(chat), &request).await?;
    Ok(from_tl_messages(answer, link))
}

/// The messages of an answer, in its order, as this session's account sees them.
pub(crate) fn from_tl_messages(answer: tl::enums::messages::Messages, link: &Link) -> Vec<Message> {
    let (messages, chats, users) = match answer {
        tl::enums::messages::Messages::Messages(it) => (it.messages, it.chats, it.users),
        tl::enums::messages::Messages::Slice(it) => (it.messages, it.chats, it.users),
        tl::enums::messages::Messages::ChannelMessages(it) => (it.messages, it.chats, it.users),
        tl::enums::messages::Messages::NotModified(_) => return Vec::new(),
    };
    let names = Names::from_containers(&users, &chats).seen_by(link.account().user_id);
    messages
        .iter()
        .filter_map(|message| from_tl::message(message, &names))
        .collect()
}
