//! What access keeps in the store.

use serde::{Deserialize, Serialize};

use super::key::ApiKey;
use crate::base::{KeyId, Owner, Timestamp};
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

/// What a caller called a request of a route, hashed, under its key.
pub type Name = (KeyId, [u8; 32]);

/// A request that was named by its caller.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Named {
    /// When it came first.
    pub first: Timestamp,
    /// What it asked for, hashed under a secret of the installation.
    pub fingerprint: [u8; 32],
    /// The body of its answer, once there is one that is kept.
    pub answer: Option<String>,
    /// The status of that answer; 0 in rows of a release that kept bodies only.
    #[serde(default)]
    pub status: u16,
    /// Whom it belongs to.
    #[serde(default = "Owner::admin")]
    pub owner: Owner,
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
