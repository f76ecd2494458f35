//! What waits for a person: incidents, and the view of dead letters over all lanes; and the audit log.
//!
//! Domains report what did not heal by itself through [`Incidents`]; nobody but a person (or the
//! domain whose trouble is over) resolves one. [`DeadLetters`] shows what was discarded, whichever
//! lane it was in, and puts it back or drops it. [`Audit`] remembers who did what.

pub mod audit;
mod dead_letters;
mod incidents;

pub use audit::{Audit, AuditConfig};
pub use dead_letters::{DeadItem, DeadLetters, DeadQuery};
pub use incidents::{Incident, Incidents, IncidentsConfig};
