//! What is told of a channel that a login does not look at.

use std::collections::BTreeMap;

use grammers_tl_types::{enums, functions as f, types};
use trunkline::sandbox::acts::NewChatKind;

use super::login::Login;
use super::{ann_and_bob, bare, chat};

const POSTS: usize = 60;

/// What was pushed of a channel: the states of posts in the order in which they came, and those that were announced.
async fn pushed(ann: &mut Login) -> (Vec<i32>, Vec<i32>) {
    // The latest comes half a second late.
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    let (mut told, mut announced) = (Vec::new(), Vec::new());
    for update in ann.pushed().await {
        match update {
            enums::Update::NewChannelMessage(new) => told.push(new.pts),
            enums::Update::ChannelTooLong(word) => announced.extend(word.pts),
            other => panic!("{other:?}"),
        }
    }
    (told, announced)
}

#[tokio::test(flavor = "multi_thread")]
async fn quiet_channels_are_announced_or_late_until_somebody_looks() {
    let (_stage, world, mut ann, ann_id, bob) = ann_and_bob().await;
    let place = chat(&world, NewChatKind::Channel, bob, ann_id);
    ann.pushed().await;
    let turn = |name: &str, on| {
        world
            .turn(&BTreeMap::from([(name.to_owned(), on)]))
            .expect("known")
    };
    let post = |count| {
        for n in 0..count {
            world.say(place, bob, &format!("post {n}")).expect("posted");
        }
    };
    turn("quiet_channels", true);
    post(POSTS);
    let (told, announced) = pushed(&mut ann).await;
    assert_eq!(told.len() + announced.len(), POSTS, "nothing is left unsaid");
    assert!(announced.len() >= POSTS / 8 && told.len() >= POSTS / 4);
    assert!(!told.is_sorted(), "some come late");

    turn("untold_channels", true);
    post(POSTS);
    let (told, announced) = pushed(&mut ann).await;
    assert!(told.len() + announced.len() < POSTS, "some are not told at all");

    let enums::messages::Dialogs::Dialogs(dialogs) = ann
        .ask(&f::messages::GetDialogs {
            exclude_pinned: false,
            folder_id: None,
            offset_date: 0,
            offset_id: 0,
            offset_peer: enums::InputPeer::Empty,
            limit: 10,
            hash: 0,
        })
        .await
    else {
        panic!("all of them")
    };
    let access_hash = dialogs.chats.iter().find_map(|chat| match chat {
        enums::Chat::Channel(it) if it.id == bare(place) => it.access_hash,
        _ => None,
    });
    let asks = f::updates::GetChannelDifference {
        force: false,
        channel: types::InputChannel {
            channel_id: bare(place),
            access_hash: access_hash.expect("a hash"),
        }
        .into(),
        filter: enums::ChannelMessagesFilter::Empty,
        pts: 1,
        limit: 10,
    };
    ann.ask(&asks).await;
    post(POSTS);
    let (told, announced) = pushed(&mut ann).await;
    assert_eq!((told.len(), announced.len()), (POSTS, 0), "she looks at it");
    assert!(told.is_sorted());
}
