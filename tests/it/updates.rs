//! What becomes of updates when Telegram is difficult: refusals, waits, differences of every form.

use std::time::Duration;

use trunkline::app::Daemon;
use trunkline::base::{SessionId, Span, Timestamp};
use trunkline::config::Config;
use trunkline::limiter::{Cause, CostClass};
use trunkline::model::{EventBody, SessionState};
use trunkline::sandbox::faults::{Fault, Kind};
use trunkline::sandbox::world::changing::Change;
use trunkline::sandbox::world::posting::Draft;
use trunkline::sandbox::world::weather::Secret;
use trunkline::sandbox::world::{Passing, Peer};

use crate::stage::{Stage, events, received, state, until, view};

const PHONE: &str = "+989120000001";

/// Ann, and Bob who posts in two channels that she is in.
struct Channels {
    stage: Stage,
    daemon: Daemon,
    session: SessionId,
    ann: i64,
    bob: i64,
    channels: [i64; 2],
}

impl Channels {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let stage = Stage::new().await;
        let (ann, bob) = (stage.user(PHONE, "Ann"), stage.user("+989120000002", "Bob"));
        let channels = stage.world.world(|world| {
            ["One", "Two"].map(|title| world.add_channel(None, bob, title, true, &[ann]).expect("made"))
        });
        let daemon = stage.daemon_with(change).await;
        let session = stage.log_in(&daemon, PHONE).await;
        let it = Self {
            stage,
            daemon,
            session,
            ann,
            bob,
            channels,
        };
        // The chats are read after the login and compared soon after it; the next time is minutes away.
        until("the chats were compared", || it.calls("messages.getDialogs") >= 2).await;
        it
    }

    /// Bob posts in a channel; the number of the post.
    fn post(&self, channel: usize, text: &str) -> i32 {
        let peer = Peer::Channel(self.channels[channel]);
        self.stage.world.world(|world| {
            let uid = world.post(self.bob, peer, Draft::text(text)).expect("posted");
            world.contents[&uid].number_for(self.bob).expect("a number")
        })
    }

    fn chat(&self, channel: usize) -> i64 {
        Peer::Channel(self.channels[channel]).bot_api()
    }

    fn fault(&self, kind: Kind, method: &str, chat: Option<i64>) -> u64 {
        let fault = serde_json::json!({
            "method": method, "account": self.ann, "chat": chat, "times": 0, "kind": "gap",
        });
        let mut fault: Fault = serde_json::from_value(fault).expect("a fault");
        fault.kind = kind;
        self.stage.handle().fault(fault).expect("set").id
    }

    /// A push of the channel is lost, so that the next one shows a gap.
    fn lose_a_push(&self, channel: usize, text: &str) {
        let fault = serde_json::json!({"kind": "gap", "account": self.ann, "chat": self.chat(channel)});
        let fault = serde_json::from_value(fault).expect("a fault");
        self.stage.handle().fault(fault).expect("set");
        self.post(channel, text);
    }

    fn calls(&self, method: &str) -> usize {
        self.stage
            .handle()
            .requests(Some(self.ann), Some(method), 1000)
            .len()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_refuses_ends_alone_and_tells_all_later() {
    for (code, name) in [
        (403, "CHANNEL_PUBLIC_GROUP_NA"),
        (400, "USER_BANNED_IN_CHANNEL"),
        (406, "CHANNEL_PRIVATE"),
        (500, "HISTORY_GET_FAILED"),
        (400, "A_WORD_OF_TOMORROW"),
    ] {
        let it = Channels::new().await;
        let before = view(&it.daemon, it.session).health.reconnects;
        let name = name.to_owned();
        let refusal = Kind::Error {
            code,
            name: name.clone(),
        };
        let fault = it.fault(refusal, "updates.getChannelDifference", Some(it.chat(0)));
        it.lose_a_push(0, "lost");
        it.post(0, "waits");
        until("it was asked", || it.calls("updates.getChannelDifference") > 0).await;
        it.post(1, "elsewhere");
        until("the other channel goes on", || {
            received(&it.daemon) == ["elsewhere"]
        })
        .await;
        assert_eq!(state(&it.daemon, it.session), SessionState::Connected, "{name}");
        it.stage.handle().clear_faults(Some(fault));
        until("the channel is told to its end", || {
            received(&it.daemon).len() == 3
        })
        .await;
        assert_eq!(received(&it.daemon), ["elsewhere", "lost", "waits"], "{name}");
        assert_eq!(view(&it.daemon, it.session).health.reconnects, before, "{name}");
        assert!(
            it.calls("updates.getChannelDifference") <= 7,
            "{name}: asked too often"
        );
        let told = |event: &trunkline::model::Event| matches!(&event.body, EventBody::SessionGap { reason, .. } if *reason == name);
        let gaps = events(&it.daemon).iter().filter(|event| told(event)).count();
        assert_eq!(
            gaps,
            usize::from(code != 500),
            "{name}: what refuses is told, once"
        );
        it.daemon.stop(Duration::from_secs(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_accounts_own_difference_is_asked_again_on_the_same_connection() {
    let it = Channels::new().await;
    let before = view(&it.daemon, it.session).health.reconnects;
    let name = "RPC_CALL_FAIL".to_owned();
    let fault = it.fault(Kind::Error { code: 500, name }, "updates.getDifference", None);
    let asked = it.calls("updates.getDifference");
    let lost = serde_json::json!({"kind": "gap", "account": it.ann, "chat": it.bob});
    it.stage
        .handle()
        .fault(serde_json::from_value(lost).expect("a fault"))
        .expect("set");
    for text in ["lost", "waits"] {
        it.stage
            .world
            .world(|world| world.post(it.bob, Peer::User(it.ann), Draft::text(text)))
            .expect("posted");
    }
    until("it was refused twice", || {
        it.calls("updates.getDifference") >= asked + 2
    })
    .await;
    it.post(0, "elsewhere");
    until("channels go on", || received(&it.daemon) == ["elsewhere"]).await;
    it.stage.handle().clear_faults(Some(fault));
    until("everything is told", || received(&it.daemon).len() == 3).await;
    assert_eq!(received(&it.daemon), ["elsewhere", "lost", "waits"]);
    assert_eq!(view(&it.daemon, it.session).health.reconnects, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_for_one_difference_holds_up_no_other() {
    let it = Channels::new().await;
    let wait = Kind::FloodWait { seconds: 3 };
    let fault = it.fault(wait, "updates.getChannelDifference", Some(it.chat(0)));
    it.lose_a_push(0, "lost");
    it.post(0, "waits");
    until("it was asked", || it.calls("updates.getChannelDifference") == 1).await;
    it.stage.handle().clear_faults(Some(fault));
    it.lose_a_push(1, "lost too");
    it.post(1, "soon there");
    until("the other gap is filled", || {
        received(&it.daemon) == ["lost too", "soon there"]
    })
    .await;
    until("the wait was kept", || received(&it.daemon).len() == 4).await;
    assert_eq!(received(&it.daemon)[2..], ["lost", "waits"]);
    assert_eq!(it.calls("updates.getChannelDifference"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_for_what_was_missed_is_shown_and_outlasts_a_restart() {
    let it = Channels::new().await;
    let found = || view(&it.daemon, it.session).health.gaps_found;
    let before = found();
    let fault = it.fault(Kind::FloodWait { seconds: 14 }, "updates.getDifference", None);
    let lost = serde_json::json!({"kind": "gap", "account": it.ann, "chat": it.bob});
    let lost = serde_json::from_value(lost).expect("a fault");
    it.stage.handle().fault(lost).expect("set");
    for text in ["lost", "waits"] {
        it.stage
            .world
            .world(|world| world.post(it.bob, Peer::User(it.ann), Draft::text(text)))
            .expect("posted");
    }
    until("the session is behind", || {
        state(&it.daemon, it.session) == SessionState::CatchingUp
    })
    .await;
    let account = view(&it.daemon, it.session).account;
    assert_eq!(account.reason.as_deref(), Some("FLOOD_WAIT"));
    assert_eq!(found(), before + 1);
    let limits = it.daemon.handles.telegram.limits(it.session).await.expect("told");
    let listed = (limits.classes.iter())
        .find(|class| class.class == CostClass::Updates)
        .expect("listed");
    assert_eq!(listed.cause, Some(Cause::FloodWait));
    let over = listed.next.expect("it waits");
    it.stage.handle().clear_faults(Some(fault));
    let Channels {
        stage,
        daemon,
        session,
        ann,
        ..
    } = it;
    let calls = || {
        let asked = stage
            .handle()
            .requests(Some(ann), Some("updates.getDifference"), 1000);
        asked.len()
    };
    daemon.stop(Duration::from_secs(5)).await;
    let asked = calls();
    let daemon = stage.daemon().await;
    // The histories of the chats may be read meanwhile.
    until("it was told what it waited for", || received(&daemon).len() == 2).await;
    assert_eq!(received(&daemon), ["lost", "waits"]);
    until("the difference is asked for", || {
        let early = Timestamp::now() < over;
        let asked = calls() > asked;
        assert!(!(asked && early), "the wait was kept");
        asked
    })
    .await;
    until("the session has caught up", || {
        state(&daemon, session) == SessionState::Connected
    })
    .await;
    daemon.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_and_deletions_of_a_final_difference_are_told() {
    let it = Channels::new().await;
    let (edited, deleted) = (it.post(0, "before"), it.post(0, "goes"));
    until("both are there", || received(&it.daemon).len() == 2).await;
    it.daemon.stop(Duration::from_secs(5)).await;
    let handle = it.stage.handle();
    let chat = Peer::Channel(it.channels[0]).bot_api();
    handle
        .edit(chat, edited, it.bob, "after", Vec::new())
        .expect("edited");
    handle.delete(chat, deleted, it.bob).expect("deleted");
    let daemon = it.stage.daemon().await;
    let told = |what: fn(&EventBody) -> bool| events(&daemon).iter().any(|event| what(&event.body));
    until("the edit is told", || {
        told(|body| matches!(body, EventBody::MessageEdited(message) if message.text == "after"))
    })
    .await;
    until("the deletion is told", || {
        told(|body| matches!(body, EventBody::MessageDeleted { .. }))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_matters_is_polled_though_nothing_is_pushed() {
    let it = Channels::with(|config| {
        config.telegram.poll_pace = Span::millis(50);
        config.telegram.poll_rest = Span::millis(100);
    })
    .await;
    it.lose_a_push(0, "not pushed");
    let before = it.calls("updates.getChannelDifference");
    let listening = it.daemon.handles.telegram.listen(None);
    until("it was polled", || received(&it.daemon) == ["not pushed"]).await;
    assert!(it.calls("updates.getChannelDifference") > before);
    until("the lag is shown", || {
        view(&it.daemon, it.session).health.poll_lag.is_some()
    })
    .await;
    drop(listening);
    until("nobody listens", || {
        view(&it.daemon, it.session).health.poll_lag.is_none()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_without_a_state_that_is_lost_has_the_difference_asked_once() {
    let it = Channels::new().await;
    let tell = || {
        let channel = it.channels[0];
        it.stage
            .world
            .world(|world| world.mention(it.ann, Passing::Channel { channel }));
    };
    let patience = Duration::from_millis(800);
    let asked = it.calls("updates.getDifference");
    tell();
    tokio::time::sleep(patience).await;
    assert_eq!(it.calls("updates.getDifference"), asked, "it follows");
    let lost = serde_json::json!({"kind": "gap", "account": it.ann});
    let lost = serde_json::from_value(lost).expect("a fault");
    it.stage.handle().fault(lost).expect("set");
    tell();
    tell();
    until("the difference is asked", || {
        it.calls("updates.getDifference") > asked
    })
    .await;
    tell();
    tokio::time::sleep(patience).await;
    assert_eq!(it.calls("updates.getDifference"), asked + 1, "it follows again");
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_that_are_announced_or_late_are_told_whole_and_in_order() {
    let it = Channels::new().await;
    let mut said = [Vec::new(), Vec::new()];
    for n in 0..40 {
        for (channel, said) in said.iter_mut().enumerate() {
            let text = format!("{channel} {n}");
            it.post(channel, &text);
            said.push(text);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    until("all of it is told", || received(&it.daemon).len() == 80).await;
    let told = received(&it.daemon);
    for (channel, said) in said.iter().enumerate() {
        let mark = format!("{channel} ");
        let of_it: Vec<&String> = told.iter().filter(|text| text.starts_with(&mark)).collect();
        assert_eq!(of_it, said.iter().collect::<Vec<_>>());
    }
    assert!(
        it.calls("updates.getChannelDifference") > 0,
        "something was announced"
    );
    assert_eq!(state(&it.daemon, it.session), SessionState::Connected);
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_a_difference_that_move_the_date_or_secret_chats_alone_lead_on() {
    let it = Channels::new().await;
    it.daemon.stop(Duration::from_secs(5)).await;
    // So that the date of what was missed is a later one.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let long = "x".repeat(4000);
    it.stage.world.world(|world| {
        let date = world.date();
        let account = world.account_mut(it.ann).expect("Ann");
        account.qts += 1;
        account.secrets.push_back(Secret {
            qts: account.qts,
            date,
            random_id: 1,
        });
        let elsewhere = Peer::Channel(it.channels[0]);
        world
            .post(it.bob, elsewhere, Draft::text("elsewhere"))
            .expect("posted");
        // More than one part holds.
        for n in 0..300 {
            let text = format!("{n} {long}");
            world
                .post(it.bob, Peer::User(it.ann), Draft::text(&text))
                .expect("posted");
        }
    });
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let handle = it.stage.handle();
    let calls = || {
        handle
            .requests(Some(it.ann), Some("updates.getDifference"), 1000)
            .len()
    };
    let asked = calls();
    let daemon = it.stage.daemon().await;
    until("all of it is told", || received(&daemon).len() == 301).await;
    let told = received(&daemon).into_iter().filter(|text| text != "elsewhere");
    let numbers: Vec<String> = told
        .filter_map(|text| text.split(' ').next().map(str::to_owned))
        .collect();
    assert_eq!(numbers, (0..300).map(|n| n.to_string()).collect::<Vec<_>>());
    let calls = calls() - asked;
    assert!((4..=8).contains(&calls), "asked {calls} times");
    daemon.stop(Duration::from_secs(5)).await;
}

impl Channels {
    /// A gap of the first channel that no difference tells: from here on its history is being read, for so long.
    async fn gap(&self, milliseconds: u64) {
        for fault in [
            serde_json::json!({"kind": "too_long", "account": self.ann, "method": "updates.getChannelDifference", "chat": self.chat(0)}),
            serde_json::json!({"kind": "delay", "milliseconds": milliseconds, "account": self.ann, "method": "messages.getHistory"}),
        ] {
            let fault = serde_json::from_value(fault).expect("a fault");
            self.stage.handle().fault(fault).expect("set");
        }
        self.lose_a_push(0, "lost");
        self.post(0, "shows it");
        let asked = || self.stage.handle().faults().iter().all(|fault| fault.acted > 0);
        until("the history is asked for", asked).await;
    }

    fn delete(&self, posts: &[i32]) {
        let deleted = self
            .stage
            .world
            .world(|world| world.delete_in_channel(self.bob, self.channels[0], posts));
        deleted.expect("deleted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_left_out_is_told_before_what_follows_it() {
    let it = Channels::new().await;
    it.gap(2000).await;
    let edited = it.post(0, "as it was");
    let deleted = it.post(0, "gone");
    it.post(0, "last");
    let channel = Peer::Channel(it.channels[0]);
    it.stage.world.world(|world| {
        let change = Change {
            text: Some(("as it is".to_owned(), Vec::new())),
            ..Change::default()
        };
        world.edit(it.bob, channel, edited, change).expect("edited");
    });
    it.delete(&[deleted]);
    it.post(1, "aside");
    until("another channel is told", || received(&it.daemon) == ["aside"]).await;
    until("all is told", || received(&it.daemon).len() == 5).await;
    let told = received(&it.daemon);
    assert_eq!(told, ["aside", "lost", "shows it", "as it is", "last"]);
    it.daemon.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_gap_outlasts_a_restart_and_many_are_told_in_portions() {
    let it = Channels::new().await;
    it.gap(60_000).await;
    let mut said = vec!["lost".to_owned(), "shows it".to_owned()];
    for n in 0..450 {
        let text = format!("number {n}");
        it.post(0, &text);
        said.push(text);
    }
    it.post(1, "aside");
    until("all of it was heard of", || received(&it.daemon) == ["aside"]).await;
    it.daemon.stop(Duration::from_secs(5)).await;
    it.stage.handle().clear_faults(None);
    let daemon = it.stage.daemon().await;
    until("all is told", || received(&daemon).len() == said.len() + 1).await;
    assert_eq!(received(&daemon)[1..], said);
    daemon.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_what_was_deleted_while_it_waited() {
    let it = Channels::new().await;
    it.gap(2000).await;
    let posts: Vec<i32> = (0..3).map(|_| it.post(0, "gone")).collect();
    it.post(1, "aside");
    until("it was heard of", || received(&it.daemon) == ["aside"]).await;
    it.delete(&posts);
    until("what was left out is told", || received(&it.daemon).len() == 3).await;
    it.post(0, "next");
    until("what follows is told", || received(&it.daemon).len() == 4).await;
    assert_eq!(received(&it.daemon), ["aside", "lost", "shows it", "next"]);
    it.daemon.stop(Duration::from_secs(5)).await;
}
