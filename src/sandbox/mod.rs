//! A Telegram of one's own on loopback: real MTProto, a world of users and chats, faults on demand.

pub mod rpc;
pub mod wire;
