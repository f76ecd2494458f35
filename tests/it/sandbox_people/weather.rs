//! The stream that is nobody's message: it has its place in the sequences, and a daemon's journal is the same with it.

use std::collections::BTreeSet;
use std::time::Duration;

use grammers_tl_types::{Serializable, enums, functions as f};
use trunkline::app::Daemon;
use trunkline::model::EventBody;
use trunkline::sandbox::acts::NewChatKind;
use trunkline::sandbox::world::weather::Kind;

use super::{ANN, BOB, ann_and_bob, chat};
use crate::stage::{Stage, events, until};

const SEED: i64 = 11;

fn every_kind() -> i64 {
    i64::try_from(Kind::ALL.len()).expect("few")
}

#[tokio::test(flavor = "multi_thread")]
async fn weather_comes_in_every_kind_and_its_counted_part_stands_in_the_difference() {
    let (_stage, world, mut ann, ann_id, bob) = ann_and_bob().await;
    chat(&world, NewChatKind::Supergroup, bob, ann_id);
    chat(&world, NewChatKind::Group, bob, ann_id);
    world.say(ann_id, bob, "hello").expect("posted");
    let before = ann.state().await;
    world.weather(SEED, 3 * every_kind());
    let mut kinds = BTreeSet::new();
    for update in ann.pushed().await {
        kinds.insert(update.to_bytes()[..4].to_vec());
    }
    assert!(kinds.len() >= 50, "only {} kinds", kinds.len());
    let after = ann.state().await;
    assert_eq!((after.pts, after.qts), (before.pts + 9, before.qts + 3));

    let request = f::updates::GetDifference {
        pts: before.pts,
        pts_limit: None,
        pts_total_limit: None,
        date: before.date,
        qts: before.qts,
        qts_limit: None,
    };
    let enums::updates::Difference::Difference(found) = ann.ask(&request).await else {
        panic!("news")
    };
    assert!(found.new_messages.is_empty());
    assert_eq!(found.new_encrypted_messages.len(), 3);
    let counted = found.other_updates.iter().filter(|update| {
        matches!(
            update,
            enums::Update::ReadMessagesContents(_)
                | enums::Update::WebPage(_)
                | enums::Update::FolderPeers(_)
        )
    });
    assert_eq!(counted.count(), 9);
}

/// What a journal says, without the numbers that differ from run to run.
fn journal(daemon: &Daemon) -> Vec<String> {
    let told = events(daemon).into_iter().filter_map(|event| match event.body {
        EventBody::SessionState { .. } => None,
        EventBody::MessageNew(message) => {
            Some(format!("new {:?} {} {}", message.chat, message.id, message.text))
        }
        EventBody::MessageEdited(message) => Some(format!(
            "edited {:?} {} {}",
            message.chat, message.id, message.text
        )),
        other => Some(format!("{other:?}")),
    });
    told.collect()
}

/// A small story, with something between its parts.
async fn story(between: impl Fn(&trunkline::sandbox::World)) -> Vec<String> {
    let stage = Stage::new().await;
    let (ann, bob) = (stage.user(ANN, "Ann"), stage.user(BOB, "Bob"));
    let world = stage.handle();
    let place = chat(&world, NewChatKind::Supergroup, bob, ann);
    let group = chat(&world, NewChatKind::Group, bob, ann);
    let daemon = stage.daemon().await;
    stage.log_in(&daemon, ANN).await;
    let heard = |text: &'static str| {
        let daemon = &daemon;
        async move {
            until(text, || journal(daemon).iter().any(|line| line.ends_with(text))).await;
        }
    };
    for (chat, text) in [(ann, "one"), (place, "two"), (group, "three")] {
        between(&world);
        world.say(chat, bob, text).expect("posted");
        heard(text).await;
    }
    between(&world);
    let said = world.messages(place, None, 0, 10, false).expect("a list");
    let last = said.last().expect("a message").id;
    world
        .edit(place, last, bob, "two, again", vec![])
        .expect("edited");
    heard("two, again").await;
    world.delete(place, last, bob).expect("deleted");
    // What comes together is told in an order of its own: new messages first.
    until("the deletion is told", || {
        journal(&daemon)
            .iter()
            .any(|line| line.starts_with("MessageDeleted"))
    })
    .await;
    between(&world);
    world.say(place, bob, "four").expect("posted");
    heard("four").await;
    let told = journal(&daemon);
    daemon.stop(Duration::from_secs(5)).await;
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn weather_changes_nothing_in_a_journal() {
    let calm = story(|_| {}).await;
    let rough = story(|world| world.weather(SEED, every_kind())).await;
    assert_eq!(rough, calm);
}
