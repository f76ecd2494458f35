//! The section `[http]` of the configuration: where to listen, and how much one caller may take.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::Deserialize;

use super::texts::Language;
use super::ws::is_origin;
use crate::base::Span;

/// Where to listen and how much one caller may take.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// The address of the API.
    pub listen: SocketAddr,
    /// The loopback address of the metrics, without a key; none turns that listener off.
    pub metrics_listen: Option<SocketAddr>,
    /// Connections at the same time; one more is told to come back.
    pub max_connections: usize,
    /// Connections of one address (one /64 of IPv6) at the same time.
    pub max_connections_per_caller: usize,
    /// Time for a request's head, and for which an idle connection is kept.
    pub header_timeout: Span,
    /// Time for a request's body.
    pub body_timeout: Span,
    /// Time that writing an answer may stand still because its caller does not read.
    pub write_timeout: Span,
    /// Time for the work of one request.
    pub handler_timeout: Span,
    /// Time that requests under way have at the end of the daemon.
    pub drain: Span,
    /// Bytes of a body, before it is parsed.
    pub max_body_bytes: usize,
    /// Bytes of a file that comes as a form.
    pub max_upload_bytes: u64,
    /// Time for such a form.
    pub upload_timeout: Span,
    /// The language of errors for callers that name none.
    pub language: Language,
    /// Those who listen over WebSockets.
    pub websocket: WsConfig,
}

/// Those who listen over WebSockets.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WsConfig {
    /// Listeners at the same time; one more is told to come back.
    pub max_connections: usize,
    /// Listeners with one key at the same time.
    pub max_connections_per_key: usize,
    /// How often each is asked for a sign of life; one that gave none since the last time is cut off.
    pub ping_every: Span,
    /// Time that writing to one may stand still; then it is told that it is too slow, and cut off.
    pub write_timeout: Span,
    /// How long all writes together may have to wait for one that was not behind before.
    pub max_lag: Span,
    /// Origins of web pages that may listen, besides the daemon's own address.
    pub allowed_origins: Vec<String>,
}

impl Default for WsConfig {
    fn default() -> Self {
        Self {
            max_connections: 256,
            max_connections_per_key: 64,
            ping_every: Span::secs(10),
            write_timeout: Span::secs(10),
            max_lag: Span::secs(30),
            allowed_origins: Vec::new(),
        }
    }
}

impl HttpConfig {
    /// Everything that cannot be, by key.
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut fault = |key: &str, why: &str| faults.push((format!("http.{key}"), why.to_owned()));
        let socket = &self.websocket;
        if self
            .metrics_listen
            .is_some_and(|metrics| is_taken(metrics, self.listen))
        {
            fault("metrics_listen", "is the address of http.listen, or within it");
        }
        for (key, number) in [
            ("max_connections", self.max_connections),
            ("max_connections_per_caller", self.max_connections_per_caller),
            ("max_body_bytes", self.max_body_bytes),
        ] {
            if number == 0 {
                fault(key, "must be at least 1");
            }
        }
        for (key, span) in [
            ("header_timeout", self.header_timeout),
            ("body_timeout", self.body_timeout),
            ("write_timeout", self.write_timeout),
            ("handler_timeout", self.handler_timeout),
            ("websocket.ping_every", socket.ping_every),
            ("websocket.write_timeout", socket.write_timeout),
            ("websocket.max_lag", socket.max_lag),
        ] {
            if span.is_zero() {
                fault(key, "must be longer than nothing");
            }
        }
        if !socket.allowed_origins.iter().all(|origin| is_origin(origin)) {
            fault(
                "websocket.allowed_origins",
                "must be origins, such as https://panel.example",
            );
        }
        faults
    }
}

/// Whether nobody can listen at one address while somebody listens at the other: equal, or one of them is every address.
fn is_taken(one: SocketAddr, other: SocketAddr) -> bool {
    let (one_ip, other_ip) = (one.ip().to_canonical(), other.ip().to_canonical());
    // The IPv6 one takes IPv4 too.
    let takes = |all: IpAddr, ip: IpAddr| all.is_unspecified() && (all.is_ipv6() || ip.is_ipv4());
    let meets = one_ip == other_ip || takes(one_ip, other_ip) || takes(other_ip, one_ip);
    one.port() != 0 && one.port() == other.port() && meets
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8000)),
            metrics_listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 9464))),
            max_connections: 1024,
            max_connections_per_caller: 512,
            header_timeout: Span::secs(30),
            body_timeout: Span::secs(30),
            write_timeout: Span::secs(30),
            handler_timeout: Span::secs(120),
            drain: Span::secs(10),
            max_body_bytes: 1024 * 1024,
            max_upload_bytes: 50 * 1024 * 1024,
            upload_timeout: Span::secs(300),
            language: Language::En,
            websocket: WsConfig::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_which_nobody_would_be_answered_are_refused() {
        assert_eq!(HttpConfig::default().faults(), []);
        let twice: HttpConfig =
            toml::from_str("listen = \"127.0.0.1:9000\"\nmetrics_listen = \"127.0.0.1:9000\"")
                .expect("parses");
        assert_eq!(twice.faults()[0].0, "http.metrics_listen");
        let taken = |one: &str, other: &str| {
            is_taken(
                one.parse().expect("an address"),
                other.parse().expect("an address"),
            )
        };
        for (one, other) in [
            ("0.0.0.0:1", "127.0.0.1:1"),
            ("127.0.0.1:1", "[::]:1"),
            ("[::1]:1", "[::]:1"),
            ("[::ffff:127.0.0.1]:1", "127.0.0.1:1"),
        ] {
            assert!(taken(one, other) && taken(other, one), "{one} {other}");
        }
        for (one, other) in [
            ("0.0.0.0:1", "127.0.0.1:2"),
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("[::1]:1", "127.0.0.1:1"),
            ("[::1]:1", "0.0.0.0:1"),
        ] {
            assert!(!taken(one, other) && !taken(other, one), "{one} {other}");
        }
        let text = "max_connections = 0\nmax_body_bytes = 0\nhandler_timeout = \"0s\"\ndrain = \"0s\"\n\
                    [websocket]\nmax_connections = 0\nmax_lag = \"0s\"";
        let config: HttpConfig = toml::from_str(text).expect("parses");
        let keys: Vec<_> = config.faults().into_iter().map(|(key, _)| key).collect();
        let wanted = [
            "http.max_connections",
            "http.max_body_bytes",
            "http.handler_timeout",
            "http.websocket.max_lag",
        ];
        assert_eq!(keys, wanted);
    }
}
