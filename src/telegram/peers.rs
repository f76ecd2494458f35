//! Chats and users as a session knows them: from Telegram's containers into rows, from rows into the
//! forms that calls take. Pure.

use grammers_client::tl;

use super::from_tl::username;
use super::tables::Peer;
use crate::model::{ChatId, ChatKind};

/// What the containers of an answer or update tell of chats and users. Those that Telegram marks as
/// incomplete are left out, since their access hashes are of no use.
pub(crate) fn of_containers(users: &[tl::enums::User], chats: &[tl::enums::Chat]) -> Vec<(ChatId, Peer)> {
    users
        .iter()
        .filter_map(of_user)
        .chain(chats.iter().filter_map(of_chat))
        .collect()
}

fn of_user(user: &tl::enums::User) -> Option<(ChatId, Peer)> {
    let tl::enums::User::User(user) = user else {
        return None;
    };
    if user.min {
        return None;
    }
    let names = [user.first_name.as_deref(), user.last_name.as_deref()];
    let title = names.into_iter().flatten().collect::<Vec<_>>().join(" ");
    let peer = Peer {
        hash: user.access_hash,
        kind: Some(ChatKind::Private),
        own: user.is_self,
        bot: user.bot,
        title: Some(title).filter(|title| !title.is_empty()),
        username: username(user.username.as_ref(), user.usernames.as_ref()),
        first_name: user.first_name.clone(),
        last_name: user.last_name.clone(),
        ..Peer::default()
    };
    Some((ChatId::user(user.id), peer))
}

fn of_chat(chat: &tl::enums::Chat) -> Option<(ChatId, Peer)> {
    match chat {
        tl::enums::Chat::Chat(chat) => {
            let peer = Peer {
                kind: Some(ChatKind::Group),
                title: Some(chat.title.clone()),
                protected: chat.noforwards,
                member: !chat.left && !chat.deactivated,
                forum: Some(false),
                ..Peer::default()
            };
            Some((ChatId::group(chat.id), peer))
        }
        tl::enums::Chat::Channel(channel) if !channel.min => {
            let kind = if channel.broadcast {
                ChatKind::Channel
            } else {
                ChatKind::Supergroup
            };
            let peer = Peer {
                hash: channel.access_hash,
                kind: Some(kind),
                title: Some(channel.title.clone()),
                username: username(channel.username.as_ref(), channel.usernames.as_ref()),
                protected: channel.noforwards,
                member: !channel.left,
                forum: Some(channel.forum),
                ..Peer::default()
            };
            Some((ChatId::channel(channel.id), peer))
        }
        _ => None,
    }
}

/// What is known after `found` was added to `known`.
pub(crate) fn merge(known: Peer, found: Peer) -> Peer {
    Peer {
        hash: found.hash.or(known.hash),
        kind: found.kind.or(known.kind),
        own: found.own || known.own,
        bot: found.bot || known.bot,
        title: found.title.or(known.title),
        username: found.username,
        dialog: found.dialog || known.dialog,
        // The record of a user does not say whether the chat with it is protected.
        protected: found.protected || (known.protected && found.kind == Some(ChatKind::Private)),
        first_name: found.first_name.or(known.first_name),
        last_name: found.last_name,
        member: found.member,
        left: known.left && !found.member,
        migrated: found.migrated || known.migrated,
        forum: found.forum.or(known.forum),
        // Whoever is known in full is named by its access hash.
        seen: found
            .seen
            .or(known.seen)
            .filter(|_| found.hash.or(known.hash).is_none()),
    }
}

/// The peer as a call takes it; none without the access hash it needs.
pub(crate) fn input_peer(chat: ChatId, peer: Option<&Peer>) -> Option<tl::enums::InputPeer> {
    if !chat.is_user() && !chat.is_channel() {
        return Some(tl::types::InputPeerChat { chat_id: chat.bare() }.into());
    }
    let peer = peer?;
    if peer.own {
        return Some(tl::enums::InputPeer::PeerSelf);
    }
    let Some(access_hash) = peer.hash else {
        return by_message(chat, peer);
    };
    Some(if chat.is_user() {
        tl::types::InputPeerUser {
            user_id: chat.bare(),
            access_hash,
        }
        .into()
    } else {
        tl::types::InputPeerChannel {
            channel_id: chat.bare(),
            access_hash,
        }
        .into()
    })
}

/// A user or channel that is known by a message only.
fn by_message(chat: ChatId, peer: &Peer) -> Option<tl::enums::InputPeer> {
    let seen = peer.seen?;
    let place = Peer {
        hash: Some(seen.hash),
        ..Peer::default()
    };
    let place = input_peer(seen.chat, Some(&place))?;
    Some(if chat.is_user() {
        tl::types::InputPeerUserFromMessage {
            peer: place,
            msg_id: seen.message,
            user_id: chat.bare(),
        }
        .into()
    } else {
        tl::types::InputPeerChannelFromMessage {
            peer: place,
            msg_id: seen.message,
            channel_id: chat.bare(),
        }
        .into()
    })
}

/// A user as calls take it.
pub(crate) fn input_user(chat: ChatId, peer: Option<&Peer>) -> Option<tl::enums::InputUser> {
    let peer = peer?;
    if peer.own {
        return Some(tl::enums::InputUser::UserSelf);
    }
    if !chat.is_user() {
        return None;
    }
    Some(match (peer.hash, by_message(chat, peer)) {
        (Some(access_hash), _) => tl::types::InputUser {
            user_id: chat.bare(),
            access_hash,
        }
        .into(),
        (None, Some(tl::enums::InputPeer::UserFromMessage(it))) => tl::types::InputUserFromMessage {
            peer: it.peer,
            msg_id: it.msg_id,
            user_id: it.user_id,
        }
        .into(),
        (None, _) => return None,
    })
}

/// The channel as a call takes it; none if it is no channel or its access hash is unknown.
pub(crate) fn input_channel(chat: ChatId, peer: Option<&Peer>) -> Option<tl::enums::InputChannel> {
    let access_hash = peer?.hash.filter(|_| chat.is_channel())?;
    Some(
        tl::types::InputChannel {
            channel_id: chat.bare(),
            access_hash,
        }
        .into(),
    )
}

/// A chat of a container that the account is in no more, or that moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Departure {
    /// The account left it, in Telegram's record of it.
    Left(ChatId),
    /// Telegram shows no more of it: the account was put out, or the chat is gone.
    Forbidden(ChatId),
    /// The basic group became that supergroup.
    Migrated(ChatId, ChatId),
}

/// Which chats of a container were departed from. A chat that one never was in may be shown so, too.
pub(crate) fn departures(chats: &[tl::enums::Chat]) -> impl Iterator<Item = Departure> {
    chats.iter().filter_map(|chat| match chat {
        tl::enums::Chat::Chat(it) => match &it.migrated_to {
            Some(tl::enums::InputChannel::Channel(to)) => Some(Departure::Migrated(
                ChatId::group(it.id),
                ChatId::channel(to.channel_id),
            )),
            _ => it.left.then(|| Departure::Left(ChatId::group(it.id))),
        },
        tl::enums::Chat::Channel(it) => (it.left && !it.min).then(|| Departure::Left(ChatId::channel(it.id))),
        tl::enums::Chat::Forbidden(it) => Some(Departure::Forbidden(ChatId::group(it.id))),
        tl::enums::Chat::ChannelForbidden(it) => Some(Departure::Forbidden(ChatId::channel(it.id))),
        _ => None,
    })
}

/// Users of a container of whom Telegram shows no more than a part.
pub(crate) fn shown_in_part(users: &[tl::enums::User]) -> Vec<(ChatId, Peer)> {
    let part = users.iter().filter_map(|user| match user {
        tl::enums::User::User(user) if user.min => Some(user),
        _ => None,
    });
    part.map(|user| {
        let names = [user.first_name.as_deref(), user.last_name.as_deref()];
        let title = names.into_iter().flatten().collect::<Vec<_>>().join(" ");
        let peer = Peer {
            kind: Some(ChatKind::Private),
            bot: user.bot,
            title: Some(title).filter(|title| !title.is_empty()),
            username: username(user.username.as_ref(), user.usernames.as_ref()),
            first_name: user.first_name.clone(),
            last_name: user.last_name.clone(),
            ..Peer::default()
        };
        (ChatId::user(user.id), peer)
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_told_stays_known() {
        let known = Peer {
            hash: Some(5),
            title: Some("Ann".into()),
            dialog: true,
            ..Peer::default()
        };
        let merged = merge(
            known,
            Peer {
                username: Some("ann".into()),
                ..Peer::default()
            },
        );
        assert_eq!(
            (merged.hash, merged.title.as_deref(), merged.dialog),
            (Some(5), Some("Ann"), true)
        );
        assert_eq!(merged.username.as_deref(), Some("ann"));
    }

    #[test]
    fn a_call_needs_the_access_hash() {
        let peer = Peer {
            hash: Some(5),
            ..Peer::default()
        };
        assert!(input_peer(ChatId::user(1), None).is_none());
        assert!(input_peer(ChatId::user(1), Some(&peer)).is_some());
        assert!(
            input_peer(ChatId::group(1), None).is_some(),
            "basic groups have none"
        );
        assert!(input_channel(ChatId::user(1), Some(&peer)).is_none());
        let own = Peer {
            own: true,
            ..Peer::default()
        };
        assert_eq!(
            input_peer(ChatId::user(1), Some(&own)),
            Some(tl::enums::InputPeer::PeerSelf)
        );
    }
}
