//! Finding and filling what no difference told: messages between what is stored of a chat and its top.
//!
//! After `differenceTooLong` Telegram's position jumps and the messages in between are never sent. They are
//! read from the chats' histories instead, oldest first, and what is known already is dropped by name.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use grammers_client::InvocationError;

use super::Context;
use super::commit::Pen;
use super::dialogs;
use super::pages::{Bounds, PAGE, gone, read_down, server_pts};
use crate::base::Timestamp;
use crate::model::Refusal;
use crate::model::{ChatId, MessageId};
use crate::store::{Scan, StoreError};
use crate::telegram::error::TelegramError;
use crate::telegram::link::Link;
use crate::telegram::met::Trust;
use crate::telegram::tables::{HighWater, LeftOut, LeftOutMark, Peer, Peers};

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

/// When chats are compared.
#[derive(Clone, Copy)]
pub(super) struct Comparison {
    /// A chat that is new to us begins here, not at its first message.
    pub since: Timestamp,
    /// Whether it is worth waiting for updates that seem to be on their way.
    pub patient: bool,
    /// Whether it is the first over a connection: what comes live while the chats are asked for says nothing of what
    /// was missed before.
    pub first: bool,
}

/// Reads what was left out; then compares the tops of the recent chats with what is stored, and fills what lies
/// between. False if updates are still on their way, so that it is too early to tell. What could not be read before is
/// tried once each time that is told.
///
/// # Errors
/// If a call failed or the store did not keep something. A chat with which Telegram asks to wait does not keep the
/// others waiting: its mark stays, and the wait is told at the end.
pub(super) async fn catch_up(
    context: &Arc<Context>,
    link: &Arc<Link>,
    pen: &Pen,
    comparison: Comparison,
) -> Result<bool, TelegramError> {
    let (unreadable, readable): (Vec<_>, Vec<_>) = marks(context, link)?
        .into_iter()
        .partition(|(_, mark)| mark.unreadable);
    read_left_out(context, link, pen, readable).await?;
    if comparison.patient && recently(link) && server_pts(context, link).await? > pen.stored_pts()? {
        return Ok(false);
    }
    let before = high_water(context, link)?;
    let mut page = dialogs::read_page(context, link, &dialogs::first_page(), Trust::Passing).await?;
    if page.archive {
        let archived = dialogs::read_page(context, link, &dialogs::archived(), Trust::Passing).await?;
        page.dialogs.extend(archived.dialogs);
        page.peers.extend(archived.peers);
    }
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
    let after = if comparison.first {
        before
    } else {
        high_water(context, link)?
    };
    let mut waits = None;
    for dialog in page.dialogs {
        let stored = after.get(&dialog.chat).copied();
        if stored.is_some_and(|stored| stored >= dialog.top) {
            continue;
        }
        // A mark that is there says where to read, and its turn comes.
        let above = stored.unwrap_or(0);
        let Some(mark) = pen.mark_gap(dialog.chat, above, comparison.since).await? else {
            continue;
        };
        match fill(context, link, pen, dialog.chat, Reach::above(&mark, mark.above)).await {
            Ok(Some(_)) => pen.settle_left_out(dialog.chat.0, mark).await?,
            Ok(None) => pen.keep_unreadable(dialog.chat.0, dialog.chat, mark).await?,
            Err(error) if is_of_chat(&error) => waits = Some(error),
            Err(error) => return Err(error),
        }
    }
    waits.map_or(Ok(true), Err)
}

/// How far each chat is stored.
fn high_water(context: &Context, link: &Link) -> Result<HashMap<ChatId, MessageId>, StoreError> {
    let rows = context
        .store
        .scan::<HighWater>(Scan::prefix(&link.id), usize::MAX)?;
    Ok(rows
        .into_iter()
        .map(|((_, chat), id)| (ChatId(chat), id))
        .collect())
}

/// Whether the call is made again later, over the same connection: Telegram or the limiter refused it, or the answer has a
/// form that we do not know.
pub(super) fn is_for_later(error: &TelegramError) -> bool {
    matches!(
        error,
        TelegramError::Rpc { .. }
            | TelegramError::Limited(_)
            | TelegramError::Network(InvocationError::Deserialize(_))
    )
}

/// Whether other chats are read all the same.
fn is_of_chat(error: &TelegramError) -> bool {
    let for_all = matches!(
        error.class(),
        Refusal::Frozen | Refusal::Ended(_) | Refusal::Elsewhere | Refusal::Unavailable
    );
    is_for_later(error) && !for_all
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
    let mut waits = None;
    for (place, mark) in marks {
        let chats = match place {
            0 => {
                // One that has a mark of its own has its own turn.
                let own: HashSet<_> = self::marks(context, link)?
                    .into_iter()
                    .map(|(place, _)| place)
                    .collect();
                let mut chats = chats_above(context, link, mark.above).await?;
                chats.retain(|chat| !own.contains(&chat.0));
                chats
            }
            chat => vec![ChatId(chat)],
        };
        let mut settled = true;
        for chat in chats {
            match read_above(context, link, pen, chat, &mark).await {
                Ok(true) => {}
                Ok(false) => {
                    pen.keep_unreadable(place, chat, mark).await?;
                    settled &= chat.0 != place;
                }
                Err(error) if is_of_chat(&error) => {
                    // From now on it has a mark of its own, and the others are read.
                    pen.mark_gap(chat, mark.above, mark.since).await?;
                    settled &= chat.0 != place;
                    waits = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        if settled {
            pen.settle_left_out(place, mark).await?;
        }
    }
    waits.map_or(Ok(()), Err)
}

/// Reads what was left out of a chat above its mark, and which of those just below it are no more: they are known, and
/// may have been edited or deleted meanwhile. False if the chat cannot be read.
async fn read_above(
    context: &Context,
    link: &Link,
    pen: &Pen,
    chat: ChatId,
    mark: &LeftOutMark,
) -> Result<bool, TelegramError> {
    let below = (mark.above - PAGE).max(0);
    let Some(read) = fill(context, link, pen, chat, Reach::above(mark, below)).await? else {
        return Ok(false);
    };
    // What was not read down to there says nothing of what stands there.
    if read.first().is_some_and(|first| *first > mark.above) && read.len() >= context.config.history_fill_max
    {
        return Ok(true);
    }
    let unseen = (below + 1..=mark.above).filter(|id| read.binary_search(id).is_err());
    let known = pen.known(chat, unseen)?;
    // What is not known to be gone is asked for again.
    let Some(gone) = if_readable(link, gone(context, link, chat, &known).await)? else {
        return Ok(false);
    };
    pen.write_deleted(chat, gone).await?;
    Ok(true)
}

/// The chats other than channels in which there are messages above this one: their numbers are of one sequence.
async fn chats_above(context: &Context, link: &Link, above: MessageId) -> Result<Vec<ChatId>, TelegramError> {
    let (mut chats, mut wanted, mut asked) = (Vec::new(), vec![dialogs::first_page()], Vec::new());
    while let Some(request) = wanted.pop() {
        let page = dialogs::read_page(context, link, &request, Trust::Passing).await?;
        let before = chats.len();
        let higher = page
            .dialogs
            .iter()
            .filter(|dialog| !dialog.chat.is_channel() && dialog.top > above);
        chats.extend(higher.map(|dialog| dialog.chat));
        // The latest come first, but for those that are pinned.
        let in_order = |dialog: &dialogs::Dialog| !dialog.chat.is_channel() && !dialog.pinned;
        let others = page.dialogs.iter().any(in_order);
        asked.push(request);
        if page.archive {
            wanted.push(dialogs::archived());
        }
        if chats.len() > before || !others {
            wanted.extend(page.next);
        }
        wanted.retain(|next| !asked.contains(next));
    }
    Ok(chats)
}

/// None of a chat that cannot be read: it shall not keep the session from all others.
fn if_readable<T>(link: &Link, read: Result<T, TelegramError>) -> Result<Option<T>, TelegramError> {
    match read {
        Err(error) if matches!(error, TelegramError::Rpc { .. }) && !is_of_session(&error) => {
            tracing::warn!(session = %link.id, error = %error, "a chat's history cannot be read");
            Ok(None)
        }
        read => read.map(Some),
    }
}

/// Whether a refusal concerns more than the chat that was to be read, or comes to an end by itself.
fn is_of_session(error: &TelegramError) -> bool {
    matches!(
        error.class(),
        Refusal::Wait { .. }
            | Refusal::Uncertain
            | Refusal::PeerFlood
            | Refusal::Frozen
            | Refusal::Ended(_)
            | Refusal::Elsewhere
            | Refusal::Unavailable
    )
}

/// How far down a chat is read.
struct Reach {
    above: MessageId,
    since: Option<Timestamp>,
}

impl Reach {
    /// Down to this message; a chat of which nothing was stored, down to a time.
    fn above(mark: &LeftOutMark, above: MessageId) -> Self {
        let since = (mark.above == 0).then_some(mark.since);
        Self { above, since }
    }
}

/// Reads a chat's history down to a message, and stores it; the numbers of what was read, in order, or none if the chat
/// cannot be read. What comes live meanwhile stands above what is missing: there has to be a mark, which says after a
/// crash where to go on.
async fn fill(
    context: &Context,
    link: &Link,
    pen: &Pen,
    chat: ChatId,
    reach: Reach,
) -> Result<Option<Vec<MessageId>>, TelegramError> {
    let bounds = Bounds {
        above: reach.above,
        since: reach.since,
        most: context.config.history_fill_max,
    };
    let read = read_down(context, link, chat, &bounds).await;
    let Some((mut missing, complete)) = if_readable(link, read)?.flatten() else {
        return Ok(None);
    };
    missing.reverse();
    let read: Vec<MessageId> = missing.iter().map(|message| message.id).collect();
    let known = pen.known(chat, read.iter().copied())?;
    if known.len() < read.len() || !complete {
        link.count_gap();
        link.vitals.gap_read(complete);
        metrics::counter!("trunkline_gaps_filled_total").increment(1);
        tracing::info!(session = %link.id, messages = read.len(), complete, "a gap was filled from history");
    }
    if !complete {
        pen.write_gap(chat, reach.above, "HISTORY_TOO_LONG").await?;
    }
    while !missing.is_empty() {
        let rest = missing.split_off(missing.len().min(SLICE));
        pen.write_history(std::mem::replace(&mut missing, rest)).await?;
    }
    Ok(Some(read))
}
