//! A webhook receiver on loopback that fails now and then, and remembers everything it was sent.
//!
//! It is the other end of the demo and of tests: what it has accepted is what was delivered. It verifies
//! no signature (the examples of real receivers do that) and keeps bodies in memory.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The largest body that is taken.
const BODY_MAX: usize = 1024 * 1024;

/// One delivery, as the receiver knows it.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// Tries that arrived.
    pub tries: u32,
    /// Tries that were answered with 200.
    pub accepted: u32,
    /// The body.
    pub body: Bytes,
    /// Whether a try had another body.
    pub changed: bool,
}

/// A running receiver. Dropped, it stops listening.
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

struct Shared {
    fail_every: u32,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    requests: u32,
    /// How many of `seen` were accepted.
    accepted: usize,
    seen: HashMap<String, Received>,
}

impl Receiver {
    /// Starts a receiver that answers every `fail_every`-th request with 503; 0 fails none.
    ///
    /// # Errors
    /// If no port is free.
    pub async fn start(fail_every: u32) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            fail_every,
            state: Mutex::default(),
        });
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(accept(listener, shared.clone(), stop.clone(), tasks.clone()));
        Ok(Self {
            address,
            shared,
            stop,
            tasks,
        })
    }

    /// Where it is to be called.
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Everything that arrived, by webhook id.
    pub fn received(&self) -> HashMap<String, Received> {
        self.shared.state().seen.clone()
    }

    /// How many different deliveries were accepted.
    pub fn accepted(&self) -> usize {
        self.shared.state().accepted
    }

    /// Stops listening and waits for connections under way.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a try; whether it is accepted.
    fn take(&self, id: &str, body: Bytes) -> bool {
        let state = &mut *self.state();
        state.requests = state.requests.wrapping_add(1);
        let accept = self.fail_every == 0 || !state.requests.is_multiple_of(self.fail_every);
        let one = state.seen.entry(id.to_owned()).or_default();
        one.changed |= one.tries > 0 && Sha256::digest(&one.body) != Sha256::digest(&body);
        one.tries += 1;
        state.accepted += usize::from(accept && one.accepted == 0);
        one.accepted += u32::from(accept);
        one.body = body;
        accept
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken, tasks: TaskTracker) {
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => continue,
            },
        };
        let (shared, stop) = (shared.clone(), stop.clone());
        tasks.spawn(async move {
            let service = service_fn(move |request| answer(shared.clone(), request));
            let connection =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                () = stop.cancelled() => {}
                // A sender that breaks off has to try again; that is its affair.
                _ = connection => {}
            }
        });
    }
}

async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let id = request
        .headers()
        .get("webhook-id")
        .and_then(|id| id.to_str().ok())
        .map(str::to_owned);
    let body = Limited::new(request.into_body(), BODY_MAX).collect().await;
    let status = match (id, body) {
        (Some(id), Ok(body)) => match shared.take(&id, body.to_bytes()) {
            true => StatusCode::OK,
            false => StatusCode::SERVICE_UNAVAILABLE,
        },
        _ => StatusCode::BAD_REQUEST,
    };
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    Ok(response)
}
