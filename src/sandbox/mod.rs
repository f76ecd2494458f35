//! A Telegram of one's own on loopback: real MTProto, a world of users and chats, faults on demand.
//!
//! From below: `wire` speaks the protocol and knows calls as bytes; `rpc` is the seam; `telegram` takes
//! calls to `methods`, which change the `world` and answer through `render`; what others are to hear
//! goes back through the hub. `handle` (with `logins`) is the world for this process, `control` the same over HTTP,
//! `seed` and `disk` fill and keep it, `server` puts all together. `receiver` and `ledger` are what a run is
//! checked with.
//!
//! Not promised: that it refuses what Telegram would, beyond what is written down in docs/sandbox.md.

pub mod acts;
mod apart;
mod arithmetic;
pub mod control;
pub mod disk;
pub mod faults;
mod gathering;
mod group;
pub mod handle;
mod hash;
pub mod layers;
pub mod ledger;
pub mod limits;
pub mod logins;
pub mod methods;
pub mod people;
mod quiet;
pub mod receiver;
mod refusing;
pub mod render;
pub mod requests;
pub mod rpc;
pub mod seed;
mod sending;
pub mod server;
pub mod switch;
pub mod telegram;
pub mod view;
pub mod wire;
pub mod world;

pub use handle::World;
pub use seed::Seed;
pub use server::{Sandbox, SandboxConfig, SandboxError};
pub use world::Switches;
