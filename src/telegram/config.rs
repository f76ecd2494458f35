//! The config section `[telegram]`.

use std::net::SocketAddr;

use serde::Deserialize;

use super::server_key::{NotAKey, ServerKey};
use crate::base::{Secret, Span};

/// How Telegram is reached, and how gently.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TelegramConfig {
    /// The application's id, from my.telegram.org; 0 is none.
    pub api_id: i32,
    /// The application's hash, from my.telegram.org.
    pub api_hash: Secret,
    /// A server other than Telegram's.
    pub server: ServerConfig,
    /// Sessions that connect at the same time at most.
    pub start_at_once: usize,
    /// The time between two starts of sessions.
    pub start_spacing: Span,
    /// How long a call may take before its connection counts as broken.
    pub call_timeout: Span,
    /// The silence after which a ping asks for a proof of life.
    pub ping_after: Span,
    /// How long the answer to it may take.
    pub ping_timeout: Span,
    /// For how long a server has to say that it does not know a key before the session ends.
    pub key_doubt: Span,
    /// How long a session may be away before it is reported as lost.
    pub lost_after: Span,
    /// How long a login process waits for its next step.
    pub login_expires: Span,
    /// Logins that are worked on at the same time at most; the others wait in order.
    pub logins_at_once: usize,
    /// Updates held between the connection and the store; more is a gap, filled from Telegram.
    pub updates_buffer: usize,
    /// How often the tops of the chats are compared with what is stored: the library may leave a gap open for
    /// a quarter of an hour.
    pub gap_check: Span,
    /// The pace at which channels are asked for what they did not push: one in this time, of each session.
    pub poll_pace: Span,
    /// A channel is not polled again sooner.
    pub poll_rest: Span,
    /// Messages fetched from a chat's history at most when a gap is too long for a difference.
    pub history_fill_max: usize,
    /// Sessions that nothing came to or went out of for so long are logged out and deleted; zero never.
    pub delete_inactive_after: Span,
    /// How long is remembered where the messages of private chats and basic groups stand.
    pub remember: Span,
}

/// A self-hosted MTProto server.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// Its data centres; none means Telegram itself.
    pub dc: Vec<DcConfig>,
    /// Its RSA public key as PEM.
    pub rsa_public_key: String,
}

/// One data centre of a self-hosted server.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DcConfig {
    /// Its number.
    pub id: i32,
    /// Where it listens.
    pub address: SocketAddr,
}

/// The most of anything at the same time that can be asked for.
const MOST: usize = 1_000_000;

impl Default for TelegramConfig {
    fn default() -> Self {
        Self {
            api_id: 0,
            api_hash: Secret::new(""),
            server: ServerConfig::default(),
            start_at_once: 16,
            start_spacing: Span::millis(50),
            call_timeout: Span::secs(30),
            ping_after: Span::secs(18),
            ping_timeout: Span::secs(10),
            key_doubt: Span::secs(120),
            lost_after: Span::secs(60),
            login_expires: Span::secs(300),
            logins_at_once: 16,
            updates_buffer: 16_384,
            gap_check: Span::secs(300),
            poll_pace: Span::secs(3),
            poll_rest: Span::secs(30),
            history_fill_max: 5_000,
            delete_inactive_after: Span::secs(0),
            remember: Span::secs(30 * 24 * 3600),
        }
    }
}

impl TelegramConfig {
    /// Everything that is wrong with the section: key, and why.
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut fault = |key: &str, why: &str| faults.push((format!("telegram.{key}"), why.to_owned()));
        if self.api_id < 0 {
            fault("api_id", "must not be negative");
        }
        for (key, value) in [
            ("start_at_once", self.start_at_once),
            ("logins_at_once", self.logins_at_once),
            ("updates_buffer", self.updates_buffer),
        ] {
            if !(1..=MOST).contains(&value) {
                fault(key, "must be 1 to 1000000");
            }
        }
        for (key, value) in [
            ("call_timeout", self.call_timeout),
            ("ping_after", self.ping_after),
            ("ping_timeout", self.ping_timeout),
            ("login_expires", self.login_expires),
            ("gap_check", self.gap_check),
            ("poll_pace", self.poll_pace),
            ("poll_rest", self.poll_rest),
        ] {
            if value.is_zero() {
                fault(key, "must be longer than nothing");
            }
        }
        if !self.server.dc.is_empty() {
            if let Err(error) = self.server.key() {
                fault("server.rsa_public_key", &error.to_string());
            }
            if self.server.dc.iter().any(|dc| dc.id < 1) {
                fault("server.dc.id", "must be at least 1");
            }
        } else if !self.server.rsa_public_key.is_empty() {
            fault(
                "server.dc",
                "a server's key is given, but none of its data centres",
            );
        }
        faults
    }
}

impl ServerConfig {
    /// The RSA key, parsed.
    ///
    /// # Errors
    /// If the text is none.
    pub fn key(&self) -> Result<ServerKey, NotAKey> {
        ServerKey::from_pem(&self.rsa_public_key)
    }
}
