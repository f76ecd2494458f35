//! trunkline keeps Telegram user sessions alive and puts them to work.

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

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
