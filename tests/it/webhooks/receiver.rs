//! A webhook receiver on loopback that behaves as it is told.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::HeaderMap;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub at: Instant,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// The status that was answered, if one was.
    pub answered: Option<u16>,
}

impl Seen {
    pub fn id(&self) -> String {
        self.header("webhook-id").to_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    /// The number of the message that the body tells of.
    pub fn message(&self) -> i64 {
        self.json()["data"]["id"].as_i64().unwrap_or_default()
    }

    pub fn chat(&self) -> i64 {
        self.json()["data"]["chat"].as_i64().unwrap_or_default()
    }
}

/// What to answer.
#[derive(Clone, Debug)]
pub enum Answer {
    Status(u16),
    /// 429 with this `Retry-After`.
    Later(&'static str),
    /// A redirect to a place.
    Redirect(String),
    /// 200 after this long.
    Slow(Duration),
    /// 200 at once, and then a body that never ends, a byte now and then.
    Dawdle,
    /// 200 with this many bytes.
    Huge(usize),
    /// No answer: the connection is cut after the request was read.
    Cut,
}

/// Everything that came.
#[derive(Default)]
struct Log {
    seen: Vec<Seen>,
    /// How often each delivery came.
    times: HashMap<String, usize>,
}

type Script = Arc<dyn Fn(&Seen, usize) -> Answer + Send + Sync>;
type Body = http_body_util::combinators::BoxBody<Bytes, Infallible>;

/// The receiver; it is gone when this is dropped.
pub struct Receiver {
    pub address: SocketAddr,
    log: Arc<Mutex<Log>>,
    script: Script,
    stop: CancellationToken,
    accepting: Option<tokio::task::JoinHandle<()>>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Receiver {
    /// One that answers as the script says; it is told how often the delivery came before.
    pub async fn start(script: impl Fn(&Seen, usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let mut receiver = Self {
            address: listener.local_addr().expect("has an address"),
            log: Arc::default(),
            script: Arc::new(script),
            stop: CancellationToken::new(),
            accepting: None,
        };
        receiver.listen(listener);
        receiver
    }

    fn listen(&mut self, listener: TcpListener) {
        let stop = CancellationToken::new();
        let accepting = accept(listener, self.log.clone(), self.script.clone(), stop.clone());
        self.accepting = Some(tokio::spawn(accepting));
        self.stop = stop;
    }

    /// Cuts all connections and refuses new ones.
    #[allow(dead_code, reason = "for the fault campaign, which shares this file")]
    pub async fn go_down(&mut self) {
        self.stop.cancel();
        if let Some(accepting) = self.accepting.take() {
            accepting.await.expect("it does not panic");
        }
    }

    /// Listens again where it did.
    #[allow(dead_code, reason = "for the fault campaign, which shares this file")]
    pub async fn come_back(&mut self) {
        let listener = TcpListener::bind(self.address).await.expect("its port is free");
        self.listen(listener);
    }

    /// One that is content with everything.
    pub async fn content() -> Self {
        Self::start(|_, _| Answer::Status(200)).await
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.log.lock().expect("not poisoned").seen.clone()
    }

    /// The deliveries that got a 2xx, each with how often.
    pub fn delivered(&self) -> BTreeMap<String, usize> {
        let mut delivered = BTreeMap::new();
        for seen in self.seen() {
            if seen.answered.is_some_and(|status| (200..300).contains(&status)) {
                *delivered.entry(seen.id()).or_insert(0) += 1;
            }
        }
        delivered
    }

    /// The ids that came with more than one body.
    pub fn ids_with_several_bodies(&self) -> BTreeSet<String> {
        let mut bodies: BTreeMap<String, Bytes> = BTreeMap::new();
        let mut several = BTreeSet::new();
        for seen in self.seen() {
            let body = bodies.entry(seen.id()).or_insert_with(|| seen.body.clone());
            if *body != seen.body {
                several.insert(seen.id());
            }
        }
        several
    }

    /// Waits until the log satisfies the condition.
    pub async fn until(&self, what: &str, holds: impl Fn(&[Seen]) -> bool) -> Vec<Seen> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let seen = self.seen();
            if holds(&seen) {
                return seen;
            }
            assert!(
                Instant::now() < deadline,
                "not in time: {what}; {} requests came",
                seen.len()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn accept(listener: TcpListener, log: Arc<Mutex<Log>>, script: Script, stop: CancellationToken) {
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => return,
            },
        };
        let (log, script, stop) = (log.clone(), script.clone(), stop.clone());
        tokio::spawn(async move {
            let service =
                hyper::service::service_fn(move |request| answer(request, log.clone(), script.clone()));
            let served = hyper::server::conn::http1::Builder::new();
            tokio::select! {
                () = stop.cancelled() => {}
                // connections that the script cuts end in an error
                _ = served.serve_connection(TokioIo::new(stream), service) => {}
            }
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    log: Arc<Mutex<Log>>,
    script: Script,
) -> Result<Response<Body>, std::io::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    let mut seen = Seen {
        at: Instant::now(),
        path: head.uri.to_string(),
        headers: head.headers,
        body,
        answered: None,
    };
    let (answer, place) = {
        let mut log = log.lock().expect("not poisoned");
        let times = log.times.entry(seen.id()).or_default();
        let before = std::mem::replace(times, *times + 1);
        let answer = script(&seen, before);
        seen.answered = match &answer {
            Answer::Status(status) => Some(*status),
            Answer::Later(_) => Some(429),
            Answer::Redirect(_) => Some(302),
            Answer::Dawdle | Answer::Huge(_) => Some(200),
            Answer::Slow(_) | Answer::Cut => None,
        };
        log.seen.push(seen);
        (answer, log.seen.len() - 1)
    };
    let full = |text: String| Full::new(Bytes::from(text)).boxed();
    let response = Response::builder();
    let response = match answer {
        Answer::Status(status) => response.status(status).body(full(format!("status {status}"))),
        Answer::Later(wait) => response
            .status(429)
            .header("retry-after", wait)
            .body(full(String::new())),
        Answer::Redirect(to) => response
            .status(302)
            .header("location", to)
            .body(full(String::new())),
        Answer::Slow(wait) => {
            tokio::time::sleep(wait).await;
            log.lock().expect("not poisoned").seen[place].answered = Some(200);
            response.status(200).body(full("at last".to_owned()))
        }
        Answer::Dawdle => {
            let bytes = futures_util::stream::unfold((), |()| async {
                tokio::time::sleep(Duration::from_millis(100)).await;
                Some((Ok(Frame::data(Bytes::from_static(b"."))), ()))
            });
            response.status(200).body(StreamBody::new(bytes).boxed())
        }
        Answer::Huge(size) => response.status(200).body(full("x".repeat(size))),
        Answer::Cut => return Err(std::io::Error::other("cut")),
    };
    response.map_err(std::io::Error::other)
}
