//! The control port: the world over HTTP on loopback, for people, scripts and tests.
//!
//! JSON in and out, errors as `{"error": NAME, "message": …}`. No key is asked for: whoever reaches
//! loopback may do all. Not promised: speed, long connections, anything for the open net.

mod routes;

use std::convert::Infallible;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::handle::World;
use super::world::Refusal;

/// The largest body: a file of some size in base64.
const BODY_MAX: usize = 64 * 1024 * 1024;

/// What the control port works with.
#[derive(Clone)]
pub struct Control {
    /// The world.
    pub world: World,
    /// The configuration section of this sandbox.
    pub section: String,
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
        let (control, stop) = (control.clone(), stop.clone());
        tasks.spawn(async move {
            let answer = service_fn(move |request| handle(control.clone(), request));
            let connection =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
            tokio::select! {
                ended = connection => if let Err(error) = ended {
                    tracing::debug!(%error, "a control connection broke");
                },
                () = stop.cancelled() => {}
            }
        });
    }
    tasks.close();
    tasks.wait().await;
}

async fn handle(control: Control, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let answered = match Limited::new(body, BODY_MAX).collect().await {
        Ok(body) => routes::answer(
            &control,
            &parts.method,
            parts.uri.path(),
            parts.uri.query(),
            &body.to_bytes(),
        ),
        Err(_) => Err(Failure::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "BODY_TOO_LARGE",
            "at most 64 MiB",
        )),
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
