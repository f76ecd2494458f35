//! What changes about chats for an account: told at once, and with the next difference to who was away.

use grammers_tl_types::{enums, functions as f, types};
use trunkline::sandbox::World;
use trunkline::sandbox::acts::NewChatKind;
use trunkline::sandbox::world::chat::Role;

use super::login::Login;
use super::{ann_and_bob, bare, chat};

/// Ann is away while `act` happens; what the difference since then tells her.
async fn away(ann: &mut Login, act: impl FnOnce()) -> super::login::Told {
    let before = ann.state().await;
    act();
    ann.difference(&before).await
}

fn tells_channel(told: &super::login::Told, id: i64) -> bool {
    told.has(|update| matches!(update, enums::Update::Channel(it) if it.channel_id == id))
}

fn is_forbidden(told: &super::login::Told, id: i64) -> bool {
    matches!(told.chat(id), enums::Chat::ChannelForbidden(_))
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_put_out_hears_it_at_once_with_a_forbidden_record() {
    let (_stage, world, mut ann, ann_id, bob) = ann_and_bob().await;
    let place = chat(&world, NewChatKind::Supergroup, bob, ann_id);
    let group = chat(&world, NewChatKind::Group, bob, ann_id);
    world.set_role(place, ann_id, Role::Banned).expect("put out");
    let id = bare(place);
    let changed = |update: &enums::Update| match update {
        enums::Update::Channel(it) if it.channel_id == id => Some(()),
        _ => None,
    };
    loop {
        let (_, told) = ann.hear(changed).await;
        if is_forbidden(&told, id) {
            break;
        }
    }
    world.set_role(group, ann_id, Role::Banned).expect("put out");
    let changed = |update: &enums::Update| match update {
        enums::Update::Chat(it) if it.chat_id == -group => Some(()),
        _ => None,
    };
    let (_, told) = ann.hear(changed).await;
    assert!(matches!(told.chat(-group), enums::Chat::Forbidden(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_away_hears_with_the_difference_what_became_of_its_chats() {
    let (stage, world, mut ann, ann_id, bob) = ann_and_bob().await;
    let place = chat(&world, NewChatKind::Supergroup, bob, ann_id);
    let news = chat(&world, NewChatKind::Channel, bob, ann_id);
    let group = chat(&world, NewChatKind::Group, bob, ann_id);
    let (place_id, news_id) = (bare(place), bare(news));

    let told = away(&mut ann, || {
        world.set_role(place, ann_id, Role::Banned).expect("put out");
        world.set_role(group, ann_id, Role::Banned).expect("put out");
        world.set_role(news, ann_id, Role::Admin).expect("promoted");
    })
    .await;
    assert!(tells_channel(&told, place_id) && is_forbidden(&told, place_id));
    assert!(tells_channel(&told, news_id));
    assert!(told.channel(news_id).admin_rights.is_some(), "promoted");
    assert!(told.has(|update| matches!(update, enums::Update::Chat(it) if it.chat_id == -group)));
    assert!(matches!(told.chat(-group), enums::Chat::Forbidden(_)));

    let told = away(&mut ann, || {
        world.set_role(place, ann_id, Role::Member).expect("let in again");
        world.delete_channel(news).expect("deleted");
    })
    .await;
    assert!(tells_channel(&told, place_id) && !told.channel(place_id).left);
    assert!(tells_channel(&told, news_id) && is_forbidden(&told, news_id));

    let told = away(&mut ann, || {
        world.leave(place, ann_id).expect("left on another device");
    })
    .await;
    assert!(tells_channel(&told, place_id) && is_forbidden(&told, place_id));

    stage
        .world
        .world(|state| state.switches.told_while_away.turn(false));
    let told = away(&mut ann, || {
        world.set_role(place, ann_id, Role::Member).expect("let in again");
    })
    .await;
    assert!(!tells_channel(&told, place_id));
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_a_basic_group_are_told_one_by_one() {
    let (stage, world, mut ann, ann_id, bob) = ann_and_bob().await;
    let carol = stage.user("+15550003", "Carol");
    let group = chat(&world, NewChatKind::Group, bob, ann_id);
    world.join(group, &[carol]).expect("came");
    let came = |update: &enums::Update| match update {
        enums::Update::ChatParticipantAdd(add) => Some((add.user_id, add.inviter_id, add.version)),
        _ => None,
    };
    assert_eq!(ann.hear(came).await.0, (carol, bob, 2));
    world.set_role(group, ann_id, Role::Admin).expect("promoted");
    let admin = |update: &enums::Update| match update {
        enums::Update::ChatParticipantAdmin(it) => Some((it.user_id, it.is_admin, it.version)),
        _ => None,
    };
    let (what, told) = ann.hear(admin).await;
    assert_eq!(what, (ann_id, true, 3));
    assert!(told.group(-group).admin_rights.is_some());
    world.leave(group, carol).expect("left");
    let gone = |update: &enums::Update| match update {
        enums::Update::ChatParticipantDelete(it) => Some((it.user_id, it.version)),
        _ => None,
    };
    assert_eq!(ann.hear(gone).await.0, (carol, 4));
}

/// The messages of a channel by number, as Ann sees them.
async fn messages(ann: &mut Login, channel: &types::InputChannel, ids: &[i32]) -> Vec<enums::Message> {
    let id = ids
        .iter()
        .map(|id| types::InputMessageId { id: *id }.into())
        .collect();
    let channel = channel.clone().into();
    match ann.ask(&f::channels::GetMessages { channel, id }).await {
        enums::messages::Messages::ChannelMessages(found) => found.messages,
        other => panic!("another list: {other:?}"),
    }
}

fn missing(messages: &[enums::Message]) -> Vec<bool> {
    messages
        .iter()
        .map(|message| matches!(message, enums::Message::Empty(_)))
        .collect()
}

fn three(world: &World, place: i64, who: i64) {
    for text in ["one", "two", "three"] {
        world.say(place, who, text).expect("posted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cleared_history_is_empty_for_one_alone_and_nothing_is_told_as_deleted() {
    let (_stage, world, mut ann, ann_id, bob) = ann_and_bob().await;
    let place = chat(&world, NewChatKind::Supergroup, bob, ann_id);
    three(&world, place, bob);
    let id = bare(place);
    let told = away(&mut ann, || {
        world.clear_history(place, ann_id, 3).expect("cleared");
    })
    .await;
    let up_to = told.updates.iter().find_map(|update| match update {
        enums::Update::ChannelAvailableMessages(it) if it.channel_id == id => Some(it.available_min_id),
        _ => None,
    });
    assert_eq!(up_to, Some(3));
    let channel = types::InputChannel {
        channel_id: id,
        access_hash: told.channel(id).access_hash.expect("a hash"),
    };
    let found = messages(&mut ann, &channel, &[2, 3, 4]).await;
    assert_eq!(missing(&found), [true, true, false]);
    let all = world.messages(place, Some(bob), 0, 10, false).expect("a list");
    assert_eq!(all.len(), 4, "the others see all of it");

    let clear = f::channels::DeleteHistory {
        for_everyone: false,
        channel: channel.clone().into(),
        max_id: 0,
    };
    let told = super::login::told(ann.ask(&clear).await).expect("updates");
    assert!(told.has(
        |update| matches!(update, enums::Update::ChannelAvailableMessages(it) if it.available_min_id == 4)
    ));
    assert_eq!(missing(&messages(&mut ann, &channel, &[4]).await), [true]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_history_is_empty_for_who_comes_later() {
    let (_stage, world, mut ann, ann_id, bob) = ann_and_bob().await;
    let place = chat(&world, NewChatKind::Supergroup, bob, bob);
    world.hide_history(place, true).expect("hidden");
    three(&world, place, bob);
    let told = away(&mut ann, || {
        world.join(place, &[ann_id]).expect("came");
    })
    .await;
    let id = bare(place);
    let channel = types::InputChannel {
        channel_id: id,
        access_hash: told.channel(id).access_hash.expect("a hash"),
    };
    let found = messages(&mut ann, &channel, &[2, 4, 5]).await;
    assert_eq!(
        missing(&found),
        [true, true, false],
        "but for the word of the coming"
    );
}
