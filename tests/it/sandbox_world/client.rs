//! A client that skips the wire: it hands the service bytes of the schema and reads its answers.

use grammers_tl_types as tl;
use tl::{Deserializable, RemoteCall, Serializable, enums, functions as f, types};
use trunkline::sandbox::World;
use trunkline::sandbox::rpc::{Call, Hub, KeyId, MtSession, Reply, Service};
use trunkline::sandbox::telegram::Telegram;
use trunkline::sandbox::world::State;

/// A refusal as it comes over the wire.
pub type Refused = (i32, String);

/// A world and its service.
pub fn world() -> (Telegram, World) {
    let telegram = Telegram::new(State::new(7), Hub::new(), None);
    let world = World::new(telegram.clone());
    (telegram, world)
}

/// A key that calls.
pub struct Client {
    telegram: Telegram,
    dc: i32,
    key: i64,
}

impl Client {
    /// A key that nobody is logged in with.
    pub fn new(telegram: &Telegram, key: i64) -> Self {
        Self::of(telegram, 2, key)
    }

    /// The same in a data centre.
    pub fn of(telegram: &Telegram, dc: i32, key: i64) -> Self {
        Self {
            telegram: telegram.clone(),
            dc,
            key,
        }
    }

    /// A key that is logged in by code.
    pub async fn logged_in(telegram: &Telegram, world: &World, key: i64, phone: &str) -> Self {
        let client = Self::new(telegram, key);
        let enums::auth::SentCode::Code(sent) = client.ask(send_code(phone)).await else {
            panic!("a code")
        };
        let sign_in = f::auth::SignIn {
            phone_number: phone.to_owned(),
            phone_code_hash: sent.phone_code_hash,
            phone_code: Some(world.code(phone).expect("a code")),
            email_verification: None,
        };
        let enums::auth::Authorization::Authorization(_) = client.ask(sign_in).await else {
            panic!("logged in")
        };
        client
    }

    /// A call as it is answered on the seam.
    pub async fn raw(&self, body: Vec<u8>) -> Reply {
        let call = Call {
            dc: self.dc,
            key: KeyId(self.key),
            session: MtSession(self.key),
            connection: 0,
            layer: 230,
            without_updates: false,
            body,
        };
        self.telegram.call(call).await
    }

    /// A call and its result or refusal.
    pub async fn call<R>(&self, request: R) -> Result<R::Return, Refused>
    where
        R: RemoteCall + Serializable,
        R::Return: Deserializable,
    {
        match self.raw(request.to_bytes()).await {
            Reply::Result(bytes) => Ok(R::Return::from_bytes(&bytes).expect("an answer of the schema")),
            Reply::Error { code, name } => Err((code, name)),
            other => panic!("no answer: {other:?}"),
        }
    }

    /// A call that is not refused.
    pub async fn ask<R>(&self, request: R) -> R::Return
    where
        R: RemoteCall + Serializable,
        R::Return: Deserializable,
    {
        self.call(request).await.expect("not refused")
    }

    /// The name under which a call is refused.
    pub async fn refused<R>(&self, request: R) -> String
    where
        R: RemoteCall + Serializable,
        R::Return: Deserializable + std::fmt::Debug,
    {
        self.call(request).await.expect_err("refused").1
    }

    /// The account's state.
    pub async fn state(&self) -> types::updates::State {
        let enums::updates::State::State(state) = self.ask(f::updates::GetState {}).await;
        state
    }

    /// What was missed since a state.
    pub async fn difference(&self, pts: i32) -> enums::updates::Difference {
        self.ask(get_difference(pts)).await
    }

    /// A peer by its public name.
    pub async fn resolve(&self, username: &str) -> enums::InputPeer {
        let request = f::contacts::ResolveUsername {
            username: username.to_owned(),
            referer: None,
        };
        let enums::contacts::ResolvedPeer::Peer(found) = self.ask(request).await;
        match (found.users.into_iter().next(), found.chats.into_iter().next()) {
            (Some(enums::User::User(user)), _) => types::InputPeerUser {
                user_id: user.id,
                access_hash: user.access_hash.expect("a hash"),
            }
            .into(),
            (_, Some(enums::Chat::Channel(channel))) => types::InputPeerChannel {
                channel_id: channel.id,
                access_hash: channel.access_hash.expect("a hash"),
            }
            .into(),
            other => panic!("neither user nor channel: {other:?}"),
        }
    }

    /// Sends a text.
    pub async fn send(&self, peer: &enums::InputPeer, text: &str, random_id: i64) -> enums::Updates {
        self.ask(send(peer, text, random_id)).await
    }
}

/// `auth.sendCode`
pub fn send_code(phone: &str) -> f::auth::SendCode {
    f::auth::SendCode {
        phone_number: phone.to_owned(),
        api_id: 1,
        api_hash: "x".to_owned(),
        settings: types::CodeSettings {
            allow_flashcall: false,
            current_number: false,
            allow_app_hash: false,
            allow_missed_call: false,
            allow_firebase: false,
            unknown_number: false,
            logout_tokens: None,
            token: None,
            app_sandbox: None,
        }
        .into(),
    }
}

/// `messages.sendMessage`
pub fn send(peer: &enums::InputPeer, text: &str, random_id: i64) -> f::messages::SendMessage {
    f::messages::SendMessage {
        no_webpage: false,
        silent: false,
        background: false,
        clear_draft: false,
        noforwards: false,
        update_stickersets_order: false,
        invert_media: false,
        allow_paid_floodskip: false,
        peer: peer.clone(),
        reply_to: None,
        message: text.to_owned(),
        random_id,
        reply_markup: None,
        entities: None,
        schedule_date: None,
        schedule_repeat_period: None,
        send_as: None,
        quick_reply_shortcut: None,
        effect: None,
        allow_paid_stars: None,
        suggested_post: None,
        rich_message: None,
    }
}

/// `messages.forwardMessages`
pub fn forward(
    from: &enums::InputPeer,
    to: &enums::InputPeer,
    ids: Vec<i32>,
    random_ids: Vec<i64>,
    drop_author: bool,
) -> f::messages::ForwardMessages {
    f::messages::ForwardMessages {
        silent: false,
        background: false,
        with_my_score: false,
        drop_author,
        drop_media_captions: false,
        noforwards: false,
        allow_paid_floodskip: false,
        from_ephemeral: false,
        from_peer: from.clone(),
        id: ids,
        random_id: random_ids,
        to_peer: to.clone(),
        top_msg_id: None,
        reply_to: None,
        schedule_date: None,
        schedule_repeat_period: None,
        send_as: None,
        quick_reply_shortcut: None,
        effect: None,
        video_timestamp: None,
        allow_paid_stars: None,
        suggested_post: None,
    }
}

/// `messages.sendMultiMedia`
pub fn album(peer: &enums::InputPeer, items: Vec<(enums::InputMedia, i64)>) -> f::messages::SendMultiMedia {
    let item = |(media, random_id)| {
        types::InputSingleMedia {
            media,
            random_id,
            message: String::new(),
            entities: None,
        }
        .into()
    };
    f::messages::SendMultiMedia {
        silent: false,
        background: false,
        clear_draft: false,
        noforwards: false,
        update_stickersets_order: false,
        invert_media: false,
        allow_paid_floodskip: false,
        peer: peer.clone(),
        reply_to: None,
        multi_media: items.into_iter().map(item).collect(),
        schedule_date: None,
        send_as: None,
        quick_reply_shortcut: None,
        effect: None,
        allow_paid_stars: None,
    }
}

/// `updates.getDifference`
pub fn get_difference(pts: i32) -> f::updates::GetDifference {
    f::updates::GetDifference {
        pts,
        pts_limit: None,
        pts_total_limit: None,
        date: i32::MAX,
        qts: 0,
        qts_limit: None,
    }
}

/// `messages.getHistory`
pub fn history(peer: &enums::InputPeer, limit: i32, min_id: i32) -> f::messages::GetHistory {
    f::messages::GetHistory {
        peer: peer.clone(),
        offset_id: 0,
        offset_date: 0,
        add_offset: 0,
        limit,
        max_id: 0,
        min_id,
        hash: 0,
    }
}

/// The updates of a container.
pub fn updates(answer: enums::Updates) -> Vec<enums::Update> {
    match answer {
        enums::Updates::Updates(container) => container.updates,
        enums::Updates::UpdateShort(short) => vec![short.update],
        other => panic!("another container: {other:?}"),
    }
}

/// The messages in updates of both kinds of sequences.
pub fn new_messages(updates: Vec<enums::Update>) -> Vec<types::Message> {
    let messages = updates.into_iter().filter_map(|update| match update {
        enums::Update::NewMessage(new) => Some(new.message),
        enums::Update::NewChannelMessage(new) => Some(new.message),
        _ => None,
    });
    said(messages)
}

/// Messages that somebody wrote.
pub fn said(messages: impl IntoIterator<Item = enums::Message>) -> Vec<types::Message> {
    let said = messages.into_iter().filter_map(|message| match message {
        enums::Message::Message(message) => Some(message),
        _ => None,
    });
    said.collect()
}
