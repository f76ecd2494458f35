//! Tickets: a text that stands for a key once and for a short time, for callers that cannot send headers.
//!
//! A browser's WebSocket can send none, and a URL is seen by proxies and histories: so what stands in it must be worth
//! nothing afterwards. Tickets live in memory, hashed; a restart ends them. A ticket stands for what its key stands for
//! when it is used, and for nothing if the key was revoked meanwhile.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::base::{KeyId, Secret};

/// How long a ticket can be used.
pub const LIFE: Duration = Duration::from_secs(30);

/// What every ticket begins with.
const PREFIX: &str = "tlt_";

/// Unused tickets of one key; a further one replaces the oldest.
const MOST_OF_ONE: usize = 64;

/// The tickets that are out.
#[derive(Default)]
pub struct Tickets(Mutex<HashMap<[u8; 32], Ticket>>);

struct Ticket {
    key: KeyId,
    ends: Instant,
}

fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

impl Tickets {
    /// A new ticket for a key.
    pub fn issue(&self, key: KeyId) -> Result<Secret, getrandom::Error> {
        let mut bytes = zeroize::Zeroizing::new([0_u8; 32]);
        getrandom::fill(&mut bytes[..])?;
        let text = Secret::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(&bytes[..])));
        self.put(key, text.expose(), Instant::now());
        Ok(text)
    }

    fn put(&self, key: KeyId, text: &str, now: Instant) {
        let mut out = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        out.retain(|_, ticket| now < ticket.ends);
        let of_key = out.iter().filter(|(_, ticket)| ticket.key == key);
        if of_key.clone().count() >= MOST_OF_ONE
            && let Some(oldest) = of_key
                .min_by_key(|(_, ticket)| ticket.ends)
                .map(|(hash, _)| *hash)
        {
            out.remove(&oldest);
        }
        let ends = now + LIFE;
        out.insert(hash(text), Ticket { key, ends });
    }

    /// The key that a ticket stands for; the ticket is used up by that.
    pub fn redeem(&self, text: &str) -> Option<KeyId> {
        self.take(text, Instant::now())
    }

    /// Tickets are found by their hash: how long that takes tells nothing about a text that is nearly right.
    fn take(&self, text: &str, now: Instant) -> Option<KeyId> {
        let mut out = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ticket = out.remove(&hash(text))?;
        (now < ticket.ends).then_some(ticket.key)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn a_ticket_is_good_once_and_for_a_short_time() {
        let (tickets, key, now) = (Tickets::default(), KeyId::generate(), Instant::now());
        tickets.put(key, "tlt_a", now);
        tickets.put(key, "tlt_b", now);
        assert_eq!(tickets.take("tlt_a", now), Some(key));
        assert_eq!(tickets.take("tlt_a", now), None);
        assert_eq!(tickets.take("tlt_c", now), None);
        assert_eq!(tickets.take("tlt_b", now + LIFE), None, "too late");
    }

    #[test]
    fn of_many_that_present_a_ticket_at_once_one_gets_in() {
        let (tickets, key) = (Tickets::default(), KeyId::generate());
        let text = tickets.issue(key).expect("randomness");
        assert!(text.expose().starts_with(PREFIX) && text.expose().len() == PREFIX.len() + 43);
        let barrier = Barrier::new(8);
        let admitted = std::thread::scope(|scope| {
            let callers: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        tickets.redeem(text.expose())
                    })
                })
                .collect();
            callers
                .into_iter()
                .filter_map(|caller| caller.join().expect("no panic"))
                .count()
        });
        assert_eq!(admitted, 1);
    }

    #[test]
    fn unused_tickets_are_bounded_and_forgotten() {
        let (tickets, key, other) = (Tickets::default(), KeyId::generate(), KeyId::generate());
        let now = Instant::now();
        tickets.put(other, "tlt_other", now);
        for number in 0..200 {
            tickets.put(key, &format!("tlt_{number}"), now + Duration::from_millis(number));
        }
        assert_eq!(tickets.0.lock().expect("whole").len(), MOST_OF_ONE + 1);
        assert_eq!(tickets.take("tlt_199", now), Some(key), "the newest is kept");
        assert_eq!(tickets.take("tlt_other", now), Some(other));
        tickets.put(key, "tlt_late", now + LIFE * 2);
        assert_eq!(tickets.0.lock().expect("whole").len(), 1);
    }
}
