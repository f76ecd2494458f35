//! Pairs whose ends are not there: sources that are not met, sessions that are deleted, topics of chats that have none,
//! numbers of no chat, and pairs that there are already.

use trunkline::forward::{PairError, PairState};
use trunkline::ops::audit::Initiator;

use super::*;

fn stands(daemon: &Daemon, id: PairId) -> (PairState, Option<String>) {
    let pair = daemon.handles.pairs.get(id).expect("there");
    (pair.state, pair.reason)
}

fn held(reason: &str) -> (PairState, Option<String>) {
    (PairState::Held, Some(reason.to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_of_a_source_that_is_not_met_says_so_and_goes_on_with_its_first_word() {
    let scene = Scene::new().await;
    let daemon = scene.stage.daemon().await;
    let session = scene.stage.log_in(&daemon, PHONE).await;
    let strange = channel(&scene.world, "Strange", scene.bob, &[]);
    let pairs = &daemon.handles.pairs;
    let new = || pair(session, strange, scene.copies, "");
    let made = pairs.create(new(), Owner::admin()).await.expect("made");
    assert_eq!((made.state, made.reason.clone()), held("source_unknown"));
    let resumed = pairs.resume(made.id).await.expect("asked");
    assert_eq!((resumed.state, resumed.reason), held("source_unknown"));
    assert!(
        daemon
            .handles
            .incidents
            .list(true, None, 9)
            .expect("lists")
            .0
            .is_empty()
    );
    // Somebody's pause is stronger.
    pairs.pause(made.id).await.expect("paused");
    assert_eq!(stands(&daemon, made.id), (PairState::Paused, None));
    pairs.resume(made.id).await.expect("asked");

    scene.world.join(strange, &[scene.ann]).expect("joined");
    scene
        .world
        .say(strange, scene.bob, "the first word")
        .expect("posted");
    scene.arrives(&["the first word"]).await;
    assert_eq!(stands(&daemon, made.id), (PairState::Running, None));
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_of_a_deleted_session_is_held_at_once_and_after_a_restart() {
    let scene = Scene::new().await;
    let daemon = scene.stage.daemon().await;
    let session = scene.stage.log_in(&daemon, PHONE).await;
    let pair = scene.pair(&daemon, session, "").await;
    let incidents = |daemon: &Daemon| {
        let open = daemon.handles.incidents.list(true, None, 9).expect("lists").0;
        let of_pair = open.into_iter().filter(|it| it.subject == pair.id.to_string());
        of_pair.map(|it| (it.kind, it.count)).collect::<Vec<_>>()
    };
    assert_eq!(stands(&daemon, pair.id), (PairState::Running, None));
    let telegram = &daemon.handles.telegram;
    telegram
        .delete(session, Initiator::daemon())
        .await
        .expect("deleted");
    let told = vec![("pair_held".to_owned(), 1)];
    until("its pair stops", || {
        stands(&daemon, pair.id) == held("session_deleted") && incidents(&daemon) == told
    })
    .await;
    let refused = daemon.handles.pairs.resume(pair.id).await.expect_err("for ever");
    assert_eq!(refused.code(), Code::NotFound);
    daemon.stop(PATIENCE).await;

    let daemon = scene.stage.daemon().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(stands(&daemon, pair.id), held("session_deleted"));
    assert_eq!(incidents(&daemon), told, "told once");
    daemon.handles.pairs.delete(pair.id).await.expect("deleted");
    assert_eq!(incidents(&daemon), []);
    daemon.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_that_cannot_be_is_refused_with_what_is_wrong() {
    let scene = Scene::new().await;
    let group = NewChat {
        kind: NewChatKind::Supergroup,
        id: None,
        title: "Forum".to_owned(),
        about: String::new(),
        username: None,
        creator: scene.ann.into(),
        members: vec![scene.bob.into()],
        admins: Vec::new(),
        slow_mode: 0,
        protected: false,
    };
    let group = scene.world.add_chat(group).expect("made");
    let daemon = scene.stage.daemon().await;
    let session = scene.stage.log_in(&daemon, PHONE).await;
    let pairs = &daemon.handles.pairs;
    let refused = async |new: NewPair| {
        let error = pairs.create(new, Owner::admin()).await.expect_err("refused");
        (error.code(), error.details().unwrap_or_default())
    };
    for chat in [0, -1_000_000_000_000, i64::MIN] {
        let (code, _) = refused(pair(session, chat, scene.copies, "")).await;
        assert_eq!(code, Code::InvalidRequest, "{chat}");
    }
    let named = |name: &str| {
        pair(
            session,
            scene.source,
            scene.copies,
            &format!(r#","name":"{name}""#),
        )
    };
    assert_eq!(refused(named(r"a\u0000b")).await.0, Code::InvalidRequest);

    let mut in_topic = pair(session, scene.source, group, "");
    in_topic.destination.topic = Some(7);
    let (code, details) = refused(in_topic.clone()).await;
    assert_eq!(
        (code, &details["field"]),
        (Code::InvalidRequest, &"destination.topic".into())
    );
    // It becomes a forum, of which the account was not told: it is asked for anew.
    scene.world.set_forum(group, true).expect("a forum");
    pairs.create(in_topic, Owner::admin()).await.expect("made");

    let first = scene.pair(&daemon, session, "").await;
    let twin = pairs.create(pair(session, scene.source, scene.copies, ""), Owner::admin());
    let twin = twin.await.expect_err("there is one");
    assert!(matches!(twin, PairError::Exists(id) if id == first.id), "{twin}");
    assert_eq!(twin.details().expect("told")["pair"], first.id.to_string());
    daemon.stop(PATIENCE).await;
}
