//! Events of the sequences, and what is told in passing, as updates of the schema.

use grammers_tl_types::{Deserializable, enums, types};

use super::Viewer;
use crate::sandbox::world::account::{Entry, What};
use crate::sandbox::world::content::Content;
use crate::sandbox::world::{News, Passing, Peer};

impl Viewer<'_> {
    /// An event of the account's own sequence. With `current` a count of 0 is told: the event is old.
    pub fn account_update(&self, entry: &Entry) -> Option<enums::Update> {
        let (pts, pts_count) = (entry.pts, entry.count);
        Some(match &entry.what {
            What::New { id, .. } => types::UpdateNewMessage {
                message: self.held(*id)?,
                pts,
                pts_count,
            }
            .into(),
            What::Edited { id } => types::UpdateEditMessage {
                message: self.held(*id)?,
                pts,
                pts_count,
            }
            .into(),
            What::Deleted { ids } => types::UpdateDeleteMessages {
                messages: ids.clone(),
                pts,
                pts_count,
            }
            .into(),
            What::ReadInbox { peer, max_id, unread } => types::UpdateReadHistoryInbox {
                folder_id: None,
                peer: self.name(*peer),
                top_msg_id: None,
                max_id: *max_id,
                still_unread_count: *unread,
                pts,
                pts_count,
            }
            .into(),
            What::ReadOutbox { peer, max_id } => types::UpdateReadHistoryOutbox {
                peer: self.name(*peer),
                max_id: *max_id,
                pts,
                pts_count,
            }
            .into(),
            What::Opened { ids } => types::UpdateReadMessagesContents {
                messages: ids.clone(),
                pts,
                pts_count,
                date: Some(entry.date),
            }
            .into(),
            What::Page { url } => types::UpdateWebPage {
                webpage: self.page(url),
                pts,
                pts_count,
            }
            .into(),
            What::Moved { chats } => {
                let moved = chats.iter().map(|(peer, folder_id)| {
                    let folder_id = *folder_id;
                    types::FolderPeer {
                        peer: self.name(*peer),
                        folder_id,
                    }
                    .into()
                });
                types::UpdateFolderPeers {
                    folder_peers: moved.collect(),
                    pts,
                    pts_count,
                }
                .into()
            }
            What::Noise { kind, drawn } => self.counted_noise(*kind, *drawn, pts, pts_count)?,
            What::Pinned { peer, ids, pinned } => types::UpdatePinnedMessages {
                pinned: *pinned,
                peer: self.name(*peer),
                messages: ids.clone(),
                pts,
                pts_count,
            }
            .into(),
        })
    }

    /// A message of a private chat or basic group; one that is gone is told as empty, so that the
    /// sequence has no hole.
    fn held(&self, id: i32) -> Option<enums::Message> {
        match self.state.held(self.account, id) {
            Some(content) => Some(self.render(content, id)),
            None => Some(
                types::MessageEmpty {
                    id,
                    peer_id: Some(self.name(Peer::User(self.account))),
                }
                .into(),
            ),
        }
    }

    /// An event of a channel's sequence.
    pub fn channel_update(&self, channel: i64, entry: &Entry) -> Option<enums::Update> {
        let (pts, pts_count) = (entry.pts, entry.count);
        let peer = Peer::Channel(channel);
        Some(match &entry.what {
            What::New { id, .. } => types::UpdateNewChannelMessage {
                message: self.in_channel(channel, *id),
                pts,
                pts_count,
            }
            .into(),
            What::Edited { id } => types::UpdateEditChannelMessage {
                message: self.in_channel(channel, *id),
                pts,
                pts_count,
            }
            .into(),
            What::Deleted { ids } => {
                self.name(peer);
                types::UpdateDeleteChannelMessages {
                    channel_id: channel,
                    messages: ids.clone(),
                    pts,
                    pts_count,
                }
                .into()
            }
            What::Pinned { ids, pinned, .. } => {
                self.name(peer);
                types::UpdatePinnedChannelMessages {
                    pinned: *pinned,
                    channel_id: channel,
                    messages: ids.clone(),
                    pts,
                    pts_count,
                }
                .into()
            }
            What::Page { url } => {
                self.name(peer);
                types::UpdateChannelWebPage {
                    channel_id: channel,
                    webpage: self.page(url),
                    pts,
                    pts_count,
                }
                .into()
            }
            What::Noise { drawn, .. } => self.channel_noise(channel, *drawn, pts, pts_count),
            What::ReadInbox { .. } | What::ReadOutbox { .. } | What::Opened { .. } | What::Moved { .. } => {
                return None;
            }
        })
    }

    fn in_channel(&self, channel: i64, id: i32) -> enums::Message {
        let peer = Peer::Channel(channel);
        match self.state.find(self.account, peer, id) {
            Some(content) => self.render(content, id),
            None => types::MessageEmpty {
                id,
                peer_id: Some(self.name(peer)),
            }
            .into(),
        }
    }

    /// A post of a channel, which is named with it.
    fn post(&self, channel: i64, id: i32) -> Option<&Content> {
        let peer = Peer::Channel(channel);
        self.name(peer);
        self.state.find(self.account, peer, id)
    }

    /// What is told in passing.
    pub fn passing(&self, passing: &Passing) -> Option<enums::Updates> {
        let date = self.state.date();
        let update: enums::Update = match passing {
            Passing::Typing { peer, user, action } => {
                let action = enums::SendMessageAction::from_bytes(action).ok()?;
                let from_id = self.name(Peer::User(*user));
                match peer {
                    Peer::User(_) => types::UpdateUserTyping {
                        user_id: *user,
                        top_msg_id: None,
                        action,
                    }
                    .into(),
                    Peer::Group(id) => types::UpdateChatUserTyping {
                        chat_id: *id,
                        from_id,
                        action,
                    }
                    .into(),
                    Peer::Channel(id) => types::UpdateChannelUserTyping {
                        channel_id: *id,
                        top_msg_id: None,
                        from_id,
                        action,
                    }
                    .into(),
                }
            }
            Passing::Status { user } => types::UpdateUserStatus {
                user_id: *user,
                status: self.status(*user),
            }
            .into(),
            Passing::ChannelRead { channel, max_id } => {
                let known = self.state.channels.get(channel)?;
                self.name(Peer::Channel(*channel));
                types::UpdateReadChannelInbox {
                    folder_id: None,
                    channel_id: *channel,
                    max_id: *max_id,
                    still_unread_count: known.unread_of(self.account),
                    pts: known.pts,
                }
                .into()
            }
            Passing::ChannelReadByOthers { channel, max_id } => {
                self.name(Peer::Channel(*channel));
                types::UpdateReadChannelOutbox {
                    channel_id: *channel,
                    max_id: *max_id,
                }
                .into()
            }
            Passing::Channel { channel } => {
                self.name(Peer::Channel(*channel));
                types::UpdateChannel { channel_id: *channel }.into()
            }
            Passing::Members { group } => {
                self.name(Peer::Group(*group));
                types::UpdateChatParticipants {
                    participants: self.participants(self.state.groups.get(group)?),
                }
                .into()
            }
            Passing::MemberCame { .. }
            | Passing::MemberGone { .. }
            | Passing::MemberAdmin { .. }
            | Passing::Group { .. }
            | Passing::ChannelOpened { .. }
            | Passing::Available { .. }
            | Passing::Opened { .. }
            | Passing::UserName { .. }
            | Passing::User { .. } => self.standing_update(passing)?,
            Passing::Weather { kind, drawn } => self.noise(*kind, *drawn)?,
            Passing::Reactions { peer, id } => self.reactions_update(*peer, *id)?,
            Passing::Views { channel, id } => types::UpdateChannelMessageViews {
                channel_id: *channel,
                id: *id,
                views: self.post(*channel, *id)?.views(),
            }
            .into(),
            Passing::Forwards { channel, id } => types::UpdateChannelMessageForwards {
                channel_id: *channel,
                id: *id,
                forwards: self.post(*channel, *id)?.forwards,
            }
            .into(),
            Passing::Poll { peer, id } => self.poll_update(*peer, *id)?,
            Passing::Login { key } => {
                let known = self.state.keys.known.get(key)?;
                types::UpdateNewAuthorization {
                    unconfirmed: true,
                    hash: known.hash,
                    date: Some(known.created),
                    device: Some(known.device.clone()),
                    location: Some("loopback".to_owned()),
                }
                .into()
            }
            Passing::TooLong => return Some(enums::Updates::TooLong),
            Passing::ChannelTooLong { channel } => {
                self.name(Peer::Channel(*channel));
                self.channel_too_long(*channel)
            }
        };
        let short = matches!(passing, Passing::Typing { .. } | Passing::Status { .. });
        if short {
            return Some(types::UpdateShort { update, date }.into());
        }
        Some(self.updates(vec![update]))
    }

    /// A container of updates with all users and chats they name.
    pub fn updates(&self, updates: Vec<enums::Update>) -> enums::Updates {
        let (users, chats) = self.named();
        types::Updates {
            updates,
            users,
            chats,
            date: self.state.date(),
            seq: 0,
        }
        .into()
    }

    /// One piece of news as this account hears it; `None` if it is not concerned any more.
    pub fn news(&self, news: &News) -> Option<enums::Updates> {
        match news {
            News::Account { entry, .. } => {
                let update = self.account_update(entry)?;
                Some(self.updates(vec![update]))
            }
            News::Channel { channel, entry } => {
                let update = self.reduced(|viewer| viewer.channel_update(*channel, entry));
                Some(self.updates(vec![update?]))
            }
            News::Passing { what, .. } => self.passing(what),
            News::TokenAccepted { .. } => None,
        }
    }

    /// All news for this account in one container, as the answer to the call that made them: the
    /// numbers that the sender's own names became, and the events.
    pub fn answer(&self, news: &[News]) -> enums::Updates {
        let names: Vec<_> = (news.iter())
            .filter_map(|piece| self.named_by_sender(piece))
            .collect();
        let mut updates = self.own(news);
        let several = !names.is_empty() && !updates.is_empty();
        let place = match several && self.state.switches.unordered_answers.decides() {
            true => usize::try_from(self.state.next.uid).unwrap_or_default() % (updates.len() + 1),
            false => 0,
        };
        updates.splice(place..place, names);
        self.updates(updates)
    }

    /// What of all news this account hears as the answer to its call, in order.
    pub fn own(&self, news: &[News]) -> Vec<enums::Update> {
        let mut updates = Vec::new();
        for piece in news {
            match piece {
                News::Account { account, entry } if *account == self.account => {
                    updates.extend(self.account_update(entry));
                }
                News::Channel { channel, entry } if self.member(*channel) => {
                    updates.extend(self.channel_update(*channel, entry));
                }
                News::Passing { account, what } if *account == self.account => match self.passing(what) {
                    Some(enums::Updates::Updates(inner)) => updates.extend(inner.updates),
                    Some(enums::Updates::UpdateShort(inner)) => updates.push(inner.update),
                    _ => {}
                },
                _ => {}
            }
        }
        updates
    }

    /// The name that the sender gave to a message which a piece of its own news is about.
    fn named_by_sender(&self, piece: &News) -> Option<enums::Update> {
        match piece {
            News::Account { account, entry } if *account == self.account => named_message(entry),
            News::Channel { channel, entry } if self.member(*channel) => named_message(entry),
            _ => None,
        }
    }

    /// That a channel's events are not told one by one.
    pub fn channel_too_long(&self, channel: i64) -> enums::Update {
        let known = self.state.channels.get(&channel);
        let known = known.filter(|_| self.state.switches.too_long_names_pts.decides());
        types::UpdateChannelTooLong {
            channel_id: channel,
            pts: known.map(|channel| channel.pts),
        }
        .into()
    }

    fn member(&self, channel: i64) -> bool {
        self.state
            .channels
            .get(&channel)
            .is_some_and(|channel| channel.has(self.account))
    }
}

/// What a key is told when the token that it shows was accepted. Some clients look for it in this form only.
pub fn token_accepted(date: i32) -> enums::Updates {
    let update = enums::Update::LoginToken;
    types::UpdateShort { update, date }.into()
}

/// The update that tells the sender's own name of a new message.
pub fn named_message(entry: &Entry) -> Option<enums::Update> {
    match entry.what {
        What::New { id, random_id } if random_id != 0 => {
            Some(types::UpdateMessageId { id, random_id }.into())
        }
        _ => None,
    }
}
