//! Ids: opaque, prefixed, sortable by the time they were made (`ses_01j…`).
//!
//! An id is a ULID with the prefix of what it names. It is `Copy`, sixteen bytes in memory, a
//! prefixed lower-case string in JSON and in the store.

use std::fmt;
use std::str::FromStr;

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

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Ulid);

        impl $name {
            /// What its text begins with, before the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// A new id, later in order than all made before in other milliseconds.
            pub fn generate() -> Self {
                Self(Ulid::new())
            }

            /// When it was made, to the millisecond; without meaning for a derived one.
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
    fn an_id_of_another_kind_is_refused() {
        let text = PairId::generate().to_string();
        assert_eq!(text.parse::<SessionId>(), Err(NotAnId { prefix: "ses" }));
        assert!("ses_".parse::<SessionId>().is_err());
    }
}
