//! A Telegram of one's own on loopback: real MTProto, a world of users and chats, faults on demand.

pub mod faults;
pub mod methods;
pub mod render;
pub mod requests;
pub mod rpc;
pub mod telegram;
pub mod wire;
pub mod world;
