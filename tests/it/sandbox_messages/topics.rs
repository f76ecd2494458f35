//! Forums: topics over MTProto, and a daemon that reads and fills them.

use std::time::Duration;

use grammers_tl_types::{enums, functions as f, types};
use trunkline::base::Owner;
use trunkline::model::{Action, EventBody, Message};
use trunkline::sandbox::acts::{NewChatKind, NewMessage};
use trunkline::sandbox::view::MessageView;
use trunkline::sandbox::world::topics::TopicChange;

use super::{ANN, BOB, ann, chat, pair, peer_of, text};
use crate::sandbox_people::login::told;
use crate::stage::{Stage, events, until};

/// The message of a channel that an answer tells as new, as its number, its header and its action.
fn new_in(
    answer: enums::Updates,
) -> (
    i32,
    Option<types::MessageReplyHeader>,
    Option<enums::MessageAction>,
) {
    let header = |header: Option<enums::MessageReplyHeader>| match header {
        Some(enums::MessageReplyHeader::Header(header)) => Some(header),
        _ => None,
    };
    let told = told(answer).expect("updates");
    let found = told.updates.into_iter().find_map(|update| match update {
        enums::Update::NewChannelMessage(it) => Some(it.message),
        _ => None,
    });
    match found.expect("a message") {
        enums::Message::Message(message) => (message.id, header(message.reply_to), None),
        enums::Message::Service(service) => (service.id, header(service.reply_to), Some(service.action)),
        enums::Message::Empty(empty) => panic!("{empty:?}"),
    }
}

fn under(message: i32, topic: Option<i32>) -> Option<enums::InputReplyTo> {
    let reply = types::InputReplyToMessage {
        reply_to_msg_id: message,
        top_msg_id: topic,
        reply_to_peer_id: None,
        quote_text: None,
        quote_entities: None,
        quote_offset: None,
        monoforum_peer_id: None,
        todo_item_id: None,
        poll_option: None,
    };
    Some(reply.into())
}

fn create(peer: enums::InputPeer, title: &str) -> f::messages::CreateForumTopic {
    f::messages::CreateForumTopic {
        title_missing: false,
        peer,
        title: title.into(),
        icon_color: None,
        icon_emoji_id: None,
        random_id: 77,
        send_as: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forum_has_topics_that_messages_stand_in() {
    let stage = Stage::new().await;
    let (mut ann, world, ann_id, bob) = ann(&stage).await;
    let place = chat(&world, NewChatKind::Supergroup, ann_id, bob);
    let peer = peer_of(&stage, ann_id, place);
    let refused = ann
        .call(&create(peer.clone(), "News"))
        .await
        .expect_err("no forum");
    assert_eq!(refused, "CHANNEL_FORUM_MISSING");
    let enums::InputPeer::Channel(channel) = peer.clone() else {
        panic!("a channel")
    };
    let channel = types::InputChannel {
        channel_id: channel.channel_id,
        access_hash: channel.access_hash,
    };
    let toggled = ann
        .ask(&f::channels::ToggleForum {
            channel: channel.clone().into(),
            enabled: true,
            tabs: false,
        })
        .await;
    let toggled = told(toggled).expect("updates");
    assert!(toggled.channel(channel.channel_id).forum);

    let (topic, header, action) = new_in(ann.ask(&create(peer.clone(), "News")).await);
    assert_eq!(header, None);
    assert!(matches!(action, Some(enums::MessageAction::TopicCreate(it)) if it.title == "News"));
    let send = |words: &str, reply_to| f::messages::SendMessage {
        reply_to,
        ..text(peer.clone(), words, false)
    };
    let shape = |header: Option<types::MessageReplyHeader>| {
        header.map(|header| (header.forum_topic, header.reply_to_msg_id, header.reply_to_top_id))
    };
    let (first, header, _) = new_in(ann.ask(&send("in the topic", under(topic, Some(topic)))).await);
    assert_eq!(shape(header), Some((true, Some(topic), None)));
    let (_, header, _) = new_in(ann.ask(&send("an answer there", under(first, None))).await);
    assert_eq!(shape(header), Some((true, Some(first), Some(topic))));
    let (general, header, _) = new_in(ann.ask(&send("elsewhere", None)).await);
    assert_eq!(header, None, "nothing is said of the general topic");
    let (_, header, _) = new_in(ann.ask(&send("an answer to that", under(general, None))).await);
    assert_eq!(shape(header), Some((false, Some(general), None)));
    let gone = ann.call(&send("nowhere", under(999, Some(999)))).await;
    assert_eq!(gone.expect_err("refused"), "TOPIC_DELETED");

    let list = f::messages::GetForumTopics {
        peer: peer.clone(),
        q: None,
        offset_date: 0,
        offset_id: 0,
        offset_topic: 0,
        limit: 10,
    };
    let enums::messages::ForumTopics::Topics(found) = ann.ask(&list).await;
    let titles: Vec<_> = (found.topics.iter())
        .map(|topic| match topic {
            enums::ForumTopic::Topic(topic) => (topic.id, topic.title.as_str()),
            enums::ForumTopic::Deleted(topic) => (topic.id, "gone"),
        })
        .collect();
    assert_eq!(titles, [(1, "General"), (topic, "News")]);
    let edit = f::messages::EditForumTopic {
        peer: peer.clone(),
        topic_id: topic,
        title: None,
        icon_emoji_id: None,
        closed: Some(true),
        hidden: None,
    };
    let (_, header, action) = new_in(ann.ask(&edit).await);
    assert_eq!(shape(header), Some((true, Some(topic), None)));
    assert!(matches!(action, Some(enums::MessageAction::TopicEdit(it)) if it.closed == Some(true)));
    let late = NewMessage {
        thread: Some(topic),
        ..NewMessage::text(bob, "too late")
    };
    let refused = world.post(place, late.clone()).expect_err("closed");
    assert_eq!(refused.name, "TOPIC_CLOSED");
    assert_eq!(world.delete_topic(place, topic).expect("deleted"), 4);
    let refused = world.post(place, late).expect_err("gone");
    assert_eq!(refused.name, "TOPIC_DELETED");
}

fn seen(world: &trunkline::sandbox::World, chat: i64) -> Vec<MessageView> {
    let all = world.messages(chat, None, 0, 100, false).expect("there");
    all.into_iter().filter(|it| it.service.is_none()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_tells_topic_and_answer_apart_and_forwards_out_of_and_into_forums() {
    let stage = Stage::new().await;
    let (ann, bob) = (stage.user(ANN, "Ann"), stage.user(BOB, "Bob"));
    let world = stage.handle();
    let source = chat(&world, NewChatKind::Supergroup, bob, ann);
    let copies = chat(&world, NewChatKind::Supergroup, ann, bob);
    let by_topic = chat(&world, NewChatKind::Supergroup, ann, bob);
    for forum in [source, copies, by_topic] {
        world.set_forum(forum, true).expect("a forum");
    }
    let there = world.add_topic(by_topic, ann, "Copies").expect("a topic");
    let daemon = stage.daemon().await;
    let session = stage.log_in(&daemon, ANN).await;
    pair(&daemon, session, source, (copies, None)).await;
    pair(&daemon, session, source, (by_topic, Some(there))).await;

    let topic = world.add_topic(source, bob, "News").expect("a topic");
    let within = NewMessage {
        thread: Some(topic),
        ..NewMessage::text(bob, "within")
    };
    let within = world.post(source, within).expect("posted")[0].id;
    let answer = NewMessage {
        reply_to: Some(within),
        ..NewMessage::text(bob, "answer")
    };
    world.post(source, answer).expect("posted");
    world.say(source, bob, "general").expect("posted");
    let title = TopicChange {
        title: Some("Old news".into()),
        ..TopicChange::default()
    };
    world
        .edit_topic(source, topic, &bob.into(), title)
        .expect("renamed");

    let texts = |chat| -> Vec<String> { seen(&world, chat).into_iter().map(|it| it.text).collect() };
    let all = ["within", "answer", "general"];
    until("all is copied", || texts(copies) == all && texts(by_topic) == all).await;
    let read = |chat| -> Vec<(Option<i32>, bool)> {
        let views = seen(&world, chat).into_iter();
        views.map(|it| (it.thread, it.reply_to.is_some())).collect()
    };
    assert_eq!(read(copies), [(None, false), (None, true), (None, false)]);
    let at = Some(there);
    assert_eq!(read(by_topic), [(at, false), (at, true), (at, false)]);

    let from_source = || -> Vec<Message> {
        let told = events(&daemon).into_iter().filter_map(|event| match event.body {
            EventBody::MessageNew(message) if message.chat.0 == source => Some(message),
            _ => None,
        });
        told.collect()
    };
    until("all is told", || from_source().len() == 5).await;
    let shape = |message: &Message| {
        let answered = message.reply_to.as_ref().map(|reply| reply.message);
        (message.text.clone(), message.thread, answered)
    };
    let told: Vec<_> = from_source().iter().map(shape).collect();
    let words = |text: &str| text.to_owned();
    let expected = [
        (words(""), None, None),
        (words("within"), Some(topic), None),
        (words("answer"), Some(topic), Some(within)),
        (words("general"), None, None),
        (words(""), Some(topic), None),
    ];
    assert_eq!(told, expected);
    let actions: Vec<_> = from_source().into_iter().filter_map(|it| it.action).collect();
    assert!(matches!(&actions[0], Action::TopicCreated { title } if title == "News"));
    assert!(matches!(&actions[1], Action::TopicEdited { title, .. } if title.as_deref() == Some("Old news")));
    daemon.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_of_one_topic_forwards_what_stands_there_alone() {
    let stage = Stage::new().await;
    let (ann, bob) = (stage.user(ANN, "Ann"), stage.user(BOB, "Bob"));
    let world = stage.handle();
    let source = chat(&world, NewChatKind::Supergroup, bob, ann);
    world.set_forum(source, true).expect("a forum");
    let news = world.add_topic(source, bob, "News").expect("a topic");
    let other = world.add_topic(source, bob, "Other").expect("a topic");
    let copies = [(); 2].map(|()| chat(&world, NewChatKind::Supergroup, ann, bob));
    let daemon = stage.daemon().await;
    let session = stage.log_in(&daemon, ANN).await;
    let new = |topic: i32, to: i64| {
        let text = format!(
            r#"{{"source":{{"session":"{session}","chat":{source},"topic":{topic}}},"destination":{{"session":"{session}","chat":{to}}}}}"#
        );
        serde_json::from_str(&text).expect("a pair")
    };
    let pairs = &daemon.handles.pairs;
    for (topic, to) in [(news, copies[0]), (1, copies[1])] {
        pairs.create(new(topic, to), Owner::admin()).await.expect("made");
    }
    // Another topic of it into the same chat is another pair, the same one is not.
    pairs
        .create(new(other, copies[1]), Owner::admin())
        .await
        .expect("made");
    assert!(pairs.create(new(news, copies[0]), Owner::admin()).await.is_err());
    assert!(pairs.create(new(0, copies[0]), Owner::admin()).await.is_err());
    let say = |text: &str, thread: Option<i32>| {
        let message = NewMessage {
            thread,
            ..NewMessage::text(bob, text)
        };
        world.post(source, message).expect("posted")[0].id
    };
    let first = say("news", Some(news));
    say("general", None);
    say("other", Some(other));
    say("more news", Some(news));
    world
        .edit(source, first, bob, "good news", Vec::new())
        .expect("edited");
    let texts = |chat| -> Vec<String> { seen(&world, chat).into_iter().map(|it| it.text).collect() };
    until("each topic has its copies", || {
        let mut mixed = texts(copies[1]);
        mixed.sort();
        texts(copies[0]) == ["good news", "more news"] && mixed == ["general", "other"]
    })
    .await;
    daemon.stop(Duration::from_secs(5)).await;
}
