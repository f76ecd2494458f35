//! A listener: a connection of its own, the handshake by hand, and frames as JSON.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use trunkline::access::Scope;
use trunkline::app::Daemon;
use trunkline::base::{EventId, Owner, SessionId, Timestamp};
use trunkline::model::{ChatId, Event, EventBody, Message as Text};
use trunkline::store::Batch;

use crate::control_api::caller::Caller;

/// How long a listener waits for a frame.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Headers that say who asks.
pub fn key(caller: &Caller) -> String {
    format!("x-api-key: {}\r\n", caller.key)
}

/// A listener.
pub struct Listener {
    pub socket: WebSocketStream<TcpStream>,
}

/// Asks for a WebSocket; the connection and what it brought after the head, or status and body of a refusal.
pub async fn ask(
    address: SocketAddr,
    path: &str,
    headers: &str,
    window: Option<u32>,
) -> Result<(TcpStream, Vec<u8>), (u16, Value)> {
    let socket = TcpSocket::new_v4().expect("a socket");
    if let Some(bytes) = window {
        socket.set_recv_buffer_size(bytes).expect("a small window");
    }
    let mut stream = socket.connect(address).await.expect("connected");
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    );
    stream.write_all(request.as_bytes()).await.expect("asked");
    let mut got = Vec::new();
    let end = loop {
        if let Some(end) = got.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        let read = timeout(PATIENCE, stream.read_buf(&mut got))
            .await
            .expect("in time")
            .expect("read");
        assert!(read > 0, "an answer: {}", String::from_utf8_lossy(&got));
    };
    let head = String::from_utf8_lossy(&got[..end]).to_ascii_lowercase();
    let mut rest = got.split_off(end);
    let status: u16 = head[9..12].parse().expect("a status");
    if status == 101 {
        assert!(
            head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="),
            "{head}"
        );
        return Ok((stream, rest));
    }
    let length = head
        .split("content-length: ")
        .nth(1)
        .and_then(|text| text.lines().next());
    let length: usize = length.expect("a length").trim().parse().expect("a number");
    while rest.len() < length {
        let read = timeout(PATIENCE, stream.read_buf(&mut rest))
            .await
            .expect("in time")
            .expect("read");
        assert!(read > 0, "a whole body");
    }
    Err((status, serde_json::from_slice(&rest).expect("JSON")))
}

impl Listener {
    /// Opens a WebSocket, or tells status and body of the refusal.
    pub async fn try_open(daemon: &Daemon, query: &str, headers: &str) -> Result<Self, (u16, Value)> {
        let path = format!("/ws?{query}");
        let (stream, rest) = ask(daemon.api_address().await, &path, headers, None).await?;
        let socket = WebSocketStream::from_partially_read(stream, rest, Role::Client, None).await;
        Ok(Self { socket })
    }

    /// Opens a WebSocket with a key.
    pub async fn open(daemon: &Daemon, caller: &Caller, query: &str) -> Self {
        match Self::try_open(daemon, query, &key(caller)).await {
            Ok(listener) => listener,
            Err(refused) => panic!("refused: {refused:?}"),
        }
    }

    /// The next frame; pings are answered meanwhile.
    pub async fn frame(&mut self) -> Value {
        loop {
            let message = timeout(PATIENCE, self.socket.next())
                .await
                .expect("a frame in time");
            match message.expect("it goes on").expect("a frame") {
                Message::Text(text) => return serde_json::from_str(&text).expect("JSON"),
                Message::Close(why) => panic!("closed: {why:?}"),
                _ => {}
            }
        }
    }

    /// Frames up to the one that fits.
    pub async fn until(&mut self, fits: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut frames = Vec::new();
        loop {
            let frame = self.frame().await;
            let last = fits(&frame);
            frames.push(frame);
            if last {
                return frames;
            }
        }
    }

    /// The frame that fits.
    pub async fn find(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        self.until(fits).await.pop().expect("one fits")
    }

    /// Says something.
    pub async fn say(&mut self, message: Message) {
        self.socket.send(message).await.expect("said");
    }

    /// The frames up to the end, and the code of the close; none if the connection just ended.
    pub async fn end(&mut self) -> (Vec<Value>, Option<u16>) {
        let mut frames = Vec::new();
        loop {
            match timeout(PATIENCE, self.socket.next())
                .await
                .expect("an end in time")
            {
                Some(Ok(Message::Text(text))) => frames.push(serde_json::from_str(&text).expect("JSON")),
                Some(Ok(Message::Close(close))) => return (frames, close.map(|close| close.code.into())),
                Some(Ok(_)) => {}
                None | Some(Err(_)) => return (frames, None),
            }
        }
    }
}

/// A caller with a key for everything.
pub async fn reader(daemon: &Daemon) -> Caller {
    Caller::new(daemon, Scope::Read, None).await
}

/// An event as if a message had come in.
pub fn message(session: SessionId, id: i32, text: &str) -> Event {
    let message = Text {
        chat: ChatId::user(9),
        id,
        sender: None,
        date: Timestamp::now(),
        edit_date: None,
        out: false,
        post: false,
        silent: false,
        service: false,
        protected: false,
        text: text.to_owned(),
        entities: Vec::new(),
        media: None,
        album: None,
        reply_to: None,
        forwarded: None,
        thread: None,
        author: None,
        action: None,
    };
    Event {
        id: EventId::generate(),
        at: Timestamp::now(),
        session: Some(session),
        owner: Owner::admin(),
        body: EventBody::MessageNew(message),
    }
}

/// Puts messages into the journal, some to a commit.
pub async fn happen(daemon: &Daemon, session: SessionId, ids: std::ops::Range<i32>, text: &str) {
    let ids: Vec<_> = ids.collect();
    for some in ids.chunks(50) {
        let mut batch = Batch::new();
        for id in some {
            batch.append(message(session, *id, text), None);
        }
        daemon.handles.store.commit(batch).await.expect("stored");
    }
}

/// The numbers of the messages among frames.
pub fn ids(frames: &[Value]) -> Vec<i64> {
    let messages = frames.iter().filter(|frame| frame["type"] == "message.new");
    messages
        .map(|frame| frame["data"]["id"].as_i64().expect("a number"))
        .collect()
}
