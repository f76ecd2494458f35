//! Reading all dialogs once after a login: every chat's access hash, the pts of every channel, and, after an
//! account's first login, the message each chat begins at for us. After a later one of the same account a chat goes on
//! where it was left: what came meanwhile is read.

use std::sync::Arc;

use grammers_client::tl;
use tl::functions::messages::GetDialogs;

use super::pages::server_pts;
use super::{Context, Msg};
use crate::base::Timestamp;
use crate::model::{ChatId, MessageId};
use crate::store::{Batch, StoreError};
use crate::telegram::error::TelegramError;
use crate::telegram::from_tl::chat_id;
use crate::telegram::limits;
use crate::telegram::link::Link;
use crate::telegram::met::{self, Trust};
use crate::telegram::peers;
use crate::telegram::tables::{HighWater, LeftOut, LeftOutMark, Peer, Peers, StoredState, UpdateStates};

/// Dialogs in one page: Telegram gives no more.
const PAGE: i32 = 100;

/// The list of the chats that are put away.
const ARCHIVE: i32 = 1;

/// Pages read at most: 10,000 dialogs.
const MAX_PAGES: usize = 100;

/// A dialog, with what we need of it.
pub(super) struct Dialog {
    /// The chat.
    pub chat: ChatId,
    /// Its last message.
    pub top: MessageId,
    /// When that was written.
    pub date: Option<Timestamp>,
    /// The channel's pts, if it is one.
    pub pts: Option<i32>,
    /// Whether it is pinned: then it stands out of order.
    pub pinned: bool,
}

/// A page of dialogs, the most recent first, but for pinned ones.
pub(super) struct Page {
    /// The dialogs.
    pub dialogs: Vec<Dialog>,
    /// The chats and users behind them.
    pub peers: Vec<(ChatId, Peer)>,
    /// The request for what follows.
    pub next: Option<GetDialogs>,
    /// Whether a row stands for the chats of the archive, which are not among these then.
    pub archive: bool,
}

impl Page {
    /// The requests for what is not on this page: the archive, and what follows.
    pub fn more(&self) -> impl Iterator<Item = GetDialogs> + use<> {
        let archive = self.archive.then(archived);
        archive.into_iter().chain(self.next.clone())
    }
}

/// Reads all dialogs, unless that has been done since the last login.
///
/// # Errors
/// If a call failed or the store did not keep it; what was read so far is kept, and read again.
pub(super) async fn read_once(context: &Arc<Context>, link: &Arc<Link>) -> Result<(), TelegramError> {
    if link.account().dialogs_read {
        return Ok(());
    }
    let (mut wanted, mut asked) = (vec![first_page()], Vec::new());
    for _ in 0..MAX_PAGES {
        let Some(request) = wanted.pop() else { break };
        let page = read_page(context, link, &request, Trust::Asked).await?;
        let begun = begun(context, link, &page).await?;
        keep(context, link, &page, &begun).await?;
        asked.push(request);
        let more = page.more().filter(|next| !asked.contains(next));
        wanted.extend(more.collect::<Vec<_>>());
    }
    if !wanted.is_empty() {
        tracing::warn!(session = %link.id, dialogs = MAX_PAGES * PAGE as usize, "more dialogs than are read");
    }
    link.actor
        .cast(Msg::DialogsRead)
        .await
        .map_err(|_| TelegramError::Away)?;
    Ok(())
}

/// The request for the most recent dialogs.
pub(super) fn first_page() -> GetDialogs {
    GetDialogs {
        exclude_pinned: false,
        folder_id: None,
        offset_date: 0,
        offset_id: 0,
        offset_peer: tl::enums::InputPeer::Empty,
        limit: PAGE,
        hash: 0,
    }
}

/// The request for the most recent dialogs of the archive.
pub(super) fn archived() -> GetDialogs {
    GetDialogs {
        folder_id: Some(ARCHIVE),
        ..first_page()
    }
}

/// Reads one page.
///
/// # Errors
/// If the limiter or Telegram refused.
pub(super) async fn read_page(
    context: &Context,
    link: &Link,
    request: &GetDialogs,
    trust: Trust,
) -> Result<Page, TelegramError> {
    let answer = limits::read(&context.limiter, link, None, request).await?;
    let (dialogs, messages, chats, users, complete) = match answer {
        tl::enums::messages::Dialogs::Dialogs(it) => (it.dialogs, it.messages, it.chats, it.users, true),
        tl::enums::messages::Dialogs::Slice(it) => {
            let last = it.dialogs.is_empty();
            (it.dialogs, it.messages, it.chats, it.users, last)
        }
        tl::enums::messages::Dialogs::NotModified(_) => (vec![], vec![], vec![], vec![], true),
    };
    let peers = peers::of_containers(&users, &chats);
    met::keep(&context.store, link, peers.clone(), trust).await?;
    let archive = (dialogs.iter()).any(|dialog| matches!(dialog, tl::enums::Dialog::Folder(_)));
    let dialogs: Vec<Dialog> = dialogs
        .iter()
        .filter_map(|dialog| take(dialog, &messages))
        .collect();
    let next = if complete {
        None
    } else {
        page_after(request, &dialogs, &peers)
    };
    Ok(Page {
        dialogs,
        peers,
        next,
        archive,
    })
}

fn take(dialog: &tl::enums::Dialog, messages: &[tl::enums::Message]) -> Option<Dialog> {
    let tl::enums::Dialog::Dialog(dialog) = dialog else {
        return None;
    };
    let chat = chat_id(&dialog.peer);
    let date = messages.iter().find_map(|message| match message {
        tl::enums::Message::Message(it) => {
            (it.id == dialog.top_message && chat_id(&it.peer_id) == chat).then_some(it.date)
        }
        tl::enums::Message::Service(it) => {
            (it.id == dialog.top_message && chat_id(&it.peer_id) == chat).then_some(it.date)
        }
        tl::enums::Message::Empty(_) => None,
    });
    let date = date.map(|date| Timestamp::from_secs(date.into()));
    Some(Dialog {
        chat,
        top: dialog.top_message,
        date,
        pts: dialog.pts,
        pinned: dialog.pinned,
    })
}

/// The request for what follows a page: after its last dialog that stands in order, can be named and has a date. Those
/// behind that one come again, which costs nothing. If none has a date, the last one's name has to do; if none can be
/// named, the pinned ones are left out. None if that was asked for already.
fn page_after(asked: &GetDialogs, dialogs: &[Dialog], peers: &[(ChatId, Peer)]) -> Option<GetDialogs> {
    let named = |dialog: &Dialog| {
        let peer = peers.iter().find(|(chat, _)| *chat == dialog.chat);
        peers::input_peer(dialog.chat, peer.map(|(_, peer)| peer))
    };
    // Of the same list.
    let list = || GetDialogs {
        folder_id: asked.folder_id,
        ..first_page()
    };
    let in_order = || dialogs.iter().rev().filter(|dialog| !dialog.pinned);
    let dated = in_order().find_map(|last| {
        Some(GetDialogs {
            exclude_pinned: true,
            offset_date: i32::try_from(last.date?.as_secs()).ok()?,
            offset_id: last.top,
            offset_peer: named(last)?,
            ..list()
        })
    });
    let by_name = || {
        Some(GetDialogs {
            exclude_pinned: true,
            offset_peer: in_order().find_map(named)?,
            ..list()
        })
    };
    let in_order_only = || GetDialogs {
        exclude_pinned: true,
        ..asked.clone()
    };
    let next = dated.or_else(by_name).unwrap_or_else(in_order_only);
    Some(next).filter(|next| next != asked)
}

/// Where a first login's chats begin.
struct Begun {
    /// When the login was, by Telegram's clock.
    at: Timestamp,
    /// Whether something was written since in private chats and basic groups.
    others: bool,
}

impl Begun {
    /// Whether something may have been written in a chat since. Telegram's clock counts seconds: of a channel's message of
    /// the login's own second it is not known.
    fn speaks(&self, dialog: &Dialog) -> bool {
        let known = self.at > Timestamp(0);
        let since = known && dialog.date.is_some_and(|date| date >= self.at);
        since && (dialog.chat.is_channel() || self.others)
    }
}

/// What the login was, and whether there is news since; asked only if it matters.
async fn begun(context: &Context, link: &Link, page: &Page) -> Result<Begun, TelegramError> {
    let login = context
        .store
        .get::<UpdateStates>(&(link.id, 0))?
        .unwrap_or_default();
    let mut begun = Begun {
        at: Timestamp::from_secs(login.date.into()),
        others: true,
    };
    let matters = |dialog: &Dialog| !dialog.chat.is_channel() && begun.speaks(dialog);
    if link.account().is_first_login() && page.dialogs.iter().any(matters) {
        begun.others = server_pts(context, link).await? != login.pts;
    }
    Ok(begun)
}

/// What a page says of chats and channels, and where each chat begins for us. A chat in which something was written
/// since the login, while the dialogs were being read, begins at the login and not at its top: pairs and endpoints may
/// be waiting for that already.
async fn keep(context: &Context, link: &Link, page: &Page, begun: &Begun) -> Result<(), StoreError> {
    let first = link.account().is_first_login();
    let mut batch = Batch::new();
    for dialog in &page.dialogs {
        let key = (link.id, dialog.chat.0);
        if let Some(known) = context.store.get::<Peers>(&key)?.filter(|known| !known.dialog) {
            let listed = Peer {
                dialog: true,
                ..known
            };
            batch.put::<Peers>(&key, &listed);
        }
        if first && !context.store.contains::<HighWater>(&key)? {
            if begun.speaks(dialog) {
                let mark = LeftOutMark {
                    since: begun.at,
                    ..LeftOutMark::default()
                };
                batch.put::<LeftOut>(&key, &mark);
            } else {
                batch.put::<HighWater>(&key, &dialog.top);
            }
        }
        let channel = (link.id, dialog.chat.bare());
        if let (Some(pts), None) = (dialog.pts, context.store.get::<UpdateStates>(&channel)?) {
            batch.put::<UpdateStates>(
                &channel,
                &StoredState {
                    pts,
                    ..StoredState::default()
                },
            );
        }
    }
    context.store.commit(batch).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAR: i32 = 1_000;

    fn dialog(group: i64, date: Option<i64>, pinned: bool) -> Dialog {
        Dialog {
            chat: ChatId::group(group),
            top: 10,
            date: date.map(Timestamp::from_secs),
            pts: None,
            pinned,
        }
    }

    fn after(asked: &GetDialogs, dialogs: &[Dialog]) -> Option<(bool, i32, tl::enums::InputPeer)> {
        let next = page_after(asked, dialogs, &[])?;
        Some((next.exclude_pinned, next.offset_date, next.offset_peer))
    }

    fn group(id: i64) -> tl::enums::InputPeer {
        tl::types::InputPeerChat { chat_id: id }.into()
    }

    #[test]
    fn what_follows_begins_after_the_last_dialog_that_stands_in_order() {
        let page = [
            dialog(1, Some(5), true),
            dialog(2, Some(90), false),
            dialog(3, None, false),
            dialog(4, Some(7), true),
        ];
        assert_eq!(after(&first_page(), &page), Some((true, 90, group(2))));
        let pinned = &page[..1];
        assert_eq!(
            after(&first_page(), pinned),
            Some((true, 0, tl::enums::InputPeer::Empty)),
            "the same without what is pinned"
        );
        let later = GetDialogs {
            exclude_pinned: true,
            offset_date: FAR,
            offset_peer: group(9),
            ..first_page()
        };
        let dateless = [dialog(5, None, false), dialog(6, None, false)];
        assert_eq!(after(&later, &dateless), Some((true, 0, group(6))));
        let again = GetDialogs {
            exclude_pinned: true,
            offset_peer: group(6),
            ..first_page()
        };
        assert_eq!(after(&again, &dateless), None, "it comes to an end");
    }
}
