//! Words without behaviour of their own: ids, times, error codes, secrets, owners.
//!
//! Nothing here knows tokio, does I/O or imports another module of the house; but for small files that are replaced as a
//! whole (`file`), and the fault points of a build that is made for the fault campaign.

#[cfg(test)]
mod campaign;
pub mod chain;
mod clock;
pub mod code;
pub mod digits;
pub mod fault;
pub mod file;
pub mod id;
pub mod name;
pub mod owner;
pub mod secret;
pub mod span;
pub mod time;

#[cfg(test)]
pub(crate) use campaign::campaign;
pub use chain::chain;
pub use code::{Category, Code, Coded, Retry};
pub use id::{
    AuditId, DeliveryId, EndpointId, EventId, IncidentId, KeyId, PairId, RotationId, SessionId, StepId,
    TaskId,
};
pub use owner::Owner;
pub use secret::Secret;
pub use span::Span;
pub use time::Timestamp;
