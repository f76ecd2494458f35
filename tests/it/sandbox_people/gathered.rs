//! What a login hears within a moment comes together, and what has no state of its own is numbered.

use grammers_tl_types::enums;
use trunkline::sandbox::World;
use trunkline::sandbox::acts::NewChatKind;

use super::login::Login;
use super::{ANN, ann_and_bob, bare, chat};

/// A container with its first and last number.
fn numbered(container: enums::Updates) -> Option<(i32, i32, Vec<enums::Update>)> {
    match container {
        enums::Updates::Updates(it) => Some((it.seq, it.seq, it.updates)),
        enums::Updates::Combined(it) => Some((it.seq_start, it.seq, it.updates)),
        _ => None,
    }
}

/// The next container that has numbers.
async fn next_numbers(login: &mut Login) -> (i32, i32) {
    let known = |container| numbered(container).filter(|(_, seq, _)| *seq != 0);
    let (first, last, _) = login.hear_container(known).await;
    (first, last)
}

fn fault(world: &World, account: i64, kind: &str) {
    let fault = serde_json::json!({"kind": kind, "account": account});
    world
        .fault(serde_json::from_value(fault).expect("a fault"))
        .expect("set");
}

/// Has Ann told something without a state of its own.
fn mention(world: &World, group: i64, protected: bool) {
    world.protect(group, protected).expect("told");
}

#[tokio::test(flavor = "multi_thread")]
async fn gathered_updates_of_a_migration_come_in_one_numbered_container() {
    let (_stage, world, mut ann, ann_id, bob) = ann_and_bob().await;
    let group = chat(&world, NewChatKind::Group, bob, ann_id);
    ann.pushed().await;
    let before = ann.state().await;
    let id = bare(world.migrate(group).expect("migrated"));
    let migrated = ann.hear_container(|container| {
        let (first, last, updates) = numbered(container)?;
        let opens = |update: &enums::Update| matches!(update, enums::Update::ReadChannelInbox(it) if it.channel_id == id);
        updates.iter().any(opens).then_some((first, last, updates))
    });
    let (first, last, updates) = migrated.await;
    let kinds: Vec<(&str, i32, i32)> = updates
        .iter()
        .map(|update| match update {
            enums::Update::NewMessage(it) => ("message", it.pts - before.pts, it.pts_count),
            enums::Update::Chat(_) => ("chat", 0, 0),
            enums::Update::Channel(_) => ("channel", 0, 0),
            enums::Update::ReadChannelInbox(it) => ("read", it.pts, 0),
            enums::Update::NewChannelMessage(it) => ("post", it.pts, it.pts_count),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        kinds,
        [
            ("message", 1, 1),
            ("chat", 0, 0),
            ("channel", 0, 0),
            ("read", 1, 0),
            ("post", 2, 1)
        ]
    );
    assert_eq!((first, last), (before.seq + 1, before.seq + 2));
    assert_eq!(ann.state().await.seq, last);
}

#[tokio::test(flavor = "multi_thread")]
async fn gathered_updates_tell_a_read_mark_before_its_message_and_have_no_number() {
    let (stage, world, _ann, ann_id, bob) = ann_and_bob().await;
    let channel = chat(&world, NewChatKind::Supergroup, ann_id, bob);
    let mut other = Login::new(&stage, ANN).await;
    world.say(channel, bob, "unread").expect("posted");
    other.pushed().await;
    world.say(channel, ann_id, "answered").expect("posted");
    let (_, seq, updates) = other.hear_container(numbered).await;
    let [
        enums::Update::ReadChannelInbox(read),
        enums::Update::NewChannelMessage(new),
    ] = updates.as_slice()
    else {
        panic!("{updates:?}")
    };
    assert_eq!((read.pts, new.pts_count, seq), (new.pts, 1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn gathered_updates_without_the_switch_come_one_by_one_and_have_no_numbers() {
    let (_stage, world, mut ann, ann_id, bob) = ann_and_bob().await;
    let off = [("gathered".to_owned(), false)].into();
    world.turn(&off).expect("known");
    let group = chat(&world, NewChatKind::Group, bob, ann_id);
    world.migrate(group).expect("migrated");
    for _ in 0..5 {
        let (_, seq, updates) = ann.hear_container(numbered).await;
        assert_eq!((seq, updates.len()), (0, 1));
    }
    assert_eq!(ann.state().await.seq, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn gathered_updates_that_are_lost_doubled_or_swapped_keep_their_numbers() {
    let (_stage, world, mut ann, ann_id, bob) = ann_and_bob().await;
    let group = chat(&world, NewChatKind::Group, bob, ann_id);
    ann.pushed().await;
    let seq = ann.state().await.seq;
    mention(&world, group, true);
    assert_eq!(next_numbers(&mut ann).await, (seq + 1, seq + 1));
    fault(&world, ann_id, "gap");
    mention(&world, group, false);
    mention(&world, group, true);
    assert_eq!(next_numbers(&mut ann).await, (seq + 3, seq + 3), "one was lost");
    fault(&world, ann_id, "duplicate");
    mention(&world, group, false);
    assert_eq!(next_numbers(&mut ann).await, (seq + 4, seq + 4));
    assert_eq!(next_numbers(&mut ann).await, (seq + 4, seq + 4), "twice");
    fault(&world, ann_id, "reorder");
    mention(&world, group, true);
    mention(&world, group, false);
    assert_eq!(next_numbers(&mut ann).await, (seq + 6, seq + 6));
    assert_eq!(next_numbers(&mut ann).await, (seq + 5, seq + 5), "late");
    assert_eq!(ann.state().await.seq, seq + 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn gathered_updates_are_numbered_login_by_login() {
    let (stage, world, mut ann, ann_id, bob) = ann_and_bob().await;
    let group = chat(&world, NewChatKind::Group, bob, ann_id);
    mention(&world, group, true);
    ann.pushed().await;
    let mut other = Login::new(&stage, ANN).await;
    assert_eq!(other.state().await.seq, 0);
    assert!(ann.state().await.seq > 0);
    // Logging in is told to the first one; what follows is told to both.
    ann.pushed().await;
    let seq = ann.state().await.seq;
    mention(&world, group, false);
    assert_eq!(next_numbers(&mut other).await, (1, 1));
    assert_eq!(next_numbers(&mut ann).await, (seq + 1, seq + 1));
}
