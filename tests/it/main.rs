//! User stories over the real daemon and the sandbox.

mod beside;
mod carried;
mod control_api;
mod examples;
mod forwarding;
mod interop;
mod kill;
mod kill_changes;
mod left_out;
mod logins;
mod operation;
mod returning;
mod rotation;
mod sandbox_messages;
mod sandbox_people;
mod sandbox_wire;
mod sandbox_world;
mod secrets;
mod session_health;
mod sessions;
mod stage;
mod told;
mod updates;
mod webhooks;
mod websocket;
mod wire_trouble;
