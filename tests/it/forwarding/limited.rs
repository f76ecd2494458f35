//! A backlog under Telegram's limits on speed: waits are met, and no call comes inside one.

use std::time::{Duration, Instant};

use trunkline::base::Owner;

use super::{PATIENCE, PHONE, Scene, channel, pair};

/// How long the backlog may take.
const LONG: Duration = Duration::from_secs(120);

/// How many messages wait in each source.
const BACKLOG: u32 = 25;

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_goes_out_without_a_call_inside_a_wait() {
    let scene = Scene::new().await;
    let daemon = scene.stage.daemon().await;
    let session = scene.stage.log_in(&daemon, PHONE).await;
    let other = channel(&scene.world, "Other copies", scene.ann, &[]);
    for to in [scene.copies, other] {
        let new = pair(session, scene.source, to, "");
        let made = daemon.handles.pairs.create(new, Owner::admin()).await;
        made.expect("made");
    }
    // An hour in a minute: twenty a second for each channel, three in a twentieth of one.
    scene.world.set_limits(Some(60));
    let bob = scene.bob.into();
    scene
        .world
        .burst(scene.source, &bob, "news", BACKLOG)
        .expect("posted");
    let begun = Instant::now();
    let arrived = |chat| scene.seen_in(chat).len() == BACKLOG as usize;
    while !(arrived(scene.copies) && arrived(other)) {
        assert!(begun.elapsed() < LONG, "{}", scene.world.limits());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let met = scene.world.limits();
    assert!(met["waits"].as_u64() > Some(0), "nothing was limited: {met}");
    assert_eq!(met["inside"], 0, "{met}");
    let texts = |chat| -> Vec<String> {
        let seen = scene.seen_in(chat).into_iter();
        seen.map(|message| message.text).collect()
    };
    let told: Vec<String> = (1..=BACKLOG).map(|number| format!("news №{number}")).collect();
    assert_eq!(texts(scene.copies), told);
    assert_eq!(texts(other), told);
    daemon.stop(PATIENCE).await;
}
