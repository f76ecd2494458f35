//! What Telegram leaves out of a difference that is too long: chats whose history cannot be read for now.

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

    /// Bob posts.
    fn post(&self, text: &str) {
        let posted = self
            .stage
            .world
            .world(|world| world.post(self.bob, self.channel, Draft::text(text)));
        posted.expect("posted");
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
    let before = asked();
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let times = asked() - before;
    assert!(
        (1..=8).contains(&times),
        "now and then, twice a check: {times} times"
    );
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
