//! Receivers that are not what they seem: names that change their minds, redirects, answers that are none.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::webhook::resolve::{Reach, reach};

/// Where receivers may be called; all else of loopback is forbidden.
const ALLOWED: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const FORBIDDEN: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// What a receiver writes when it has heard a request.
#[derive(Clone, Debug)]
struct Script {
    bytes: Vec<u8>,
    /// Whether it goes on with the same bytes for ever.
    endless: bool,
}

impl Script {
    fn answer(text: &str) -> Self {
        Self {
            bytes: text.as_bytes().to_vec(),
            endless: false,
        }
    }
}

/// A server that counts its connections.
struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    script: Arc<Mutex<Script>>,
}

impl Server {
    async fn start(address: SocketAddr, script: Script) -> Option<Self> {
        let listener = TcpListener::bind(address).await.ok()?;
        let server = Self {
            address: listener.local_addr().expect("an address"),
            connections: Arc::default(),
            script: Arc::new(Mutex::new(script)),
        };
        let (connections, script) = (server.connections.clone(), server.script.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                let script = script.lock().expect("no panic").clone();
                tokio::spawn(serve(stream, script));
            }
        });
        Some(server)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn serve(mut stream: TcpStream, script: Script) {
    let mut heard = Vec::new();
    while !heard.ends_with(b"{}") {
        if stream.read_buf(&mut heard).await.unwrap_or(0) == 0 {
            return;
        }
    }
    while stream.write_all(&script.bytes).await.is_ok() && script.endless {
        tokio::task::yield_now().await;
    }
}

/// A receiver at the allowed address, and a trap at the same port of a forbidden one.
async fn receiver_and_trap(script: Script) -> (Server, Server) {
    loop {
        let receiver = Server::start((ALLOWED, 0).into(), script.clone())
            .await
            .expect("a port");
        let there = SocketAddr::new(FORBIDDEN, receiver.address.port());
        // Somebody else may have the port there.
        if let Some(trap) = Server::start(there, Script::answer("HTTP/1.1 200 OK\r\n\r\n")).await {
            return (receiver, trap);
        }
    }
}

/// A name server that answers each question with the next line, the last one for ever; and how often it was asked.
fn changing(lines: &[&[IpAddr]]) -> (Lookup, Arc<AtomicUsize>) {
    let lines: Vec<Vec<SocketAddr>> = lines
        .iter()
        .map(|line| line.iter().map(|address| SocketAddr::new(*address, 0)).collect())
        .collect();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let lookup: Lookup = Arc::new(move |_| {
        let at = count.fetch_add(1, Ordering::SeqCst).min(lines.len() - 1);
        let line = lines[at].clone();
        Box::pin(async move { Ok(line) })
    });
    (lookup, asked)
}

fn postman(lookup: Lookup, timeout: Duration) -> Postman {
    drop(rustls::crypto::ring::default_provider().install_default());
    let rules = AddressRules {
        allowed: vec![ALLOWED.into()],
    };
    Postman {
        lookup,
        ..Postman::new(Arc::new(rules), timeout, 4)
    }
}

fn parcel(url: &str) -> Parcel {
    Parcel {
        url: Url::parse(url).expect("a URL"),
        trust: Trust::Caller,
        headers: HeaderMap::new(),
        body: Bytes::from_static(b"{}"),
    }
}

const PATIENCE: Duration = Duration::from_secs(20);
const FINE: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

#[tokio::test]
async fn a_connection_goes_to_the_address_that_was_checked() {
    let (receiver, trap) = receiver_and_trap(Script::answer(FINE)).await;
    let url = format!("http://receiver.example:{}/hook", receiver.address.port());
    let (lookup, asked) = changing(&[&[ALLOWED], &[FORBIDDEN]]);
    let postman = postman(lookup, PATIENCE);
    let (answer, _) = postman.post(parcel(&url)).await;
    assert_eq!(answer.label(), "delivered");
    assert_eq!(
        asked.load(Ordering::SeqCst),
        1,
        "nobody asks between check and connection"
    );
    let (answer, _) = postman.post(parcel(&url)).await;
    assert_eq!(
        answer.status,
        Err(NoAnswer::Forbidden),
        "each connection is checked anew"
    );
    assert_eq!((receiver.connections(), trap.connections()), (1, 0));
}

#[tokio::test]
async fn a_name_that_changes_its_mind_after_the_endpoint_was_made_gains_nothing() {
    let (receiver, trap) = receiver_and_trap(Script::answer(FINE)).await;
    let url = format!("http://receiver.example:{}/hook", receiver.address.port());
    let disguised: IpAddr = "::ffff:127.0.0.1".parse().expect("an address");
    let translated: IpAddr = "64:ff9b::7f00:1".parse().expect("an address");
    for later in [FORBIDDEN, disguised, translated] {
        let (lookup, _) = changing(&[&[ALLOWED], &[later]]);
        let postman = postman(lookup.clone(), PATIENCE);
        let made = reach(
            &Url::parse(&url).expect("a URL"),
            &postman.rules,
            Trust::Caller,
            &lookup,
        )
        .await;
        assert_eq!(made, Reach::Allowed);
        let (answer, _) = postman.post(parcel(&url)).await;
        assert_eq!(answer.status, Err(NoAnswer::Forbidden), "{later}");
    }
    let (lookup, _) = changing(&[&[FORBIDDEN, ALLOWED, disguised]]);
    let (answer, _) = postman(lookup, PATIENCE).post(parcel(&url)).await;
    assert_eq!(
        answer.label(),
        "delivered",
        "the allowed one among several is called"
    );
    assert_eq!((receiver.connections(), trap.connections()), (1, 0));
}

#[tokio::test]
async fn a_redirect_leads_nowhere() {
    let (receiver, trap) = receiver_and_trap(Script::answer(FINE)).await;
    let port = receiver.address.port();
    let url = format!("http://receiver.example:{port}/hook");
    let (lookup, _) = changing(&[&[ALLOWED]]);
    let postman = postman(lookup, PATIENCE);
    let targets = [
        format!("http://127.0.0.1:{port}/"),
        format!("//127.0.0.1:{port}/"),
        format!("http://2130706433:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("http://{ALLOWED}:{port}/again"),
        "/again".to_owned(),
    ];
    let mut made = 0;
    for status in [301, 302, 303, 307, 308] {
        for target in &targets {
            *receiver.script.lock().expect("no panic") = Script::answer(&format!(
                "HTTP/1.1 {status} Elsewhere\r\nlocation: {target}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
            ));
            let (answer, _) = postman.post(parcel(&url)).await;
            assert_eq!(answer.label(), "redirected", "{status} {target}");
            made += 1;
        }
    }
    assert_eq!((receiver.connections(), trap.connections()), (made, 0));
}

#[tokio::test]
async fn no_spelling_of_a_forbidden_address_is_connected_to() {
    let (receiver, trap) = receiver_and_trap(Script::answer(FINE)).await;
    let port = receiver.address.port();
    let (lookup, asked) = changing(&[&[ALLOWED]]);
    let postman = postman(lookup, PATIENCE);
    for host in [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "017700000001",
        "0177.0.0.01",
        "127.1",
        "127.0.0.1.",
        "0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "%31%32%37.0.0.1",
        "\u{ff11}\u{ff12}\u{ff17}.0.0.1",
        "127\u{3002}0\u{3002}0\u{3002}1",
    ] {
        let (answer, _) = postman.post(parcel(&format!("http://{host}:{port}/"))).await;
        assert_eq!(answer.status, Err(NoAnswer::Forbidden), "{host}");
    }
    assert_eq!((receiver.connections(), trap.connections()), (0, 0));
    assert_eq!(asked.load(Ordering::SeqCst), 0, "none of them is a name");
}

/// What a receiver is told of that answers like this.
async fn told(address: SocketAddr, scheme: &str) -> Result<u16, NoAnswer> {
    let (lookup, _) = changing(&[&[ALLOWED]]);
    let (answer, _) = postman(lookup, PATIENCE)
        .post(parcel(&format!("{scheme}://{address}/hook")))
        .await;
    assert_eq!(answer.fault().is_none(), answer.status.is_ok(), "{answer:?}");
    answer.status
}

/// A receiver with a certificate that nobody known has issued; it answers one request.
fn unknown_issuer() -> SocketAddr {
    let certificate = include_bytes!("../../../tests/data/receiver.crt.der").to_vec();
    let key = include_bytes!("../../../tests/data/receiver.key.der").to_vec();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(key).into();
    drop(rustls::crypto::ring::default_provider().install_default());
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.into()], key)
        .expect("a certificate");
    let listener = std::net::TcpListener::bind((ALLOWED, 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut tls = rustls::ServerConnection::new(Arc::new(config)).expect("a server");
        // It is the other side that ends this.
        while tls.complete_io(&mut stream).is_ok() && !tls.wants_write() && tls.is_handshaking() {}
    });
    address
}

#[tokio::test]
async fn what_keeps_a_delivery_from_its_receiver_is_told_apart() {
    let status = told(unknown_issuer(), "https").await;
    assert!(matches!(status, Err(NoAnswer::Certificate(_))), "{status:?}");

    let plain = Server::start((ALLOWED, 0).into(), Script::answer(FINE))
        .await
        .expect("a port");
    let silent = Script::answer("");
    let garbled = Script::answer("SSH-2.0-OpenSSH_9.6\r\n");
    let broken = Server::start((ALLOWED, 0).into(), silent).await.expect("a port");
    let other = Server::start((ALLOWED, 0).into(), garbled).await.expect("a port");
    let nobody = TcpListener::bind((ALLOWED, 0)).await.expect("a port");
    let nowhere = nobody.local_addr().expect("an address");
    drop(nobody);
    assert_eq!(told(plain.address, "http").await, Ok(200));
    assert_eq!(told(nowhere, "http").await, Err(NoAnswer::Refused));
    assert_eq!(told(nowhere, "https").await, Err(NoAnswer::Refused));
    assert_eq!(told(broken.address, "http").await, Err(NoAnswer::Broken));
    assert_eq!(told(other.address, "http").await, Err(NoAnswer::Garbled));

    let dead: Lookup = Arc::new(|_| Box::pin(async { Err(std::io::ErrorKind::NotFound.into()) }));
    let empty: Lookup = Arc::new(|_| Box::pin(async { Ok(Vec::new()) }));
    for lookup in [dead, empty] {
        let (answer, _) = postman(lookup, PATIENCE)
            .post(parcel("https://receiver.example/"))
            .await;
        assert_eq!(answer.status, Err(NoAnswer::Unresolved));
        assert_eq!(
            answer.fault().map(|(code, _)| code.as_str()),
            Some("RECEIVER_UNRESOLVED")
        );
    }
}

#[tokio::test]
async fn a_receiver_that_speaks_no_tls_is_told_so() {
    let listener = TcpListener::bind((ALLOWED, 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut hello = [0; 64];
            drop(stream.read(&mut hello).await);
            drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await);
        }
    });
    assert_eq!(told(address, "https").await, Err(NoAnswer::Tls));
}

/// An answer by chance: nonsense, or a head with a bit of everything and any body.
fn scripts() -> impl Strategy<Value = Script> {
    let line = prop_oneof![
        Just("HTTP/1.1 200 OK".to_owned()),
        (0u32..1200).prop_map(|status| format!("HTTP/1.1 {status} Word")),
        "[A-Z0-9/. ]{0,20}",
    ];
    let header = prop_oneof![
        "[0-9a-z ,:+.-]{0,40}".prop_map(|value| format!("retry-after: {value}")),
        any::<u64>().prop_map(|value| format!("retry-after: {value}")),
        (0u32..100_000).prop_map(|length| format!("content-length: {length}")),
        Just("transfer-encoding: chunked".to_owned()),
        Just("content-encoding: gzip".to_owned()),
        Just("location: http://127.0.0.1/".to_owned()),
        Just("connection: close".to_owned()),
        "[a-z-]{0,8}[: ]{0,3}[ -~]{0,60}",
    ];
    let body = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..30_000),
        "([0-9a-fA-F]{0,9}\r\n[a-z]{0,9}\r\n){0,5}".prop_map(String::into_bytes),
    ];
    let made = (line, proptest::collection::vec(header, 0..6), body).prop_map(|(line, headers, body)| {
        let mut bytes = format!("{line}\r\n{}\r\n\r\n", headers.join("\r\n")).into_bytes();
        bytes.extend_from_slice(&body);
        bytes
    });
    let endless = prop_oneof![
        Just(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()),
        Just(b"x: y\r\n".to_vec()),
        Just(vec![b'a'; 5000]),
    ];
    prop_oneof![
        6 => made.prop_map(|bytes| Script { bytes, endless: false }),
        2 => proptest::collection::vec(any::<u8>(), 0..3000).prop_map(|bytes| Script { bytes, endless: false }),
        1 => endless.prop_map(|bytes| Script { bytes, endless: true }),
    ]
}

#[test]
fn bytes_that_are_no_text_take_no_more_room() {
    assert_eq!(text_of(b"fine"), "fine");
    let text = text_of(&[0xff; ANSWER_LIMIT]);
    assert!(
        (ANSWER_LIMIT - 3..=ANSWER_LIMIT).contains(&text.len()),
        "{}",
        text.len()
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a receiver answers: a verdict in time, and no more kept of it than is promised.
    #[test]
    fn any_answer_gets_a_verdict(scripts in proptest::collection::vec(scripts(), 1..4)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let answers = runtime.block_on(async {
            let receiver = Server::start((ALLOWED, 0).into(), Script::answer("")).await.expect("a port");
            let url = format!("http://{}/hook", receiver.address);
            let postman = postman(system(), Duration::from_millis(100));
            let mut answers = Vec::new();
            for script in scripts {
                *receiver.script.lock().expect("no panic") = script;
                answers.push(postman.post(parcel(&url)).await);
            }
            answers
        });
        for (answer, took) in answers {
            prop_assert!(took < PATIENCE);
            prop_assert!(answer.text.len() <= ANSWER_LIMIT);
            prop_assert_eq!(answer.label() == "delivered", answer.fault().is_none());
            if let crate::webhook::attempt::Verdict::Failed(failure) = answer.verdict() {
                let schedule = crate::webhook::WebhookConfig::default().schedule();
                prop_assert!(schedule.next(1, failure, 0.5).is_some_and(|wait| wait <= 2 * Duration::from_secs(60)));
            }
        }
    }
}
