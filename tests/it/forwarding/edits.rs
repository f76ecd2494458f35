//! Edits that follow each other faster than a pair works.

use trunkline::sandbox::faults::Kind;

use super::{PATIENCE, PHONE, Scene, stats};
use crate::stage::until;

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_is_taken_back_before_it_is_followed_is_taken_back_in_the_copy() {
    let scene = Scene::new().await;
    let daemon = scene.stage.daemon().await;
    let session = scene.stage.log_in(&daemon, PHONE).await;
    let id = scene.pair(&daemon, session, "").await.id;
    let pairs = &daemon.handles.pairs;
    let settled = || stats(&daemon, id).waiting == 0;
    let message = scene.say("first");
    scene.arrives(&["first"]).await;
    until("it is settled", settled).await;

    pairs.pause(id).await.expect("paused");
    scene.edit(message, "second");
    scene.edit(message, "first");
    until("both edits wait", || stats(&daemon, id).waiting == 2).await;
    pairs.resume(id).await.expect("resumed");
    until("all is settled", settled).await;
    assert_eq!(scene.texts(), ["first"]);

    // The same while the first edit is under way.
    let delay = Kind::Delay { milliseconds: 1500 };
    scene.fault(delay, "messages.editMessage", 1, 1);
    scene.edit(message, "third");
    until("it is under way", || {
        scene.world.faults().iter().all(|fault| fault.acted > 0)
    })
    .await;
    scene.edit(message, "first");
    until("both edits wait", || stats(&daemon, id).waiting == 2).await;
    until("all is settled", settled).await;
    assert_eq!(scene.texts(), ["first"]);
    daemon.stop(PATIENCE).await;
}
