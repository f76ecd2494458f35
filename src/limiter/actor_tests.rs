//! The limiter as a supervised actor over a real store.

use std::time::{Duration, Instant};

use super::{Ask, Cause, CostClass, Limiter, LimiterConfig, Number};
use crate::base::{SessionId, Timestamp};
use crate::model::ChatId;
use crate::runtime::{Root, Strategy, SupervisorSpec};
use crate::store::{OpenStore, Store, StoreConfig};

async fn start(store: &OpenStore, config: LimiterConfig) -> (Limiter, Root) {
    let limiter = Limiter::new(config, Store::clone(store));
    let spec = SupervisorSpec::new(Strategy::OneForOne).child(limiter.child());
    (limiter, Root::start(spec).await.expect("starts"))
}

fn open(folder: &tempfile::TempDir) -> OpenStore {
    Store::open(StoreConfig::in_folder(folder.path())).expect("opens")
}

fn ask(session: SessionId, chat: i64, class: CostClass) -> Ask {
    Ask {
        session,
        chat: Some(ChatId(chat)),
        class,
        units: 1,
        stranger: false,
        patience: Duration::from_secs(2).into(),
    }
}

#[tokio::test]
async fn waits_outlive_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let session = SessionId::generate();
    let minute = Duration::from_secs(60);
    let store = open(&folder);
    let (limiter, root) = start(&store, LimiterConfig::sandbox()).await;
    limiter
        .flooded(session, Some(ChatId(7)), CostClass::Send, minute)
        .await;
    limiter.flooded(session, None, CostClass::History, minute).await;
    limiter
        .flooded(
            session,
            Some(ChatId(9)),
            CostClass::Send,
            Duration::from_millis(1),
        )
        .await;
    limiter.slowed(session, ChatId(8), minute).await;
    root.stop(Duration::from_secs(5)).await;
    drop((limiter, store));

    let store = open(&folder);
    let (limiter, root) = start(&store, LimiterConfig::sandbox()).await;
    let expected = [
        (7, CostClass::Send, Some(Cause::FloodWait)),
        (7, CostClass::Edit, None),
        (8, CostClass::SendMedia, Some(Cause::SlowMode)),
        (9, CostClass::Send, None),
        (3, CostClass::History, Some(Cause::FloodWait)),
    ];
    for (chat, class, cause) in expected {
        let answer = limiter.acquire(ask(session, chat, class)).await;
        assert_eq!(
            answer.err().map(|limited| limited.cause),
            cause,
            "{chat} {class:?}"
        );
        if let Err(limited) = answer {
            let left = limited.until.since(Timestamp::now());
            assert!(
                left > Duration::from_secs(55) && left <= Duration::from_secs(61),
                "{left:?}"
            );
        }
    }
    let budgets = limiter.budgets(session).await.expect("there");
    assert_eq!(budgets.waits.len(), 2);
    root.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn what_was_spent_of_a_cap_outlives_any_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let session = SessionId::generate();
    let mut config = LimiterConfig::sandbox();
    (config.account.per_hour, config.account.per_day) = (200, 1000);
    let reserve = 4;
    let (mut spent, mut known) = (0, 0);
    for (round, time) in [0u64, 5, 0, 5].into_iter().enumerate() {
        let store = open(&folder);
        let (limiter, root) = start(&store, config.clone()).await;
        let used = async || {
            let budgets = limiter.budgets(session).await.expect("there");
            let cap = budgets.caps.into_iter().find(|cap| cap.budget == "account");
            cap.map_or(0, |cap| cap.used)
        };
        let before = used().await;
        assert!(
            before >= spent && before <= known + reserve,
            "round {round}: {before}, not {known}"
        );
        for chat in 1..=10 {
            limiter
                .acquire(ask(session, chat, CostClass::Send))
                .await
                .expect("granted");
        }
        spent += 10;
        known = used().await;
        assert_eq!(known, before + 10);
        // An end without a moment's notice is what a kill leaves: the keeper has no time for a last row.
        root.stop(Duration::from_secs(time)).await;
        drop((limiter, store));
    }
    let store = open(&folder);
    let (limiter, root) = start(&store, config).await;
    let budgets = limiter.budgets(session).await.expect("there");
    assert_eq!(
        budgets.caps[0].used, known,
        "an orderly end gives the reserve back"
    );
    root.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_peer_flood_lasts_until_it_is_cleared() {
    let folder = tempfile::tempdir().expect("a folder");
    let session = SessionId::generate();
    let store = open(&folder);
    let (limiter, root) = start(&store, LimiterConfig::sandbox()).await;
    limiter.peer_flooded(session).await;
    let refused = limiter
        .acquire(ask(session, 7, CostClass::Send))
        .await
        .expect_err("refused");
    assert_eq!(refused.cause, Cause::PeerFlood);
    limiter.clear(session).await.expect("there");
    root.stop(Duration::from_secs(5)).await;
    let (limiter, root) = start(&store, LimiterConfig::sandbox()).await;
    limiter
        .acquire(ask(session, 7, CostClass::Send))
        .await
        .expect("granted");
    root.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_call_waits_its_time_and_no_longer() {
    let folder = tempfile::tempdir().expect("a folder");
    let session = SessionId::generate();
    let store = open(&folder);
    let (limiter, root) = start(&store, LimiterConfig::sandbox()).await;
    let began = Instant::now();
    limiter
        .flooded(
            session,
            Some(ChatId(7)),
            CostClass::Send,
            Duration::from_millis(1500),
        )
        .await;
    limiter
        .acquire(ask(session, 8, CostClass::Send))
        .await
        .expect("another chat");
    assert!(
        limiter.budgets(session).await.expect("there").waits.len() == 1,
        "the wait still runs"
    );
    limiter
        .acquire(ask(session, 7, CostClass::Send))
        .await
        .expect("in time");
    let waited = began.elapsed();
    assert!(waited >= Duration::from_millis(1500), "{waited:?}");
    root.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_calls_passes_the_one_mailbox() {
    const CALLERS: u64 = 64;
    const EACH: u64 = 300;
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder);
    let (limiter, root) = start(&store, LimiterConfig::sandbox()).await;
    let began = Instant::now();
    let callers = (0..CALLERS).map(|caller| {
        let limiter = limiter.clone();
        let session = SessionId::from_bytes([caller as u8 % 8; 16]);
        async move {
            for _ in 0..EACH {
                let call = ask(session, caller as i64 + 1, CostClass::Send);
                limiter.acquire(call).await.expect("granted");
            }
        }
    });
    futures_util::future::join_all(callers).await;
    let rate = (CALLERS * EACH) as f64 / began.elapsed().as_secs_f64();
    println!("{rate:.0} calls a second");
    assert!(rate > 5_000.0, "{rate:.0} calls a second, not optimised");
    root.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn of_a_session_that_is_no_more_nothing_is_left() {
    let folder = tempfile::tempdir().expect("a folder");
    let (gone, other) = (SessionId::generate(), SessionId::generate());
    let minute = Duration::from_secs(60);
    let store = open(&folder);
    let mut config = LimiterConfig::sandbox();
    (config.account.per_hour, config.account.per_day) = (200, 1000);
    (config.after_flood.slowdown, config.after_flood.slowest) = (2.0, 8.0);
    config.after_flood.hold = minute;
    let (limiter, root) = start(&store, config.clone()).await;
    for session in [gone, other] {
        limiter.in_use_since(session, None);
        let call = ask(session, 7, CostClass::Send);
        limiter.acquire(call).await.expect("granted");
        limiter
            .flooded(session, Some(ChatId(8)), CostClass::Send, minute)
            .await;
        limiter.flooded(session, None, CostClass::History, minute).await;
        limiter.peer_flooded(session).await;
    }
    let waits = {
        let limiter = limiter.clone();
        let mut call = ask(gone, 8, CostClass::Edit);
        call.class = CostClass::History;
        call.patience = (2 * minute).into();
        tokio::spawn(async move { limiter.acquire(call).await })
    };
    while (limiter.budgets(gone).await.expect("shown").classes.iter()).all(|class| class.waiting == 0) {
        tokio::task::yield_now().await;
    }
    limiter.forget(gone).await;
    let refused = tokio::time::timeout(Duration::from_secs(5), waits).await;
    assert!(
        refused.expect("at once").expect("no panic").is_err(),
        "nobody waits for it any more"
    );
    let left = |session| {
        let rows = super::table::sessions(&store).expect("rows");
        let spent = super::spent::sessions(&store).expect("rows");
        (rows.contains(&session), spent.contains(&session))
    };
    assert_eq!((left(gone), left(other)), ((false, false), (true, true)));
    // What an earlier release left of sessions that are no more goes, too; numbers are no sessions.
    let number = Number::of(&[1; 32], "989120000000", "SendCode");
    limiter.login_flooded(number, minute).await;
    let strangers = limiter.forget_strangers(|session| session != other).await;
    assert_eq!(strangers.expect("read"), 1);
    assert_eq!(left(other), (false, false));
    root.stop(Duration::from_secs(5)).await;
    let (limiter, root) = start(&store, config).await;
    let budgets = limiter.budgets(other).await.expect("there");
    assert!(budgets.waits.is_empty() && budgets.peer_flood.is_none());
    let rests = limiter.login_rests_until(number).await.expect("it rests");
    let left = rests.since(Timestamp::now());
    assert!(
        left > Duration::from_secs(50) && left <= Duration::from_secs(61),
        "{left:?}"
    );
    let another = Number::of(&[1; 32], "989120000000", "SignIn");
    assert_eq!(limiter.login_rests_until(another).await, None);
    root.stop(Duration::from_secs(5)).await;
}
