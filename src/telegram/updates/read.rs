//! Telegram's records as the words of the sequencer. Pure.
//!
//! Which update stands in which sequence, and how much it counts, is said here and nowhere else.

use std::time::Duration;

use grammers_client::session::updates::UpdatesLike;
use grammers_client::tl;

use super::position::{AccountDifference, ChannelDifference, Item, Key, Packet, Part, Place, Present};
use super::short::{sent_message, short_chat_message, short_message};

/// An update as it goes through the sequences. Telegram's record is large, and is moved often on its way.
pub(in crate::telegram) type Update = Box<tl::enums::Update>;

/// Users and chats that come along with updates.
#[derive(Clone, Debug, Default)]
pub(in crate::telegram) struct Peers {
    pub users: Vec<tl::enums::User>,
    pub chats: Vec<tl::enums::Chat>,
}

/// What a connection brought.
pub(in crate::telegram) enum Pushed {
    /// Updates.
    Packet(Packet<Update, Peers>),
    /// A call of one's own moved the account's sequence to here; what it did is not told.
    Changed(i32),
    /// Word that something is missing.
    LostTrack,
    /// The connection ended.
    Closed,
}

/// Reads what a connection of an account brought; `own` is the account's number.
pub(in crate::telegram) fn pushed(updates: UpdatesLike, own: Option<i64>) -> Pushed {
    let lone = |update: tl::enums::Update, date| container(vec![update], date, (0, 0), Peers::default());
    match updates {
        UpdatesLike::Updates(updates) => of_updates(updates),
        UpdatesLike::ShortSentMessage { request, update } => {
            let Some(message) = sent_message(request, &update, own) else {
                return Pushed::LostTrack;
            };
            let sent = tl::types::UpdateNewMessage {
                pts: update.pts,
                pts_count: update.pts_count,
                message,
            };
            lone(sent.into(), update.date)
        }
        // How far messages that were deleted or read moved the sequence; nobody is told which these were.
        UpdatesLike::AffectedMessages(affected) => Pushed::Changed(affected.pts),
        UpdatesLike::AffectedChannelMessages {
            affected,
            channel_id,
            message_ids,
        } => {
            let moved = tl::types::UpdateDeleteChannelMessages {
                channel_id,
                messages: message_ids,
                pts: affected.pts,
                pts_count: affected.pts_count,
            };
            lone(moved.into(), 0)
        }
        UpdatesLike::InvitedUsers(invited) => of_updates(invited.updates),
        UpdatesLike::ChatInviteJoinResult(joined) => of_updates(joined.updates),
        UpdatesLike::MalformedUpdates => Pushed::LostTrack,
        UpdatesLike::ConnectionClosed => Pushed::Closed,
    }
}

/// The users that a short form names, who do not come along with it.
pub(in crate::telegram) fn named_by_number(updates: &UpdatesLike) -> impl Iterator<Item = i64> {
    let (one, origin) = match updates {
        UpdatesLike::Updates(tl::enums::Updates::UpdateShortMessage(it)) => {
            (Some(it.user_id), it.fwd_from.as_ref())
        }
        UpdatesLike::Updates(tl::enums::Updates::UpdateShortChatMessage(it)) => {
            (Some(it.from_id), it.fwd_from.as_ref())
        }
        _ => (None, None),
    };
    let origin = origin.and_then(|header| {
        let tl::enums::MessageFwdHeader::Header(header) = header;
        match header.from_id {
            Some(tl::enums::Peer::User(ref user)) => Some(user.user_id),
            _ => None,
        }
    });
    one.into_iter().chain(origin)
}

/// Where the account's sequence stands behind a short form of a message, be it from somebody who is not known.
pub(in crate::telegram) fn place_of_short(updates: &UpdatesLike) -> Option<i32> {
    use tl::enums::Updates;
    match updates {
        UpdatesLike::Updates(Updates::UpdateShortMessage(it)) => Some(it.pts),
        UpdatesLike::Updates(Updates::UpdateShortChatMessage(it)) => Some(it.pts),
        // The answer to a call of one's own does not say whose position it names.
        _ => None,
    }
}

fn of_updates(updates: tl::enums::Updates) -> Pushed {
    use tl::enums::Updates;
    let none = Peers::default();
    match updates {
        Updates::TooLong => Pushed::LostTrack,
        Updates::Updates(it) => {
            let peers = Peers {
                users: it.users,
                chats: it.chats,
            };
            container(it.updates, it.date, (it.seq, it.seq), peers)
        }
        Updates::Combined(it) => {
            let peers = Peers {
                users: it.users,
                chats: it.chats,
            };
            container(it.updates, it.date, (it.seq_start, it.seq), peers)
        }
        Updates::UpdateShort(it) => container(vec![it.update], it.date, (0, 0), none),
        Updates::UpdateShortMessage(it) => {
            let date = it.date;
            container(vec![short_message(it)], date, (0, 0), none)
        }
        Updates::UpdateShortChatMessage(it) => {
            let date = it.date;
            container(vec![short_chat_message(it)], date, (0, 0), none)
        }
        // Without the call that it answers nothing is known of the message: the difference tells it.
        Updates::UpdateShortSentMessage(_) => Pushed::LostTrack,
    }
}

fn container(
    updates: Vec<tl::enums::Update>,
    date: i32,
    (seq_start, seq): (i32, i32),
    peers: Peers,
) -> Pushed {
    Pushed::Packet(Packet {
        date,
        seq_start,
        seq,
        items: updates.into_iter().map(item).collect(),
        peers,
    })
}

/// An update with its place.
fn item(update: tl::enums::Update) -> Item<Update> {
    if let tl::enums::Update::ChannelTooLong(it) = &update {
        return Item::ChannelTooLong {
            channel: it.channel_id,
            pts: it.pts,
        };
    }
    match place(&update) {
        Some(place) => Item::Placed(place, Box::new(update)),
        None => Item::Loose(Box::new(update)),
    }
}

/// Where an update stands, if it stands in a sequence.
pub(super) fn place(update: &tl::enums::Update) -> Option<Place> {
    use tl::enums::Update as U;
    let account = |pts, count| (Key::Account, pts, count);
    let secondary = |qts| (Key::Secondary, qts, 1);
    let channel = |id, pts, count| (Key::Channel(id), pts, count);
    let of_message = |message: &tl::enums::Message, pts, count| match channel_of(message) {
        Some(id) => channel(id, pts, count),
        None => account(pts, count),
    };
    let of_peer = |peer: &tl::enums::Peer, pts, count| match peer {
        tl::enums::Peer::Channel(it) => channel(it.channel_id, pts, count),
        _ => account(pts, count),
    };
    let (key, pts, count) = match update {
        U::NewMessage(it) => of_message(&it.message, it.pts, it.pts_count),
        U::EditMessage(it) => of_message(&it.message, it.pts, it.pts_count),
        U::DeleteMessages(it) => account(it.pts, it.pts_count),
        U::ReadHistoryInbox(it) => of_peer(&it.peer, it.pts, it.pts_count),
        U::ReadHistoryOutbox(it) => of_peer(&it.peer, it.pts, it.pts_count),
        U::ReadMessagesContents(it) => account(it.pts, it.pts_count),
        U::WebPage(it) => account(it.pts, it.pts_count),
        U::FolderPeers(it) => account(it.pts, it.pts_count),
        U::PinnedMessages(it) => of_peer(&it.peer, it.pts, it.pts_count),
        // An empty message may name no channel: then nothing says whose sequence moved.
        U::NewChannelMessage(it) => channel(channel_of(&it.message)?, it.pts, it.pts_count),
        U::EditChannelMessage(it) => channel(channel_of(&it.message)?, it.pts, it.pts_count),
        U::DeleteChannelMessages(it) => channel(it.channel_id, it.pts, it.pts_count),
        U::ReadChannelInbox(it) => channel(it.channel_id, it.pts, 0),
        U::PinnedChannelMessages(it) => channel(it.channel_id, it.pts, it.pts_count),
        U::ChannelWebPage(it) => channel(it.channel_id, it.pts, it.pts_count),
        U::NewEncryptedMessage(it) => secondary(it.qts),
        U::ChatParticipant(it) => secondary(it.qts),
        U::ChannelParticipant(it) => secondary(it.qts),
        U::BotStopped(it) => secondary(it.qts),
        U::BotChatInviteRequester(it) => secondary(it.qts),
        U::BotChatBoost(it) => secondary(it.qts),
        U::BotMessageReaction(it) => secondary(it.qts),
        U::BotMessageReactions(it) => secondary(it.qts),
        U::BotBusinessConnect(it) => secondary(it.qts),
        U::BotNewBusinessMessage(it) => secondary(it.qts),
        U::BotEditBusinessMessage(it) => secondary(it.qts),
        U::BotDeleteBusinessMessage(it) => secondary(it.qts),
        U::BotPurchasedPaidMedia(it) => secondary(it.qts),
        _ => return None,
    };
    Some(Place { key, pts, count })
}

/// The channel that a message stands in, if it says so.
fn channel_of(message: &tl::enums::Message) -> Option<i64> {
    let peer = match message {
        tl::enums::Message::Empty(it) => it.peer_id.as_ref()?,
        tl::enums::Message::Message(it) => &it.peer_id,
        tl::enums::Message::Service(it) => &it.peer_id,
    };
    match peer {
        tl::enums::Peer::Channel(it) => Some(it.channel_id),
        _ => None,
    }
}

/// The account's state.
pub(in crate::telegram) fn present(state: tl::enums::updates::State) -> Present {
    let tl::enums::updates::State::State(state) = state;
    Present {
        pts: state.pts,
        qts: state.qts,
        date: state.date,
        seq: state.seq,
    }
}

/// The account's difference.
pub(in crate::telegram) fn difference(
    answer: tl::enums::updates::Difference,
) -> AccountDifference<Update, Peers> {
    use tl::enums::updates::Difference;
    match answer {
        Difference::Empty(it) => AccountDifference::Empty {
            date: it.date,
            seq: it.seq,
        },
        Difference::TooLong(it) => AccountDifference::TooLong { pts: it.pts },
        Difference::Difference(it) => part(it, true),
        Difference::Slice(it) => {
            let whole = tl::types::updates::Difference {
                new_messages: it.new_messages,
                new_encrypted_messages: it.new_encrypted_messages,
                other_updates: it.other_updates,
                chats: it.chats,
                users: it.users,
                state: it.intermediate_state,
            };
            part(whole, false)
        }
    }
}

fn part(difference: tl::types::updates::Difference, last: bool) -> AccountDifference<Update, Peers> {
    let state = present(difference.state);
    // The state behind the part covers whatever stands in one of the account's sequences.
    let new = difference
        .new_messages
        .into_iter()
        .map(|message| new_message(message, 0));
    let encrypted = difference.new_encrypted_messages.into_iter();
    let encrypted = encrypted.map(|message| tl::types::UpdateNewEncryptedMessage { message, qts: 0 }.into());
    let mut updates: Vec<Update> = new.chain(encrypted).map(Box::new).collect();
    let mut others = Vec::new();
    for other in difference.other_updates {
        match item(other) {
            Item::Placed(place, update) if !matches!(place.key, Key::Channel(_)) => updates.push(update),
            other => others.push(other),
        }
    }
    AccountDifference::Part(Part {
        updates,
        others,
        peers: Peers {
            users: difference.users,
            chats: difference.chats,
        },
        pts: state.pts,
        qts: state.qts,
        date: state.date,
        seq: state.seq,
        last,
    })
}

/// A channel's difference.
pub(in crate::telegram) fn channel_difference(
    answer: tl::enums::updates::ChannelDifference,
) -> ChannelDifference<Update, Peers> {
    use tl::enums::updates::ChannelDifference as Answer;
    let span = |timeout: Option<i32>| {
        timeout
            .and_then(|it| u64::try_from(it).ok())
            .map(Duration::from_secs)
    };
    match answer {
        Answer::Empty(it) => ChannelDifference {
            pts: Some(it.pts),
            updates: Vec::new(),
            peers: Peers::default(),
            last: it.r#final,
            too_long: false,
            timeout: span(it.timeout),
        },
        Answer::TooLong(it) => ChannelDifference {
            pts: match &it.dialog {
                tl::enums::Dialog::Dialog(dialog) => dialog.pts,
                _ => None,
            },
            updates: Vec::new(),
            peers: Peers {
                users: it.users,
                chats: it.chats,
            },
            last: it.r#final,
            too_long: true,
            timeout: span(it.timeout),
        },
        Answer::Difference(it) => ChannelDifference {
            pts: Some(it.pts),
            updates: (it.new_messages.into_iter())
                .map(|message| new_channel_message(message, it.pts))
                .chain(it.other_updates)
                .map(Box::new)
                .collect(),
            peers: Peers {
                users: it.users,
                chats: it.chats,
            },
            last: it.r#final,
            too_long: false,
            timeout: span(it.timeout),
        },
    }
}

/// A channel's present position, and who came along; none if the answer does not say it.
pub(in crate::telegram) fn channel_present(answer: tl::enums::messages::PeerDialogs) -> Option<(i32, Peers)> {
    let tl::enums::messages::PeerDialogs::Dialogs(answer) = answer;
    let pts = answer.dialogs.iter().find_map(|dialog| match dialog {
        tl::enums::Dialog::Dialog(dialog) => dialog.pts,
        _ => None,
    })?;
    let peers = Peers {
        users: answer.users,
        chats: answer.chats,
    };
    (pts > 0).then_some((pts, peers))
}

fn new_message(message: tl::enums::Message, pts: i32) -> tl::enums::Update {
    tl::types::UpdateNewMessage {
        message,
        pts,
        pts_count: 0,
    }
    .into()
}

fn new_channel_message(message: tl::enums::Message, pts: i32) -> tl::enums::Update {
    tl::types::UpdateNewChannelMessage {
        message,
        pts,
        pts_count: 0,
    }
    .into()
}
