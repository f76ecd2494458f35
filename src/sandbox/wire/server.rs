//! The listener: takes connections on loopback until it is stopped.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::{Context, serve};
use super::hub::Hub;
use super::rsa::RsaKey;
use super::salts::Salts;
use super::worker::{AnyService, World};
use crate::sandbox::rpc::Service;

/// What a server is made with.
pub struct WireConfig {
    /// The port on 127.0.0.1; 0 for any that is free.
    pub port: u16,
    /// The number of the data centre that this server is.
    pub dc: i32,
    /// Its key; clients need the public half.
    pub rsa: RsaKey,
    /// How many connections it takes at a time.
    pub max_connections: usize,
    /// How long clients may take.
    pub patience: Patience,
}

/// How long clients may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Until the first packet under a key.
    pub handshake: Duration,
    /// From one packet to the next. Clients ping every minute or so.
    pub idle: Duration,
    /// To take what they are sent.
    pub write: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(60),
            idle: Duration::from_secs(15 * 60),
            write: Duration::from_secs(60),
        }
    }
}

impl WireConfig {
    /// Any port, data centre 2, up to 4096 connections.
    pub fn new(rsa: RsaKey) -> Self {
        Self {
            port: 0,
            dc: 2,
            rsa,
            max_connections: 4096,
            patience: Patience::default(),
        }
    }
}

/// A running server. Dropped, it stops listening and cuts its connections.
pub struct Wire {
    address: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
    hub: Hub,
}

impl Wire {
    /// Starts a server: the world answers its calls and pushes through the hub. Servers of several data centres may
    /// share a hub; their keys are their own.
    pub async fn start(config: WireConfig, hub: Hub, world: Arc<impl Service>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, config.port)).await?;
        let address = listener.local_addr()?;
        let world: World = world;
        let known = AnyService::known_keys(&*world).into_iter();
        for known in known.filter(|known| known.dc == config.dc) {
            let salts = Salts::of(&known.auth_key, hub.registry.salt_period());
            hub.registry
                .add_key(Box::new(known.auth_key), known.dc, salts, None, known.layer);
        }
        let registry = hub.registry.clone();
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let rsa = Arc::new(config.rsa);
        let context = Arc::new(Context {
            registry,
            world,
            rsa,
            dc: config.dc,
            patience: config.patience,
            tasks: tasks.clone(),
        });
        tasks.spawn(accept(listener, context, config.max_connections, stop.clone()));
        Ok(Self {
            address,
            stop,
            tasks,
            hub,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops listening, cuts every connection and waits until they are gone.
    pub async fn stop(self) {
        self.stop.cancel();
        self.hub.registry.end();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.stop.cancel();
        self.hub.registry.end();
    }
}

async fn accept(listener: TcpListener, context: Arc<Context>, most: usize, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, _)) => match context.registry.open_line(most) {
                Some(line) => {
                    // Without it small packets wait for each other; with it failing they merely do.
                    let _ = stream.set_nodelay(true);
                    context.tasks.spawn(serve(stream, line, context.clone()));
                }
                None => refuse(stream),
            },
            Err(error) => {
                tracing::warn!(%error, "no connection could be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Resets the connection: the nearest thing to a closed port that keeps the port.
fn refuse(stream: TcpStream) {
    if let Err(error) = stream.set_zero_linger() {
        tracing::debug!(%error, "a refused connection ends orderly");
    }
}
