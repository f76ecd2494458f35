//! The incidents of sessions: their kinds, and when they are over.

use crate::base::SessionId;
use crate::ops::Incidents;

/// A session failed too often and is held.
pub(crate) const QUARANTINED: &str = "session_quarantined";

/// The authorisation of a session ended.
pub(crate) const ENDED: &str = "session_ended";

/// The authorisation of a session ended because its key was used from two places.
pub(crate) const DUPLICATED: &str = "session_key_duplicated";

/// The kind of incident for the end of an authorisation, and what a person may do about it.
pub(crate) fn of_end(word: &str) -> (&'static str, &'static str) {
    match word {
        "AUTH_KEY_DUPLICATED" => (
            DUPLICATED,
            "find out who else uses this session's key (an export, a copy of the data folder) and end that; then log \
             the account in again",
        ),
        "USER_DEACTIVATED" | "USER_DEACTIVATED_BAN" => (
            ENDED,
            "Telegram closed the account: delete the session, and add one for another account",
        ),
        _ => (ENDED, "log the account in again, or delete the session"),
    }
}

/// A session begins anew or is gone: what waited for that is over.
pub(crate) async fn settle(incidents: &Incidents, session: SessionId) {
    for kind in [QUARANTINED, ENDED, DUPLICATED] {
        if let Err(error) = incidents.settle(kind, &session.to_string()).await {
            tracing::error!(session = %session, kind, error = %error, "an incident stays open");
        }
    }
}
