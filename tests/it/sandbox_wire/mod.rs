//! The sandbox's wire as a client of another make sees it: keys, salts, order, repetition, loss.

mod beside;
pub mod client;
mod endings;
mod little;
mod manners;

use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use client::{Client, Heard, Pipe, answer_to, introduced};
use grammers_tl_types as tl;
use little::{Little, nearest};
use tl::functions as f;
use tl::{Deserializable, Serializable};
use trunkline::sandbox::rpc::{KeyId, KnownKey, Service};
use trunkline::sandbox::switch::Switch;
use trunkline::sandbox::wire::{RsaKey, Wire, WireConfig};

/// Made once: drawing primes is the slowest part of these tests.
static PRIVATE_PEM: LazyLock<String> = LazyLock::new(|| {
    RsaKey::generate()
        .and_then(|key| key.private_pem())
        .expect("a key")
        .to_string()
});

struct Server {
    wire: Wire,
    world: Arc<Little>,
    public_pem: String,
}

async fn start() -> Server {
    start_with(Vec::new()).await
}

async fn start_with(keys: Vec<KnownKey>) -> Server {
    let rsa = RsaKey::from_pem(&PRIVATE_PEM).expect("our own key");
    let public_pem = rsa.public_pem().expect("its public half");
    let world = Arc::new(Little {
        keys: Mutex::new(keys),
        ..Little::default()
    });
    let wire = Wire::start(WireConfig::new(rsa), world.hub.clone(), world.clone())
        .await
        .expect("a free port");
    Server {
        wire,
        world,
        public_pem,
    }
}

impl Server {
    /// A client that has introduced itself.
    async fn client(&self) -> Client {
        let mut client = Client::begin(self.wire.address(), &self.public_pem).await;
        client
            .call(&introduced(f::help::GetNearestDc {}))
            .await
            .expect("an answer");
        client
    }

    fn key(&self) -> KeyId {
        self.world.keys.lock().unwrap()[0].id
    }
}

fn country(answer: tl::enums::NearestDc) -> String {
    let tl::enums::NearestDc::Dc(dc) = answer;
    dc.country
}

async fn country_of(client: &mut Client, question: i64) -> String {
    country(tl::enums::NearestDc::from_bytes(&client.answer(question).await.expect("a result")).unwrap())
}

#[tokio::test]
async fn a_key_is_exchanged_and_a_call_answered() {
    let server = start().await;
    let mut client = Client::begin(server.wire.address(), &server.public_pem).await;
    assert_eq!(
        client.call(&f::help::GetNearestDc {}).await.unwrap_err(),
        (400, "CONNECTION_NOT_INITED".to_string())
    );
    let question = client
        .send(&introduced(f::help::GetNearestDc {}).to_bytes())
        .await;
    assert_eq!(country_of(&mut client, question).await, "0");
    assert_eq!(server.world.clients.lock().unwrap()[0].device_model, "test");
    assert_eq!(
        country(client.call(&f::help::GetNearestDc {}).await.unwrap()),
        "1"
    );
    let old = f::InvokeWithLayer {
        layer: 100,
        query: f::help::GetNearestDc {},
    };
    assert_eq!(client.call(&old).await.unwrap_err().1, "CONNECTION_LAYER_INVALID");
    server.wire.stop().await;
}

#[tokio::test]
async fn a_new_session_is_told_so_and_a_wrong_salt_is_corrected() {
    let server = start().await;
    let mut client = Client::begin(server.wire.address(), &server.public_pem).await;
    client.salt = 0;
    let question = client
        .send(&introduced(f::help::GetNearestDc {}).to_bytes())
        .await;
    let message = client.next().await;
    let Some(tl::enums::BadMsgNotification::BadServerSalt(bad)) = message.is() else {
        panic!("{message:?}")
    };
    assert_eq!((bad.bad_msg_id, bad.error_code), (question, 48));
    assert_eq!(server.world.calls.load(Ordering::SeqCst), 0);
    client.salt = bad.new_server_salt;
    let question = client
        .send(&introduced(f::help::GetNearestDc {}).to_bytes())
        .await;
    let message = client.next().await;
    let Some(tl::enums::NewSession::Created(created)) = message.is() else {
        panic!("{message:?}")
    };
    assert_eq!(
        (created.first_msg_id, created.server_salt),
        (question, client.salt)
    );
    assert_eq!((message.seq_no, message.id % 4), (1, 3));
    let answer = client.next().await;
    assert!(answer_to(&answer, question).is_some());
    assert_eq!((answer.seq_no, answer.id % 4), (3, 1));
}

#[tokio::test]
async fn future_salts_come_bare_and_hold() {
    let server = start().await;
    let mut client = Client::begin(server.wire.address(), &server.public_pem).await;
    let question = client.send(&f::GetFutureSalts { num: 64 }.to_bytes()).await;
    let salts = client.wait(|it| it.is::<tl::enums::FutureSalts>()).await;
    let tl::enums::FutureSalts::Salts(salts) = salts;
    assert_eq!((salts.req_msg_id, salts.salts.0.len()), (question, 64));
    assert!(salts.salts.0[0].valid_since <= salts.now && salts.now < salts.salts.0[0].valid_until);
    for salt in &salts.salts.0[..2] {
        client.salt = salt.salt;
        client
            .call(&introduced(f::help::GetNearestDc {}))
            .await
            .expect("the current salt and the next one");
    }
}

#[tokio::test]
async fn containers_gzip_and_pings_mix() {
    let server = start().await;
    let mut client = server.client().await;
    let long = f::InvokeWithoutUpdates {
        query: f::help::GetNearestDc {},
    }
    .to_bytes();
    let mut packed = Vec::new();
    std::io::Read::read_to_end(
        &mut flate2::read::GzEncoder::new(&long[..], flate2::Compression::default()),
        &mut packed,
    )
    .unwrap();
    let mut gzip = 0x3072_cfa1u32.to_le_bytes().to_vec();
    packed.serialize(&mut gzip);
    let bodies = vec![
        f::Ping { ping_id: 5 }.to_bytes(),
        gzip,
        f::help::GetAppUpdate { source: "".into() }.to_bytes(),
    ];
    let (_, ids) = client.send_container(&bodies).await;
    let (mut pong, mut near, mut long) = (false, false, false);
    while !(pong && near && long) {
        let message = client.next().await;
        if let Some(tl::enums::Pong::Pong(it)) = message.is() {
            assert_eq!((it.msg_id, it.ping_id, message.seq_no % 2), (ids[0], 5, 0));
            pong = true;
        }
        near |= answer_to(&message, ids[1]).is_some();
        if let Some(answer) = answer_to(&message, ids[2]) {
            assert!(message.body.len() < 1000, "sent packed");
            assert_eq!(
                country(tl::enums::NearestDc::from_bytes(&answer).unwrap()).len(),
                5000
            );
            long = true;
        }
    }
}

#[tokio::test]
async fn a_repeated_call_is_executed_once() {
    let server = start().await;
    let mut client = server.client().await;
    let query = f::help::GetNearestDc {}.to_bytes();
    let question = client.send(&query).await;
    let first = client
        .wait(|it| answer_to(it, question).map(|_| it.clone()))
        .await;
    client.send_as(question, &query, true).await;
    let again = client
        .wait(|it| answer_to(it, question).map(|_| it.clone()))
        .await;
    assert_eq!(again, first, "the same message again");
    client.acknowledge(&[first.id]).await;
    client.send_as(question, &query, true).await;
    let info = client.wait(|it| it.is::<tl::enums::MsgDetailedInfo>()).await;
    let tl::enums::MsgDetailedInfo::Info(info) = info else {
        panic!("of another kind")
    };
    assert_eq!((info.msg_id, info.answer_msg_id), (question, first.id));
    assert_eq!(
        server.world.calls.load(Ordering::SeqCst),
        2,
        "the introduction and this one"
    );
}

#[tokio::test]
async fn a_slow_call_holds_back_neither_pings_nor_others_for_long() {
    let server = start().await;
    let mut client = server.client().await;
    let slow = client.send(&f::help::GetSupport {}.to_bytes()).await;
    let quick = client.send(&f::help::GetNearestDc {}.to_bytes()).await;
    let ask = tl::enums::MsgsStateReq::Req(tl::types::MsgsStateReq { msg_ids: vec![slow] });
    let state = client.send(&ask.to_bytes()).await;
    let mut order = Vec::new();
    while order.last() != Some(&"slow") {
        let message = client.next().await;
        if let Some(tl::enums::MsgsStateInfo::Info(info)) = message.is() {
            assert_eq!((info.req_msg_id, info.info), (state, vec![4 + 32]));
            order.push("state");
        }
        if let Some(tl::enums::MsgsAck::Ack(ack)) = message.is() {
            assert_eq!(ack.msg_ids, [slow]);
            order.push("ack");
        }
        order.extend(answer_to(&message, quick).map(|_| "quick"));
        order.extend(answer_to(&message, slow).map(|_| "slow"));
    }
    assert_eq!(
        order.len(),
        4,
        "the slow one, which was acknowledged, came last: {order:?}"
    );
}

#[tokio::test]
async fn an_answer_cut_off_comes_on_the_next_connection_of_the_session() {
    let server = start().await;
    let mut client = server.client().await;
    let question = client.send(&f::help::GetSupportName {}.to_bytes()).await;
    while client.pipe.hear().await != Heard::Closed {}
    client.reconnect(server.wire.address()).await;
    client.send(&f::Ping { ping_id: 1 }.to_bytes()).await;
    assert_eq!(country_of(&mut client, question).await, "kept");

    let question = client.send(&f::help::GetInviteText {}.to_bytes()).await;
    let question = match client.pipe.hear().await {
        Heard::Closed => question,
        _ => {
            let question = client.send(&f::help::GetInviteText {}.to_bytes()).await;
            while client.pipe.hear().await != Heard::Closed {}
            question
        }
    };
    client.reconnect(server.wire.address()).await;
    client
        .send_as(question, &f::help::GetInviteText {}.to_bytes(), true)
        .await;
    assert_eq!(country_of(&mut client, question).await, "second try");
}

#[tokio::test]
async fn pushes_keep_their_order_and_survive_a_new_connection() {
    let server = start().await;
    let mut client = server.client().await;
    server.world.hub.push(server.key(), nearest("nobody listens"));
    client
        .call(&f::InvokeWithoutUpdates {
            query: f::help::GetNearestDc {},
        })
        .await
        .unwrap();
    let question = client.send(&f::updates::GetState {}.to_bytes()).await;
    client.answer(question).await.unwrap();
    let push = |n: usize| server.world.hub.push(server.key(), nearest(&format!("push {n}")));
    (0..50).for_each(push);
    let mut seen = Vec::new();
    for _ in 0..50 {
        let (text, id) = client
            .wait(|it| it.is().map(|found| (country(found), it.id)))
            .await;
        seen.push(text);
        client.acknowledge(&[id]).await;
    }
    assert_eq!(seen, (0..50).map(|n| format!("push {n}")).collect::<Vec<_>>());
    assert_eq!(client.rest().await, []);

    server.world.hub.disconnect(server.key());
    while client.pipe.hear().await != Heard::Closed {}
    push(50);
    client.reconnect(server.wire.address()).await;
    push(51);
    client.send(&f::Ping { ping_id: 1 }.to_bytes()).await;
    let mut next = async || {
        client
            .wait(|it| it.is::<tl::enums::NearestDc>().map(country))
            .await
    };
    assert_eq!((next().await, next().await), ("push 50".into(), "push 51".into()));
}

#[tokio::test]
async fn who_does_not_listen_misses_updates_or_is_cut_off_and_nobody_waits_for_it() {
    let server = start().await;
    let mut client = server.client().await;
    let question = client.send(&f::updates::GetState {}.to_bytes()).await;
    client.answer(question).await.unwrap();
    let text: String = (0..2000).map(|_| rand::random_range('a'..='z')).collect();
    let manners = |told| trunkline::sandbox::rpc::Manners {
        laggards_told: Switch::new(told),
        ..Default::default()
    };
    server.world.hub.set_manners(manners(true));
    let push_many = || (0..40_000).for_each(|_| server.world.hub.push(server.key(), nearest(&text)));
    push_many();
    let mut pushed = 0;
    loop {
        let message = client.next().await;
        if let Some(tl::enums::Updates::TooLong) = message.is() {
            break;
        }
        pushed += usize::from(message.is::<tl::enums::NearestDc>().is_some());
    }
    assert!(pushed < 30_000, "what waited was left out: {pushed}");
    client
        .call(&f::help::GetNearestDc {})
        .await
        .expect("the connection stays");

    server.world.hub.set_manners(manners(false));
    push_many();
    while client.pipe.hear().await != Heard::Closed {}
    client.reconnect(server.wire.address()).await;
    client.send(&f::help::GetNearestDc {}.to_bytes()).await;
    client.wait(|it| it.is::<tl::enums::NewSession>()).await;
}

#[tokio::test]
async fn connections_are_counted() {
    let rsa = RsaKey::from_pem(&PRIVATE_PEM).expect("our own key");
    let world = Arc::new(Little::default());
    let config = WireConfig {
        max_connections: 1,
        ..WireConfig::new(rsa)
    };
    let wire = Wire::start(config, world.hub.clone(), world.clone())
        .await
        .expect("a free port");
    let mut first = Pipe::open(wire.address()).await;
    assert!(Pipe::is_refused(wire.address()).await);
    assert_eq!(world.hub.connections().turned_away, 1);
    first.send(&[7; 64]).await;
    assert_eq!(first.hear().await, Heard::TransportError(-404));
}

#[tokio::test]
async fn what_is_wrong_is_told() {
    let server = start().await;
    let mut client = server.client().await;
    let query = f::help::GetNearestDc {}.to_bytes();
    let good = client.next_id();
    for (id, code) in [(good + 1, 18), (good - (400 << 32), 16), (good + (100 << 32), 17)] {
        client.send_as(id, &query, true).await;
        let bad = client.wait(|it| it.is::<tl::enums::BadMsgNotification>()).await;
        let tl::enums::BadMsgNotification::Notification(bad) = bad else {
            panic!("of another kind")
        };
        assert_eq!((bad.bad_msg_id, bad.error_code), (id, code));
    }
    let broken = [0x73f1_f8dcu32.to_le_bytes(), 9u32.to_le_bytes()].concat();
    let id = client.next_id();
    client.send_as(id, &broken, false).await;
    let bad = client.wait(|it| it.is::<tl::enums::BadMsgNotification>()).await;
    assert!(matches!(bad, tl::enums::BadMsgNotification::Notification(it) if it.error_code == 64));
    let question = client.send(&[1, 2, 3, 4]).await;
    assert_eq!(
        client.answer(question).await,
        Err((400, "INPUT_METHOD_INVALID".into()))
    );
    let question = client.send(&f::help::GetCdnConfig {}.to_bytes()).await;
    assert_eq!(client.answer(question).await, Err((500, "RPC_CALL_FAIL".into())));
}

#[tokio::test]
async fn calls_wait_for_their_predecessors() {
    let server = start().await;
    let mut client = server.client().await;
    let slow = client.send(&f::help::GetSupport {}.to_bytes()).await;
    let next = f::InvokeAfterMsg {
        msg_id: slow,
        query: f::help::GetNearestDc {},
    };
    let next = client.send(&next.to_bytes()).await;
    let mut order = Vec::new();
    while order.len() < 2 {
        let message = client.next().await;
        order.extend(
            [slow, next]
                .into_iter()
                .filter(|id| answer_to(&message, *id).is_some()),
        );
    }
    assert_eq!(order, [slow, next]);

    let failing = client.send(&[1, 2, 3, 4]).await;
    let after = f::InvokeAfterMsg {
        msg_id: failing,
        query: f::help::GetNearestDc {},
    };
    assert_eq!(
        client.call(&after).await.unwrap_err(),
        (400, "MSG_WAIT_FAILED".into())
    );
    let after = f::InvokeAfterMsg {
        msg_id: 4,
        query: f::help::GetNearestDc {},
    };
    assert_eq!(
        client.call(&after).await.unwrap_err(),
        (500, "MSG_WAIT_TIMEOUT".into())
    );
}

#[tokio::test]
async fn sessions_and_keys_are_destroyed_on_request() {
    let server = start().await;
    let mut client = server.client().await;
    let pipe = Pipe::open(server.wire.address()).await;
    let mut other = Client::over(pipe, client.key.clone(), 77, client.salt);
    assert_eq!(
        country(other.call(&f::help::GetNearestDc {}).await.unwrap()),
        "1",
        "one key, two sessions"
    );
    client
        .send(&f::DestroySession { session_id: 77 }.to_bytes())
        .await;
    let answer = client.wait(|it| it.is::<tl::enums::DestroySessionRes>()).await;
    assert!(matches!(answer, tl::enums::DestroySessionRes::DestroySessionOk(it) if it.session_id == 77));
    client
        .send(&f::DestroySession { session_id: 78 }.to_bytes())
        .await;
    let answer = client.wait(|it| it.is::<tl::enums::DestroySessionRes>()).await;
    assert!(matches!(
        answer,
        tl::enums::DestroySessionRes::DestroySessionNone(_)
    ));

    client.send(&f::DestroyAuthKey {}.to_bytes()).await;
    let answer = client.wait(|it| it.is::<tl::enums::DestroyAuthKeyRes>()).await;
    assert!(matches!(answer, tl::enums::DestroyAuthKeyRes::DestroyAuthKeyOk));
    client.send(&f::Ping { ping_id: 1 }.to_bytes()).await;
    assert_eq!(client.pipe.hear().await, Heard::TransportError(-404));
    assert_eq!(client.pipe.hear().await, Heard::Closed);
    assert!(server.world.keys.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_unwanted_answer_stays_away() {
    let server = start().await;
    let mut client = server.client().await;
    let slow = client.send(&f::help::GetSupport {}.to_bytes()).await;
    let verdict = client.call(&f::RpcDropAnswer { req_msg_id: slow }).await.unwrap();
    assert!(matches!(
        verdict,
        tl::enums::RpcDropAnswer::RpcAnswerDroppedRunning
    ));
    let verdict = client.call(&f::RpcDropAnswer { req_msg_id: 4 }).await.unwrap();
    assert!(matches!(verdict, tl::enums::RpcDropAnswer::RpcAnswerUnknown));
    let next = f::InvokeAfterMsg {
        msg_id: slow,
        query: f::help::GetNearestDc {},
    };
    assert_eq!(client.call(&next).await.unwrap_err().1, "MSG_WAIT_FAILED");
    assert!(client.rest().await.iter().all(|it| answer_to(it, slow).is_none()));
}
