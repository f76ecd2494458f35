//! A daemon among people as Telegram tells them: large numbers, chats that change, and weather while it is away.

use std::time::Duration;

use trunkline::model::{Event, EventBody};
use trunkline::sandbox::acts::NewChatKind;
use trunkline::sandbox::world::weather::Kind;

use super::{ANN, BOB, chat};
use crate::stage::{Stage, events, received, until};

const PATIENCE: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn high_numbers_are_borne_by_a_daemon_live_and_after_it_was_away() {
    let stage = Stage::new().await;
    stage.world.world(|state| state.switches.high_numbers.turn(true));
    let (ann, bob) = (stage.user(ANN, "Ann"), stage.user(BOB, "Bob"));
    let world = stage.handle();
    let places = [
        ann,
        chat(&world, NewChatKind::Group, bob, ann),
        chat(&world, NewChatKind::Supergroup, bob, ann),
        chat(&world, NewChatKind::Channel, bob, ann),
    ];
    let mut said = Vec::new();
    let mut say_all = |when: &str| {
        for (place, n) in places.iter().zip(1..) {
            let text = format!("{when} {n}");
            world.say(*place, bob, &text).expect("posted");
            said.push(text);
        }
        said.sort();
        said.clone()
    };
    let sorted = |daemon: &_| {
        let mut texts = received(daemon);
        texts.sort();
        texts
    };
    let daemon = stage.daemon().await;
    stage.log_in(&daemon, ANN).await;
    let expected = say_all("live");
    until("all of it arrived", || sorted(&daemon) == expected).await;
    daemon.stop(PATIENCE).await;
    let expected = say_all("away");
    let daemon = stage.daemon().await;
    until("all of it arrived", || sorted(&daemon) == expected).await;
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn weather_that_a_daemon_missed_adds_nothing_to_what_it_catches_up() {
    let stage = Stage::new().await;
    let (ann, bob) = (stage.user(ANN, "Ann"), stage.user(BOB, "Bob"));
    let world = stage.handle();
    let place = chat(&world, NewChatKind::Supergroup, bob, ann);
    let daemon = stage.daemon().await;
    stage.log_in(&daemon, ANN).await;
    world.say(ann, bob, "before").expect("posted");
    until("it arrived", || received(&daemon) == ["before"]).await;
    daemon.stop(PATIENCE).await;
    let every_kind = i64::try_from(Kind::ALL.len()).expect("few");
    world.weather(3, every_kind);
    world.say(ann, bob, "private").expect("posted");
    world.weather(4, every_kind);
    world.say(place, bob, "place").expect("posted");
    let daemon = stage.daemon().await;
    until("both arrived", || received(&daemon).len() >= 3).await;
    world.weather(5, every_kind);
    world.say(ann, bob, "after").expect("posted");
    until("it arrived", || received(&daemon).len() >= 4).await;
    let mut texts = received(&daemon);
    texts[1..3].sort();
    assert_eq!(texts, ["before", "place", "private", "after"]);
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_that_was_cleared_while_a_daemon_was_away_is_not_told_as_deleted() {
    let stage = Stage::new().await;
    let (ann, bob) = (stage.user(ANN, "Ann"), stage.user(BOB, "Bob"));
    let world = stage.handle();
    let place = chat(&world, NewChatKind::Supergroup, bob, ann);
    let daemon = stage.daemon().await;
    stage.log_in(&daemon, ANN).await;
    for text in ["one", "two"] {
        world.say(place, bob, text).expect("posted");
    }
    until("both arrived", || received(&daemon) == ["one", "two"]).await;
    daemon.stop(PATIENCE).await;
    world.clear_history(place, ann, 0).expect("cleared");
    let too_long = r#"{"kind":"too_long","method":"updates.getChannelDifference","times":1}"#;
    let too_long = serde_json::from_str(too_long).expect("a fault");
    world.fault(too_long).expect("added");
    world.say(place, bob, "three").expect("posted");
    let daemon = stage.daemon().await;
    let looked = || world.counts().contains_key("channels.getMessages");
    until("it arrived", || {
        received(&daemon) == ["one", "two", "three"] && looked()
    })
    .await;
    world.say(place, bob, "four").expect("posted");
    until("it arrived", || received(&daemon).len() == 4).await;
    let deleted = |event: &Event| matches!(event.body, EventBody::MessageDeleted { .. });
    assert!(!events(&daemon).iter().any(deleted));
    daemon.stop(PATIENCE).await;
}
