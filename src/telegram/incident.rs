//! The incidents of sessions: their kinds, and when they are over.

use crate::base::SessionId;
use crate::ops::Incidents;

/// A session failed too often and is held.
pub(crate) const QUARANTINED: &str = "session_quarantined";

/// The authorisation of a session ended.
pub(crate) const ENDED: &str = "session_ended";

/// A session begins anew or is gone: what waited for that is over.
pub(crate) async fn settle(incidents: &Incidents, session: SessionId) {
    for kind in [QUARANTINED, ENDED] {
        if let Err(error) = incidents.settle(kind, &session.to_string()).await {
            tracing::error!(session = %session, kind, error = %error, "an incident stays open");
        }
    }
}
