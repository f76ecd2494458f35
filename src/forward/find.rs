//! Finding the copies of a try whose outcome is not known among the destination's recent messages.
//!
//! Pure. A copy is known by its content, by being ours and by not being the copy of something else.

use std::time::Duration;

use super::pair::Mode;
use crate::base::Timestamp;
use crate::model::{MediaKind, Message, MessageId};

/// How far Telegram's clock and ours may be apart.
pub(super) const CLOCKS_DIFFER: Duration = Duration::from_secs(60);

/// Since when a copy may stand by Telegram's clock, of a message that came then, if the first try was made at that time by
/// ours: the two may be apart, but no copy is older than its message.
pub(super) fn earliest(tried: Timestamp, came: Option<Timestamp>) -> Timestamp {
    let apart = tried.minus(CLOCKS_DIFFER);
    came.map_or(apart, |came| came.max(apart))
}

/// How copies may have been made by now: as the pair makes them, or, if they may be of an earlier try, as it did then. Its
/// mode may have been changed in between.
pub(super) fn forms(mode: Mode, tried_before: bool) -> &'static [Mode] {
    match (mode, tried_before) {
        (Mode::Copy, false) => &[Mode::Copy],
        (Mode::Copy, true) => &[Mode::Copy, Mode::Forward],
        (Mode::Forward, false) => &[Mode::Forward],
        (Mode::Forward, true) => &[Mode::Forward, Mode::Copy],
    }
}

/// Where the copies of all `parts` stand, in the first of the `forms` that all of them are there in. `recent` is newest
/// first; what was there before `since` or is `taken` does not count.
pub(super) fn find(
    forms: &[Mode],
    parts: &[Message],
    recent: &[Message],
    since: Timestamp,
    taken: impl Fn(MessageId) -> bool,
) -> Option<Vec<(MessageId, Timestamp)>> {
    let mut forms = forms.iter();
    forms.find_map(|mode| find_as(*mode, parts, recent, since, &taken))
}

fn find_as(
    mode: Mode,
    parts: &[Message],
    recent: &[Message],
    since: Timestamp,
    taken: impl Fn(MessageId) -> bool,
) -> Option<Vec<(MessageId, Timestamp)>> {
    let mut candidates = recent
        .iter()
        .rev()
        // Telegram tells times to the second.
        .filter(|message| message.date.as_secs() >= since.as_secs() && !taken(message.id));
    parts
        .iter()
        .map(|part| {
            let copy = candidates.find(|candidate| is_copy(mode, part, candidate))?;
            Some((copy.id, copy.date))
        })
        .collect()
}

fn is_copy(mode: Mode, source: &Message, candidate: &Message) -> bool {
    let header = match mode {
        Mode::Forward => candidate.forwarded.is_some(),
        Mode::Copy => candidate.forwarded.is_none(),
    };
    header && source.text.trim() == candidate.text.trim() && same_media(source, candidate)
}

/// A file that is sent by reference keeps its number. Of a photo nothing else tells: Telegram makes each upload anew,
/// with other bytes, so that two of one size are two.
fn same_media(source: &Message, candidate: &Message) -> bool {
    let shown = |message: &Message| {
        let media = message
            .media
            .as_ref()
            .filter(|media| media.kind != MediaKind::WebPage)?;
        Some((media.kind, media.file.as_ref().map(|file| (file.id, file.size))))
    };
    match (shown(source), shown(candidate)) {
        (None, None) => true,
        (Some((kind, file)), Some((other, copy))) => {
            let same_file = match (file, copy) {
                (Some((id, size)), Some((copy_id, copy_size))) => {
                    id == copy_id || (kind != MediaKind::Photo && size == copy_size)
                }
                (file, copy) => file.is_none() && copy.is_none(),
            };
            kind == other && same_file
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{media, message};
    use super::*;
    use crate::model::Forwarded;

    const SINCE: Timestamp = Timestamp(1_000_500);

    fn found(parts: &[Message], recent: &[Message], taken: &[MessageId]) -> Option<Vec<MessageId>> {
        let places = find(&[Mode::Copy], parts, recent, SINCE, |id| taken.contains(&id))?;
        Some(places.into_iter().map(|(id, _)| id).collect())
    }

    #[test]
    fn the_oldest_free_match_is_the_copy() {
        let recent = [
            message(93, "ok"),
            message(92, "ok"),
            message(91, "ok"),
            message(90, "no"),
        ];
        assert_eq!(found(&[message(1, "ok")], &recent, &[91]), Some(vec![92]));
        assert_eq!(found(&[message(1, "ok")], &recent, &[91, 92, 93]), None);
    }

    #[test]
    fn what_is_older_than_the_try_or_came_otherwise_is_not_it() {
        let old = Message {
            date: Timestamp(998_000),
            ..message(90, "ok")
        };
        let forwarded = Message {
            forwarded: Some(Forwarded {
                from: None,
                name: None,
                message: None,
                date: SINCE,
            }),
            ..message(91, "ok")
        };
        assert_eq!(found(&[message(1, "ok")], &[forwarded.clone(), old], &[]), None);
        let plain = message(92, "ok");
        let found = |recent: &[Message], mode, tried_before| {
            let parts = [message(1, "ok")];
            let places = find(forms(mode, tried_before), &parts, recent, SINCE, |_| false);
            places.map(|places| places[0].0)
        };
        let both = [plain.clone(), forwarded.clone()];
        assert_eq!(found(&both, Mode::Forward, false), Some(91));
        assert_eq!(found(&both, Mode::Copy, true), Some(92));
        // The pair has changed its mode since the try.
        assert_eq!(found(std::slice::from_ref(&plain), Mode::Forward, true), Some(92));
        assert_eq!(found(&[plain], Mode::Forward, false), None);
        assert_eq!(found(&[forwarded], Mode::Copy, true), Some(91));
    }

    #[test]
    fn clocks_that_differ_hide_no_copy_and_show_none_that_is_older_than_its_message() {
        let at = Timestamp::from_secs;
        assert_eq!(earliest(at(1000), Some(at(999))), at(999));
        assert_eq!(earliest(at(1000), Some(at(1030))), at(1030), "ours is behind");
        assert_eq!(earliest(at(1000), Some(at(100))), at(940), "it waited long");
        assert_eq!(earliest(at(1000), None), at(940));
    }

    #[test]
    fn photos_of_one_size_are_two_and_documents_are_one() {
        let other = |kind| {
            let mut other = media(91, kind, "");
            let file = other.media.as_mut().and_then(|media| media.file.as_mut());
            file.expect("a file").id += 1;
            other
        };
        let of = |kind| found(&[media(1, kind, "")], &[other(kind)], &[]);
        assert_eq!(of(MediaKind::Photo), None);
        assert_eq!(of(MediaKind::Document), Some(vec![91]));
        let by_reference = Message {
            id: 91,
            ..media(1, MediaKind::Photo, "")
        };
        assert_eq!(
            found(&[media(1, MediaKind::Photo, "")], &[by_reference], &[]),
            Some(vec![91])
        );
    }

    #[test]
    fn an_album_is_found_whole_or_not_at_all() {
        let parts = [media(1, MediaKind::Photo, "a"), media(2, MediaKind::Photo, "")];
        let copy = |id, of: &Message| Message { id, ..of.clone() };
        let both = [copy(51, &parts[1]), copy(50, &parts[0])];
        assert_eq!(found(&parts, &both, &[]), Some(vec![50, 51]));
        assert_eq!(found(&parts, &both[1..], &[]), None);
        assert_eq!(found(&parts[..1], &[message(50, "a")], &[]), None);
    }
}
