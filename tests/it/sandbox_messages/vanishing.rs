//! What goes by itself: messages with a time to live, media that may be seen once, and a history cleared for all; and
//! the daemon, whose copies go with their messages.

use std::time::Duration;

use grammers_tl_types::{enums, functions as f, types};
use trunkline::sandbox::World;
use trunkline::sandbox::acts::{NewChatKind, NewFile, NewMessage, Who};

use super::replies::answering;
use super::uploads::make;
use super::{ANN, BOB, ann, chat, look_at, pair, peer_of, text};
use crate::sandbox_people::login::Login;
use crate::sandbox_world::client::forward;
use crate::stage::{Stage, until};

/// Seconds that mean "at once".
const ONCE: i32 = i32::MAX;

fn brief(from: i64, text: &str, seconds: i32) -> NewMessage {
    NewMessage {
        ttl_period: Some(seconds),
        ..NewMessage::text(from, text)
    }
}

/// The next message.
async fn next(login: &mut Login) -> types::Message {
    let new = |update: &enums::Update| match update {
        enums::Update::NewMessage(it) => Some(it.message.clone()),
        enums::Update::NewChannelMessage(it) => Some(it.message.clone()),
        _ => None,
    };
    match login.hear(new).await.0 {
        enums::Message::Message(message) => message,
        other => panic!("no message: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn vanishing_messages_are_deleted_by_themselves() {
    let stage = Stage::new().await;
    stage
        .world
        .world(|state| state.switches.short_updates.turn(false));
    let (mut ann, world, ann_id, bob) = ann(&stage).await;
    let place = chat(&world, NewChatKind::Supergroup, bob, ann_id);
    look_at(&mut ann, peer_of(&stage, ann_id, place)).await;
    world.post(ann_id, brief(bob, "for a second", 1)).expect("posted");
    let heard = next(&mut ann).await;
    assert_eq!(
        (heard.ttl_period, heard.message.as_str()),
        (Some(1), "for a second")
    );
    let gone = |update: &enums::Update| match update {
        enums::Update::DeleteMessages(it) => Some(it.messages.clone()),
        _ => None,
    };
    assert_eq!(ann.hear(gone).await.0, [heard.id]);
    world.post(place, brief(bob, "one", 1)).expect("posted");
    world.post(place, brief(bob, "two", 1)).expect("posted");
    let gone = |update: &enums::Update| match update {
        enums::Update::DeleteChannelMessages(it) => Some(it.pts_count),
        _ => None,
    };
    let mut count = 0;
    while count < 2 {
        count += ann.hear(gone).await.0;
    }
    let left = world.messages(place, None, 0, 100, false).expect("there");
    assert!(left.iter().all(|message| message.service.is_some()));

    stage
        .world
        .world(|state| state.switches.messages_vanish.turn(false));
    world.post(ann_id, brief(bob, "for ever", 1)).expect("posted");
    assert_eq!(next(&mut ann).await.ttl_period, None);
    // Where such media may not be posted, they are then posted as any other.
    world.post(place, once(bob)).expect("posted");
    assert_eq!(photo_of(&next(&mut ann).await).ttl_seconds, None);
}

fn once(from: i64) -> NewMessage {
    NewMessage {
        photo: Some(NewFile {
            generate: Some(1),
            ..NewFile::default()
        }),
        ttl_seconds: Some(ONCE),
        ..NewMessage::text(from, "")
    }
}

fn photo_of(message: &types::Message) -> types::MessageMediaPhoto {
    match &message.media {
        Some(enums::MessageMedia::Photo(photo)) => photo.clone(),
        other => panic!("no photo: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn vanishing_media_are_seen_once() {
    let stage = Stage::new().await;
    let (mut ann, world, ann_id, bob) = ann(&stage).await;
    let place = chat(&world, NewChatKind::Supergroup, bob, ann_id);
    assert_eq!(
        world.post(place, once(bob)).expect_err("refused").name,
        "TTL_MEDIA_INVALID"
    );
    world.post(ann_id, once(bob)).expect("posted");
    let heard = next(&mut ann).await;
    let media = photo_of(&heard);
    assert!(heard.media_unread && media.ttl_seconds == Some(ONCE));
    let Some(enums::Photo::Photo(photo)) = media.photo else {
        panic!("it is there")
    };
    let from = peer_of(&stage, ann_id, bob);
    let refused = ann
        .call(&forward(&from, &from, vec![heard.id], vec![5], false))
        .await;
    assert_eq!(refused.expect_err("refused"), "MESSAGE_ID_INVALID");
    let location = types::InputPhotoFileLocation {
        id: photo.id,
        access_hash: photo.access_hash,
        file_reference: photo.file_reference.clone(),
        thumb_size: "m".into(),
    };
    let by_reference = types::InputMediaPhoto {
        spoiler: false,
        live_photo: false,
        id: types::InputPhoto {
            id: photo.id,
            access_hash: photo.access_hash,
            file_reference: photo.file_reference,
        }
        .into(),
        ttl_seconds: None,
        video: None,
    };
    assert_eq!(
        ann.call(&make(by_reference)).await.expect_err("refused"),
        "MEDIA_EMPTY"
    );
    let fetch = f::upload::GetFile {
        precise: false,
        cdn_supported: false,
        location: location.into(),
        offset: 0,
        limit: 4096,
    };
    ann.ask(&fetch).await;
    let answers = types::InputReplyToMessage {
        reply_to_peer_id: Some(from.clone()),
        ..answering(heard.id)
    };
    let elsewhere = f::messages::SendMessage {
        reply_to: Some(answers.into()),
        ..text(enums::InputPeer::PeerSelf, "seen", false)
    };
    let refused = ann.call(&elsewhere).await;
    assert_eq!(refused.expect_err("refused"), "REPLY_MESSAGE_ID_INVALID");
    ann.ask(&f::messages::ReadMessageContents { id: vec![heard.id] })
        .await;
    assert_eq!(
        ann.call(&fetch).await.expect_err("it is gone"),
        "FILE_REFERENCE_EXPIRED"
    );
    let ask = f::messages::GetMessages {
        id: vec![types::InputMessageId { id: heard.id }.into()],
    };
    let enums::messages::Messages::Messages(found) = ann.ask(&ask).await else {
        panic!("messages")
    };
    let [enums::Message::Message(seen)] = &found.messages[..] else {
        panic!("it stays")
    };
    let left = photo_of(seen);
    assert!(left.photo.is_none() && left.ttl_seconds == Some(ONCE) && !seen.media_unread);
}

fn texts(world: &World, chat: i64) -> Vec<String> {
    let all = world.messages(chat, None, 0, 1000, false).expect("there");
    let said = all.into_iter().filter(|message| message.service.is_none());
    said.map(|message| message.text).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn vanishing_messages_take_their_copies_with_them() {
    let stage = Stage::new().await;
    let (ann, bob) = (stage.user(ANN, "Ann"), stage.user(BOB, "Bob"));
    let world = stage.handle();
    let source = chat(&world, NewChatKind::Channel, bob, ann);
    let copies = chat(&world, NewChatKind::Channel, ann, bob);
    let daemon = stage.daemon().await;
    let session = stage.log_in(&daemon, ANN).await;
    pair(&daemon, session, source, (copies, None)).await;
    world.post(source, brief(bob, "for a while", 3)).expect("posted");
    world.say(source, bob, "for good").expect("said");
    until("both are copied", || {
        texts(&world, copies) == ["for a while", "for good"]
    })
    .await;
    until("one is gone", || texts(&world, copies) == ["for good"]).await;
    world
        .burst(source, &Who::Id(bob), "one of many", 130)
        .expect("said");
    until("all are copied", || texts(&world, copies).len() == 131).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(
        world.clear_for_all(source, bob, 0),
        Ok(132),
        "with the word of its beginning"
    );
    until("no copy is left", || texts(&world, copies).is_empty()).await;
    daemon.stop(Duration::from_secs(5)).await;
}
