//! What a key may do, and for which sessions.
//!
//! Scopes are ordered: read < send < manage < admin, and each includes those before it. A key may
//! be bound to sessions; then nothing else exists for it. An admin key is never bound.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::base::{KeyId, Owner, SessionId};

/// What a key may do. Each scope includes those before it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Look at everything but phone numbers.
    Read,
    /// Also send.
    Send,
    /// Also make, change and delete sessions, pairs and endpoints.
    Manage,
    /// Also keys, the tree, incidents, export.
    Admin,
}

impl Scope {
    /// The name, as the API shows it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Send => "send",
            Self::Manage => "manage",
            Self::Admin => "admin",
        }
    }
}

/// Who asks: what a verified key stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The key.
    pub key: KeyId,
    /// Whom what it makes belongs to.
    pub owner: Owner,
    /// The widest of its scopes.
    pub scope: Scope,
    /// The only sessions it knows; none if it knows all.
    pub sessions: Option<BTreeSet<SessionId>>,
}

impl Principal {
    /// Whether it may do what needs this scope.
    pub fn may(&self, needed: Scope) -> bool {
        self.scope >= needed
    }

    /// Whether the session exists for it.
    pub fn sees(&self, session: SessionId) -> bool {
        self.sessions
            .as_ref()
            .is_none_or(|bound| bound.contains(&session))
    }

    /// Whether every session exists for it.
    pub fn sees_all(&self) -> bool {
        self.sessions.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scope_includes_those_before_it() {
        let session = SessionId::generate();
        let sender = Principal {
            key: KeyId::generate(),
            owner: Owner::admin(),
            scope: Scope::Send,
            sessions: Some(BTreeSet::from([session])),
        };
        assert!(sender.may(Scope::Read) && sender.may(Scope::Send) && !sender.may(Scope::Manage));
        assert!(sender.sees(session) && !sender.sees(SessionId::generate()) && !sender.sees_all());
    }
}
