//! To whom a session's messages matter. Telegram's domain knows no pair, endpoint or listener: those who compose the
//! daemon say whom to ask, and who listens for a while says so for as long.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::updates::Interest;
use crate::base::SessionId;
use crate::model::ChatId;

/// What the consumers of the journal want of a session: the chats that pairs forward from, and whether somebody
/// takes all its messages.
pub type Asks = Box<dyn Fn(SessionId) -> (Vec<ChatId>, bool) + Send + Sync>;

/// See the head of the file.
#[derive(Default)]
pub(crate) struct Audience {
    asks: OnceLock<Asks>,
    listeners: Arc<Listeners>,
}

#[derive(Default)]
struct Listeners(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    to_all: usize,
    to_one: HashMap<SessionId, usize>,
}

impl Audience {
    /// Has these be asked; only the first are.
    pub fn ask(&self, asks: Asks) {
        if self.asks.set(asks).is_err() {
            tracing::debug!("whom to ask for interest was known already");
        }
    }

    /// To whom a session's messages matter now.
    pub fn interest(&self, session: SessionId) -> Interest {
        let (sources, all) = self.asks.get().map_or((Vec::new(), false), |asks| asks(session));
        let channels = sources.iter().filter(|chat| chat.is_channel());
        Interest {
            sources: channels.map(|chat| chat.bare()).collect(),
            all: all || self.listeners.hear(session),
        }
    }

    /// Somebody listens to these sessions (none means all), until what this gives is dropped.
    pub fn listen(&self, sessions: Option<BTreeSet<SessionId>>) -> Listening {
        let mut counts = self.listeners.lock();
        match &sessions {
            None => counts.to_all += 1,
            Some(sessions) => {
                for session in sessions {
                    *counts.to_one.entry(*session).or_default() += 1;
                }
            }
        }
        Listening {
            listeners: self.listeners.clone(),
            sessions,
        }
    }
}

impl Listeners {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, session: SessionId) -> bool {
        let counts = self.lock();
        counts.to_all > 0 || counts.to_one.contains_key(&session)
    }
}

/// Somebody listens for as long as this is kept.
pub struct Listening {
    listeners: Arc<Listeners>,
    sessions: Option<BTreeSet<SessionId>>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut counts = self.listeners.lock();
        let Some(sessions) = &self.sessions else {
            counts.to_all -= 1;
            return;
        };
        for session in sessions {
            let left = counts.to_one.get_mut(session).map(|count| {
                *count -= 1;
                *count
            });
            if left == Some(0) {
                counts.to_one.remove(session);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_counts_for_as_long() {
        let (audience, one, other) = (Audience::default(), SessionId::generate(), SessionId::generate());
        audience.ask(Box::new(move |session| {
            let chats = vec![ChatId::channel(7), ChatId::user(8)];
            (if session == one { chats } else { Vec::new() }, false)
        }));
        let first = audience.listen(Some(BTreeSet::from([one])));
        let second = audience.listen(Some(BTreeSet::from([one])));
        drop(first);
        let interest = audience.interest(one);
        assert_eq!((interest.sources, interest.all), (BTreeSet::from([7]), true));
        assert!(!audience.interest(other).all);
        drop(second);
        assert!(!audience.interest(one).all);
        let all = audience.listen(None);
        assert!(audience.interest(other).all);
        drop(all);
        assert!(!audience.interest(other).all);
    }
}
