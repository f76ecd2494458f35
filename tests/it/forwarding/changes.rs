//! What a pair does when its source changes after it was made: protection, and media replaced by an edit.

use serde_json::json;
use trunkline::base::{Code, Coded, Owner};
use trunkline::forward::PairState;
use trunkline::sandbox::acts::NewMessage;
use trunkline::sandbox::handle::peer;
use trunkline::sandbox::world::Peer;
use trunkline::sandbox::world::changing::Change;
use trunkline::sandbox::world::content::Media;

use super::{PATIENCE, PHONE, Scene, pair, photo, stats};
use crate::stage::until;

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_becomes_protected_holds_its_pair_and_nothing_is_copied() {
    let scene = Scene::new().await;
    let daemon = scene.stage.daemon().await;
    let session = scene.stage.log_in(&daemon, PHONE).await;
    let id = scene.pair(&daemon, session, "").await.id;
    scene.say("free");
    scene.arrives(&["free"]).await;
    protect(&scene);
    scene.say("words");
    scene.post(NewMessage {
        photo: Some(photo(1)),
        ..NewMessage::text(scene.bob, "a picture")
    });
    let pairs = &daemon.handles.pairs;
    until("it is held", || {
        pairs.get(id).expect("there").reason.as_deref() == Some("forwards_restricted")
    })
    .await;
    until("both wait", || stats(&daemon, id).waiting == 2).await;
    let open = || daemon.handles.incidents.open_count().expect("counted");
    until("an incident tells", || open() == 1).await;
    // Nor does it evade the wish when somebody wants it to go on.
    let refused = pairs.resume(id).await.expect_err("still protected");
    assert_eq!(refused.code(), Code::ForwardsRestricted);
    assert_eq!(
        pairs.get(id).expect("there").reason.as_deref(),
        Some("forwards_restricted")
    );
    assert_eq!(scene.texts(), ["free"]);
    scene.world.protect(scene.source, false).expect("free again");
    pairs.resume(id).await.expect("goes on");
    scene.arrives(&["free", "words", "a picture"]).await;
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn media_replaced_by_an_edit_is_replaced_in_the_copy() {
    let scene = Scene::new().await;
    let daemon = scene.stage.daemon().await;
    let session = scene.stage.log_in(&daemon, PHONE).await;
    let id = scene.pair(&daemon, session, "").await.id;
    let posted = scene.post(NewMessage {
        photo: Some(photo(1)),
        ..NewMessage::text(scene.bob, "a picture")
    });
    scene.arrives(&["a picture"]).await;
    until("it is settled", || stats(&daemon, id).forwarded == 1).await;
    let content = |chat| {
        let seen = scene.seen_in(chat);
        seen[0].media.as_ref().and_then(|media| media.sha256.clone())
    };
    let before = content(scene.copies);
    replace_photo(&scene, posted[0].id, 2);
    assert_ne!(content(scene.source), before);
    until("the copy shows the new picture", || {
        content(scene.copies) == content(scene.source)
    })
    .await;
    until("the counters tell", || {
        let stats = stats(&daemon, id);
        (stats.edited, stats.failed, stats.waiting) == (1, 0, 0)
    })
    .await;
    assert_eq!(scene.texts(), ["a picture"]);
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_chat_that_is_protected_in_a_gap_holds_its_pair() {
    let scene = Scene::new().await;
    let daemon = scene.stage.daemon().await;
    let session = scene.stage.log_in(&daemon, PHONE).await;
    let pairs = &daemon.handles.pairs;
    let new = pair(session, scene.bob, scene.copies, "");
    let id = pairs.create(new, Owner::admin()).await.expect("made").id;
    let say = |text: &str| scene.world.say(scene.ann, scene.bob, text).expect("posted");
    say("before");
    scene.arrives(&["before"]).await;
    for fault in [
        json!({"kind": "gap", "account": scene.ann, "times": 2}),
        json!({"kind": "too_long", "account": scene.ann, "method": "updates.getDifference"}),
    ] {
        let fault = serde_json::from_value(fault).expect("a fault");
        scene.world.fault(fault).expect("set");
    }
    let guarded = scene
        .stage
        .world
        .world(|state| state.guard(scene.bob, scene.ann, true, None));
    guarded.expect("protected");
    say("between us");
    say("shows the gap");
    let held = || pairs.get(id).expect("there").state == PairState::Held;
    until("the pair is held", held).await;
    let reason = pairs.get(id).expect("there").reason;
    assert_eq!(reason.as_deref(), Some("forwards_restricted"));
    assert_eq!(scene.texts(), ["before"]);
    daemon.stop(PATIENCE).await;
}

/// The source's creator forbids to forward and to save.
fn protect(scene: &Scene) {
    let Ok(Peer::Channel(id)) = peer(scene.source) else {
        panic!("the source is a channel");
    };
    scene
        .stage
        .world
        .world(|state| state.adjust_channel(scene.bob, id, |channel| channel.noforwards = true))
        .expect("protected");
}

/// The author puts another picture into a post of the source; its text stays.
fn replace_photo(scene: &Scene, message: i32, seed: u64) {
    let place = peer(scene.source).expect("a chat");
    scene
        .stage
        .world
        .world(|state| {
            let file = state.new_photo(&photo(seed))?;
            let change = Change {
                media: Some(Media::File { file, spoiler: false }),
                ..Change::default()
            };
            state.edit(scene.bob, place, message, change)
        })
        .expect("edited");
}
