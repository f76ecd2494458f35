//! What a pair does when its chat becomes a supergroup, or can no longer be read.

use serde_json::json;
use trunkline::app::Daemon;
use trunkline::base::{Code, Coded, EventId, Owner, SessionId, Timestamp};
use trunkline::forward::PairState;
use trunkline::model::{ChatId, Event, EventBody};
use trunkline::sandbox::acts::{NewChat, NewChatKind};
use trunkline::sandbox::faults::Kind;
use trunkline::sandbox::handle::peer;
use trunkline::sandbox::world::Peer;
use trunkline::store::Batch;

use super::{PATIENCE, PHONE, Scene, pair, stats};
use crate::stage::{events, received, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_becomes_a_supergroup_takes_its_pair_with_it() {
    migrates(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_moves_while_the_daemon_is_away_loses_none_of_its_last_messages() {
    migrates(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_supergroup_says_before_the_word_of_the_move_is_copied_too() {
    let scene = Scene::new().await;
    let group = group(&scene);
    let daemon = scene.stage.daemon().await;
    let session = scene.stage.log_in(&daemon, PHONE).await;
    let made = daemon
        .handles
        .pairs
        .create(pair(session, group, scene.copies, ""), Owner::admin())
        .await;
    let id = made.expect("made").id;
    scene.world.say(group, scene.bob, "before").expect("posted");
    scene.arrives(&["before"]).await;
    // Nobody looks into the chats by itself after that.
    until("the chats were compared", || {
        let asked = scene
            .world
            .requests(Some(scene.ann), Some("messages.getDialogs"), 10);
        asked.len() >= 2
    })
    .await;
    // The word is lost on its way; the supergroup's own sequence goes on.
    let lost = json!({"kind": "gap", "account": scene.ann, "times": 0});
    let lost = serde_json::from_value(lost).expect("a fault");
    let lost = scene.world.fault(lost).expect("set");
    // Nor does the supergroup's history tell of the move before what follows it.
    let refusal = json!({"kind": "error", "code": 400, "name": "CHANNEL_PRIVATE", "account": scene.ann, "method": "messages.getHistory", "times": 0});
    let refusal = serde_json::from_value(refusal).expect("a fault");
    let refusal = scene.world.fault(refusal).expect("set");
    let to = migrate(&scene, group);
    let acted = || scene.world.faults().iter().any(|fault| fault.acted > 0);
    until("the word is lost", acted).await;
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    scene.world.clear_faults(Some(lost.id));
    for number in 0..3 {
        let text = format!("after {number}");
        scene.world.say(to, scene.bob, &text).expect("posted");
    }
    let said = || {
        received(&daemon)
            .iter()
            .filter(|text| text.starts_with("after"))
            .count()
    };
    until("they are told", || said() == 3).await;
    let moved = || {
        let events = events(&daemon);
        events
            .iter()
            .any(|event| matches!(event.body, EventBody::ChatMigrated { .. }))
    };
    let early = !moved();
    scene.world.clear_faults(Some(refusal.id));
    scene
        .world
        .say(scene.ann, scene.bob, "what comes next")
        .expect("posted");
    until("the move is told", moved).await;
    scene.arrives(&["before", "after 0", "after 1", "after 2"]).await;
    until("all is settled", || stats(&daemon, id).waiting == 0).await;
    assert!(early, "the word came later");
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_moves_while_what_it_missed_is_read_loses_nothing() {
    let scene = Scene::new().await;
    let group = group(&scene);
    let daemon = scene.stage.daemon().await;
    let session = scene.stage.log_in(&daemon, PHONE).await;
    let new = pair(session, group, scene.copies, "");
    let made = daemon.handles.pairs.create(new, Owner::admin()).await;
    let id = made.expect("made").id;
    let say = |chat, text| scene.world.say(chat, scene.bob, text).expect("posted");
    say(group, "before");
    scene.arrives(&["before"]).await;
    for fault in [
        json!({"kind": "gap", "account": scene.ann}),
        json!({"kind": "too_long", "account": scene.ann, "method": "updates.getDifference"}),
        json!({"kind": "delay", "milliseconds": 2000, "account": scene.ann, "method": "messages.getHistory"}),
    ] {
        let fault = serde_json::from_value(fault).expect("a fault");
        scene.world.fault(fault).expect("set");
    }
    say(group, "lost");
    say(group, "shows it");
    let read = || scene.world.faults().iter().all(|fault| fault.acted > 0);
    until("its history is read", read).await;
    say(group, "last");
    let to = migrate(&scene, group);
    scene.arrives(&["before", "lost", "shows it", "last"]).await;
    say(to, "after");
    let all = ["before", "lost", "shows it", "last", "after"];
    scene.arrives(&all).await;
    until("all is settled", || stats(&daemon, id).waiting == 0).await;
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_moves_while_a_copy_is_on_its_way_holds_no_pair() {
    let scene = Scene::new().await;
    let group = group(&scene);
    let daemon = scene.stage.daemon().await;
    let session = scene.stage.log_in(&daemon, PHONE).await;
    let pairs = &daemon.handles.pairs;
    let new = pair(session, scene.source, group, "");
    let id = pairs.create(new, Owner::admin()).await.expect("made").id;
    let slow = Kind::Delay { milliseconds: 1000 };
    scene.fault(slow, "messages.sendMessage", 1, 1);
    scene.say("on its way");
    let acted = || scene.world.faults().iter().any(|fault| fault.acted > 0);
    until("the copy is on its way", acted).await;
    let to = migrate(&scene, group);
    scene.say("next");
    let standing = || {
        let all = scene.seen_in(to);
        all.into_iter().map(|message| message.text).collect::<Vec<_>>()
    };
    until("both stand in the supergroup", || {
        standing() == ["on its way", "next"]
    })
    .await;
    assert_eq!(pairs.get(id).expect("there").state, PairState::Running);
    let open = daemon.handles.incidents.open_count().expect("counted");
    assert_eq!(open, 0, "nothing is to be put right");
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_on_both_sides_of_a_move_are_deleted_each_in_its_own_chat() {
    let scene = Scene::new().await;
    // The account's own numbers run through its private chats and basic groups; a supergroup's begin anew.
    for number in 0..12 {
        let text = format!("private {number}");
        scene.world.say(scene.ann, scene.bob, &text).expect("posted");
    }
    let group = group(&scene);
    let daemon = scene.stage.daemon().await;
    let session = scene.stage.log_in(&daemon, PHONE).await;
    let made = daemon
        .handles
        .pairs
        .create(pair(session, scene.source, group, ""), Owner::admin())
        .await;
    let id = made.expect("made").id;
    let standing = |chat: i64| {
        let all = scene
            .world
            .messages(chat, Some(scene.ann), 0, 1000, false)
            .expect("there");
        all.into_iter()
            .filter(|message| message.service.is_none())
            .map(|message| message.text)
            .collect::<Vec<_>>()
    };
    let first = scene.say("first");
    until("the first is copied", || standing(group) == ["first"]).await;
    let to = migrate(&scene, group);
    let pairs = &daemon.handles.pairs;
    until("the pair writes into the supergroup", || {
        pairs.get(id).expect("there").destination.chat == ChatId(to)
    })
    .await;
    let second = scene.say("second");
    until("the second is copied", || standing(to) == ["second"]).await;
    scene.edit(first, "first, edited");
    let Ok(Peer::Channel(source)) = peer(scene.source) else {
        panic!("it is a channel");
    };
    let both = scene
        .stage
        .world
        .world(|state| state.delete_in_channel(scene.bob, source, &[first, second]));
    both.expect("deleted");
    until("the second copy is gone", || standing(to).is_empty()).await;
    until("all is settled", || stats(&daemon, id).waiting == 0).await;
    assert_eq!(pairs.get(id).expect("there").state, PairState::Running);
    assert_eq!(standing(scene.bob).len(), 12, "nobody else's message is touched");
    scene.say("third");
    until("the pair goes on", || standing(to) == ["third"]).await;
    daemon.stop(PATIENCE).await;
}

fn group(scene: &Scene) -> i64 {
    scene
        .world
        .add_chat(NewChat {
            kind: NewChatKind::Group,
            id: None,
            title: "Group".to_owned(),
            about: String::new(),
            username: None,
            creator: scene.bob.into(),
            members: vec![scene.ann.into()],
            admins: Vec::new(),
            slow_mode: 0,
            protected: false,
        })
        .expect("made")
}

/// The number of the supergroup that a group becomes.
fn migrate(scene: &Scene, group: i64) -> i64 {
    let Ok(Peer::Group(number)) = peer(group) else {
        panic!("it is a basic group");
    };
    let channel = scene.stage.world.world(|state| state.migrate(scene.bob, number));
    Peer::Channel(channel.expect("migrated")).bot_api()
}

async fn migrates(away: bool) {
    let scene = Scene::new().await;
    let group = group(&scene);
    let daemon = scene.stage.daemon().await;
    let session = scene.stage.log_in(&daemon, PHONE).await;
    let new = pair(session, group, scene.copies, "");
    let made = daemon.handles.pairs.create(new, Owner::admin()).await;
    let id = made.expect("made").id;
    scene.world.say(group, scene.bob, "before").expect("posted");
    scene.arrives(&["before"]).await;
    let mut running = Some(daemon);
    if away && let Some(daemon) = running.take() {
        daemon.stop(PATIENCE).await;
    }
    // What is said last comes in the same difference as the word that the group moved.
    for number in 0..3 {
        let text = format!("last {number}");
        scene.world.say(group, scene.bob, &text).expect("posted");
    }

    let to = migrate(&scene, group);
    let daemon = match running {
        Some(daemon) => daemon,
        None => scene.stage.daemon().await,
    };
    let pairs = &daemon.handles.pairs;
    until("the pair is the supergroup's", || {
        pairs.get(id).expect("there").source.chat == ChatId(to)
    })
    .await;
    // The supergroup counts anew: its numbers were the group's messages' before.
    for number in 0..4 {
        let text = format!("after {number}");
        scene.world.say(to, scene.bob, &text).expect("posted");
    }
    let said = ["before", "last 0", "last 1", "last 2"];
    let then = ["after 0", "after 1", "after 2", "after 3"];
    scene.arrives(&[&said[..], &then].concat()).await;
    until("all is settled", || stats(&daemon, id).waiting == 0).await;
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_that_is_lost_holds_its_pairs_with_the_reason() {
    let scene = Scene::new().await;
    let daemon = scene.stage.daemon().await;
    let session = scene.stage.log_in(&daemon, PHONE).await;
    let id = scene.pair(&daemon, session, "").await.id;
    let lost = EventBody::ChatLost {
        chat: ChatId(scene.source),
        reason: "channel_private".to_owned(),
    };
    happens(&daemon, session, lost).await;
    let pairs = &daemon.handles.pairs;
    until("it is held", || {
        let pair = pairs.get(id).expect("there");
        (pair.state, pair.reason.as_deref()) == (PairState::Held, Some("chat_lost"))
    })
    .await;
    let open = || daemon.handles.incidents.open_count().expect("counted");
    until("an incident tells", || open() == 1).await;
    pairs.delete(id).await.expect("deleted");
    assert_eq!(open(), 0, "nothing is left to be put right");
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_whose_account_left_the_source_goes_on_only_once_it_is_back() {
    let scene = Scene::new().await;
    let daemon = scene.stage.daemon().await;
    let session = scene.stage.log_in(&daemon, PHONE).await;
    let id = scene.pair(&daemon, session, "").await.id;
    let (pairs, telegram) = (&daemon.handles.pairs, &daemon.handles.telegram);
    let listed = || {
        let chats = telegram.chats(session, None).expect("listed");
        chats.iter().any(|chat| chat.id == ChatId(scene.source))
    };
    scene.say("before");
    scene.arrives(&["before"]).await;
    assert!(listed());
    scene.world.leave(scene.source, scene.ann).expect("left");
    let held = || pairs.get(id).expect("there").state == PairState::Held;
    until("it is held", held).await;
    assert!(!listed(), "it is in the chat no more");
    let refused = pairs.resume(id).await.expect_err("nothing could come");
    assert_eq!(refused.code(), Code::Conflict);
    let refused = pairs.restart(id).await.expect_err("nothing could come");
    assert_eq!(refused.code(), Code::Conflict);
    assert!(held(), "and its incident stays");
    assert_eq!(daemon.handles.incidents.open_count().expect("counted"), 1);
    scene.world.join(scene.source, &[scene.ann]).expect("joined");
    until("it is listed again", listed).await;
    pairs.resume(id).await.expect("goes on");
    scene.say("after");
    scene.arrives(&["before", "after"]).await;
    // A channel that the account came into after its login.
    let late = super::channel(&scene.world, "Late", scene.bob, &[scene.ann]);
    until("it is listed", || {
        let chats = telegram.chats(session, Some("late")).expect("listed");
        chats.iter().any(|chat| chat.id == ChatId(late))
    })
    .await;
    daemon.stop(PATIENCE).await;
}

/// The intake puts an event into the journal.
async fn happens(daemon: &Daemon, session: SessionId, body: EventBody) {
    let mut batch = Batch::new();
    let event = Event {
        id: EventId::generate(),
        at: Timestamp::now(),
        session: Some(session),
        owner: Owner::admin(),
        body,
    };
    batch.append(event, None);
    daemon.handles.store.commit(batch).await.expect("stored");
}
