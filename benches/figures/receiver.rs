//! The webhook receiver of the figures: it takes everything, and remembers when each message arrived.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::scene::Failed;

/// What arrived.
#[derive(Default)]
pub struct Arrivals {
    /// When each text arrived first, in milliseconds.
    pub at: HashMap<String, i64>,
    /// How much arrived again.
    pub again: usize,
}

/// A receiver; it ends with the process.
pub struct Receiver {
    /// Where it listens.
    pub url: String,
    arrivals: Arc<Mutex<Arrivals>>,
}

impl Receiver {
    /// Listens on loopback.
    pub async fn start() -> Result<Self, Failed> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}/hook", listener.local_addr()?);
        let arrivals: Arc<Mutex<Arrivals>> = Arc::default();
        let shared = arrivals.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = shared.clone();
                let answer = service_fn(move |request| take(shared.clone(), request));
                let connection = hyper::server::conn::http1::Builder::new();
                tokio::spawn(connection.serve_connection(TokioIo::new(stream), answer));
            }
        });
        Ok(Self { url, arrivals })
    }

    /// How many different texts arrived.
    pub fn count(&self) -> usize {
        self.arrivals.lock().expect("nobody panics here").at.len()
    }

    /// What arrived since the last time.
    pub fn take(&self) -> Arrivals {
        std::mem::take(&mut *self.arrivals.lock().expect("nobody panics here"))
    }
}

async fn take(
    arrivals: Arc<Mutex<Arrivals>>,
    request: Request<Incoming>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let mut answer = Response::new(Empty::new());
    let Ok(body) = request.into_body().collect().await else {
        *answer.status_mut() = StatusCode::BAD_REQUEST;
        return Ok(answer);
    };
    let now = trunkline::base::Timestamp::now().0;
    let body: Value = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
    let text = body["data"]["text"].as_str().unwrap_or_default().to_owned();
    let mut arrivals = arrivals.lock().expect("nobody panics here");
    if arrivals.at.insert(text, now).is_some() {
        arrivals.again += 1;
    }
    drop(arrivals);
    *answer.status_mut() = StatusCode::NO_CONTENT;
    Ok(answer)
}
