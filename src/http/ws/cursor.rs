//! A place in the stream of frames, to come back to.
//!
//! An event of the journal may become several frames (a status, and the event itself). A cursor says after which event,
//! and after which of its frames, so that whoever comes back with it neither misses a frame nor sees one twice. It
//! stays right across restarts, and after a restore of the store, since the journal never gives a number out twice.

use std::fmt;
use std::str::FromStr;

/// A place in the stream of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    /// The event that the next frame is of, at the earliest.
    next: u64,
    /// The frames of that event up to this one have been seen; 0 for none of them.
    seen: u8,
}

/// A text that no frame carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no cursor")]
pub struct NotACursor;

impl Cursor {
    /// After everything of an event.
    pub const fn after(seq: u64) -> Self {
        Self {
            next: seq.saturating_add(1),
            seen: 0,
        }
    }

    /// Within an event: after one of its frames.
    pub const fn within(seq: u64, part: u8) -> Self {
        Self {
            next: seq,
            seen: part,
        }
    }

    /// The last event that is seen as a whole.
    pub const fn seq(self) -> u64 {
        self.next.saturating_sub(1)
    }

    /// Whether a frame with this cursor has been seen by somebody who stands here.
    pub fn has_seen(self, frame: Self) -> bool {
        frame <= self
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.seen {
            0 => write!(f, "{}", self.seq()),
            part => write!(f, "{}.{part}", self.next),
        }
    }
}

impl FromStr for Cursor {
    type Err = NotACursor;

    fn from_str(text: &str) -> Result<Self, NotACursor> {
        let number = |text: &str| {
            let digits = (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<u64>()
                .ok()
                .filter(|_| digits)
                .filter(|number| *number < u64::MAX)
                .ok_or(NotACursor)
        };
        match text.split_once('.') {
            None => number(text).map(Self::after),
            Some((seq, part)) => match (number(seq)?, number(part)?) {
                (0, _) | (_, 0) => Err(NotACursor),
                (seq, part) => Ok(Self::within(seq, u8::try_from(part).map_err(|_| NotACursor)?)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn frames_of_one_event_stand_in_order_before_its_end() {
        let places = [
            Cursor::after(6),
            Cursor::within(7, 1),
            Cursor::within(7, 2),
            Cursor::after(7),
            Cursor::within(8, 1),
        ];
        assert!(places.is_sorted());
        let here = Cursor::within(7, 1);
        assert!(here.has_seen(Cursor::after(6)) && here.has_seen(here));
        assert!(!here.has_seen(Cursor::within(7, 2)) && !here.has_seen(Cursor::after(7)));
        assert_eq!((here.seq(), Cursor::after(7).seq()), (6, 7));
    }

    #[test]
    fn what_no_frame_carried_is_refused() {
        for wrong in [
            "",
            " 1",
            "+1",
            "-1",
            "1.",
            ".1",
            "1.0",
            "0.1",
            "1.256",
            "1.1.1",
            "x",
            "18446744073709551615",
            "١",
        ] {
            assert_eq!(wrong.parse::<Cursor>(), Err(NotACursor), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn every_cursor_reads_back(seq in 1..u64::MAX - 1, part in 0..=u8::MAX) {
            let cursor = match part {
                0 => Cursor::after(seq),
                part => Cursor::within(seq, part),
            };
            prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }

        #[test]
        fn no_text_is_a_panic(text in ".{0,40}") {
            if let Ok(cursor) = text.parse::<Cursor>() {
                prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
            }
        }
    }
}
