//! What access keeps in the store.

use serde::{Deserialize, Serialize};

use super::key::ApiKey;
use crate::base::{KeyId, Timestamp};
use crate::store::Table;
use crate::store::catalog::{self, Entry};

/// Keys by id.
pub struct Keys;

impl Table for Keys {
    const ENTRY: Entry = catalog::API_KEYS;
    type Key = KeyId;
    type Value = ApiKey;
}

/// Keys by the public part of their texts.
pub struct Lookups;

impl Table for Lookups {
    const ENTRY: Entry = catalog::API_KEY_LOOKUPS;
    type Key = String;
    type Value = KeyId;
}

/// When keys were last used, to the minute.
pub struct Uses;

impl Table for Uses {
    const ENTRY: Entry = catalog::API_KEY_USES;
    type Key = KeyId;
    type Value = Timestamp;
}

/// The hashed name that a caller gave a request, under its key.
pub type Name = (KeyId, [u8; 32]);

/// A request that was named by its caller.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Named {
    /// When it came first.
    pub first: Timestamp,
    /// What it asked for, hashed.
    pub fingerprint: [u8; 32],
    /// What it was answered, once it was.
    pub answer: Option<String>,
}

/// Named requests.
pub struct Requests;

impl Table for Requests {
    const ENTRY: Entry = catalog::IDEMPOTENCY;
    type Key = Name;
    type Value = Named;
}

/// Named requests by time, to forget them.
pub struct RequestTimes;

impl Table for RequestTimes {
    const ENTRY: Entry = catalog::IDEMPOTENCY_TIMES;
    type Key = (Timestamp, KeyId, [u8; 32]);
    type Value = ();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fuzz::*;

    #[test]
    fn rows_of_any_bytes_are_an_error_at_worst() {
        bears_any_row::<Keys>();
        bears_any_row::<Lookups>();
        bears_any_row::<Uses>();
        bears_any_row::<Requests>();
        bears_any_row::<RequestTimes>();
    }
}
