//! Whom a stored row belongs to. Every row that belongs to somebody carries it from the first day.

use serde::{Deserialize, Serialize};

/// The principal that owns a row.
#[derive(
    Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct Owner(pub String);

impl Owner {
    /// The operator of this installation.
    pub fn admin() -> Self {
        Self("admin".to_owned())
    }
}
