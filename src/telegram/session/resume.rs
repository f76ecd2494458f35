//! Where a session goes on after a login: where it was, if the same account was logged in here before.
//!
//! Positions and high-water marks are the account's, not the authorisation's: what came between two logins is
//! fetched like what comes while the daemon is down. A first login begins with the present. A session is one account's:
//! nothing is stored here of another.

use super::Context;
use crate::store::StoreError;
use crate::telegram::link::Link;
use crate::telegram::tables::{StoredState, UpdateStates};

/// The position with which the account begins after a login, `present` being Telegram's own.
///
/// # Errors
/// If the store failed.
pub(super) fn position(
    context: &Context,
    link: &Link,
    present: StoredState,
) -> Result<StoredState, StoreError> {
    let stored = context.store.get::<UpdateStates>(&(link.id, 0))?;
    Ok(go_on(stored, present))
}

/// qts and seq count within an authorisation. A position beyond the present one is of another life of the server.
fn go_on(stored: Option<StoredState>, present: StoredState) -> StoredState {
    match stored {
        Some(stored) if (1..=present.pts).contains(&stored.pts) => StoredState {
            pts: stored.pts,
            date: stored.date,
            ..present
        },
        _ => present,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(pts: i32, count: i32) -> StoredState {
        StoredState {
            pts,
            qts: count,
            date: pts * 10,
            seq: count,
        }
    }

    #[test]
    fn an_account_goes_on_where_it_was_and_begins_with_the_present() {
        let resumed = go_on(Some(at(5, 8)), at(9, 1));
        assert_eq!((resumed.pts, resumed.date), (5, 50));
        assert_eq!((resumed.qts, resumed.seq), (1, 1), "of the new authorisation");
        assert_eq!(go_on(None, at(9, 1)), at(9, 1));
        assert_eq!(go_on(Some(at(0, 0)), at(9, 1)), at(9, 1), "no position at all");
        assert_eq!(go_on(Some(at(10, 0)), at(9, 1)), at(9, 1));
    }
}
