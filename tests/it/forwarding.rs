//! Pairs: what arrives in one chat is copied into another, once and in order, whatever goes wrong.

use std::time::Duration;

use trunkline::app::Daemon;
use trunkline::base::{Code, Coded, Owner, PairId, SessionId};
use trunkline::forward::{NewPair, Pair, PairPatch};
use trunkline::model::{EventBody, SessionState};
use trunkline::sandbox::World;
use trunkline::sandbox::acts::{NewChat, NewChatKind, NewFile, NewMessage, NewPart};
use trunkline::sandbox::faults::{Fault, Kind};
use trunkline::sandbox::view::MessageView;

use crate::stage::{Stage, events, state, until};

mod changes;
mod edits;
mod ends;
mod gone;
mod lanes;
mod limited;
mod moving;
mod refusals;
mod searching;

const PATIENCE: Duration = Duration::from_secs(5);
const PHONE: &str = "+989120000001";

/// A stage with a source channel that Bob writes, and a destination of Ann's, whose account runs here.
struct Scene {
    stage: Stage,
    world: World,
    ann: i64,
    bob: i64,
    source: i64,
    copies: i64,
}

impl Scene {
    async fn new() -> Self {
        let stage = Stage::new().await;
        let ann = stage.user(PHONE, "Ann");
        let bob = stage.user("+989120000002", "Bob");
        let world = World::new(stage.world.clone());
        let source = channel(&world, "Source", bob, &[ann]);
        let copies = channel(&world, "Copies", ann, &[bob]);
        Self {
            stage,
            world,
            ann,
            bob,
            source,
            copies,
        }
    }

    fn say(&self, text: &str) -> i32 {
        self.world.say(self.source, self.bob, text).expect("posted")
    }

    fn post(&self, new: NewMessage) -> Vec<MessageView> {
        self.world.post(self.source, new).expect("posted")
    }

    fn edit(&self, id: i32, text: &str) {
        self.world
            .edit(self.source, id, self.bob, text, Vec::new())
            .expect("edited");
    }

    fn delete(&self, id: i32) {
        self.world.delete(self.source, id, self.bob).expect("deleted");
    }

    fn seen_in(&self, chat: i64) -> Vec<MessageView> {
        let messages = self.world.messages(chat, None, 0, 10_000, false).expect("there");
        messages
            .into_iter()
            .filter(|message| message.service.is_none())
            .collect()
    }

    /// The copies as they stand.
    fn seen(&self) -> Vec<MessageView> {
        self.seen_in(self.copies)
    }

    fn texts(&self) -> Vec<String> {
        self.seen().into_iter().map(|message| message.text).collect()
    }

    async fn arrives(&self, texts: &[&str]) {
        until(&format!("{texts:?} stand in the destination"), || {
            let seen = self.texts();
            assert!(seen.len() <= texts.len() + 8, "more than was sent: {seen:?}");
            seen == texts
        })
        .await;
    }

    fn fault(&self, kind: Kind, method: &str, nth: u32, times: u32) {
        self.fault_of(self.ann, kind, method, nth, times);
    }

    fn fault_of(&self, account: i64, kind: Kind, method: &str, nth: u32, times: u32) {
        let fault = Fault {
            id: 0,
            kind,
            method: Some(method.to_owned()),
            account: Some(account),
            chat: None,
            nth,
            times,
            matched: 0,
            acted: 0,
        };
        self.world.fault(fault).expect("taken");
    }

    async fn pair(&self, daemon: &Daemon, session: SessionId, more: &str) -> Pair {
        let new = pair(session, self.source, self.copies, more);
        daemon
            .handles
            .pairs
            .create(new, Owner::admin())
            .await
            .expect("made")
    }
}

fn channel(world: &World, title: &str, creator: i64, members: &[i64]) -> i64 {
    let new = NewChat {
        kind: NewChatKind::Channel,
        id: None,
        title: title.to_owned(),
        about: String::new(),
        username: None,
        creator: creator.into(),
        members: members.iter().map(|member| (*member).into()).collect(),
        admins: Vec::new(),
        slow_mode: 0,
        protected: false,
    };
    world.add_chat(new).expect("made")
}

fn pair(session: SessionId, source: i64, destination: i64, more: &str) -> NewPair {
    let text = format!(
        r#"{{"source":{{"session":"{session}","chat":{source}}},"destination":{{"session":"{session}","chat":{destination}}}{more}}}"#
    );
    serde_json::from_str(&text).expect("a pair")
}

fn photo(seed: u64) -> NewFile {
    NewFile {
        generate: Some(seed),
        ..NewFile::default()
    }
}

fn stats(daemon: &Daemon, id: PairId) -> trunkline::forward::PairStats {
    daemon.handles.pairs.get(id).expect("there").stats
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_media_albums_and_replies_are_copied_in_order() {
    let scene = Scene::new().await;
    let daemon = scene.stage.daemon().await;
    let session = scene.stage.log_in(&daemon, PHONE).await;
    scene.say("before the pair");
    tokio::time::sleep(Duration::from_millis(300)).await;
    let pair = scene.pair(&daemon, session, "").await;

    let first = scene.say("سلام 👋 first");
    let bold: Vec<_> = serde_json::from_str(r#"[{"type":"bold","offset":0,"length":4}]"#).expect("entities");
    scene.post(NewMessage {
        entities: bold,
        ..NewMessage::text(scene.bob, "bold words")
    });
    scene.post(NewMessage {
        photo: Some(photo(1)),
        ..NewMessage::text(scene.bob, "a picture")
    });
    scene.post(NewMessage {
        album: (2..5)
            .map(|seed| NewPart {
                text: format!("part {seed}"),
                photo: Some(photo(seed)),
                ..NewPart::default()
            })
            .collect(),
        ..NewMessage::text(scene.bob, "")
    });
    scene.post(NewMessage {
        document: Some(NewFile {
            generate: Some(9),
            size: Some(5000),
            name: Some("list.bin".to_owned()),
            ..NewFile::default()
        }),
        reply_to: Some(first),
        ..NewMessage::text(scene.bob, "a document")
    });
    let expected = [
        "سلام 👋 first",
        "bold words",
        "a picture",
        "part 2",
        "part 3",
        "part 4",
        "a document",
    ];
    scene.arrives(&expected).await;

    let sources = &scene.seen_in(scene.source)[1..];
    let seen = scene.seen();
    for (source, copy) in sources.iter().zip(&seen) {
        let content = |message: &MessageView| message.media.as_ref().map(|media| media.sha256.clone());
        assert_eq!(content(source), content(copy), "{}", source.text);
        assert_eq!(
            serde_json::to_value(&source.entities).expect("JSON"),
            serde_json::to_value(&copy.entities).expect("JSON")
        );
        assert!(copy.forward.is_none(), "the source is hidden");
    }
    assert!(
        seen[3].album.is_some() && seen[3].album == seen[5].album,
        "an album stays one"
    );
    assert_eq!(seen[6].reply_to, Some(seen[0].id), "a reply answers the copy");
    until("the counters tell", || stats(&daemon, pair.id).forwarded == 7).await;
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_and_deletions_follow_their_message() {
    let scene = Scene::new().await;
    let daemon = scene.stage.daemon().await;
    let session = scene.stage.log_in(&daemon, PHONE).await;
    let pair = scene.pair(&daemon, session, "").await;
    let ids: Vec<i32> = ["one", "two", "three"]
        .iter()
        .map(|text| scene.say(text))
        .collect();
    scene.arrives(&["one", "two", "three"]).await;
    scene.edit(ids[0], "one, better");
    scene.delete(ids[1]);
    scene.arrives(&["one, better", "three"]).await;
    until("the counters tell", || {
        let stats = stats(&daemon, pair.id);
        (stats.forwarded, stats.edited, stats.deleted) == (3, 1, 1)
    })
    .await;
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_in_a_paused_pair_is_changed_and_cancelled() {
    let scene = Scene::new().await;
    let daemon = scene.stage.daemon().await;
    let session = scene.stage.log_in(&daemon, PHONE).await;
    let id = scene.pair(&daemon, session, "").await.id;
    let pairs = &daemon.handles.pairs;
    pairs.pause(id).await.expect("paused");
    pairs.pause(id).await.expect("may be repeated");
    let ids: Vec<i32> = ["one", "two", "three"]
        .iter()
        .map(|text| scene.say(text))
        .collect();
    until("all wait", || stats(&daemon, id).waiting == 3).await;
    scene.edit(ids[0], "one, better");
    scene.delete(ids[1]);
    until("one is cancelled", || stats(&daemon, id).waiting == 2).await;
    assert!(scene.texts().is_empty(), "nothing is sent");
    pairs.resume(id).await.expect("resumed");
    scene.arrives(&["one, better", "three"]).await;
    until("all is done", || stats(&daemon, id).waiting == 0).await;
    let edits = scene.world.counts();
    assert!(
        !edits.contains_key("messages.editMessage"),
        "it was sent in its last form"
    );
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forward_mode_keeps_the_header_and_delay_the_distance() {
    let scene = Scene::new().await;
    let daemon = scene.stage.daemon().await;
    let session = scene.stage.log_in(&daemon, PHONE).await;
    scene
        .pair(&daemon, session, r#","mode":"forward","silent":true,"delay":2"#)
        .await;
    scene.say("news");
    scene.arrives(&["news"]).await;
    let copy = &scene.seen()[0];
    let source = &scene.seen_in(scene.source)[0];
    assert!(copy.forward.is_some() && copy.silent);
    assert!(copy.stored_at - source.stored_at >= 1000, "to the second");
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_on_the_way_loses_and_doubles_nothing() {
    let scene = Scene::new().await;
    let daemon = scene.stage.daemon().await;
    let session = scene.stage.log_in(&daemon, PHONE).await;
    let pair = scene.pair(&daemon, session, "").await;
    let server = Kind::Error {
        code: 500,
        name: "INTERNAL".to_owned(),
    };
    scene.fault(Kind::FloodWait { seconds: 1 }, "messages.sendMessage", 3, 1);
    scene.fault(Kind::DropAfter, "messages.sendMessage", 6, 1);
    scene.fault(Kind::DropBefore, "messages.sendMessage", 11, 1);
    scene.fault(server, "messages.sendMessage", 16, 2);
    let texts: Vec<String> = (0..25).map(|number| format!("message {number}")).collect();
    for text in &texts {
        scene.say(text);
    }
    let expected: Vec<&str> = texts.iter().map(String::as_str).collect();
    scene.arrives(&expected).await;
    until("all is settled", || stats(&daemon, pair.id).waiting == 0).await;
    assert_eq!(stats(&daemon, pair.id).forwarded, 25);
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_flood_wait_holds_back_is_changed_and_cancelled() {
    let scene = Scene::new().await;
    let daemon = scene.stage.daemon().await;
    let session = scene.stage.log_in(&daemon, PHONE).await;
    let other = channel(&scene.world, "Other", scene.ann, &[]);
    let pairs = &daemon.handles.pairs;
    scene.pair(&daemon, session, "").await;
    scene.fault(Kind::FloodWait { seconds: 3 }, "messages.sendMessage", 1, 1);
    let ids: Vec<i32> = ["one", "two"].iter().map(|text| scene.say(text)).collect();
    until("it was told to wait", || {
        scene.world.faults().iter().all(|fault| fault.acted > 0)
    })
    .await;
    scene.delete(ids[0]);
    scene.edit(ids[1], "two, better");
    let second = pair(session, scene.source, other, "");
    pairs.create(second, Owner::admin()).await.expect("made");
    scene.say("three");
    until("another chat does not wait", || scene.seen_in(other).len() == 1).await;
    assert!(scene.texts().is_empty(), "nothing is sent inside the wait");
    scene.arrives(&["two, better", "three"]).await;
    assert!(!scene.world.counts().contains_key("messages.editMessage"));
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_may_not_send_halts_its_pairs_until_it_is_back() {
    let scene = Scene::new().await;
    let daemon = scene.stage.daemon().await;
    let session = scene.stage.log_in(&daemon, PHONE).await;
    let id = scene.pair(&daemon, session, "").await.id;
    scene.fault(Kind::PeerFlood, "messages.sendMessage", 1, 1);
    scene.say("one");
    let pairs = &daemon.handles.pairs;
    let reason = || pairs.get(id).expect("there").reason;
    until("it is halted", || reason().as_deref() == Some("peer_flood")).await;
    daemon.handles.telegram.restart(session).await.expect("restarted");
    scene.arrives(&["one"]).await;
    assert_eq!(reason(), None);
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restriction_ends_by_itself_and_the_pairs_go_on() {
    let scene = Scene::new().await;
    let short = |config: &mut trunkline::config::Config| {
        config.limiter.peer_flood_rest = Duration::from_secs(1);
    };
    let daemon = scene.stage.daemon_with(short).await;
    let session = scene.stage.log_in(&daemon, PHONE).await;
    let id = scene.pair(&daemon, session, "").await.id;
    // The probe after the first rest is refused too: the second rest is longer.
    scene.fault(Kind::PeerFlood, "messages.sendMessage", 1, 2);
    scene.say("one");
    let restricted = || state(&daemon, session) == SessionState::Restricted;
    until("it is restricted", restricted).await;
    scene.say("two");
    scene.arrives(&["one", "two"]).await;
    until("it is well again", || {
        state(&daemon, session) == SessionState::Connected
    })
    .await;
    assert_eq!(daemon.handles.pairs.get(id).expect("there").reason, None);
    let limits = daemon.handles.telegram.limits(session).await.expect("there");
    assert_eq!(limits.peer_flood, None);
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_a_cap_waits_and_a_restart_forgets_nothing() {
    let scene = Scene::new().await;
    let capped = |config: &mut trunkline::config::Config| config.limiter.account.per_hour = 5;
    let daemon = scene.stage.daemon_with(capped).await;
    let session = scene.stage.log_in(&daemon, PHONE).await;
    let id = scene.pair(&daemon, session, "").await.id;
    let texts: Vec<String> = (1..=7).map(|number| format!("message {number}")).collect();
    for text in &texts {
        scene.say(text);
    }
    let first: Vec<&str> = texts[..5].iter().map(String::as_str).collect();
    scene.arrives(&first).await;
    until("two wait", || stats(&daemon, id).waiting == 2).await;
    let told = |daemon: &Daemon| {
        let bodies = events(daemon).into_iter().map(|event| event.body);
        let budgets = bodies.filter_map(|body| match body {
            EventBody::SessionBudget { used, cap, .. } => Some((used, cap)),
            _ => None,
        });
        budgets.collect::<Vec<_>>()
    };
    until("it was told", || told(&daemon) == [(4, 5), (5, 5)]).await;
    daemon.stop(PATIENCE).await;

    let daemon = scene.stage.daemon_with(capped).await;
    until("it is connected", || {
        state(&daemon, session) == SessionState::Connected
    })
    .await;
    scene.say("message 8");
    until("three wait", || stats(&daemon, id).waiting == 3).await;
    let limits = daemon.handles.telegram.limits(session).await.expect("there");
    let hour = limits
        .caps
        .iter()
        .find(|cap| cap.budget == "account")
        .expect("a cap");
    assert_eq!((hour.used, hour.cap, hour.window), (5, 5, "hour"));
    assert!(hour.next.is_some() && hour.warned_at.is_some());
    assert_eq!(scene.texts(), first, "nothing more was sent");
    assert_eq!(told(&daemon).len(), 2, "and nothing told again");
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrives_during_restarts_is_copied_once() {
    let scene = Scene::new().await;
    let mut daemon = scene.stage.daemon().await;
    let session = scene.stage.log_in(&daemon, PHONE).await;
    scene.pair(&daemon, session, "").await;
    let texts: Vec<String> = (0..40).map(|number| format!("message {number}")).collect();
    for (number, text) in texts.iter().enumerate() {
        scene.say(text);
        if number % 10 == 7 {
            daemon.stop(PATIENCE).await;
            scene.say("while it was away");
            scene.delete(scene.seen_in(scene.source).last().expect("said").id);
            daemon = scene.stage.daemon().await;
        }
    }
    let expected: Vec<&str> = texts.iter().map(String::as_str).collect();
    scene.arrives(&expected).await;
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_try_looks_before_it_sends() {
    let scene = Scene::new().await;
    let eager = |config: &mut trunkline::config::Config| {
        config.forward.look_after = trunkline::base::Span::millis(0);
    };
    let daemon = scene.stage.daemon_with(eager).await;
    let session = scene.stage.log_in(&daemon, PHONE).await;
    let pair = scene.pair(&daemon, session, "").await;
    scene.say("one");
    scene.arrives(&["one"]).await;
    // The work is done, its answer lost, and its name forgotten.
    scene.fault(Kind::DropAfter, "messages.sendMessage", 1, 1);
    scene.say("two");
    until("it was sent", || scene.texts().len() == 2).await;
    scene.fault(Kind::ForgetRandomIds, "", 1, 1);
    scene.say("three");
    scene.arrives(&["one", "two", "three"]).await;
    until("all is settled", || stats(&daemon, pair.id).waiting == 0).await;
    assert_eq!(scene.texts().len(), 3);
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn loops_and_what_cannot_be_are_refused() {
    let scene = Scene::new().await;
    let daemon = scene.stage.daemon().await;
    let session = scene.stage.log_in(&daemon, PHONE).await;
    let pairs = &daemon.handles.pairs;
    let third = channel(&scene.world, "Third", scene.ann, &[]);
    let make = |from, to, more: &str| {
        let new = pair(session, from, to, more);
        async move { pairs.create(new, Owner::admin()).await }
    };
    make(scene.source, scene.copies, "").await.expect("made");
    make(scene.copies, third, "").await.expect("made");
    let code = |made: Result<Pair, trunkline::forward::PairError>| made.expect_err("refused").code();
    assert_eq!(code(make(third, scene.source, "").await), Code::PairLoop);
    assert_eq!(code(make(scene.copies, scene.source, "").await), Code::PairLoop);
    assert_eq!(code(make(third, third, "").await), Code::PairLoop);
    assert_eq!(
        code(make(third, scene.source, r#","kind":"t2d""#).await),
        Code::InvalidRequest
    );

    // A chain is no loop: a copy is copied on.
    scene.say("onward");
    until("it came through", || scene.seen_in(third).len() == 1).await;
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_without_rights_holds_and_goes_on_when_resumed() {
    let scene = Scene::new().await;
    let daemon = scene.stage.daemon().await;
    let session = scene.stage.log_in(&daemon, PHONE).await;
    let id = scene.pair(&daemon, session, "").await.id;
    let forbidden = Kind::Error {
        code: 403,
        name: "CHAT_WRITE_FORBIDDEN".to_owned(),
    };
    scene.fault(forbidden, "messages.sendMessage", 1, 1);
    scene.say("one");
    scene.say("two");
    let pairs = &daemon.handles.pairs;
    until("it is held", || {
        pairs.get(id).expect("there").reason.as_deref() == Some("no_rights")
    })
    .await;
    let open = || daemon.handles.incidents.open_count().expect("counted");
    until("an incident tells", || open() == 1).await;
    pairs.resume(id).await.expect("resumed");
    scene.arrives(&["one", "two"]).await;
    until("the incident is over", || open() == 0).await;
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_is_changed_and_deleted_while_it_works() {
    let scene = Scene::new().await;
    let daemon = scene.stage.daemon().await;
    let session = scene.stage.log_in(&daemon, PHONE).await;
    let id = scene.pair(&daemon, session, "").await.id;
    let pairs = &daemon.handles.pairs;
    scene.say("one");
    scene.arrives(&["one"]).await;
    let patch: PairPatch = serde_json::from_str(r#"{"silent":true,"name":"quiet"}"#).expect("a patch");
    assert!(pairs.patch(id, patch).await.expect("changed").silent);
    scene.say("two");
    scene.arrives(&["one", "two"]).await;
    assert!(scene.seen()[1].silent);
    // A copy may stand there before the send that made it is answered.
    until("it is done with", || stats(&daemon, id).waiting == 0).await;
    pairs.pause(id).await.expect("paused");
    scene.say("three");
    until("it waits", || stats(&daemon, id).waiting == 1).await;
    pairs.delete(id).await.expect("deleted");
    pairs.delete(id).await.expect("may be repeated");
    assert_eq!(pairs.get(id).expect_err("gone").code(), Code::NotFound);
    let again = scene.pair(&daemon, session, "").await.id;
    scene.say("four");
    scene.arrives(&["one", "two", "four"]).await;
    assert_ne!(again, id);
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_that_tries_again_says_why_and_until_when() {
    let scene = Scene::new().await;
    // Longer than the story waits: the second try is made when the pair is told to.
    let patient = |config: &mut trunkline::config::Config| {
        config.forward.retry_first = trunkline::base::Span::millis(600_000);
        config.forward.retry_max = trunkline::base::Span::millis(600_000);
    };
    let daemon = scene.stage.daemon_with(patient).await;
    let session = scene.stage.log_in(&daemon, PHONE).await;
    let id = scene.pair(&daemon, session, "").await.id;
    let server = Kind::Error {
        code: 500,
        name: "INTERNAL".to_owned(),
    };
    scene.fault(server, "messages.sendMessage", 1, 10);
    scene.say("one");
    scene.say("two");
    let shown = || daemon.handles.pairs.get(id).expect("there");
    until("the first try failed", || shown().attempts == 1).await;
    let pair = shown();
    let error = pair.last_error.expect("a reason");
    assert!(error.contains("INTERNAL"), "{error}");
    assert!(!error.contains("one"), "no text is told");
    assert!(pair.next_try.expect("a time") > trunkline::base::Timestamp::now());
    assert_eq!(pair.stats.waiting, 2);
    daemon.stop(PATIENCE).await;
}
