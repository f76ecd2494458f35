//! A rotation as it is stored: how far it came, and the keys that its end depends on.

use serde::{Deserialize, Serialize};

use crate::base::{RotationId, SessionId, Timestamp};
use crate::store::Table;
use crate::store::catalog::{self, Entry};
use crate::telegram::tables::Authorisation;

/// Rotations under way, by session. Sealed: they hold keys.
pub(crate) struct Rotations;

impl Table for Rotations {
    const ENTRY: Entry = catalog::ROTATIONS;
    type Key = SessionId;
    type Value = Rotation;
}

/// A rotation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Rotation {
    /// Its id.
    pub id: RotationId,
    /// When it was asked for.
    pub began: Timestamp,
    /// How far it came.
    pub step: RotationStep,
}

/// How far a rotation came.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum RotationStep {
    /// Nothing has happened at Telegram.
    Begun,
    /// There is a fresh key, which may be authorised already; the session goes on with its former one.
    Prepared(Authorisation),
    /// The session goes on with the fresh key; the former one is still authorised.
    Switched(Authorisation),
}

impl RotationStep {
    /// The keys that are authorised, or may be, beside the ones the session uses.
    pub fn spare(&self) -> Option<&Authorisation> {
        match self {
            Self::Begun => None,
            Self::Prepared(keys) | Self::Switched(keys) => Some(keys),
        }
    }
}
