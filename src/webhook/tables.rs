//! The tables of this domain, and what a task of its lanes says.

use serde::{Deserialize, Serialize};

use super::attempt::{ANSWERS_KEPT, AnswerRow, DeliveryRow, Trigger};
use super::endpoint::{EndpointHealth, EndpointRecord, Shape};
use super::errand::Errand;
use super::secret::Secrets;
use crate::base::{DeliveryId, EndpointId, EventId, SessionId, TaskId, Timestamp};
use crate::model::ChatId;
use crate::store::catalog::{self, Entry};
use crate::store::{Batch, Lane, LaneKind, Store, StoreError, Table};

/// Endpoints. Sealed, since a URL may carry a token.
pub(super) struct Endpoints;

impl Table for Endpoints {
    const ENTRY: Entry = catalog::ENDPOINTS;
    type Key = EndpointId;
    type Value = EndpointRecord;
}

/// Their secrets.
pub(super) struct EndpointSecrets;

impl Table for EndpointSecrets {
    const ENTRY: Entry = catalog::ENDPOINT_SECRETS;
    type Key = EndpointId;
    type Value = Secrets;
}

/// How their deliveries have been going.
pub(super) struct EndpointStats;

impl Table for EndpointStats {
    const ENTRY: Entry = catalog::ENDPOINT_STATS;
    type Key = EndpointId;
    type Value = EndpointHealth;
}

/// Deliveries with their attempts, by endpoint and time.
pub(super) struct Deliveries;

impl Table for Deliveries {
    const ENTRY: Entry = catalog::DELIVERIES;
    type Key = (EndpointId, DeliveryId);
    type Value = DeliveryRow;
}

/// What was answered to the last attempts of deliveries; the last of the key is [`AnswerRow::slot`].
pub(super) struct Answers;

impl Table for Answers {
    const ENTRY: Entry = catalog::DELIVERY_ANSWERS;
    type Key = (EndpointId, DeliveryId, u8);
    type Value = AnswerRow;
}

/// Removes a delivery with what was answered to its attempts.
pub(super) fn remove_delivery(batch: &mut Batch, place: &(EndpointId, DeliveryId)) {
    batch.remove::<Deliveries>(place);
    for number in 0..ANSWERS_KEPT {
        batch.remove::<Answers>(&(place.0, place.1, AnswerRow::slot(number)));
    }
}

/// Work in the background.
pub(super) struct Errands;

impl Table for Errands {
    const ENTRY: Entry = catalog::WEBHOOK_ERRANDS;
    type Key = TaskId;
    type Value = Errand;
}

/// What a task of an endpoint's lane says: all that a try needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct DeliveryTask {
    /// The delivery.
    pub delivery: DeliveryId,
    /// The event.
    pub event: EventId,
    /// The event's type.
    pub kind: String,
    /// The event's place in the journal.
    pub seq: u64,
    /// The session of the event.
    pub session: Option<SessionId>,
    /// The agent of the session, for the URL.
    pub agent_id: Option<i64>,
    /// The form of the body.
    #[serde(default)]
    pub shape: Shape,
    /// When it became a delivery.
    pub created_at: Timestamp,
    /// What makes the first try happen.
    pub trigger: Trigger,
    /// The bytes that are signed and sent.
    pub body: String,
}

/// A row, or none if it is damaged: the store has counted it and moved it aside, and what it said is made
/// anew or done without.
pub(super) fn sound<T: Table>(store: &Store, key: &T::Key) -> Result<Option<T::Value>, StoreError> {
    match store.get::<T>(key) {
        Err(StoreError::BadRow { .. } | StoreError::Decode { .. }) => Ok(None),
        found => found,
    }
}

/// The lane of an endpoint's deliveries for a chat of a session.
pub(super) fn lane(endpoint: EndpointId, session: Option<SessionId>, chat: Option<ChatId>) -> Lane {
    use sha2::{Digest, Sha256};
    let hash = Sha256::new()
        .chain_update(session.map(SessionId::to_bytes).unwrap_or_default())
        .chain_update(chat.map_or(0, |chat| chat.0).to_be_bytes())
        .finalize();
    let mut sub = [0; 8];
    sub.copy_from_slice(&hash[..8]);
    Lane {
        kind: LaneKind::Webhook,
        group: endpoint.to_bytes(),
        sub: u64::from_be_bytes(sub),
    }
}

/// The task of a delivery: there is never more than one.
pub(super) fn task_id(delivery: DeliveryId) -> TaskId {
    TaskId::from_bytes(delivery.to_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fuzz::*;

    #[test]
    fn rows_of_any_bytes_are_an_error_at_worst() {
        bears_any_row::<Endpoints>();
        bears_any_row::<EndpointSecrets>();
        bears_any_row::<EndpointStats>();
        bears_any_row::<Deliveries>();
        bears_any_row::<Answers>();
        bears_any_row::<Errands>();
        bears_any_bytes::<DeliveryTask>();
    }
}
