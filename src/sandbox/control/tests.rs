//! Callers of the control port who take too much, or who come from elsewhere.

use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::sandbox::{Sandbox, SandboxConfig};

/// How much later than its limit something may happen on a busy machine.
const LATE: Duration = Duration::from_secs(20);

struct Port {
    address: std::net::SocketAddr,
    count: Arc<Count>,
    stop: CancellationToken,
    _sandbox: Sandbox,
}

impl Drop for Port {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Port {
    async fn open(limits: Limits) -> Self {
        let sandbox = Sandbox::start(SandboxConfig::default()).await.expect("a sandbox");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (count, stop) = (Arc::<Count>::default(), CancellationToken::new());
        let control = Control {
            world: sandbox.world(),
            section: String::new(),
            limits,
            count: count.clone(),
        };
        tokio::spawn(serve(listener, control, stop.clone()));
        Self {
            address,
            count,
            stop,
            _sandbox: sandbox,
        }
    }

    /// The status of the answer; 0 if the connection just ends.
    async fn ask(&self, text: &str) -> u16 {
        let mut stream = TcpStream::connect(self.address).await.expect("connected");
        stream.write_all(text.as_bytes()).await.expect("written");
        let mut answer = Vec::new();
        let read = timeout(LATE, stream.read_to_end(&mut answer));
        drop(read.await.expect("it ends"));
        let answer = String::from_utf8_lossy(&answer);
        answer
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .unwrap_or(0)
    }
}

#[tokio::test]
async fn slow_callers_lose_their_place() {
    let second = Duration::from_secs(1);
    let limits = Limits {
        head: second,
        body: second,
        life: 4 * second,
        ..Limits::default()
    };
    let port = Port::open(limits).await;
    let (head, body, idle) = tokio::join!(
        port.ask("GET / HTTP/1.1\r\nhost:"),
        port.ask(
            "POST /users HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\nconnection: close\r\n\r\n{"
        ),
        port.ask("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"),
    );
    assert!(head == 408 || head == 0, "{head}");
    assert_eq!((body, idle), (408, 200));
    assert!(port.count.now().cut_off >= 1);

    // Who asks and asks and never reads is cut off when the time of its connection is over.
    let mut deaf = TcpStream::connect(port.address).await.expect("connected");
    let flood = async {
        while deaf
            .write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
            .await
            .is_ok()
        {}
    };
    timeout(LATE, flood).await.expect("it is cut off");
    let began = Instant::now();
    while port.count.now().open > 0 {
        assert!(began.elapsed() < LATE, "{:?}", port.count.now());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(port.count.now().cut_off >= 2);
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let port = Port::open(Limits {
        connections: 1,
        ..Limits::default()
    })
    .await;
    let _first = TcpStream::connect(port.address).await.expect("connected");
    let mut second = TcpStream::connect(port.address).await.expect("connected");
    let mut text = String::new();
    second.read_to_string(&mut text).await.expect("a word");
    assert!(text.starts_with("HTTP/1.1 503 "), "{text}");
    assert_eq!(port.count.now().turned_away, 1);
}

#[tokio::test]
async fn pages_of_others_are_refused() {
    let port = Port::open(Limits::default()).await;
    let asked = async |headers: &str| {
        let text = format!("GET /world HTTP/1.1\r\nconnection: close\r\n{headers}\r\n");
        port.ask(&text).await
    };
    for local in [
        "host: localhost\r\n",
        "host: 127.0.0.1:7480\r\n",
        "host: [::1]:7480\r\n",
        "host: localhost:7480\r\norigin: http://localhost:3000\r\n",
    ] {
        assert_eq!(asked(local).await, 200, "{local}");
    }
    for foreign in [
        "host: elsewhere.example:7480\r\n",
        "host: 127.0.0.1.elsewhere.example\r\n",
        "host: localhost\r\norigin: http://elsewhere.example\r\n",
        "host: localhost\r\norigin: null\r\n",
        "host: 10.0.0.1\r\n",
    ] {
        assert_eq!(asked(foreign).await, 403, "{foreign}");
    }
}
