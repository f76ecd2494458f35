//! trunkline keeps many Telegram user sessions alive and puts them to work.
//!
//! # One update's journey
//! ```text
//! Telegram ──MTProto──▶ telegram/session/pump ──▶ convert, from_tl ──▶ model::Event
//!                                               │ commit 1 (session/commit): events + update state, atomically
//!                                               ▼
//!                                         store: journal  (in order, kept for a while)
//!                    ┌──────────────────────────┼──────────────────────────┐
//!            webhook/dispatcher       http/ws: a listener's cursor       forward/dispatcher
//!                    │ commit 2: tasks into lanes + own cursor             │
//!                    ▼                                                     ▼
//!            webhook/deliverer                                    forward/worker (one lane a pair)
//!                    │ POST, signed                                        │ Telegram::send, past the limiter
//!                    ▼                                                     ▼
//!                receiver                                      Telegram (same random id on every try)
//!                                                                          │ commit 3: message map + task done
//! ```
//! - *Durable before passed*: the stored update state moves past an event only in the commit that stores it. What
//!   a crash makes Telegram send again is recognised by its name and dropped.
//! - *Consumers pull*: the pump knows no pair and no endpoint. Each consuming domain has one dispatcher with one
//!   durable cursor.
//! - *An effect has a name before it happens*: a random id is derived from the task, so that a retry is the same
//!   effect and Telegram drops it.
//! - *Group commit*: one committer thread gathers, applies atomically, syncs, acknowledges.
//!
//! # Floors
//! A file imports its own floor along an arrow, and any floor below; never up. `tests/house.rs` keeps it so.
//! ```text
//! 5  main · cli · app          composition: config → handles → tree → wait for a signal → drain; the demo
//! 4  http                      the edge: one table of routes; asks domain handles, touches no table of the store
//! 3  forward → telegram → limiter     webhook     access → ops (incidents, audit, dead letters)  domains
//! 2  runtime                   supervision: specs, strategies, drain, quarantine; no domain word
//! 1  config · telemetry · store       process resources
//! 0  base · model              words and pure functions
//!    sandbox                   beside the house: a Telegram of one's own; of our modules it uses only base
//! ```
//!
//! # The tree
//! `app/tree.rs` is its table: store, then the services (each session, pair and endpoint with its own restart
//! intensity), then the listeners. A domain shows a config section, a cheap `Handle` that outlives restarts, its
//! model types and its error; actors, messages and tables stay private.

// What prints must bear an output that is closed or full; `print!` and its kind panic.
#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

pub mod access;
pub mod app;
pub mod base;
pub mod cli;
pub mod config;
pub mod forward;
pub mod http;
pub mod limiter;
pub mod model;
pub mod ops;
pub mod runtime;
pub mod sandbox;
pub mod store;
pub mod telegram;
pub mod telemetry;
pub mod webhook;

// Each connection to Telegram has two buffers of 1 MiB of which little is touched: glibc's allocator makes all of
// them resident, this one only what is used.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What the allocator is told at the start of the process. Blocks from 128 KiB come from the system and go back to it
/// as soon as they are free: made of pages that were in use before, a block is resident from end to end, however little
/// of it is used. A connection has two of 1 MiB, and one of 169 KiB for its updates.
#[allow(
    unsafe_code,
    reason = "the allocator reads its settings under this name; no code is unsafe"
)]
#[used]
#[unsafe(export_name = "_rjem_malloc_conf")]
static ALLOCATOR_SETTINGS: &[u8; 26] = b"oversize_threshold:131072\0";
