//! What each method of the schema does to the world and answers. One file a family; this one holds the
//! table of methods and what they share: who calls, and whom a call names.

mod account;
mod answering;
pub mod auth;
mod channels;
mod contacts;
mod dialogs;
mod forwards;
mod help;
mod history;
mod lenient;
mod manner;
mod messages;
pub mod password;
mod photos;
mod polls;
mod reactions;
mod send;
mod tokens;
mod topics;
mod updates;
mod upload;
mod users;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use grammers_tl_types::{Deserializable, Identifiable, Serializable, enums, functions as f};

use super::render::Viewer;
use super::rpc::{Hub, KeyId, MtSession};
use super::world::entities::Entity;
use super::world::{Peer, Refusal, State};
pub use password::{Arithmetic, is_about_passwords};

/// So many of the messages that a call names by number are looked at.
const LOOKED_AT: usize = 100;

/// What a call may use.
pub struct Ctx<'a> {
    /// The world, locked.
    pub state: &'a mut State,
    /// Connections, for calls that cut or end some.
    pub hub: &'a Hub,
    /// The key of the call.
    pub key: KeyId,
    /// Its session.
    pub session: MtSession,
    /// The data centre that was called.
    pub dc: i32,
    /// Where each data centre listens.
    pub centres: &'a BTreeMap<i32, SocketAddr>,
    /// What was calculated beforehand.
    pub arithmetic: Arithmetic,
    /// The application ids it takes; `None` takes any.
    pub api: Option<&'a (i32, String)>,
    /// Whether a fault asks for "too long".
    pub too_long: bool,
    /// Whether a fault asks for expired file references.
    pub stale: bool,
    /// Whether a fault removes at once what is sent.
    pub removed: bool,
    /// How much news there was before the call.
    pub news_before: usize,
}

/// A method's answer.
pub type Answer<T> = Result<T, Refusal>;

impl Ctx<'_> {
    /// Who calls.
    pub fn me(&self) -> Answer<i64> {
        self.state.user_of(self.key.0)
    }

    /// The world as the caller sees it.
    pub fn viewer(&self, me: i64) -> Viewer<'_> {
        Viewer::new(self.state, me)
    }

    /// All that the call told the caller, as its answer.
    pub fn told(&self, me: i64) -> enums::Updates {
        self.viewer(me)
            .answer(self.state.news.get(self.news_before..).unwrap_or_default())
    }

    /// The peer that an input peer names, if the caller may name it.
    pub fn peer(&self, me: i64, peer: &enums::InputPeer) -> Answer<Peer> {
        use enums::InputPeer as I;
        let invalid = Refusal::bad("PEER_ID_INVALID");
        match peer {
            I::Empty => Err(invalid),
            I::PeerSelf => Ok(Peer::User(me)),
            I::Chat(chat) => {
                let known = self.state.groups.get(&chat.chat_id).ok_or(invalid.clone())?;
                known.role(me).map(|_| Peer::Group(chat.chat_id)).ok_or(invalid)
            }
            I::User(user) => self
                .user_by_hash(me, user.user_id, user.access_hash)
                .ok_or(invalid),
            I::Channel(channel) => self.channel_by_hash(me, channel.channel_id, channel.access_hash),
            I::UserFromMessage(user) => {
                let user_id = user.user_id;
                self.seen_in(me, &user.peer, user.msg_id, Peer::User(user_id))
            }
            I::ChannelFromMessage(channel) => {
                let channel_id = channel.channel_id;
                self.seen_in(me, &channel.peer, channel.msg_id, Peer::Channel(channel_id))?;
                self.readable(me, channel_id)
            }
        }
    }

    /// The user that an input user names.
    pub fn user(&self, me: i64, user: &enums::InputUser) -> Answer<i64> {
        use enums::InputUser as I;
        let invalid = Refusal::bad("USER_ID_INVALID");
        match user {
            I::Empty => Err(invalid),
            I::UserSelf => Ok(me),
            I::User(user) => match self.user_by_hash(me, user.user_id, user.access_hash) {
                Some(Peer::User(id)) => Ok(id),
                _ => Err(invalid),
            },
            I::FromMessage(user) => {
                let user_id = user.user_id;
                self.seen_in(me, &user.peer, user.msg_id, Peer::User(user_id))?;
                Ok(user_id)
            }
        }
    }

    /// The channel that an input channel names.
    pub fn channel(&self, me: i64, channel: &enums::InputChannel) -> Answer<i64> {
        use enums::InputChannel as I;
        let peer = match channel {
            I::Empty => Err(Refusal::bad("CHANNEL_INVALID")),
            I::Channel(channel) => self.channel_by_hash(me, channel.channel_id, channel.access_hash),
            I::FromMessage(channel) => {
                let channel_id = channel.channel_id;
                self.seen_in(me, &channel.peer, channel.msg_id, Peer::Channel(channel_id))?;
                self.readable(me, channel_id)
            }
        };
        match peer? {
            Peer::Channel(id) => Ok(id),
            _ => Err(Refusal::bad("CHANNEL_INVALID")),
        }
    }

    fn user_by_hash(&self, me: i64, id: i64, hash: i64) -> Option<Peer> {
        let right = id == me || hash == self.state.access_hash(me, Peer::User(id));
        (right && self.state.accounts.contains_key(&id)).then_some(Peer::User(id))
    }

    fn channel_by_hash(&self, me: i64, id: i64, hash: i64) -> Answer<Peer> {
        if hash != self.state.access_hash(me, Peer::Channel(id)) {
            return Err(Refusal::bad("CHANNEL_INVALID"));
        }
        self.readable(me, id)
    }

    fn readable(&self, me: i64, id: i64) -> Answer<Peer> {
        match self.state.channel(id)?.readable_by(me) {
            true => Ok(Peer::Channel(id)),
            false => Err(self.state.closed(me, id)),
        }
    }

    /// A peer that is named by a message in which it was seen.
    fn seen_in(&self, me: i64, chat: &enums::InputPeer, id: i32, wanted: Peer) -> Answer<Peer> {
        let chat = self.peer(me, chat)?;
        let missing = Refusal::bad("MSG_ID_INVALID");
        let content = self.state.find(me, chat, id).ok_or(missing.clone())?;
        let viewer = self.viewer(me);
        viewer.render(content, id);
        match viewer.has_named(wanted) && self.state.exists(wanted) {
            true => Ok(wanted),
            false => Err(missing),
        }
    }

    /// Of what a call names by number, as many as are looked at.
    pub fn looked_at<T>(&self, mut named: Vec<T>) -> Vec<T> {
        if named.len() > LOOKED_AT && self.state.switches.hundred_numbers.decides() {
            named.truncate(LOOKED_AT);
        }
        named
    }

    /// The spans of a text that the caller may send there.
    pub fn spans(&self, me: i64, peer: Peer, entities: Option<Vec<enums::MessageEntity>>) -> Vec<Entity> {
        self.state.allowed(me, peer, self.entities(me, entities))
    }

    /// The spans that a client sent.
    pub fn entities(&self, me: i64, entities: Option<Vec<enums::MessageEntity>>) -> Vec<Entity> {
        let read = |entity| super::render::messages::read_entity(entity, |user| self.user(me, user).ok());
        entities
            .unwrap_or_default()
            .into_iter()
            .filter_map(read)
            .collect()
    }
}

/// The chat that a call is about, for the methods where that is one; hashes are not checked.
pub fn target(me: i64, body: &[u8]) -> Option<Peer> {
    let constructor = u32::from_le_bytes(*body.first_chunk::<4>()?);
    let parameters = body.get(4..)?;
    macro_rules! peer_of {
        ($($family:ident :: $method:ident . $field:ident;)*) => {
            match constructor {
                $(f::$family::$method::CONSTRUCTOR_ID => {
                    bare(me, &f::$family::$method::from_bytes(parameters).ok()?.$field)
                })*
                f::channels::DeleteMessages::CONSTRUCTOR_ID => {
                    bare_channel(&f::channels::DeleteMessages::from_bytes(parameters).ok()?.channel).map(Peer::Channel)
                }
                f::updates::GetChannelDifference::CONSTRUCTOR_ID => {
                    bare_channel(&f::updates::GetChannelDifference::from_bytes(parameters).ok()?.channel).map(Peer::Channel)
                }
                _ => None,
            }
        };
    }
    peer_of! {
        messages::SendMessage.peer;
        messages::SendMedia.peer;
        messages::SendMultiMedia.peer;
        messages::UploadMedia.peer;
        messages::ForwardMessages.to_peer;
        messages::EditMessage.peer;
        messages::GetHistory.peer;
        messages::ReadHistory.peer;
        messages::SetTyping.peer;
        messages::SendReaction.peer;
        messages::SendVote.peer;
        messages::UpdatePinnedMessage.peer;
    }
}

/// The random ids under which a call posts.
pub fn random_ids(body: &[u8]) -> Vec<i64> {
    let Some((constructor, parameters)) = body.split_first_chunk::<4>() else {
        return Vec::new();
    };
    let read = match u32::from_le_bytes(*constructor) {
        f::messages::SendMessage::CONSTRUCTOR_ID => {
            f::messages::SendMessage::from_bytes(parameters).map(|call| vec![call.random_id])
        }
        f::messages::SendMedia::CONSTRUCTOR_ID => {
            f::messages::SendMedia::from_bytes(parameters).map(|call| vec![call.random_id])
        }
        f::messages::ForwardMessages::CONSTRUCTOR_ID => {
            f::messages::ForwardMessages::from_bytes(parameters).map(|call| call.random_id)
        }
        f::messages::SendMultiMedia::CONSTRUCTOR_ID => {
            let id = |enums::InputSingleMedia::Media(part): enums::InputSingleMedia| part.random_id;
            let call = f::messages::SendMultiMedia::from_bytes(parameters);
            call.map(|call| call.multi_media.into_iter().map(id).collect())
        }
        _ => return Vec::new(),
    };
    read.unwrap_or_default()
}

fn bare(me: i64, peer: &enums::InputPeer) -> Option<Peer> {
    use enums::InputPeer as I;
    Some(match peer {
        I::Empty => return None,
        I::PeerSelf => Peer::User(me),
        I::Chat(chat) => Peer::Group(chat.chat_id),
        I::User(user) => Peer::User(user.user_id),
        I::Channel(channel) => Peer::Channel(channel.channel_id),
        I::UserFromMessage(user) => Peer::User(user.user_id),
        I::ChannelFromMessage(channel) => Peer::Channel(channel.channel_id),
    })
}

fn bare_channel(channel: &enums::InputChannel) -> Option<i64> {
    match channel {
        enums::InputChannel::Empty => None,
        enums::InputChannel::Channel(channel) => Some(channel.channel_id),
        enums::InputChannel::FromMessage(channel) => Some(channel.channel_id),
    }
}

macro_rules! table {
    ($($family:ident :: $method:ident => $handler:path;)*) => {
        /// Executes a call whose bytes begin with its constructor; `None` if the method is not served.
        pub fn dispatch(ctx: &mut Ctx<'_>, constructor: u32, body: &[u8]) -> Option<Answer<Vec<u8>>> {
            match constructor {
                $(f::$family::$method::CONSTRUCTOR_ID => {
                    let parameters = body.get(4..).unwrap_or_default();
                    let read = |bytes: &[u8]| f::$family::$method::from_bytes(bytes).ok();
                    Some(match read(parameters).or_else(|| lenient::read(parameters, read)) {
                        Some(request) => serialized::<f::$family::$method>(ctx, request, $handler),
                        None => Err(Refusal::bad("INPUT_REQUEST_INVALID")),
                    })
                })*
                _ => None,
            }
        }
    };
}

fn serialized<R: grammers_tl_types::RemoteCall>(
    ctx: &mut Ctx<'_>,
    request: R,
    handler: fn(&mut Ctx<'_>, R) -> Answer<R::Return>,
) -> Answer<Vec<u8>>
where
    R::Return: Serializable,
{
    handler(ctx, request).map(|answer| answer.to_bytes())
}

table! {
    auth::SendCode => auth::send_code;
    auth::ResendCode => auth::resend_code;
    auth::CancelCode => auth::cancel_code;
    auth::SignIn => auth::sign_in;
    auth::SignUp => auth::sign_up;
    auth::LogOut => auth::log_out;
    auth::ResetAuthorizations => auth::reset_authorizations;
    auth::CheckPassword => password::check_password;
    auth::ExportLoginToken => tokens::export_login_token;
    auth::ImportLoginToken => tokens::import_login_token;
    auth::AcceptLoginToken => tokens::accept_login_token;
    auth::ExportAuthorization => auth::export_authorization;
    auth::ImportAuthorization => auth::import_authorization;

    account::GetPassword => password::get_password;
    account::GetAuthorizations => account::get_authorizations;
    account::ResetAuthorization => account::reset_authorization;
    account::UpdateStatus => account::update_status;
    account::UpdateProfile => account::update_profile;
    account::UpdateUsername => account::update_username;
    account::CheckUsername => account::check_username;
    account::GetNotifySettings => account::get_notify_settings;
    account::GetGlobalPrivacySettings => account::get_global_privacy_settings;
    account::RegisterDevice => account::register_device;

    help::GetConfig => help::get_config;
    help::GetAppConfig => help::get_app_config;
    help::GetNearestDc => help::get_nearest_dc;
    help::GetCdnConfig => help::get_cdn_config;
    help::GetTermsOfServiceUpdate => help::get_terms_of_service_update;
    help::GetPromoData => help::get_promo_data;
    langpack::GetLanguages => help::get_languages;
    langpack::GetLangPack => help::get_lang_pack;
    langpack::GetDifference => help::get_lang_difference;
    langpack::GetStrings => help::get_strings;

    updates::GetState => updates::get_state;
    updates::GetDifference => updates::get_difference;
    updates::GetChannelDifference => updates::get_channel_difference;

    messages::SendMessage => send::send_message;
    messages::SendMedia => send::send_media;
    messages::UploadMedia => send::upload_media;
    messages::SendMultiMedia => send::send_multi_media;
    messages::ForwardMessages => forwards::forward_messages;

    messages::GetDialogs => dialogs::get_dialogs;
    messages::GetPeerDialogs => dialogs::get_peer_dialogs;
    messages::GetPinnedDialogs => dialogs::get_pinned_dialogs;
    messages::ToggleDialogPin => dialogs::toggle_dialog_pin;
    folders::EditPeerFolders => dialogs::edit_peer_folders;
    messages::GetDialogFilters => dialogs::get_dialog_filters;

    messages::GetHistory => history::get_history;
    messages::GetMessages => history::get_messages;
    messages::Search => history::search;
    messages::SearchGlobal => history::search_global;
    messages::GetUnreadMentions => history::get_unread_mentions;
    channels::GetMessages => history::get_channel_messages;

    messages::EditMessage => messages::edit_message;
    messages::DeleteMessages => messages::delete_messages;
    messages::DeleteHistory => messages::delete_history;
    messages::ReadHistory => messages::read_history;
    messages::ReadMessageContents => messages::read_message_contents;
    messages::ReceivedMessages => messages::received_messages;
    messages::SetTyping => messages::set_typing;
    messages::UpdatePinnedMessage => messages::update_pinned_message;
    messages::UnpinAllMessages => messages::unpin_all_messages;
    messages::CreateForumTopic => topics::create_forum_topic;
    messages::EditForumTopic => topics::edit_forum_topic;
    messages::DeleteTopicHistory => topics::delete_topic_history;
    messages::GetForumTopics => topics::get_forum_topics;
    messages::GetForumTopicsById => topics::get_forum_topics_by_id;
    messages::GetReplies => topics::get_replies;
    messages::SendReaction => reactions::send_reaction;
    messages::GetMessagesReactions => reactions::get_messages_reactions;
    messages::GetMessageReactionsList => reactions::get_message_reactions_list;
    messages::SendVote => polls::send_vote;
    messages::GetPollResults => polls::get_poll_results;
    messages::GetPollVotes => polls::get_poll_votes;
    messages::GetMessagesViews => messages::get_messages_views;
    messages::GetPeerSettings => messages::get_peer_settings;
    messages::SaveDraft => messages::save_draft;
    messages::GetAllDrafts => messages::get_all_drafts;
    messages::GetChats => messages::get_chats;
    messages::GetFullChat => messages::get_full_chat;
    messages::CreateChat => messages::create_chat;
    messages::AddChatUser => messages::add_chat_user;
    messages::DeleteChatUser => messages::delete_chat_user;
    messages::EditChatAdmin => messages::edit_chat_admin;
    messages::MigrateChat => messages::migrate_chat;
    messages::EditChatTitle => messages::edit_chat_title;
    messages::EditChatDefaultBannedRights => messages::edit_chat_default_banned_rights;
    messages::ToggleNoForwards => messages::toggle_no_forwards;
    messages::ExportChatInvite => messages::export_chat_invite;
    messages::CheckChatInvite => messages::check_chat_invite;
    messages::ImportChatInvite => messages::import_chat_invite;

    channels::GetChannels => channels::get_channels;
    channels::GetFullChannel => channels::get_full_channel;
    channels::CreateChannel => channels::create_channel;
    channels::DeleteChannel => channels::delete_channel;
    channels::DeleteHistory => channels::delete_history;
    channels::TogglePreHistoryHidden => channels::toggle_pre_history_hidden;
    channels::SetDiscussionGroup => channels::set_discussion_group;
    channels::InviteToChannel => channels::invite_to_channel;
    channels::JoinChannel => channels::join_channel;
    channels::LeaveChannel => channels::leave_channel;
    channels::ReadHistory => channels::read_history;
    channels::ReadMessageContents => channels::read_message_contents;
    channels::DeleteMessages => channels::delete_messages;
    channels::GetParticipants => channels::get_participants;
    channels::GetParticipant => channels::get_participant;
    channels::EditTitle => channels::edit_title;
    channels::EditAdmin => channels::edit_admin;
    channels::EditBanned => channels::edit_banned;
    channels::CheckUsername => channels::check_username;
    channels::UpdateUsername => channels::update_username;
    channels::ToggleForum => topics::toggle_forum;
    channels::ToggleSlowMode => channels::toggle_slow_mode;
    channels::ExportMessageLink => channels::export_message_link;

    contacts::ResolveUsername => contacts::resolve_username;
    contacts::ResolvePhone => contacts::resolve_phone;
    contacts::GetContacts => contacts::get_contacts;
    contacts::GetStatuses => contacts::get_statuses;
    contacts::ImportContacts => contacts::import_contacts;
    contacts::AddContact => contacts::add_contact;
    contacts::DeleteContacts => contacts::delete_contacts;
    contacts::Search => contacts::search;
    contacts::Block => contacts::block;
    contacts::Unblock => contacts::unblock;
    contacts::GetBlocked => contacts::get_blocked;

    users::GetUsers => users::get_users;
    users::GetFullUser => users::get_full_user;
    photos::GetUserPhotos => photos::get_user_photos;
    photos::UploadProfilePhoto => photos::upload_profile_photo;

    upload::SaveFilePart => upload::save_file_part;
    upload::SaveBigFilePart => upload::save_big_file_part;
    upload::GetFile => upload::get_file;
}
