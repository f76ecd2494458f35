//! Spans of texts: merged, split and dropped when posted and at each edit; and a daemon whose copies follow.

use std::time::Duration;

use grammers_tl_types::{enums, functions as f, types};
use trunkline::sandbox::acts::{NewChatKind, NewMessage};
use trunkline::sandbox::view::MessageView;
use trunkline::sandbox::world::entities::{Entity, Kind};
use trunkline::sandbox::world::marks::Marks;

use super::{ANN, BOB, ann, chat, edits, pair, peer_of, text};
use crate::stage::{Stage, until};

/// Two that overlap, two that touch, an emoji.
fn spans() -> Vec<Entity> {
    let emoji = Entity {
        custom_emoji_id: Some(77),
        ..Entity::plain(Kind::CustomEmoji, 10, 2)
    };
    vec![
        Entity::plain(Kind::Italic, 3, 5),
        Entity::plain(Kind::Bold, 0, 2),
        Entity::plain(Kind::Bold, 2, 3),
        emoji,
    ]
}

/// What is made of them, without the emoji.
fn settled() -> Vec<Entity> {
    vec![
        Entity::plain(Kind::Bold, 0, 5),
        Entity::plain(Kind::Italic, 3, 2),
        Entity::plain(Kind::Italic, 5, 3),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_are_merged_split_and_dropped_when_posted_and_at_each_edit() {
    let stage = Stage::new().await;
    let (mut ann, world, ann_id, bob) = ann(&stage).await;
    let bold = |offset, length| types::MessageEntityBold { offset, length }.into();
    let italic = |offset, length| types::MessageEntityItalic { offset, length }.into();
    let given: Vec<enums::MessageEntity> = vec![
        italic(3, 5),
        bold(0, 2),
        bold(2, 3),
        types::MessageEntityCustomEmoji {
            offset: 10,
            length: 2,
            document_id: 77,
        }
        .into(),
    ];
    let call = |peer: i64, words: &str| f::messages::SendMessage {
        entities: Some(given.clone()),
        ..text(peer_of(&stage, ann_id, peer), words, false)
    };
    let sent = |answer| match answer {
        enums::Updates::UpdateShortSentMessage(sent) => (sent.id, sent.entities.unwrap_or_default()),
        other => panic!("another answer: {other:?}"),
    };
    let (id, found) = sent(ann.ask(&call(bob, "some words 🙂 here")).await);
    assert_eq!(found, [bold(0, 5), italic(3, 2), italic(5, 3)]);
    let seen = || -> MessageView {
        let all = world.messages(bob, Some(ann_id), 0, 10, false).expect("there");
        all.into_iter().find(|it| it.id == id).expect("the message")
    };
    assert_eq!(seen().entities, settled());
    let edit = f::messages::EditMessage {
        no_webpage: false,
        invert_media: false,
        peer: peer_of(&stage, ann_id, bob),
        id,
        message: Some("other words 🙂 here".into()),
        media: None,
        reply_markup: None,
        entities: Some(given.clone()),
        schedule_date: None,
        schedule_repeat_period: None,
        quick_reply_shortcut_id: None,
        rich_message: None,
    };
    ann.ask(&edit).await;
    assert_eq!(seen().entities, settled());
    let premium = Marks {
        premium: true,
        ..Marks::default()
    };
    world.set_marks(ann_id, premium).expect("a subscriber");
    let (_, found) = sent(ann.ask(&call(bob, "words 12345 🙂")).await);
    assert_eq!(found.len(), 4, "a subscriber's emoji stays");
    stage
        .world
        .world(|state| state.switches.spans_settled.turn(false));
    let (_, found) = sent(ann.ask(&call(bob, "words 12345 🙂 as they are")).await);
    assert_eq!(found.len(), 4);
    assert!(found.contains(&italic(3, 5)), "nothing is split");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_copies_what_its_account_may_send_once_and_follows_edits() {
    let stage = Stage::new().await;
    let (ann, bob) = (stage.user(ANN, "Ann"), stage.user(BOB, "Bob"));
    let world = stage.handle();
    let premium = Marks {
        premium: true,
        ..Marks::default()
    };
    world.set_marks(bob, premium).expect("a subscriber");
    let source = chat(&world, NewChatKind::Channel, bob, ann);
    let copies = chat(&world, NewChatKind::Channel, ann, bob);
    let daemon = stage.daemon().await;
    let session = stage.log_in(&daemon, ANN).await;
    pair(&daemon, session, source, (copies, None)).await;
    let new = NewMessage {
        entities: spans(),
        ..NewMessage::text(bob, "some words 🙂 here")
    };
    let id = world.post(source, new).expect("posted")[0].id;
    let copied = || world.latest(copies, 10).expect("there");
    let last = |words: &str| copied().last().is_some_and(|it| it.text == words);
    until("it is copied", || last("some words 🙂 here")).await;
    assert_eq!(copied().last().expect("the copy").entities, settled());
    world
        .edit(source, id, bob, "other words 🙂 here", spans())
        .expect("edited");
    until("the copy follows", || last("other words 🙂 here")).await;
    assert_eq!(copied().last().expect("the copy").entities, settled());
    world.say(source, bob, "last").expect("posted");
    until("the last is copied", || last("last")).await;
    assert_eq!(copied().len(), 3, "each is copied once: {:?}", copied());
    let mut told = edits(&daemon);
    told.retain(|(chat, _)| *chat == source);
    assert_eq!(told.len(), 1);
    daemon.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_phones_and_cards_are_found_and_survive_copying() {
    let stage = Stage::new().await;
    let (ann, bob) = (stage.user(ANN, "Ann"), stage.user(BOB, "Bob"));
    let world = stage.handle();
    let source = chat(&world, NewChatKind::Channel, bob, ann);
    let copies = chat(&world, NewChatKind::Channel, ann, bob);
    let daemon = stage.daemon().await;
    let session = stage.log_in(&daemon, ANN).await;
    pair(&daemon, session, source, (copies, None)).await;
    let words = "see example.com or call +49 151 2345678, card 4242 4242 4242 4242, /start@my_bot $USD";
    world.say(source, bob, words).expect("posted");
    let spans = |chat| -> Vec<Entity> {
        let all = world.messages(chat, None, 0, 100, false).expect("there");
        let said = all.into_iter().rfind(|it| it.service.is_none());
        said.map_or(Vec::new(), |it| it.entities)
    };
    let wanted = [
        Entity::plain(Kind::Url, 4, 11),
        Entity::plain(Kind::PhoneNumber, 24, 15),
        Entity::plain(Kind::BankCard, 46, 19),
        Entity::plain(Kind::BotCommand, 67, 13),
        Entity::plain(Kind::Cashtag, 81, 4),
    ];
    assert_eq!(spans(source), wanted);
    until("it is copied", || spans(copies) == wanted).await;
    stage.world.world(|state| state.switches.all_found.turn(false));
    world.say(source, bob, words).expect("posted");
    assert_eq!(spans(source).len(), 2, "commands and tags only");
    daemon.stop(Duration::from_secs(5)).await;
}
