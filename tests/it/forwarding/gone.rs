//! What a pair does with messages that are gone, that come round, or that a second pair would double.

use trunkline::base::{Code, Coded, Owner};
use trunkline::ops::{DeadLetters, DeadQuery};
use trunkline::sandbox::acts::{Forwarded, NewMessage, NewPart};
use trunkline::sandbox::faults::Kind;

use super::{PATIENCE, PHONE, Scene, pair, photo, stats};
use crate::stage::until;

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_whose_target_is_gone_is_sent_without_it() {
    let scene = Scene::new().await;
    let daemon = scene.stage.daemon().await;
    let session = scene.stage.log_in(&daemon, PHONE).await;
    let pair = scene.pair(&daemon, session, "").await;
    let question = scene.say("question");
    scene.arrives(&["question"]).await;
    let copy = scene.seen()[0].id;
    scene
        .world
        .delete(scene.copies, copy, scene.ann)
        .expect("deleted");
    scene.post(NewMessage {
        reply_to: Some(question),
        ..NewMessage::text(scene.bob, "answer")
    });
    scene.arrives(&["answer"]).await;
    until("all is settled", || stats(&daemon, pair.id).waiting == 0).await;
    assert_eq!(stats(&daemon, pair.id).failed, 0);
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forward_mode_settles_what_is_left_of_an_album_and_cancels_what_is_gone() {
    let scene = Scene::new().await;
    let daemon = scene.stage.daemon().await;
    let session = scene.stage.log_in(&daemon, PHONE).await;
    let more = r#","mode":"forward","on_delete":"ignore""#;
    let id = scene.pair(&daemon, session, more).await.id;
    let pairs = &daemon.handles.pairs;
    pairs.pause(id).await.expect("paused");
    let part = |text: &str, seed| NewPart {
        text: text.to_owned(),
        photo: Some(photo(seed)),
        ..NewPart::default()
    };
    let album = scene.post(NewMessage {
        album: vec![part("first", 1), part("second", 2), part("third", 3)],
        ..NewMessage::text(scene.bob, "")
    });
    let alone = scene.say("gone");
    scene.say("after");
    until("all wait", || stats(&daemon, id).waiting == 3).await;
    scene.delete(album[1].id);
    scene.delete(alone);
    pairs.resume(id).await.expect("resumed");
    scene.arrives(&["first", "third", "after"]).await;
    until("all is settled", || stats(&daemon, id).waiting == 0).await;
    let stats = stats(&daemon, id);
    assert_eq!((stats.forwarded, stats.failed), (3, 0));
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_forwarded_back_into_its_source_goes_round_no_more() {
    let scene = Scene::new().await;
    let daemon = scene.stage.daemon().await;
    let session = scene.stage.log_in(&daemon, PHONE).await;
    let pair = scene.pair(&daemon, session, "").await;
    scene.say("zero");
    scene.arrives(&["zero"]).await;
    scene.post(NewMessage {
        forward: Some(Forwarded {
            chat: scene.copies,
            message: scene.seen()[0].id,
            drop_author: false,
        }),
        ..NewMessage::text(scene.bob, "")
    });
    scene.say("after");
    scene.arrives(&["zero", "after"]).await;
    until("all is settled", || stats(&daemon, pair.id).waiting == 0).await;
    assert_eq!(stats(&daemon, pair.id).forwarded, 2);
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_pair_is_made_once() {
    let scene = Scene::new().await;
    let daemon = scene.stage.daemon().await;
    let session = scene.stage.log_in(&daemon, PHONE).await;
    let pairs = &daemon.handles.pairs;
    scene.pair(&daemon, session, "").await;
    let again = pair(session, scene.source, scene.copies, "");
    let refused = pairs.create(again, Owner::admin()).await.expect_err("refused");
    assert_eq!(refused.code(), Code::Conflict);
    assert_eq!(pairs.list().expect("listed").len(), 1);
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_that_is_put_back_does_not_bring_what_was_deleted() {
    let scene = Scene::new().await;
    let daemon = scene.stage.daemon().await;
    let session = scene.stage.log_in(&daemon, PHONE).await;
    let id = scene.pair(&daemon, session, "").await.id;
    let refused = Kind::Error {
        code: 400,
        name: "SOMETHING_ODD".to_owned(),
    };
    scene.fault(refused, "messages.sendMessage", 1, 2);
    let regretted = scene.say("regretted");
    scene.say("wanted");
    until("both were given up", || stats(&daemon, id).failed == 2).await;
    scene.delete(regretted);
    scene.say("after");
    scene.arrives(&["after"]).await;
    let letters = DeadLetters::new(daemon.handles.store.clone());
    let put_back = letters.requeue_all(&DeadQuery::default()).await;
    assert_eq!(put_back.expect("put back"), 2);
    until("all is settled", || stats(&daemon, id).waiting == 0).await;
    scene.arrives(&["after", "wanted"]).await;
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_account_of_the_source_stops_no_account_of_a_destination() {
    let scene = Scene::new().await;
    let daemon = scene.stage.daemon().await;
    let writes = scene.stage.log_in(&daemon, PHONE).await;
    let reads = scene.stage.log_in(&daemon, "+989120000002").await;
    let mut new = pair(reads, scene.source, scene.copies, r#","mode":"forward""#);
    new.destination.session = writes;
    let pairs = &daemon.handles.pairs;
    let id = pairs.create(new, Owner::admin()).await.expect("made").id;
    let error = |code, name: &str| Kind::Error {
        code,
        name: name.to_owned(),
    };
    scene.fault(error(400, "MESSAGE_ID_INVALID"), "messages.forwardMessages", 1, 1);
    let frozen = error(420, "FROZEN_METHOD_INVALID");
    scene.fault_of(scene.bob, frozen, "channels.getMessages", 1, 1);
    scene.say("news");
    scene.arrives(&["news"]).await;
    let acted = scene.world.faults().iter().all(|fault| fault.acted > 0);
    assert!(acted, "the source was asked");
    assert_eq!(pairs.get(id).expect("there").reason, None);
    daemon.stop(PATIENCE).await;
}
