//! What the journal tells of messages and chats: edits that are none, edits within one second, what one writes to
//! oneself, chats that move or are lost.

use std::time::Duration;

use trunkline::app::Daemon;
use trunkline::model::{Action, ChatId, EventBody, SessionState};
use trunkline::sandbox::faults::{Fault, Kind};
use trunkline::sandbox::world::Peer;
use trunkline::sandbox::world::posting::Draft;
use trunkline::telegram::{Outgoing, OutgoingBody};

use crate::stage::{Stage, events, received, state, until};

const PHONE: &str = "+989120000001";

/// Ann, whose daemon it is, and Bob.
async fn two(stage: &Stage) -> (i64, i64, Daemon) {
    let (ann, bob) = (stage.user(PHONE, "Ann"), stage.user("+989120000002", "Bob"));
    let daemon = stage.daemon().await;
    stage.log_in(&daemon, PHONE).await;
    (ann, bob, daemon)
}

fn edits(daemon: &Daemon) -> Vec<String> {
    let edit = |event: trunkline::model::Event| match event.body {
        EventBody::MessageEdited(message) => Some(message.text),
        _ => None,
    };
    events(daemon).into_iter().filter_map(edit).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_within_a_second_are_each_told_and_a_reaction_is_none() {
    let stage = Stage::new().await;
    let (ann, bob) = (stage.user(PHONE, "Ann"), stage.user("+989120000002", "Bob"));
    let channel = stage
        .world
        .world(|world| world.add_channel(None, bob, "News", true, &[ann]).expect("made"));
    let daemon = stage.daemon().await;
    stage.log_in(&daemon, PHONE).await;
    let (peer, world) = (Peer::Channel(channel), stage.handle());
    let post = |text: &str| {
        stage.world.world(|world| {
            let uid = world.post(bob, peer, Draft::text(text)).expect("posted");
            world.contents[&uid].number_for(bob).expect("a number")
        })
    };
    let id = post("x");
    until("it is told", || received(&daemon) == ["x"]).await;
    stage
        .world
        .world(|world| world.react(ann, peer, id, Some("👍"), false).map(drop))
        .expect("reacted");
    for text in ["y", "x", "y"] {
        world
            .edit(peer.bot_api(), id, bob, text, Vec::new())
            .expect("edited");
    }
    until("three edits are told", || edits(&daemon).len() == 3).await;
    post("last");
    until("the last is told", || received(&daemon) == ["x", "last"]).await;
    assert_eq!(edits(&daemon), ["y", "x", "y"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_after_a_first_login_is_told_though_the_dialogs_are_not_read_yet() {
    let stage = Stage::new().await;
    let (ann, bob) = (stage.user(PHONE, "Ann"), stage.user("+989120000002", "Bob"));
    let (channel, group) = stage.world.world(|world| {
        let channel = world.add_channel(None, bob, "News", true, &[ann]).expect("made");
        let group = world.add_group(None, bob, "Group", &[ann]).expect("made");
        (Peer::Channel(channel), Peer::Group(group))
    });
    let post = |peer: Peer, text: &str| {
        stage
            .world
            .world(|world| world.post(bob, peer, Draft::text(text)).map(drop))
            .expect("posted");
    };
    for peer in [channel, group] {
        post(peer, "long before");
    }
    // Telegram's clock counts seconds.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let daemon = stage.daemon().await;
    let slow = Fault {
        id: 0,
        kind: Kind::Delay { milliseconds: 800 },
        method: Some("messages.getDialogs".to_owned()),
        account: Some(ann),
        chat: None,
        nth: 1,
        times: 1,
        matched: 0,
        acted: 0,
    };
    stage.handle().fault(slow).expect("taken");
    let session = stage.session(&daemon).await;
    stage.submit(&daemon, session, PHONE).await;
    for peer in [channel, group] {
        post(peer, "just after");
    }
    until("it is connected", || {
        state(&daemon, session) == SessionState::Connected
    })
    .await;
    for peer in [channel, group] {
        post(peer, "later");
    }
    until("all is told", || received(&daemon).len() >= 4).await;
    let mut told = received(&daemon);
    told.sort();
    assert_eq!(told, ["just after", "just after", "later", "later"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_writes_to_oneself_is_sent_not_received() {
    let stage = Stage::new().await;
    let (ann, _, daemon) = two(&stage).await;
    stage
        .world
        .world(|world| world.post(ann, Peer::User(ann), Draft::text("a note")))
        .expect("posted");
    let sent = || {
        events(&daemon)
            .iter()
            .any(|event| matches!(&event.body, EventBody::MessageSent(note) if note.text == "a note"))
    };
    until("the note is told", sent).await;
    assert!(received(&daemon).is_empty(), "nobody else wrote it");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_daemon_writes_is_told_once_as_telegram_stored_it() {
    let stage = Stage::new().await;
    let (ann, bob) = (stage.user(PHONE, "Ann"), stage.user("+989120000002", "Bob"));
    stage
        .world
        .world(|world| world.post(bob, Peer::User(ann), Draft::text("hello")))
        .expect("posted");
    let daemon = stage.daemon().await;
    let session = stage.log_in(&daemon, PHONE).await;
    // Both are answered in the shortest form, which names neither chat nor text.
    for (number, to) in [ann, bob].into_iter().enumerate() {
        let text = format!(" note {number}\n");
        let outgoing = Outgoing {
            chat: ChatId::user(to),
            topic: None,
            reply_to: None,
            silent: false,
            body: OutgoingBody::Text {
                text,
                entities: Vec::new(),
                preview: false,
                random_id: 1 + number as i64,
            },
        };
        let sent = daemon
            .handles
            .telegram
            .send(session, &outgoing, Duration::from_secs(20))
            .await;
        sent.expect("sent");
    }
    let told = || {
        let sent = events(&daemon).into_iter().filter_map(|event| match event.body {
            EventBody::MessageSent(message) => Some((message.chat.0, message.text)),
            _ => None,
        });
        sent.collect::<Vec<_>>()
    };
    let wanted = [(ann, "note 0".to_owned()), (bob, "note 1".to_owned())];
    until("both are told", || told().len() >= 2).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(told(), wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_daemon_deletes_is_told_and_no_gap() {
    let stage = Stage::new().await;
    let (ann, bob, daemon) = two(&stage).await;
    let session = daemon.handles.telegram.list()[0].account.id;
    let gaps = || {
        daemon
            .handles
            .telegram
            .view(session)
            .expect("known")
            .health
            .gaps_found
    };
    let before = gaps();
    for (number, text) in ["one", "two", "three"].into_iter().enumerate() {
        let from = if number == 1 { ann } else { bob };
        let to = if number == 1 { bob } else { ann };
        stage
            .world
            .world(|world| world.post(from, Peer::User(to), Draft::text(text)))
            .expect("posted");
    }
    let ids = |wanted: fn(EventBody) -> Vec<i32>| {
        let all = events(&daemon).into_iter().flat_map(|event| wanted(event.body));
        all.collect::<Vec<_>>()
    };
    let new = || {
        ids(|body| match body {
            EventBody::MessageNew(message) | EventBody::MessageSent(message) => vec![message.id],
            _ => Vec::new(),
        })
    };
    until("all are told", || new().len() == 3).await;
    for id in &new()[..2] {
        let (chat, patience) = (ChatId::user(bob), Duration::from_secs(20));
        let telegram = &daemon.handles.telegram;
        let deleted = telegram.delete_messages(session, chat, vec![*id], patience).await;
        deleted.expect("deleted");
    }
    let gone = || {
        ids(|body| match body {
            EventBody::MessageDeleted { ids, .. } => ids,
            _ => Vec::new(),
        })
    };
    until("both deletions are told", || gone() == new()[..2]).await;
    stage
        .world
        .world(|world| world.post(bob, Peer::User(ann), Draft::text("next")))
        .expect("posted");
    until("it goes on", || new().len() == 4).await;
    assert_eq!(gaps(), before, "nothing was missing");
    daemon.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_in_a_short_form_has_a_name() {
    let stage = Stage::new().await;
    let (ann, bob, daemon) = two(&stage).await;
    stage
        .world
        .world(|world| world.post(bob, Peer::User(ann), Draft::text("hello")))
        .expect("posted");
    let named = || {
        events(&daemon).iter().any(|event| match &event.body {
            EventBody::MessageNew(message) => {
                message
                    .sender
                    .as_ref()
                    .and_then(|sender| sender.first_name.as_deref())
                    == Some("Bob")
            }
            _ => false,
        })
    };
    until("it is told with a name", named).await;
    assert_eq!(received(&daemon), ["hello"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn chats_that_move_or_are_lost_while_the_daemon_is_away_are_told() {
    let stage = Stage::new().await;
    let (ann, bob) = (stage.user(PHONE, "Ann"), stage.user("+989120000002", "Bob"));
    let (group, channel) = stage.world.world(|world| {
        let group = world.add_group(None, bob, "Few", &[ann]).expect("made");
        let channel = world.add_channel(None, bob, "Many", false, &[ann]).expect("made");
        (group, channel)
    });
    let daemon = stage.daemon().await;
    let session = stage.log_in(&daemon, PHONE).await;
    stage.world.world(|world| {
        for peer in [Peer::Group(group), Peer::Channel(channel)] {
            world.post(bob, peer, Draft::text("before")).expect("posted");
        }
    });
    until("both are told", || received(&daemon).len() == 2).await;
    daemon.stop(Duration::from_secs(5)).await;
    let to = stage.world.world(|world| {
        world.take_out(bob, Peer::Channel(channel), ann).expect("put out");
        world.migrate(bob, group).expect("moved")
    });
    let daemon = stage.daemon().await;
    let (from, to) = (
        ChatId(Peer::Group(group).bot_api()),
        ChatId(Peer::Channel(to).bot_api()),
    );
    let lost = ChatId(Peer::Channel(channel).bot_api());
    let count = |what: &dyn Fn(&EventBody) -> bool| {
        events(&daemon)
            .iter()
            .filter(|event| event.session == Some(session) && what(&event.body))
            .count()
    };
    let moved = |body: &EventBody| *body == EventBody::ChatMigrated { from, to };
    let gone = |body: &EventBody| matches!(body, EventBody::ChatLost { chat, .. } if *chat == lost);
    until("the move is told", || count(&moved) == 1).await;
    until("the loss is told", || count(&gone) == 1).await;
    let service = |body: &EventBody| match body {
        EventBody::MessageNew(message) => message.action == Some(Action::MigratedTo { chat: to }),
        _ => false,
    };
    until("the service message says so too", || count(&service) == 1).await;
    assert_eq!((count(&moved), count(&gone)), (1, 1));
}
