//! The control API as its callers meet it: over HTTP, with keys, right and wrong requests.

mod archive;
mod assets;
mod audited;
mod bound;
pub mod caller;
mod frame;
mod fuzz;
mod keys;
mod pairs;
mod sending;
mod sessions;
mod webhooks;
