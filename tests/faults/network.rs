//! The network between a daemon and its sandbox: a TCP proxy on loopback, with what can happen to a network.
//!
//! It knows nothing of what it carries. A connection that is forgotten stays open towards the daemon, and what
//! is sent into it is swallowed, as behind a router that has lost its table; packets that are held arrive once
//! they are let go, as TCP would send them again.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Bytes that are read at once.
const CHUNK: usize = 16 * 1024;

/// As the daemon sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Up,
    Down,
}

/// What happens to packets at the moment.
#[derive(Clone, Debug, Default)]
struct Weather {
    hold_up: bool,
    hold_down: bool,
    latency: Duration,
    bytes_per_second: Option<u32>,
    /// Connections up to this number are reset in the middle of what comes next in that direction.
    reset: Option<(u64, Direction)>,
    /// Connections up to this number are forgotten.
    forgotten: u64,
}

impl Weather {
    fn holds(&self, direction: Direction) -> bool {
        match direction {
            Direction::Up => self.hold_up,
            Direction::Down => self.hold_down,
        }
    }

    fn resets(&self, number: u64, direction: Direction) -> bool {
        self.reset
            .is_some_and(|(last, wanted)| number <= last && wanted == direction)
    }

    /// How long so many bytes are on their way.
    fn way(&self, bytes: usize) -> Duration {
        let carried = self
            .bytes_per_second
            .map_or(0.0, |rate| bytes as f64 / f64::from(rate));
        self.latency + Duration::from_secs_f64(carried)
    }
}

/// See the head of the file.
pub struct Network {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    made: Arc<AtomicU64>,
    resets: Arc<AtomicU32>,
    accepting: JoinHandle<()>,
}

impl Network {
    /// A network that leads there.
    pub async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let weather = watch::Sender::new(Weather::default());
        let (made, resets) = <(Arc<AtomicU64>, Arc<AtomicU32>)>::default();
        let accepting = tokio::spawn(accept(
            listener,
            server,
            weather.clone(),
            made.clone(),
            resets.clone(),
        ));
        Self {
            address,
            weather,
            made,
            resets,
            accepting,
        }
    }

    /// Where it begins.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections made so far.
    pub fn connections(&self) -> u64 {
        self.made.load(Ordering::SeqCst)
    }

    /// Connections that were reset so far.
    pub fn resets(&self) -> u32 {
        self.resets.load(Ordering::SeqCst)
    }

    /// Resets what is open, each connection in the middle of what comes next in that direction.
    pub fn reset(&self, direction: Direction) {
        let last = self.connections();
        self.weather
            .send_modify(|weather| weather.reset = Some((last, direction)));
    }

    /// Holds packets from now on.
    pub fn hold(&self, up: bool, down: bool) {
        self.weather
            .send_modify(|weather| (weather.hold_up, weather.hold_down) = (up, down));
    }

    /// Lets packets through again, those that were held first.
    pub fn release(&self) {
        self.hold(false, false);
    }

    /// Forgets what is open; connections that are made from now on work.
    pub fn forget(&self) {
        let last = self.connections();
        self.weather.send_modify(|weather| weather.forgotten = last);
    }

    /// Packets take this long each way, and so many bytes pass in a second.
    pub fn slow(&self, latency: Duration, bytes_per_second: Option<u32>) {
        self.weather.send_modify(|weather| {
            weather.latency = latency;
            weather.bytes_per_second = bytes_per_second;
        });
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(
    listener: TcpListener,
    server: SocketAddr,
    weather: watch::Sender<Weather>,
    made: Arc<AtomicU64>,
    resets: Arc<AtomicU32>,
) {
    loop {
        let (client, _) = listener.accept().await.expect("a listener that stays");
        let number = made.fetch_add(1, Ordering::SeqCst) + 1;
        let (weather, resets) = (weather.subscribe(), resets.clone());
        tokio::spawn(async move {
            // A sandbox that refuses is met as a connection that ends at once.
            if let Ok(server) = TcpStream::connect(server).await {
                carry(number, client, server, weather, &resets).await;
            }
        });
    }
}

/// How a connection ended.
enum End {
    Closed,
    Reset,
    Forgotten,
}

async fn carry(
    number: u64,
    mut client: TcpStream,
    mut server: TcpStream,
    weather: watch::Receiver<Weather>,
    resets: &AtomicU32,
) {
    for stream in [&client, &server] {
        stream.set_nodelay(true).expect("a socket takes it");
    }
    let end = {
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        let mut forgotten = weather.clone();
        tokio::select! {
            end = flow(number, Direction::Up, &mut from_client, &mut to_server, weather.clone()) => end,
            end = flow(number, Direction::Down, &mut from_server, &mut to_client, weather.clone()) => end,
            _ = forgotten.wait_for(|weather| weather.forgotten >= number) => End::Forgotten,
        }
    };
    match end {
        End::Closed => {}
        End::Reset => {
            for stream in [&client, &server] {
                stream.set_zero_linger().expect("a socket takes it");
            }
            resets.fetch_add(1, Ordering::SeqCst);
        }
        End::Forgotten => {
            server.set_zero_linger().expect("a socket takes it");
            drop(server);
            let mut swallowed = [0; CHUNK];
            while client.read(&mut swallowed).await.is_ok_and(|read| read > 0) {}
        }
    }
}

async fn flow(
    number: u64,
    direction: Direction,
    from: &mut (impl AsyncReadExt + Unpin),
    to: &mut (impl AsyncWriteExt + Unpin),
    mut weather: watch::Receiver<Weather>,
) -> End {
    let mut chunk = vec![0; CHUNK];
    loop {
        let Ok(read @ 1..) = from.read(&mut chunk).await else {
            return End::Closed;
        };
        let held = weather.wait_for(|weather| !weather.holds(direction)).await;
        let Ok(now) = held.map(|weather| weather.clone()) else {
            return End::Closed;
        };
        if now.resets(number, direction) {
            // The half must be on its way before the reset overtakes it; nobody minds if it is not.
            drop(to.write_all(&chunk[..read / 2]).await);
            tokio::time::sleep(Duration::from_millis(3)).await;
            return End::Reset;
        }
        let way = now.way(read);
        if !way.is_zero() {
            tokio::time::sleep(way).await;
        }
        if to.write_all(&chunk[..read]).await.is_err() {
            return End::Closed;
        }
    }
}
