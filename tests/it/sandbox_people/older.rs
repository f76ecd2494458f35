//! Pushes that are written in an older layer than the reader's: it cannot read them, and has to ask.

use std::time::Duration;

use trunkline::sandbox::acts::NewChatKind;

use super::chat;
use crate::stage::{Stage, received, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_asks_for_what_came_in_an_older_layer() {
    let stage = Stage::new().await;
    let (ann, bob) = (stage.user(super::ANN, "Ann"), stage.user(super::BOB, "Bob"));
    let world = stage.handle();
    let turned = [
        ("older_layers".to_owned(), true),
        ("quiet_channels".to_owned(), false),
    ];
    world.turn(&turned.into()).expect("known");
    let place = chat(&world, NewChatKind::Supergroup, bob, ann);
    let daemon = stage.daemon().await;
    stage.log_in(&daemon, super::ANN).await;
    let before = world
        .requests(Some(ann), Some("updates.getChannelDifference"), 1000)
        .len();
    let mut said = Vec::new();
    for n in 0..24 {
        let text = format!("word {n:02}");
        world.say(place, bob, &text).expect("posted");
        said.push(text);
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    until("all is told", || received(&daemon).len() == said.len()).await;
    assert_eq!(received(&daemon), said);
    let asked = world.requests(Some(ann), Some("updates.getChannelDifference"), 1000);
    assert!(asked.len() > before, "some could not be read");
    daemon.stop(Duration::from_secs(5)).await;
}
