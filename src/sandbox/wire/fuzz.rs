//! Clients by chance: a right key with anything inside, over every transport, against the real world behind the server.

mod calls;

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use calls::calls;
use flate2::Compression;
use flate2::read::GzEncoder;
use grammers_tl_types as tl;
use proptest::prelude::*;
use tl::functions as f;
use tl::{Deserializable, Identifiable, Serializable};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::cipher::{AuthKey, Sender, key_id, open, seal};
use super::envelope::{Envelope, Message, container, is_container, open_container};
use super::outbox::now;
use super::rsa::RsaKey;
use super::salts::{SaltPeriod, Salts};
use super::server::{Wire, WireConfig};
use super::session::time_id;
use super::transport::tests::{ALL, client};
use super::transport::{Framing, Reading, Writing};
use crate::sandbox::rpc::{Call, Hub, MtSession, Reply, Service};
use crate::sandbox::telegram::Telegram;
use crate::sandbox::world::State;

/// How long a busy machine may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What every case of a test runs against.
struct Server {
    runtime: tokio::runtime::Runtime,
    wire: Wire,
    telegram: Telegram,
    key: AuthKey,
}

impl Server {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let hub = Hub::new();
        let telegram = Telegram::new(State::new(7), hub.clone(), None);
        let key: AuthKey = std::array::from_fn(|at| (at * 31 + 5) as u8);
        let user = telegram.world(|state| {
            state.keys.keep(key_id(&key).0, 2, &key);
            state.add_user(None, "+15550001", "Ann", "").expect("a user")
        });
        telegram.world(|state| state.keys.known.entry(key_id(&key).0).or_default().user = Some(user));
        let config = WireConfig::new(RsaKey::generate().expect("a key"));
        let wire = runtime
            .block_on(Wire::start(config, hub, Arc::new(telegram.clone())))
            .expect("listens");
        telegram.listens_at(wire.address());
        // What comes is to be worked on, not to be sent back for its numbers.
        telegram.world(|state| {
            state.switches.sequence_numbers.turn(false);
            state.switches.sequence_parity.turn(false);
            state.switches.inner_ids.turn(false);
        });
        Self {
            runtime,
            wire,
            telegram,
            key,
        }
    }

    async fn connect(&self, framing: Framing, random: Option<[u8; 32]>) -> Line<'_> {
        let stream = TcpStream::connect(self.wire.address()).await.expect("it listens");
        let (start, writing, reading) = client(framing, random);
        let mut line = Line {
            server: self,
            stream,
            writing,
            reading,
            buffer: BytesMut::new(),
            last_id: 0,
        };
        line.send(&start).await;
        line
    }
}

/// A client's connection.
struct Line<'a> {
    server: &'a Server,
    stream: TcpStream,
    writing: Writing,
    reading: Reading,
    buffer: BytesMut,
    last_id: i64,
}

impl Line<'_> {
    /// Sends bytes; the server may have ended the connection already.
    async fn send(&mut self, bytes: &[u8]) {
        drop(
            timeout(PATIENCE, self.stream.write_all(bytes))
                .await
                .expect("the server reads"),
        );
    }

    async fn packet(&mut self, payload: &[u8]) {
        let mut out = Vec::new();
        self.writing.packet(payload, &mut out);
        self.send(&out).await;
    }

    fn next_id(&mut self) -> i64 {
        self.last_id = time_id(now()).max(self.last_id + 4);
        self.last_id
    }

    async fn call(&mut self, body: Vec<u8>) -> i64 {
        let id = self.next_id();
        let envelope = Envelope {
            salt: Salts::of(&self.server.key, SaltPeriod::default()).current(now().as_secs()),
            session: MtSession(4711),
            message: Message {
                id,
                seq_no: 1,
                body: body.into(),
            },
        };
        let packet = seal(&self.server.key, Sender::Client, &envelope.write());
        self.packet(&packet).await;
        id
    }

    /// Every message until one that ends it, or until the server ends the connection, which is `None`.
    async fn until<T>(&mut self, mut known: impl FnMut(&Message) -> Option<T>) -> Option<T> {
        loop {
            while let Ok(Some(packet)) = self.reading.next(&mut self.buffer) {
                let Some(plain) = open(&self.server.key, Sender::Server, &packet) else {
                    continue;
                };
                let message = Envelope::read(plain).expect("the server writes well").message;
                let messages = match is_container(&message.body) {
                    true => open_container(&message.body).expect("the server writes well"),
                    false => vec![message],
                };
                if let Some(found) = messages.iter().find_map(&mut known) {
                    return Some(found);
                }
            }
            let read = self.stream.read_buf(&mut self.buffer);
            if timeout(PATIENCE, read)
                .await
                .expect("word from the server")
                .unwrap_or(0)
                == 0
            {
                return None;
            }
        }
    }

    /// Whether a ping is answered; if not, the connection was ended.
    async fn lives(&mut self) -> bool {
        let id = self.call(f::Ping { ping_id: 9 }.to_bytes()).await;
        let pong = |message: &Message| {
            let starts = message
                .body
                .starts_with(&tl::types::Pong::CONSTRUCTOR_ID.to_le_bytes());
            (starts && message.body[4..12] == id.to_le_bytes()).then_some(())
        };
        self.until(pong).await.is_some()
    }
}

/// Words as they are in calls: constructors of the protocol and of calls, vectors, numbers at the edges.
fn word() -> impl Strategy<Value = u32> {
    let known = [
        tl::types::MsgsAck::CONSTRUCTOR_ID,
        f::Ping::CONSTRUCTOR_ID,
        f::PingDelayDisconnect::CONSTRUCTOR_ID,
        f::GetFutureSalts::CONSTRUCTOR_ID,
        tl::types::MsgsStateReq::CONSTRUCTOR_ID,
        tl::types::MsgResendReq::CONSTRUCTOR_ID,
        tl::types::MsgResendAnsReq::CONSTRUCTOR_ID,
        f::RpcDropAnswer::CONSTRUCTOR_ID,
        f::DestroySession::CONSTRUCTOR_ID,
        f::InvokeWithLayer::<()>::CONSTRUCTOR_ID,
        f::InitConnection::<()>::CONSTRUCTOR_ID,
        f::InvokeAfterMsg::<()>::CONSTRUCTOR_ID,
        f::InvokeAfterMsgs::<()>::CONSTRUCTOR_ID,
        f::InvokeWithoutUpdates::<()>::CONSTRUCTOR_ID,
        f::InvokeWithTakeout::<()>::CONSTRUCTOR_ID,
        f::messages::SendMessage::CONSTRUCTOR_ID,
        f::updates::GetDifference::CONSTRUCTOR_ID,
        0x1cb5_c415,
        0x3072_cfa1,
        0x73f1_f8dc,
        tl::LAYER as u32,
    ];
    prop_oneof![
        4 => proptest::sample::select(known.to_vec()),
        2 => 0u32..9,
        1 => proptest::sample::select(vec![u32::MAX, i32::MAX as u32, i32::MIN as u32, 0x00ff_ffff]),
        1 => any::<u32>(),
    ]
}

/// Objects by chance: words, packed objects (some of them broken), containers (some of them with wrong lengths).
fn object() -> impl Strategy<Value = Vec<u8>> {
    let words = proptest::collection::vec(word(), 0..24).prop_map(|words| {
        words
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect::<Vec<u8>>()
    });
    words.prop_recursive(3, 64, 4, |inner| {
        let packed = (inner.clone(), 0usize..40).prop_map(|(object, cut)| packed(&object, cut));
        let contained = (
            proptest::collection::vec((inner, any::<i64>()), 0..4),
            proptest::option::of(word()),
        )
            .prop_map(|(objects, wrong)| contained(objects, wrong));
        prop_oneof![packed, contained]
    })
}

fn packed(object: &[u8], cut: usize) -> Vec<u8> {
    let mut gzip = Vec::new();
    let mut encoder = GzEncoder::new(object, Compression::best());
    std::io::Read::read_to_end(&mut encoder, &mut gzip).expect("memory");
    // One in two is whole.
    gzip.truncate(gzip.len().saturating_sub(cut.saturating_sub(20)));
    let mut out = 0x3072_cfa1u32.to_le_bytes().to_vec();
    gzip.serialize(&mut out);
    out
}

fn contained(objects: Vec<(Vec<u8>, i64)>, wrong: Option<u32>) -> Vec<u8> {
    let messages: Vec<Message> = objects
        .into_iter()
        .map(|(body, id)| Message {
            id: id & !3,
            seq_no: id as i32,
            body: body.into(),
        })
        .collect();
    let mut out = container(&messages).to_vec();
    if let (Some(wrong), true) = (wrong, out.len() >= 24) {
        let at = 4 * (wrong as usize % (out.len() / 4));
        out[at..at + 4].copy_from_slice(&wrong.to_le_bytes());
    }
    out
}

/// What a client sends under its key.
#[derive(Clone, Debug)]
enum Sent {
    /// An object in an envelope that is right.
    Object(Vec<u8>),
    /// A whole plaintext of one's own.
    Plaintext(Vec<u8>),
    /// A packet without encryption.
    Packet(Vec<u8>),
}

fn sent() -> impl Strategy<Value = Sent> {
    let bytes = || {
        proptest::collection::vec(any::<u32>(), 0..40).prop_map(|words| {
            words
                .iter()
                .flat_map(|word| word.to_le_bytes())
                .collect::<Vec<u8>>()
        })
    };
    let plain = bytes().prop_map(|rest| [&[0; 16][..], &(rest.len() as u32).to_le_bytes(), &rest].concat());
    prop_oneof![
        8 => object().prop_map(Sent::Object),
        1 => bytes().prop_map(Sent::Plaintext),
        1 => prop_oneof![plain, bytes()].prop_map(Sent::Packet),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, max_shrink_time: 20_000, ..ProptestConfig::default() })]

    /// Whatever a client with a right key sends: it is answered or its connection ends, and nobody else notices.
    #[test]
    fn no_client_brings_the_server_down(
        clients in proptest::collection::vec(
            (
                proptest::sample::select(&ALL[..]),
                proptest::option::of(proptest::array::uniform32(any::<u8>())),
                proptest::collection::vec(sent(), 1..8),
            ),
            1..4,
        ),
    ) {
        static SERVER: LazyLock<Server> = LazyLock::new(Server::start);
        let server = &*SERVER;
        server.runtime.block_on(async {
            for (framing, random, sent) in clients {
                let mut line = server.connect(framing, random).await;
                for one in sent {
                    match one {
                        Sent::Object(object) => drop(line.call(object).await),
                        Sent::Plaintext(bytes) => {
                            line.packet(&seal(&server.key, Sender::Client, &bytes)).await;
                        }
                        Sent::Packet(bytes) => line.packet(&bytes).await,
                    }
                }
                line.lives().await;
            }
            let mut other = server.connect(Framing::Intermediate, None).await;
            assert!(other.lives().await, "another client is served");
        });
        let requests = server.telegram.requests();
        let mut outcomes = requests.counts().values().flat_map(|outcomes| outcomes.keys());
        assert!(!outcomes.any(|outcome| outcome.contains("RPC_CALL_FAIL")), "a call panicked");
    }
}

/// A call with some of its bytes and words changed, cut or made longer.
fn changed() -> impl Strategy<Value = Vec<u8>> {
    let edges = vec![
        0,
        1,
        2,
        0x7fff_ffff,
        0x8000_0000,
        u32::MAX,
        0x1cb5_c415,
        0x7da0_7ec9,
        0xff,
        0xfe,
    ];
    let change = (
        any::<prop::sample::Index>(),
        prop_oneof![proptest::sample::select(edges), any::<u32>()],
        0u8..8,
    );
    (
        proptest::sample::select(calls()),
        proptest::collection::vec(change, 0..4),
    )
        .prop_map(|(mut call, changes)| {
            for (at, word, how) in changes {
                // The constructor stays, mostly: else it is one that nobody serves.
                let words = (call.len() / 4).max(2);
                let at = (1 + at.index(words - 1)) * 4;
                match how {
                    0 => call.truncate(at),
                    1 if at <= call.len() => drop(call.splice(at..at, word.to_le_bytes())),
                    2 => call.extend_from_slice(&word.to_le_bytes()),
                    _ if at + 4 <= call.len() => call[at..at + 4].copy_from_slice(&word.to_le_bytes()),
                    _ => {}
                }
            }
            call
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, max_shrink_time: 20_000, ..ProptestConfig::default() })]

    /// Whatever a call says, the world answers or refuses; it never breaks.
    #[test]
    fn no_call_breaks_the_world(bodies in proptest::collection::vec(changed(), 1..6)) {
        static SERVER: LazyLock<Server> = LazyLock::new(Server::start);
        let server = &*SERVER;
        server.runtime.block_on(async {
            for body in bodies {
                let call = Call {
                    dc: 2,
                    key: key_id(&server.key),
                    session: MtSession(1),
                    connection: 0,
                    layer: tl::LAYER,
                    without_updates: false,
                    body,
                };
                let reply = Service::call(&server.telegram, call).await;
                assert!(!matches!(reply, Reply::Error { code: 500, .. }), "{reply:?}");
            }
        });
    }
}

/// What a call is answered with: the error's name, or nothing for a result.
async fn outcome(line: &mut Line<'_>, question: i64) -> Option<String> {
    let answer = |message: &Message| {
        let body = &message.body;
        (body.len() >= 16
            && body[..4] == 0xf35c_6d01u32.to_le_bytes()
            && body[4..12] == question.to_le_bytes())
        .then(|| body.slice(12..))
    };
    let result: Bytes = line.until(answer).await.expect("an answer");
    match tl::enums::RpcError::from_bytes(&result) {
        Ok(tl::enums::RpcError::Error(error)) => Some(error.error_message),
        Err(_) => None,
    }
}

#[test]
fn neither_deep_nests_nor_a_thousand_bombs_bring_the_server_down() {
    let server = Server::start();
    server.runtime.block_on(async {
        let mut line = server.connect(Framing::Intermediate, None).await;
        let deep = [
            f::messages::GetHistory::CONSTRUCTOR_ID.to_le_bytes().to_vec(),
            tl::types::InputPeerUserFromMessage::CONSTRUCTOR_ID
                .to_le_bytes()
                .repeat(200_000),
        ]
        .concat();
        let introduced = [
            &f::InvokeWithLayer::<()>::CONSTRUCTOR_ID.to_le_bytes()[..],
            &tl::LAYER.to_le_bytes(),
            &f::InitConnection::<()>::CONSTRUCTOR_ID.to_le_bytes(),
            &[0; 32],
            &f::help::GetConfig {}.to_bytes(),
        ]
        .concat();
        let question = line.call(introduced).await;
        assert_eq!(outcome(&mut line, question).await, None);
        let question = line.call(deep.clone()).await;
        assert_eq!(
            outcome(&mut line, question).await.as_deref(),
            Some("INPUT_FETCH_ERROR")
        );
        let question = line.call(packed(&deep, 0)).await;
        assert_eq!(
            outcome(&mut line, question).await.as_deref(),
            Some("INPUT_FETCH_ERROR")
        );
        let bomb = packed(&vec![0; 1 << 20], 0);
        assert!(bomb.len() * 800 < 900_000, "they fit into one packet");
        let bombs = (0..800).map(|_| (bomb.clone(), line.next_id())).collect();
        line.call(contained(bombs, None)).await;
        assert!(line.lives().await, "its client may go on");
    });
}

#[test]
fn a_key_has_so_many_sessions_and_no_more() {
    let server = Server::start();
    server.runtime.block_on(async {
        let mut line = server.connect(Framing::Intermediate, None).await;
        for session in 0..65 {
            let id = line.next_id();
            let envelope = Envelope {
                salt: Salts::of(&server.key, SaltPeriod::default()).current(now().as_secs()),
                session: MtSession(session),
                message: Message {
                    id,
                    seq_no: 1,
                    body: f::Ping { ping_id: 1 }.to_bytes().into(),
                },
            };
            line.packet(&seal(&server.key, Sender::Client, &envelope.write()))
                .await;
        }
        assert_eq!(line.until(|_| None::<()>).await, None, "its connection ends");
        // Its sessions make room as soon as the server has seen its end.
        let began = Instant::now();
        while !server.connect(Framing::Intermediate, None).await.lives().await {
            assert!(
                began.elapsed() < PATIENCE,
                "sessions without a connection make room"
            );
        }
    });
}
