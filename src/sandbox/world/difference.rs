//! What somebody missed: the part of a log after a given state.

use std::collections::{BTreeSet, VecDeque};

use super::account::{Entry, What};
use super::refusal::Refusal;

/// What lies between a client's state and the present.
#[derive(Debug, PartialEq)]
pub enum Missed {
    /// Nothing.
    Nothing,
    /// More than the log holds, or more than the client wants to hear.
    TooMuch,
    /// These events.
    Events {
        /// New messages that still exist, in order; in their present form.
        new: Vec<i32>,
        /// What their sender named them: number and name.
        named: Vec<(i32, i64)>,
        /// Everything else. Edits of messages that are told as new or are gone are left out.
        other: Vec<Entry>,
        /// The state after the last of them.
        pts: i32,
        /// When the last of them was, in seconds.
        date: i32,
        /// Whether this is the present.
        complete: bool,
    },
}

/// How much is told at once.
#[derive(Clone, Copy, Debug)]
pub struct Portion {
    /// How many events.
    pub events: usize,
    /// About how many bytes.
    pub bytes: usize,
    /// Who is further behind has missed too much.
    pub reach: i32,
}

/// The events after `from`. `size_of` tells how many bytes a message takes, `None` if it is gone; `apart` whether a
/// portion ends between two new messages.
pub fn missed(
    log: &VecDeque<Entry>,
    present: i32,
    from: i32,
    portion: Portion,
    size_of: impl Fn(i32) -> Option<usize>,
    apart: impl Fn(i32, i32) -> bool,
) -> Result<Missed, Refusal> {
    if from <= 0 {
        return Err(Refusal::bad("PERSISTENT_TIMESTAMP_EMPTY"));
    }
    if from > present {
        return Err(Refusal::bad("PERSISTENT_TIMESTAMP_INVALID"));
    }
    if from == present {
        return Ok(Missed::Nothing);
    }
    if present.saturating_sub(from) > portion.reach {
        return Ok(Missed::TooMuch);
    }
    let start = log.partition_point(|entry| entry.pts <= from);
    match log.get(start) {
        Some(first) if first.pts - first.count <= from => {}
        _ => return Ok(Missed::TooMuch),
    }
    let (mut taken, mut bytes): (Vec<&Entry>, _) = (Vec::new(), 0);
    for entry in log.range(start..) {
        let size = match &entry.what {
            What::New { id, .. } | What::Edited { id } => size_of(*id).unwrap_or(0),
            What::Deleted { ids } | What::Pinned { ids, .. } | What::Opened { ids } => ids.len() * 4 + 32,
            What::ReadInbox { .. } | What::ReadOutbox { .. } | What::Noise { .. } => 48,
            What::Moved { chats } => chats.len() * 32 + 32,
            What::Page { url } => 200 + url.len(),
        };
        if let Some(last) = taken.last() {
            let between = last.brings().zip(entry.brings());
            let ends = between.is_some_and(|(last, next)| apart(last, next));
            if ends || taken.len() >= portion.events || bytes + size > portion.bytes {
                break;
            }
        }
        bytes += size;
        taken.push(entry);
    }
    let (pts, date) = taken.last().map_or((present, 0), |entry| (entry.pts, entry.date));
    let (mut new, mut named) = (Vec::new(), Vec::new());
    for entry in &taken {
        if let What::New { id, random_id } = entry.what
            && size_of(id).is_some()
        {
            new.push(id);
            if random_id != 0 {
                named.push((id, random_id));
            }
        }
    }
    let mut told: BTreeSet<i32> = new.iter().copied().collect();
    let mut other: Vec<Entry> = Vec::new();
    for entry in taken.into_iter().rev() {
        match entry.what {
            What::New { .. } => {}
            What::Edited { id } => {
                if size_of(id).is_some() && told.insert(id) {
                    other.push(entry.clone());
                }
            }
            _ => other.push(entry.clone()),
        }
    }
    other.reverse();
    Ok(Missed::Events {
        new,
        named,
        other,
        pts,
        date,
        complete: pts == present,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With nothing apart.
    fn missed(
        log: &VecDeque<Entry>,
        present: i32,
        from: i32,
        portion: Portion,
        size_of: impl Fn(i32) -> Option<usize>,
    ) -> Result<Missed, Refusal> {
        super::missed(log, present, from, portion, size_of, |_, _| false)
    }

    const ALL: Portion = Portion {
        events: 100,
        bytes: 100_000,
        reach: 1000,
    };

    fn entry(pts: i32, count: i32, what: What) -> Entry {
        Entry {
            pts,
            count,
            date: 0,
            what,
        }
    }

    fn new(pts: i32, id: i32) -> Entry {
        entry(pts, 1, What::New { id, random_id: 0 })
    }

    #[test]
    fn a_state_of_nought_or_of_the_future_is_refused() {
        let log = VecDeque::from([new(2, 1)]);
        assert!(missed(&log, 2, 0, ALL, |_| Some(1)).is_err());
        assert!(missed(&log, 2, 3, ALL, |_| Some(1)).is_err());
        assert_eq!(missed(&log, 2, 2, ALL, |_| Some(1)), Ok(Missed::Nothing));
    }

    #[test]
    fn edits_of_new_and_gone_messages_are_left_out() {
        let log = VecDeque::from([
            new(2, 1),
            new(3, 2),
            entry(4, 1, What::Edited { id: 2 }),
            entry(5, 1, What::Deleted { ids: vec![1] }),
        ]);
        let found = missed(&log, 5, 2, ALL, |id| (id == 2).then_some(1)).expect("a difference");
        let Missed::Events {
            new,
            other,
            pts,
            complete,
            ..
        } = found
        else {
            panic!("events")
        };
        assert_eq!((new, pts, complete), (vec![2], 5, true));
        assert_eq!(other, [entry(5, 1, What::Deleted { ids: vec![1] })]);
    }

    #[test]
    fn a_late_edit_is_told_once() {
        let log = VecDeque::from([
            new(2, 1),
            entry(3, 1, What::Edited { id: 1 }),
            entry(4, 1, What::Edited { id: 1 }),
        ]);
        let found = missed(&log, 4, 2, ALL, |_| Some(1)).expect("a difference");
        let Missed::Events { other, .. } = found else {
            panic!("events")
        };
        assert_eq!(other, [entry(4, 1, What::Edited { id: 1 })]);
    }

    #[test]
    fn a_portion_ends_between_what_comes_apart() {
        let log = VecDeque::from([new(2, 1), new(3, 2), new(4, 3)]);
        let found = super::missed(&log, 4, 1, ALL, |_| Some(1), |last, _| last == 2).expect("a difference");
        assert!(
            matches!(&found, Missed::Events { new, complete: false, .. } if *new == [1, 2]),
            "{found:?}"
        );
    }

    #[test]
    fn it_comes_in_portions_and_a_lost_beginning_is_too_much() {
        let log: VecDeque<Entry> = (3..=9).map(|pts| new(pts, pts)).collect();
        let portion = Portion {
            events: 3,
            bytes: 100,
            reach: 5,
        };
        let found = missed(&log, 9, 4, portion, |_| Some(1)).expect("a difference");
        let Missed::Events {
            new, pts, complete, ..
        } = found
        else {
            panic!("events")
        };
        assert_eq!((new, pts, complete), (vec![5, 6, 7], 7, false));
        assert_eq!(missed(&log, 9, 1, ALL, |_| Some(1)), Ok(Missed::TooMuch));
        let beyond = missed(&log, 9, 3, portion, |_| Some(1));
        assert_eq!(beyond, Ok(Missed::TooMuch), "out of reach, though the log has it");
    }
}
