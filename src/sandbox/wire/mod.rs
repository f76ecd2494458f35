//! The server's lower half: real MTProto 2.0 on loopback, up to the bare call.
//!
//! A packet's way: `server` accepts, `connection` reads it with its `transport`; a plain one goes to
//! `exchange` (the key exchange), an encrypted one is opened by `cipher` and `envelope`, told to its
//! `session` (what came, what goes out, what is not acknowledged), and there it is either the protocol's own
//! (`service`) or a call, which a `worker` frees from its `wrappers` and takes to the world. Answers and
//! pushes wait in the session; the connection takes them from there.
//!
//! Not promised: speed of the key exchange, secrecy against who can read this machine's memory, transports
//! other than over TCP.

mod connection;
mod hub;
mod rsa;
mod server;

mod binding;
mod cipher;
mod clock;
mod envelope;
mod exchange;
#[cfg(test)]
mod fuzz;
mod nesting;
mod numbers;
mod outbox;
mod registry;
mod salts;
mod service;
mod session;
mod transport;
mod worker;
mod wrappers;

pub use hub::{Connections, Hub};
pub use rsa::{KeyError, RsaKey};
pub use server::{Patience, Wire, WireConfig};
