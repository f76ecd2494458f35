//! The server as a caller meets it: over a socket, with a few routes of its own.

mod audited;
mod fuzz;
mod limits;
mod repeats;
mod scopes;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use hyper::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::answer::Json;
use super::binding::Binding;
use super::call::Call;
use super::dispatch::Service;
use super::failure::Failure;
use super::route::{Route, route};
use super::router::Router;
use super::serve::serve;
use super::{Api, HttpConfig};
use crate::access::Scope;
use crate::base::Span;

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Word {
    word: String,
}

/// Steps that the handler of `/steps` has done.
static STEPS: AtomicU32 = AtomicU32::new(0);

/// Steps that the handler of `/left` has done.
static LEFT: AtomicU32 = AtomicU32::new(0);

/// Whether the handler of `/held` is at work, and whether it may end.
static HELD: AtomicBool = AtomicBool::new(false);
static RELEASED: AtomicBool = AtomicBool::new(false);

/// Waits until something is true.
async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let began = std::time::Instant::now();
    while !holds().await {
        assert!(began.elapsed() < Duration::from_secs(30), "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn routes() -> Vec<Route> {
    let row = |method, path| route("test", method, path, "A route of the test").of(Binding::Nothing);
    vec![
        row(Method::GET, "/open")
            .open()
            .run(async |_: Call| Ok::<_, Failure>(Json("open".to_owned()))),
        row(Method::POST, "/echo").takes(async |_: Call, word: Word| Ok::<_, Failure>(Json(word))),
        row(Method::POST, "/admin")
            .scope(Scope::Admin)
            .run(async |_: Call| Ok::<_, Failure>(Json(1))),
        row(Method::POST, "/panic").run(panics),
        row(Method::POST, "/held").run(async |_: Call| {
            HELD.store(true, Ordering::SeqCst);
            until("released", async || RELEASED.load(Ordering::SeqCst)).await;
            Ok::<_, Failure>(Json("held".to_owned()))
        }),
        row(Method::POST, "/stuck")
            .run(async |_: Call| std::future::pending::<Result<Json<u8>, Failure>>().await),
        row(Method::POST, "/steps").run(async |_: Call| {
            STEPS.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(100)).await;
            STEPS.fetch_add(1, Ordering::SeqCst);
            Ok::<_, Failure>(Json(2))
        }),
        row(Method::POST, "/left").run(async |_: Call| {
            LEFT.fetch_add(1, Ordering::SeqCst);
            until("released", async || RELEASED.load(Ordering::SeqCst)).await;
            LEFT.fetch_add(1, Ordering::SeqCst);
            Ok::<_, Failure>(Json(2))
        }),
        row(Method::POST, "/brief")
            .within(Duration::from_millis(50))
            .run(async |_: Call| std::future::pending::<Result<Json<u8>, Failure>>().await),
        row(Method::GET, "/things/{id}")
            .run(async |call: Call| Ok::<_, Failure>(Json(call.param("id")?.to_owned()))),
    ]
}

async fn panics(_: Call) -> Result<Json<u8>, Failure> {
    panic!("a bug of this test")
}

struct House {
    address: SocketAddr,
    stop: CancellationToken,
    served: tokio::task::JoinHandle<()>,
    reader: String,
    admin: String,
    _api: Arc<Api>,
    _keep: (tempfile::TempDir, crate::store::OpenStore),
}

async fn house(config: HttpConfig) -> House {
    let (api, keep) = super::fixture::api();
    let api = Arc::new(api);
    let reader = super::fixture::key(&api, Scope::Read).await;
    let admin = super::fixture::key(&api, Scope::Admin).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let rows = routes().into_iter().chain(super::routes::health::routes());
    let router = Router::new(rows.collect()).expect("distinct rows");
    let service = Arc::new(Service::new(api.clone(), router, config));
    let stop = CancellationToken::new();
    let served = tokio::spawn(serve("test", listener, service, stop.clone(), || {}));
    House {
        address,
        stop,
        served,
        reader,
        admin,
        _api: api,
        _keep: keep,
    }
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .unwrap_or(0);
        Self {
            status,
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
        }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.body))
    }

    /// Checks that it is the flat shape, and gives the code.
    fn code(&self) -> String {
        let body = self.json();
        assert_eq!(body["success"], false);
        assert_eq!(body["error"], body["message"]);
        assert!(body["details"].is_object() && body["category"].is_string());
        assert!(self.head.contains(&format!(
            "x-request-id: {}",
            body["request_id"].as_str().expect("an id")
        )));
        body["code"].as_str().expect("a code").to_owned()
    }
}

impl House {
    async fn raw(&self, text: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.expect("connected");
        // A connection that is cut off before all is written may have answered.
        drop(stream.write_all(text).await);
        let mut answer = Vec::new();
        // A connection that is cut off after the answer has answered all the same.
        drop(stream.read_to_end(&mut answer).await);
        Answer::parse(&String::from_utf8_lossy(&answer))
    }

    async fn ask(&self, method: &str, path: &str, key: Option<&str>, body: Option<&str>) -> Answer {
        let mut text = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
        if let Some(key) = key {
            text.push_str(&format!("x-api-key: {key}\r\n"));
        }
        if let Some(body) = body {
            text.push_str(&format!(
                "content-type: application/json\r\ncontent-length: {}\r\n",
                body.len()
            ));
        }
        text.push_str("\r\n");
        text.push_str(body.unwrap_or(""));
        self.raw(text.as_bytes()).await
    }
}

#[tokio::test]
async fn a_caller_is_admitted_by_key_and_scope() {
    let house = house(HttpConfig::default()).await;
    assert_eq!(house.ask("GET", "/open", None, None).await.status, 200);
    let refused = house.ask("POST", "/echo", None, Some(r#"{"word":"a"}"#)).await;
    assert_eq!((refused.status, refused.code()), (401, "UNAUTHORIZED".to_owned()));
    assert!(refused.head.contains("www-authenticate: bearer"));
    let refused = house.ask("POST", "/echo", Some("tlk_wrong"), None).await;
    assert_eq!(refused.status, 401);
    let done = house
        .ask("POST", "/echo", Some(&house.reader), Some(r#"{"word":"a"}"#))
        .await;
    assert_eq!((done.status, done.json()), (200, json!({"word": "a"})));
    let refused = house.ask("POST", "/admin", Some(&house.reader), None).await;
    assert_eq!((refused.status, refused.code()), (403, "FORBIDDEN".to_owned()));
    assert_eq!(
        house
            .ask("POST", "/admin", Some(&house.admin), Some("{}"))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn health_is_told_while_no_key_can_be_looked_up() {
    let mut house = house(HttpConfig::default()).await;
    let known = Some(house.reader.clone());
    let before = house.ask("GET", "/health", known.as_deref(), None).await.json();
    // Another one takes its place, so that it is closed.
    let (_, other) = super::fixture::api();
    drop(std::mem::replace(&mut house._keep, other));
    let told = house.ask("GET", "/health", known.as_deref(), None).await;
    assert_eq!(
        (told.status, &told.json()["checks"]),
        (200, &before["checks"]),
        "all of it"
    );
    let told = house.ask("GET", "/health", Some(&house.admin), None).await;
    assert_eq!(told.status, 200);
    assert_eq!(told.json()["status"], "failing");
    assert_eq!(told.json()["checks"], json!({"store": {"status": "failing"}}));
    let refused = house.ask("GET", "/metrics", Some(&house.admin), None).await;
    assert_eq!(
        (refused.status, refused.code()),
        (503, "STORE_UNAVAILABLE".to_owned())
    );
    let refused = house.ask("GET", "/health", None, None).await;
    assert_eq!(refused.status, 401);
}

#[tokio::test]
async fn every_wrong_request_is_refused_in_the_flat_shape() {
    let house = house(HttpConfig {
        max_body_bytes: 1000,
        ..HttpConfig::default()
    })
    .await;
    let key = Some(house.reader.as_str());
    let expect = async |method: &str, path: &str, body: Option<&str>, status: u16, code: &str| {
        let answer = house.ask(method, path, key, body).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (status, code),
            "{method} {path} {body:?}"
        );
        answer
    };
    expect("GET", "/nowhere", None, 404, "NOT_FOUND").await;
    let answer = expect("DELETE", "/echo", None, 405, "METHOD_NOT_ALLOWED").await;
    assert!(answer.head.contains("allow: post"));
    expect("POST", "/echo", Some("{"), 400, "INVALID_REQUEST").await;
    expect("POST", "/echo", Some(""), 400, "INVALID_REQUEST").await;
    expect("POST", "/echo", Some("[]"), 400, "INVALID_REQUEST").await;
    expect("POST", "/echo", Some(r#"["a"]"#), 400, "INVALID_REQUEST").await;
    let answer = expect(
        "POST",
        "/echo",
        Some(r#"{"word":"a","wort":"b"}"#),
        400,
        "INVALID_REQUEST",
    )
    .await;
    assert_eq!(answer.json()["details"]["field"], "wort");
    assert!(
        answer.json()["message"]
            .as_str()
            .is_some_and(|text| text.contains("wort"))
    );
    expect("POST", "/panic?x=1", None, 400, "INVALID_REQUEST").await;
    expect("POST", "/panic", Some(r#"{"a":1}"#), 400, "INVALID_REQUEST").await;
    expect("POST", "/panic", None, 500, "INTERNAL").await;
    let huge = format!(r#"{{"word":"{}"}}"#, "x".repeat(2000));
    expect("POST", "/echo", Some(&huge), 413, "BODY_TOO_LARGE").await;
    let chunked = format!(
        "POST /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-api-key: {}\r\ntransfer-encoding: chunked\r\n\r\n7d0\r\n{}\r\n0\r\n\r\n",
        house.reader,
        "x".repeat(2000)
    );
    assert_eq!(house.raw(chunked.as_bytes()).await.code(), "BODY_TOO_LARGE");
    let form = format!(
        "POST /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-api-key: {}\r\ncontent-type: text/plain\r\n\
         content-length: 2\r\n\r\nhi",
        house.reader
    );
    assert_eq!(house.raw(form.as_bytes()).await.code(), "UNSUPPORTED_MEDIA_TYPE");
}

#[tokio::test]
async fn the_caller_names_the_request_and_chooses_the_language() {
    let house = house(HttpConfig::default()).await;
    let answer = house
        .raw(
            b"GET /nowhere HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-request-id: mine-7\r\n\
              accept-language: fa-IR, en;q=0.5\r\n\r\n",
        )
        .await;
    assert_eq!(answer.json()["request_id"], "mine-7");
    assert_eq!(answer.json()["error"], "پیدا نشد");
    assert!(answer.head.contains("content-language: fa"));
    let answer = house
        .ask("GET", "/things/a%2Fb%20c", Some(&house.reader), None)
        .await;
    assert_eq!(answer.json(), "a/b c");
    let answer = house.ask("HEAD", "/open", None, None).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
}

#[tokio::test]
async fn a_stop_lets_requests_finish_and_takes_no_more() {
    let house = house(HttpConfig::default()).await;
    let held = house.ask("POST", "/held", Some(&house.reader), None);
    let stop = async {
        until("it is at work", async || HELD.load(Ordering::SeqCst)).await;
        house.stop.cancel();
        let refused = async || TcpStream::connect(house.address).await.is_err();
        until("no connection is taken any more", refused).await;
        RELEASED.store(true, Ordering::SeqCst);
    };
    let (answer, ()) = tokio::join!(held, stop);
    assert_eq!((answer.status, answer.json()), (200, json!("held")));
    house.served.await.expect("the listener ended");
}

#[tokio::test]
async fn a_handler_that_takes_too_long_is_given_up() {
    let house = house(HttpConfig {
        handler_timeout: Span::secs(1),
        ..HttpConfig::default()
    })
    .await;
    let answer = house.ask("POST", "/stuck", Some(&house.reader), None).await;
    assert_eq!((answer.status, answer.code()), (503, "UNAVAILABLE".to_owned()));
    assert!(answer.head.contains("retry-after:"));
}

#[tokio::test]
async fn work_is_finished_though_its_caller_hangs_up() {
    let house = house(HttpConfig::default()).await;
    let mut stream = TcpStream::connect(house.address).await.expect("connected");
    let head = format!(
        "POST /steps HTTP/1.1\r\nhost: x\r\nx-api-key: {}\r\n\r\n",
        house.reader
    );
    stream.write_all(head.as_bytes()).await.expect("written");
    until("it is at work", async || STEPS.load(Ordering::SeqCst) > 0).await;
    drop(stream);
    until("the work is done", async || STEPS.load(Ordering::SeqCst) == 2).await;
}

/// Asks for `/left` and hangs up as soon as its handler is at work.
async fn leave(house: &House) {
    let mut stream = TcpStream::connect(house.address).await.expect("connected");
    let head = format!(
        "POST /left HTTP/1.1\r\nhost: x\r\nx-api-key: {}\r\n\r\n",
        house.reader
    );
    stream.write_all(head.as_bytes()).await.expect("written");
    until("it is at work", async || LEFT.load(Ordering::SeqCst) > 0).await;
}

#[tokio::test]
async fn the_drain_waits_for_work_whose_caller_hung_up() {
    let house = house(HttpConfig::default()).await;
    leave(&house).await;
    house.stop.cancel();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!house.served.is_finished(), "its work is not done");
    RELEASED.store(true, Ordering::SeqCst);
    house.served.await.expect("the listener ended");
    assert_eq!(LEFT.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn no_work_outlives_the_drain() {
    let house = house(HttpConfig {
        drain: Span::millis(100),
        ..HttpConfig::default()
    })
    .await;
    leave(&house).await;
    house.stop.cancel();
    house.served.await.expect("the listener ended");
    RELEASED.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(LEFT.load(Ordering::SeqCst), 1, "it was cut off");
}

#[tokio::test]
async fn a_row_says_how_long_its_handler_may_take() {
    let house = house(HttpConfig::default()).await;
    let began = std::time::Instant::now();
    let answer = house.ask("POST", "/brief", Some(&house.reader), None).await;
    assert_eq!((answer.status, answer.code()), (503, "UNAVAILABLE".to_owned()));
    assert!(began.elapsed() < Duration::from_secs(60));
}
