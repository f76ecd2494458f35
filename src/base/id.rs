//! Ids: opaque, prefixed, sortable by the time they were made (`ses_01j…`).
//!
//! An id is a ULID with the prefix of what it names. It is `Copy`, sixteen bytes in memory, a
//! prefixed lower-case string in JSON and in the store.
//!
//! Ids of one process are in the order in which they were made, whatever the machine's clock does: where it stands
//! still or goes back, the next id is the one after the latest. Whoever lists stored ids in their order says once, at the
//! start, what the latest stored one is (`follow`), so that this holds across restarts too. Nobody ever waits for a clock.
//! An id's time is therefore no proof of when it was made; records that need that have a time of their own.

use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use ulid::Ulid;

use super::Timestamp;

/// A text that is not an id of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an id of the form {prefix}_…")]
pub struct NotAnId {
    /// The prefix that was expected.
    pub prefix: &'static str,
}

/// The latest id of this process. Held only to compare two numbers.
static LATEST: Mutex<Ulid> = Mutex::new(Ulid::nil());

fn next() -> Ulid {
    let now = u64::try_from(Timestamp::now().0).unwrap_or_default();
    let fresh = Ulid::from_parts(now, Ulid::new().random());
    let mut latest = LATEST.lock().unwrap_or_else(PoisonError::into_inner);
    *latest = after(*latest, fresh);
    *latest
}

fn follow(stored: Ulid) {
    let mut latest = LATEST.lock().unwrap_or_else(PoisonError::into_inner);
    *latest = stored.max(*latest);
}

/// The fresh id if it is later than the latest one, else one after that: by chance how far, so that a process that began
/// with the same latest one does not make the same.
fn after(latest: Ulid, fresh: Ulid) -> Ulid {
    let step = 1 + (fresh.0 & u128::from(u64::MAX));
    match latest.0.checked_add(step).or(latest.0.checked_add(1)) {
        Some(next) => fresh.max(Ulid(next)),
        // Nothing is later than the last of all ids; that it is stored is damage, and no reason to stop.
        None => fresh,
    }
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Ulid);

        impl $name {
            /// What its text begins with, before the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// A new id, later in order than all that this process has made or follows.
            pub fn generate() -> Self {
                Self(next())
            }

            /// Says that this one exists: ids of every kind that are made from now on are later. Not for a derived one.
            pub fn follow(self) {
                follow(self.0);
            }

            /// When it was made, by the clock of then; without meaning for a derived one.
            pub fn made_at(self) -> Timestamp {
                Timestamp(i64::try_from(self.0.timestamp_ms()).unwrap_or(i64::MAX))
            }

            /// The id as sixteen bytes whose order is the order of ids.
            pub fn to_bytes(self) -> [u8; 16] {
                self.0.to_bytes()
            }

            /// The id from what [`Self::to_bytes`] gave; an id may also be derived from a hash.
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Ulid::from_bytes(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0.to_string().to_lowercase())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                let refuse = NotAnId { prefix: $prefix };
                let rest = text.strip_prefix(concat!($prefix, "_")).ok_or(refuse.clone())?;
                Ulid::from_string(&rest.to_uppercase()).map(Self).map_err(|_| refuse)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "pattern": concat!("^", $prefix, "_[0-9a-z]{26}$"),
                })
            }
        }
    )*};
}

ids! {
    /// A session: one Telegram account's authorised connection.
    SessionId = "ses";
    /// A forwarding pair.
    PairId = "pair";
    /// A webhook endpoint.
    EndpointId = "ep";
    /// An event of the journal.
    EventId = "evt";
    /// A delivery: one event for one endpoint.
    DeliveryId = "dlv";
    /// A task in a lane.
    TaskId = "task";
    /// An incident.
    IncidentId = "inc";
    /// An API key.
    KeyId = "key";
    /// A step of a login process.
    StepId = "step";
    /// The rotation of a session's auth key.
    RotationId = "rot";
    /// An entry of the audit log.
    AuditId = "aud";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_lead_back_to_the_id() {
        let id = SessionId::generate();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(SessionId::from_bytes(id.to_bytes()), id);
        assert!(id.to_string().starts_with("ses_"));
    }

    #[test]
    fn ids_are_in_order_within_a_millisecond_and_across_threads() {
        let makers: Vec<_> = (0..4)
            .map(|_| std::thread::spawn(|| (0..2000).map(|_| AuditId::generate()).collect::<Vec<_>>()))
            .collect();
        let mut all = Vec::new();
        for maker in makers {
            let made = maker.join().expect("no panic");
            assert!(made.is_sorted());
            all.extend(made);
        }
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 8000, "none is made twice");
    }

    #[test]
    fn ids_go_on_after_a_stored_one_that_is_ahead_of_the_clock() {
        let hour = 3_600_000;
        let ahead = Ulid::from_parts(Timestamp::now().0 as u64 + hour, 5);
        AuditId(ahead).follow();
        let began = std::time::Instant::now();
        let (next, other) = (AuditId::generate(), KeyId::generate());
        assert!(began.elapsed().as_secs() < 5, "nobody waits for the clock");
        assert!(AuditId(ahead) < next && next.0 < other.0);
        // An older one changes nothing.
        AuditId(Ulid::nil()).follow();
        assert!(AuditId::generate().0 > other.0);
    }

    proptest::proptest! {
        #[test]
        fn an_id_is_later_than_the_latest_whatever_the_clock_says(latest: u128, clock: u64, random: u128) {
            let latest = Ulid(latest.min(u128::MAX - 1));
            let fresh = Ulid::from_parts(clock >> 16, random);
            let next = after(latest, fresh);
            proptest::prop_assert!(next > latest && next >= fresh);
        }
    }

    #[test]
    fn an_id_of_another_kind_is_refused() {
        let text = PairId::generate().to_string();
        assert_eq!(text.parse::<SessionId>(), Err(NotAnId { prefix: "ses" }));
        assert!("ses_".parse::<SessionId>().is_err());
    }
}
