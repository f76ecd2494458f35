//! Opening voice messages is an event for both sides, and for one's other sessions in channels.

use grammers_tl_types::{enums, functions as f, types};
use serde_json::json;
use trunkline::sandbox::World;
use trunkline::sandbox::acts::NewChatKind;

use super::login::Login;
use super::{ANN, BOB, ann_and_bob, bare, chat};

fn speak(world: &World, place: i64, who: i64) -> i32 {
    let voice = json!({"from": who, "document": {"generate": 1, "size": 64, "kind": "voice"}});
    let voice = serde_json::from_value(voice).expect("a message");
    world.post(place, voice).expect("posted")[0].id
}

fn opened(update: &enums::Update) -> Option<(Vec<i32>, i32, i32)> {
    match update {
        enums::Update::ReadMessagesContents(it) => Some((it.messages.clone(), it.pts, it.pts_count)),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn opening_a_voice_message_counts_once_for_both_sides() {
    let (stage, world, mut ann, ann_id, bob) = ann_and_bob().await;
    let mut author = Login::new(&stage, BOB).await;
    let number = speak(&world, ann_id, bob);
    let new = |update: &enums::Update| match update {
        enums::Update::NewMessage(new) => match &new.message {
            enums::Message::Message(message) if message.media.is_some() => {
                Some((message.id, message.media_unread))
            }
            _ => None,
        },
        _ => None,
    };
    let ((id, unread), _) = ann.hear(new).await;
    assert!(unread);
    let (before, theirs) = (ann.state().await.pts, author.state().await.pts);
    let open = f::messages::ReadMessageContents { id: vec![id, 999] };
    let enums::messages::AffectedMessages::Messages(done) = ann.ask(&open).await;
    assert_eq!((done.pts, done.pts_count), (before + 1, 1));
    assert_eq!(author.hear(opened).await.0, (vec![number], theirs + 1, 1));
    let enums::messages::AffectedMessages::Messages(again) = ann.ask(&open).await;
    assert_eq!((again.pts, again.pts_count), (before + 1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn opening_in_a_supergroup_is_told_to_ones_other_sessions() {
    let (stage, world, mut ann, ann_id, bob) = ann_and_bob().await;
    let mut other = Login::new(&stage, ANN).await;
    let place = chat(&world, NewChatKind::Supergroup, bob, ann_id);
    let id = speak(&world, place, bob);
    let new = |update: &enums::Update| match update {
        enums::Update::NewChannelMessage(new) if new.message.id() == id => Some(()),
        _ => None,
    };
    let (_, told) = ann.hear(new).await;
    let channel = types::InputChannel {
        channel_id: bare(place),
        access_hash: told.channel(bare(place)).access_hash.expect("a hash"),
    };
    let open = f::channels::ReadMessageContents {
        channel: channel.into(),
        id: vec![id],
    };
    ann.ask(&open).await;
    let opened = |update: &enums::Update| match update {
        enums::Update::ChannelReadMessagesContents(it) => Some(it.messages.clone()),
        _ => None,
    };
    assert_eq!(other.hear(opened).await.0, [id]);
}
