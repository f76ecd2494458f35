//! What Telegram leaves out of a difference that is too long: chats whose history cannot be read for now, and edits of
//! what stands below the hole.

use std::time::Duration;

use serde_json::json;
use trunkline::app::Daemon;
use trunkline::base::Span;
use trunkline::model::{EventBody, SessionState};
use trunkline::sandbox::world::Peer;
use trunkline::sandbox::world::posting::Draft;

use crate::stage::{Stage, events, received, state, until};

const PHONE: &str = "+989120000001";
const PATIENCE: Duration = Duration::from_secs(5);

/// Ann, and Bob who posts in a channel that she is in.
struct Scene {
    stage: Stage,
    ann: i64,
    bob: i64,
    channel: Peer,
}

impl Scene {
    async fn new() -> Self {
        let stage = Stage::new().await;
        let (ann, bob) = (stage.user(PHONE, "Ann"), stage.user("+989120000002", "Bob"));
        let channel = stage
            .world
            .world(|world| world.add_channel(None, bob, "News", true, &[ann]).expect("made"));
        Self {
            stage,
            ann,
            bob,
            channel: Peer::Channel(channel),
        }
    }

    /// Bob posts; the number of the post.
    fn post(&self, text: &str) -> i32 {
        self.stage.world.world(|world| {
            let uid = world
                .post(self.bob, self.channel, Draft::text(text))
                .expect("posted");
            world.contents[&uid].number_for(self.bob).expect("a number")
        })
    }

    fn edit(&self, post: i32, text: &str) {
        let chat = self.channel.bot_api();
        let edited = self.stage.handle().edit(chat, post, self.bob, text, Vec::new());
        edited.expect("edited");
    }

    fn fault(&self, fault: serde_json::Value) -> u64 {
        let fault = serde_json::from_value(fault).expect("a fault");
        self.stage.handle().fault(fault).expect("set").id
    }

    /// The next difference of the channel is too long.
    fn leave_out(&self) {
        self.fault(json!({
            "kind": "too_long", "method": "updates.getChannelDifference", "account": self.ann, "times": 1,
        }));
    }
}

fn unreadable(daemon: &Daemon) -> usize {
    let told = |body: &EventBody| matches!(body, EventBody::SessionGap { reason, .. } if reason == "HISTORY_UNREADABLE");
    let events = events(daemon);
    events.iter().filter(|event| told(&event.body)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_left_out_of_a_chat_that_cannot_be_read_is_read_once_it_can_be() {
    let scene = Scene::new().await;
    let daemon = scene.stage.daemon().await;
    let session = scene.stage.log_in(&daemon, PHONE).await;
    scene.post("one");
    until("it is told", || received(&daemon) == ["one"]).await;
    daemon.stop(PATIENCE).await;

    scene.post("two");
    scene.post("three");
    scene.leave_out();
    let private = scene.fault(json!({
        "kind": "error", "code": 400, "name": "CHANNEL_PRIVATE", "method": "messages.getHistory",
        "account": scene.ann, "chat": scene.channel.bot_api(), "times": 0,
    }));
    let often = |config: &mut trunkline::config::Config| config.telegram.gap_check = Span::secs(1);
    let daemon = scene.stage.daemon_with(often).await;
    until("it is told that it cannot be read", || unreadable(&daemon) > 0).await;
    until("nothing else is waited for", || {
        state(&daemon, session) == SessionState::Connected
    })
    .await;
    let world = scene.stage.handle();
    let asked = || {
        world
            .requests(Some(scene.ann), Some("messages.getHistory"), 1000)
            .len()
    };
    let (before, begun) = (asked(), std::time::Instant::now());
    until("it is tried again", || asked() >= before + 2).await;
    let times = asked() - before;
    // A check is a second away from the next, and asks twice at most.
    let most = 2 * (begun.elapsed().as_secs_f64().ceil() as usize + 1);
    assert!(times <= most, "now and then: {times} times");
    assert_eq!(
        (unreadable(&daemon), state(&daemon, session)),
        (1, SessionState::Connected)
    );
    world.clear_faults(Some(private));
    until("all of it is told", || received(&daemon).len() == 3).await;
    assert_eq!(received(&daemon), ["one", "two", "three"]);
    let settled = asked();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(asked(), settled, "the mark is gone");
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_below_a_hole_are_told_only_if_they_are_newer_than_it() {
    let scene = Scene::new().await;
    let second = || tokio::time::sleep(Duration::from_millis(1100));
    let (old, older) = (scene.post("old"), scene.post("older"));
    scene.edit(old, "old, edited");
    scene.edit(older, "older, edited");
    second().await;
    let daemon = scene.stage.daemon().await;
    scene.stage.log_in(&daemon, PHONE).await;
    let one = scene.post("one");
    until("it is told", || received(&daemon) == ["one"]).await;
    daemon.stop(PATIENCE).await;

    second().await;
    scene.edit(one, "one, edited");
    scene.edit(older, "older, edited again");
    scene.post("two");
    scene.leave_out();
    let daemon = scene.stage.daemon().await;
    until("what was left out is told", || {
        received(&daemon) == ["one", "two"]
    })
    .await;
    scene.post("three");
    until("and what comes next", || received(&daemon).len() == 3).await;
    let edit = |event: trunkline::model::Event| match event.body {
        EventBody::MessageEdited(message) => Some(message.text),
        _ => None,
    };
    let edits: Vec<String> = events(&daemon).into_iter().filter_map(edit).collect();
    assert_eq!(edits, ["older, edited again", "one, edited"]);
    daemon.stop(PATIENCE).await;
}
