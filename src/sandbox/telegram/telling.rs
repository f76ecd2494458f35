//! How news reach the logins that are to hear them: gathered for a moment, numbered, spoiled by faults, written in the
//! layer of each, and handed to the hub while the world is locked, so that every account hears its events in order.

use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use grammers_tl_types::{Serializable, enums};

use super::{Telegram, chat_of};
use crate::sandbox::apart::{self, Apart};
use crate::sandbox::faults::Kind;
use crate::sandbox::gathering::{Gathering, MOMENT, Piece, Then, Waiting};
use crate::sandbox::layers;
use crate::sandbox::quiet::{Looks, Way};
use crate::sandbox::render::{self, Viewer};
use crate::sandbox::rpc::KeyId;
use crate::sandbox::world::{News, Passing, Peer, Place, State};

/// What moments and the order of answers are drawn with.
const OF_MOMENTS: u64 = 91;
const OF_ANSWERS: u64 = 92;
const OF_LAYERS: u64 = 95;

impl Telegram {
    /// Hands all news on. `caller` has its own as the answer to its call.
    pub(super) fn tell(&self, state: &mut State, caller: Option<(i64, KeyId)>) {
        for url in std::mem::take(&mut state.asked) {
            self.look_for(url, state.settings.preview_delay);
        }
        for at in std::mem::take(&mut state.wakes) {
            self.wake_at(at, state.now);
        }
        for news in std::mem::take(&mut state.news) {
            match &news {
                News::Account { account, .. } | News::Passing { account, .. } => {
                    self.tell_one(state, *account, &news, caller);
                }
                News::Channel { channel, .. } => {
                    for account in state.audience(Place::Channel(*channel)) {
                        self.tell_one(state, account, &news, caller);
                    }
                }
                News::TokenAccepted { key, account } => {
                    let times = match self.faults().on_push(*account, None) {
                        Some(Kind::Gap) => 0,
                        Some(Kind::Duplicate) => 2,
                        _ => 1,
                    };
                    let update = render::updates::token_accepted(state.date()).to_bytes();
                    for _ in 0..times {
                        self.inner.hub.push(KeyId(*key), update.clone());
                    }
                }
            }
        }
    }

    fn tell_one(&self, state: &mut State, account: i64, news: &News, caller: Option<(i64, KeyId)>) {
        let present = state.accounts.get(&account).filter(|account| !account.is_gone());
        let Some(keys) = present.map(|account| &account.keys) else {
            return;
        };
        let concerns_caller = |key: i64| caller == Some((account, KeyId(key)));
        let login = match news {
            News::Passing {
                what: Passing::Login { key },
                ..
            } => Some(*key),
            _ => None,
        };
        let heard =
            |key: &i64| !concerns_caller(*key) && login != Some(*key) && self.inner.hub.hears(KeyId(*key));
        let keys: Vec<KeyId> = keys
            .iter()
            .filter(|key| heard(key))
            .map(|key| KeyId(*key))
            .collect();
        if keys.is_empty() {
            return;
        }
        let Some(updates) = Viewer::new(state, account).news(news) else {
            return;
        };
        let piece = Piece::of(&updates);
        for key in keys {
            // Loss and order differ from login to login.
            let fault = self.push_fault(state, account, news);
            let Some(piece) = &piece else {
                self.flush(state, key);
                self.spoil(state, key, fault, updates.clone());
                continue;
            };
            let way = match (news, &fault) {
                (News::Channel { channel, entry }, None) => {
                    self.looks().way(state, key, account, *channel, entry.pts)
                }
                _ => Way::Told,
            };
            match way {
                Way::Told | Way::Late(_) => {
                    let late = match way {
                        Way::Late(span) => Some(span),
                        _ => None,
                    };
                    let part = apart::brought(state, account, news);
                    let wait = part.and_then(|part| self.apart().wait(state, key, part));
                    // What a fault concerns is told at once.
                    match (wait.filter(|_| fault.is_none()), late) {
                        (None, None) => self.hand(state, key, account, piece.clone(), fault),
                        (wait, late) => {
                            let span = wait.unwrap_or_default() + late.unwrap_or_default();
                            self.hand_late(state, key, account, piece.clone(), (span, wait.is_some()));
                        }
                    }
                }
                Way::Untold => {}
                Way::Announced => {
                    if let News::Channel { channel, .. } = *news
                        && let Some(word) = announcement(state, account, channel)
                    {
                        self.hand(state, key, account, word, None);
                    }
                }
            }
        }
    }

    /// Lets a login hear something later, if it is logged in then; without a runtime at once. What stands `apart`
    /// shares no container with what came before it.
    fn hand_late(
        &self,
        state: &mut State,
        key: KeyId,
        account: i64,
        piece: Piece,
        (span, apart): (Duration, bool),
    ) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return self.hand(state, key, account, piece, None);
        };
        let telegram = self.clone();
        runtime.spawn(async move {
            tokio::time::sleep(span).await;
            let mut state = telegram.lock_to_read();
            let known = state.keys.known.get(&key.0);
            if known.is_some_and(|known| known.user == Some(account)) {
                if apart {
                    telegram.flush(&mut state, key);
                }
                telegram.hand(&mut state, key, account, piece, None);
            }
        });
    }

    /// What faults make of a push to one login.
    fn push_fault(&self, state: &State, account: i64, news: &News) -> Option<Kind> {
        let mut faults = self.faults();
        match faults.list().is_empty() {
            true => None,
            false => faults.on_push(account, chat_of(state, account, news).map(Peer::bot_api)),
        }
    }

    /// Lets a piece wait for others. What a fault concerns goes alone, and what came before it goes first.
    fn hand(&self, state: &mut State, key: KeyId, account: i64, piece: Piece, fault: Option<Kind>) {
        let runtime = tokio::runtime::Handle::try_current();
        let gathers = fault.is_none() && runtime.is_ok() && state.switches.gathered.decides();
        let (true, Ok(runtime)) = (gathers, runtime) else {
            self.flush(state, key);
            let updates = self.contain(state, key, Waiting::alone(account, piece));
            return self.spoil(state, key, fault, updates);
        };
        let then = self.gathering().add(key, account, piece);
        match then {
            Then::Wait => {}
            Then::Send => self.flush(state, key),
            Then::Begin(number) => {
                let drawn = state.derive(OF_MOMENTS, account, number).cast_unsigned();
                let moment = Duration::from_millis(drawn % (MOMENT + 1));
                let telegram = self.clone();
                runtime.spawn(async move {
                    tokio::time::sleep(moment).await;
                    telegram.flush(&mut telegram.lock_to_read(), key);
                });
            }
        }
    }

    /// Sends a login what was gathered for it.
    pub(super) fn flush(&self, state: &mut State, key: KeyId) {
        let waiting = self.gathering().take(key);
        let known = state.keys.known.get(&key.0);
        let login = known.and_then(|known| known.user);
        if let Some(waiting) = waiting.filter(|waiting| login == Some(waiting.account)) {
            let updates = self.contain(state, key, waiting);
            self.spoil(state, key, None, updates);
        }
    }

    /// Sends all logins what was gathered for them.
    pub fn flush_all(&self) {
        let mut state = self.lock_to_read();
        let keys = self.gathering().keys();
        keys.into_iter().for_each(|key| self.flush(&mut state, key));
    }

    /// A call is answered: what was gathered for the login goes before the answer, or after it where answers keep no
    /// order.
    pub(super) fn flush_before_answer(&self, state: &mut State, key: KeyId) {
        let after = self.gathering().waits(key)
            && state.derive(OF_ANSWERS, key.0, state.next.uid.cast_signed()) & 1 == 0
            && state.switches.unordered_answers.decides();
        if !after {
            self.flush(state, key);
        }
    }

    /// Puts pieces into a container under the next numbers of their login.
    fn contain(&self, state: &mut State, key: KeyId, waiting: Waiting) -> enums::Updates {
        let date = state.date();
        let numbers = waiting.numbers();
        let known = state.keys.known.get_mut(&key.0);
        let before = known
            .filter(|_| numbers > 0 && state.switches.gathered.decides())
            .map(|known| {
                self.touch();
                known.seq += numbers;
                known.seq - numbers
            });
        waiting.container(before, date, &state.switches.short_updates)
    }

    /// Sends a container, as a fault has it.
    fn spoil(&self, state: &State, key: KeyId, fault: Option<Kind>, updates: enums::Updates) {
        if fault == Some(Kind::Gap) {
            return;
        }
        let mut bytes = updates.to_bytes();
        if let Some(layer) = state.keys.known.get(&key.0).and_then(|known| known.layer) {
            let layer = match is_written_before(state, key, &updates) {
                true => layers::OLDEST,
                false => layer,
            };
            layers::write(layer, &mut bytes, |peer| state.exists(peer));
        }
        let mut late = self.inner.late.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = late.remove(&key);
        if fault == Some(Kind::Reorder) && waiting.is_none() {
            late.insert(key, bytes);
            return;
        }
        if fault == Some(Kind::Duplicate) {
            self.inner.hub.push(key, bytes.clone());
        }
        self.inner.hub.push(key, bytes);
        if let Some(waiting) = waiting {
            self.inner.hub.push(key, waiting);
        }
    }

    /// Which channels each login looks at.
    pub(super) fn looks(&self) -> MutexGuard<'_, Looks> {
        self.inner.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apart(&self) -> MutexGuard<'_, Apart> {
        self.inner.apart.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gathering(&self) -> MutexGuard<'_, Gathering> {
        self.inner
            .gathering
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a container was written for all who are in a channel at once, in an older layer than the client's.
fn is_written_before(state: &State, key: KeyId, updates: &enums::Updates) -> bool {
    use enums::Update as U;
    let updates = match updates {
        enums::Updates::Updates(it) => &it.updates,
        enums::Updates::Combined(it) => &it.updates,
        _ => return false,
    };
    let mut states = updates.iter().filter_map(|update| match update {
        U::NewChannelMessage(it) => Some(it.pts),
        U::EditChannelMessage(it) => Some(it.pts),
        _ => None,
    });
    let drawn = |pts: i32| state.derive(OF_LAYERS, key.0, pts.into()).cast_unsigned();
    states.any(|pts| drawn(pts) % 4 == 0) && state.switches.older_layers.decides()
}

/// Word that something happened in a channel.
fn announcement(state: &State, account: i64, channel: i64) -> Option<Piece> {
    let what = Passing::ChannelTooLong { channel };
    Piece::of(&Viewer::new(state, account).passing(&what)?)
}
