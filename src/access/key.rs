//! A key as it is stored and shown, and the decisions about it.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::AccessError;
use super::scope::{Principal, Scope};
use super::secret::{self, Hashed};
use crate::base::name::is_name;
use crate::base::{KeyId, Owner, SessionId, Timestamp};

/// For how long at most a rotated text still works.
const LONGEST_OVERLAP: Duration = Duration::from_secs(7 * 24 * 3600);

/// How long a name may be.
const LONGEST_NAME: usize = 100;

/// A key as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ApiKey {
    /// Its id.
    pub id: KeyId,
    /// What its maker called it.
    pub name: String,
    /// What it may do; the widest counts.
    pub scopes: BTreeSet<Scope>,
    /// The only sessions it knows; none if it knows all.
    pub sessions: Option<BTreeSet<SessionId>>,
    /// Whom what it makes belongs to.
    pub owner: Owner,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// Its text, hashed; two of them while a rotation overlaps.
    pub secrets: Vec<KeySecret>,
}

/// One text of a key, hashed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeySecret {
    /// The public part that finds it.
    pub lookup: String,
    /// The whole, hashed.
    pub hash: Hashed,
    /// When it ends, after a rotation.
    pub until: Option<Timestamp>,
}

impl KeySecret {
    /// What is stored of a text; none if it can be no key.
    pub fn of(text: &str) -> Option<Self> {
        Some(Self {
            lookup: secret::lookup(text)?,
            hash: Hashed::of(text),
            until: None,
        })
    }
}

/// What a new key shall be.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// What to call it.
    pub name: String,
    /// What it may do.
    pub scopes: BTreeSet<Scope>,
    /// The only sessions it knows.
    pub sessions: Option<BTreeSet<SessionId>>,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// Whom what it makes belongs to.
    pub owner: Owner,
}

impl NewKey {
    /// Refuses what makes no sense.
    pub fn check(&self, now: Timestamp) -> Result<(), AccessError> {
        if !is_name(&self.name, LONGEST_NAME) {
            return Err(AccessError::Invalid(
                "name must have 1 to 100 characters, none of them a control character",
            ));
        }
        if self.scopes.is_empty() {
            return Err(AccessError::Invalid("scopes must name at least one scope"));
        }
        if self.sessions.as_ref().is_some_and(BTreeSet::is_empty) {
            return Err(AccessError::Invalid(
                "sessions must name at least one session, or be left out",
            ));
        }
        if self.scopes.contains(&Scope::Admin) && self.sessions.is_some() {
            return Err(AccessError::Invalid(
                "a key with the scope admin can't be bound to sessions",
            ));
        }
        if self.expires_at.is_some_and(|end| end <= now) {
            return Err(AccessError::Invalid("expires_at is in the past"));
        }
        Ok(())
    }
}

impl ApiKey {
    /// Whether it works.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }

    /// Whether it may make keys, now and for good.
    pub fn is_lasting_admin(&self) -> bool {
        self.scopes.contains(&Scope::Admin) && self.expires_at.is_none()
    }

    /// What it stands for, if `text` is its text and it works.
    pub fn admit(&self, text: &str, now: Timestamp) -> Option<Principal> {
        // Every text is compared, so that time does not tell which of them is near.
        let known = self.secrets.iter().fold(false, |known, secret| {
            known | (secret.hash.matches(text) & secret.until.is_none_or(|end| now < end))
        });
        self.principal(now).filter(|_| known)
    }

    /// What it stands for, if it works.
    pub fn principal(&self, now: Timestamp) -> Option<Principal> {
        let scope = self.scopes.iter().max().copied()?;
        self.is_live(now).then(|| Principal {
            key: self.id,
            owner: self.owner.clone(),
            scope,
            sessions: self.sessions.clone(),
        })
    }

    /// The key with a further text; those before end after the overlap. Tells which public parts are
    /// no longer needed.
    pub fn rotate(
        mut self,
        fresh: KeySecret,
        overlap: Duration,
        now: Timestamp,
    ) -> Result<(Self, Vec<String>), AccessError> {
        if overlap > LONGEST_OVERLAP {
            return Err(AccessError::Invalid("the overlap is longer than a week"));
        }
        let end = now.plus(overlap);
        for secret in &mut self.secrets {
            secret.until = Some(secret.until.map_or(end, |until| until.min(end)));
        }
        let (kept, gone): (Vec<_>, Vec<_>) = self
            .secrets
            .into_iter()
            .partition(|secret| secret.until.is_none_or(|until| now < until));
        self.secrets = kept;
        self.secrets.push(fresh);
        Ok((self, gone.into_iter().map(|secret| secret.lookup).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> ApiKey {
        ApiKey {
            id: KeyId::generate(),
            name: "crm".to_owned(),
            scopes: BTreeSet::from([Scope::Send]),
            sessions: None,
            owner: Owner::admin(),
            created_at: Timestamp(0),
            expires_at: Some(Timestamp(1_000_000)),
            secrets: vec![KeySecret::of(text).expect("a key")],
        }
    }

    #[test]
    fn a_key_admits_its_text_until_it_ends() {
        let key = key("tlk_one");
        assert!(
            key.admit("tlk_one", Timestamp(5))
                .is_some_and(|who| who.scope == Scope::Send)
        );
        assert!(key.admit("tlk_two", Timestamp(5)).is_none());
        assert!(key.admit("tlk_one", Timestamp(1_000_000)).is_none());
    }

    #[test]
    fn a_rotation_lets_both_texts_work_for_the_overlap() {
        let fresh = || KeySecret::of("tlk_two").expect("a key");
        let (rotated, gone) = key("tlk_one")
            .rotate(fresh(), Duration::from_secs(10), Timestamp(5))
            .expect("allowed");
        assert!(gone.is_empty());
        assert!(rotated.admit("tlk_one", Timestamp(10_004)).is_some());
        assert!(rotated.admit("tlk_one", Timestamp(10_005)).is_none());
        assert!(rotated.admit("tlk_two", Timestamp(10_005)).is_some());
        let (rotated, gone) = key("tlk_one")
            .rotate(fresh(), Duration::ZERO, Timestamp(5))
            .expect("allowed");
        assert_eq!(gone.len(), 1);
        assert!(rotated.admit("tlk_one", Timestamp(5)).is_none());
        assert!(
            key("tlk_one")
                .rotate(fresh(), Duration::from_secs(1_000_000), Timestamp(5))
                .is_err()
        );
    }

    #[test]
    fn an_admin_key_is_never_bound() {
        let new = NewKey {
            name: "x".to_owned(),
            scopes: BTreeSet::from([Scope::Admin]),
            sessions: Some(BTreeSet::from([SessionId::generate()])),
            expires_at: None,
            owner: Owner::admin(),
        };
        assert!(new.check(Timestamp(0)).is_err());
        let new = NewKey {
            sessions: None,
            ..new
        };
        assert!(new.check(Timestamp(0)).is_ok());
    }
}
