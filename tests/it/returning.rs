//! An account that comes back: what came to it between two logins arrives, once and in order.

use std::time::Duration;

use trunkline::app::Daemon;
use trunkline::base::{Code, Coded, SessionId};
use trunkline::model::{EventBody, SessionState};
use trunkline::ops::audit::Initiator;
use trunkline::sandbox::World;
use trunkline::sandbox::world::Peer;
use trunkline::sandbox::world::posting::Draft;

use crate::stage::{Stage, events, received, state, until, view};

const PHONE: &str = "+989120000001";
const PATIENCE: Duration = Duration::from_secs(5);

/// Ann, and Bob who writes to her in private, in a basic group and in a supergroup.
struct Friends {
    stage: Stage,
    ann: i64,
    bob: i64,
    chats: [Peer; 3],
}

impl Friends {
    async fn new() -> Self {
        let stage = Stage::new().await;
        let (ann, bob) = (stage.user(PHONE, "Ann"), stage.user("+989120000002", "Bob"));
        let (group, channel) = stage.world.world(|world| {
            let group = world.add_group(None, bob, "Few", &[ann]).expect("made");
            let channel = world.add_channel(None, bob, "Many", false, &[ann]);
            (group, channel.expect("made"))
        });
        let chats = [Peer::User(ann), Peer::Group(group), Peer::Channel(channel)];
        Self {
            stage,
            ann,
            bob,
            chats,
        }
    }

    /// Bob says something in every chat.
    fn say(&self, words: &str) {
        self.stage.world.world(|world| {
            for (number, chat) in self.chats.into_iter().enumerate() {
                let text = format!("{words} in {number}");
                world.post(self.bob, chat, Draft::text(&text)).expect("posted");
            }
        });
    }

    fn revoke(&self) {
        self.stage.world.world(|world| {
            let keys: Vec<i64> = world.accounts[&self.ann].keys.to_vec();
            keys.into_iter().for_each(|key| {
                world.end_key(key, "SESSION_REVOKED");
            });
        });
    }

    /// Waits until what was said has arrived in every chat, once and in this order.
    async fn arrived(&self, daemon: &Daemon, said: &[&str]) {
        let told = || {
            let mut told: [Vec<String>; 3] = Default::default();
            for text in received(daemon) {
                let (words, number) = text.rsplit_once(" in ").expect("said by Bob");
                told[number.parse::<usize>().expect("a number")].push(words.to_owned());
            }
            told
        };
        until("everything arrived", || {
            told().iter().all(|told| told.len() >= said.len())
        })
        .await;
        // Whatever else is to come comes before this.
        self.stage
            .world
            .world(|world| world.post(self.bob, Peer::User(self.ann), Draft::text("last in 0")))
            .expect("posted");
        until("the last arrived", || {
            told()[0].last().is_some_and(|it| it == "last")
        })
        .await;
        let mut told = told();
        assert_eq!(told[0].pop().as_deref(), Some("last"));
        assert_eq!(told, [said, said, said]);
    }
}

/// How long the session took from catching up to being connected, each time.
fn spans(daemon: &Daemon) -> Vec<Duration> {
    let (mut spans, mut since) = (Vec::new(), None);
    for event in events(daemon) {
        match event.body {
            EventBody::SessionState {
                to: SessionState::CatchingUp,
                ..
            } => since = Some(event.at),
            EventBody::SessionState {
                to: SessionState::Connected,
                ..
            } => spans.extend(since.take().map(|since| event.at.since(since))),
            _ => {}
        }
    }
    spans
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_connected_once_nothing_is_missing_also_where_it_is_never_quiet() {
    let friends = Friends::new().await;
    let daemon = friends.stage.daemon().await;
    let session = friends.stage.log_in(&daemon, PHONE).await;
    let (world, bob, ann) = (friends.stage.world.clone(), friends.bob, friends.ann);
    let talk = tokio::spawn(async move {
        loop {
            world
                .world(|world| world.post(bob, Peer::User(ann), Draft::text("on and on")))
                .expect("posted");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let before = spans(&daemon).len();
    let begun_anew = daemon.handles.telegram.restart(session).await;
    begun_anew.expect("begins anew");
    until("it is back", || spans(&daemon).len() > before).await;
    talk.abort();
    // Silence is waited for up to five seconds, and does not come.
    let span = spans(&daemon)[before];
    assert!(span < Duration::from_secs(4), "{span:?}");
    daemon.stop(PATIENCE).await;
}

async fn ended(daemon: &Daemon, session: SessionId) {
    daemon
        .handles
        .telegram
        .log_out(session, Initiator::daemon())
        .await
        .expect("logged out");
    assert_eq!(state(daemon, session), SessionState::LoggedOut);
    assert_eq!(view(daemon, session).account.user_id, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_account_goes_on_where_it_was() {
    let friends = Friends::new().await;
    friends.say("before the first login");
    let daemon = friends.stage.daemon().await;
    let session = friends.stage.log_in(&daemon, PHONE).await;
    friends.say("one");
    until("all arrived", || received(&daemon).len() == 3).await;

    friends.revoke();
    until("its end is noticed", || {
        state(&daemon, session) == SessionState::BadCredentials
    })
    .await;
    friends.say("two");
    friends.say("three");
    friends.stage.log_in_again(&daemon, session, PHONE).await;
    friends.say("four");
    friends.arrived(&daemon, &["one", "two", "three", "four"]).await;
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logged_out_account_goes_on_where_it_was_also_in_chats_that_are_new() {
    let friends = Friends::new().await;
    let daemon = friends.stage.daemon().await;
    let session = friends.stage.log_in(&daemon, PHONE).await;
    ended(&daemon, session).await;
    // Neither of them had written before.
    friends.say("one");
    friends.stage.log_in_again(&daemon, session, PHONE).await;
    friends.arrived(&daemon, &["one"]).await;
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_telegram_leaves_out_after_a_login_is_read_from_history() {
    let friends = Friends::new().await;
    let daemon = friends.stage.daemon().await;
    let session = friends.stage.log_in(&daemon, PHONE).await;
    friends.say("one");
    until("all arrived", || received(&daemon).len() == 3).await;
    ended(&daemon, session).await;
    friends.say("two");
    friends.say("three");
    for method in ["updates.getDifference", "updates.getChannelDifference"] {
        let fault = format!(r#"{{"kind":"too_long","method":"{method}","times":1}}"#);
        let fault = serde_json::from_str(&fault).expect("a fault");
        World::new(friends.stage.world.clone())
            .fault(fault)
            .expect("added");
    }
    friends.stage.log_in_again(&daemon, session, PHONE).await;
    friends.arrived(&daemon, &["one", "two", "three"]).await;
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_account_is_refused_and_logged_out_and_the_first_goes_on_where_it_was() {
    let friends = Friends::new().await;
    let daemon = friends.stage.daemon().await;
    let session = friends.stage.log_in(&daemon, PHONE).await;
    friends.say("one");
    until("all arrived", || received(&daemon).len() == 3).await;
    let telegram = &daemon.handles.telegram;
    telegram
        .log_out(session, Initiator::daemon())
        .await
        .expect("logged out");
    friends.say("while it was out");

    let bobs = "+989120000002";
    telegram
        .request_code(session, bobs, Initiator::daemon())
        .await
        .expect("a code is sent");
    let digits = bobs.trim_start_matches('+');
    let code = friends
        .stage
        .world
        .world(|world| world.keys.codes[digits].code.clone());
    let refused = telegram
        .submit_code(session, &code, Initiator::daemon())
        .await
        .expect_err("refused");
    assert_eq!(refused.code(), Code::AnotherAccount);
    let world = &friends.stage.world;
    let is_out = || world.world(|world| world.accounts[&friends.bob].keys.is_empty());
    until("he is logged out", is_out).await;
    let account = view(&daemon, session).account;
    assert_eq!((account.state, account.user_id), (SessionState::LoggedOut, None));
    assert_eq!(account.phone.expect("its own").expose(), PHONE);
    let again = telegram
        .submit_code(session, &code, Initiator::daemon())
        .await
        .expect_err("refused");
    assert_eq!(again.code(), Code::AnotherAccount, "who comes back hears why");

    friends.stage.log_in_again(&daemon, session, PHONE).await;
    until("all arrived", || received(&daemon).len() == 6).await;
    daemon.stop(PATIENCE).await;
}
