//! Messages and pairs for the tests of this module.

use super::pair::{Mode, OnDelete, OnEdit, PairKind, PairRow, PairState, Place, Rules};
use crate::base::{Owner, PairId, SessionId, Timestamp};
use crate::model::{ChatId, FileRef, Media, MediaKind, Message, MessageId};

pub(super) const SOURCE: ChatId = ChatId(-1_000_000_000_001);
pub(super) const DESTINATION: ChatId = ChatId(-1_000_000_000_002);

pub(super) fn message(id: MessageId, text: &str) -> Message {
    Message {
        chat: SOURCE,
        id,
        sender: None,
        date: Timestamp(1_000_000),
        edit_date: None,
        out: false,
        post: true,
        silent: false,
        service: false,
        protected: false,
        text: text.to_owned(),
        entities: Vec::new(),
        media: None,
        album: None,
        reply_to: None,
        forwarded: None,
        thread: None,
        author: None,
        action: None,
    }
}

pub(super) fn media(id: MessageId, kind: MediaKind, caption: &str) -> Message {
    Message {
        media: Some(Media {
            kind,
            file: Some(FileRef {
                id: i64::from(id) * 1000,
                size: 10,
                ..FileRef::default()
            }),
            spoiler: false,
        }),
        ..message(id, caption)
    }
}

pub(super) fn pair(session: SessionId) -> PairRow {
    let place = |chat| Place {
        session,
        chat,
        topic: None,
    };
    PairRow {
        id: PairId::generate(),
        name: String::new(),
        kind: PairKind::T2t,
        source: place(SOURCE),
        former: None,
        destination: place(DESTINATION),
        mode: Mode::Copy,
        silent: false,
        delay: 0,
        rules: Rules {},
        on_edit: OnEdit::Edit,
        on_delete: OnDelete::Delete,
        state: PairState::Running,
        reason: None,
        halted: false,
        owner: Owner::admin(),
        created_at: Timestamp(0),
        after: 0,
    }
}
