//! Whether copies show what their sources show: matched one to one, then compared. Pure.
//!
//! It knows neither what still waits nor whose fault a difference is.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::sandbox::view::MessageView;

/// Each message of the source with its copy, if it has one; and the copies that are nobody's, or second ones.
pub(super) struct Matched<'a> {
    pub(super) pairs: Vec<(&'a MessageView, Option<&'a MessageView>)>,
    pub(super) rest: usize,
}

impl<'a> Matched<'a> {
    /// Messages of the same words are matched in their order.
    pub(super) fn of(source: &'a [MessageView], destination: &'a [MessageView]) -> Self {
        let mut copies: HashMap<&str, VecDeque<&MessageView>> = HashMap::new();
        for copy in destination {
            copies.entry(number(&copy.text)).or_default().push_back(copy);
        }
        let mut take = |message: &MessageView| copies.get_mut(number(&message.text))?.pop_front();
        let pairs = source.iter().map(|message| (message, take(message))).collect();
        let rest = copies.into_values().map(|rest| rest.len()).sum();
        Self { pairs, rest }
    }

    /// Messages of the source that were passed over: deleted or not, a later one had its copy before they went.
    pub(super) fn passed_over(&self) -> (usize, usize) {
        let (mut missing, mut cancelled) = (0, 0);
        let mut later: Option<i64> = None;
        for (message, copy) in self.pairs.iter().rev() {
            match (copy, message.deleted_at) {
                (Some(copy), _) => {
                    later = Some(later.map_or(copy.stored_at, |known| known.min(copy.stored_at)));
                }
                (None, Some(deleted)) if later.is_none_or(|stored| stored >= deleted) => cancelled += 1,
                (None, _) => missing += 1,
            }
        }
        (missing, cancelled)
    }

    /// Copies that stand before the copy of an earlier message.
    pub(super) fn disordered(&self) -> usize {
        let ids: Vec<i32> = self
            .pairs
            .iter()
            .filter_map(|(_, copy)| copy.map(|copy| copy.id))
            .collect();
        ids.windows(2).filter(|pair| pair[0] > pair[1]).count()
    }

    /// Messages whose copy does not show what they show.
    pub(super) fn unlike(&self) -> usize {
        let known: HashMap<i32, (&MessageView, &MessageView)> = self
            .pairs
            .iter()
            .filter_map(|(message, copy)| Some((message.id, (*message, (*copy)?))))
            .collect();
        let split = self.split_albums();
        self.pairs
            .iter()
            .filter(|(message, copy)| {
                copy.is_some_and(|copy| {
                    message.deleted_at.is_some() != copy.deleted_at.is_some()
                        || (message.deleted_at.is_none()
                            && (!same_content(message, copy)
                                || !same_reply(message, copy, &known)
                                || message
                                    .album
                                    .as_deref()
                                    .is_some_and(|album| split.contains(album))))
                })
            })
            .count()
    }

    /// The source's albums whose standing parts are not exactly one album in the destination.
    fn split_albums(&self) -> HashSet<&'a str> {
        let mut albums: HashMap<&str, Vec<Option<&str>>> = HashMap::new();
        for (message, copy) in &self.pairs {
            if let (Some(album), Some(copy)) = (&message.album, copy)
                && message.deleted_at.is_none()
            {
                albums.entry(album).or_default().push(copy.album.as_deref());
            }
        }
        let mut owner: HashMap<&str, &str> = HashMap::new();
        let mut split = HashSet::new();
        for (album, copies) in albums {
            // What is left of an album, alone, is none.
            let whole =
                copies.len() == 1 || copies[0].is_some() && copies.iter().all(|other| *other == copies[0]);
            let shared = copies[0].and_then(|copy| owner.insert(copy, album));
            if !whole {
                split.insert(album);
            }
            if let Some(other) = shared {
                split.extend([album, other]);
            }
        }
        split
    }
}

/// The number that the script gives each message, at the end of its text.
fn number(text: &str) -> &str {
    text.rsplit_once('№').map_or(text, |(_, number)| number)
}

fn same_content(message: &MessageView, copy: &MessageView) -> bool {
    let file = |message: &MessageView| {
        let media = message.media.as_ref()?;
        Some((media.kind.clone(), media.size, media.sha256.clone()))
    };
    message.text == copy.text && message.entities == copy.entities && file(message) == file(copy)
}

/// Whether a copy answers the copy of what its message answers. A forwarded message answers nothing, and what
/// answers a message that went, or that was never copied, may.
fn same_reply(
    message: &MessageView,
    copy: &MessageView,
    known: &HashMap<i32, (&MessageView, &MessageView)>,
) -> bool {
    if copy.forward.is_some() && message.forward.is_none() {
        return copy.reply_to.is_none();
    }
    match message.reply_to.and_then(|target| known.get(&target)) {
        Some((target, answered)) => {
            let gone = target.deleted_at.is_some() || answered.deleted_at.is_some();
            copy.reply_to == Some(answered.id) || (gone && copy.reply_to.is_none())
        }
        None => copy.reply_to.is_none(),
    }
}
