//! The seam between the wire (MTProto: connections, keys, sessions) and the world (users, chats, methods).
//!
//! The wire asks a [`Service`]; the world pushes through a [`Hub`]. Neither knows more of the other.
//! Promised: a call's `msg_id` is executed once per session, and after those that it names (`invokeAfterMsg`).
//! Not promised: an order of calls and answers beyond that, and that an answer or a push arrives. Clients find that out
//! as with the real server.

use std::fmt;
use std::future::Future;

use super::switch::Switch;

pub use super::wire::Hub;

/// An authorisation key's id: the name by which the world knows a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub i64);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// An MTProto session's id, chosen by the client; several may live on one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MtSession(pub i64);

/// One call as it left its wrappers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The data centre that was called.
    pub dc: i32,
    /// Whose key it came under.
    pub key: KeyId,
    /// In which session.
    pub session: MtSession,
    /// Over which connection, by its number.
    pub connection: u64,
    /// The layer that the client named in `invokeWithLayer`.
    pub layer: i32,
    /// Whether it came inside `invokeWithoutUpdates`: such a call subscribes nobody.
    pub without_updates: bool,
    /// The bare function: constructor id and parameters.
    pub body: Vec<u8>,
}

/// What the world answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A serialised TL object.
    Result(Vec<u8>),
    /// An error as Telegram words it, such as 400 `PEER_ID_INVALID`.
    Error {
        /// The code, by its class: 303, 400, 401, 403, 406, 420, 500.
        code: i32,
        /// The name, with its number if it has one: `FLOOD_WAIT_3`.
        name: String,
    },
    /// The connection is cut instead of an answer. With an answer the work was done, and the answer is
    /// kept for the same session's next connection; without one the call counts as never received.
    DropConnection {
        /// The serialised answer that the client should have had.
        answer: Option<Vec<u8>>,
    },
    /// No answer ever comes.
    Silence,
}

impl Reply {
    /// An error of that code and name.
    pub fn error(code: i32, name: impl Into<String>) -> Self {
        Self::Error {
            code,
            name: name.into(),
        }
    }
}

/// How strict the wire is, as the world's switches and settings have it.
#[derive(Clone, Debug)]
pub struct Manners {
    /// Sequence numbers that fall or stand still are refused.
    pub sequence: Switch,
    /// Sequence numbers of the wrong parity are refused.
    pub parity: Switch,
    /// The ids of the messages in a container are judged like its own.
    pub inner_ids: Switch,
    /// Calls of a session run side by side, and their answers leave in any order.
    pub side_by_side: Switch,
    /// Who does not keep up is told `updatesTooLong`, and is not cut off.
    pub laggards_told: Switch,
    /// For how many seconds a salt is the current one.
    pub salt_period: u64,
    /// By how many seconds the server's clock is ahead of the machine's, or behind.
    pub clock_offset: i64,
    /// Up to 15 bytes follow a packet in the padded transport, not up to three.
    pub long_padding: Switch,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            sequence: Switch::new(true),
            parity: Switch::new(true),
            inner_ids: Switch::new(true),
            side_by_side: Switch::new(true),
            laggards_told: Switch::new(true),
            salt_period: 1800,
            clock_offset: 0,
            long_padding: Switch::new(false),
        }
    }
}

/// A connection's last word: a transport error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its code, such as -404.
    pub code: i32,
    /// Whether it comes as a packet of the full transport. Telegram sends it bare there, other servers do not.
    pub framed: bool,
}

/// What a client told of itself in `initConnection`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientInfo {
    /// The layer it speaks.
    pub layer: i32,
    /// The application's id.
    pub api_id: i32,
    /// The device's name.
    pub device_model: String,
    /// The operating system.
    pub system_version: String,
    /// The application's version.
    pub app_version: String,
    /// Its language code.
    pub lang_code: String,
}

/// A key of an earlier run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownKey {
    /// Its id.
    pub id: KeyId,
    /// The data centre that it belongs to.
    pub dc: i32,
    /// The key.
    pub auth_key: [u8; 256],
    /// The layer of its last `initConnection`, if there was one.
    pub layer: Option<i32>,
}

/// What the wire asks of the world.
pub trait Service: Send + Sync + 'static {
    /// Executes one call. It may await long (other calls of the session go ahead).
    fn call(&self, call: Call) -> impl Future<Output = Reply> + Send;

    /// A connection speaks under this key for the first time: how it is refused, if it is.
    fn greets(&self, _key: KeyId) -> Option<Refusal> {
        None
    }

    /// A key exchange with a data centre has ended well; the client hears of it after this returns.
    fn key_created(&self, key: KeyId, dc: i32, auth_key: &[u8; 256]);

    /// The client destroyed its key: the login under it is gone.
    fn key_destroyed(&self, key: KeyId);

    /// A client introduced itself under this key, maybe not for the first time.
    fn client_known(&self, key: KeyId, client: ClientInfo);

    /// The keys to know from the start, of earlier runs.
    fn known_keys(&self) -> Vec<KnownKey>;
}
