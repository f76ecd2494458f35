//! The message map: which message became which, one durable row a part, readable from both sides.
//!
//! A row is made with the task that will copy the message, and completed with the copy's number in
//! the commit that completes the task. Rows stay after deletions, so that a replay copies nothing twice, and until they
//! are old (`sweep`).

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::pair::{PairRow, PairStats};
use crate::base::{PairId, SessionId, TaskId, Timestamp};
use crate::model::{ChatId, Message, MessageId};
use crate::store::{Batch, Table, catalog};

/// Forwarding pairs.
pub(super) struct PairsTable;

impl Table for PairsTable {
    const ENTRY: catalog::Entry = catalog::PAIRS;
    type Key = PairId;
    type Value = PairRow;
}

/// What pairs have done.
pub(super) struct StatsTable;

impl Table for StatsTable {
    const ENTRY: catalog::Entry = catalog::PAIR_STATS;
    type Key = PairId;
    type Value = PairStats;
}

/// Source to copy: pair, source chat, source message, part.
pub(super) struct MapTable;

impl Table for MapTable {
    const ENTRY: catalog::Entry = catalog::MESSAGE_MAP;
    type Key = (PairId, ChatId, MessageId, u32);
    type Value = MapRow;
}

/// Copy to source: the session if numbers count per session, chat, message.
pub(super) struct BackTable;

impl Table for BackTable {
    const ENTRY: catalog::Entry = catalog::MESSAGE_MAP_BACK;
    type Key = ([u8; 16], ChatId, MessageId);
    type Value = BackRow;
}

/// Albums whose parts are being gathered: pair, source chat, album.
pub(super) struct AlbumsTable;

impl Table for AlbumsTable {
    const ENTRY: catalog::Entry = catalog::ALBUMS;
    type Key = (PairId, ChatId, i64);
    type Value = TaskId;
}

/// What became of a source message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Fate {
    /// It waits in this task.
    Waiting(TaskId),
    /// It was copied.
    Copied(Copied),
    /// It will not be copied, or its copy was deleted.
    Gone,
}

/// Where a copy stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Copied {
    /// The session that sent it.
    pub(super) session: SessionId,
    pub(super) chat: ChatId,
    pub(super) message: MessageId,
    pub(super) at: Timestamp,
}

/// A row of the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MapRow {
    pub(super) fate: Fate,
    /// Of what the copy shows, or will show.
    pub(super) hash: u64,
    /// When the source was last edited, as far as the copy follows it.
    pub(super) edited: Option<Timestamp>,
    /// The file that the copy shows, or will show; none also in one of a release that did not tell.
    #[serde(default)]
    pub(super) file: Option<i64>,
    /// When it was made; 0 in one of a release that did not tell.
    #[serde(default)]
    pub(super) at: Timestamp,
}

/// A row of the map read backwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BackRow {
    pub(super) pair: PairId,
    pub(super) session: SessionId,
    pub(super) chat: ChatId,
    pub(super) message: MessageId,
    pub(super) part: u32,
}

impl MapRow {
    pub(super) fn waiting(task: TaskId, message: &Message) -> Self {
        Self {
            fate: Fate::Waiting(task),
            hash: content_hash(message),
            edited: message.edit_date,
            file: file_of(message),
            at: task.made_at(),
        }
    }

    pub(super) fn copied(self) -> Option<Copied> {
        match self.fate {
            Fate::Copied(copied) => Some(copied),
            Fate::Waiting(_) | Fate::Gone => None,
        }
    }
}

/// The key of a copy: channels number their messages for everybody, other chats for each account.
pub(super) fn back_key(
    session: SessionId,
    chat: ChatId,
    message: MessageId,
) -> ([u8; 16], ChatId, MessageId) {
    let scope = if chat.is_channel() {
        [0; 16]
    } else {
        session.to_bytes()
    };
    (scope, chat, message)
}

/// Writes what a source message became, in both directions.
pub(super) fn put_copy(batch: &mut Batch, pair: &PairRow, source: &Message, copied: Copied) -> MapRow {
    let row = MapRow {
        fate: Fate::Copied(copied),
        hash: content_hash(source),
        edited: source.edit_date,
        file: file_of(source),
        at: copied.at,
    };
    batch.put::<MapTable>(&(pair.id, source.chat, source.id, 0), &row);
    let back = BackRow {
        pair: pair.id,
        session: pair.source.session,
        chat: source.chat,
        message: source.id,
        part: 0,
    };
    let key = back_key(copied.session, copied.chat, copied.message);
    batch.put::<BackTable>(&key, &back);
    row
}

/// The number of the file that a message carries.
pub(super) fn file_of(message: &Message) -> Option<i64> {
    Some(message.media.as_ref()?.file.as_ref()?.id)
}

/// A fingerprint of what a copy shows: text, formatting, media.
pub(super) fn content_hash(message: &Message) -> u64 {
    let mut hash = Sha256::new();
    hash.update(message.text.as_bytes());
    let media = message.media.as_ref();
    let shown = (
        &message.entities,
        media.map(|media| (media.kind, media.file.as_ref().map(|file| file.id))),
    );
    if let Ok(bytes) = rmp_serde::to_vec(&shown) {
        hash.update(&bytes);
    }
    let digest = hash.finalize();
    digest
        .iter()
        .take(8)
        .fold(0, |word, byte| word << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fuzz::*;

    #[test]
    fn rows_of_any_bytes_are_an_error_at_worst() {
        bears_any_row::<PairsTable>();
        bears_any_row::<StatsTable>();
        bears_any_row::<MapTable>();
        bears_any_row::<BackTable>();
        bears_any_row::<AlbumsTable>();
        bears_any_bytes::<crate::forward::job::Job>();
    }
}
