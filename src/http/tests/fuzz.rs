//! Requests by chance over a socket: heads, bodies, lengths that lie. Each is answered or its connection ends.

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::*;

/// A byte string that may stand anywhere in a request.
fn anything() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => "[ -~]{0,30}".prop_map(String::into_bytes),
        1 => proptest::collection::vec(any::<u8>(), 0..30),
        1 => Just(vec![b'a'; 9000]),
        1 => Just("../..%2f..%00%ff/\u{202e}".as_bytes().to_vec()),
    ]
}

/// One line of a head.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let fixed = [
        "host: x",
        "connection: close",
        "connection: keep-alive, upgrade",
        "upgrade: h2c",
        "expect: 100-continue",
        "transfer-encoding: chunked",
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: identity",
        "content-type: application/json",
        "content-type: application/json; charset=\"",
        "x-api-key: tlk_wrong",
        "authorization: Bearer",
        "authorization: Bearer KEY",
        "x-api-key: KEY",
        "accept-language: fa;q=nan, *;q=9, ,;",
        "x-request-id: a b\tc",
        " folded",
    ];
    let named =
        |name: &'static str| anything().prop_map(move |value| [name.as_bytes(), b": ", &value].concat());
    prop_oneof![
        8 => proptest::sample::select(fixed.to_vec()).prop_map(|line| line.as_bytes().to_vec()),
        3 => (0u64..40).prop_map(|length| format!("content-length: {length}").into_bytes()),
        1 => any::<i128>().prop_map(|length| format!("content-length: {length}").into_bytes()),
        1 => named("x-api-key"),
        1 => named("authorization"),
        1 => named("x-request-id"),
        1 => named("accept-language"),
        1 => anything(),
    ]
}

/// A request, and whether its caller says that nothing more will come.
fn request() -> impl Strategy<Value = (Vec<u8>, bool)> {
    let methods = [
        "GET", "POST", "HEAD", "PUT", "OPTIONS", "CONNECT", "PRI", "get", "",
    ];
    let targets = [
        "/open",
        "/echo",
        "/admin",
        "/things/a",
        "/things/%2e%2e",
        "//open",
        "/open/",
        "*",
        "http://x/open",
        "/open?a=%",
        "/things/%c0%ae",
        "/open#a",
        "/held/../open",
        "/things/",
    ];
    let method = prop_oneof![
        8 => proptest::sample::select(methods.to_vec()).prop_map(|it| it.as_bytes().to_vec()),
        1 => anything(),
    ];
    let target = prop_oneof![
        8 => proptest::sample::select(targets.to_vec()).prop_map(|it| it.as_bytes().to_vec()),
        1 => anything().prop_map(|path| [b"/things/", &path[..]].concat()),
        1 => anything().prop_map(|query| [b"/open?", &query[..]].concat()),
        1 => anything(),
    ];
    let version = proptest::sample::select(vec!["HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "", "HTTP/1.1 x"]);
    let version = prop_oneof![3 => Just("HTTP/1.1"), 1 => version];
    let body = prop_oneof![
        Just(br#"{"word":"a"}"#.to_vec()),
        Just(b"c\r\n{\"word\":\"a\"}\r\n0\r\n\r\n".to_vec()),
        Just(b"fffffffffffffffff\r\n".to_vec()),
        Just([vec![b'['; 5000], vec![b']'; 5000]].concat()),
        Just(br#"{"word":"\ud800"}"#.to_vec()),
        anything(),
    ];
    let whole = (
        method,
        target,
        version,
        proptest::collection::vec(line(), 0..8),
        body,
    )
        .prop_map(|(method, target, version, lines, body)| {
            let mut bytes = [&method[..], b" ", &target, b" ", version.as_bytes(), b"\r\n"].concat();
            for line in lines {
                bytes.extend_from_slice(&line);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"\r\n");
            bytes.extend_from_slice(&body);
            bytes
        });
    let bytes = prop_oneof![9 => whole, 1 => proptest::collection::vec(any::<u8>(), 0..300)];
    (bytes, any::<bool>())
}

/// Sends bytes and takes what comes back.
async fn exchange(house: &House, bytes: &[u8], shut: bool) -> String {
    let mut stream = TcpStream::connect(house.address).await.expect("it listens");
    // An end in the middle is an end.
    drop(stream.write_all(bytes).await);
    if shut {
        drop(stream.shutdown().await);
    }
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut answer));
    drop(read.await.expect("it ends"));
    String::from_utf8_lossy(&answer).into_owned()
}

/// The statuses in what came back: one of each answer.
fn statuses(text: &str) -> impl Iterator<Item = u16> {
    let starts = text.split("HTTP/1.").skip(1);
    starts.filter_map(|rest| rest.split(' ').nth(1)?.parse().ok())
}

#[test]
fn no_request_gets_more_than_a_refusal() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let house = runtime.block_on(house(HttpConfig {
        header_timeout: Span::millis(150),
        body_timeout: Span::millis(150),
        ..HttpConfig::default()
    }));
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 25,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let requests = proptest::collection::vec(request(), 20);
    let outcome = runner.run(&requests, |requests| {
        let key = house.reader.as_bytes();
        let with_key = |bytes: Vec<u8>| match bytes.windows(4).position(|it| it == b": KE") {
            Some(at) => [&bytes[..at + 2], key, &bytes[at + 5..]].concat(),
            None => bytes,
        };
        let asked: Vec<(Vec<u8>, bool)> = requests
            .into_iter()
            .map(|(bytes, shut)| (with_key(bytes), shut))
            .collect();
        let answers = runtime.block_on(async {
            let all = asked.iter().map(|(bytes, shut)| exchange(&house, bytes, *shut));
            futures_util::future::join_all(all).await
        });
        for ((bytes, _), answer) in asked.iter().zip(answers) {
            let shown = String::from_utf8_lossy(bytes);
            prop_assert!(statuses(&answer).all(|status| status < 500), "{shown}\n{answer}");
            prop_assert!(
                !answer.contains(&house.reader) && !answer.contains(&house.admin),
                "{shown}\n{answer}"
            );
        }
        Ok(())
    });
    outcome.expect("each is answered or its connection ends");
    assert_eq!(
        runtime.block_on(house.ask("GET", "/open", None, None)).status,
        200
    );
}
