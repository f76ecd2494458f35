//! Callers who take too much: slow ones, deaf ones, idle ones, long heads, too many connections.

use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::base::Span;

/// How much later than its limit something may happen on a busy machine.
const LATE: Duration = Duration::from_secs(20);

/// Counts what this test's process recorded, by name and label.
struct Recorded(metrics_exporter_prometheus::PrometheusHandle);

impl Recorded {
    /// Records from now on, in this thread, which is where a test's tasks run.
    fn here() -> (Self, metrics_exporter_prometheus::PrometheusRecorder) {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        (Self(recorder.handle()), recorder)
    }

    fn value(&self, series: &str) -> u64 {
        let text = self.0.render();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.and_then(|number| number.parse().ok()).unwrap_or(0)
    }
}

/// What a connection gets until its end, and how long that took.
async fn rest(stream: &mut TcpStream) -> (Answer, Duration) {
    let began = Instant::now();
    let mut text = Vec::new();
    // An end by reset is an end.
    drop(stream.read_to_end(&mut text).await);
    (Answer::parse(&String::from_utf8_lossy(&text)), began.elapsed())
}

/// Writes a byte now and then until the connection is gone; how long that took.
async fn trickle(house: &House, start: &str) -> Duration {
    let began = Instant::now();
    let mut stream = TcpStream::connect(house.address).await.expect("connected");
    stream.write_all(start.as_bytes()).await.expect("written");
    while stream.write_all(b"a").await.is_ok() {
        assert!(began.elapsed() < LATE, "it goes on for ever");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    began.elapsed()
}

#[tokio::test]
async fn slow_callers_are_cut_off_idle_ones_let_go_and_each_is_counted() {
    let (recorded, recorder) = Recorded::here();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let house = house(HttpConfig {
        header_timeout: Span::secs(1),
        body_timeout: Span::secs(1),
        ..HttpConfig::default()
    })
    .await;
    let key = &house.reader;
    let stalled =
        format!("POST /echo HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\ncontent-length: 20\r\n\r\n{{");
    let endless =
        format!("POST /echo HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\ncontent-length: 90000\r\n\r\n");
    let began = Instant::now();
    let (head, body, idle, mute, slow_head, slow_body) = tokio::join!(
        house.raw(b"GET /open HTTP/1.1\r\nhost:"),
        house.raw(stalled.as_bytes()),
        house.raw(b"GET /open HTTP/1.1\r\nhost: x\r\n\r\n"),
        house.raw(b""),
        trickle(&house, "GET /open HTTP/1.1\r\nx-a: "),
        trickle(&house, &endless),
    );
    assert!(began.elapsed() < LATE, "{:?}", began.elapsed());
    assert!(head.status == 408 || head.status == 0, "{}", head.head);
    assert_eq!((body.status, body.code()), (408, "REQUEST_TIMEOUT".to_owned()));
    assert_eq!((idle.status, mute.status), (200, 0));
    for took in [slow_head, slow_body] {
        assert!(
            took >= Duration::from_secs(1),
            "a byte now and then buys no time: {took:?}"
        );
    }
    let counted = |what: &str| recorded.value(&format!("trunkline_http_cut_off_total{{what=\"{what}\"}}"));
    assert_eq!((counted("head"), counted("body"), counted("answer")), (2, 2, 0));
    until("every place is free", async || {
        recorded.value("trunkline_http_connections{listener=\"test\"}") == 0
    })
    .await;
}

#[tokio::test]
async fn a_head_that_is_too_long_or_has_too_many_lines_is_refused() {
    let house = house(HttpConfig {
        header_timeout: Span::secs(5),
        ..HttpConfig::default()
    })
    .await;
    // One buffer of 64 KiB and what is read into it at a time.
    let long = format!(
        "GET /open HTTP/1.1\r\nhost: x\r\nx-a: {}\r\n\r\n",
        "a".repeat(400_000)
    );
    let many = format!(
        "GET /open HTTP/1.1\r\nhost: x\r\n{}\r\n",
        "x-a: b\r\n".repeat(200)
    );
    let path = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(400_000));
    for head in [long, many, path] {
        let status = house.raw(head.as_bytes()).await.status;
        // The rest of a long head that nobody reads may take the answer back.
        assert!(matches!(status, 431 | 414 | 400 | 0), "{status}");
    }
    assert_eq!(house.ask("GET", "/open", None, None).await.status, 200);
}

#[tokio::test]
async fn a_caller_who_reads_nothing_is_cut_off_and_its_place_is_free() {
    let (recorded, recorder) = Recorded::here();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let house = house(HttpConfig {
        max_connections: 1,
        write_timeout: Span::secs(1),
        ..HttpConfig::default()
    })
    .await;
    let mut deaf = TcpStream::connect(house.address).await.expect("connected");
    let flood = async {
        // It asks and asks; the answers fill all buffers, then nobody reads its questions either.
        while deaf
            .write_all(b"GET /open HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .is_ok()
        {}
    };
    tokio::time::timeout(Duration::from_secs(60), flood)
        .await
        .expect("it is cut off");
    until("its place is free", async || {
        house.ask("GET", "/open", None, None).await.status == 200
    })
    .await;
    assert_eq!(recorded.value("trunkline_http_cut_off_total{what=\"answer\"}"), 1);
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    for (most, of_one, why) in [(1, 9, "all"), (9, 1, "caller")] {
        let (recorded, recorder) = Recorded::here();
        let _recording = metrics::set_default_local_recorder(&recorder);
        let house = house(HttpConfig {
            max_connections: most,
            max_connections_per_caller: of_one,
            ..HttpConfig::default()
        })
        .await;
        // Connections are taken in the order in which they were made.
        let first = TcpStream::connect(house.address).await.expect("connected");
        let mut second = TcpStream::connect(house.address).await.expect("connected");
        let (answer, _) = rest(&mut second).await;
        assert_eq!(
            (answer.status, answer.json()["code"].as_str()),
            (503, Some("TOO_BUSY"))
        );
        assert!(answer.head.contains("retry-after:"));
        let turned_away = format!("trunkline_http_turned_away_total{{why=\"{why}\"}}");
        assert_eq!(recorded.value(&turned_away), 1);
        drop(first);
        until("its place is free", async || {
            house.ask("GET", "/open", None, None).await.status == 200
        })
        .await;
    }
}

#[tokio::test]
async fn the_metrics_have_limits_of_their_own() {
    let (api, _keep) = crate::http::fixture::api();
    let config = HttpConfig {
        max_connections_per_caller: 1,
        header_timeout: Span::secs(1),
        ..HttpConfig::default()
    };
    let service = Arc::new(Service::new(
        Arc::new(api),
        Router::new(vec![crate::http::routes::health::open_metrics()]).expect("a row"),
        config,
    ));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let stop = CancellationToken::new();
    let served = tokio::spawn(serve("metrics", listener, service, stop.clone(), || {}));
    let mut first = TcpStream::connect(address).await.expect("connected");
    let mut second = TcpStream::connect(address).await.expect("connected");
    assert_eq!(rest(&mut second).await.0.status, 503);
    first
        .write_all(b"GET /metrics HTTP/1.1\r\n")
        .await
        .expect("written");
    let (cut, took) = rest(&mut first).await;
    assert!(cut.status != 200 && took < LATE, "{} after {took:?}", cut.status);
    stop.cancel();
    served.await.expect("the listener ended");
}
