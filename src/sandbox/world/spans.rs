//! Spans as the server stores them: those of one kind that touch are one, nothing stands in code, and no two overlap
//! unless one holds the other: what would is split. Pure.

use super::entities::{Entity, Kind};

/// Whether spans of this kind may be split and merged.
fn splits(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Bold | Kind::Italic | Kind::Underline | Kind::Strikethrough | Kind::Spoiler
    )
}

/// Whether nothing else stands in spans of this kind.
fn is_code(kind: Kind) -> bool {
    matches!(kind, Kind::Code | Kind::Pre)
}

fn holds(one: &Entity, other: &Entity) -> bool {
    one.offset <= other.offset && other.end() <= one.end()
}

fn touch(one: &Entity, other: &Entity) -> bool {
    one.offset < other.end() && other.offset < one.end()
}

/// A span as far as it reaches from one place to another.
fn piece(span: &Entity, from: i32, to: i32) -> Entity {
    Entity {
        offset: from,
        length: to - from,
        ..span.clone()
    }
}

/// A span, cut where others begin and end.
fn cut<'a>(span: &Entity, others: impl Iterator<Item = &'a Entity>) -> Vec<Entity> {
    let bounds = others.flat_map(|known| [known.offset, known.end()]);
    let within = bounds.filter(|at| span.offset < *at && *at < span.end());
    let mut cuts: Vec<i32> = within.chain([span.offset, span.end()]).collect();
    cuts.sort_unstable();
    cuts.dedup();
    cuts.windows(2).map(|two| piece(span, two[0], two[1])).collect()
}

/// Sorts, merges and splits spans that lie within their text and are not empty.
pub fn nest(spans: Vec<Entity>) -> Vec<Entity> {
    let order = |span: &Entity| (span.offset, -span.length, !is_code(span.kind), span.kind as u8);
    let (mut soft, mut firm): (Vec<_>, Vec<_>) = spans.into_iter().partition(|span| splits(span.kind));
    firm.sort_by_key(order);
    let firm = firm.into_iter().fold(Vec::<Entity>::new(), |mut kept, span| {
        let clash = |known: &Entity| {
            let within = holds(known, &span) && !is_code(known.kind) && known.kind != span.kind;
            touch(known, &span) && !within
        };
        if !kept.iter().any(clash) {
            kept.push(span);
        }
        kept
    });
    soft.sort_by_key(|span| (span.kind as u8, span.offset));
    let merged = soft.into_iter().fold(Vec::<Entity>::new(), |mut kept, span| {
        match kept.last_mut() {
            Some(last) if last.kind == span.kind && span.offset <= last.end() => {
                last.length = last.end().max(span.end()) - last.offset;
            }
            _ => kept.push(span),
        }
        kept
    });
    let code: Vec<Entity> = firm.iter().filter(|known| is_code(known.kind)).cloned().collect();
    let in_code = |part: &Entity| code.iter().any(|known| holds(known, part));
    let outside = merged.iter().flat_map(|span| cut(span, code.iter()));
    let outside: Vec<Entity> = outside.filter(|part| !in_code(part)).collect();
    let mut all = firm.clone();
    for span in outside {
        let crossing = firm
            .iter()
            .filter(|known| !(holds(known, &span) || holds(&span, known)));
        all.extend(cut(&span, crossing));
    }
    let mut nested: Vec<Entity> = Vec::new();
    all.sort_by_key(order);
    let mut rest: std::collections::VecDeque<Entity> = all.into();
    while let Some(span) = rest.pop_front() {
        let over = nested
            .iter()
            .filter(|known| touch(known, &span) && !holds(known, &span));
        let at = over
            .map(Entity::end)
            .filter(|at| span.offset < *at && *at < span.end())
            .min();
        let Some(at) = at.filter(|_| splits(span.kind)) else {
            nested.push(span);
            continue;
        };
        nested.push(piece(&span, span.offset, at));
        let left = piece(&span, at, span.end());
        let place = rest.partition_point(|known| order(known) < order(&left));
        rest.insert(place, left);
    }
    nested.sort_by_key(order);
    nested
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(kind: Kind, from: i32, to: i32) -> Entity {
        Entity::plain(kind, from, to - from)
    }

    #[test]
    fn spans_that_touch_are_one_and_those_that_overlap_are_split() {
        let bold = [
            plain(Kind::Bold, 0, 3),
            plain(Kind::Bold, 3, 5),
            plain(Kind::Bold, 4, 8),
        ];
        assert_eq!(nest(bold.to_vec()), [plain(Kind::Bold, 0, 8)]);
        let crossed = vec![plain(Kind::Italic, 3, 8), plain(Kind::Bold, 0, 5)];
        let split = [
            plain(Kind::Bold, 0, 5),
            plain(Kind::Italic, 3, 5),
            plain(Kind::Italic, 5, 8),
        ];
        assert_eq!(nest(crossed), split);
        let within = vec![plain(Kind::Bold, 0, 8), plain(Kind::Italic, 2, 4)];
        assert_eq!(nest(within.clone()), within);
    }

    #[test]
    fn nothing_stands_in_code_and_a_link_is_not_cut() {
        let code = vec![plain(Kind::Bold, 0, 9), plain(Kind::Code, 3, 6)];
        let expected = [
            plain(Kind::Bold, 0, 3),
            plain(Kind::Code, 3, 6),
            plain(Kind::Bold, 6, 9),
        ];
        assert_eq!(nest(code), expected);
        let link = vec![plain(Kind::TextLink, 0, 5), plain(Kind::Bold, 3, 8)];
        let expected = [
            plain(Kind::TextLink, 0, 5),
            plain(Kind::Bold, 3, 5),
            plain(Kind::Bold, 5, 8),
        ];
        assert_eq!(nest(link), expected);
    }

    #[test]
    fn what_was_settled_stays_as_it_is() {
        let kinds = [
            Kind::Bold,
            Kind::Italic,
            Kind::Spoiler,
            Kind::Code,
            Kind::TextLink,
            Kind::Blockquote,
        ];
        let mut seed = 7_u32;
        let mut draw = |below: u32| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 16) % below
        };
        for _ in 0..500 {
            let spans: Vec<Entity> = (0..6)
                .map(|_| {
                    let (from, length) = (draw(20).cast_signed(), draw(9).cast_signed() + 1);
                    Entity::plain(kinds[draw(6) as usize], from, length)
                })
                .collect();
            let once = nest(spans);
            assert_eq!(nest(once.clone()), once);
            for (at, one) in once.iter().enumerate() {
                for other in &once[at + 1..] {
                    assert!(
                        !touch(one, other) || holds(one, other) || holds(other, one),
                        "{once:?}"
                    );
                }
            }
        }
    }
}
