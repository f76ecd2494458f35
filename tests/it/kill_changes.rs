//! The real binary, killed without warning while albums, edits and deletions are among the messages: the
//! destination ends up as the source is, in the same order.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use trunkline::base::Owner;
use trunkline::sandbox::World;
use trunkline::sandbox::acts::{NewChat, NewChatKind, NewFile, NewMessage, NewPart};

use crate::stage::Stage;

const MESSAGES: usize = 200;
const KILLS: usize = 8;
const PHONE: &str = "+989120000001";
/// How long the last daemon may take to make up for everything.
const PATIENCE: Duration = Duration::from_secs(90);

/// A daemon in a process of its own; killed when dropped.
struct Process(Child);

impl Process {
    fn start(stage: &Stage) -> Self {
        let (config, data) = stage.files();
        let child = Command::new(env!("CARGO_BIN_EXE_trunkline"))
            .arg("--data-dir")
            .arg(data)
            .arg("run")
            .arg("--config")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        Self(child)
    }
}

impl Drop for Process {
    /// SIGKILL: it learns nothing of its end.
    fn drop(&mut self) {
        let ended = self.0.try_wait().expect("asked");
        assert!(ended.is_none(), "it ended by itself: {ended:?}");
        self.0.kill().expect("killed");
        self.0.wait().expect("gone");
    }
}

fn channel(world: &World, title: &str, creator: i64, member: i64) -> i64 {
    let new = NewChat {
        kind: NewChatKind::Channel,
        id: None,
        title: title.to_owned(),
        about: String::new(),
        username: None,
        creator: creator.into(),
        members: vec![member.into()],
        admins: Vec::new(),
        slow_mode: 0,
        protected: false,
    };
    world.add_chat(new).expect("made")
}

/// What a channel shows: texts, with the albums they stand in.
fn shown(world: &World, chat: i64) -> Vec<String> {
    let messages = world.messages(chat, None, 0, 100_000, false).expect("there");
    let said = messages.into_iter().filter(|message| message.service.is_none());
    said.map(|message| message.text).collect()
}

/// Posts the next message: mostly texts, at times an album; some are edited or deleted at once.
fn speak(world: &World, chat: i64, bob: i64, number: usize) {
    let text = format!("message {number}");
    if number % 50 == 25 {
        let part = |part: u64| NewPart {
            text: format!("{text}, part {part}"),
            photo: Some(NewFile {
                generate: Some(part),
                ..NewFile::default()
            }),
            ..NewPart::default()
        };
        let album = NewMessage {
            album: (0..3).map(part).collect(),
            ..NewMessage::text(bob, "")
        };
        world.post(chat, album).expect("posted");
        return;
    }
    let id = world.say(chat, bob, &text).expect("posted");
    if number % 20 == 7 {
        let better = format!("{text}, better");
        world.edit(chat, id, bob, &better, Vec::new()).expect("edited");
    } else if number % 40 == 13 {
        world.delete(chat, id, bob).expect("deleted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn albums_edits_and_deletions_survive_kills() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let stage = Stage::new().await;
    let ann = stage.user(PHONE, "Ann");
    let bob = stage.user("+989120000002", "Bob");
    let world = World::new(stage.world.clone());
    let source = channel(&world, "Source", bob, ann);
    let copies = channel(&world, "Copies", ann, bob);
    let daemon = stage.daemon().await;
    let session = stage.log_in(&daemon, PHONE).await;
    let new = format!(
        r#"{{"source":{{"session":"{session}","chat":{source}}},"destination":{{"session":"{session}","chat":{copies}}}}}"#
    );
    let new = serde_json::from_str(&new).expect("a pair");
    daemon
        .handles
        .pairs
        .create(new, Owner::admin())
        .await
        .expect("made");
    daemon.stop(Duration::from_secs(5)).await;

    let mut process = Process::start(&stage);
    let (mut kills, mut at_work, mut copied_before) = (0, 0, 0);
    for number in 0..MESSAGES {
        speak(&world, source, bob, number);
        tokio::time::sleep(Duration::from_millis(rng.random_range(20..60))).await;
        if number % (MESSAGES / KILLS) == MESSAGES / KILLS - 1 {
            drop(process);
            kills += 1;
            let copied = shown(&world, copies).len();
            at_work += usize::from(copied > copied_before);
            copied_before = copied;
            process = Process::start(&stage);
        }
    }
    assert_eq!(kills, KILLS);
    println!("{at_work} of {KILLS} kills came while it was forwarding");
    assert!(
        at_work >= KILLS / 4,
        "killed too early to tell anything: {at_work}"
    );

    let began = std::time::Instant::now();
    loop {
        let (said, copied) = (shown(&world, source), shown(&world, copies));
        if said == copied {
            break;
        }
        if began.elapsed() > PATIENCE {
            let lost: Vec<_> = said.iter().filter(|text| !copied.contains(text)).collect();
            let more: Vec<_> = copied.iter().filter(|text| !said.contains(text)).collect();
            panic!(
                "seed {seed}: {} said, {} copied; lost {lost:?}; too much {more:?}",
                said.len(),
                copied.len()
            );
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Nothing more comes after that.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(shown(&world, source), shown(&world, copies));
    drop(process);
}
