//! What messages answer: a message of another chat, a part, a story, a thread; as the wire and as a daemon tell it.

use std::time::Duration;

use grammers_tl_types::{enums, functions as f, types};
use trunkline::model::{Event, EventBody};
use trunkline::sandbox::acts::{NewChatKind, NewMessage, NewPoll, Story};

use super::{ANN, BOB, ann, chat, peer_of, text};
use crate::sandbox_people::login::{Login, told};
use crate::stage::{Stage, events, until};

pub(super) fn answering(message: i32) -> types::InputReplyToMessage {
    types::InputReplyToMessage {
        reply_to_msg_id: message,
        top_msg_id: None,
        reply_to_peer_id: None,
        quote_text: None,
        quote_entities: None,
        quote_offset: None,
        monoforum_peer_id: None,
        todo_item_id: None,
        poll_option: None,
    }
}

/// The newest message of a chat.
async fn newest(login: &mut Login, peer: enums::InputPeer) -> types::Message {
    let ask = f::messages::GetHistory {
        peer,
        offset_id: 0,
        offset_date: 0,
        add_offset: 0,
        limit: 1,
        max_id: 0,
        min_id: 0,
        hash: 0,
    };
    let mut messages = match login.ask(&ask).await {
        enums::messages::Messages::Messages(found) => found.messages,
        enums::messages::Messages::Slice(found) => found.messages,
        enums::messages::Messages::ChannelMessages(found) => found.messages,
        enums::messages::Messages::NotModified(_) => panic!("a list"),
    };
    match messages.remove(0) {
        enums::Message::Message(message) => message,
        other => panic!("a message: {other:?}"),
    }
}

fn header(message: &types::Message) -> types::MessageReplyHeader {
    match message.reply_to.clone() {
        Some(enums::MessageReplyHeader::Header(header)) => header,
        other => panic!("a header: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_elsewhere_tells_its_number_to_those_who_see_it() {
    let stage = Stage::new().await;
    let (mut ann, world, ann_id, bob) = ann(&stage).await;
    let carol = stage.user("+15550003", "Carol");
    let secret = chat(&world, NewChatKind::Supergroup, bob, carol);
    let open = chat(&world, NewChatKind::Supergroup, bob, ann_id);
    let poll = NewMessage {
        poll: Some(NewPoll {
            question: "Tea?".into(),
            answers: vec!["Yes".into(), "No".into()],
            ..NewPoll::default()
        }),
        ..NewMessage::text(carol, "")
    };
    for (place, seen) in [(secret, false), (open, true)] {
        let from = if seen { bob } else { carol };
        let said = world.say(place, from, "words that count").expect("posted");
        let answer = NewMessage {
            reply_to: Some(said),
            reply_chat: Some(place),
            quote: Some("that".into()),
            ..NewMessage::text(bob, "an answer")
        };
        world.post(ann_id, answer).expect("posted");
        let answer = header(&newest(&mut ann, peer_of(&stage, ann_id, bob)).await);
        assert_eq!(answer.reply_to_msg_id, seen.then_some(said));
        assert_eq!(answer.reply_to_peer_id.is_some(), seen);
        assert!(answer.quote);
        assert_eq!(answer.quote_text.as_deref(), Some("that"));
        assert_eq!(answer.quote_offset, Some(6));
        let Some(enums::MessageFwdHeader::Header(origin)) = answer.reply_from else {
            panic!("an origin")
        };
        let Some(enums::Peer::User(author)) = origin.from_id else {
            panic!("an author")
        };
        assert_eq!(author.user_id, from);
    }
    let asked = world.post(secret, poll).expect("posted")[0].id;
    let answer = NewMessage {
        reply_to: Some(asked),
        reply_chat: Some(secret),
        ..NewMessage::text(bob, "tea it is")
    };
    world.post(open, answer.clone()).expect("posted");
    let told = header(&newest(&mut ann, peer_of(&stage, ann_id, open)).await);
    assert!(matches!(told.reply_media, Some(enums::MessageMedia::Poll(_))));
    assert_eq!((told.reply_to_msg_id, told.quote), (None, false));
    stage
        .world
        .world(|state| state.switches.replies_elsewhere.turn(false));
    world.post(open, answer).expect("posted");
    let told = header(&newest(&mut ann, peer_of(&stage, ann_id, open)).await);
    assert_eq!((told.reply_to_msg_id, told.reply_from), (Some(asked), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_answered_is_refused_by_name() {
    let stage = Stage::new().await;
    let (mut ann, world, ann_id, bob) = ann(&stage).await;
    let place = chat(&world, NewChatKind::Supergroup, bob, ann_id);
    let guarded = chat(&world, NewChatKind::Supergroup, bob, ann_id);
    world.protect(guarded, true).expect("protected");
    let hidden = world.say(guarded, bob, "not for others").expect("posted");
    let said = world.say(place, bob, "one two one two").expect("posted");
    let (peer, guarded) = (peer_of(&stage, ann_id, place), peer_of(&stage, ann_id, guarded));
    let send = |reply: enums::InputReplyTo| f::messages::SendMessage {
        reply_to: Some(reply),
        ..text(peer.clone(), "an answer", false)
    };
    let story = types::InputReplyToStory {
        peer: enums::InputPeer::PeerSelf,
        story_id: 7,
    };
    let refused: [(enums::InputReplyTo, &str); 6] = [
        (
            types::InputReplyToMessage {
                quote_text: Some("three".into()),
                ..answering(said)
            }
            .into(),
            "QUOTE_TEXT_INVALID",
        ),
        (
            types::InputReplyToMessage {
                poll_option: Some(vec![0]),
                ..answering(said)
            }
            .into(),
            "POLL_OPTION_INVALID",
        ),
        (
            types::InputReplyToMessage {
                monoforum_peer_id: Some(enums::InputPeer::PeerSelf),
                ..answering(said)
            }
            .into(),
            "REPLY_TO_MONOFORUM_PEER_INVALID",
        ),
        (
            types::InputReplyToMessage {
                todo_item_id: Some(1),
                ..answering(said)
            }
            .into(),
            "REPLY_TO_INVALID",
        ),
        (
            types::InputReplyToMessage {
                reply_to_peer_id: Some(guarded),
                ..answering(hidden)
            }
            .into(),
            "CHAT_FORWARDS_RESTRICTED",
        ),
        (story.into(), "STORY_ID_INVALID"),
    ];
    for (reply, name) in refused {
        assert_eq!(ann.call(&send(reply)).await.expect_err("refused"), name);
    }
    let bold = |offset, length| types::MessageEntityBold { offset, length }.into();
    let quoting = types::InputReplyToMessage {
        quote_text: Some("one".into()),
        quote_entities: Some(vec![bold(0, 3), bold(2, 9)]),
        quote_offset: Some(7),
        ..answering(said)
    };
    told(ann.ask(&send(quoting.into())).await).expect("updates");
    let answer = header(&newest(&mut ann, peer.clone()).await);
    assert_eq!(answer.quote_offset, Some(8), "the nearest place");
    assert_eq!(answer.quote_entities, Some(vec![bold(0, 3)]));

    let edit = f::messages::EditMessage {
        no_webpage: false,
        invert_media: false,
        peer: peer.clone(),
        id: said,
        message: Some("changed".into()),
        media: None,
        reply_markup: Some(types::ReplyKeyboardHide { selective: false }.into()),
        entities: None,
        schedule_date: None,
        schedule_repeat_period: None,
        quick_reply_shortcut_id: None,
        rich_message: None,
    };
    assert_eq!(
        ann.call(&edit).await.expect_err("refused"),
        "REPLY_MARKUP_INVALID"
    );
    let kept = f::messages::SendMessage {
        noforwards: true,
        ..text(peer.clone(), "bots may keep this", false)
    };
    ann.ask(&kept).await;
    assert!(!newest(&mut ann, peer).await.noforwards, "for bots only");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_in_a_supergroup_are_threads_and_comments_too() {
    let stage = Stage::new().await;
    let (mut ann, world, ann_id, bob) = ann(&stage).await;
    let news = chat(&world, NewChatKind::Channel, bob, ann_id);
    let group = chat(&world, NewChatKind::Supergroup, bob, ann_id);
    let peer = peer_of(&stage, ann_id, group);
    let answer = |to: i32, words: &str| {
        let new = NewMessage {
            reply_to: Some(to),
            ..NewMessage::text(bob, words)
        };
        world.post(group, new).expect("posted")[0].id
    };
    let first = world.say(group, bob, "first").expect("posted");
    let second = answer(first, "second");
    let shape = |message: &types::Message| {
        let header = header(message);
        (header.reply_to_msg_id, header.reply_to_top_id, header.forum_topic)
    };
    let told = newest(&mut ann, peer.clone()).await;
    assert_eq!(shape(&told), (Some(first), None, false));
    let third = answer(second, "third");
    let told = newest(&mut ann, peer.clone()).await;
    assert_eq!(shape(&told), (Some(second), Some(first), false));
    let replies = |peer: enums::InputPeer, msg_id| f::messages::GetReplies {
        peer,
        msg_id,
        offset_id: 0,
        offset_date: 0,
        add_offset: 0,
        limit: 10,
        max_id: 0,
        min_id: 0,
        hash: 0,
    };
    let ids = |answer| match answer {
        enums::messages::Messages::ChannelMessages(found) => {
            let ids = found.messages.iter().map(enums::Message::id);
            ids.collect::<Vec<i32>>()
        }
        other => panic!("a channel's: {other:?}"),
    };
    let found = ids(ann.ask(&replies(peer.clone(), first)).await);
    assert_eq!(found, [third, second]);

    world.link(news, Some(group)).expect("linked");
    let post = world.say(news, bob, "a post").expect("posted");
    let opened = newest(&mut ann, peer.clone()).await.id;
    let comment = answer(opened, "a comment");
    let below = answer(comment, "a word to that");
    let channel = peer_of(&stage, ann_id, news);
    let found = ids(ann.ask(&replies(channel.clone(), post)).await);
    assert_eq!(found, [below, comment]);
    let Some(enums::MessageReplies::Replies(told)) = newest(&mut ann, channel.clone()).await.replies else {
        panic!("comments")
    };
    assert_eq!((told.replies, told.max_id), (2, Some(below)));
    world.clear_history(group, ann_id, comment).expect("cleared");
    let found = ids(ann.ask(&replies(channel, post)).await);
    assert_eq!(found, [below], "what is hidden is in no list");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_names_an_answered_message_of_its_own_chat_only() {
    let stage = Stage::new().await;
    let (ann, bob) = (stage.user(ANN, "Ann"), stage.user(BOB, "Bob"));
    let carol = stage.user("+15550003", "Carol");
    let world = stage.handle();
    let secret = chat(&world, NewChatKind::Supergroup, bob, carol);
    let open = chat(&world, NewChatKind::Supergroup, bob, ann);
    let copies = chat(&world, NewChatKind::Supergroup, ann, bob);
    let daemon = stage.daemon().await;
    let session = stage.log_in(&daemon, ANN).await;
    super::pair(&daemon, session, open, (copies, None)).await;
    let first = world.say(open, bob, "first").expect("posted");
    let elsewhere = world.say(secret, carol, "hidden words").expect("posted");
    let private = world.say(ann, bob, "between us").expect("posted");
    let post = |words: &str, to: Option<i32>, place: Option<i64>| {
        let new = NewMessage {
            reply_to: to,
            reply_chat: place,
            quote: place.map(|_| "words".into()).filter(|_| place == Some(secret)),
            ..NewMessage::text(bob, words)
        };
        world.post(open, new).expect("posted");
    };
    post("to the hidden", Some(elsewhere), Some(secret));
    post("to the private", Some(private), Some(ann));
    post("second", Some(first), None);
    let second = world.messages(open, None, 0, 100, false).expect("there");
    let second = second.last().expect("a message").id;
    post("third", Some(second), None);
    let story = NewMessage {
        story: Some(Story { chat: ann, id: 5 }),
        ..NewMessage::text(bob, "to a story")
    };
    world.post(open, story).expect("posted");

    let of_open = || -> Vec<_> {
        let new = |event: Event| match event.body {
            EventBody::MessageNew(message) if message.chat.0 == open && !message.service => Some(message),
            _ => None,
        };
        events(&daemon).into_iter().filter_map(new).collect()
    };
    until("all is told", || of_open().len() == 6).await;
    let shape = |message: &trunkline::model::Message| {
        let reply = message.reply_to.as_ref();
        let here = reply.and_then(|reply| reply.within(message.chat));
        (
            message.text.clone(),
            here,
            reply.and_then(|reply| reply.chat).map(|chat| chat.0),
            message.thread,
        )
    };
    let told: Vec<_> = of_open().iter().map(shape).collect();
    let row = |text: &str, here, elsewhere| (text.to_owned(), here, elsewhere, None);
    assert_eq!(
        told,
        [
            row("first", None, None),
            row("to the hidden", None, None),
            row("to the private", None, Some(bob)),
            row("second", Some(first), None),
            row("third", Some(second), None),
            row("to a story", None, None),
        ]
    );
    let viewed = world.messages(open, None, 0, 100, false).expect("there");
    let to_private = viewed.iter().find(|it| it.text == "to the private");
    assert_eq!(to_private.map(|it| it.reply_to), Some(None), "of another chat");
    let copied = || -> Vec<_> {
        let all = world.messages(copies, None, 0, 100, false).expect("there");
        let said = all.into_iter().filter(|it| it.service.is_none());
        said.map(|it| (it.id, it.text, it.reply_to)).collect()
    };
    until("all is copied", || copied().len() == 6).await;
    let all = copied();
    let copy_of = |text: &str| all.iter().find(|it| it.1 == text).expect("copied");
    for text in ["first", "to the hidden", "to the private", "to a story"] {
        assert_eq!(copy_of(text).2, None, "{text}");
    }
    assert_eq!(copy_of("second").2, Some(copy_of("first").0));
    assert_eq!(copy_of("third").2, Some(copy_of("second").0));
    daemon.stop(Duration::from_secs(5)).await;
}
