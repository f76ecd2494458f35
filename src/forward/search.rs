//! Looking for the copies of a task that was tried and whose outcome is not known, and what follows if there are none.

use std::cell::Cell;
use std::time::Duration;

use super::courier::Trouble;
use super::find::{earliest, find, forms};
use super::map::{BackTable, back_key};
use super::pair::Mode;
use super::trial::{Done, End, Trial, landed};
use crate::base::Timestamp;
use crate::model::{Message, MessageId};
use crate::store::StoreError;
use crate::telegram::Reach;

/// How soon a message that Telegram took, and that is not to be found, is looked for again.
const SEEK_AGAIN: Duration = Duration::from_secs(2);

/// The copies of all parts, if they were found.
pub(super) type Found = Option<Vec<(MessageId, Timestamp)>>;

impl Trial<'_> {
    /// Looks for the copies among the destination's recent messages.
    pub(super) async fn look(&mut self, parts: &[Message]) -> Result<Result<Found, Trouble>, StoreError> {
        let job = &self.task.payload;
        let since = earliest(self.since.unwrap_or(job.ready), job.came());
        // What a predecessor may have sent was sent before this worker began: one look serves for all of it.
        let read = self.worker.recent.take();
        let (reach, recent) = match read.filter(|(reach, _)| self.suspect && *reach <= since) {
            Some(read) => read,
            None => match self.read_back(since).await {
                Ok(recent) => (since, recent),
                Err(trouble) => return Ok(Err(trouble)),
            },
        };
        let mut found = self.among(parts, &recent, since)?;
        if found.is_some() {
            // Another pair may have sent it, and not have said so yet.
            let others = self.others_into(std::iter::once(self.pair.destination.chat));
            if !others.is_empty() {
                landed(&others).await;
                found = self.among(parts, &recent, since)?;
            }
        }
        if self.suspect {
            self.worker.recent = Some((reach, recent));
        }
        Ok(Ok(found))
    }

    /// The destination's messages that came then or later. The worker is alive for as long as pages come or are waited
    /// for.
    async fn read_back(&mut self, since: Timestamp) -> Result<Vec<Message>, Trouble> {
        let place = self.pair.destination;
        let courier = self.worker.registry.courier.clone();
        let context = self.worker.context.clone();
        let goes_on = move || context.alive();
        let reach = Reach {
            since,
            most: self.worker.config.look_at,
            goes_on: Some(&goes_on),
        };
        courier
            .own_recent(place.session, place.chat, reach, self.look_patience())
            .await
    }

    /// The copies among these messages, without those that are known as copies of others.
    fn among(&self, parts: &[Message], recent: &[Message], since: Timestamp) -> Result<Found, StoreError> {
        let place = self.pair.destination;
        let store = &self.worker.registry.store;
        let fault = Cell::new(None);
        let taken = |id: MessageId| {
            let key = back_key(place.session, place.chat, id);
            self.worker.is_fresh_copy(place.chat, id)
                || store.contains::<BackTable>(&key).unwrap_or_else(|error| {
                    fault.set(Some(error));
                    true
                })
        };
        let tried_before = !self.untried || self.suspect || self.forgotten;
        let found = find(forms(self.pair.mode, tried_before), parts, recent, since, taken);
        match fault.into_inner() {
            Some(error) => Err(error),
            None => Ok(found),
        }
    }

    /// Telegram took it, but it is not to be found: the call that sent it may still be running, and shows it later. After
    /// so long it is given up: from the dead letters it can be looked for once more.
    pub(super) async fn nowhere(&mut self, parts: &[Message], trouble: Trouble) -> End {
        let now = Timestamp::now();
        let known = self.worker.unseen.filter(|(task, _)| *task == self.task.id);
        let (_, since) = *self.worker.unseen.insert(known.unwrap_or((self.task.id, now)));
        if self.untried {
            // From now on it counts as tried.
            return End::Retry(trouble.code, trouble.text);
        }
        if now.since(since) < *self.worker.config.removed_after {
            let pause = SEEK_AGAIN.max(now.since(since).mul_f32(0.75));
            return End::Snooze(now.plus(pause), trouble.text);
        }
        if self.pair.mode == Mode::Forward
            && let Ok((gone, rest)) = self.sift(parts).await
            && !gone.is_empty()
        {
            return self.remains(Done::default(), &gone, rest, trouble);
        }
        self.worker.unseen = None;
        let why = "Telegram says that it has the copy, and it is not in the destination: it was removed there, or comes late";
        End::Discard(trouble.code, why.to_owned())
    }
}
