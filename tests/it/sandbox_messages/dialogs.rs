//! Lists of dialogs: pinned ones on top, pages by date, last messages that cannot be seen; and a daemon that reads them all.

use std::time::Duration;

use grammers_tl_types::{enums, functions as f, types};
use trunkline::model::ChatId;
use trunkline::sandbox::acts::NewChatKind;

use super::{ANN, BOB, ann, chat, peer_of};
use crate::stage::{Stage, until};

fn first(limit: i32) -> f::messages::GetDialogs {
    f::messages::GetDialogs {
        exclude_pinned: false,
        folder_id: None,
        offset_date: 0,
        offset_id: 0,
        offset_peer: enums::InputPeer::Empty,
        limit,
        hash: 0,
    }
}

/// The chats of a page, each with whether it is pinned, and its messages.
fn page(answer: enums::messages::Dialogs) -> (Vec<(i64, bool)>, Vec<enums::Message>) {
    let (dialogs, messages) = match answer {
        enums::messages::Dialogs::Dialogs(it) => (it.dialogs, it.messages),
        enums::messages::Dialogs::Slice(it) => (it.dialogs, it.messages),
        enums::messages::Dialogs::NotModified(_) => panic!("not modified"),
    };
    let number = |peer: &enums::Peer| match peer {
        enums::Peer::User(it) => it.user_id,
        enums::Peer::Chat(it) => -it.chat_id,
        enums::Peer::Channel(it) => -1_000_000_000_000 - it.channel_id,
    };
    let listed = dialogs.iter().map(|dialog| match dialog {
        enums::Dialog::Dialog(it) => (number(&it.peer), it.pinned),
        other => panic!("another one: {other:?}"),
    });
    (listed.collect(), messages)
}

fn date(message: &enums::Message) -> i32 {
    match message {
        enums::Message::Message(it) => it.date,
        enums::Message::Service(it) => it.date,
        enums::Message::Empty(_) => 0,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pinned_chats_stand_on_top_and_pages_go_by_date() {
    let stage = Stage::new().await;
    let (mut ann, world, ann_id, bob) = ann(&stage).await;
    let place = || chat(&world, NewChatKind::Supergroup, bob, ann_id);
    let (old, middle, new) = (place(), place(), place());
    world.say(old, bob, "old").expect("posted");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    world.say(middle, bob, "middle").expect("posted");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    world.say(new, bob, "new").expect("posted");
    world.pin_dialogs(ann_id, &[old]).expect("pinned");
    let (chats, messages) = page(ann.ask(&first(2)).await);
    assert_eq!(chats, [(old, true), (new, false)]);
    let last = messages.last().expect("a message");
    let rest = f::messages::GetDialogs {
        exclude_pinned: true,
        offset_date: date(last),
        offset_id: last.id(),
        offset_peer: peer_of(&stage, ann_id, new),
        ..first(10)
    };
    let nobody = types::InputPeerChat { chat_id: 999 };
    let astray = f::messages::GetDialogs {
        offset_peer: nobody.into(),
        ..rest.clone()
    };
    let refused = ann.call(&astray).await.expect_err("no such chat");
    assert_eq!(refused, "OFFSET_PEER_ID_INVALID");
    // What the page ended with rises to the top, and what has not been told yet comes all the same.
    world.say(new, bob, "newer").expect("posted");
    let told = |chats: Vec<(i64, bool)>| -> Vec<i64> { chats.into_iter().map(|it| it.0).collect() };
    assert!(told(page(ann.ask(&rest).await).0).starts_with(&[middle]));

    world.clear_history(middle, ann_id, 0).expect("cleared");
    let (chats, messages) = page(ann.ask(&first(10)).await);
    assert!(
        told(chats).contains(&middle),
        "a chat without a message that can be seen"
    );
    let of_middle = messages.iter().filter(|message| match message {
        enums::Message::Message(it) => it.message == "middle",
        _ => false,
    });
    assert_eq!(of_middle.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_learns_of_every_chat_be_it_pinned_or_without_a_message() {
    let stage = Stage::new().await;
    let (ann, bob) = (stage.user(ANN, "Ann"), stage.user(BOB, "Bob"));
    let world = stage.handle();
    let mut chats: Vec<i64> = (0..230)
        .map(|_| chat(&world, NewChatKind::Supergroup, bob, ann))
        .collect();
    // The oldest are pinned, and of most nothing can be seen: whole pages have no date.
    world.pin_dialogs(ann, &chats[..5]).expect("pinned");
    for place in &chats[20..] {
        world.clear_history(*place, ann, 0).expect("cleared");
    }
    world.say(ann, bob, "hello").expect("posted");
    chats.push(bob);
    let daemon = stage.daemon().await;
    let session = stage.log_in(&daemon, ANN).await;
    let telegram = &daemon.handles.telegram;
    let known = || {
        let listed = telegram.chats(session, None).expect("a list");
        chats
            .iter()
            .filter(|chat| listed.iter().any(|it| it.id == ChatId(**chat)))
            .count()
    };
    until("all chats are known", || known() == chats.len()).await;
    daemon.stop(Duration::from_secs(5)).await;
}
