//! The routes, a file a resource. Each file shows its rows, its forms and its handlers; handlers
//! ask domain handles and decide nothing that a domain should decide.

pub mod admin;
pub mod agent;
pub mod agent_archive;
pub mod agent_login;
pub mod agent_media;
pub mod dead_letters;
pub mod deliveries;
pub mod endpoints;
pub mod health;
pub mod keys;
pub mod login;
pub mod messages;
pub mod monitoring;
pub mod pairs;
pub mod pool;
pub mod rotation;
pub mod session_health;
pub mod sessions;
pub mod ws;
