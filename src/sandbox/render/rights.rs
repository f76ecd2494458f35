//! Single rights as records of the schema, and back.

use std::collections::BTreeSet;

use grammers_tl_types::types::ChatBannedRights;

use super::blank;
use crate::sandbox::world::rights::Right;

macro_rules! rights {
    ($($right:ident = $field:ident;)*) => {
        /// What is forbidden, until a time; 0 for good.
        pub fn shown(forbidden: &BTreeSet<Right>, until: i32) -> ChatBannedRights {
            ChatBannedRights {
                $($field: forbidden.contains(&Right::$right),)*
                until_date: until,
                ..blank::banned_rights()
            }
        }

        /// What a client forbids.
        pub fn read(rights: &ChatBannedRights) -> BTreeSet<Right> {
            let each = [$((Right::$right, rights.$field),)*];
            each.into_iter().filter(|(_, on)| *on).map(|(right, _)| right).collect()
        }
    };
}

rights! {
    Messages = send_messages;
    Plain = send_plain;
    Media = send_media;
    Photos = send_photos;
    Videos = send_videos;
    Roundvideos = send_roundvideos;
    Audios = send_audios;
    Voices = send_voices;
    Docs = send_docs;
    Stickers = send_stickers;
    Gifs = send_gifs;
    Polls = send_polls;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read_again() {
        for right in [Right::Messages, Right::Plain, Right::Polls, Right::Voices] {
            let forbidden = BTreeSet::from([right, Right::Gifs]);
            assert_eq!(read(&shown(&forbidden, 7)), forbidden);
        }
        assert!(read(&blank::banned_rights()).is_empty());
    }
}
