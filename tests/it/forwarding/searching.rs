//! Looking for a copy whose sending was not answered: in long histories, beside other pairs, and when nobody lets it look.

use std::time::Duration;

use trunkline::base::{Owner, Span};
use trunkline::config::Config;
use trunkline::limiter::{Budget, CostClass};
use trunkline::sandbox::faults::Kind;

use super::{PATIENCE, PHONE, Scene, channel, pair, stats};
use crate::stage::until;

fn internal() -> Kind {
    Kind::Error {
        code: 500,
        name: "INTERNAL".to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_through_many_pages_ends_though_each_has_to_wait() {
    let scene = Scene::new().await;
    let tight = |config: &mut Config| {
        let history = Budget {
            every: Duration::from_millis(400),
            burst: 1,
            ..Budget::default()
        };
        config.limiter.classes.insert(CostClass::History, history);
        config.forward.patience = Span::millis(100);
        config.forward.look_after = Span::millis(0);
        config.forward.retry_first = Span::secs(2);
    };
    let daemon = scene.stage.daemon_with(tight).await;
    let session = scene.stage.log_in(&daemon, PHONE).await;
    let pair = scene.pair(&daemon, session, "").await;
    let pages = || -> u64 {
        let counts = scene.world.counts();
        let pages = counts.get("messages.getHistory");
        pages.map_or(0, |pages| pages.values().sum())
    };
    let before = pages();
    scene.fault(internal(), "messages.sendMessage", 1, 1);
    scene.say("wanted");
    until("the first try failed", || {
        daemon.handles.pairs.get(pair.id).expect("there").attempts == 1
    })
    .await;
    for number in 0..350 {
        let text = format!("by hand {number}");
        scene.world.say(scene.copies, scene.ann, &text).expect("posted");
    }
    let wanted = || scene.texts().iter().filter(|text| *text == "wanted").count();
    // A pair that is paused meanwhile looks to the end, and sends nothing.
    until("it looks", || pages() > before).await;
    daemon.handles.pairs.pause(pair.id).await.expect("paused");
    until("it has read all of it", || pages() >= before + 4).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(wanted(), 0);
    daemon.handles.pairs.resume(pair.id).await.expect("resumed");
    until("all is settled", || stats(&daemon, pair.id).waiting == 0).await;
    assert_eq!(wanted(), 1);
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_copy_of_another_pair_is_not_taken_for_ones_own() {
    let scene = Scene::new().await;
    let eager = |config: &mut Config| config.forward.look_after = Span::millis(0);
    let daemon = scene.stage.daemon_with(eager).await;
    let session = scene.stage.log_in(&daemon, PHONE).await;
    let second = channel(&scene.world, "Second source", scene.bob, &[scene.ann]);
    let pairs = &daemon.handles.pairs;
    let first = scene.pair(&daemon, session, "").await.id;
    let other = pair(session, second, scene.copies, "");
    let other = pairs.create(other, Owner::admin()).await.expect("made").id;
    pairs.pause(first).await.expect("paused");
    scene.say("the same");
    until("it waits", || stats(&daemon, first).waiting == 1).await;
    // The other pair's copy stands there, and its answer is on the way.
    let late = Kind::LateAnswer { milliseconds: 1500 };
    scene.fault(late, "messages.sendMessage", 1, 1);
    scene.world.say(second, scene.bob, "the same").expect("posted");
    scene.arrives(&["the same"]).await;
    scene.fault(internal(), "messages.sendMessage", 1, 1);
    pairs.resume(first).await.expect("resumed");
    scene.arrives(&["the same", "the same"]).await;
    until("all is settled", || {
        stats(&daemon, first).waiting + stats(&daemon, other).waiting == 0
    })
    .await;
    assert_eq!(scene.texts().len(), 2);
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_and_cannot_be_looked_for_counts_as_tried() {
    let scene = Scene::new().await;
    // Longer than the story lasts.
    let patient = |config: &mut Config| {
        config.forward.retry_first = Span::secs(600);
        config.forward.retry_max = Span::secs(600);
    };
    let daemon = scene.stage.daemon_with(patient).await;
    let session = scene.stage.log_in(&daemon, PHONE).await;
    let id = scene.pair(&daemon, session, "").await.id;
    let duplicate = Kind::Error {
        code: 400,
        name: "RANDOM_ID_DUPLICATE".to_owned(),
    };
    scene.fault(duplicate, "messages.sendMessage", 1, 1);
    scene.fault(Kind::FloodWait { seconds: 600 }, "messages.getHistory", 1, 1);
    let message = scene.say("one");
    until("both calls were refused", || {
        scene.world.faults().iter().all(|fault| fault.acted > 0)
    })
    .await;
    until("it was tried", || {
        daemon.handles.pairs.get(id).expect("there").attempts == 1
    })
    .await;
    scene.edit(message, "one, better");
    until("the edit follows it", || stats(&daemon, id).waiting == 2).await;
    daemon.stop(PATIENCE).await;
}
