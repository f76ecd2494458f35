//! One sequence: how far it is told, and the updates that came before what they follow.

use std::sync::Arc;

/// Updates of a sequence that wait at most. More are let go: the difference that is then asked for has them all.
const MOST_HELD: usize = 4_096;

/// An update that waits.
#[derive(Debug)]
struct Held<U, P> {
    /// The sequence stands here before it.
    from: i32,
    /// And here after it.
    to: i32,
    update: U,
    peers: Arc<P>,
}

/// An update that may be told: the position behind it, itself, and who came along.
pub(super) type Told<U, P> = (i32, U, Arc<P>);

/// See the head of the file.
#[derive(Debug)]
pub(super) struct Sequence<U, P> {
    pts: i32,
    /// How far it is known to go, though nothing that leads there is held.
    known: i32,
    held: Vec<Held<U, P>>,
}

impl<U, P> Sequence<U, P> {
    /// A sequence that is told up to here.
    pub fn at(pts: i32) -> Self {
        Self {
            pts,
            known: 0,
            held: Vec::new(),
        }
    }

    /// How far it is told.
    pub fn pts(&self) -> i32 {
        self.pts
    }

    /// Whether something is missing: updates wait for it, or it is known to be there.
    pub fn has_gap(&self) -> bool {
        !self.held.is_empty() || self.known > self.pts
    }

    /// It goes as far as this; what leads there is still to be told.
    pub fn know(&mut self, pts: i32) {
        self.known = self.known.max(pts);
    }

    /// Takes an update that brings the sequence from `from` to `to`. Told are those that now follow. An update behind
    /// which we are already was told before, by a push or a difference. With `pause` everything waits: a difference is
    /// under way, and comes first.
    pub fn take(
        &mut self,
        (from, to): (i32, i32),
        update: U,
        peers: &Arc<P>,
        pause: bool,
        told: &mut Vec<Told<U, P>>,
    ) {
        let follows = from == self.pts;
        if to < self.pts || (to == self.pts && !follows) {
            return;
        }
        if follows && !pause {
            self.pts = to;
            told.push((to, update, peers.clone()));
            if !self.held.is_empty() {
                self.settle(told);
            }
        } else if self.held.len() < MOST_HELD {
            let peers = peers.clone();
            self.held.push(Held {
                from,
                to,
                update,
                peers,
            });
        }
    }

    /// Goes to where a difference ended. Held updates that it held too are let go.
    pub fn go_to(&mut self, pts: i32) {
        let known = self.known;
        self.jump_to(self.pts.max(pts));
        self.known = known;
    }

    /// Goes where Telegram says, be it back.
    pub fn jump_to(&mut self, pts: i32) {
        (self.pts, self.known) = (pts, 0);
        self.held
            .retain(|held| held.to > pts || (held.from == pts && held.to == pts));
    }

    /// Goes on where the first update that waits begins, though what comes before it was not told; where that is. If
    /// none waits, as far as it is known to go.
    pub fn skip_gap(&mut self) -> Option<i32> {
        let known = Some(self.known).filter(|known| *known > self.pts);
        let first = self.held.iter().map(|held| held.from).min().or(known)?;
        // What begins before where we stand, and ends behind it, was told in part.
        self.pts = first;
        Some(first)
    }

    /// Tells what waited and follows now.
    pub fn settle(&mut self, told: &mut Vec<Told<U, P>>) {
        // The first comes last. Those that count nothing come before those that move on from the same place.
        self.held
            .sort_by_key(|held| std::cmp::Reverse((held.from, held.to)));
        while let Some(next) = self.held.pop() {
            if next.from == self.pts {
                self.pts = next.to;
                told.push((next.to, next.update, next.peers));
            } else if next.to > self.pts {
                self.held.push(next);
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(
        sequence: &mut Sequence<&'static str, ()>,
        came: &[(i32, i32, &'static str)],
    ) -> Vec<&'static str> {
        let (mut told, none) = (Vec::new(), Arc::new(()));
        for (pts, count, update) in came {
            sequence.take((pts - count, *pts), *update, &none, false, &mut told);
        }
        told.into_iter().map(|(_, update, _)| update).collect()
    }

    #[test]
    fn what_follows_is_told_and_what_was_told_is_not() {
        let mut sequence = Sequence::at(10);
        let came = [
            (11, 1, "a"),
            (13, 2, "b"),
            (12, 1, "old"),
            (13, 1, "old"),
            (13, 0, "now"),
        ];
        assert_eq!(told(&mut sequence, &came), ["a", "b", "now"]);
        assert_eq!((sequence.pts(), sequence.has_gap()), (13, false));
    }

    #[test]
    fn a_gap_waits_and_closes_by_itself() {
        let mut sequence = Sequence::at(10);
        assert!(told(&mut sequence, &[(13, 1, "c"), (12, 1, "b"), (13, 0, "read")]).is_empty());
        assert!(sequence.has_gap());
        assert_eq!(told(&mut sequence, &[(11, 1, "a")]), ["a", "b", "c", "read"]);
        assert!(!sequence.has_gap());
    }

    #[test]
    fn what_overlaps_is_a_gap() {
        let mut sequence = Sequence::at(10);
        assert!(told(&mut sequence, &[(12, 3, "x")]).is_empty());
        assert!(sequence.has_gap());
        sequence.go_to(12);
        assert!(!sequence.has_gap());
    }

    #[test]
    fn what_is_known_to_be_there_is_a_gap() {
        let mut sequence = Sequence::at(10);
        sequence.know(12);
        sequence.know(9);
        assert!(sequence.has_gap());
        sequence.go_to(11);
        assert!(sequence.has_gap(), "a part of it");
        assert_eq!(told(&mut sequence, &[(12, 1, "b")]), ["b"]);
        assert!(!sequence.has_gap(), "pushed after all");
        sequence.know(14);
        assert_eq!(sequence.skip_gap(), Some(14));
        assert!(!sequence.has_gap());
        sequence.know(16);
        sequence.jump_to(3);
        assert!(!sequence.has_gap(), "it was said where it stands");
    }

    #[test]
    fn everything_waits_for_a_difference_under_way() {
        let (mut sequence, none, mut after) = (Sequence::at(10), Arc::new(()), Vec::new());
        for (from, to, update) in [(10, 11, "a"), (12, 13, "c"), (13, 14, "d")] {
            sequence.take((from, to), update, &none, true, &mut after);
        }
        assert!(after.is_empty());
        sequence.go_to(12);
        sequence.settle(&mut after);
        assert_eq!(
            after.iter().map(|(_, update, _)| *update).collect::<Vec<_>>(),
            ["c", "d"]
        );
    }
}
