//! Connections that Telegram does not take because there are too many from this address: transport error 429.
//!
//! Nobody who has one more session is to blame, so all sessions of the machine's address wait before they connect
//! anew. The rest doubles while that does not help, and begins anew after a while without such an answer. Connections
//! that stand are left alone.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use grammers_client::InvocationError;
use grammers_mtproto::transport::Error as TransportError;
use tokio::time::Instant;

/// The first rest.
const FIRST: Duration = Duration::from_secs(1);
/// The longest one.
const LONGEST: Duration = Duration::from_secs(300);
/// After so long without such an answer the next rest is the first again.
const FORGOTTEN: Duration = Duration::from_secs(600);

/// How many connections the address may make, as far as Telegram has said.
#[derive(Default)]
pub(crate) struct Crowding {
    rest: Mutex<Option<Rest>>,
}

#[derive(Clone, Copy)]
struct Rest {
    until: Instant,
    length: Duration,
}

impl Crowding {
    /// A connection was not taken: how long all of them rest now, if they do not rest already.
    pub(crate) fn met(&self, now: Instant) -> Option<Duration> {
        let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        let length = match *rest {
            // Answers to connections that were made together are one.
            Some(known) if now < known.until => return None,
            Some(known) if now < known.until + FORGOTTEN => (known.length * 2).min(LONGEST),
            _ => FIRST,
        };
        *rest = Some(Rest {
            until: now + length,
            length,
        });
        Some(length)
    }

    /// Until when no connection is to be made; none if one may.
    pub(crate) fn rests(&self, now: Instant) -> Option<Instant> {
        let rest = *self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        rest.map(|rest| rest.until).filter(|until| now < *until)
    }
}

/// Whether a connection ended with this answer.
pub(crate) fn is_crowded(error: &InvocationError) -> bool {
    matches!(
        error,
        InvocationError::Transport(TransportError::BadStatus { status: 429 })
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_doubles_while_it_does_not_help_and_begins_anew_later() {
        let crowding = Crowding::default();
        let mut now = Instant::now();
        assert_eq!(crowding.rests(now), None);
        let mut rests = Vec::new();
        for _ in 0..11 {
            let rest = crowding.met(now).expect("a rest");
            assert_eq!(crowding.met(now), None, "one and the same");
            assert_eq!(crowding.rests(now), Some(now + rest));
            now += rest;
            assert_eq!(crowding.rests(now), None);
            rests.push(rest.as_secs());
        }
        assert_eq!(rests, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        now += FORGOTTEN;
        assert_eq!(crowding.met(now), Some(FIRST));
    }
}
