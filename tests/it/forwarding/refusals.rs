//! Refusals of the destination, each with its way out.

use trunkline::base::{Code, Coded, Owner};
use trunkline::forward::PairState;
use trunkline::model::{ChatId, SessionState};
use trunkline::sandbox::acts::{NewChat, NewChatKind, NewMessage, NewPart};
use trunkline::sandbox::faults::Kind;
use trunkline::sandbox::world::rights::Right;
use trunkline::telegram::{Outgoing, OutgoingBody};

use super::{PATIENCE, PHONE, Scene, channel, pair, photo, stats};
use crate::stage::{state, until};

fn error(code: i32, name: &str) -> Kind {
    Kind::Error {
        code,
        name: name.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_person_can_put_right_holds_under_its_own_reason() {
    let scene = Scene::new().await;
    let daemon = scene.stage.daemon().await;
    let session = scene.stage.log_in(&daemon, PHONE).await;
    let id = scene.pair(&daemon, session, "").await.id;
    let pairs = &daemon.handles.pairs;
    let mut said = Vec::new();
    for (code, name, reason) in [
        (400, "TOPIC_CLOSED", "topic_closed"),
        (406, "TOPIC_DELETED", "topic_deleted"),
        (403, "ALLOW_PAYMENT_REQUIRED_5", "payment_required"),
        (403, "CHAT_SEND_PLAIN_FORBIDDEN", "no_rights"),
        (400, "CHANNEL_PRIVATE", "chat_unknown"),
    ] {
        scene.fault(error(code, name), "messages.sendMessage", 1, 1);
        scene.say(name);
        said.push(name);
        let held = || pairs.get(id).expect("there").reason.as_deref() == Some(reason);
        until(name, held).await;
        assert_eq!(pairs.get(id).expect("there").state, PairState::Held);
        pairs.resume(id).await.expect("resumed");
        scene.arrives(&said).await;
    }
    until("all is settled", || stats(&daemon, id).waiting == 0).await;
    assert_eq!(stats(&daemon, id).failed, 0);
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn media_of_a_kind_that_is_not_taken_are_passed_over_and_counted() {
    let scene = Scene::new().await;
    let daemon = scene.stage.daemon().await;
    let session = scene.stage.log_in(&daemon, PHONE).await;
    let id = scene.pair(&daemon, session, "").await.id;
    scene.fault(
        error(403, "CHAT_SEND_PHOTOS_FORBIDDEN"),
        "messages.sendMedia",
        1,
        1,
    );
    scene.post(NewMessage {
        photo: Some(photo(1)),
        ..NewMessage::text(scene.bob, "a picture")
    });
    scene.say("next");
    scene.arrives(&["next"]).await;
    until("all is settled", || stats(&daemon, id).waiting == 0).await;
    let stats = stats(&daemon, id);
    assert_eq!((stats.forwarded, stats.skipped, stats.failed), (1, 1, 0));
    let state = daemon.handles.pairs.get(id).expect("there").state;
    assert_eq!(state, PairState::Running);
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_group_forbids_its_members_is_passed_over_or_holds_until_it_is_let() {
    let scene = Scene::new().await;
    let daemon = scene.stage.daemon().await;
    let session = scene.stage.log_in(&daemon, PHONE).await;
    let place = NewChat {
        kind: NewChatKind::Supergroup,
        id: None,
        title: "Members".to_owned(),
        about: String::new(),
        username: None,
        creator: scene.bob.into(),
        members: vec![scene.ann.into()],
        admins: Vec::new(),
        slow_mode: 0,
        protected: false,
    };
    let group = scene.world.add_chat(place).expect("made");
    let new = pair(session, scene.source, group, "");
    let pairs = &daemon.handles.pairs;
    let id = pairs.create(new, Owner::admin()).await.expect("made").id;
    let forbid = |rights: &[Right]| {
        let rights = rights.iter().copied().collect();
        scene.world.forbid(group, None, &rights, 0).expect("forbidden");
    };
    let texts = || -> Vec<String> {
        let seen = scene.seen_in(group).into_iter();
        seen.map(|message| message.text).collect()
    };
    forbid(&[Right::Photos]);
    scene.post(NewMessage {
        photo: Some(photo(1)),
        ..NewMessage::text(scene.bob, "a picture")
    });
    scene.say("words");
    until("words come through", || texts() == ["words"]).await;
    assert_eq!(stats(&daemon, id).skipped, 1);
    forbid(&[Right::Messages]);
    scene.say("later");
    let reason = || pairs.get(id).expect("there").reason;
    until("it is held", || reason().as_deref() == Some("no_rights")).await;
    forbid(&[]);
    pairs.resume(id).await.expect("resumed");
    until("what waited comes", || texts() == ["words", "later"]).await;
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_account_reads_and_halts_its_pairs_until_it_is_thawed() {
    let scene = Scene::new().await;
    let daemon = scene.stage.daemon().await;
    let session = scene.stage.log_in(&daemon, PHONE).await;
    let id = scene.pair(&daemon, session, "").await.id;
    scene.world.freeze(scene.ann, true).expect("frozen");
    scene.say("one");
    let reason = || daemon.handles.pairs.get(id).expect("there").reason;
    until("it is halted", || reason().as_deref() == Some("account_frozen")).await;
    until("it is frozen", || state(&daemon, session) == SessionState::Frozen).await;
    let outgoing = Outgoing {
        chat: ChatId(scene.copies),
        topic: None,
        reply_to: None,
        silent: false,
        body: OutgoingBody::Text {
            text: "by hand".to_owned(),
            entities: Vec::new(),
            preview: false,
            random_id: 1,
        },
    };
    let telegram = &daemon.handles.telegram;
    let refused = telegram.send(session, &outgoing, PATIENCE).await;
    let refused = refused.expect_err("refused");
    assert_eq!(refused.code(), Code::AccountFrozen);
    assert_eq!(
        refused.details().expect("details")["telegram"],
        "FROZEN_METHOD_INVALID"
    );
    scene.say("two");
    until("what comes meanwhile waits", || stats(&daemon, id).waiting == 2).await;
    scene.world.freeze(scene.ann, false).expect("thawed");
    telegram.restart(session).await.expect("restarted");
    scene.arrives(&["one", "two"]).await;
    assert_eq!(reason(), None);
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_album_that_slow_mode_does_not_take_goes_one_by_one() {
    let scene = Scene::new().await;
    let daemon = scene.stage.daemon().await;
    let session = scene.stage.log_in(&daemon, PHONE).await;
    let id = scene.pair(&daemon, session, "").await.id;
    let refused = error(400, "SLOWMODE_MULTI_MSGS_DISABLED");
    scene.fault(refused, "messages.sendMultiMedia", 1, 2);
    let part = |text: &str, seed| NewPart {
        text: text.to_owned(),
        photo: Some(photo(seed)),
        ..NewPart::default()
    };
    scene.post(NewMessage {
        album: vec![part("first", 1), part("second", 2), part("third", 3)],
        ..NewMessage::text(scene.bob, "")
    });
    scene.say("next");
    scene.arrives(&["first", "second", "third", "next"]).await;
    until("all is settled", || stats(&daemon, id).waiting == 0).await;
    let stats = stats(&daemon, id);
    assert_eq!((stats.forwarded, stats.failed), (4, 0));
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn media_over_two_sessions_are_copied_where_the_destinations_account_sees_them() {
    let scene = Scene::new().await;
    let phone = "+989120000009";
    let cleo = scene.stage.user(phone, "Cleo");
    let shared = channel(&scene.world, "Shared", scene.bob, &[scene.ann, cleo]);
    let copies = channel(&scene.world, "Cleo's copies", cleo, &[]);
    let daemon = scene.stage.daemon().await;
    let reads = scene.stage.log_in(&daemon, PHONE).await;
    let writes = scene.stage.log_in(&daemon, phone).await;
    let pairs = &daemon.handles.pairs;
    let mut ids = Vec::new();
    for source in [shared, scene.source] {
        let mut new = pair(reads, source, copies, "");
        new.destination.session = writes;
        ids.push(pairs.create(new, Owner::admin()).await.expect("made").id);
    }
    let picture = |text: &str| NewMessage {
        photo: Some(photo(1)),
        ..NewMessage::text(scene.bob, text)
    };
    scene.world.post(shared, picture("seen by both")).expect("posted");
    until("what both see is copied", || scene.seen_in(copies).len() == 1).await;
    assert_eq!(scene.seen_in(copies)[0].text, "seen by both");
    scene.post(picture("seen by one"));
    scene.say("a text");
    until("the text is copied", || scene.seen_in(copies).len() == 2).await;
    assert_eq!(scene.seen_in(copies)[1].text, "a text");
    until("the picture is given up", || stats(&daemon, ids[1]).failed == 1).await;
    let (dead, _) = daemon
        .handles
        .store
        .dead_letters(&Default::default(), None, 10)
        .expect("read");
    assert_eq!(dead[0].code, Code::MediaNotReachable.as_str());
    assert_eq!(stats(&daemon, ids[0]).failed, 0);
    daemon.stop(PATIENCE).await;
}
