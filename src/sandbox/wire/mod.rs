//! The server's lower half: listener, transports, key exchange, encrypted sessions.

pub mod hub;
