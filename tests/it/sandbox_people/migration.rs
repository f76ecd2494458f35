//! A basic group that becomes a supergroup: what its members are told, and what the old one still takes.

use grammers_tl_types::{enums, functions as f, types};
use trunkline::sandbox::acts::NewChatKind;

use super::{ann_and_bob, bare, chat};

fn action(message: &enums::Message) -> Option<&enums::MessageAction> {
    match message {
        enums::Message::Service(service) => Some(&service.action),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migrated_group_tells_both_its_numbers_and_the_new_sequence_begins_before_its_first_message() {
    let (_stage, world, mut ann, ann_id, bob) = ann_and_bob().await;
    let group = chat(&world, NewChatKind::Group, bob, ann_id);
    world.say(group, bob, "before").expect("posted");
    let place = world.migrate(group).expect("migrated");
    let id = bare(place);

    let left = |update: &enums::Update| match update {
        enums::Update::NewMessage(new) => match action(&new.message) {
            Some(enums::MessageAction::ChatMigrateTo(to)) => Some(to.channel_id),
            _ => None,
        },
        _ => None,
    };
    let (to, told) = ann.hear(left).await;
    assert_eq!(to, id);
    let old = told.group(-group);
    assert!(old.deactivated, "{old:?}");
    assert!(matches!(old.migrated_to, Some(enums::InputChannel::Channel(new)) if new.channel_id == id));
    let new = told.channel(id);
    assert!(new.megagroup && !new.left && !new.min);

    let opened = |update: &enums::Update| match update {
        enums::Update::ReadChannelInbox(read) if read.channel_id == id => Some(read.pts),
        _ => None,
    };
    assert_eq!(ann.hear(opened).await.0, 1, "the sequence begins");
    let begun = |update: &enums::Update| match update {
        enums::Update::NewChannelMessage(new) => match action(&new.message) {
            Some(enums::MessageAction::ChannelMigrateFrom(from)) => {
                Some((from.chat_id, new.pts, new.pts_count))
            }
            _ => None,
        },
        _ => None,
    };
    assert_eq!(ann.hear(begun).await.0, (-group, 2, 1));

    let refused = |result: Result<_, trunkline::sandbox::world::Refusal>| {
        result.map(|_: i32| ()).expect_err("refused").name
    };
    assert_eq!(refused(world.say(group, ann_id, "too late")), "PEER_ID_INVALID");
    assert_eq!(
        world.join(group, &[ann_id]).expect_err("refused").name,
        "CHAT_ID_INVALID"
    );
    assert_eq!(world.migrate(group).expect_err("refused").name, "CHAT_ID_INVALID");
    assert_eq!(
        world
            .messages(group, Some(ann_id), 0, 10, false)
            .expect("its history")
            .len(),
        3,
        "what was said stays under the old number"
    );
    world.say(place, ann_id, "here").expect("posted in the new one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_migrates_is_answered_with_both_chats_and_the_way_back() {
    let (_stage, world, mut ann, ann_id, bob) = ann_and_bob().await;
    let group = chat(&world, NewChatKind::Group, ann_id, bob);
    let theirs = chat(&world, NewChatKind::Group, bob, ann_id);
    let refused = ann.call(&f::messages::MigrateChat { chat_id: -theirs }).await;
    assert_eq!(refused.expect_err("refused"), "CHAT_ADMIN_REQUIRED");
    let answer = ann.ask(&f::messages::MigrateChat { chat_id: -group }).await;
    let told = super::login::told(answer).expect("updates");
    let id = told
        .chats
        .iter()
        .find_map(|chat| match chat {
            enums::Chat::Channel(channel) => Some((channel.id, channel.access_hash)),
            _ => None,
        })
        .expect("the new one");
    assert!(told.has(|update| matches!(update, enums::Update::Channel(it) if it.channel_id == id.0)));
    assert!(told.group(-group).deactivated);
    let full = ann
        .ask(&f::channels::GetFullChannel {
            channel: types::InputChannel {
                channel_id: id.0,
                access_hash: id.1.expect("a hash"),
            }
            .into(),
        })
        .await;
    let enums::messages::ChatFull::Full(full) = full;
    let enums::ChatFull::ChannelFull(full) = full.full_chat else {
        panic!("a channel")
    };
    assert_eq!(full.migrated_from_chat_id, Some(-group));
    assert_eq!(full.migrated_from_max_id, Some(1));
}
