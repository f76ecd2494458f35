//! Tokens by which an account logs in again without a code: Telegram gives them at logins and log-outs.
//!
//! They belong to who owned the session and to the account's number, and are shown to Telegram for that number only, in
//! sessions of the same owner. They are credentials, kept sealed, the latest of a number and not for ever; not promised is
//! that Telegram takes one.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::account::Account;
use crate::base::{Owner, Secret, SessionId, Timestamp};
use crate::store::catalog::{self, Entry};
use crate::store::{Batch, Scan, Store, StoreError, Table};

/// How many of one number are kept: Telegram wants to be shown no more.
const KEPT: usize = 20;

/// How long one is kept.
const LIFE: Duration = Duration::from_secs(180 * 86_400);

/// Tokens by the session that got them, and when. Sealed.
pub(crate) struct FutureTokens;

impl Table for FutureTokens {
    const ENTRY: Entry = catalog::FUTURE_TOKENS;
    type Key = (SessionId, Timestamp);
    type Value = FutureToken;
}

/// A token, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FutureToken {
    owner: Owner,
    phone: Secret,
    token: Secret,
}

/// Keeps the token of an account, if Telegram gave one; one too many goes, and those whose time is over.
///
/// # Errors
/// If the store did not keep it.
pub(crate) async fn keep(store: &Store, account: &Account, token: Option<Vec<u8>>) -> Result<(), StoreError> {
    let (Some(token), Some(phone)) = (token, account.phone.clone()) else {
        return Ok(());
    };
    let now = Timestamp::now();
    let kept = store.scan::<FutureTokens>(Scan::all(), usize::MAX)?;
    let mut batch = Batch::new();
    for key in surplus(&kept, &account.owner, &phone, now) {
        batch.remove::<FutureTokens>(&key);
    }
    let row = FutureToken {
        owner: account.owner.clone(),
        phone,
        token: Secret::new(STANDARD.encode(token)),
    };
    batch.put::<FutureTokens>(&(account.id, now), &row);
    store.commit(batch).await?;
    Ok(())
}

/// The tokens that are shown to Telegram for a number.
///
/// # Errors
/// If the store cannot be read.
pub(crate) fn of(store: &Store, owner: &Owner, phone: &str) -> Result<Vec<Vec<u8>>, StoreError> {
    let kept = store.scan::<FutureTokens>(Scan::all(), usize::MAX)?;
    Ok(shown(&kept, owner, phone))
}

/// The tokens of an owner's number.
fn shown(kept: &[Row], owner: &Owner, phone: &str) -> Vec<Vec<u8>> {
    let own = kept
        .iter()
        .filter(|(_, row)| row.owner == *owner && row.phone.expose() == phone);
    own.filter_map(|(_, row)| STANDARD.decode(row.token.expose()).ok())
        .collect()
}

type Row = ((SessionId, Timestamp), FutureToken);

/// Which rows go before another one of this owner and number comes.
fn surplus(kept: &[Row], owner: &Owner, phone: &Secret, now: Timestamp) -> Vec<(SessionId, Timestamp)> {
    let is_old = |key: &(SessionId, Timestamp)| now.since(key.1) > LIFE;
    let mut own: Vec<_> = kept
        .iter()
        .filter(|(key, row)| !is_old(key) && row.owner == *owner && row.phone == *phone)
        .map(|(key, _)| *key)
        .collect();
    own.sort_by_key(|key| key.1);
    own.truncate((own.len() + 1).saturating_sub(KEPT));
    let old = kept.iter().map(|(key, _)| *key).filter(is_old);
    old.chain(own).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_shown_for_its_owners_number_alone() {
        let row = |owner: &str, phone: &str, token: &[u8]| {
            let row = FutureToken {
                owner: Owner(owner.to_owned()),
                phone: Secret::new(phone),
                token: Secret::new(STANDARD.encode(token)),
            };
            ((SessionId::generate(), Timestamp(0)), row)
        };
        let kept = [
            row("ann", "+1", b"one"),
            row("ann", "+2", b"two"),
            row("bob", "+1", b"three"),
        ];
        let of = |owner: &str, phone: &str| shown(&kept, &Owner(owner.to_owned()), phone);
        assert_eq!(of("ann", "+1"), [b"one".to_vec()]);
        assert_eq!(of("bob", "+1"), [b"three".to_vec()]);
        assert!(of("bob", "+2").is_empty());
    }

    #[test]
    fn the_latest_of_a_number_are_kept_and_none_for_ever() {
        let session = SessionId::generate();
        let day = |number: i64| Timestamp::from_secs(number * 86_400);
        let row = |at: i64, phone: &str| {
            let row = FutureToken {
                owner: Owner::admin(),
                phone: Secret::new(phone),
                token: Secret::new("t"),
            };
            ((session, day(at)), row)
        };
        let mut kept: Vec<Row> = (0..20).map(|at| row(300 + at, "+1")).collect();
        kept.push(row(1, "+2"));
        let gone = surplus(&kept, &Owner::admin(), &Secret::new("+1"), day(321));
        assert_eq!(gone, [(session, day(1)), (session, day(300))]);
        let other = surplus(&kept, &Owner("ann".into()), &Secret::new("+1"), day(321));
        assert_eq!(other, [(session, day(1))], "another owner has none of these");
    }
}
