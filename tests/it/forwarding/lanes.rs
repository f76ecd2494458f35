//! A pair whose sends take long holds up nobody else, and keeps its order.

use std::time::{Duration, Instant};

use trunkline::base::{Owner, Span};
use trunkline::sandbox::faults::Kind;

use super::{PATIENCE, PHONE, Scene, channel, pair, stats};
use crate::stage::until;

/// Well before pauses that double become long.
const SOON: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_account_delays_no_other_pair_and_a_chain_keeps_order_and_count() {
    let scene = Scene::new().await;
    let phone = "+989120000003";
    let dave = scene.stage.user(phone, "Dave");
    let daemon = scene.stage.daemon().await;
    let stalled = scene.stage.log_in(&daemon, PHONE).await;
    let other = scene.stage.log_in(&daemon, phone).await;
    scene.world.join(scene.copies, &[dave]).expect("joined");
    let end = channel(&scene.world, "End", dave, &[]);
    let aside = channel(&scene.world, "Aside", scene.bob, &[dave]);
    let aside_copies = channel(&scene.world, "Aside copies", dave, &[]);
    let pairs = &daemon.handles.pairs;
    let make = |session, from, to| {
        let new = pair(session, from, to, "");
        async move { pairs.create(new, Owner::admin()).await.expect("made").id }
    };
    let first = make(stalled, scene.source, scene.copies).await;
    let second = make(other, scene.copies, end).await;
    make(other, aside, aside_copies).await;

    let delay = Kind::Delay { milliseconds: 3000 };
    scene.fault(delay, "messages.sendMessage", 1, 1);
    scene.say("one");
    scene.say("two");
    until("the send is under way", || {
        scene.world.faults().iter().all(|fault| fault.acted > 0)
    })
    .await;
    // Nobody can tell yet whether this is the copy that is under way.
    scene
        .world
        .say(scene.copies, scene.ann, "by hand")
        .expect("posted");
    for number in 0..5 {
        let text = format!("aside {number}");
        scene.world.say(aside, scene.bob, &text).expect("posted");
    }
    until("the pair aside is not held up", || {
        scene.seen_in(aside_copies).len() == 5
    })
    .await;
    assert_eq!(scene.texts(), ["by hand"], "the stalled send is still under way");

    let texts = |chat| -> Vec<String> {
        let seen = scene.seen_in(chat).into_iter();
        seen.map(|message| message.text).collect()
    };
    until("the chain has come through", || texts(end).len() >= 3).await;
    until("all is settled", || {
        stats(&daemon, first).waiting + stats(&daemon, second).waiting == 0
    })
    .await;
    assert_eq!(texts(scene.copies), ["by hand", "one", "two"]);
    assert_eq!(texts(end), ["by hand", "one", "two"]);
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_send_that_runs_longer_than_anybody_waits_keeps_its_place_and_its_edit() {
    let scene = Scene::new().await;
    let hasty = |config: &mut trunkline::config::Config| config.telegram.call_timeout = Span::millis(500);
    let daemon = scene.stage.daemon_with(hasty).await;
    let session = scene.stage.log_in(&daemon, PHONE).await;
    let pair = scene.pair(&daemon, session, "").await;
    scene.say("before");
    scene.arrives(&["before"]).await;
    // Until it has ended, each repeat is refused as a duplicate of what is not to be found yet.
    let delay = Kind::Delay { milliseconds: 5000 };
    scene.fault(delay, "messages.sendMessage", 1, 1);
    scene.say("slow");
    scene.say("next");
    until("it is under way", || {
        scene.world.faults().iter().all(|fault| fault.acted > 0)
    })
    .await;
    scene.arrives(&["before", "slow", "next"]).await;
    until("all is settled", || stats(&daemon, pair.id).waiting == 0).await;
    assert_eq!(scene.texts(), ["before", "slow", "next"]);
    let slow = scene.seen_in(scene.source)[1].id;
    scene
        .world
        .edit(scene.source, slow, scene.bob, "slow, but sure", Vec::new())
        .expect("edited");
    scene.arrives(&["before", "slow, but sure", "next"]).await;
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_that_waits_for_its_session_says_so() {
    let scene = Scene::new().await;
    let daemon = scene.stage.daemon().await;
    let session = scene.stage.log_in(&daemon, PHONE).await;
    let id = scene.pair(&daemon, session, "").await.id;
    let (pairs, telegram) = (&daemon.handles.pairs, &daemon.handles.telegram);
    pairs.pause(id).await.expect("paused");
    scene.say("one");
    until("it waits", || stats(&daemon, id).waiting == 1).await;
    telegram.stop(session).await.expect("stopped");
    let begun = Instant::now();
    pairs.resume(id).await.expect("resumed");
    let shown = || pairs.get(id).expect("there");
    until("it says why", || shown().last_error.is_some()).await;
    assert!(begun.elapsed() < SOON, "not only once it waits for long");
    let pair = shown();
    assert!(pair.next_try.is_some());
    assert_eq!(pair.attempts, 0, "that costs no attempt");
    telegram.start(session).await.expect("started");
    scene.arrives(&["one"]).await;
    daemon.stop(PATIENCE).await;
}
