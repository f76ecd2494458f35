//! Reduced records: where they stand, and that they are of no use but with the message that showed them.

use grammers_tl_types::{enums, functions as f, types};
use trunkline::sandbox::acts::NewChatKind;

use super::login::Login;
use super::{ann_and_bob, bare, chat};

fn new_in_channel(update: &enums::Update) -> Option<i32> {
    match update {
        enums::Update::NewChannelMessage(new) => Some(new.message.id()),
        _ => None,
    }
}

/// Ann's own handle on a channel, out of a list that has it in full.
async fn input(ann: &mut Login, channel: i64) -> types::InputPeerChannel {
    let dialogs = f::messages::GetDialogs {
        exclude_pinned: false,
        folder_id: None,
        offset_date: 0,
        offset_id: 0,
        offset_peer: enums::InputPeer::Empty,
        limit: 100,
        hash: 0,
    };
    let chats = match ann.ask(&dialogs).await {
        enums::messages::Dialogs::Dialogs(found) => found.chats,
        enums::messages::Dialogs::Slice(found) => found.chats,
        enums::messages::Dialogs::NotModified(_) => Vec::new(),
    };
    let hash = chats.into_iter().find_map(|chat| match chat {
        enums::Chat::Channel(found) if found.id == channel => found.access_hash,
        _ => None,
    });
    types::InputPeerChannel {
        channel_id: channel,
        access_hash: hash.expect("a channel in full"),
    }
}

async fn names(ann: &mut Login, user: enums::InputUser) -> Vec<enums::User> {
    ann.ask(&f::users::GetUsers { id: vec![user] }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn min_users_stand_in_updates_of_channels_and_are_named_by_their_message() {
    let (_stage, world, mut ann, ann_id, bob) = ann_and_bob().await;
    let place = chat(&world, NewChatKind::Supergroup, ann_id, bob);
    world.say(place, bob, "hello").expect("posted");
    let said = |update: &enums::Update| new_in_channel(update).filter(|id| *id > 1);
    let (id, told) = ann.hear(said).await;
    let shown = told.user(bob);
    assert!(shown.min, "reduced: {shown:?}");
    assert_eq!(
        (shown.first_name.as_deref(), shown.username, shown.phone),
        (Some("Bob"), None, None)
    );
    let useless: enums::InputUser = types::InputUser {
        user_id: bob,
        access_hash: shown.access_hash.expect("a hash"),
    }
    .into();
    assert!(names(&mut ann, useless).await.is_empty(), "its hash names nobody");

    let peer = input(&mut ann, bare(place)).await;
    let seen = |user_id, msg_id| {
        enums::InputUser::from(types::InputUserFromMessage {
            peer: peer.clone().into(),
            msg_id,
            user_id,
        })
    };
    let found = names(&mut ann, seen(bob, id)).await;
    assert!(matches!(found.as_slice(), [enums::User::User(user)] if user.id == bob && !user.min));
    assert!(
        names(&mut ann, seen(bob, 1)).await.is_empty(),
        "a message that does not show it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn full_users_stand_in_private_chats_basic_groups_and_without_the_switch() {
    let (stage, world, mut ann, ann_id, bob) = ann_and_bob().await;
    stage
        .world
        .world(|state| state.switches.short_updates.turn(false));
    let in_common = |update: &enums::Update| matches!(update, enums::Update::NewMessage(_)).then_some(());
    world.say(ann_id, bob, "to you").expect("posted");
    assert!(!ann.hear(in_common).await.1.user(bob).min);
    let group = chat(&world, NewChatKind::Group, ann_id, bob);
    world.say(group, bob, "to all").expect("posted");
    let both = |update: &enums::Update| match update {
        enums::Update::NewMessage(new) if matches!(new.message, enums::Message::Message(_)) => Some(()),
        _ => None,
    };
    assert!(!ann.hear(both).await.1.user(bob).min);
    stage.world.world(|state| state.switches.min_peers.turn(false));
    let place = chat(&world, NewChatKind::Supergroup, ann_id, bob);
    world.say(place, bob, "hello").expect("posted");
    let said = |update: &enums::Update| new_in_channel(update).filter(|id| *id > 1);
    assert!(!ann.hear(said).await.1.user(bob).min);
}

#[tokio::test(flavor = "multi_thread")]
async fn min_channels_are_those_that_one_is_not_in() {
    let (_stage, world, mut ann, ann_id, bob) = ann_and_bob().await;
    let news = chat(&world, NewChatKind::Channel, bob, bob);
    world
        .set_username(news, Some("the_news"))
        .expect("a public channel");
    let post = world.say(news, bob, "news").expect("posted");
    let place = chat(&world, NewChatKind::Supergroup, ann_id, bob);
    let forward = serde_json::json!({"from": bob, "forward": {"chat": news, "message": post}});
    let forward = serde_json::from_value(forward).expect("a message");
    world.post(place, forward).expect("forwarded");
    let said = |update: &enums::Update| new_in_channel(update).filter(|id| *id > 1);
    let (_, told) = ann.hear(said).await;
    let enums::Chat::Channel(origin) = told.chat(bare(news)) else {
        panic!("a channel")
    };
    assert!(origin.min && origin.left, "{origin:?}");
    let enums::Chat::Channel(own) = told.chat(bare(place)) else {
        panic!("a channel")
    };
    assert!(!own.min);
}
