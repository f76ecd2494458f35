//! Parts of an album, which are told apart; and the daemon, which copies them as one, or each once.

use std::time::Duration;

use grammers_tl_types::{enums, functions as f};
use trunkline::app::Daemon;
use trunkline::base::{Owner, SessionId, Span};
use trunkline::sandbox::World;
use trunkline::sandbox::acts::{NewChatKind, NewFile, NewMessage, NewPart};
use trunkline::sandbox::view::MessageView;

use super::{ANN, BOB, ann_and_bob, chat};
use crate::sandbox_world::client::get_difference;
use crate::stage::{Stage, until};

/// What the daemon waits for a further part if nothing else is set.
const WINDOW: Duration = Duration::from_millis(2500);

fn photo(seed: usize) -> Option<NewFile> {
    Some(NewFile {
        generate: Some(seed as u64),
        width: Some(16),
        height: Some(16),
        ..NewFile::default()
    })
}

fn album(from: i64, parts: usize) -> NewMessage {
    let part = |seed| NewPart {
        photo: photo(seed),
        text: format!("part {seed}"),
        ..NewPart::default()
    };
    NewMessage {
        album: (0..parts).map(part).collect(),
        ..NewMessage::text(from, "")
    }
}

/// The texts of new messages in a container.
fn texts(container: enums::Updates) -> Option<Vec<String>> {
    let enums::Updates::Updates(container) = container else {
        return None;
    };
    let text = |update| match update {
        enums::Update::NewMessage(new) => Some(new.message),
        enums::Update::NewChannelMessage(new) => Some(new.message),
        _ => None,
    };
    let texts = container.updates.into_iter().filter_map(text);
    let texts = texts.filter_map(|message| match message {
        enums::Message::Message(message) => Some(message.message),
        _ => None,
    });
    Some(texts.collect::<Vec<_>>()).filter(|texts| !texts.is_empty())
}

#[tokio::test(flavor = "multi_thread")]
async fn albums_apart_come_part_by_part_with_others_between() {
    let (stage, world, mut ann, ann_id, bob) = ann_and_bob().await;
    let place = chat(&world, NewChatKind::Supergroup, bob, ann_id);
    ann.pushed().await;
    stage.world.world(|state| state.settings.album_gap = 1000);
    let posted = std::time::Instant::now();
    world.post(place, album(bob, 10)).expect("posted");
    world.say(place, ann_id, "meanwhile").expect("said");
    let mut heard = Vec::new();
    while heard.iter().map(Vec::len).sum::<usize>() < 11 {
        heard.push(ann.hear_container(texts).await);
    }
    let parts = |texts: &Vec<String>| texts.iter().filter(|text| text.starts_with("part")).count();
    assert!(heard.iter().all(|texts| parts(texts) <= 1), "{heard:?}");
    let meanwhile = heard
        .iter()
        .position(|texts| texts.iter().any(|text| text == "meanwhile"));
    assert!(meanwhile.is_some_and(|at| at < 9), "{heard:?}");
    assert!(
        posted.elapsed() > Duration::from_millis(250),
        "one of them comes late"
    );

    stage.world.world(|state| state.switches.albums_apart.turn(false));
    world.post(place, album(bob, 10)).expect("posted");
    let heard = ann.hear_container(texts).await;
    assert_eq!(heard.len(), 10, "all at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn albums_apart_stand_on_both_sides_of_the_end_of_a_part_of_a_difference() {
    let (stage, world, mut ann, ann_id, bob) = ann_and_bob().await;
    let before = ann.state().await;
    world.post(ann_id, album(bob, 10)).expect("posted");
    let (mut pts, mut sizes) = (before.pts, Vec::new());
    let all = |pts: i32| f::updates::GetDifference {
        date: before.date,
        ..get_difference(pts)
    };
    loop {
        match ann.ask(&all(pts)).await {
            enums::updates::Difference::Slice(slice) => {
                let enums::updates::State::State(state) = slice.intermediate_state;
                assert!(state.pts > pts);
                pts = state.pts;
                sizes.push(slice.new_messages.len());
            }
            enums::updates::Difference::Difference(found) => {
                sizes.push(found.new_messages.len());
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(sizes.len() > 1 && sizes.iter().sum::<usize>() == 10, "{sizes:?}");
    stage.world.world(|state| state.switches.albums_apart.turn(false));
    let enums::updates::Difference::Difference(found) = ann.ask(&all(before.pts)).await else {
        panic!("all at once")
    };
    assert_eq!(found.new_messages.len(), 10);
}

/// A daemon that waits for parts as long as it does by itself, with Ann's account and a pair.
struct Pair {
    stage: Stage,
    world: World,
    bob: i64,
    source: i64,
    copies: i64,
}

impl Pair {
    async fn new() -> (Self, Daemon) {
        let stage = Stage::new().await;
        let (ann, bob) = (stage.user(ANN, "Ann"), stage.user(BOB, "Bob"));
        let world = stage.handle();
        let source = chat(&world, NewChatKind::Supergroup, bob, ann);
        let copies = chat(&world, NewChatKind::Channel, ann, bob);
        stage.world.world(|state| state.settings.album_gap = 2000);
        let pair = Self {
            stage,
            world,
            bob,
            source,
            copies,
        };
        let daemon = pair.daemon().await;
        let session = pair.stage.log_in(&daemon, ANN).await;
        pair.make(&daemon, session).await;
        (pair, daemon)
    }

    async fn daemon(&self) -> Daemon {
        let patient =
            |config: &mut trunkline::config::Config| config.forward.album_window = Span::from(WINDOW);
        self.stage.daemon_with(patient).await
    }

    async fn make(&self, daemon: &Daemon, session: SessionId) {
        let place = |chat: i64| serde_json::json!({"session": session.to_string(), "chat": chat});
        let new = serde_json::json!({"source": place(self.source), "destination": place(self.copies)});
        let new = serde_json::from_value(new).expect("a pair");
        let made = daemon.handles.pairs.create(new, Owner::admin()).await;
        made.expect("made");
    }

    /// Posts a part of album 77 alone.
    fn part(&self, seed: usize) {
        let part = NewMessage {
            photo: photo(seed),
            part_of: Some(77),
            ..NewMessage::text(self.bob, &format!("part {seed}"))
        };
        self.world.post(self.source, part).expect("posted");
    }

    fn copies(&self) -> Vec<MessageView> {
        let all = self
            .world
            .messages(self.copies, None, 0, 100, false)
            .expect("there");
        all.into_iter().filter(|it| it.service.is_none()).collect()
    }

    async fn copied(&self, count: usize) -> Vec<MessageView> {
        until("all is copied", || self.copies().len() >= count).await;
        self.copies()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn albums_apart_are_copied_as_one() {
    assert_eq!(*trunkline::forward::ForwardConfig::default().album_window, WINDOW);
    let (pair, daemon) = Pair::new().await;
    pair.part(1);
    pair.world.say(pair.source, pair.bob, "between").expect("said");
    tokio::time::sleep(Duration::from_millis(1900)).await;
    pair.part(2);
    tokio::time::sleep(Duration::from_millis(1900)).await;
    pair.part(3);
    let copies = pair.copied(4).await;
    let parts: Vec<_> = copies.iter().filter(|copy| copy.text != "between").collect();
    let texts: Vec<_> = parts.iter().map(|copy| copy.text.as_str()).collect();
    assert_eq!(texts, ["part 1", "part 2", "part 3"]);
    let album = &parts[0].album;
    assert!(
        album.is_some() && parts.iter().all(|copy| &copy.album == album),
        "{copies:?}"
    );
    daemon.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn albums_apart_are_copied_once_over_a_restart() {
    let (pair, daemon) = Pair::new().await;
    pair.part(1);
    pair.part(2);
    tokio::time::sleep(Duration::from_millis(700)).await;
    daemon.stop(Duration::from_secs(5)).await;
    pair.part(3);
    pair.part(4);
    let daemon = pair.daemon().await;
    pair.copied(4).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut texts: Vec<_> = pair.copies().into_iter().map(|copy| copy.text).collect();
    texts.sort();
    assert_eq!(texts, ["part 1", "part 2", "part 3", "part 4"]);
    daemon.stop(Duration::from_secs(5)).await;
}
