//! What is little: addresses in the configuration, a hundred messages a call, bans that end; and a daemon that bears it.

use std::time::Duration;

use grammers_tl_types::{enums, functions as f, types};
use trunkline::model::ChatId;
use trunkline::sandbox::acts::NewChatKind;

use super::{ANN, ann, chat, peer_of};
use crate::stage::{Stage, received, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_data_centre_has_more_than_one_address_and_its_main_one_first() {
    let stage = Stage::new().await;
    let (mut ann, ..) = ann(&stage).await;
    let enums::Config::Config(config) = ann.ask(&f::help::GetConfig {}).await;
    let shape = |option: &enums::DcOption| match option {
        enums::DcOption::Option(it) => (it.id, it.ipv6, it.media_only, it.tcpo_only, it.cdn),
    };
    let found: Vec<_> = config.dc_options.iter().map(shape).collect();
    let expected = [
        (2, false, false, false, false),
        (2, true, false, false, false),
        (2, false, true, false, false),
        (2, false, false, true, false),
        (203, false, false, false, true),
    ];
    assert_eq!(found, expected);
    stage.world.world(|state| state.switches.many_options.turn(false));
    let enums::Config::Config(config) = ann.ask(&f::help::GetConfig {}).await;
    assert_eq!(config.dc_options.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ban_with_an_end_ends_by_itself() {
    let stage = Stage::new().await;
    let (mut ann, world, ann_id, bob) = ann(&stage).await;
    let place = chat(&world, NewChatKind::Supergroup, ann_id, bob);
    let enums::InputPeer::Channel(channel) = peer_of(&stage, ann_id, place) else {
        panic!("a channel")
    };
    let channel = types::InputChannel {
        channel_id: channel.channel_id,
        access_hash: channel.access_hash,
    };
    let until_date = ann.state().await.date + 60;
    let banned_rights = types::ChatBannedRights {
        send_messages: true,
        until_date,
        ..trunkline::sandbox::render::blank::banned_rights()
    };
    let mute = f::channels::EditBanned {
        channel: channel.into(),
        participant: peer_of(&stage, ann_id, bob),
        banned_rights: banned_rights.into(),
    };
    ann.ask(&mute).await;
    world.say(place, bob, "may I?").expect_err("muted");
    stage.world.world(|state| state.now += 61_000);
    world.say(place, bob, "I may").expect("not muted any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_names_more_than_a_hundred_messages_means_the_first_hundred() {
    let stage = Stage::new().await;
    let (mut ann, world, ann_id, bob) = ann(&stage).await;
    let place = chat(&world, NewChatKind::Group, ann_id, bob);
    world.burst(place, &ann_id.into(), "word", 130).expect("posted");
    let standing = || {
        let all = world.messages(place, Some(ann_id), 0, 1000, false);
        let said = all.expect("there").into_iter().filter(|it| it.service.is_none());
        said.map(|it| it.id).collect::<Vec<_>>()
    };
    let id = standing();
    let last = id[100..].to_vec();
    ann.ask(&f::messages::DeleteMessages { revoke: true, id }).await;
    assert_eq!(standing(), last);
    assert_eq!(world.switches().hundred_numbers.reached(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_deletes_more_than_a_hundred_messages() {
    let stage = Stage::new().await;
    let (ann, bob) = (stage.user(ANN, "Ann"), stage.user(super::BOB, "Bob"));
    let world = stage.handle();
    let place = chat(&world, NewChatKind::Channel, ann, bob);
    let (first, last) = world.burst(place, &ann.into(), "post", 230).expect("posted");
    let daemon = stage.daemon().await;
    let session = stage.log_in(&daemon, ANN).await;
    let telegram = &daemon.handles.telegram;
    world.say(ann, bob, "hello").expect("posted");
    until("it hears", || received(&daemon) == ["hello"]).await;
    let known = || {
        telegram
            .chats(session, None)
            .is_ok_and(|chats| chats.iter().any(|it| it.id == ChatId(place)))
    };
    until("the chat is known", known).await;
    let ids = (first..=last).collect();
    telegram
        .delete_messages(session, ChatId(place), ids, Duration::from_secs(5))
        .await
        .expect("deleted");
    let left = world.messages(place, None, 0, 1000, false).expect("there");
    assert_eq!(left.iter().filter(|it| it.service.is_none()).count(), 0);
    daemon.stop(Duration::from_secs(5)).await;
}
