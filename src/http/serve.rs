//! The listeners: connections in, answers out, an orderly end.
//!
//! Each connection is a task of its own in the listener's set, also when it goes on with something else than HTTP;
//! the listener is the supervised child. When it is told to stop it accepts no more, lets requests under way finish within the
//! drain time, those too whose callers hung up, and cuts off what is left.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::dispatch::{CallerAddress, Service};
use super::door::{Door, Full};
use super::failure::Failure;
use super::impatient::{Heard, Impatient, cut_off};
use super::texts::Language;
use super::upgrade::Seat;
use crate::base::Code;

/// How often the listener says that it lives.
pub const HEARTBEAT: Duration = Duration::from_secs(5);

/// The address that a listener got, for those who asked for port 0.
#[derive(Clone, Debug)]
pub struct Listening(Arc<watch::Sender<Option<SocketAddr>>>);

impl Default for Listening {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }
}

impl Listening {
    /// The address, as soon as the listener has it.
    pub async fn address(&self) -> SocketAddr {
        let mut receiver = self.0.subscribe();
        loop {
            let known = *receiver.borrow_and_update();
            match known {
                Some(address) => return address,
                // The sender lives as long as this handle: there is always a next change.
                None => _ = receiver.changed().await,
            }
        }
    }

    /// The address, if the listener has it.
    pub fn now(&self) -> Option<SocketAddr> {
        *self.0.borrow()
    }

    pub(super) fn set(&self, address: SocketAddr) {
        self.0.send_replace(Some(address));
    }
}

/// Serves until told to stop, then drains. The metrics call the listener by its name.
pub async fn serve(
    name: &'static str,
    listener: TcpListener,
    service: Arc<Service>,
    stop: CancellationToken,
    alive: impl Fn(),
) {
    for full in [Full::All, Full::Caller] {
        metrics::counter!("trunkline_http_turned_away_total", "why" => full.label()).increment(0);
    }
    for what in ["head", "body", "answer"] {
        metrics::counter!("trunkline_http_cut_off_total", "what" => what).increment(0);
    }
    let config = &service.config;
    let door = Door::new(name, config.max_connections, config.max_connections_per_caller);
    let mut connections = JoinSet::new();
    let mut heartbeat = tokio::time::interval(HEARTBEAT);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = heartbeat.tick() => alive(),
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Err(error) => {
                    // Too many open files, mostly: the next accept would fail at once as well.
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Ok((stream, from)) => match door.enter(from.ip()) {
                    Err(full) => turn_away(&stream, full),
                    Ok(place) => {
                        let (service, stop) = (service.clone(), stop.clone());
                        connections.spawn(async move {
                            connection(stream, service, stop).await;
                            drop(place);
                        });
                    }
                },
            },
        }
    }
    drop(listener);
    let open = connections.len();
    let ended = async {
        while connections.join_next().await.is_some() {}
        // Handlers whose callers hung up have no connection.
        service.tasks.ended().await;
    };
    if tokio::time::timeout(*service.config.drain, ended).await.is_err() {
        let (left, handlers) = (connections.len(), service.tasks.cut_off().await);
        tracing::warn!(open, left, handlers, "requests under way were cut off");
    }
    connections.shutdown().await;
}

/// One connection, until its end. When it is told to stop it ends after the request under way.
async fn connection(stream: TcpStream, service: Arc<Service>, stop: CancellationToken) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection keeps Nagle's delay");
    }
    let header_timeout = *service.config.header_timeout;
    let write_timeout = *service.config.write_timeout;
    let (heard, seat) = (Heard::default(), Seat::default());
    let from = stream.peer_addr().ok().map(|address| CallerAddress(address.ip()));
    let answer = service_fn(|mut request: Request<Incoming>| {
        let service = service.clone();
        request.extensions_mut().insert(seat.clone());
        from.map(|from| request.extensions_mut().insert(from));
        async move { Ok::<_, Infallible>(service.answer(request).await) }
    });
    let stream = TokioIo::new(Impatient::new(stream, write_timeout, heard.clone()));
    let mut serving = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(header_timeout)
            .max_buf_size(64 * 1024)
            .serve_connection(stream, answer)
            .with_upgrades()
    );
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        // One that was idle for too long ends the same way, and has done nothing wrong.
        if error.is_timeout() && heard.in_part() {
            cut_off("head");
        }
        tracing::debug!(%error, "a connection ended early");
    }
    seat.talk(stop).await;
}

/// One connection too many: it is told so, and closed.
fn turn_away(stream: &TcpStream, full: Full) {
    metrics::counter!("trunkline_http_turned_away_total", "why" => full.label()).increment(1);
    let failure = Failure::new(Code::TooBusy);
    let body = failure.body(Language::En, "none").to_string();
    let text = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         retry-after: {}\r\nconnection: close\r\n\r\n{body}",
        body.len(),
        failure.retry_seconds().unwrap_or(1),
    );
    // It fits the empty buffer of a new connection; one that cannot take it is closed all the same.
    if let Err(error) = stream.try_write(text.as_bytes()) {
        tracing::debug!(%error, "a connection was turned away without a word");
    }
}
