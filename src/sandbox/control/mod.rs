//! The control port: the world over HTTP on loopback, for people, scripts and tests.
//!
//! JSON in and out, errors as `{"error": NAME, "message": …}`. No key is asked for: whoever reaches
//! loopback may do all, but for web pages of others, which a browser on this machine may show. Not promised: speed,
//! long connections, anything for the open net.

mod peers;
mod people;
mod routes;

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HOST, HeaderMap, HeaderName, ORIGIN};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::handle::World;
use super::wire::Connections;
use super::world::Refusal;

/// The largest body: a file of some size in base64.
const BODY_MAX: usize = 64 * 1024 * 1024;

/// What callers may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at the same time.
    pub connections: usize,
    /// Time for a request's head, and for an idle connection.
    pub head: Duration,
    /// Time for a request's body.
    pub body: Duration,
    /// Time for a connection; a request that is under way then has as long as a body to end.
    pub life: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            head: Duration::from_secs(30),
            body: Duration::from_secs(60),
            life: Duration::from_secs(300),
        }
    }
}

/// What the control port works with.
#[derive(Clone)]
pub struct Control {
    /// The world.
    pub world: World,
    /// The configuration section of this sandbox.
    pub section: String,
    /// What callers may take.
    pub limits: Limits,
    /// What became of connections.
    pub count: Arc<Count>,
}

/// What became of connections.
#[derive(Debug, Default)]
pub struct Count {
    open: AtomicUsize,
    turned_away: AtomicU64,
    cut_off: AtomicU64,
}

impl Count {
    /// As it is now.
    pub fn now(&self) -> Connections {
        Connections {
            open: self.open.load(Ordering::Relaxed),
            turned_away: self.turned_away.load(Ordering::Relaxed),
            cut_off: self.cut_off.load(Ordering::Relaxed),
            ..Connections::default()
        }
    }

    fn cut_off(&self) {
        self.cut_off.fetch_add(1, Ordering::Relaxed);
    }
}

/// What a route answers.
pub enum Answer {
    /// JSON.
    Json(serde_json::Value),
    /// Something was made.
    Created(serde_json::Value),
    /// Plain text.
    Text(String),
}

/// What a route refuses.
#[derive(Debug)]
pub struct Failure {
    /// The status.
    pub status: StatusCode,
    /// A stable name.
    pub error: String,
    /// What is meant.
    pub message: String,
}

impl Failure {
    /// A failure of that status.
    pub fn new(status: StatusCode, error: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            error: error.to_owned(),
            message: message.into(),
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal.code {
            403 => StatusCode::FORBIDDEN,
            420 => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        let message = format!("the world refuses this as Telegram would ({})", refusal.code);
        Self {
            status,
            error: refusal.name.into_owned(),
            message,
        }
    }
}

/// Takes connections until it is stopped.
pub async fn serve(listener: TcpListener, control: Control, stop: CancellationToken) {
    let tasks = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            continue;
        };
        let count = control.count.clone();
        if count.open.load(Ordering::Relaxed) >= control.limits.connections {
            count.turned_away.fetch_add(1, Ordering::Relaxed);
            turn_away(&stream);
            continue;
        }
        count.open.fetch_add(1, Ordering::Relaxed);
        let (control, stop) = (control.clone(), stop.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = connection(stream, control) => {}
                () = stop.cancelled() => {}
            }
            count.open.fetch_sub(1, Ordering::Relaxed);
        });
    }
    tasks.close();
    tasks.wait().await;
}

/// One connection, until its end.
async fn connection(stream: TcpStream, control: Control) {
    let (limits, count) = (control.limits, control.count.clone());
    let answer = service_fn(move |request| handle(control.clone(), request));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .serve_connection(TokioIo::new(stream), answer);
    let mut connection = pin!(connection);
    let ended = match timeout(limits.life, connection.as_mut()).await {
        Ok(ended) => ended,
        Err(_) => {
            connection.as_mut().graceful_shutdown();
            timeout(limits.body, connection).await.unwrap_or_else(|_| {
                count.cut_off();
                Ok(())
            })
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a control connection broke");
    }
}

/// One connection too many: it is told so, and closed.
fn turn_away(stream: &TcpStream) {
    let text = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    if let Err(error) = stream.try_write(text.as_bytes()) {
        tracing::debug!(%error, "a control connection was turned away without a word");
    }
}

/// Whether a request comes from this machine's programs and not from a page of somebody's that a browser shows: such
/// a page comes under a name of its own, be it one that leads here.
fn is_local(headers: &HeaderMap) -> bool {
    let local = |name: HeaderName, start: &str| {
        headers.get_all(name).iter().all(|value| {
            let url = value
                .to_str()
                .ok()
                .and_then(|text| url::Url::parse(&format!("{start}{text}")).ok());
            url.is_some_and(|url| match url.host() {
                Some(url::Host::Domain(name)) => name == "localhost",
                Some(url::Host::Ipv4(address)) => address.is_loopback(),
                Some(url::Host::Ipv6(address)) => address.is_loopback(),
                None => false,
            })
        })
    };
    local(HOST, "http://") && local(ORIGIN, "")
}

async fn handle(control: Control, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let answered = match is_local(&parts.headers) {
        false => Err(Failure::new(
            StatusCode::FORBIDDEN,
            "NOT_LOCAL",
            "this port is for programs of this machine, under its loopback addresses",
        )),
        true => match timeout(control.limits.body, Limited::new(body, BODY_MAX).collect()).await {
            Ok(Ok(body)) => routes::answer(
                &control,
                &parts.method,
                parts.uri.path(),
                parts.uri.query(),
                &body.to_bytes(),
            ),
            Ok(Err(_)) => Err(Failure::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "BODY_TOO_LARGE",
                "at most 64 MiB",
            )),
            Err(_) => {
                control.count.cut_off();
                Err(Failure::new(
                    StatusCode::REQUEST_TIMEOUT,
                    "REQUEST_TIMEOUT",
                    "the body did not come in time",
                ))
            }
        },
    };
    Ok(match answered {
        Ok(Answer::Json(value)) => json(StatusCode::OK, &value),
        Ok(Answer::Created(value)) => json(StatusCode::CREATED, &value),
        Ok(Answer::Text(text)) => reply(StatusCode::OK, "text/plain; charset=utf-8", text.into_bytes()),
        Err(failure) => {
            let body = serde_json::json!({"error": failure.error, "message": failure.message});
            json(failure.status, &body)
        }
    })
}

fn json(status: StatusCode, value: &serde_json::Value) -> Response<Full<Bytes>> {
    reply(status, "application/json", value.to_string().into_bytes())
}

fn reply(status: StatusCode, kind: &'static str, body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(
        hyper::header::CONTENT_TYPE,
        hyper::header::HeaderValue::from_static(kind),
    );
    response
}

#[cfg(test)]
mod tests;
