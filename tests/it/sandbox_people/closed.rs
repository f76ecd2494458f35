//! How channels refuse those who may not read them, and differences that fail now and then.

use std::time::Duration;

use grammers_tl_types::{enums, functions as f, types};
use trunkline::sandbox::acts::NewChatKind;
use trunkline::sandbox::world::Peer;
use trunkline::sandbox::world::chat::Role;

use super::{ann_and_bob, bare, chat};
use crate::stage::{Stage, received, until};

#[tokio::test(flavor = "multi_thread")]
async fn who_was_put_out_is_refused_in_other_words_than_a_stranger() {
    let (stage, world, mut ann, ann_id, bob) = ann_and_bob().await;
    let private = chat(&world, NewChatKind::Supergroup, bob, ann_id);
    let left = chat(&world, NewChatKind::Supergroup, bob, ann_id);
    let group = chat(&world, NewChatKind::Supergroup, bob, ann_id);
    let news = chat(&world, NewChatKind::Channel, bob, ann_id);
    world.set_username(group, Some("public_group")).expect("free");
    world.set_username(news, Some("public_news")).expect("free");
    for place in [private, group, news] {
        world.set_role(place, ann_id, Role::Banned).expect("put out");
    }
    world.leave(left, ann_id).expect("left");
    let hash = |place| {
        stage
            .world
            .world(|state| state.access_hash(ann_id, Peer::Channel(bare(place))))
    };
    let difference = |place| f::updates::GetChannelDifference {
        force: false,
        channel: types::InputChannel {
            channel_id: bare(place),
            access_hash: hash(place),
        }
        .into(),
        filter: enums::ChannelMessagesFilter::Empty,
        pts: 1,
        limit: 100,
    };
    let history = |place| f::messages::GetHistory {
        peer: types::InputPeerChannel {
            channel_id: bare(place),
            access_hash: hash(place),
        }
        .into(),
        offset_id: 0,
        offset_date: 0,
        add_offset: 0,
        limit: 1,
        max_id: 0,
        min_id: 0,
        hash: 0,
    };
    for (place, code, name) in [
        (private, 406, "CHANNEL_PRIVATE"),
        (left, 400, "CHANNEL_PRIVATE"),
        (group, 403, "CHANNEL_PUBLIC_GROUP_NA"),
        (news, 400, "USER_BANNED_IN_CHANNEL"),
    ] {
        assert_eq!(ann.refused(&difference(place)).await, (code, name.to_owned()));
        let code = if place == left { 400 } else { 406 };
        assert_eq!(
            ann.refused(&history(place)).await,
            (code, "CHANNEL_PRIVATE".to_owned())
        );
    }
    assert!(world.switches().words_when_put_out.reached() > 0);
    stage
        .world
        .world(|state| state.switches.words_when_put_out.turn(false));
    for place in [private, group, news] {
        let refused = ann.refused(&difference(place)).await;
        assert_eq!(refused, (400, "CHANNEL_PRIVATE".to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_misses_nothing_where_differences_fail_now_and_then() {
    let stage = Stage::new().await;
    let (ann, bob) = (stage.user(super::ANN, "Ann"), stage.user(super::BOB, "Bob"));
    let world = stage.handle();
    let places: Vec<i64> = (0..6)
        .map(|_| chat(&world, NewChatKind::Channel, bob, ann))
        .collect();
    let on = [("differences_fail".to_owned(), true)].into();
    world.turn(&on).expect("known");
    let daemon = stage.daemon().await;
    stage.log_in(&daemon, super::ANN).await;
    let mut said = Vec::new();
    for round in 0..4 {
        for place in &places {
            let gap = serde_json::json!({"kind": "gap", "account": ann, "chat": place});
            world
                .fault(serde_json::from_value(gap).expect("a fault"))
                .expect("set");
            for part in ["lost", "told"] {
                let text = format!("{place} {round} {part}");
                world.say(*place, bob, &text).expect("posted");
                said.push(text);
            }
        }
    }
    said.sort();
    until("all is told", || {
        let mut told = received(&daemon);
        told.sort();
        told == said
    })
    .await;
    let asked = world.requests(Some(ann), Some("updates.getChannelDifference"), 1000);
    let failed = asked
        .iter()
        .filter(|it| format!("{it:?}").contains("HISTORY_GET_FAILED"));
    assert!(failed.count() > 0, "some failed");
    daemon.stop(Duration::from_secs(5)).await;
}
