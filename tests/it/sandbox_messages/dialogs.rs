//! Lists of dialogs: pinned ones on top, pages by date, last messages that cannot be seen; and a daemon that reads them all.

use std::time::Duration;

use grammers_tl_types::{enums, functions as f, types};
use trunkline::model::ChatId;
use trunkline::sandbox::acts::NewChatKind;

use super::{ANN, BOB, ann, chat, peer_of};
use crate::sandbox_people::login::told;
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

#[tokio::test(flavor = "multi_thread")]
async fn the_archive_is_a_list_of_its_own_and_a_row_of_the_main_one() {
    let stage = Stage::new().await;
    let (mut ann, world, ann_id, bob) = ann(&stage).await;
    let place = || chat(&world, NewChatKind::Supergroup, bob, ann_id);
    let (away, here) = (place(), place());
    let put = |list: i32| f::folders::EditPeerFolders {
        folder_peers: vec![
            types::InputFolderPeer {
                peer: peer_of(&stage, ann_id, away),
                folder_id: list,
            }
            .into(),
        ],
    };
    let refused = ann.call(&put(2)).await.expect_err("no such list");
    assert_eq!(refused, "FOLDER_ID_INVALID");
    let before = ann.state().await.pts;
    let told = told(ann.ask(&put(1)).await).expect("updates");
    let moved = told.updates.iter().find_map(|update| match update {
        enums::Update::FolderPeers(it) => Some((it.folder_peers.len(), it.pts, it.pts_count)),
        _ => None,
    });
    assert_eq!(moved, Some((1, before + 1, 1)));
    let of = |list: Option<i32>| f::messages::GetDialogs {
        folder_id: list,
        ..first(10)
    };
    let listed = |answer: enums::messages::Dialogs| -> Vec<(Option<i64>, Option<i32>)> {
        let dialogs = match answer {
            enums::messages::Dialogs::Dialogs(it) => it.dialogs,
            enums::messages::Dialogs::Slice(it) => it.dialogs,
            enums::messages::Dialogs::NotModified(_) => panic!("not modified"),
        };
        let row = |dialog: enums::Dialog| match dialog {
            enums::Dialog::Dialog(it) => match it.peer {
                enums::Peer::Channel(peer) => (Some(-1_000_000_000_000 - peer.channel_id), it.folder_id),
                _ => (Some(0), it.folder_id),
            },
            _ => (None, None),
        };
        let mut rows: Vec<_> = dialogs.into_iter().map(row).collect();
        rows.sort_unstable();
        rows
    };
    let archived = (Some(away), Some(1));
    let row = (None, None);
    let all = listed(ann.ask(&of(None)).await);
    assert!(all.contains(&archived) && all.contains(&(Some(here), None)) && !all.contains(&row));
    let main = listed(ann.ask(&of(Some(0))).await);
    assert!(!main.contains(&archived) && main.contains(&row));
    assert_eq!(listed(ann.ask(&of(Some(1))).await), [archived]);
    assert_eq!(
        ann.call(&of(Some(7))).await.expect_err("none"),
        "FOLDER_ID_INVALID"
    );
    stage
        .world
        .world(|state| state.switches.archive_in_all.turn(false));
    assert_eq!(listed(ann.ask(&of(None)).await), main);
    ann.ask(&put(0)).await;
    assert!(listed(ann.ask(&of(Some(0))).await).contains(&(Some(away), None)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_learns_of_the_chats_in_the_archive() {
    for in_all in [true, false] {
        let stage = Stage::new().await;
        let (ann, bob) = (stage.user(ANN, "Ann"), stage.user(BOB, "Bob"));
        let world = stage.handle();
        let off = [("archive_in_all".to_owned(), in_all)].into();
        world.turn(&off).expect("known");
        let chats: Vec<i64> = (0..230)
            .map(|_| chat(&world, NewChatKind::Supergroup, bob, ann))
            .collect();
        // More than a page of them is put away.
        world.archive(ann, &chats[50..180]).expect("put away");
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
}
