//! Messages as the sandbox tells them where Telegram has ways of its own: previews of links, topics of forums,
//! changes that are no edits, parameters that have an effect or are refused, spans of
//! texts; lists of dialogs, and what is little.

mod dialogs;
mod hidden;
mod little;
mod manner;
mod parts;
mod pictures;
mod previews;
mod replies;
mod spans;
mod topics;
mod uploads;
mod vanishing;

use grammers_tl_types::{enums, functions as f, types};
use trunkline::app::Daemon;
use trunkline::base::{Owner, SessionId};
use trunkline::model::{Event, EventBody};
use trunkline::sandbox::World;
use trunkline::sandbox::acts::{NewChat, NewChatKind, Who};
use trunkline::sandbox::world::Peer;

use crate::sandbox_people::login::Login;
use crate::stage::{Stage, events};

const ANN: &str = "+15550001";
const BOB: &str = "+15550002";

/// A chat that `creator` runs and `member` is in.
fn chat(world: &World, kind: NewChatKind, creator: i64, member: i64) -> i64 {
    let new = NewChat {
        kind,
        id: None,
        title: "Place".into(),
        about: String::new(),
        username: None,
        creator: Who::Id(creator),
        members: vec![Who::Id(member)],
        admins: vec![],
        slow_mode: 0,
        protected: false,
    };
    world.add_chat(new).expect("a chat")
}

/// A call that sends a text.
fn text(peer: enums::InputPeer, message: &str, no_webpage: bool) -> f::messages::SendMessage {
    f::messages::SendMessage {
        no_webpage,
        silent: false,
        background: false,
        clear_draft: false,
        noforwards: false,
        update_stickersets_order: false,
        invert_media: false,
        allow_paid_floodskip: false,
        peer,
        reply_to: None,
        message: message.into(),
        random_id: i64::try_from(message.len()).expect("short") + i64::from(no_webpage),
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

/// Ann is logged in; Bob is not, and acts through the world.
async fn ann(stage: &Stage) -> (Login, World, i64, i64) {
    let (ann, bob) = (stage.user(ANN, "Ann"), stage.user(BOB, "Bob"));
    let login = Login::new(stage, ANN).await;
    let world = stage.handle();
    (login, world, ann, bob)
}

/// A user, channel or supergroup by the Bot API's number, as Ann names it.
fn peer_of(stage: &Stage, ann: i64, chat: i64) -> enums::InputPeer {
    let peer = Peer::from_bot_api(chat).expect("a chat");
    let access_hash = stage.world.world(|state| state.access_hash(ann, peer));
    match peer {
        Peer::User(user_id) => types::InputPeerUser { user_id, access_hash }.into(),
        Peer::Group(chat_id) => types::InputPeerChat { chat_id }.into(),
        Peer::Channel(channel_id) => types::InputPeerChannel {
            channel_id,
            access_hash,
        }
        .into(),
    }
}

/// Ann looks at a channel: what happens there is told at once.
async fn look_at(login: &mut Login, peer: enums::InputPeer) {
    let ask = f::messages::GetHistory {
        peer,
        offset_id: 0,
        offset_date: 0,
        add_offset: 0,
        limit: 1,
        max_id: 0,
        min_id: 0,
        hash: 0,
    };
    login.ask(&ask).await;
}

/// Joins a chat to another one, or to a topic of it.
pub async fn pair(daemon: &Daemon, session: SessionId, source: i64, (copies, topic): (i64, Option<i32>)) {
    let topic = topic.map_or(String::new(), |topic| format!(r#","topic":{topic}"#));
    let place = |chat: i64, more: &str| format!(r#"{{"session":"{session}","chat":{chat}{more}}}"#);
    let new = format!(
        r#"{{"source":{},"destination":{}}}"#,
        place(source, ""),
        place(copies, &topic)
    );
    let new = serde_json::from_str(&new).expect("a pair");
    let made = daemon.handles.pairs.create(new, Owner::admin()).await;
    made.expect("made");
}

/// The edits that a daemon told: chat and text.
fn edits(daemon: &Daemon) -> Vec<(i64, String)> {
    let edit = |event: Event| match event.body {
        EventBody::MessageEdited(message) => Some((message.chat.0, message.text)),
        _ => None,
    };
    events(daemon).into_iter().filter_map(edit).collect()
}
