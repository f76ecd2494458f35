//! The stream that is nobody's message, as updates of the schema: each kind with something of the account's own world in
//! it, so that it can be read and named.

use grammers_tl_types::{enums, types};

use super::{Viewer, blank};
use crate::sandbox::world::Peer;
use crate::sandbox::world::chat::Channel;
use crate::sandbox::world::weather::{Kind, Secret};

impl Viewer<'_> {
    /// An update of the stream that has a place in the account's sequence.
    pub(super) fn counted_noise(
        &self,
        kind: Kind,
        drawn: i64,
        pts: i32,
        pts_count: i32,
    ) -> Option<enums::Update> {
        Some(match kind {
            Kind::ReadMessagesContents => types::UpdateReadMessagesContents {
                messages: vec![self.state.accounts.get(&self.account)?.next_id - 1],
                pts,
                pts_count,
                date: None,
            }
            .into(),
            Kind::WebPage => types::UpdateWebPage {
                webpage: no_page(drawn),
                pts,
                pts_count,
            }
            .into(),
            Kind::FolderPeers => types::UpdateFolderPeers {
                folder_peers: vec![
                    types::FolderPeer {
                        peer: self.name(self.state.some_dialog(self.account, drawn)),
                        folder_id: small(drawn, 2),
                    }
                    .into(),
                ],
                pts,
                pts_count,
            }
            .into(),
            _ => return None,
        })
    }

    /// An update of the stream that has a place in a channel's sequence.
    pub(super) fn channel_noise(&self, channel: i64, drawn: i64, pts: i32, pts_count: i32) -> enums::Update {
        self.name(Peer::Channel(channel));
        types::UpdateChannelWebPage {
            channel_id: channel,
            webpage: no_page(drawn),
            pts,
            pts_count,
        }
        .into()
    }

    /// A message of a secret chat.
    pub fn secret(&self, secret: &Secret) -> enums::EncryptedMessage {
        types::EncryptedMessageService {
            random_id: secret.random_id,
            chat_id: SECRET_CHAT,
            date: secret.date,
            bytes: secret.random_id.to_le_bytes().repeat(8),
        }
        .into()
    }

    /// An update of the stream outside of the sequences.
    pub(super) fn noise(&self, kind: Kind, drawn: i64) -> Option<enums::Update> {
        self.noise_of_channels(kind, drawn)
            .or_else(|| self.noise_of_topics(kind, drawn))
            .or_else(|| self.noise_of_chats(kind, drawn))
            .or_else(|| self.noise_of_people(kind, drawn))
            .or_else(|| self.noise_of_lists(kind, drawn))
            .or_else(|| self.noise_of_account(kind, drawn))
            .or_else(|| noise_of_server(kind, drawn))
            .or_else(|| self.noise_of_stories(kind, drawn))
    }

    fn noise_of_channels(&self, kind: Kind, drawn: i64) -> Option<enums::Update> {
        let (channel_id, channel) = self.drawn_channel(drawn)?;
        let id = channel.next_id - 1;
        Some(match kind {
            Kind::ChannelMessageViews => types::UpdateChannelMessageViews {
                channel_id,
                id,
                views: small(drawn, 1000),
            }
            .into(),
            Kind::ChannelMessageForwards => types::UpdateChannelMessageForwards {
                channel_id,
                id,
                forwards: small(drawn, 100),
            }
            .into(),
            Kind::ChannelReadMessagesContents => types::UpdateChannelReadMessagesContents {
                channel_id,
                top_msg_id: None,
                saved_peer_id: None,
                messages: vec![id],
            }
            .into(),
            Kind::ChannelAvailableMessages => types::UpdateChannelAvailableMessages {
                channel_id,
                available_min_id: channel.hidden_from(self.account),
            }
            .into(),
            Kind::MessageExtendedMedia => types::UpdateMessageExtendedMedia {
                peer: self.name(Peer::Channel(channel_id)),
                msg_id: id,
                extended_media: Vec::new(),
            }
            .into(),
            Kind::GroupCall => types::UpdateGroupCall {
                live_story: false,
                peer: Some(self.name(Peer::Channel(channel_id))),
                call: types::GroupCallDiscarded {
                    id: drawn,
                    access_hash: drawn,
                    duration: small(drawn, 3600),
                }
                .into(),
            }
            .into(),
            Kind::ChannelUserTyping => types::UpdateChannelUserTyping {
                channel_id,
                top_msg_id: None,
                from_id: self.name(Peer::User(self.state.some_user(self.account, drawn))),
                action: enums::SendMessageAction::SendMessageTypingAction,
            }
            .into(),
            _ => return None,
        })
    }

    fn noise_of_topics(&self, kind: Kind, drawn: i64) -> Option<enums::Update> {
        let (channel_id, channel) = self.drawn_channel(drawn)?;
        let read_max_id = channel.next_id - 1;
        Some(match kind {
            Kind::ReadChannelDiscussionInbox => types::UpdateReadChannelDiscussionInbox {
                channel_id,
                top_msg_id: 1,
                read_max_id,
                broadcast_id: None,
                broadcast_post: None,
            }
            .into(),
            Kind::ReadChannelDiscussionOutbox => types::UpdateReadChannelDiscussionOutbox {
                channel_id,
                top_msg_id: 1,
                read_max_id,
            }
            .into(),
            Kind::ChannelViewForumAsMessages => types::UpdateChannelViewForumAsMessages {
                channel_id,
                enabled: drawn % 2 == 0,
            }
            .into(),
            Kind::PinnedForumTopic => types::UpdatePinnedForumTopic {
                pinned: drawn % 2 == 0,
                peer: self.name(Peer::Channel(channel_id)),
                topic_id: 1,
            }
            .into(),
            Kind::PinnedForumTopics => types::UpdatePinnedForumTopics {
                peer: self.name(Peer::Channel(channel_id)),
                order: Some(vec![1]),
            }
            .into(),
            _ => return None,
        })
    }

    fn noise_of_chats(&self, kind: Kind, drawn: i64) -> Option<enums::Update> {
        let known = self.state.some_dialog(self.account, drawn);
        let peer = || self.name(known);
        Some(match (kind, known) {
            (Kind::Chat, Peer::Group(chat_id)) => {
                self.name(known);
                types::UpdateChat { chat_id }.into()
            }
            (Kind::ChatDefaultBannedRights, Peer::Group(id)) => types::UpdateChatDefaultBannedRights {
                peer: peer(),
                default_banned_rights: blank::banned_rights().into(),
                version: self.state.groups.get(&id)?.version,
            }
            .into(),
            (Kind::PendingJoinRequests, Peer::Group(_)) => types::UpdatePendingJoinRequests {
                peer: peer(),
                requests_pending: 0,
                recent_requesters: Vec::new(),
            }
            .into(),
            (Kind::PeerSettings, _) => types::UpdatePeerSettings {
                peer: peer(),
                settings: blank::peer_settings().into(),
            }
            .into(),
            (Kind::PeerBlocked, Peer::User(_)) => types::UpdatePeerBlocked {
                blocked: false,
                blocked_my_stories_from: false,
                peer_id: peer(),
            }
            .into(),
            (Kind::PeerHistoryTtl, _) => types::UpdatePeerHistoryTtl {
                peer: peer(),
                ttl_period: None,
            }
            .into(),
            (Kind::PeerWallpaper, _) => types::UpdatePeerWallpaper {
                wallpaper_overridden: false,
                peer: peer(),
                wallpaper: None,
            }
            .into(),
            _ => return None,
        })
    }

    fn noise_of_people(&self, kind: Kind, drawn: i64) -> Option<enums::Update> {
        let user_id = self.state.some_user(self.account, drawn);
        let account = self.state.accounts.get(&user_id)?;
        Some(match kind {
            Kind::User => {
                self.name(Peer::User(user_id));
                types::UpdateUser { user_id }.into()
            }
            Kind::UserName => types::UpdateUserName {
                user_id,
                first_name: account.first_name.clone(),
                last_name: account.last_name.clone(),
                usernames: super::standing::listed(account.username.as_deref(), &account.collectibles),
            }
            .into(),
            Kind::UserPhone => types::UpdateUserPhone {
                user_id,
                phone: String::new(),
            }
            .into(),
            Kind::UserEmojiStatus => types::UpdateUserEmojiStatus {
                user_id,
                emoji_status: enums::EmojiStatus::Empty,
            }
            .into(),
            Kind::UserStatus => types::UpdateUserStatus {
                user_id,
                status: match drawn.rem_euclid(3) {
                    0 => types::UserStatusRecently { by_me: false }.into(),
                    1 => types::UserStatusLastWeek { by_me: false }.into(),
                    _ => types::UserStatusLastMonth { by_me: false }.into(),
                },
            }
            .into(),
            Kind::UserTyping => types::UpdateUserTyping {
                user_id,
                top_msg_id: None,
                action: enums::SendMessageAction::SendMessageTypingAction,
            }
            .into(),
            _ => return None,
        })
    }

    fn noise_of_lists(&self, kind: Kind, drawn: i64) -> Option<enums::Update> {
        let peer = || self.name(self.state.some_dialog(self.account, drawn));
        let dialog = || types::DialogPeer { peer: peer() }.into();
        Some(match kind {
            Kind::DraftMessage => types::UpdateDraftMessage {
                peer: peer(),
                top_msg_id: None,
                saved_peer_id: None,
                draft: types::DraftMessageEmpty {
                    date: Some(self.state.date()),
                }
                .into(),
            }
            .into(),
            Kind::DialogPinned => types::UpdateDialogPinned {
                pinned: drawn % 2 == 0,
                folder_id: None,
                peer: dialog(),
            }
            .into(),
            Kind::PinnedDialogs => types::UpdatePinnedDialogs {
                folder_id: None,
                order: Some(vec![dialog()]),
            }
            .into(),
            Kind::DialogUnreadMark => types::UpdateDialogUnreadMark {
                unread: drawn % 2 == 0,
                peer: dialog(),
                saved_peer_id: None,
            }
            .into(),
            Kind::DialogFilter => types::UpdateDialogFilter {
                id: 2 + small(drawn, 8),
                filter: None,
            }
            .into(),
            Kind::DialogFilters => enums::Update::DialogFilters,
            Kind::NotifySettings => types::UpdateNotifySettings {
                peer: types::NotifyPeer { peer: peer() }.into(),
                notify_settings: blank::notify_settings().into(),
            }
            .into(),
            Kind::NewScheduledMessage => types::UpdateNewScheduledMessage {
                message: types::Message {
                    out: true,
                    from_scheduled: true,
                    from_id: Some(self.name(Peer::User(self.account))),
                    message: "later".to_owned(),
                    ..blank::message(1 + small(drawn, 1000), peer(), self.state.date() + 3600)
                }
                .into(),
            }
            .into(),
            Kind::DeleteScheduledMessages => types::UpdateDeleteScheduledMessages {
                peer: peer(),
                messages: vec![1 + small(drawn, 1000)],
                sent_messages: None,
            }
            .into(),
            _ => return None,
        })
    }

    fn noise_of_account(&self, kind: Kind, drawn: i64) -> Option<enums::Update> {
        Some(match kind {
            Kind::NewEncryptedMessage => {
                let secrets = &self.state.accounts.get(&self.account)?.secrets;
                let secret = secrets.iter().rev().find(|secret| secret.random_id == drawn)?;
                types::UpdateNewEncryptedMessage {
                    message: self.secret(secret),
                    qts: secret.qts,
                }
                .into()
            }
            Kind::Encryption => types::UpdateEncryption {
                chat: types::EncryptedChatDiscarded {
                    history_deleted: false,
                    id: SECRET_CHAT + 1,
                }
                .into(),
                date: self.state.date(),
            }
            .into(),
            Kind::ServiceNotification => types::UpdateServiceNotification {
                popup: false,
                invert_media: false,
                inbox_date: None,
                r#type: format!("WEATHER_{}", small(drawn, 1000)),
                message: "Nothing has happened.".to_owned(),
                media: enums::MessageMedia::Empty,
                entities: Vec::new(),
            }
            .into(),
            Kind::Privacy => types::UpdatePrivacy {
                key: enums::PrivacyKey::StatusTimestamp,
                rules: vec![enums::PrivacyRule::PrivacyValueAllowAll],
            }
            .into(),
            Kind::StarsBalance => types::UpdateStarsBalance {
                balance: types::StarsAmount {
                    amount: i64::from(small(drawn, 1000)),
                    nanos: 0,
                }
                .into(),
            }
            .into(),
            Kind::RecentReactions => enums::Update::RecentReactions,
            Kind::SavedGifs => enums::Update::SavedGifs,
            Kind::StickerSets => types::UpdateStickerSets {
                masks: false,
                emojis: false,
            }
            .into(),
            Kind::StickerSetsOrder => types::UpdateStickerSetsOrder {
                masks: false,
                emojis: false,
                order: vec![drawn],
            }
            .into(),
            _ => return None,
        })
    }

    fn noise_of_stories(&self, kind: Kind, drawn: i64) -> Option<enums::Update> {
        let peer = || self.name(Peer::User(self.state.some_user(self.account, drawn)));
        let id = 1 + small(drawn, 100);
        Some(match kind {
            Kind::Story => types::UpdateStory {
                peer: peer(),
                story: types::StoryItemDeleted { id }.into(),
            }
            .into(),
            Kind::ReadStories => types::UpdateReadStories {
                peer: peer(),
                max_id: id,
            }
            .into(),
            Kind::StoriesStealthMode => types::UpdateStoriesStealthMode {
                stealth_mode: types::StoriesStealthMode {
                    active_until_date: None,
                    cooldown_until_date: None,
                }
                .into(),
            }
            .into(),
            Kind::SentStoryReaction => types::UpdateSentStoryReaction {
                peer: peer(),
                story_id: id,
                reaction: enums::Reaction::Empty,
            }
            .into(),
            _ => return None,
        })
    }

    fn drawn_channel(&self, drawn: i64) -> Option<(i64, &Channel)> {
        let id = self.state.some_channel(self.account, drawn)?;
        Some((id, self.state.channels.get(&id)?))
    }
}

/// The secret chat in which all of an account's secret messages come.
const SECRET_CHAT: i32 = 1;

fn noise_of_server(kind: Kind, drawn: i64) -> Option<enums::Update> {
    Some(match kind {
        Kind::Config => enums::Update::Config,
        Kind::DcOptions => types::UpdateDcOptions {
            dc_options: Vec::new(),
        }
        .into(),
        Kind::LangPack => types::UpdateLangPack {
            difference: types::LangPackDifference {
                lang_code: "en".to_owned(),
                from_version: small(drawn, 1000),
                version: small(drawn, 1000) + 1,
                strings: Vec::new(),
            }
            .into(),
        }
        .into(),
        Kind::LangPackTooLong => types::UpdateLangPackTooLong {
            lang_code: "en".to_owned(),
        }
        .into(),
        _ => return None,
    })
}

fn no_page(id: i64) -> enums::WebPage {
    types::WebPageEmpty { id, url: None }.into()
}

fn small(drawn: i64, below: i64) -> i32 {
    i32::try_from(drawn.rem_euclid(below)).unwrap_or(0)
}
