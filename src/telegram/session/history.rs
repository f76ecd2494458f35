//! Finding and filling what no difference told: messages between what is stored of a chat and its top.
//!
//! After `differenceTooLong` Telegram's position jumps and the messages in between are never sent. They are
//! read from the chats' histories instead, oldest first, and what is known already is dropped by name.

use std::sync::Arc;
use std::time::Duration;

use grammers_client::tl;

use super::commit::Pen;
use super::dialogs::{self, Dialog};
use super::{Context, pump};
use crate::base::Timestamp;
use crate::limiter::{Ask, CostClass};
use crate::model::{ChatId, Message, MessageId};
use crate::telegram::error::TelegramError;
use crate::telegram::from_tl::{self, Names};
use crate::telegram::limits;
use crate::telegram::link::Link;
use crate::telegram::peers;
use crate::telegram::tables::{HighWater, Peers};

/// Messages in one page: Telegram gives no more.
const PAGE: i32 = 100;

/// Messages in one commit.
const SLICE: usize = 64;

/// How long a page may wait for its turn at the limiter.
const PATIENCE: Duration = Duration::from_secs(60);

/// Compares the tops of the recent chats with what is stored, and fills what lies between. False if
/// updates are still on their way, so that it is too early to tell.
///
/// # Errors
/// If a call failed or the store did not keep something.
pub(super) async fn catch_up(
    context: &Arc<Context>,
    link: &Arc<Link>,
    pen: &Pen,
) -> Result<bool, TelegramError> {
    if pump::server_pts(link).await? > pen.pts() && recently(link) {
        return Ok(false);
    }
    let page = dialogs::read_page(context, link, &dialogs::first_page()).await?;
    for dialog in page.dialogs {
        let stored = context.store.get::<HighWater>(&(link.id, dialog.chat.0))?;
        if stored.is_none_or(|stored| stored < dialog.top) {
            fill(context, link, pen, &dialog, stored).await?;
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

/// Reads a chat's history down to what is stored of it, and stores it.
async fn fill(
    context: &Context,
    link: &Link,
    pen: &Pen,
    dialog: &Dialog,
    stored: Option<MessageId>,
) -> Result<(), TelegramError> {
    // A chat that is new to us begins where our own updates left off, not at its first message.
    let since = stored.is_none().then(|| Timestamp::from_secs(pen.date().into()));
    let bounds = Bounds {
        above: stored.unwrap_or(0),
        since,
        most: context.config.history_fill_max,
    };
    let Some((mut missing, complete)) = read_down(context, link, dialog.chat, &bounds).await? else {
        return Ok(());
    };
    if missing.is_empty() {
        return Ok(());
    }
    link.count_gap();
    metrics::counter!("trunkline_gaps_filled_total").increment(1);
    tracing::info!(session = %link.id, messages = missing.len(), complete, "a gap was filled from history");
    if !complete {
        pen.write_gap(dialog.chat, "HISTORY_TOO_LONG").await?;
    }
    missing.reverse();
    while !missing.is_empty() {
        let rest = missing.split_off(missing.len().min(SLICE));
        pen.write_history(std::mem::replace(&mut missing, rest)).await?;
    }
    Ok(())
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
    let class = CostClass::History;
    let ask = Ask {
        session: link.id,
        chat: Some(chat),
        class,
        units: 1,
        patience: PATIENCE,
    };
    limits::pass(&context.limiter, ask).await?;
    let request = tl::functions::messages::GetHistory {
        peer,
        offset_id,
        offset_date: 0,
        add_offset: 0,
        limit: PAGE,
        max_id: 0,
        min_id,
        hash: 0,
    };
    let answer = link.invoke(&request).await;
    let answer = limits::heed(&context.limiter, link.id, Some(chat), class, answer).await?;
    Ok(from_tl_messages(answer))
}

/// The messages of an answer, in its order.
pub(crate) fn from_tl_messages(answer: tl::enums::messages::Messages) -> Vec<Message> {
    let (messages, chats, users) = match answer {
        tl::enums::messages::Messages::Messages(it) => (it.messages, it.chats, it.users),
        tl::enums::messages::Messages::Slice(it) => (it.messages, it.chats, it.users),
        tl::enums::messages::Messages::ChannelMessages(it) => (it.messages, it.chats, it.users),
        tl::enums::messages::Messages::NotModified(_) => return Vec::new(),
    };
    let names = Names::from_containers(&users, &chats);
    messages
        .iter()
        .filter_map(|message| from_tl::message(message, &names))
        .collect()
}
