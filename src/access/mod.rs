//! Who asks and what they may: API keys, scopes, and requests that their callers named.
//!
//! A key's text is shown once and stored as a hash. Scopes are ordered (read < send < manage <
//! admin); a key may be bound to sessions, then nothing else exists for it.

mod config;
mod error;
mod first;
mod idempotency;
mod key;
mod keys;
mod remembered;
mod scope;
mod secret;
mod tables;
mod ticket;

#[cfg(test)]
mod tests;

pub use config::AccessConfig;
pub use error::AccessError;
pub use first::FIRST_KEY_FILE;
pub use idempotency::{Begun, Effect, Idempotency, IdempotencyKey, Kept, Try};
pub use key::{ApiKey, NewKey};
pub use keys::Access;
pub use scope::{Principal, Scope};
