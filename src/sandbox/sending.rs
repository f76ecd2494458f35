//! The random ids of calls that are under way: the same id again is a duplicate until the first call has ended.
//!
//! What ended calls have posted, and for how long their ids are remembered, is the world's to know.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::world::{Peer, Refusal};

/// Who sends what where.
type Name = (i64, Peer, i64);

/// All names of calls under way. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Sending {
    names: Arc<Mutex<HashSet<Name>>>,
}

/// One call under way; dropped, it has ended.
#[derive(Debug)]
pub struct UnderWay {
    sending: Sending,
    names: Vec<Name>,
}

impl Sending {
    /// A call begins that names its messages so, if none of the names is in use.
    pub fn begin(&self, account: i64, peer: Peer, random_ids: &[i64]) -> Result<UnderWay, Refusal> {
        let names: Vec<Name> = random_ids.iter().map(|id| (account, peer, *id)).collect();
        let mut held = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.iter().any(|name| held.contains(name)) {
            return Err(Refusal::other(500, "RANDOM_ID_DUPLICATE"));
        }
        held.extend(&names);
        Ok(UnderWay {
            sending: self.clone(),
            names,
        })
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut held = self.sending.names.lock().unwrap_or_else(PoisonError::into_inner);
        self.names.iter().for_each(|name| {
            held.remove(name);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_in_use_until_its_call_has_ended() {
        let sending = Sending::default();
        let first = sending.begin(1, Peer::User(2), &[7, 8]).expect("free");
        let refused = sending.begin(1, Peer::User(2), &[8]).expect_err("in use");
        assert_eq!(
            (refused.code, refused.name.as_ref()),
            (500, "RANDOM_ID_DUPLICATE")
        );
        assert!(sending.begin(1, Peer::User(3), &[8]).is_ok(), "elsewhere");
        assert!(sending.begin(2, Peer::User(2), &[8]).is_ok(), "another's");
        drop(first);
        assert!(sending.begin(1, Peer::User(2), &[8]).is_ok());
    }
}
