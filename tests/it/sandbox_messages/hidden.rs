//! Changes that are no edits: counters, keyboards, reactions; told as Telegram tells them, and by a daemon not at all.

use std::time::Duration;

use grammers_tl_types::{enums, functions as f};
use trunkline::sandbox::World;
use trunkline::sandbox::acts::{Forwarded, NewChatKind, NewMessage};
use trunkline::sandbox::world::touching::Touch;

use super::{ANN, BOB, ann, chat, edits, look_at, pair, peer_of};
use crate::stage::{Stage, received, until};

fn views(views: i32) -> Touch {
    Touch {
        views: Some(views),
        ..Touch::default()
    }
}

fn keyboard(words: &str) -> Touch {
    Touch {
        keyboard: Some(words.into()),
        ..Touch::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_are_told_by_themselves_and_keyboards_as_edits_that_do_not_show() {
    let stage = Stage::new().await;
    let (mut ann, world, ann_id, bob) = ann(&stage).await;
    let news = chat(&world, NewChatKind::Channel, bob, ann_id);
    look_at(&mut ann, peer_of(&stage, ann_id, news)).await;
    let id = world.say(news, bob, "news").expect("posted");
    let new = |update: &enums::Update| match update {
        enums::Update::NewChannelMessage(it) if it.message.id() == id => Some(it.pts),
        _ => None,
    };
    let (pts, _) = ann.hear(new).await;
    world.touch(news, id, None, views(41)).expect("seen");
    let seen = |update: &enums::Update| match update {
        enums::Update::ChannelMessageViews(it) if it.id == id => Some(it.views),
        _ => None,
    };
    assert_eq!(ann.hear(seen).await.0, 41);
    let count = f::messages::GetMessagesViews {
        peer: peer_of(&stage, ann_id, news),
        id: vec![id],
        increment: true,
    };
    for _ in 0..2 {
        let enums::messages::MessageViews::Views(found) = ann.ask(&count).await;
        let enums::MessageViews::Views(found) = &found.views[0];
        assert_eq!(
            (found.views, found.forwards),
            (Some(42), Some(0)),
            "once a viewer"
        );
    }
    let forwarded = Forwarded {
        chat: news,
        message: id,
        drop_author: false,
    };
    let forward = NewMessage {
        forward: Some(forwarded),
        ..NewMessage::text(bob, "")
    };
    world.post(bob, forward).expect("forwarded");
    let counted = |update: &enums::Update| match update {
        enums::Update::ChannelMessageForwards(it) if it.id == id => Some(it.forwards),
        _ => None,
    };
    assert_eq!(ann.hear(counted).await.0, 1);
    world.touch(news, id, None, keyboard("Well?")).expect("touched");
    let edited = |update: &enums::Update| match update {
        enums::Update::EditChannelMessage(it) => Some((it.message.clone(), it.pts)),
        _ => None,
    };
    let ((message, at), _) = ann.hear(edited).await;
    let enums::Message::Message(message) = message else {
        panic!("a message")
    };
    assert!(message.edit_hide && message.edit_date.is_some() && message.reply_markup.is_some());
    assert_eq!(
        (message.views, message.forwards, at),
        (Some(42), Some(1), pts + 1)
    );
    stage
        .world
        .world(|state| state.switches.counters_told.turn(false));
    world.touch(news, id, None, views(77)).expect("seen");
    world.say(news, bob, "more").expect("posted");
    let more = |update: &enums::Update| match update {
        enums::Update::NewChannelMessage(it) if it.message.id() > id => Some(()),
        enums::Update::ChannelMessageViews(_) => panic!("told"),
        _ => None,
    };
    ann.hear(more).await;
}

/// All that changes about a message without being an edit.
fn stir(world: &World, chat: i64, id: i32, as_seen_by: i64) {
    let viewer = as_seen_by.into();
    world.touch(chat, id, Some(&viewer), views(7)).expect("seen");
    world
        .touch(chat, id, Some(&viewer), keyboard("Well?"))
        .expect("touched");
    world
        .touch(chat, id, Some(&viewer), Touch::default())
        .expect("touched");
    world.react(chat, id, &viewer, Some("👍")).expect("reacted");
    world.react(chat, id, &viewer, None).expect("taken back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_tells_nothing_of_changes_that_are_no_edits() {
    let stage = Stage::new().await;
    let (ann, bob) = (stage.user(ANN, "Ann"), stage.user(BOB, "Bob"));
    let world = stage.handle();
    let source = chat(&world, NewChatKind::Channel, bob, ann);
    let copies = chat(&world, NewChatKind::Channel, ann, bob);
    let daemon = stage.daemon().await;
    let session = stage.log_in(&daemon, ANN).await;
    pair(&daemon, session, source, (copies, None)).await;
    let copied = || {
        world
            .latest(copies, 10)
            .expect("there")
            .last()
            .map(|it| (it.text.clone(), it.edited_at))
    };
    let (post, private) = (
        world.say(source, bob, "post").expect("posted"),
        world.say(ann, bob, "private").expect("posted"),
    );
    until("the post is copied", || copied() == Some(("post".into(), None))).await;
    stir(&world, source, post, bob);
    stir(&world, ann, private, bob);
    world
        .edit(source, post, bob, "edited", Vec::new())
        .expect("edited");
    until("the edit is told", || !edits(&daemon).is_empty()).await;
    until("the copy follows", || copied().is_some_and(|it| it.0 == "edited")).await;
    let (_, at) = copied().expect("there");
    stir(&world, source, post, bob);
    daemon.stop(Duration::from_secs(5)).await;
    stir(&world, source, post, bob);
    stir(&world, ann, private, bob);
    let daemon = stage.daemon().await;
    world.say(source, bob, "last").expect("posted");
    world.say(ann, bob, "last of all").expect("posted");
    until("the last are told", || received(&daemon).len() == 4).await;
    until("the last is copied", || copied().is_some_and(|it| it.0 == "last")).await;
    let mut told = edits(&daemon);
    told.retain(|(chat, _)| *chat != copies);
    assert_eq!(told, [(source, "edited".to_owned())]);
    let all = world.latest(copies, 10).expect("there");
    let first = all.iter().find(|it| it.text == "edited").expect("the copy");
    assert_eq!(first.edited_at, at, "the copy is edited once");
    daemon.stop(Duration::from_secs(5)).await;
}
